/** @extends {Emitter<RoomEvents>} */
export class Room extends Emitter<RoomEvents> {
    /** @param {string} id @param {Client} client @param {Ask} ask @param {(record: StoredRecord) => any} read A record's body. */
    constructor(id: string, client: Client, ask: Ask, read: (record: StoredRecord) => any);
    /** What it says of itself, after `enter()`. @type {RoomFacts | undefined} */
    facts: RoomFacts | undefined;
    /** What the application keeps with it. @type {Map<string, any>} */
    values: Map<string, any>;
    /** The newest messages, oldest first. @type {Message[]} */
    messages: Message[];
    /** How many were left out; a number that is not known counts as one. */
    missed: number;
    id: string;
    /** Begins to listen. @returns {Promise<RoomFacts>} */
    enter(): Promise<RoomFacts>;
    /** Does not listen any more. */
    leave(): void;
    /** Says something; who listens hears it, and nobody else. @param {Content | string} content @returns {Promise<{seq: number, at: number}>} */
    send(content: Content | string): Promise<{
        seq: number;
        at: number;
    }>;
    /** Something for the programs of those who listen. @param {any} data */
    command(data: any): Promise<any>;
    /**
     * Sets a value that everybody in the room has.
     * @param {string} key @param {any} value `null` takes it away. @param {{new?: boolean}} [options] `new`: only where there is none.
     * @returns {Promise<{changed: boolean}>}
     */
    set(key: string, value: any, { new: isNew }?: {
        new?: boolean;
    }): Promise<{
        changed: boolean;
    }>;
    #private;
}
export type Client = import("../yizhan.js").Client;
export type Subscription = import("../yizhan.js").Subscription;
export type StoredRecord = import("../yizhan.js").StoredRecord;
export type Message = import("./types.js").Message;
export type Content = import("./types.js").Content;
export type Change = import("./types.js").Change;
export type Ask = import("./people.js").Ask;
/**
 * What a chatroom says of itself.
 */
export type RoomFacts = {
    id: string;
    topic: string;
    title: string;
    about?: string | undefined;
    avatar?: string | undefined;
    announcement?: string | undefined;
    owner: string;
    admins: string[];
    role: import("./types.js").Role;
    /**
     * How many were there when it was asked.
     */
    listeners: number;
    mute_all: boolean;
    version: number;
    values: {
        key: string;
        value: any;
        by: string;
        at: number;
    }[];
};
export type RoomEvents = {
    /**
     * Messages, facts or values changed. At most once in a moment.
     */
    change: Room;
    /**
     * Somebody said something.
     */
    message: Message;
    /**
     * Something changed: a value, what the room says of itself, who may speak.
     */
    event: Change;
    /**
     * A command that somebody sent: `{from, data}`.
     */
    command: any;
    /**
     * So many were left out; −1: some, perhaps.
     */
    missed: number;
    end: import("../yizhan.js").YizhanError | undefined;
};
import { Emitter } from '../yizhan.js';
