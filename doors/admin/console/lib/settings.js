// What this browser remembers about how the page looks.

import { Cell } from './cell.js';

/** @typedef {'system' | 'light' | 'dark'} Theme */
/** @typedef {'en' | 'zh'} Language */

/**
 * A cell whose value is kept in localStorage.
 * @template {string} T
 * @param {string} name
 * @param {T[]} allowed
 * @param {T} otherwise
 */
function remembered(name, allowed, otherwise) {
  const kept = /** @type {T | null} */ (localStorage.getItem(`yizhan.${name}`));
  const cell = new Cell(kept !== null && allowed.includes(kept) ? kept : otherwise);
  cell.hear((value) => localStorage.setItem(`yizhan.${name}`, value));
  return cell;
}

export const theme = remembered('theme', /** @type {Theme[]} */ (['system', 'light', 'dark']), 'system');
export const language = remembered(
  'language',
  /** @type {Language[]} */ (['en', 'zh']),
  navigator.languages.some((name) => name.toLowerCase().startsWith('zh')) &&
    !navigator.languages[0]?.toLowerCase().startsWith('en')
    ? 'zh'
    : 'en',
);
export const sidebar = remembered('sidebar', /** @type {('wide' | 'slim')[]} */ (['wide', 'slim']), 'wide');
export const notifications = remembered('notifications', /** @type {('on' | 'off')[]} */ (['on', 'off']), 'off');

const systemDark = matchMedia('(prefers-color-scheme: dark)');

/** Whether the page is dark now. */
export const dark = new Cell(false);

function applyTheme() {
  dark.value = theme.value === 'dark' || (theme.value === 'system' && systemDark.matches);
  document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
}

/** Makes the page follow the settings, from now on. */
export function applySettings() {
  theme.watch(applyTheme);
  systemDark.addEventListener('change', applyTheme);
  language.watch((value) => (document.documentElement.lang = value === 'zh' ? 'zh-CN' : 'en'));
}
