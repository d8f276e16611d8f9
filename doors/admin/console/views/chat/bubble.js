// One message of the timeline: who, what, when, how far it is, what others think of it, and what one can do with it.

import { hue } from '../../components/avatar.js';
import { iconButton } from '../../components/bits.js';
import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { h } from '../../lib/dom.js';
import { clock, moment } from '../../lib/format.js';
import { myName, nameOf, nameOrYou } from '../../lib/im/im.js';
import { preview, recalledText } from '../../lib/im/preview.js';
import { t } from '../../lib/i18n.js';
import { line } from '../../lib/line.js';
import { go } from '../../lib/route.js';
import { bare, contentOf, isLarge } from './content.js';
import { tick } from './list.js';
import { canRecall, messageMenu, react, showEdits } from './message-menu.js';
import { showProfile } from './profile.js';
import { showReceipts } from './receipts.js';
import { threadOf } from './rows.js';

/** @typedef {import('/sdk/im.js').Shown} Shown */
/** @typedef {import('/sdk/im.js').Content} Content */
/** @typedef {import('../../lib/im/talk.js').Talk} Talk */

/** How long a finger rests until the menu opens, ms. */
const LONG_PRESS = 450;
/** How long after a recall its text can be taken up again, ms. */
const AGAIN_MS = 5 * 60_000;

/** @param {Shown} message @param {Talk} talk @param {boolean} first */
export function messageRow(message, talk, first) {
  const { mine } = message;
  const content = /** @type {Content} */ (message.content ?? { kind: 'custom' });
  const kind = content.kind === 'forward' && content.origin ? content.origin.content.kind : content.kind;
  const chosen = talk.choosing.value?.has(message.seq);
  const group = talk.entry?.kind !== 'direct';
  const large = isLarge(content);
  const bubble = h(
    'div',
    { class: ['bubble', large ? 'emoji' : '', bare.has(kind) ? `bare${content.text ? ' captioned' : ''}` : ''].join(' '), title: moment(message.at) },
    content.origin ? h('span', { class: 'forwarded' }, icon('share'), t('talk.forwarded', { name: nameOf(content.origin.from) })) : null,
    content.reply ? quote(content.reply, talk) : null,
    content.burn_s && !mine && message.seq ? burning(message, talk, content) : contentOf(content, message),
    meta(message, talk, content),
  );
  const failed = message.state === 'failed';
  const row = h(
    'li',
    {
      class: ['message', first ? 'first' : '', mine ? 'own' : '', failed ? 'failed' : message.state === 'pending' ? 'waiting' : '', talk.choosing.value ? 'choosable' : '', chosen ? 'picked' : ''].join(' '),
      data: { seq: String(message.seq) },
    },
    talk.choosing.value ? h('span', { class: 'pick-mark' }, icon('check')) : null,
    first && !mine && group
      ? h('button', { class: 'face', type: 'button', 'aria-label': nameOf(message.from), on: { click: () => void showProfile(message.from, talk.id) } }, personFace(message.from, { size: 34 }))
      : null,
    h(
      'div',
      { class: 'bubble-frame' },
      first && !mine && group ? h('div', { class: 'byline', style: { '--hue': String(hue(nameOf(message.from))) } }, h('b', null, nameOf(message.from))) : null,
      bubble,
      chips(message, talk),
      threadLink(message, talk),
    ),
    message.seq ? tools(message, talk) : null,
    failed ? trouble(message, talk) : message.state === 'pending' && line.state.value.phase !== 'online' ? h('div', { class: 'trouble wait' }, t('talk.queued')) : null,
  );
  if (message.seq) hearPress(row, bubble, message, talk);
  return row;
}

/** @param {Shown} message @param {Talk} talk @param {Content} content */
function meta(message, talk, content) {
  return h(
    'span',
    { class: 'meta' },
    message.pinned ? icon('pin') : null,
    content.burn_s ? icon('flame') : null,
    message.edited
      ? h('button', { class: 'edited', type: 'button', title: t('talk.history'), on: { click: () => void showEdits(message, talk) } }, t('talk.edited'))
      : null,
    h('time', { class: 'stamp', dateTime: new Date(message.at).toISOString() }, clock(message.at)),
    message.mine ? state(message, talk) : null,
  );
}

/** How far it is: in a group the number of readers, and by a press their names. @param {Shown} message @param {Talk} talk */
function state(message, talk) {
  const { state: how = 'sent' } = message;
  const entry = talk.entry;
  if (how === 'pending' || how === 'failed' || !entry || entry.kind === 'direct') return tick(how);
  const { read, others } = talk.conversation.counts(message.seq);
  const known = others > 0;
  return h(
    'button',
    {
      class: 'tick receipts',
      type: 'button',
      title: known ? t('talk.readby', { read, all: others }) : t('talk.receipts'),
      'aria-label': known ? t('talk.readby', { read, all: others }) : t('talk.receipts'),
      on: { click: () => void showReceipts(message, talk) },
    },
    tick(how === 'sent' && read > 0 ? 'delivered' : how),
    known && read > 0 && how !== 'read' ? String(read) : null,
  );
}

/** @param {number} seq @param {Talk} talk */
function quote(seq, talk) {
  const original = talk.original(seq);
  const name = original ? nameOrYou(original.from) : '';
  return h(
    'button',
    { class: 'quote', type: 'button', style: { '--hue': String(hue(name || 'x')) }, on: { click: () => talk.show(seq) } },
    original ? h('b', null, name) : null,
    h('span', null, original ? (original.recalled ? recalledText(original, myName()) : preview(original.content)) : original === null ? t('talk.original') : '…'),
  );
}

/** @param {Shown} message @param {Talk} talk */
function chips(message, talk) {
  if (!message.reactions?.length) return null;
  return h(
    'div',
    { class: 'chips' },
    message.reactions.map(({ emoji, count, mine, users }) =>
      h(
        'button',
        {
          class: mine ? 'chip mine' : 'chip',
          type: 'button',
          'aria-pressed': String(Boolean(mine)),
          title: (users ?? []).map(nameOrYou).join(', '),
          on: { click: () => react(message, talk, emoji, !mine) },
        },
        h('span', null, emoji),
        count,
      ),
    ),
  );
}

/** @param {Shown} message @param {Talk} talk */
function threadLink(message, talk) {
  const count = threadOf(message, talk);
  if (!count) return null;
  return h('button', { class: 'thread-link', type: 'button', on: { click: () => go('chat', talk.id, 'thread', String(message.seq)) } }, icon('thread'), t('talk.thread.count', { n: count }));
}

/** @param {Shown} message @param {Talk} talk */
function tools(message, talk) {
  const more = iconButton('more', t('talk.more'), () => messageMenu(more, message, talk));
  return h(
    'div',
    { class: 'message-tools' },
    iconButton('reply', t('talk.reply'), () => talk.reply(message)),
    more,
  );
}

/** @param {HTMLElement} row @param {HTMLElement} bubble @param {Shown} message @param {Talk} talk */
function hearPress(row, bubble, message, talk) {
  row.addEventListener('click', (event) => {
    const set = talk.choosing.value;
    if (!set) return;
    event.preventDefault();
    event.stopPropagation();
    const next = new Set(set);
    if (!next.delete(message.seq)) next.add(message.seq);
    talk.choosing.value = next;
  }, { capture: true });
  bubble.addEventListener('contextmenu', (event) => {
    // A selected text or a link has the browser's own menu.
    if (getSelection()?.toString() || (event.target instanceof Element && event.target.closest('a'))) return;
    event.preventDefault();
    messageMenu(bubble, message, talk, { x: event.clientX, y: event.clientY });
  });
  bubble.addEventListener('dblclick', () => {
    if (!talk.choosing.value) talk.reply(message);
  });
  let timer = 0;
  bubble.addEventListener('touchstart', (event) => {
    const { clientX: x = 0, clientY: y = 0 } = event.touches[0] ?? {};
    timer = window.setTimeout(() => messageMenu(bubble, message, talk, { x, y }), LONG_PRESS);
  }, { passive: true });
  for (const end of ['touchend', 'touchmove', 'touchcancel']) bubble.addEventListener(end, () => clearTimeout(timer), { passive: true });
}

/** @param {Shown} message @param {Talk} talk */
function trouble(message, talk) {
  return h(
    'div',
    { class: 'trouble', role: 'alert' },
    `${t('talk.notsent')} ${message.error?.reason ?? ''} `,
    h('button', { class: 'button small', type: 'button', on: { click: () => talk.conversation.retry(message) } }, icon('refresh'), t('retry')),
    h('button', { class: 'button small quiet', type: 'button', on: { click: () => talk.conversation.discard(message) } }, t('discard')),
  );
}

/** A message that goes after it was read: covered until then, counted down after. @param {Shown} message @param {Talk} talk @param {Content} content */
function burning(message, talk, content) {
  const since = talk.burning.get(message.seq);
  const seconds = Number(content.burn_s) || 1;
  if (since === undefined)
    return h(
      'button',
      {
        class: 'burn',
        type: 'button',
        on: {
          click: () => {
            talk.burning.set(message.seq, Date.now());
            talk.news.touch();
          },
        },
      },
      icon('flame'),
      t('talk.burn.show'),
    );
  const left = h('b', { class: 'burn-left' });
  const count = () => {
    const rest = Math.ceil(seconds - (Date.now() - since) / 1000);
    left.textContent = t('talk.burn.left', { n: Math.max(0, rest) });
    if (rest > 0) return;
    clearInterval(timer);
    void talk.conversation.delete(message.seq).catch(() => undefined);
  };
  const timer = setInterval(() => (left.isConnected || Date.now() - since < 2000 ? count() : clearInterval(timer)), 500);
  left.textContent = t('talk.burn.left', { n: Math.max(0, Math.ceil(seconds - (Date.now() - since) / 1000)) });
  return [contentOf(content, message), ' ', left];
}

/** @param {Shown} message @param {Talk} talk */
export function recalledRow(message, talk) {
  const text = message.mine && message.recalled?.by === myName() ? talk.recalledTexts.get(message.seq) : undefined;
  const again = text !== undefined && Date.now() - (message.recalled?.at ?? 0) < AGAIN_MS;
  return h(
    'li',
    { class: 'event', data: { seq: String(message.seq) } },
    h('span', null, recalledText(message, myName())),
    again ? h('button', { class: 'again', type: 'button', on: { click: () => (talk.text.value = { text }) } }, t('talk.again')) : null,
  );
}

export { canRecall };
