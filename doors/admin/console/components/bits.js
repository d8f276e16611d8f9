// Small pieces that many views use: what an empty list says, bones while loading, text to copy, labelled fields.

import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { tell, warn } from '../lib/notices.js';
import { icon } from './icon.js';

/** @typedef {import('./icon.js').IconName} IconName */

/**
 * What a list shows that has nothing to show: why, and what to do.
 * @param {IconName} name
 * @param {string} title
 * @param {string} [text]
 * @param {HTMLElement | null} [action]
 */
export function empty(name, title, text, action) {
  return h(
    'div',
    { class: 'empty' },
    icon(name),
    h('h2', null, title),
    text ? h('p', null, text) : null,
    action ?? null,
  );
}

/**
 * Grey lines where text will be.
 * @param {number} lines
 */
export function bones(lines) {
  return h(
    'div',
    { class: 'bones', role: 'status', 'aria-label': t('loading') },
    Array.from({ length: lines }, (_, i) => h('span', { class: 'bone', style: { width: `${88 - ((i * 37) % 50)}%` } })),
  );
}

/**
 * What stands where something could not be loaded.
 * @param {unknown} error
 * @param {() => void} again
 */
export function failed(error, again) {
  return empty(
    'alert',
    t('failed.load'),
    error instanceof Error ? error.message : String(error),
    h('button', { class: 'button', type: 'button', on: { click: again } }, icon('refresh'), t('retry')),
  );
}

/**
 * Copies a text, and says so.
 * @param {string} text
 */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages on plain HTTP have no clipboard; a selection that is copied works there too.
    const area = h('textarea', { class: 'unseen', value: text });
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    if (!done) {
      warn(t('copy.failed'), t('copy.advice'));
      return;
    }
  }
  tell(t('copied'));
}

/**
 * A button that copies.
 * @param {string | (() => string)} text
 * @param {string} [label]
 */
export function copyButton(text, label = t('copy')) {
  return iconButton('copy', label, () => void copy(typeof text === 'string' ? text : text()));
}

/**
 * Code with a button that copies it.
 * @param {string} text
 */
export function code(text) {
  return h('div', { class: 'code' }, h('pre', null, h('code', null, text)), copyButton(text));
}

/**
 * A button with an icon only.
 * @param {IconName} name
 * @param {string} label
 * @param {(event: MouseEvent) => void} press
 */
export function iconButton(name, label, press) {
  return h(
    'button',
    { class: 'icon-button', type: 'button', title: label, 'aria-label': label, on: { click: press } },
    icon(name),
  );
}

let fields = 0;

/**
 * A control with its label, and a hint.
 * @template {HTMLElement} T
 * @param {string} label
 * @param {T} control
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  control.id ||= `field-${++fields}`;
  if (hint) control.setAttribute('aria-describedby', `${control.id}-hint`);
  return h(
    'div',
    { class: 'field' },
    h('label', { for: control.id }, label),
    control,
    hint ? h('span', { class: 'hint', id: `${control.id}-hint` }, hint) : null,
  );
}

/**
 * A choice of one of few.
 * @template {string} T
 * @param {string} label
 * @param {{value: T, text: string, icon?: IconName}[]} choices
 * @param {T} chosen
 * @param {(value: T) => void} choose
 */
export function segments(label, choices, chosen, choose) {
  const group = h('div', { class: 'segments', role: 'radiogroup', 'aria-label': label });
  const buttons = choices.map(({ value, text, icon: name }) =>
    h(
      'button',
      {
        type: 'button',
        role: 'radio',
        data: { value },
        on: {
          click: () => {
            show(value);
            choose(value);
          },
        },
      },
      name ? icon(name) : null,
      text,
    ),
  );
  const show = (/** @type {T} */ value) => {
    for (const button of buttons) {
      const on = button.dataset.value === value;
      button.setAttribute('aria-checked', String(on));
      button.tabIndex = on ? 0 : -1;
    }
  };
  show(chosen);
  group.append(...buttons);
  group.addEventListener('keydown', (event) => {
    const step =
      event.key === 'ArrowRight' || event.key === 'ArrowDown'
        ? 1
        : event.key === 'ArrowLeft' || event.key === 'ArrowUp'
          ? -1
          : 0;
    if (!step) return;
    event.preventDefault();
    const at = buttons.findIndex((button) => button.getAttribute('aria-checked') === 'true');
    const next = buttons[(at + step + buttons.length) % buttons.length];
    next?.focus();
    next?.click();
  });
  return group;
}

/**
 * The heading of a view, with tools at its right.
 * @param {string} title
 * @param {string | null} text
 * @param {...import('../lib/dom.js').Child} tools
 */
export function heading(title, text, ...tools) {
  return h(
    'header',
    null,
    h('div', { class: 'lead' }, h('h1', null, title), text ? h('p', null, text) : null),
    h('div', { class: 'tools' }, tools),
  );
}

/**
 * A field to search in a list.
 * @param {string} label
 * @param {(text: string) => void} search
 */
export function searchField(label, search) {
  const input = h('input', {
    class: 'input',
    type: 'search',
    placeholder: label,
    'aria-label': label,
    autocomplete: 'off',
    spellcheck: false,
    on: { input: () => search(input.value.trim().toLowerCase()) },
  });
  return h('label', { class: 'search' }, icon('search'), input);
}
