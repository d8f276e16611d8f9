// What the server says of broadcasts: the service `live`, asked over the page's connection.

import { line } from './line.js';

/** @typedef {{codec: string, width: number, height: number}} Picture */
/** @typedef {{codec: string, rate: number, channels: number}} Sound */
/**
 * @typedef {{app: string, name: string, title?: string, since: number, lost: boolean, user?: string, viewers: number,
 *   video?: Picture, audio?: Sound, rungs: string[]}} Shown
 */
/**
 * All numbers of a broadcast or of one of its rungs.
 * @typedef {{id: number, fps: number, bits_per_second: number, gop_millis: number, in_bytes: number, in_frames: number,
 *   dropped_frames: number, out_bytes: number, skipped_blocks: number, clock_jumps: number, epoch: number,
 *   viewer_count: number, viewers: {[door: string]: number},
 *   video?: Picture & {codecs: string}, audio?: Sound & {codecs: string},
 *   publisher: {door: string, address?: string, user?: string, client: string}}} Detail
 */
/** @typedef {{broadcast: Shown, leads: boolean, detail?: {[rung: string]: Detail}, recording?: boolean}} Whole */
/** @typedef {{id: number, door: string, address?: string, user?: string, client: string, since: number, sent_bytes: number, skipped_blocks?: number}} Viewer */

/** @param {string} what @param {{[name: string]: unknown}} [data] @param {{once?: boolean}} [how] */
async function ask(what, data = {}, how) {
  await line.ready();
  const client = line.client;
  if (!client) throw new Error(what);
  return client.ask(`live/${what}`, data, how);
}

export const live = {
  /** @returns {Promise<{broadcasts: Shown[], more: boolean}>} */
  list: () => ask('list'),
  /** @param {string} app @param {string} name @returns {Promise<Whole>} */
  show: (app, name) => ask('show', { app, name }),
  /** @param {string} app @param {string} name @returns {Promise<{count: number, viewers: Viewer[]}>} */
  viewers: (app, name) => ask('viewers', { app, name }),
  /** @param {string} app @param {string} name @param {{viewer?: number, reason?: string, block_s?: number}} how */
  kick: (app, name, how) => ask('kick', { app, name, ...how }, { once: true }),
  /** @param {string} app @param {string} name @param {string} title */
  title: (app, name, title) => ask('title', { app, name, title }),
  /** @param {string} app @param {string} name @param {boolean} on @returns {Promise<{recording: boolean}>} */
  record: (app, name, on) => ask('record', { app, name, on }),
  /** A key for publishing. @param {string} app @param {string} name @param {number} seconds @returns {Promise<{token: string, until: number}>} */
  key: (app, name, seconds) => ask('token', { app, name, action: 'publish', valid_s: seconds }),
};
