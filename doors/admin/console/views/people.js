// <y-people>: contacts, requests and who is blocked; one's own profile, status, privacy and quiet hours; devices.

import { bones, empty, failed, heading, iconButton, segments } from '../components/bits.js';
import { personFace } from '../components/face.js';
import { icon } from '../components/icon.js';
import { Part, fill, h } from '../lib/dom.js';
import { byName } from '../lib/format.js';
import { chat, chatState, friendNews, nameOf, people, writeTo } from '../lib/im/im.js';
import { t } from '../lib/i18n.js';
import { go, route } from '../lib/route.js';
import { pickOne } from './chat/pick.js';
import { befriend, showProfile } from './chat/profile.js';
import { presenceLine } from './chat/talk.js';
import { attempt } from './chat/talk-menu.js';
import { devices } from './people/devices.js';
import { mine } from './people/mine.js';

/** @typedef {'friends' | 'requests' | 'blocked' | 'mine' | 'devices'} Tab */
/** @typedef {{user: string, remark?: string, group?: string, text?: string}} Friend */

const tabs = /** @type {const} */ (['friends', 'requests', 'blocked', 'mine', 'devices']);

class People extends Part {
  #content = h('div', { class: 'content narrow' });
  #tabs = h('div', { class: 'toolbar' });
  #shown = '';

  begin() {
    this.className = 'page';
    this.replaceChildren(
      heading(t('people.friends'), null, h('button', { class: 'button main', type: 'button', on: { click: () => void this.#add() } }, icon('user-plus'), t('people.add'))),
      this.#content,
    );
    this.follow(route, () => this.#go());
    this.follow(chatState, () => this.#go());
    this.keep(friendNews.hear(() => ['friends', 'requests', 'blocked'].includes(this.#shown) && this.#draw()));
  }

  async #add() {
    if (chatState.value.phase !== 'ready') return;
    const user = await pickOne(t('people.add'));
    if (user) befriend(user);
  }

  #go() {
    const [view, tab = 'friends'] = route.value;
    if (view !== 'people') return;
    if (chatState.value.phase === 'refused') return fill(this.#content, empty('lock', t('im.refused'), chatState.value.reason));
    if (chatState.value.phase !== 'ready') return fill(this.#content, bones(6));
    const shown = tabs.find((each) => each === tab) ?? 'friends';
    if (this.#shown === shown && this.#content.querySelector('.toolbar')) return;
    this.#shown = shown;
    this.#draw();
  }

  #draw() {
    const body = h('section', { class: 'card' }, bones(4));
    fill(
      this.#tabs,
      segments(
        t('people.friends'),
        tabs.map((value) => ({ value, text: t(`people.${value}`) })),
        /** @type {Tab} */ (this.#shown),
        (value) => go('people', value),
      ),
    );
    fill(this.#content, this.#tabs, body);
    const make = { friends, requests, blocked, mine, devices }[/** @type {Tab} */ (this.#shown)];
    void make(body).catch((error) => fill(body, failed(error, () => this.#draw())));
  }
}

/** @param {string} user @param {...import('../lib/dom.js').Child} tools */
function row(user, ...tools) {
  const line = h('small', null, presenceLine(user));
  const element = h(
    'li',
    { class: 'member' },
    h('button', { class: 'face', type: 'button', 'aria-label': `${t('panel.profile')}: ${nameOf(user)}`, on: { click: () => void showProfile(user) } }, personFace(user, { size: 40, dot: true })),
    h('span', { class: 'who' }, h('b', null, nameOf(user)), line),
    tools,
  );
  const end = people.hear(() => {
    if (!element.isConnected) return end();
    const name = element.querySelector('b');
    if (name) name.textContent = nameOf(user);
    line.textContent = presenceLine(user);
    element.querySelector('.face')?.replaceChildren(personFace(user, { size: 40, dot: true }));
  });
  return element;
}

/** @param {HTMLElement} body */
async function friends(body) {
  const found = await chat().people.friends();
  const list = /** @type {Friend[]} */ (found.friends ?? []);
  if (!list.length) return fill(body, empty('accounts', t('people.none'), t('people.none.text')));
  /** @type {Map<string, Friend[]>} */
  const groups = new Map();
  for (const friend of list) groups.set(friend.group ?? '', [...(groups.get(friend.group ?? '') ?? []), friend]);
  fill(
    body,
    [...groups]
      .sort(([a], [b]) => byName(a, b))
      .map(([group, members]) => [
        group ? h('h3', { class: 'found-heading' }, group) : null,
        h(
          'ul',
          null,
          members
            .sort((a, b) => byName(nameOf(a.user), nameOf(b.user)))
            .map(({ user }) => row(user, iconButton('chat', `${t('people.message')}: ${nameOf(user)}`, () => void attempt(writeTo(user))))),
        ),
      ]),
  );
}

/** @param {HTMLElement} body */
async function requests(body) {
  const found = await chat().people.friends();
  const list = /** @type {Friend[]} */ (found.requests ?? []);
  const { invitations = [] } = await chat()
    .ask('invitations', {})
    .catch(() => ({}));
  if (!list.length && !invitations.length) return fill(body, empty('user-plus', t('people.norequests')));
  const answer = (/** @type {string} */ user, /** @type {boolean} */ yes) => void attempt(chat().people.answerFriend(user, yes)).then(() => friendNews.touch());
  fill(
    body,
    h(
      'ul',
      null,
      invitations.map((/** @type {Invitation} */ each) => invitation(each)),
      list.map(({ user, text }) =>
        row(
          user,
          text ? h('span', { class: 'aside' }, `“${text}”`) : null,
          h('button', { class: 'button small main', type: 'button', on: { click: () => answer(user, true) } }, t('people.accept')),
          h('button', { class: 'button small', type: 'button', on: { click: () => answer(user, false) } }, t('people.refuse')),
        ),
      ),
    ),
  );
}

/** @typedef {{conversation: string, kind: string, title: string, members?: number, by?: string}} Invitation */

/** @param {Invitation} invited */
function invitation({ conversation, title, members, by }) {
  const done = () => friendNews.touch();
  return h(
    'li',
    { class: 'member' },
    icon('group'),
    h('span', { class: 'who' }, h('b', null, title), h('small', null, [by ? t('people.invited', { name: nameOf(by) }) : '', members ? t('im.members', { n: members }) : ''].filter(Boolean).join(' · '))),
    h(
      'button',
      {
        class: 'button small main',
        type: 'button',
        on: {
          click: () =>
            void attempt(async () => {
              const joined = await chat().join({ conversation });
              done();
              if (joined) go('chat', joined.id);
            }),
        },
      },
      t('people.accept'),
    ),
    h('button', { class: 'button small', type: 'button', on: { click: () => void attempt(chat().ask('decline', { conversation })).then(done) } }, t('people.refuse')),
  );
}

/** @param {HTMLElement} body */
async function blocked(body) {
  const found = await chat().people.blocked();
  const list = /** @type {any[]} */ (found.users ?? found.blocked ?? []).map((each) => (typeof each === 'string' ? each : String(each.user)));
  if (!list.length) return fill(body, empty('ban', t('people.noblocked')));
  fill(
    body,
    h(
      'ul',
      null,
      list.map((user) => row(user, h('button', { class: 'button small', type: 'button', on: { click: () => void attempt(chat().people.unblock(user)).then(() => friendNews.touch()) } }, t('people.unblock')))),
    ),
  );
}

customElements.define('y-people', People);
