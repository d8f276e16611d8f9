// @ts-check
/**
 * Where messaging keeps what should survive a reload: in IndexedDB, in memory, or nowhere.
 *
 * @module yizhan/im/cache
 */

/** @typedef {'facts' | 'conversations' | 'outbox' | 'people'} StoreName */
/** @typedef {{store: StoreName, key: string, value: any}} Write `undefined` as a value removes the row. */
/**
 * @typedef {object} Cache
 * @property {(store: StoreName) => Promise<[string, any][]>} all All rows of a store.
 * @property {(writes: Write[]) => Promise<void>} write All of them, or none.
 * @property {() => Promise<void>} clear Removes everything.
 * @property {() => void} close
 */

/** @type {StoreName[]} */
const STORES = ['facts', 'conversations', 'outbox', 'people'];
/** Counts up when what is kept is no longer read by older code; older caches are thrown away then. */
const VERSION = 1;
/** Those that live as long as the page. @type {Map<string, Cache>} */
const inMemory = new Map();

/** A cache that lives as long as this page or process. @returns {Cache} */
export function memoryCache() {
  /** @type {Record<string, Map<string, any>>} */
  const stores = Object.fromEntries(STORES.map((name) => [name, new Map()]));
  return {
    all: async (store) => [...stores[store]],
    async write(writes) {
      for (const { store, key, value } of writes) {
        if (value === undefined) stores[store].delete(key);
        else stores[store].set(key, value);
      }
    },
    async clear() {
      for (const store of STORES) stores[store].clear();
    },
    close() {},
  };
}

/** A cache that keeps nothing. @returns {Cache} */
function noCache() {
  return { all: async () => [], write: async () => {}, clear: async () => {}, close() {} };
}

/**
 * @template T
 * @param {IDBRequest<T>} request @returns {Promise<T>}
 */
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** @param {IDBTransaction} transaction @returns {Promise<void>} */
const committed = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onabort = transaction.onerror = () => reject(transaction.error);
});

/** @param {string} name @returns {Promise<Cache>} */
async function indexedDbCache(name) {
  const opening = indexedDB.open(name, VERSION);
  opening.onupgradeneeded = () => {
    const database = opening.result;
    for (const store of [...database.objectStoreNames]) database.deleteObjectStore(store);
    for (const store of STORES) database.createObjectStore(store);
  };
  const database = await done(opening);
  // Another tab has newer code: it must not wait for us.
  database.onversionchange = () => database.close();
  return {
    async all(store) {
      const rows = database.transaction(store).objectStore(store);
      const [keys, values] = await Promise.all([done(rows.getAllKeys()), done(rows.getAll())]);
      return keys.map((key, i) => [String(key), values[i]]);
    },
    async write(writes) {
      if (writes.length === 0) return;
      const transaction = database.transaction([...new Set(writes.map(({ store }) => store))], 'readwrite');
      for (const { store, key, value } of writes) {
        if (value === undefined) transaction.objectStore(store).delete(key);
        else transaction.objectStore(store).put(value, key);
      }
      await committed(transaction);
    },
    async clear() {
      const transaction = database.transaction(STORES, 'readwrite');
      for (const store of STORES) transaction.objectStore(store).clear();
      await committed(transaction);
    },
    close: () => database.close(),
  };
}

/**
 * The cache of one user at one server. Where IndexedDB is not there or does not open (private windows), one in memory.
 * @param {'indexeddb' | 'memory' | false | Cache} kind @param {string} name @returns {Promise<Cache>}
 */
export async function openCache(kind, name) {
  if (kind === false) return noCache();
  if (typeof kind === 'object') return kind;
  if (kind === 'indexeddb' && typeof indexedDB !== 'undefined') {
    try {
      return await indexedDbCache(name);
    } catch {
      // As if there were none.
    }
  }
  const cache = inMemory.get(name) ?? memoryCache();
  inMemory.set(name, cache);
  return cache;
}

/**
 * Holds a name among the tabs of this browser as long as the page lives. Where the platform has no locks, every tab
 * holds it.
 * @param {string} name @param {() => void} held Called when this tab has it: at once, or when the others are gone.
 * @returns {() => void} Lets go.
 */
export function holdName(name, held) {
  const locks = /** @type {any} */ (globalThis).navigator?.locks;
  if (!locks) {
    held();
    return () => {};
  }
  const abort = new AbortController();
  let release = () => {};
  const until = new Promise((resolve) => (release = () => resolve(undefined)));
  locks.request(name, { signal: abort.signal }, () => {
    held();
    return until;
  }).catch(() => {});
  return () => {
    abort.abort();
    release();
  };
}

/** Which of these names are held by a tab; all that ask where the platform has no locks: none. @returns {Promise<Set<string>>} */
export async function namesHeld() {
  const locks = /** @type {any} */ (globalThis).navigator?.locks;
  const { held = [] } = (await locks?.query()) ?? {};
  return new Set(held.map((/** @type {{name: string}} */ { name }) => name));
}
