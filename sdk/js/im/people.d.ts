/** @extends {Emitter<PeopleEvents>} */
export class People extends Emitter<PeopleEvents> {
    /** @param {Ask} ask @param {(profile: Profile) => void} save */
    constructor(ask: Ask, save: (profile: Profile) => void);
    /**
     * What is known of somebody, at once. It is asked for where it is not known or old, and `change` tells.
     * @param {string} user @returns {Profile | undefined}
     */
    get(user: string): Profile | undefined;
    /** What to call somebody: my remark, their name, or the account's. @param {string} user */
    nameOf(user: string): string;
    /** Whether somebody is there, as far as known; asked for as profiles are. @param {string} user @returns {Presence | undefined} */
    presenceOf(user: string): Presence | undefined;
    /** Asks the server. @param {string[]} users @returns {Promise<Presence[]>} */
    presence(users: string[]): Promise<Presence[]>;
    /** Asks the server; without a name: mine. @param {string} [user] @returns {Promise<Profile>} */
    profile(user?: string): Promise<Profile>;
    /** Changes mine. @param {{name?: string, avatar?: string, about?: string, handle?: string, attributes?: Record<string, any>}} profile @returns {Promise<Profile>} */
    setProfile(profile: {
        name?: string;
        avatar?: string;
        about?: string;
        handle?: string;
        attributes?: Record<string, any>;
    }): Promise<Profile>;
    /** Somebody by their exact handle. @param {string} handle @returns {Promise<Profile>} */
    find(handle: string): Promise<Profile>;
    /** What others see of me. @param {{text?: string, emoji?: string, until?: number, show?: 'online' | 'away' | 'busy' | 'invisible'}} status */
    setStatus(status: {
        text?: string;
        emoji?: string;
        until?: number;
        show?: "online" | "away" | "busy" | "invisible";
    }): Promise<any>;
    /** Who may see and do what. @param {{last_seen?: 'everyone' | 'friends' | 'nobody', messages?: 'everyone' | 'friends', groups?: 'everyone' | 'friends'}} privacy */
    setPrivacy(privacy: {
        last_seen?: "everyone" | "friends" | "nobody";
        messages?: "everyone" | "friends";
        groups?: "everyone" | "friends";
    }): Promise<any>;
    /** When nothing should ring; without times: never. @param {{from?: string, until?: string, offset_min?: number}} [times] */
    setQuietHours(times?: {
        from?: string;
        until?: string;
        offset_min?: number;
    }): Promise<any>;
    /** My friends, and requests that wait. @returns {Promise<any>} */
    friends(): Promise<any>;
    /** Asks somebody to be a friend. @param {string} user @param {string} [text] */
    befriend(user: string, text?: string): Promise<any>;
    /** Answers somebody who asked me. @param {string} user @param {boolean} accept */
    answerFriend(user: string, accept: boolean): Promise<any>;
    /** @param {string} user */
    unfriend(user: string): Promise<any>;
    /** What I call a friend, and the group that I sort them into. @param {string} user @param {{remark?: string, group?: string}} options */
    remark(user: string, { remark, group }: {
        remark?: string;
        group?: string;
    }): Promise<any>;
    /** @param {string} user */
    block(user: string): Promise<any>;
    /** @param {string} user */
    unblock(user: string): Promise<any>;
    /** Whom I have blocked. @returns {Promise<any>} */
    blocked(): Promise<any>;
    /** @internal @param {Profile[]} profiles */
    restore(profiles: Profile[]): void;
    /** Something of mine or of somebody whom I see. @internal @param {Change} change */
    hear(change: Change): void;
    /** Presence may have changed while we were away. @internal */
    forgetPresence(): void;
    /** @internal */
    stop(): void;
    #private;
}
export type Profile = import("./types.js").Profile;
export type Presence = import("./types.js").Presence;
export type Change = import("./types.js").Change;
export type Ask = (name: string, data?: Record<string, any>, options?: {
    once?: boolean;
}) => Promise<any>;
export type PeopleEvents = {
    /**
     * Profiles or presence of these are new.
     */
    change: {
        users: string[];
    };
    /**
     * Something about friends: a request, an answer.
     */
    friends: Change;
};
import { Emitter } from '../yizhan.js';
