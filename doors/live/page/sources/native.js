// HLS by the browser itself: iPhones, Safari, newer Chromium.

/** @typedef {import('./source.js').Begin} Begin */
/** @typedef {import('./source.js').Source} Source */

/** Behind the end of what may be played, s. */
const EDGE_S = 1.5;

/** @param {HTMLVideoElement} video */
export function playsNatively(video) {
  return video.canPlayType('application/vnd.apple.mpegurl') !== '';
}

/** @param {Begin} begin @returns {Source} */
export function nativeSource({ video, url: plain, bearer, serverTime, on }) {
  // The element sends no headers of ours.
  const url = bearer && !plain.includes('?') ? `${plain}?token=${encodeURIComponent(bearer)}` : plain;
  const failed = async () => {
    const code = video.error?.code;
    // The element does not say what the server said.
    const status = await fetch(url, { cache: 'no-store' }).then(
      (answer) => answer.status,
      () => 0,
    );
    if (status === 404 || status === 410) on.trouble('off', '');
    else if (status === 401 || status === 403) on.trouble('denied', '');
    else on.trouble(status === 0 || code === MediaError.MEDIA_ERR_NETWORK ? 'network' : 'media', video.error?.message ?? '');
  };
  const over = () => on.trouble('off', '');
  video.addEventListener('error', failed);
  video.addEventListener('ended', over);
  video.src = url;
  on.play();
  return {
    end: () => {
      video.removeEventListener('error', failed);
      video.removeEventListener('ended', over);
      video.removeAttribute('src');
      video.load();
    },
    edge: () => (video.seekable.length ? Math.max(0, video.seekable.end(video.seekable.length - 1) - EDGE_S) : null),
    delay: () => {
      // Safari knows the time of the first picture (EXT-X-PROGRAM-DATE-TIME).
      const start = /** @type {any} */ (video).getStartDate?.().getTime();
      if (Number.isFinite(start)) return Math.max(0, (serverTime() - start) / 1000 - video.currentTime);
      return video.seekable.length ? Math.max(0, video.seekable.end(video.seekable.length - 1) - video.currentTime) : null;
    },
    facts: () => ({ codecs: '', bits: 0 }),
  };
}
