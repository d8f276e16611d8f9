// FLV over HTTP by mpegts.js: one long answer, the least delay.

/** @typedef {import('./source.js').Begin} Begin */
/** @typedef {import('./source.js').Source} Source */

/** Further behind than this it plays faster, s, until it is this near. */
const BEHIND_S = 1.5;
const NEAR_S = 0.6;
/** Further behind than this it leaps, s. */
const LEAP_S = 6;

/** @type {Promise<any> | null} */
let library = null;

/** mpegts.js; `null` where the page was built without it, or the browser cannot be fed. */
export async function flvLibrary() {
  library ??= new Promise((resolve) => {
    const script = document.createElement('script');
    script.src = '/watch/~/vendor/mpegts.js';
    script.onload = () => resolve(/** @type {any} */ (window).mpegts ?? null);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
  const mpegts = await library;
  if (!mpegts?.getFeatureList().mseLivePlayback) return null;
  mpegts.LoggingControl.enableAll = false;
  return mpegts;
}

/** @param {Begin} begin @param {string} rung which rung it is, `''` for the source @returns {Promise<Source | null>} */
export async function flvSource({ video, url, bearer, on }, rung) {
  const mpegts = await flvLibrary();
  if (!mpegts) return null;
  const player = mpegts.createPlayer(
    { type: 'flv', isLive: true, url: new URL(url, location.href).href },
    {
      enableStashBuffer: false,
      lazyLoad: false,
      autoCleanupSourceBuffer: true,
      liveSync: true,
      liveSyncMaxLatency: BEHIND_S,
      liveSyncTargetLatency: NEAR_S,
      liveSyncPlaybackRate: 1.15,
      ...(bearer && { headers: { Authorization: `Bearer ${bearer}` } }),
    },
  );
  let codecs = '';
  let ended = false;
  player.on(mpegts.Events.MEDIA_INFO, (/** @type {any} */ info) => {
    codecs = [info.videoCodec, info.audioCodec].filter(Boolean).join(' + ');
  });
  player.on(mpegts.Events.LOADING_COMPLETE, () => ended || on.trouble('off', ''));
  player.on(mpegts.Events.ERROR, (/** @type {string} */ type, /** @type {string} */ detail, /** @type {any} */ info) => {
    if (ended) return;
    const status = info?.code;
    if (type === mpegts.ErrorTypes.NETWORK_ERROR && status === 404) on.trouble('off', '');
    else if (type === mpegts.ErrorTypes.NETWORK_ERROR && (status === 401 || status === 403)) on.trouble('denied', '');
    else on.trouble(type === mpegts.ErrorTypes.NETWORK_ERROR ? 'network' : 'media', String(info?.msg ?? detail ?? type));
  });
  player.attachMediaElement(video);
  player.load();
  on.level(rung || 'source');
  on.play();
  const edge = () => (video.buffered.length ? video.buffered.end(video.buffered.length - 1) : null);
  return {
    end: () => {
      ended = true;
      player.destroy();
    },
    edge: () => {
      const end = edge();
      return end === null ? null : Math.max(0, end - NEAR_S);
    },
    leap: LEAP_S,
    // There is no clock in it: what is buffered, and what the server gathers.
    delay: () => {
      const end = edge();
      return end === null ? null : Math.max(0, end - video.currentTime) + 0.1;
    },
    facts: () => ({ codecs, bits: (player.statisticsInfo?.speed ?? 0) * 8000 }),
  };
}
