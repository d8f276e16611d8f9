// What can be sent besides text: pictures, videos, files (chosen, dropped or pasted), places, cards; and burning.

import { field } from '../../components/bits.js';
import { ask } from '../../components/dialog.js';
import { icon } from '../../components/icon.js';
import { openMenu } from '../../components/menu.js';
import { h } from '../../lib/dom.js';
import { bytes } from '../../lib/format.js';
import { rememberFacts } from '../../lib/im/facts.js';
import { chat } from '../../lib/im/im.js';
import { shapeOf } from '../../lib/im/voice.js';
import { t } from '../../lib/i18n.js';
import { warn } from '../../lib/notices.js';
import { pickOne } from './pick.js';

/** @typedef {import('./composer.js').Composer} Composer */

/** Files sent at one time. */
const FILES_MAX = 20;
const BURN_S = [5, 10, 30, 60];
/** Larger sounds are music, and go as files. */
const SOUND_BYTES = 5_000_000;

/** @param {HTMLElement} anchor @param {Composer} composer */
export function attachMenu(anchor, composer) {
  openMenu(anchor, [
    { label: t('write.photo'), icon: 'image', run: () => choose('image/*,video/*', composer) },
    { label: t('write.file'), icon: 'file', run: () => choose('', composer) },
    { label: t('write.location'), icon: 'place', run: () => sendPlace(composer) },
    { label: t('write.card'), icon: 'card', run: () => void sendCard(composer) },
    { heading: t('write.burn') },
    { label: t('write.burn.off'), ticked: composer.burn === 0, run: () => (composer.burn = 0) },
    ...BURN_S.map((n) => ({ label: t('write.burn.s', { n }), icon: /** @type {const} */ ('flame'), ticked: composer.burn === n, run: () => (composer.burn = n) })),
  ]);
}

/** @param {string} accept @param {Composer} composer */
function choose(accept, composer) {
  const input = h('input', { type: 'file', multiple: true, accept });
  input.addEventListener('change', () => sendFiles([...(input.files ?? [])], composer));
  input.click();
}

/**
 * Asks once more, with a word to say about them, and sends.
 * @param {File[]} files
 * @param {Composer} composer
 */
export function sendFiles(files, composer) {
  const most = Number(chat().limits['file_bytes'] ?? chat().limits['file_bytes_max'] ?? Infinity);
  const good = files.slice(0, FILES_MAX).filter((file) => {
    if (file.size <= most) return true;
    warn(t('write.large', { name: file.name, max: bytes(most) }));
    return false;
  });
  if (!good.length) return;
  /** @type {string[]} */
  const urls = [];
  const shown = good.map((file) => {
    if (!isPicture(file)) return h('span', { class: 'tag' }, icon('file'), h('span', null, file.name), h('small', { class: 'aside' }, bytes(file.size)));
    const src = URL.createObjectURL(file);
    urls.push(src);
    return h('img', { src, alt: file.name });
  });
  const caption = h('input', { class: 'input', maxLength: 2000, autocomplete: 'off', placeholder: t('file.caption'), 'aria-label': t('file.caption') });
  const dialog = ask({
    title: t('file.send', { n: good.length }),
    fields: [h('div', { class: 'files-ready' }, shown), caption],
    yes: t('write.send'),
    send: async () => {
      for (const [i, file] of good.entries()) await sendFile(file, i === 0 ? caption.value.trim() : '', composer);
      composer.sent();
    },
  });
  caption.focus();
  dialog.addEventListener('close', () => urls.forEach((url) => URL.revokeObjectURL(url)));
}

/** SVG is a document that may do things; it goes as a file. @param {File} file */
const isPicture = ({ type }) => /^image\/(png|jpe?g|gif|webp|avif|bmp)$/.test(type);

/** @param {File} file @param {string} text @param {Composer} composer */
async function sendFile(file, text, composer) {
  const { conversation } = composer.talk;
  const common = { name: file.name, ...(text && { text }), ...composer.frame() };
  /** @type {import('/sdk/im.js').Content} */
  let content = { kind: 'file', ...common };
  if (isPicture(file)) {
    content = { kind: 'image', ...common };
    rememberFacts(file, await sizeOf(file));
  } else if (file.type.startsWith('video/')) {
    content = { kind: 'video', ...common };
    rememberFacts(file, await videoFacts(file));
  }
  else if (file.type.startsWith('audio/') && file.size < SOUND_BYTES) {
    const shape = await shapeOf(await file.arrayBuffer()).catch(() => null);
    if (shape) {
      content = { kind: 'voice', ...common, waveform: shape.waveform };
      rememberFacts(file, { duration_ms: shape.duration_ms });
    }
  }
  void conversation.send(content, { file, name: file.name }).catch(() => undefined);
}

/** @param {File} file @returns {Promise<{width?: number, height?: number}>} */
async function sizeOf(file) {
  try {
    const picture = await createImageBitmap(file);
    const { width, height } = picture;
    picture.close();
    return { width, height };
  } catch {
    return {};
  }
}

/** @param {File} file @returns {Promise<{width?: number, height?: number, duration_ms?: number}>} */
function videoFacts(file) {
  return new Promise((resolve) => {
    const video = h('video', { preload: 'metadata', src: URL.createObjectURL(file), muted: true });
    const done = (/** @type {object} */ facts) => {
      URL.revokeObjectURL(video.src);
      resolve(facts);
    };
    const given = setTimeout(() => done({}), 3000);
    video.addEventListener('loadedmetadata', () => {
      clearTimeout(given);
      done({ width: video.videoWidth, height: video.videoHeight, duration_ms: Math.round(video.duration * 1000) || 0 });
    });
    video.addEventListener('error', () => done({}));
  });
}

/** @param {Composer} composer */
function sendPlace(composer) {
  const name = h('input', { class: 'input', maxLength: 100 });
  const address = h('input', { class: 'input', maxLength: 200 });
  const number = (/** @type {number} */ most) => h('input', { class: 'input', type: 'number', step: 'any', min: String(-most), max: String(most), required: true });
  const latitude = number(90);
  const longitude = number(180);
  const here = h(
    'button',
    {
      class: 'button',
      type: 'button',
      on: {
        click: () =>
          navigator.geolocation?.getCurrentPosition(
            ({ coords }) => {
              latitude.value = coords.latitude.toFixed(6);
              longitude.value = coords.longitude.toFixed(6);
            },
            () => warn(t('location.denied')),
          ),
      },
    },
    icon('place'),
    t('location.here'),
  );
  ask({
    title: t('location.title'),
    fields: [field(t('location.name'), name), field(t('location.address'), address), h('div', { class: 'two' }, field(t('location.latitude'), latitude), field(t('location.longitude'), longitude)), here],
    yes: t('write.send'),
    send: async () => {
      void composer.talk.conversation
        .send({
          kind: 'location',
          latitude: Number(latitude.value),
          longitude: Number(longitude.value),
          ...(name.value.trim() && { name: name.value.trim() }),
          ...(address.value.trim() && { address: address.value.trim() }),
          ...composer.frame(),
        })
        .catch(() => undefined);
      composer.sent();
    },
  });
}

/** @param {Composer} composer */
async function sendCard(composer) {
  const user = await pickOne(t('write.card'));
  if (!user) return;
  void composer.talk.conversation.send({ kind: 'card', user, ...composer.frame() }).catch(() => undefined);
  composer.sent();
}

/** Takes in what is dropped onto an element. @param {HTMLElement} element @param {() => Composer | null} composer */
export function takeDrops(element, composer) {
  const veil = h('div', { class: 'dropping', hidden: true }, t('write.drop'));
  element.append(veil);
  let depth = 0;
  const carries = (/** @type {DragEvent} */ event) => [...(event.dataTransfer?.types ?? [])].includes('Files');
  element.addEventListener('dragenter', (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth++;
    veil.hidden = false;
  });
  element.addEventListener('dragover', (event) => carries(event) && event.preventDefault());
  element.addEventListener('dragleave', () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) veil.hidden = true;
  });
  element.addEventListener('drop', (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    veil.hidden = true;
    const to = composer();
    const files = [...(event.dataTransfer?.files ?? [])];
    if (to && files.length) sendFiles(files, to);
  });
}
