// @ts-check
/**
 * The list of conversations: what the server said of each, and what came since. No network, no clock.
 *
 * The server's entries are snapshots, and messages overtake them. So messages that are newer than the snapshot are
 * remembered for a while, and counted on top of a snapshot that does not know them yet.
 *
 * @module yizhan/im/entries
 */

import { Emitter } from '../yizhan.js';
import { changeMessage } from './window.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Cursor} Cursor */
/** @typedef {{seq: number, counts: boolean, mentions: boolean}} Seen A message that a snapshot may not know yet. */
/**
 * @typedef {object} ConversationsEvents
 * @property {{ids: string[]}} change Which ones are new, different or gone. At most once in a moment.
 */

/** Beyond that many messages since the last snapshot, a new one is asked for. */
const SEEN_MAX = 500;

/**
 * All conversations of mine, pinned ones first, then the newest activity first.
 * @extends {Emitter<ConversationsEvents>}
 */
export class Conversations extends Emitter {
  /** @type {Map<string, Entry>} */
  #entries = new Map();
  /** @type {Map<string, Seen[]>} */
  #seen = new Map();
  /** @type {Entry[] | undefined} */
  #sorted;
  /** @type {Set<string>} */
  #changed = new Set();
  #refresh;
  #time;
  /** Who we are. @type {string | undefined} */
  #me;
  /** Whether the server's whole list has been read, this time or before. */
  complete = false;

  /** @param {(id: string) => void} refresh Asks the server for an entry. @param {() => number} time The server's, ms. */
  constructor(refresh, time) {
    super();
    this.#refresh = refresh;
    this.#time = time;
  }

  /** All entries in order; hidden ones are left out. @returns {Entry[]} */
  get all() {
    this.#sorted ??= [...this.#entries.values()].filter((entry) => !entry.hidden).sort(inOrder);
    return this.#sorted;
  }

  /** How many there are, without hidden ones. */
  get length() {
    return this.all.length;
  }

  /** @returns {IterableIterator<Entry>} */
  [Symbol.iterator]() {
    return this.all[Symbol.iterator]();
  }

  /** One of them, hidden ones too. @param {string} id */
  get(id) {
    return this.#entries.get(id);
  }

  /** The direct conversation with somebody, where there is one. @param {string} user */
  with(user) {
    return [...this.#entries.values()].find((entry) => entry.kind === 'direct' && entry.peer === user);
  }

  /** Unread messages and mentions in all; of muted conversations only mentions count. */
  get unread() {
    const sum = { unread: 0, mentions: 0 };
    const now = this.#time();
    for (const entry of this.#entries.values()) {
      sum.unread += notifyOf(entry, now) === 'all' ? entry.unread : entry.mentions;
      sum.mentions += entry.mentions;
    }
    return sum;
  }

  /** @internal @param {string} me */
  setMe(me) {
    this.#me = me;
  }

  /** Hidden ones too. @internal */
  ids() {
    return [...this.#entries.keys()];
  }

  /** A snapshot by the server. @internal @param {Entry} entry */
  take(entry) {
    const known = this.#entries.get(entry.id) ?? entry;
    const later = (this.#seen.get(entry.id) ?? []).filter(({ seq }) => seq > entry.newest);
    if (later.length > 0) this.#seen.set(entry.id, later);
    else this.#seen.delete(entry.id);
    const next = merge(known, entry, later);
    // Older than what we have, and what came in between was not all seen: only the server can count that.
    const isUncounted = known.newest - entry.newest > later.length;
    this.#set(isUncounted ? { ...next, unread: known.unread, mentions: known.mentions } : next);
    // The same where a change overtook the snapshot, and its newest message is one that we had not seen then.
    const isUnchanged = entry.changed < known.changed && (entry.last?.seq ?? 0) > (known.last?.seq ?? 0);
    // And where messages were quicker than their conversation.
    if (isUncounted || isUnchanged || (known === entry && later.length > 0)) this.#refresh(entry.id);
  }

  /** @internal @param {string} id */
  remove(id) {
    if (!this.#entries.delete(id)) return;
    this.#seen.delete(id);
    this.#tell(id);
  }

  /** A message came. @internal @param {Message} message @returns {boolean} Whether it is new to the list. */
  add(message) {
    const entry = this.#entries.get(message.conversation);
    const { seq } = message;
    if (entry && seq <= entry.newest) {
      if (seq === entry.last?.seq && message.content) this.#set({ ...entry, last: message });
      return false;
    }
    const counts = message.from !== this.#me;
    const mentions = counts && isMentioned(message, this.#me);
    const seen = this.#seen.get(message.conversation) ?? [];
    // Where it was quicker than its conversation, the entry does not know it yet.
    if (seq <= (seen.at(-1)?.seq ?? 0) && seen.some((other) => other.seq === seq)) return false;
    seen.push({ seq, counts, mentions });
    this.#seen.set(message.conversation, seen);
    if (!entry) {
      this.#refresh(message.conversation);
      return true;
    }
    const isNext = seq === entry.newest + 1;
    this.#set({
      ...entry, newest: seq, last: message, active_at: Math.max(entry.active_at, message.at), hidden: undefined,
      // Where a message of mine moves the cursor, the server says so: a guess would never be taken back.
      unread: entry.unread + (counts ? 1 : 0), mentions: entry.mentions + (mentions ? 1 : 0),
    });
    if (!isNext || seen.length >= SEEN_MAX) this.#refresh(entry.id);
    return true;
  }

  /** Something changed in a conversation. @internal @param {string} id @param {Change} change */
  apply(id, change) {
    const entry = this.#entries.get(id);
    if (!entry) return this.#refresh(id);
    const seq = Number(change.seq) || 0;
    if (seq > 0 && seq <= entry.changed) return undefined;
    if (seq > entry.changed + 1) this.#refresh(id);
    /** @type {Entry} */
    const next = { ...entry, changed: Math.max(entry.changed, seq) };
    if (next.last && next.last.seq === change.message_seq) next.last = changeMessage(next.last, change, this.#me);
    if (change.event === 'info') Object.assign(next, infoOf(change.changed), { version: Math.max(next.version, change.version ?? 0) });
    if (change.event === 'mute' && change.user === this.#me) next.muted_until = change.until || undefined;
    if (change.event === 'role' && change.user === this.#me) next.role = change.role;
    this.#set(next);
    // What only the server can count, or says in full.
    const counts = change.event === 'recall' && change.message_seq > entry.read;
    if (counts || ['members', 'role', 'dismiss', 'info'].includes(change.event)) this.#refresh(id);
    return undefined;
  }

  /** How far others are. @internal @param {string} id @param {Cursor[]} cursors */
  moveCursors(id, cursors) {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#set({ ...entry, cursors: joinCursors(entry.cursors ?? [], cursors) });
    const own = cursors.find(({ user }) => user === this.#me);
    if (own?.read !== undefined && own.read > entry.read) this.moveRead(id, own.read);
  }

  /**
   * I have read up to here. @internal @param {string} id @param {number} seq
   * @returns {boolean} Whether this is further than before.
   */
  moveRead(id, seq) {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    const isFurther = seq > entry.read;
    if (!isFurther && !entry.marked_unread) return false;
    const none = seq >= entry.newest ? { unread: 0, mentions: 0 } : {};
    this.#set({ ...entry, read: Math.max(entry.read, seq), marked_unread: undefined, ...none });
    return isFurther;
  }

  /** Something of mine about it, until the server says the same. @internal @param {string} id @param {Partial<Entry>} part */
  patch(id, part) {
    const entry = this.#entries.get(id);
    if (entry) this.#set({ ...entry, ...part });
  }

  /** @param {Entry} entry */
  #set(entry) {
    this.#entries.set(entry.id, entry);
    this.#tell(entry.id);
  }

  /** @param {string} id */
  #tell(id) {
    this.#sorted = undefined;
    if (this.#changed.size === 0) queueMicrotask(() => {
      const ids = [...this.#changed];
      this.#changed.clear();
      this.emit('change', { ids });
    });
    this.#changed.add(id);
  }
}

/** @param {Entry} a @param {Entry} b */
function inOrder(a, b) {
  return (b.pinned_at ?? 0) - (a.pinned_at ?? 0) || b.active_at - a.active_at || (a.id < b.id ? -1 : 1);
}

/** What is known with a snapshot laid over it. @param {Entry} known @param {Entry} entry @param {Seen[]} later Newer than the snapshot. @returns {Entry} */
function merge(known, entry, later) {
  const read = Math.max(known.read, entry.read);
  const counted = later.filter(({ seq, counts }) => counts && seq > read);
  /** @type {Entry} */
  const next = {
    ...entry, read, changed: Math.max(known.changed, entry.changed), info: entry.info ?? known.info,
    unread: entry.unread + counted.length, mentions: entry.mentions + counted.filter(({ mentions }) => mentions).length,
    cursors: cursorsOf(known, entry),
  };
  if (known.newest > entry.newest) Object.assign(next, { newest: known.newest, last: known.last, active_at: Math.max(known.active_at, entry.active_at) });
  if (known.changed > entry.changed && known.last?.seq === entry.last?.seq) next.last = known.last;
  // We have read further than the server has heard.
  if (read > entry.read && read >= next.newest) Object.assign(next, { unread: 0, mentions: 0 });
  return next;
}

/** Lists leave cursors out; where they are said, those who left are not among them. @param {Entry} known @param {Entry} entry */
function cursorsOf(known, { cursors }) {
  const said = new Set(cursors?.map(({ user }) => user));
  return cursors ? joinCursors((known.cursors ?? []).filter(({ user }) => said.has(user)), cursors) : known.cursors;
}

/** Cursors only go forward. @param {Cursor[]} known @param {Cursor[]} news @returns {Cursor[]} */
function joinCursors(known, news) {
  const all = new Map(known.map((cursor) => [cursor.user, cursor]));
  for (const { user, read = 0, delivered = 0 } of news) {
    const before = all.get(user);
    const isRead = Math.max(before?.read ?? 0, read);
    all.set(user, { user, read: isRead, delivered: Math.max(before?.delivered ?? 0, delivered, isRead) });
  }
  return [...all.values()];
}

/** What of a conversation should ring at this time. @param {Entry} entry @param {number} now @returns {import('./types.js').Notify} */
export function notifyOf({ notify = 'all', notify_until: until }, now) {
  return until !== undefined && until <= now ? 'all' : notify;
}

/** Whether a message speaks to somebody by name, or to all. @param {Message} message @param {string | undefined} me */
export function isMentioned({ content }, me) {
  return content?.mention_all === true || content?.mention_here === true || (me !== undefined && content?.mentions?.includes(me) === true);
}

/** What of a conversation's changed facts belongs to its entry. @param {any} changed @returns {Partial<Entry>} */
function infoOf(changed) {
  /** @type {Record<string, any>} */
  const part = {};
  for (const name of ['title', 'avatar', 'announcement', 'mute_all']) if (changed && name in changed) part[name] = changed[name];
  return part;
}
