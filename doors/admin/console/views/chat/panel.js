// What is looked at beside a conversation: facts and settings, members, files, what is pinned, a search, a thread.

import { bones, failed, field, iconButton, segments, copyButton } from '../../components/bits.js';
import { ask, confirm } from '../../components/dialog.js';
import { talkFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { me } from '../../lib/account.js';
import { fill, h } from '../../lib/dom.js';
import { whenExactly } from '../../lib/format.js';
import { list, nameOf, silent, titleOf } from '../../lib/im/im.js';
import { preview } from '../../lib/im/preview.js';
import { t } from '../../lib/i18n.js';
import { rich } from '../../lib/richtext.js';
import { go } from '../../lib/route.js';
import { personFace } from '../../components/face.js';
import { filesOf } from './files.js';
import { addMembers, membersOf } from './members.js';
import { personCard } from './profile.js';
import { searchPanel } from './search.js';
import { attempt, leave } from './talk-menu.js';
import { threadPanel } from './thread.js';

/** @typedef {import('../../lib/im/talk.js').Talk} Talk */

/** @param {Talk} talk @param {string} part @param {string} argument */
export function makePanel(talk, part, argument) {
  const panel = h('aside', { class: 'panel', tabIndex: -1 });
  const titles = /** @type {{[part: string]: string}} */ ({ search: t('search.title'), thread: t('talk.thread.title'), pins: t('talk.pinned') });
  const title = titles[part] ?? t(talk.entry?.kind === 'direct' ? 'panel.title' : talk.entry?.kind === 'channel' ? 'panel.channel' : 'panel.group');
  panel.setAttribute('aria-label', title);
  const content = h('div', { class: 'content' });
  fill(panel, h('header', null, iconButton(part === 'thread' ? 'back' : 'close', t('close'), () => go('chat', talk.id)), h('h2', null, title)), content);
  if (part === 'search') searchPanel(talk, panel, content);
  else if (part === 'thread') threadPanel(talk, panel, content, Number(argument));
  else if (part === 'pins') void pins(talk, content);
  else tabs(talk, panel, content, part);
  return panel;
}

/** @param {Talk} talk @param {HTMLElement} panel @param {HTMLElement} content @param {string} part */
function tabs(talk, panel, content, part) {
  const choices = [
    { value: 'info', text: t('panel.tab.info') },
    ...(talk.entry?.kind === 'direct' ? [] : [{ value: 'members', text: t('panel.tab.members') }]),
    { value: 'files', text: t('panel.tab.files') },
  ];
  const shown = choices.some(({ value }) => value === part) ? part : 'info';
  panel.querySelector('header')?.after(h('div', { class: 'tabs' }, segments(t('panel.title'), choices, shown, (value) => go('chat', talk.id, value))));
  if (shown === 'members') membersOf(talk, content);
  else if (shown === 'files') void filesOf(talk, content);
  else void info(talk, content);
}

/** @param {Talk} talk @param {HTMLElement} content */
async function pins(talk, content) {
  fill(content, bones(4));
  try {
    const found = await talk.conversation.pins();
    fill(
      content,
      found.map((message) =>
        h(
          'button',
          { class: 'hit', type: 'button', on: { click: () => talk.show(message.seq) } },
          personFace(message.from, { size: 34 }),
          h('b', null, nameOf(message.from)),
          h('time', null, whenExactly(message.at)),
          h('p', null, preview(message.content)),
        ),
      ),
    );
  } catch (error) {
    fill(content, failed(error, () => void pins(talk, content)));
  }
}

/** @param {Talk} talk @param {HTMLElement} content */
async function info(talk, content) {
  const { conversation } = talk;
  if (!talk.entry?.info) fill(content, bones(6));
  try {
    await conversation.info();
  } catch (error) {
    if (content.isConnected && !talk.entry?.info) fill(content, failed(error, () => void info(talk, content)));
    return;
  }
  let form = '';
  const draw = () => {
    const { entry } = talk;
    if (!entry || (content.childElementCount && !content.isConnected)) return end();
    const { last: _, unread: __, cursors: ___, draft: ____, ...shown } = entry;
    const now = JSON.stringify(shown);
    if (now === form) return;
    form = now;
    fill(content, entry.kind === 'direct' ? directInfo(talk) : groupInfo(talk));
  };
  const end = list.hear(draw);
  draw();
}

/** @param {Talk} talk */
function directInfo(talk) {
  const user = talk.entry?.peer ?? '';
  return [personCard(user, { talk }), mine(talk), doors(talk)];
}

/** @param {Talk} talk */
function groupInfo(talk) {
  const entry = /** @type {import('/sdk/im.js').Entry} */ (talk.entry);
  const { conversation, leads } = talk;
  const facts = entry.info ?? {};
  const owns = entry.role === 'owner';
  const edit = (/** @type {'title' | 'about' | 'announcement'} */ what, /** @type {string} */ label) => iconButton('edit', `${t('panel.edit')}: ${label}`, () => change(talk, what, label));
  return [
    h(
      'div',
      { class: 'card-top' },
      talkFace(entry, { size: 84 }),
      h('h2', null, titleOf(entry), leads ? edit('title', t('new.title')) : null),
      h('p', { class: 'aside' }, t('im.members', { n: entry.members }), facts.handle ? ` · @${facts.handle}` : ''),
    ),
    facts.about || leads
      ? h('section', null, h('h3', null, t('new.about'), leads ? edit('about', t('new.about')) : null), facts.about ? h('div', { class: 'said' }, rich(facts.about)) : null)
      : null,
    h(
      'section',
      null,
      h('h3', null, t('panel.announcement'), leads ? edit('announcement', t('panel.announcement')) : null),
      h('div', { class: 'said' }, entry.announcement ? rich(entry.announcement) : t('panel.announcement.none')),
    ),
    leads || (facts.invite ?? 'all') === 'all' ? linkSection(talk) : null,
    leads ? rules(talk) : null,
    mine(talk),
    h(
      'section',
      null,
      h('button', { class: 'row', type: 'button', on: { click: () => nickname(talk) } }, icon('edit'), t('panel.nick')),
      leads || (facts.invite ?? 'all') === 'all' ? h('button', { class: 'row', type: 'button', on: { click: () => void addMembers(talk) } }, icon('user-plus'), t('panel.invite')) : null,
      me.value?.admin ? h('button', { class: 'row', type: 'button', on: { click: () => go('topics', entry.topic) } }, icon('topics'), t('panel.topic')) : null,
      owns ? null : h('button', { class: 'row danger', type: 'button', on: { click: () => void leave(entry) } }, icon('leave'), t('panel.leave')),
      owns
        ? h(
            'button',
            {
              class: 'row danger',
              type: 'button',
              on: {
                click: async () => {
                  const title = titleOf(entry);
                  if (await confirm({ title: t('panel.dismiss.title', { title }), text: t('panel.dismiss.text', { n: entry.members }), yes: t('panel.dismiss'), danger: true }))
                    if (await attempt(conversation.dismiss())) go('chat');
                },
              },
            },
            icon('trash'),
            t('panel.dismiss'),
          )
        : null,
    ),
  ];
}

/** My own settings of it. @param {Talk} talk */
function mine(talk) {
  const entry = /** @type {import('/sdk/im.js').Entry} */ (talk.entry);
  const { conversation } = talk;
  const notify = h(
    'select',
    { class: 'input', 'aria-label': t('panel.notify'), on: { change: () => void attempt(conversation.settings({ notify: /** @type {'all'} */ (notify.value) })) } },
    (entry.kind === 'direct' ? /** @type {const} */ (['all', 'none']) : /** @type {const} */ (['all', 'mentions', 'none'])).map((value) => h('option', { value }, t(`panel.notify.${value}`))),
  );
  notify.value = silent(entry) ? 'none' : entry.notify === 'mentions' ? 'mentions' : 'all';
  return h(
    'section',
    null,
    h('h3', null, t('panel.settings')),
    h('div', { class: 'row' }, icon('bell'), t('panel.notify'), notify),
    toggle('pin', t('im.pin'), Boolean(entry.pinned_at), (on) => conversation.settings({ pinned: on })),
  );
}

/** @param {Talk} talk */
function doors(talk) {
  return me.value?.admin && talk.entry ? h('section', null, h('button', { class: 'row', type: 'button', on: { click: () => go('topics', talk.entry?.topic ?? '') } }, icon('topics'), t('panel.topic'))) : null;
}

/**
 * A row with a switch.
 * @param {import('../../components/icon.js').IconName} name
 * @param {string} text
 * @param {boolean} on
 * @param {(on: boolean) => Promise<unknown>} set
 */
function toggle(name, text, on, set) {
  const box = h('input', {
    type: 'checkbox',
    checked: on,
    'aria-label': text,
    on: {
      change: async () => {
        if (!(await attempt(set(box.checked)))) box.checked = !box.checked;
      },
    },
  });
  return h('label', { class: 'row' }, icon(name), text, h('span', { class: 'switch' }, box));
}

/** What owners and admins decide. @param {Talk} talk */
function rules(talk) {
  const { conversation, entry } = talk;
  const facts = entry?.info ?? {};
  const joining = h(
    'select',
    { class: 'input', 'aria-label': t('panel.joining'), on: { change: () => void attempt(conversation.update({ join: /** @type {'open'} */ (joining.value) })) } },
    /** @type {const} */ (['invite', 'request', 'open']).map((value) => h('option', { value }, t(`join.${value}`))),
  );
  joining.value = facts.join ?? 'invite';
  return h(
    'section',
    null,
    h('h3', null, entry?.kind === 'channel' ? t('panel.channel') : t('panel.group')),
    h('div', { class: 'row' }, icon('user-plus'), t('panel.joining'), joining),
    toggle('globe', t('new.public'), Boolean(facts.public), (on) => conversation.update({ public: on })),
    entry?.kind === 'channel' ? null : toggle('mic', t('panel.muteall'), Boolean(entry?.mute_all), (on) => conversation.update({ mute_all: on })),
    toggle('history', t('panel.history'), (facts.history ?? 'all') === 'all', (on) => conversation.update({ history: on ? 'all' : 'joined' })),
    toggle('group', t('panel.invite.all'), (facts.invite ?? 'all') === 'all', (on) => conversation.update({ invite: on ? 'all' : 'admins' })),
    toggle('at', t('panel.mention.all'), (facts.mention_all ?? 'all') === 'all', (on) => conversation.update({ mention_all: on ? 'all' : 'admins' })),
  );
}

/** @param {Talk} talk */
function linkSection(talk) {
  const place = h('div');
  const drop = () => void attempt(talk.conversation.unlink()).then((done) => done && fill(place, button));
  const button = h(
    'button',
    {
      class: 'row',
      type: 'button',
      on: {
        click: () =>
          void attempt(async () => {
            const { link } = await talk.conversation.link();
            const full = `${location.origin}/#/chat/join/${encodeURIComponent(link)}`;
            fill(
              place,
              h('p', { class: 'aside' }, t('panel.link.text')),
              h('div', { class: 'code' }, h('pre', null, h('code', { class: 'invite-link' }, full)), copyButton(full)),
              talk.leads ? h('button', { class: 'button small quiet', type: 'button', on: { click: drop } }, t('panel.link.drop')) : null,
            );
          }),
      },
    },
    icon('link'),
    t('panel.link.make'),
  );
  fill(place, button);
  return h('section', null, h('h3', null, t('panel.link')), place);
}

/** @param {Talk} talk @param {'title' | 'about' | 'announcement'} what @param {string} label */
function change(talk, what, label) {
  const before = (what === 'title' ? talk.entry?.title : what === 'about' ? talk.entry?.info?.about : talk.entry?.announcement) ?? '';
  const input = what === 'title' ? h('input', { class: 'input', value: before, maxLength: 100, required: true }) : h('textarea', { class: 'input', value: before, maxLength: 2000, rows: 4 });
  ask({
    title: label,
    fields: [field(label, input)],
    yes: t('save'),
    send: () => talk.conversation.update({ [what]: input.value.trim() }),
  });
}

/** @param {Talk} talk */
function nickname(talk) {
  const input = h('input', { class: 'input', maxLength: 60 });
  ask({ title: t('panel.nick'), fields: [field(t('panel.nick'), input)], yes: t('save'), send: () => talk.conversation.setMember({ nick: input.value.trim() }) });
}

