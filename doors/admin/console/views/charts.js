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

const perSecond = (/** @type {number} */ value) => short(value);
/** The colours of the parts of latency: the same in every chart. */
const partColours = { wait: 6, commit: 3, fanout: 1, write: 2 };

/** @param {'p50' | 'p99'} quantile */
const parts = (quantile) => () => latencyParts.map((part) => ({ name: `${quantile}.${part}`, label: t(`part.${part}`), colour: partColours[part] }));

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

/** @returns {Panel[]} */
function panels() {
  return [
    { title: t('chart.messages'), unit: t('unit.perSecond'), plan: { label: t('chart.messages'), series: fixed([['rate.in', t('chart.in'), 6], ['rate.out', t('chart.out'), 1]]), format: perSecond, floor: 4 } },
    { title: t('chart.connections'), unit: t('unit.count'), plan: { label: t('chart.connections'), series: doors, stacked: true, format: short, floor: 4 } },
    { title: t('chart.p50'), unit: t('unit.time'), text: t('chart.latency.text'), plan: { label: t('chart.p50'), series: parts('p50'), stacked: true, format: took, floor: 0.1 } },
    { title: t('chart.p99'), unit: t('unit.time'), text: t('chart.latency.text'), plan: { label: t('chart.p99'), series: parts('p99'), stacked: true, fold: 'max', format: took, floor: 0.1 } },
    { title: t('chart.jitter'), unit: t('unit.time'), text: t('chart.jitter.text'), plan: { label: t('chart.jitter'), series: fixed([['jitter', t('chart.jitter'), 5]]), format: took, floor: 0.05 } },
    { title: t('chart.lost'), unit: t('unit.perSecond'), text: t('chart.lost.text'), plan: { label: t('chart.lost'), series: fixed([['missed', t('chart.missed'), 4], ['dropped', t('chart.dropped'), 2], ['refused', t('chart.refused'), 8]]), fold: 'max', format: perSecond, floor: 4 } },
    { title: t('chart.bytes'), unit: t('unit.bytesPerSecond'), plan: { label: t('chart.bytes'), series: fixed([['bytes.in', t('chart.in'), 6], ['bytes.out', t('chart.out'), 1]]), format: bytes, floor: 1024, binary: true } },
    { title: t('chart.memory'), unit: t('unit.resident'), plan: { label: t('chart.memory'), series: fixed([['memory', t('chart.memory'), 5]]), format: bytes, floor: 1048576, binary: true } },
    { title: t('chart.cpu'), unit: t('unit.cores'), plan: { label: t('chart.cpu'), series: fixed([['cpu', t('chart.cpu'), 4]]), format: percent, floor: 0.05 } },
    { title: t('chart.store'), unit: t('unit.bytes'), plan: { label: t('chart.store'), series: fixed([['store.bytes', t('chart.store'), 7]]), format: bytes, floor: 1024, binary: true } },
    { title: t('chart.waiting'), unit: t('unit.count'), text: t('chart.waiting.text'), plan: { label: t('chart.waiting'), series: fixed([['store.waiting', t('chart.waiting'), 2]]), fold: 'max', format: whole, floor: 4 } },
    { title: t('chart.subscriptions'), unit: t('unit.count'), plan: { label: t('chart.subscriptions'), series: fixed([['subscriptions', t('chart.subscriptions'), 3], ['sessions', t('nav.sessions'), 6]]), format: short, floor: 4 } },
  ];
}

class Charts extends Part {
  begin() {
    this.className = 'page';
    const stop = h('button', { class: 'button', type: 'button', on: { click: () => (chartsEnd.value = chartsEnd.value === null ? gauges.newest : null) } });
    this.follow(chartsEnd, (end) => fill(stop, icon(end === null ? 'pause' : 'play'), end === null ? t('pause') : t('resume')));
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
          panels().map(({ title, unit, text, plan }) => {
            const chart = /** @type {import('../components/chart.js').Chart} */ (document.createElement('y-chart'));
            chart.plan = plan;
            return h('section', { class: 'card' }, h('header', null, h('h2', null, title), h('span', { class: 'aside' }, unit)), chart, text ? h('p', { class: 'aside explain' }, text) : null);
          }),
        ),
      ),
    );
  }
}

customElements.define('y-charts', Charts);
