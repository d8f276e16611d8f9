// Topic names and filters as MQTT has them, and the tree that names form.

/**
 * Whether a filter matches a topic: `+` is one level, a last `#` any number; neither reaches `$` names at the first level.
 * @param {string} filter
 * @param {string} topic
 */
export function matches(filter, topic) {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false;
  for (const [i, level] of wanted.entries()) {
    if (level === '#') return true;
    if (i >= levels.length || (level !== '+' && level !== levels[i])) return false;
  }
  return wanted.length === levels.length;
}

/** Whether a text has a place for more than one topic. @param {string} filter */
export function hasWildcard(filter) {
  return filter.split('/').some((level) => level === '+' || level === '#');
}

/**
 * What is wrong with a filter; `null` where it is good.
 * @param {string} filter
 * @returns {'empty' | 'hash' | 'plus' | 'long' | null}
 */
export function filterProblem(filter) {
  if (filter === '') return 'empty';
  if (new TextEncoder().encode(filter).length > 1024 || filter.split('/').length > 64) return 'long';
  const levels = filter.split('/');
  for (const [i, level] of levels.entries()) {
    if (level.includes('#') && (level !== '#' || i !== levels.length - 1)) return 'hash';
    if (level.includes('+') && level !== '+') return 'plus';
  }
  return null;
}

/** @typedef {import('./admin.js').TopicInfo} TopicInfo */
/** @typedef {{name: string, path: string, info: TopicInfo | null, below: Map<string, Branch>, count: number}} Branch */

/**
 * The tree of topics.
 * @param {TopicInfo[]} list
 * @returns {Branch}
 */
export function treeOf(list) {
  /** @type {Branch} */
  const root = { name: '', path: '', info: null, below: new Map(), count: 0 };
  for (const info of list) {
    let at = root;
    at.count++;
    for (const name of info.topic.split('/')) {
      const path = at === root ? name : `${at.path}/${name}`;
      let next = at.below.get(name);
      if (!next) {
        next = { name, path, info: null, below: new Map(), count: 0 };
        at.below.set(name, next);
      }
      next.count++;
      at = next;
    }
    at.info = info;
  }
  return root;
}
