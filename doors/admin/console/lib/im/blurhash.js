// The colours of a picture before it is there: a blurhash (https://blurha.sh) as a small canvas.

import { h } from '../dom.js';

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~';
/** Pixels of a side; the browser makes them soft. */
const SIZE = 24;

/** @param {string} text */
function number(text) {
  let value = 0;
  for (const digit of text) value = value * 83 + DIGITS.indexOf(digit);
  return value;
}

/** @param {number} value 0 to 255 */
function linear(value) {
  const part = value / 255;
  return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
}

/** @param {number} value */
function stored(value) {
  const part = Math.max(0, Math.min(1, value));
  return Math.round(255 * (part <= 0.0031308 ? part * 12.92 : 1.055 * part ** (1 / 2.4) - 0.055));
}

/**
 * A canvas with the colours; `null` where the text is no blurhash.
 * @param {string} hash
 */
export function blurCanvas(hash) {
  const size = number(hash[0] ?? '');
  const [across, down] = [(size % 9) + 1, Math.floor(size / 9) + 1];
  if (size < 0 || hash.length !== 4 + 2 * across * down || [...hash].some((digit) => !DIGITS.includes(digit))) return null;
  const most = (number(hash[1] ?? '') + 1) / 166;
  const parts = Array.from({ length: across * down }, (_, i) => {
    if (i === 0) {
      const value = number(hash.slice(2, 6));
      return [linear(value >> 16), linear((value >> 8) & 255), linear(value & 255)];
    }
    const value = number(hash.slice(4 + i * 2, 6 + i * 2));
    return [Math.floor(value / 361), Math.floor(value / 19) % 19, value % 19].map((each) => Math.sign(each - 9) * ((each - 9) / 9) ** 2 * most);
  });
  const canvas = h('canvas', { class: 'blur', width: SIZE, height: SIZE, 'aria-hidden': 'true' });
  const pen = canvas.getContext('2d');
  if (!pen) return null;
  const image = pen.createImageData(SIZE, SIZE);
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      const colour = [0, 0, 0];
      parts.forEach((part, i) => {
        const weight = Math.cos((Math.PI * x * (i % across)) / SIZE) * Math.cos((Math.PI * y * Math.floor(i / across)) / SIZE);
        for (let c = 0; c < 3; c++) colour[c] = (colour[c] ?? 0) + (part[c] ?? 0) * weight;
      });
      image.data.set([...colour.map(stored), 255], (y * SIZE + x) * 4);
    }
  }
  pen.putImageData(image, 0, 0);
  return canvas;
}
