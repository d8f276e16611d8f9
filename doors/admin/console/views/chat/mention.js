// The list of people that opens when one types @ in a group.

import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { fill, h } from '../../lib/dom.js';
import { myName, nameOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';

/** Members that are looked through. */
const MEMBERS_MAX = 200;
const SHOWN_MAX = 8;
/** People in one message. */
const MENTIONS_MAX = 50;

/** @param {Several} several */
const calledAs = (several) => t(several === 'all' ? 'write.everyone' : 'write.here');

/** @typedef {{user: string, name: string}} Person */
/** @typedef {'all' | 'here'} Several everybody, or everybody who is here now */

export class MentionList {
  element = h('ul', { class: 'mention-list', role: 'listbox', hidden: true, 'aria-label': t('write.mention') });
  #area;
  #talk;
  /** @type {Person[] | null} */ #members = null;
  /** @type {(Person | Several)[]} */ #shown = [];
  /** What was chosen here; the same words typed by hand are only words. @type {Set<Several>} */ #several = new Set();
  #at = 0;

  /** @param {HTMLTextAreaElement} area @param {import('../../lib/im/talk.js').Talk} talk */
  constructor(area, talk) {
    this.#area = area;
    this.#talk = talk;
    area.addEventListener('input', () => void this.#look());
    area.addEventListener('blur', () => setTimeout(() => this.#hide(), 150));
  }

  /** What is typed after the @ before the cursor. */
  #word() {
    const before = this.#area.value.slice(0, this.#area.selectionStart);
    return /(?:^|[\s（(，。！？])@([\p{L}\p{N}._-]{0,30})$/u.exec(before)?.[1];
  }

  async #look() {
    const word = this.#word();
    const { entry } = this.#talk;
    if (word === undefined || !entry || entry.kind === 'direct') return this.#hide();
    if (!this.#members) {
      const { members } = await this.#talk.conversation.members({ limit: MEMBERS_MAX }).catch(() => ({ members: [] }));
      this.#members = members.map(({ user, nick }) => ({ user, name: nick || nameOf(user) }));
    }
    const wanted = (this.#word() ?? '').toLowerCase();
    const found = this.#members
      .map(({ user, name }) => ({ user, name: nameOf(user) === user ? name : nameOf(user) }))
      .filter(({ user, name }) => user !== myName() && (user.toLowerCase().startsWith(wanted) || name.toLowerCase().includes(wanted)));
    const mayAll = this.#talk.leads || entry.info?.mention_all !== 'admins';
    const several = /** @type {Several[]} */ (mayAll ? ['all', 'here'] : []).filter((each) => each.startsWith(wanted) || calledAs(each).toLowerCase().startsWith(wanted));
    this.#shown = [...several, ...found].slice(0, SHOWN_MAX);
    this.#at = 0;
    this.#draw();
  }

  #draw() {
    this.element.hidden = this.#shown.length === 0;
    fill(
      this.element,
      this.#shown.map((each, i) =>
        h(
          'li',
          {
            role: 'option',
            'aria-selected': String(i === this.#at),
            on: {
              pointerdown: (/** @type {Event} */ event) => {
                event.preventDefault();
                this.#choose(i);
              },
            },
          },
          typeof each === 'string' ? icon('megaphone') : personFace(each.user, { size: 26, dot: true }),
          h('b', null, typeof each === 'string' ? calledAs(each) : each.name),
          h('small', null, typeof each === 'string' ? t(each === 'all' ? 'write.everyone.text' : 'write.here.text') : each.name === each.user ? '' : `@${each.user}`),
        ),
      ),
    );
  }

  #hide() {
    this.#shown = [];
    this.element.hidden = true;
  }

  /** @param {number} i */
  #choose(i) {
    const chosen = this.#shown[i];
    const word = this.#word();
    if (!chosen || word === undefined) return;
    // The account's name is what `@` leads to; it has no spaces, and everybody sees whom it means.
    const name = typeof chosen === 'string' ? calledAs(chosen) : chosen.user;
    if (typeof chosen === 'string') this.#several.add(chosen);
    const end = this.#area.selectionStart;
    this.#area.setRangeText(`@${name} `, end - word.length - 1, end, 'end');
    this.#hide();
    this.#area.dispatchEvent(new Event('input'));
    this.#area.focus();
  }

  /** Whether a key was for the list. @param {KeyboardEvent} event */
  key(event) {
    if (this.element.hidden) return false;
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step) this.#at = (this.#at + step + this.#shown.length) % this.#shown.length;
    else if ((event.key === 'Enter' || event.key === 'Tab') && !event.isComposing) {
      event.preventDefault();
      this.#choose(this.#at);
      return true;
    } else if (event.key === 'Escape') this.#hide();
    else return false;
    event.preventDefault();
    event.stopPropagation();
    this.#draw();
    return true;
  }

  /** Whom a text mentions: those who were chosen, and members whose account's name was typed. @param {string} text */
  of(text) {
    /** @type {Set<string>} */
    const users = new Set();
    const said = { all: false, here: false };
    const { entry } = this.#talk;
    if (entry?.kind === 'direct') return {};
    const members = new Set((this.#members ?? []).map(({ user }) => user));
    for (const { user } of entry?.cursors ?? []) members.add(user);
    for (const [, name = ''] of text.matchAll(/(?<![\p{L}\p{N}_])@([\p{L}\p{N}._-]*[\p{L}\p{N}_])/gu)) {
      const several = [...this.#several].find((each) => calledAs(each) === name);
      if (several) said[several] = true;
      else if (members.has(name)) users.add(name);
    }
    return { ...(users.size && { mentions: [...users].slice(0, MENTIONS_MAX) }), ...(said.all && { mention_all: true }), ...(said.here && { mention_here: true }) };
  }
}

