// <y-chart>: lines or stacked areas over time on a canvas, with a crosshair that all charts of the page share.

import { Cell, atNextFrame } from '../lib/cell.js';
import { Part, h, reconcile } from '../lib/dom.js';
import { clockSeconds } from '../lib/format.js';
import { figures, gauges } from '../lib/gauges.js';
import { dark } from '../lib/settings.js';
import { t } from '../lib/i18n.js';

/**
 * @typedef {{
 *   label: string,
 *   series: () => {name: string, label: string, colour: number}[],
 *   stacked?: boolean,
 *   fold?: 'mean' | 'max',
 *   format: (value: number) => string,
 *   floor?: number,
 *   binary?: boolean,
 * }} ChartPlan
 */

const LEFT = 58;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 24;
/** Seconds that a chart shows at least. */
const SPAN_MIN = 30;

/** How many seconds the charts show. */
export const chartWindow = new Cell(300);

/** The second under the pointer; `null` while there is none. */
const crosshair = new Cell(/** @type {number | null} */ (null));

/** What stands at the right end: the newest second, or where the charts were stopped. */
export const chartsEnd = new Cell(/** @type {number | null} */ (null));

export class Chart extends Part {
  /** @type {ChartPlan} */ plan = { label: '', series: () => [], format: String };
  #canvas = h('canvas', { role: 'img' });
  #legend = h('ul', { class: 'legend' });
  #readout = h('div', { class: 'readout', hidden: true });
  /** @type {Set<string>} */ #off = new Set();
  #draw = atNextFrame(() => this.#paint());

  begin() {
    this.classList.add('chart');
    const plot = h('div', { class: 'plot' }, this.#canvas, this.#readout);
    this.replaceChildren(plot, this.#legend);
    const observer = new ResizeObserver(this.#draw);
    observer.observe(plot);
    this.keep(() => observer.disconnect());
    for (const cell of [figures, chartWindow, crosshair, chartsEnd, dark])
      this.follow(/** @type {Cell<any>} */ (cell), this.#draw);
    this.listen(plot, 'pointermove', (event) => this.#point(event));
    this.listen(plot, 'pointerdown', (event) => this.#point(event));
    this.listen(plot, 'pointerleave', () => (crosshair.value = null));
  }

  /** @param {PointerEvent} event */
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const share = (event.clientX - box.left - LEFT) / (box.width - LEFT - RIGHT);
    const { from, to } = this.#range();
    crosshair.value =
      share < -0.01 || share > 1.01 ? null : Math.round(from + Math.min(1, Math.max(0, share)) * (to - from));
  }

  #range() {
    const to = chartsEnd.value ?? Math.max(gauges.newest, 1);
    // Until there is enough to fill the window, what there is fills the chart.
    const there = Number.isFinite(gauges.oldest) ? to - gauges.oldest : 0;
    return { from: to - Math.min(chartWindow.value, Math.max(there, SPAN_MIN)), to };
  }

  /**
   * The values of the visible series, folded to one per column.
   * @param {number} columns
   */
  #columns(columns) {
    const { from, to } = this.#range();
    const perColumn = (to - from) / columns;
    const list = this.plan.series();
    const fold = this.plan.fold ?? 'mean';
    return list.map(({ name, colour }) => {
      const values = new Float64Array(columns + 1).fill(NaN);
      if (this.#off.has(name)) return { values, colour, off: true };
      for (let column = 0; column <= columns; column++) {
        const end = from + column * perColumn;
        let sum = 0;
        let count = 0;
        let most = -Infinity;
        for (let second = Math.round(end); second > end - Math.max(perColumn, 1); second--) {
          const value = gauges.at(name, second);
          if (Number.isNaN(value)) continue;
          sum += value;
          count++;
          most = Math.max(most, value);
        }
        if (count) values[column] = fold === 'max' ? most : sum / count;
      }
      return { values, colour, off: false };
    });
  }

  #paint() {
    if (!this.isConnected) return;
    const box = this.#canvas.parentElement?.getBoundingClientRect();
    if (!box || box.width < 80) return;
    const scale = devicePixelRatio || 1;
    const [width, height] = [Math.round(box.width), Math.round(box.height)];
    if (this.#canvas.width !== Math.round(width * scale) || this.#canvas.height !== Math.round(height * scale)) {
      this.#canvas.width = Math.round(width * scale);
      this.#canvas.height = Math.round(height * scale);
    }
    const pen = this.#canvas.getContext('2d');
    if (!pen) return;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);

    const style = getComputedStyle(this);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const plotWidth = width - LEFT - RIGHT;
    const plotHeight = height - TOP - BOTTOM;
    const { from, to } = this.#range();
    const columns = Math.max(1, Math.min(to - from, Math.floor(plotWidth / 2)));
    const series = this.#columns(columns);
    const { top, lines } = niceTop(this.#highest(series, columns), this.plan.floor ?? 0, this.plan.binary);
    const x = (/** @type {number} */ column) => LEFT + (column / columns) * plotWidth;
    const y = (/** @type {number} */ value) => TOP + plotHeight - (value / top) * plotHeight;

    this.#grid(pen, { width, plotWidth, plotHeight, top, lines, y, colour });
    const base = new Float64Array(columns + 1);
    for (const one of series) {
      if (one.off) continue;
      paintSeries(pen, one.values, this.plan.stacked ? base : null, {
        x,
        y,
        colour: colour(`--series-${one.colour}`),
        alone: series.length === 1,
      });
    }
    this.#cross(pen, { plotWidth, plotHeight, height, colour });
    this.#say();
  }

  /**
   * @param {{values: Float64Array, off: boolean}[]} series
   * @param {number} columns
   */
  #highest(series, columns) {
    let highest = 0;
    for (let column = 0; column <= columns; column++) {
      let sum = 0;
      for (const { values, off } of series) {
        const value = values[column] ?? NaN;
        if (off || Number.isNaN(value)) continue;
        sum = this.plan.stacked ? sum + value : Math.max(sum, value);
      }
      highest = Math.max(highest, sum);
    }
    return highest;
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {{width: number, plotWidth: number, plotHeight: number, top: number, lines: number, y: (value: number) => number, colour: (name: string) => string}} at
   */
  #grid(pen, { width, plotWidth, plotHeight, top, lines, y, colour }) {
    pen.font = `11px ${getComputedStyle(this).fontFamily}`;
    pen.lineWidth = 1;
    pen.textBaseline = 'middle';
    pen.textAlign = 'right';
    for (let i = 0; i <= lines; i++) {
      const value = (top * i) / lines;
      const at = Math.round(y(value)) + 0.5;
      pen.strokeStyle = colour(i === 0 ? '--line-strong' : '--line');
      pen.beginPath();
      pen.moveTo(LEFT, at);
      pen.lineTo(width - RIGHT, at);
      pen.stroke();
      pen.fillStyle = colour('--ink-faint');
      pen.fillText(
        this.plan
          .format(value)
          .replace(/\.(\d*?)0+(?=\s|$)/, '.$1')
          .replace(/\.(?=\s|$)/, ''),
        LEFT - 8,
        at,
      );
    }
    const { from, to } = this.#range();
    const step =
      [10, 15, 30, 60, 120, 300, 600, 900].find((seconds) => ((to - from) / seconds) * 62 < plotWidth) ?? 1800;
    pen.textAlign = 'center';
    pen.textBaseline = 'alphabetic';
    // Whole local minutes also in zones that are not whole hours away.
    const zone = new Date().getTimezoneOffset() * 60;
    for (let second = Math.ceil((from - zone) / step) * step + zone; second <= to; second += step) {
      const at = LEFT + ((second - from) / (to - from)) * plotWidth;
      if (at < LEFT + 16 || at > width - RIGHT - 12) continue;
      const text = clockSeconds(second * 1000);
      pen.fillText(step >= 60 ? text.slice(0, 5) : text, at, TOP + plotHeight + 17);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {{plotWidth: number, plotHeight: number, height: number, colour: (name: string) => string}} at
   */
  #cross(pen, { plotWidth, plotHeight, colour }) {
    const second = crosshair.value;
    const { from, to } = this.#range();
    if (second === null || second < from || second > to) {
      this.#readout.hidden = true;
      return;
    }
    const at = Math.round(LEFT + ((second - from) / (to - from)) * plotWidth) + 0.5;
    pen.strokeStyle = colour('--ink-faint');
    pen.setLineDash([3, 3]);
    pen.beginPath();
    pen.moveTo(at, TOP);
    pen.lineTo(at, TOP + plotHeight);
    pen.stroke();
    pen.setLineDash([]);
    const rows = this.plan.series().filter(({ name }) => !this.#off.has(name));
    let total = 0;
    this.#readout.hidden = false;
    this.#readout.replaceChildren(
      h('b', null, clockSeconds(second * 1000)),
      ...[...rows].reverse().map(({ name, label, colour: index }) => {
        const value = near(name, second);
        if (!Number.isNaN(value)) total += value;
        return h(
          'div',
          null,
          h('i', { class: `key series-${index}` }),
          h('span', null, label),
          h('span', { class: 'number' }, Number.isNaN(value) ? '–' : this.plan.format(value)),
        );
      }),
      this.plan.stacked && rows.length > 1
        ? h(
            'div',
            { class: 'sum' },
            h('i'),
            h('span', null, t('chart.sum')),
            h('span', { class: 'number' }, this.plan.format(total)),
          )
        : '',
    );
    const half = at < LEFT + plotWidth / 2;
    this.#readout.style.left = half ? `${at + 12}px` : '';
    this.#readout.style.right = half ? '' : `${this.offsetWidth - at + 12}px`;
  }

  /** Brings the legend, and what a screen reader hears, up to date. */
  #say() {
    const list = this.plan.series();
    const last = (/** @type {string} */ name) => near(name, chartsEnd.value ?? gauges.newest);
    this.#canvas.setAttribute(
      'aria-label',
      `${this.plan.label}: ${list.map(({ name, label }) => `${label} ${Number.isNaN(last(name)) ? '–' : this.plan.format(last(name))}`).join(', ')}`,
    );
    this.#legend.hidden = list.length < 2;
    reconcile(this.#legend, list, {
      key: ({ name }) => name,
      form: ({ label, colour, name }) => `${label} ${colour} ${this.#off.has(name)}`,
      make: ({ name, label, colour }) => {
        const press = () => {
          if (!this.#off.delete(name)) this.#off.add(name);
          this.#draw();
        };
        const button = h(
          'button',
          {
            type: 'button',
            'aria-pressed': String(!this.#off.has(name)),
            title: t('chart.toggle'),
            on: { click: press },
          },
          h('i', { class: `key series-${colour}` }),
          label,
        );
        return h('li', null, button);
      },
    });
  }
}

/**
 * The value at a second or, where a tick came late, just before it.
 * @param {string} name
 * @param {number} second
 */
function near(name, second) {
  const value = gauges.at(name, second);
  return Number.isNaN(value) ? gauges.at(name, second - 1) : value;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Float64Array} values
 * @param {Float64Array | null} base what lies below, for stacking; raised by these values
 * @param {{x: (column: number) => number, y: (value: number) => number, colour: string, alone: boolean}} at
 */
function paintSeries(pen, values, base, { x, y, colour, alone }) {
  /** @type {[number, number][][]} */
  const runs = [];
  let last = -Infinity;
  values.forEach((value, column) => {
    if (Number.isNaN(value)) return;
    // A single missing second is bridged; a longer gap is shown as one.
    if (column - last > 2) runs.push([]);
    runs.at(-1)?.push([column, value + (base?.[column] ?? 0)]);
    last = column;
  });
  pen.lineJoin = 'round';
  for (const run of runs) {
    const path = new Path2D();
    run.forEach(([column, value], i) => (i ? path.lineTo(x(column), y(value)) : path.moveTo(x(column), y(value))));
    if (base || alone) {
      const area = new Path2D(path);
      for (const [column] of [...run].reverse()) area.lineTo(x(column), y(base?.[column] ?? 0));
      area.closePath();
      pen.globalAlpha = base ? 0.55 : 0.14;
      pen.fillStyle = colour;
      pen.fill(area);
      pen.globalAlpha = 1;
    }
    pen.strokeStyle = colour;
    pen.lineWidth = 1.6;
    pen.stroke(path);
    const [only] = run;
    if (run.length === 1 && only) {
      pen.fillStyle = colour;
      pen.beginPath();
      pen.arc(x(only[0]), y(only[1]), 2, 0, Math.PI * 2);
      pen.fill();
    }
  }
  if (base) {
    values.forEach((value, column) => {
      if (!Number.isNaN(value)) base[column] = (base[column] ?? 0) + value;
    });
  }
}

/** Round tops, and how many steps divide each into round numbers. */
const TOPS = /** @type {const} */ ([
  [1, 5],
  [2, 4],
  [3, 3],
  [4, 4],
  [5, 5],
  [6, 3],
  [8, 4],
  [10, 5],
]);

/**
 * A round number at or above the highest value, so that the grid's numbers are readable.
 * @param {number} highest
 * @param {number} floor
 * @param {boolean} [binary] round in KiB, MiB, …
 * @returns {{top: number, lines: number}} and into how many equal steps it is divided
 */
export function niceTop(highest, floor, binary = false) {
  const wanted = Math.max(highest * 1.08, floor, 1e-9);
  if (binary) {
    const unit = 1024 ** Math.max(0, Math.floor(Math.log2(wanted) / 10));
    // Below a unit of 1024 the steps are those of ten.
    const { top, lines } = niceTop(wanted / unit / 1.08, 0);
    return { top: top * unit, lines };
  }
  const power = 10 ** Math.floor(Math.log10(wanted));
  const [step = 10, lines = 5] = TOPS.find(([each]) => each * power >= wanted) ?? [];
  return { top: step * power, lines };
}

customElements.define('y-chart', Chart);
