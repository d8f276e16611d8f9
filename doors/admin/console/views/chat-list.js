// <y-chat-list>: all rooms with what was said last and how much is unread.

import { bones, iconButton, searchField } from '../components/bits.js';
import { hue } from '../components/avatar.js';
import { me } from '../lib/account.js';
import { chatState, isOwn } from '../lib/chat.js';
import { atNextFrame } from '../lib/cell.js';
import { Part, fill, h, reconcile } from '../lib/dom.js';
import { when } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { outbox } from '../lib/outbox.js';
import { typing } from '../lib/people.js';
import { inOrder, rooms } from '../lib/rooms.js';
import { address, route } from '../lib/route.js';
import { newRoom } from './chat.js';

class ChatList extends Part {
  #list = h('ul', { class: 'rooms scroll' });
  #search = '';

  begin() {
    const draw = atNextFrame(() => this.#draw());
    this.replaceChildren(
      h(
        'header',
        null,
        h('h2', null, t('nav.chat')),
        iconButton('plus', t('room.new'), () => newRoom()),
      ),
      h(
        'div',
        { class: 'finder' },
        searchField(t('rooms.search'), (text) => {
          this.#search = text;
          draw();
        }),
      ),
      h('nav', { class: 'rooms-frame', 'aria-label': t('rooms.title') }, this.#list),
    );
    for (const cell of [rooms, typing, outbox, route, chatState, me])
      this.follow(/** @type {import('../lib/cell.js').Cell<any>} */ (cell), draw);
    this.each(60_000, draw);
    this.listen(this.#list, 'keydown', (/** @type {KeyboardEvent} */ event) => {
      const step =
        event.key === 'ArrowDown' ? 'nextElementSibling' : event.key === 'ArrowUp' ? 'previousElementSibling' : null;
      const next = step && document.activeElement?.closest('li')?.[step]?.querySelector('a');
      if (!next) return;
      event.preventDefault();
      next.focus();
    });
  }

  #draw() {
    if (chatState.value.phase === 'loading' && rooms.value.size === 0) {
      if (!this.#list.querySelector('.bones')) fill(this.#list, h('li', { class: 'list-bones' }, bones(8)));
      return;
    }
    this.#list.querySelector('.list-bones')?.remove();
    const open = route.value[1] ?? '';
    const list = inOrder().filter(({ name }) => name.toLowerCase().includes(this.#search));
    reconcile(this.#list, list, {
      key: ({ name }) => name,
      form: (room) =>
        JSON.stringify([
          room.name === open,
          room.unread,
          room.newest?.id,
          room.newest && when(room.newest.at),
          [...(typing.value.get(room.name)?.keys() ?? [])],
          room.draft.slice(0, 60),
          outbox.value.filter((item) => item.room === room.name).map(({ state }) => state),
        ]),
      make: (room) => entry(room, room.name === open),
    });
  }
}

/**
 * @param {import('../lib/rooms.js').Room} room
 * @param {boolean} open
 */
function entry(room, open) {
  const unread = open && document.hasFocus() ? 0 : room.unread;
  const newest = room.newest;
  const typists = [...(typing.value.get(room.name)?.keys() ?? [])];
  const waiting = outbox.value.filter((item) => item.room === room.name);
  const failed = waiting.some(({ state }) => state === 'failed');
  let last;
  if (typists.length) last = h('span', { class: 'last typing' }, t('chat.typing.short', { name: typists[0] ?? '' }));
  else if (failed) last = h('span', { class: 'last failed' }, t('chat.notsent'));
  else if (room.draft && !open)
    last = h('span', { class: 'last' }, h('b', { class: 'draft' }, t('chat.draft')), ' ', room.draft.slice(0, 80));
  else if (newest)
    last = h(
      'span',
      { class: 'last' },
      newest.kind === 'event'
        ? newest.text
        : `${isOwn(newest) ? t('chat.you') : newest.name}: ${newest.text.replace(/\s+/g, ' ').slice(0, 120)}`,
    );
  else last = h('span', { class: 'last' }, t('room.empty.short'));
  return h(
    'li',
    null,
    h(
      'a',
      {
        class: unread ? 'room-link unread' : 'room-link',
        href: address('chat', room.name),
        'aria-current': open ? 'page' : undefined,
      },
      h('span', { class: 'room-tile', 'aria-hidden': 'true', style: { '--hue': String(hue(room.name)) } }, '#'),
      h('b', { class: 'name' }, room.name),
      newest ? h('time', { class: 'time' }, when(newest.at)) : null,
      last,
      unread
        ? h('span', { class: 'count', 'aria-label': t('chat.unread', { n: unread }) }, unread > 99 ? '99+' : unread)
        : null,
    ),
  );
}

customElements.define('y-chat-list', ChatList);
