// The admin HTTP API (docs/reference/admin-api.md): one function per call, and one kind of error.

import { Cell } from './cell.js';
import { t } from './i18n.js';

/** @typedef {{door: string, address: string, secure: boolean, since: number}} Connection */
/** @typedef {{id: string, user: string, device: string | null, name: string | null, door: string | null, keep: number, opened_at: number, subscriptions: number, waiting: number, delivered: number, missed: number, figures: {[name: string]: number}, connection: Connection | null}} Session */
/** @typedef {{topic: string, space: string, listeners: number, kept: {oldest_seq: number, newest_seq: number} | null}} TopicInfo */
/** @typedef {{session: string, user: string, id: number, filter: string, qos: number, group: string | null, delivered: number, behind: boolean}} Subscription */
/** @typedef {{whom: string, reason: string, by: string, at: number, until: number | null}} Ban */
/** @typedef {{name: string, filter: string, deal: string, members: number, live: number, waiting: number, unacked: number, missed: number, behind: boolean}} Group */
/** @typedef {{id: string, topic: string, user: string, device: string | null, session: string, bytes: number, taken_at: number, due_at: number}} Delayed */
/** @typedef {{name: string, address: string, connected_at: number | null, last_error: string | null, failures: number, waiting: number, sent: number, received: number, dropped: number, missed: number}} Bridge */
/** @typedef {{records_max: number | null, bytes_max: number | null, age_max: number | null}} Limits */
/** @typedef {{name: string, topics: string, keep: 'nothing' | 'memory' | 'disk', lag: 'catch_up' | 'skip' | 'close' | 'latest', lanes: number, limits: Limits | null, figures: {records: number, bytes: number, topics: number, waiting: number} | null}} Space */
/** @typedef {{id: number, at: number, who: string, what: string, subject: string | null, address: string | null, door: string | null, detail: string | null}} AuditEntry */
/** @typedef {{device: string, first_seen_at: number, last_seen_at: number, address: string, door: string}} Device */
/** @typedef {{user: string, roles: string[], disabled: boolean, has_password: boolean, created_at: number, last_login_at: number | null, devices?: Device[]}} Account */
/** @typedef {{effect: 'allow' | 'deny', actions: string[], topics: string[]}} Rule */
/** @typedef {{id: string, user: string, name: string, kind: 'personal' | 'login', created_at: number, expires_at: number | null, last_used_at: number | null, current: boolean, rules: Rule[] | null}} Token */
/** @typedef {{user: string, roles: string[], expires_at: number | null, admin: boolean, account: boolean, has_password: boolean, devices: Device[]}} Me */
/** @typedef {{token: string, user: string, roles: string[], expires_at: number | null, has_password: boolean}} Login */
/** @typedef {{version: string, started_at: number, uptime: number, draining: boolean, first_run: boolean, figures: unknown}} Overview */
/**
 * @template T
 * @typedef {{items: T[], next: string | number | null}} List
 */

/** The key of a topic's own value: MQTT's retained message. */
export const RETAINED = 'retained';

/** The token that calls are made with; `null` before signing in. */
export const token = new Cell(localStorage.getItem('yizhan.token'));
token.hear((value) => {
  if (value === null) localStorage.removeItem('yizhan.token');
  else localStorage.setItem('yizhan.token', value);
});

/** Raised (with `touch`) when the server says that the token is no good any more. */
export const tokenRefused = new Cell(0);

/** A refused or failed call. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where the server was not reached
   * @param {number} code
   * @param {string} reason
   */
  constructor(status, code, reason) {
    super(reason);
    this.status = status;
    this.code = code;
  }
}

/**
 * @template T
 * @param {string} method
 * @param {string} path
 * @param {object} [body]
 * @returns {Promise<T>}
 */
async function call(method, path, body) {
  /** @type {{[name: string]: string}} */
  const headers = {};
  const used = token.value;
  if (used) headers['Authorization'] = `Bearer ${used}`;
  if (body) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(`/api/v1/${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  } catch {
    throw new ApiError(0, 0, t('error.unreachable'));
  }
  if (response.status === 204) return /** @type {T} */ (undefined);
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const code = answer?.code ?? 0;
  if (response.status === 401 && used && used === token.value && !path.startsWith('login') && path !== 'me/password')
    tokenRefused.touch();
  throw new ApiError(
    response.status,
    code,
    reason(code, answer?.reason ?? `HTTP ${response.status}`, response.headers.get('Retry-After')),
  );
}

/**
 * What a refusal says in the chosen language, where we know it.
 * @param {number} code
 * @param {string} text
 * @param {string | null} retryAfter
 */
function reason(code, text, retryAfter) {
  if (code === 201) return t('error.201');
  if (code === 204) return t('error.204', { n: retryAfter ?? '60' });
  if (code === 210) return t('error.210');
  if (code === 120) return t('error.120');
  if (code === 121) return t('error.121');
  if (code === 320) return t('error.320');
  if (code === 321) return t('error.321');
  return code ? `${text} (${code})` : text;
}

/** @param {{[name: string]: string | number | null | undefined}} parameters */
function query(parameters) {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return pairs.length ? `?${new URLSearchParams(pairs.map(([name, value]) => [name, String(value)]))}` : '';
}

/** The name of this browser among the user's devices. */
export function deviceName() {
  const agent = navigator.userAgent;
  const browser = /Edg\//.test(agent)
    ? 'Edge'
    : /Firefox\//.test(agent)
      ? 'Firefox'
      : /Chrom(e|ium)\//.test(agent)
        ? 'Chrome'
        : /Safari\//.test(agent)
          ? 'Safari'
          : 'Browser';
  const system = /Android/.test(agent)
    ? 'Android'
    : /iPhone|iPad/.test(agent)
      ? 'iOS'
      : /Mac OS/.test(agent)
        ? 'macOS'
        : /Windows/.test(agent)
          ? 'Windows'
          : /Linux/.test(agent)
            ? 'Linux'
            : '';
  return system ? `${browser} ${system}` : browser;
}

export const admin = {
  /** @param {string} user @param {string} password @returns {Promise<Login>} */
  login: (user, password) => call('POST', 'login', { user, password, device: deviceName() }),
  /** @param {string} ticket @returns {Promise<Login>} */
  loginByLink: (ticket) => call('POST', 'login/link', { ticket, device: deviceName() }),
  /** @returns {Promise<void>} */
  logout: () => call('POST', 'logout'),
  /** @returns {Promise<Me>} */
  me: () => call('GET', 'me'),
  /** @param {string | undefined} old @param {string} password @returns {Promise<void>} */
  setPassword: (old, password) => call('POST', 'me/password', { ...(old && { old }), new: password }),
  /** @returns {Promise<Overview>} */
  overview: () => call('GET', 'overview'),
  /** @param {{after?: string | number | null, limit?: number, state?: string | null, door?: string, search?: string}} [page] @returns {Promise<List<Session>>} */
  sessions: (page = {}) => call('GET', `sessions${query(page)}`),
  /** @param {string} id @returns {Promise<void>} */
  endSession: (id) => call('DELETE', `sessions/${encodeURIComponent(id)}`),
  /** @param {{filter?: string, after?: string | number | null, limit?: number}} [page] @returns {Promise<List<TopicInfo>>} */
  topics: (page = {}) => call('GET', `topics${query(page)}`),
  /** @param {{topic?: string, session?: string, filter?: string}} of @returns {Promise<List<Subscription>>} */
  subscriptions: (of) => call('GET', `subscriptions${query({ ...of, limit: 1000 })}`),
  /** @param {string} id @returns {Promise<Session>} */
  session: (id) => call('GET', `sessions/${encodeURIComponent(id)}`),
  /** @param {string} id @returns {Promise<void>} */
  disconnect: (id) => call('POST', `sessions/${encodeURIComponent(id)}/disconnect`),
  /** @param {{after?: string | number | null, limit?: number}} [page] @returns {Promise<List<Ban>>} */
  bans: (page = {}) => call('GET', `bans${query(page)}`),
  /** @param {{whom: string, reason?: string, expires_in?: number}} ban @returns {Promise<Ban>} */
  ban: (ban) => call('POST', 'bans', ban),
  /** @param {string} whom @returns {Promise<void>} */
  unban: (whom) => call('DELETE', `bans${query({ whom })}`),
  /** @returns {Promise<List<{client: string}>>} */
  traces: () => call('GET', 'traces'),
  /** @param {string} client @param {number} seconds @returns {Promise<{client: string, topic: string}>} */
  startTrace: (client, seconds) => call('POST', 'traces', { client, seconds }),
  /** @param {string} client @returns {Promise<void>} */
  stopTrace: (client) => call('DELETE', `traces${query({ client })}`),
  /** @returns {Promise<List<Group>>} */
  groups: () => call('GET', 'groups'),
  /** @returns {Promise<List<Bridge>>} */
  bridges: () => call('GET', 'bridges'),
  /** @param {{after?: string | number | null, limit?: number}} [page] @returns {Promise<List<Delayed> & {count: number}>} */
  delayed: (page = {}) => call('GET', `delayed${query(page)}`),
  /** @param {string} id @returns {Promise<void>} */
  cancelDelayed: (id) => call('DELETE', `delayed/${encodeURIComponent(id)}`),
  /** @param {string} topic @returns {Promise<void>} */
  clearRetained: (topic) => call('DELETE', `retained${query({ topic })}`),
  /** @returns {Promise<List<Space>>} */
  spaces: () => call('GET', 'spaces'),
  /** @param {{before?: string | number | null, limit?: number, user?: string}} [page] @returns {Promise<List<AuditEntry>>} */
  audit: (page = {}) => call('GET', `audit${query(page)}`),
  /** @returns {Promise<object>} */
  config: () => call('GET', 'config'),
  /** @param {{after?: string | number | null, limit?: number}} [page] @returns {Promise<List<Account>>} */
  accounts: (page = {}) => call('GET', `accounts${query(page)}`),
  /** @param {string} user @returns {Promise<Account>} */
  account: (user) => call('GET', `accounts/${encodeURIComponent(user)}`),
  /** @param {{user: string, password?: string, roles: string[]}} account @returns {Promise<Account>} */
  createAccount: (account) => call('POST', 'accounts', account),
  /** @param {string} user @param {{password?: string, roles?: string[], disabled?: boolean}} change @returns {Promise<Account>} */
  changeAccount: (user, change) => call('PATCH', `accounts/${encodeURIComponent(user)}`, change),
  /** @param {string} user @returns {Promise<void>} */
  removeAccount: (user) => call('DELETE', `accounts/${encodeURIComponent(user)}`),
  /** @param {{user: string, roles?: string[], expires_in?: number}} invite @returns {Promise<{user: string, ticket: string, path: string, expires_at: number}>} */
  invite: (invite) => call('POST', 'invite', invite),
  /** @param {string} [user] @returns {Promise<List<Token>>} */
  tokens: (user) => call('GET', `tokens${query({ user, limit: 1000 })}`),
  /** @param {{name: string, expires_in: number | null, rules?: Rule[]}} wanted @returns {Promise<Token & {token: string}>} */
  createToken: (wanted) => call('POST', 'tokens', wanted),
  /** @param {string} id @returns {Promise<void>} */
  revokeToken: (id) => call('DELETE', `tokens/${encodeURIComponent(id)}`),
};

/**
 * The name that a client goes by: what it chose for its session (MQTT's client id), else its device; else nothing.
 * @param {Session} session
 */
export function clientName({ name, device }) {
  return name ? name.slice(name.indexOf(':') + 1) : (device ?? '');
}

/**
 * All pages of a list, up to `max` items.
 * @template T
 * @param {(after: string | number | null) => Promise<List<T>>} page
 * @param {number} max
 * @returns {Promise<{items: T[], more: boolean}>}
 */
export async function all(page, max) {
  /** @type {T[]} */
  const items = [];
  /** @type {string | number | null} */
  let after = null;
  do {
    const list = /** @type {List<T>} */ (await page(after));
    items.push(...list.items);
    after = list.next;
  } while (after !== null && items.length < max);
  return { items, more: after !== null };
}
