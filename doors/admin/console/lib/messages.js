// A record of a room as a message that people read.

import { t } from './i18n.js';

/** @typedef {import('./line.js').LineRecord} LineRecord */

/**
 * @typedef {{
 *   id: string, seq: number | null, at: number, from: string, name: string, guest: boolean,
 *   kind: 'text' | 'value' | 'bytes' | 'event', text: string, value: unknown, bytes: number, cid: string | null,
 *   guestId: string | null, session: string
 * }} Message
 */

/** The key of the record that says what a room is. */
export const ABOUT = 'about';

/**
 * @param {LineRecord} record
 * @returns {Message}
 */
export function messageOf(record) {
  const { from = 'anonymous', session = '' } = record;
  const guest = from === '' || from === 'anonymous' || from.startsWith('guest:');
  const name = guest
    ? record.headers?.['name']?.slice(0, 40) || (from.startsWith('guest:') ? from.slice(6) : t('chat.guest'))
    : from;
  /** @type {Message} */
  const message = {
    id:
      record.seq === undefined
        ? `${session}.${record.at}.${record.headers?.['cid'] ?? ++unnumbered}`
        : `#${record.seq}`,
    seq: record.seq ?? null,
    at: record.at,
    from: from || 'anonymous',
    name,
    guest,
    kind: 'text',
    text: '',
    value: undefined,
    bytes: 0,
    cid: record.headers?.['cid'] ?? null,
    guestId: guest ? (record.headers?.['guest'] ?? session) : null,
    session,
  };
  if (record.key === ABOUT) {
    message.kind = 'event';
    message.value = record.data;
    message.text = aboutText(record.data, name);
  } else if (typeof record.text === 'string') message.text = record.text;
  else if (record.bin !== undefined) {
    message.kind = 'bytes';
    message.bytes = record.bin.length;
    message.text = t('chat.bytes', { n: record.bin.length });
  } else if (
    record.data &&
    typeof record.data === 'object' &&
    'text' in record.data &&
    typeof record.data.text === 'string'
  )
    message.text = record.data.text;
  else if (typeof record.data === 'string') message.text = record.data;
  else if (record.data !== undefined) {
    message.kind = 'value';
    message.value = record.data;
    message.text = JSON.stringify(record.data);
  } else message.kind = 'event';
  return message;
}
let unnumbered = 0;

/**
 * @param {unknown} about
 * @param {string} name
 */
function aboutText(about, name) {
  const { change, purpose } = /** @type {{change?: string, purpose?: string}} */ (
    about && typeof about === 'object' ? about : {}
  );
  if (change === 'purpose')
    return purpose ? t('chat.event.purpose', { name, purpose }) : t('chat.event.nopurpose', { name });
  return t('chat.event.created', { name });
}

/** Who wrote it, as a key: guests are told apart by the id that their browser chose. @param {Message} message */
export function author(message) {
  return message.guestId ? `${message.from}\n${message.guestId}` : message.from;
}
