// Message text as elements: links, `code`, ```blocks```, **bold**, _italic_ and mentions. Nothing becomes markup by itself.

import { h } from './dom.js';

/** Texts longer than this are shown as they are. */
const RICH_MAX = 20_000;

const inline =
  /(`[^`\n]+`)|(https?:\/\/[^\s<>"'，。；！？）】」]+)|(\*\*[^*\n]+\*\*)|(?<![\p{L}\p{N}_])(_[^_\n]+_)(?![\p{L}\p{N}_])|(?<![\p{L}\p{N}_])(@[\p{L}\p{N}._-]*[\p{L}\p{N}])/gu;

/**
 * @param {string} text
 * @param {string} [me] the name whose mentions stand out
 * @returns {(string | HTMLElement)[]}
 */
export function rich(text, me) {
  if (text.length > RICH_MAX) return [text];
  /** @type {(string | HTMLElement)[]} */
  const out = [];
  text.split(/```(?:[a-z]*\n)?([\s\S]*?)```\n?/).forEach((part, i) => {
    if (i % 2) out.push(h('pre', { class: 'block' }, h('code', null, part.replace(/\n$/, ''))));
    else if (part) out.push(...spans(i ? part : part.replace(/\n$/, ''), me));
  });
  return out;
}

/**
 * @param {string} text
 * @param {string | undefined} me
 * @returns {(string | HTMLElement)[]}
 */
function spans(text, me) {
  /** @type {(string | HTMLElement)[]} */
  const out = [];
  let at = 0;
  for (const found of text.matchAll(inline)) {
    const [whole, code, link, bold, italic, mention] = found;
    if (found.index > at) out.push(text.slice(at, found.index));
    at = found.index + whole.length;
    if (code) out.push(h('code', null, code.slice(1, -1)));
    else if (link) {
      // Punctuation at the end belongs to the sentence.
      const address = link.replace(/[.,;:!?)\]]+$/, '');
      out.push(
        h('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, address),
        link.slice(address.length),
      );
    } else if (bold) out.push(h('strong', null, bold.slice(2, -2)));
    else if (italic) out.push(h('em', null, italic.slice(1, -1)));
    else if (mention) out.push(h('span', { class: mention.slice(1) === me ? 'mention me' : 'mention' }, mention));
  }
  if (at < text.length) out.push(text.slice(at));
  return out;
}

/** Whether a text is nothing but a few emoji, which are then shown large. @param {string} text */
export function onlyEmoji(text) {
  if (
    text.length > 40 ||
    !/^[\p{Extended_Pictographic}\p{Emoji_Component}\s]+$/u.test(text) ||
    !/\p{Extended_Pictographic}/u.test(text)
  )
    return false;
  return [...new Intl.Segmenter().segment(text.replace(/\s/g, ''))].length <= 6;
}
