// <y-chat>: the list of conversations, the one that is open, and what is looked at beside it. On a phone one at a time.
// `#/chat/ID`, `#/chat/ID/at/NUMBER` (a message), `#/chat/ID/info|members|files|pins|search|thread/NUMBER`, `#/chat/join/CODE`.

import './chat/list.js';
import './chat/timeline.js';
import './chat/composer.js';
import { bones, empty } from '../components/bits.js';
import { me, signOut } from '../lib/account.js';
import { Part, fill, h } from '../lib/dom.js';
import { chat, chatState, list, talkOf, titleOf } from '../lib/im/im.js';
import { t } from '../lib/i18n.js';
import { viewTitle } from '../lib/alerts.js';
import { go, goInstead, route } from '../lib/route.js';
import { newTalk, joinByLink } from './chat/new.js';
import { makePanel } from './chat/panel.js';
import { sayWhy } from './chat/talk-menu.js';
import { makeTalk } from './chat/talk.js';

const wide = matchMedia('(min-width: 721px)');

class Chat extends Part {
  #room = h('section', { class: 'room', 'aria-label': t('nav.chat') });
  /** @type {HTMLElement | null} */ #panel = null;
  #open = '';
  #paneled = '';
  /** @type {(() => void)[]} */ #ends = [];

  begin() {
    this.replaceChildren(document.createElement('y-chat-list'), this.#room);
    this.follow(route, () => this.#go());
    this.follow(chatState, () => this.#go());
    this.follow(list, () => {
      // The list may say what is open, or that it is gone.
      const known = this.#open && chatState.value.phase === 'ready' && chat().conversations.get(this.#open);
      if (known) viewTitle.value = titleOf(known);
      else if (this.#open && chatState.value.phase === 'ready') this.#go(true);
      else if (!this.#open && route.value[1]) this.#go();
    });
    this.listen(document, 'keydown', (/** @type {KeyboardEvent} */ event) => {
      if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog[open], :popover-open')) return;
      const [, id, part] = route.value;
      if (id && part && part !== 'at') go('chat', id);
    });
    this.keep(() => this.#leave());
  }

  #leave() {
    for (const end of this.#ends.splice(0)) end();
    this.#open = '';
    this.#panel?.remove();
    this.#panel = null;
    this.#paneled = '';
  }

  /** @param {boolean} [again] */
  #go(again = false) {
    const [view, id, part, argument] = route.value;
    if (view !== 'chat') return;
    this.classList.toggle('open', Boolean(id));
    this.classList.toggle('shut', chatState.value.phase === 'refused');
    if (chatState.value.phase === 'refused') {
      this.#leave();
      this.classList.add('open');
      const signIn = me.value?.guest ? h('button', { class: 'button main', type: 'button', on: { click: () => void signOut() } }, t('signin.button')) : null;
      fill(this.#room, empty('lock', t('im.refused'), chatState.value.reason, signIn));
      return;
    }
    if (chatState.value.phase !== 'ready') {
      if (!this.#open) fill(this.#room, h('div', { class: 'timeline-bones' }, bones(9)));
      return;
    }
    if (id === 'join' && part) {
      goInstead('chat');
      void joinByLink(part).catch(sayWhy);
      return;
    }
    if (!id) {
      this.#leave();
      const last = localStorage.getItem('yizhan.talk');
      const first = last && chat().conversations.get(last) ? last : '';
      if (wide.matches && first) goInstead('chat', first);
      else
        fill(
          this.#room,
          empty('chat', t('im.choose'), t('im.choose.text'), h('button', { class: 'button', type: 'button', on: { click: () => newTalk() } }, t('im.new'))),
        );
      return;
    }
    const entry = chat().conversations.get(id);
    if (!entry) {
      if (!again && this.#open === id) return;
      this.#leave();
      if (chat().conversations.complete) fill(this.#room, empty('chat', t('im.missing'), t('im.missing.text')));
      else fill(this.#room, h('div', { class: 'timeline-bones' }, bones(9)));
      return;
    }
    const talk = talkOf(id);
    if (part === 'at' && argument) {
      // Where it is open already, the panel that covers it on a phone goes first.
      const there = this.#open === id;
      if (!there) talk.target.value = { seq: Number(argument) };
      goInstead('chat', id);
      if (there) talk.show(Number(argument));
      return;
    }
    if (this.#open !== id) {
      this.#leave();
      this.#open = id;
      localStorage.setItem('yizhan.talk', id);
      viewTitle.value = titleOf(entry);
      this.#ends.push(makeTalk(talk, this.#room, wide.matches));
    }
    this.#show(talk, part ?? '', argument ?? '');
  }

  /** @param {import('../lib/im/talk.js').Talk} talk @param {string} part @param {string} argument */
  #show(talk, part, argument) {
    const wanted = part ? `${talk.id} ${part} ${argument}` : '';
    this.classList.toggle('paneled', Boolean(part));
    if (wanted === this.#paneled) return;
    this.#paneled = wanted;
    this.#panel?.remove();
    this.#panel = part ? makePanel(talk, part, argument) : null;
    if (this.#panel) this.append(this.#panel);
  }
}

customElements.define('y-chat', Chat);
