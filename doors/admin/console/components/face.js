// The faces of people and conversations: a picture where there is one, else initials; and a dot that says who is here.

import { h } from '../lib/dom.js';
import { chat, dotOf, nameOf, titleOf } from '../lib/im/im.js';
import { avatar } from './avatar.js';

/** @typedef {import('/sdk/im.js').Entry} Entry */

/**
 * @param {string} name
 * @param {string | undefined} picture a file's id
 * @param {{size: number, dot?: string | undefined, round?: boolean}} options
 */
function face(name, picture, { size, dot, round = false }) {
  const element = avatar(name, { size });
  if (round) element.classList.add('group');
  if (picture)
    chat()
      .fileObject(picture, { thumb: true })
      .then((src) => {
        const image = h('img', { src, alt: '', decoding: 'async' });
        image.addEventListener('load', () => {
          element.firstChild?.replaceWith(image);
          element.classList.add('picture');
        });
      })
      .catch(() => undefined);
  if (dot && dot !== 'off') element.append(h('span', { class: `dot ${dot}` }));
  return element;
}

/**
 * @param {string} user
 * @param {{size?: number, dot?: boolean}} [options]
 */
export function personFace(user, { size = 36, dot = false } = {}) {
  return face(nameOf(user), chat().people.get(user)?.avatar, { size, dot: dot ? dotOf(user) : undefined });
}

/**
 * @param {Entry} entry
 * @param {{size?: number, dot?: boolean}} [options]
 */
export function talkFace(entry, { size = 46, dot = true } = {}) {
  if (entry.kind === 'direct' && entry.peer) return personFace(entry.peer, { size, dot });
  return face(titleOf(entry), entry.avatar, { size, round: true });
}

/** What stands for a face in a form, so that a change of it is seen. @param {string} user */
export function faceForm(user) {
  return [nameOf(user), chat().people.get(user)?.avatar ?? '', dotOf(user) ?? ''].join('|');
}
