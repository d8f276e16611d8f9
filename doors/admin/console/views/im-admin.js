// <y-im>: messaging for operators: figures, what users reported, words that are kept out, and webhooks.

import { bones, empty, failed, field, heading, segments } from '../components/bits.js';
import { ask } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { Part, fill, h } from '../lib/dom.js';
import { token } from '../lib/admin.js';
import { bytes, moment, whole } from '../lib/format.js';
import { chat, chatState, nameOf } from '../lib/im/im.js';
import { preview } from '../lib/im/preview.js';
import { t, tName } from '../lib/i18n.js';
import { tell } from '../lib/notices.js';
import { go, route } from '../lib/route.js';
import { personFace } from '../components/face.js';
import { showProfile } from './chat/profile.js';
import { attempt } from './chat/talk-menu.js';

/** @typedef {'stats' | 'reports' | 'words' | 'webhooks'} Tab */
/** @typedef {{id: string, at: number, by: string, user?: string, conversation?: string, seq?: number, reason: string, text?: string, message?: import('/sdk/im.js').Message, state?: string, verdict?: string, note?: string}} Report */
/** @typedef {{name: string, url: string, waiting: number, failed?: number, last_at?: number, last_error?: string}} Webhook */

const tabs = /** @type {const} */ (['stats', 'reports', 'words', 'webhooks']);
const REFRESH_MS = 5000;
const PAGE = 50;
const DAY_S = 86_400;

class ImAdmin extends Part {
  #content = h('div', { class: 'content' });
  #shown = '';

  begin() {
    this.className = 'page';
    this.replaceChildren(heading(t('nav.im'), t('imadmin.text')), this.#content);
    this.follow(route, () => this.#go());
    this.follow(chatState, () => this.#go());
    this.each(REFRESH_MS, () => {
      const card = this.#content.querySelector('.card');
      if (this.#shown === 'stats' && card instanceof HTMLElement && !document.hidden) void stats(card).catch(() => undefined);
    });
  }

  #go() {
    const [view, tab = 'stats'] = route.value;
    if (view !== 'im') return;
    if (chatState.value.phase === 'refused') return fill(this.#content, empty('lock', t('im.refused'), chatState.value.reason));
    if (chatState.value.phase !== 'ready') return fill(this.#content, bones(6));
    const shown = tabs.find((each) => each === tab) ?? 'stats';
    if (this.#shown === shown && this.#content.querySelector('.toolbar')) return;
    this.#shown = shown;
    this.#draw(shown);
  }

  /** @param {Tab} shown */
  #draw(shown) {
    const body = h('section', { class: 'card' }, bones(4));
    fill(
      this.#content,
      h(
        'div',
        { class: 'toolbar' },
        segments(
          t('imadmin.tabs'),
          tabs.map((value) => ({ value, text: t(`imadmin.${value}`) })),
          shown,
          (value) => go('im', value),
        ),
      ),
      body,
    );
    const make = { stats, reports, words, webhooks }[shown];
    void make(body).catch((error) => fill(body, failed(error, () => this.#draw(shown))));
  }
}

/** @param {HTMLElement} body */
async function stats(body) {
  const found = /** @type {{[name: string]: unknown}} */ (await chat().ask('admin/stats', {}));
  const shown = Object.entries(found).filter(([, value]) => typeof value === 'number');
  fill(
    body,
    h(
      'dl',
      { class: 'im-figures' },
      shown.map(([name, value]) =>
        h('div', null, h('dt', null, tName('imstat', name)), h('dd', { class: 'number' }, name.endsWith('bytes') ? bytes(Number(value)) : whole(Number(value)))),
      ),
    ),
  );
}

/** @param {HTMLElement} body @param {'open' | 'closed'} [state] */
async function reports(body, state = 'open') {
  const list = h('ul', { class: 'reports' });
  const foot = h('div', { class: 'body' });
  fill(
    body,
    h(
      'header',
      null,
      segments(
        t('imadmin.reports'),
        [
          { value: /** @type {'open' | 'closed'} */ ('open'), text: t('imadmin.reports.open') },
          { value: 'closed', text: t('imadmin.reports.closed') },
        ],
        state,
        (value) => void attempt(reports(body, value)),
      ),
    ),
    list,
    foot,
  );
  const more = async (/** @type {string} */ after = '') => {
    const found = await chat().ask('admin/reports', { state, limit: PAGE, ...(after && { after }) });
    for (const each of found.reports ?? []) list.append(reportRow(each, state));
    fill(
      foot,
      list.childElementCount ? null : empty('shield', t('imadmin.reports.none'), t('imadmin.reports.none.text')),
      found.next ? h('button', { class: 'button small quiet', type: 'button', on: { click: () => void attempt(more(String(found.next))) } }, t('more')) : null,
    );
  };
  await more();
}

/** @param {Report} report @param {string} state */
function reportRow(report, state) {
  const { message } = report;
  const row = h(
    'li',
    null,
    report.user ? h('button', { class: 'face', type: 'button', 'aria-label': nameOf(report.user), on: { click: () => void showProfile(report.user ?? '') } }, personFace(report.user, { size: 38 })) : icon('flag'),
    h(
      'div',
      { class: 'who' },
      h('b', null, report.user ? nameOf(report.user) : (report.conversation ?? '')),
      ' ',
      h('span', { class: 'badge bad' }, tName('report', report.reason)),
      h('p', { class: 'said' }, message ? (message.recalled ? t('im.kind.recalled') : preview(message.content)) : (report.text ?? '')),
      message && report.text ? h('p', null, `“${report.text}”`) : null,
      h('small', { class: 'aside' }, `${t('imadmin.reports.by', { name: nameOf(report.by) })} · ${moment(report.at)}`, report.note ? ` · ${report.note}` : ''),
    ),
  );
  if (state !== 'open') return row;
  const close = (/** @type {'dismissed' | 'settled'} */ verdict) => {
    const note = h('input', { class: 'input', maxLength: 300 });
    ask({
      title: t(verdict === 'settled' ? 'imadmin.reports.act' : 'imadmin.reports.dismiss'),
      fields: [field(t('imadmin.reports.note'), note)],
      yes: t('done'),
      send: async () => {
        await chat().ask('admin/report', { id: report.id, verdict, ...(note.value.trim() && { note: note.value.trim() }) });
        row.remove();
      },
    });
  };
  row.append(
    h(
      'div',
      { class: 'badges' },
      message && !message.recalled
        ? h(
            'button',
            {
              class: 'button small danger',
              type: 'button',
              on: {
                click: async () => {
                  if (!(await attempt(removeMessage(message), t('done')))) return;
                  const said = row.querySelector('.said');
                  if (said) said.textContent = t('im.kind.recalled');
                },
              },
            },
            t('imadmin.reports.remove'),
          )
        : null,
      report.user
        ? h(
            'button',
            {
              class: 'button small',
              type: 'button',
              on: { click: () => void attempt(chat().ask('admin/silence', { user: report.user, seconds: DAY_S }), t('imadmin.reports.silenced', { name: nameOf(report.user ?? '') })) },
            },
            t('imadmin.reports.silence'),
          )
        : null,
      h('button', { class: 'button small', type: 'button', on: { click: () => close('dismissed') } }, t('imadmin.reports.dismiss')),
      h('button', { class: 'button small main', type: 'button', on: { click: () => close('settled') } }, t('imadmin.reports.act')),
    ),
  );
  return row;
}

/**
 * Takes a message back, whoever sent it.
 * @param {import('/sdk/im.js').Message} message
 */
async function removeMessage({ conversation, seq }) {
  await chat().ask('admin/recall', { conversation, seq });
}

/** @param {HTMLElement} body */
async function words(body) {
  const found = await chat().ask('admin/words', {});
  const kinds = /** @type {const} */ (['refuse', 'replace', 'flag']);
  const areas = kinds.map((kind) => h('textarea', { class: 'input mono', rows: 8, spellcheck: false, value: (found[kind] ?? []).join('\n') }));
  const lines = (/** @type {HTMLTextAreaElement} */ area) => [...new Set(area.value.split('\n').map((line) => line.trim()).filter(Boolean))];
  const save = () =>
    attempt(async () => {
      await chat().ask('admin/set_words', Object.fromEntries(kinds.map((kind, i) => [kind, lines(/** @type {HTMLTextAreaElement} */ (areas[i]))])));
      tell(t('imadmin.words.saved'));
    });
  fill(
    body,
    h('header', null, h('p', { class: 'aside' }, t('imadmin.words.text'))),
    h(
      'div',
      { class: 'body word-lists' },
      kinds.map((kind, i) => field(t(`imadmin.words.${kind}`), /** @type {HTMLTextAreaElement} */ (areas[i]))),
      h('div', { class: 'actions' }, h('button', { class: 'button main', type: 'button', on: { click: () => void save() } }, t('save'))),
    ),
  );
}

/** Webhooks belong to the HTTP door: they are asked about there. @param {string} name @param {object} data @returns {Promise<any>} */
async function overHttp(name, data) {
  const response = await fetch(`/im/v1/admin/${name}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(token.value && { Authorization: `Bearer ${token.value}` }) },
    body: JSON.stringify(data),
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(answer?.reason ?? `HTTP ${response.status}`);
  return answer;
}

/** @param {HTMLElement} body */
async function webhooks(body) {
  const found = await overHttp('webhooks', {});
  const list = /** @type {Webhook[]} */ (found.webhooks ?? []);
  if (!list.length) return fill(body, empty('webhook', t('imadmin.hooks.none'), t('imadmin.hooks.none.text')));
  fill(
    body,
    h(
      'ul',
      { class: 'reports' },
      list.map((hook) =>
        h(
          'li',
          null,
          icon('webhook'),
          h(
            'div',
            { class: 'who' },
            h('b', null, hook.name),
            ' ',
            h('span', { class: hook.last_error ? 'badge bad' : 'badge good' }, `${t('imadmin.hooks.waiting')}: ${whole(hook.waiting)}`),
            hook.failed ? h('span', { class: 'badge bad' }, `${t('imadmin.hooks.failed')}: ${whole(hook.failed)}`) : null,
            h('p', { class: 'mono' }, hook.url),
            h('small', { class: 'aside' }, hook.last_at ? `${t('imadmin.hooks.last')}: ${moment(hook.last_at)}` : '', hook.last_error ? ` · ${t('imadmin.hooks.error')}: ${hook.last_error}` : ''),
          ),
          h('button', { class: 'button small', type: 'button', on: { click: () => replay(hook) } }, icon('history'), t('imadmin.hooks.replay')),
        ),
      ),
    ),
  );
}

/** @param {Webhook} hook */
function replay(hook) {
  const since = h('input', { class: 'input', type: 'datetime-local', required: true });
  ask({
    title: t('imadmin.hooks.replay'),
    fields: [field(t('imadmin.hooks.replay'), since)],
    yes: t('done'),
    send: () => overHttp('replay', { webhook: hook.name, since: new Date(since.value).getTime() }),
  });
}

customElements.define('y-im', ImAdmin);
