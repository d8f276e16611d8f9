// Who uses the page: signing in, coming back, signing out.

import { ApiError, admin, token, tokenRefused } from './admin.js';
import { Cell } from './cell.js';
import { t } from './i18n.js';
import { warn } from './notices.js';
import { goInstead } from './route.js';

/** @typedef {{user: string, roles: string[], admin: boolean, account: boolean, hasPassword: boolean, guest: boolean}} Identity */

/** Marks a guest without a name. */
const ANONYMOUS = ' ';

/** Who is signed in; `null`: nobody; `undefined`: not known yet. */
export const me = new Cell(/** @type {Identity | null | undefined} */ (undefined));

/** The name that a guest goes by. Where the server gives guests no names of their own, others see this one beside “guest”. */
export const guestName = new Cell(localStorage.getItem('yizhan.guest') ?? '');
guestName.hear((name) => localStorage.setItem('yizhan.guest', name));

tokenRefused.hear(() => {
  if (!me.value || me.value.guest) return;
  forget();
  warn(t('signin.ended'), t('signin.ended.advice'));
});

/** Takes a one-time ticket out of the address, so that it is neither seen nor kept in the history. */
function takeTicket() {
  const found = /^#(?:link|ticket)=(.+)$/.exec(location.hash);
  if (!found) return null;
  goInstead('');
  return decodeURIComponent(found[1] ?? '');
}

/**
 * Finds out who uses the page: by a link, by the remembered token, as the guest of before.
 * @returns {Promise<boolean>} whether it was by a link
 */
export async function comeIn() {
  const ticket = takeTicket();
  if (ticket) {
    try {
      token.value = null;
      token.value = (await admin.loginByLink(ticket)).token;
    } catch (error) {
      me.value = null;
      throw error;
    }
  }
  if (token.value === null) {
    me.value = sessionStorage.getItem('yizhan.guest') ? guest(guestLogin()) : null;
    return false;
  }
  try {
    await look();
  } catch (error) {
    if (error instanceof ApiError && error.status === 0) throw error;
    forget();
  }
  return ticket !== null;
}

/** Reads again who is signed in. */
export async function look() {
  const found = await admin.me();
  me.value = {
    user: found.user,
    roles: found.roles,
    admin: found.admin,
    account: found.account,
    hasPassword: found.has_password,
    guest: false,
  };
}

/**
 * @param {string} user
 * @param {string} password
 */
export async function signIn(user, password) {
  token.value = (await admin.login(user, password)).token;
  await look();
}

/**
 * Goes on without an account. Whether the server takes guests is seen when the connection is made.
 * @param {string} name empty: as nobody in particular
 */
export function enterAsGuest(name) {
  if (name) guestName.value = name;
  sessionStorage.setItem('yizhan.guest', name || ANONYMOUS);
  me.value = guest(guestLogin());
}

/** The name that a guest comes in with; `null` for one without. */
export function guestLogin() {
  const name = sessionStorage.getItem('yizhan.guest');
  return name === null || name === ANONYMOUS ? null : name;
}

/**
 * What a user is called on the page: guests without the server's mark.
 * @param {string} user
 * @returns {string}
 */
export function displayName(user) {
  if (user === 'anonymous') return guestName.value && me.value?.guest ? guestName.value : t('chat.guest');
  return user.replace(/^guest:/, '');
}

/** @param {string | null} name @returns {Identity} */
function guest(name) {
  return {
    user: name ? `guest:${name}` : 'anonymous',
    roles: [],
    admin: false,
    account: false,
    hasPassword: false,
    guest: true,
  };
}

export async function signOut() {
  if (token.value !== null) {
    // A token that can't be revoked now ends by itself; the page forgets it in any case.
    await admin.logout().catch(() => undefined);
  }
  forget();
}

/** Forgets who was signed in. */
export function forget() {
  token.value = null;
  sessionStorage.removeItem('yizhan.guest');
  me.value = null;
}
