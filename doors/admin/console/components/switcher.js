// <y-switcher>: type a few letters, press Enter, and be there: rooms, views, topics, and what the page can do.

import { me, signOut } from '../lib/account.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { chat, chatState, titleOf } from '../lib/im/im.js';
import { go } from '../lib/route.js';
import { dark, language, theme } from '../lib/settings.js';
import { filterProblem } from '../lib/topics.js';
import { newTalk } from '../views/chat/new.js';
import { places } from '../views/places.js';
import { icon } from './icon.js';

const SHOWN_MAX = 9;

/** @typedef {{icon: import('./icon.js').IconName, text: string, kind: string, unread?: number, run: () => void}} Choice */

class Switcher extends Part {
  #input = h('input', {
    class: 'switcher-input',
    type: 'text',
    role: 'combobox',
    autocomplete: 'off',
    spellcheck: false,
    'aria-expanded': 'true',
    'aria-controls': 'switcher-list',
  });
  #list = h('ul', { role: 'listbox', id: 'switcher-list', class: 'switcher-list' });
  #dialog = h('dialog', { class: 'switcher' });
  /** @type {Choice[]} */ #shown = [];
  #at = 0;

  begin() {
    this.#input.placeholder = t('switcher.title');
    this.#input.setAttribute('aria-label', t('switcher.title'));
    this.#dialog.append(
      h('div', { class: 'switcher-head' }, icon('search'), this.#input, h('kbd', null, 'Esc')),
      this.#list,
    );
    this.append(this.#dialog);
    this.#dialog.addEventListener('close', () => this.remove());
    this.#dialog.addEventListener('pointerdown', (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    });
    this.#input.addEventListener('input', () => {
      this.#at = 0;
      this.#draw();
    });
    this.#dialog.addEventListener('keydown', (event) => {
      const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
      if (step) {
        event.preventDefault();
        this.#at = (this.#at + step + this.#shown.length) % Math.max(1, this.#shown.length);
        this.#draw();
      } else if (event.key === 'Enter' && !event.isComposing) {
        event.preventDefault();
        this.#choose(this.#shown[this.#at]);
      } else if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        event.stopPropagation();
        this.#dialog.close();
      }
    });
    this.#dialog.showModal();
    this.#draw();
    this.#input.focus();
  }

  /** @param {Choice | undefined} choice */
  #choose(choice) {
    if (!choice) return;
    this.#dialog.close();
    choice.run();
  }

  #draw() {
    const wanted = this.#input.value.trim().toLowerCase();
    const found = choices(this.#input.value.trim())
      .map((choice) => ({ choice, score: score(choice.text.toLowerCase(), wanted) }))
      .filter(({ score: points }) => points > 0)
      .sort((a, b) => b.score - a.score)
      .map(({ choice }) => choice);
    this.#shown = found.slice(0, SHOWN_MAX);
    fill(
      this.#list,
      this.#shown.map((choice, i) =>
        h(
          'li',
          {
            role: 'option',
            id: `switch-${i}`,
            'aria-selected': String(i === this.#at),
            on: { click: () => this.#choose(choice), pointermove: () => this.#point(i) },
          },
          icon(choice.icon),
          h('span', { class: 'name' }, choice.text),
          choice.unread ? h('span', { class: 'count' }, choice.unread > 99 ? '99+' : choice.unread) : null,
          h('small', null, choice.kind),
        ),
      ),
      this.#shown.length === 0 ? h('li', { class: 'aside none' }, t('switcher.none')) : null,
    );
    this.#input.setAttribute('aria-activedescendant', `switch-${this.#at}`);
  }

  /** @param {number} i */
  #point(i) {
    if (this.#at === i) return;
    this.#at = i;
    [...this.#list.children].forEach((child, at) => child.setAttribute('aria-selected', String(at === i)));
  }
}

/** @param {string} text @returns {Choice[]} */
function choices(text) {
  /** @type {Choice[]} */
  const list = (chatState.value.phase === 'ready' ? chat().conversations.all : []).map((entry) => ({
    icon: entry.kind === 'direct' ? 'user' : entry.kind === 'channel' ? 'megaphone' : 'group',
    text: titleOf(entry),
    kind: t('switcher.talk'),
    unread: entry.unread,
    run: () => go('chat', entry.id),
  }));
  list.sort((a, b) => Number(Boolean(b.unread)) - Number(Boolean(a.unread)));
  for (const { items } of places())
    list.push(
      ...items.map(({ view, icon: name, text: label }) => ({
        icon: name,
        text: label,
        kind: t('switcher.view'),
        run: () => go(view),
      })),
    );
  list.push(
    {
      icon: dark.value ? 'sun' : 'moon',
      text: dark.value ? t('theme.light') : t('theme.dark'),
      kind: t('switcher.action'),
      run: () => (theme.value = dark.value ? 'light' : 'dark'),
    },
    {
      icon: 'globe',
      text: language.value === 'en' ? '简体中文' : 'English',
      kind: t('switcher.action'),
      run: () => (language.value = language.value === 'en' ? 'zh' : 'en'),
    },
    ...(chatState.value.phase === 'ready' ? [{ icon: /** @type {const} */ ('plus'), text: t('im.new'), kind: t('switcher.action'), run: () => newTalk() }] : []),
    {
      icon: 'leave',
      text: me.value?.guest ? t('signin.button') : t('signout'),
      kind: t('switcher.action'),
      run: () => void signOut(),
    },
  );
  if (text.includes('/') && filterProblem(text) === null)
    list.push({ icon: 'topics', text, kind: t('switcher.topic'), run: () => go('topics', text) });
  return list;
}

/**
 * How well a text fits what was typed: as a beginning, a word's beginning, a part, or its letters in order; 0: not at all.
 * @param {string} text
 * @param {string} wanted
 */
function score(text, wanted) {
  if (wanted === '') return 1;
  if (text === wanted) return 6;
  if (text.startsWith(wanted)) return 5;
  const at = text.indexOf(wanted);
  if (at > 0) return /[\s\-_./]/.test(text[at - 1] ?? '') ? 4 : 3;
  let from = 0;
  for (const letter of wanted) {
    from = text.indexOf(letter, from) + 1;
    if (from === 0) return 0;
  }
  return 1;
}

customElements.define('y-switcher', Switcher);
