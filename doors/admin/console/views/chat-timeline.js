// <y-timeline>: the messages of one room. It scrolls back by pages without losing its place, stays at the end when
// something new comes, and marks what was unread when the room was opened.

import { avatar } from '../components/avatar.js';
import { iconButton, copy } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { jsonView } from '../components/json.js';
import { me } from '../lib/account.js';
import { atNextFrame } from '../lib/cell.js';
import { isOwn, loadOlder, retry } from '../lib/chat.js';
import { markRead } from '../lib/cursors.js';
import { Part, h, reconcile } from '../lib/dom.js';
import { clock, day, moment, sameDay } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { line } from '../lib/line.js';
import { author } from '../lib/messages.js';
import { warn } from '../lib/notices.js';
import { dropWaiting, outbox } from '../lib/outbox.js';
import { readers, typing } from '../lib/people.js';
import { onlyEmoji, rich } from '../lib/richtext.js';
import { MESSAGES_MAX, Room } from '../lib/rooms.js';
import { address } from '../lib/route.js';

/** Messages of one author within this time form a group. */
const GROUP_MS = 5 * 60_000;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
/** How near to the end counts as the end, in pixels. */
const END_PX = 60;

/** @typedef {import('../lib/messages.js').Message} Message */
/** @typedef {import('../lib/outbox.js').Waiting} Waiting */
/**
 * @typedef {{kind: 'day', at: number} | {kind: 'unread'} | {kind: 'start'} |
 *   {kind: 'message', message: Message, first: boolean, own: boolean, seen: string} | {kind: 'waiting', item: Waiting, first: boolean}} Row
 */

export class Timeline extends Part {
  room = new Room('', '');
  #list = h('ol', { class: 'messages' });
  #scroll = h('div', { class: 'timeline scroll', tabIndex: 0, role: 'log', 'aria-label': t('chat.messages') });
  #pill = h('button', { class: 'pill', type: 'button', hidden: true });
  #typists = h('p', { class: 'typists', 'aria-live': 'polite' });
  #older = h('div', { class: 'older', hidden: true }, h('span', { class: 'spinner' }));
  /** What was read when the room was opened; the line for unread messages stands after it. @type {number | null} */
  #divider = null;
  #atEnd = true;
  #loading = false;
  #below = 0;
  #seenCount = 0;

  begin() {
    const room = this.room;
    this.#divider = room.kept && room.unread > 0 && room.readSeq !== null ? room.readSeq : null;
    this.#scroll.append(this.#older, this.#list);
    this.replaceChildren(this.#scroll, this.#pill, this.#typists);
    this.#seenCount = room.messages.length;
    this.#draw();
    const draw = atNextFrame(() => this.#draw());
    this.keep(room.changes.hear(draw));
    this.keep(outbox.hear(draw));
    this.keep(readers.hear(draw));
    this.follow(typing, () => this.#sayTyping());
    this.listen(this.#scroll, 'scroll', () => this.#scrolled(), { passive: true });
    this.listen(this.#pill, 'click', () => this.#toEnd(true));
    this.listen(document, 'visibilitychange', () => this.#read());
    this.listen(window, 'focus', () => this.#read());
    const observer = new ResizeObserver(() => {
      if (this.#atEnd) this.#toEnd();
    });
    observer.observe(this.#scroll);
    this.keep(() => observer.disconnect());
    const divider = this.#list.querySelector('.unread-line');
    if (divider && this.#scroll.scrollHeight > this.#scroll.clientHeight) {
      divider.scrollIntoView({ block: 'center' });
      this.#atEnd = this.#isAtEnd();
    } else this.#toEnd();
    this.#read();
    requestAnimationFrame(() => this.#scrolled());
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < END_PX;
  }

  #toEnd(smooth = false) {
    this.#scroll.scrollTo({
      top: this.#scroll.scrollHeight,
      behavior:
        smooth && !calm.matches && this.#scroll.scrollHeight - this.#scroll.scrollTop < 4000 ? 'smooth' : 'instant',
    });
    this.#atEnd = true;
  }

  #scrolled() {
    this.#atEnd = this.#isAtEnd();
    if (this.#atEnd) this.#read();
    this.#sayBelow();
    if (this.#scroll.scrollTop < 400) void this.#loadOlder();
  }

  async #loadOlder() {
    const room = this.room;
    if (this.#loading || !room.more || !room.loaded || room.messages.length >= MESSAGES_MAX) return;
    this.#loading = true;
    this.#older.hidden = false;
    try {
      await loadOlder(room);
      this.#draw();
    } catch (error) {
      if (line.state.value.phase === 'online')
        warn(t('failed.load'), error instanceof Error ? error.message : undefined);
      await new Promise((resolve) => setTimeout(resolve, 1500));
    } finally {
      this.#loading = false;
      this.#older.hidden = true;
    }
    if (this.isConnected && this.#scroll.scrollTop < 200) void this.#loadOlder();
  }

  /** What is in sight at the end is read. */
  #read() {
    if (!this.isConnected || document.hidden || !document.hasFocus() || !this.#atEnd) return;
    this.#below = 0;
    this.#sayBelow();
    markRead(this.room);
  }

  #sayBelow() {
    const far =
      this.#scroll.scrollHeight - this.#scroll.scrollTop - this.#scroll.clientHeight > this.#scroll.clientHeight;
    this.#pill.hidden = this.#atEnd || (this.#below === 0 && !far);
    const text = this.#below > 0 ? t('chat.below', { n: this.#below }) : t('chat.toend');
    if (this.#pill.dataset['text'] !== text) {
      this.#pill.dataset['text'] = text;
      this.#pill.classList.toggle('new', this.#below > 0);
      this.#pill.replaceChildren(icon('arrow-down'), text);
    }
  }

  #sayTyping() {
    const names = [...(typing.value.get(this.room.name)?.keys() ?? [])];
    const text =
      names.length === 0
        ? ''
        : names.length === 1
          ? t('chat.typing.one', { name: names[0] ?? '' })
          : names.length === 2
            ? t('chat.typing.two', { a: names[0] ?? '', b: names[1] ?? '' })
            : t('chat.typing.many');
    this.#typists.replaceChildren(
      ...(text ? [h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i')), text] : []),
    );
  }

  #draw() {
    const room = this.room;
    const rows = this.#rows();
    const scroll = this.#scroll;
    // The first message in sight keeps its place on the screen, whatever is put above it.
    const anchor = this.#atEnd ? null : this.#firstInSight();
    const before = anchor?.getBoundingClientRect().top ?? 0;
    reconcile(this.#list, rows, { key: rowKey, form: rowForm, make: (row) => makeRow(row, room) });
    if (anchor?.isConnected) scroll.scrollTop += anchor.getBoundingClientRect().top - before;
    else if (this.#atEnd) this.#toEnd();
    const last = room.messages.at(-1);
    if (
      room.messages.length > this.#seenCount &&
      last &&
      last.at > Date.now() - 60_000 &&
      !this.#atEnd &&
      !this.#loading
    ) {
      if (isOwn(last)) this.#toEnd();
      else this.#below += Math.min(room.messages.length - this.#seenCount, room.unread || 1);
    }
    this.#seenCount = room.messages.length;
    if (this.#atEnd) this.#read();
    this.#sayBelow();
  }

  #firstInSight() {
    const top = this.#scroll.getBoundingClientRect().top;
    for (const child of this.#list.children) {
      if (child.getBoundingClientRect().bottom > top && child.classList.contains('message')) return child;
    }
    return null;
  }

  /** @returns {Row[]} */
  #rows() {
    const { messages, more, kept } = this.room;
    /** @type {Row[]} */
    const rows = [];
    if (!more || messages.length >= MESSAGES_MAX) rows.push({ kind: 'start' });
    /** @type {Message | null} */
    let before = null;
    let divided = this.#divider === null;
    const lastOwn = messages.findLast((message) => isOwn(message) && message.kind !== 'event');
    for (const message of messages) {
      if (!before || !sameDay(before.at, message.at)) {
        rows.push({ kind: 'day', at: message.at });
        before = null;
      }
      const own = isOwn(message);
      if (!divided && message.seq !== null && message.seq > (this.#divider ?? 0) && !own) {
        rows.push({ kind: 'unread' });
        divided = true;
        before = null;
      }
      const first =
        !before || before.kind === 'event' || author(before) !== author(message) || message.at - before.at > GROUP_MS;
      rows.push({ kind: 'message', message, first, own, seen: message === lastOwn ? this.#seen(message) : '' });
      before = message;
    }
    const waiting = outbox.value.filter((item) => item.room === this.room.name);
    let joined = before !== null && isOwn(before) && before.kind !== 'event';
    for (const item of waiting) {
      rows.push({ kind: 'waiting', item, first: !joined });
      joined = true;
    }
    if (!kept && rows.length === 0) rows.push({ kind: 'start' });
    return rows;
  }

  /** Who has read one's own newest message. @param {Message} message */
  #seen(message) {
    if (message.seq === null) return 'sent';
    const names = [...readers.value].filter(([, seq]) => seq >= (message.seq ?? 0)).map(([name]) => name);
    return names.length ? `seen ${names.slice(0, 12).join('\n')}` : 'sent';
  }
}

/** @param {Row} row */
function rowKey(row) {
  if (row.kind === 'day') return `day ${new Date(row.at).toDateString()}`;
  if (row.kind === 'message') return row.own && row.message.cid ? `own ${row.message.cid}` : row.message.id;
  if (row.kind === 'waiting') return `own ${row.item.cid}`;
  return row.kind;
}

/** @param {Row} row */
function rowForm(row) {
  if (row.kind === 'message') return `m ${row.first} ${row.own} ${row.seen}`;
  if (row.kind === 'waiting') return `w ${row.first} ${row.item.state} ${line.state.value.phase === 'online'}`;
  return row.kind;
}

/**
 * @param {Row} row
 * @param {Room} room
 * @returns {HTMLElement}
 */
function makeRow(row, room) {
  if (row.kind === 'day') return h('li', { class: 'day' }, h('span', null, day(row.at)));
  if (row.kind === 'unread') return h('li', { class: 'unread-line' }, h('span', null, t('chat.new')));
  if (row.kind === 'start') return startRow(room);
  if (row.kind === 'waiting') return waitingRow(row.item, row.first);
  const { message, first, own, seen } = row;
  if (message.kind === 'event')
    return h(
      'li',
      { class: 'event' },
      h('span', null, message.text || t('chat.event.empty')),
      ' ',
      h('time', null, clock(message.at)),
    );
  return h(
    'li',
    { class: `message${first ? ' first' : ''}${own ? ' own' : ''}` },
    first && !own ? avatar(message.name, { size: 34 }) : null,
    first && !own
      ? h(
          'div',
          { class: 'byline' },
          h('b', null, message.name),
          message.guest ? h('span', { class: 'badge' }, t('chat.guest')) : null,
        )
      : null,
    h(
      'div',
      { class: bubbleClass(message), title: moment(message.at) },
      content(message),
      h(
        'span',
        { class: 'meta' },
        h('time', { class: 'stamp', dateTime: new Date(message.at).toISOString() }, clock(message.at)),
        own ? tick(seen) : null,
      ),
    ),
    h(
      'div',
      { class: 'message-tools' },
      iconButton('copy', t('copy'), () => void copy(message.text)),
    ),
    seen.startsWith('seen') ? seenBy(seen.slice(5).split('\n')) : null,
  );
}

/** @param {Message} message */
function bubbleClass(message) {
  if (message.kind === 'value') return 'bubble value';
  return onlyEmoji(message.text) ? 'bubble emoji' : 'bubble';
}

/** @param {Message} message */
function content(message) {
  if (message.kind === 'value') return jsonView(message.value);
  return h('div', { class: 'text' }, rich(message.text, me.value?.user));
}

/** @param {string} seen */
function tick(seen) {
  if (seen === '') return null;
  const read = seen.startsWith('seen');
  return h(
    'span',
    {
      class: read ? 'tick seen' : 'tick',
      title: read ? t('chat.seen') : t('chat.sent'),
      role: 'img',
      'aria-label': read ? t('chat.seen') : t('chat.sent'),
    },
    icon(read ? 'seen' : 'check'),
  );
}

/** @param {string[]} names */
function seenBy(names) {
  return h(
    'div',
    { class: 'seen-by', title: names.join(', ') },
    t('chat.seenby', { names: names.slice(0, 3).join(', ') + (names.length > 3 ? ` +${names.length - 3}` : '') }),
  );
}

/**
 * @param {Waiting} item
 * @param {boolean} first
 */
function waitingRow(item, first) {
  const failed = item.state === 'failed';
  const offline = line.state.value.phase !== 'online';
  return h(
    'li',
    { class: `message own ${failed ? 'failed' : 'waiting'}${first ? ' first' : ''}` },
    h(
      'div',
      { class: 'bubble' },
      h('div', { class: 'text' }, rich(item.text)),
      h(
        'span',
        { class: 'meta' },
        h('time', { class: 'stamp' }, clock(item.at)),
        h(
          'span',
          { class: 'tick', role: 'img', 'aria-label': failed ? t('chat.notsent') : t('chat.sending') },
          icon(failed ? 'alert' : 'clock'),
        ),
      ),
    ),
    failed
      ? h(
          'div',
          { class: 'trouble', role: 'alert' },
          `${t('chat.notsent')} ${item.reason ?? ''} `,
          h(
            'button',
            { class: 'button small', type: 'button', on: { click: () => retry(item.cid) } },
            icon('refresh'),
            t('retry'),
          ),
          h(
            'button',
            { class: 'button small quiet', type: 'button', on: { click: () => dropWaiting(item.cid) } },
            t('discard'),
          ),
        )
      : offline
        ? h('div', { class: 'trouble wait' }, t('chat.queued'))
        : null,
  );
}

/** @param {Room} room */
function startRow(room) {
  if (room.messages.length >= MESSAGES_MAX)
    return h(
      'li',
      { class: 'start' },
      h('p', null, t('chat.far')),
      h('a', { href: address('topics', room.topic, 'history') }, t('room.explore')),
    );
  return h(
    'li',
    { class: 'start' },
    h('h2', null, t('room.start', { name: room.name })),
    h('p', null, room.purpose || (room.kept ? t('room.start.text') : t('room.unkept.text'))),
  );
}

customElements.define('y-timeline', Timeline);
