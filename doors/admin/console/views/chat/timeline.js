// <y-timeline>: the messages of a conversation. However long it is, only a part is on the page: scrolling takes in more
// at one end and lets go at the other, without a jump. It stays at the end when something comes, marks what was unread,
// and tells how far one has read.

import { iconButton } from '../../components/bits.js';
import { icon } from '../../components/icon.js';
import { atNextFrame } from '../../lib/cell.js';
import { Part, fill, h, reconcile } from '../../lib/dom.js';
import { isMentioned } from '/sdk/im.js';
import { myName, nameOf, people } from '../../lib/im/im.js';
import { Talk } from '../../lib/im/talk.js';
import { t } from '../../lib/i18n.js';
import { line } from '../../lib/line.js';
import { sayWhy } from './talk-menu.js';
import { makeRow, rowForm, rowKey, rowsOf } from './rows.js';

/** @typedef {import('/sdk/im.js').Shown} Shown */

/** Messages on the page at most. */
const PART = 140;
/** Messages that are taken in at one end while scrolling. */
const STEP = 50;
/** How near to an end more is taken in, pixels. */
const NEAR = 700;
/** How near to the end counts as the end, pixels. */
const END = 60;
/** When it is asked again for messages that could not be loaded. */
const AGAIN_MS = 3000;
/** With more unread ones than this it opens at the first of them. */
const UNREAD_FAR = 25;

export class Timeline extends Part {
  talk = new Talk(/** @type {any} */ (null));
  #scroll = h('div', { class: 'timeline scroll', tabIndex: 0, role: 'log' });
  #older = h('div', { class: 'older', hidden: true }, h('span', { class: 'spinner' }));
  #list = h('ul', { class: 'messages' });
  #typists = h('div', { class: 'typists', 'aria-live': 'polite' });
  #pills = h('div', { class: 'pills' });
  #draw = atNextFrame(() => this.#paint());
  /** The first message on the page; `null`: as many as fit before the end. @type {string | null} */ #first = null;
  /** The last one; `null`: the newest, whatever comes. @type {string | null} */ #last = null;
  #atEnd = true;
  /** Where it was scrolled to last. */ #top = 0;
  /** Where the unread ones began when it was opened. @type {number | null} */ #divider = null;
  #below = 0;
  #newest = 0;
  #loading = false;
  /** The load that is under way; another one waits for it. */ #busy = Promise.resolve();
  #failed = false;
  /** What is to be shown once it is on the page. @type {{seq: number, block: ScrollLogicalPosition, lit: boolean} | null} */ #goal = null;

  begin() {
    const { talk } = this;
    const { conversation } = talk;
    this.#scroll.setAttribute('aria-label', t('talk.messages'));
    this.#scroll.append(this.#older, this.#list);
    this.replaceChildren(this.#scroll, this.#pills, this.#typists);
    const { entry } = talk;
    if (entry?.unread) this.#divider = entry.read;
    this.keep(conversation.on('change', this.#draw));
    this.keep(conversation.on('event', this.#draw));
    this.keep(conversation.on('typing', () => this.#sayTyping()));
    for (const cell of [talk.choosing, talk.news, people, line.state]) this.keep(/** @type {import('../../lib/cell.js').Cell<any>} */ (cell).hear(this.#draw));
    this.keep(talk.target.hear((target) => target && void this.#jump(target.seq)));
    this.listen(this.#scroll, 'scroll', () => this.#scrolled(), { passive: true });
    this.listen(window, 'focus', () => this.#read());
    this.listen(document, 'visibilitychange', () => this.#read());
    this.listen(this.#scroll, 'keydown', (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'End') this.#toNewest();
    });
    const observer = new ResizeObserver(() => {
      this.#notice();
      if (this.#atEnd) this.#toEnd();
    });
    observer.observe(this.#scroll);
    observer.observe(this.#list);
    this.keep(() => observer.disconnect());
    this.keep(() => conversation.close());
    this.#newest = entry?.newest ?? 0;
    this.#sayTyping();
    void this.#open();
  }

  async #open() {
    const { talk } = this;
    const { conversation, entry } = talk;
    try {
      if (talk.target.value) await this.#jump(talk.target.value.seq);
      else if (entry && entry.unread > UNREAD_FAR) {
        this.#atEnd = false;
        await conversation.load({ around: entry.read + 1, limit: 80 });
        this.#goal = { seq: entry.read + 1, block: 'start', lit: false };
        this.#first = this.#last = null;
        void conversation.open();
      } else {
        this.#paint();
        await conversation.open();
      }
    } catch (error) {
      this.#failed = true;
      sayWhy(error);
    }
    this.#paint();
  }

  /** The part of the messages that is on the page. */
  #part() {
    const all = this.talk.conversation.messages;
    let end = this.#last === null ? all.length : all.findIndex(({ key }) => key === this.#last) + 1;
    if (end === 0) end = all.length;
    let start = this.#first === null ? -1 : all.findIndex(({ key }) => key === this.#first);
    if (start < 0) start = Math.max(0, end - PART);
    if (this.#last === null && end - start > PART + STEP) start = end - PART;
    return { all, start, end };
  }

  #paint() {
    if (!this.isConnected) return;
    const { talk } = this;
    const { conversation } = talk;
    this.#notice();
    const { all, start, end } = this.#part();
    this.#countThreads(all);
    const part = all.slice(start, end);
    const rows = rowsOf(talk, part, {
      divider: this.#divider,
      start: start === 0 && conversation.atStart && conversation.loaded,
      end: end === all.length && conversation.atEnd,
    });
    // The first message in sight keeps its place on the screen, whatever is put above it.
    const places = this.#atEnd && end === all.length ? [] : this.#inSight();
    this.#list.classList.toggle('choosing-on', talk.choosing.value !== null);
    this.#list.classList.toggle('direct', talk.entry?.kind === 'direct');
    reconcile(this.#list, rows, { key: rowKey, form: (row) => rowForm(row, talk), make: (row) => makeRow(row, talk) });
    if (this.#goal) this.#reach();
    else if (places.length > 0) this.#holdPlace(places);
    else if (this.#atEnd) this.#toEnd();
    this.#count();
    this.#read();
    this.#sayPills();
    this.#more();
  }

  /** @param {Shown[]} all */
  #countThreads(all) {
    const { threads } = this.talk;
    threads.clear();
    for (const { content, seq } of all) {
      if (content?.thread !== undefined && content.thread !== seq) threads.set(content.thread, (threads.get(content.thread) ?? 0) + 1);
    }
  }

  /** What has come since, while one looks at something older. */
  #count() {
    const newest = this.talk.entry?.newest ?? 0;
    if (newest > this.#newest) {
      const last = this.talk.conversation.messages.at(-1);
      if (last?.mine && last.seq >= newest) this.#toNewest();
      else if (!this.#atEnd) this.#below += newest - this.#newest;
    }
    // One's own words bring one to the end, before the server has them.
    const pending = this.talk.conversation.messages.at(-1);
    if (pending?.state === 'pending' && !this.#atEnd && pending.key !== this.#pendingSeen) this.#toNewest();
    this.#pendingSeen = pending?.state === 'pending' ? pending.key : '';
    this.#newest = newest;
  }
  #pendingSeen = '';

  /** The messages in sight, from above, and where they stand on the screen: by key, because a row that changes is made anew. */
  #inSight() {
    const { top, bottom } = this.#scroll.getBoundingClientRect();
    /** @type {{key: string, top: number}[]} */
    const places = [];
    for (const child of this.#list.children) {
      const key = child instanceof HTMLElement && child.classList.contains('message') ? child.dataset['key'] : undefined;
      if (key === undefined) continue;
      const place = child.getBoundingClientRect();
      if (place.top >= bottom) break;
      if (place.bottom > top) places.push({ key, top: place.top });
    }
    return places;
  }

  /** Puts the first of these that is still there back to where it stood. @param {{key: string, top: number}[]} places */
  #holdPlace(places) {
    for (const { key, top } of places) {
      const row = this.#list.querySelector(`[data-key="${CSS.escape(key)}"]`);
      if (!row) continue;
      this.#scroll.scrollTop += row.getBoundingClientRect().top - top;
      break;
    }
    this.#top = this.#scroll.scrollTop;
  }

  /** Browsers tell of scrolling a moment later: whoever has left the end by now is not taken back to it. */
  #notice() {
    const box = this.#scroll;
    const far = box.scrollHeight - box.scrollTop - box.clientHeight >= END;
    if (this.#atEnd && far && box.scrollTop < this.#top - 1) this.#atEnd = false;
    this.#top = box.scrollTop;
  }

  #scrolled() {
    const box = this.#scroll;
    const { all, end } = this.#part();
    const last = end === all.length && this.talk.conversation.atEnd;
    if (last && box.scrollHeight - box.scrollTop - box.clientHeight < END) this.#atEnd = true;
    // Only who scrolls up leaves the end; what grows below does not.
    else if (!last || box.scrollTop < this.#top - 1) this.#atEnd = false;
    this.#top = box.scrollTop;
    if (this.#atEnd) {
      this.#below = 0;
      this.#last = null;
    }
    this.#more();
    this.#read();
    this.#sayPills();
  }

  /** Takes in more where one comes near to an end. */
  #more() {
    const box = this.#scroll;
    if (this.#loading || this.#failed || !this.talk.conversation.loaded || box.clientHeight === 0) return;
    if (box.scrollTop < NEAR) this.#up();
    else if (box.scrollHeight - box.scrollTop - box.clientHeight < NEAR) this.#down();
  }

  #up() {
    const { all, start, end } = this.#part();
    const { conversation } = this.talk;
    if (start > 0) {
      const first = Math.max(0, start - STEP);
      this.#first = all[first]?.key ?? null;
      const last = Math.min(end, first + PART + STEP);
      this.#last = last < all.length ? (all[last - 1]?.key ?? null) : null;
      this.#draw();
    } else if (!conversation.atStart) {
      // What is first now stays on the page, and what comes stands above it.
      this.#load({ before: true }, () => (this.#first = null));
    }
  }

  #down() {
    const { all, start, end } = this.#part();
    const { conversation } = this.talk;
    if (end < all.length) {
      const last = Math.min(all.length, end + STEP);
      this.#last = last < all.length ? (all[last - 1]?.key ?? null) : null;
      const first = Math.max(start, last - PART - STEP);
      this.#first = all[first]?.key ?? null;
      this.#draw();
    } else if (!conversation.atEnd) {
      this.#first = all[start]?.key ?? null;
      this.#load({ after: true }, () => (this.#last = null));
    }
  }

  /** @param {import('/sdk/im/conversation.js').LoadOptions} which @param {() => void} then */
  #load(which, then) {
    this.#busy = this.#loadMore(which, then);
  }

  /** @param {import('/sdk/im/conversation.js').LoadOptions} which @param {() => void} then */
  async #loadMore(which, then) {
    this.#loading = true;
    const slow = setTimeout(() => (this.#older.hidden = false), 250);
    const before = this.talk.conversation.messages[0]?.key;
    const lastKey = this.talk.conversation.messages.at(-1)?.key ?? null;
    try {
      if (which.before) {
        // The page keeps its last row where it is; older rows are put before it.
        const { end, all } = this.#part();
        this.#last = end < all.length ? (all[end - 1]?.key ?? null) : this.#last;
        this.#first = before ?? null;
      }
      await this.talk.conversation.load({ ...which, limit: STEP });
      then();
      if (which.before) {
        const all = this.talk.conversation.messages;
        const at = all.findIndex(({ key }) => key === before);
        this.#first = all[Math.max(0, at - STEP)]?.key ?? null;
        const end = Math.min(all.length, Math.max(0, at - STEP) + PART + STEP);
        this.#last = end < all.length ? (all[end - 1]?.key ?? null) : null;
      } else if (lastKey) this.#last = this.talk.conversation.atEnd ? null : (this.talk.conversation.messages.at(-1)?.key ?? null);
    } catch {
      // Without a connection there is nothing to load now. At the very top nothing scrolls any more, so it is asked again.
      this.#failed = true;
      setTimeout(() => {
        this.#failed = false;
        if (this.isConnected) this.#more();
      }, AGAIN_MS);
    }
    clearTimeout(slow);
    this.#older.hidden = true;
    this.#paint();
    this.#loading = false;
  }

  /** Shows a message, wherever it is. @param {number} seq */
  async #jump(seq) {
    this.talk.target.value = null;
    const { conversation } = this.talk;
    this.#goal = { seq, block: 'center', lit: true };
    this.#atEnd = false;
    let at = conversation.messages.findIndex((message) => message.seq === seq);
    if (at < 0) {
      try {
        await this.#busy;
        await conversation.load({ around: seq, limit: 60 });
      } catch (error) {
        this.#goal = null;
        sayWhy(error);
        return;
      }
      at = conversation.messages.findIndex((message) => message.seq >= seq);
    }
    const all = conversation.messages;
    const root = all[at]?.content?.thread;
    if (root !== undefined && root !== seq) this.#goal.seq = root;
    this.#first = all[Math.max(0, at - PART / 2)]?.key ?? null;
    const end = at + PART / 2;
    this.#last = end < all.length ? (all[end]?.key ?? null) : null;
    this.#paint();
  }

  #reach() {
    const { seq, block, lit } = this.#goal ?? { seq: 0, block: 'center', lit: false };
    const rows = [...this.#list.querySelectorAll('[data-seq]')].filter((each) => each instanceof HTMLElement && Number(each.dataset['seq']) >= seq);
    const element = rows[0];
    if (!(element instanceof HTMLElement)) {
      if (this.talk.conversation.loaded) this.#goal = null;
      return;
    }
    this.#goal = null;
    const above = element.previousElementSibling;
    (block === 'start' && above?.classList.contains('unread-line') ? above : element).scrollIntoView({ block });
    if (!lit) return;
    element.classList.remove('lit');
    void element.offsetWidth;
    element.classList.add('lit');
    setTimeout(() => element.classList.remove('lit'), 2000);
  }

  #toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#top = this.#scroll.scrollTop;
  }

  #toNewest() {
    this.#below = 0;
    this.#goal = null;
    const end = () => {
      this.#first = this.#last = null;
      this.#atEnd = true;
      this.#draw();
      this.#toEnd();
    };
    if (this.talk.conversation.atEnd) return end();
    this.#busy = this.#busy.then(async () => {
      this.#loading = true;
      await this.talk.conversation.load().catch(sayWhy);
      this.#loading = false;
      end();
    });
  }

  /** Tells how far one has read: as far as one sees, where one looks. */
  #read() {
    if (document.hidden || !document.hasFocus() || !this.isConnected || this.offsetParent === null) return;
    const { conversation, entry } = this.talk;
    if (!conversation.loaded || !entry) return;
    // What burns after reading is read when it was uncovered, and not before.
    const covered = conversation.messages.find(({ seq, mine, content }) => seq > entry.read && !mine && content?.burn_s && !this.talk.burning.has(seq));
    const most = covered ? covered.seq - 1 : Infinity;
    if (this.#atEnd && conversation.atEnd) {
      const seq = Math.min(entry.newest, most);
      if (seq > entry.read || (!covered && (entry.unread || entry.marked_unread))) conversation.markRead(seq);
      return;
    }
    const bottom = this.#scroll.getBoundingClientRect().bottom;
    let seen = 0;
    for (const child of this.#list.children) {
      if (!(child instanceof HTMLElement) || !child.dataset['seq']) continue;
      if (child.getBoundingClientRect().top > bottom - 20) break;
      seen = Math.min(most, Number(child.dataset['seq']));
    }
    if (seen > entry.read) conversation.markRead(seen);
  }

  #sayPills() {
    const { conversation, entry } = this.talk;
    const mention = Boolean(entry?.mentions && !this.#atEnd);
    const show = !this.#atEnd && conversation.loaded;
    const form = `${show} ${this.#below} ${mention}`;
    if (this.#pills.dataset['form'] === form) return;
    this.#pills.dataset['form'] = form;
    const down = h(
      'button',
      { class: this.#below ? 'pill new' : 'pill', type: 'button', 'aria-label': this.#below ? t('talk.below', { n: this.#below }) : t('talk.toend'), title: t('talk.toend'), on: { click: () => this.#toNewest() } },
      this.#below ? t('talk.below', { n: this.#below }) : null,
      icon('arrow-down'),
    );
    const at = iconButton('at', t('talk.tomention'), () => this.#toMention());
    at.className = 'pill new';
    fill(this.#pills, mention ? at : null, show ? down : null);
  }

  #toMention() {
    const { conversation, entry } = this.talk;
    if (!entry) return;
    const me = conversation.messages.find((message) => message.seq > entry.read && !message.mine && isMentioned(message, myName()));
    if (me) this.talk.show(me.seq);
    else this.#toNewest();
  }

  #sayTyping() {
    const who = this.talk.conversation.typers.map(nameOf);
    const text =
      who.length === 0
        ? ''
        : who.length === 1
          ? t('im.typing.one', { name: who[0] ?? '' })
          : who.length === 2
            ? t('im.typing.two', { a: who[0] ?? '', b: who[1] ?? '' })
            : t('im.typing.many');
    fill(this.#typists, text ? [h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')), h('span', null, text)] : null);
  }
}

customElements.define('y-timeline', Timeline);
