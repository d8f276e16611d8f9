// A table that sorts, searches and keeps its rows' places; arrow keys move through its rows.

import { h, reconcile } from '../lib/dom.js';
import { byName } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { icon } from './icon.js';

/** Rows that are shown at once; more are found by searching. */
const ROWS_MAX = 500;

/**
 * @template T
 * @typedef {{
 *   name: string,
 *   label: string,
 *   sort?: (row: T) => string | number,
 *   cell: (row: T) => import('../lib/dom.js').Child,
 *   right?: boolean,
 *   tools?: boolean,
 * }} Column
 */

/**
 * @template T
 * @typedef {{
 *   label: string,
 *   columns: Column<T>[],
 *   key: (row: T) => string,
 *   form?: (row: T) => string,
 *   words?: (row: T) => string,
 *   sort?: [string, 1 | -1],
 *   open?: (row: T) => void,
 *   none: () => HTMLElement,
 * }} TablePlan
 */

/** @template T */
export class DataTable {
  #plan;
  /** @type {T[]} */ #rows = [];
  #search = '';
  /** The column that sorts. @type {string} */ #by;
  /** @type {1 | -1} */ #direction;
  #chosen = '';
  #body = h('tbody');
  #heads;
  #table;
  #note = h('p', { class: 'aside table-note', hidden: true });
  #none = h('div', { hidden: true });

  /** @param {TablePlan<T>} plan */
  constructor(plan) {
    this.#plan = plan;
    [this.#by, this.#direction] = plan.sort ?? [plan.columns[0]?.name ?? '', /** @type {1 | -1} */ (1)];
    this.#heads = plan.columns.map((column) => this.#head(column));
    this.#table = h(
      'table',
      { class: 'table', 'aria-label': plan.label },
      h('thead', null, h('tr', null, this.#heads)),
      this.#body,
    );
    this.element = h('div', { class: 'table-frame' }, this.#table, this.#note, this.#none);
  }

  /** @param {T[]} rows */
  show(rows) {
    this.#rows = rows;
    this.#draw();
  }

  /** @param {string} text in small letters */
  search(text) {
    this.#search = text;
    this.#draw();
  }

  /** @param {Column<T>} column */
  #head(column) {
    const content = column.sort
      ? h('button', { type: 'button', on: { click: () => this.#sortBy(column.name) } }, column.label, icon('down'))
      : h('span', null, column.tools ? h('span', { class: 'unseen' }, column.label) : column.label);
    return h('th', { scope: 'col', class: column.right ? 'right' : '' }, content);
  }

  /** @param {string} name */
  #sortBy(name) {
    this.#direction = this.#by === name ? /** @type {1 | -1} */ (-this.#direction) : 1;
    this.#by = name;
    this.#draw();
  }

  /** The rows that the search finds, in their order. */
  #found() {
    const { columns, words, key } = this.#plan;
    const found = this.#search
      ? this.#rows.filter((row) => (words?.(row) ?? key(row)).toLowerCase().includes(this.#search))
      : [...this.#rows];
    // Rows that are alike stand in the order in which they came, or the other way round.
    if (this.#direction === -1) found.reverse();
    const value = columns.find(({ name }) => name === this.#by)?.sort;
    if (!value) return found;
    return found.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      const order = typeof x === 'number' && typeof y === 'number' ? x - y : byName(String(x), String(y));
      return this.#direction * order;
    });
  }

  #draw() {
    const { columns, key, form, open, none } = this.#plan;
    const found = this.#found();
    columns.forEach(({ name, sort }, i) => {
      if (name === this.#by && sort)
        this.#heads[i]?.setAttribute('aria-sort', this.#direction === 1 ? 'ascending' : 'descending');
      else this.#heads[i]?.removeAttribute('aria-sort');
    });
    reconcile(this.#body, found.slice(0, ROWS_MAX), {
      key,
      form: (row) => form?.(row) ?? JSON.stringify(row),
      make: (row) => this.#line(row),
    });
    this.#mark();
    if (open && !this.#body.querySelector('tr[tabindex="0"]') && this.#body.rows[0]) this.#body.rows[0].tabIndex = 0;
    this.#note.hidden = found.length <= ROWS_MAX;
    this.#note.textContent = t('table.more', { shown: ROWS_MAX, all: found.length });
    this.#table.hidden = found.length === 0;
    this.#none.hidden = found.length > 0;
    if (found.length === 0)
      this.#none.replaceChildren(
        this.#search ? h('p', { class: 'empty' }, t('table.none', { search: this.#search })) : none(),
      );
  }

  /** @param {T} row */
  #line(row) {
    const line = h(
      'tr',
      null,
      this.#plan.columns.map((column) => {
        const content = column.cell(row);
        const title = typeof content === 'string' && content.length > 24 ? content : undefined;
        return h('td', { class: column.tools ? 'tools' : column.right ? 'right' : '', title }, content);
      }),
    );
    if (!this.#plan.open) return line;
    line.tabIndex = -1;
    line.addEventListener('click', (event) => {
      if (event.target instanceof Element && event.target.closest('button, a, input')) return;
      this.#open(row);
    });
    line.addEventListener('keydown', (event) => {
      if (event.target !== line) return;
      const next =
        event.key === 'ArrowDown'
          ? line.nextElementSibling
          : event.key === 'ArrowUp'
            ? line.previousElementSibling
            : null;
      if (next instanceof HTMLElement) {
        line.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      } else if (event.key === 'Enter' || event.key === ' ') this.#open(row);
      else return;
      event.preventDefault();
    });
    return line;
  }

  /** @param {T} row */
  #open(row) {
    this.#chosen = this.#plan.key(row);
    this.#mark();
    this.#plan.open?.(row);
  }

  #mark() {
    for (const row of this.#body.rows)
      row.classList.toggle('chosen', row.dataset['key'] === this.#chosen && this.#chosen !== '');
  }
}

/**
 * @template T
 * @param {TablePlan<T>} plan
 */
export function dataTable(plan) {
  return new DataTable(plan);
}
