// The search panel: what was said, in this conversation or everywhere, by kind, person and time.

import { bones, empty, field, segments } from '../../components/bits.js';
import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { fill, h } from '../../lib/dom.js';
import { when } from '../../lib/format.js';
import { chat, nameOf, titleOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { go } from '../../lib/route.js';
import { marked } from './marked.js';
import { sayWhy } from './talk-menu.js';

const AFTER_MS = 250;
const PAGE = 30;

/** @param {import('../../lib/im/talk.js').Talk} talk @param {HTMLElement} panel @param {HTMLElement} content */
export function searchPanel(talk, panel, content) {
  let here = true;
  let asked = 0;
  const input = h('input', { class: 'input', type: 'search', placeholder: t('im.search'), 'aria-label': t('search.title'), autocomplete: 'off', spellcheck: false });
  const kind = h(
    'select',
    { class: 'input', 'aria-label': t('search.kinds') },
    h('option', { value: '' }, t('search.kind.any')),
    /** @type {const} */ (['text', 'image', 'video', 'file', 'voice']).map((value) => h('option', { value }, t(`search.kind.${value}`))),
  );
  const from = h('input', { class: 'input', placeholder: t('search.from'), 'aria-label': t('search.from'), autocomplete: 'off', spellcheck: false });
  const since = h('input', { class: 'input', type: 'date', 'aria-label': t('search.since') });
  panel.querySelector('header')?.after(
    h(
      'div',
      { class: 'search-form' },
      h('label', { class: 'search' }, icon('search'), input),
      segments(
        t('search.title'),
        [
          { value: 'here', text: t('search.here') },
          { value: 'all', text: t('search.all') },
        ],
        'here',
        (value) => {
          here = value === 'here';
          void look();
        },
      ),
      h('div', { class: 'more' }, kind, from),
      field(t('search.since'), since),
    ),
  );
  const look = async (/** @type {string | number} */ before = '') => {
    const text = input.value.trim();
    const now = ++asked;
    if (!text) {
      fill(content, h('p', { class: 'aside' }, t('search.begin')));
      return;
    }
    if (before === '') fill(content, bones(5));
    try {
      const found = await chat().search({
        text,
        limit: PAGE,
        ...(here && { conversation: talk.id }),
        ...(kind.value && { kinds: [/** @type {'text'} */ (kind.value)] }),
        ...(from.value.trim() && { from: from.value.trim() }),
        ...(since.value && { since: new Date(`${since.value}T00:00`).getTime() }),
        ...(before !== '' && { before }),
      });
      if (now !== asked) return;
      const rows = found.hits.map((hit) => row(hit, here));
      if (before === '')
        fill(content, found.hits.length ? h('p', { class: 'aside', role: 'status' }, t('search.count', { n: found.total })) : empty('search', t('search.none'), t('search.none.text')), rows);
      else {
        content.querySelector('.more-hits')?.remove();
        content.append(...rows);
      }
      if (found.next !== undefined && found.next !== null)
        content.append(h('button', { class: 'button small quiet more-hits', type: 'button', on: { click: () => void look(found.next) } }, t('search.more')));
    } catch (error) {
      if (now === asked) fill(content);
      sayWhy(error);
    }
  };
  let timer = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void look(), AFTER_MS);
  };
  for (const control of [input, from]) control.addEventListener('input', soon);
  for (const control of [kind, since]) control.addEventListener('change', () => void look());
  const row = (/** @type {import('/sdk/im/types.js').Hit} */ { message, snippet, marks }, /** @type {boolean} */ inside) => {
    const entry = chat().conversations.get(message.conversation);
    const open = () => {
      // On a phone the message covers the hits; beside them it is shown at once.
      if (message.conversation === talk.id && matchMedia('(min-width: 721px)').matches) talk.show(message.seq);
      else go('chat', message.conversation, 'at', String(message.seq));
    };
    return h(
      'button',
      { class: 'hit', type: 'button', on: { click: open } },
      personFace(message.from, { size: 34 }),
      h('b', null, inside || !entry || entry.kind === 'direct' ? nameOf(message.from) : `${nameOf(message.from)} · ${titleOf(entry)}`),
      h('time', null, when(message.at)),
      h('p', null, marked(snippet, marks)),
    );
  };
  void look();
  queueMicrotask(() => input.focus());
}
