// One broadcast as operators see it: its picture, its numbers with their last minutes, and what may be done to it.

import { copy, iconButton } from '../components/bits.js';
import { ask } from '../components/dialog.js';
import { icon } from '../components/icon.js';
import { openMenu } from '../components/menu.js';
import { Part, fill, h, svg } from '../lib/dom.js';
import { ago, bytes, moment, short, whole } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { live } from '../lib/live.js';
import { tell, warn } from '../lib/notices.js';

/** @typedef {import('../lib/live.js').Shown} Shown */
/** @typedef {import('../lib/live.js').Whole} Whole */
/** @typedef {import('../lib/live.js').Detail} Detail */

/** Points of a line. */
const POINTS = 90;
const [WIDTH, HEIGHT] = [240, 40];
/** How often the picture is fetched anew, ms. */
const PICTURE_MS = 10_000;
/** Key frames that are farther apart are a fault, ms. */
const GOP_BAD_MS = 4500;
/** The shortest segment of HLS, s. */
const SEGMENT_S = 2;
/** Viewers that are listed. */
const LISTED = 100;

/** A line of the last values. */
class Line {
  /** @type {number[]} */ #values = [];
  #path = svg('path', { class: 'spark-line' });
  #area = svg('path', { class: 'spark-area' });
  element;

  /** @param {number} colour */
  constructor(colour) {
    this.element = h('span', { class: `spark series-${colour}` }, svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, this.#area, this.#path));
  }

  /** @param {number} value */
  add(value) {
    this.#values.push(value);
    if (this.#values.length > POINTS) this.#values.shift();
    const most = Math.max(...this.#values, 1e-9);
    const step = WIDTH / Math.max(1, this.#values.length - 1);
    const points = this.#values.map((each, i) => `${(i * step).toFixed(1)},${(HEIGHT - 2 - (each / most) * (HEIGHT - 8)).toFixed(1)}`);
    this.#path.setAttribute('d', points.length > 1 ? `M${points.join('L')}` : '');
    this.#area.setAttribute('d', points.length > 1 ? `M0,${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z` : '');
  }
}

/** @param {number} bits */
export function bitrate(bits) {
  return bits >= 1e6 ? `${(bits / 1e6).toFixed(2)} Mbit/s` : `${Math.round(bits / 1000)} kbit/s`;
}

export class LiveCard extends Part {
  shown = /** @type {Shown} */ (/** @type {unknown} */ (null));
  #picture = h('img', { class: 'shot', alt: '', loading: 'lazy' });
  #head = h('div', { class: 'live-head' });
  #numbers = h('dl', { class: 'live-numbers' });
  #notes = h('div', { class: 'live-notes' });
  #viewers = h('div', { class: 'live-viewers', hidden: true });
  #bits = new Line(1);
  #watching = new Line(3);
  #bitsText = h('b');
  #watchingText = h('b');
  #doors = h('small', { class: 'aside' });
  /** @type {Whole | null} */ #whole = null;
  #headForm = '';

  begin() {
    this.className = 'card live-card';
    const { app, name } = this.shown;
    const frame = h('a', { class: 'frame', href: this.address, target: '_blank', rel: 'noopener', 'aria-label': `${t('live.watch')}: ${name}` }, icon('play'), this.#picture);
    this.#picture.addEventListener('load', () => frame.classList.add('there'));
    this.#picture.addEventListener('error', () => frame.classList.remove('there'));
    const look = () => (this.#picture.src = `/${app}/${name}.jpg?t=${Date.now()}`);
    look();
    this.each(PICTURE_MS, () => document.hidden || look());
    this.replaceChildren(
      h('div', { class: 'live-top' }, frame, h('div', { class: 'live-main' }, this.#head, this.#numbers)),
      h(
        'div',
        { class: 'live-lines' },
        h('div', null, h('span', { class: 'label' }, t('live.bitrate')), this.#bitsText, this.#bits.element),
        h('div', null, h('span', { class: 'label' }, t('live.viewers')), this.#watchingText, this.#doors, this.#watching.element),
      ),
      this.#notes,
      this.#viewers,
    );
    this.show(this.shown, null);
  }

  get address() {
    return `/watch/${this.shown.app}/${this.shown.name}`;
  }

  /** @param {Shown} shown @param {Whole | null} whole */
  show(shown, whole) {
    this.shown = shown;
    this.#whole = whole;
    this.#drawHead();
    const detail = whole?.detail?.[Object.keys(whole.detail).find((rung) => rung === 'source' || rung === shown.name || rung === '') ?? Object.keys(whole.detail)[0] ?? ''];
    this.#watchingText.textContent = watching(shown.viewers);
    this.#watching.add(shown.viewers);
    if (!detail) {
      fill(this.#numbers, fact(t('live.picture'), pictureOf(shown)), fact(t('live.sound'), soundOf(shown)), fact(t('live.since'), ago(shown.since)));
      return;
    }
    this.#bits.add(detail.bits_per_second);
    this.#bitsText.textContent = bitrate(detail.bits_per_second);
    this.#drawNumbers(detail, whole?.detail ?? {});
    if (!this.#viewers.hidden) void this.#drawViewers();
  }

  #drawHead() {
    const { shown } = this;
    const leads = this.#whole?.leads ?? false;
    const recording = this.#whole?.recording ?? false;
    const form = JSON.stringify([shown.title, shown.lost, leads, recording, shown.user]);
    if (form === this.#headForm) return;
    this.#headForm = form;
    const more = iconButton('more', t('more'), () =>
      openMenu(more, [
        { label: t('live.title.change'), icon: 'edit', run: () => this.#title() },
        { label: t(recording ? 'live.record.end' : 'live.record'), icon: 'record', run: () => void this.#record(!recording) },
        { label: t(this.#viewers.hidden ? 'live.viewers.show' : 'live.viewers.hide'), icon: 'accounts', run: () => this.#toggleViewers() },
        'line',
        { label: t('live.kick'), icon: 'ban', danger: true, run: () => this.#kick() },
      ]),
    );
    fill(
      this.#head,
      h(
        'div',
        { class: 'live-what' },
        h('h2', null, shown.title || shown.name),
        h(
          'p',
          { class: 'badges' },
          h('span', { class: shown.lost ? 'badge wait' : 'badge bad' }, t(shown.lost ? 'live.lost' : 'live.onair')),
          recording ? h('span', { class: 'badge accent' }, t('live.recording')) : null,
          h('code', { class: 'aside' }, `${shown.app}/${shown.name}`),
        ),
      ),
      h('a', { class: 'button', href: this.address, target: '_blank', rel: 'noopener' }, icon('play'), t('live.watch')),
      iconButton('link', t('live.link'), () => void copy(location.origin + this.address)),
      leads ? more : null,
    );
  }

  /** @param {Detail} detail @param {{[rung: string]: Detail}} all */
  #drawNumbers(detail, all) {
    const { shown } = this;
    const gop = detail.gop_millis / 1000;
    const hls = 3 * Math.max(SEGMENT_S, Math.ceil(gop / SEGMENT_S) * SEGMENT_S);
    const rungs = shown.rungs.map((rung) => `${rung}${all[rung] ? ` (${bitrate(all[rung].bits_per_second)})` : ''}`);
    const { publisher } = detail;
    const who = [publisher.user ?? '', publisher.address ?? '', publisher.client].filter(Boolean).join(' · ');
    fill(
      this.#numbers,
      fact(t('live.picture'), pictureOf(shown), detail.video?.codecs),
      fact(t('live.fps'), `${detail.fps.toFixed(detail.fps % 1 < 0.05 ? 0 : 1)} fps`),
      fact(t('live.gop'), detail.gop_millis ? t('live.gop.every', { s: gop.toFixed(1) }) : '–', '', detail.gop_millis > GOP_BAD_MS),
      fact(t('live.sound'), soundOf(shown), detail.audio?.codecs),
      fact(t('live.delay'), detail.gop_millis ? t('live.delay.text', { flv: '0.5', low: '1', hls: String(hls) }) : '–'),
      fact(t('live.drops'), whole(detail.dropped_frames), '', detail.dropped_frames > 0),
      fact(t('live.skips'), whole(detail.skipped_blocks)),
      fact(t('live.jumps'), whole(detail.clock_jumps), '', detail.clock_jumps > 0),
      fact(t('live.out'), bytes(detail.out_bytes)),
      fact(t('live.since'), ago(shown.since), moment(shown.since)),
      fact(t('live.from'), `${tName('live.door', publisher.door)}${who ? ` · ${who}` : ''}`, detail.epoch > 1 ? t('live.again', { n: detail.epoch }) : ''),
      rungs.length ? fact(t('live.rungs'), rungs.join(', ')) : null,
    );
    const doors = Object.entries(detail.viewers);
    for (const rung of Object.values(all)) {
      if (rung === detail) continue;
      for (const [door, n] of Object.entries(rung.viewers)) doors.push([door, n]);
    }
    /** @type {Map<string, number>} */
    const sums = new Map();
    for (const [door, n] of doors) sums.set(door, (sums.get(door) ?? 0) + n);
    this.#doors.textContent = [...sums].map(([door, n]) => `${tName('live.door', door)} ${short(n)}`).join(' · ');
    fill(
      this.#notes,
      detail.gop_millis > GOP_BAD_MS ? h('p', { class: 'notes' }, t('live.gop.bad', { s: gop.toFixed(1) })) : null,
      detail.dropped_frames > 0 ? h('p', { class: 'notes' }, t('live.drops.bad')) : null,
    );
  }

  #toggleViewers() {
    this.#viewers.hidden = !this.#viewers.hidden;
    if (!this.#viewers.hidden) void this.#drawViewers();
  }

  async #drawViewers() {
    const { app, name } = this.shown;
    try {
      const { viewers } = await live.viewers(app, name);
      const rows = viewers.slice(0, LISTED).map((viewer) =>
        h(
          'tr',
          null,
          h('td', null, tName('live.door', viewer.door)),
          h('td', null, viewer.user ?? viewer.address ?? '–'),
          h('td', { class: 'client', title: viewer.client }, viewer.client || '–'),
          h('td', { class: 'right' }, ago(viewer.since)),
          h('td', { class: 'right' }, bytes(viewer.sent_bytes)),
          h('td', { class: 'right' }, whole(viewer.skipped_blocks ?? 0)),
          h('td', { class: 'tools' }, iconButton('leave', t('live.viewer.kick'), () => void this.#kickViewer(viewer.id))),
        ),
      );
      fill(
        this.#viewers,
        rows.length
          ? h(
              'div',
              { class: 'table-frame' },
              h(
                'table',
                { class: 'table', 'aria-label': t('live.viewers') },
                h('thead', null, h('tr', null, ['col.door', 'col.from', 'live.viewers.client', 'col.connected', 'live.viewers.sent', 'live.viewers.skipped', 'col.tools'].map((key) => h('th', null, t(/** @type {any} */ (key)))))),
                h('tbody', null, rows),
              ),
            )
          : h('p', { class: 'aside' }, t('live.viewers.none')),
      );
    } catch (error) {
      fill(this.#viewers, h('p', { class: 'notes bad' }, error instanceof Error ? error.message : String(error)));
    }
  }

  /** @param {number} id */
  async #kickViewer(id) {
    const { app, name } = this.shown;
    await attempt(live.kick(app, name, { viewer: id }), t('live.viewer.kicked'));
    await this.#drawViewers();
  }

  /** @param {boolean} on */
  async #record(on) {
    const { app, name } = this.shown;
    await attempt(live.record(app, name, on), t(on ? 'live.record.began' : 'live.record.ended'));
  }

  #title() {
    const { app, name, title } = this.shown;
    const input = h('input', { class: 'input', value: title ?? '', maxLength: 200, 'aria-label': t('live.title') });
    ask({
      title: t('live.title.change'),
      fields: [input],
      yes: t('save'),
      send: async () => {
        await live.title(app, name, input.value.trim());
        tell(t('live.title.done'));
      },
    });
  }

  #kick() {
    const { app, name } = this.shown;
    const reason = h('input', { class: 'input', maxLength: 200 });
    const block = h('select', { class: 'input' }, h('option', { value: '0' }, t('live.kick.block.none')), h('option', { value: '300' }, t('live.kick.block.minutes', { n: 5 })), h('option', { value: '3600' }, t('live.kick.block.hour')));
    ask({
      title: t('live.kick.title', { name }),
      text: t('live.kick.text'),
      fields: [labelled(t('live.kick.reason'), reason), labelled(t('live.kick.block'), block)],
      yes: t('live.kick'),
      send: async () => {
        await live.kick(app, name, { ...(reason.value && { reason: reason.value }), ...(block.value !== '0' && { block_s: Number(block.value) }) });
        tell(t('live.kick.done'));
      },
    });
  }
}

/** @param {string} label @param {HTMLElement} control */
function labelled(label, control) {
  return h('label', { class: 'field' }, h('span', null, label), control);
}

/** @param {Promise<unknown>} work @param {string} done */
async function attempt(work, done) {
  try {
    await work;
    tell(done);
  } catch (error) {
    warn(t('failed.do'), error instanceof Error ? error.message : undefined);
  }
}

const watching = (/** @type {number} */ n) => t('live.watching', { n: whole(n) });

/** @param {string} name @param {string} value @param {string} [more] @param {boolean} [bad] */
function fact(name, value, more = '', bad = false) {
  return h('div', { class: bad ? 'fact bad' : 'fact' }, h('dt', null, name), h('dd', { title: more || value }, value, more ? h('small', null, more) : null));
}

/** @param {Shown} shown */
function pictureOf({ video }) {
  return video ? `${video.codec} · ${video.width} × ${video.height}` : '–';
}

/** @param {Shown} shown */
function soundOf({ audio }) {
  return audio ? `${audio.codec} · ${(audio.rate / 1000).toFixed(audio.rate % 1000 ? 1 : 0)} kHz · ${audio.channels}ch` : '–';
}

customElements.define('y-live-card', LiveCard);
