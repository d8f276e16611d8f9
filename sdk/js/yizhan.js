// @ts-check
/**
 * The JavaScript client of Yizhan, for browsers and Node 20 and newer: one file, no dependencies.
 *
 * ```js
 * import { connect } from './yizhan.js';
 * const client = connect('http://localhost:8080', { token: 'yz_…' });
 * const room = client.subscribe('rooms/kitchen');
 * await client.publish('rooms/kitchen', 'hello');
 * for await (const record of room) console.log(record.from, record.text);
 * ```
 *
 * It speaks `yizhan.v1` (docs/reference/protocol.md) over WebSocket, Server-Sent Events or long-poll.
 * In reading order: types, numbers, errors, small parts, transports, the subscription, the client.
 *
 * @module yizhan
 */

// ---- Types ---------------------------------------------------------------------------------------------------------

/** Whether and when to try once more: a number is seconds. @typedef {'never' | 'soon' | number} Again */
/** @typedef {'websocket' | 'sse' | 'poll'} Transport */
/**
 * `connecting`: on the way, or saying hello. `open`: commands go out at once. `waiting`: will try again by itself.
 * `closed`: for good.
 * @typedef {'connecting' | 'open' | 'waiting' | 'closed'} Status
 */
/**
 * What `token` and `ticket` may be: a text, or a function that gets one. The function is called before the first
 * connection and again when the server says that the token has expired (`expired` is true then).
 * @typedef {string | ((why: {expired: boolean}) => string | Promise<string>)} Secret
 */

/**
 * @typedef {object} ConnectOptions
 * @property {Secret} [token] A personal or API token, or a JWT.
 * @property {Secret} [ticket] A one-time ticket. As a function it is called for every connection.
 * @property {string} [user] An account's name; with `password`. Only WebSocket can carry these two.
 * @property {string} [password]
 * @property {string} [device] A name for this device, at most 64 bytes.
 * @property {number} [keep] Seconds that the session outlives its connection. Default 120.
 * @property {'wifi' | 'cellular' | 'iot'} [network] Default: what `navigator.connection` says, else `wifi`.
 * @property {Will} [will] Published by the server when this session ends without `close()`. Only over WebSocket.
 * @property {Transport[]} [transports] Which to use, best first. Default: all that this platform has.
 * @property {{first?: number, max?: number}} [backoff] Seconds before the first new attempt (0.5), and at most (30).
 * @property {QueueOptions} [queue] What to do with publishes that are not answered yet.
 * @property {number} [timeout] Seconds until history, state, presence and time are given up. Default 30.
 * @property {number} [upgradeAfter] Seconds on a fall-back until WebSocket is tried again. Default 60, then longer.
 * @property {any} [WebSocket] A WebSocket class to use instead of the global one (Node 20: npm `ws`).
 * @property {any} [EventSource] An EventSource class, for platforms whose `fetch` cannot stream.
 * @property {typeof fetch} [fetch] Instead of the global one.
 * @property {() => number} [random] Instead of `Math.random`, for tests.
 */
/**
 * @typedef {object} QueueOptions
 * @property {number} [max] Publishes without an answer, offline or not. Default 10,000.
 * @property {'refuse' | 'drop-oldest'} [policy] What happens beyond that: the new one is refused (default), or the
 *   oldest one that was not sent yet is given up. Either way its promise is rejected with code 901.
 */
/** @typedef {PublishOptions & {topic: string, text?: string, data?: unknown, bin?: string}} Will */
/**
 * @typedef {object} PublishOptions
 * @property {string} [key] Makes it a keyed record: the newest one of each key is the topic's state.
 * @property {string} [mid] The message's own id, at most 128 bytes. Made up if left out, so that sending again is safe.
 * @property {Record<string, string>} [headers] Together at most 8 KiB.
 * @property {number} [expires] Seconds that it is worth delivering; counts from now, also while offline.
 * @property {'none' | 'memory' | 'disk'} [durable] Refuse (312) where the space promises less.
 * @property {string} [content] The media type of a text or of bytes.
 * @property {0 | 1 | 2} [qos] How surely MQTT clients get it, at most. Default 2: they decide.
 * @property {number} [delay] Seconds that it waits in the server before it is published; its receipt has no place then.
 */
/**
 * @typedef {object} Receipt
 * @property {number} [seq] Its number within the topic, in spaces that keep.
 * @property {string} [pos] Its position, in spaces that keep.
 * @property {number} at When the server took it, ms since 1970.
 * @property {'none' | 'memory' | 'disk'} durable How safe it is.
 * @property {boolean} duplicate It had been published before with the same `mid`.
 */
/**
 * A message with its place. Its body is one of `text`, `data`, `bin`, or empty.
 * @typedef {object} StoredRecord
 * @property {string} topic
 * @property {number} [seq] Its number within the topic: 1, 2, 3, …
 * @property {string} [pos] Its position in the journal.
 * @property {number} at When the server took it, ms since 1970.
 * @property {string} [from] Who published it.
 * @property {string} [device] On which device.
 * @property {string} [session] In which session.
 * @property {string} [text]
 * @property {any} [data]
 * @property {Uint8Array} [bin]
 * @property {string} [content]
 * @property {string} [key]
 * @property {Record<string, string>} [headers]
 * @property {number} [expires_at] ms since 1970.
 */
/**
 * What a subscription hands out.
 * @typedef {object} Delivered
 * @property {number} n Its number among this subscription's deliveries; counts anew where the session could not go on.
 * @property {number} missed How many were lost just before it: 0, a number, or −1 for "some, perhaps".
 * @property {boolean} state Whether it belongs to the state that came first.
 */
/** @typedef {StoredRecord & Delivered} DeliveredRecord */
/**
 * At most one of `after`, `seq` and `last`. Without any: from now on.
 * @typedef {object} SubscribeOptions
 * @property {string | string[]} [after] Begin after these positions, one per lane.
 * @property {number} [seq] Begin after this number of the one topic.
 * @property {number} [last] Begin with the newest so many of the one topic, at most 1,000.
 * @property {boolean} [state] First the newest record of each key.
 * @property {number} [window] Deliveries under way that were not handled, 1 to 10,000. Default 256. 0: no limit.
 * @property {boolean} [noLocal] Not what this client publishes itself.
 * @property {number} [buffer] Records that wait for a slow reader here; beyond it the oldest are dropped and
 *   counted as missed. Default 10,000; only reached with `window: 0`.
 */
/**
 * @typedef {object} HistoryOptions
 * @property {number} [before] Only those with a smaller `seq`.
 * @property {number} [after] Only those with a greater `seq`.
 * @property {number} [since] Only those since this time, ms.
 * @property {number} [limit] In one page: 1 to 1,000, default 50.
 */
/** @typedef {{records: StoredRecord[], more: boolean, missed: number}} Page Oldest first. */
/** @typedef {{user: string, device?: string, session: string, door: string, since: number}} Present */
/** @typedef {{offset: number, roundTrip: number}} TimeSample Both in ms. */
/** @typedef {{missed: number, n: number}} Missed `missed` is −1 where the number is not known. */
/**
 * @typedef {object} StatusEvent
 * @property {Status} status
 * @property {Transport} [transport] Which one is in use or being tried.
 * @property {number} [retryIn] While `waiting`: seconds until the next attempt.
 * @property {YizhanError} [error] Why the connection ended.
 */
/**
 * @typedef {object} Welcome
 * @property {string} session
 * @property {string} [user]
 * @property {string} [device]
 * @property {boolean} resumed
 * @property {number} [heartbeat]
 * @property {string} [server]
 * @property {number} [at]
 */
/**
 * @typedef {object} ClientEvents
 * @property {StatusEvent} status
 * @property {Welcome} welcome Connected, or connected again.
 * @property {Missed & {subscription: Subscription}} missed A subscription lost records.
 * @property {TimeSample} time The server's clock was read.
 * @property {YizhanError} error Something went wrong; the client goes on if it can.
 * @property {YizhanError | undefined} close The end, with the reason unless `close()` was called.
 */
/**
 * @typedef {object} SubscriptionEvents
 * @property {DeliveredRecord} record
 * @property {Missed} missed
 * @property {Subscription} state The state is complete.
 * @property {Subscription} subscribed The server has it. Comes again where the session was lost.
 * @property {YizhanError | undefined} end
 */

/** One JSON object from or to the server. @typedef {Record<string, any>} Frame */
/**
 * Why a link ended. `told`: a server of ours said so. `network`: another transport would end the same way.
 * @typedef {{code: number, reason?: string, again?: unknown, told?: boolean, network?: boolean}} End
 */
/**
 * What a transport needs to know.
 * @typedef {object} At
 * @property {string} base `http://host:port/path`, no slash at its end.
 * @property {{token?: string, ticket?: string}} shown
 * @property {{device?: string, network: string}} about What a hello would say.
 * @property {{place: string, session: string, secret: string} | undefined} resume Of the same transport only.
 * @property {any} WebSocket
 * @property {any} EventSource
 * @property {typeof fetch} fetch
 */
/**
 * What a transport tells. Nothing comes after `ended`, and nothing at all after the link was closed from here.
 * @typedef {object} LinkEvents
 * @property {() => void} opened Commands can be sent (`greets`), or the server greets by itself.
 * @property {(text: string) => void} text A frame.
 * @property {() => void} heard The server is alive.
 * @property {(end: End) => void} ended
 */
/**
 * @typedef {object} Link
 * @property {Transport} transport
 * @property {boolean} greets Whether `hello` has to be said.
 * @property {boolean} audible Whether silence means that the connection is dead.
 * @property {(text: string) => void} send
 * @property {(session: string, secret: string) => void} admit Who we are, for commands beside the stream.
 * @property {() => string | undefined} place Where to go on with this transport.
 * @property {(last?: string) => void} close Perhaps with a last frame.
 */

// ---- Numbers -------------------------------------------------------------------------------------------------------

const CLIENT_NAME = 'yizhan-js/0.1.0';
/** From the start of an attempt to `welcome`, ms. */
const WELCOME_WITHIN = 10_000;
/** How long the answer to a question about the network may take, ms. */
const ANSWER_WITHIN = 5_000;
/** A connection that lasted so long counts as a good one: the back-off begins anew, ms. */
const STABLE_AFTER = 10_000;
/** How long the server waits for news in one poll, s. */
const POLL_WAIT = 25;
const UPGRADE_AFTER_MAX = 900;
/** Longer than that we do not believe a server that says when to come back, s. */
const AGAIN_MAX = 3_600;
const WINDOW = 256;
const BUFFER_MAX = 10_000;
const QUEUE_MAX = 10_000;
/** What a frame may have until the server says its own limit, bytes. */
const FRAME_BYTES_MAX = 1_048_576;
/** An event that a stream never ends, in characters. */
const SSE_EVENT_MAX = 16_777_216;
const TIME_SAMPLES = 4;
const TIME_EVERY = 900_000;

// ---- Errors --------------------------------------------------------------------------------------------------------

/** Codes that this client gives itself; all others are the protocol's error and close codes. */
export const CODES = Object.freeze({
  /** The client was closed, or the connection ended before an answer came. */
  CLOSED: 900,
  /** Too many publishes wait for an answer. */
  QUEUE_FULL: 901,
  /** The message expired before it could be sent. */
  EXPIRED: 902,
  /** No answer in time. */
  TIMEOUT: 903,
  /** No connection could be made. */
  UNREACHABLE: 904,
  /** The command is larger than the frame that the server takes. */
  TOO_LARGE: 114,
});

/** Something was refused, or could not be done. */
export class YizhanError extends Error {
  /** @param {number} code @param {string} reason @param {Again} [again] */
  constructor(code, reason, again = 'never') {
    super(`${reason} (${code})`);
    this.name = 'YizhanError';
    /** An error or close code of the protocol, or one of `CODES`. */
    this.code = code;
    this.reason = reason;
    /** Whether and when to try again: `never`, `soon`, or a number of seconds. */
    this.again = again;
  }
}

/** Close codes that say something else than `soon`. @type {Map<number, Again>} */
const CLOSE_AGAIN = new Map(/** @type {[number, Again][]} */ ([
  [1002, 'never'], [1003, 'never'], [1007, 'never'], [1009, 'never'], [1011, 5],
  [4003, 'never'], [4004, 'never'], [4009, 'never'], [4029, 10], [4030, 'never'],
]));

/** What `again` says; where it says nothing sensible: `otherwise`. @param {unknown} again @param {Again} otherwise @returns {Again} */
function readAgain(again, otherwise) {
  if (typeof again === 'number' && again >= 0) return Math.min(again, AGAIN_MAX);
  return again === 'never' || again === 'soon' ? again : otherwise;
}

/** @param {Frame} event @param {Again} otherwise */
function readError(event, otherwise) {
  const code = Number.isInteger(event.code) ? event.code : 519;
  return new YizhanError(code, typeof event.reason === 'string' ? event.reason : 'no reason given', readAgain(event.again, otherwise));
}

// ---- Small parts ---------------------------------------------------------------------------------------------------

/** Milliseconds since 1970 that never jump. */
const now = () => performance.timeOrigin + performance.now();

/**
 * One exchange of four times: the client's when it asked and when the answer came, the server's in between
 * (RFC 5905 §8). All in ms.
 * @param {number} t1 @param {number} t2 @param {number} t3 @param {number} t4 @returns {TimeSample}
 */
export function timeSample(t1, t2, t3, t4) {
  return { offset: (t2 - t1 + (t3 - t4)) / 2, roundTrip: t4 - t1 - (t3 - t2) };
}

/** The sample that went round quickest, so the one with the least error. @param {TimeSample[]} samples */
export function bestSample(samples) {
  return samples.reduce((best, sample) => (sample.roundTrip < best.roundTrip ? sample : best));
}

/**
 * Seconds to wait before an attempt: doubling, at most `max`, and never two clients alike. A number of seconds in
 * `again` comes on top, so that it is never undercut.
 * @param {number} attempt 0, 1, 2, …  @param {Again} again  @param {{first: number, max: number}} bounds
 * @param {() => number} random
 */
export function backoff(attempt, again, bounds, random) {
  const top = Math.min(bounds.max, bounds.first * 2 ** Math.min(attempt, 30));
  return top / 2 + (random() * top) / 2 + (typeof again === 'number' ? again : 0);
}

/** A position's lane without its epoch, and what orders positions within it. @param {unknown} pos */
function readPosition(pos) {
  const parts = typeof pos === 'string' ? pos.split('.') : [];
  if (parts.length !== 4 || parts.some((part) => !/^[0-9a-f]{1,16}$/.test(part))) return undefined;
  const [epoch, offset] = [parts[2], parts[3]].map((part) => part.padStart(16, '0'));
  return { lane: `${parts[0]}.${parts[1]}`, epoch, offset };
}

/** Whether `pos` lies behind `than` in the same lane. An epoch that changed makes it so. @param {string} pos @param {string | undefined} than */
function isAfter(pos, than) {
  const [a, b] = [readPosition(pos), readPosition(than)];
  return !!a && (!b || a.epoch !== b.epoch || a.offset > b.offset);
}

/** @param {Uint8Array} bytes */
function toBase64(bytes) {
  let text = '';
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}

/** @param {unknown} text */
function fromBase64(text) {
  try {
    return Uint8Array.from(atob(String(text)), (char) => char.charCodeAt(0));
  } catch {
    return new Uint8Array(0);
  }
}

/** @param {unknown} raw @returns {StoredRecord | undefined} */
function readRecord(raw) {
  if (typeof raw !== 'object' || raw === null || typeof (/** @type {Frame} */ (raw).topic) !== 'string') return undefined;
  const record = { .../** @type {Frame} */ (raw) };
  if ('bin' in record) record.bin = fromBase64(record.bin);
  return /** @type {StoredRecord} */ (/** @type {unknown} */ (record));
}

/** @param {unknown} raw */
const readRecords = (raw) => (Array.isArray(raw) ? raw.map(readRecord).filter((record) => record !== undefined) : []);

/** A body's fields in a command: text as text, bytes as bytes, `undefined` as nothing, all else as JSON. @param {unknown} body */
function writeBody(body) {
  if (body === undefined) return {};
  if (typeof body === 'string') return { text: body };
  if (body instanceof ArrayBuffer) return { bin: toBase64(new Uint8Array(body)) };
  if (ArrayBuffer.isView(body)) return { bin: toBase64(new Uint8Array(body.buffer, body.byteOffset, body.byteLength)) };
  return { data: body };
}

/** @param {string} text */
const utf8Length = (text) => new TextEncoder().encode(text).length;

/** Letters that nobody else has. */
function randomName() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(36).padStart(2, '0')).join('');
}

/** Tells the platform about an error in a listener, without stopping here. @param {unknown} error */
function report(error) {
  if (typeof globalThis.reportError === 'function') return globalThis.reportError(error);
  setTimeout(() => {
    throw error;
  });
}

/** @param {any} value */
const isEmpty = (value) => value === undefined || value === null;

/**
 * Something with events. A listener that throws does not disturb the others.
 * @template E
 */
export class Emitter {
  /** @type {Map<keyof E, Set<(event: any) => void>>} */
  #listeners = new Map();

  /**
   * Calls `listener` at each such event, until the function that is returned is called.
   * @template {keyof E} K
   * @param {K} name @param {(event: E[K]) => void} listener @returns {() => void}
   */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => this.off(name, listener);
  }

  /** @template {keyof E} K @param {K} name @param {(event: E[K]) => void} listener */
  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  /** @template {keyof E} K @param {K} name */
  listens(name) {
    return (this.#listeners.get(name)?.size ?? 0) > 0;
  }

  /** Calls the listeners. @template {keyof E} K @param {K} name @param {E[K]} event */
  emit(name, event) {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        listener(event);
      } catch (error) {
        report(error);
      }
    }
  }
}

// ---- Transports ----------------------------------------------------------------------------------------------------

/** @param {At} at @param {LinkEvents} on @returns {Link} */
function openWebSocket(at, on) {
  let over = false;
  const socket = new at.WebSocket(`${at.base.replace(/^http/, 'ws')}/v1/socket`, ['yizhan.v1.json']);
  socket.onopen = () => over || on.opened();
  socket.onmessage = (/** @type {{data: unknown}} */ { data }) => over || on.text(typeof data === 'string' ? data : '');
  socket.onerror = () => {}; // `onclose` follows and says more.
  socket.onclose = (/** @type {{code: number, reason: string}} */ { code, reason }) => {
    if (!over) on.ended({ code, reason });
    over = true;
  };
  return {
    transport: 'websocket',
    greets: true,
    audible: true,
    send: (text) => socket.send(text),
    admit: () => {},
    place: () => undefined,
    close(last) {
      over = true;
      if (last !== undefined && socket.readyState === 1) socket.send(last);
      socket.close(1000);
    },
  };
}

/**
 * Carries commands by `POST /v1/send`: one request at a time, so that their order holds.
 * @param {At} at @param {LinkEvents} on @param {AbortSignal} signal
 */
function postCommands(at, on, signal) {
  /** @type {string[]} */
  const waiting = [];
  let busy = false;
  let authorization = '';

  /** @param {string} body @param {boolean} [last] */
  const post = (body, last) =>
    at.fetch(`${at.base}/v1/send`, {
      method: 'POST', body, keepalive: last, cache: 'no-store', signal: last ? null : signal,
      headers: { 'Content-Type': 'application/json', Authorization: authorization },
    });

  async function run() {
    busy = true;
    while (waiting.length > 0 && !signal.aborted) {
      const response = await post(waiting[0]);
      const text = await response.text();
      if (response.status === 429) {
        const seconds = Math.min(Number(response.headers.get('Retry-After')) || 1, AGAIN_MAX);
        await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
        continue; // None of it was done.
      }
      if (!response.ok) return on.ended(httpEnd(response.status, text));
      waiting.shift();
      if (text !== '' && text !== '[]') on.text(text);
    }
    busy = false;
  }

  return {
    /** @param {string} session @param {string} secret */
    admit: (session, secret) => void (authorization = `Session ${session}:${secret}`),
    /** @param {string} text */
    send(text) {
      waiting.push(text);
      if (!busy) run().catch((error) => on.ended({ code: CODES.UNREACHABLE, reason: String(error), network: true }));
    },
    /** @param {string} [text] */
    last: (text) => void (text !== undefined && authorization !== '' && post(text, true).catch(() => {})),
  };
}

/** What an HTTP answer that is no success means. @param {number} status @param {string} text @returns {End} */
function httpEnd(status, text) {
  /** @type {any} */
  let error;
  try {
    error = JSON.parse(text);
    if (Array.isArray(error)) error = error[0];
  } catch {
    // A proxy's page. The status has to be enough.
  }
  if (typeof error === 'object' && error !== null && Number.isInteger(error.code)) return { ...error, told: true };
  return { code: status, reason: `HTTP ${status}`, again: status === 401 || status === 403 ? 'never' : 'soon' };
}

/** Guards a transport's events: nothing after the end. @param {LinkEvents} on @param {AbortController} abort @returns {LinkEvents} */
function untilAborted(on, abort) {
  const { signal } = abort;
  return {
    opened: () => signal.aborted || on.opened(),
    text: (text) => signal.aborted || on.text(text),
    heard: () => signal.aborted || on.heard(),
    ended(end) {
      if (signal.aborted) return;
      abort.abort();
      on.ended(end);
    },
  };
}

/** @param {At} at @returns {Record<string, string>} */
const bearer = ({ shown }) => (shown.token ? { Authorization: `Bearer ${shown.token}` } : {});

/** @param {At} at @param {Record<string, string | undefined>} more */
function query(at, more) {
  const entries = Object.entries({ ticket: at.shown.ticket, ...at.about, ...more }).filter(([, value]) => !isEmpty(value));
  return entries.length > 0 ? `?${new URLSearchParams(/** @type {[string, string][]} */ (entries))}` : '';
}

/**
 * Takes a stream of Server-Sent Events apart, however it was cut (HTML Living Standard, 9.2.6).
 * @param {(data: string, id: string | undefined) => void} onEvent @param {() => void} onTooLong
 */
function sseParser(onEvent, onTooLong) {
  let rest = '';
  let data = '';
  /** @type {string | undefined} */
  let id;
  /** @param {string} text */
  return (text) => {
    rest += text;
    // A `\r` at the end may be half of a line's end: it waits for what follows.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (line === '') {
        if (data !== '') onEvent(data.slice(0, -1), id);
        data = '';
      } else if (field === 'data') data += `${value}\n`;
      else if (field === 'id' && !value.includes('\0')) id = value;
    }
    if (rest.length + data.length > SSE_EVENT_MAX) onTooLong();
  };
}

/** @param {At} at @param {LinkEvents} events @returns {Link} */
function openSse(at, events) {
  const abort = new AbortController();
  const on = untilAborted(events, abort);
  const commands = postCommands(at, on, abort.signal);
  let place = at.resume?.place;

  async function run() {
    const response = await at.fetch(`${at.base}/v1/sse${query(at, { last_event_id: place })}`, {
      headers: { Accept: 'text/event-stream', ...bearer(at) }, cache: 'no-store', signal: abort.signal,
    });
    if (!response.ok) return on.ended(httpEnd(response.status, await response.text()));
    if (!response.body || !response.headers.get('Content-Type')?.startsWith('text/event-stream')) {
      return on.ended({ code: CODES.UNREACHABLE, reason: 'the answer is no event stream' });
    }
    on.opened();
    const parse = sseParser((data, id) => {
      place = id ?? place;
      on.text(data);
    }, () => on.ended({ code: 1009, reason: 'an event is too long', again: 'soon' }));
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return on.ended({ code: 1006, reason: 'the stream ended', network: true });
      on.heard();
      parse(decoder.decode(value, { stream: true }));
    }
  }
  run().catch((error) => on.ended({ code: CODES.UNREACHABLE, reason: String(error), network: true }));

  return {
    transport: 'sse', greets: false, audible: true,
    send: commands.send, admit: commands.admit, place: () => place,
    close(last) {
      commands.last(last);
      abort.abort();
    },
  };
}

/** With the platform's EventSource. It cannot send headers, so a token is changed into a ticket first. @param {At} at @param {LinkEvents} events @returns {Link} */
function openEventSource(at, events) {
  const abort = new AbortController();
  const on = untilAborted(events, abort);
  const commands = postCommands(at, on, abort.signal);
  let place = at.resume?.place;
  /** @type {any} */
  let source;

  async function run() {
    let { ticket } = at.shown;
    if (at.shown.token) {
      const response = await at.fetch(`${at.base}/v1/ticket`, { method: 'POST', headers: bearer(at), signal: abort.signal });
      const text = await response.text();
      if (!response.ok) return on.ended(httpEnd(response.status, text));
      ticket = JSON.parse(text).ticket;
    }
    if (abort.signal.aborted) return;
    source = new at.EventSource(`${at.base}/v1/sse${query(at, { ticket, last_event_id: place })}`);
    source.onopen = () => on.opened();
    source.onmessage = (/** @type {{data: string, lastEventId: string}} */ { data, lastEventId }) => {
      place = lastEventId || place;
      on.heard();
      on.text(data);
    };
    // It would try again by itself, but with the old ticket and its own idea of when.
    source.onerror = () => {
      source.close();
      on.ended({ code: 1006, reason: 'the stream ended' });
    };
  }
  run().catch((error) => on.ended({ code: CODES.UNREACHABLE, reason: String(error), network: true }));

  return {
    transport: 'sse', greets: false, audible: false, // Comments are not heard here.
    send: commands.send, admit: commands.admit, place: () => place,
    close(last) {
      commands.last(last);
      abort.abort();
      source?.close();
    },
  };
}

/** @param {At} at @param {LinkEvents} events @returns {Link} */
function openPoll(at, events) {
  const abort = new AbortController();
  const on = untilAborted(events, abort);
  const commands = postCommands(at, on, abort.signal);
  let place = at.resume?.place;
  let authorization = at.resume ? `Session ${at.resume.session}:${at.resume.secret}` : '';
  if (at.resume) commands.admit(at.resume.session, at.resume.secret);

  async function run() {
    let opened = false;
    while (!abort.signal.aborted) {
      const begins = authorization === '';
      // The first one only asks whether the session is still there.
      const wait = opened ? POLL_WAIT : 0;
      const url = `${at.base}/v1/poll${begins ? query(at, {}) : `?wait=${wait}&ack=${place ?? '0'}`}`;
      const giveUp = setTimeout(() => on.ended({ code: 4008, reason: 'no answer', network: true }), POLL_WAIT * 1000 + WELCOME_WITHIN);
      const response = await at.fetch(url, {
        headers: begins ? bearer(at) : { Authorization: authorization }, cache: 'no-store', signal: abort.signal,
      }).finally(() => clearTimeout(giveUp));
      const text = await response.text();
      if (!response.ok) return on.ended(httpEnd(response.status, text));
      if (!opened) on.opened();
      // A session that goes on is not greeted again.
      if (!opened && at.resume) on.text(JSON.stringify({ type: 'welcome', resumed: true, ...at.resume }));
      opened = true;
      on.heard();
      place = response.headers.get('Yizhan-Poll') ?? place;
      if (text !== '' && text !== '[]') on.text(text);
      if (begins && authorization === '') return on.ended({ code: CODES.UNREACHABLE, reason: 'the first poll brought no welcome' });
    }
  }
  run().catch((error) => on.ended({ code: CODES.UNREACHABLE, reason: String(error), network: true }));

  return {
    transport: 'poll', greets: false, audible: false,
    send: commands.send, place: () => place,
    admit(session, secret) {
      authorization = `Session ${session}:${secret}`;
      commands.admit(session, secret);
    },
    close(last) {
      commands.last(last);
      abort.abort();
    },
  };
}

// ---- Subscription --------------------------------------------------------------------------------------------------

/** A record that waits, and by which of the subscription's beginnings its number counts. @typedef {{record: DeliveredRecord, round: number}} Item */
/**
 * What a subscription needs from the client, and the client from it.
 * @typedef {{handle: (item: Item) => void, drop: () => void}} Outside
 * @typedef {{hand: (item: Item) => void, lose: (missed: number, n: number) => void, begun: () => void,
 *   stateEnded: () => void, end: (error?: YizhanError) => void}} Inside
 */

/**
 * Records of a topic or filter, as an async iterator or as events, made by {@link Client.subscribe}.
 *
 * Records wait here until somebody takes them. With the iterator, a record counts as handled when the next one is
 * asked for; with a listener, when it returns. A client that handles slowly gets no more than `window` ahead.
 * Leaving the loop unsubscribes.
 *
 * @extends {Emitter<SubscriptionEvents>}
 */
export class Subscription extends Emitter {
  #buffer;
  #outside;
  /** @type {Item[]} */
  #queue = [];
  /** @type {{resolve: (item: Item | undefined) => void, reject: (error: unknown) => void}[]} */
  #takers = [];
  #iterated = false;
  #ended = false;
  /** @type {YizhanError | undefined} */
  #failure;
  /** @type {() => void} */
  #makeReady = () => {};
  /** @type {(error: YizhanError) => void} */
  #breakReady = () => {};

  /** @param {string} filter @param {number} buffer @param {(inside: Inside) => Outside} attach */
  constructor(filter, buffer, attach) {
    super();
    /** The topic or filter. */
    this.filter = filter;
    /** How many records were lost in all; a loss of unknown number counts as one. */
    this.lost = 0;
    /** Settled when the server has it the first time, or refuses it. @type {Promise<void>} */
    this.ready = new Promise((resolve, reject) => {
      this.#makeReady = resolve;
      this.#breakReady = reject;
    });
    this.ready.catch(() => {});
    this.#buffer = buffer;
    this.#outside = attach({
      hand: (item) => this.#hand(item),
      lose: (missed, n) => this.#lose(missed, n),
      begun: () => {
        this.#makeReady();
        this.emit('subscribed', this);
      },
      stateEnded: () => this.emit('state', this),
      end: (error) => this.#end(error),
    });
  }

  /** Ends it: loops end, nothing more comes, what waits is forgotten. */
  unsubscribe() {
    this.#queue = [];
    if (this.#ended) return;
    this.#outside.drop();
    this.#end();
  }

  /**
   * Calls `listener` at each such event, until the function that is returned is called. The first listener to
   * `record` gets what has waited.
   * @template {keyof SubscriptionEvents} K
   * @param {K} name @param {(event: SubscriptionEvents[K]) => void} listener @returns {() => void}
   */
  on(name, listener) {
    const off = super.on(name, listener);
    if (name === 'record' && !this.#iterated) for (const item of this.#queue.splice(0)) this.#tell(item);
    return off;
  }

  /** @returns {AsyncIterableIterator<DeliveredRecord, undefined>} */
  [Symbol.asyncIterator]() {
    this.#iterated = true;
    /** @type {Item | undefined} */
    let taken;
    /** @returns {Promise<Item | undefined>} */
    const take = () => {
      if (taken) this.#outside.handle(taken);
      const item = this.#queue.shift();
      if (item || (this.#ended && !this.#failure)) return Promise.resolve(item);
      if (this.#failure) return Promise.reject(this.#failure);
      return new Promise((resolve, reject) => this.#takers.push({ resolve, reject }));
    };
    return {
      next: async () => {
        taken = await take();
        return taken ? { value: taken.record, done: false } : { value: undefined, done: true };
      },
      return: async () => {
        this.unsubscribe();
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  /** @param {Item} item */
  #hand(item) {
    if (this.#ended) return;
    if (!this.#iterated && this.listens('record')) return this.#tell(item);
    this.emit('record', item.record);
    const taker = this.#takers.shift();
    if (taker) return taker.resolve(item);
    this.#queue.push(item);
    if (this.#queue.length > this.#buffer) this.#overflow();
  }

  /** @param {Item} item */
  #tell(item) {
    this.emit('record', item.record);
    this.#outside.handle(item);
  }

  /** Drops the oldest, and says so at the next one. */
  #overflow() {
    const dropped = /** @type {Item} */ (this.#queue.shift()).record;
    const oldest = this.#queue[0]?.record;
    if (oldest) oldest.missed = Math.min(dropped.missed, oldest.missed) < 0 ? -1 : dropped.missed + oldest.missed + 1;
    this.#lose(1, dropped.n);
  }

  /** @param {number} missed @param {number} n */
  #lose(missed, n) {
    this.lost += Math.max(missed, 1);
    this.emit('missed', { missed, n });
  }

  /** @param {YizhanError} [error] */
  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = error;
    this.#breakReady(error ?? new YizhanError(CODES.CLOSED, 'unsubscribed'));
    for (const taker of this.#takers.splice(0)) {
      if (error) taker.reject(error);
      else taker.resolve(undefined);
    }
    this.emit('end', error);
  }
}

/** Where a subscription stands on the wire: which numbers and positions it has, and what is new to it. */
class Track {
  #options;
  #ack;
  /** @type {Inside | undefined} */
  #inside;
  /** Whether the server has it. */
  confirmed = false;
  /** The last delivery's number, lost ones included. */
  #n = 0;
  /** Whether the next number is not known. */
  #loose = false;
  /** Losses that were told before their numbers were seen. */
  #told = 0;
  /** Losses since the record before. */
  #missed = 0;
  /** Numbers begin anew with each of these. */
  #round = 0;
  /** The numbers up to here were handled, and up to there the server knows. */
  #handled = 0;
  #acked = 0;
  /** The last position in each lane. @type {Map<string, string>} */
  #lanes = new Map();
  /** The newest positions when it began; where it begins with a number they say nothing. @type {unknown[]} */
  #heads = [];
  #inState = false;
  /** Whether some of it lies in a space that keeps nothing. */
  #unkept = false;
  /** Whether its place was lost, so that it goes on from now. */
  #gap = false;
  /** Whether something was handed out, or the place where it begins is known. */
  #begun = false;

  /**
   * @param {number} id @param {string} filter @param {SubscribeOptions} options
   * @param {(n: number) => void} ack @param {() => void} drop
   */
  constructor(id, filter, options, ack, drop) {
    this.id = id;
    this.#options = options;
    this.#ack = ack;
    this.subscription = new Subscription(filter, options.buffer ?? BUFFER_MAX, (inside) => {
      this.#inside = inside;
      return { handle: (item) => this.#handle(item), drop };
    });
  }

  /** The command that begins it, or goes on where a lost session stood. @returns {Frame} */
  command() {
    const { state, window = WINDOW, noLocal, after, seq, last } = this.#options;
    const begin = !this.#begun ? { after, seq, last } : this.#lanes.size > 0 ? { after: [...this.#lanes.values()] } : {};
    return {
      type: 'subscribe', sub: this.id, filter: this.subscription.filter, ...begin, state: state || undefined,
      window: window || undefined, no_local: noLocal || undefined,
    };
  }

  /** What a resumed session needs to know. @returns {Frame} */
  have() {
    const pos = [...this.#lanes.values()];
    return { sub: this.id, n: this.#loose ? undefined : this.#n, pos: pos.length > 0 ? pos : undefined };
  }

  /** The server has it (anew). @param {Frame} answer */
  begin(answer) {
    const { state, after, seq, last } = this.#options;
    const goesOn = this.#begun;
    this.#round += 1;
    this.#n = this.#handled = this.#acked = this.#told = 0;
    this.#loose = false;
    this.#inState = state === true;
    this.#heads = Array.isArray(answer.pos) ? answer.pos : [];
    if (this.#heads.length === 0) this.#unkept = true;
    // From a number or with the newest few: only records say where we are. Else from what was asked, or from here.
    if (!goesOn && (!isEmpty(seq) || !isEmpty(last))) this.#heads = [];
    else this.#begun ||= !this.#inState;
    if (!goesOn && !isEmpty(after)) [after].flat().forEach((pos) => this.#move(pos));
    if (!this.#inState) this.#addHeads();
    this.confirmed = true;
    // Nobody kept for us what an unkept space brought meanwhile.
    if (goesOn && (this.#unkept || this.#gap)) this.#lose(-1, 1);
    else if (Number.isInteger(answer.missed) && answer.missed !== 0) this.#lose(answer.missed, 1);
    this.#gap = false;
    this.#inside?.begun();
  }

  /** The session went on; `missed` is what the subscription lost meanwhile. @param {unknown} missed */
  resume(missed) {
    const isNew = !this.confirmed;
    this.confirmed = true;
    if (Number.isSafeInteger(missed) && missed !== 0) {
      if (Number(missed) < 0) this.#loose = true;
      else this.#told += Number(missed);
      this.#lose(Number(missed), this.#n + 1);
    }
    // The last ack may have gone into a connection that was dead already.
    if (this.#acked > 0) this.#ack((this.#acked = this.#handled));
    if (isNew) this.#inside?.begun();
  }

  /** Its place is not known to the server (any more): the next `command()` begins from now. Whether it had one. */
  losePlace() {
    const had = this.#lanes.size > 0;
    this.#lanes.clear();
    this.#begun = true;
    this.#gap = true;
    return had;
  }

  /** @param {unknown} first The first one's number. @param {unknown[]} records */
  take(first, records) {
    if (!Number.isSafeInteger(first)) return;
    records.forEach((raw, i) => {
      const n = Number(first) + i;
      const record = readRecord(raw);
      const isNew = this.#loose || n > this.#n || (record?.pos !== undefined && this.#isBeyond(record.pos));
      if (!record || !isNew) return;
      if (!this.#loose && n > this.#n + 1) this.#skip(n - this.#n - 1);
      this.#loose = false;
      this.#told = 0;
      this.#n = n;
      this.#begun ||= !this.#inState;
      if (record.pos === undefined) this.#unkept = true;
      else if (!this.#inState) this.#move(record.pos);
      const missed = this.#missed;
      this.#missed = 0;
      this.#inside?.hand({ record: { ...record, n, missed, state: this.#inState }, round: this.#round });
    });
  }

  /** @param {Frame} event */
  miss({ n, missed }) {
    if (!Number.isSafeInteger(missed) || missed === 0) return;
    if (missed < 0) {
      if (!this.#loose) this.#lose(-1, this.#n + 1);
      this.#loose = true;
      return;
    }
    const through = (Number.isSafeInteger(n) ? n : this.#n + 1) + missed - 1;
    if (through <= this.#n && !this.#loose) return;
    this.#skip(this.#loose ? missed : through - this.#n);
    this.#n = through;
    this.#loose = false;
  }

  /** The state is complete. */
  endState() {
    if (!this.#inState) return;
    this.#inState = false;
    this.#addHeads();
    this.#begun = true;
    this.#inside?.stateEnded();
  }

  /** @param {YizhanError} [error] */
  end(error) {
    this.#inside?.end(error);
  }

  /** @param {Item} item */
  #handle({ record: { n }, round }) {
    if (round !== this.#round || n <= this.#handled) return;
    this.#handled = n;
    const window = this.#options.window ?? WINDOW;
    if (window === 0 || n - this.#acked < Math.ceil(window / 4)) return;
    this.#acked = n;
    this.#ack(n);
  }

  /** Numbers were left out. @param {number} count */
  #skip(count) {
    const fresh = Math.max(0, count - this.#told);
    this.#told = Math.max(0, this.#told - count);
    if (fresh > 0) this.#lose(fresh, this.#n + 1);
  }

  /** @param {number} missed @param {number} n */
  #lose(missed, n) {
    this.#missed = missed < 0 || this.#missed < 0 ? -1 : this.#missed + missed;
    this.#inside?.lose(missed, n);
  }

  /** Whether a position is news in a lane that we know. @param {string} pos */
  #isBeyond(pos) {
    const place = readPosition(pos);
    const last = place && this.#lanes.get(place.lane);
    return last !== undefined && isAfter(pos, last);
  }

  /** @param {unknown} pos */
  #move(pos) {
    const place = readPosition(pos);
    if (place && isAfter(String(pos), this.#lanes.get(place.lane))) this.#lanes.set(place.lane, String(pos));
  }

  /** Lanes of which nothing is known go on from where they were at the beginning. */
  #addHeads() {
    for (const pos of this.#heads) if (!this.#lanes.has(readPosition(pos)?.lane ?? '')) this.#move(pos);
  }
}

// ---- Client --------------------------------------------------------------------------------------------------------

/**
 * A command that waits for its answer.
 * @typedef {object} Request
 * @property {Frame} command
 * @property {string} text The command as it is sent.
 * @property {(answer: Frame) => void} resolve
 * @property {(error: YizhanError) => void} reject
 * @property {'hello' | 'subscribe' | 'publish' | 'read' | 'once'} kind What becomes of it when the connection drops:
 *   a publish and a read are sent again, the others are not.
 * @property {boolean} sent
 * @property {number} [until] When a publish expires, ms.
 * @property {ReturnType<typeof setTimeout>} [timer]
 */

/**
 * A session with a server: connects by itself, and again when the connection drops. Made by {@link connect}.
 * @extends {Emitter<ClientEvents>}
 */
export class Client extends Emitter {
  #options;
  #base;
  #random;
  /** @type {Transport[]} */
  #transports;
  /** Which of them is tried. */
  #choice = 0;
  /** @type {Status} */
  #status = 'waiting';
  /** @type {Link | undefined} */
  #link;
  /** A WebSocket that is tried beside a fall-back. @type {Link | undefined} */
  #probe;
  /** @type {{session: string, secret: string, place?: string, transport: Transport} | undefined} */
  #session;
  /** @type {Welcome | undefined} */
  #welcome;
  /** What the server said before it closed. @type {End | undefined} */
  #farewell;
  /** @type {{token?: string, ticket?: string}} */
  #shown = {};
  #expired = false;
  #attempt = 0;
  #openedAt = 0;
  #everOpen = false;
  #failures = 0;
  /** The server does not want us back earlier, ms. */
  #notBefore = 0;
  #upgradeAfter;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  /** @type {(() => void)[]} */
  #undo = [];

  /** @type {Map<number, Request>} */
  #requests = new Map();
  #publishes = 0;
  #nextId = 1;
  #nextSub = 1;
  #name = randomName();
  /** @type {Map<number, Track>} */
  #tracks = new Map();
  /** @type {string[]} */
  #out = [];
  #flushing = false;

  #frameMax = FRAME_BYTES_MAX;
  #heartbeat = 45_000;
  #heardAt = 0;
  #sentAt = 0;
  /** By when the server must have said something. @type {number | undefined} */
  #answerBy;
  /** @type {TimeSample | undefined} */
  #clock;
  /** @type {(welcome: Welcome) => void} */
  #makeReady = () => {};
  /** @type {(error: YizhanError) => void} */
  #breakReady = () => {};

  /** @param {string | URL} url @param {ConnectOptions} [options] */
  constructor(url, options = {}) {
    super();
    this.#options = options;
    this.#base = String(url || globalThis.location?.origin).replace(/^ws/, 'http').replace(/[/?#]*$/, '');
    this.#random = options.random ?? Math.random;
    this.#upgradeAfter = options.upgradeAfter ?? 60;
    this.#transports = this.#usable();
    /** Settled by the first welcome, or when the client is closed before it. @type {Promise<Welcome>} */
    this.ready = new Promise((resolve, reject) => {
      this.#makeReady = resolve;
      this.#breakReady = reject;
    });
    this.ready.catch(() => {});
    this.#listen();
    queueMicrotask(() => this.#connect());
  }

  /** @returns {Status} */
  get status() {
    return this.#status;
  }

  /** Which transport is in use. @returns {Transport | undefined} */
  get transport() {
    return this.#status === 'open' ? this.#link?.transport : undefined;
  }

  /** Who the server says we are; `undefined` before the first welcome. */
  get user() {
    return this.#welcome?.user;
  }

  /** What the server calls this device, where it has a name. */
  get device() {
    return this.#welcome?.device;
  }

  /** The session's number. */
  get session() {
    return this.#welcome?.session;
  }

  /** Where the server is, without a slash at its end. */
  get url() {
    return this.#base;
  }

  /** What an HTTP request to the server shows as its `Authorization`; `undefined` before the first welcome. */
  get authorization() {
    const { token } = this.#shown;
    if (token !== undefined) return `Bearer ${token}`;
    return this.#session && `Session ${this.#session.session}:${this.#session.secret}`;
  }

  /** How the server's clock stands to ours; `undefined` until it was read. */
  get clock() {
    return this.#clock;
  }

  /** The server's time, ms since 1970. Our own until the server's was read. */
  serverTime() {
    return now() + (this.#clock?.offset ?? 0);
  }

  /**
   * Hears a topic or filter. Works offline, too: it begins with the next connection.
   * @param {string} filter @param {SubscribeOptions} [options]
   */
  subscribe(filter, options = {}) {
    const id = this.#nextSub++;
    const ack = (/** @type {number} */ n) => track.confirmed && this.#tracks.has(id) && this.#send({ type: 'ack', sub: id, n });
    const drop = () => {
      this.#tracks.delete(id);
      if (this.#status === 'open') this.#ask({ type: 'unsubscribe', sub: id }, 'once').catch(() => {});
    };
    const track = new Track(id, filter, options, ack, drop);
    const { subscription } = track;
    subscription.on('missed', (missed) => this.emit('missed', { ...missed, subscription }));
    if (this.#status === 'closed') {
      track.end(closedError());
      return subscription;
    }
    this.#tracks.set(id, track);
    if (this.#status === 'open') this.#begin(track);
    return subscription;
  }

  /**
   * Sends a message. Offline it waits, in order; after a drop it is sent again, and the server knows it by its `mid`.
   * @param {string} topic
   * @param {unknown} [body] Text as it is, bytes as they are (ArrayBuffer or a view), nothing for `undefined`, all
   *   else as JSON.
   * @param {PublishOptions} [options]
   * @returns {Promise<Receipt>} When it is as safe as the receipt says. Need not be waited for.
   */
  publish(topic, body, options = {}) {
    const { key, mid, headers, expires, durable, content, qos, delay } = options;
    const command = {
      type: 'publish', topic, ...writeBody(body), key, mid: mid ?? `${this.#name}-${this.#nextId}`, headers, expires, durable, content, qos, delay,
    };
    const full = this.#makeRoom();
    const receipt = full ? Promise.reject(full) : this.#ask(command, 'publish').then(({ seq, pos, at, durable: safe, duplicate }) => ({
      seq, pos, at, durable: safe, duplicate,
    }));
    receipt.catch(() => {});
    return /** @type {Promise<Receipt>} */ (receipt);
  }

  /** One page of a topic's past. @param {string} topic @param {HistoryOptions} [options] @returns {Promise<Page>} */
  async history(topic, { before, after, since, limit } = {}) {
    const answer = await this.#ask({ type: 'history', topic, before, after, since, limit }, 'read');
    return { records: readRecords(answer.records), more: answer.more === true, missed: Number(answer.missed) || 0 };
  }

  /**
   * A topic's past, page by page: back in time from `before` or the newest, or forward where `after` or `since` is
   * given. Each page is oldest first.
   * @param {string} topic @param {HistoryOptions} [options] @returns {AsyncGenerator<StoredRecord[], void>}
   */
  async *pages(topic, options = {}) {
    const forward = !isEmpty(options.after) || !isEmpty(options.since);
    let range = options;
    for (;;) {
      const { records, more } = await this.history(topic, range);
      if (records.length > 0) yield records;
      const seq = (forward ? records.at(-1) : records[0])?.seq;
      if (!more || seq === undefined || seq === (forward ? range.after : range.before)) return;
      range = forward ? { before: options.before, limit: options.limit, after: seq } : { limit: options.limit, before: seq };
    }
  }

  /** The newest record of each key of these topics. @param {string} filter @returns {Promise<StoredRecord[]>} */
  async state(filter) {
    return readRecords((await this.#ask({ type: 'state', filter }, 'read')).records);
  }

  /**
   * Asks a service of the server, such as `im/list`.
   * @param {string} name @param {Record<string, any>} [data]
   * @param {{once?: boolean}} [options] `once`: fails with code 900 where the connection breaks before the answer, for
   *   what must not be done twice. Otherwise it is asked again.
   * @returns {Promise<any>}
   */
  async ask(name, data = {}, { once = false } = {}) {
    return (await this.#ask({ type: 'ask', to: name, data }, once ? 'once' : 'read')).data;
  }

  /** Who listens to a topic, or which sessions a user has. @param {{topic: string} | {user: string}} of @returns {Promise<Present[]>} */
  async presence(of) {
    const { sessions } = await this.#ask({ type: 'presence', ...of }, 'read');
    return Array.isArray(sessions) ? sessions : [];
  }

  /**
   * Reads the server's clock: several exchanges, of which the quickest counts. Done by itself at each connection and
   * every 15 minutes.
   * @returns {Promise<TimeSample>}
   */
  async readTime() {
    /** @type {TimeSample[]} */
    const samples = [];
    for (let i = 0; i < TIME_SAMPLES; i += 1) {
      const t1 = now();
      const { t2, t3, t4 } = await this.#ask({ type: 'time', t1 }, 'once');
      if (Number.isFinite(t2) && Number.isFinite(t3)) samples.push(timeSample(t1, t2, t3, t4));
    }
    if (samples.length === 0) throw new YizhanError(CODES.TIMEOUT, 'the server did not tell the time', 'soon');
    this.#clock = bestSample(samples);
    this.emit('time', this.#clock);
    return this.#clock;
  }

  /** Comes back at once where it waits for its next attempt; where it is connected, sees whether that is still true. */
  retry() {
    this.#checkNetwork();
  }

  /** Says goodbye: the session ends, and everything that waits for an answer is rejected with code 900. */
  close() {
    if (this.#status !== 'closed') this.#finish();
  }

  // -- Coming and going

  /** @returns {Transport[]} */
  #usable() {
    const { transports = ['websocket', 'sse', 'poll'], user, token, ticket } = this.#options;
    const has = { websocket: this.#has('WebSocket'), sse: this.#has('fetch'), poll: this.#has('fetch') };
    // Only a hello can carry a password.
    const onlySocket = user !== undefined && token === undefined && ticket === undefined;
    const usable = transports.filter((transport) => has[transport] && (transport === 'websocket' || !onlySocket));
    if (usable.length === 0) throw new TypeError('no usable transport: pass a WebSocket class in the options');
    return usable;
  }

  /** @param {'WebSocket' | 'EventSource' | 'fetch'} name @returns {any} */
  #has(name) {
    return this.#options[name] ?? (name === 'EventSource' ? undefined : /** @type {any} */ (globalThis)[name]);
  }

  /** Hears what the platform knows about the network. */
  #listen() {
    const target = /** @type {any} */ (globalThis);
    /** @param {any} on @param {string} name @param {() => void} listener */
    const hear = (on, name, listener) => {
      if (!on?.addEventListener) return;
      on.addEventListener(name, listener);
      this.#undo.push(() => on.removeEventListener(name, listener));
    };
    hear(target, 'online', () => this.#checkNetwork());
    hear(target.navigator?.connection, 'change', () => this.#checkNetwork());
    hear(target.document, 'visibilitychange', () => target.document.visibilityState === 'visible' && this.#checkNetwork());
  }

  #network() {
    const type = /** @type {any} */ (globalThis).navigator?.connection?.type;
    return this.#options.network ?? (type === 'cellular' ? 'cellular' : 'wifi');
  }

  /** The network is another one, or we are back: come at once, or see whether the connection lives. */
  #checkNetwork() {
    if (this.#status === 'waiting' && now() >= this.#notBefore) return void this.#connect();
    if (this.#status !== 'open') return;
    this.#answerBy ??= now() + ANSWER_WITHIN;
    this.#ask({ type: 'network', network: this.#network() }, 'once').then((answer) => {
      this.#readHeartbeat(answer);
      this.#answerBy = undefined;
      this.#beat();
    }).catch(() => {});
    this.#beat();
  }

  async #connect() {
    if (this.#status === 'closed') return;
    const attempt = ++this.#attempt;
    this.#stopTimers();
    this.#setStatus({ status: 'connecting', transport: this.#transports[this.#choice] });
    try {
      await this.#getShown();
    } catch (error) {
      if (attempt === this.#attempt) this.#wait('soon', new YizhanError(202, `no token: ${error}`, 'soon'));
      return;
    }
    if (attempt !== this.#attempt) return;
    const transport = this.#transports[this.#choice];
    this.#timer('welcome', WELCOME_WITHIN, () => this.#ended({ code: CODES.TIMEOUT, reason: 'no welcome in time' }));
    this.#link = this.#open(transport, (events) => events);
  }

  /** @param {Transport} transport @param {(events: LinkEvents) => LinkEvents} change @returns {Link} */
  #open(transport, change) {
    /** @type {Link | undefined} */
    let link;
    const isOurs = () => link !== undefined && link === this.#link;
    const events = change({
      opened: () => isOurs() && link?.greets && this.#hello(),
      text: (text) => isOurs() && this.#read(text),
      heard: () => isOurs() && (this.#heardAt = now()),
      ended: (end) => isOurs() && this.#ended(end),
    });
    const known = this.#session?.transport === transport ? this.#session : undefined;
    const at = {
      base: this.#base, shown: this.#shown, about: { device: this.#options.device, network: this.#network() }, fetch: this.#options.fetch ?? globalThis.fetch.bind(globalThis),
      resume: known && { session: known.session, secret: known.secret, place: known.place ?? '' },
      WebSocket: this.#has('WebSocket'), EventSource: this.#has('EventSource'),
    };
    if (at.resume?.place === '') at.resume = undefined;
    try {
      const open = { websocket: openWebSocket, sse: at.EventSource ? openEventSource : openSse, poll: openPoll }[transport];
      link = open(at, events);
    } catch (error) {
      link = deadLink(transport);
      queueMicrotask(() => events.ended({ code: CODES.UNREACHABLE, reason: String(error) }));
    }
    return link;
  }

  /** Gets the token or ticket, where it is a function. */
  async #getShown() {
    const { token, ticket } = this.#options;
    if (token !== undefined && (this.#shown.token === undefined || this.#expired)) {
      const expired = this.#expired;
      this.#shown.token = typeof token === 'function' ? await token({ expired }) : token;
    }
    if (typeof ticket === 'function') this.#shown.ticket = await ticket({ expired: false });
    else if (!this.#everOpen) this.#shown.ticket = ticket;
    else this.#shown.ticket = undefined; // It was good for one hello.
  }

  #hello() {
    const { user, password, device, keep = 120, will } = this.#options;
    const have = [...this.#tracks.values()].filter((track) => track.confirmed).map((track) => track.have());
    const resume = this.#session && { session: this.#session.session, secret: this.#session.secret, have };
    const hello = {
      type: 'hello', ...this.#shown, user, password, device, keep, will, resume, network: this.#network(), client: CLIENT_NAME,
    };
    this.#ask(hello, 'hello').catch((error) => this.#helloRefused(error));
  }

  /** @param {YizhanError} error */
  async #helloRefused(error) {
    if (this.#status !== 'connecting' || error.code === CODES.CLOSED) return;
    if (error.code === 301 && this.#session) {
      this.#forgetSession();
      return this.#hello();
    }
    const { code, reason, again } = error;
    this.#ended({ code, reason, again, told: true });
  }

  #forgetSession() {
    this.#session = undefined;
    for (const track of this.#tracks.values()) track.confirmed = false;
  }

  /** @param {Frame} event */
  #welcomed(event) {
    const link = this.#link;
    if (this.#status !== 'connecting' || !link || typeof event.session !== 'string') return;
    const known = this.#session;
    const resumed = event.resumed === true && known?.session === event.session;
    if (!resumed) this.#forgetSession();
    const secret = typeof event.secret === 'string' ? event.secret : resumed ? known?.secret : undefined;
    if (secret) {
      this.#session = { session: event.session, secret, transport: link.transport };
      link.admit(event.session, secret);
    }
    const { user = this.user, device = this.#welcome?.device, heartbeat, server, at } = event;
    this.#welcome = { session: event.session, user, device, resumed, heartbeat, server, at };
    this.#stopTimers();
    this.#readHeartbeat(event);
    if (event.limits?.frame > 0) this.#frameMax = event.limits.frame;
    this.#openedAt = this.#heardAt = this.#sentAt = now();
    this.#answerBy = undefined;
    if (!this.#clock && Number.isFinite(event.at)) this.#clock = { offset: event.at - now(), roundTrip: Infinity };
    this.#expired = false;
    this.#everOpen = true;
    this.#setStatus({ status: 'open', transport: link.transport });
    this.#goOn(resumed, event.subs);
    this.#readTimeNow();
    this.#beat();
    this.#planUpgrade();
    this.#makeReady(this.#welcome);
    this.emit('welcome', this.#welcome);
  }

  /** Brings the server's picture of us up to date: subscriptions first, then what waits, in its order. @param {boolean} resumed @param {unknown} subs */
  #goOn(resumed, subs) {
    /** @type {Map<number, Frame>} */
    const there = new Map(Array.isArray(subs) ? subs.map((sub) => [sub?.sub, sub]) : []);
    for (const track of this.#tracks.values()) {
      const sub = there.get(track.id);
      there.delete(track.id);
      if (resumed && (sub || (!Array.isArray(subs) && track.confirmed))) track.resume(sub?.missed);
      else this.#begin(track);
    }
    for (const id of resumed ? there.keys() : []) this.#send({ type: 'unsubscribe', sub: id });
    for (const request of this.#requests.values()) this.#sendRequest(request);
  }

  /** @param {Track} track */
  #begin(track) {
    const isGone = () => this.#tracks.get(track.id) !== track;
    track.confirmed = false;
    // `begin` runs while the answer is read: what comes behind it counts by the new numbers.
    this.#ask(track.command(), 'subscribe', (answer) => isGone() || track.begin(answer)).catch((/** @type {YizhanError} */ error) => {
      if (isGone() || error.code === CODES.CLOSED || error.code === 501) return; // The next welcome begins it.
      if (error.code === 112 && track.losePlace()) return this.#begin(track);
      if (error.again !== 'never') {
        const seconds = backoff(0, error.again, { first: 2, max: 2 }, this.#random);
        this.#timer(`begin ${track.id}`, seconds * 1000, () => isGone() || this.#begin(track));
        return this.emit('error', error);
      }
      this.#tracks.delete(track.id);
      track.end(error);
    });
  }

  /** The link is gone, or has to go. @param {End} end */
  #ended(end) {
    const link = this.#link;
    if (!link) return;
    const wasOpen = this.#status === 'open';
    const said = this.#farewell ?? end;
    this.#leaveLink();
    const error = new YizhanError(said.code || 1006, String(said.reason || 'the connection ended'), readAgain(said.again, CLOSE_AGAIN.get(said.code) ?? 'soon'));
    if (wasOpen && now() - this.#openedAt >= STABLE_AFTER) this.#failures = 0;
    if (error.code === 4004 || error.code === 202) return this.#tokenExpired(error);
    // A stream or poll of a session that is gone: begin a new one at once.
    if (error.code === 301 && this.#session) {
      this.#forgetSession();
      return wasOpen ? this.#wait('soon', error) : void this.#connect();
    }
    if (error.again === 'never') return this.#finish(error);
    if (!wasOpen && !said.told && this.#fallBack(end)) return void this.#connect();
    this.#wait(error.again, error);
  }

  /** Takes the next transport where this one seems not to work here. Not where nothing works. @param {End} end */
  #fallBack(end) {
    const isLast = this.#choice + 1 >= this.#transports.length;
    // It has worked before, so more likely the server is away for a moment.
    const isPatient = this.#everOpen && this.#failures < 3;
    if (isPatient || isLast || end.network) {
      if (!isPatient) this.#choice = 0;
      return false;
    }
    this.#choice += 1;
    return true;
  }

  /** @param {YizhanError} error */
  #tokenExpired(error) {
    if (typeof this.#options.token !== 'function') return this.#finish(new YizhanError(error.code, error.reason));
    this.#expired = true;
    this.#wait('soon', error);
  }

  /** @param {Again} again @param {YizhanError} error */
  #wait(again, error) {
    const bounds = { first: this.#options.backoff?.first ?? 0.5, max: this.#options.backoff?.max ?? 30 };
    const retryIn = backoff(this.#failures, again, bounds, this.#random);
    this.#notBefore = typeof again === 'number' ? now() + again * 1000 : 0;
    this.#failures += 1;
    this.#timer('retry', retryIn * 1000, () => this.#connect());
    this.#setStatus({ status: 'waiting', retryIn, error });
  }

  /** Lets go of the link; requests that can be sent again wait, the others are rejected. @param {string} [last] */
  #leaveLink(last) {
    const link = this.#link;
    const place = link?.place();
    if (link && this.#session?.transport === link.transport) this.#session.place = place;
    this.#link = undefined;
    this.#farewell = undefined;
    this.#attempt += 1;
    this.#stopTimers();
    this.#probe?.close();
    this.#probe = undefined;
    this.#out = [];
    link?.close(last);
    for (const [id, request] of this.#requests) {
      request.sent = false;
      if (request.kind === 'publish' || request.kind === 'read') continue;
      this.#requests.delete(id);
      clearTimeout(request.timer);
      request.reject(closedError());
    }
  }

  /** The end. @param {YizhanError} [error] */
  #finish(error) {
    const wasOpen = this.#status === 'open';
    this.#leaveLink(error || !wasOpen ? undefined : '{"type":"bye"}');
    for (const undo of this.#undo.splice(0)) undo();
    this.#setStatus({ status: 'closed', error });
    const why = error ?? closedError();
    for (const request of this.#requests.values()) {
      clearTimeout(request.timer);
      request.reject(why);
    }
    this.#requests.clear();
    this.#publishes = 0;
    const tracks = [...this.#tracks.values()];
    this.#tracks.clear();
    for (const track of tracks) track.end(error);
    this.#breakReady(why);
    if (error) this.emit('error', error);
    this.emit('close', error);
  }

  /** On a fall-back: tries a WebSocket beside it now and then, and moves the session over when one opens. */
  #planUpgrade() {
    if (this.#link?.transport === 'websocket' || !this.#transports.includes('websocket')) return;
    this.#timer('upgrade', this.#upgradeAfter * 1000, () => {
      this.#upgradeAfter = Math.min(this.#upgradeAfter * 2, UPGRADE_AFTER_MAX);
      const probe = this.#open('websocket', (events) => ({
        ...events,
        opened: () => this.#moveTo(probe),
        ended: (end) => {
          if (this.#link === probe) return events.ended(end);
          if (this.#probe !== probe) return;
          this.#probe = undefined;
          this.#planUpgrade();
        },
      }));
      this.#probe = probe;
    });
  }

  /** @param {Link} link */
  #moveTo(link) {
    if (this.#status !== 'open') return link.close();
    this.#probe = undefined;
    this.#leaveLink();
    this.#link = link;
    this.#choice = this.#transports.indexOf('websocket');
    this.#upgradeAfter = this.#options.upgradeAfter ?? 60;
    this.#setStatus({ status: 'connecting', transport: 'websocket' });
    this.#timer('welcome', WELCOME_WITHIN, () => this.#ended({ code: CODES.TIMEOUT, reason: 'no welcome in time' }));
    this.#hello();
  }

  // -- Sending

  /**
   * @param {Frame} command @param {Request['kind']} kind
   * @param {(answer: Frame) => void} [answered] Called before anything else is read.
   * @returns {Promise<Frame>}
   */
  #ask(command, kind, answered) {
    return new Promise((resolve, reject) => {
      if (this.#status === 'closed') return reject(closedError());
      const id = this.#nextId++;
      /** @type {Request} */
      const request = {
        command: { ...command, id }, text: '', kind, reject, sent: false,
        resolve: (answer) => {
          answered?.(answer);
          resolve(answer);
        },
      };
      request.text = JSON.stringify(request.command);
      if (request.text.length * 3 > this.#frameMax && utf8Length(request.text) > this.#frameMax) {
        return reject(new YizhanError(CODES.TOO_LARGE, `the command is larger than ${this.#frameMax} bytes`));
      }
      if (kind === 'publish') {
        this.#publishes += 1;
        if (typeof command.expires === 'number') request.until = now() + command.expires * 1000;
      }
      if (kind === 'read' || kind === 'once') {
        request.timer = setTimeout(() => {
          this.#requests.delete(id);
          reject(new YizhanError(CODES.TIMEOUT, 'no answer in time', 'soon'));
        }, (this.#options.timeout ?? 30) * 1000);
      }
      this.#requests.set(id, request);
      if (this.#status === 'open') this.#sendRequest(request);
      else if (kind === 'hello') {
        request.sent = true;
        this.#link?.send(request.text);
      }
    });
  }

  /** @param {Request} request */
  #sendRequest(request) {
    if (request.sent) return;
    if (request.until !== undefined) {
      const expires = (request.until - now()) / 1000;
      if (expires <= 0) return this.#settle(request.command.id, new YizhanError(CODES.EXPIRED, 'expired before it could be sent'));
      request.text = JSON.stringify({ ...request.command, expires });
    }
    request.sent = true;
    this.#sendText(request.text);
  }

  /** A command that nobody waits for. Offline it is forgotten. @param {Frame} command */
  #send(command) {
    if (this.#status === 'open') this.#sendText(JSON.stringify(command));
  }

  /** Sends with what else is sent in this moment. @param {string} text */
  #sendText(text) {
    this.#out.push(text);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush() {
    this.#flushing = false;
    const waiting = this.#out.splice(0);
    const link = this.#link;
    if (this.#status !== 'open' || !link || waiting.length === 0) return;
    this.#sentAt = now();
    /** @type {string[]} */
    let frame = [];
    let bytes = 0;
    const send = () => link.send(frame.length === 1 ? frame[0] : `[${frame.join()}]`);
    for (const text of waiting) {
      const bytesMax = text.length * 3 + 3; // A UTF-16 unit is at most three bytes of UTF-8.
      if (frame.length > 0 && bytes + bytesMax > this.#frameMax) {
        send();
        frame = [];
        bytes = 0;
      }
      frame.push(text);
      bytes += bytesMax;
    }
    send();
  }

  /** Room for one more publish. @returns {YizhanError | undefined} Why there is none. */
  #makeRoom() {
    const { max = QUEUE_MAX, policy = 'refuse' } = this.#options.queue ?? {};
    if (this.#publishes < max) return undefined;
    const error = new YizhanError(CODES.QUEUE_FULL, `${max} publishes wait for an answer`, 'soon');
    const oldest = policy === 'drop-oldest' && [...this.#requests.values()].find((request) => request.kind === 'publish' && !request.sent);
    if (!oldest) return error;
    this.#settle(oldest.command.id, error);
    return undefined;
  }

  // -- Reading

  /** @param {string} text */
  #read(text) {
    this.#heardAt = now();
    if (this.#link?.transport === 'websocket') this.#answerBy = undefined;
    /** @type {unknown} */
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      // What else was lost is not known. The session is, so it can be read again.
      this.emit('error', new YizhanError(100, 'the server sent what is no JSON', 'soon'));
      return this.#ended({ code: 1002, reason: 'the server sent what is no JSON', again: 'soon' });
    }
    const link = this.#link;
    for (const event of Array.isArray(frame) ? frame : [frame]) {
      if (this.#link !== link) return; // A listener closed us.
      if (typeof event === 'object' && event !== null) this.#hear(event);
    }
  }

  /** One event. Unknown ones are passed over, so that newer servers can be spoken to. @param {Frame} event */
  #hear(event) {
    const track = this.#tracks.get(event.sub);
    switch (event.type) {
      case 'records':
        return track?.confirmed && Array.isArray(event.records) ? track.take(event.n, event.records) : undefined;
      case 'missed':
        return track?.confirmed ? track.miss(event) : undefined;
      case 'state_end':
        return track?.confirmed ? track.endState() : undefined;
      case 'welcome':
        this.#welcomed(event);
        break;
      case 'error':
        return this.#refused(event);
      case 'close':
        this.#farewell = { code: Number.isInteger(event.code) ? event.code : 1006, reason: event.reason, again: event.again, told: true };
        return undefined;
      default:
    }
    if (event.re !== undefined) this.#settle(event.re, event);
    return undefined;
  }

  /** @param {Frame} event */
  #refused(event) {
    const error = readError(event, 'never');
    const request = this.#requests.get(event.re);
    if (!request) {
      this.emit('error', error);
    } else if (error.code === 501 && (request.kind === 'publish' || request.kind === 'read')) {
      return; // The server is stopping: asked again after the next welcome.
    } else {
      this.#settle(event.re, error);
    }
  }

  /** @param {number} id @param {Frame | YizhanError} answer */
  #settle(id, answer) {
    const request = this.#requests.get(id);
    if (!request) return;
    this.#requests.delete(id);
    clearTimeout(request.timer);
    if (request.kind === 'publish') this.#publishes -= 1;
    if (answer instanceof YizhanError) request.reject(answer);
    else request.resolve(answer.type === 'time' ? { ...answer, t4: now() } : answer);
  }

  // -- Heartbeat, time, small things

  /** Pings when we were silent, and gives up a server that is. */
  #beat() {
    const link = this.#link;
    if (this.#status !== 'open' || !link) return;
    const deadAt = Math.min(link.audible ? this.#heardAt + 1.5 * this.#heartbeat : Infinity, this.#answerBy ?? Infinity);
    if (now() >= deadAt) return this.#ended({ code: 4008, reason: 'the server is silent', network: true });
    const pings = link.transport === 'websocket';
    if (pings && now() >= this.#sentAt + this.#heartbeat) {
      this.#sentAt = now();
      this.#send({ type: 'ping' });
    }
    const next = Math.min(deadAt, pings ? this.#sentAt + this.#heartbeat : Infinity);
    if (next < Infinity) this.#timer('beat', Math.max(next - now(), 20), () => this.#beat());
  }

  /** @param {Frame} event */
  #readHeartbeat({ heartbeat }) {
    if (typeof heartbeat === 'number' && heartbeat > 0) this.#heartbeat = Math.min(heartbeat, 86_400) * 1000;
  }

  #readTimeNow() {
    this.readTime().catch(() => {});
    this.#timer('time', TIME_EVERY, () => this.#readTimeNow());
  }

  /** @param {string} name @param {number} ms @param {() => void} run */
  #timer(name, ms, run) {
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(run, ms));
  }

  #stopTimers() {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** @param {StatusEvent} event */
  #setStatus(event) {
    this.#status = event.status;
    this.emit('status', event);
  }
}

const closedError = () => new YizhanError(CODES.CLOSED, 'the connection ended', 'soon');

/** Where a transport could not even begin. @param {Transport} transport @returns {Link} */
function deadLink(transport) {
  return { transport, greets: false, audible: false, send() {}, admit() {}, place: () => undefined, close() {} };
}

/**
 * Connects to a server, and keeps the connection.
 * @param {string | URL} url `http://localhost:8080`; in a browser `''` means where the page came from.
 * @param {ConnectOptions} [options]
 */
export function connect(url, options) {
  return new Client(url, options);
}
