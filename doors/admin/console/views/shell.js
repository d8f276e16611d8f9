// <y-shell>: the frame for who is signed in: the sidebar, the banner that says how the connection is, and the view.

import '../components/switcher.js';
import { avatar } from '../components/avatar.js';
import { icon, mark } from '../components/icon.js';
import { openMenu } from '../components/menu.js';
import { displayName, me, signOut } from '../lib/account.js';
import { viewTitle } from '../lib/alerts.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { line } from '../lib/line.js';
import { chat, chatState, presenceOf, unread } from '../lib/im/im.js';
import { address, go, goInstead, route } from '../lib/route.js';
import { dark, language, sidebar, theme } from '../lib/settings.js';
import { attempt } from './chat/talk-menu.js';
import { places } from './places.js';

/** Only after this long is a lost connection worth a banner. */
const BANNER_AFTER_MS = 700;

class Shell extends Part {
  #stage = h('main', { class: 'stage', id: 'stage', tabIndex: -1 });
  #banner = h('div', { class: 'banner', role: 'status', hidden: true });
  #shown = '';

  begin() {
    const skip = h(
      'a',
      {
        class: 'skip',
        href: '#stage',
        on: { click: (/** @type {Event} */ event) => (event.preventDefault(), this.#stage.focus()) },
      },
      t('skip'),
    );
    const badge = h('span', { class: 'count', hidden: true });
    const tabBadge = h('span', { class: 'count', hidden: true });
    this.replaceChildren(skip, this.#side(badge), this.#banner, this.#stage, this.#tabs(tabBadge));
    this.follow(sidebar, (width) => this.classList.toggle('slim', width === 'slim'));
    this.follow(route, () => this.#go());
    this.follow(unread, ({ unread: n }) => {
      for (const each of [badge, tabBadge]) {
        each.hidden = n === 0;
        each.textContent = n > 99 ? '99+' : String(n);
        each.setAttribute('aria-label', t('im.unread', { n }));
      }
    });
    this.follow(line.state, () => this.#sayConnection());
    this.each(1000, () => this.#sayConnection());
    this.listen(document, 'keydown', (event) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        openSwitcher();
      }
    });
  }

  /** @param {HTMLElement} badge */
  #side(badge) {
    const groups = places().map(({ heading, items }) => [
      heading ? h('h2', null, heading) : null,
      items.map((place) =>
        h(
          'a',
          { class: 'place', href: address(place.view), title: place.text, data: { view: place.view } },
          icon(place.icon),
          h('span', null, place.text),
          place.view === 'chat' ? badge : null,
        ),
      ),
    ]);
    const apple = /Mac|iPhone|iPad/.test(navigator.platform);
    return h(
      'aside',
      { class: 'sidebar' },
      h(
        'a',
        { class: 'brand', href: address(''), 'aria-label': 'Yizhan' },
        mark(),
        h('b', null, 'Yizhan', h('span', { lang: 'zh-CN' }, '驿站')),
      ),
      h(
        'button',
        { class: 'place', type: 'button', title: t('switcher.title'), on: { click: openSwitcher } },
        icon('search'),
        h('span', null, t('switcher.short')),
        h('kbd', { 'aria-hidden': 'true' }, apple ? '⌘K' : 'Ctrl K'),
      ),
      h('nav', { 'aria-label': t('nav.main') }, groups),
      h(
        'footer',
        null,
        h(
          'button',
          {
            class: 'place fold',
            type: 'button',
            title: t('nav.fold'),
            on: { click: () => (sidebar.value = sidebar.value === 'wide' ? 'slim' : 'wide') },
          },
          icon('sidebar'),
          h('span', null, t('nav.fold')),
        ),
        this.#meButton(),
      ),
    );
  }

  /** Who one is, how the connection is, and the menu with both languages. */
  #meButton() {
    const who = me.value;
    const state = h('small');
    this.follow(line.state, ({ phase }) => {
      state.textContent =
        phase === 'online' ? t('state.online') : phase === 'refused' ? t('state.refused') : t('state.connecting');
    });
    const name = displayName(who?.user ?? '');
    const face = avatar(name, { size: 32, online: true });
    this.follow(line.state, ({ phase }) => {
      const dot = face.querySelector('.dot');
      if (dot) dot.className = phase === 'online' ? 'dot on' : phase === 'refused' ? 'dot bad' : 'dot wait';
    });
    const button = h(
      'button',
      {
        class: 'me-button',
        type: 'button',
        'aria-haspopup': 'menu',
        'aria-label': t('me.menu'),
        on: {
          click: () =>
            openMenu(button, [
              ...(who?.guest
                ? []
                : [{ label: t('account.title'), icon: /** @type {const} */ ('user'), run: () => go('account') }]),
              ...meMenu(),
            ]),
        },
      },
      face,
      h('span', { class: 'who' }, h('b', null, name), state),
    );
    return button;
  }

  /** @param {HTMLElement} badge */
  #tabs(badge) {
    const all = places().flatMap(({ items }) => items);
    const wanted = me.value?.admin ? ['chat', 'people', 'overview', 'topics'] : ['chat', 'people', 'topics', 'account'];
    const main = all
      .filter(({ view }) => wanted.includes(view))
      .sort((a, b) => wanted.indexOf(a.view) - wanted.indexOf(b.view));
    const rest = all.filter(({ view }) => !wanted.includes(view));
    const more = h(
      'button',
      {
        type: 'button',
        'aria-haspopup': 'menu',
        on: {
          click: () =>
            openMenu(more, [
              ...rest.map((place) => ({ label: place.text, icon: place.icon, run: () => go(place.view) })),
              ...(rest.length ? [/** @type {const} */ ('line')] : []),
              ...meMenu(),
            ]),
        },
      },
      icon('more'),
      h('span', null, t('more')),
    );
    return h(
      'nav',
      { class: 'tabbar', 'aria-label': t('nav.main') },
      main.map((place) =>
        h(
          'a',
          { href: address(place.view), data: { view: place.view } },
          icon(place.icon),
          h('span', null, place.short ?? place.text),
          place.view === 'chat' ? badge : null,
        ),
      ),
      more,
    );
  }

  #go() {
    const all = places().flatMap(({ items }) => items);
    const [view, ...rest] = route.value;
    const place = all.find((each) => each.view === view);
    if (!place) {
      goInstead(me.value?.admin && view === '' && matchMedia('(min-width: 721px)').matches ? 'overview' : 'chat');
      return;
    }
    if (view !== 'chat' || !rest[0]) viewTitle.value = place.text;
    this.classList.toggle('in-room', view === 'chat' && Boolean(rest[0]));
    for (const link of this.querySelectorAll('[data-view]')) {
      if (link instanceof HTMLElement && link.dataset['view'] === view) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    if (this.#shown !== view) {
      this.#shown = view ?? '';
      fill(this.#stage, document.createElement(place.element));
    }
  }

  #sayConnection() {
    const { phase, retryAt, since, reason } = line.state.value;
    const late = Date.now() - since > BANNER_AFTER_MS;
    const text =
      phase === 'refused'
        ? t('banner.refused', { reason: reason ?? '' })
        : !navigator.onLine
          ? t('banner.offline')
          : phase === 'waiting' && retryAt
            ? t('banner.waiting', { n: Math.max(0, Math.ceil((retryAt - Date.now()) / 1000)) })
            : t('banner.connecting');
    this.#banner.hidden = phase === 'online' || phase === 'off' || (phase !== 'refused' && !late);
    this.#banner.classList.toggle('bad', phase === 'refused');
    if (this.#banner.dataset['text'] === text) return;
    this.#banner.dataset['text'] = text;
    fill(
      this.#banner,
      icon(phase === 'refused' ? 'alert' : 'wifi-off'),
      h('span', null, text),
      phase === 'waiting'
        ? h('button', { class: 'button small', type: 'button', on: { click: () => line.retryNow() } }, t('banner.now'))
        : null,
      phase === 'refused'
        ? h(
            'button',
            { class: 'button small', type: 'button', on: { click: () => location.reload() } },
            t('banner.again'),
          )
        : null,
    );
  }
}

function openSwitcher() {
  if (!document.querySelector('y-switcher')) document.body.append(document.createElement('y-switcher'));
}

/** @returns {import('../components/menu.js').Entry[]} */
export function lookMenu() {
  return [
    { heading: t('theme') },
    { label: t('theme.system'), icon: 'screen', ticked: theme.value === 'system', run: () => (theme.value = 'system') },
    { label: t('theme.light'), icon: 'sun', ticked: theme.value === 'light', run: () => (theme.value = 'light') },
    { label: t('theme.dark'), icon: 'moon', ticked: theme.value === 'dark', run: () => (theme.value = 'dark') },
    { heading: t('language') },
    { label: 'English', ticked: language.value === 'en', run: () => (language.value = 'en') },
    { label: '简体中文', ticked: language.value === 'zh', run: () => (language.value = 'zh') },
  ];
}

/** How one shows oneself in the chat. @returns {import('../components/menu.js').Entry[]} */
function showMenu() {
  if (chatState.value.phase !== 'ready') return [];
  const now = presenceOf(chat().me ?? '')?.show ?? 'online';
  return [
    { heading: t('people.status') },
    .../** @type {const} */ (['online', 'away', 'busy', 'invisible']).map((show) => ({
      label: t(`im.show.${show}`),
      ticked: now === show,
      run: () => void attempt(chat().people.setStatus({ show })),
    })),
  ];
}

/** @returns {import('../components/menu.js').Entry[]} */
function meMenu() {
  return [
    ...showMenu(),
    ...lookMenu(),
    'line',
    { label: me.value?.guest ? t('signin.button') : t('signout'), icon: 'leave', run: () => void signOut() },
  ];
}

/** A button that turns light to dark and back. */
export function themeButton() {
  return h(
    'button',
    {
      class: 'icon-button',
      type: 'button',
      title: t('theme'),
      'aria-label': t('theme'),
      on: { click: () => (theme.value = dark.value ? 'light' : 'dark') },
    },
    icon('sun'),
  );
}

customElements.define('y-shell', Shell);
