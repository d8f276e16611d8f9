// <y-queues>: what waits or is shared on its way: groups that share a filter, messages for later, bridges to other brokers.

import { bones, empty, failed, heading, iconButton } from '../components/bits.js';
import { confirm } from '../components/dialog.js';
import { dataTable } from '../components/table.js';
import { admin } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { moment, span, whole } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { tell, warn } from '../lib/notices.js';
import { address } from '../lib/route.js';

const REFRESH_MS = 3000;
/** Messages for later that are shown: the first that are due. */
const DELAYED_SHOWN = 200;

/** @typedef {import('../lib/admin.js').Group} Group */
/** @typedef {import('../lib/admin.js').Delayed} Delayed */
/** @typedef {import('../lib/admin.js').Bridge} Bridge */

/**
 * A column with a number that is marked where it is not 0.
 * @template T
 * @param {string} name
 * @param {string} label
 * @param {(row: T) => number} value
 * @param {string} [mark]
 * @returns {import('../components/table.js').Column<T>}
 */
function count(name, label, value, mark = '') {
  return {
    name,
    label,
    right: true,
    sort: value,
    cell: (row) => (mark && value(row) ? h('span', { class: `badge ${mark}` }, whole(value(row))) : whole(value(row))),
  };
}

class Queues extends Part {
  #groups = this.#part(t('queues.groups'), t('queues.groups.text'));
  #delayed = this.#part(t('queues.delayed'), t('queues.delayed.text'));
  #bridges = this.#part(t('queues.bridges'), t('queues.bridges.text'));
  #groupTable = dataTable({
    label: t('queues.groups'),
    key: (/** @type {Group} */ { name, filter }) => `${name} ${filter}`,
    sort: ['name', 1],
    none: () => empty('accounts', t('queues.groups.none'), t('queues.groups.none.text')),
    columns: [
      {
        name: 'name',
        label: t('col.group'),
        sort: ({ name }) => name,
        cell: ({ name }) => h('b', null, name),
      },
      {
        name: 'filter',
        label: t('col.filter'),
        sort: ({ filter }) => filter,
        cell: ({ filter }) => h('a', { class: 'mono', href: address('topics', filter, 'listeners') }, filter),
      },
      { name: 'deal', label: t('queues.deal'), sort: ({ deal }) => deal, cell: ({ deal }) => tName('deal', deal) },
      {
        name: 'members',
        label: t('queues.members'),
        right: true,
        sort: ({ live }) => live,
        cell: ({ live, members }) =>
          h('span', { class: live ? '' : 'badge bad' }, t('queues.live', { live: whole(live), all: whole(members) })),
      },
      count('unacked', t('queues.unacked'), ({ unacked }) => unacked),
      count('waiting', t('col.waiting'), ({ waiting }) => waiting, 'wait'),
      count('missed', t('col.missed'), ({ missed }) => missed, 'bad'),
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
  #delayedTable = dataTable({
    label: t('queues.delayed'),
    key: (/** @type {Delayed} */ { id }) => id,
    form: (row) => JSON.stringify([row, Math.floor(Date.now() / 3000)]),
    sort: ['due', 1],
    none: () => empty('clock', t('queues.delayed.none'), t('queues.delayed.none.text')),
    columns: [
      {
        name: 'due',
        label: t('queues.due'),
        sort: ({ id }) => id,
        cell: ({ due_at: due }) =>
          h('span', { class: 'number', title: moment(due) }, t('queues.in', { time: span(Math.max(0, (due - Date.now()) / 1000)) })),
      },
      {
        name: 'topic',
        label: t('col.topic'),
        sort: ({ topic }) => topic,
        cell: ({ topic }) => h('a', { class: 'mono', href: address('topics', topic) }, topic),
      },
      {
        name: 'from',
        label: t('col.from'),
        sort: ({ user }) => user,
        cell: ({ user, device }) => h('span', null, user, device ? h('span', { class: 'aside' }, ` ${device}`) : null),
      },
      count('bytes', t('queues.size'), ({ bytes: n }) => n),
      {
        name: 'taken',
        label: t('queues.taken'),
        sort: ({ taken_at }) => taken_at,
        cell: ({ taken_at }) => h('span', { class: 'number' }, moment(taken_at)),
      },
      {
        name: 'tools',
        label: t('col.tools'),
        tools: true,
        cell: (row) => iconButton('trash', t('queues.cancel'), () => void this.#cancel(row)),
      },
    ],
  });
  #bridgeTable = dataTable({
    label: t('queues.bridges'),
    key: (/** @type {Bridge} */ { name }) => name,
    sort: ['name', 1],
    none: () => empty('link', t('queues.bridges.none'), t('queues.bridges.none.text')),
    columns: [
      {
        name: 'name',
        label: t('col.name'),
        sort: ({ name }) => name,
        cell: ({ name, address: to }) => h('span', { class: 'two' }, h('b', null, name), h('small', null, to)),
      },
      {
        name: 'state',
        label: t('col.state'),
        sort: ({ connected_at }) => (connected_at === null ? 0 : 1),
        cell: ({ connected_at: at, failures }) =>
          at === null
            ? h('span', { class: 'badge bad' }, failures ? t('queues.down.after', { n: failures }) : t('queues.down'))
            : h('span', { class: 'badge good', title: moment(at) }, t('queues.up')),
      },
      {
        name: 'since',
        label: t('col.connected'),
        sort: ({ connected_at }) => connected_at ?? 0,
        cell: ({ connected_at: at }) => (at === null ? '–' : moment(at)),
      },
      count('waiting', t('col.waiting'), ({ waiting }) => waiting, 'wait'),
      count('sent', t('queues.sent'), ({ sent }) => sent),
      count('received', t('queues.received'), ({ received }) => received),
      count('dropped', t('chart.dropped'), ({ dropped, missed }) => dropped + missed, 'bad'),
      { name: 'error', label: t('queues.error'), cell: ({ last_error: error }) => error ?? '' },
    ],
  });

  begin() {
    this.className = 'page';
    this.replaceChildren(
      heading(t('nav.queues'), t('queues.text')),
      h('div', { class: 'content' }, this.#groups.element, this.#delayed.element, this.#bridges.element),
    );
    void this.#look();
    this.each(REFRESH_MS, () => {
      if (!document.hidden && !document.querySelector('dialog[open]')) void this.#look();
    });
  }

  /** @param {string} title @param {string} text */
  #part(title, text) {
    const [frame, note] = [h('div', null, bones(3)), h('span', { class: 'aside number' })];
    const element = h(
      'section',
      { class: 'card' },
      h('header', null, h('h2', null, title), note),
      h('p', { class: 'aside explain' }, text),
      frame,
    );
    return { element, frame, note };
  }

  async #look() {
    await Promise.all([
      this.#load(this.#groups, this.#groupTable, admin.groups),
      this.#load(this.#delayed, this.#delayedTable, async () => {
        const list = await admin.delayed({ limit: DELAYED_SHOWN });
        this.#delayed.note.textContent = list.count ? t('queues.delayed.count', { n: whole(list.count) }) : '';
        return list;
      }),
      this.#load(this.#bridges, this.#bridgeTable, admin.bridges),
    ]);
  }

  /**
   * @template T
   * @param {{frame: HTMLElement}} part
   * @param {import('../components/table.js').DataTable<T>} table
   * @param {() => Promise<import('../lib/admin.js').List<T>>} load
   */
  async #load({ frame }, table, load) {
    try {
      const { items } = await load();
      if (!table.element.isConnected) fill(frame, table.element);
      table.show(items);
    } catch (error) {
      if (!table.element.isConnected)
        fill(
          frame,
          failed(error, () => void this.#look()),
        );
    }
  }

  /** @param {Delayed} row */
  async #cancel({ id, topic }) {
    const yes = await confirm({
      title: t('queues.cancel.title'),
      text: t('queues.cancel.text', { topic }),
      yes: t('queues.cancel'),
      danger: true,
    });
    if (!yes) return;
    try {
      await admin.cancelDelayed(id);
      tell(t('queues.cancelled'));
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
    await this.#look();
  }
}

customElements.define('y-queues', Queues);
