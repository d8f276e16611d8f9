/** What of a conversation should ring at this time. @param {Entry} entry @param {number} now @returns {import('./types.js').Notify} */
export function notifyOf({ notify, notify_until: until }: Entry, now: number): import("./types.js").Notify;
/** Whether a message speaks to somebody by name, or to all. @param {Message} message @param {string | undefined} me */
export function isMentioned({ content }: Message, me: string | undefined): boolean;
/**
 * All conversations of mine, pinned ones first, then the newest activity first.
 * @extends {Emitter<ConversationsEvents>}
 */
export class Conversations extends Emitter<ConversationsEvents> {
    /** @param {(id: string) => void} refresh Asks the server for an entry. @param {() => number} time The server's, ms. */
    constructor(refresh: (id: string) => void, time: () => number);
    /** Whether the server's whole list has been read, this time or before. */
    complete: boolean;
    /** All entries in order; hidden ones are left out. @returns {Entry[]} */
    get all(): Entry[];
    /** How many there are, without hidden ones. */
    get length(): number;
    /** One of them, hidden ones too. @param {string} id */
    get(id: string): import("./types.js").Entry | undefined;
    /** The direct conversation with somebody, where there is one. @param {string} user */
    with(user: string): import("./types.js").Entry | undefined;
    /** Unread messages and mentions in all; of muted conversations only mentions count. */
    get unread(): {
        unread: number;
        mentions: number;
    };
    /** @internal @param {string} me */
    setMe(me: string): void;
    /** Hidden ones too. @internal */
    ids(): string[];
    /** A snapshot by the server. @internal @param {Entry} entry */
    take(entry: Entry): void;
    /** @internal @param {string} id */
    remove(id: string): void;
    /** A message came. @internal @param {Message} message @returns {boolean} Whether it is new to the list. */
    add(message: Message): boolean;
    /** Something changed in a conversation. @internal @param {string} id @param {Change} change */
    apply(id: string, change: Change): void;
    /** How far others are. @internal @param {string} id @param {Cursor[]} cursors */
    moveCursors(id: string, cursors: Cursor[]): void;
    /**
     * I have read up to here. @internal @param {string} id @param {number} seq
     * @returns {boolean} Whether this is further than before.
     */
    moveRead(id: string, seq: number): boolean;
    /** Something of mine about it, until the server says the same. @internal @param {string} id @param {Partial<Entry>} part */
    patch(id: string, part: Partial<Entry>): void;
    /** @returns {IterableIterator<Entry>} */
    [Symbol.iterator](): IterableIterator<Entry>;
    #private;
}
export type Entry = import("./types.js").Entry;
export type Message = import("./types.js").Message;
export type Change = import("./types.js").Change;
export type Cursor = import("./types.js").Cursor;
/**
 * A message that a snapshot may not know yet.
 */
export type Seen = {
    seq: number;
    counts: boolean;
    mentions: boolean;
};
export type ConversationsEvents = {
    /**
     * Which ones are new, different or gone. At most once in a moment.
     */
    change: {
        ids: string[];
    };
};
import { Emitter } from '../yizhan.js';
