// <y-bans>: who is kept out, why and for how long.

import { bones, empty, failed, field, heading, iconButton, searchField } from '../components/bits.js';
import { ask, confirm } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { dataTable } from '../components/table.js';
import { admin, all, clientName } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { moment } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { tell, warn } from '../lib/notices.js';

/** Bans that are loaded into the table. */
const BANS_MAX = 5000;
const REFRESH_MS = 10_000;

/** @typedef {import('../lib/admin.js').Ban} Ban */
/** @typedef {import('../lib/admin.js').Session} Session */

class Bans extends Part {
  #frame = h('section', { class: 'card' }, bones(6));
  #table = dataTable({
    label: t('nav.bans'),
    key: (/** @type {Ban} */ { whom }) => whom,
    words: ({ whom, reason, by }) => `${whom} ${reason} ${by}`,
    sort: ['at', -1],
    none: () => empty('ban', t('bans.none'), t('bans.none.text')),
    columns: [
      {
        name: 'whom',
        label: t('bans.whom'),
        sort: ({ whom }) => whom,
        cell: ({ whom }) => {
          const [kind, name] = parts(whom);
          return h('span', { class: 'badges' }, h('span', { class: 'badge' }, t(`bans.${kind}`)), h('b', null, name));
        },
      },
      { name: 'reason', label: t('bans.reason'), sort: ({ reason }) => reason, cell: ({ reason }) => reason },
      {
        name: 'by',
        label: t('bans.by'),
        sort: ({ by }) => by,
        cell: ({ by }) => (by === '$server' ? t('feed.server') : by),
      },
      {
        name: 'at',
        label: t('col.when'),
        sort: ({ at }) => at,
        cell: ({ at }) => h('span', { class: 'number' }, moment(at)),
      },
      {
        name: 'until',
        label: t('bans.until'),
        sort: ({ until }) => until ?? Infinity,
        cell: ({ until }) => (until === null ? t('bans.forever') : h('span', { class: 'number' }, moment(until))),
      },
      {
        name: 'tools',
        label: t('col.tools'),
        tools: true,
        cell: (ban) => iconButton('trash', t('bans.end'), () => void this.#end(ban)),
      },
    ],
  });

  begin() {
    this.className = 'page';
    this.replaceChildren(
      heading(
        t('nav.bans'),
        t('bans.text'),
        h(
          'button',
          { class: 'button main', type: 'button', on: { click: () => void this.#add() } },
          icon('plus'),
          t('bans.add'),
        ),
      ),
      h(
        'div',
        { class: 'content' },
        h(
          'div',
          { class: 'toolbar' },
          searchField(t('bans.search'), (text) => this.#table.search(text)),
        ),
        this.#frame,
      ),
    );
    void this.#look();
    this.each(REFRESH_MS, () => {
      if (!document.hidden && !document.querySelector('dialog[open]')) void this.#look();
    });
  }

  async #look() {
    try {
      const { items } = await all((after) => admin.bans({ after, limit: 1000 }), BANS_MAX);
      if (!this.#table.element.isConnected) fill(this.#frame, this.#table.element);
      this.#table.show(items);
    } catch (error) {
      if (!this.#table.element.isConnected)
        fill(
          this.#frame,
          failed(error, () => void this.#look()),
        );
    }
  }

  async #add() {
    if (await askBan(null)) await this.#look();
  }

  /** @param {Ban} ban */
  async #end({ whom }) {
    const yes = await confirm({ title: t('bans.end.title', { name: parts(whom)[1] }), text: t('bans.end.text'), yes: t('bans.end') });
    if (!yes) return;
    try {
      await admin.unban(whom);
      tell(t('bans.ended'));
      await this.#look();
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
  }
}

const kinds = /** @type {const} */ (['user', 'device', 'client', 'address']);
/** @typedef {(typeof kinds)[number]} Kind */

/** @param {string} whom @returns {[Kind, string]} */
function parts(whom) {
  const at = whom.indexOf(':');
  return [/** @type {Kind} */ (whom.slice(0, at)), whom.slice(at + 1)];
}

/**
 * Asks whom to keep out, and does it. Whether somebody was.
 * @param {Session | null} session the one that is meant, where one is
 * @returns {Promise<boolean>}
 */
export function askBan(session) {
  const device = session ? clientName(session) : '';
  /** @type {{[kind in Kind]: string}} */
  const names = {
    user: session?.user ?? '',
    device,
    client: session && device ? `${session.user}/${device}` : '',
    address: session?.connection?.address ?? '',
  };
  const offered = kinds.filter((kind) => !session || names[kind]);
  const kind = h(
    'select',
    { class: 'input' },
    offered.map((value) => h('option', { value }, t(`bans.${value}`))),
  );
  kind.value = session && device ? 'device' : 'user';
  const name = h('input', { class: 'input mono', required: true, maxLength: 256, autocomplete: 'off', spellcheck: false });
  const chosen = () => /** @type {Kind} */ (kind.value);
  const suggest = () => {
    name.value = names[chosen()];
    name.placeholder = { user: 'ann', device: 'sensor-7', client: 'ann/sensor-7', address: '10.1.0.0/16' }[chosen()];
  };
  suggest();
  kind.addEventListener('change', suggest);
  const reason = h('input', { class: 'input', maxLength: 120, placeholder: t('bans.reason.hint') });
  const time = h(
    'select',
    { class: 'input' },
    /** @type {[string, string][]} */ ([
      ['600', t('bans.minutes', { n: 10 })],
      ['3600', t('bans.hours', { n: 1 })],
      ['86400', t('bans.days', { n: 1 })],
      ['604800', t('bans.days', { n: 7 })],
      ['', t('bans.forever')],
    ]).map(([value, text]) => h('option', { value }, text)),
  );
  time.value = '3600';
  return new Promise((resolve) => {
    let done = false;
    const dialog = ask({
      title: t('bans.add'),
      text: t('bans.add.text'),
      fields: [field(t('bans.kind'), kind), field(t('bans.whom'), name), field(t('bans.reason'), reason), field(t('bans.time'), time)],
      yes: t('bans.yes'),
      send: async () => {
        await admin.ban({
          whom: `${kind.value}:${name.value.trim()}`,
          ...(reason.value.trim() && { reason: reason.value.trim() }),
          ...(time.value && { expires_in: Number(time.value) }),
        });
        done = true;
        tell(t('bans.done', { name: name.value.trim() }));
      },
    });
    dialog.addEventListener('close', () => resolve(done));
  });
}

customElements.define('y-bans', Bans);
