// A voice message: played here, with its shape as bars that one can press to go there.

import { icon } from '../../components/icon.js';
import { Cell } from '../../lib/cell.js';
import { fill, h } from '../../lib/dom.js';
import { factsOf } from '../../lib/im/facts.js';
import { chat } from '../../lib/im/im.js';
import { shapeOf, span } from '../../lib/im/voice.js';
import { t } from '../../lib/i18n.js';
import { localUrl } from './content.js';
import { sayWhy } from './talk-menu.js';

/** Bars where nobody knows the shape. */
const FLAT = Array.from({ length: 32 }, (_, i) => 20 + ((i * 37) % 50));
const SPEEDS = [1, 1.5, 2];

/** The one sound of the page: a second one stops the first. */
const sound = new Audio();
sound.preload = 'auto';
/** Which voice message it plays, by its file or key; bubbles are made anew while it plays. */
let playing = '';
/** Told at each step of the sound. */
const steps = new Cell(0);
for (const event of ['play', 'pause', 'timeupdate', 'ended', 'loadedmetadata']) sound.addEventListener(event, () => steps.touch());
/** Shapes that were measured here, by file. @type {Map<string, {waveform: number[], duration_ms: number}>} */
const measured = new Map();

/** @param {import('/sdk/im.js').Content} content @param {any} message */
export function voiceBubble(content, message) {
  const known = content.waveform?.length ? null : measured.get(content.file ?? '');
  const shape = content.waveform?.length ? content.waveform : (known?.waveform ?? FLAT);
  const whole = (factsOf(content, message).duration_ms ?? known?.duration_ms ?? 0) / 1000;
  const wave = h(
    'div',
    { class: 'wave', role: 'slider', tabIndex: 0, 'aria-label': t('im.kind.voice'), 'aria-valuemin': '0', 'aria-valuemax': String(Math.round(whole)), 'aria-valuenow': '0' },
    bars(shape),
  );
  const time = h('span', { class: 'time' }, span(whole));
  const speed = h('button', { class: 'speed', type: 'button', hidden: true, 'aria-label': t('voice.speed') }, '1×');
  const button = h('button', { class: 'round', type: 'button', 'aria-label': t('voice.play'), title: t('voice.play') }, icon('play'));
  const element = h('div', { class: 'voice' }, button, wave, time, speed);

  const name = content.file ?? String(message.key);
  const isMine = () => playing === name;
  const lasts = () => (Number.isFinite(sound.duration) && sound.duration > 0 ? sound.duration : whole || 1);
  const draw = () => {
    const mine = isMine() && !sound.ended;
    const part = mine ? sound.currentTime / lasts() : 0;
    const children = [...wave.children];
    children.forEach((bar, i) => bar.classList.toggle('played', mine && i / children.length < part));
    const on = mine && !sound.paused;
    if (button.dataset['on'] !== String(on)) {
      button.dataset['on'] = String(on);
      fill(button, icon(on ? 'pause' : 'play'));
      button.setAttribute('aria-label', t(on ? 'voice.pause' : 'voice.play'));
    }
    time.textContent = span(mine && (on || sound.currentTime > 0) ? Math.max(0, lasts() - sound.currentTime) : whole);
    wave.setAttribute('aria-valuenow', String(Math.round(mine ? sound.currentTime : 0)));
    speed.hidden = !isMine();
    speed.textContent = `${sound.playbackRate}×`;
  };
  const end = steps.hear(() => (element.isConnected ? draw() : end()));
  const take = async () => {
    const src = message.file instanceof Blob ? localUrl(message.file) : await chat().fileObject(content.file ?? '');
    playing = name;
    sound.src = src;
    sound.playbackRate = 1;
  };
  const play = async () => {
    try {
      if (!isMine()) await take();
      if (sound.paused) await sound.play();
      else sound.pause();
      if (!content.waveform?.length && content.file && !measured.has(content.file)) void measure(content.file, wave, time);
    } catch (error) {
      sayWhy(error);
    }
  };
  button.addEventListener('click', () => void play());
  speed.addEventListener('click', () => {
    sound.playbackRate = SPEEDS[(SPEEDS.indexOf(sound.playbackRate) + 1) % SPEEDS.length] ?? 1;
    draw();
  });
  const goTo = (/** @type {number} */ part) => {
    sound.currentTime = Math.max(0, Math.min(lasts() - 0.05, part * lasts()));
    draw();
  };
  wave.addEventListener('pointerdown', async (event) => {
    const box = wave.getBoundingClientRect();
    if (!isMine()) await play();
    goTo((event.clientX - box.left) / box.width);
  });
  wave.addEventListener('keydown', (event) => {
    const step = event.key === 'ArrowRight' ? 2 : event.key === 'ArrowLeft' ? -2 : 0;
    if (!step || !isMine()) return;
    event.preventDefault();
    sound.currentTime = Math.max(0, sound.currentTime + step);
  });
  if (isMine()) draw();
  return element;
}

/** @param {number[]} shape */
function bars(shape) {
  // A narrow bubble has place for half of them.
  const part = shape.length > 48 ? shape.filter((_, i) => i % 2 === 0) : shape;
  return part.map((level) => h('i', { style: { height: `${Math.max(10, Math.min(100, Number(level) || 0))}%` } }));
}

/** @param {string} file @param {HTMLElement} wave @param {HTMLElement} time */
async function measure(file, wave, time) {
  const blob = await chat().files.download(file);
  const shape = await shapeOf(await blob.arrayBuffer()).catch(() => null);
  if (!shape) return;
  measured.set(file, shape);
  fill(wave, bars(shape.waveform));
  time.textContent = span(shape.duration_ms / 1000);
}
