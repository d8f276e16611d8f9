// Pictures and videos of a conversation in large, one after the other.

import { iconButton } from '../../components/bits.js';
import { fill, h } from '../../lib/dom.js';
import { moment } from '../../lib/format.js';
import { chat, nameOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { download } from './content.js';
import { attempt } from './talk-menu.js';

/** @typedef {import('/sdk/im.js').Message} Message */

/** Shows a message's picture; the arrows go through the others that are loaded. @param {Message} first */
export function lightbox(first) {
  const inside = first.conversation ? chat().conversation(first.conversation).messages : [];
  const all = inside.filter(({ content, recalled, seq }) => seq && !recalled && (content?.kind === 'image' || content?.kind === 'video') && !content.burn_s);
  let at = all.findIndex(({ seq }) => seq === first.seq);
  /** @type {Message[]} */
  const list = at < 0 ? [first] : all;
  at = Math.max(0, at);

  const stage = h('div', { class: 'stage-picture' });
  const lead = h('div', { class: 'lead' });
  const caption = h('footer');
  const before = iconButton('back', t('file.previous'), () => turn(-1));
  const after = iconButton('forward', t('file.next'), () => turn(1));
  before.classList.add('turn');
  after.classList.add('turn', 'next');
  const dialog = h(
    'dialog',
    { class: 'lightbox', 'aria-label': t('file.open') },
    h(
      'header',
      null,
      lead,
      iconButton('download', t('file.download'), () => {
        const content = list[at]?.content;
        if (content) void attempt(download(content));
      }),
      iconButton('close', t('close'), () => dialog.close()),
    ),
    stage,
    caption,
    before,
    after,
  );
  const turn = (/** @type {number} */ step) => {
    at = Math.max(0, Math.min(list.length - 1, at + step));
    draw();
  };
  const draw = () => {
    const message = list[at];
    const content = message?.content;
    if (!message || !content) return;
    before.hidden = at === 0;
    after.hidden = at === list.length - 1;
    fill(lead, h('b', null, nameOf(message.from)), h('div', null, h('small', null, moment(message.at))));
    fill(caption, content.text ?? '');
    fill(stage);
    const now = at;
    chat()
      .fileObject(content.file ?? '')
      .then((src) => {
        if (now !== at) return;
        if (content.kind === 'video') {
          const video = h('video', { src, controls: true, autoplay: true, playsInline: true });
          fill(stage, video);
        } else {
          const image = h('img', { src, alt: content.name ?? '' });
          image.addEventListener('click', () => image.classList.toggle('large'));
          fill(stage, image);
        }
      })
      .catch(() => now === at && fill(stage, t('file.expired')));
  };
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') turn(-1);
    else if (event.key === 'ArrowRight') turn(1);
  });
  stage.addEventListener('click', (event) => {
    if (event.target === stage) dialog.close();
  });
  const focused = document.activeElement;
  dialog.addEventListener('close', () => {
    dialog.remove();
    if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  });
  document.body.append(dialog);
  dialog.showModal();
  draw();
}
