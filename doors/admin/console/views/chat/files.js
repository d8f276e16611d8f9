// Files that were sent in a conversation: pictures as tiles, others as a list.

import { bones, empty, failed, segments } from '../../components/bits.js';
import { fill, h } from '../../lib/dom.js';
import { moment } from '../../lib/format.js';
import { factsOf } from '../../lib/im/facts.js';
import { chat, nameOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { contentOf } from './content.js';
import { lightbox } from './lightbox.js';

/** @typedef {import('/sdk/im.js').Message} Message */
/** @typedef {'image' | 'file' | 'voice'} Sort */

const PAGE = 60;
const kinds = /** @type {{[sort in Sort]: import('/sdk/im/types.js').ContentKind[]}} */ ({ image: ['image', 'video'], file: ['file'], voice: ['voice'] });

/** @param {import('../../lib/im/talk.js').Talk} talk @param {HTMLElement} content @param {Sort} [sort] */
export async function filesOf(talk, content, sort = 'image') {
  const list = h('div', { class: sort === 'image' ? 'tiles' : 'picker' });
  const foot = h('div');
  fill(
    content,
    segments(
      t('panel.tab.files'),
      /** @type {const} */ (['image', 'file', 'voice']).map((value) => ({ value, text: t(`panel.files.${value}`) })),
      sort,
      (value) => void filesOf(talk, content, value),
    ),
    h('section', null, list, foot),
  );
  /** @type {number | undefined} */
  let before;
  const more = async () => {
    fill(foot, bones(3));
    try {
      const { messages, at_end: atEnd } = await talk.conversation.ofKind(kinds[sort], { limit: PAGE, ...(before !== undefined && { before }) });
      before = messages[0]?.seq;
      list.append(...messages.filter(({ content: of }) => of).reverse().map((message) => (sort === 'image' ? tile(message) : line(message))));
      fill(
        foot,
        list.childElementCount === 0 ? empty('file', t('panel.files.none')) : null,
        atEnd || !messages.length ? null : h('button', { class: 'button small quiet', type: 'button', on: { click: () => void more() } }, t('more')),
      );
    } catch (error) {
      fill(foot, failed(error, () => void more()));
    }
  };
  await more();
}

/** @param {Message} message */
function tile(message) {
  const button = h('button', { type: 'button', 'aria-label': `${t('file.open')}: ${message.content?.name ?? ''}`, on: { click: () => lightbox(message) } });
  const thumb = message.content ? Boolean(factsOf(message.content).thumb) : false;
  if (message.content?.file && (message.content.kind === 'image' || thumb))
    chat()
      .fileObject(message.content.file, { thumb })
      .then((src) => button.append(h('img', { src, alt: '', loading: 'lazy' })))
      .catch(() => undefined);
  return button;
}

/** @param {Message} message */
function line(message) {
  return h('div', null, message.content ? contentOf({ ...message.content, text: '' }, message) : null, h('small', { class: 'aside' }, `${nameOf(message.from)} · ${moment(message.at)}`));
}
