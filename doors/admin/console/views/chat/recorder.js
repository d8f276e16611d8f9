// Recording a voice message in the composer's place: how loud and how long, send or discard.

import { iconButton } from '../../components/bits.js';
import { icon } from '../../components/icon.js';
import { fill, h } from '../../lib/dom.js';
import { Recording, VOICE_MAX, span } from '../../lib/im/voice.js';
import { t } from '../../lib/i18n.js';
import { warn } from '../../lib/notices.js';

/** Less than this is a slip of the finger, ms. */
const SHORT_MS = 600;
/** Bars that are seen while one speaks. */
const SHOWN = 90;

/**
 * Records until one sends or discards it.
 * @param {Element | null} place what it stands in for
 * @returns {Promise<import('../../lib/im/voice.js').Recorded | null>}
 */
export async function recorder(place) {
  const wave = h('div', { class: 'wave', 'aria-hidden': 'true' });
  const time = h('b', { class: 'number', role: 'timer' }, '0:00');
  /** @type {(send: boolean) => void} */
  let finish = () => undefined;
  const answer = new Promise((/** @type {(send: boolean) => void} */ resolve) => (finish = resolve));
  /** @type {Recording} */
  let recording;
  try {
    recording = await Recording.begin((level, seconds) => {
      wave.append(h('i', { style: { height: `${Math.max(8, level * 100)}%` } }));
      if (wave.childElementCount > SHOWN) wave.firstElementChild?.remove();
      time.textContent = span(seconds);
      if (seconds >= VOICE_MAX) finish(true);
    });
  } catch (error) {
    warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    return null;
  }
  const send = h('button', { class: 'send', type: 'button', title: t('write.voice.stop'), 'aria-label': t('write.voice.stop'), on: { click: () => finish(true) } }, icon('send'));
  if (place)
    fill(
      place,
      h('div', { class: 'recorder', role: 'status', 'aria-label': t('voice.recording') }, h('span', { class: 'red' }), time, wave),
      iconButton('trash', t('write.voice.drop'), () => finish(false)),
      send,
    );
  send.focus();
  const key = (/** @type {KeyboardEvent} */ event) => event.key === 'Escape' && finish(false);
  // Whoever leaves the conversation leaves the recording.
  const watch = setInterval(() => send.isConnected || finish(false), 300);
  addEventListener('keydown', key);
  const wanted = await answer;
  removeEventListener('keydown', key);
  clearInterval(watch);
  if (!wanted) {
    recording.drop();
    return null;
  }
  const done = await recording.end();
  if (done.duration_ms < SHORT_MS) {
    warn(t('voice.short'));
    return null;
  }
  return done;
}
