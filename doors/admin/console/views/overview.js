// <y-overview>: the key figures at a glance, each with its last minutes.

import '../components/spark.js';
import { avatar } from '../components/avatar.js';
import { bones, heading } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { admin } from '../lib/admin.js';
import { Part, fill, h, reconcile } from '../lib/dom.js';
import { byDoor, doorColour, doorName } from '../lib/doors.js';
import { ago, bytes, clock, percent, short, span, took, whole } from '../lib/format.js';
import { figures, gauges } from '../lib/gauges.js';
import { t, tName } from '../lib/i18n.js';
import { address } from '../lib/route.js';

/** @typedef {import('../lib/gauges.js').Figures} Figures */
/** @typedef {{gauge: string, label: () => string, value: () => string, more: () => string, colour: number, bad?: () => boolean}} Tile */

const last = (/** @type {string} */ name) => gauges.last(name);
/** The newest value that there is within the last seconds; for figures that are measured only when something happens. */
const recent = (/** @type {string} */ name) => {
  for (let i = 0; i < 10; i++) {
    const value = gauges.at(name, gauges.newest - i);
    if (!Number.isNaN(value)) return value;
  }
  return NaN;
};
const shown = (/** @type {number} */ value, /** @type {(value: number) => string} */ format) =>
  Number.isNaN(value) ? '–' : format(value);

const perSecond = (/** @type {number} */ value) => `${short(value)}/s`;

/** @type {Tile[]} */
const tiles = [
  {
    gauge: 'conn.total',
    colour: 1,
    label: () => t('tile.connections'),
    value: () => shown(last('conn.total'), whole),
    more: () => t('tile.sessions', { n: shown(last('sessions'), whole) }),
  },
  {
    gauge: 'rate.in',
    colour: 6,
    label: () => t('tile.in'),
    value: () => shown(last('rate.in'), perSecond),
    more: () => shown(last('bytes.in'), (n) => `${bytes(n)}/s`),
  },
  {
    gauge: 'rate.out',
    colour: 3,
    label: () => t('tile.out'),
    value: () => shown(last('rate.out'), perSecond),
    more: () => shown(last('bytes.out'), (n) => `${bytes(n)}/s`),
  },
  {
    gauge: 'p99',
    colour: 2,
    label: () => t('tile.latency'),
    value: () => shown(recent('p99'), took),
    more: () => t('tile.p50', { p50: shown(recent('p50'), took) }),
  },
  {
    gauge: 'memory',
    colour: 5,
    label: () => t('tile.memory'),
    value: () => shown(last('memory'), bytes),
    more: () => perConnection(),
  },
  {
    gauge: 'cpu',
    colour: 4,
    label: () => t('tile.cpu'),
    value: () => shown(last('cpu'), percent),
    more: () => t('tile.core'),
  },
  {
    gauge: 'store.bytes',
    colour: 7,
    label: () => t('tile.store'),
    value: () => shown(last('store.bytes'), bytes),
    more: () =>
      Number.isNaN(last('store.free'))
        ? t('tile.records', { n: shown(last('store.records'), short) })
        : t('tile.free', { n: shown(last('store.records'), short), free: bytes(last('store.free')) }),
  },
  {
    gauge: 'missed',
    colour: 4,
    label: () => t('tile.missed'),
    value: () => whole(figures.value?.missed ?? 0),
    more: () =>
      t('tile.dropped', { n: whole(figures.value?.dropped ?? 0), refused: whole(figures.value?.refused ?? 0) }),
    bad: () => last('missed') > 0,
  },
];

function perConnection() {
  const connections = last('conn.total');
  return connections >= 50 ? t('tile.perconnection', { n: bytes(last('memory') / connections) }) : t('tile.resident');
}

class Overview extends Part {
  #about = h('p');

  begin() {
    const grid = h('div', { class: 'tiles' });
    const doors = h('div', { class: 'body' });
    const events = h('ul', { class: 'events' }, h('li', null, bones(4)));
    this.className = 'page';
    const head = heading(
      t('nav.overview'),
      null,
      h('a', { class: 'button', href: address('charts') }, icon('charts'), t('overview.charts')),
    );
    head.querySelector('.lead')?.append(this.#about);
    this.replaceChildren(
      head,
      h(
        'div',
        { class: 'content' },
        grid,
        h(
          'div',
          { class: 'columns' },
          h('section', { class: 'card' }, h('header', null, h('h2', null, t('overview.doors'))), doors),
          h(
            'section',
            { class: 'card' },
            h(
              'header',
              null,
              h('h2', null, t('overview.audit')),
              h('a', { class: 'more', href: address('audit') }, t('overview.all')),
            ),
            events,
          ),
        ),
      ),
    );
    for (const tile of tiles) grid.append(makeTile(tile));
    this.follow(figures, (now) => {
      for (const [i, tile] of tiles.entries()) refreshTile(/** @type {HTMLElement} */ (grid.children[i]), tile);
      drawDoors(doors, now);
    });
    const look = () => void this.#look(events);
    look();
    this.each(15_000, look);
  }

  /** @param {HTMLElement} events */
  async #look(events) {
    const [overview, audit] = await Promise.all([
      admin.overview().catch(() => null),
      admin.audit({ limit: 7 }).catch(() => null),
    ]);
    if (overview) {
      fill(
        this.#about,
        h(
          'span',
          { class: overview.draining ? 'badge wait' : 'badge good' },
          h('span', { class: overview.draining ? 'dot wait' : 'dot on' }),
          overview.draining ? t('overview.draining') : t('overview.running'),
        ),
        ` ${t('overview.about', { version: overview.version, uptime: span(overview.uptime) })}`,
      );
    }
    if (!audit) return;
    events.querySelector('.bones')?.parentElement?.remove();
    reconcile(events, audit.items, {
      key: ({ id }) => String(id),
      form: ({ at }) => ago(at),
      make: (entry) =>
        h(
          'li',
          null,
          avatar(entry.who, { size: 28 }),
          h(
            'span',
            { class: 'what' },
            h('b', null, entry.who),
            ' ',
            tName('audit', entry.what),
            entry.subject ? h('b', null, ` ${entry.subject}`) : null,
          ),
          h('time', { title: clock(entry.at) }, ago(entry.at)),
        ),
    });
    if (audit.items.length === 0) fill(events, h('li', { class: 'aside' }, t('audit.none')));
  }
}

/** @param {Tile} tile */
function makeTile(tile) {
  const spark = /** @type {import('../components/spark.js').Spark} */ (document.createElement('y-spark'));
  spark.gauge = tile.gauge;
  spark.colour = tile.colour;
  return h(
    'a',
    { class: 'tile card', href: address('charts') },
    h('span', { class: 'label' }, tile.label()),
    h('b', { class: 'value number' }, '–'),
    h('span', { class: 'more' }),
    spark,
  );
}

/**
 * @param {HTMLElement} element
 * @param {Tile} tile
 */
function refreshTile(element, tile) {
  const [, value, more] = element.children;
  if (value) value.textContent = figures.value ? tile.value() : '–';
  if (more) more.textContent = figures.value ? tile.more() : ' ';
  element.classList.toggle('bad', tile.bad?.() ?? false);
}

/**
 * @param {HTMLElement} body
 * @param {Figures | null} now
 */
function drawDoors(body, now) {
  if (!now) {
    if (!body.firstChild) fill(body, bones(4));
    return;
  }
  const doors = Object.entries(now.connections)
    .filter(([door]) => door !== 'total')
    .sort(([a], [b]) => byDoor(a, b));
  const most = Math.max(1, ...doors.map(([, count]) => count));
  fill(
    body,
    h(
      'ul',
      { class: 'bars' },
      doors.map(([door, count]) =>
        h(
          'li',
          null,
          h('span', null, doorName(door)),
          h(
            'span',
            { class: 'track' },
            h('i', { class: `fill series-${doorColour(door)}`, style: { width: `${(count / most) * 100}%` } }),
          ),
          h('b', { class: 'number' }, whole(count)),
        ),
      ),
    ),
    h(
      'p',
      { class: 'aside totals' },
      t('overview.totals', { subscriptions: whole(now.subscriptions), topics: whole(now.topics) }),
    ),
  );
}

customElements.define('y-overview', Overview);
