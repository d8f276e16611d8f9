// <y-chat-list>: all conversations, newest first, as many as there may be: only the rows in sight are on the page.
// Typing in the search field finds conversations and, below them, messages.

import { bones, empty, iconButton } from '../../components/bits.js';
import { icon } from '../../components/icon.js';
import { talkFace, personFace, faceForm } from '../../components/face.js';
import { openMenu } from '../../components/menu.js';
import { askForNotifications, mayAskForNotifications } from '../../lib/alerts.js';
import { atNextFrame } from '../../lib/cell.js';
import { Part, fill, h, reconcile } from '../../lib/dom.js';
import { when } from '../../lib/format.js';
import { chat, chatState, list, myName, nameOf, people, silent, titleOf, typing } from '../../lib/im/im.js';
import { preview, recalledText } from '../../lib/im/preview.js';
import { t } from '../../lib/i18n.js';
import { line } from '../../lib/line.js';
import { address, go, route } from '../../lib/route.js';
import { language } from '../../lib/settings.js';
import { marked } from './marked.js';
import { newTalk } from './new.js';
import { talkMenu } from './talk-menu.js';

/** @typedef {import('/sdk/im.js').Entry} Entry */

/** The height of a row, as in chat.css. */
const ROW = 66;
/** Rows above and below those in sight. */
const AROUND = 8;
/** How long one stops typing before messages are searched, ms. */
const SEARCH_AFTER = 250;

class ChatList extends Part {
  #scroll = h('div', { class: 'talks scroll' });
  #space = h('ul', { class: 'talks-space' });
  #found = h('div', { class: 'found' });
  #ask = h('div');
  #search = '';
  #asked = 0;
  /** @type {Entry[]} */ #shown = [];
  #draw = atNextFrame(() => this.#paint());

  begin() {
    const input = h('input', {
      class: 'input',
      type: 'search',
      placeholder: t('im.search'),
      'aria-label': t('im.search'),
      autocomplete: 'off',
      spellcheck: false,
      on: { input: () => this.#look(input.value.trim()) },
    });
    input.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && input.value) {
        input.value = '';
        this.#look('');
      } else if (event.key === 'ArrowDown') {
        event.preventDefault();
        this.querySelector('a')?.focus();
      } else if (event.key === 'Enter' && this.#shown[0]) go('chat', this.#shown[0].id);
    });
    this.#scroll.append(this.#space, this.#found);
    this.replaceChildren(
      h(
        'header',
        null,
        h('h2', null, t('im.title')),
        iconButton('accounts', t('people.friends'), () => go('people')),
        iconButton('plus', t('im.new'), () => newTalk()),
      ),
      h('div', { class: 'finder' }, h('label', { class: 'search' }, icon('search'), input)),
      this.#ask,
      h('nav', { class: 'talks-frame', 'aria-label': t('im.list') }, this.#scroll),
    );
    for (const cell of [list, people, typing, route, chatState, line.state])
      this.follow(/** @type {import('../../lib/cell.js').Cell<any>} */ (cell), this.#draw);
    this.listen(this.#scroll, 'scroll', this.#draw, { passive: true });
    const observer = new ResizeObserver(this.#draw);
    observer.observe(this.#scroll);
    this.keep(() => observer.disconnect());
    this.each(60_000, this.#draw);
    this.listen(this.#space, 'keydown', (/** @type {KeyboardEvent} */ event) => this.#move(event));
  }

  /** Asks about notifications, once there is somebody who may write. */
  #askPolitely() {
    if (this.#ask.childElementCount || !mayAskForNotifications()) return;
    const answer = (/** @type {boolean} */ yes) => {
      fill(this.#ask);
      void askForNotifications(yes);
    };
    fill(
      this.#ask,
      h(
        'div',
        { class: 'ask-notify' },
        icon('bell'),
        h('span', null, t('notify.ask')),
        h(
          'div',
          { class: 'actions' },
          h('button', { class: 'button small main', type: 'button', on: { click: () => answer(true) } }, t('notify.yes')),
          h('button', { class: 'button small quiet', type: 'button', on: { click: () => answer(false) } }, t('notify.later')),
        ),
      ),
    );
  }

  /** @param {KeyboardEvent} event */
  #move(event) {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    const id = document.activeElement?.closest('li')?.dataset['key'];
    const at = this.#shown.findIndex((entry) => entry.id === id) + step;
    const entry = this.#shown[at];
    if (!step || id === undefined || !entry) return;
    event.preventDefault();
    const top = at * ROW;
    if (top < this.#scroll.scrollTop) this.#scroll.scrollTop = top;
    else if (top + ROW > this.#scroll.scrollTop + this.#scroll.clientHeight) this.#scroll.scrollTop = top + ROW - this.#scroll.clientHeight;
    this.#paint();
    const next = this.#space.querySelector(`[data-key="${entry.id}"] a`);
    if (next instanceof HTMLElement) next.focus();
  }

  /** @param {string} text */
  #look(text) {
    this.#search = text.toLowerCase();
    this.#scroll.scrollTop = 0;
    this.#paint();
    const asked = ++this.#asked;
    if (text.length === 0) {
      fill(this.#found);
      return;
    }
    setTimeout(async () => {
      if (asked !== this.#asked) return;
      const { hits, total } = await chat()
        .search({ text, limit: 20 })
        .catch(() => ({ hits: [], total: 0 }));
      if (asked !== this.#asked) return;
      fill(
        this.#found,
        hits.length ? h('div', { class: 'found-heading' }, `${t('talk.messages')} · ${t('search.count', { n: total })}`) : null,
        hits.map((hit) => foundRow(hit)),
      );
      if (!hits.length && !this.#shown.length)
        fill(this.#found, h('p', { class: 'found-heading' }, t('im.nomatch', { search: text })));
    }, SEARCH_AFTER);
  }

  #paint() {
    if (chatState.value.phase !== 'ready') {
      if (chatState.value.phase === 'loading' && !this.#space.querySelector('.bones'))
        fill(this.#space, h('div', { class: 'list-bones' }, bones(8)));
      else if (chatState.value.phase === 'refused') fill(this.#space);
      return;
    }
    this.#space.querySelector('.list-bones')?.remove();
    const all = chat().conversations.all;
    this.#shown = this.#search
      ? all.filter((entry) => titleOf(entry).toLowerCase().includes(this.#search) || entry.peer?.toLowerCase().includes(this.#search))
      : all;
    if (all.length === 0) {
      if (!this.#space.querySelector('.empty'))
        fill(
          this.#space,
          h('div', null, empty('chat', t('im.none'), t('im.none.text'), h('button', { class: 'button main', type: 'button', on: { click: () => newTalk() } }, t('im.new')))),
        );
      this.#space.style.height = '';
      return;
    }
    this.#space.querySelector('div')?.remove();
    this.#askPolitely();
    this.#space.style.height = `${this.#shown.length * ROW}px`;
    const first = Math.max(0, Math.floor(this.#scroll.scrollTop / ROW) - AROUND);
    const last = Math.min(this.#shown.length, Math.ceil((this.#scroll.scrollTop + (this.#scroll.clientHeight || 900)) / ROW) + AROUND);
    const open = route.value[0] === 'chat' ? (route.value[1] ?? '') : '';
    const part = this.#shown.slice(first, last);
    // Writing goes on in the row that has the focus, though rows move.
    const focused = document.activeElement?.closest('y-chat-list li')?.getAttribute('data-key');
    reconcile(this.#space, part, {
      key: ({ id }) => id,
      form: (entry) => rowForm(entry, entry.id === open),
      make: (entry) => row(entry, entry.id === open),
    });
    part.forEach(({ id }, i) => {
      const element = this.#space.children[i];
      if (element instanceof HTMLElement && element.dataset['key'] === id) element.style.transform = `translateY(${(first + i) * ROW}px)`;
    });
    if (focused && !this.#space.contains(document.activeElement)) {
      const again = this.#space.querySelector(`[data-key="${CSS.escape(focused)}"] a`);
      if (again instanceof HTMLElement) again.focus({ preventScroll: true });
    }
  }
}

/** @param {Entry} entry @param {boolean} open */
function rowForm(entry, open) {
  const { last } = entry;
  return JSON.stringify([
    open,
    language.value,
    titleOf(entry),
    entry.avatar,
    entry.peer ? faceForm(entry.peer) : '',
    entry.unread,
    entry.mentions,
    entry.marked_unread,
    entry.pinned_at,
    entry.notify,
    entry.draft,
    last && [last.seq, last.edited?.count, last.recalled?.at, when(last.at), nameOf(last.from), preview(last.content), stateOf(entry)],
    typing.value.get(entry.id),
    line.state.value.phase === 'online',
  ]);
}

/** How far my own last message is; nothing where it is not mine. @param {Entry} entry */
function stateOf(entry) {
  const waiting = chat().conversation(entry.id).messages.at(-1);
  if (waiting?.state === 'pending' || waiting?.state === 'failed') return waiting.state;
  if (!entry.last || entry.last.from !== myName() || entry.last.recalled) return '';
  return chat().conversation(entry.id).stateOf(entry.last.seq);
}

const ticks = /** @type {const} */ ({
  pending: ['clock', 'im.sending'],
  failed: ['alert', 'im.failed'],
  sent: ['check', 'im.sent'],
  delivered: ['seen', 'im.delivered'],
  read: ['seen', 'im.read'],
});

/** @param {string} state */
export function tick(state) {
  const found = ticks[/** @type {keyof typeof ticks} */ (state)];
  if (!found) return null;
  return h('span', { class: state === 'read' ? 'tick seen' : 'tick', role: 'img', title: t(found[1]), 'aria-label': t(found[1]) }, icon(found[0]));
}

/** @param {Entry} entry @param {boolean} open */
function row(entry, open) {
  const { id, last, unread, mentions } = entry;
  const quiet = silent(entry);
  const link = h(
    'a',
    {
      class: ['talk-link', unread || entry.marked_unread ? 'unread' : '', entry.pinned_at ? 'pinned' : ''].join(' '),
      href: address('chat', id),
      'aria-current': open ? 'page' : undefined,
    },
    talkFace(entry),
    h('b', { class: 'name' }, entry.kind === 'channel' ? icon('megaphone') : null, h('span', null, titleOf(entry)), quiet ? icon('bell-off') : null),
    h('span', { class: 'time' }, tick(stateOf(entry)), last ? h('time', null, when(last.at)) : null),
    lastLine(entry, open),
    h(
      'span',
      { class: 'marks' },
      mentions && !open ? h('span', { class: 'count at-count', title: t('im.mentioned'), 'aria-label': t('im.mentioned') }, '@') : null,
      unread
        ? h('span', { class: quiet ? 'count quiet' : 'count', 'aria-label': t('im.unread', { n: unread }) }, unread > 99 ? '99+' : unread)
        : entry.marked_unread
          ? h('span', { class: 'count', 'aria-label': t('im.markunread') }, ' ')
          : entry.pinned_at
            ? icon('pin')
            : null,
    ),
  );
  const menu = (/** @type {Event} */ event) => {
    event.preventDefault();
    openMenu(link, talkMenu(entry));
  };
  link.addEventListener('contextmenu', menu);
  return h('li', null, link);
}

/** @param {Entry} entry @param {boolean} open */
function lastLine(entry, open) {
  const { last } = entry;
  const typists = typing.value.get(entry.id);
  if (typists?.length)
    return h('span', { class: 'last typing' }, entry.kind === 'direct' ? t('im.typing') : t('im.typing.one', { name: nameOf(typists[0] ?? '') }));
  if (stateOf(entry) === 'failed') return h('span', { class: 'last failed' }, t('im.failed'));
  if (entry.draft && !open)
    return h('span', { class: 'last' }, h('b', { class: 'draft' }, t('im.draft')), ' ', entry.draft.slice(0, 100));
  if (!last) return h('span', { class: 'last' }, '');
  if (last.recalled) return h('span', { class: 'last' }, recalledText(last, myName()));
  const who = entry.kind === 'direct' ? '' : `${last.from === myName() ? t('im.you') : nameOf(last.from)}: `;
  return h(
    'span',
    { class: 'last' },
    entry.mentions && !open ? h('b', { class: 'at' }, `[${t('im.mentioned')}] `) : null,
    who + preview(last.content),
  );
}

/** @param {import('/sdk/im/types.js').Hit} hit */
function foundRow({ message, snippet, marks }) {
  const entry = chat().conversations.get(message.conversation);
  return h(
    'button',
    { class: 'hit', type: 'button', on: { click: () => go('chat', message.conversation, 'at', String(message.seq)) } },
    entry ? talkFace(entry, { size: 38, dot: false }) : personFace(message.from, { size: 38 }),
    h('b', null, entry ? titleOf(entry) : nameOf(message.from)),
    h('time', null, when(message.at)),
    h('p', null, entry?.kind === 'direct' ? '' : `${nameOf(message.from)}: `, marked(snippet, marks)),
  );
}

customElements.define('y-chat-list', ChatList);
