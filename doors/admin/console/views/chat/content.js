// What a message shows, by its kind: text, pictures, sounds, files, places, cards, copies of other messages.

import { hue } from '../../components/avatar.js';
import { copy } from '../../components/bits.js';
import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { jsonView } from '../../components/json.js';
import { show } from '../../components/dialog.js';
import { h } from '../../lib/dom.js';
import { bytes as shortBytes, clock, day } from '../../lib/format.js';
import { blurCanvas } from '../../lib/im/blurhash.js';
import { factsOf } from '../../lib/im/facts.js';
import { chat, myName, nameOf } from '../../lib/im/im.js';
import { preview } from '../../lib/im/preview.js';
import { t } from '../../lib/i18n.js';
import { onlyEmoji, rich } from '../../lib/richtext.js';
import { attempt } from './talk-menu.js';
import { lightbox } from './lightbox.js';
import { showProfile } from './profile.js';
import { voiceBubble } from './voice-bubble.js';

/** @typedef {import('/sdk/im.js').Content} Content */
/** @typedef {import('/sdk/im.js').Shown} Shown */
/** @typedef {import('/sdk/im.js').Message} Message */

/** How large a picture is in a bubble, pixels. */
const PICTURE_MAX = { width: 340, height: 320 };
const PICTURE_MIN = 80;

/** Kinds that fill their bubble. */
export const bare = new Set(['image', 'video']);

/**
 * Whether a text is nothing but emoji, shown large without a bubble.
 * @param {Content | undefined} content
 */
export function isLarge(content) {
  return content?.kind === 'text' && !content.origin && content.reply === undefined && onlyEmoji(content.text ?? '');
}

/**
 * @param {Content} content
 * @param {Partial<Shown> & Pick<Message, 'from' | 'at' | 'conversation' | 'seq'>} message
 * @returns {import('../../lib/dom.js').Child[]}
 */
export function contentOf(content, message) {
  const made = makers[/** @type {keyof typeof makers} */ (content.kind)];
  const said = content.kind !== 'text' && content.text ? text(content) : null;
  return [made ? made(content, message) : h('div', { class: 'aside' }, t('talk.unknown', { kind: String(content.kind).slice(0, 40) })), said];
}

/** @param {Content} content */
function text(content) {
  return h('div', { class: 'text' }, rich(content.text ?? '', myName()));
}

const makers = {
  text,
  image: picture,
  video: picture,
  voice: voiceBubble,
  file: fileBubble,
  location: place,
  card,
  merged,
  /** @param {Content} content */
  custom: (content) => h('div', { class: 'custom-card' }, h('small', { class: 'aside' }, content.type ?? 'custom'), jsonView(content.data ?? null)),
  /** @param {Content} content @param {any} message */
  forward: (content, message) => (content.origin ? contentOf(content.origin.content, message) : h('div', { class: 'aside' }, preview(content))),
};

/** How large a picture is shown, so that nothing moves when it has come. @param {import('../../lib/im/facts.js').Facts} facts */
function sizeOf({ width = 0, height = 0 }) {
  const [w, hgt] = [width || 260, height || 200];
  const scale = Math.min(1, PICTURE_MAX.width / w, PICTURE_MAX.height / hgt);
  return { width: Math.max(PICTURE_MIN, Math.round(w * scale)), height: Math.max(PICTURE_MIN, Math.round(hgt * scale)) };
}

/** @param {Content} content @param {any} message */
function picture(content, message) {
  const facts = factsOf(content, message);
  const { width, height } = sizeOf(facts);
  const isVideo = content.kind === 'video';
  const over = h('span', { class: 'over', hidden: !isVideo || Boolean(message.progress) }, h('span', { class: 'round' }, icon('play')));
  const frame = h(
    'button',
    {
      class: 'picture-frame',
      type: 'button',
      'aria-label': `${isVideo ? t('voice.play') : t('file.open')}: ${content.name ?? ''}`,
      style: { width: `${width}px`, height: `${height}px` },
      on: { click: () => message.seq && lightbox(message) },
    },
    over,
  );
  const blur = facts.blur ? blurCanvas(facts.blur) : null;
  if (blur) frame.prepend(blur);
  if (message.file instanceof Blob) {
    if (!isVideo) frame.prepend(h('img', { src: localUrl(message.file), alt: content.name ?? '' }));
  } else if (content.file)
    load(frame, content, isVideo, Boolean(facts.thumb));
  if (message.state === 'pending') frame.append(uploading(message));
  return frame;
}

/** @type {WeakMap<Blob, string>} */
const localUrls = new WeakMap();

/** @param {Blob} file */
export function localUrl(file) {
  let url = localUrls.get(file);
  if (!url) {
    url = URL.createObjectURL(file);
    localUrls.set(file, url);
  }
  return url;
}

/** Where pictures that were shown are, by file; the SDK keeps 200 of them. @type {Map<string, string>} */
const urls = new Map();
/** @type {Set<string>} */
const shown = new Set();
const URLS_MAX = 100;

/** @param {HTMLElement} frame @param {Content} content @param {boolean} isVideo @param {boolean} thumb */
function load(frame, content, isVideo, thumb) {
  const file = content.file ?? '';
  if (isVideo && !thumb) return;
  const show = (/** @type {string} */ src) => {
    const image = h('img', { src, alt: content.name ?? '' });
    image.addEventListener('load', () => {
      shown.add(file);
      frame.querySelector('.blur')?.remove();
    });
    image.addEventListener('error', () => image.replaceWith(h('span', { class: 'over' }, t('talk.broken'))));
    frame.append(image);
    frame.append(...frame.querySelectorAll('.over'));
  };
  // What was seen before is there at once when its row is made anew: nothing flickers.
  const url = shown.has(file) ? urls.get(file) : undefined;
  if (url) return show(url);
  chat()
    .fileObject(file, { thumb })
    .then((src) => {
      if (urls.size > URLS_MAX) urls.clear();
      urls.set(file, src);
      show(src);
    })
    .catch(() => frame.append(h('span', { class: 'over' }, t('file.expired'))));
}

/** @param {{progress?: {sent: number, total: number}}} message */
function partOf({ progress }) {
  return progress && progress.total ? Math.round((progress.sent / progress.total) * 100) : 0;
}

/** How far an upload is, with a way out. @param {Shown} message */
function uploading(message) {
  const part = partOf(message);
  return h(
    'span',
    {
      class: 'over',
      role: 'progressbar',
      'aria-valuenow': String(part),
      'aria-label': t('talk.uploading', { n: part }),
      on: {
        click: (/** @type {Event} */ event) => {
          event.stopPropagation();
          chat().conversation(message.conversation).discard(message);
        },
      },
    },
    h('span', { class: 'round', title: t('talk.upload.cancel') }, icon('close')),
    `${part} %`,
  );
}

/** @param {Content} content @param {any} message */
function fileBubble(content, message) {
  const name = content.name ?? t('write.file');
  const extension = /\.([\p{L}\p{N}]{1,5})$/u.exec(name)?.[1] ?? '';
  const pending = message.state === 'pending' && (message.file || message.progress);
  const { bytes = 0 } = factsOf(content, message);
  return h(
    'div',
    { class: 'file-bubble' },
    h('span', { class: 'sort', 'aria-hidden': 'true', style: { '--hue': String(hue(extension)) } }, extension || icon('file')),
    h(
      'div',
      { class: 'what' },
      h('b', null, name),
      h('small', null, pending ? `${t('talk.uploading', { n: partOf(message) })} · ${shortBytes(bytes)}` : shortBytes(bytes)),
      pending ? h('div', { class: 'progress', style: { '--part': `${partOf(message)}%` } }, h('i')) : null,
    ),
    pending
      ? h(
          'button',
          {
            class: 'icon-button',
            type: 'button',
            title: t('talk.upload.cancel'),
            'aria-label': t('talk.upload.cancel'),
            on: { click: () => chat().conversation(message.conversation).discard(message) },
          },
          icon('close'),
        )
      : content.file
        ? h(
            'button',
            {
              class: 'icon-button',
              type: 'button',
              title: t('file.download'),
              'aria-label': `${t('file.download')}: ${name}`,
              on: { click: () => void attempt(download(content)) },
            },
            icon('download'),
          )
        : null,
  );
}

/** Saves a file under its name. @param {Content} content */
export async function download(content) {
  const blob = await chat().files.download(content.file ?? '');
  const href = URL.createObjectURL(blob);
  h('a', { href, download: content.name || 'file' }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** @param {Content} content */
function place(content) {
  const [latitude, longitude] = [Number(content.latitude), Number(content.longitude)];
  const good = Number.isFinite(latitude) && Number.isFinite(longitude);
  return h(
    'a',
    {
      class: 'place-card',
      // `geo:` opens what the device has for maps; nothing is asked of other hosts.
      ...(good && { href: `geo:${latitude},${longitude}` }),
      title: good ? `${latitude}, ${longitude}` : '',
    },
    h('span', { class: 'map', 'aria-hidden': 'true' }, icon('place')),
    h(
      'span',
      { class: 'what' },
      h('b', null, content.name || t('write.location')),
      h('small', null, content.address || (good ? `${latitude.toFixed(4)}, ${longitude.toFixed(4)}` : '')),
    ),
  );
}

/** @param {Content} content */
function card(content) {
  const user = String(content.user ?? '');
  const profile = chat().people.get(user);
  return h(
    'button',
    { class: 'person-card', type: 'button', on: { click: () => void showProfile(user) } },
    personFace(user, { size: 42 }),
    h('b', null, nameOf(user)),
    h('small', null, profile?.about || `@${profile?.handle ?? user}`),
  );
}

/** Lines of a merged card. */
const LINES = 4;

/** @param {Content} content */
function merged(content) {
  const items = (content.items ?? []).map((item) => /** @type {{origin?: import('/sdk/im/types.js').Origin}} */ (item).origin ?? item).filter((item) => 'content' in item);
  return h(
    'button',
    { class: 'merged-card', type: 'button', on: { click: () => showMerged(content, items) } },
    h('b', null, content.title || t('im.kind.merged', { name: '' })),
    items.slice(0, LINES).map((item) => h('small', null, `${nameOf(item.from)}: ${preview(item.content)}`)),
    h('span', { class: 'more' }, t('forward.more', { n: (content.items ?? []).length })),
  );
}

/** @param {Content} content @param {import('/sdk/im/types.js').Origin[]} items */
function showMerged(content, items) {
  const title = content.title || t('im.kind.merged', { name: '' });
  const dialog = show(title, [
    h(
      'div',
      { class: 'dialog-body' },
      h('h2', null, title),
      h(
        'ul',
        { class: 'merged-list' },
        items.map((item) =>
          h(
            'li',
            null,
            personFace(item.from, { size: 34 }),
            h('div', { class: 'byline' }, h('b', null, nameOf(item.from)), h('time', { class: 'aside' }, `${day(item.at)} ${clock(item.at)}`)),
            h('div', { class: 'bubble' }, item.content ? contentOf(item.content, { from: item.from, at: item.at, conversation: '', seq: 0, content: item.content }) : preview(undefined)),
          ),
        ),
      ),
      h('div', { class: 'actions' }, h('button', { class: 'button', type: 'button', on: { click: () => dialog.close() } }, t('close'))),
    ),
  ]);
}

/** Copies what a message says. @param {string} said */
export const copyText = (said) => void copy(said);
