// The chat of this page: who it is open for, what is in its list, who is there. By `im.js` of the JavaScript SDK.

import { openIm } from '/sdk/im.js';
import { displayName, me } from '../account.js';
import { Cell, atNextFrame } from '../cell.js';
import { t } from '../i18n.js';
import { line } from '../line.js';
import { go, route } from '../route.js';
import { tell } from '../notices.js';
import { Talk } from './talk.js';

/** @typedef {import('/sdk/im.js').Im} Im */
/** @typedef {import('/sdk/im.js').Entry} Entry */
/** @typedef {import('/sdk/im.js').Message} Message */
/** @typedef {import('/sdk/im.js').Presence} Presence */
/** @typedef {{phase: 'loading' | 'ready' | 'refused', reason?: string}} ChatState */

/** Conversations that stay in memory with what was loaded of them. */
const TALKS_MAX = 30;

/** `loading`, then `ready`; `refused` where this user may not chat. */
export const chatState = new Cell(/** @type {ChatState} */ ({ phase: 'loading' }));
/** Told when the list of conversations changed. */
export const list = new Cell(0);
/** Told when profiles or presence of people changed. */
export const people = new Cell(0);
/** Told when friends, or requests to be one, changed. */
export const friendNews = new Cell(0);
/** Who types, by conversation. */
export const typing = new Cell(/** @type {Map<string, string[]>} */ (new Map()));
/** Called with each message that should ring. */
export const rings = new Cell(/** @type {{message: Message, entry: Entry} | null} */ (null));
/** Unread messages and mentions in all. */
export const unread = new Cell({ unread: 0, mentions: 0 });

/** @type {Im | null} */
let im = null;
/** @type {Map<string, Talk>} */
const talks = new Map();
/** Conversations whose typing is heard. @type {Set<string>} */
const heard = new Set();

/** The open chat; there is one where the state is `ready`, and in most cases before. */
export function chat() {
  if (!im) throw new Error(t('im.refused'));
  return im;
}

/** Who I am in the chat; empty where there is none. */
export const myName = () => im?.me ?? me.value?.user ?? '';

const tellList = atNextFrame(() => list.touch());
const tellPeople = atNextFrame(() => people.touch());

/** Starts the chat of who is signed in. */
export async function startChat() {
  const who = me.value;
  const client = line.client;
  if (!who || !client) return;
  if (who.guest) {
    chatState.value = { phase: 'refused', reason: t('im.guest') };
    return;
  }
  const made = openIm(client, { platform: 'web', cache: 'indexeddb', user: who.user });
  im = made;
  chatState.value = { phase: 'loading' };
  made.conversations.on('change', () => {
    hearTyping(made);
    tellList();
  });
  made.people.on('change', tellPeople);
  made.people.on('friends', (change) => {
    friendNews.touch();
    if (change['what'] === 'request' && change.user) tell(t('im.befriend', { name: nameOf(change.user) }), { label: t('people.requests'), run: () => go('people', 'requests') });
  });
  made.on('notify', (ring) => (rings.value = ring));
  made.on('unread', (count) => (unread.value = count));
  made.on('own', (change) => {
    if (change.event === 'gone') wasRemoved(change);
    else if (change.event === 'invited') {
      friendNews.touch();
      tell(t('im.invited', { name: change.by ? nameOf(change.by) : '', title: change.title ?? '' }), { label: t('people.requests'), run: () => go('people', 'requests') });
    } else if (change.event === 'request' && change.user && change.conversation) {
      tell(t('im.asked', { name: nameOf(change.user) }), { label: t('panel.tab.members'), run: () => go('chat', change['conversation'], 'members') });
    } else if (change.event === 'declined') friendNews.touch();
  });
  made.on('status', ({ status }) => {
    if (im === made && (status === 'cached' || status === 'live') && chatState.value.phase !== 'ready') ready();
  });
  try {
    await made.start();
    if (im === made) ready();
  } catch (error) {
    const code = /** @type {{code?: number}} */ (error)?.code ?? 0;
    // A server without messaging does not know what is asked of it.
    const reason = [102, 103, 210, 302, 320].includes(code) ? t('im.off') : error instanceof Error ? error.message : String(error);
    if (im === made) chatState.value = { phase: 'refused', reason };
  }
}

function ready() {
  chatState.value = { phase: 'ready' };
  if (im) unread.value = im.unread;
  tellList();
}

/** Ends it. @param {boolean} forget whether what is kept in this browser goes, too */
export function stopChat(forget) {
  const old = im;
  im = null;
  talks.clear();
  heard.clear();
  typing.value = new Map();
  unread.value = { unread: 0, mentions: 0 };
  chatState.value = { phase: 'loading' };
  void (forget ? old?.forget() : old?.stop())?.catch(() => undefined);
}

/** The conversations that are seen in the list hear of who types in them. @param {Im} of */
function hearTyping(of) {
  for (const { id } of of.conversations.all.slice(0, 200)) {
    if (heard.has(id)) continue;
    heard.add(id);
    of.conversation(id).on('typing', (who) => {
      if (who.length) typing.value.set(id, who);
      else typing.value.delete(id);
      typing.touch();
    });
  }
}

/** @param {import('/sdk/im.js').Change} gone */
function wasRemoved({ conversation = '', reason = '', title }) {
  const known = talks.get(conversation);
  const name = title ?? known?.title ?? '';
  talks.delete(conversation);
  if (reason === 'removed' || reason === 'banned') tell(t('im.gone.removed', { title: name }));
  else if (reason === 'dismissed') tell(t('im.gone.dismissed', { title: name }));
  if (route.value[0] === 'chat' && route.value[1] === conversation) go('chat');
}

/** What belongs to one conversation on this page. @param {string} id */
export function talkOf(id) {
  let talk = talks.get(id);
  if (!talk) {
    talk = new Talk(chat().conversation(id));
    if (talks.size >= TALKS_MAX) talks.delete(/** @type {string} */ (talks.keys().next().value));
  } else talks.delete(id);
  talk.title = talk.entry ? titleOf(talk.entry) : talk.title;
  talks.set(id, talk);
  return talk;
}

/** What somebody is called: as I call them, as they call themselves, or their account's name. @param {string} user */
export function nameOf(user) {
  if (user === '$server') return t('im.server');
  return im ? im.people.nameOf(user).replace(/^guest:/, '') : displayName(user);
}

/** What somebody is called, with oneself as “You”. @param {string} user */
export function nameOrYou(user) {
  return user === myName() ? t('im.you') : nameOf(user);
}

/** @param {Entry} entry */
export function titleOf(entry) {
  return entry.kind === 'direct' && entry.peer ? nameOf(entry.peer) : entry.title || t(entry.kind === 'channel' ? 'new.channel' : 'new.group');
}

/** What is known of somebody's being here; asked for where it is not. @param {string} user @returns {Presence | undefined} */
export function presenceOf(user) {
  return im?.people.presenceOf(user);
}

/** The dot of somebody: `on`, `away`, `busy` or nothing. @param {string} user */
export function dotOf(user) {
  const found = presenceOf(user);
  if (!found) return undefined;
  if (!found.online || found.show === 'invisible' || found.show === 'offline') return 'off';
  return found.show === 'away' || found.show === 'busy' ? found.show : 'on';
}

/** Whether a message is about me. @param {Entry} entry */
export function mentioned(entry) {
  return entry.mentions > 0;
}

/** Whether a conversation is silent now. @param {Entry} entry */
export function silent({ notify = 'all', notify_until: until }) {
  return notify === 'none' && (!until || until > Date.now());
}

/** Goes to the direct conversation with somebody. @param {string} user */
export async function writeTo(user) {
  const conversation = await chat().open(user);
  go('chat', conversation.id);
}
