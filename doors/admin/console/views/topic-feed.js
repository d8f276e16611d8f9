// <y-topic-feed>: records of a filter as a table: live as they come, the state, or the history by pages; and who listens.

import { bones, copyButton, empty, failed, iconButton, searchField } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { cut, jsonView } from '../components/json.js';
import { dataTable } from '../components/table.js';
import { confirm } from '../components/dialog.js';
import { me } from '../lib/account.js';
import { RETAINED, admin } from '../lib/admin.js';
import { atNextFrame } from '../lib/cell.js';
import { Part, fill, h } from '../lib/dom.js';
import { bytes, clockMillis, moment, whole } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { LineError, line } from '../lib/line.js';
import { tell, warn } from '../lib/notices.js';
import { hasWildcard } from '../lib/topics.js';

/** Records held of a live feed; the oldest go. */
const RECORDS_MAX = 1000;
const PAGE = 100;

/** @typedef {import('../lib/line.js').LineRecord} LineRecord */
/** @typedef {{id: string, record: LineRecord}} Row */

export class TopicFeed extends Part {
  filter = '';
  /** @type {'live' | 'state' | 'history' | 'listeners'} */ kind = 'live';
  /** @type {Row[]} */ #rows = [];
  /** Records that came while the table stood still. @type {Row[]} */ #held = [];
  #paused = false;
  #count = 0;
  #missed = 0;
  #frame = h('div', { class: 'feed-table scroll' });
  #detail = h('aside', { class: 'detail', hidden: true });
  #status = h('span', { class: 'aside number', role: 'status' });
  #tools = h('div', { class: 'toolbar feed-tools' });
  /** @type {ReturnType<TopicFeed['makeTable']>} */ #table = this.makeTable();

  begin() {
    this.classList.add('feed');
    this.#table = this.makeTable();
    this.#detail.setAttribute('aria-label', t('feed.detail'));
    this.replaceChildren(this.#tools, h('div', { class: 'feed-body' }, this.#frame, this.#detail));
    fill(this.#frame, bones(6));
    if (this.kind === 'live') this.#live();
    else if (this.kind === 'state') void this.#state();
    else if (this.kind === 'history') void this.#history();
    else void this.#listeners();
  }

  makeTable() {
    return dataTable({
      label: t('nav.topics'),
      key: (/** @type {Row} */ { id }) => id,
      form: () => '',
      words: ({ record }) => `${record.topic} ${record.from ?? ''} ${record.key ?? ''} ${preview(record)}`,
      sort: ['at', -1],
      open: ({ record }) => this.#showRecord(record),
      none: () =>
        this.kind === 'live'
          ? empty('clock', t('feed.live.none'), t('feed.live.none.text'))
          : empty(
              'topics',
              this.kind === 'state' ? t('feed.state.none') : t('feed.history.none'),
              this.kind === 'state' ? t('feed.state.none.text') : undefined,
            ),
      columns: [
        {
          name: 'at',
          label: t('col.when'),
          sort: ({ record }) => record.at,
          cell: ({ record }) => h('span', { class: 'mono number' }, clockMillis(record.at)),
        },
        ...(hasWildcard(this.filter) ? [topicColumn()] : []),
        {
          name: 'from',
          label: t('col.from'),
          sort: ({ record }) => record.from ?? '',
          cell: ({ record }) => record.from || t('feed.server'),
        },
        {
          name: 'key',
          label: t('col.key'),
          sort: ({ record }) => record.key ?? '',
          cell: ({ record }) => (record.key ? h('span', { class: 'badge accent' }, record.key) : ''),
        },
        {
          name: 'seq',
          label: t('col.seq'),
          right: true,
          sort: ({ record }) => record.seq ?? -1,
          cell: ({ record }) => (record.seq === undefined ? '–' : whole(record.seq)),
        },
        {
          name: 'body',
          label: t('col.body'),
          cell: ({ record }) => h('span', { class: 'mono preview' }, preview(record)),
        },
      ],
    });
  }

  /** @param {LineRecord} record @returns {Row} */
  #row(record) {
    return { id: String(++this.#count), record };
  }

  #live() {
    const draw = atNextFrame(() => {
      if (!this.#table.element.isConnected) fill(this.#frame, this.#table.element);
      this.#table.show(this.#rows);
      this.#say();
    });
    const pause = h('button', { class: 'button small', type: 'button' });
    const sayPause = () =>
      fill(
        pause,
        icon(this.#paused ? 'play' : 'pause'),
        this.#paused ? t('feed.resume', { n: this.#held.length }) : t('pause'),
      );
    this.listen(pause, 'click', () => {
      this.#paused = !this.#paused;
      if (!this.#paused) this.#rows = [...this.#rows, ...this.#held.splice(0)].slice(-RECORDS_MAX);
      sayPause();
      draw();
    });
    sayPause();
    const clear = h(
      'button',
      { class: 'button small quiet', type: 'button', on: { click: () => ((this.#rows = []), draw()) } },
      icon('trash'),
      t('feed.clear'),
    );
    fill(
      this.#tools,
      searchField(t('feed.search'), (text) => this.#table.search(text)),
      pause,
      clear,
      this.#status,
    );
    let rateFrom = Date.now();
    let rateCount = 0;
    this.each(1000, () => {
      const now = Date.now();
      this.#rate = ((this.#count - rateCount) * 1000) / (now - rateFrom);
      [rateFrom, rateCount] = [now, this.#count];
      if (this.#paused) sayPause();
      this.#say();
    });
    const listening = line.subscribe(this.filter, hasWildcard(this.filter) ? {} : { state: true }, {
      record: (record) => {
        const to = this.#paused ? this.#held : this.#rows;
        to.push(this.#row(record));
        if (to.length > RECORDS_MAX * 1.2) to.splice(0, to.length - RECORDS_MAX);
        if (!this.#paused) draw();
      },
      missed: (n) => {
        this.#missed += Math.max(1, n);
        this.#say();
      },
      failed: (error) => fill(this.#frame, empty('lock', t('feed.refused'), error.message)),
    });
    this.keep(() => listening.end());
    draw();
  }
  #rate = 0;

  #say() {
    this.#status.textContent =
      t('feed.count', { n: whole(this.#count), rate: this.#rate.toFixed(this.#rate < 10 ? 1 : 0) }) +
      (this.#missed ? ` · ${t('feed.missed', { n: whole(this.#missed) })}` : '');
  }

  async #state() {
    const again = h(
      'button',
      { class: 'button small', type: 'button', on: { click: () => void this.#state() } },
      icon('refresh'),
      t('refresh'),
    );
    fill(
      this.#tools,
      searchField(t('feed.search'), (text) => this.#table.search(text)),
      again,
      this.#status,
    );
    try {
      const records = await line.stateOf(this.filter);
      this.#rows = records.map((record) => this.#row(record));
      fill(this.#frame, this.#table.element);
      this.#table.show(this.#rows);
      this.#status.textContent = t('feed.state.count', { n: whole(records.length) });
    } catch (error) {
      fill(
        this.#frame,
        this.#problem(error, () => void this.#state()),
      );
    }
  }

  async #history() {
    const older = h(
      'button',
      { class: 'button small', type: 'button', disabled: true },
      icon('history'),
      t('feed.older'),
    );
    const from = h('input', {
      class: 'input number',
      type: 'number',
      min: '1',
      placeholder: t('feed.before'),
      'aria-label': t('feed.before'),
    });
    const jump = h(
      'form',
      {
        class: 'jump',
        on: {
          submit: (/** @type {Event} */ event) => (
            event.preventDefault(),
            void load(Number(from.value) || undefined, true)
          ),
        },
      },
      from,
      h('button', { class: 'button small', type: 'submit' }, t('feed.jump')),
    );
    fill(
      this.#tools,
      searchField(t('feed.search'), (text) => this.#table.search(text)),
      older,
      jump,
      this.#status,
    );
    /** @param {number | undefined} before @param {boolean} fresh */
    const load = async (before, fresh) => {
      older.disabled = true;
      try {
        const page = await line.history(this.filter, { ...(before !== undefined && { before }), limit: PAGE });
        if (fresh) this.#rows = [];
        this.#rows = [...page.records.map((record) => this.#row(record)), ...this.#rows];
        fill(this.#frame, this.#table.element);
        this.#table.show(this.#rows);
        older.disabled = !page.more;
        const [first, last] = [this.#rows[0]?.record.seq, this.#rows.at(-1)?.record.seq];
        this.#status.textContent =
          first === undefined
            ? ''
            : t('feed.range', { first: whole(first), last: whole(last ?? first) }) +
              (page.missed ? ` · ${t('feed.missed', { n: page.missed })}` : '');
      } catch (error) {
        fill(
          this.#frame,
          this.#problem(error, () => void load(before, fresh)),
        );
      }
    };
    this.listen(older, 'click', () => void load(this.#rows[0]?.record.seq, false));
    await load(undefined, true);
  }

  async #listeners() {
    fill(this.#tools, this.#status);
    try {
      const { items } = await admin.subscriptions(
        hasWildcard(this.filter) ? { filter: this.filter } : { topic: this.filter },
      );
      const table = dataTable({
        label: t('topics.listeners'),
        key: (/** @type {import('../lib/admin.js').Subscription} */ { session, id }) => `${session} ${id}`,
        sort: ['user', 1],
        none: () => empty('sessions', t('feed.listeners.none')),
        columns: [
          { name: 'user', label: t('col.user'), sort: ({ user }) => user, cell: ({ user }) => user },
          {
            name: 'filter',
            label: t('col.filter'),
            sort: ({ filter }) => filter,
            cell: ({ filter }) => h('span', { class: 'mono' }, filter),
          },
          {
            name: 'session',
            label: t('col.session'),
            cell: ({ session }) => h('span', { class: 'mono aside' }, session),
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
      fill(this.#frame, table.element);
      table.show(items);
      this.#status.textContent = t('feed.listeners.count', { n: whole(items.length) });
    } catch (error) {
      fill(
        this.#frame,
        failed(error, () => void this.#listeners()),
      );
    }
  }

  /** @param {unknown} error @param {() => void} again */
  #problem(error, again) {
    if (error instanceof LineError && error.code === 311)
      return empty('history', t('feed.unkept'), t('feed.unkept.text'));
    if (error instanceof LineError && error.code === 210) return empty('lock', t('feed.refused'), error.message);
    return failed(error, again);
  }

  /** @param {LineRecord} record */
  #showRecord(record) {
    /** @type {[string, import('../lib/dom.js').Child][]} */
    const facts = [
      [t('col.topic'), h('span', { class: 'with-icon' }, h('code', null, record.topic), copyButton(record.topic))],
      [t('col.when'), moment(record.at)],
      [t('col.from'), `${record.from || t('feed.server')}${record.device ? ` · ${record.device}` : ''}`],
      ...(record.session
        ? [/** @type {[string, HTMLElement]} */ ([t('col.session'), h('code', null, record.session)])]
        : []),
      ...(record.key ? [/** @type {[string, HTMLElement]} */ ([t('col.key'), h('code', null, record.key)])] : []),
      ...(record.seq !== undefined ? [/** @type {[string, string]} */ ([t('col.seq'), whole(record.seq)])] : []),
      ...(record.pos ? [/** @type {[string, HTMLElement]} */ ([t('col.pos'), h('code', null, record.pos)])] : []),
      ...(record.content ? [/** @type {[string, string]} */ ([t('col.content'), record.content])] : []),
      ...(record.expires_at ? [/** @type {[string, string]} */ ([t('col.expires'), moment(record.expires_at)])] : []),
    ];
    const headers = Object.entries(record.headers ?? {});
    this.#detail.hidden = false;
    fill(
      this.#detail,
      h(
        'header',
        null,
        h('h3', null, t('feed.detail')),
        copyButton(
          () => JSON.stringify(record, (_, value) => (value instanceof Uint8Array ? [...value] : value), 2),
          t('feed.copy'),
        ),
        iconButton('close', t('close'), () => (this.#detail.hidden = true)),
      ),
      h(
        'dl',
        { class: 'facts' },
        facts.map(([name, value]) => [h('dt', null, name), h('dd', null, value)]),
      ),
      headers.length
        ? [
            h('h3', null, t('feed.headers')),
            h(
              'dl',
              { class: 'facts mono' },
              headers.map(([name, value]) => [h('dt', null, name), h('dd', null, value)]),
            ),
          ]
        : null,
      h('h3', null, t('col.body')),
      h(
        'div',
        { class: 'code' },
        bodyView(record),
        copyButton(() => bodyText(record)),
      ),
      record.key === RETAINED && me.value?.admin
        ? h(
            'button',
            { class: 'button danger', type: 'button', on: { click: () => void this.#clear(record.topic) } },
            icon('trash'),
            t('feed.unretain'),
          )
        : null,
    );
  }

  /** @param {string} topic */
  async #clear(topic) {
    const yes = await confirm({
      title: t('feed.unretain.title'),
      text: t('feed.unretain.text', { topic }),
      yes: t('feed.unretain'),
      danger: true,
    });
    if (!yes) return;
    try {
      await admin.clearRetained(topic);
      tell(t('feed.unretained', { topic }));
      this.#detail.hidden = true;
      if (this.kind === 'state') await this.#state();
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
  }
}

/** The column that only a filter of many topics needs. @returns {import('../components/table.js').Column<Row>} */
function topicColumn() {
  return {
    name: 'topic',
    label: t('col.topic'),
    sort: ({ record }) => record.topic,
    cell: ({ record }) => h('span', { class: 'mono' }, record.topic),
  };
}

/** @param {LineRecord} record */
function bodyText(record) {
  if (record.text !== undefined) return record.text;
  if (record.bin) return plain(record.bin) ?? hex(record.bin, record.bin.length);
  return record.data === undefined ? '' : JSON.stringify(record.data, null, 2);
}

/** @param {LineRecord} record */
function preview(record) {
  if (record.text !== undefined) return record.text.slice(0, 300).replace(/\s+/g, ' ');
  const words = record.bin && plain(record.bin);
  if (words) return words.slice(0, 300).replace(/\s+/g, ' ');
  if (record.bin) return `${bytes(record.bin.length)}: ${hex(record.bin, 24)}`;
  return record.data === undefined ? t('feed.empty') : (JSON.stringify(record.data) ?? '').slice(0, 300);
}

/** @param {LineRecord} record */
function bodyView(record) {
  if (record.data !== undefined) return jsonView(record.data);
  const text = record.bin ? plain(record.bin) : record.text;
  if (record.bin && text === null) return h('pre', null, hex(record.bin, 4096));
  if (!text) return h('pre', { class: 'aside' }, t('feed.empty'));
  try {
    const value = JSON.parse(text);
    if (value && typeof value === 'object') return jsonView(value);
  } catch {
    // It is not JSON, so it is shown as what it is.
  }
  return h('pre', null, cut(text));
}

/**
 * Bytes as the text that they are: MQTT clients seldom say that theirs is one. `null` where they are none.
 * @param {Uint8Array} data
 */
function plain(data) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(data);
    return /[\x00-\x08\x0e-\x1f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** @param {Uint8Array} data @param {number} max */
function hex(data, max) {
  const text = [...data.subarray(0, max)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return data.length > max ? `${text} …` : text;
}

customElements.define('y-topic-feed', TopicFeed);
