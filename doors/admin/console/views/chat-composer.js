// <y-composer>: where a message is written. It grows with the text, keeps a draft for each room, and says that one types.

import { icon } from '../components/icon.js';
import { place } from '../components/menu.js';
import { guestLogin, guestName, me } from '../lib/account.js';
import { sayTyping, send } from '../lib/chat.js';
import { Part, h } from '../lib/dom.js';
import { keepDraft } from '../lib/drafts.js';
import { t } from '../lib/i18n.js';
import { warn } from '../lib/notices.js';
import { Room, rooms } from '../lib/rooms.js';

/** Characters of one message; far below what a frame takes. */
const TEXT_MAX = 20_000;
const EMOJI =
  '😀 😄 😂 🥲 😊 😍 😎 🤔 😅 😢 😮 😴 👍 👎 👏 🙏 💪 👀 🙌 🤝 ❤️ 🔥 🎉 ✨ ✅ ❌ ⚠️ 🚀 🐎 🏮 🥟 🍜 ☕ 🍵 🌧️ ☀️'.split(
    ' ',
  );

export class Composer extends Part {
  room = new Room('', '');
  #area = h('textarea', { class: 'writing', rows: 1, maxLength: TEXT_MAX, enterKeyHint: 'send' });

  /** Puts the cursor here. */
  take() {
    this.#area.focus();
  }

  begin() {
    const room = this.room;
    const area = this.#area;
    area.placeholder = t('composer.to', { room: room.name });
    area.setAttribute('aria-label', area.placeholder);
    area.value = room.draft;
    const sendButton = h(
      'button',
      { class: 'send', type: 'submit', title: t('composer.send'), 'aria-label': t('composer.send') },
      icon('send'),
    );
    const emojiButton = h(
      'button',
      {
        class: 'icon-button',
        type: 'button',
        title: t('composer.emoji'),
        'aria-label': t('composer.emoji'),
        on: { click: () => this.#pickEmoji(emojiButton) },
      },
      icon('smile'),
    );
    const form = h(
      'form',
      { class: 'composer', on: { submit: (/** @type {Event} */ event) => (event.preventDefault(), this.#send()) } },
      area,
      emojiButton,
      sendButton,
    );
    this.replaceChildren(
      me.value?.guest && !guestLogin() ? this.#askName() : '',
      form,
      h('p', { class: 'composer-hint aside' }, t('composer.hint')),
    );
    const fit = () => {
      area.style.height = 'auto';
      area.style.height = `${Math.min(area.scrollHeight, 220)}px`;
      sendButton.disabled = area.value.trim() === '';
    };
    this.listen(area, 'input', () => {
      fit();
      room.draft = area.value;
      keepDraft(room.name, area.value);
      sayTyping(room, area.value.trim() !== '');
    });
    this.listen(area, 'keydown', (/** @type {KeyboardEvent} */ event) => {
      // While an input method composes, Enter belongs to it.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
        event.preventDefault();
        this.#send();
      }
    });
    this.listen(area, 'y-fit', fit);
    this.keep(() => {
      sayTyping(room, false);
      rooms.touch();
    });
    fit();
  }

  #send() {
    const text = this.#area.value.replace(/\s+$/, '');
    if (!text.trim()) return;
    if (!send(this.room, text)) {
      warn(t('composer.full'), t('composer.full.advice'));
      return;
    }
    this.#area.value = '';
    this.room.draft = '';
    keepDraft(this.room.name, '');
    sayTyping(this.room, false);
    this.#area.dispatchEvent(new Event('y-fit'));
    this.#area.focus();
  }

  /** @param {HTMLElement} button */
  #pickEmoji(button) {
    const picker = h('div', { class: 'menu emoji-picker', popover: 'auto', 'aria-label': t('composer.emoji') });
    for (const emoji of EMOJI) {
      const press = () => {
        this.#area.setRangeText(emoji, this.#area.selectionStart, this.#area.selectionEnd, 'end');
        this.#area.dispatchEvent(new Event('input'));
        picker.hidePopover();
        this.#area.focus();
      };
      picker.append(h('button', { type: 'button', on: { click: press } }, emoji));
    }
    picker.addEventListener('toggle', (event) => {
      if (/** @type {ToggleEvent} */ (event).newState === 'closed') picker.remove();
    });
    document.body.append(picker);
    picker.showPopover();
    place(picker, button);
    picker.querySelector('button')?.focus();
  }

  #askName() {
    const input = h('input', {
      class: 'input',
      value: guestName.value,
      maxLength: 40,
      placeholder: t('guest.name'),
      'aria-label': t('guest.name'),
      on: { input: () => (guestName.value = input.value.trim()) },
    });
    return h('div', { class: 'guest-name' }, icon('user'), input);
  }
}

customElements.define('y-composer', Composer);
