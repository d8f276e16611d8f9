// A text with what was looked for marked in it.

import { h } from '../../lib/dom.js';

/**
 * @param {string} text
 * @param {[number, number][]} marks from and to, in JavaScript's units
 * @returns {(string | HTMLElement)[]}
 */
export function marked(text, marks) {
  /** @type {(string | HTMLElement)[]} */
  const out = [];
  let at = 0;
  for (const [from, to] of [...marks].sort((a, b) => a[0] - b[0])) {
    if (from < at || to > text.length || to <= from) continue;
    out.push(text.slice(at, from), h('mark', null, text.slice(from, to)));
    at = to;
  }
  out.push(text.slice(at));
  return out;
}
