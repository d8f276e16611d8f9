// Where in the console we are: `#/view/part/part`, each part percent-encoded.

import { Cell } from './cell.js';

/** @returns {string[]} the parts of the address after `#/` */
function read() {
  const hash = location.hash.replace(/^#\/?/, '');
  return hash.split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

/** The parts of the current address; the first names the view. */
export const route = new Cell(read());
addEventListener('hashchange', () => (route.value = read()));

/**
 * The address of a place in the console.
 * @param {...string} parts
 */
export function address(...parts) {
  return '#/' + parts.map(encodeURIComponent).join('/');
}

/**
 * Goes to a place in the console.
 * @param {...string} parts
 */
export function go(...parts) {
  location.hash = address(...parts);
}

/**
 * As `go`, without a new entry in the history.
 * @param {...string} parts
 */
export function goInstead(...parts) {
  history.replaceState(null, '', address(...parts));
  route.value = read();
}
