// What can be done with a message.

import { show, confirm } from '../../components/dialog.js';
import { openMenu } from '../../components/menu.js';
import { fill, h } from '../../lib/dom.js';
import { moment } from '../../lib/format.js';
import { chat, myName } from '../../lib/im/im.js';
import { QUICK, usedEmoji } from '../../lib/im/emoji.js';
import { plain, preview } from '../../lib/im/preview.js';
import { t } from '../../lib/i18n.js';
import { go } from '../../lib/route.js';
import { copyText, download } from './content.js';
import { pickEmoji } from './emoji-picker.js';
import { forward } from './forward.js';
import { showReceipts } from './receipts.js';
import { report } from './report.js';
import { attempt } from './talk-menu.js';

/** @typedef {import('/sdk/im.js').Shown} Shown */
/** @typedef {import('/sdk/im.js').Message} Message */
/** @typedef {import('../../lib/im/talk.js').Talk} Talk */

/** How long a message can be taken back, and edited, where the server does not say, s. */
const RECALL_S = 120;
const EDIT_S = 86_400;

/** Whether a message can be taken back by me now. @param {Message} message @param {Talk} talk */
export function canRecall(message, talk) {
  if (!message.content) return false;
  if (talk.leads && talk.entry?.kind !== 'direct') return true;
  const seconds = Number(chat().limits['recall_s'] ?? RECALL_S);
  return message.from === myName() && Date.now() - message.at < seconds * 1000;
}

/** @param {Message} message */
export function canEdit({ from, at, content }) {
  if (from !== myName() || !content || content.origin || content.burn_s || !['text', 'image', 'video', 'file'].includes(content.kind)) return false;
  return Date.now() - at < Number(chat().limits['edit_s'] ?? EDIT_S) * 1000;
}

/** @param {Message} message @param {Talk} talk @param {string} emoji @param {boolean} on */
export function react(message, talk, emoji, on) {
  if (on) usedEmoji(emoji);
  void attempt(talk.conversation.react(message.seq, emoji, on));
}

/** @param {Message} message @param {Talk} talk */
export async function recall(message, talk) {
  const text = message.content?.kind === 'text' ? message.content.text : undefined;
  if (text !== undefined && message.from === myName()) talk.recalledTexts.set(message.seq, text);
  await attempt(talk.conversation.recall(message.seq));
}

/** @param {number[]} seqs @param {Talk} talk */
export async function remove(seqs, talk) {
  const n = seqs.length;
  if (!(await confirm({ title: t('talk.delete.title', { n }), text: t('talk.delete.text'), yes: t('talk.delete'), danger: true }))) return false;
  return attempt(talk.conversation.delete(seqs));
}

/**
 * @param {HTMLElement} anchor
 * @param {Shown} message
 * @param {Talk} talk
 * @param {{x: number, y: number}} [at]
 */
export function messageMenu(anchor, message, talk, at) {
  const { content } = message;
  if (!content) return;
  const toggle = (/** @type {string} */ emoji) => react(message, talk, emoji, !message.reactions?.some((each) => each.emoji === emoji && each.mine));
  const head = h(
    'div',
    { class: 'quick' },
    QUICK.map((emoji) => h('button', { type: 'button', 'aria-label': `${t('talk.react')} ${emoji}`, on: { click: () => toggle(emoji) } }, emoji)),
    h('button', { type: 'button', 'aria-label': t('talk.react.more'), title: t('talk.react.more'), on: { click: () => setTimeout(() => pickEmoji(anchor, toggle)) } }, '＋'),
  );
  const leadsOrDirect = talk.leads || talk.entry?.kind === 'direct';
  /** @type {(import('../../components/menu.js').Entry | false)[]} */
  const entries = [
    { label: t('talk.reply'), icon: 'reply', run: () => talk.reply(message) },
    content.thread === undefined && talk.entry?.kind !== 'direct' && { label: t('talk.thread'), icon: 'thread', run: () => go('chat', talk.id, 'thread', String(message.seq)) },
    Boolean(content.text) && { label: t('copy'), icon: 'copy', run: () => copyText(plain(content)) },
    Boolean(content.file) && { label: t('file.download'), icon: 'download', run: () => void attempt(download(content)) },
    canEdit(message) && { label: t('talk.edit'), icon: 'edit', run: () => talk.edit(message) },
    !content.burn_s && { label: t('talk.forward'), icon: 'share', run: () => forward([message], talk) },
    leadsOrDirect && {
      label: t(message.pinned ? 'talk.unpin' : 'talk.pin'),
      icon: 'pin',
      run: () => void attempt(talk.conversation.pin(message.seq, !message.pinned)),
    },
    message.mine && talk.entry?.kind !== 'direct' && { label: t('talk.receipts'), icon: 'eye', run: () => void showReceipts(message, talk) },
    { label: t('talk.select'), icon: 'check', run: () => (talk.choosing.value = new Set([message.seq])) },
    'line',
    canRecall(message, talk) && { label: t('talk.recall'), icon: 'undo', run: () => void recall(message, talk) },
    !message.mine && { label: t('talk.report'), icon: 'flag', run: () => report({ conversation: talk.id, seq: message.seq, user: message.from }) },
    { label: t('talk.delete'), icon: 'trash', danger: true, run: () => void remove([message.seq], talk) },
  ];
  openMenu(anchor, /** @type {import('../../components/menu.js').Entry[]} */ (entries.filter(Boolean)), { head, ...(at && { at }) });
}

/** What a message said before. @param {Message} message @param {Talk} talk */
export async function showEdits(message, talk) {
  const list = h('ol', { class: 'versions' });
  const dialog = show(t('talk.history'), [
    h(
      'div',
      { class: 'dialog-body' },
      h('h2', null, t('talk.history')),
      list,
      h('div', { class: 'actions' }, h('button', { class: 'button', type: 'button', on: { click: () => dialog.close() } }, t('close'))),
    ),
  ]);
  await attempt(async () => {
    const { edits = [] } = await talk.conversation.edits(message.seq);
    const version = (/** @type {string} */ when, /** @type {any} */ content) => h('li', null, h('small', { class: 'aside' }, when), h('p', null, plain(content) || preview(content)));
    fill(
      list,
      version(t('talk.history.now'), message.content),
      [...edits].reverse().map((/** @type {any} */ edit) => version(moment(edit.at), edit.content)),
    );
  });
}
