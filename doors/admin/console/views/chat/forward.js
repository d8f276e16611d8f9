// Forwarding: one message, several one by one, or several as one card; to one or more conversations.

import { segments } from '../../components/bits.js';
import { ask } from '../../components/dialog.js';
import { talkFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { fill, h } from '../../lib/dom.js';
import { chat, titleOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell } from '../../lib/notices.js';

const SHOWN_MAX = 50;
/** Conversations that one can forward to at one time. */
const TO_MAX = 20;

/**
 * @param {import('/sdk/im.js').Message[]} messages of one conversation
 * @param {import('../../lib/im/talk.js').Talk} talk
 * @param {() => void} [done] called where it was sent
 */
export function forward(messages, talk, done) {
  /** @type {Set<string>} */
  const to = new Set();
  let merged = messages.length > 1;
  const list = h('ul', { class: 'offered' });
  const input = h('input', { class: 'input', type: 'search', placeholder: t('im.search'), 'aria-label': t('im.search'), autocomplete: 'off' });
  const draw = () => {
    const wanted = input.value.trim().toLowerCase();
    const found = chat()
      .conversations.all.filter((entry) => titleOf(entry).toLowerCase().includes(wanted) || entry.peer?.includes(wanted))
      .slice(0, SHOWN_MAX);
    fill(
      list,
      found.map((entry) =>
        h(
          'li',
          null,
          h(
            'button',
            {
              class: to.has(entry.id) ? 'member picked' : 'member',
              type: 'button',
              'aria-pressed': String(to.has(entry.id)),
              on: {
                click: () => {
                  if (!to.delete(entry.id) && to.size < TO_MAX) to.add(entry.id);
                  draw();
                },
              },
            },
            talkFace(entry, { size: 34 }),
            h('span', { class: 'who' }, h('b', null, titleOf(entry))),
            h('span', { class: 'pick-mark' }, icon('check')),
          ),
        ),
      ),
    );
  };
  input.addEventListener('input', draw);
  draw();
  ask({
    title: t('forward.title'),
    fields: [
      ...(messages.length > 1
        ? [
            segments(
              t('forward.title'),
              [
                { value: 'merged', text: t('forward.merged') },
                { value: 'one', text: t('forward.one') },
              ],
              'merged',
              (value) => (merged = value === 'merged'),
            ),
          ]
        : []),
      h('div', { class: 'picker' }, input, list),
    ],
    yes: t('forward.send'),
    send: async () => {
      if (!to.size) throw new Error(t('forward.none'));
      const seqs = messages.map(({ seq }) => seq);
      const title = t('forward.merged.title', { title: talk.entry ? titleOf(talk.entry) : '' });
      for (const id of to) {
        if (merged && seqs.length > 1) await talk.conversation.forward(seqs, id, title);
        else for (const seq of seqs) await talk.conversation.forward(seq, id);
      }
      tell(t('forward.done'));
      done?.();
    },
  });
}
