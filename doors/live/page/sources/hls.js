// HLS and Low-Latency HLS by hls.js.

/** @typedef {import('./source.js').Begin} Begin */
/** @typedef {import('./source.js').Source} Source */

/** How much is kept behind, s: nobody rewinds far in a broadcast. */
const BACK_BUFFER_S = 30;
/** A second decoding fault within this is not mended again, ms. */
const MEND_MS = 5000;

/** @type {Promise<any> | null} */
let library = null;

/** hls.js; `null` where the page was built without it, or the browser cannot be fed. */
export async function hlsLibrary() {
  const address = '../vendor/hls.js';
  library ??= import(address).then(({ default: Hls }) => Hls).catch(() => null);
  const Hls = await library;
  return Hls?.isSupported() ? Hls : null;
}

/** @param {Begin} begin @param {{low: boolean}} how @returns {Promise<Source | null>} */
export async function hlsSource({ video, url, bearer, serverTime, on }, { low }) {
  const Hls = await hlsLibrary();
  if (!Hls) return null;
  const policy = (/** @type {number} */ retries) => ({
    default: {
      maxTimeToFirstByteMs: 8000,
      maxLoadTimeMs: 15_000,
      timeoutRetry: { maxNumRetry: retries, retryDelayMs: 0, maxRetryDelayMs: 0 },
      errorRetry: { maxNumRetry: retries, retryDelayMs: 400, maxRetryDelayMs: 3000 },
    },
  });
  const hls = new Hls({
    lowLatencyMode: low,
    workerPath: '/watch/~/vendor/hls.worker.js',
    backBufferLength: BACK_BUFFER_S,
    liveDurationInfinity: true,
    maxLiveSyncPlaybackRate: low ? 1.1 : 1.05,
    capLevelToPlayerSize: true,
    ...(bearer && { xhrSetup: (/** @type {XMLHttpRequest} */ request) => request.setRequestHeader('Authorization', `Bearer ${bearer}`) }),
    manifestLoadPolicy: policy(0),
    playlistLoadPolicy: policy(3),
    fragLoadPolicy: policy(3),
  });
  let mended = 0;
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    const levels = /** @type {any[]} */ (hls.levels).map((level, at) => ({
      id: String(at),
      height: level.height || 0,
      bits: level.bitrate || 0,
      name: level.attrs?.NAME || level.name || '',
    }));
    on.levels(levels.length > 1 ? levels.sort((a, b) => b.height - a.height || b.bits - a.bits) : [], true);
    on.play();
  });
  hls.on(Hls.Events.LEVEL_SWITCHED, (/** @type {any} */ _, /** @type {{level: number}} */ { level }) => on.level(String(level)));
  hls.on(Hls.Events.ERROR, (/** @type {any} */ _, /** @type {any} */ data) => {
    if (!data.fatal) return;
    const status = data.response?.code;
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR && performance.now() - mended > MEND_MS) {
      mended = performance.now();
      hls.recoverMediaError();
    } else if (status === 404 || status === 410) on.trouble('off', '');
    else if (status === 401 || status === 403) on.trouble('denied', '');
    else on.trouble(data.type === Hls.ErrorTypes.NETWORK_ERROR ? 'network' : 'media', String(data.details ?? data.type));
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    end: () => hls.destroy(),
    choose: (id) => {
      hls.nextLevel = id === 'auto' ? -1 : Number(id);
    },
    edge: () => hls.liveSyncPosition,
    delay: () => {
      const at = hls.playingDate;
      return at ? Math.max(0, (serverTime() - at.getTime()) / 1000) : Number.isFinite(hls.latency) && hls.latency > 0 ? hls.latency : null;
    },
    facts: () => {
      const level = hls.levels[hls.currentLevel];
      return { codecs: level ? [level.videoCodec, level.audioCodec ?? hls.audioTracks[0]?.audioCodec].filter(Boolean).join(' + ') : '', bits: level?.bitrate ?? 0 };
    },
  };
}
