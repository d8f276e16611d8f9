// Dialogs: a question to confirm, a form to fill in, a thing to show.

import { h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';

/**
 * Shows a dialog; it leaves the page when it is closed.
 * @param {string} title
 * @param {import('../lib/dom.js').Child[]} content
 * @param {{big?: boolean}} [options]
 * @returns {HTMLDialogElement}
 */
export function show(title, content, { big = false } = {}) {
  const before = document.activeElement;
  const dialog = h('dialog', { class: big ? 'big' : '', 'aria-label': title });
  dialog.append(...content.filter((child) => child instanceof Node));
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (before instanceof HTMLElement) before.focus();
  });
  // A press beside the dialog closes it.
  dialog.addEventListener('pointerdown', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks whether to go on.
 * @param {{title: string, text: string, yes: string, danger?: boolean}} question
 * @returns {Promise<boolean>}
 */
export function confirm({ title, text, yes, danger = false }) {
  return new Promise((resolve) => {
    const form = h(
      'form',
      { method: 'dialog' },
      h('h2', null, title),
      h('p', null, text),
      h(
        'div',
        { class: 'actions' },
        h('button', { class: 'button', value: 'no', type: 'submit' }, t('cancel')),
        h(
          'button',
          { class: danger ? 'button main danger' : 'button main', value: 'yes', type: 'submit', autofocus: true },
          yes,
        ),
      ),
    );
    const dialog = show(title, [form]);
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'));
  });
}

/**
 * A form in a dialog. `send` does the work; the dialog stays open with the reason where it fails.
 * @param {{title: string, text?: string, fields: HTMLElement[], yes: string, send: () => Promise<unknown>}} form
 */
export function ask({ title, text, fields, yes, send }) {
  const problem = h('p', { class: 'notes bad', role: 'alert', hidden: true });
  const submit = h('button', { class: 'button main', type: 'submit' }, yes);
  const form = h(
    'form',
    {
      on: {
        submit: async (/** @type {Event} */ event) => {
          event.preventDefault();
          submit.disabled = true;
          problem.hidden = true;
          try {
            await send();
            dialog.close();
          } catch (error) {
            problem.textContent = error instanceof Error ? error.message : String(error);
            problem.hidden = false;
          } finally {
            submit.disabled = false;
          }
        },
      },
    },
    h('h2', null, title),
    text ? h('p', { class: 'aside' }, text) : null,
    fields,
    problem,
    h(
      'div',
      { class: 'actions' },
      h('button', { class: 'button', type: 'button', on: { click: () => dialog.close() } }, t('cancel')),
      submit,
    ),
  );
  const dialog = show(title, [form]);
  const first = form.querySelector('input, select, textarea');
  if (first instanceof HTMLElement) first.focus();
  return dialog;
}
