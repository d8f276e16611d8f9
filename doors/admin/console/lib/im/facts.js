// What is known of a message's file: what the server found in it, and what this page saw before it was sent.

/** @typedef {import('/sdk/im.js').Content} Content */
/** @typedef {{bytes?: number, type?: string, width?: number, height?: number, thumb?: boolean, blur?: string, duration_ms?: number}} Facts */

/** Of files that are on their way. @type {WeakMap<Blob, Facts>} */
const here = new WeakMap();

/** Remembers what this page saw of a file. @param {Blob} file @param {Facts} facts */
export function rememberFacts(file, facts) {
  here.set(file, facts);
}

/** @param {Content} content @param {{file?: unknown}} [message] @returns {Facts} */
export function factsOf(content, message) {
  const seen = message?.file instanceof Blob ? { bytes: message.file.size, ...here.get(message.file) } : {};
  const { facts = {} } = /** @type {{facts?: Facts}} */ (content);
  return { ...seen, ...facts };
}

/** A content as one sends it: without what only the server says. @param {Content} content @returns {Content} */
export function asSent(content) {
  const { facts: _facts, origin: _origin, ...rest } = /** @type {Content & {facts?: Facts}} */ (content);
  return rest;
}
