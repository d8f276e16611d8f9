// Small panels that open above a button: settings, the look of the bullet chat, gifts.

import { h } from './lib/dom.js';

/** Opens and closes a panel at a button; only one is open at a time. */
export class Menu {
  element;
  #button;
  /** @type {() => void} */ #draw;
  static #open = /** @type {Menu | null} */ (null);

  /** @param {HTMLElement} button @param {string} kind @param {(panel: HTMLElement) => void} draw */
  constructor(button, kind, draw) {
    this.#button = button;
    this.element = h('div', { class: `menu ${kind}`, role: 'dialog', hidden: true });
    this.#draw = () => draw(this.element);
    button.setAttribute('aria-haspopup', 'dialog');
    button.setAttribute('aria-expanded', 'false');
    button.addEventListener('click', () => (this.isOpen ? this.close() : this.open()));
  }

  get isOpen() {
    return !this.element.hidden;
  }

  open() {
    Menu.#open?.close();
    Menu.#open = this;
    this.#draw();
    this.element.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
  }

  /** Draws it anew where it is open. */
  redraw() {
    if (!this.isOpen) return;
    const at = [...this.element.querySelectorAll('button, input')].indexOf(/** @type {any} */ (document.activeElement));
    this.#draw();
    const again = this.element.querySelectorAll('button, input')[at];
    if (at >= 0 && again instanceof HTMLElement) again.focus();
  }

  close() {
    if (!this.isOpen) return;
    this.element.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    if (Menu.#open === this) Menu.#open = null;
  }

  static closeAll() {
    Menu.#open?.close();
  }

  static get anyOpen() {
    return Menu.#open !== null;
  }

  /** Whether this lies in the open one or in its button. @param {Node} node */
  static holds(node) {
    return Menu.#open !== null && (Menu.#open.element.contains(node) || Menu.#open.#button.contains(node));
  }
}

addEventListener('pointerdown', ({ target }) => {
  if (target instanceof Node && !Menu.holds(target)) Menu.closeAll();
});
addEventListener('keydown', ({ key }) => {
  if (key === 'Escape') Menu.closeAll();
});

/**
 * A row of which one is chosen.
 * @param {string} label @param {{id: string, text: string, note?: string}[]} options @param {string} now @param {(id: string) => void} choose
 */
export function choice(label, options, now, choose) {
  return h(
    'div',
    { class: 'choice', role: 'radiogroup', 'aria-label': label },
    h('span', { class: 'label' }, label),
    h(
      'span',
      { class: 'options' },
      options.map(({ id, text, note }) =>
        h(
          'button',
          { type: 'button', role: 'radio', 'aria-checked': String(id === now), data: { id }, on: { click: () => choose(id) } },
          text,
          note ? h('small', null, note) : null,
        ),
      ),
    ),
  );
}

/**
 * A slider for a number.
 * @param {string} label @param {{min: number, max: number, step: number}} range @param {import('./lib/dom.js').Cell<number>} cell
 */
export function slider(label, { min, max, step }, cell) {
  const shown = h('output', null, `${Math.round(cell.value * 100)}%`);
  return h(
    'label',
    { class: 'slide' },
    h('span', { class: 'label' }, label),
    h('input', {
      type: 'range',
      min: String(min),
      max: String(max),
      step: String(step),
      value: String(cell.value),
      on: {
        input: (/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => {
          cell.value = Number(currentTarget.value);
          shown.textContent = `${Math.round(cell.value * 100)}%`;
        },
      },
    }),
    shown,
  );
}

/** @param {string} label @param {import('./lib/dom.js').Cell<boolean>} cell */
export function toggle(label, cell) {
  return h(
    'label',
    { class: 'toggle' },
    h('span', { class: 'label' }, label),
    h('input', {
      type: 'checkbox',
      checked: cell.value,
      on: { change: (/** @type {{currentTarget: HTMLInputElement}} */ { currentTarget }) => (cell.value = currentTarget.checked) },
    }),
  );
}
