// Which users are connected at all, by whatever door: what the server publishes on `$presence/#`.

import { Cell } from './cell.js';
import { line } from './line.js';

/** People that are followed. */
const PEOPLE_MAX = 5000;

/** @typedef {{user: string, online: boolean, since: number}} Person */

export const people = new Cell(/** @type {Map<string, Person>} */ (new Map()));
/** @type {import('./line.js').Listening | null} */
let listening = null;

/** Follows who comes and goes. Fails silently where one may not. */
export function followPeople() {
  listening = line.subscribe('$presence/#', { state: true }, { record: takePresence, failed: () => undefined });
}

/** @param {import('./line.js').LineRecord} record */
function takePresence(record) {
  const data = /** @type {Partial<Person> | undefined} */ (record.data);
  if (!data || typeof data.user !== 'string' || (people.value.size >= PEOPLE_MAX && !people.value.has(data.user))) return;
  people.value.set(data.user, { user: data.user, online: Boolean(data.online), since: Number(data.since ?? record.at) });
  people.touch();
}

/** Whether a user is online; `undefined` where the server has not said. @param {string} user */
export function online(user) {
  return people.value.get(user)?.online;
}

/** Forgets everybody: another user may be next. */
export function clearPeople() {
  listening?.end();
  listening = null;
  people.value = new Map();
}
