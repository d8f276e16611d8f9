// A JSON value in colours, with line breaks; long texts and lists are cut and say so.

import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';

const ITEMS_MAX = 500;
const TEXT_MAX = 20_000;

/**
 * @param {unknown} value
 * @returns {HTMLElement}
 */
export function jsonView(value) {
  const pre = h('pre', { class: 'json' });
  /** @type {(string | HTMLElement)[]} */
  const out = [];
  let left = ITEMS_MAX;
  /** @param {unknown} item @param {string} indent */
  const write = (item, indent) => {
    if (item === null || typeof item === 'boolean') out.push(h('span', { class: 'w' }, String(item)));
    else if (typeof item === 'number') out.push(h('span', { class: 'n' }, String(item)));
    else if (typeof item === 'string') out.push(h('span', { class: 's' }, JSON.stringify(cut(item))));
    else {
      const list = Array.isArray(item);
      const entries = Object.entries(/** @type {object} */ (item));
      if (entries.length === 0) {
        out.push(list ? '[]' : '{}');
        return;
      }
      out.push(list ? '[' : '{');
      entries.every(([name, inner], i) => {
        out.push((i ? ',' : '') + `\n${indent}  `);
        if (left-- <= 0) {
          out.push(`… ${t('json.more', { n: entries.length - i })}`);
          return false;
        }
        if (!list) out.push(h('span', { class: 'k' }, JSON.stringify(name)), ': ');
        write(inner, `${indent}  `);
        return true;
      });
      out.push(`\n${indent}${list ? ']' : '}'}`);
    }
  };
  write(value, '');
  pre.append(...out);
  return pre;
}

/** @param {string} text */
export function cut(text) {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}
