// How to go live: what to enter in OBS, and one line for ffmpeg.

import { code, copyButton } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { me } from '../lib/account.js';
import { h, fill } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { live } from '../lib/live.js';
import { tell, warn } from '../lib/notices.js';

/** The app that is there where the config says nothing else. */
const APP = 'live';
/** How long a key that is made here is good for, s. */
const KEY_S = 86_400;

/** @param {string} label @param {string} value */
function given(label, value) {
  return h('div', { class: 'given' }, h('span', { class: 'label' }, label), h('code', null, value), copyButton(value, `${t('copy')}: ${label}`));
}

/** The card. */
export function goLive() {
  const { hostname, origin } = location;
  const server = `rtmp://${hostname}/${APP}`;
  let token = '';
  const name = h('input', { class: 'input', value: 'room1', maxLength: 64, autocomplete: 'off', spellcheck: false, 'aria-label': t('live.help.name') });
  const body = h('div', { class: 'body go-live-help' });
  const draw = () => {
    const stream = name.value.trim() || 'room1';
    const key = token ? `${stream}?token=${token}` : stream;
    const line = (/** @type {string} */ title, /** @type {string} */ text) => [h('dt', null, title), h('dd', null, text)];
    fill(
      body,
      h('div', { class: 'name-row' }, h('label', null, h('span', { class: 'label' }, t('live.help.name')), name), me.value?.admin ? maker(stream) : null),
      h('h3', null, t('live.help.obs')),
      h('p', { class: 'aside' }, t('live.help.obs.text')),
      given(t('live.help.server'), server),
      given(t('live.help.key'), key),
      h('p', { class: 'aside' }, t('live.help.output')),
      h(
        'dl',
        { class: 'facts' },
        line(t('live.help.encoder'), t('live.help.encoder.is')),
        line(t('live.help.rate'), t('live.help.rate.is')),
        line(t('live.help.keyframe'), t('live.help.keyframe.is')),
        line(t('live.help.tune'), t('live.help.tune.is')),
        line(t('live.help.audio'), t('live.help.audio.is')),
      ),
      h('h3', null, t('live.help.ffmpeg'), ' ', h('small', { class: 'aside' }, t('live.help.ffmpeg.text'))),
      code(
        `ffmpeg -re -i film.mp4 -c:v libx264 -preset veryfast -tune zerolatency -b:v 2500k -maxrate 2500k -bufsize 2500k -g 60 -pix_fmt yuv420p -c:a aac -b:a 128k -ar 48000 -f flv '${server}/${key}'`,
      ),
      h('h3', null, t('live.help.play'), ' ', h('small', { class: 'aside' }, t('live.help.play.text'))),
      given(t('live.watch'), `${origin}/watch/${APP}/${stream}`),
      given('HLS', `${origin}/${APP}/${stream}.m3u8`),
      given('FLV', `${origin}/${APP}/${stream}.flv`),
      given('RTMP', `${server}/${stream}`),
    );
  };
  const maker = (/** @type {string} */ stream) => {
    const button = h('button', { class: 'button', type: 'button', title: t('live.help.token.text'), on: { click: () => void make() } }, icon('key'), t('live.help.token'));
    const make = async () => {
      button.disabled = true;
      try {
        ({ token } = await live.key(APP, stream, KEY_S));
        tell(t('live.help.token.done'));
        draw();
      } catch (error) {
        warn(t('failed.do'), error instanceof Error ? error.message : undefined);
      }
      button.disabled = false;
    };
    return button;
  };
  name.addEventListener('input', () => {
    // A key is good for one name.
    token = '';
    const at = name.selectionStart;
    draw();
    name.focus();
    name.setSelectionRange(at, at);
  });
  draw();
  return h('section', { class: 'card go-live' }, h('header', null, h('h2', null, t('live.help'))), body);
}
