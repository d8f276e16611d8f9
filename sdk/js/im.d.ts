/** Messaging over a connection. Call `start()` next. @param {Client} client @param {ImOptions} [options] */
export function openIm(client: Client, options?: ImOptions): Im;
/**
 * Messaging over a connection. Made by {@link openIm}.
 * @extends {Emitter<ImEvents>}
 */
export class Im extends Emitter<ImEvents> {
    /** @param {Client} client @param {ImOptions} [options] */
    constructor(client: Client, options?: ImOptions);
    /** What the server allows, after the first connection. @type {Record<string, any>} */
    limits: Record<string, any>;
    /** All conversations of mine. */
    conversations: Conversations;
    /** People: profiles, presence, friends. */
    people: People;
    /** Files over HTTP. */
    files: Files;
    /** Who I am. */
    get me(): string | undefined;
    /** @returns {ImStatus} */
    get status(): ImStatus;
    /** The connection. */
    get client(): import("./yizhan.js").Client;
    /** Unread messages and mentions in all. */
    get unread(): {
        unread: number;
        mentions: number;
    };
    /** How many messages wait to be sent. */
    get waiting(): number;
    /** One conversation; the same object each time. @param {string} id */
    conversation(id: string): Conversation;
    /** A chatroom; call `enter()` next. @param {string} id */
    room(id: string): Room;
    /**
     * Begins. What an earlier visit knew is shown first.
     * @returns {Promise<void>} When the conversations are here and up to date; fails where the server refuses.
     */
    start(): Promise<void>;
    /** Ends: nothing more comes. The connection stays, what waits to be sent goes out at the next visit. */
    stop(): Promise<void>;
    /** Ends, and forgets all that is kept here. For signing out. */
    forget(): Promise<void>;
    /** Asks messaging anything. @param {string} name Without `im/`. @param {Record<string, any>} [data] @param {{once?: boolean}} [options] @returns {Promise<any>} */
    ask(name: string, data?: Record<string, any>, options?: {
        once?: boolean;
    }): Promise<any>;
    /** The direct conversation with somebody; it is made where there is none. @param {string} user @returns {Promise<Conversation>} */
    open(user: string): Promise<Conversation>;
    /** Makes a group, channel or room. @param {import('./im/types.js').CreateOptions} options @returns {Promise<Conversation>} */
    create(options: import("./im/types.js").CreateOptions): Promise<Conversation>;
    /**
     * Joins by a conversation's id or a link.
     * @param {{conversation?: string, link?: string, text?: string}} how @returns {Promise<Conversation | undefined>} `undefined` where somebody
     *   has to accept it first.
     */
    join(how: {
        conversation?: string;
        link?: string;
        text?: string;
    }): Promise<Conversation | undefined>;
    /** Where I was invited: `join` takes it, {@link decline} does not. @returns {Promise<{conversation: string, kind: string, title: string, members: number, by: string, at: number}[]>} */
    invitations(): Promise<{
        conversation: string;
        kind: string;
        title: string;
        members: number;
        by: string;
        at: number;
    }[]>;
    /** Does not come in where I was invited, or takes back that I asked to. @param {string} conversation */
    decline(conversation: string): Promise<any>;
    /** Public groups by handle or title. @param {{text?: string, after?: string}} [options] @returns {Promise<any>} */
    discover(options?: {
        text?: string;
        after?: string;
    }): Promise<any>;
    /** Searches all that I may see. @param {import('./im/types.js').SearchOptions} options @returns {Promise<import('./im/types.js').Hits>} */
    search(options: import("./im/types.js").SearchOptions): Promise<import("./im/types.js").Hits>;
    /** Tells those who look after this server about a message, a conversation or somebody. @param {{conversation?: string, seq?: number, user?: string, reason: string, text?: string}} report */
    report(report: {
        conversation?: string;
        seq?: number;
        user?: string;
        reason: string;
        text?: string;
    }): Promise<any>;
    /** Where I am signed in. @returns {Promise<import('./im/types.js').Device[]>} */
    devices(): Promise<import("./im/types.js").Device[]>;
    /** Signs out all my other devices. @returns {Promise<{ended: number}>} */
    logoutOthers(): Promise<{
        ended: number;
    }>;
    /** @param {Blob} file @param {import('./im/files.js').UploadOptions} [options] */
    upload(file: Blob, options?: import("./im/files.js").UploadOptions): Promise<import("./im/files.js").Uploaded>;
    /** Where a file is. A page that cannot show an `Authorization` there takes {@link fileObject} or {@link fileLink}. @param {string} id @param {{thumb?: boolean}} [options] */
    fileUrl(id: string, options?: {
        thumb?: boolean;
    }): string;
    /** Removes a file that I uploaded: nobody can have it any more. @param {string} id */
    deleteFile(id: string): Promise<any>;
    /** The same with a key in it, good for an hour: for players and links. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
    fileLink(id: string, options?: {
        thumb?: boolean;
    }): Promise<string>;
    /** A file as an object URL, for `<img src>` and the like. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
    fileObject(id: string, options?: {
        thumb?: boolean;
    }): Promise<string>;
    #private;
}
export type Client = import("./yizhan.js").Client;
export type Subscription = import("./yizhan.js").Subscription;
export type StoredRecord = import("./yizhan.js").StoredRecord;
export type Entry = import("./im/types.js").Entry;
export type Message = import("./im/types.js").Message;
export type Content = import("./im/types.js").Content;
export type Change = import("./im/types.js").Change;
export type Profile = import("./im/types.js").Profile;
export type Presence = import("./im/types.js").Presence;
export type Shown = import("./im/conversation.js").Shown;
export type ImOptions = {
    /**
     * What this is. Default `web`.
     */
    platform?: import("./im/types.js").Platform | undefined;
    /**
     * A name for this device, always the same. Default: the connection's, else one that is made up and kept in the cache.
     */
    device?: string | undefined;
    /**
     * Where what is known is kept.
     * Default `indexeddb`, and `memory` where there is none.
     */
    cache?: false | "memory" | import("./im/cache.js").Cache | "indexeddb" | undefined;
    /**
     * Who I am, where it is known before the connection: then the cache is shown at once, offline too,
     * and what is sent before the first connection is kept.
     */
    user?: string | undefined;
    /**
     * For files, instead of the global one.
     */
    fetch?: typeof fetch | undefined;
};
export type ImEvents = {
    /**
     * A message came, mine on other devices too. Once each.
     */
    message: Message;
    /**
     * Something changed in a conversation.
     */
    event: {
        conversation: string;
        change: Change;
    };
    /**
     * Somebody came, went, or says something else.
     */
    presence: Presence;
    /**
     * A message that should ring: not mine, not muted, or it mentions me.
     */
    notify: {
        message: Message;
        entry: Entry;
    };
    /**
     * Something about me: friends, devices, a conversation that is gone.
     */
    own: Change;
    status: {
        status: ImStatus;
    };
    /**
     * In all.
     */
    unread: {
        unread: number;
        mentions: number;
    };
    /**
     * Something that went wrong beside what was asked for.
     */
    error: YizhanError;
};
/**
 * `starting`: nothing is known yet. `cached`: what an earlier visit knew is here. `updating`: connected, what was missed
 * is being read. `live`: up to date. `offline`: no connection.
 */
export type ImStatus = "starting" | "cached" | "updating" | "live" | "offline" | "stopped";
import { Conversation } from './im/conversation.js';
import { Conversations } from './im/entries.js';
import { Files } from './im/files.js';
import { Outbox } from './im/outbox.js';
import { People } from './im/people.js';
import { Room } from './im/room.js';
import { isMentioned } from './im/entries.js';
import { memoryCache } from './im/cache.js';
import { messageId } from './im/outbox.js';
import { Emitter } from './yizhan.js';
import { YizhanError } from './yizhan.js';
export { Conversation, Conversations, Files, Outbox, People, Room, isMentioned, memoryCache, messageId };
