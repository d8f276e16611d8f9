// <y-composer>: where a message is written: an answer, a change, a file, a voice. It grows with the text, keeps the draft
// on all devices, and says that one types.

import { iconButton } from '../../components/bits.js';
import { icon } from '../../components/icon.js';
import { hue } from '../../components/avatar.js';
import { Part, fill, h } from '../../lib/dom.js';
import { moment } from '../../lib/format.js';
import { asSent, rememberFacts } from '../../lib/im/facts.js';
import { chat, list, nameOrYou, titleOf } from '../../lib/im/im.js';
import { preview } from '../../lib/im/preview.js';
import { Talk } from '../../lib/im/talk.js';
import { canRecord } from '../../lib/im/voice.js';
import { t } from '../../lib/i18n.js';
import { warn } from '../../lib/notices.js';
import { attachMenu, sendFiles } from './attach.js';
import { pickEmoji } from './emoji-picker.js';
import { MentionList } from './mention.js';
import { canEdit } from './message-menu.js';
import { recorder } from './recorder.js';
import { attempt } from './talk-menu.js';

/** Bytes of one message, where the server does not say. */
const TEXT_MAX = 10_000;
/** How long one stops writing until the draft is kept, ms. */
const DRAFT_AFTER = 800;

export class Composer extends Part {
  talk = new Talk(/** @type {any} */ (null));
  /** The message whose thread this writes in. @type {number | null} */ thread = null;
  /** Seconds from reading until what is sent is gone; 0: it stays. */
  burn = 0;
  #area = h('textarea', { class: 'writing', rows: 1, enterKeyHint: 'send' });
  #context = h('div');
  #frame = h('div', { class: 'composer-frame' });
  #send = h('button', { class: 'send', type: 'submit' }, icon('send'));
  #mic = h('button', { class: 'send', type: 'button' }, icon('mic'));
  #draftTimer = 0;
  #allowed = '';
  /** @type {MentionList | null} */ #mentions = null;

  /** Puts the cursor here. */
  take() {
    this.#area.focus();
  }

  begin() {
    const { talk } = this;
    const area = this.#area;
    area.placeholder = this.thread === null ? t('write.to') : t('talk.thread.write');
    area.setAttribute('aria-label', `${area.placeholder}: ${talk.entry ? titleOf(talk.entry) : ''}`);
    area.value = this.thread === null ? talk.conversation.draft : '';
    this.#mentions = new MentionList(area, talk);
    this.#label(this.#send, t('write.send'));
    this.#label(this.#mic, t('write.voice'));
    this.#mic.addEventListener('click', () => void this.#record());
    this.replaceChildren(this.#context, this.#frame, h('p', { class: 'composer-hint aside' }, t('write.hint')));
    this.listen(area, 'input', () => this.#typed());
    this.listen(area, 'keydown', (event) => this.#key(event));
    this.listen(area, 'paste', (event) => this.#paste(event));
    if (this.thread === null) {
      this.follow(talk.writing, () => this.#sayContext());
      this.keep(talk.text.hear((said) => said && this.#put(said.text)));
      // Another device goes on with the draft, while nobody writes here.
      this.keep(list.hear(() => document.activeElement !== area && !this.#draftTimer && talk.writing.value.kind === 'plain' && talk.conversation.draft !== area.value && this.#put(talk.conversation.draft, false)));
    }
    this.keep(list.hear(() => this.#allow()));
    this.keep(() => {
      talk.conversation.typing(false);
      this.#keepDraft();
    });
    this.#allow();
    this.#fit();
  }

  /** @param {HTMLElement} button @param {string} text */
  #label(button, text) {
    button.title = text;
    button.setAttribute('aria-label', text);
  }

  /** Why nothing can be written here; empty where it can. */
  #closed() {
    const { entry } = this.talk;
    if (!entry) return t('im.missing.text');
    if (entry.muted_until && entry.muted_until > Date.now()) return t('write.muted', { time: moment(entry.muted_until) });
    if (this.talk.leads) return '';
    if (entry.kind === 'channel') return t('write.channel');
    return entry.mute_all ? t('write.muted.all') : '';
  }

  #allow() {
    const closed = this.#closed();
    const form = `.${closed}`;
    if (this.#allowed === form) return;
    this.#allowed = form;
    if (closed) {
      fill(this.#frame, h('div', { class: 'no-writing', role: 'status' }, icon('bell-off'), closed));
      return;
    }
    const attach = iconButton('clip', t('write.attach'), () => attachMenu(attach, this));
    const emoji = iconButton('smile', t('write.emoji'), () =>
      pickEmoji(emoji, (each) => {
        this.#area.setRangeText(each, this.#area.selectionStart, this.#area.selectionEnd, 'end');
        this.#typed();
        if (matchMedia('(hover: hover)').matches) this.#area.focus();
      }),
    );
    fill(
      this.#frame,
      this.#mentions?.element,
      h(
        'form',
        { class: 'composer', on: { submit: (/** @type {Event} */ event) => (event.preventDefault(), this.#submit()) } },
        attach,
        this.#area,
        emoji,
        this.#send,
        this.#mic,
      ),
    );
    this.#fit();
  }

  #fit() {
    const area = this.#area;
    area.style.height = 'auto';
    area.style.height = `${Math.min(area.scrollHeight, 220)}px`;
    const written = area.value.trim() !== '';
    this.#send.disabled = !written;
    this.#send.hidden = !written && canRecord() && this.talk.writing.value.kind !== 'edit';
    this.#mic.hidden = !this.#send.hidden;
  }

  #typed() {
    this.#fit();
    this.talk.conversation.typing(this.#area.value.trim() !== '');
    if (this.thread !== null || this.talk.writing.value.kind === 'edit') return;
    clearTimeout(this.#draftTimer);
    this.#draftTimer = window.setTimeout(() => this.#keepDraft(), DRAFT_AFTER);
  }

  #keepDraft() {
    clearTimeout(this.#draftTimer);
    this.#draftTimer = 0;
    const { talk } = this;
    if (this.thread !== null || talk.writing.value.kind === 'edit' || !talk.entry || talk.conversation.draft === this.#area.value) return;
    void talk.conversation.setDraft(this.#area.value.slice(0, 4000)).catch(() => undefined);
  }

  /** @param {string} text @param {boolean} [focus] */
  #put(text, focus = true) {
    this.#area.value = text;
    this.#fit();
    if (!focus) return;
    this.#area.focus();
    this.#area.setSelectionRange(text.length, text.length);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (this.#mentions?.key(event)) return;
    // While an input method composes, Enter belongs to it.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === 'Enter' && !event.shiftKey && !composing) {
      event.preventDefault();
      this.#submit();
    } else if (event.key === 'Escape' && this.talk.writing.value.kind !== 'plain') {
      event.stopPropagation();
      this.#leave();
    } else if (event.key === 'ArrowUp' && this.#area.value === '' && this.thread === null) {
      const last = this.talk.conversation.messages.findLast((message) => message.mine && message.seq && canEdit(message));
      if (!last) return;
      event.preventDefault();
      this.talk.edit(last);
    }
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    sendFiles(files, this);
  }

  #leave() {
    const was = this.talk.writing.value.kind;
    this.talk.writing.value = { kind: 'plain' };
    if (was === 'edit') this.#put(this.talk.conversation.draft);
  }

  #sayContext() {
    const { value } = this.talk.writing;
    if (value.kind === 'plain') {
      fill(this.#context);
      this.#fit();
      return;
    }
    const { message } = value;
    const name = nameOrYou(message.from);
    fill(
      this.#context,
      h(
        'div',
        { class: 'context' },
        icon(value.kind === 'edit' ? 'edit' : 'reply'),
        h(
          'span',
          { class: 'quote', style: { '--hue': String(hue(name)) } },
          h('b', null, value.kind === 'edit' ? t('talk.editing') : t('write.replying', { name })),
          h('span', null, preview(message.content)),
        ),
        iconButton('close', t('cancel'), () => this.#leave()),
      ),
    );
    if (value.kind === 'edit') this.#put(message.content?.text ?? '');
    else this.#area.focus();
    this.#fit();
  }

  /** What belongs to all that is sent from here: the thread, the answer, burning. @returns {Partial<import('/sdk/im.js').Content>} */
  frame() {
    const { value } = this.talk.writing;
    return {
      ...(this.thread !== null && { thread: this.thread }),
      ...(this.thread === null && value.kind === 'reply' && { reply: value.message.seq }),
      ...(this.burn && { burn_s: this.burn }),
    };
  }

  /** Something was sent. */
  sent() {
    if (this.thread === null && this.talk.writing.value.kind === 'reply') this.talk.writing.value = { kind: 'plain' };
  }

  #submit() {
    const text = this.#area.value.replace(/\s+$/, '');
    if (!text.trim()) return;
    const most = Number(chat().limits['text_bytes'] ?? TEXT_MAX);
    if (new TextEncoder().encode(text).length > most) return warn(t('failed.do'), t('write.long', { n: most }));
    const { conversation, writing } = this.talk;
    const named = this.#mentions?.of(text) ?? {};
    if (this.thread === null && writing.value.kind === 'edit') {
      const { message } = writing.value;
      const before = message.content;
      this.#leave();
      if (before && before.text !== text) void attempt(conversation.edit(message.seq, { ...asSent(before), mentions: undefined, mention_all: undefined, mention_here: undefined, ...named, text }));
      return;
    }
    void conversation.send({ kind: 'text', text, ...named, ...this.frame() }).catch(() => undefined);
    this.sent();
    this.#put('');
    this.#keepDraft();
  }

  async #record() {
    const done = await recorder(this.#frame.querySelector('.composer'));
    this.#allowed = '';
    this.#allow();
    this.#area.focus();
    if (!done) return;
    rememberFacts(done.blob, { duration_ms: done.duration_ms });
    void this.talk.conversation
      .send({ kind: 'voice', name: done.name, waveform: done.waveform, ...this.frame() }, { file: done.blob, name: done.name })
      .catch(() => undefined);
    this.sent();
  }
}


customElements.define('y-composer', Composer);
