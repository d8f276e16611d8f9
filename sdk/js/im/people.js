// @ts-check
/**
 * People: who they are, whether they are there, friends and blocks.
 *
 * @module yizhan/im/people
 */

import { Emitter } from '../yizhan.js';

/** @typedef {import('./types.js').Profile} Profile */
/** @typedef {import('./types.js').Presence} Presence */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {(name: string, data?: Record<string, any>, options?: {once?: boolean}) => Promise<any>} Ask */
/**
 * @typedef {object} PeopleEvents
 * @property {{users: string[]}} change Profiles or presence of these are new.
 * @property {Change} friends Something about friends: a request, an answer.
 */

/** In one question. */
const ASKED_MAX = 100;
/** How long a question waits for others, ms. */
const GATHER = 20;
/** A profile or presence that is older is asked for again when it is needed, ms. */
const FRESH = 300_000;

/** @extends {Emitter<PeopleEvents>} */
export class People extends Emitter {
  #ask;
  #save;
  /** @type {Map<string, Profile>} */
  #profiles = new Map();
  /** @type {Map<string, Presence>} */
  #presence = new Map();
  /** When they were asked for. @type {Map<string, number>} */
  #asked = new Map();
  /** @type {Set<string>} */
  #wanted = new Set();
  /** @type {Set<string>} */
  #wantedPresence = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Ask} ask @param {(profile: Profile) => void} save */
  constructor(ask, save) {
    super();
    this.#ask = ask;
    this.#save = save;
  }

  /**
   * What is known of somebody, at once. It is asked for where it is not known or old, and `change` tells.
   * @param {string} user @returns {Profile | undefined}
   */
  get(user) {
    this.#want(this.#wanted, `profile ${user}`, user);
    return this.#profiles.get(user);
  }

  /** What to call somebody: my remark, their name, or the account's. @param {string} user */
  nameOf(user) {
    const profile = this.get(user);
    return profile?.remark || profile?.name || user;
  }

  /** Whether somebody is there, as far as known; asked for as profiles are. @param {string} user @returns {Presence | undefined} */
  presenceOf(user) {
    this.#want(this.#wantedPresence, `presence ${user}`, user);
    return this.#presence.get(user);
  }

  /** Asks the server. @param {string[]} users @returns {Promise<Presence[]>} */
  async presence(users) {
    const { people = [] } = await this.#ask('presence', { users });
    this.#takePresence(people);
    return people;
  }

  /** Asks the server; without a name: mine. @param {string} [user] @returns {Promise<Profile>} */
  async profile(user) {
    const profile = await this.#ask('profile', { user });
    this.#takeProfiles([profile]);
    return profile;
  }

  /** Changes mine. @param {{name?: string, avatar?: string, about?: string, handle?: string, attributes?: Record<string, any>}} profile @returns {Promise<Profile>} */
  async setProfile(profile) {
    const answer = await this.#ask('set_profile', profile);
    if (answer?.user) this.#takeProfiles([answer]);
    return answer;
  }

  /** Somebody by their exact handle. @param {string} handle @returns {Promise<Profile>} */
  find(handle) {
    return this.#ask('find', { handle });
  }

  /** What others see of me. @param {{text?: string, emoji?: string, until?: number, show?: 'online' | 'away' | 'busy' | 'invisible'}} status */
  setStatus(status) {
    return this.#ask('status', status);
  }

  /** Who may see and do what. @param {{last_seen?: 'everyone' | 'friends' | 'nobody', messages?: 'everyone' | 'friends', groups?: 'everyone' | 'friends'}} privacy */
  setPrivacy(privacy) {
    return this.#ask('privacy', privacy);
  }

  /** When nothing should ring; without times: never. @param {{from?: string, until?: string, offset_min?: number}} [times] */
  setQuietHours(times = {}) {
    return this.#ask('dnd', times);
  }

  /** My friends, and requests that wait. @returns {Promise<any>} */
  friends() {
    return this.#ask('friends');
  }

  /** Asks somebody to be a friend. @param {string} user @param {string} [text] */
  befriend(user, text) {
    return this.#ask('befriend', { user, text });
  }

  /** Answers somebody who asked me. @param {string} user @param {boolean} accept */
  answerFriend(user, accept) {
    return this.#ask('befriended', { user, accept });
  }

  /** @param {string} user */
  unfriend(user) {
    return this.#ask('unfriend', { user });
  }

  /** What I call a friend, and the group that I sort them into. @param {string} user @param {{remark?: string, group?: string}} options */
  async remark(user, { remark, group }) {
    const answer = await this.#ask('remark', { user, remark, group });
    this.#asked.delete(`profile ${user}`);
    this.get(user);
    return answer;
  }

  /** @param {string} user */
  block(user) {
    return this.#ask('block', { user });
  }

  /** @param {string} user */
  unblock(user) {
    return this.#ask('unblock', { user });
  }

  /** Whom I have blocked. @returns {Promise<any>} */
  blocked() {
    return this.#ask('blocked');
  }

  /** @internal @param {Profile[]} profiles */
  restore(profiles) {
    for (const profile of profiles) this.#profiles.set(profile.user, profile);
  }

  /** Something of mine or of somebody whom I see. @internal @param {Change} change */
  hear(change) {
    if (change.event === 'presence') this.#takePresence([/** @type {any} */ (change)]);
    else if (change.event === 'friend') this.emit('friends', change);
    else if (change.event === 'profile' && change.user) this.#asked.delete(`profile ${change.user}`), this.get(change.user);
  }

  /** Presence may have changed while we were away. @internal */
  forgetPresence() {
    const users = [...this.#presence.keys()];
    for (const user of users) this.#asked.delete(`presence ${user}`);
    for (const user of users) this.presenceOf(user);
  }

  /** @internal */
  stop() {
    clearTimeout(this.#timer);
  }

  /** @param {Presence[]} people */
  #takePresence(people) {
    for (const { user, online, show, status, last_seen, platforms } of people) {
      this.#presence.set(user, { user, online, show, status, last_seen, platforms });
    }
    if (people.length > 0) this.emit('change', { users: people.map(({ user }) => user) });
  }

  /** @param {Profile[]} profiles */
  #takeProfiles(profiles) {
    for (const profile of profiles) {
      this.#profiles.set(profile.user, profile);
      this.#asked.set(`profile ${profile.user}`, Date.now());
      this.#save(profile);
    }
    if (profiles.length > 0) this.emit('change', { users: profiles.map(({ user }) => user) });
  }

  /** @param {Set<string>} wanted @param {string} key @param {string} user */
  #want(wanted, key, user) {
    if (Date.now() - (this.#asked.get(key) ?? 0) < FRESH) return;
    this.#asked.set(key, Date.now());
    wanted.add(user);
    this.#timer ??= setTimeout(() => this.#gather(), GATHER);
  }

  #gather() {
    this.#timer = undefined;
    for (const users of pages(this.#wanted)) {
      this.#ask('profiles', { users }).then(({ profiles = [] }) => this.#takeProfiles(profiles)).catch(() => this.#failed('profile', users));
    }
    for (const users of pages(this.#wantedPresence)) {
      this.presence(users).catch(() => this.#failed('presence', users));
    }
  }

  /** The next one who wants to know asks again. @param {string} what @param {string[]} users */
  #failed(what, users) {
    for (const user of users) this.#asked.delete(`${what} ${user}`);
  }
}

/** Empties a set, in parts that can be asked for at once. @param {Set<string>} wanted @returns {string[][]} */
function pages(wanted) {
  const all = [...wanted];
  wanted.clear();
  return Array.from({ length: Math.ceil(all.length / ASKED_MAX) }, (_, i) => all.slice(i * ASKED_MAX, (i + 1) * ASKED_MAX));
}
