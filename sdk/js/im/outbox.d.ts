/** A message's id that nobody else has. */
export function messageId(): string;
export class Outbox {
    /** @param {OutboxOutside} outside @param {string} tab */
    constructor(outside: OutboxOutside, tab: string);
    /** How many wait, those that failed left out. */
    get waiting(): number;
    /** What waits or failed in a conversation, in order. @param {string} conversation @returns {Outgoing[]} */
    of(conversation: string): Outgoing[];
    /** @param {string} conversation @param {Content} content @param {SendOptions} options @returns {Promise<Message>} When the server has it on disk. */
    add(conversation: string, content: Content, { file, name, onProgress, id }: SendOptions): Promise<Message>;
    /** What an earlier page or another tab left. @param {OutgoingRow[]} rows */
    restore(rows: OutgoingRow[]): void;
    /** Saves all that was written before there was a place to save it. */
    save(): void;
    /** Goes on, where there is a connection again. */
    wake(): void;
    /** Tries one that failed once more. @param {string} id */
    retry(id: string): void;
    /** Gives one up. What is on its way already may still arrive. @param {string} id */
    discard(id: string): void;
    /** The server has it: it came back to us. @param {Message} message */
    settle(message: Message): void;
    stop(): void;
    #private;
}
export type Content = import("./types.js").Content;
export type Message = import("./types.js").Message;
export type Progress = import("./files.js").Progress;
/**
 * What is kept of a message until the server has it.
 */
export type OutgoingRow = {
    id: string;
    conversation: string;
    content: Content;
    /**
     * When it was written.
     */
    at: number;
    /**
     * Orders those of one moment.
     */
    n: number;
    /**
     * To be uploaded first.
     */
    file?: Blob | undefined;
    /**
     * The file's.
     */
    name?: string | undefined;
    /**
     * Under which id the upload was begun.
     */
    upload?: string | undefined;
    /**
     * Which tab sends it.
     */
    tab: string;
    /**
     * Why the server does not take it.
     */
    failed?: {
        code: number;
        reason: string;
    } | undefined;
};
export type Outgoing = {
    row: OutgoingRow;
    state: "pending" | "failed";
    /**
     * Of its file.
     */
    progress?: import("./files.js").Progress | undefined;
    /**
     * Why it failed.
     */
    error?: YizhanError | undefined;
};
export type SendOptions = {
    /**
     * Uploaded first; the content's `file` is its id then.
     */
    file?: Blob | undefined;
    /**
     * The file's name, where it has none.
     */
    name?: string | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
    /**
     * The message's own id; made up where it is left out.
     */
    id?: string | undefined;
};
/**
 * What the outbox needs.
 */
export type OutboxOutside = {
    send: (row: OutgoingRow) => Promise<{
        seq: number;
        at: number;
    }>;
    upload: (file: Blob, options: import("./files.js").UploadOptions) => Promise<import("./files.js").Uploaded>;
    save: (id: string, row: OutgoingRow | undefined) => void;
    changed: (conversation: string) => void;
    sent: (message: Message) => void;
    /**
     * Whether there is a connection.
     */
    isOpen: () => boolean;
    me: () => string | undefined;
    /**
     * The server's, ms.
     */
    time: () => number;
};
export type Held = Outgoing & {
    onProgress?: (progress: Progress) => void;
    abort: AbortController;
    resolve: (message: Message) => void;
    reject: (error: unknown) => void;
    promise: Promise<Message>;
};
import { YizhanError } from '../yizhan.js';
