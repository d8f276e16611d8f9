// The bullet chat (弹幕): what is said flies over the picture, in lanes, and never one over the other.

import { h } from './lib/dom.js';
import { settings } from './lib/settings.js';

/** @typedef {import('./room.js').Said} Said */

/** How long one takes across a picture of usual width, s, at the usual speed. */
const ACROSS_S = 9;
/** The width that this holds for, px; over a narrow picture one would read too little. */
const USUAL_WIDTH = 900;
/** How long one stays that does not fly, ms. */
const STAY_MS = 4500;
/** Between two in one lane, px. */
const GAP = 28;
/** Above the first lane, px. */
const EDGE = 6;
/** The height of the bar below, px. */
const BAR = 56;
/** On the screen at most. */
const SHOWN_MAX = 160;
/** Waiting for a free lane at most; and how long, ms. */
const QUEUE_MAX = 60;
const QUEUE_MS = 2500;
/** The part of the picture's height that they may fly over. */
const HEIGHTS = { few: 0.25, some: 0.5, many: 0.92 };

export class Bullets {
  element = h('div', { class: 'bullets', 'aria-hidden': 'true' });
  /** Of each lane, from above: when the next one may come in, and when it is empty, ms. @type {{free: number, empty: number}[]} */ #lanes = [];
  /** @type {{said: Said, at: number}[]} */ #queue = [];
  #shown = 0;
  #width = 0;
  #height = 0;
  /** How many were not shown because there was no room. */ dropped = 0;

  constructor() {
    new ResizeObserver(() => this.#measure()).observe(this.element);
    settings.bullets.watch((on) => {
      this.element.hidden = !on;
      if (!on) this.clear();
    });
    for (const cell of [settings.size, settings.density]) cell.hear(() => this.clear());
    settings.opacity.watch((opacity) => this.element.style.setProperty('--opacity', String(opacity)));
    settings.size.watch((size) => this.element.style.setProperty('--size', String(size)));
    setInterval(() => this.#drain(), 150);
  }

  clear() {
    this.element.replaceChildren();
    this.#queue = [];
    this.#lanes = [];
    this.#shown = 0;
  }

  /** @param {Said} said */
  show(said) {
    // Nobody looks: what is said meanwhile is in the list, not in the air.
    if (!settings.bullets.value || document.hidden || said.old) return;
    if (!this.#width) this.#measure();
    if (this.#place(said)) return;
    this.#queue.push({ said, at: performance.now() });
    if (this.#queue.length > QUEUE_MAX) {
      this.#queue.shift();
      this.dropped++;
    }
  }

  #drain() {
    const now = performance.now();
    this.#queue = this.#queue.filter(({ said, at }) => {
      if (this.#place(said)) return false;
      if (now - at < QUEUE_MS) return true;
      this.dropped++;
      return false;
    });
  }

  /** Takes note of the picture's size. In another width all lie elsewhere, so those in the air are let go. */
  #measure() {
    const { width, height } = this.element.getBoundingClientRect();
    const wider = width !== this.#width;
    this.#width = width;
    this.#height = height;
    if (wider) this.clear();
  }

  /** The height of a lane, px. */
  #lane() {
    return Math.round(parseFloat(getComputedStyle(this.element).fontSize) * 1.5);
  }

  /** Puts it on the screen, where there is room. @param {Said} said */
  #place(said) {
    if (this.#width < 40 || this.#height < 40) return true;
    if (this.#shown >= SHOWN_MAX && !said.mine) return false;
    const lane = this.#lane();
    const all = Math.max(1, Math.floor((this.#height - EDGE) / lane));
    while (this.#lanes.length < all) this.#lanes.push({ free: 0, empty: 0 });
    if (said.place !== 'roll') return this.#stay(said, lane, all);
    return this.#roll(said, lane, Math.max(1, Math.floor(all * HEIGHTS[settings.density.value])));
  }

  /** @param {Said} said @param {number} lane @param {number} count */
  #roll(said, lane, count) {
    const now = performance.now();
    const lanes = this.#lanes.slice(0, count);
    let at = lanes.findIndex(({ free }) => free <= now);
    // One's own words are always seen: in the lane that is free first.
    if (at < 0 && said.mine) at = lanes.reduce((best, { free }, i) => (free < (lanes[best]?.free ?? 0) ? i : best), 0);
    const own = lanes[at];
    if (!own) return false;
    const element = this.#make(said);
    this.element.append(element);
    const width = element.offsetWidth;
    // All fly alike fast: so none catches up with the one before it.
    const speed = (Math.max(USUAL_WIDTH, this.#width) / (ACROSS_S * 1000)) * settings.speed.value;
    const delay = Math.max(0, own.free - now);
    const duration = (this.#width + width) / speed;
    own.free = now + delay + (width + GAP) / speed;
    own.empty = Math.max(own.empty, now + delay + duration);
    element.style.setProperty('top', `${at * lane + EDGE}px`);
    const path = [{ transform: `translateX(${this.#width}px)` }, { transform: `translateX(${-width}px)` }];
    this.#fly(element.animate(path, { duration, delay, fill: 'backwards' }), element, now);
    return true;
  }

  /** @param {Said} said @param {number} lane @param {number} all */
  #stay(said, lane, all) {
    const now = performance.now();
    // The lowest ones lie under the bar.
    const order = [...this.#lanes.keys()].slice(0, Math.max(1, all - Math.ceil(BAR / lane)));
    if (said.place === 'bottom') order.reverse();
    let at = order.find((each) => (this.#lanes[each]?.empty ?? 0) <= now);
    if (at === undefined && said.mine) at = order[0];
    const own = at === undefined ? undefined : this.#lanes[at];
    if (!own || at === undefined) return false;
    // Nothing flies through while it stands there.
    own.free = Math.max(own.free, now + STAY_MS);
    own.empty = Math.max(own.empty, now + STAY_MS);
    const element = this.#make(said);
    element.classList.add('still');
    element.style.setProperty('top', `${at * lane + EDGE}px`);
    this.element.append(element);
    const shine = [{ opacity: 0 }, { opacity: 1, offset: 0.06 }, { opacity: 1, offset: 0.92 }, { opacity: 0 }];
    this.#fly(element.animate(shine, { duration: STAY_MS, fill: 'backwards' }), element, now);
    return true;
  }

  /** @param {Said} said */
  #make(said) {
    const element = h('span', { class: said.mine ? 'bullet own' : 'bullet' }, said.text);
    if (said.colour) element.style.setProperty('color', said.colour);
    return element;
  }

  /** @param {Animation} animation @param {HTMLElement} element @param {number} at when it begins, ms */
  #fly(animation, element, at) {
    this.#shown++;
    // Else it would begin with the next frame, which may be late: and the one behind it would come too near.
    animation.startTime = at;
    animation.onfinish = () => {
      if (!element.isConnected) return;
      element.remove();
      this.#shown--;
    };
  }
}
