// <y-topic-tree>: the topics that the server knows, as a tree with what each holds; arrow keys move and open.

import { bones, empty, failed, iconButton, searchField } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { admin, all } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { byName, short, whole } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { address, go, route } from '../lib/route.js';
import { treeOf } from '../lib/topics.js';

/** Topics that are loaded; beyond it a filter finds the rest. */
const TOPICS_MAX = 5000;
/** Entries of one level that are shown. */
const LEVEL_MAX = 300;

/** @typedef {import('../lib/topics.js').Branch} Branch */

class TopicTree extends Part {
  #list = h('ul', { role: 'tree', class: 'tree scroll' });
  #note = h('p', { class: 'aside' });
  /** @type {Branch | null} */ #root = null;
  /** @type {Set<string>} */ #open = new Set(['rooms']);
  #search = '';

  begin() {
    this.classList.add('card');
    this.#list.setAttribute('aria-label', t('nav.topics'));
    this.replaceChildren(
      h(
        'header',
        null,
        searchField(t('topics.search'), (text) => {
          this.#search = text;
          this.#draw();
        }),
        iconButton('refresh', t('refresh'), () => void this.#look()),
      ),
      this.#list,
      this.#note,
    );
    fill(this.#list, h('li', { role: 'none' }, bones(8)));
    void this.#look();
    this.each(10_000, () => {
      if (!document.hidden && !this.contains(document.activeElement)) void this.#look();
    });
    this.keep(route.hear(() => this.#mark()));
    this.listen(this.#list, 'keydown', (event) => this.#key(event));
  }

  async #look() {
    try {
      const { items, more } = await all((after) => admin.topics({ after, limit: 1000 }), TOPICS_MAX);
      this.#root = treeOf(items);
      this.#note.textContent =
        t('topics.count', { n: whole(items.length) }) + (more ? ` ${t('list.cut', { n: whole(TOPICS_MAX) })}` : '');
      this.#draw();
    } catch (error) {
      if (!this.#root)
        fill(
          this.#list,
          h(
            'li',
            { role: 'none' },
            failed(error, () => void this.#look()),
          ),
        );
    }
  }

  #draw() {
    if (!this.#root) return;
    const focused =
      document.activeElement instanceof HTMLElement && this.#list.contains(document.activeElement)
        ? document.activeElement.dataset['path']
        : undefined;
    const at = this.#list.scrollTop;
    if (this.#root.below.size === 0)
      fill(this.#list, h('li', { role: 'none' }, empty('topics', t('topics.empty'), t('topics.empty.text'))));
    else fill(this.#list, this.#level(this.#root, 1));
    this.#list.scrollTop = at;
    this.#mark();
    if (focused !== undefined)
      [...this.#list.querySelectorAll('a')].find((link) => link.dataset['path'] === focused)?.focus();
  }

  /**
   * @param {Branch} branch
   * @param {number} depth
   * @returns {HTMLElement[]}
   */
  #level(branch, depth) {
    const found = [...branch.below.values()]
      .filter((each) => !this.#search || this.#holds(each))
      .sort((a, b) => byName(a.name, b.name));
    const entries = found.slice(0, LEVEL_MAX).map((each) => this.#entry(each, depth));
    if (found.length > LEVEL_MAX)
      entries.push(
        h('li', { class: 'aside more-topics', role: 'none' }, t('topics.more', { n: found.length - LEVEL_MAX })),
      );
    return entries;
  }

  /** Whether the search finds it or something below it. @param {Branch} branch @returns {boolean} */
  #holds(branch) {
    return (
      branch.path.toLowerCase().includes(this.#search) || [...branch.below.values()].some((each) => this.#holds(each))
    );
  }

  /** @param {Branch} branch @param {number} depth @returns {HTMLElement} */
  #entry(branch, depth) {
    const inner = branch.below.size > 0;
    const open = inner && (this.#open.has(branch.path) || this.#search !== '');
    const filter = branch.info ? branch.path : `${branch.path}/#`;
    const kept = branch.info?.kept;
    const count = kept ? kept.newest_seq - kept.oldest_seq + 1 : 0;
    const twist = (/** @type {Event} */ event) => {
      event.preventDefault();
      event.stopPropagation();
      this.#twist(branch.path, !open);
    };
    const link = h(
      'a',
      {
        href: address('topics', filter),
        tabIndex: -1,
        class: 'branch',
        data: { path: branch.path, filter },
        style: { '--depth': String(depth) },
      },
      inner
        ? h('span', { class: open ? 'twist open' : 'twist', on: { click: twist } }, icon('forward'))
        : h('span', { class: 'twist' }),
      h('span', { class: 'name' }, branch.name || '∅'),
      branch.info && branch.info.listeners > 0
        ? h(
            'span',
            { class: 'listeners', title: t('topics.listening', { n: branch.info.listeners }) },
            h('span', { class: 'dot on' }),
            short(branch.info.listeners),
          )
        : null,
      kept
        ? h('span', { class: 'kept number', title: t('topics.kept', { n: whole(count) }) }, short(count))
        : inner && !open
          ? h('span', { class: 'kept number' }, `${short(branch.count)} ›`)
          : null,
    );
    return h(
      'li',
      { role: 'treeitem', 'aria-expanded': inner ? String(open) : undefined },
      link,
      open ? h('ul', { role: 'group' }, this.#level(branch, depth + 1)) : null,
    );
  }

  /** @param {string} path @param {boolean} open */
  #twist(path, open) {
    if (open) this.#open.add(path);
    else this.#open.delete(path);
    this.#draw();
  }

  #mark() {
    const links = [...this.#list.querySelectorAll('a')];
    let any = false;
    for (const link of links) {
      const on = link.dataset['filter'] === route.value[1];
      link.toggleAttribute('aria-current', on);
      link.tabIndex = on ? 0 : -1;
      if (on && !any) link.scrollIntoView({ block: 'nearest' });
      any ||= on;
    }
    if (!any && links[0]) links[0].tabIndex = 0;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const link = event.target;
    if (!(link instanceof HTMLAnchorElement)) return;
    const links = [...this.#list.querySelectorAll('a')];
    const at = links.indexOf(link);
    const path = link.dataset['path'] ?? '';
    const state = link.parentElement?.getAttribute('aria-expanded');
    if (event.key === 'ArrowDown') links[at + 1]?.focus();
    else if (event.key === 'ArrowUp') links[at - 1]?.focus();
    else if (event.key === 'ArrowRight' && state === 'false') this.#twist(path, true);
    else if (event.key === 'ArrowLeft' && state === 'true') this.#twist(path, false);
    else if (event.key === 'ArrowLeft') link.parentElement?.parentElement?.closest('li')?.querySelector('a')?.focus();
    else if (event.key === ' ') go('topics', link.dataset['filter'] ?? '');
    else return;
    event.preventDefault();
  }
}

customElements.define('y-topic-tree', TopicTree);
