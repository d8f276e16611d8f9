// An open conversation: its heading, what is pinned, the timeline, and where one writes; or what to do with what is selected.

import { iconButton } from '../../components/bits.js';
import { talkFace, faceForm } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { openMenu } from '../../components/menu.js';
import { fill, h } from '../../lib/dom.js';
import { ago } from '../../lib/format.js';
import { list, nameOf, people, presenceOf, titleOf, typing } from '../../lib/im/im.js';
import { preview } from '../../lib/im/preview.js';
import { t } from '../../lib/i18n.js';
import { address, go } from '../../lib/route.js';
import { takeDrops } from './attach.js';
import { forward } from './forward.js';
import { remove } from './message-menu.js';
import { report } from './report.js';
import { talkMenu } from './talk-menu.js';

/** @typedef {import('../../lib/im/talk.js').Talk} Talk */
/** @typedef {import('./composer.js').Composer} Composer */
/** @typedef {import('./timeline.js').Timeline} Timeline */

/**
 * Fills `room` with a conversation.
 * @param {Talk} talk
 * @param {HTMLElement} room
 * @param {boolean} focus whether one can write at once
 * @returns {() => void} ends what it began
 */
export function makeTalk(talk, room, focus) {
  const timeline = /** @type {Timeline} */ (document.createElement('y-timeline'));
  const composer = /** @type {Composer} */ (document.createElement('y-composer'));
  timeline.talk = composer.talk = talk;
  const header = h('header');
  const bars = h('div', { class: 'talk-bars' });
  const foot = h('div');
  talk.writing.value = { kind: 'plain' };
  talk.choosing.value = null;
  fill(room, header, bars, timeline, foot);
  fill(foot, composer);
  takeDrops(timeline, () => (composer.isConnected ? composer : null));
  /** @type {(() => void)[]} */
  const ends = [];
  const head = heading(talk, header);
  for (const cell of [list, people, typing]) ends.push(/** @type {import('../../lib/cell.js').Cell<any>} */ (cell).hear(head));
  const timer = setInterval(head, 30_000);
  ends.push(() => clearInterval(timer));
  ends.push(
    talk.choosing.hear((set) => {
      if (set && !foot.querySelector('.choosing')) fill(foot, chooser(talk));
      else if (!set && !composer.isConnected) fill(foot, composer);
      const count = foot.querySelector('.choosing b');
      if (count && set) count.textContent = t('talk.selected', { n: set.size });
    }),
  );
  ends.push(pinBar(talk, bars));
  if (focus) composer.take();
  return () => ends.forEach((end) => end());
}

/** @param {Talk} talk @param {HTMLElement} header @returns {() => void} draws it anew */
function heading(talk, header) {
  const face = h('span');
  const title = h('h1');
  const below = h('p', { class: 'aside' });
  let form = '';
  const about = h('button', { class: 'about', type: 'button', title: t('talk.info'), on: { click: () => go('chat', talk.id, 'info') } }, face, h('span', { class: 'lead' }, title, below));
  const more = iconButton('more', t('im.menu'), () => talk.entry && openMenu(more, [...talkMenu(talk.entry), 'line', { label: t('talk.report'), icon: 'flag', run: () => report({ conversation: talk.id, ...(talk.entry?.peer && { user: talk.entry.peer }) }) }]));
  fill(
    header,
    h('a', { class: 'icon-button back', href: address('chat'), 'aria-label': t('back') }, icon('back')),
    about,
    iconButton('search', t('talk.search'), () => go('chat', talk.id, 'search')),
    iconButton('sidebar', t('talk.info'), () => go('chat', talk.id, 'info')),
    more,
  );
  const draw = () => {
    const { entry } = talk;
    if (!entry) return;
    const now = [titleOf(entry), entry.avatar, entry.peer && faceForm(entry.peer)].join('|');
    if (form !== now) {
      form = now;
      fill(face, talkFace(entry, { size: 38 }));
      title.textContent = titleOf(entry);
    }
    const { text, busy } = stateLine(talk);
    if (below.textContent !== text) below.textContent = text;
    below.classList.toggle('typing', busy);
  };
  draw();
  return draw;
}

/** What stands below the title: who types, who is here. @param {Talk} talk */
function stateLine(talk) {
  const { entry } = talk;
  const types = typing.value.get(talk.id);
  if (!entry) return { text: '', busy: false };
  if (types?.length) return { text: entry.kind === 'direct' ? t('im.typing') : t('im.typing.one', { name: nameOf(types[0] ?? '') }), busy: true };
  if (entry.kind !== 'direct') {
    const here = (entry.cursors ?? []).filter(({ user }) => presenceOf(user)?.online).length;
    return { text: t('im.members', { n: entry.members }) + (here ? ` · ${t('im.online.n', { n: here })}` : ''), busy: false };
  }
  return { text: presenceLine(entry.peer ?? ''), busy: false };
}

/** Whether somebody is here, with what they say. @param {string} user */
export function presenceLine(user) {
  const found = presenceOf(user);
  if (!found) return '';
  const show = found.show && found.show !== 'online' && found.show !== 'offline' && found.show !== 'invisible' ? t(`im.show.${found.show}`) : t('im.online');
  const where = found.online ? show : found.last_seen ? t('im.seen', { ago: ago(found.last_seen) }) : t('im.offline');
  const said = typeof found.status === 'object' && found.status ? [found.status.emoji, found.status.text].filter(Boolean).join(' ') : '';
  return said ? `${where} · ${said}` : where;
}

/** @param {Talk} talk */
function chooser(talk) {
  const chosen = () => [...(talk.choosing.value ?? [])].sort((a, b) => a - b);
  const done = () => (talk.choosing.value = null);
  return h(
    'div',
    { class: 'choosing', role: 'toolbar', 'aria-label': t('talk.select') },
    iconButton('close', t('cancel'), done),
    h('b', null, t('talk.selected', { n: talk.choosing.value?.size ?? 0 })),
    h(
      'button',
      {
        class: 'button',
        type: 'button',
        on: {
          click: () => {
            const seqs = new Set(chosen());
            const messages = talk.conversation.messages.filter(({ seq, content }) => seqs.has(seq) && content);
            if (messages.length) forward(messages, talk, done);
          },
        },
      },
      icon('share'),
      t('talk.forward'),
    ),
    h(
      'button',
      {
        class: 'button danger',
        type: 'button',
        on: {
          click: async () => {
            const seqs = chosen();
            if (seqs.length && (await remove(seqs, talk))) done();
          },
        },
      },
      icon('trash'),
      t('talk.delete'),
    ),
  );
}

/** What is pinned, and the announcement, above the timeline. @param {Talk} talk @param {HTMLElement} bars */
function pinBar(talk, bars) {
  /** @type {import('/sdk/im.js').Message[]} */
  let pins = [];
  let at = 0;
  let form = '';
  const draw = () => {
    const shown = pins[at % Math.max(1, pins.length)];
    const said = talk.entry?.announcement ?? '';
    const hidden = localStorage.getItem(`yizhan.announced.${talk.id}`) === said;
    const now = JSON.stringify([shown?.seq, shown?.content?.text, pins.length, hidden ? '' : said]);
    if (now === form) return;
    form = now;
    fill(
      bars,
      said && !hidden
        ? h(
            'div',
            { class: 'bar' },
            icon('megaphone'),
            h('button', { class: 'text', type: 'button', on: { click: () => go('chat', talk.id, 'info') } }, h('b', null, t('talk.announcement')), said),
            iconButton('close', t('close'), () => {
              localStorage.setItem(`yizhan.announced.${talk.id}`, said);
              draw();
            }),
          )
        : null,
      shown
        ? h(
            'div',
            { class: 'bar' },
            icon('pin'),
            h(
              'button',
              {
                class: 'text',
                type: 'button',
                on: {
                  click: () => {
                    talk.show(shown.seq);
                    at++;
                    draw();
                  },
                },
              },
              h('b', null, t('talk.pinned'), pins.length > 1 ? ` ${(at % pins.length) + 1}/${pins.length}` : ''),
              preview(shown.content),
            ),
            iconButton('queues', t('talk.pins', { n: pins.length }), () => go('chat', talk.id, 'pins')),
          )
        : null,
    );
  };
  const look = () =>
    talk.conversation.pins().then(
      (found) => {
        pins = [...found].sort((a, b) => (b.pinned?.at ?? b.seq) - (a.pinned?.at ?? a.seq));
        draw();
      },
      () => undefined,
    );
  void look();
  draw();
  const ends = [
    list.hear(draw),
    talk.conversation.on('event', (change) => {
      if (['pin', 'recall', 'edit'].includes(change.event)) void look();
    }),
  ];
  // A pin that is no notice comes as a change of a message that is here.
  let marks = '';
  ends.push(
    talk.conversation.on('change', () => {
      const now = talk.conversation.messages.filter(({ pinned }) => pinned).map(({ seq }) => seq).join();
      if (now === marks) return;
      marks = now;
      void look();
    }),
  );
  return () => ends.forEach((end) => end());
}

