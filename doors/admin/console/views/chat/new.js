// Beginning: a direct conversation, a group, a channel; or joining one.

import { field, segments } from '../../components/bits.js';
import { ask } from '../../components/dialog.js';
import { fill, h } from '../../lib/dom.js';
import { chat } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell } from '../../lib/notices.js';
import { go } from '../../lib/route.js';
import { peoplePicker } from './pick.js';

/** @typedef {'direct' | 'group' | 'channel' | 'join'} Kind */

/** Opens the dialog. @param {Kind} [kind] */
export function newTalk(kind = 'direct') {
  const body = h('div', { class: 'picker new-talk' });
  /** @type {() => Promise<void>} */
  let send = async () => undefined;
  const forms = { direct, group: () => group('group'), channel: () => group('channel'), join };
  const open = (/** @type {Kind} */ which) => {
    const form = forms[which]((user) => {
      if (user) void send().then(() => dialog.close());
    });
    send = form.send;
    fill(body, form.fields);
    const first = body.querySelector('input');
    first?.focus();
  };
  const dialog = ask({
    title: t('im.new'),
    fields: [
      segments(
        t('im.new'),
        /** @type {{value: Kind, text: string}[]} */ ([
          { value: 'direct', text: t('new.direct') },
          { value: 'group', text: t('new.group') },
          { value: 'channel', text: t('new.channel') },
          { value: 'join', text: t('new.join') },
        ]),
        kind,
        open,
      ),
      body,
    ],
    yes: t('new.start'),
    send: () => send(),
  });
  open(kind);
}

/** @typedef {{fields: HTMLElement[], send: () => Promise<void>}} Form */

/** @param {(user: string) => void} chosen @returns {Form} */
function direct(chosen) {
  const picker = peoplePicker({ one: true, chosen: ([user]) => user && chosen(user) });
  return {
    fields: [picker.element],
    send: async () => {
      const [user] = await picker.take();
      if (!user) throw new Error(t('new.find.hint'));
      go('chat', (await chat().open(user)).id);
    },
  };
}

/** @param {'group' | 'channel'} kind @returns {Form} */
function group(kind) {
  const title = h('input', { class: 'input', required: true, maxLength: 100, autocomplete: 'off', name: 'title' });
  const about = h('input', { class: 'input', maxLength: 300, autocomplete: 'off' });
  const joining = h('select', { class: 'input' }, /** @type {const} */ (['invite', 'request', 'open']).map((value) => h('option', { value }, t(`join.${value}`))));
  const open = h('input', { type: 'checkbox' });
  const picker = peoplePicker({});
  return {
    fields: [
      field(t('new.title'), title),
      field(t('new.about'), about),
      h('div', { class: 'two' }, field(t('new.joining'), joining), h('label', { class: 'switch' }, open, t('new.public'))),
      h('div', { class: 'field' }, h('span', { class: 'label' }, t('new.people')), picker.element),
    ],
    send: async () => {
      const members = await picker.take();
      const made = await chat().create({
        kind,
        title: title.value.trim(),
        ...(about.value.trim() && { about: about.value.trim() }),
        ...(members.length && { members }),
        join: /** @type {'invite'} */ (joining.value),
        ...(open.checked && { public: true }),
      });
      go('chat', made.id);
    },
  };
}

/** @returns {Form} */
function join() {
  const link = h('input', { class: 'input', autocomplete: 'off', spellcheck: false });
  const found = h('ul', { class: 'offered' });
  const look = async () => {
    const { conversations = [] } = await chat()
      .discover(link.value.trim() ? { text: link.value.trim() } : {})
      .catch(() => ({}));
    fill(
      found,
      conversations.map((/** @type {any} */ each) =>
        h(
          'li',
          null,
          h(
            'button',
            { class: 'member', type: 'button', on: { click: () => void enter({ conversation: each.id }).then(() => found.closest('dialog')?.close()) } },
            h('span', { class: 'who' }, h('b', null, each.title), h('small', null, `${t('im.members', { n: each.members })}${each.about ? ` · ${each.about}` : ''}`)),
            h('span', { class: 'badge' }, t(each.join === 'open' ? 'join.open' : 'join.request')),
          ),
        ),
      ),
      conversations.length ? null : h('li', { class: 'aside' }, t('new.public.none')),
    );
  };
  link.addEventListener('change', () => void look());
  void look();
  return {
    fields: [field(t('new.link'), link, t('new.link.hint')), found],
    send: async () => {
      const text = link.value.trim();
      if (!text) throw new Error(t('new.link.hint'));
      await enter(joinBy(text));
    },
  };
}

/** What a pasted link or code stands for. @param {string} text @returns {{conversation: string} | {link: string}} */
function joinBy(text) {
  const code = text.replace(/^.*#\/chat\/join\//, '');
  return /^[gcr][a-z0-9]{12,}$/.test(code) ? { conversation: code } : { link: decodeURIComponent(code) };
}

/** @param {{conversation?: string, link?: string}} how */
async function enter(how) {
  const joined = await chat().join(how);
  if (!joined) {
    tell(t('new.requested'));
    return;
  }
  tell(t('new.joined', { title: joined.entry?.title ?? '' }));
  go('chat', joined.id);
}

/** Joins by the link in the page's address. @param {string} code */
export async function joinByLink(code) {
  await enter(joinBy(code));
}

