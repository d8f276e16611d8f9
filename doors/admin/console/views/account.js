// <y-account>: one's own account: password, devices, personal tokens.

import { avatar } from '../components/avatar.js';
import { bones, code, empty, failed, field, heading, iconButton } from '../components/bits.js';
import { ask, confirm, show } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { dataTable } from '../components/table.js';
import { look, me } from '../lib/account.js';
import { admin } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { ago, moment, span } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { tell, warn } from '../lib/notices.js';
import { filterProblem } from '../lib/topics.js';

const TOKEN_LASTS = [86400, 2592000, 7776000, 31536000];

/** @typedef {import('../lib/admin.js').Token} Token */

class Account extends Part {
  #tokens = h('div', { class: 'body' }, bones(4));
  #devices = h('div', { class: 'body' }, bones(3));
  #table = dataTable({
    label: t('account.tokens'),
    key: (/** @type {Token} */ { id }) => id,
    sort: ['created', -1],
    none: () => empty('key', t('account.tokens.none'), t('account.tokens.none.text')),
    columns: [
      {
        name: 'name',
        label: t('col.name'),
        sort: ({ name }) => name,
        cell: ({ name, kind, current }) =>
          h(
            'span',
            { class: 'badges' },
            h('b', null, name || t('account.signin')),
            kind === 'login' ? h('span', { class: 'badge' }, t('account.signin')) : null,
            current ? h('span', { class: 'badge accent' }, t('account.this')) : null,
          ),
      },
      {
        name: 'rules',
        label: t('col.may'),
        cell: ({ rules }) =>
          rules
            ? h(
                'span',
                { class: 'mono' },
                rules
                  .map(
                    ({ effect, actions, topics }) =>
                      `${effect === 'deny' ? '−' : ''}${actions.join('+')} ${topics.join(' ')}`,
                  )
                  .join('; '),
              )
            : t('account.may.all'),
      },
      {
        name: 'used',
        label: t('col.used'),
        sort: ({ last_used_at }) => last_used_at ?? 0,
        cell: ({ last_used_at }) =>
          last_used_at ? h('span', { title: moment(last_used_at) }, ago(last_used_at)) : t('never'),
      },
      {
        name: 'created',
        label: t('col.created'),
        sort: ({ created_at }) => created_at,
        cell: ({ created_at }) => h('span', { title: moment(created_at) }, ago(created_at)),
      },
      {
        name: 'expires',
        label: t('col.expires'),
        sort: ({ expires_at }) => expires_at ?? Infinity,
        cell: ({ expires_at }) => (expires_at ? moment(expires_at) : t('never')),
      },
      {
        name: 'tools',
        label: t('col.tools'),
        tools: true,
        cell: (token) =>
          token.current ? null : iconButton('trash', t('account.revoke'), () => void this.#revoke(token)),
      },
    ],
  });

  begin() {
    this.className = 'page';
    const who = me.value;
    const title = heading(t('account.title'), t('account.text'));
    this.replaceChildren(
      title,
      h(
        'div',
        { class: 'content' },
        h(
          'section',
          { class: 'card who-card' },
          avatar(who?.user ?? '', { size: 56 }),
          h(
            'div',
            null,
            h('h2', null, who?.user ?? ''),
            h(
              'span',
              { class: 'badges' },
              (who?.roles ?? []).map((role) => h('span', { class: 'badge accent' }, tName('role', role))),
            ),
          ),
          who?.account
            ? h(
                'button',
                { class: 'button', type: 'button', on: { click: () => setPassword() } },
                icon('key'),
                who.hasPassword ? t('account.password.change') : t('account.password.set'),
              )
            : h('p', { class: 'aside' }, t('account.jwt')),
        ),
        who?.account && !who.hasPassword ? h('p', { class: 'notes' }, t('account.password.none')) : null,
        h(
          'section',
          { class: 'card' },
          h(
            'header',
            null,
            h('h2', null, t('account.tokens')),
            h(
              'button',
              { class: 'button more', type: 'button', disabled: !who?.account, on: { click: () => this.#create() } },
              icon('plus'),
              t('account.tokens.create'),
            ),
          ),
          this.#tokens,
        ),
        h('section', { class: 'card' }, h('header', null, h('h2', null, t('account.devices'))), this.#devices),
      ),
    );
    void this.#look();
  }

  async #look() {
    try {
      const [{ items }, { devices }] = await Promise.all([admin.tokens(), admin.me()]);
      if (!this.#table.element.isConnected) fill(this.#tokens, this.#table.element);
      this.#table.show(items);
      fill(
        this.#devices,
        devices.length
          ? h(
              'ul',
              { class: 'lines' },
              devices.map(({ device, last_seen_at, address, door }) =>
                h(
                  'li',
                  null,
                  icon('screen'),
                  h('b', null, device),
                  h('span', { class: 'aside' }, `${address} · ${tName('door', door)}`),
                  h('span', { class: 'aside more', title: moment(last_seen_at) }, ago(last_seen_at)),
                ),
              ),
            )
          : h('p', { class: 'aside' }, t('account.devices.none')),
      );
    } catch (error) {
      fill(
        this.#tokens,
        failed(error, () => void this.#look()),
      );
      fill(this.#devices);
    }
  }

  #create() {
    const name = h('input', {
      class: 'input',
      required: true,
      maxLength: 100,
      autocomplete: 'off',
      placeholder: t('account.tokens.example'),
    });
    const lasts = h('select', { class: 'input' }, [
      ...TOKEN_LASTS.map((seconds) =>
        h('option', { value: String(seconds), selected: seconds === 7776000 }, span(seconds)),
      ),
      h('option', { value: '' }, t('never')),
    ]);
    const limited = h('input', { type: 'checkbox' });
    const actions = /** @type {const} */ (['publish', 'subscribe']).map((action) => ({
      action,
      box: h('input', { type: 'checkbox', checked: true }),
    }));
    const topics = h('input', {
      class: 'input mono',
      placeholder: 'sensors/7/#',
      autocomplete: 'off',
      spellcheck: false,
    });
    const limits = h(
      'div',
      { class: 'limits', hidden: true },
      actions.map(({ action, box }) => h('label', { class: 'switch' }, box, t(`action.${action}`))),
      field(t('account.tokens.topics'), topics, t('account.tokens.topics.hint')),
    );
    limited.addEventListener('change', () => (limits.hidden = !limited.checked));
    ask({
      title: t('account.tokens.create'),
      text: t('account.tokens.text'),
      fields: [
        field(t('col.name'), name),
        field(t('account.tokens.lasts'), lasts),
        h('label', { class: 'switch' }, limited, t('account.tokens.limit')),
        limits,
      ],
      yes: t('create'),
      send: async () => {
        const filters = topics.value.split(/[\s,]+/).filter(Boolean);
        const chosen = actions.filter(({ box }) => box.checked).map(({ action }) => action);
        if (
          limited.checked &&
          (filters.length === 0 || chosen.length === 0 || filters.some((filter) => filterProblem(filter)))
        )
          throw new Error(t('account.tokens.bad'));
        const made = await admin.createToken({
          name: name.value.trim(),
          expires_in: lasts.value ? Number(lasts.value) : null,
          ...(limited.checked && { rules: [{ effect: 'allow', actions: chosen, topics: filters }] }),
        });
        await this.#look();
        show(t('account.tokens.made'), [
          h(
            'form',
            { method: 'dialog' },
            h('h2', null, t('account.tokens.made')),
            h('p', null, t('account.tokens.once')),
            code(made.token),
            code(`curl -H 'Authorization: Bearer ${made.token}' -d hello ${location.origin}/v1/publish/rooms/lobby`),
            h('div', { class: 'actions' }, h('button', { class: 'button main' }, t('done'))),
          ),
        ]);
      },
    });
  }

  /** @param {Token} token */
  async #revoke(token) {
    if (
      !(await confirm({
        title: t('account.revoke.title', { name: token.name || t('account.signin') }),
        text: t('account.revoke.text'),
        yes: t('account.revoke'),
        danger: true,
      }))
    )
      return;
    try {
      await admin.revokeToken(token.id);
      tell(t('account.revoked'));
    } catch (error) {
      warn(t('failed.do'), error instanceof Error ? error.message : undefined);
    }
    await this.#look();
  }
}

/** Asks for a new password. */
export function setPassword() {
  const had = me.value?.hasPassword ?? false;
  const name = h('input', {
    class: 'unseen',
    autocomplete: 'username',
    value: me.value?.user ?? '',
    tabIndex: -1,
    'aria-hidden': 'true',
    readOnly: true,
  });
  const old = h('input', { class: 'input', type: 'password', required: had, autocomplete: 'current-password' });
  const next = h('input', {
    class: 'input',
    type: 'password',
    required: true,
    minLength: 8,
    maxLength: 1024,
    autocomplete: 'new-password',
  });
  const again = h('input', { class: 'input', type: 'password', required: true, autocomplete: 'new-password' });
  ask({
    title: had ? t('account.password.change') : t('account.password.set'),
    text: had ? t('account.password.text') : t('account.password.first'),
    fields: [
      name,
      ...(had ? [field(t('account.password.old'), old)] : []),
      field(t('account.password.new'), next, t('account.password.hint')),
      field(t('account.password.again'), again),
    ],
    yes: t('save'),
    send: async () => {
      if (next.value !== again.value) throw new Error(t('account.password.differ'));
      await admin.setPassword(had ? old.value : undefined, next.value);
      tell(t('account.password.done'));
      await look();
    },
  });
}

customElements.define('y-account', Account);
