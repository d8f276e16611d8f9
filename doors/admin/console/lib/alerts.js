// Calls attention to what was said while the page was not looked at: the title, and notifications where they are wanted.

import { Cell } from './cell.js';
import { t } from './i18n.js';
import { nameOf, rings, titleOf, unread } from './im/im.js';
import { preview } from './im/preview.js';
import { go } from './route.js';
import { notifications } from './settings.js';

/** What the page shows, for its title. */
export const viewTitle = new Cell('');
/** Notices of one conversation that may come within this time make no sound again, ms. */
const QUIET_MS = 3000;

/** @typedef {{from?: string, until?: string}} Hours */

/** The hours in which nothing should ring, as this browser knows them. @returns {Hours} */
export function quietHours() {
  try {
    return JSON.parse(localStorage.getItem('yizhan.quiet') ?? '{}') ?? {};
  } catch {
    return {};
  }
}

/** @param {Hours} hours */
export function keepQuietHours(hours) {
  localStorage.setItem('yizhan.quiet', JSON.stringify(hours));
}

/** Starts to watch for what arrives. */
export function startAlerts() {
  const sayTitle = () => {
    const count = unread.value.unread;
    document.title = `${count > 0 ? `(${count > 99 ? '99+' : count}) ` : ''}${viewTitle.value ? `${viewTitle.value} · ` : ''}Yizhan`;
  };
  unread.hear(sayTitle);
  viewTitle.hear(sayTitle);
  /** @type {Map<string, number>} */
  const last = new Map();
  rings.hear((ring) => {
    const looks = !document.hidden && document.hasFocus();
    if (!ring || looks || notifications.value !== 'on' || !('Notification' in window) || Notification.permission !== 'granted' || inQuietHours(quietHours(), new Date())) return;
    const { message, entry } = ring;
    if (!message.content) return;
    const body = preview(message.content);
    const note = new Notification(titleOf(entry), {
      body: entry.kind === 'direct' ? body : `${nameOf(message.from)}: ${body}`,
      tag: `im ${entry.id}`,
      icon: '/console/icon.svg',
      silent: Date.now() - (last.get(entry.id) ?? 0) < QUIET_MS,
    });
    last.set(entry.id, Date.now());
    note.addEventListener('click', () => {
      focus();
      go('chat', entry.id, 'at', String(message.seq));
      note.close();
    });
  });
}

/**
 * Turns notifications on, where the browser's user agrees, or off.
 * @param {boolean} on
 * @returns {Promise<string | null>} why it could not be done
 */
export async function setNotifications(on) {
  if (!on) {
    notifications.value = 'off';
    return null;
  }
  if (!('Notification' in window)) return t('notify.none');
  const answer = await Notification.requestPermission();
  if (answer !== 'granted') return t('notify.denied');
  notifications.value = 'on';
  return null;
}

/** Whether to ask about notifications: once, and only where they can be had. */
export function mayAskForNotifications() {
  return 'Notification' in window && Notification.permission === 'default' && isSecureContext && localStorage.getItem('yizhan.notify-asked') === null;
}

/** What was answered to that. @param {boolean} yes */
export async function askForNotifications(yes) {
  localStorage.setItem('yizhan.notify-asked', '1');
  if (yes) await setNotifications(true);
}

/**
 * Whether a time of day lies in a span such as 22:00 to 07:00.
 * @param {Hours} hours
 * @param {Date} now
 */
export function inQuietHours(hours, now) {
  if (!hours.from || !hours.until || hours.from === hours.until) return false;
  const time = `${String(now.getHours()).padStart(2, '0')}:${String(now.getMinutes()).padStart(2, '0')}`;
  return hours.from < hours.until ? time >= hours.from && time < hours.until : time >= hours.from || time < hours.until;
}
