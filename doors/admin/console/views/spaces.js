// <y-spaces>: the families of topics: what each keeps, how safely, and what becomes of slow listeners, in words.

import { bones, empty, failed, heading } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { admin } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { bytes, short, span, whole } from '../lib/format.js';
import { t } from '../lib/i18n.js';

/** @typedef {import('../lib/admin.js').Space} Space */

class Spaces extends Part {
  #frame = h('div', { class: 'content' }, h('section', { class: 'card' }, bones(8)));

  begin() {
    this.className = 'page';
    // Nothing in it can be focused, and it may have to be scrolled by keys.
    this.tabIndex = 0;
    this.replaceChildren(heading(t('nav.spaces'), t('spaces.text')), this.#frame);
    void this.#look();
    this.each(5000, () => {
      if (!document.hidden) void this.#look();
    });
  }

  async #look() {
    try {
      const { items } = await admin.spaces();
      fill(
        this.#frame,
        items.length ? h('div', { class: 'spaces' }, items.map(card)) : empty('spaces', t('spaces.none')),
        h('p', { class: 'notes' }, t('spaces.order')),
      );
    } catch (error) {
      if (!this.#frame.querySelector('.space'))
        fill(
          this.#frame,
          failed(error, () => void this.#look()),
        );
    }
  }
}

/** @param {Space} space */
function card(space) {
  const kind = { nothing: '', memory: 'wait', disk: 'good' }[space.keep] ?? '';
  const figures = space.figures;
  return h(
    'section',
    { class: 'card space' },
    h(
      'header',
      null,
      h('h2', null, space.name),
      h('code', { class: 'filter' }, space.topics),
      h('span', { class: `badge more ${kind}` }, t(`keep.${space.keep}`)),
    ),
    h(
      'div',
      { class: 'body' },
      h(
        'ul',
        { class: 'policies' },
        h('li', null, icon('history'), h('span', null, keeps(space))),
        h('li', null, icon('sessions'), h('span', null, t(`lag.${space.lag}`))),
        space.lanes > 1 ? h('li', null, icon('topics'), h('span', null, t('spaces.lanes', { n: space.lanes }))) : null,
      ),
      figures
        ? h(
            'dl',
            { class: 'figures' },
            figure(t('spaces.records'), short(figures.records), whole(figures.records)),
            figure(t('spaces.bytes'), bytes(figures.bytes)),
            figure(t('nav.topics'), short(figures.topics), whole(figures.topics)),
            figure(t('col.waiting'), whole(figures.waiting)),
          )
        : null,
    ),
  );
}

/** @param {string} name @param {string} value @param {string} [exact] */
function figure(name, value, exact) {
  return h('div', { title: exact }, h('dt', null, name), h('dd', { class: 'number' }, value));
}

/** @param {Space} space */
function keeps(space) {
  if (space.keep === 'nothing') return t('spaces.keeps.nothing');
  const limits = space.limits;
  const parts = [];
  if (limits?.records_max) parts.push(t('spaces.limit.records', { n: whole(limits.records_max) }));
  if (limits?.bytes_max) parts.push(bytes(limits.bytes_max));
  if (limits?.age_max) parts.push(span(limits.age_max));
  const where = space.keep === 'disk' ? t('spaces.keeps.disk') : t('spaces.keeps.memory');
  return `${where} ${parts.length ? t('spaces.limits', { limits: parts.join(' · ') }) : t('spaces.nolimit')}`;
}

customElements.define('y-spaces', Spaces);
