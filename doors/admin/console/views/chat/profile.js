// The card of a person: who they are, whether they are here, and what one can do about them.

import { field, iconButton } from '../../components/bits.js';
import { ask, confirm, show } from '../../components/dialog.js';
import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { fill, h } from '../../lib/dom.js';
import { chat, friendNews, myName, nameOf, people, writeTo } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell } from '../../lib/notices.js';
import { rich } from '../../lib/richtext.js';
import { presenceLine } from './talk.js';
import { report } from './report.js';
import { attempt } from './talk-menu.js';

/** @typedef {{friend?: boolean, blocked?: boolean, remark?: string, group?: string, about?: string, handle?: string}} Known */

/** What one has to do with somebody. @param {string} user */
async function standing(user) {
  const [friends, blocked] = await Promise.all([
    chat()
      .people.friends()
      .catch(() => ({})),
    chat()
      .people.blocked()
      .catch(() => ({})),
  ]);
  const friend = (friends.friends ?? []).find((/** @type {{user: string}} */ each) => each.user === user);
  const list = blocked.users ?? blocked.blocked ?? [];
  return { friend, blocked: list.some((/** @type {any} */ each) => each === user || each?.user === user) };
}

/**
 * The card, for a dialog or the panel.
 * @param {string} user
 * @param {{talk?: import('../../lib/im/talk.js').Talk, close?: () => void}} [options]
 */
export function personCard(user, { talk, close = () => undefined } = {}) {
  const top = h('div', { class: 'card-top' });
  const tools = h('section');
  const mine = user === myName();
  let form = '';
  const drawTop = () => {
    const profile = chat().people.get(user);
    const now = JSON.stringify([profile, presenceLine(user)]);
    if (now === form) return;
    form = now;
    fill(
      top,
      personFace(user, { size: 84, dot: true }),
      h('h2', null, nameOf(user)),
      h('p', { class: 'aside' }, profile?.remark && profile.name ? `${profile.name} · ` : '', `@${profile?.handle ?? user}`),
      h('p', { class: 'aside' }, presenceLine(user)),
      profile?.about ? h('div', { class: 'said' }, rich(profile.about)) : null,
    );
  };
  const row = (/** @type {import('../../components/icon.js').IconName} */ name, /** @type {string} */ text, /** @type {() => void} */ run, danger = false) =>
    h('button', { class: danger ? 'row danger' : 'row', type: 'button', on: { click: run } }, icon(name), text);
  const drawTools = async () => {
    if (mine) return;
    const { friend, blocked } = await standing(user);
    const name = nameOf(user);
    fill(
      tools,
      talk
        ? null
        : row('chat', t('people.message'), () => {
            close();
            void attempt(writeTo(user));
          }),
      friend ? row('edit', t('people.remark'), () => remark(user, friend)) : row('user-plus', t('people.add'), () => befriend(user)),
      friend
        ? row('user', t('people.unfriend'), () => void attempt(chat().people.unfriend(user)).then(again), true)
        : null,
      blocked
        ? row('ban', t('people.unblock'), () => void attempt(chat().people.unblock(user)).then(again))
        : row(
            'ban',
            t('people.block'),
            async () => {
              if (await confirm({ title: t('people.block.title', { name }), text: t('people.block.text'), yes: t('people.block'), danger: true })) await attempt(chat().people.block(user));
              again();
            },
            true,
          ),
      row('flag', t('talk.report'), () => report({ user }), true),
    );
  };
  const again = () => {
    friendNews.touch();
    void drawTools();
  };
  drawTop();
  void drawTools();
  const element = h('div', { class: 'person-info' }, top, tools);
  const ends = [people.hear(() => (element.isConnected ? drawTop() : ends.forEach((end) => end()))), friendNews.hear(() => element.isConnected && void drawTools())];
  return element;
}

/** Shows who somebody is. @param {string} user @param {string} [_from] the conversation one comes from */
export async function showProfile(user, _from) {
  if (user === '$server') return;
  const dialog = show(nameOf(user), [
    h('div', { class: 'dialog-body panel profile-dialog' }, iconButton('close', t('close'), () => dialog.close()), personCard(user, { close: () => dialog.close() })),
  ]);
  await chat()
    .people.profile(user)
    .catch(() => undefined);
}

/** Asks somebody to be a contact. @param {string} user */
export function befriend(user) {
  const text = h('input', { class: 'input', maxLength: 200 });
  ask({
    title: t('people.add'),
    text: t('people.add.text'),
    fields: [field(t('people.hello'), text)],
    yes: t('people.add'),
    send: async () => {
      await chat().people.befriend(user, text.value.trim() || undefined);
      tell(t('people.asked', { name: nameOf(user) }));
      friendNews.touch();
    },
  });
}

/** @param {string} user @param {Known} friend */
function remark(user, friend) {
  const name = h('input', { class: 'input', maxLength: 60, value: friend.remark ?? '' });
  const group = h('input', { class: 'input', maxLength: 60, value: friend.group ?? '' });
  ask({
    title: t('people.remark'),
    fields: [field(t('people.remark'), name), field(t('people.group'), group)],
    yes: t('save'),
    send: async () => {
      await chat().people.remark(user, { remark: name.value.trim(), group: group.value.trim() });
      friendNews.touch();
    },
  });
}
