// Numbers, sizes, times and durations as people of the chosen language write them.

import { language } from './settings.js';

/** @type {Map<string, any>} */
const made = new Map();

/**
 * @template T
 * @param {string} name
 * @param {(tag: string) => T} make
 * @returns {T}
 */
function once(name, make) {
  const tag = language.value === 'zh' ? 'zh-CN' : 'en-GB';
  const key = `${tag} ${name}`;
  if (!made.has(key)) made.set(key, make(tag));
  return made.get(key);
}

/** A whole number with separators. @param {number} n */
export function whole(n) {
  return once(
    'whole',
    (tag) => new Intl.NumberFormat(tag === 'zh-CN' ? tag : 'en', { maximumFractionDigits: 0 }),
  ).format(n);
}

/** A number in few digits: 1.2k, 34M. @param {number} n */
export function short(n) {
  const size = Math.abs(n);
  if (size < 10) return String(Number(n.toFixed(size < 1 ? 2 : 1)));
  if (size < 1000) return String(Math.round(n));
  if (size < 1e6) return trim(n / 1e3) + 'k';
  if (size < 1e9) return trim(n / 1e6) + 'M';
  return trim(n / 1e9) + 'G';
}

/** @param {number} n */
function trim(n) {
  return Math.abs(n) < 10 ? n.toFixed(1).replace(/\.0$/, '') : String(Math.round(n));
}

/** Bytes with a binary unit. @param {number} n */
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (Math.abs(n) >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || Math.abs(n) >= 100 ? Math.round(n) : Math.abs(n) >= 10 ? n.toFixed(1) : n.toFixed(2)} ${units[unit]}`;
}

/** A time that something took, from microseconds to seconds. @param {number} ms */
export function took(ms) {
  const size = Math.abs(ms);
  if (size === 0) return '0 ms';
  if (size < 1) return `${Math.round(ms * 1000)} µs`;
  if (size < 10) return `${ms.toFixed(2)} ms`;
  if (size < 100) return `${ms.toFixed(1)} ms`;
  if (size < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(size < 10000 ? 2 : 1)} s`;
}

/** A share as percent. @param {number} share */
export function percent(share) {
  const n = share * 100;
  return `${n < 10 ? n.toFixed(1) : Math.round(n)} %`;
}

/** A long duration in its two largest units: 3 d 4 h. @param {number} seconds */
export function span(seconds) {
  const names = language.value === 'zh' ? ['天', '小时', '分', '秒'] : ['d', 'h', 'min', 's'];
  const parts = [
    Math.floor(seconds / 86400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
    Math.floor(seconds) % 60,
  ];
  const first = parts.findIndex((part) => part > 0);
  if (first < 0) return `0 ${names[3]}`;
  return parts
    .map((part, i) => (i >= first && i < first + 2 && part > 0 ? `${part} ${names[i]}` : ''))
    .filter(Boolean)
    .join(' ');
}

/** The hour and minute. @param {number} at */
export function clock(at) {
  return once('clock', (tag) => new Intl.DateTimeFormat(tag, { hour: '2-digit', minute: '2-digit' })).format(at);
}

/** The time to the second. @param {number} at */
export function clockSeconds(at) {
  return once(
    'seconds',
    (tag) => new Intl.DateTimeFormat(tag, { hour: '2-digit', minute: '2-digit', second: '2-digit' }),
  ).format(at);
}

/** The time to the millisecond. @param {number} at */
export function clockMillis(at) {
  return once(
    'millis',
    (tag) =>
      new Intl.DateTimeFormat(tag, {
        hour: '2-digit',
        minute: '2-digit',
        second: '2-digit',
        fractionalSecondDigits: 3,
      }),
  ).format(at);
}

/** Date and time. @param {number} at */
export function moment(at) {
  return once('moment', (tag) => new Intl.DateTimeFormat(tag, { dateStyle: 'medium', timeStyle: 'medium' })).format(at);
}

/** The day, in words where it is near. @param {number} at */
export function day(at) {
  const days = daysAgo(at);
  if (days === 0 || days === 1) {
    const word = once('relative', (tag) => new Intl.RelativeTimeFormat(tag, { numeric: 'auto' })).format(-days, 'day');
    return word.charAt(0).toUpperCase() + word.slice(1);
  }
  const thisYear = new Date(at).getFullYear() === new Date().getFullYear();
  return once(
    thisYear ? 'day' : 'day-year',
    (tag) =>
      new Intl.DateTimeFormat(tag, {
        weekday: 'long',
        day: 'numeric',
        month: 'long',
        ...(thisYear ? {} : { year: 'numeric' }),
      }),
  ).format(at);
}

/** Short form for lists: the time today, the weekday this week, else the date. @param {number} at */
export function when(at) {
  const days = daysAgo(at);
  if (days === 0) return clock(at);
  if (days < 7) return once('weekday', (tag) => new Intl.DateTimeFormat(tag, { weekday: 'short' })).format(at);
  return once('date', (tag) => new Intl.DateTimeFormat(tag, { day: 'numeric', month: 'short' })).format(at);
}

/** How long ago, in words. @param {number} at */
export function ago(at) {
  const seconds = Math.max(0, (Date.now() - at) / 1000);
  const relative = once('ago', (tag) => new Intl.RelativeTimeFormat(tag, { numeric: 'auto', style: 'short' }));
  if (seconds < 60) return relative.format(-Math.floor(seconds), 'second');
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), 'minute');
  if (seconds < 86400) return relative.format(-Math.floor(seconds / 3600), 'hour');
  return relative.format(-Math.floor(seconds / 86400), 'day');
}

/** The time today, else the day and the time. @param {number} at */
export function whenExactly(at) {
  return daysAgo(at) === 0 ? clock(at) : `${when(at)} ${clock(at)}`;
}

/** Whether two times fall on one day here. @param {number} a @param {number} b */
export function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

/** @param {number} at */
function daysAgo(at) {
  const midnight = (/** @type {number} */ t) => new Date(t).setHours(0, 0, 0, 0);
  return Math.round((midnight(Date.now()) - midnight(at)) / 86400000);
}

/** Names in the order of the language. @param {string} a @param {string} b */
export function byName(a, b) {
  return once('collator', (tag) => new Intl.Collator(tag, { numeric: true, sensitivity: 'base' })).compare(a, b);
}
