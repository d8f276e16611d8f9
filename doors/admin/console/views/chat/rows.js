// The rows of a timeline: days, notices, the line above what is unread, and messages in groups.

import { sameDay, day } from '../../lib/format.js';
import { h } from '../../lib/dom.js';
import { myName, nameOf, titleOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { faceForm } from '../../components/face.js';
import { language } from '../../lib/settings.js';
import { messageRow, recalledRow } from './bubble.js';

/** @typedef {import('/sdk/im.js').Shown} Shown */
/** @typedef {import('/sdk/im.js').Change} Change */
/** @typedef {import('../../lib/im/talk.js').Talk} Talk */
/**
 * @typedef {{kind: 'day', at: number} | {kind: 'unread'} | {kind: 'start'} | {kind: 'notice', change: Change} |
 *   {kind: 'message', message: Shown, first: boolean}} Row
 */

/** Messages of one author within this time form a group. */
const GROUP_MS = 5 * 60_000;
/** Names in one notice. */
const NAMES_MAX = 5;

/**
 * @param {Talk} talk
 * @param {Shown[]} messages the part of them that is on the page
 * @param {{divider: number | null, start: boolean, end: boolean}} about where the unread ones begin; whether the part has the first and the last one
 * @returns {Row[]}
 */
export function rowsOf(talk, messages, { divider, start, end }) {
  /** @type {Row[]} */
  const rows = [];
  if (start) rows.push({ kind: 'start' });
  const notices = talk.conversation.notices.filter((change) => noticeText(change));
  const from = messages[0]?.seq ?? 0;
  let next = notices.findIndex(({ after = 0 }) => start || after >= from);
  if (next < 0) next = notices.length;
  /** @type {Shown | null} */
  let before = null;
  let at = 0;
  let divided = divider === null;
  const day = (/** @type {number} */ time) => {
    if (at && sameDay(at, time)) return;
    rows.push({ kind: 'day', at: time });
    before = null;
    at = time;
  };
  const tellUntil = (/** @type {number} */ seq) => {
    for (let change = notices[next]; change && (change.after ?? 0) < seq; change = notices[++next]) {
      if (change.at) day(change.at);
      rows.push({ kind: 'notice', change });
      before = null;
    }
  };
  for (const message of messages) {
    tellUntil(message.seq || Infinity);
    // Answers in threads stand in the thread.
    if (message.content?.thread !== undefined && message.seq !== message.content.thread) continue;
    day(message.at);
    if (!divided && message.seq > (divider ?? 0) && !message.mine) {
      rows.push({ kind: 'unread' });
      divided = true;
      before = null;
    }
    const last = /** @type {Shown | null} */ (before);
    const first = !last || Boolean(last.recalled) || last.from !== message.from || last.mine !== message.mine || message.at - last.at > GROUP_MS;
    rows.push({ kind: 'message', message, first });
    before = message;
  }
  if (end) tellUntil(Infinity);
  return rows;
}

/** @param {Row} row */
export function rowKey(row) {
  if (row.kind === 'day') return `day ${new Date(row.at).toDateString()}`;
  if (row.kind === 'message') return row.message.key;
  if (row.kind === 'notice') return `notice ${row.change.seq ?? row.change.at}`;
  return row.kind;
}

/** All that a row shows, as a text. @param {Row} row @param {Talk} talk */
export function rowForm(row, talk) {
  if (row.kind === 'notice') return `${language.value} ${noticeText(row.change)}`;
  if (row.kind !== 'message') return `${row.kind} ${language.value}`;
  const { message, first } = row;
  const { content } = message;
  const reply = content?.reply ? talk.original(content.reply) : null;
  const counts = message.mine && message.seq ? talk.conversation.counts(message.seq) : null;
  return JSON.stringify([
    language.value,
    first,
    message.seq > 0,
    message.state,
    message.error?.code,
    message.progress?.sent,
    content?.file,
    message.edited?.count,
    content?.text,
    message.recalled,
    message.reactions,
    Boolean(message.pinned),
    threadOf(message, talk),
    counts?.read,
    content?.reply && (reply === undefined ? 0 : [reply?.content?.text, reply?.recalled]),
    talk.choosing.value && talk.choosing.value.has(message.seq),
    content?.burn_s && talk.burning.get(message.seq),
    faceForm(message.from),
  ]);
}

/** How many answers a message's thread has. @param {Shown} message @param {Talk} talk */
export function threadOf(message, talk) {
  if (!message.seq || message.content?.thread !== undefined) return 0;
  const here = talk.threads.get(message.seq) ?? 0;
  return Math.max(message.thread?.count ?? 0, here);
}

/** @param {Row} row @param {Talk} talk @returns {HTMLElement} */
export function makeRow(row, talk) {
  if (row.kind === 'day') return h('li', { class: 'day' }, h('span', null, day(row.at)));
  if (row.kind === 'unread') return h('li', { class: 'unread-line' }, h('span', null, t('talk.unread')));
  if (row.kind === 'notice') return h('li', { class: 'event' }, noticeText(row.change));
  if (row.kind === 'start')
    return h('li', { class: 'start' }, h('h2', null, talk.entry ? titleOf(talk.entry) : ''), h('p', null, `${t('talk.start')}. ${talk.entry?.info?.about || t('talk.start.text')}`));
  return row.message.recalled ? recalledRow(row.message, talk) : messageRow(row.message, talk, row.first);
}

/** @param {unknown} users @param {'note.you' | 'note.whom'} [me] what I am called there */
function names(users, me = 'note.whom') {
  const list = Array.isArray(users) ? users : [users];
  const said = list.slice(0, NAMES_MAX).map((user) => (user === myName() ? t(me) : nameOf(String(user))));
  return said.join(', ') + (list.length > NAMES_MAX ? ` +${list.length - NAMES_MAX}` : '');
}

/** A change as a sentence; empty where nothing is to be said. @param {Change} change @returns {string} */
export function noticeText(change) {
  const name = change.by ? names(change.by, 'note.you') : '';
  const user = change.user ? names(change.user, change.event === 'role' && change.role === 'owner' ? 'note.you' : 'note.whom') : '';
  switch (change.event) {
    case 'members': {
      if (change.joined) return t('note.joined', { name: names(change.joined, 'note.you') });
      if (change.left) return t('note.left', { name: names(change.left, 'note.you') });
      if (change.removed?.length) return t('note.removed', { name, names: names(change.removed) });
      const added = (change.added ?? []).filter((/** @type {string} */ each) => each !== change.by);
      if (added.length) return t('note.added', { name, names: names(added) });
      return change.added ? t('note.created', { name }) : '';
    }
    case 'role':
      return t(change.role === 'owner' ? 'note.owner' : change.role === 'admin' ? 'note.admin' : 'note.member', { name, user });
    case 'mute':
      return t(change.until ? 'note.mute' : 'note.unmute', { name, user });
    case 'pin':
      return change.off ? '' : t('note.pin', { name });
    case 'dismiss':
      return t('note.dismiss', { name });
    case 'info': {
      const changed = change.changed ?? {};
      if (changed.title) return t('note.title', { name, value: changed.title });
      if (changed.announcement) return t('note.announcement', { name, value: String(changed.announcement).slice(0, 200) });
      if ('mute_all' in changed) return t(changed.mute_all ? 'note.muteall' : 'note.unmuteall', { name });
      return t('note.info', { name });
    }
    default:
      return '';
  }
}
