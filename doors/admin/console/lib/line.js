// The page's one connection to the hub, by the JavaScript SDK. Everything else here speaks to the hub through this module.

import { YizhanError, connect } from '/sdk/yizhan.js';
import { deviceName } from './admin.js';
import { Cell } from './cell.js';
import { t } from './i18n.js';

/** @typedef {import('/sdk/yizhan.js').Client} Client */
/** @typedef {import('/sdk/yizhan.js').Receipt} Receipt */
/** @typedef {import('/sdk/yizhan.js').Present} Presence */
/** @typedef {import('/sdk/yizhan.js').TimeSample} TimeSample */
/** @typedef {import('/sdk/yizhan.js').HistoryOptions} HistoryOptions */
/** @typedef {import('/sdk/yizhan.js').StoredRecord & {missed?: number, state?: boolean}} LineRecord */
/** @typedef {{records: LineRecord[], more: boolean, missed: number}} Page */
/** @typedef {{end: () => void}} Listening */
/**
 * @typedef {{
 *   topic: string, text?: string, data?: unknown, bytes?: Uint8Array, content?: string, key?: string, mid?: string,
 *   headers?: {[name: string]: string}, expires?: number, durable?: 'memory' | 'disk', qos?: 0 | 1 | 2, delay?: number
 * }} Outgoing
 */
/** @typedef {{record: (record: LineRecord) => void, stateEnd?: () => void, missed?: (n: number) => void, failed?: (error: LineError) => void}} Listener */
/**
 * `off`: nobody is signed in. `waiting`: it will try again at `retryAt`. `refused`: the server will not have us.
 * @typedef {{phase: 'off' | 'connecting' | 'online' | 'waiting' | 'refused', since: number, retryAt?: number, reason?: string}} LineState
 */

/** Seconds between attempts to come back, at most: somebody is looking at this page. */
const BACKOFF_MAX = 8;
/** Seconds that the session outlives its connection. */
const KEEP = 300;
/** What the SDK says of requests that ended because the client was closed. */
const CLOSED = 900;

/** Why the hub did not do what was asked. */
export class LineError extends Error {
  /** @param {number} code @param {string} reason */
  constructor(code, reason) {
    super(reason);
    this.code = code;
  }
}

/** @param {unknown} error */
function lineError(error) {
  if (!(error instanceof YizhanError)) return new LineError(0, error instanceof Error ? error.message : String(error));
  if (error.code === 210) return new LineError(210, t('error.210'));
  return new LineError(error.code, `${error.reason} (${error.code})`);
}

/** @type {Client | null} */
let client = null;

/** @returns {Client} */
function there() {
  if (!client) throw new LineError(CLOSED, t('signin.ended'));
  return client;
}

/**
 * @template T
 * @param {(client: Client) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function by(work) {
  try {
    return await work(there());
  } catch (error) {
    throw error instanceof LineError ? error : lineError(error);
  }
}

export const line = {
  state: new Cell(/** @type {LineState} */ ({ phase: 'off', since: 0 })),
  /** The session's id; empty while there is none. */
  session: new Cell(''),
  /** Who the server says we are; empty until it has. */
  user: new Cell(''),
  /** How far the server's clock is ahead of this one's, and how long the way there and back takes. */
  clock: new Cell(/** @type {TimeSample | null} */ (null)),

  /**
   * Connects with a token, as a named guest, or as nobody.
   * @param {{token?: string | null, guest?: string | null}} as
   */
  start({ token, guest }) {
    const shown = token ? { token } : guest ? { user: guest, password: '' } : {};
    const made = connect(location.origin, {
      ...shown,
      device: deviceName(),
      keep: KEEP,
      backoff: { first: 0.4, max: BACKOFF_MAX },
    });
    client = made;
    line.state.value = { phase: 'connecting', since: Date.now() };
    made.on('status', ({ status, retryIn, error }) => {
      if (client !== made) return;
      const before = line.state.value;
      /** @type {LineState['phase']} */
      const phase = status === 'open' ? 'online' : status === 'closed' ? 'refused' : status;
      // The time since when it has not been there runs on through all attempts.
      const away = phase !== 'online' && before.phase !== 'online';
      line.state.value = {
        phase,
        since: away ? before.since : Date.now(),
        ...(retryIn !== undefined && { retryAt: Date.now() + retryIn * 1000 }),
        ...(error && { reason: lineError(error).message }),
      };
    });
    made.on('welcome', ({ session, user }) => {
      line.session.value = session;
      line.user.value = user ?? '';
    });
    made.on('time', (sample) => (line.clock.value = sample));
    made.ready.catch(() => undefined);
    // A page that goes for good says so; else its session would wait for it.
    addEventListener('pagehide', ({ persisted }) => persisted || made.close());
  },

  /** The SDK's client, for what has its own module there; `null` while nobody is signed in. */
  get client() {
    return client;
  },

  /** Waits for the first welcome. Fails where the server will not have us. */
  ready: () => by((of) => of.ready),

  stop() {
    const old = client;
    client = null;
    old?.close();
    line.session.value = '';
    line.user.value = '';
    line.clock.value = null;
    line.state.value = { phase: 'off', since: Date.now() };
  },

  /** Tries at once, instead of waiting for the next attempt: what the SDK does when the browser is online again. */
  retryNow() {
    dispatchEvent(new Event('online'));
  },

  /**
   * Hears a topic or filter until it is ended. `failed` is called where the server refuses.
   * @param {string} filter
   * @param {import('/sdk/yizhan.js').SubscribeOptions} options
   * @param {Listener} on
   * @returns {Listening}
   */
  subscribe(filter, options, on) {
    const subscription = there().subscribe(filter, options);
    subscription.on('record', on.record);
    if (on.stateEnd) subscription.on('state', on.stateEnd);
    if (on.missed) subscription.on('missed', ({ missed }) => on.missed?.(missed));
    subscription.on('end', (error) => {
      if (error && error.code !== CLOSED) on.failed?.(lineError(error));
    });
    return { end: () => subscription.unsubscribe() };
  },

  /** @param {Outgoing} message @returns {Promise<Receipt>} when it is as safe as the receipt says */
  publish({ topic, text, data, bytes, ...options }) {
    // The SDK sends a text as a text; a text that is meant as a JSON value is told apart by `data`.
    const body = bytes ?? text ?? (typeof data === 'string' ? Object(data) : data);
    return by((to) => to.publish(topic, body, options));
  },

  /** @param {string} topic @param {HistoryOptions} page @returns {Promise<Page>} */
  history: (topic, page) => by((of) => of.history(topic, page)),

  /** @param {string} filter @returns {Promise<LineRecord[]>} */
  stateOf: (filter) => by((of) => of.state(filter)),

  /** @param {string} topic @returns {Promise<Presence[]>} */
  presence: (topic) => by((of) => of.presence({ topic })),
};
