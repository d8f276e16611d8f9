// <y-client>: one client: its session and connection, what it listens to, what is under way to it; ending, keeping out and following it.

import { avatar } from '../components/avatar.js';
import { bones, copyButton, empty, failed } from '../components/bits.js';
import { confirm } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { dataTable } from '../components/table.js';
import { me } from '../lib/account.js';
import { ApiError, admin, clientName } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { moment, span, whole } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { line } from '../lib/line.js';
import { tell, warn } from '../lib/notices.js';
import { address, go } from '../lib/route.js';
import './client-trace.js';
import { askBan } from './bans.js';

const REFRESH_MS = 3000;

/** @typedef {import('../lib/admin.js').Session} Session */
/** @typedef {import('../lib/admin.js').Subscription} Subscription */

export class Client extends Part {
  session = '';
  #head = h('header', { class: 'client-head' });
  #connection = h('div', { class: 'body' }, bones(5));
  #figures = h('dl', { class: 'figures client-figures' });
  #hears = h('div', null, bones(4));
  #trace = h('div');
  #table = dataTable({
    label: t('sessions.hears'),
    key: (/** @type {Subscription} */ { id }) => String(id),
    sort: ['filter', 1],
    none: () => empty('topics', t('sessions.hears.none')),
    columns: [
      {
        name: 'filter',
        label: t('col.filter'),
        sort: ({ filter }) => filter,
        cell: ({ filter }) => h('a', { class: 'mono', href: address('topics', filter) }, filter),
      },
      { name: 'qos', label: 'QoS', right: true, sort: ({ qos }) => qos, cell: ({ qos }) => String(qos) },
      {
        name: 'group',
        label: t('col.group'),
        sort: ({ group }) => group ?? '',
        cell: ({ group }) => (group ? h('span', { class: 'badge accent' }, group) : '–'),
      },
      {
        name: 'delivered',
        label: t('col.delivered'),
        right: true,
        sort: ({ delivered }) => delivered,
        cell: ({ delivered }) => whole(delivered),
      },
      {
        name: 'behind',
        label: t('col.state'),
        cell: ({ behind }) =>
          behind
            ? h('span', { class: 'badge wait' }, t('sessions.behind'))
            : h('span', { class: 'badge good' }, t('feed.live')),
      },
    ],
  });

  begin() {
    this.className = 'page client';
    this.replaceChildren(
      this.#head,
      h(
        'div',
        { class: 'content' },
        this.#trace,
        h(
          'div',
          { class: 'client-grid' },
          h('section', { class: 'card' }, h('header', null, h('h2', null, t('client.about'))), this.#connection),
          h(
            'section',
            { class: 'card' },
            h('header', null, h('h2', null, t('client.figures'))),
            h('div', { class: 'body' }, this.#figures),
          ),
        ),
        h('section', { class: 'card' }, h('header', null, h('h2', null, t('sessions.hears'))), this.#hears),
      ),
    );
    void this.#look(true);
    this.each(REFRESH_MS, () => {
      if (!document.hidden && !document.querySelector('dialog[open]')) void this.#look(false);
    });
  }

  /** @param {boolean} first */
  async #look(first) {
    try {
      const session = await admin.session(this.session);
      this.#draw(session);
      if (me.value?.admin) {
        const { items } = await admin.subscriptions({ session: this.session });
        if (!this.#table.element.isConnected) fill(this.#hears, this.#table.element);
        this.#table.show(items);
      } else fill(this.#hears, h('p', { class: 'body aside' }, t('sessions.hears.count', { n: session.subscriptions })));
      if (first) void this.#resume(session);
    } catch (error) {
      if (error instanceof ApiError && error.code === 301) this.#gone();
      else if (first)
        fill(
          this.#connection,
          failed(error, () => void this.#look(true)),
        );
    }
  }

  #gone() {
    fill(
      this,
      h('header', { class: 'client-head' }, this.#back()),
      h('div', { class: 'content' }, empty('sessions', t('client.gone'), t('client.gone.text'))),
    );
  }

  #back() {
    return h(
      'a',
      { class: 'icon-button', href: address('sessions'), title: t('nav.sessions'), 'aria-label': t('nav.sessions') },
      icon('back'),
    );
  }

  /** @param {Session} session */
  #draw(session) {
    const { connection, door } = session;
    const name = clientName(session);
    const form = JSON.stringify([session.user, name, connection !== null, door]);
    if (this.#head.dataset['form'] !== form) {
      this.#head.dataset['form'] = form;
      fill(
        this.#head,
        this.#back(),
        avatar(session.user, { size: 40, online: connection !== null }),
        h(
          'div',
          { class: 'lead' },
          h('h1', null, name || session.user),
          h(
            'p',
            { class: 'badges' },
            h('span', null, session.user),
            door ? h('span', { class: 'badge accent' }, tName('door', door)) : null,
            connection
              ? h('span', { class: 'badge good' }, t('client.live'))
              : h('span', { class: 'badge' }, t('sessions.asleep')),
          ),
        ),
        h('div', { class: 'tools' }, this.#tools(session)),
      );
    }
    /** @type {[string, import('../lib/dom.js').Child][]} */
    const facts = [
      [t('col.session'), h('span', { class: 'with-icon' }, h('code', null, session.id), copyButton(session.id))],
      [t('col.opened'), moment(session.opened_at)],
      [t('client.keep'), session.keep ? span(session.keep) : t('client.keep.not')],
      ...(session.device && session.device !== name
        ? [/** @type {[string, string]} */ ([t('col.device'), session.device])]
        : []),
      [t('col.connected'), connection ? moment(connection.since) : t('sessions.asleep')],
      [
        t('col.address'),
        connection
          ? h('span', { class: 'mono with-icon' }, connection.address, connection.secure ? icon('lock') : null)
          : '–',
      ],
    ];
    fill(
      this.#connection,
      h(
        'dl',
        { class: 'facts' },
        facts.map(([label, value]) => [h('dt', null, label), h('dd', null, value)]),
      ),
    );
    const figures = [
      [t('col.waiting'), session.waiting],
      [t('col.delivered'), session.delivered],
      [t('col.missed'), session.missed],
      [t('col.subscriptions'), session.subscriptions],
      ...Object.entries(session.figures).map(([key, value]) => [tName('figure', key), value]),
    ];
    fill(
      this.#figures,
      figures.map(([label, value]) => h('div', null, h('dt', null, label), h('dd', null, whole(Number(value))))),
    );
  }

  /** @param {Session} session */
  #tools(session) {
    const name = clientName(session);
    const button = (/** @type {import('../components/icon.js').IconName} */ image, /** @type {string} */ text, /** @type {() => void} */ run, more = '') =>
      h('button', { class: `button ${more}`, type: 'button', on: { click: run } }, icon(image), text);
    const operator = me.value?.admin;
    return [
      operator && session.door === 'mqtt' && name
        ? button('search', t('client.trace'), () => void this.#follow(name))
        : null,
      session.connection ? button('unplug', t('client.disconnect'), () => void this.#disconnect(session)) : null,
      operator ? button('ban', t('client.ban'), () => void this.#ban(session)) : null,
      button('trash', t('sessions.kick'), () => void this.#end(session), 'danger'),
    ];
  }

  /** @param {Session} session */
  async #disconnect(session) {
    const yes = await confirm({
      title: t('client.disconnect.title', { name: clientName(session) || session.user }),
      text: session.id === line.session.value ? t('sessions.kick.own') : t('client.disconnect.text'),
      yes: t('client.disconnect'),
    });
    if (yes) await this.#do(() => admin.disconnect(session.id), t('client.disconnected'));
  }

  /** @param {Session} session */
  async #end(session) {
    const yes = await confirm({
      title: t('sessions.kick.title', { user: clientName(session) || session.user }),
      text: session.id === line.session.value ? t('sessions.kick.own') : t('sessions.kick.text'),
      yes: t('sessions.kick'),
      danger: true,
    });
    if (!yes) return;
    await this.#do(() => admin.endSession(session.id), t('sessions.kicked', { user: clientName(session) || session.user }));
    go('sessions');
  }

  /** @param {Session} session */
  async #ban(session) {
    if (await askBan(session)) await this.#look(false);
  }

  /** @param {() => Promise<unknown>} work @param {string} done */
  async #do(work, done) {
    try {
      await work();
      tell(done);
      await this.#look(false);
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
  }

  /** Shows a trace that runs already. @param {Session} session */
  async #resume(session) {
    const name = clientName(session);
    if (!me.value?.admin || session.door !== 'mqtt' || !name) return;
    const { items } = await admin.traces();
    if (items.some(({ client }) => client === name)) this.#show(name);
  }

  /** @param {string} client */
  async #follow(client) {
    try {
      const { topic } = await admin.startTrace(client, 300);
      this.#show(client, topic);
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
  }

  /** @param {string} client @param {string} [topic] */
  #show(client, topic = `$SYS/trace/${client.replace(/[+#]/g, '_')}`) {
    const trace = /** @type {import('./client-trace.js').ClientTrace} */ (document.createElement('y-client-trace'));
    [trace.client, trace.topic] = [client, topic];
    fill(this.#trace, trace);
  }
}

customElements.define('y-client', Client);
