// Making and changing elements. Text always goes in as text, never as markup.

/** @typedef {Node | string | number | null | undefined | false | readonly any[]} Child What may stand in an element; lists are taken apart, however deep. */
/** @typedef {{[name: string]: any, class?: string, on?: {[event: string]: (event: any) => void}, data?: {[name: string]: string}, style?: {[name: string]: string}}} Props */

/**
 * An element with properties and children.
 *
 * `class` and `aria-*`, `role`, `for`, … become attributes; `on` holds listeners, `data` the dataset, `style` CSS properties
 * (through the object model, which the content security policy allows); everything else that the element knows becomes a property.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Props | null} [props]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  if (props) dress(element, props);
  put(element, children);
  return element;
}

/**
 * An SVG element with attributes and children.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {{[name: string]: string | number}} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, String(value));
  put(element, children);
  return element;
}

/**
 * @param {HTMLElement} element
 * @param {Props} props
 */
export function dress(element, props) {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name === 'on') {
      for (const [event, listener] of Object.entries(value))
        element.addEventListener(event, /** @type {EventListener} */ (listener));
    } else if (name === 'data') Object.assign(element.dataset, value);
    else if (name === 'style') {
      for (const [property, text] of Object.entries(/** @type {{[name: string]: string}} */ (value)))
        element.style.setProperty(property, text);
    } else if (name !== 'list' && name !== 'role' && name in element) /** @type {any} */ (element)[name] = value;
    else if (name === 'class') element.className = value;
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false || name.startsWith('aria-')) element.setAttribute(name, String(value));
  }
}

/**
 * Appends children; nothing for null, undefined and false.
 * @param {Element | DocumentFragment} parent
 * @param {Child[]} children
 */
export function put(parent, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) put(parent, /** @type {Child[]} */ (child));
    else parent.append(typeof child === 'number' ? String(child) : /** @type {Node | string} */ (child));
  }
}

/**
 * Replaces all children.
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren();
  put(parent, children);
}

/**
 * Brings the children of `parent` in line with `items`, with as few changes as possible: an element stays while its key
 * does, and is made anew when its `form` (a text that says all it shows) differs.
 * @template T
 * @param {Element} parent
 * @param {T[]} items
 * @param {{key: (item: T) => string, form: (item: T) => string, make: (item: T) => HTMLElement}} how
 */
export function reconcile(parent, items, { key, form, make }) {
  /** @type {Map<string, HTMLElement>} */
  const old = new Map();
  for (const child of parent.children) {
    if (child instanceof HTMLElement && child.dataset.key !== undefined) old.set(child.dataset.key, child);
  }
  /** @type {Element | null} */
  let at = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const shape = form(item);
    let element = old.get(name);
    old.delete(name);
    if (!element || shapes.get(element) !== shape) {
      const made = make(item);
      made.dataset.key = name;
      shapes.set(made, shape);
      if (element) {
        if (element === at) at = element.nextElementSibling;
        element.replaceWith(made);
        if (made.nextElementSibling !== at || made.parentElement !== parent) parent.insertBefore(made, at);
        element = made;
        continue;
      }
      element = made;
    }
    if (element === at) at = element.nextElementSibling;
    else parent.insertBefore(element, at);
  }
  for (const gone of old.values()) gone.remove();
}
/** @type {WeakMap<HTMLElement, string>} */
const shapes = new WeakMap();

/**
 * The first element in `root` that `selector` finds; it must be there.
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement}
 */
export function find(root, selector) {
  const found = root.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`nothing here is ${selector}`);
  return found;
}

/** The base of all custom elements here: what it keeps is ended when it leaves the page. */
export class Part extends HTMLElement {
  /** @type {(() => void)[]} */ #ends = [];

  connectedCallback() {
    if (this.#ends.length === 0) this.begin();
  }

  disconnectedCallback() {
    // Moving an element within the page also disconnects it; then it stays alive.
    queueMicrotask(() => {
      if (this.isConnected) return;
      const ends = this.#ends;
      this.#ends = [];
      for (const end of ends) end();
    });
  }

  /** Builds what it shows; called when it comes onto the page. */
  begin() {}

  /**
   * Has `end` called when the element leaves the page.
   * @param {() => void} end
   */
  keep(end) {
    this.#ends.push(end);
  }

  /**
   * Watches a cell as long as the element is on the page.
   * @template T
   * @param {import('./cell.js').Cell<T>} cell
   * @param {(value: T) => void} watcher
   */
  follow(cell, watcher) {
    this.keep(cell.watch(watcher));
  }

  /**
   * Listens as long as the element is on the page.
   * @param {EventTarget} target
   * @param {string} event
   * @param {(event: any) => void} listener
   * @param {AddEventListenerOptions} [options]
   */
  listen(target, event, listener, options) {
    target.addEventListener(event, listener, options);
    this.keep(() => target.removeEventListener(event, listener, options));
  }

  /**
   * Calls `work` each `ms` milliseconds as long as the element is on the page.
   * @param {number} ms
   * @param {() => void} work
   */
  each(ms, work) {
    const timer = setInterval(work, ms);
    this.keep(() => clearInterval(timer));
  }
}
