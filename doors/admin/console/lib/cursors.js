// How far this user has read in each room. The server holds it as keyed records at `{room's topic}/reads/{user}`, in the
// same kept space as the room, so that all devices agree; this browser holds a copy for servers that keep nothing there.

import { me } from './account.js';
import { line } from './line.js';
import { rooms } from './rooms.js';

/** How long reading is gathered before it is told. */
const TELL_AFTER_MS = 700;

export const READ_KEY = 'read';

/** @type {Map<string, number>} */
let wanted = new Map();
/** @type {Map<string, number>} */
let known = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
let user = '';
let place = '';

/**
 * @param {string} name who reads
 * @param {string} root the first levels of rooms: those kept elsewhere have other numbers
 */
export function openCursors(name, root) {
  user = name;
  place = `yizhan.reads.${root}.${name}`;
  try {
    known = new Map(
      Object.entries(/** @type {{[room: string]: number}} */ (JSON.parse(localStorage.getItem(place) ?? '{}'))),
    );
  } catch {
    known = new Map();
  }
}

export function closeCursors() {
  clearTimeout(timer);
  timer = undefined;
  wanted = new Map();
  known = new Map();
  user = '';
}

/** What is known of a room that has just been found. @param {string} room */
export function cursorOf(room) {
  return known.get(room) ?? null;
}

/**
 * Takes in how far another device of this user has read.
 * @param {string} room
 * @param {unknown} data
 */
export function takeCursor(room, data) {
  const seq = data && typeof data === 'object' ? Number(/** @type {{seq?: unknown}} */ (data).seq) : NaN;
  if (Number.isFinite(seq)) note(room, seq);
}

/** @param {string} room @param {number} seq */
function note(room, seq) {
  if ((known.get(room) ?? -1) < seq) known.set(room, seq);
  const found = rooms.value.get(room);
  if (found && (found.readSeq ?? -1) < seq) {
    found.readSeq = seq;
    found.changes.touch();
    rooms.touch();
  }
}

/**
 * Says that everything in a room was read, up to its newest message.
 * @param {import('./rooms.js').Room} room
 */
export function markRead(room) {
  if (!room.kept) {
    if (room.unnumberedUnread === 0) return;
    room.unnumberedUnread = 0;
    room.changes.touch();
    rooms.touch();
    return;
  }
  if (room.newestSeq === 0 || (room.readSeq ?? 0) >= room.newestSeq) return;
  note(room.name, room.newestSeq);
  wanted.set(room.name, room.newestSeq);
  timer ??= setTimeout(tellServer, TELL_AFTER_MS);
}

function tellServer() {
  timer = undefined;
  if (!user) return;
  localStorage.setItem(place, JSON.stringify(Object.fromEntries(known)));
  // Guests share one name, so what one of them has read says nothing about the others.
  if (me.value?.guest) wanted.clear();
  for (const [room, seq] of wanted) {
    // A cursor that can't be told is in the copy here, and the next one says more.
    const topic = rooms.value.get(room)?.topic;
    if (topic) line.publish({ topic: `${topic}/reads/${user}`, key: READ_KEY, data: { seq } }).catch(() => undefined);
  }
  wanted.clear();
}
