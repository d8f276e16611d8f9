// A person as a coloured tile with initials, and a dot that says whether they are here.

import { h } from '../lib/dom.js';

/**
 * The first letters of a name, by what a reader takes for one letter.
 * @param {string} name
 */
export function initials(name) {
  const clean = name.replace(/^(guest|anonymous):/, '').trim();
  const words = clean.split(/[\s._\-@:/]+/u).filter(Boolean);
  const first = [...new Intl.Segmenter().segment(words[0] ?? '?')].map((part) => part.segment);
  // One Chinese character says as much as two Latin letters.
  if (
    /\p{Script=Han}|\p{Script=Hangul}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Extended_Pictographic}/u.test(
      first[0] ?? '',
    )
  )
    return first[0] ?? '?';
  const second = words[1] ? [...new Intl.Segmenter().segment(words[1])][0]?.segment : first[1];
  return ((first[0] ?? '?') + (second ?? '')).toUpperCase();
}

/**
 * A hue from 0 to 359 that belongs to a name; names that hash to neighbours still look different.
 * @param {string} name
 */
export function hue(name) {
  let sum = 2166136261;
  for (const character of name) sum = Math.imul(sum ^ (character.codePointAt(0) ?? 0), 16777619);
  return Math.round((((sum >>> 0) % 1009) * 137.508) % 360);
}

/**
 * @param {string} name
 * @param {{size?: number, online?: boolean | undefined}} [options]
 */
export function avatar(name, { size = 36, online } = {}) {
  const dot = online === undefined ? null : h('span', { class: online ? 'dot on' : 'dot' });
  return h(
    'span',
    { class: 'avatar', 'aria-hidden': 'true', style: { '--hue': String(hue(name)), '--size': `${size}px` } },
    initials(name),
    dot,
  );
}
