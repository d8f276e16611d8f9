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
/** On the screen at most. */
const SHOWN_MAX = 160;
/** Waiting for a free lane at most; and how long, ms. */
const QUEUE_MAX = 60;
const QUEUE_MS = 2500;
/** The part of the picture's height that they may fly over. */
const HEIGHTS = { few: 0.25, some: 0.5, many: 0.92 };

export class Bullets {
  element = h('div', { class: 'bullets', 'aria-hidden': 'true' });
  /** When each lane has room again, ms. @type {number[]} */ #lanes = [];
  /** When each place at the top and at the bottom is free. */ #still = { top: /** @type {number[]} */ ([]), bottom: /** @type {number[]} */ ([]) };
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
    this.#shown = 0;
    this.#measure();
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

  #measure() {
    const { width, height } = this.element.getBoundingClientRect();
    if (width === this.#width && height === this.#height && this.element.firstChild) return;
    this.#width = width;
    this.#height = height;
    this.#lanes = [];
    this.#still = { top: [], bottom: [] };
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
    const count = Math.max(1, Math.floor((this.#height * HEIGHTS[settings.density.value]) / lane));
    return said.place === 'roll' ? this.#roll(said, lane, count) : this.#stay(said, said.place, lane, Math.max(1, count >> 1));
  }

  /** @param {Said} said @param {number} lane @param {number} count */
  #roll(said, lane, count) {
    const now = performance.now();
    const free = freeLane(this.#lanes, count, now);
    // One's own words are always seen: in the lane that is free first.
    const at = free >= 0 ? free : said.mine ? soonest(this.#lanes, count) : -1;
    if (at < 0) return false;
    const element = this.#make(said);
    this.element.append(element);
    const width = element.offsetWidth;
    // All fly alike fast: so none catches up with the one before it.
    const speed = (Math.max(USUAL_WIDTH, this.#width) / (ACROSS_S * 1000)) * settings.speed.value;
    const wait = Math.max(0, (this.#lanes[at] ?? 0) - now);
    this.#lanes[at] = now + wait + (width + GAP) / speed;
    element.style.setProperty('top', `${at * lane + 6}px`);
    this.#fly(
      element.animate([{ transform: `translateX(${this.#width}px)` }, { transform: `translateX(${-width - 4}px)` }], {
        duration: (this.#width + width + 4) / speed,
        delay: wait,
        fill: 'backwards',
      }),
      element,
    );
    return true;
  }

  /** @param {Said} said @param {'top' | 'bottom'} place @param {number} lane @param {number} count */
  #stay(said, place, lane, count) {
    const now = performance.now();
    const lanes = this.#still[place];
    const free = freeLane(lanes, count, now);
    const at = free >= 0 ? free : said.mine ? soonest(lanes, count) : -1;
    if (at < 0) return false;
    lanes[at] = now + STAY_MS;
    const element = this.#make(said);
    element.classList.add('still');
    element.style.setProperty(place, `${at * lane + (place === 'top' ? 6 : 60)}px`);
    this.element.append(element);
    this.#fly(element.animate([{ opacity: 0 }, { opacity: 1, offset: 0.06 }, { opacity: 1, offset: 0.92 }, { opacity: 0 }], { duration: STAY_MS }), element);
    return true;
  }

  /** @param {Said} said */
  #make(said) {
    const element = h('span', { class: said.mine ? 'bullet own' : 'bullet' }, said.text);
    if (said.colour) element.style.setProperty('color', said.colour);
    return element;
  }

  /** @param {Animation} animation @param {HTMLElement} element */
  #fly(animation, element) {
    this.#shown++;
    animation.onfinish = () => {
      if (!element.isConnected) return;
      element.remove();
      this.#shown--;
    };
  }
}

/** The first lane that is free now; −1: none. @param {number[]} lanes @param {number} count @param {number} now */
function freeLane(lanes, count, now) {
  for (let at = 0; at < count; at++) if ((lanes[at] ?? 0) <= now) return at;
  return -1;
}

/** The lane that is free first. @param {number[]} lanes @param {number} count */
function soonest(lanes, count) {
  let best = 0;
  for (let at = 1; at < count; at++) if ((lanes[at] ?? 0) < (lanes[best] ?? 0)) best = at;
  return best;
}
