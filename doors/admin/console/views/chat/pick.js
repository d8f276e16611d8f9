// Picking people: those one knows, and others by their exact name or handle.

import { icon } from '../../components/icon.js';
import { personFace } from '../../components/face.js';
import { show } from '../../components/dialog.js';
import { fill, h } from '../../lib/dom.js';
import { byName } from '../../lib/format.js';
import { chat, myName, nameOf, people } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';

/** People that are offered at one time. */
const OFFERED_MAX = 60;

/** Everybody one has to do with: friends, and whom one writes with. @returns {Promise<string[]>} */
export async function knownPeople() {
  /** @type {Set<string>} */
  const users = new Set();
  const found = await chat()
    .people.friends()
    .catch(() => ({ friends: [] }));
  for (const { user } of found.friends ?? []) users.add(user);
  for (const entry of chat().conversations.all) {
    if (entry.peer) users.add(entry.peer);
    for (const { user } of entry.cursors ?? []) users.add(user);
  }
  users.delete(myName());
  return [...users].sort((a, b) => byName(nameOf(a), nameOf(b)));
}

/** Somebody by the exact name of the account, or by the handle; `null` where there is nobody. @param {string} text @returns {Promise<string | null>} */
export async function findPerson(text) {
  const wanted = text.trim().replace(/^@/, '');
  if (!wanted) return null;
  try {
    const found = await chat().people.find(wanted);
    if (found?.user) return found.user;
  } catch {
    // Not a handle; perhaps the account's name.
  }
  try {
    return (await chat().people.profile(wanted)).user;
  } catch {
    return null;
  }
}

/**
 * A field with a list of people to choose from.
 * @param {{one?: boolean, without?: string[], chosen?: (users: string[]) => void}} options
 */
export function peoplePicker({ one = false, without = [], chosen = () => undefined }) {
  /** @type {string[]} */
  let picked = [];
  /** @type {string[]} */
  let known = [];
  const tags = h('div', { class: 'chosen', hidden: true });
  const offered = h('ul', { class: 'offered', role: 'listbox', 'aria-label': t('new.people'), 'aria-multiselectable': String(!one) });
  const problem = h('p', { class: 'aside', role: 'alert', hidden: true });
  const input = h('input', { class: 'input', type: 'search', autocomplete: 'off', spellcheck: false, placeholder: t('new.people.pick'), 'aria-label': t('new.people.pick') });
  const toggle = (/** @type {string} */ user) => {
    picked = picked.includes(user) ? picked.filter((each) => each !== user) : one ? [user] : [...picked, user];
    input.value = '';
    draw();
    chosen(picked);
  };
  const draw = () => {
    const wanted = input.value.trim().toLowerCase().replace(/^@/, '');
    tags.hidden = picked.length === 0 || one;
    fill(
      tags,
      picked.map((user) =>
        h(
          'span',
          { class: 'tag' },
          personFace(user, { size: 22 }),
          h('span', null, nameOf(user)),
          h('button', { class: 'icon-button', type: 'button', 'aria-label': `${t('discard')}: ${nameOf(user)}`, on: { click: () => toggle(user) } }, icon('close')),
        ),
      ),
    );
    const list = known.filter((user) => !without.includes(user) && (!wanted || user.toLowerCase().includes(wanted) || nameOf(user).toLowerCase().includes(wanted))).slice(0, OFFERED_MAX);
    fill(
      offered,
      list.map((user) =>
        h(
          'li',
          { role: 'option', 'aria-selected': String(picked.includes(user)) },
          h(
            'button',
            { class: picked.includes(user) ? 'member picked' : 'member', type: 'button', on: { click: () => toggle(user) } },
            personFace(user, { size: 34, dot: true }),
            h('span', { class: 'who' }, h('b', null, nameOf(user)), nameOf(user) === user ? null : h('small', null, `@${user}`)),
            h('span', { class: 'pick-mark' }, icon('check')),
          ),
        ),
      ),
    );
  };
  const add = async () => {
    problem.hidden = true;
    const text = input.value.trim();
    if (!text) return;
    const user = await findPerson(text);
    if (!user || user === myName() || without.includes(user)) {
      problem.textContent = t('new.people.none', { name: text });
      problem.hidden = false;
      return;
    }
    if (!known.includes(user)) known = [user, ...known];
    if (!picked.includes(user)) toggle(user);
  };
  input.addEventListener('input', () => {
    problem.hidden = true;
    draw();
  });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && !event.isComposing) {
      event.preventDefault();
      void add();
    }
  });
  void knownPeople().then((users) => {
    known = users;
    draw();
  });
  const element = h('div', { class: 'picker' }, tags, input, problem, offered);
  const end = people.hear(() => (element.isConnected ? draw() : end()));
  return {
    element,
    /** Those who were chosen; a name that still stands in the field is looked up. */
    take: async () => {
      if (input.value.trim()) await add();
      return picked;
    },
    focus: () => input.focus(),
  };
}

/** Asks for one person. @param {string} title @returns {Promise<string | null>} */
export function pickOne(title) {
  return new Promise((resolve) => {
    let chosen = /** @type {string | null} */ (null);
    const picker = peoplePicker({
      one: true,
      chosen: ([user]) => {
        chosen = user ?? null;
        if (chosen) dialog.close();
      },
    });
    const dialog = show(title, [
      h('div', { class: 'dialog-body' }, h('h2', null, title), picker.element, h('div', { class: 'actions' }, h('button', { class: 'button', type: 'button', on: { click: () => dialog.close() } }, t('cancel')))),
    ]);
    picker.focus();
    dialog.addEventListener('close', () => resolve(chosen));
  });
}
