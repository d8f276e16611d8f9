// The player: picks a protocol, begins, notices when it stands still, begins again, and goes on when the broadcast does.

import { Cell } from './lib/dom.js';
import { settings } from './lib/settings.js';
import { flvLibrary, flvSource } from './sources/flv.js';
import { hlsLibrary, hlsSource } from './sources/hls.js';
import { nativeSource, playsNatively } from './sources/native.js';
import { rungsOf } from './sources/source.js';

/** @typedef {import('./sources/source.js').Source} Source */
/** @typedef {import('./sources/source.js').Level} Level */
/** @typedef {import('./sources/source.js').Trouble} Trouble */
/** @typedef {import('./lib/settings.js').Protocol} Protocol */
/** @typedef {'llhls' | 'hls' | 'flv' | 'native'} Way */
/**
 * `blocked`: the browser wants a tap before it plays. `off`: nothing is on air. `failed`: nothing that it could try is left.
 * @typedef {'loading' | 'playing' | 'paused' | 'waiting' | 'blocked' | 'off' | 'denied' | 'failed' | 'unsupported'} State
 */

/** How often it looks at itself, ms. */
const LOOK_MS = 500;
/** Standing still so long, it begins anew, ms. */
const STILL_MS = 9000;
/** Playing so long, what went wrong before is forgotten, ms. */
const WELL_MS = 6000;
/** Seconds between attempts, at most. */
const AGAIN_MAX_S = 8;
/** Where nothing is on air, it looks again after this, s. */
const OFF_AGAIN_S = 4;
/** While the hub says that there is a publisher, it is asked again so often before it counts as off. */
const OFF_BELIEVED_MAX = 3;
/** A way that fails so often in a row is given up for the next one. */
const FAILURES_MAX = 2;
/** Paused for longer than this, it goes on live, ms. */
const PAUSE_MS = 1500;

export class Player {
  video = document.createElement('video');
  state = new Cell(/** @type {State} */ ('loading'));
  /** What it plays by. */ way = new Cell(/** @type {Way | null} */ (null));
  /** The ways that this browser and this server have. @type {Cell<Way[]>} */ ways = new Cell(/** @type {Way[]} */ ([]));
  levels = new Cell(/** @type {Level[]} */ ([]));
  /** Whether it may choose among the levels itself. */ canChoose = new Cell(false);
  /** What was chosen. */ level = new Cell('auto');
  /** What plays. */ levelNow = new Cell('');
  /** Behind the server, s. */ delay = new Cell(/** @type {number | null} */ (null));
  /** Why it failed. */ problem = new Cell('');
  /** Whether it plays without sound because the browser wants a tap first. */ hushed = new Cell(false);
  /** Whether the picture has moved since it began. */ begun = new Cell(false);
  /** Whether there was ever a picture. */ seen = new Cell(false);
  #app;
  #name;
  #query;
  /** @type {() => number} */ serverTime = () => Date.now();
  /** Whether the hub says that there is a publisher. @type {() => boolean} */ isOnAir = () => false;
  /** @type {Source | null} */ #source = null;
  /** The account's token, once it was asked for. */ #bearer = '';
  /** Counts beginnings; what an older one tells is not heard. */ #turn = 0;
  #failures = 0;
  #wayAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  #movedAt = 0;
  #time = 0;
  #wellSince = 0;
  #pausedAt = 0;
  #wants = true;

  /** @param {string} app @param {string} name @param {string} query what is behind the media's addresses: a token */
  constructor(app, name, query) {
    this.#app = app;
    this.#name = name;
    this.#query = query;
    const { video } = this;
    video.playsInline = true;
    video.autoplay = false;
    video.poster = this.poster;
    video.disableRemotePlayback = false;
    settings.volume.watch((volume) => (video.volume = volume));
    settings.muted.watch((muted) => {
      video.muted = muted;
      if (!muted) this.hushed.value = false;
    });
    settings.protocol.hear(() => this.#restart());
    video.addEventListener('playing', () => this.#plays());
    video.addEventListener('pause', () => {
      this.#pausedAt = performance.now();
      if (!this.#wants && this.#source) this.state.value = 'paused';
    });
    video.addEventListener('ended', () => this.#source && this.#trouble('off', ''));
    video.addEventListener('waiting', () => {
      if (this.state.value === 'playing') this.state.value = 'waiting';
    });
    setInterval(() => this.#look(), LOOK_MS);
    addEventListener('online', () => this.state.value !== 'playing' && this.again());
  }

  get poster() {
    return `/${this.#app}/${this.#name}.jpg${this.#query}`;
  }

  /** Finds out what there is to play with, and begins. */
  async begin() {
    const native = playsNatively(this.video);
    const hls = await hlsLibrary();
    // Where the system plays HLS itself and has no media source, and on iPhones, its own player is the better one.
    const own = native && (/iP(hone|od|ad)/.test(navigator.userAgent) || !hls);
    /** @type {Way[]} */
    const ways = [...(own ? /** @type {const} */ (['native']) : []), ...(hls ? /** @type {const} */ (['llhls', 'hls']) : [])];
    // The first picture does not wait for a player that it may never need.
    const waits = ways.length === 0 || settings.protocol.value === 'flv';
    const more = flvLibrary().then((flv) => (this.ways.value = flv ? [...ways, 'flv'] : ways));
    if (waits) await more;
    else this.ways.value = ways;
    this.#restart();
  }

  /** Begins again, at once. */
  again() {
    clearTimeout(this.#timer);
    this.#failures = 0;
    void this.#start();
  }

  /** The hub says whether it is on air: sooner than the player would find out. @param {boolean} onAir */
  sayOnAir(onAir) {
    if (onAir) {
      if (this.state.value === 'off') this.again();
    } else if (this.state.value === 'loading') {
      this.#stop();
      this.state.value = 'off';
      this.#later(OFF_AGAIN_S * 4);
    }
  }

  play() {
    this.#wants = true;
    if (!this.#source) return this.again();
    if (this.#pausedAt && performance.now() - this.#pausedAt > PAUSE_MS) {
      // What was buffered is old; a stream that could not flow on has to be opened anew.
      if (this.way.value === 'flv' || this.way.value === 'native') return this.again();
      this.toLive();
    }
    this.#tryPlay();
  }

  pause() {
    this.#wants = false;
    this.video.pause();
  }

  toggle() {
    if (this.video.paused || this.state.value === 'blocked') this.play();
    else this.pause();
  }

  mute() {
    if (this.hushed.value) {
      // The first tap gives the sound that the browser withheld.
      this.hushed.value = false;
      this.video.muted = false;
      settings.muted.value = false;
      return;
    }
    settings.muted.value = !settings.muted.value;
  }

  toLive() {
    const edge = this.#source?.edge();
    if (edge !== null && edge !== undefined && edge > this.video.currentTime) this.video.currentTime = edge;
  }

  /** @param {string} id a level, or `auto` */
  choose(id) {
    this.level.value = id;
    if (this.#source?.choose) this.#source.choose(id);
    else this.again();
  }

  /** What plays now, in numbers. */
  facts() {
    const { video } = this;
    const quality = video.getVideoPlaybackQuality?.();
    const end = video.buffered.length ? video.buffered.end(video.buffered.length - 1) : video.currentTime;
    return {
      ...(this.#source?.facts() ?? { codecs: '', bits: 0 }),
      width: video.videoWidth,
      height: video.videoHeight,
      buffer: Math.max(0, end - video.currentTime),
      frames: quality?.totalVideoFrames ?? 0,
      dropped: quality?.droppedVideoFrames ?? 0,
    };
  }

  #restart() {
    this.#wayAt = 0;
    this.level.value = 'auto';
    this.again();
  }

  /** The ways to try, best first. @returns {Way[]} */
  #order() {
    const ways = this.ways.value;
    const chosen = settings.protocol.value;
    if (chosen === 'auto') return ways.filter((way) => way !== 'hls');
    return ways.includes(chosen) ? [chosen] : ways;
  }

  async #start() {
    const turn = ++this.#turn;
    this.#stop();
    this.#turn = turn;
    const order = this.#order();
    const way = order[this.#wayAt % Math.max(1, order.length)];
    if (!way) {
      if (this.ways.value.length === 0) this.state.value = 'unsupported';
      return;
    }
    if (this.state.value !== 'off') this.state.value = 'loading';
    this.begun.value = false;
    this.way.value = way;
    this.#movedAt = performance.now();
    this.#wellSince = 0;
    this.#pausedAt = 0;
    const mine = () => turn === this.#turn;
    const begin = {
      video: this.video,
      url: this.#address(way),
      bearer: this.#bearer,
      serverTime: () => this.serverTime(),
      on: {
        levels: (/** @type {Level[]} */ levels, /** @type {boolean} */ auto) => {
          if (!mine()) return;
          this.levels.value = levels;
          this.canChoose.value = auto;
        },
        level: (/** @type {string} */ id) => mine() && (this.levelNow.value = id),
        play: () => mine() && this.#wants && this.#tryPlay(),
        trouble: (/** @type {Trouble} */ what, /** @type {string} */ why) => mine() && this.#trouble(what, why),
      },
    };
    const source =
      way === 'flv'
        ? await flvSource(begin, this.#rung())
        : way === 'native'
          ? nativeSource(begin)
          : await hlsSource(begin, { low: way === 'llhls' });
    if (!mine()) return source?.end();
    this.#source = source;
    if (way === 'flv') void this.#findRungs(turn);
  }

  #rung() {
    return this.level.value === 'auto' || this.level.value === 'source' ? '' : this.level.value;
  }

  /** @param {Way} way */
  #address(way) {
    if (way === 'flv') {
      const rung = this.#rung();
      return `/${this.#app}/${this.#name}${rung ? `~${rung}` : ''}.flv${this.#query}`;
    }
    return `/${this.#app}/${this.#name}.m3u8${this.#query}`;
  }

  /** FLV has no list of what there is; the master playlist does. @param {number} turn */
  async #findRungs(turn) {
    try {
      const answer = await fetch(`/${this.#app}/${this.#name}.m3u8${this.#query}`, this.#bearer ? { headers: { Authorization: `Bearer ${this.#bearer}` } } : {});
      const levels = answer.ok ? rungsOf(await answer.text()) : [];
      if (turn !== this.#turn) return;
      this.levels.value = levels.length > 1 ? levels : [];
      this.canChoose.value = false;
    } catch {
      // Then there is nothing to choose.
    }
  }

  #stop() {
    this.#turn++;
    clearTimeout(this.#timer);
    const source = this.#source;
    this.#source = null;
    source?.end();
    this.delay.value = null;
  }

  #tryPlay() {
    const { video } = this;
    const tried = video.play();
    tried?.catch((/** @type {unknown} */ error) => {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      if (!video.muted) {
        // Without sound it may; a tap brings the sound.
        video.muted = true;
        this.hushed.value = true;
        this.#tryPlay();
      } else this.state.value = 'blocked';
    });
  }

  #plays() {
    this.state.value = 'playing';
    this.problem.value = '';
  }

  /** @param {Trouble} what @param {string} why */
  #trouble(what, why) {
    this.#stop();
    // A rung may end where the broadcast does not.
    if (what === 'off' && !(this.isOnAir() && this.#failures < OFF_BELIEVED_MAX)) {
      this.state.value = 'off';
      this.#later(OFF_AGAIN_S);
      return;
    }
    if (what === 'denied') {
      // Whoever is signed in says so only where it is asked for: what all may see, caches may keep.
      const account = localStorage.getItem('yizhan.token');
      if (account && !this.#bearer) {
        this.#bearer = account;
        return this.again();
      }
      this.state.value = 'denied';
      return;
    }
    this.#failures++;
    this.problem.value = why;
    if (this.#failures % FAILURES_MAX === 0) this.#wayAt++;
    if (this.#failures > 6 && what === 'media') this.state.value = 'failed';
    else this.state.value = this.begun.value ? 'waiting' : 'loading';
    this.#later(Math.min(AGAIN_MAX_S, 0.5 * 2 ** this.#failures) * (0.7 + 0.6 * Math.random()));
  }

  /** @param {number} seconds */
  #later(seconds) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#start(), seconds * 1000);
  }

  /** Looks whether the picture moves, and how far behind it is. */
  #look() {
    const { video } = this;
    const source = this.#source;
    if (!source) return;
    const now = performance.now();
    const moved = video.currentTime !== this.#time;
    this.#time = video.currentTime;
    if (moved || video.paused) this.#movedAt = now;
    if (moved && !video.paused) {
      this.#wellSince ||= now;
      if (video.currentTime > 0) this.begun.value = this.seen.value = true;
      if (['loading', 'waiting', 'off'].includes(this.state.value)) this.state.value = 'playing';
      if (now - this.#wellSince > WELL_MS) this.#failures = 0;
    }
    this.delay.value = video.readyState > 1 ? source.delay() : null;
    if (this.#wants && !video.paused && now - this.#movedAt > STILL_MS) return this.#trouble('network', 'stalled');
    const edge = source.leap ? source.edge() : null;
    if (source.leap && edge !== null && edge - video.currentTime > source.leap) video.currentTime = edge;
  }
}
