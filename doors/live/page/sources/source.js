// What a player of one protocol is given, and what it gives.

/**
 * `off`: there is nothing on air. `denied`: the viewer may not. `network` and `media`: it may go better another time or
 * in another way.
 * @typedef {'off' | 'denied' | 'network' | 'media'} Trouble
 */
/** @typedef {{id: string, name: string, height: number, bits: number}} Level */
/**
 * @typedef {{
 *   levels: (levels: Level[], auto: boolean) => void, level: (id: string) => void,
 *   play: () => void, trouble: (what: Trouble, why: string) => void,
 * }} Ears
 */
/**
 * `bearer`: the account's token, where the server wants to know who watches; empty else.
 * @typedef {{video: HTMLVideoElement, url: string, bearer: string, serverTime: () => number, on: Ears}} Begin
 */
/**
 * `edge`: where one is live, in the video's time. `delay`: how far behind the server it is, s. `leap`: how far one may
 * be behind before it leaps, s; left out where the library sees to it.
 * @typedef {{
 *   end: () => void, choose?: (id: string) => void, edge: () => number | null, delay: () => number | null,
 *   facts: () => {codecs: string, bits: number}, leap?: number,
 * }} Source
 */

export {};

/**
 * The rungs that a master playlist names (RFC 8216 §4.3.4.2), highest first; the source is the one that is no rung.
 * @param {string} text @returns {Level[]}
 */
export function rungsOf(text) {
  /** @type {Map<string, Level>} */
  const found = new Map();
  const lines = text.split(/\r?\n/);
  lines.forEach((line, at) => {
    if (!line.startsWith('#EXT-X-STREAM-INF:')) return;
    const uri = lines.slice(at + 1).find((next) => next && !next.startsWith('#')) ?? '';
    const rung = /~([\w.-]+?)(?=\/|\.m3u8|[?]|$)/.exec(decodeURIComponent(uri))?.[1] ?? '';
    const id = rung || 'source';
    const height = Number(/RESOLUTION=\d+x(\d+)/.exec(line)?.[1] ?? 0);
    const bits = Number(/[:,]BANDWIDTH=(\d+)/.exec(line)?.[1] ?? 0);
    if (!found.has(id)) found.set(id, { id, name: id, height, bits });
  });
  return [...found.values()].sort((a, b) => b.height - a.height || b.bits - a.bits);
}
