// <y-charts>: what the server does, each second, as charts that share one time axis.

import '../components/chart.js';
import { heading, segments } from '../components/bits.js';
import { chartWindow, chartsEnd } from '../components/chart.js';
import { icon } from '../components/icon.js';
import { Part, fill, h } from '../lib/dom.js';
import { byDoor, doorColour, doorName } from '../lib/doors.js';
import { bytes, percent, short, took, whole } from '../lib/format.js';
import { figures, gauges, latencyParts } from '../lib/gauges.js';
import { t } from '../lib/i18n.js';

/** @typedef {import('../components/chart.js').ChartPlan} ChartPlan */
/** @typedef {{title: string, unit: string, text?: string, plan: ChartPlan, wide?: boolean}} Panel */

/** The colours of the parts of latency: the same in every chart. */
const partColours = { wait: 6, commit: 3, fanout: 1, write: 2 };

/** @param {'p50' | 'p99'} quantile */
const parts = (quantile) => () =>
  latencyParts.map((part) => ({ name: `${quantile}.${part}`, label: t(`part.${part}`), colour: partColours[part] }));

/** @param {[name: string, label: string, colour: number][]} list */
const fixed = (list) => () => list.map(([name, label, colour]) => ({ name, label, colour }));

function doors() {
  return gauges
    .names('conn.')
    .map((name) => name.slice(5))
    .filter((door) => door !== 'total')
    .sort(byDoor)
    .map((door) => ({ name: `conn.${door}`, label: doorName(door), colour: doorColour(door) }));
}

/**
 * @param {string} title
 * @param {string} unit
 * @param {Omit<ChartPlan, 'label'>} plan
 * @param {string} [text] what it means
 * @returns {Panel}
 */
function panel(title, unit, plan, text) {
  return { title, unit, plan: { label: title, ...plan }, ...(text && { text }) };
}

/** What goes through, and how long it takes. */
function flowPanels() {
  const messages = fixed([
    ['rate.in', t('chart.in'), 6],
    ['rate.out', t('chart.out'), 1],
  ]);
  const lost = fixed([
    ['missed', t('chart.missed'), 4],
    ['dropped', t('chart.dropped'), 2],
    ['refused', t('chart.refused'), 8],
  ]);
  const jitter = fixed([['jitter', t('chart.jitter'), 5]]);
  const time = t('unit.time');
  const stacked = true;
  return [
    panel(t('chart.messages'), t('unit.perSecond'), { series: messages, format: short, floor: 4 }),
    panel(t('chart.connections'), t('unit.count'), { series: doors, stacked, format: short, floor: 4 }),
    panel(t('chart.p50'), time, { series: parts('p50'), stacked, format: took, floor: 0.1 }, t('chart.latency.text')),
    panel(
      t('chart.p99'),
      time,
      { series: parts('p99'), stacked, fold: 'max', format: took, floor: 0.1 },
      t('chart.p99.text'),
    ),
    panel(t('chart.jitter'), time, { series: jitter, format: took, floor: 0.05 }, t('chart.jitter.text')),
    panel(
      t('chart.lost'),
      t('unit.perSecond'),
      { series: lost, fold: 'max', format: short, floor: 4 },
      t('chart.lost.text'),
    ),
  ];
}

/** What it costs. */
function costPanels() {
  const bodies = fixed([
    ['bytes.in', t('chart.in'), 6],
    ['bytes.out', t('chart.out'), 1],
  ]);
  const memory = fixed([['memory', t('chart.memory'), 5]]);
  const cpu = fixed([['cpu', t('chart.cpu'), 4]]);
  const store = fixed([['store.bytes', t('chart.store'), 7]]);
  const waiting = fixed([['store.waiting', t('chart.waiting'), 2]]);
  const counts = fixed([
    ['subscriptions', t('chart.subscriptions'), 3],
    ['sessions', t('nav.sessions'), 6],
  ]);
  const binary = true;
  return [
    panel(t('chart.bytes'), t('unit.bytesPerSecond'), { series: bodies, format: bytes, floor: 1024, binary }),
    panel(t('chart.memory'), t('unit.resident'), { series: memory, format: bytes, floor: 1_048_576, binary }),
    panel(t('chart.cpu'), t('unit.cores'), { series: cpu, format: percent, floor: 0.05 }),
    panel(t('chart.store'), t('unit.bytes'), { series: store, format: bytes, floor: 1024, binary }),
    panel(
      t('chart.waiting'),
      t('unit.count'),
      { series: waiting, fold: 'max', format: whole, floor: 4 },
      t('chart.waiting.text'),
    ),
    panel(t('chart.subscriptions'), t('unit.count'), { series: counts, format: short, floor: 4 }),
  ];
}

class Charts extends Part {
  begin() {
    this.className = 'page';
    const stop = h('button', {
      class: 'button',
      type: 'button',
      on: { click: () => (chartsEnd.value = chartsEnd.value === null ? gauges.newest : null) },
    });
    this.follow(chartsEnd, (end) =>
      fill(stop, icon(end === null ? 'pause' : 'play'), end === null ? t('pause') : t('resume')),
    );
    this.keep(() => (chartsEnd.value = null));
    const waiting = h('p', { class: 'notes' }, t('chart.none'));
    this.follow(figures, (now) => (waiting.hidden = now !== null));
    this.replaceChildren(
      heading(
        t('nav.charts'),
        t('charts.text'),
        segments(
          t('chart.window'),
          [
            { value: '300', text: t('chart.minutes', { n: 5 }) },
            { value: '900', text: t('chart.minutes', { n: 15 }) },
            { value: '3600', text: t('chart.minutes', { n: 60 }) },
          ],
          String(chartWindow.value),
          (value) => (chartWindow.value = Number(value)),
        ),
        stop,
      ),
      h(
        'div',
        { class: 'content' },
        waiting,
        h(
          'div',
          { class: 'charts' },
          [...flowPanels(), ...costPanels()].map(({ title, unit, text, plan }) => {
            const chart = /** @type {import('../components/chart.js').Chart} */ (document.createElement('y-chart'));
            chart.plan = plan;
            return h(
              'section',
              { class: 'card' },
              h('header', null, h('h2', null, title), h('span', { class: 'aside' }, unit)),
              chart,
              text ? h('p', { class: 'aside explain' }, text) : null,
            );
          }),
        ),
      ),
    );
  }
}

customElements.define('y-charts', Charts);
