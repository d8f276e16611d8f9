/**
 * A conversation of an {@link Im}. Until {@link open} is called it has no messages.
 * @extends {Emitter<ConversationEvents>}
 */
export class Conversation extends Emitter<ConversationEvents> {
    /** @param {string} id @param {ConversationOutside} outside */
    constructor(id: string, outside: ConversationOutside);
    id: string;
    /** What is known of it; `undefined` where I am not in it (any more). @returns {Entry | undefined} */
    get entry(): Entry | undefined;
    /** What somebody who opens it sees: messages without a hole, then those on their way. @returns {Shown[]} */
    get messages(): Shown[];
    /** What happened here besides messages, oldest first. `after` says behind which message. */
    get notices(): import("./types.js").Change[];
    /** Whether there is nothing older than the first message here. */
    get atStart(): boolean;
    /** Whether the newest message is here. Not after `load({around})`. */
    get atEnd(): boolean;
    /** Whether it was opened, and messages are here. */
    get loaded(): boolean;
    /** Who types now. */
    get typers(): string[];
    /** How far a message of mine is. @param {number} seq @returns {SendState} */
    stateOf(seq: number): SendState;
    /** How many others have a message. Only where cursors are known: at most 100 members; else see {@link receipts}. @param {number} seq */
    counts(seq: number): {
        read: number;
        delivered: number;
        others: number;
    };
    /**
     * Loads the newest messages, and keeps them up to date from now on. What a cache has is here at once.
     * @returns {Promise<void>} When the newest are here.
     */
    open(): Promise<void>;
    /** Nobody looks at it any more: it is no longer kept up to date. */
    close(): void;
    /** More messages. @param {LoadOptions} [options] @returns {Promise<void>} */
    load({ before, after, around, limit }?: LoadOptions): Promise<void>;
    /**
     * Sends a message. It is in `messages` at once, goes out when there is a connection, also after a reload, and can be
     * sent again where the server refuses it.
     * @param {Content | string} content A string is a text.
     * @param {SendOptions} [options] @returns {Promise<Message>} When the server has it safely. Need not be waited for.
     */
    send(content: Content | string, options?: SendOptions): Promise<Message>;
    /** Sends something to the programs of those who are here now. It is not kept, and not shown. @param {any} data */
    command(data: any): Promise<any>;
    /** Sends one that failed again. @param {Shown | string} message It, or its id. */
    retry(message: Shown | string): void;
    /** Gives up one that waits or failed. @param {Shown | string} message It, or its id. */
    discard(message: Shown | string): void;
    /** Answers a message. @param {number} seq @param {Content | string} content @param {SendOptions} [options] @returns {Promise<Message>} */
    reply(seq: number, content: Content | string, options?: SendOptions): Promise<Message>;
    /** Changes a message of mine. @param {number} seq @param {Content | string} content */
    edit(seq: number, content: Content | string): Promise<any>;
    /** What a message said before it was changed. @param {number} seq @returns {Promise<any>} */
    edits(seq: number): Promise<any>;
    /** Takes a message back, for everybody. @param {number} seq */
    recall(seq: number): Promise<any>;
    /** @param {number} seq @param {string} emoji @param {boolean} [on] */
    react(seq: number, emoji: string, on?: boolean): Promise<any>;
    /** @param {number} seq @param {boolean} [on] */
    pin(seq: number, on?: boolean): Promise<any>;
    /** What is pinned. @returns {Promise<Message[]>} */
    pins(): Promise<Message[]>;
    /** Removes messages for me. @param {number | number[]} seqs */
    delete(seqs: number | number[]): Promise<void>;
    /** Sends messages of this conversation to another one: one as it is, several merged. @param {number | number[]} seqs @param {string} to Its id. @param {string} [title] Of merged ones. @returns {Promise<Message>} */
    forward(seqs: number | number[], to: string, title?: string): Promise<Message>;
    /** One message, from here or from the server. @param {number} seq @returns {Promise<Message>} */
    message(seq: number): Promise<Message>;
    /** A thread's messages. @param {number} seq Its first message. @param {{before?: number, after?: number, limit?: number}} [page] @returns {Promise<{messages: Message[], at_end: boolean, next?: number}>} */
    thread(seq: number, page?: {
        before?: number;
        after?: number;
        limit?: number;
    }): Promise<{
        messages: Message[];
        at_end: boolean;
        next?: number;
    }>;
    /** Messages of some kinds, such as pictures. @param {import('./types.js').ContentKind[]} kinds @param {{before?: number, limit?: number}} [page] @returns {Promise<{messages: Message[], at_end: boolean, next?: number}>} */
    ofKind(kinds: import("./types.js").ContentKind[], page?: {
        before?: number;
        limit?: number;
    }): Promise<{
        messages: Message[];
        at_end: boolean;
        next?: number;
    }>;
    /** The files that were sent here, newest first. @param {{before?: string, limit?: number}} [page] @returns {Promise<{files: (import('./files.js').Uploaded & {name?: string, at?: number})[], next?: string}>} */
    sharedFiles(page?: {
        before?: string;
        limit?: number;
    }): Promise<{
        files: (import("./files.js").Uploaded & {
            name?: string;
            at?: number;
        })[];
        next?: string;
    }>;
    /** @param {string} text @param {Omit<import('./types.js').SearchOptions, 'text' | 'conversation'>} [options] @returns {Promise<import('./types.js').Hits>} */
    search(text: string, options?: Omit<import("./types.js").SearchOptions, "text" | "conversation">): Promise<import("./types.js").Hits>;
    /** I have read up to here, or up to the newest. Only ever goes forward; told to the server soon. @param {number} [seq] */
    markRead(seq?: number): void;
    /** Who has read, not read, or got a message. @param {number} seq @param {{which?: 'read' | 'unread' | 'delivered', after?: string, limit?: number}} [options] @returns {Promise<import('./types.js').Receipts>} */
    receipts(seq: number, options?: {
        which?: "read" | "unread" | "delivered";
        after?: string;
        limit?: number;
    }): Promise<import("./types.js").Receipts>;
    /** I type, or have stopped. Call it at each key: others are told every three seconds. @param {boolean} [on] */
    typing(on?: boolean): void;
    /** Changes what is mine about it. @param {import('./types.js').Settings} settings @returns {Promise<Entry>} */
    settings(settings: import("./types.js").Settings): Promise<Entry>;
    /** What I have begun to write, on all my devices. */
    get draft(): string;
    /** @param {string} text @returns {Promise<Entry>} */
    setDraft(text: string): Promise<Entry>;
    /** Removes its messages for me, all or up to a number. @param {number} [through] */
    clear(through?: number): Promise<void>;
    /** The entry with all facts. @returns {Promise<Entry>} */
    info(): Promise<Entry>;
    /** @param {import('./types.js').UpdateOptions} changes @returns {Promise<Entry>} */
    update(changes: import("./types.js").UpdateOptions): Promise<Entry>;
    /** One page of its members. @param {{after?: string, limit?: number, role?: Role}} [page] @returns {Promise<{members: Member[], next?: string}>} */
    members(page?: {
        after?: string;
        limit?: number;
        role?: Role;
    }): Promise<{
        members: Member[];
        next?: string;
    }>;
    /** @param {string[]} users @returns {Promise<{added: string[], invited: string[], failed: {user: string, reason: string}[]}>} */
    add(users: string[]): Promise<{
        added: string[];
        invited: string[];
        failed: {
            user: string;
            reason: string;
        }[];
    }>;
    /** @param {string[]} users @param {number} [banSeconds] They cannot come back before. */
    remove(users: string[], banSeconds?: number): Promise<any>;
    /** Who wants to join. @returns {Promise<any>} */
    requests(): Promise<any>;
    /** @param {string} user @param {boolean} accept */
    decide(user: string, accept: boolean): Promise<any>;
    leave(): Promise<any>;
    /** Makes a link to join by. @param {{expires_s?: number, uses?: number}} [options] @returns {Promise<{link: string}>} */
    link(options?: {
        expires_s?: number;
        uses?: number;
    }): Promise<{
        link: string;
    }>;
    /** No link leads here any more. */
    unlink(): Promise<any>;
    /** @param {string} user @param {'admin' | 'member'} role */
    setRole(user: string, role: "admin" | "member"): Promise<any>;
    /** Makes somebody else its owner. @param {string} user */
    transfer(user: string): Promise<any>;
    /** Ends it for everybody. */
    dismiss(): Promise<any>;
    /** Somebody may not speak for a while. @param {string} user @param {number} seconds 0: may speak again. */
    mute(user: string, seconds: number): Promise<any>;
    /** @param {string} user @param {number} [seconds] */
    ban(user: string, seconds?: number): Promise<any>;
    /** @param {string} user */
    unban(user: string): Promise<any>;
    /** Who is banned. @returns {Promise<any>} */
    banned(): Promise<any>;
    /** Somebody may speak though all are muted. @param {string} user @param {boolean} [on] */
    allow(user: string, on?: boolean): Promise<any>;
    /** A member's nickname and attributes; without `user`: mine. @param {{user?: string, nick?: string, attributes?: Record<string, any>}} facts */
    setMember(facts: {
        user?: string;
        nick?: string;
        attributes?: Record<string, any>;
    }): Promise<any>;
    /** A message came. @internal @param {Message} message @param {boolean} [provisional] */
    take(message: Message, provisional?: boolean): void;
    /** Something changed. @internal @param {Change} change */
    change(change: Change): void;
    /** Something that is not kept. @internal @param {Change} change */
    live(change: Change): void;
    /** The entry changed. @internal */
    entryChanged(): void;
    /** What waits to be sent changed. @internal */
    outboxChanged(): void;
    /** Something may have been missed. @internal @returns {Promise<void> | undefined} */
    catchUp(): Promise<void> | undefined;
    /** The server says that there is more. @internal */
    more(): void;
    /** @internal @param {number} count */
    save(count: number): import("./window.js").SavedWindow | undefined;
    /** @internal @param {import('./window.js').SavedWindow} saved */
    restore(saved: import("./window.js").SavedWindow): void;
    /** @internal */
    stop(): void;
    #private;
}
export type Entry = import("./types.js").Entry;
export type Message = import("./types.js").Message;
export type Content = import("./types.js").Content;
export type Change = import("./types.js").Change;
export type Member = import("./types.js").Member;
export type Role = import("./types.js").Role;
export type SendOptions = import("./outbox.js").SendOptions;
export type Outbox = import("./outbox.js").Outbox;
export type Conversations = import("./entries.js").Conversations;
export type Ask = import("./people.js").Ask;
/**
 * How far a message of mine is. `delivered` and `read`: to everybody else there.
 */
export type SendState = "pending" | "failed" | "sent" | "delivered" | "read";
/**
 * A message as it is shown.
 */
export type Showing = {
    /**
     * The same for a message as long as it is here, also while it is sent.
     */
    key: string;
    mine: boolean;
    /**
     * Of mine only. Those that are `pending` or `failed` have `seq` 0.
     */
    state?: SendState | undefined;
    /**
     * While its file is uploaded.
     */
    progress?: import("./files.js").Progress | undefined;
    /**
     * While it is uploaded, to show it.
     */
    file?: Blob | undefined;
    /**
     * Why it failed.
     */
    error?: import("../yizhan.js").YizhanError | undefined;
};
export type Shown = Message & Showing;
export type LoadOptions = {
    /**
     * Older ones: before the first that is here, or before a number.
     */
    before?: number | boolean | undefined;
    /**
     * Newer ones, where the newest are not here.
     */
    after?: boolean | undefined;
    /**
     * Instead of what is here: what is around a number. Newer and older ones can be loaded then.
     */
    around?: number | undefined;
    /**
     * How many. Default 50.
     */
    limit?: number | undefined;
};
export type ConversationEvents = {
    /**
     * Messages, entry, or states changed. At most once in a moment.
     */
    change: Conversation;
    /**
     * Who types now.
     */
    typing: string[];
    /**
     * Something changed here that a timeline may show.
     */
    event: Change;
    /**
     * A command that somebody sent: `{from, data}`.
     */
    command: any;
};
/**
 * What a conversation needs.
 */
export type ConversationOutside = {
    ask: Ask;
    entries: Conversations;
    outbox: Outbox;
    me: () => string | undefined;
    /**
     * Tells the server how far I have read, soon.
     */
    read: (id: string, seq: number) => void;
    /**
     * The window changed.
     */
    save: (id: string) => void;
};
import { Emitter } from '../yizhan.js';
