// Who is in a group, and what owners and admins do about them.

import { bones, empty, failed, iconButton } from '../../components/bits.js';
import { ask, confirm } from '../../components/dialog.js';
import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { openMenu } from '../../components/menu.js';
import { fill, h } from '../../lib/dom.js';
import { moment } from '../../lib/format.js';
import { myName, nameOf, people, writeTo } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell, warn } from '../../lib/notices.js';
import { peoplePicker } from './pick.js';
import { showProfile } from './profile.js';
import { attempt } from './talk-menu.js';

/** @typedef {import('../../lib/im/talk.js').Talk} Talk */
/** @typedef {import('/sdk/im/types.js').Member} Member */

const PAGE = 100;
const HOUR_S = 3600;
const ranks = { owner: 0, admin: 1, member: 2 };

/** @param {Talk} talk @param {HTMLElement} content */
export function membersOf(talk, content) {
  /** @type {Member[]} */
  let members = [];
  /** @type {string | undefined} */
  let next;
  let search = '';
  const list = h('ul', null, bones(6));
  const asks = h('div');
  const out = h('div');
  const input = h('input', { class: 'input', type: 'search', placeholder: t('panel.search'), 'aria-label': t('panel.search'), autocomplete: 'off' });
  input.addEventListener('input', () => {
    search = input.value.trim().toLowerCase();
    draw();
  });
  fill(
    content,
    h('label', { class: 'search' }, icon('search'), input),
    h('button', { class: 'row', type: 'button', on: { click: () => void addMembers(talk).then(() => look()) } }, icon('user-plus'), t('panel.invite')),
    asks,
    h('section', null, list),
    out,
  );
  const look = async (/** @type {string} */ after = '') => {
    try {
      const page = await talk.conversation.members({ limit: PAGE, ...(after && { after }) });
      members = after ? [...members, ...page.members] : page.members;
      next = page.next;
      draw();
    } catch (error) {
      fill(list, failed(error, () => void look(after)));
    }
  };
  const draw = () => {
    const shown = members
      .filter(({ user, nick }) => !search || `${user} ${nick ?? ''} ${nameOf(user)}`.toLowerCase().includes(search))
      .sort((a, b) => ranks[a.role] - ranks[b.role] || Number(b.user === myName()) - Number(a.user === myName()));
    fill(
      list,
      shown.map((member) => h('li', null, row(member, talk, () => void look()))),
      next ? h('li', null, h('button', { class: 'row', type: 'button', on: { click: () => void look(next) } }, icon('down'), t('panel.more'))) : null,
      members.length && !shown.length ? h('li', null, empty('group', t('new.people.none', { name: search }))) : null,
    );
  };
  void look();
  if (talk.leads) {
    void requests(talk, asks, () => void look());
    void banned(talk, out);
  }
  const ends = [
    people.hear(() => (content.isConnected ? draw() : ends.forEach((end) => end()))),
    talk.conversation.on('event', (change) => {
      if (!content.isConnected) return;
      if (['members', 'role', 'mute'].includes(change.event)) void look();
    }),
  ];
}

/** @param {Member} member @param {Talk} talk @param {() => void} again */
function row(member, talk, again) {
  const { user, nick, role } = member;
  const muted = member.muted_until && member.muted_until > Date.now();
  const name = nick || nameOf(user);
  const button = h(
    'div',
    { class: 'member' },
    h('button', { class: 'face', type: 'button', 'aria-label': `${t('panel.profile')}: ${name}`, on: { click: () => void showProfile(user, talk.id) } }, personFace(user, { size: 36, dot: true })),
    h(
      'span',
      { class: 'who' },
      h('b', null, name, user === myName() ? ` (${t('im.you')})` : ''),
      muted ? h('small', null, t('panel.muted.until', { time: moment(member.muted_until ?? 0) })) : name === user ? null : h('small', null, `@${user}`),
    ),
    role === 'member' ? null : h('span', { class: role === 'owner' ? 'badge accent' : 'badge' }, t(`panel.role.${role}`)),
  );
  const entries = user === myName() ? [] : actions(member, talk, again);
  if (entries.length) {
    const more = iconButton('more', `${t('more')}: ${name}`, () => openMenu(more, entries));
    button.append(more);
  }
  return button;
}

/** @param {Member} member @param {Talk} talk @param {() => void} again @returns {import('../../components/menu.js').Entry[]} */
function actions({ user, role, muted_until: until }, talk, again) {
  const { conversation, entry } = talk;
  const name = nameOf(user);
  const mine = entry?.role ?? 'member';
  const above = ranks[mine] < ranks[role];
  const run = (/** @type {() => Promise<unknown>} */ work) => () => void attempt(work).then(again);
  /** @type {(import('../../components/menu.js').Entry | false)[]} */
  const list = [
    { label: t('people.message'), icon: 'chat', run: () => void attempt(writeTo(user)) },
    mine === 'owner' && 'line',
    mine === 'owner' &&
      (role === 'admin'
        ? { label: t('panel.role.drop'), icon: 'shield', run: run(() => conversation.setRole(user, 'member')) }
        : { label: t('panel.role.make'), icon: 'shield', run: run(() => conversation.setRole(user, 'admin')) }),
    mine === 'owner' && {
      label: t('panel.transfer'),
      icon: 'key',
      run: async () => {
        if (await confirm({ title: t('panel.transfer.title', { name }), text: t('panel.transfer.text'), yes: t('panel.transfer') })) run(() => conversation.transfer(user))();
      },
    },
    above && 'line',
    above && (until ?? 0) > Date.now() && { label: t('panel.unmute'), icon: 'mic', run: run(() => conversation.mute(user, 0)) },
    above && { label: t('panel.mute'), icon: 'bell-off', run: run(() => conversation.mute(user, HOUR_S)) },
    above && { label: t('panel.mute.day'), icon: 'bell-off', run: run(() => conversation.mute(user, 24 * HOUR_S)) },
    above && Boolean(entry?.mute_all) && { label: t('panel.allow'), icon: 'mic', run: run(() => conversation.allow(user)) },
    above && {
      label: t('panel.kick'),
      icon: 'leave',
      danger: true,
      run: async () => {
        if (await confirm({ title: t('panel.kick.title', { name }), text: t('panel.kick.text'), yes: t('panel.kick'), danger: true })) run(() => conversation.remove([user]))();
      },
    },
    above && { label: t('panel.ban'), icon: 'ban', danger: true, run: run(() => conversation.ban(user)) },
  ];
  return /** @type {import('../../components/menu.js').Entry[]} */ (list.filter(Boolean));
}

/** @param {Talk} talk @param {HTMLElement} place @param {() => void} again */
async function requests(talk, place, again) {
  const found = await talk.conversation.requests().catch(() => ({ requests: [] }));
  const list = found.requests ?? [];
  const decide = (/** @type {string} */ user, /** @type {boolean} */ yes) =>
    void attempt(talk.conversation.decide(user, yes)).then(() => {
      again();
      void requests(talk, place, again);
    });
  fill(
    place,
    list.length
      ? h(
          'section',
          null,
          h('h3', null, t('panel.requests', { n: list.length })),
          list.map((/** @type {{user: string, text?: string}} */ { user, text }) =>
            h(
              'div',
              { class: 'member' },
              personFace(user, { size: 34 }),
              h('span', { class: 'who' }, h('b', null, nameOf(user)), text ? h('small', null, text) : null),
              iconButton('check', `${t('panel.accept')}: ${nameOf(user)}`, () => decide(user, true)),
              iconButton('close', `${t('panel.refuse')}: ${nameOf(user)}`, () => decide(user, false)),
            ),
          ),
        )
      : null,
  );
}

/** @param {Talk} talk @param {HTMLElement} place */
async function banned(talk, place) {
  const found = await talk.conversation.banned().catch(() => ({ banned: [] }));
  const list = found.banned ?? [];
  fill(
    place,
    list.length
      ? h(
          'section',
          null,
          h('h3', null, t('panel.banned', { n: list.length })),
          list.map((/** @type {{user: string, until?: number}} */ { user, until }) =>
            h(
              'div',
              { class: 'member' },
              personFace(user, { size: 34 }),
              h('span', { class: 'who' }, h('b', null, nameOf(user)), until ? h('small', null, moment(until)) : null),
              h('button', { class: 'button small', type: 'button', on: { click: () => void attempt(talk.conversation.unban(user)).then(() => banned(talk, place)) } }, t('panel.unban')),
            ),
          ),
        )
      : null,
  );
}

/** Asks whom to add, and adds them. @param {Talk} talk @returns {Promise<void>} */
export function addMembers(talk) {
  return new Promise((resolve) => {
    const picker = peoplePicker({ without: (talk.entry?.cursors ?? []).map(({ user }) => user) });
    const dialog = ask({
      title: t('panel.invite'),
      fields: [picker.element],
      yes: t('panel.invite'),
      send: async () => {
        const users = await picker.take();
        if (!users.length) throw new Error(t('new.find.hint'));
        const { added = [], invited = [], failed: not = [] } = await talk.conversation.add(users);
        if (added.length) tell(t('panel.added', { n: added.length }));
        if (invited.length) tell(t('panel.invited', { n: invited.length }));
        for (const { user, reason } of not) warn(nameOf(user), reason);
      },
    });
    picker.focus();
    dialog.addEventListener('close', () => resolve());
  });
}
