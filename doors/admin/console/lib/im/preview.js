// A message in a line: what the list, quotes, notifications and the pin bar show of it.

import { t } from '../i18n.js';
import { nameOf } from './im.js';

/** @typedef {import('/sdk/im.js').Content} Content */
/** @typedef {import('/sdk/im.js').Message} Message */

/** Characters of a line. */
const LINE_MAX = 160;

/** @param {Content | undefined} content @returns {string} */
export function preview(content) {
  if (!content) return t('im.kind.recalled');
  if (content.burn_s) return t('write.burn');
  const said = content.text ? ` ${content.text}` : '';
  return oneLine(
    {
      text: () => content.text ?? '',
      image: () => t('im.kind.image') + said,
      voice: () => t('im.kind.voice') + said,
      video: () => t('im.kind.video') + said,
      file: () => t('im.kind.file', { name: content.name ?? '' }) + said,
      location: () => t('im.kind.location', { name: content.name ?? '' }),
      card: () => t('im.kind.card', { name: content.user ? nameOf(content.user) : '' }),
      merged: () => t('im.kind.merged', { name: content.title ?? '' }),
      forward: () => preview(content.origin?.content),
      custom: () => content.text || t('im.kind.custom', { name: content.type ?? 'custom' }),
      command: () => t('im.kind.custom', { name: 'command' }),
    }[content.kind]?.() ?? t('talk.unknown', { kind: content.kind }),
  );
}

/** @param {string} text */
function oneLine(text) {
  return text.slice(0, LINE_MAX * 2).replace(/\s+/g, ' ').trim().slice(0, LINE_MAX);
}

/** What can be copied of a message. @param {Content | undefined} content */
export function plain(content) {
  if (!content) return '';
  if (content.kind === 'location') return [content.name, content.address, `${content.latitude}, ${content.longitude}`].filter(Boolean).join('\n');
  return content.text ?? content.origin?.content.text ?? content.name ?? preview(content);
}

/**
 * Why a message was taken back, as a sentence.
 * @param {Message} message
 * @param {string} me
 */
export function recalledText({ from, recalled }, me) {
  const by = recalled?.by ?? from;
  if (by === me) return t('talk.recalled.own');
  return t(by === from ? 'talk.recalled' : 'talk.recalled.by', { name: nameOf(by) });
}
