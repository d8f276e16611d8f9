// @ts-check
/**
 * A chatroom: nobody is a member, whoever listens hears. Little is kept, and where much is said the least important is
 * left out by the server.
 *
 * @module yizhan/im/room
 */

import { Emitter } from '../yizhan.js';
import { messageId } from './outbox.js';

/** @typedef {import('../yizhan.js').Client} Client */
/** @typedef {import('../yizhan.js').Subscription} Subscription */
/** @typedef {import('../yizhan.js').StoredRecord} StoredRecord */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Content} Content */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./people.js').Ask} Ask */
/**
 * What a chatroom says of itself.
 * @typedef {object} RoomFacts
 * @property {string} id
 * @property {string} topic
 * @property {string} title
 * @property {string} [about]
 * @property {string} [avatar]
 * @property {string} [announcement]
 * @property {string} owner
 * @property {string[]} admins
 * @property {import('./types.js').Role} role
 * @property {number} listeners How many were there when it was asked.
 * @property {boolean} mute_all
 * @property {number} version
 * @property {{key: string, value: any, by: string, at: number}[]} values
 */
/**
 * @typedef {object} RoomEvents
 * @property {Room} change Messages, facts or values changed. At most once in a moment.
 * @property {Message} message Somebody said something.
 * @property {Change} event Something changed: a value, what the room says of itself, who may speak.
 * @property {any} command A command that somebody sent: `{from, data}`.
 * @property {number} missed So many were left out; −1: some, perhaps.
 * @property {import('../yizhan.js').YizhanError | undefined} end
 */

/** Messages that are here; older ones are dropped. */
const MESSAGES_MAX = 300;
/** What the server still has of what was said before. */
const BEFORE = 50;

/** @extends {Emitter<RoomEvents>} */
export class Room extends Emitter {
  #client;
  #ask;
  #read;
  /** @type {Subscription[]} */
  #subscriptions = [];
  #told = false;
  /** What it says of itself, after `enter()`. @type {RoomFacts | undefined} */
  facts;
  /** What the application keeps with it. @type {Map<string, any>} */
  values = new Map();
  /** The newest messages, oldest first. @type {Message[]} */
  messages = [];
  /** How many were left out; a number that is not known counts as one. */
  missed = 0;

  /** @param {string} id @param {Client} client @param {Ask} ask @param {(record: StoredRecord) => any} read A record's body. */
  constructor(id, client, ask, read) {
    super();
    this.id = id;
    this.#client = client;
    this.#ask = ask;
    this.#read = read;
  }

  /** Begins to listen. @returns {Promise<RoomFacts>} */
  async enter() {
    if (this.#subscriptions.length === 0) {
      const room = this.#client.subscribe(`im/r/${this.id}`, { last: BEFORE });
      const live = this.#client.subscribe(`im/r/${this.id}/live`);
      this.#subscriptions = [room, live];
      room.on('record', (record) => this.#hear(record));
      live.on('record', (record) => this.#hearLive(record));
      room.on('missed', ({ missed }) => this.#miss(missed));
      // Values may have changed while nobody listened here.
      live.on('subscribed', () => this.#loadFacts().catch(() => {}));
      live.on('missed', () => this.#loadFacts().catch(() => {}));
      room.on('end', (error) => this.emit('end', error));
      await Promise.all([room.ready, live.ready]);
    }
    return this.#loadFacts();
  }

  /** Does not listen any more. */
  leave() {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
  }

  /** Says something; who listens hears it, and nobody else. @param {Content | string} content @returns {Promise<{seq: number, at: number}>} */
  send(content) {
    const full = typeof content === 'string' ? { kind: 'text', text: content } : content;
    return this.#ask('send', { conversation: this.id, content: full, id: messageId() });
  }

  /** Something for the programs of those who listen. @param {any} data */
  command(data) {
    return this.#ask('send', { conversation: this.id, content: { kind: 'command', data } }, { once: true });
  }

  /**
   * Sets a value that everybody in the room has.
   * @param {string} key @param {any} value `null` takes it away. @param {{new?: boolean}} [options] `new`: only where there is none.
   * @returns {Promise<{changed: boolean}>}
   */
  set(key, value, { new: isNew } = {}) {
    return this.#ask('room_set', { conversation: this.id, key, value, new: isNew });
  }

  async #loadFacts() {
    const facts = await this.#ask('room', { conversation: this.id });
    this.facts = facts;
    this.values = new Map((facts.values ?? []).map((/** @type {{key: string, value: any}} */ { key, value }) => [key, value]));
    this.#tell();
    return facts;
  }

  /** @param {StoredRecord} record */
  #hear(record) {
    const content = this.#read(record);
    if (!content || record.seq === undefined) return;
    const { seq, at, from = '', device } = record;
    const message = { conversation: this.id, seq, at, from, device, content };
    this.messages = [...this.messages, message].slice(-MESSAGES_MAX);
    this.emit('message', message);
    this.#tell();
  }

  /** @param {StoredRecord} record */
  #hearLive(record) {
    const body = this.#read(record);
    if (!body) return;
    if (body.event === 'command') return this.emit('command', body);
    if (body.event === 'value') {
      if (body.value === null) this.values.delete(body.key);
      else this.values.set(body.key, body.value);
    } else this.#loadFacts().catch(() => {});
    this.emit('event', body);
    this.#tell();
  }

  /** @param {number} missed */
  #miss(missed) {
    this.missed += Math.max(1, missed);
    this.emit('missed', missed);
  }

  #tell() {
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      this.emit('change', this);
    });
  }
}
