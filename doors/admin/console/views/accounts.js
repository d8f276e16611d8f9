// <y-accounts>: who has an account: making, inviting, changing roles, disabling, removing.

import { avatar } from '../components/avatar.js';
import { bones, code, empty, failed, field, heading, iconButton, searchField } from '../components/bits.js';
import { ask, confirm, show } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { openMenu } from '../components/menu.js';
import { dataTable } from '../components/table.js';
import { me } from '../lib/account.js';
import { admin, all } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { ago, moment, span } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { tell, warn } from '../lib/notices.js';
import { online, people } from '../lib/people.js';
import { go } from '../lib/route.js';

const ACCOUNTS_MAX = 5000;
/** How long a link may be good for, seconds. */
const LINK_LASTS = [900, 3600, 86400, 604800];

/** @typedef {import('../lib/admin.js').Account} Account */

class Accounts extends Part {
  #frame = h('section', { class: 'card' }, bones(6));
  #table = dataTable({
    label: t('nav.accounts'),
    key: (/** @type {Account} */ { user }) => user,
    form: (account) => JSON.stringify([account, online(account.user)]),
    words: ({ user, roles }) => `${user} ${roles.join(' ')}`,
    sort: ['user', 1],
    none: () => empty('accounts', t('accounts.none')),
    columns: [
      {
        name: 'user',
        label: t('col.user'),
        sort: ({ user }) => user,
        cell: ({ user }) =>
          h(
            'span',
            { class: 'with-avatar' },
            avatar(user, { size: 28, online: online(user) ?? false }),
            h('b', null, user),
            user === me.value?.user ? h('span', { class: 'badge accent' }, t('chat.you')) : null,
          ),
      },
      {
        name: 'roles',
        label: t('col.roles'),
        sort: ({ roles }) => roles.join(),
        cell: ({ roles }) =>
          h(
            'span',
            { class: 'badges' },
            roles.map((role) =>
              h(
                'span',
                { class: role === 'owner' || role === 'admin' ? 'badge accent' : 'badge' },
                tName('role', role),
              ),
            ),
          ),
      },
      {
        name: 'state',
        label: t('col.state'),
        sort: (account) => `${account.disabled} ${hasCome(account)}`,
        cell: (account) =>
          account.disabled
            ? h('span', { class: 'badge bad' }, t('accounts.disabled'))
            : hasCome(account)
              ? h('span', { class: 'badge good' }, t('accounts.active'))
              : h('span', { class: 'badge wait' }, t('accounts.invited')),
      },
      {
        name: 'last',
        label: t('col.lastlogin'),
        sort: ({ last_login_at }) => last_login_at ?? 0,
        cell: ({ last_login_at }) =>
          last_login_at ? h('span', { title: moment(last_login_at) }, ago(last_login_at)) : '–',
      },
      {
        name: 'created',
        label: t('col.created'),
        sort: ({ created_at }) => created_at,
        cell: ({ created_at }) => h('span', { title: moment(created_at) }, ago(created_at)),
      },
      { name: 'tools', label: t('col.tools'), tools: true, cell: (account) => this.#menuButton(account) },
    ],
  });

  begin() {
    this.className = 'page';
    this.replaceChildren(
      heading(
        t('nav.accounts'),
        t('accounts.text'),
        h(
          'button',
          { class: 'button', type: 'button', on: { click: () => this.#create() } },
          icon('plus'),
          t('accounts.create'),
        ),
        h(
          'button',
          {
            class: 'button main',
            type: 'button',
            on: { click: () => invite('').addEventListener('close', () => void this.#look()) },
          },
          icon('link'),
          t('accounts.invite'),
        ),
      ),
      h(
        'div',
        { class: 'content' },
        h(
          'div',
          { class: 'toolbar' },
          searchField(t('accounts.search'), (text) => this.#table.search(text)),
        ),
        this.#frame,
      ),
    );
    void this.#look();
    this.keep(
      people.hear(
        () =>
          void (
            this.#table.element.isConnected &&
            this.#table.search(this.querySelector('input')?.value.trim().toLowerCase() ?? '')
          ),
      ),
    );
  }

  async #look() {
    try {
      const { items } = await all((after) => admin.accounts({ after, limit: 1000 }), ACCOUNTS_MAX);
      if (!this.#table.element.isConnected) fill(this.#frame, this.#table.element);
      this.#table.show(items);
    } catch (error) {
      if (!this.#table.element.isConnected)
        fill(
          this.#frame,
          failed(error, () => void this.#look()),
        );
    }
  }

  /** @param {Account} account */
  #menuButton(account) {
    const own = account.user === me.value?.user;
    const button = iconButton('more', t('accounts.menu', { user: account.user }), () =>
      openMenu(button, [
        { label: t('accounts.link'), icon: 'link', run: () => void invite(account.user) },
        { label: t('accounts.roles'), icon: 'settings', run: () => this.#roles(account) },
        { label: t('accounts.password'), icon: 'key', run: () => this.#password(account) },
        { label: t('accounts.audit'), icon: 'audit', run: () => go('audit', account.user) },
        'line',
        ...(own
          ? []
          : [
              {
                label: account.disabled ? t('accounts.enable') : t('accounts.disable'),
                icon: /** @type {const} */ ('lock'),
                danger: !account.disabled,
                run: () => void this.#disable(account),
              },
            ]),
        { label: t('accounts.remove'), icon: 'trash', danger: true, run: () => void this.#remove(account) },
      ]),
    );
    return button;
  }

  #create() {
    const user = h('input', {
      class: 'input',
      required: true,
      maxLength: 64,
      autocomplete: 'off',
      autocapitalize: 'off',
      spellcheck: false,
    });
    const password = h('input', {
      class: 'input',
      type: 'password',
      minLength: 8,
      maxLength: 1024,
      autocomplete: 'new-password',
    });
    const roles = rolePicker(['user']);
    ask({
      title: t('accounts.create'),
      fields: [
        field(t('signin.user'), user, t('accounts.name.hint')),
        field(t('signin.password'), password, t('accounts.password.hint')),
        roles.element,
      ],
      yes: t('create'),
      send: async () => {
        await admin.createAccount({
          user: user.value.trim(),
          ...(password.value && { password: password.value }),
          roles: roles.chosen(),
        });
        tell(t('accounts.created', { user: user.value.trim() }));
        await this.#look();
        if (!password.value) invite(user.value.trim());
      },
    });
  }

  /** @param {Account} account */
  #roles(account) {
    const roles = rolePicker(account.roles);
    ask({
      title: t('accounts.roles.of', { user: account.user }),
      text: t('accounts.roles.text'),
      fields: [roles.element],
      yes: t('save'),
      send: async () => {
        await admin.changeAccount(account.user, { roles: roles.chosen() });
        tell(t('accounts.changed', { user: account.user }));
        await this.#look();
      },
    });
  }

  /** @param {Account} account */
  #password(account) {
    const password = h('input', {
      class: 'input',
      type: 'password',
      required: true,
      minLength: 8,
      maxLength: 1024,
      autocomplete: 'new-password',
    });
    ask({
      title: t('accounts.password.of', { user: account.user }),
      text: t('accounts.roles.text'),
      fields: [field(t('account.password.new'), password, t('account.password.hint'))],
      yes: t('save'),
      send: async () => {
        await admin.changeAccount(account.user, { password: password.value });
        tell(t('accounts.changed', { user: account.user }));
      },
    });
  }

  /** @param {Account} account */
  async #disable(account) {
    const { user, disabled } = account;
    if (
      !disabled &&
      !(await confirm({
        title: t('accounts.disable.title', { user }),
        text: t('accounts.disable.text'),
        yes: t('accounts.disable'),
        danger: true,
      }))
    )
      return;
    await this.#do(() => admin.changeAccount(user, { disabled: !disabled }), t('accounts.changed', { user }));
  }

  /** @param {Account} account */
  async #remove({ user }) {
    if (
      !(await confirm({
        title: t('accounts.remove.title', { user }),
        text: t('accounts.remove.text'),
        yes: t('accounts.remove'),
        danger: true,
      }))
    )
      return;
    await this.#do(() => admin.removeAccount(user), t('accounts.removed', { user }));
  }

  /** @param {() => Promise<unknown>} work @param {string} done */
  async #do(work, done) {
    try {
      await work();
      tell(done);
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
    await this.#look();
  }
}

/** Whether they have been here; if not, they were only invited. @param {Account} account */
function hasCome({ user, has_password, last_login_at }) {
  return has_password || last_login_at !== null || user === me.value?.user || online(user) === true;
}

/**
 * Roles to choose from, and room for those that only this server knows.
 * @param {string[]} chosen
 */
function rolePicker(chosen) {
  const known = ['user', 'admin', ...(me.value?.roles.includes('owner') ? ['owner'] : [])];
  const names = [...new Set([...known, ...chosen])];
  const boxes = names.map((role) => ({
    role,
    box: h('input', {
      type: 'checkbox',
      checked: chosen.includes(role),
      disabled: !known.includes(role) && role === 'owner',
    }),
  }));
  const more = h('input', { class: 'input mono', placeholder: 'ops, sensors', autocomplete: 'off' });
  const element = h(
    'fieldset',
    { class: 'roles' },
    h('legend', null, t('col.roles')),
    boxes.map(({ role, box }) =>
      h(
        'label',
        { class: 'switch' },
        box,
        h(
          'span',
          null,
          h('b', null, tName('role', role)),
          h('small', { class: 'aside' }, ` ${tName('role-text', role) === role ? '' : tName('role-text', role)}`),
        ),
      ),
    ),
    field(t('accounts.roles.more'), more),
  );
  return {
    element,
    chosen: () => [
      ...boxes.filter(({ box }) => box.checked).map(({ role }) => role),
      ...more.value
        .split(/[\s,]+/)
        .map((role) => role.toLowerCase())
        .filter(Boolean),
    ],
  };
}

/**
 * Makes a sign-in link and shows it to be copied.
 * @param {string} wanted who it is for; empty to ask
 */
function invite(wanted) {
  const user = h('input', {
    class: 'input',
    required: true,
    maxLength: 64,
    value: wanted,
    readOnly: wanted !== '',
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: false,
  });
  const lasts = h(
    'select',
    { class: 'input' },
    LINK_LASTS.map((seconds) => h('option', { value: String(seconds), selected: seconds === 86400 }, span(seconds))),
  );
  return ask({
    title: wanted ? t('accounts.link') : t('accounts.invite'),
    text: t('accounts.invite.text'),
    fields: [
      field(t('signin.user'), user, wanted ? undefined : t('accounts.name.hint')),
      field(t('accounts.link.lasts'), lasts),
    ],
    yes: t('accounts.link.make'),
    send: async () => {
      const made = await admin.invite({ user: user.value.trim(), expires_in: Number(lasts.value) });
      show(t('accounts.link'), [
        h(
          'form',
          { method: 'dialog' },
          h('h2', null, t('accounts.link.for', { user: made.user })),
          h('p', null, t('accounts.link.text', { when: moment(made.expires_at) })),
          code(location.origin + made.path),
          h('div', { class: 'actions' }, h('button', { class: 'button main' }, t('done'))),
        ),
      ]);
    },
  });
}

customElements.define('y-accounts', Accounts);
