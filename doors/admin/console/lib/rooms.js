// The rooms that this page knows, with what of them is loaded.

import { Cell } from './cell.js';
import { byName } from './format.js';
import { ABOUT, messageOf } from './messages.js';

/** Messages of one room held in memory and on the page; who scrolls further back is sent to the topic explorer. */
export const MESSAGES_MAX = 2000;
/** Messages kept of a room that is not open. */
const REST_MAX = 60;
/** Rooms that are followed. */
export const ROOMS_MAX = 500;

/** @typedef {import('./messages.js').Message} Message */
/** @typedef {import('./line.js').LineRecord} LineRecord */

export class Room {
  /** The newest number there is. */
  newestSeq = 0;
  /** The number up to which this user has read; `null` where nobody has said. @type {number | null} */
  readSeq = null;
  /** Unread messages of a room that keeps nothing, counted here. */
  unnumberedUnread = 0;
  /** Whether the newest messages are loaded, without holes from there on. */
  loaded = false;
  /** Whether there are older ones than those loaded. */
  more = false;
  /** Whether the server keeps what is said here. */
  kept = true;
  /** @type {Message[]} */ messages = [];
  /** @type {Message | null} */ newest = null;
  purpose = '';
  draft = '';
  /** Told at each change. */
  changes = new Cell(0);

  /**
   * @param {string} name
   * @param {string} topic
   */
  constructor(name, topic) {
    this.name = name;
    this.topic = topic;
  }

  get unread() {
    if (!this.kept) return this.unnumberedUnread;
    return Math.max(0, this.newestSeq - (this.readSeq ?? 0));
  }

  get oldestLoaded() {
    return this.messages[0]?.seq ?? null;
  }

  get newestLoaded() {
    return this.messages.at(-1)?.seq ?? null;
  }

  /**
   * Takes in a record, once.
   * @param {LineRecord} record
   * @returns {{message: Message, fresh: boolean, hole: {after: number, before: number} | null}} `fresh`: it was not here yet; `hole`: numbers that are missing before it
   */
  take(record) {
    const message = messageOf(record);
    if (record.key === ABOUT && record.data && typeof record.data === 'object')
      this.purpose = String(/** @type {{purpose?: unknown}} */ (record.data).purpose ?? '');
    if (message.seq === null) this.kept = false;
    const last = this.newestLoaded;
    const hole =
      this.loaded && message.seq !== null && last !== null && message.seq > last + 1
        ? { after: last, before: message.seq }
        : null;
    if (message.seq !== null) this.newestSeq = Math.max(this.newestSeq, message.seq);
    if (!this.newest || message.at >= this.newest.at || (message.seq ?? 0) > (this.newest.seq ?? 0))
      this.newest = message;
    // A state record may be older than what is loaded; its place is on a page that was not turned to yet.
    const before = this.more && message.seq !== null && message.seq < (this.oldestLoaded ?? 0);
    const fresh = before ? false : this.loaded || !this.kept ? this.insert([message]) > 0 : true;
    this.changes.touch();
    return { message, fresh, hole };
  }

  /**
   * Puts messages in their places, each once.
   * @param {Message[]} list
   * @returns {number} how many were new
   */
  insert(list) {
    const [only] = list;
    const newest = this.messages.at(-1);
    if (list.length === 1 && only && only.seq !== null && newest && newest.seq !== null && only.seq > newest.seq) {
      this.messages.push(only);
      if (this.messages.length > MESSAGES_MAX + REST_MAX) {
        this.messages.splice(0, REST_MAX);
        this.more = true;
      }
      return 1;
    }
    const here = new Set(this.messages.map(({ id }) => id));
    const fresh = list.filter(({ id }) => !here.has(id) && here.add(id));
    if (fresh.length === 0) return 0;
    this.messages.push(...fresh);
    if (this.kept) this.messages.sort((a, b) => (a.seq ?? Infinity) - (b.seq ?? Infinity) || a.at - b.at);
    else this.messages.splice(0, this.messages.length - MESSAGES_MAX);
    return fresh.length;
  }

  /** Lets go of what a closed room does not need. */
  rest() {
    if (this.messages.length <= REST_MAX) return;
    this.messages = this.messages.slice(-REST_MAX);
    if (this.kept) this.more = true;
  }
}

/** All rooms by name. */
export const rooms = new Cell(/** @type {Map<string, Room>} */ (new Map()));

/** Unread messages in all rooms. */
export function unreadInAll() {
  let sum = 0;
  for (const room of rooms.value.values()) sum += room.unread;
  return sum;
}

/** Rooms as the list shows them: where something was said last comes first. */
export function inOrder() {
  return [...rooms.value.values()].sort((a, b) => (b.newest?.at ?? 0) - (a.newest?.at ?? 0) || byName(a.name, b.name));
}

/**
 * What a room's name becomes as a topic level; empty where it can't be one.
 * @param {string} name
 */
export function roomName(name) {
  return name
    .trim()
    .replace(/^#+/, '')
    .replace(/[\s/]+/gu, '-')
    .replace(/[+#$\p{Cc}]/gu, '')
    .slice(0, 60);
}
