// <y-sign-in>: the page before somebody is signed in.

import { icon, mark } from '../components/icon.js';
import { openMenu } from '../components/menu.js';
import { field, iconButton } from '../components/bits.js';
import { enterAsGuest, signIn } from '../lib/account.js';
import { Part, h, svg } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { language } from '../lib/settings.js';
import { lookMenu } from './shell.js';

class SignIn extends Part {
  #user = h('input', {
    class: 'input',
    name: 'username',
    autocomplete: 'username',
    required: true,
    autocapitalize: 'off',
    spellcheck: false,
  });
  #password = h('input', {
    class: 'input',
    name: 'password',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
  });

  begin() {
    this.replaceChildren(
      h(
        'header',
        { class: 'welcome' },
        road(),
        h('div', { class: 'brand' }, mark(), h('b', null, 'Yizhan', h('span', { lang: 'zh-CN' }, '驿站'))),
        h('div', { class: 'words' }, h('h1', null, t('signin.words')), h('p', null, t('signin.more'))),
      ),
      h('main', { class: 'sign-in' }, corner(), this.#form(), h('p', { class: 'aside' }, t('signin.foot'))),
    );
    this.#user.focus();
  }

  #form() {
    const [user, password] = [this.#user, this.#password];
    const problem = h('p', { class: 'notes bad', role: 'alert', hidden: true });
    const button = h('button', { class: 'button main wide', type: 'submit' }, t('signin.button'));
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      problem.hidden = true;
      try {
        await signIn(user.value.trim(), password.value);
      } catch (error) {
        problem.textContent = error instanceof Error ? error.message : String(error);
        problem.hidden = false;
        password.select();
      } finally {
        button.disabled = false;
      }
    };
    const guest = { class: 'button wide', type: 'button', on: { click: () => enterAsGuest(user.value.trim()) } };
    return h(
      'form',
      { on: { submit } },
      h('h2', null, t('signin.title')),
      field(t('signin.user'), user),
      field(t('signin.password'), password),
      problem,
      button,
      h('div', { class: 'or' }, t('signin.or')),
      h('button', guest, t('signin.guest')),
      h('p', { class: 'aside' }, t('signin.link')),
    );
  }
}

/** The language and the look, before anybody is known. */
function corner() {
  const other = language.value === 'en' ? 'zh' : 'en';
  const press = () => (language.value = other);
  const look = iconButton('settings', t('theme'), () => openMenu(look, lookMenu()));
  look.setAttribute('aria-haspopup', 'menu');
  return h(
    'div',
    { class: 'corner' },
    h(
      'button',
      { class: 'button quiet', type: 'button', lang: other === 'zh' ? 'zh-CN' : 'en', on: { click: press } },
      icon('globe'),
      other === 'zh' ? '简体中文' : 'English',
    ),
    look,
  );
}

/** The road from station to station, with messages on it. */
function road() {
  const stations = [
    [90, 520],
    [250, 395],
    [430, 450],
    [585, 300],
    [760, 340],
  ];
  const d = 'M-40 600C20 560 50 545 90 520S190 400 250 395s120 70 180 55 90-140 155-150 120 60 175 40 80-70 120-120';
  return svg(
    'svg',
    { class: 'road', viewBox: '0 170 800 630', preserveAspectRatio: 'xMidYMax slice', 'aria-hidden': 'true' },
    svg('path', { class: 'hill far', d: 'M0 520c120-60 210-150 330-120s170 130 280 90 140-70 190-80v390H0z' }),
    svg('path', { class: 'hill near', d: 'M0 640c90-30 200-110 320-70s180 90 270 60 150-50 210-40v210H0z' }),
    svg('path', { class: 'way', d }),
    svg('path', { class: 'rider', d, pathLength: 100 }),
    svg('path', { class: 'rider second', d, pathLength: 100 }),
    stations.map(([x = 0, y = 0]) =>
      svg(
        'g',
        { transform: `translate(${x} ${y})` },
        svg('circle', { r: 15, class: 'station' }),
        svg('path', { class: 'eaves', d: 'M-9 1.5C-5.5 1-2.5-1.5 0-5c2.5 3.5 5.5 6 9 6.5M-5.5 1.5v5h11v-5' }),
      ),
    ),
  );
}

customElements.define('y-sign-in', SignIn);
