// The doors that people come in by: their order and colours are the same in every list and chart.

import { tName } from './i18n.js';

/** @type {{[door: string]: number}} */
const colours = { ws: 1, sse: 6, tcp: 3, mqtt: 2, poll: 5, http: 8, xmpp: 4, coap: 7 };
const order = Object.keys(colours);

/**
 * The colour of a door's series, 1 to 8.
 * @param {string} door
 */
export function doorColour(door) {
  return colours[door] ?? 8;
}

/** @param {string} door */
export function doorName(door) {
  return tName('door', door);
}

/**
 * Doors in their order, unknown ones last.
 * @param {string} a
 * @param {string} b
 */
export function byDoor(a, b) {
  const place = (/** @type {string} */ door) => (order.includes(door) ? order.indexOf(door) : order.length);
  return place(a) - place(b) || a.localeCompare(b);
}
