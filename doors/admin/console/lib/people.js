// Who is online, who types where, and how far others have read.

import { Cell } from './cell.js';

/** How long somebody counts as typing after the last sign of it. */
const TYPING_MS = 5000;
/** People and readers that are followed. */
const PEOPLE_MAX = 5000;

/** @typedef {{user: string, online: boolean, devices: string[], since: number}} Person */

export const people = new Cell(/** @type {Map<string, Person>} */ (new Map()));

/** For each room, who types and until when that counts: `room → name → time`. */
export const typing = new Cell(/** @type {Map<string, Map<string, number>>} */ (new Map()));

/** How far others have read in the open room: `user → seq`. */
export const readers = new Cell(/** @type {Map<string, number>} */ (new Map()));

/** @param {import('./line.js').LineRecord} record */
export function takePresence(record) {
  const data = /** @type {Partial<Person> & {devices?: unknown} | undefined} */ (record.data);
  if (!data || typeof data.user !== 'string' || (people.value.size >= PEOPLE_MAX && !people.value.has(data.user)))
    return;
  const devices = Array.isArray(data.devices)
    ? data.devices
        .map((device) =>
          typeof device === 'string' ? device : String(/** @type {{device?: string}} */ (device)?.device ?? ''),
        )
        .filter(Boolean)
    : [];
  people.value.set(data.user, {
    user: data.user,
    online: Boolean(data.online),
    devices,
    since: Number(data.since ?? record.at),
  });
  people.touch();
}

/** Whether a user is online; `undefined` where the server has not said. @param {string} user */
export function online(user) {
  return people.value.get(user)?.online;
}

/**
 * @param {string} room
 * @param {string} name
 * @param {boolean} on
 */
export function takeTyping(room, name, on) {
  let here = typing.value.get(room);
  if (!here) {
    if (!on) return;
    here = new Map();
    typing.value.set(room, here);
  }
  if (on) {
    here.set(name, Date.now() + TYPING_MS);
    setTimeout(() => dropSilent(room), TYPING_MS + 50);
  } else if (!here.delete(name)) return;
  typing.touch();
}

/** @param {string} room */
function dropSilent(room) {
  const here = typing.value.get(room);
  if (!here) return;
  let changed = false;
  for (const [name, until] of here) {
    if (until <= Date.now()) changed = here.delete(name);
  }
  if (here.size === 0) typing.value.delete(room);
  if (changed) typing.touch();
}

/** @param {string} user @param {number} seq */
export function takeReader(user, seq) {
  if ((readers.value.get(user) ?? 0) >= seq) return;
  if (readers.value.size >= PEOPLE_MAX && !readers.value.has(user)) return;
  readers.value.set(user, seq);
  readers.touch();
}

/** Forgets everybody: another user may be next. */
export function clearPeople() {
  people.value = new Map();
  typing.value = new Map();
  readers.value = new Map();
}
