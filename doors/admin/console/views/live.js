// <y-live>: the broadcasts that are on air, and how to begin one.

import './live-card.js';
import { bones, empty, failed, heading } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { live } from '../lib/live.js';
import { goLive } from './live-help.js';

/** @typedef {import('../lib/live.js').Whole} Whole */
/** @typedef {import('./live-card.js').LiveCard} LiveCard */

const REFRESH_MS = 2000;
/** Broadcasts whose numbers are asked for. */
const DETAILED = 30;

class Live extends Part {
  #list = h('div', { class: 'live-list' }, bones(5));
  #more = h('p', { class: 'aside', hidden: true });
  #help = goLive();
  /** @type {Map<string, LiveCard>} */ #cards = new Map();
  #busy = false;
  #known = false;

  begin() {
    this.className = 'page';
    this.#help.hidden = true;
    const button = h('button', { class: 'button main', type: 'button', 'aria-expanded': 'false', on: { click: () => this.#toggleHelp(button) } }, icon('broadcast'), t('live.go'));
    this.replaceChildren(heading(t('nav.live'), t('live.text'), button), h('div', { class: 'content' }, this.#help, this.#list, this.#more));
    void this.#look();
    this.each(REFRESH_MS, () => {
      if (!document.hidden) void this.#look();
    });
  }

  /** @param {HTMLElement} button */
  #toggleHelp(button) {
    this.#help.hidden = !this.#help.hidden;
    button.setAttribute('aria-expanded', String(!this.#help.hidden));
  }

  async #look() {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const { broadcasts, more } = await live.list();
      const shown = broadcasts.slice(0, DETAILED);
      const wholes = await Promise.all(shown.map(({ app, name }) => live.show(app, name).catch(() => null)));
      this.#draw(shown, wholes);
      const rest = broadcasts.length - shown.length;
      this.#more.hidden = rest === 0;
      this.#more.textContent = t('live.more', { n: more ? `${rest}+` : rest });
      // The first time that there is nothing, it says how to change that.
      if (!this.#known && broadcasts.length === 0) this.#help.hidden = false;
      this.#known = true;
    } catch (error) {
      if (!this.#known) fill(this.#list, failed(error, () => void this.#look()));
    }
    this.#busy = false;
  }

  /** @param {import('../lib/live.js').Shown[]} shown @param {(Whole | null)[]} wholes */
  #draw(shown, wholes) {
    const there = new Set(shown.map(({ app, name }) => `${app}/${name}`));
    for (const [key, card] of this.#cards) {
      if (there.has(key)) continue;
      card.remove();
      this.#cards.delete(key);
    }
    if (shown.length === 0) {
      fill(this.#list, empty('broadcast', t('live.none'), t('live.none.text')));
      return;
    }
    if (this.#cards.size === 0) this.#list.replaceChildren();
    shown.forEach((each, i) => {
      const key = `${each.app}/${each.name}`;
      let card = this.#cards.get(key);
      if (!card) {
        card = /** @type {LiveCard} */ (document.createElement('y-live-card'));
        card.shown = each;
        this.#cards.set(key, card);
        this.#list.append(card);
      }
      card.show(wholes[i]?.broadcast ?? each, wholes[i] ?? null);
    });
  }
}

customElements.define('y-live', Live);
