export class Files {
    /** @param {Client} client @param {typeof fetch} [fetcher] */
    constructor(client: Client, fetcher?: typeof fetch);
    /** Where a file is. @param {string} id @param {{thumb?: boolean}} [options] */
    url(id: string, { thumb }?: {
        thumb?: boolean;
    }): string;
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
    upload(file: Blob, { onProgress, signal, name, resume, onBegin }?: UploadOptions): Promise<Uploaded>;
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
};
/**
 * What the server knows of it.
 */
export type Uploaded = {
    file: string;
    name?: string;
    bytes?: number;
    type?: string;
} & Record<string, any>;
