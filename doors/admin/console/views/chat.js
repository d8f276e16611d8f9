// <y-chat>: the list of rooms, the room that is open, and who is in it.

import './chat-list.js';
import './chat-people.js';
import './chat-timeline.js';
import './chat-composer.js';
import { bones, empty, failed, iconButton } from '../components/bits.js';
import { ask } from '../components/dialog.js';
import { field } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { openMenu } from '../components/menu.js';
import { me } from '../lib/account.js';
import { setNotifications } from '../lib/alerts.js';
import { chatState, describeRoom, load, startChat, stopChat, watchReaders } from '../lib/chat.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { warn } from '../lib/notices.js';
import { roomName, rooms } from '../lib/rooms.js';
import { address, go, goInstead, route } from '../lib/route.js';
import { notifications } from '../lib/settings.js';

const wide = matchMedia('(min-width: 721px)');

class Chat extends Part {
  #room = h('section', { class: 'room', 'aria-label': t('nav.chat') });
  /** @type {import('../lib/rooms.js').Room | null} */ #open = null;

  begin() {
    this.replaceChildren(document.createElement('y-chat-list'), this.#room);
    this.follow(route, () => this.#go());
    this.follow(chatState, () => this.#go());
    this.keep(() => this.#leave());
  }

  #leave() {
    this.#open?.rest();
    if (this.#open) watchReaders(null);
    this.#open = null;
  }

  #go() {
    const [view, name] = route.value;
    if (view !== 'chat') return;
    this.classList.toggle('open', Boolean(name));
    if (chatState.value.phase === 'refused') {
      fill(this.#room, empty('lock', t('chat.refused'), chatState.value.reason));
      return;
    }
    if (chatState.value.phase !== 'ready') {
      if (!this.#open) fill(this.#room, h('div', { class: 'timeline-bones' }, bones(9)));
      return;
    }
    if (!name) {
      this.#leave();
      const last = localStorage.getItem('yizhan.room');
      const first = last && rooms.value.has(last) ? last : 'lobby';
      if (wide.matches) goInstead('chat', first);
      else fill(this.#room);
      return;
    }
    const room = rooms.value.get(name);
    if (!room) {
      this.#leave();
      fill(
        this.#room,
        empty(
          'hash',
          t('room.none', { name }),
          t('room.none.text'),
          h('button', { class: 'button main', type: 'button', on: { click: () => newRoom(name) } }, t('room.create')),
        ),
      );
      return;
    }
    if (room === this.#open) return;
    this.#leave();
    this.#open = room;
    localStorage.setItem('yizhan.room', name);
    void this.#show(room);
  }

  /** @param {import('../lib/rooms.js').Room} room */
  async #show(room) {
    if (!room.loaded && room.kept) {
      fill(this.#room, heading(room), h('div', { class: 'timeline-bones' }, bones(9)));
      try {
        await load(room);
      } catch (error) {
        if (this.#open === room)
          fill(
            this.#room,
            heading(room),
            failed(error, () => void this.#show(room)),
          );
        return;
      }
    }
    if (this.#open !== room) return;
    const timeline = /** @type {import('./chat-timeline.js').Timeline} */ (document.createElement('y-timeline'));
    const composer = /** @type {import('./chat-composer.js').Composer} */ (document.createElement('y-composer'));
    const people = /** @type {import('./chat-people.js').People} */ (document.createElement('y-people'));
    timeline.room = composer.room = people.room = room;
    fill(this.#room, heading(room), h('div', { class: 'talk' }, timeline, composer), people);
    watchReaders(room);
    if (wide.matches) composer.take();
  }
}

/** @param {import('../lib/rooms.js').Room} room */
function heading(room) {
  const purpose = h('p', { class: 'aside' }, room.purpose || (room.kept ? t('room.nopurpose') : t('room.unkept')));
  const bell = iconButton(notifications.value === 'on' ? 'bell' : 'bell-off', t('notify'), async () => {
    const problem = await setNotifications(notifications.value !== 'on');
    if (problem) warn(problem, t('notify.advice'));
    bell.classList.toggle('on', notifications.value === 'on');
    bell.setAttribute('aria-pressed', String(notifications.value === 'on'));
    fill(bell, icon(notifications.value === 'on' ? 'bell' : 'bell-off'));
  });
  bell.classList.toggle('on', notifications.value === 'on');
  bell.setAttribute('aria-pressed', String(notifications.value === 'on'));
  const more = iconButton('more', t('more'), () =>
    openMenu(more, [
      { label: t('room.purpose'), icon: 'settings', run: () => changePurpose(room) },
      ...(me.value?.admin
        ? [{ label: t('room.explore'), icon: /** @type {const} */ ('topics'), run: () => go('topics', room.topic) }]
        : []),
    ]),
  );
  const people = iconButton('accounts', t('people.title'), () =>
    document.querySelector('y-people')?.classList.toggle('shown'),
  );
  people.classList.add('people-button');
  return h(
    'header',
    null,
    h('a', { class: 'icon-button back', href: address('chat'), 'aria-label': t('back') }, icon('back')),
    h(
      'div',
      { class: 'lead' },
      h('h1', null, h('span', { class: 'hash', 'aria-hidden': 'true' }, '#'), room.name),
      purpose,
    ),
    bell,
    people,
    more,
  );
}

/** @param {import('../lib/rooms.js').Room} room */
function changePurpose(room) {
  const purpose = h('input', { class: 'input', value: room.purpose, maxLength: 200 });
  ask({
    title: t('room.purpose'),
    fields: [field(t('room.purpose.label'), purpose)],
    yes: t('save'),
    send: async () => {
      await describeRoom(room.name, purpose.value.trim(), 'purpose');
      const shown = document.querySelector('.room > header .lead p');
      if (shown) shown.textContent = purpose.value.trim() || t('room.nopurpose');
    },
  });
}

/**
 * Asks for a new room, and goes there.
 * @param {string} [wanted]
 */
export function newRoom(wanted = '') {
  const name = h('input', {
    class: 'input',
    required: true,
    maxLength: 60,
    value: wanted,
    autocomplete: 'off',
    placeholder: t('room.name.example'),
  });
  const purpose = h('input', { class: 'input', maxLength: 200, autocomplete: 'off' });
  ask({
    title: t('room.new'),
    text: t('room.new.text'),
    fields: [field(t('room.name'), name, t('room.name.hint')), field(t('room.purpose.label'), purpose)],
    yes: t('room.create'),
    send: async () => {
      const clean = roomName(name.value);
      if (!clean) throw new Error(t('room.name.bad'));
      if (!rooms.value.has(clean)) await describeRoom(clean, purpose.value.trim(), 'created');
      go('chat', clean);
    },
  });
}

/** Begins the chat anew, after it was refused. */
export function restartChat() {
  stopChat();
  void startChat();
}

customElements.define('y-chat', Chat);
