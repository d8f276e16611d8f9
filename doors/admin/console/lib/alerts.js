// Calls attention to what was said while the page was not looked at: the title, and notifications where they are wanted.

import { Cell } from './cell.js';
import { arrivals } from './chat.js';
import { t } from './i18n.js';
import { rooms, unreadInAll } from './rooms.js';
import { go } from './route.js';
import { notifications } from './settings.js';

/** What the page shows, for its title. */
export const viewTitle = new Cell('');

/** Starts to watch for what arrives. */
export function startAlerts() {
  const sayTitle = () => {
    const count = unreadInAll();
    document.title = `${count > 0 ? `(${count > 99 ? '99+' : count}) ` : ''}${viewTitle.value ? `${viewTitle.value} · ` : ''}Yizhan`;
  };
  rooms.hear(sayTitle);
  viewTitle.hear(sayTitle);
  arrivals.hear((arrival) => {
    if (!arrival || !document.hidden || notifications.value !== 'on' || Notification.permission !== 'granted') return;
    const { room, message } = arrival;
    if (message.kind === 'event') return;
    const note = new Notification(`${message.name} · ${room.name}`, {
      body: message.text.slice(0, 160),
      tag: `room ${room.name}`,
      icon: '/console/icon.svg',
    });
    note.addEventListener('click', () => {
      focus();
      go('chat', room.name);
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
