// What the server says about itself each second, kept for an hour, as rates and shares that charts can draw.

import { Cell } from './cell.js';

/** Seconds that are kept. */
export const SECONDS_KEPT = 3600;
/** Seconds over which jitter is taken. */
const JITTER_SECONDS = 10;
/** Doors and other names that are kept; a server has about ten doors. */
const NAMES_MAX = 64;

/** @typedef {{p50: number, p99: number, max: number, count: number}} Part */
/**
 * @typedef {{
 *   at: number, uptime: number, connections: {[door: string]: number}, sessions: number, subscriptions: number, topics: number,
 *   messages_in: number, messages_out: number, bytes_in: number, bytes_out: number, dropped: number, missed: number, refused: number,
 *   latency: {wait: Part, commit: Part, fanout: Part, write: Part}, memory_bytes: number, cpu_seconds: number,
 *   store: {records: number, bytes: number, waiting: number, free_bytes: number | null}
 * }} Figures
 */

export const latencyParts = /** @type {const} */ (['wait', 'commit', 'fanout', 'write']);

/** A ring of one value per second for each name; seconds without a value are NaN. */
class Gauges {
  /** @type {Map<string, Float64Array>} */ #rings = new Map();
  /** The newest second there is, since 1970. */
  newest = 0;
  /** The oldest second there is. */
  oldest = Infinity;

  /**
   * @param {number} second
   * @param {{[name: string]: number}} values
   */
  add(second, values) {
    if (second <= this.newest - SECONDS_KEPT) return;
    // The seconds that were passed over had no value.
    for (let gap = Math.max(this.newest + 1, second - SECONDS_KEPT + 1); gap <= second; gap++) {
      for (const ring of this.#rings.values()) ring[gap % SECONDS_KEPT] = NaN;
    }
    this.newest = Math.max(this.newest, second);
    this.oldest = Math.max(Math.min(this.oldest, second), this.newest - SECONDS_KEPT + 1);
    for (const [name, value] of Object.entries(values)) {
      let ring = this.#rings.get(name);
      if (!ring) {
        if (this.#rings.size >= NAMES_MAX) continue;
        ring = new Float64Array(SECONDS_KEPT).fill(NaN);
        this.#rings.set(name, ring);
      }
      ring[second % SECONDS_KEPT] = value;
    }
  }

  /**
   * The value at a second; NaN where there is none.
   * @param {string} name
   * @param {number} second
   */
  at(name, second) {
    if (second > this.newest || second < this.oldest) return NaN;
    return this.#rings.get(name)?.[second % SECONDS_KEPT] ?? NaN;
  }

  /** @param {string} name */
  last(name) {
    return this.at(name, this.newest);
  }

  /** Names that begin with `prefix`. @param {string} prefix */
  names(prefix) {
    return [...this.#rings.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  clear() {
    this.#rings.clear();
    this.newest = 0;
    this.oldest = Infinity;
  }

  /** All of it, to be kept over a reload. */
  save() {
    /** @type {{[name: string]: (number | null)[]}} */
    const names = {};
    const from = Math.max(this.oldest, this.newest - 900);
    for (const name of this.#rings.keys()) {
      names[name] = [];
      for (let second = from; second <= this.newest; second++) {
        const value = this.at(name, second);
        names[name]?.push(Number.isNaN(value) ? null : Number(value.toPrecision(6)));
      }
    }
    return { from, names };
  }

  /** @param {ReturnType<Gauges['save']>} saved */
  restore({ from, names }) {
    const length = Math.max(0, ...Object.values(names).map((values) => values.length));
    for (let i = 0; i < length; i++) {
      /** @type {{[name: string]: number}} */
      const values = {};
      for (const [name, list] of Object.entries(names)) values[name] = list[i] ?? NaN;
      this.add(from + i, values);
    }
  }
}

export const gauges = new Gauges();

/** The newest figures as they came; `null` before the first. */
export const figures = new Cell(/** @type {Figures | null} */ (null));

/** @type {Figures | null} */
let before = null;

/**
 * Takes in what the server published.
 * @param {Figures} now
 */
export function takeFigures(now) {
  if (before && now.at <= before.at && now.uptime >= before.uptime) return;
  // After a restart the counters begin again; there is no difference to take then.
  const last = before && now.uptime > before.uptime ? before : null;
  const seconds = last ? (now.at - last.at) / 1000 : 0;
  /** @param {(figures: Figures) => number} pick */
  const rate = (pick) => (last && seconds > 0 ? Math.max(0, (pick(now) - pick(last)) / seconds) : NaN);
  /** @type {{[name: string]: number}} */
  const values = {
    sessions: now.sessions,
    subscriptions: now.subscriptions,
    topics: now.topics,
    'rate.in': rate((f) => f.messages_in),
    'rate.out': rate((f) => f.messages_out),
    'bytes.in': rate((f) => f.bytes_in),
    'bytes.out': rate((f) => f.bytes_out),
    dropped: rate((f) => f.dropped),
    missed: rate((f) => f.missed),
    refused: rate((f) => f.refused),
    memory: now.memory_bytes,
    cpu: rate((f) => f.cpu_seconds),
    'store.records': now.store?.records ?? NaN,
    'store.bytes': now.store?.bytes ?? NaN,
    'store.waiting': now.store?.waiting ?? NaN,
    'store.free': now.store?.free_bytes ?? NaN,
  };
  for (const [door, count] of Object.entries(now.connections)) values[`conn.${door}`] = count;
  let measured = false;
  for (const quantile of /** @type {const} */ (['p50', 'p99'])) {
    let total = 0;
    for (const part of latencyParts) {
      const figure = now.latency?.[part];
      const ms = figure && figure.count > 0 ? figure[quantile] / 1000 : NaN;
      values[`${quantile}.${part}`] = ms;
      if (!Number.isNaN(ms)) {
        total += ms;
        measured = true;
      }
    }
    values[quantile] = measured ? total : NaN;
  }
  const second = Math.floor(now.at / 1000);
  gauges.add(second, values);
  gauges.add(second, { jitter: spread('p50', second) });
  before = now;
  figures.value = now;
}

/**
 * The standard deviation of a gauge over the last seconds.
 * @param {string} name
 * @param {number} second
 */
function spread(name, second) {
  const values = [];
  for (let i = 0; i < JITTER_SECONDS; i++) {
    const value = gauges.at(name, second - i);
    if (!Number.isNaN(value)) values.push(value);
  }
  if (values.length < 3) return NaN;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}

/** Keeps what was gathered over a reload of the page, for this server's origin and this tab. */
export function keepGauges() {
  try {
    const saved = JSON.parse(sessionStorage.getItem('yizhan.gauges') ?? 'null');
    if (saved) gauges.restore(saved);
  } catch {
    sessionStorage.removeItem('yizhan.gauges');
  }
  addEventListener('pagehide', () => {
    try {
      if (gauges.newest) sessionStorage.setItem('yizhan.gauges', JSON.stringify(gauges.save()));
    } catch {
      // The storage is full; the charts begin anew then.
    }
  });
}

/** Forgets everything: another user may be next. */
export function clearGauges() {
  gauges.clear();
  before = null;
  figures.value = null;
  sessionStorage.removeItem('yizhan.gauges');
}
