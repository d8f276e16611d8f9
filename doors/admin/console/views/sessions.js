// <y-sessions>: clients: who is connected, by which door, who sleeps; one of them is `<y-client>`, on a page of its own.

import './client.js';
import { avatar } from '../components/avatar.js';
import { bones, empty, failed, heading, searchField, segments } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { dataTable } from '../components/table.js';
import { me } from '../lib/account.js';
import { admin, all, clientName } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { ago, moment, whole } from '../lib/format.js';
import { byDoor } from '../lib/doors.js';
import { t, tName } from '../lib/i18n.js';
import { go, route } from '../lib/route.js';

/** Sessions that are loaded into the table. */
const SESSIONS_MAX = 5000;
const REFRESH_MS = 5000;
/** How long somebody types before the server is asked. */
const TYPING_MS = 250;

/** @typedef {import('../lib/admin.js').Session} Session */

class Sessions extends Part {
  #only = /** @type {'all' | 'live' | 'asleep'} */ ('all');
  #search = '';
  #door = '';
  #looks = 0;
  #shown = '';
  /** @type {Set<string>} */ #doors = new Set();
  #doorChoice = h('select', { class: 'input', 'aria-label': t('col.door') });
  #note = h('p', { class: 'aside', role: 'status' });
  #frame = h('section', { class: 'card' }, bones(8));
  #loaded = false;
  #table = dataTable({
    label: t('nav.sessions'),
    key: (/** @type {Session} */ { id }) => id,
    form: (session) => JSON.stringify([session, Math.floor(Date.now() / 60_000)]),
    sort: ['opened', -1],
    open: ({ id }) => go('sessions', id),
    none: () => empty('sessions', t('sessions.none'), t('sessions.none.text')),
    columns: [
      {
        name: 'user',
        label: t('col.client'),
        sort: (session) => `${session.user} ${clientName(session)}`,
        cell: (session) =>
          h(
            'span',
            { class: 'with-avatar' },
            avatar(session.user, { size: 28, online: session.connection !== null }),
            h('span', { class: 'two' }, h('b', null, clientName(session) || session.user), h('small', null, session.user)),
          ),
      },
      {
        name: 'door',
        label: t('col.door'),
        sort: ({ door }) => door ?? '~',
        cell: ({ door, connection }) =>
          h(
            'span',
            { class: 'badges' },
            door ? h('span', { class: connection ? 'badge accent' : 'badge' }, tName('door', door)) : null,
            connection ? null : h('span', { class: 'badge' }, t('sessions.asleep')),
          ),
      },
      {
        name: 'address',
        label: t('col.address'),
        sort: ({ connection }) => connection?.address ?? '~',
        cell: ({ connection }) =>
          connection
            ? h('span', { class: 'mono with-icon' }, connection.address, connection.secure ? icon('lock') : null)
            : '–',
      },
      {
        name: 'opened',
        label: t('col.opened'),
        sort: ({ opened_at }) => opened_at,
        cell: ({ opened_at }) => h('span', { title: moment(opened_at) }, ago(opened_at)),
      },
      {
        name: 'subscriptions',
        label: t('col.subscriptions'),
        right: true,
        sort: ({ subscriptions }) => subscriptions,
        cell: ({ subscriptions }) => whole(subscriptions),
      },
      {
        name: 'delivered',
        label: t('col.delivered'),
        right: true,
        sort: ({ delivered }) => delivered,
        cell: ({ delivered }) => whole(delivered),
      },
      {
        name: 'waiting',
        label: t('col.waiting'),
        right: true,
        sort: ({ waiting }) => waiting,
        cell: ({ waiting }) => (waiting ? h('span', { class: 'badge wait' }, whole(waiting)) : '0'),
      },
      {
        name: 'missed',
        label: t('col.missed'),
        right: true,
        sort: ({ missed }) => missed,
        cell: ({ missed }) => (missed ? h('span', { class: 'badge bad' }, whole(missed)) : '0'),
      },
    ],
  });

  begin() {
    this.follow(route, ([view, id]) => {
      if (view !== 'sessions' || this.#shown === (id ?? ' ')) return;
      this.#shown = id ?? ' ';
      if (id) this.#one(id);
      else this.#list();
    });
    this.each(REFRESH_MS, () => {
      if (this.#shown === ' ' && !document.hidden && !document.querySelector('dialog[open]')) void this.#look();
    });
  }

  /** @param {string} id */
  #one(id) {
    const client = /** @type {import('./client.js').Client} */ (document.createElement('y-client'));
    client.session = id;
    this.className = 'hollow';
    this.replaceChildren(client);
  }

  #list() {
    this.className = 'page';
    let typing = 0;
    const search = searchField(t('sessions.search'), (text) => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        this.#search = text;
        void this.#look();
      }, TYPING_MS);
    });
    const input = search.querySelector('input');
    if (input) input.value = this.#search;
    this.#doorChoice.onchange = () => {
      this.#door = this.#doorChoice.value;
      void this.#look();
    };
    this.#drawDoors();
    this.replaceChildren(
      heading(
        t('nav.sessions'),
        me.value?.admin ? t('sessions.text') : t('sessions.text.own'),
        segments(
          t('sessions.which'),
          [
            { value: 'all', text: t('sessions.all') },
            { value: 'live', text: t('sessions.live') },
            { value: 'asleep', text: t('sessions.asleep') },
          ],
          this.#only,
          (value) => {
            this.#only = value;
            void this.#look();
          },
        ),
      ),
      h('div', { class: 'content' }, h('div', { class: 'toolbar' }, search, this.#doorChoice, this.#note), this.#frame),
    );
    void this.#look();
  }

  #drawDoors() {
    const names = [...this.#doors].sort(byDoor);
    fill(
      this.#doorChoice,
      h('option', { value: '' }, t('sessions.anydoor')),
      names.map((name) => h('option', { value: name, selected: name === this.#door }, tName('door', name))),
    );
  }

  async #look() {
    const look = ++this.#looks;
    try {
      const wanted = { state: this.#only === 'all' ? null : this.#only, search: this.#search, door: this.#door };
      const { items, more } = await all((after) => admin.sessions({ ...wanted, after, limit: 1000 }), SESSIONS_MAX);
      // An answer that was overtaken by a newer question.
      if (look !== this.#looks) return;
      if (!this.#loaded) fill(this.#frame, this.#table.element);
      this.#loaded = true;
      const known = this.#doors.size;
      for (const { door } of items) if (door) this.#doors.add(door);
      if (this.#doors.size > known) this.#drawDoors();
      const live = items.filter(({ connection }) => connection).length;
      this.#note.textContent =
        t('sessions.count', { live: whole(live), asleep: whole(items.length - live) }) +
        (more ? ` ${t('list.cut', { n: whole(SESSIONS_MAX) })}` : '');
      this.#table.show(items);
    } catch (error) {
      if (!this.#loaded)
        fill(
          this.#frame,
          failed(error, () => void this.#look()),
        );
    }
  }
}

customElements.define('y-sessions', Sessions);
