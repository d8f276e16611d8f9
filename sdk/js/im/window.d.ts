/** A message after a change; the same one where it says nothing about it. @param {Message} message @param {Change} change @param {string | undefined} me @returns {Message} */
export function changeMessage(message: Message, change: Change, me: string | undefined): Message;
export class Window {
    /** The first number it knows about; `high + 1` where it knows none. */
    low: number;
    /** The last one. */
    high: number;
    /** How many of the conversation's changes were applied. */
    changed: number;
    /** Whether there is nothing before `low`. */
    atStart: boolean;
    /** Whether something was loaded. */
    loaded: boolean;
    /** Counts how often it was begun anew: a page that was asked for before then does not belong to it. */
    round: number;
    /** The messages, oldest first. */
    get messages(): import("./types.js").Message[];
    /** Whether a message came without the one before it. */
    get hasHole(): boolean;
    /** Numbers of own messages that were only seen as they were sent. */
    get provisional(): number[];
    /** @param {number} seq */
    get(seq: number): import("./types.js").Message | undefined;
    /** Forgets everything. */
    clear(): void;
    /**
     * Begins anew with one page. All numbers from its first to `high` are known then.
     * @param {Message[]} messages @param {number} high @param {boolean} atStart @param {number} changed
     */
    begin(messages: Message[], high: number, atStart: boolean, changed: number): void;
    /** A page from before `low`. @param {Message[]} messages @param {boolean} atStart @param {number} [from] Where it begins, where that is further back. */
    prepend(messages: Message[], atStart: boolean, from?: number): void;
    /**
     * A page from after `high`. @param {Message[]} messages
     * @param {number} through Where the server has nothing more: what it surely knew of. Else 0.
     */
    append(messages: Message[], through: number): void;
    /**
     * One message as it came. @param {Message} message
     * @param {boolean} [provisional] It is ours, as we sent it.
     * @returns {boolean} Whether anything to be seen changed.
     */
    add(message: Message, provisional?: boolean): boolean;
    /** What the server says of a message that is here. @param {Message} message */
    replace(message: Message): boolean;
    /** @param {number[]} seqs @returns {boolean} Whether one was here. */
    remove(seqs: number[]): boolean;
    /** All up to `through` are gone for me. @param {number} through */
    removeThrough(through: number): void;
    /** Applies a change to the message that it is about. @param {Change} change @param {string | undefined} me */
    apply(change: Change, me: string | undefined): boolean;
    /** @param {number} count How many of the newest to keep. @returns {SavedWindow | undefined} */
    save(count: number): SavedWindow | undefined;
    /** @param {SavedWindow} saved */
    restore({ low, high, changed, messages, atStart, provisional }: SavedWindow): void;
    #private;
}
export type Message = import("./types.js").Message;
export type Change = import("./types.js").Change;
export type Reaction = import("./types.js").Reaction;
/**
 * A window as it is kept between two visits.
 */
export type SavedWindow = {
    low: number;
    high: number;
    changed: number;
    messages: Message[];
    atStart: boolean;
    provisional: number[];
};
