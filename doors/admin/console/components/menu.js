// A menu that opens at a button.

import { h } from '../lib/dom.js';
import { icon } from './icon.js';

/** @typedef {{label: string, icon?: import('./icon.js').IconName, run: () => void, danger?: boolean, ticked?: boolean}} Item */
/** @typedef {Item | 'line' | {heading: string}} Entry */

/**
 * Opens a menu beside `anchor`; arrow keys move in it, Escape and a press elsewhere close it.
 * @param {HTMLElement} anchor
 * @param {Entry[]} entries
 * @param {{head?: HTMLElement, at?: {x: number, y: number}}} [options] what stands above the entries; where it opens instead
 */
export function openMenu(anchor, entries, { head, at } = {}) {
  const menu = h('div', { class: 'menu', role: 'menu', popover: 'auto' });
  if (head) {
    menu.append(head);
    head.addEventListener('click', () => menu.hidePopover());
  }
  for (const entry of entries) {
    if (entry === 'line') menu.append(h('hr'));
    else if ('heading' in entry) menu.append(h('div', { class: 'heading' }, entry.heading));
    else {
      const press = () => {
        menu.hidePopover();
        entry.run();
      };
      menu.append(
        h(
          'button',
          {
            type: 'button',
            role: entry.ticked === undefined ? 'menuitem' : 'menuitemradio',
            class: entry.danger ? 'danger' : '',
            'aria-checked': entry.ticked === undefined ? undefined : String(entry.ticked),
            on: { click: press },
          },
          entry.icon ? icon(entry.icon) : null,
          h('span', null, entry.label),
          entry.ticked ? icon('check', 'tick') : null,
        ),
      );
    }
  }
  menu.addEventListener('toggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== 'closed') return;
    menu.remove();
    anchor.setAttribute('aria-expanded', 'false');
    if (document.activeElement === document.body) anchor.focus();
  });
  menu.addEventListener('keydown', (event) => {
    const buttons = [...menu.querySelectorAll('button')];
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  });
  document.body.append(menu);
  menu.showPopover();
  anchor.setAttribute('aria-expanded', 'true');
  place(menu, at ?? anchor);
  menu.querySelector('button')?.focus();
}

/**
 * @param {HTMLElement} menu
 * @param {HTMLElement | {x: number, y: number}} anchor
 */
export function place(menu, anchor) {
  const at = anchor instanceof HTMLElement ? anchor.getBoundingClientRect() : new DOMRect(anchor.x, anchor.y, 0, 0);
  const size = menu.getBoundingClientRect();
  const left = Math.min(
    Math.max(8, at.right - size.width > 8 && at.left > innerWidth / 2 ? at.right - size.width : at.left),
    innerWidth - size.width - 8,
  );
  const below = at.bottom + 6 + size.height < innerHeight;
  menu.style.left = `${left}px`;
  menu.style.top = `${Math.max(8, below ? at.bottom + 6 : at.top - size.height - 6)}px`;
}
