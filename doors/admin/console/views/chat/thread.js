// A thread: the message it began with, its answers, and a composer of its own.

import { bones, failed } from '../../components/bits.js';
import { fill, h } from '../../lib/dom.js';
import { whenExactly } from '../../lib/format.js';
import { nameOf } from '../../lib/im/im.js';
import { preview, recalledText } from '../../lib/im/preview.js';
import { myName } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { personFace } from '../../components/face.js';
import { contentOf } from './content.js';

/** @typedef {import('/sdk/im.js').Message} Message */
/** @typedef {import('./composer.js').Composer} Composer */

const PAGE = 100;

/** @param {import('../../lib/im/talk.js').Talk} talk @param {HTMLElement} panel @param {HTMLElement} content @param {number} root */
export function threadPanel(talk, panel, content, root) {
  const list = h('ul', { class: 'merged-list thread-list' });
  const composer = /** @type {Composer} */ (document.createElement('y-composer'));
  composer.talk = talk;
  composer.thread = root;
  panel.append(composer);
  fill(content, bones(4));
  let asked = 0;
  /** @type {Message[]} */
  let messages = [];
  const draw = () => {
    // What is on its way, and what came live, is in the conversation already.
    const live = talk.conversation.messages.filter(({ content: of, seq }) => of?.thread === root && !messages.some((each) => each.seq === seq && seq));
    const first = messages.some(({ seq }) => seq === root) ? [] : [talk.original(root)];
    const all = [...first, ...messages, ...live].filter((each) => each !== null && each !== undefined);
    const near = content.scrollHeight - content.scrollTop - content.clientHeight < 80;
    fill(list, all.map((message) => row(/** @type {Message} */ (message), root)));
    if (!list.isConnected) fill(content, list);
    if (near) content.scrollTop = content.scrollHeight;
  };
  const look = async () => {
    const now = ++asked;
    try {
      const page = await talk.conversation.thread(root, { limit: PAGE });
      if (now !== asked) return;
      messages = page.messages;
      draw();
    } catch (error) {
      if (now === asked && !messages.length) fill(content, failed(error, () => void look()));
    }
  };
  void look();
  const ends = [
    talk.conversation.on('change', () => (panel.isConnected ? draw() : ends.forEach((end) => end()))),
    talk.news.hear(draw),
    talk.conversation.on('event', () => void look()),
  ];
  if (matchMedia('(min-width: 721px)').matches) queueMicrotask(() => composer.take());
}

/** @param {Message} message @param {number} root */
function row(message, root) {
  return h(
    'li',
    { class: message.seq === root ? 'root' : '', data: { seq: String(message.seq) } },
    personFace(message.from, { size: 34 }),
    h('div', { class: 'byline' }, h('b', null, nameOf(message.from)), h('time', { class: 'aside' }, whenExactly(message.at))),
    h('div', { class: 'bubble' }, message.recalled ? recalledText(message, myName()) : message.content ? contentOf(message.content, message) : preview(undefined)),
    message.seq === root ? h('hr', { 'aria-label': t('talk.thread.title') }) : null,
  );
}
