/** A cache that lives as long as this page or process. @returns {Cache} */
export function memoryCache(): Cache;
/**
 * The cache of one user at one server. Where IndexedDB is not there or does not open (private windows), one in memory.
 * @param {'indexeddb' | 'memory' | false | Cache} kind @param {string} name @returns {Promise<Cache>}
 */
export function openCache(kind: "indexeddb" | "memory" | false | Cache, name: string): Promise<Cache>;
/**
 * Holds a name among the tabs of this browser as long as the page lives. Where the platform has no locks, every tab
 * holds it.
 * @param {string} name @param {() => void} held Called when this tab has it: at once, or when the others are gone.
 * @returns {() => void} Lets go.
 */
export function holdName(name: string, held: () => void): () => void;
/** Which of these names are held by a tab; all that ask where the platform has no locks: none. @returns {Promise<Set<string>>} */
export function namesHeld(): Promise<Set<string>>;
export type StoreName = "facts" | "conversations" | "outbox" | "people";
/**
 * `undefined` as a value removes the row.
 */
export type Write = {
    store: StoreName;
    key: string;
    value: any;
};
export type Cache = {
    /**
     * All rows of a store.
     */
    all: (store: StoreName) => Promise<[string, any][]>;
    /**
     * All of them, or none.
     */
    write: (writes: Write[]) => Promise<void>;
    /**
     * Removes everything.
     */
    clear: () => Promise<void>;
    close: () => void;
};
