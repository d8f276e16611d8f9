// The chat: what it listens to, how rooms are loaded and holes filled, how messages leave.

import { guestName, me } from './account.js';
import { admin, all } from './admin.js';
import { Cell } from './cell.js';
import { closeCursors, cursorOf, openCursors, takeCursor } from './cursors.js';
import { draftOf, openDrafts } from './drafts.js';
import { LineError, line } from './line.js';
import { ABOUT, messageOf } from './messages.js';
import { WAITING_MAX, addWaiting, changeWaiting, closeOutbox, dropWaiting, openOutbox, outbox } from './outbox.js';
import { clearPeople, readers, takePresence, takeReader, takeTyping } from './people.js';
import { ROOMS_MAX, Room, rooms } from './rooms.js';

/** @typedef {import('./line.js').LineRecord} LineRecord */
/** @typedef {import('./line.js').Listening} Listening */
/** @typedef {import('./messages.js').Message} Message */

/** Messages of one page of history. */
export const PAGE = 50;
/** A hole larger than this is not filled: the room is loaded anew. */
const HOLE_MAX = 500;
/** Rooms whose newest message is asked for at one time. */
const ASKS_AT_ONCE = 8;
/** Messages that are looked through for what was sent before a reload. */
const LOOK_BACK = 200;
/** A sign of typing is sent at most this often. */
const TYPING_EVERY_MS = 2500;

/** `loading`, then `ready`; `refused` where this user may not chat. */
export const chatState = new Cell(
  /** @type {{phase: 'loading' | 'ready' | 'refused', reason?: string}} */ ({ phase: 'loading' }),
);

/** Called with each message that arrives live and is not one's own. */
export const arrivals = new Cell(/** @type {{room: Room, message: Message} | null} */ (null));

/** Tells this browser's guest from others. */
const guestId = localStorage.getItem('yizhan.guest-id') ?? Math.random().toString(36).slice(2, 12);
localStorage.setItem('yizhan.guest-id', guestId);

/** The first level of all rooms: the room's topic is below it, the cursors of its readers at `…/{room}/reads/{user}`. */
let root = 'rooms';
const TYPING = 'typing';
/** @type {Listening[]} */
let listenings = [];
/** @type {Listening | null} */
let readersOfOpen = null;
let run = 0;

/** Starts to follow the rooms. */
export async function startChat() {
  const current = ++run;
  const user = me.value?.user;
  if (!user) return;
  chatState.value = { phase: 'loading' };
  try {
    await line.ready();
  } catch (error) {
    if (current === run)
      chatState.value = { phase: 'refused', reason: error instanceof Error ? error.message : String(error) };
    return;
  }
  root = await findRoot();
  if (current !== run) return;
  openCursors(user, root);
  openDrafts(user);
  const waiting = openOutbox(user);
  const listen = (/** @type {Parameters<typeof line.subscribe>} */ ...how) => listenings.push(line.subscribe(...how));
  if (!me.value?.guest)
    listen(
      `${root}/+/reads/${user}`,
      { state: true },
      { record: (record) => takeCursor(record.topic.split('/').at(-3) ?? '', record.data), failed: () => undefined },
    );
  listen('$presence/#', { state: true }, { record: takePresence, failed: () => undefined });
  listen(`${TYPING}/+`, {}, { record: takeTypingRecord, failed: () => undefined });
  let live = false;
  listen(
    `${root}/+`,
    { state: true },
    {
      record: (record) => takeRecord(record, live),
      stateEnd: () => {
        live = true;
        void loadNewest(current);
      },
      missed: () => void repair(),
      failed: (error) => (chatState.value = { phase: 'refused', reason: error.message }),
    },
  );
  void sendWaiting(waiting);
}

/** Ends all that `startChat` began. */
export function stopChat() {
  run++;
  for (const listening of listenings) listening.end();
  listenings = [];
  readersOfOpen?.end();
  readersOfOpen = null;
  closeCursors();
  closeOutbox();
  clearPeople();
  rooms.value = new Map();
  chatState.value = { phase: 'loading' };
}

/** Chooses where rooms are: on a server that keeps only `disk/#` (as with `--dev`), they are there. */
async function findRoot() {
  for (const base of ['rooms', 'disk/rooms']) {
    try {
      await line.history(`${base}/lobby`, { limit: 1 });
      return base;
    } catch (error) {
      if (!(error instanceof LineError) || (error.code !== 310 && error.code !== 311)) break;
    }
  }
  return 'rooms';
}

/** @param {string} topic */
function lastLevel(topic) {
  return topic.slice(topic.lastIndexOf('/') + 1);
}

/**
 * The room of that name, made where it is not there yet.
 * @param {string} name
 */
function roomOf(name) {
  let room = rooms.value.get(name);
  if (!room) {
    room = new Room(name, `${root}/${name}`);
    room.readSeq = cursorOf(name);
    room.draft = draftOf(name);
    if (rooms.value.size < ROOMS_MAX) rooms.value.set(name, room);
  }
  return room;
}

/**
 * @param {LineRecord} record
 * @param {boolean} live
 */
function takeRecord(record, live) {
  const room = roomOf(lastLevel(record.topic));
  const { message, fresh, hole } = room.take(record);
  const own = isOwn(message);
  if (message.cid && own) dropWaiting(message.cid);
  if (fresh && live && !record.state) {
    takeTyping(room.name, message.name, false);
    if (!room.kept && !own) room.unnumberedUnread++;
    if (!own) arrivals.value = { room, message };
  }
  if (hole) void fill(room, hole);
  rooms.touch();
}

/** Whether this user wrote it. @param {Message} message */
export function isOwn(message) {
  const who = me.value;
  if (!who) return false;
  return who.guest || message.guest ? message.guestId === guestId : message.from === who.user;
}

/** @param {LineRecord} record */
function takeTypingRecord(record) {
  const message = messageOf(record);
  if (isOwn(message)) return;
  const on = !(
    record.data &&
    typeof record.data === 'object' &&
    /** @type {{on?: unknown}} */ (record.data).on === false
  );
  takeTyping(lastLevel(record.topic), message.name, on);
}

/** Asks for the newest message of each room; for admins also rooms that nobody has described. @param {number} current */
async function loadNewest(current) {
  if (me.value?.admin) {
    // Without the list there are still the rooms that describe themselves.
    const found = await all((after) => admin.topics({ filter: `${root}/+`, after }), ROOMS_MAX).catch(() => ({
      items: [],
    }));
    for (const { topic, kept } of found.items) {
      if (kept && kept.newest_seq > 0) roomOf(lastLevel(topic));
    }
  }
  if (!rooms.value.has('lobby')) roomOf('lobby');
  const queue = [...rooms.value.values()];
  const work = async () => {
    for (let room = queue.pop(); room && current === run; room = queue.pop()) {
      try {
        const page = await line.history(room.topic, { limit: 1 });
        const [record] = page.records;
        if (record) {
          room.newestSeq = Math.max(room.newestSeq, record.seq ?? 0);
          room.newest = messageOf(record);
        }
        if (room.readSeq !== null && room.readSeq > room.newestSeq) room.readSeq = room.newestSeq;
      } catch (error) {
        if (error instanceof LineError && error.code === 311) room.kept = false;
      }
    }
  };
  await Promise.all(Array.from({ length: ASKS_AT_ONCE }, work));
  if (current !== run) return;
  chatState.value = { phase: 'ready' };
  rooms.touch();
}

/** After a break in which something was lost: all loaded rooms look for what they miss. */
async function repair() {
  for (const room of rooms.value.values()) {
    if (!room.kept) continue;
    const page = await line.history(room.topic, { limit: 1 }).catch(() => null);
    const newest = page?.records[0];
    if (newest) takeRecord(newest, false);
  }
}

/**
 * Loads the newest messages of a room; as many as are unread, within reason.
 * @param {Room} room
 */
export async function load(room) {
  if (room.loaded || !room.kept) return;
  const limit = Math.min(Math.max(PAGE, room.unread + 10), 300);
  try {
    const page = await line.history(room.topic, { limit });
    room.insert(page.records.map(messageOf));
    room.more = page.more;
    room.loaded = true;
    const newest = room.messages.at(-1);
    if (newest) {
      room.newest = newest;
      room.newestSeq = Math.max(room.newestSeq, newest.seq ?? 0);
      // What came while the answer was under way.
      if (newest.seq !== null && room.newestSeq > newest.seq)
        void fill(room, { after: newest.seq, before: room.newestSeq + 1 });
    }
  } catch (error) {
    if (!(error instanceof LineError) || error.code !== 311) throw error;
    room.kept = false;
    room.loaded = true;
  }
  room.changes.touch();
}

/**
 * Loads the page before what is loaded.
 * @param {Room} room
 */
export async function loadOlder(room) {
  const before = room.oldestLoaded;
  if (before === null || !room.more) return;
  const page = await line.history(room.topic, { before, limit: PAGE });
  room.insert(page.records.map(messageOf));
  room.more = page.more && page.records.length > 0;
  room.changes.touch();
}

/**
 * Fetches what is missing between two numbers.
 * @param {Room} room
 * @param {{after: number, before: number}} hole
 */
async function fill(room, { after, before }) {
  if (before - after > HOLE_MAX) {
    room.messages = room.messages.slice(-1);
    room.loaded = false;
    await load(room).catch(() => undefined);
    return;
  }
  while (after + 1 < before) {
    const page = await line.history(room.topic, { after, before, limit: HOLE_MAX }).catch(() => null);
    const last = page?.records.at(-1)?.seq;
    if (!page || last === undefined) return;
    for (const record of page.records) {
      const message = messageOf(record);
      if (message.cid && isOwn(message)) dropWaiting(message.cid);
      room.insert([message]);
    }
    room.changes.touch();
    after = last;
  }
}

/**
 * Follows how far others have read in the room that is open.
 * @param {Room | null} room
 */
export function watchReaders(room) {
  readersOfOpen?.end();
  readersOfOpen = null;
  readers.value = new Map();
  if (!room || !room.kept || me.value?.guest) return;
  readersOfOpen = line.subscribe(
    `${room.topic}/reads/+`,
    { state: true },
    {
      record: (record) => {
        const user = lastLevel(record.topic);
        const seq = Number(/** @type {{seq?: unknown} | undefined} */ (record.data)?.seq);
        // Only what people say about themselves counts.
        if (user === record.from && user !== me.value?.user && Number.isFinite(seq)) takeReader(user, seq);
      },
      failed: () => undefined,
    },
  );
}

/** @returns {{[name: string]: string}} */
function guestHeaders() {
  if (!me.value?.guest) return {};
  return { guest: guestId, ...(guestName.value && { name: guestName.value }) };
}

/**
 * Sends a text to a room; it waits in the outbox until the server has confirmed it.
 * @param {Room} room
 * @param {string} text
 * @returns {boolean} whether there was place in the outbox
 */
export function send(room, text) {
  if (outbox.value.length >= WAITING_MAX) return false;
  const cid = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
  addWaiting({ cid, room: room.name, topic: room.topic, text, at: Date.now(), state: 'sending' });
  void post(cid);
  return true;
}

/** Tries a failed message again. @param {string} cid */
export function retry(cid) {
  changeWaiting(cid, { state: 'sending' });
  void post(cid);
}

/**
 * Sends what was left unsent when the page was closed. What did arrive then, and only its receipt was lost, is found in
 * the room: the server knows ids again only for a while.
 * @param {import('./outbox.js').Waiting[]} waiting
 */
async function sendWaiting(waiting) {
  for (const topic of new Set(waiting.map((item) => item.topic))) {
    const page = await line.history(topic, { limit: LOOK_BACK }).catch(() => null);
    for (const record of page?.records ?? []) dropWaiting(record.headers?.['cid'] ?? '');
  }
  for (const item of waiting) {
    if (item.state === 'sending') void post(item.cid);
  }
}

/** @param {string} cid */
async function post(cid) {
  const item = outbox.value.find((each) => each.cid === cid);
  if (!item) return;
  try {
    const receipt = await line.publish({
      topic: item.topic,
      text: item.text,
      mid: cid,
      headers: { cid, ...guestHeaders() },
    });
    // The record usually came before the receipt. Where it did not, the receipt says all that it will.
    if (outbox.value.some((each) => each.cid === cid)) {
      const record = {
        topic: item.topic,
        at: receipt.at,
        from: me.value?.user ?? '',
        session: '',
        text: item.text,
        headers: { cid, ...guestHeaders() },
      };
      if (receipt.seq !== undefined) takeRecord({ ...record, seq: receipt.seq }, true);
      else setTimeout(() => dropWaiting(cid), 4000);
    }
  } catch (error) {
    changeWaiting(cid, { state: 'failed', reason: error instanceof Error ? error.message : String(error) });
  }
}

/**
 * Makes a room, or says anew what it is for.
 * @param {string} name
 * @param {string} purpose
 * @param {'created' | 'purpose'} change
 */
export async function describeRoom(name, purpose, change) {
  await line.publish({
    topic: `${root}/${name}`,
    key: ABOUT,
    data: { name, purpose, change },
    headers: guestHeaders(),
  });
  roomOf(name).purpose = purpose;
  rooms.touch();
}

/** @type {Map<string, number>} */
const lastTyping = new Map();

/**
 * Says that this user types in a room, or has stopped.
 * @param {Room} room
 * @param {boolean} on
 */
export function sayTyping(room, on) {
  const before = lastTyping.get(room.name) ?? 0;
  if (on ? Date.now() - before < TYPING_EVERY_MS : before === 0) return;
  lastTyping.set(room.name, on ? Date.now() : 0);
  if (line.state.value.phase !== 'online') return;
  line
    .publish({ topic: `${TYPING}/${room.name}`, data: { on }, expires: 5, headers: guestHeaders() })
    .catch(() => undefined);
}
