export class Files {
    /** @param {Client} client @param {typeof fetch} [fetcher] */
    constructor(client: Client, fetcher?: typeof fetch);
    /** Where a file is. @param {string} id @param {{thumb?: boolean}} [options] */
    url(id: string, { thumb }?: {
        thumb?: boolean;
    }): string;
    /** The same with a key in it, good for an hour, for what cannot show an `Authorization`: a player, a link. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
    signedUrl(id: string, { thumb }?: {
        thumb?: boolean;
    }): Promise<string>;
    /** A file's bytes. @param {string} id @param {{thumb?: boolean, signal?: AbortSignal}} [options] @returns {Promise<Blob>} */
    download(id: string, { thumb, signal }?: {
        thumb?: boolean;
        signal?: AbortSignal;
    }): Promise<Blob>;
    /** The same as an object URL. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
    objectUrl(id: string, { thumb }?: {
        thumb?: boolean;
    }): Promise<string>;
    /**
     * Uploads, and goes on where it was after a drop.
     * @param {Blob} file @param {UploadOptions} [options] @returns {Promise<Uploaded>}
     */
    upload(file: Blob, options?: UploadOptions): Promise<Uploaded>;
    #private;
}
export type Client = import("../yizhan.js").Client;
/**
 * In bytes.
 */
export type Progress = {
    sent: number;
    total: number;
};
export type UploadOptions = {
    onProgress?: ((progress: Progress) => void) | undefined;
    signal?: AbortSignal | undefined;
    /**
     * Where the file has no name of its own.
     */
    name?: string | undefined;
    /**
     * A file's id, of an upload that was begun earlier.
     */
    resume?: string | undefined;
    /**
     * Tells the id, to resume with after a reload.
     */
    onBegin?: ((id: string) => void) | undefined;
    /**
     * Whose members may read it. Otherwise those of the conversation where it is sent.
     */
    conversation?: string | undefined;
    /**
     * Everybody who is signed in may read it, as for avatars.
     */
    public?: boolean | undefined;
};
/**
 * What the server has found out about a file.
 */
export type Uploaded = {
    /**
     * Its id.
     */
    file: string;
    bytes: number;
    /**
     * Its media type, by what is in it.
     */
    type: string;
    kind: "image" | "video" | "audio" | "other";
    width?: number | undefined;
    height?: number | undefined;
    /**
     * There is a small picture of it.
     */
    thumb?: boolean | undefined;
    blur?: string | undefined;
    duration_ms?: number | undefined;
    waveform?: number[] | undefined;
};
