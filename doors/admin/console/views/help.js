// <y-help>: what this is, and how to talk to this server from a command line, a page or a script.

import { code, heading } from '../components/bits.js';
import { mark } from '../components/icon.js';
import { me } from '../lib/account.js';
import { Part, h } from '../lib/dom.js';
import { took } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { line } from '../lib/line.js';
import { address } from '../lib/route.js';

class Help extends Part {
  begin() {
    this.className = 'page';
    const { origin, hostname } = location;
    const socket = origin.replace(/^http/, 'ws');
    const apple = /Mac|iPhone|iPad/.test(navigator.platform);
    const clock = h('p', { class: 'aside' });
    this.follow(
      line.clock,
      (sample) =>
        (clock.textContent = sample
          ? t('help.clock', { offset: took(Math.abs(sample.offset)), trip: took(sample.roundTrip) })
          : ''),
    );
    this.replaceChildren(
      heading(t('nav.help'), t('help.text')),
      h(
        'div',
        { class: 'content help' },
        h(
          'section',
          { class: 'card about' },
          mark(),
          h('div', null, h('h2', null, 'Yizhan 驿站'), h('p', null, t('help.about')), clock),
        ),
        example('curl', t('help.curl'), [
          `curl -H "Authorization: Bearer $TOKEN" -d 'hello' ${origin}/v1/publish/rooms/lobby`,
          `curl -H "Authorization: Bearer $TOKEN" '${origin}/v1/history/rooms/lobby?limit=5'`,
          `curl -N -H "Authorization: Bearer $TOKEN" '${origin}/v1/sse?filter=rooms/%23'`,
        ]),
        example('nc', t('help.nc'), [
          `nc ${hostname} 8888\n{"type":"hello","token":"$TOKEN"}\n{"type":"subscribe","id":1,"sub":1,"filter":"rooms/lobby","last":5}\n{"type":"publish","id":2,"topic":"rooms/lobby","text":"hello from nc"}`,
        ]),
        example('wscat', t('help.wscat'), [
          `npx wscat -c ${socket}/v1/socket -s yizhan.v1.json\n> {"type":"hello","token":"$TOKEN"}\n> {"type":"subscribe","id":1,"sub":1,"filter":"rooms/#"}`,
        ]),
        example('JavaScript', t('help.sdk'), [
          `import { connect } from '${origin}/sdk/yizhan.js';\n\nconst client = connect('${origin}', { token });\nawait client.publish('rooms/lobby', 'hello');\nfor await (const record of client.subscribe('rooms/#')) {\n  console.log(record.topic, record.from, record.text);\n}`,
        ]),
        example('yizhan', t('help.cli'), ["yizhan sub 'rooms/#'", "yizhan pub rooms/lobby 'hello'", 'yizhan top']),
        h(
          'section',
          { class: 'card' },
          h('header', null, h('h2', null, t('help.keys'))),
          h(
            'dl',
            { class: 'body facts keys' },
            [
              [apple ? '⌘ K' : 'Ctrl K', t('help.key.switcher')],
              ['↑ ↓', t('help.key.lists')],
              ['Enter', t('help.key.send')],
              ['Shift Enter', t('help.key.newline')],
              ['Esc', t('help.key.close')],
            ].map(([key = '', text = '']) => [h('dt', null, h('kbd', null, key)), h('dd', null, text)]),
          ),
        ),
        me.value?.guest
          ? null
          : h('p', { class: 'notes' }, t('help.token'), ' ', h('a', { href: address('account') }, t('account.tokens'))),
      ),
    );
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {string[]} examples
 */
function example(name, text, examples) {
  return h(
    'section',
    { class: 'card' },
    h('header', null, h('h2', null, name), h('span', { class: 'aside' }, text)),
    h('div', { class: 'body stack' }, examples.map(code)),
  );
}

customElements.define('y-help', Help);
