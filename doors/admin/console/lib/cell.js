// A value that can be watched. All state that more than one part of the page shows lives in cells.

/** @template T */
export class Cell {
  /** @type {T} */ #value;
  /** @type {Set<(value: T) => void>} */ #watchers = new Set();

  /** @param {T} value */
  constructor(value) {
    this.#value = value;
  }

  get value() {
    return this.#value;
  }

  /** Sets the value and tells the watchers, where it differs. @param {T} value */
  set value(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    this.touch();
  }

  /** Tells the watchers that something inside the value changed. */
  touch() {
    for (const watcher of [...this.#watchers]) watcher(this.#value);
  }

  /**
   * Calls `watcher` now and at each change.
   * @param {(value: T) => void} watcher
   * @returns {() => void} ends the watching
   */
  watch(watcher) {
    // It listens before it is called, so that it hears of what it changes itself.
    const end = this.hear(watcher);
    watcher(this.#value);
    return end;
  }

  /**
   * Calls `watcher` at each change from now on.
   * @param {(value: T) => void} watcher
   * @returns {() => void} ends the watching
   */
  hear(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}

/**
 * Runs `work` once at the next frame, however often it was asked for meanwhile. In a hidden page, where there are no
 * frames, it runs after a short while.
 * @param {() => void} work
 * @returns {() => void} asks for it
 */
export function atNextFrame(work) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    const run = () => {
      if (!waits) return;
      waits = false;
      work();
    };
    if (document.hidden) setTimeout(run, 100);
    else {
      requestAnimationFrame(run);
      setTimeout(run, 250);
    }
  };
}
