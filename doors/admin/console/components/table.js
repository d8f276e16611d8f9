// A table that sorts, searches and keeps its rows' places; arrow keys move through its rows.

import { h, reconcile } from '../lib/dom.js';
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
 * @param {{
 *   label: string,
 *   columns: Column<T>[],
 *   key: (row: T) => string,
 *   form?: (row: T) => string,
 *   words?: (row: T) => string,
 *   sort?: [string, 1 | -1],
 *   open?: (row: T) => void,
 *   none: () => HTMLElement,
 * }} how
 */
export function dataTable(how) {
  /** @type {T[]} */
  let rows = [];
  let search = '';
  let [by, direction] = how.sort ?? [how.columns[0]?.name ?? '', /** @type {1 | -1} */ (1)];
  let chosen = '';

  const body = h('tbody');
  const heads = how.columns.map((column) =>
    h(
      'th',
      { scope: 'col', class: column.right ? 'right' : '' },
      column.sort
        ? h('button', { type: 'button', on: { click: () => sortBy(column.name) } }, column.label, icon('down'))
        : h('span', null, column.tools ? h('span', { class: 'unseen' }, column.label) : column.label),
    ),
  );
  const table = h('table', { class: 'table', 'aria-label': how.label }, h('thead', null, h('tr', null, heads)), body);
  const note = h('p', { class: 'aside table-note', hidden: true });
  const none = h('div', { hidden: true });
  const element = h('div', { class: 'table-frame' }, table, note, none);

  /** @param {string} name */
  function sortBy(name) {
    direction = by === name ? /** @type {1 | -1} */ (-direction) : 1;
    by = name;
    draw();
  }

  function draw() {
    const column = how.columns.find((each) => each.name === by);
    const value = column?.sort;
    let shown = search ? rows.filter((row) => (how.words?.(row) ?? how.key(row)).toLowerCase().includes(search)) : [...rows];
    // Rows that are alike stand in the order in which they came, or the other way round.
    if (direction === -1) shown.reverse();
    if (value) {
      shown.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        return direction * (typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true }));
      });
    }
    const all = shown.length;
    shown = shown.slice(0, ROWS_MAX);
    how.columns.forEach((each, i) => {
      if (each.name === by && each.sort) heads[i]?.setAttribute('aria-sort', direction === 1 ? 'ascending' : 'descending');
      else heads[i]?.removeAttribute('aria-sort');
    });
    reconcile(body, shown, { key: how.key, form: (row) => how.form?.(row) ?? JSON.stringify(row), make: line });
    for (const row of body.rows) row.classList.toggle('chosen', row.dataset.key === chosen && chosen !== '');
    if (how.open && !body.querySelector('tr[tabindex="0"]') && body.rows[0]) body.rows[0].tabIndex = 0;
    note.hidden = all <= ROWS_MAX;
    note.textContent = t('table.more', { shown: ROWS_MAX, all });
    table.hidden = all === 0;
    none.hidden = all > 0;
    if (all === 0) none.replaceChildren(search ? h('p', { class: 'empty' }, t('table.none', { search })) : how.none());
  }

  /** @param {T} row */
  function line(row) {
    const open = how.open;
    const tr = h(
      'tr',
      open
        ? {
            tabIndex: -1,
            on: {
              click: (/** @type {MouseEvent} */ event) => {
                if (event.target instanceof Element && event.target.closest('button, a, input')) return;
                choose(how.key(row));
                open(row);
              },
              keydown: (/** @type {KeyboardEvent} */ event) => {
                if (event.target !== tr) return;
                if (event.key === 'Enter' || event.key === ' ') {
                  event.preventDefault();
                  choose(how.key(row));
                  open(row);
                }
                const next = event.key === 'ArrowDown' ? tr.nextElementSibling : event.key === 'ArrowUp' ? tr.previousElementSibling : null;
                if (next instanceof HTMLElement) {
                  event.preventDefault();
                  tr.tabIndex = -1;
                  next.tabIndex = 0;
                  next.focus();
                }
              },
            },
          }
        : null,
      how.columns.map((column) => {
        const content = column.cell(row);
        const title = typeof content === 'string' && content.length > 24 ? content : undefined;
        return h('td', { class: column.tools ? 'tools' : column.right ? 'right' : '', title }, content);
      }),
    );
    return tr;
  }

  /** @param {string} key */
  function choose(key) {
    chosen = key;
    for (const row of body.rows) row.classList.toggle('chosen', row.dataset.key === key);
  }

  return {
    element,
    choose,
    /** @param {T[]} list */
    show(list) {
      rows = list;
      draw();
    },
    /** @param {string} text */
    search(text) {
      search = text;
      draw();
    },
  };
}
