// What this user has written and the server has not yet confirmed. It outlives a reload; sent again under the same id,
// nothing is said twice.

import { Cell } from './cell.js';

/** Messages that wait in all rooms together; beyond this sending is refused. */
export const WAITING_MAX = 200;

/** @typedef {{cid: string, room: string, topic: string, text: string, at: number, state: 'sending' | 'failed', reason?: string}} Waiting */

/** In the order in which they were written. */
export const outbox = new Cell(/** @type {Waiting[]} */ ([]));
let place = '';

outbox.hear((list) => {
  if (!place) return;
  if (list.length) localStorage.setItem(place, JSON.stringify(list));
  else localStorage.removeItem(place);
});

/**
 * Takes up what this user left unsent.
 * @param {string} user
 * @returns {Waiting[]}
 */
export function openOutbox(user) {
  place = `yizhan.outbox.${user}`;
  try {
    const kept = /** @type {Waiting[]} */ (JSON.parse(localStorage.getItem(place) ?? '[]'));
    outbox.value = kept
      .filter((item) => typeof item.cid === 'string' && typeof item.text === 'string')
      .slice(0, WAITING_MAX);
  } catch {
    outbox.value = [];
  }
  return outbox.value;
}

/** Shows nothing any more; what waits stays kept for its writer. */
export function closeOutbox() {
  place = '';
  outbox.value = [];
}

/** @param {Waiting} item */
export function addWaiting(item) {
  outbox.value = [...outbox.value, item];
}

/** @param {string} cid @param {Partial<Waiting>} change */
export function changeWaiting(cid, change) {
  outbox.value = outbox.value.map((item) => (item.cid === cid ? { ...item, ...change } : item));
}

/** @param {string} cid */
export function dropWaiting(cid) {
  if (outbox.value.some((item) => item.cid === cid)) outbox.value = outbox.value.filter((item) => item.cid !== cid);
}
