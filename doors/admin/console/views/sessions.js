// <y-sessions>: who is connected, by which door, and what they hear; with a way to end it.

import { avatar } from '../components/avatar.js';
import { bones, copyButton, empty, failed, heading, iconButton, searchField, segments } from '../components/bits.js';
import { confirm, show } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { dataTable } from '../components/table.js';
import { me } from '../lib/account.js';
import { admin, all } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { ago, moment, whole } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { line } from '../lib/line.js';
import { tell, warn } from '../lib/notices.js';

/** Sessions that are loaded into the table. */
const SESSIONS_MAX = 5000;
const REFRESH_MS = 5000;

/** @typedef {import('../lib/admin.js').Session} Session */

class Sessions extends Part {
  /** @type {Session[]} */ #all = [];
  #only = /** @type {'all' | 'live' | 'asleep'} */ ('all');
  #note = h('p', { class: 'aside', role: 'status' });
  #frame = h('section', { class: 'card' }, bones(8));
  #loaded = false;
  #table = dataTable({
    label: t('nav.sessions'),
    key: (/** @type {Session} */ { id }) => id,
    form: (session) => JSON.stringify([session, Math.floor(Date.now() / 60_000)]),
    words: ({ id, user, device, connection }) =>
      `${id} ${user} ${device ?? ''} ${connection?.address ?? ''} ${connection?.door ?? ''}`,
    sort: ['opened', -1],
    open: (session) => void showSession(session),
    none: () => empty('sessions', t('sessions.none'), t('sessions.none.text')),
    columns: [
      {
        name: 'user',
        label: t('col.user'),
        sort: ({ user }) => user,
        cell: ({ user, device, connection }) =>
          h(
            'span',
            { class: 'with-avatar' },
            avatar(user, { size: 28, online: connection !== null }),
            h('span', { class: 'two' }, h('b', null, user), h('small', null, device ?? t('sessions.nodevice'))),
          ),
      },
      {
        name: 'door',
        label: t('col.door'),
        sort: ({ connection }) => connection?.door ?? '~',
        cell: ({ connection }) =>
          connection
            ? h('span', { class: 'badge accent' }, tName('door', connection.door))
            : h('span', { class: 'badge' }, t('sessions.asleep')),
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
      {
        name: 'tools',
        label: t('col.tools'),
        tools: true,
        cell: (session) => iconButton('unplug', t('sessions.kick'), () => void this.#kick(session)),
      },
    ],
  });

  begin() {
    this.className = 'page';
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
            this.#draw();
          },
        ),
      ),
      h(
        'div',
        { class: 'content' },
        h(
          'div',
          { class: 'toolbar' },
          searchField(t('sessions.search'), (text) => this.#table.search(text)),
          this.#note,
        ),
        this.#frame,
      ),
    );
    const look = () => {
      if (!document.hidden && !document.querySelector('dialog[open]')) void this.#look();
    };
    void this.#look();
    this.each(REFRESH_MS, look);
  }

  async #look() {
    try {
      const { items, more } = await all((after) => admin.sessions({ after, limit: 1000 }), SESSIONS_MAX);
      this.#all = items;
      if (!this.#loaded) fill(this.#frame, this.#table.element);
      this.#loaded = true;
      const live = items.filter(({ connection }) => connection).length;
      this.#note.textContent =
        t('sessions.count', { live: whole(live), asleep: whole(items.length - live) }) +
        (more ? ` ${t('list.cut', { n: whole(SESSIONS_MAX) })}` : '');
      this.#draw();
    } catch (error) {
      if (!this.#loaded)
        fill(
          this.#frame,
          failed(error, () => void this.#look()),
        );
    }
  }

  #draw() {
    this.#table.show(
      this.#all.filter(({ connection }) => this.#only === 'all' || (connection !== null) === (this.#only === 'live')),
    );
  }

  /** @param {Session} session */
  async #kick(session) {
    const own = session.id === line.session.value;
    const yes = await confirm({
      title: t('sessions.kick.title', { user: session.user }),
      text: own ? t('sessions.kick.own') : t('sessions.kick.text'),
      yes: t('sessions.kick'),
      danger: true,
    });
    if (!yes) return;
    try {
      await admin.endSession(session.id);
      tell(t('sessions.kicked', { user: session.user }));
      await this.#look();
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
  }
}

/** @param {Session} session */
async function showSession(session) {
  const list = h('div', null, bones(4));
  const rows = /** @type {[string, import('../lib/dom.js').Child][]} */ ([
    [t('col.session'), h('span', { class: 'with-icon' }, h('code', null, session.id), copyButton(session.id))],
    [t('col.device'), session.device ?? '–'],
    [t('col.opened'), moment(session.opened_at)],
    [t('col.connected'), session.connection ? moment(session.connection.since) : t('sessions.asleep')],
    [
      t('col.address'),
      session.connection
        ? `${session.connection.address} · ${tName('door', session.connection.door)}${session.connection.secure ? ' · TLS' : ''}`
        : '–',
    ],
  ]);
  const dialog = show(
    session.user,
    [
      h(
        'form',
        { method: 'dialog' },
        h(
          'div',
          { class: 'with-avatar' },
          avatar(session.user, { size: 40, online: session.connection !== null }),
          h('h2', null, session.user),
        ),
        h(
          'dl',
          { class: 'facts' },
          rows.map(([name, value]) => [h('dt', null, name), h('dd', null, value)]),
        ),
        h('h3', null, t('sessions.hears')),
        list,
        h('div', { class: 'actions' }, h('button', { class: 'button', autofocus: true }, t('close'))),
      ),
    ],
    { big: true },
  );
  if (!me.value?.admin) {
    fill(list, h('p', { class: 'aside' }, t('sessions.hears.count', { n: session.subscriptions })));
    return;
  }
  try {
    const { items } = await admin.subscriptions({ session: session.id });
    if (!dialog.isConnected) return;
    fill(
      list,
      items.length === 0
        ? h('p', { class: 'aside' }, t('sessions.hears.none'))
        : h(
            'ul',
            { class: 'lines scroll' },
            items.map(({ filter, delivered, behind }) =>
              h(
                'li',
                null,
                h('code', null, filter),
                behind ? h('span', { class: 'badge wait' }, t('sessions.behind')) : null,
                h('span', { class: 'aside number' }, t('sessions.delivered', { n: whole(delivered) })),
              ),
            ),
          ),
    );
  } catch (error) {
    fill(list, h('p', { class: 'notes bad' }, error instanceof Error ? error.message : String(error)));
  }
}

customElements.define('y-sessions', Sessions);
