// Making elements, and values that can be watched. Text always goes in as text, never as markup.

/** @typedef {Node | string | number | null | undefined | false | readonly any[]} Child */

/**
 * An element with properties and children: `on` holds listeners, `data` the dataset; what the element knows becomes a
 * property, all else an attribute.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {{[name: string]: any} | null} [props] @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null) continue;
    if (name === 'on') for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'class') element.className = value;
    else if (name !== 'role' && name in element) /** @type {any} */ (element)[name] = value;
    else if (value !== false || name.startsWith('aria-')) element.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value));
  }
  put(element, children);
  return element;
}

/** @param {Element} parent @param {readonly Child[]} children */
function put(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) put(parent, child);
    else parent.append(typeof child === 'number' ? String(child) : /** @type {Node | string} */ (child));
  }
}

/** Replaces all children. @param {Element} parent @param {...Child} children */
export function fill(parent, ...children) {
  parent.replaceChildren();
  put(parent, children);
}

/** A value that can be watched. @template T */
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

  /** @param {T} value */
  set value(value) {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher(value);
  }

  /** Calls `watcher` at each change from now on. @param {(value: T) => void} watcher @returns {() => void} ends it */
  hear(watcher) {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Calls `watcher` now and at each change. @param {(value: T) => void} watcher @returns {() => void} ends it */
  watch(watcher) {
    const end = this.hear(watcher);
    watcher(this.#value);
    return end;
  }
}

/** Calls `work` now and whenever one of the cells changes. @param {Cell<any>[]} cells @param {() => void} work */
export function watchAll(cells, work) {
  for (const cell of cells) cell.hear(work);
  work();
}
