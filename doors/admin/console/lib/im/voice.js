// Voice messages: recording from the microphone, and the shape of a sound as at most 64 bars.

import { t } from '../i18n.js';

/** Bars of a waveform. */
export const BARS = 64;
/** Seconds that one may speak. */
export const VOICE_MAX = 300;

const KINDS = ['audio/webm;codecs=opus', 'audio/ogg;codecs=opus', 'audio/mp4', 'audio/webm'];

/** Whether this browser and page can record. */
export const canRecord = () => Boolean(navigator.mediaDevices) && 'MediaRecorder' in window;

/** @typedef {{blob: Blob, name: string, duration_ms: number, waveform: number[]}} Recorded */

/** One recording. It asks for the microphone, and lets go of it at the end. */
export class Recording {
  /** @type {MediaStream} */ #stream;
  /** @type {MediaRecorder} */ #recorder;
  /** @type {AudioContext} */ #context;
  /** @type {AnalyserNode} */ #analyser;
  /** @type {Blob[]} */ #pieces = [];
  /** @type {number[]} */ #levels = [];
  #started = Date.now();
  #timer;

  /**
   * @param {MediaStream} stream
   * @param {(level: number, seconds: number) => void} hear called ten times a second with how loud it is (0 to 1)
   */
  constructor(stream, hear) {
    this.#stream = stream;
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    this.#recorder = new MediaRecorder(stream, { ...(mimeType && { mimeType }), audioBitsPerSecond: 32_000 });
    this.#recorder.addEventListener('dataavailable', ({ data }) => data.size && this.#pieces.push(data));
    this.#context = new AudioContext();
    this.#analyser = this.#context.createAnalyser();
    this.#analyser.fftSize = 1024;
    this.#context.createMediaStreamSource(stream).connect(this.#analyser);
    const samples = new Float32Array(this.#analyser.fftSize);
    this.#timer = setInterval(() => {
      this.#analyser.getFloatTimeDomainData(samples);
      let sum = 0;
      for (const sample of samples) sum += sample * sample;
      const level = Math.min(1, Math.sqrt(sum / samples.length) * 4);
      this.#levels.push(level);
      hear(level, this.seconds);
    }, 100);
    this.#recorder.start(500);
  }

  /** @param {(level: number, seconds: number) => void} hear @returns {Promise<Recording>} */
  static async begin(hear) {
    if (!canRecord()) throw new Error(t('voice.none'));
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
    } catch {
      throw new Error(t('voice.denied'));
    }
    return new Recording(stream, hear);
  }

  get seconds() {
    return (Date.now() - this.#started) / 1000;
  }

  /** Ends it and gives what was said. @returns {Promise<Recorded>} */
  async end() {
    const duration = Date.now() - this.#started;
    const ended = new Promise((resolve) => this.#recorder.addEventListener('stop', resolve, { once: true }));
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    await ended;
    const type = (this.#recorder.mimeType || 'audio/webm').split(';')[0] ?? 'audio/webm';
    this.#release();
    const extension = type === 'audio/mp4' ? 'm4a' : (type.split('/')[1] ?? 'webm');
    return {
      blob: new Blob(this.#pieces, { type }),
      name: `voice-${new Date(this.#started).toISOString().slice(0, 19).replace(/[:T]/g, '-')}.${extension}`,
      duration_ms: duration,
      waveform: fold(this.#levels),
    };
  }

  /** Ends it without anything. */
  drop() {
    if (this.#recorder.state !== 'inactive') this.#recorder.stop();
    this.#release();
  }

  #release() {
    clearInterval(this.#timer);
    for (const track of this.#stream.getTracks()) track.stop();
    void this.#context.close();
  }
}

/**
 * Levels from 0 to 1 as at most 64 numbers from 0 to 100, the loudest 100.
 * @param {number[]} levels
 */
export function fold(levels) {
  if (levels.length === 0) return [];
  const count = Math.min(BARS, levels.length);
  const bars = Array.from({ length: count }, (_, i) => {
    const part = levels.slice(Math.floor((i * levels.length) / count), Math.max(Math.floor(((i + 1) * levels.length) / count), Math.floor((i * levels.length) / count) + 1));
    return Math.max(...part);
  });
  const top = Math.max(...bars, 0.02);
  return bars.map((bar) => Math.round((bar / top) * 100));
}

/**
 * The shape of a sound file, by decoding it.
 * @param {ArrayBuffer} bytes
 * @returns {Promise<{waveform: number[], duration_ms: number}>}
 */
export async function shapeOf(bytes) {
  const context = new AudioContext();
  try {
    const sound = await context.decodeAudioData(bytes);
    const samples = sound.getChannelData(0);
    const step = Math.max(1, Math.floor(samples.length / BARS));
    /** @type {number[]} */
    const levels = [];
    for (let at = 0; at + step <= samples.length && levels.length < BARS; at += step) {
      let most = 0;
      // A part of the samples is enough to see how loud it is.
      for (let i = at; i < at + step; i += 1 + (step >> 9)) most = Math.max(most, Math.abs(samples[i] ?? 0));
      levels.push(most);
    }
    return { waveform: fold(levels), duration_ms: Math.round(sound.duration * 1000) };
  } finally {
    void context.close();
  }
}

/** Seconds as `1:05`. @param {number} seconds */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
