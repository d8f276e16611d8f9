// Where one is signed in to chat, and logging the others out.

import { icon } from '../../components/icon.js';
import { confirm } from '../../components/dialog.js';
import { fill, h } from '../../lib/dom.js';
import { moment } from '../../lib/format.js';
import { chat } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell } from '../../lib/notices.js';
import { attempt } from '../chat/talk-menu.js';

/** @param {HTMLElement} body */
export async function devices(body) {
  const list = await chat().devices();
  const others = async () => {
    if (!(await confirm({ title: t('people.devices.others.title'), text: t('people.devices.others.text'), yes: t('people.devices.others'), danger: true }))) return;
    await attempt(async () => {
      const { ended } = await chat().logoutOthers();
      tell(t('people.devices.done', { n: ended }));
      await devices(body);
    });
  };
  fill(
    body,
    h('header', null, h('p', { class: 'aside' }, t('people.devices.text'))),
    h(
      'ul',
      { class: 'body' },
      list.map(({ device, platform, since, self }) =>
        h(
          'li',
          { class: 'member' },
          icon(platform === 'ios' || platform === 'android' ? 'card' : 'screen'),
          h('span', { class: 'who' }, h('b', null, device || platform), h('small', null, `${platform} · ${moment(since)}`)),
          self ? h('span', { class: 'badge accent' }, t('people.devices.this')) : null,
        ),
      ),
    ),
    list.length > 1
      ? h('div', { class: 'body' }, h('button', { class: 'button danger', type: 'button', on: { click: () => void others() } }, icon('leave'), t('people.devices.others')))
      : null,
  );
}
