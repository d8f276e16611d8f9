// The broadcast in the hub: whether it is on air, who watches, what is said and given.

import { YizhanError, connect } from '/sdk/yizhan.js';
import { Cell } from './lib/dom.js';
import { settings } from './lib/settings.js';
import { t } from './lib/words.js';

/** @typedef {import('/sdk/yizhan.js').Client} Client */
/** @typedef {import('/sdk/yizhan.js').StoredRecord} StoredRecord */
/** @typedef {'roll' | 'top' | 'bottom'} Place */
/** @typedef {{who: string, role: '' | 'publisher' | 'admin', mine: boolean, text: string, colour: string, place: Place, at: number, old?: boolean}} Said */
/** @typedef {{who: string, mine: boolean, gift: string, count: number, text: string, at: number}} Given */
/** @typedef {{since?: number, lost?: boolean, rungs?: string[]}} OnAir */

/** What was said before somebody came, at most. */
const BEFORE = 40;
/** Characters of one message. */
export const TEXT_MAX = 200;
/** Seconds between attempts to come back, at most. */
const BACKOFF_MAX = 10;

/** @param {unknown} error */
function why(error) {
  if (error instanceof YizhanError) return error.reason || String(error.code);
  return error instanceof Error ? error.message : String(error);
}

export class Room {
  /** `undefined`: not known; `null`: not on air. @type {Cell<OnAir | null | undefined>} */ onAir = new Cell(/** @type {OnAir | null | undefined} */ (undefined));
  viewers = new Cell(/** @type {number | null} */ (null));
  title = new Cell('');
  phase = new Cell(/** @type {'connecting' | 'online' | 'waiting' | 'refused'} */ ('connecting'));
  /** Who one is, as the hub says. */ user = new Cell('');
  #topic;
  /** @type {Client | null} */ #client = null;
  /** @type {Set<(said: Said) => void>} */ #saidEars = new Set();
  /** @type {Set<(given: Given) => void>} */ #giftEars = new Set();
  /** @type {Set<(n: number) => void>} */ #missedEars = new Set();
  #seen = 0;

  #app;
  #name;
  #token;

  /** @param {string} app @param {string} name @param {string} token what one shows to be let in; empty: nothing */
  constructor(app, name, token) {
    this.#app = app;
    this.#name = name;
    this.#token = token;
    this.#topic = `live/${app}/${name}`;
    // Whoever signs in in another tab is signed in here, too.
    addEventListener('storage', ({ key }) => key === 'yizhan.token' && this.enter());
    addEventListener('pagehide', ({ persisted }) => persisted || this.#client?.close());
    addEventListener('pageshow', ({ persisted }) => persisted && this.enter());
  }

  /** @param {(said: Said) => void} ear */
  onSaid(ear) {
    this.#saidEars.add(ear);
  }

  /** @param {(given: Given) => void} ear */
  onGift(ear) {
    this.#giftEars.add(ear);
  }

  /** Told how many were lost on the way. @param {(n: number) => void} ear */
  onMissed(ear) {
    this.#missedEars.add(ear);
  }

  /** The server's time, ms since 1970. */
  serverTime = () => this.#client?.serverTime() ?? Date.now();

  /** Whether the hub knows one by name. */
  get isGuest() {
    const user = this.user.value;
    return !user || user === 'anonymous' || user.startsWith('guest:');
  }

  /** Connects: as who is signed in, as a guest with a name, or as nobody. */
  enter() {
    const token = localStorage.getItem('yizhan.token');
    this.#connect(token ? { token } : this.#guest());
  }

  #guest() {
    const guest = settings.guest.value;
    return guest ? { user: guest, password: '' } : {};
  }

  /** @param {{token?: string, user?: string, password?: string}} as */
  #connect(as) {
    this.#client?.close();
    const client = connect(location.origin, { ...as, keep: 30, backoff: { first: 0.4, max: BACKOFF_MAX } });
    this.#client = client;
    this.phase.value = 'connecting';
    let began = false;
    client.on('status', ({ status, error }) => {
      if (client !== this.#client) return;
      // The token is of yesterday: as a guest, one may watch and perhaps write.
      if (status === 'closed' && !began && as.token) this.#connect(this.#guest());
      // A name that is not taken: without one it may go.
      else if (status === 'closed' && !began && as.user) this.#connect({});
      else if (status === 'closed') this.phase.value = error ? 'refused' : 'waiting';
      else this.phase.value = status === 'open' ? 'online' : status;
    });
    client.on('welcome', ({ user }) => {
      if (client !== this.#client) return;
      this.user.value = user ?? '';
      void this.#ticket(client).then(() => {
        if (!began) this.#hear(client);
        began = true;
      });
    });
    client.ready.catch(() => undefined);
  }

  /** Shows the token that the page was opened with, so that the hub lets one hear, too. @param {Client} client */
  async #ticket(client) {
    if (!this.#token) return;
    await client.ask('live/enter', { app: this.#app, name: this.#name, token: this.#token }).catch(() => undefined);
  }

  /** @param {Client} client */
  #hear(client) {
    const mine = () => client === this.#client;
    const state = client.subscribe(this.#topic, { state: true });
    state.on('record', (record) => mine() && this.#takeState(record));
    // Where no record says so, it is not on air.
    state.on('state', () => mine() && this.onAir.value === undefined && (this.onAir.value = null));
    state.ready.catch(() => undefined);
    this.#hearChat(client, { last: BEFORE });
    const gifts = client.subscribe(`${this.#topic}/gifts`);
    gifts.on('record', (record) => mine() && this.#takeGift(record));
    gifts.ready.catch(() => undefined);
  }

  /** @param {Client} client @param {{last?: number}} from */
  #hearChat(client, from) {
    const chat = client.subscribe(`${this.#topic}/chat`, { ...from, noLocal: true });
    const began = Date.now();
    chat.on('record', (record) => {
      if (client !== this.#client) return;
      const said = this.#said(record);
      // After coming back, what was shown before is not shown again.
      if (!said || (record.at < this.#seen && from.last)) return;
      said.old = record.at < began - 5000;
      this.#seen = Math.max(this.#seen, record.at);
      for (const ear of this.#saidEars) ear(said);
    });
    chat.on('missed', ({ missed }) => {
      if (client === this.#client) for (const ear of this.#missedEars) ear(missed);
    });
    // A space that keeps nothing has no past to begin with.
    chat.ready.catch((error) => {
      if (client === this.#client && from.last && this.phase.value === 'online' && error.code !== 900) this.#hearChat(client, {});
    });
  }

  /** @param {StoredRecord} record */
  #takeState(record) {
    const gone = record.data === undefined && record.text === undefined;
    const value = record.data ?? record.text;
    if (record.key === 'on_air') {
      if (gone || value === null || value === false || value === 'false') this.onAir.value = null;
      else this.onAir.value = typeof value === 'object' ? value : {};
    } else if (record.key === 'viewers') {
      const n = Number(value);
      this.viewers.value = gone || !Number.isFinite(n) ? null : n;
    } else if (record.key === 'title') this.title.value = gone || value === null ? '' : String(typeof value === 'object' ? (value.title ?? '') : value);
  }

  /** @param {StoredRecord} record @returns {Said | null} */
  #said(record) {
    const data = record.data && typeof record.data === 'object' ? record.data : {};
    const text = record.text ?? (typeof record.data === 'string' ? record.data : data.text);
    if (typeof text !== 'string' || !text.trim()) return null;
    return {
      who: nameOf(typeof data.user === 'string' ? data.user : record.from),
      role: data.role === 'publisher' || data.role === 'admin' ? data.role : '',
      mine: false,
      text: text.replace(/\s+/g, ' ').trim().slice(0, TEXT_MAX),
      colour: /^#[0-9a-f]{6}$/i.test(data.color) ? data.color : '',
      place: data.mode === 'top' || data.mode === 'bottom' ? data.mode : 'roll',
      at: record.at,
    };
  }

  /** @param {StoredRecord} record */
  #takeGift(record) {
    const data = record.data && typeof record.data === 'object' ? record.data : { gift: record.text };
    if (typeof data.gift !== 'string' || !data.gift) return;
    const given = {
      who: nameOf(typeof data.user === 'string' ? data.user : record.from),
      mine: record.session !== undefined && record.session === this.#client?.session,
      gift: data.gift.slice(0, 40),
      count: Math.min(9999, Math.max(1, Math.floor(Number(data.count) || 1))),
      text: typeof data.text === 'string' ? data.text.slice(0, TEXT_MAX) : '',
      at: record.at,
    };
    for (const ear of this.#giftEars) ear(given);
  }

  /** Says something; it is shown at once, and marked where the hub does not take it. @param {string} text @param {Place} place @returns {Promise<void>} */
  async say(text, place = 'roll') {
    const colour = settings.colour.value;
    /** @type {Said} */
    const said = { who: nameOf(this.user.value), role: '', mine: true, text, colour, place, at: this.serverTime() };
    for (const ear of this.#saidEars) ear(said);
    try {
      if (!this.#client) throw new Error(t('chat.connecting'));
      await this.#client.publish(`${this.#topic}/chat`, { text, ...(colour && { color: colour }), ...(place !== 'roll' && { mode: place }) }, { expires: 15 });
    } catch (error) {
      throw new Error(why(error));
    }
  }

  /** @param {string} gift */
  async give(gift) {
    try {
      await this.#client?.publish(`${this.#topic}/gifts`, { gift, count: 1 }, { expires: 15 });
    } catch (error) {
      throw new Error(why(error));
    }
  }
}

/** What somebody is called on the page. @param {string | undefined} user */
export function nameOf(user) {
  if (!user || user === 'anonymous') return t('chat.guest');
  return user.replace(/^guest:/, '');
}
