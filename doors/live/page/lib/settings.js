// What somebody has chosen on this page, kept in the browser.

import { Cell } from './dom.js';

/** @typedef {'auto' | 'llhls' | 'hls' | 'flv'} Protocol */
/** @typedef {'few' | 'some' | 'many'} Density */

/**
 * A cell that the browser remembers.
 * @template T
 * @param {string} name @param {T} first @param {(value: any) => boolean} fits whether what was kept can be used
 * @returns {Cell<T>}
 */
function kept(name, first, fits) {
  const key = `yizhan.watch.${name}`;
  let value = first;
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? 'null');
    if (found !== null && fits(found)) value = found;
  } catch {
    // Somebody else's value, or no storage: the page works without.
  }
  const cell = new Cell(value);
  cell.hear((now) => {
    try {
      localStorage.setItem(key, JSON.stringify(now));
    } catch {
      // As above.
    }
  });
  return cell;
}

/** @param {...string} names */
const oneOf = (...names) => (/** @type {any} */ value) => names.includes(value);
/** @param {number} least @param {number} most */
const within = (least, most) => (/** @type {any} */ value) => typeof value === 'number' && value >= least && value <= most;
const flag = (/** @type {any} */ value) => typeof value === 'boolean';

export const settings = {
  protocol: kept('protocol', /** @type {Protocol} */ ('auto'), oneOf('auto', 'llhls', 'hls', 'flv')),
  volume: kept('volume', 0.8, within(0, 1)),
  muted: kept('muted', false, flag),
  chat: kept('chat', true, flag),
  /** The bullet chat over the picture. */
  bullets: kept('bullets', true, flag),
  density: kept('density', /** @type {Density} */ ('some'), oneOf('few', 'some', 'many')),
  /** 0.2 to 1. */
  opacity: kept('opacity', 0.9, within(0.2, 1)),
  /** Of the usual size. */
  size: kept('size', 1, within(0.6, 1.8)),
  /** Of the usual speed. */
  speed: kept('speed', 1, within(0.5, 2)),
  /** The colour that one writes in. */
  colour: kept('colour', '', (value) => value === '' || /^#[0-9a-f]{6}$/.test(value)),
  /** What a guest calls himself. */
  guest: kept('guest', '', (value) => typeof value === 'string' && value.length <= 32),
  theme: kept('theme', /** @type {'dark' | 'light'} */ ('dark'), oneOf('dark', 'light')),
  language: kept('language', /** @type {'en' | 'zh'} */ (/^zh\b/i.test(navigator.language) ? 'zh' : 'en'), oneOf('en', 'zh')),
};
