// What others see of me, and when nothing should ring: profile, status, privacy, quiet hours, notifications.

import { field, segments } from '../../components/bits.js';
import { personFace } from '../../components/face.js';
import { icon } from '../../components/icon.js';
import { keepQuietHours, quietHours, setNotifications } from '../../lib/alerts.js';
import { fill, h } from '../../lib/dom.js';
import { chat, myName } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { warn } from '../../lib/notices.js';
import { notifications } from '../../lib/settings.js';
import { pickEmoji } from '../chat/emoji-picker.js';
import { attempt } from '../chat/talk-menu.js';

/** @typedef {any} Mine what the server knows of me: more than of others */

/** @param {HTMLElement} body */
export async function mine(body) {
  const profile = /** @type {Mine} */ (await chat().people.profile());
  const [[status], privacy] = await Promise.all([
    chat()
      .people.presence([myName()])
      .catch(() => []),
    chat()
      .people.setPrivacy({})
      .catch(() => ({})),
  ]);
  const hours = profile.dnd ? { from: timeOf(profile.dnd.from_min), until: timeOf(profile.dnd.until_min) } : 'dnd' in profile || profile.privacy ? {} : quietHours();
  keepQuietHours(hours);
  body.className = 'mine-cards';
  fill(body, profileCard(profile), statusCard(profile, status), privacyCard(profile.privacy ?? privacy), quietCard(hours), notifyCard());
}

/** Minutes of a day as `22:00`. @param {number} minutes */
function timeOf(minutes) {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}

/** @param {string} title @param {string | null} text @param {...import('../../lib/dom.js').Child} parts */
function card(title, text, ...parts) {
  return h('section', { class: 'card' }, h('header', null, h('h2', null, title)), h('div', { class: 'body stack' }, text ? h('p', { class: 'aside' }, text) : null, parts));
}

/** @param {() => Promise<unknown>} work */
function saveButton(work) {
  return h('div', { class: 'actions' }, h('button', { class: 'button main', type: 'button', on: { click: () => void attempt(work, t('people.saved')) } }, t('save')));
}

/** @param {Mine} profile */
function profileCard(profile) {
  const name = h('input', { class: 'input', maxLength: 60, value: profile.name ?? '' });
  const handle = h('input', { class: 'input', maxLength: 32, value: profile.handle ?? '', autocomplete: 'off', spellcheck: false });
  const about = h('textarea', { class: 'input', maxLength: 300, rows: 3, value: profile.about ?? '' });
  let avatar = profile.avatar;
  const face = h('span', null, personFace(myName(), { size: 72 }));
  const file = h('input', { type: 'file', accept: 'image/png,image/jpeg,image/webp,image/gif', hidden: true });
  file.addEventListener('change', () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    void attempt(async () => {
      const small = await square(chosen);
      const uploaded = await chat().files.upload(small, { name: 'avatar.webp', public: true });
      avatar = uploaded.file;
      await chat().people.setProfile({ avatar });
      const src = URL.createObjectURL(small);
      fill(face, h('span', { class: 'avatar picture', style: { '--size': '72px' } }, h('img', { src, alt: '' })));
    }, t('people.saved'));
  });
  return card(
    t('people.mine'),
    null,
    h('div', { class: 'profile-top' }, face, h('button', { class: 'button', type: 'button', on: { click: () => file.click() } }, icon('image'), t('people.avatar.change')), file),
    field(t('people.name'), name),
    field(t('people.handle'), handle, t('people.handle.hint')),
    field(t('people.about'), about),
    saveButton(() =>
      chat().people.setProfile({
        name: name.value.trim(),
        about: about.value.trim(),
        ...(handle.value.trim() !== (profile.handle ?? '') && { handle: handle.value.trim() }),
      }),
    ),
  );
}

/** The middle of a picture as a square of 256 pixels. @param {Blob} file @returns {Promise<Blob>} */
async function square(file) {
  const picture = await createImageBitmap(file);
  const size = Math.min(picture.width, picture.height);
  const canvas = h('canvas', { width: 256, height: 256 });
  canvas.getContext('2d')?.drawImage(picture, (picture.width - size) / 2, (picture.height - size) / 2, size, size, 0, 0, 256, 256);
  picture.close();
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error(t('talk.broken')))), 'image/webp', 0.85));
}

/** @param {Mine} profile @param {any} known */
function statusCard(profile, known) {
  const status = known?.status ?? profile.status ?? {};
  let show = /** @type {'online' | 'away' | 'busy' | 'invisible'} */ (profile.show ?? known?.show ?? 'online');
  if (!['online', 'away', 'busy', 'invisible'].includes(show)) show = 'online';
  let emoji = String(status?.emoji ?? '');
  const text = h('input', { class: 'input', maxLength: 80, value: status?.text ?? '', placeholder: t('people.status.text'), 'aria-label': t('people.status.text') });
  const pick = h('button', { class: 'icon-button', type: 'button', 'aria-label': t('write.emoji'), on: { click: () => pickEmoji(pick, (each) => ((emoji = each), fill(pick, each))) } }, emoji || icon('smile'));
  const until = h(
    'select',
    { class: 'input' },
    h('option', { value: '' }, t('people.status.always')),
    [1, 4, 24].map((n) => h('option', { value: String(n) }, t('bans.hours', { n }))),
  );
  return card(
    t('people.status'),
    null,
    segments(
      t('people.status'),
      /** @type {const} */ (['online', 'away', 'busy', 'invisible']).map((value) => ({ value, text: t(`im.show.${value}`) })),
      show,
      (value) => {
        show = value;
        void attempt(chat().people.setStatus({ show: value }));
      },
    ),
    h('div', { class: 'row-line' }, pick, text),
    field(t('people.status.until'), until),
    saveButton(() => chat().people.setStatus({ show, text: text.value.trim(), emoji, ...(until.value && { until: Date.now() + Number(until.value) * 3_600_000 }) })),
  );
}

/** @param {Mine} privacy */
function privacyCard(privacy) {
  const choose = (/** @type {'last_seen' | 'messages' | 'groups'} */ what, /** @type {readonly ('everyone' | 'friends' | 'nobody')[]} */ choices, /** @type {string} */ label) => {
    const select = h(
      'select',
      { class: 'input', on: { change: () => void attempt(chat().people.setPrivacy({ [what]: select.value }), t('people.saved')) } },
      choices.map((value) => h('option', { value }, t(value === 'friends' ? 'people.onlyfriends' : `people.${value}`))),
    );
    select.value = privacy[what] ?? 'everyone';
    return field(label, select);
  };
  return card(
    t('people.privacy'),
    null,
    choose('last_seen', ['everyone', 'friends', 'nobody'], t('people.privacy.seen')),
    choose('messages', ['everyone', 'friends'], t('people.privacy.messages')),
    choose('groups', ['everyone', 'friends'], t('people.privacy.groups')),
  );
}

/** @param {import('../../lib/alerts.js').Hours} dnd */
function quietCard(dnd) {
  const on = h('input', { type: 'checkbox', checked: Boolean(dnd.from) });
  const from = h('input', { class: 'input', type: 'time', value: dnd.from ?? '22:00' });
  const until = h('input', { class: 'input', type: 'time', value: dnd.until ?? '07:00' });
  return card(
    t('people.dnd'),
    t('people.dnd.text'),
    h('label', { class: 'switch' }, on, t('people.dnd.on')),
    h('div', { class: 'two' }, field(t('people.dnd.from'), from), field(t('people.dnd.until'), until)),
    saveButton(async () => {
      const hours = on.checked ? { from: from.value, until: until.value, offset_min: -new Date().getTimezoneOffset() } : {};
      await chat().people.setQuietHours(hours);
      keepQuietHours(hours);
    }),
  );
}

function notifyCard() {
  const box = h('input', {
    type: 'checkbox',
    checked: notifications.value === 'on',
    on: {
      change: async () => {
        const problem = await setNotifications(box.checked);
        if (!problem) return;
        box.checked = false;
        warn(problem, t('notify.advice'));
      },
    },
  });
  return card(t('people.notify'), t('people.notify.text'), h('label', { class: 'switch' }, box, t('people.notify')));
}
