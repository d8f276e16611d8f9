// <y-audit>: who did what, newest first.

import { avatar } from '../components/avatar.js';
import { bones, empty, failed, heading, searchField } from '../components/bits.js';
import { dataTable } from '../components/table.js';
import { admin } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { moment } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { route } from '../lib/route.js';

const PAGE = 200;

/** @typedef {import('../lib/admin.js').AuditEntry} AuditEntry */

class Audit extends Part {
  /** @type {AuditEntry[]} */ #all = [];
  #frame = h('section', { class: 'card' }, bones(8));
  #more = h('button', { class: 'button', type: 'button', hidden: true }, t('audit.older'));
  /** @type {string | number | null} */ #next = null;
  #table = dataTable({
    label: t('nav.audit'),
    key: (/** @type {AuditEntry} */ { id }) => String(id),
    words: ({ who, what, subject, detail, address }) =>
      `${who} ${what} ${tName('audit', what)} ${subject ?? ''} ${detail ?? ''} ${address ?? ''}`,
    sort: ['at', -1],
    none: () => empty('audit', t('audit.none')),
    columns: [
      {
        name: 'at',
        label: t('col.when'),
        sort: ({ id }) => id,
        cell: ({ at }) => h('span', { class: 'number' }, moment(at)),
      },
      {
        name: 'who',
        label: t('col.who'),
        sort: ({ who }) => who,
        cell: ({ who }) => h('span', { class: 'with-avatar' }, avatar(who, { size: 24 }), who),
      },
      {
        name: 'what',
        label: t('col.what'),
        sort: ({ what }) => what,
        cell: ({ what }) => h('span', { class: `badge ${grade(what)}`, title: what }, tName('audit', what)),
      },
      {
        name: 'subject',
        label: t('col.subject'),
        sort: ({ subject }) => subject ?? '',
        cell: ({ subject }) => subject ?? '–',
      },
      { name: 'detail', label: t('col.detail'), cell: ({ detail }) => detail ?? '' },
      {
        name: 'address',
        label: t('col.address'),
        sort: ({ address }) => address ?? '',
        cell: ({ address, door }) =>
          h(
            'span',
            { class: 'mono' },
            address ?? '',
            door ? h('span', { class: 'aside' }, ` ${tName('door', door)}`) : null,
          ),
      },
    ],
  });

  begin() {
    this.className = 'page';
    const search = searchField(t('audit.search'), (text) => this.#table.search(text));
    this.replaceChildren(
      heading(t('nav.audit'), t('audit.text')),
      h(
        'div',
        { class: 'content' },
        h('div', { class: 'toolbar' }, search),
        this.#frame,
        h('div', { class: 'centre' }, this.#more),
      ),
    );
    this.listen(this.#more, 'click', () => void this.#look());
    const user = route.value[1];
    const input = search.querySelector('input');
    if (user && input) {
      input.value = user;
      this.#table.search(user.toLowerCase());
    }
    void this.#look();
  }

  async #look() {
    try {
      const { items, next } = await admin.audit({ before: this.#next, limit: PAGE });
      this.#all.push(...items);
      this.#next = next;
      this.#more.hidden = next === null;
      if (!this.#table.element.isConnected) fill(this.#frame, this.#table.element);
      this.#table.show(this.#all);
    } catch (error) {
      if (this.#all.length === 0)
        fill(
          this.#frame,
          failed(error, () => void this.#look()),
        );
    }
  }
}

/** @param {string} what */
function grade(what) {
  if (/failed|blocked/.test(what)) return 'bad';
  if (/remove|revoke|kick/.test(what)) return 'wait';
  return /create/.test(what) ? 'good' : '';
}

customElements.define('y-audit', Audit);
