// Gifts: a ribbon that says who gave what, and a few of them that rise over the picture.

import { h } from './lib/dom.js';
import { t, tName } from './lib/words.js';

/** @typedef {import('./room.js').Given} Given */

/** What one can give here. */
export const GIFTS = { rose: '🌹', heart: '❤️', applause: '👏', tea: '🍵', lantern: '🏮', rocket: '🚀' };

/** How long a ribbon stays after the last gift of its kind, ms. */
const STAY_MS = 4200;
/** Ribbons at a time. */
const RIBBONS_MAX = 3;
/** What rises at one gift, at most. */
const RISING_MAX = 12;
/** What rises at a time, at most. */
const AIR_MAX = 40;

/** @param {string} gift */
export function giftFace(gift) {
  return Object.hasOwn(GIFTS, gift) ? GIFTS[/** @type {keyof typeof GIFTS} */ (gift)] : '🎁';
}

/** @param {string} gift */
export function giftName(gift) {
  return tName('gift', gift);
}

export class Gifts {
  element = h('div', { class: 'gifts', 'aria-hidden': 'true' });
  #ribbons = h('div', { class: 'ribbons' });
  #air = h('div', { class: 'air' });
  /** By who and what. @type {Map<string, {element: HTMLElement, count: HTMLElement, n: number, timer: ReturnType<typeof setTimeout>}>} */ #shown = new Map();
  /** @type {Given[]} */ #queue = [];

  constructor() {
    this.element.append(this.#air, this.#ribbons);
  }

  /** @param {Given} given */
  show(given) {
    if (document.hidden) return;
    const key = `${given.who} ${given.gift}`;
    const there = this.#shown.get(key);
    if (there) {
      there.n += given.count;
      there.count.textContent = `×${there.n}`;
      if (!still()) there.count.animate([{ transform: 'scale(1.9)' }, { transform: 'scale(1)' }], { duration: 280, easing: 'cubic-bezier(.2,1.6,.4,1)' });
      clearTimeout(there.timer);
      there.timer = this.#leave(key);
    } else if (this.#shown.size < RIBBONS_MAX) this.#ribbon(key, given);
    else if (this.#queue.length < 50) this.#queue.push(given);
    this.#rise(given);
  }

  /** @param {string} key @param {Given} given */
  #ribbon(key, given) {
    const count = h('b', { class: 'times' }, `×${given.count}`);
    const element = h(
      'div',
      { class: given.mine ? 'ribbon own' : 'ribbon' },
      h('span', { class: 'who' }, h('b', null, given.who), h('small', null, given.text || t('gift.sent', { gift: giftName(given.gift) }))),
      h('span', { class: 'face' }, giftFace(given.gift)),
      count,
    );
    this.#ribbons.append(element);
    this.#shown.set(key, { element, count, n: given.count, timer: this.#leave(key) });
  }

  /** @param {string} key */
  #leave(key) {
    return setTimeout(() => {
      const there = this.#shown.get(key);
      if (!there) return;
      this.#shown.delete(key);
      there.element.classList.add('going');
      setTimeout(() => there.element.remove(), 350);
      const next = this.#queue.shift();
      if (next) this.#ribbon(`${next.who} ${next.gift}`, next);
    }, STAY_MS);
  }

  /** @param {Given} given */
  #rise({ gift, count }) {
    if (still()) return;
    const n = Math.min(RISING_MAX, 3 + count, AIR_MAX - this.#air.childElementCount);
    const height = this.element.clientHeight;
    for (let i = 0; i < n; i++) {
      const one = h('span', null, giftFace(gift));
      one.style.setProperty('right', `${4 + Math.random() * 14}%`);
      this.#air.append(one);
      const drift = (Math.random() - 0.5) * 90;
      const size = 0.7 + Math.random() * 0.8;
      one.animate(
        [
          { transform: `translate(0, 20px) scale(.2)`, opacity: 0 },
          { transform: `translate(${drift / 3}px, ${-height * 0.12}px) scale(${size})`, opacity: 1, offset: 0.18 },
          { transform: `translate(${drift}px, ${-height * 0.5}px) scale(${size}) rotate(${drift / 4}deg)`, opacity: 0 },
        ],
        { duration: 2200 + Math.random() * 1200, delay: i * 90, easing: 'cubic-bezier(.25,.6,.5,1)', fill: 'backwards' },
      ).onfinish = () => one.remove();
    }
  }
}

/** Whether somebody wants less movement. */
function still() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}
