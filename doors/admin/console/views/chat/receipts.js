// Who has read a message, and who has not.

import { bones } from '../../components/bits.js';
import { show } from '../../components/dialog.js';
import { personFace } from '../../components/face.js';
import { segments } from '../../components/bits.js';
import { fill, h } from '../../lib/dom.js';
import { nameOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { attempt } from './talk-menu.js';

/** @typedef {'read' | 'unread' | 'delivered'} Which */

/**
 * @param {import('/sdk/im.js').Message} message
 * @param {import('../../lib/im/talk.js').Talk} talk
 */
export async function showReceipts(message, talk) {
  const list = h('ul', { class: 'picker offered' }, bones(4));
  const tabs = h('div');
  const dialog = show(t('talk.receipts'), [
    h(
      'div',
      { class: 'dialog-body receipts-dialog' },
      h('h2', null, t('talk.receipts')),
      tabs,
      list,
      h('div', { class: 'actions' }, h('button', { class: 'button', type: 'button', on: { click: () => dialog.close() } }, t('close'))),
    ),
  ]);
  const look = async (/** @type {Which} */ which) => {
    await attempt(async () => {
      const found = await talk.conversation.receipts(message.seq, { which, limit: 100 });
      fill(
        tabs,
        segments(
          t('talk.receipts'),
          [
            { value: /** @type {Which} */ ('read'), text: t('receipts.read', { n: found.read }) },
            { value: 'unread', text: t('receipts.unread', { n: Math.max(0, found.members - found.read) }) },
            { value: 'delivered', text: t('receipts.delivered', { n: found.delivered }) },
          ],
          which,
          (value) => void look(value),
        ),
      );
      fill(
        list,
        found.users.map((user) => h('li', { class: 'member' }, personFace(user, { size: 32 }), h('span', { class: 'who' }, h('b', null, nameOf(user))))),
        found.users.length === 0 ? h('li', { class: 'aside' }, t('receipts.none')) : null,
        found.next ? h('li', { class: 'aside' }, '…') : null,
      );
    });
  };
  await look('read');
}
