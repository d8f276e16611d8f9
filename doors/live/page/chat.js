// The chat beside the picture: what was said, and where one says something oneself.

import { Menu, choice } from './menu.js';
import { GIFTS, giftFace, giftName } from './gifts.js';
import { fill, h, watchAll } from './lib/dom.js';
import { icon } from './lib/icon.js';
import { settings } from './lib/settings.js';
import { t } from './lib/words.js';
import { TEXT_MAX, nameOf } from './room.js';

/** @typedef {import('./room.js').Room} Room */
/** @typedef {import('./room.js').Said} Said */
/** @typedef {import('./room.js').Given} Given */

/** Lines on the page at most. */
const LINES_MAX = 300;
/** How near to the end counts as the end, px. */
const END = 48;
/** Colours that one can write in; the first is the usual one. */
const COLOURS = ['', '#ff7d68', '#f5b94a', '#ffe66b', '#57d08a', '#4cc9b1', '#5fb4ee', '#b79bff', '#ff9ad1'];

export class Chat {
  element = h('section', { class: 'chat' });
  #list = h('ol', { class: 'lines', role: 'log', tabIndex: 0 });
  #below = h('button', { type: 'button', class: 'below', hidden: true, on: { click: () => this.#toEnd() } });
  #none = h('p', { class: 'none' });
  #atEnd = true;
  #top = 0;
  #new = 0;
  /** @type {DocumentFragment} */ #fresh = document.createDocumentFragment();
  #waits = false;

  /** @param {Room} room */
  constructor(room) {
    this.element.append(this.#none, this.#list, this.#below);
    room.onSaid((said) => this.#said(said));
    room.onGift((given) => this.#given(given));
    room.onMissed((n) => n > 0 && this.#put(h('li', { class: 'note' }, t('chat.missed', { n }))));
    this.#list.addEventListener('scroll', () => this.#notice(), { passive: true });
    new ResizeObserver(() => {
      this.#notice();
      if (this.#atEnd) this.#toEnd();
    }).observe(this.#list);
    settings.language.watch(() => {
      this.#none.textContent = t('chat.none');
      this.#list.setAttribute('aria-label', t('chat'));
      this.#sayBelow();
    });
  }

  /** @param {Said} said */
  #said({ who, role, text, mine, colour }) {
    const words = h('span', { class: 'text' }, text);
    if (colour) words.style.setProperty('color', `color-mix(in srgb, ${colour} 80%, var(--ink))`);
    this.#put(h('li', { class: mine ? 'own' : '' }, role ? h('span', { class: `role ${role}` }, t(`role.${role}`)) : null, name(who), ' ', words));
  }

  /** @param {Given} given */
  #given({ who, gift, count, text, mine }) {
    this.#put(
      h(
        'li',
        { class: mine ? 'gift own' : 'gift' },
        name(who),
        ` ${t('gift.sent', { gift: giftName(gift) })} `,
        h('span', { class: 'face' }, giftFace(gift)),
        count > 1 ? h('b', { class: 'times' }, ` ×${count}`) : null,
        text ? h('span', { class: 'text' }, ` ${text}`) : null,
      ),
    );
  }

  /** Lines are put in together, once a frame: a busy chat says hundreds a second. @param {HTMLElement} line */
  #put(line) {
    this.#fresh.append(line);
    if (this.#waits) return;
    this.#waits = true;
    const run = () => {
      if (!this.#waits) return;
      this.#waits = false;
      this.#flush();
    };
    requestAnimationFrame(run);
    setTimeout(run, 250);
  }

  #flush() {
    this.#notice();
    const list = this.#list;
    this.#none.hidden = true;
    const n = this.#fresh.childElementCount;
    list.append(this.#fresh);
    const over = list.childElementCount - LINES_MAX;
    if (over > 0) {
      const before = list.scrollHeight;
      for (let i = 0; i < over; i++) list.firstElementChild?.remove();
      // What one reads stays where it is.
      if (!this.#atEnd) list.scrollTop = Math.max(0, list.scrollTop - (before - list.scrollHeight));
    }
    if (this.#atEnd) this.#toEnd();
    else {
      this.#new += n;
      this.#sayBelow();
    }
  }

  #notice() {
    const { scrollHeight, scrollTop, clientHeight } = this.#list;
    if (scrollHeight - scrollTop - clientHeight < END) {
      this.#atEnd = true;
      this.#new = 0;
      this.#sayBelow();
    } else if (scrollTop < this.#top - 1) this.#atEnd = false;
    this.#top = scrollTop;
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#top = this.#list.scrollTop;
    this.#atEnd = true;
    this.#new = 0;
    this.#sayBelow();
  }

  #sayBelow() {
    this.#below.hidden = this.#atEnd;
    fill(this.#below, this.#new ? t('chat.below', { n: this.#new }) : t('chat.tobottom'), icon('down'));
  }
}

/** @param {string} who */
function name(who) {
  let sum = 0;
  for (const letter of who) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return h('b', { class: 'name', data: { hue: String(sum % 7) } }, who);
}

/** Where one writes. One is beside the chat, another over the picture when it fills the screen. */
export class Composer {
  element = h('form', { class: 'composer' });
  #room;
  #tell;
  /** @type {import('./room.js').Place} */ #place = 'roll';
  #input = h('input', { class: 'words', type: 'text', maxLength: TEXT_MAX, autocomplete: 'off', enterKeyHint: 'send' });
  #send = h('button', { type: 'submit', class: 'send' }, icon('send'));
  #note = h('p', { class: 'who' });

  /** @param {Room} room @param {(text: string) => void} tell shows a short notice */
  constructor(room, tell) {
    this.#room = room;
    this.#tell = tell;
    const look = h('button', { type: 'button', class: 'tool' }, h('span', { class: 'ink' }, 'A'));
    const gift = h('button', { type: 'button', class: 'tool' }, icon('gift'));
    const person = h('button', { type: 'button', class: 'tool me' }, icon('user'));
    const looks = new Menu(look, 'ink', (panel) => this.#drawLook(panel, looks));
    const gifts = new Menu(gift, 'give', (panel) => this.#drawGifts(panel));
    const names = new Menu(person, 'name', (panel) => this.#drawName(panel, names));
    this.element.append(
      this.#note,
      h('div', { class: 'row' }, h('span', { class: 'holder' }, person, names.element), h('span', { class: 'holder' }, look, looks.element), this.#input, this.#send, h('span', { class: 'holder' }, gift, gifts.element)),
    );
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#say();
    });
    settings.colour.watch((colour) => {
      look.style.setProperty('--ink-now', colour || 'currentColor');
      this.#input.style.setProperty('--ink-now', colour || 'var(--ink)');
    });
    watchAll([room.phase, room.user, settings.language], () => {
      const { phase } = room;
      this.#input.placeholder = t('chat.write');
      for (const [element, text] of /** @type {[HTMLElement, string][]} */ ([
        [this.#input, t('chat.write')],
        [this.#send, t('chat.send')],
        [look, `${t('colour')}, ${t('place')}`],
        [gift, t('gift')],
        [person, t('chat.as', { name: nameOf(room.user.value) })],
      ])) {
        element.setAttribute('aria-label', text);
        element.title = text;
      }
      // Gifts are an account's.
      gift.hidden = room.isGuest;
      this.#input.disabled = this.#send.disabled = gift.disabled = phase.value === 'refused';
      this.#note.hidden = phase.value === 'online';
      fill(
        this.#note,
        phase.value === 'refused' ? [t('chat.refused'), ' ', h('a', { href: '/', target: '_blank', rel: 'noopener' }, t('chat.signin'))] : t(phase.value === 'waiting' ? 'chat.waiting' : 'chat.connecting'),
      );
    });
  }

  focus() {
    this.#input.focus();
  }

  async #say() {
    const text = this.#input.value.replace(/\s+/g, ' ').trim();
    if (!text || this.#send.disabled) return;
    this.#input.value = '';
    try {
      await this.#room.say(text, this.#place);
    } catch (error) {
      this.#tell(t('chat.failed', { why: error instanceof Error ? error.message : '' }));
      if (!this.#input.value) this.#input.value = text;
    }
  }

  /** @param {HTMLElement} panel @param {Menu} menu */
  #drawLook(panel, menu) {
    const places = /** @type {const} */ (['roll', 'top', 'bottom']).map((id) => ({ id, text: t(`place.${id}`) }));
    fill(
      panel,
      h(
        'div',
        { class: 'choice', role: 'radiogroup', 'aria-label': t('colour') },
        h('span', { class: 'label' }, t('colour')),
        h(
          'span',
          { class: 'colours' },
          COLOURS.map((colour) => {
            const one = h('button', { type: 'button', role: 'radio', 'aria-checked': String(colour === settings.colour.value), 'aria-label': colour || 'white', on: { click: () => ((settings.colour.value = colour), menu.redraw()) } });
            one.style.setProperty('--this', colour || '#fff');
            return one;
          }),
        ),
      ),
      choice(t('place'), places, this.#place, (id) => {
        this.#place = /** @type {import('./room.js').Place} */ (id);
        menu.redraw();
      }),
    );
  }

  /** @param {HTMLElement} panel */
  #drawGifts(panel) {
    fill(
      panel,
      h('h3', null, t('gift')),
      h(
        'div',
        { class: 'gift-grid' },
        Object.entries(GIFTS).map(([gift, face]) =>
          h(
            'button',
            {
              type: 'button',
              data: { gift },
              on: { click: () => this.#room.give(gift).catch((error) => this.#tell(t('chat.failed', { why: error.message }))) },
            },
            h('span', { class: 'face' }, face),
            h('small', null, giftName(gift)),
          ),
        ),
      ),
    );
  }

  /** @param {HTMLElement} panel @param {Menu} menu */
  #drawName(panel, menu) {
    if (!this.#room.isGuest) {
      fill(panel, h('p', null, t('chat.as', { name: nameOf(this.#room.user.value) })));
      return;
    }
    const input = h('input', { type: 'text', maxLength: 24, value: settings.guest.value, autocomplete: 'nickname', 'aria-label': t('chat.name') });
    const take = () => {
      // What the hub does not take in a name, and what would only look like another.
      settings.guest.value = input.value.replace(/[\s/+#$:]+/g, ' ').trim();
      menu.close();
      this.#room.enter();
    };
    input.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' || event.isComposing) return;
      event.preventDefault();
      take();
    });
    fill(
      panel,
      h('h3', null, t('chat.name')),
      h('div', { class: 'row' }, input, h('button', { type: 'button', class: 'main', on: { click: take } }, t('chat.name.take'))),
      h('p', { class: 'aside' }, h('a', { href: '/', target: '_blank', rel: 'noopener' }, t('chat.signin'))),
    );
    queueMicrotask(() => input.focus());
  }
}
