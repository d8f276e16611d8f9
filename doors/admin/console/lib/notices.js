// What the page tells in passing: done, or failed and what to do about it.

import { Cell } from './cell.js';

/** Notices on the page at one time; the oldest goes. */
const NOTICES_MAX = 4;

/** @typedef {{id: number, kind: 'good' | 'bad' | 'plain', text: string, advice?: string, action?: {label: string, run: () => void}}} Notice */

export const notices = new Cell(/** @type {Notice[]} */ ([]));
let last = 0;

/** @param {Omit<Notice, 'id'>} notice */
function add(notice) {
  const id = ++last;
  notices.value = [...notices.value.slice(1 - NOTICES_MAX), { ...notice, id }];
  setTimeout(() => dismiss(id), notice.action ? 20_000 : notice.kind === 'bad' ? 9000 : 4000);
}

/** @param {number} id */
export function dismiss(id) {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/**
 * Says that something was done.
 * @param {string} text
 * @param {Notice['action']} [action]
 */
export function tell(text, action) {
  add({ kind: 'good', text, ...(action && { action }) });
}

/**
 * Says that something failed, and what to do.
 * @param {string} text
 * @param {string} [advice]
 * @param {Notice['action']} [action]
 */
export function warn(text, advice, action) {
  add({ kind: 'bad', text, ...(advice && { advice }), ...(action && { action }) });
}
