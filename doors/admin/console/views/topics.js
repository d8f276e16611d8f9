// <y-topics>: the topic explorer: which topics there are, and what is said in them: live, kept, as state; and publishing.

import './topic-feed.js';
import './topic-publish.js';
import './topic-tree.js';
import { heading, segments } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { me } from '../lib/account.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { address, go, goInstead, route } from '../lib/route.js';
import { filterProblem, hasWildcard } from '../lib/topics.js';

/** @typedef {'live' | 'state' | 'history' | 'listeners' | 'publish'} Tab */

class Topics extends Part {
  #body = h('div', { class: 'explorer-body' });
  #tabs = h('div');
  #input = h('input', {
    class: 'input mono',
    name: 'filter',
    spellcheck: false,
    autocapitalize: 'off',
    autocomplete: 'off',
    placeholder: 'rooms/#',
  });
  #problem = h('p', { class: 'aside', role: 'alert' });

  begin() {
    this.className = 'page explorer';
    const admin = me.value?.admin ?? false;
    this.#input.setAttribute('aria-label', t('topics.filter'));
    const form = h(
      'form',
      {
        class: 'filter-form',
        on: {
          submit: (/** @type {Event} */ event) => {
            event.preventDefault();
            this.#open(this.#input.value.trim());
          },
        },
      },
      this.#input,
      h('button', { class: 'button main', type: 'submit' }, t('topics.open')),
    );
    this.replaceChildren(
      heading(t('nav.topics'), t('topics.text')),
      h(
        'div',
        { class: admin ? 'explorer-grid' : 'explorer-grid alone' },
        admin ? document.createElement('y-topic-tree') : null,
        h(
          'section',
          { class: 'card explorer-main' },
          h('div', { class: 'explorer-head' }, form, this.#tabs, this.#problem),
          this.#body,
        ),
      ),
    );
    this.follow(route, ([view, filter, tab]) => {
      if (view === 'topics') this.#show(filter ?? '', /** @type {Tab} */ (tab ?? 'live'));
    });
  }

  /** @param {string} filter */
  #open(filter) {
    const problem = filterProblem(filter);
    this.#problem.textContent = problem ? t(`topics.bad.${problem}`) : '';
    if (problem) return;
    const tab = route.value[2] ?? 'live';
    go('topics', filter, hasWildcard(filter) && (tab === 'history' || tab === 'publish') ? 'live' : tab);
  }

  /** @param {string} filter @param {Tab} tab */
  #show(filter, tab) {
    this.#input.value = filter;
    this.#problem.textContent = '';
    if (!filter) {
      fill(this.#tabs);
      fill(this.#body, this.#nothing());
      return;
    }
    const one = !hasWildcard(filter);
    /** @type {{value: Tab, text: string}[]} */
    const tabs = [
      { value: 'live', text: t('topics.live') },
      { value: 'state', text: t('topics.state') },
    ];
    if (one) tabs.push({ value: 'history', text: t('topics.history') });
    if (me.value?.admin) tabs.push({ value: 'listeners', text: t('topics.listeners') });
    if (one) tabs.push({ value: 'publish', text: t('topics.publish') });
    if (!tabs.some(({ value }) => value === tab)) tab = 'live';
    fill(
      this.#tabs,
      segments(t('topics.tabs'), tabs, tab, (value) => goInstead('topics', filter, value)),
    );
    if (tab === 'publish') {
      const publish = /** @type {import('./topic-publish.js').TopicPublish} */ (
        document.createElement('y-topic-publish')
      );
      publish.topic = filter;
      fill(this.#body, publish);
      return;
    }
    const feed = /** @type {import('./topic-feed.js').TopicFeed} */ (document.createElement('y-topic-feed'));
    feed.filter = filter;
    feed.kind = tab;
    fill(this.#body, feed);
  }

  #nothing() {
    const examples = me.value?.admin ? ['#', 'rooms/#', '$SYS/#', '$presence/#'] : ['#', 'rooms/+', '$presence/#'];
    return h(
      'div',
      { class: 'empty' },
      icon('topics'),
      h('h2', null, t('topics.none')),
      h('p', null, t('topics.none.text')),
      h(
        'div',
        { class: 'examples' },
        examples.map((filter) =>
          h('a', { class: 'button small', href: address('topics', filter) }, h('code', null, filter)),
        ),
      ),
    );
  }
}

customElements.define('y-topics', Topics);
