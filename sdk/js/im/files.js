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
 * @property {string} [conversation] Whose members may read it. Otherwise those of the conversation where it is sent.
 * @property {boolean} [public] Everybody who is signed in may read it, as for avatars.
 */
/**
 * What the server has found out about a file.
 * @typedef {object} Uploaded
 * @property {string} file Its id.
 * @property {number} bytes
 * @property {string} type Its media type, by what is in it.
 * @property {'image' | 'video' | 'audio' | 'other'} kind
 * @property {number} [width]
 * @property {number} [height]
 * @property {boolean} [thumb] There is a small picture of it.
 * @property {string} [blur]
 * @property {number} [duration_ms]
 * @property {number[]} [waveform]
 */

/** Up to here a file goes in one request. */
const SMALL_BYTES = 262_144;
/** What one request carries otherwise, bytes: small enough that a drop costs little, large enough that round trips do not. */
const CHUNK_BYTES = 1_048_576;
/** Attempts without progress until an upload is given up. */
const ATTEMPTS_MAX = 8;
/** Between them, at most, ms. */
const PAUSE_MAX = 10_000;
/** A request that takes longer has got lost, ms. */
const REQUEST_MAX = 120_000;
/** A key is renewed when it lasts no longer than this, ms. */
const KEY_SPARE = 300_000;
/** Pictures whose object URLs are kept. */
const PICTURES_MAX = 200;

export class Files {
  #client;
  #fetch;
  /** Object URLs of what was downloaded. @type {Map<string, Promise<string>>} */
  #pictures = new Map();
  /** @type {Map<string, {key: string, expires_at: number}>} */
  #keys = new Map();

  /** @param {Client} client @param {typeof fetch} [fetcher] */
  constructor(client, fetcher) {
    this.#client = client;
    this.#fetch = fetcher ?? globalThis.fetch.bind(globalThis);
  }

  /** Where a file is. @param {string} id @param {{thumb?: boolean}} [options] */
  url(id, { thumb = false } = {}) {
    return `${this.#client.url}/im/v1/files/${encodeURIComponent(id)}${thumb ? '/thumb' : ''}`;
  }

  /** The same with a key in it, good for an hour, for what cannot show an `Authorization`: a player, a link. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
  async signedUrl(id, { thumb = false } = {}) {
    const known = this.#keys.get(id);
    if (known && known.expires_at - KEY_SPARE > this.#client.serverTime()) return `${this.url(id, { thumb })}?key=${encodeURIComponent(known.key)}`;
    const response = await this.#request(`${this.#client.url}/im/v1/file_key`, {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ file: id }),
    });
    this.#keys.set(id, await response.json());
    return this.signedUrl(id, { thumb });
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
  async upload(file, options = {}) {
    const { onProgress, signal, resume } = options;
    const total = file.size;
    /** @type {{id: string, offset: number | undefined} | undefined} */
    let at = resume === undefined ? undefined : { id: resume, offset: undefined };
    let failures = 0;
    for (;;) {
      try {
        onProgress?.({ sent: at?.offset ?? 0, total });
        const answer = at === undefined && total <= SMALL_BYTES ? await this.#sendAll(file, options) : await this.#sendPart(file, (at ??= await this.#begin(file, options)), signal);
        failures = 0;
        if (at) at.offset = answer.offset;
        if (!answer.complete) continue;
        onProgress?.({ sent: total, total });
        const { complete, offset, ...uploaded } = answer;
        return uploaded;
      } catch (error) {
        const { code, again } = /** @type {YizhanError} */ (error);
        if (signal?.aborted || (again === 'never' && !(at && [404, 409].includes(code)))) throw error;
        if (code === 404) at = undefined; // It was forgotten meanwhile.
        else if (at) at.offset = undefined; // How much arrived is for the server to say.
        failures += 1;
        if (failures >= ATTEMPTS_MAX) throw new YizhanError(code, String(/** @type {Error} */ (error).message), 'soon');
        await pause(typeof again === 'number' ? again * 1000 : Math.min(250 * 2 ** failures, PAUSE_MAX), signal);
      }
    }
  }

  /** @param {Blob} file @param {UploadOptions} options */
  async #begin(file, { name, conversation, public: isPublic, signal, onBegin }) {
    const response = await this.#request(`${this.#client.url}/im/v1/files`, {
      method: 'POST', signal, headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ name: nameOf(file, name), bytes: file.size, conversation, public: isPublic || undefined }),
    });
    const begun = await response.json();
    onBegin?.(begun.file);
    return { id: String(begun.file), offset: Number(begun.offset) || 0 };
  }

  /** A small file in one request. @param {Blob} file @param {UploadOptions} options */
  async #sendAll(file, { name, conversation, public: isPublic, signal }) {
    const query = new URLSearchParams({ name: nameOf(file, name) });
    if (conversation !== undefined) query.set('conversation', conversation);
    if (isPublic) query.set('public', 'true');
    const response = await this.#request(`${this.#client.url}/im/v1/files?${query}`, { method: 'PUT', signal, body: file });
    return { ...(await response.json()), complete: true };
  }

  /** @param {Blob} file @param {{id: string, offset: number | undefined}} at @param {AbortSignal | undefined} signal */
  async #sendPart(file, at, signal) {
    const offset = at.offset ?? (at.offset = await this.#offset(at.id, signal));
    const response = await this.#request(this.url(at.id), {
      method: 'PATCH', signal, body: file.slice(offset, offset + CHUNK_BYTES),
      headers: { 'Upload-Offset': String(offset), 'Content-Type': 'application/octet-stream' },
    });
    return response.json();
  }

  /** How far the server has it. @param {string} id @param {AbortSignal | undefined} signal */
  async #offset(id, signal) {
    const response = await this.#request(this.url(id), { method: 'HEAD', signal });
    return Number(response.headers.get('Upload-Offset')) || 0;
  }

  /** @param {string} url @param {RequestInit} init @returns {Promise<Response>} */
  async #request(url, init) {
    const { authorization } = this.#client;
    const headers = { ...init.headers, ...(authorization && { Authorization: authorization }) };
    const abort = new AbortController();
    const stop = () => abort.abort(init.signal?.reason);
    const timer = setTimeout(() => abort.abort(), REQUEST_MAX);
    init.signal?.addEventListener('abort', stop);
    /** @type {Response} */
    let response;
    try {
      init.signal?.throwIfAborted();
      response = await this.#fetch(url, { ...init, headers, signal: abort.signal, cache: init.method ? 'no-store' : 'default' });
    } catch (error) {
      if (init.signal?.aborted) throw init.signal.reason;
      throw new YizhanError(CODES.UNREACHABLE, String(error), 'soon');
    } finally {
      clearTimeout(timer);
      if (init.method) init.signal?.removeEventListener('abort', stop); // A download goes on with its body.
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

/** @param {Blob} file @param {string | undefined} name */
const nameOf = (file, name) => name ?? /** @type {{name?: string}} */ (file).name ?? 'file';

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
