// The words of the page in the chosen language.

import { en } from './en.js';
import { language } from './settings.js';
import { zh } from './zh.js';

/** @typedef {keyof typeof en} Key */

/**
 * The text for a key, with `{name}` filled in from `values`, and `{n|one|many}` chosen by the number `n`.
 * @param {Key} key
 * @param {{[name: string]: string | number}} [values]
 */
export function t(key, values) {
  const text = /** @type {string} */ (language.value === 'zh' ? zh[key] : en[key]);
  if (!values) return text;
  return text
    .replace(/\{(\w+)\|([^|}]*)\|([^}]*)\}/g, (_, name, one, many) => (Number(values[name]) === 1 ? one : many))
    .replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/**
 * The text for a name that the server made, where we have one, else the name.
 * @param {string} family
 * @param {string} name
 */
export function tName(family, name) {
  const key = `${family}.${name}`;
  return key in en ? t(/** @type {Key} */ (key)) : name;
}
