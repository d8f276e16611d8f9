// Picking an emoji: recent ones, groups, and a search by words in English and Chinese.

import { icon } from '../../components/icon.js';
import { place } from '../../components/menu.js';
import { fill, h } from '../../lib/dom.js';
import { findEmoji, groups, recentEmoji, usedEmoji } from '../../lib/im/emoji.js';
import { t } from '../../lib/i18n.js';

/** Columns of the grid, as in write.css. */
const COLUMNS = 9;

/**
 * Opens the picker at an element.
 * @param {HTMLElement} anchor
 * @param {(emoji: string) => void} choose
 * @param {{stay?: boolean}} [options] whether it stays open for more
 */
export function pickEmoji(anchor, choose, { stay = false } = {}) {
  const list = h('div', { class: 'groups' });
  const input = h('input', { class: 'input', type: 'search', placeholder: t('emoji.search'), 'aria-label': t('emoji.search'), autocomplete: 'off' });
  const picker = h('div', { class: 'menu emoji-picker', popover: 'auto', role: 'dialog', 'aria-label': t('write.emoji') }, h('label', { class: 'search' }, icon('search'), input), list);
  const grid = (/** @type {string[]} */ emoji) =>
    h(
      'div',
      { class: 'emoji-grid' },
      emoji.map((each) =>
        h(
          'button',
          {
            type: 'button',
            'aria-label': each,
            on: {
              click: () => {
                usedEmoji(each);
                choose(each);
                if (!stay) picker.hidePopover();
              },
            },
          },
          each,
        ),
      ),
    );
  const draw = () => {
    const text = input.value.trim();
    if (text) {
      const found = findEmoji(text).map(({ emoji }) => emoji);
      fill(list, found.length ? grid(found) : h('p', { class: 'aside' }, t('emoji.none')));
      return;
    }
    const recent = recentEmoji();
    fill(
      list,
      recent.length ? [h('h3', null, t('emoji.recent')), grid(recent)] : null,
      groups.map(({ group, items }) => [h('h3', null, t(`emoji.${group}`)), grid(items.map(({ emoji }) => emoji))]),
    );
  };
  input.addEventListener('input', draw);
  picker.addEventListener('keydown', (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS }[event.key];
    const buttons = [...list.querySelectorAll('button')];
    if (event.target === input) {
      if (event.key === 'ArrowDown') {
        event.preventDefault();
        buttons[0]?.focus();
      } else if (event.key === 'Enter') {
        event.preventDefault();
        buttons[0]?.click();
      }
    } else if (step) {
      event.preventDefault();
      const next = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement)) + step;
      if (next < 0) input.focus();
      else buttons[next]?.focus();
    }
  });
  picker.addEventListener('toggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === 'closed') picker.remove();
  });
  draw();
  document.body.append(picker);
  picker.showPopover();
  place(picker, anchor);
  // On a phone the keyboard would cover the emoji.
  if (matchMedia('(hover: hover)').matches) input.focus();
}
