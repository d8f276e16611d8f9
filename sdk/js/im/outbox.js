// @ts-check
/**
 * Messages on their way: in order within a conversation, again after a drop or a reload, each with an id of its own so
 * that the server takes it once.
 *
 * @module yizhan/im/outbox
 */

import { CODES, YizhanError } from '../yizhan.js';

/** @typedef {import('./types.js').Content} Content */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./files.js').Progress} Progress */
/**
 * What is kept of a message until the server has it.
 * @typedef {object} OutgoingRow
 * @property {string} id
 * @property {string} conversation
 * @property {Content} content
 * @property {number} at When it was written.
 * @property {number} n Orders those of one moment.
 * @property {Blob} [file] To be uploaded first.
 * @property {string} [name] The file's.
 * @property {string} [upload] Under which id the upload was begun.
 * @property {string} tab Which tab sends it.
 * @property {{code: number, reason: string}} [failed] Why the server does not take it.
 */
/**
 * @typedef {object} Outgoing
 * @property {OutgoingRow} row
 * @property {'pending' | 'failed'} state
 * @property {Progress} [progress] Of its file.
 * @property {YizhanError} [error] Why it failed.
 */
/**
 * @typedef {object} SendOptions
 * @property {Blob} [file] Uploaded first; the content's `file` is its id then.
 * @property {string} [name] The file's name, where it has none.
 * @property {(progress: Progress) => void} [onProgress]
 * @property {string} [id] The message's own id; made up where it is left out.
 */
/**
 * What the outbox needs.
 * @typedef {object} OutboxOutside
 * @property {(row: OutgoingRow) => Promise<{seq: number, at: number}>} send
 * @property {(file: Blob, options: import('./files.js').UploadOptions) => Promise<import('./files.js').Uploaded>} upload
 * @property {(id: string, row: OutgoingRow | undefined) => void} save
 * @property {(conversation: string) => void} changed
 * @property {(message: Message) => void} sent
 * @property {() => boolean} isOpen Whether there is a connection.
 * @property {() => string | undefined} me
 * @property {() => number} time The server's, ms.
 */
/**
 * @typedef {Outgoing & {onProgress?: (progress: Progress) => void, abort: AbortController,
 *   resolve: (message: Message) => void, reject: (error: unknown) => void, promise: Promise<Message>}} Held
 */

/** Between attempts where the server is there but says "later", ms. */
const PAUSE_FIRST = 500;
const PAUSE_MAX = 30_000;

export class Outbox {
  #outside;
  #tab;
  /** @type {Map<string, Held>} */
  #held = new Map();
  /** Conversations whose messages are being sent. @type {Set<string>} */
  #running = new Set();
  /** @type {Set<ReturnType<typeof setTimeout>>} */
  #timers = new Set();
  #n = 0;
  #stopped = false;

  /** @param {OutboxOutside} outside @param {string} tab */
  constructor(outside, tab) {
    this.#outside = outside;
    this.#tab = tab;
  }

  /** How many wait, those that failed left out. */
  get waiting() {
    return [...this.#held.values()].filter(({ state }) => state === 'pending').length;
  }

  /** What waits or failed in a conversation, in order. @param {string} conversation @returns {Outgoing[]} */
  of(conversation) {
    return [...this.#held.values()].filter(({ row }) => row.conversation === conversation).sort((a, b) => a.row.at - b.row.at || a.row.n - b.row.n);
  }

  /** @param {string} conversation @param {Content} content @param {SendOptions} options @returns {Promise<Message>} When the server has it on disk. */
  add(conversation, content, { file, name, onProgress, id = content.id ?? messageId() }) {
    const known = this.#held.get(id);
    if (known) return known.promise;
    const { name: fileName = name } = /** @type {{name?: string}} */ (file ?? {});
    const held = this.#hold({
      id, conversation, content: { ...content, id }, at: this.#outside.time(), n: (this.#n += 1), file, name: fileName, tab: this.#tab,
    });
    held.onProgress = onProgress;
    this.#outside.save(id, held.row);
    this.#outside.changed(conversation);
    this.#run(conversation);
    return held.promise;
  }

  /** What an earlier page or another tab left. @param {OutgoingRow[]} rows */
  restore(rows) {
    for (const row of rows) {
      if (this.#held.has(row.id)) continue;
      const held = this.#hold({ ...row, tab: this.#tab });
      if (row.failed) Object.assign(held, { state: 'failed', error: new YizhanError(row.failed.code, row.failed.reason) });
      this.#outside.save(row.id, held.row);
      this.#outside.changed(row.conversation);
    }
    this.wake();
  }

  /** Saves all that was written before there was a place to save it. */
  save() {
    for (const { row } of this.#held.values()) this.#outside.save(row.id, row);
  }

  /** Goes on, where there is a connection again. */
  wake() {
    for (const { row } of this.#held.values()) this.#run(row.conversation);
  }

  /** Tries one that failed once more. @param {string} id */
  retry(id) {
    const held = this.#held.get(id);
    if (held?.state !== 'failed') return;
    Object.assign(held, { state: 'pending', error: undefined, abort: new AbortController() });
    delete held.row.failed;
    this.#outside.save(id, held.row);
    this.#outside.changed(held.row.conversation);
    this.#run(held.row.conversation);
  }

  /** Gives one up. What is on its way already may still arrive. @param {string} id */
  discard(id) {
    const held = this.#held.get(id);
    if (!held) return;
    held.abort.abort();
    this.#drop(held);
    held.reject(new YizhanError(CODES.CLOSED, 'the message was discarded'));
  }

  /** The server has it: it came back to us. @param {Message} message */
  settle(message) {
    const held = this.#held.get(message.content?.id ?? '');
    if (held?.row.conversation !== message.conversation) return;
    this.#drop(held);
    held.resolve(message);
  }

  stop() {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const held of this.#held.values()) held.abort.abort();
  }

  /** @param {OutgoingRow} row @returns {Held} */
  #hold(row) {
    /** @type {(message: Message) => void} */
    let resolve = () => {};
    /** @type {(error: unknown) => void} */
    let reject = () => {};
    const promise = new Promise((/** @type {(message: Message) => void} */ yes, no) => {
      resolve = yes;
      reject = no;
    });
    promise.catch(() => {});
    /** @type {Held} */
    const held = { row, state: 'pending', abort: new AbortController(), resolve, reject, promise };
    this.#held.set(row.id, held);
    return held;
  }

  /** @param {Held} held */
  #drop(held) {
    if (!this.#held.delete(held.row.id)) return;
    this.#outside.save(held.row.id, undefined);
    this.#outside.changed(held.row.conversation);
  }

  /** Sends what waits in a conversation, one after the other. @param {string} conversation */
  async #run(conversation) {
    if (this.#running.has(conversation)) return;
    this.#running.add(conversation);
    let failures = 0;
    while (!this.#stopped && this.#outside.isOpen()) {
      const held = /** @type {Held | undefined} */ (this.of(conversation).find(({ state }) => state === 'pending'));
      if (!held) break;
      try {
        await this.#send(held);
        failures = 0;
      } catch (error) {
        const again = error instanceof YizhanError ? error.again : 'never';
        if (!this.#held.has(held.row.id)) continue;
        if (again === 'never') this.#fail(held, error);
        else await this.#pause(typeof again === 'number' ? again * 1000 : Math.min(PAUSE_FIRST * 2 ** failures, PAUSE_MAX));
        failures += 1;
      }
    }
    this.#running.delete(conversation);
  }

  /** @param {Held} held */
  async #send(held) {
    const { row } = held;
    if (row.file && !row.content.file) {
      const uploaded = await this.#outside.upload(row.file, {
        name: row.name, conversation: row.conversation, resume: row.upload, signal: held.abort.signal,
        onBegin: (id) => {
          row.upload = id;
          this.#outside.save(row.id, row);
        },
        onProgress: (progress) => {
          held.progress = progress;
          held.onProgress?.(progress);
          this.#outside.changed(row.conversation);
        },
      });
      row.content = { ...row.content, file: uploaded.file, name: row.content.name ?? row.name };
      this.#outside.save(row.id, row);
    }
    const { seq, at } = await this.#outside.send(row);
    const message = { conversation: row.conversation, seq, at, from: this.#outside.me() ?? '', content: row.content };
    // First the message, then out with what waited: it is never seen to be gone.
    this.#outside.sent(message);
    this.#drop(held);
    held.resolve(message);
  }

  /** @param {Held} held @param {unknown} error */
  #fail(held, error) {
    const why = error instanceof YizhanError ? error : new YizhanError(CODES.CLOSED, String(error));
    Object.assign(held, { state: 'failed', error: why, progress: undefined });
    held.row.failed = { code: why.code, reason: why.reason };
    this.#outside.save(held.row.id, held.row);
    this.#outside.changed(held.row.conversation);
    held.reject(why);
  }

  /** @param {number} ms @returns {Promise<void>} */
  #pause(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        resolve();
      }, ms);
      this.#timers.add(timer);
    });
  }
}

/** A message's id that nobody else has. */
export function messageId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Date.now().toString(36) + Array.from(bytes, (byte) => byte.toString(36).padStart(2, '0')).join('');
}
