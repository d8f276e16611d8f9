// The bar under the picture, and the keys that do the same.

import { Menu, choice, slider, toggle } from './menu.js';
import { fill, h, watchAll } from './lib/dom.js';
import { icon } from './lib/icon.js';
import { settings } from './lib/settings.js';
import { t } from './lib/words.js';

/** @typedef {import('./player.js').Player} Player */

/** The bar goes when nothing has moved for so long, ms. */
const IDLE_MS = 2600;
/** A delay above this many seconds is not called live. */
const LATE_S = 12;

/** @param {import('./lib/icon.js').IconName} name @param {() => void} run */
function button(name, run) {
  return h('button', { type: 'button', class: 'tool', on: { click: run } }, icon(name));
}

/** @param {HTMLElement} element @param {string} label */
function label(element, label) {
  if (element.getAttribute('aria-label') === label) return;
  element.setAttribute('aria-label', label);
  element.title = label;
}

export class Controls {
  element = h('div', { class: 'controls' });
  #player;
  #stage;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #idle;
  /** Over what the picture's numbers are shown. */ #facts = h('dl', { class: 'facts', hidden: true });

  /** @param {Player} player @param {HTMLElement} stage the picture and all that lies over it */
  constructor(player, stage) {
    this.#player = player;
    this.#stage = stage;
    const play = button('pause', () => player.toggle());
    play.classList.add('play');
    const mute = button('sound', () => player.mute());
    const volume = h('input', {
      class: 'volume',
      type: 'range',
      min: '0',
      max: '1',
      step: '0.02',
      on: {
        input: () => {
          settings.volume.value = Number(volume.value);
          if (settings.muted.value || player.hushed.value) player.mute();
        },
      },
    });
    const live = h('button', { type: 'button', class: 'go-live', on: { click: () => (player.video.paused ? player.play() : player.toLive()) } }, h('i'), h('span'), h('small'));
    const bullets = button('bullets', () => (settings.bullets.value = !settings.bullets.value));
    bullets.classList.add('bullets-switch');
    const tune = button('tune', () => undefined);
    const gear = button('settings', () => undefined);
    const quality = h('button', { type: 'button', class: 'tool word quality' });
    const pip = button('window', () => void this.#pip());
    const chat = button('sidebar', () => (settings.chat.value = !settings.chat.value));
    chat.classList.add('chat-switch');
    const full = button('full', () => void this.full());
    pip.classList.add('pip');
    pip.hidden = !document.pictureInPictureEnabled;

    const look = new Menu(tune, 'look', (panel) => this.#drawLook(panel));
    const menu = new Menu(gear, 'settings', (panel) => this.#drawSettings(panel, () => menu.redraw()));
    const levels = new Menu(quality, 'levels', (panel) => this.#drawLevels(panel, levels));
    this.element.append(
      play,
      mute,
      volume,
      live,
      h('span', { class: 'space' }),
      h('span', { class: 'holder' }, bullets),
      h('span', { class: 'holder' }, tune, look.element),
      h('span', { class: 'holder' }, quality, levels.element),
      h('span', { class: 'holder' }, gear, menu.element),
      pip,
      chat,
      full,
    );
    stage.append(this.#facts);

    this.#follow({ play, mute, volume, live, bullets, tune, gear, pip, chat, quality }, levels, menu);
    new ResizeObserver(() => {
      const width = stage.clientWidth;
      stage.style.setProperty('--width', String(width));
      stage.classList.toggle('narrow', width < 640);
      stage.classList.toggle('slim', width < 520);
    }).observe(stage);
    const sayFull = () => {
      const is = this.isFull;
      stage.classList.toggle('is-full', is);
      fill(full, icon(is ? 'small' : 'full'));
      label(full, `${t(is ? 'full.leave' : 'full')} (F)`);
    };
    document.addEventListener('fullscreenchange', sayFull);
    settings.language.watch(sayFull);

    for (const event of ['pointermove', 'pointerdown', 'focusin']) stage.addEventListener(event, () => this.wake());
    // A finger leaves whenever it is lifted.
    stage.addEventListener('pointerleave', ({ pointerType }) => pointerType === 'mouse' && this.#rest());
    document.addEventListener('keydown', (event) => this.#key(event));
    setInterval(() => this.#drawFacts(), 1000);
  }

  /**
   * Keeps what stands on the bar in line with the player and the settings.
   * @param {{[name in 'play' | 'mute' | 'live' | 'bullets' | 'tune' | 'gear' | 'pip' | 'chat' | 'quality']: HTMLElement} & {volume: HTMLInputElement}} parts
   * @param {Menu} levels @param {Menu} menu
   */
  #follow({ play, mute, volume, live, bullets, tune, gear, pip, chat, quality }, levels, menu) {
    const player = this.#player;
    watchAll([player.state, settings.language], () => {
      const stopped = player.state.value === 'paused' || player.state.value === 'blocked';
      fill(play, icon(stopped ? 'play' : 'pause'));
      label(play, t(stopped ? 'play' : 'pause'));
      this.wake();
    });
    watchAll([settings.muted, settings.volume, player.hushed, settings.language], () => {
      const silent = settings.muted.value || player.hushed.value || settings.volume.value === 0;
      fill(mute, icon(silent ? 'muted' : settings.volume.value < 0.5 ? 'quiet' : 'sound'));
      label(mute, t(silent ? 'unmute' : 'mute'));
      label(volume, t('volume'));
      volume.value = String(silent ? 0 : settings.volume.value);
      volume.style.setProperty('--part', `${(silent ? 0 : settings.volume.value) * 100}%`);
    });
    watchAll([player.delay, player.state, settings.language], () => {
      const [text, small] = [live.children[1], live.children[2]];
      const delay = player.delay.value;
      const on = player.state.value === 'playing' || player.state.value === 'waiting';
      live.classList.toggle('late', !on || (delay ?? 0) > LATE_S);
      if (text) text.textContent = t(['off', 'denied', 'failed', 'unsupported'].includes(player.state.value) ? 'off' : 'live');
      if (small) small.textContent = delay === null || !on ? '' : t('delay', { s: delay.toFixed(1) });
      label(live, delay === null ? t('live.go') : `${t('delay', { s: delay.toFixed(1) })}. ${t('delay.about')}`);
    });
    watchAll([settings.bullets, settings.language], () => {
      fill(bullets, icon(settings.bullets.value ? 'bullets' : 'bullets-off'));
      label(bullets, `${t(settings.bullets.value ? 'bullets.off' : 'bullets.on')} (D)`);
      bullets.setAttribute('aria-pressed', String(settings.bullets.value));
      label(tune, t('bullets.look'));
      label(gear, t('settings'));
      label(pip, t('pip'));
    });
    watchAll([settings.chat, settings.language], () => {
      label(chat, t(settings.chat.value ? 'chat.hide' : 'chat.show'));
      chat.setAttribute('aria-pressed', String(settings.chat.value));
    });
    watchAll([player.levels, player.level, player.levelNow, settings.language], () => {
      quality.hidden = player.levels.value.length < 2;
      quality.textContent = this.#levelText();
      label(quality, t('quality'));
      levels.redraw();
    });
    for (const cell of [player.way, player.ways, settings.language]) cell.hear(() => menu.redraw());
  }

  get isFull() {
    return document.fullscreenElement !== null;
  }

  /** Shows the bar, until nothing has moved for a while. */
  wake() {
    this.#stage.classList.remove('idle');
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#rest(), IDLE_MS);
  }

  #rest() {
    const typing = this.#stage.contains(document.activeElement) && document.activeElement instanceof HTMLInputElement;
    if (Menu.anyOpen || typing || this.#player.state.value !== 'playing') return;
    this.#stage.classList.add('idle');
  }

  async full() {
    const { video } = this.#player;
    try {
      if (this.isFull) await document.exitFullscreen();
      else if (this.#stage.requestFullscreen) {
        await this.#stage.requestFullscreen();
        // Where the system lets us, a picture that is wide is held wide.
        await /** @type {any} */ (screen.orientation)?.lock?.('landscape').catch(() => undefined);
      } else /** @type {any} */ (video).webkitEnterFullscreen?.();
    } catch {
      // The browser did not want to.
    }
  }

  async #pip() {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.#player.video.requestPictureInPicture();
    } catch {
      // Not before there is a picture.
    }
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const { target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (target instanceof HTMLElement && target.closest('input:not([type=range]):not([type=checkbox]), textarea, [contenteditable]')) return;
    const key = event.key.toLowerCase();
    if (key === ' ') {
      if (target instanceof HTMLButtonElement) return;
      this.#player.toggle();
    } else if (key === 'm') this.#player.mute();
    else if (key === 'f') void this.full();
    else if (key === 'd') settings.bullets.value = !settings.bullets.value;
    else if ((key === 'arrowup' || key === 'arrowdown') && !(target instanceof HTMLInputElement) && !(target instanceof HTMLElement && target.closest('.chat')))
      settings.volume.value = Math.min(1, Math.max(0, settings.volume.value + (key === 'arrowup' ? 0.05 : -0.05)));
    else return;
    event.preventDefault();
    this.wake();
  }

  /** @param {import('./sources/source.js').Level} level */
  #nameOf({ name, height, bits }) {
    if (name && name !== 'source') return name;
    if (name === 'source') return height ? `${t('quality.source')} ${height}p` : t('quality.source');
    return height ? `${height}p` : bits ? `${Math.round(bits / 1000)} kbit/s` : t('quality.source');
  }

  #levelText() {
    const { levels, level, levelNow } = this.#player;
    const now = levels.value.find(({ id }) => id === levelNow.value);
    if (level.value === 'auto' && this.#player.canChoose.value) return now ? t('quality.auto.now', { now: this.#nameOf(now) }) : t('quality.auto');
    const chosen = levels.value.find(({ id }) => id === level.value) ?? now;
    return chosen ? this.#nameOf(chosen) : t('quality');
  }

  /** @param {HTMLElement} panel @param {Menu} menu */
  #drawLevels(panel, menu) {
    const { levels, level, canChoose, levelNow } = this.#player;
    const now = level.value === 'auto' && !canChoose.value ? levelNow.value || 'source' : level.value;
    const options = levels.value.map((each) => ({ id: each.id, text: this.#nameOf(each), ...(each.bits && { note: `${(each.bits / 1e6).toFixed(1)} Mbit/s` }) }));
    fill(
      panel,
      choice(t('quality'), [...(canChoose.value ? [{ id: 'auto', text: t('quality.auto') }] : []), ...options], now, (id) => {
        this.#player.choose(id);
        menu.close();
      }),
    );
  }

  /** @param {HTMLElement} panel */
  #drawLook(panel) {
    const densities = /** @type {const} */ (['few', 'some', 'many']).map((id) => ({ id, text: t(`density.${id}`) }));
    const choose = (/** @type {any} */ id) => {
      settings.density.value = id;
      this.#drawLook(panel);
    };
    fill(
      panel,
      h('h3', null, t('bullets')),
      toggle(t('bullets.on'), settings.bullets),
      choice(t('density'), densities, settings.density.value, choose),
      slider(t('opacity'), { min: 0.2, max: 1, step: 0.05 }, settings.opacity),
      slider(t('size'), { min: 0.6, max: 1.8, step: 0.1 }, settings.size),
      slider(t('speed'), { min: 0.5, max: 2, step: 0.1 }, settings.speed),
    );
  }

  /** @param {HTMLElement} panel @param {() => void} redraw */
  #drawSettings(panel, redraw) {
    const { ways, way } = this.#player;
    const protocols = /** @type {const} */ (['llhls', 'hls', 'flv']).filter((each) => ways.value.includes(each));
    const light = { get value() { return settings.theme.value === 'light'; }, set value(on) { settings.theme.value = on ? 'light' : 'dark'; } };
    fill(
      panel,
      h('h3', null, t('settings')),
      protocols.length
        ? choice(
            t('protocol'),
            [{ id: 'auto', text: t('protocol.auto'), ...(settings.protocol.value === 'auto' && way.value && { note: t(`protocol.${way.value}`) }) }, ...protocols.map((id) => ({ id, text: t(`protocol.${id}`) }))],
            settings.protocol.value,
            (id) => {
              settings.protocol.value = /** @type {any} */ (id);
              redraw();
            },
          )
        : h('p', { class: 'aside' }, t('protocol.native.only')),
      choice(
        t('language'),
        [
          { id: 'en', text: 'English' },
          { id: 'zh', text: '简体中文' },
        ],
        settings.language.value,
        (id) => (settings.language.value = /** @type {any} */ (id)),
      ),
      toggle(t('theme'), /** @type {any} */ (light)),
      h('button', { type: 'button', class: 'plain', 'aria-pressed': String(!this.#facts.hidden), on: { click: () => this.#showFacts() } }, t('stats')),
      h('p', { class: 'aside' }, t('keys.hint')),
    );
  }

  #showFacts() {
    this.#facts.hidden = !this.#facts.hidden;
    this.#drawFacts();
    Menu.closeAll();
  }

  #drawFacts() {
    if (this.#facts.hidden) return;
    const { codecs, bits, width, height, buffer, frames, dropped } = this.#player.facts();
    const { way, delay } = this.#player;
    const rows = [
      [t('stats.protocol'), way.value ? t(`protocol.${way.value}`) : '–'],
      [t('stats.picture'), width ? `${width} × ${height}` : '–'],
      [t('stats.codecs'), codecs || '–'],
      [t('stats.rate'), bits ? `${(bits / 1e6).toFixed(2)} Mbit/s` : '–'],
      [t('stats.buffer'), `${buffer.toFixed(1)} s`],
      [t('stats.delay'), delay.value === null ? '–' : `${delay.value.toFixed(2)} s`],
      [t('stats.frames'), t('stats.dropped', { all: frames, dropped })],
    ];
    fill(
      this.#facts,
      rows.map(([name, value]) => [h('dt', null, name), h('dd', null, value)]),
    );
  }
}
