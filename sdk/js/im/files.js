// @ts-check
/**
 * Files of conversations, up and down over HTTP.
 *
 * @module yizhan/im/files
 */

import { CODES, YizhanError } from '../yizhan.js';

/** @typedef {import('../yizhan.js').Client} Client */
/** @typedef {{sent: number, total: number}} Progress In bytes. */
/**
 * @typedef {object} UploadOptions
 * @property {(progress: Progress) => void} [onProgress]
 * @property {AbortSignal} [signal]
 * @property {string} [name] Where the file has no name of its own.
 * @property {string} [resume] A file's id, of an upload that was begun earlier.
 * @property {(id: string) => void} [onBegin] Tells the id, to resume with after a reload.
 */
/** @typedef {{file: string, name?: string, bytes?: number, type?: string} & Record<string, any>} Uploaded What the server knows of it. */

/** What one request carries, bytes: small enough that a drop costs little, large enough that round trips do not. */
const CHUNK_BYTES = 1_048_576;
/** Attempts without progress until an upload is given up. */
const ATTEMPTS_MAX = 8;
/** Pictures whose object URLs are kept. */
const PICTURES_MAX = 200;

export class Files {
  #client;
  #fetch;
  /** Object URLs of what was downloaded. @type {Map<string, Promise<string>>} */
  #pictures = new Map();

  /** @param {Client} client @param {typeof fetch} [fetcher] */
  constructor(client, fetcher) {
    this.#client = client;
    this.#fetch = fetcher ?? globalThis.fetch.bind(globalThis);
  }

  /** Where a file is. @param {string} id @param {{thumb?: boolean}} [options] */
  url(id, { thumb = false } = {}) {
    return `${this.#client.url}/im/v1/files/${encodeURIComponent(id)}${thumb ? '?thumb=1' : ''}`;
  }

  /** A file's bytes. @param {string} id @param {{thumb?: boolean, signal?: AbortSignal}} [options] @returns {Promise<Blob>} */
  async download(id, { thumb, signal } = {}) {
    const response = await this.#request(this.url(id, { thumb }), { signal });
    return response.blob();
  }

  /** The same as an object URL. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
  objectUrl(id, { thumb = false } = {}) {
    const key = `${thumb}/${id}`;
    const known = this.#pictures.get(key);
    if (known) return known;
    const url = this.download(id, { thumb }).then((blob) => URL.createObjectURL(blob));
    url.catch(() => this.#pictures.delete(key));
    this.#pictures.set(key, url);
    if (this.#pictures.size > PICTURES_MAX) this.#forgetOldest();
    return url;
  }

  #forgetOldest() {
    const [oldest] = this.#pictures;
    this.#pictures.delete(oldest[0]);
    oldest[1].then((url) => URL.revokeObjectURL(url)).catch(() => {});
  }

  /**
   * Uploads, and goes on where it was after a drop.
   * @param {Blob} file @param {UploadOptions} [options] @returns {Promise<Uploaded>}
   */
  async upload(file, { onProgress, signal, name, resume, onBegin } = {}) {
    const total = file.size;
    /** @type {{id: string, offset: number} | undefined} */
    let at = resume === undefined ? undefined : { id: resume, offset: -1 };
    let failures = 0;
    for (;;) {
      try {
        if (!at) {
          const begun = await this.#begin(file, name ?? /** @type {any} */ (file).name, signal);
          onBegin?.(begun.file);
          if (begun.complete || (total > 0 && begun.offset >= total)) return tell(begun);
          at = { id: begun.file, offset: begun.offset ?? 0 };
        }
        if (at.offset < 0) at.offset = await this.#offset(at.id, signal);
        onProgress?.({ sent: at.offset, total });
        const answer = await this.#send(at.id, at.offset, file, signal);
        failures = 0;
        at.offset = answer.offset ?? at.offset + Math.min(CHUNK_BYTES, total - at.offset);
        onProgress?.({ sent: at.offset, total });
        if (answer.complete ?? at.offset >= total) return { file: at.id, ...answer };
      } catch (error) {
        if (signal?.aborted) throw error;
        const { code, again } = /** @type {YizhanError} */ (error);
        if (at && code === 404) {
          at = undefined; // It was forgotten meanwhile.
        } else if (at && code === 409) {
          at.offset = -1; // We do not agree on where we are.
        } else if (again === 'never') throw error;
        else if (at) at.offset = -1;
        failures += 1;
        if (failures >= ATTEMPTS_MAX) throw error;
        await pause(typeof again === 'number' ? again * 1000 : 250 * 2 ** failures, signal);
      }
    }
    /** @param {Uploaded} uploaded */
    function tell(uploaded) {
      onProgress?.({ sent: total, total });
      return uploaded;
    }
  }

  /** @param {Blob} file @param {string | undefined} name @param {AbortSignal | undefined} signal */
  async #begin(file, name, signal) {
    const response = await this.#request(`${this.#client.url}/im/v1/files`, {
      method: 'POST', signal, headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name, type: file.type || undefined, bytes: file.size }),
    });
    return response.json();
  }

  /** How far the server has it. @param {string} id @param {AbortSignal | undefined} signal */
  async #offset(id, signal) {
    const response = await this.#request(this.url(id), { method: 'HEAD', signal });
    return Number(response.headers.get('Upload-Offset')) || 0;
  }

  /** @param {string} id @param {number} offset @param {Blob} file @param {AbortSignal | undefined} signal */
  async #send(id, offset, file, signal) {
    const response = await this.#request(this.url(id), {
      method: 'PATCH', signal, body: file.slice(offset, offset + CHUNK_BYTES),
      headers: { 'Upload-Offset': String(offset), 'Content-Type': 'application/octet-stream' },
    });
    return response.json();
  }

  /** @param {string} url @param {RequestInit} init @returns {Promise<Response>} */
  async #request(url, init) {
    const { authorization } = this.#client;
    const headers = { ...init.headers, ...(authorization && { Authorization: authorization }) };
    /** @type {Response} */
    let response;
    try {
      response = await this.#fetch(url, { ...init, headers, cache: init.method ? 'no-store' : 'default' });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new YizhanError(CODES.UNREACHABLE, String(error), 'soon');
    }
    if (response.ok) return response;
    const wait = Number(response.headers.get('Retry-After')) || 'soon';
    const again = response.status >= 500 || response.status === 429 ? wait : 'never';
    const told = await response.json().catch(() => undefined);
    // The status says what to do; the code only why.
    const code = [404, 409].includes(response.status) ? response.status : (told?.code ?? response.status);
    throw new YizhanError(code, told?.reason ?? `HTTP ${response.status}`, again);
  }
}

/** @param {number} ms @param {AbortSignal | undefined} signal @returns {Promise<void>} */
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
