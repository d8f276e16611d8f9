// Where the page begins: which broadcast it is, the stage with the picture and what lies over it, the chat beside it.

import { Bullets } from './bullets.js';
import { Chat, Composer } from './chat.js';
import { Controls } from './controls.js';
import { Gifts } from './gifts.js';
import { fill, h, watchAll } from './lib/dom.js';
import { icon } from './lib/icon.js';
import { settings } from './lib/settings.js';
import { clock, count, t } from './lib/words.js';
import { Player } from './player.js';
import { Room } from './room.js';

/** How long a notice stays, ms. */
const NOTICE_MS = 3500;
/** From one frame to the next it may be gone for this long before anybody is told, ms. */
const VEIL_AFTER_MS = 700;

const [, , app = '', name = ''] = location.pathname.split('/').map(decodeURIComponent);
const asked = new URLSearchParams(location.search);
// What the media's addresses carry, too.
const query = asked.has('token') ? `?${new URLSearchParams({ token: asked.get('token') ?? '' })}` : '';

const room = new Room(app, name.split('~')[0] ?? name, asked.get('token') ?? '');
const player = new Player(app, name, query);
player.serverTime = room.serverTime;
player.isOnAir = () => room.onAir.value?.lost === false;

const stage = h('div', { class: 'stage', tabIndex: -1 });
const notices = h('div', { class: 'notices', role: 'status' });
const bullets = new Bullets();
const gifts = new Gifts();
const veil = h('div', { class: 'veil' });
const hush = h('button', { type: 'button', class: 'hush', hidden: true, on: { click: () => player.mute() } });
const controls = new Controls(player, stage);
const chat = new Chat(room);

/** @param {string} text */
function tell(text) {
  const notice = h('p', null, text);
  notices.append(notice);
  while (notices.childElementCount > 3) notices.firstElementChild?.remove();
  setTimeout(() => notice.remove(), NOTICE_MS);
}

const composer = new Composer(room, tell);
const over = new Composer(room, tell);
over.element.classList.add('over');
stage.prepend(player.video, bullets.element, gifts.element, veil, hush, notices);
stage.append(h('div', { class: 'bottom' }, over.element, controls.element));

const title = h('h1');
const badge = h('span', { class: 'badge' });
const watching = h('span', { class: 'watching' });
const since = h('span', { class: 'since' });
const share = h('button', { type: 'button', class: 'tool share', on: { click: () => void copyLink() } }, icon('share'));
const head = h('header', { class: 'head' }, h('div', { class: 'what' }, title, h('p', null, badge, watching, since)), share);
const side = h('aside', { class: 'side' }, chat.element, composer.element);
const root = document.querySelector('#app');
if (root) fill(root, h('main', null, h('div', { class: 'middle' }, stage, head), side));

async function copyLink() {
  const address = `${location.origin}${location.pathname}`;
  try {
    if (navigator.share && matchMedia('(pointer: coarse)').matches) await navigator.share({ url: address, title: document.title });
    else {
      await navigator.clipboard.writeText(address);
      tell(t('share.done'));
    }
  } catch {
    // Nothing was shared.
  }
}

room.onSaid((said) => bullets.show(said));
room.onGift((given) => gifts.show(given));
room.onAir.hear((onAir) => player.sayOnAir(Boolean(onAir)));
// Whoever signs in in another tab may perhaps watch now.
room.user.hear(() => player.state.value === 'denied' && player.again());

settings.theme.watch((theme) => (document.documentElement.dataset['theme'] = theme));
settings.chat.watch((on) => document.documentElement.classList.toggle('no-chat', !on));
settings.language.watch((language) => (document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'));

watchAll([room.title, room.onAir, settings.language], () => {
  const shown = room.title.value || name;
  title.textContent = shown;
  document.title = `${room.onAir.value ? '● ' : ''}${shown}`;
  share.title = t('share');
  share.setAttribute('aria-label', t('share'));
});
watchAll([room.viewers, room.onAir, player.state, settings.language], () => {
  const on = room.onAir.value ? true : room.onAir.value === undefined ? player.state.value === 'playing' : false;
  // Where one may not even look, it is not known.
  badge.hidden = room.onAir.value === undefined && !on;
  badge.textContent = t(on ? 'live' : 'off');
  badge.classList.toggle('on', on);
  const n = room.viewers.value;
  fill(watching, n === null || !on ? null : [icon('eye'), t('viewers', { n: count(n) })]);
});
const sayTime = () => {
  const began = room.onAir.value?.since;
  since.textContent = typeof began === 'number' ? t('since', { time: clock((room.serverTime() - began) / 1000) }) : '';
};
setInterval(sayTime, 1000);
room.onAir.hear(sayTime);

/** What lies over the picture while there is none. @type {ReturnType<typeof setTimeout> | undefined} */
let veilTimer;
watchAll([player.state, player.problem, player.seen, room.onAir, settings.language], () => {
  clearTimeout(veilTimer);
  const { state } = player;
  // A short gap is no news.
  if (state.value === 'waiting') veilTimer = setTimeout(drawVeil, VEIL_AFTER_MS);
  else drawVeil();
});
watchAll([player.hushed, settings.language], () => {
  hush.hidden = !player.hushed.value;
  fill(hush, icon('muted'), t('sound.hint'));
});

function drawVeil() {
  const state = player.state.value;
  const again = () => h('button', { type: 'button', class: 'main', on: { click: () => player.again() } }, icon('refresh'), t('veil.again'));
  veil.className = `veil ${state}`;
  veil.hidden = state === 'playing';
  const spinner = h('span', { class: 'spinner' });
  if (state === 'loading') fill(veil, spinner, h('p', null, t('veil.loading')));
  else if (state === 'waiting') {
    const lost = room.onAir.value?.lost === true;
    fill(veil, spinner, h('p', null, t(lost ? 'veil.lost' : 'veil.waiting')), lost ? h('small', null, t('veil.lost.text')) : null);
  } else if (state === 'off') {
    const seen = player.seen.value;
    fill(veil, h('span', { class: 'round' }, icon('off')), h('p', null, t(seen ? 'veil.ended' : 'veil.off')), h('small', null, t(seen ? 'veil.ended.text' : 'veil.off.text')));
  } else if (state === 'paused' || state === 'blocked') {
    fill(veil, h('button', { type: 'button', class: 'big', 'aria-label': t('veil.play'), on: { click: () => player.play() } }, icon('play')));
  } else if (state === 'denied') fill(veil, h('span', { class: 'round' }, icon('lock')), h('p', null, t('veil.denied')), h('small', null, t('veil.denied.text')), room.isGuest ? h('a', { href: '/', target: '_blank', rel: 'noopener' }, t('chat.signin')) : null, again());
  else if (state === 'failed') fill(veil, h('span', { class: 'round' }, icon('alert')), h('p', null, t('veil.failed')), h('small', null, player.problem.value), again());
  else if (state === 'unsupported') fill(veil, h('span', { class: 'round' }, icon('alert')), h('p', null, t('veil.failed')), h('small', null, t('veil.unsupported')));
}

/** A tap shows the bar first; a click of a mouse stops and goes on; two fill the screen. */
stage.addEventListener('click', (event) => {
  if (event.target !== player.video && event.target !== bullets.element && event.target !== veil) return;
  if (matchMedia('(pointer: coarse)').matches) return;
  player.toggle();
});
stage.addEventListener('dblclick', (event) => {
  if (event.target === player.video || event.target === bullets.element || event.target === veil) void controls.full();
});

room.enter();
void player.begin();
