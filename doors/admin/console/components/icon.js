// The icons: strokes on a 24-unit square, drawn for this page.

import { svg } from '../lib/dom.js';

const paths = {
  overview:
    'M4 5.5A1.5 1.5 0 0 1 5.5 4h4v7H4zM14.5 4h4A1.5 1.5 0 0 1 20 5.5V9h-5.5zM4 15h5.5v5h-4A1.5 1.5 0 0 1 4 18.5zM14.5 13H20v5.5a1.5 1.5 0 0 1-1.5 1.5h-4z',
  chat: 'M20 11.5c0 4.1-3.6 7-8 7-1 0-2-.15-2.9-.43L4.5 19.5l1.2-3.4A6.7 6.7 0 0 1 4 11.5c0-4.1 3.6-7 8-7s8 2.9 8 7z',
  topics: 'M5 6h5M14 6h5M7.5 6v12H14M7.5 12H14M14 12h5M14 18h5',
  sessions: 'M9 7V3.5M15 7V3.5M6.5 7h11v4.5a5.5 5.5 0 0 1-11 0zM12 17v4',
  charts: 'M3.5 12.5h4l2.5-7 4 13 2.5-6h4',
  accounts:
    'M9 11.2a3.4 3.4 0 1 0 0-6.8 3.4 3.4 0 0 0 0 6.8zM3 19.5c.3-3.2 2.7-5.3 6-5.3s5.7 2.1 6 5.3M15.5 4.9a3.2 3.2 0 0 1 0 5.9M17.5 14.6c2 .7 3.3 2.5 3.5 4.9',
  spaces: 'M12 3.5 20.5 8 12 12.5 3.5 8zM4 12l8 4.3 8-4.3M4 16l8 4.3 8-4.3',
  audit: 'M6 3.5h9l3.5 3.5v13.5H6zM9 9.5h6M9 13h6M9 16.5h3.5',
  help: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM9.6 9.5a2.5 2.5 0 1 1 3.5 2.6c-.7.3-1.1.9-1.1 1.7M12 16.8v.1',
  search: 'M10.8 17a6.2 6.2 0 1 0 0-12.4 6.2 6.2 0 0 0 0 12.4zM15.5 15.5l4.5 4.5',
  plus: 'M12 5v14M5 12h14',
  send: 'M12 19V5.5M6 11l6-6 6 6',
  back: 'M14.5 5.5 8 12l6.5 6.5',
  forward: 'M9.5 5.5 16 12l-6.5 6.5',
  close: 'M6 6l12 12M18 6 6 18',
  more: 'M5.5 12h.01M12 12h.01M18.5 12h.01',
  copy: 'M9 9h10.5v10.5H9zM15 9V4.5H4.5V15H9',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  seen: 'M2.5 12.5 7 17l8.5-9.5M12.5 16l1 1L22 7.5',
  clock: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 7.5V12l3 2',
  alert: 'M12 4 21 19.5H3zM12 10v4.5M12 17v.1',
  sun: 'M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1',
  moon: 'M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z',
  screen: 'M3.5 5h17v11h-17zM9 20h6M12 16v4',
  globe: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM3.5 12h17M12 3.5c5 5.5 5 11.5 0 17M12 3.5c-5 5.5-5 11.5 0 17',
  bell: 'M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15zM10 20.5h4',
  'bell-off': 'M6 16.5V11c0-1 .2-1.9.6-2.7M9 5.8A6 6 0 0 1 18 11v4M15.5 18h-11L6 16.5M10 20.5h4M4 4l16 16',
  leave: 'M10 4H5v16h5M15 8l4 4-4 4M19 12H9.5',
  pause: 'M8.5 5.5v13M15.5 5.5v13',
  play: 'M7.5 5v14l11-7z',
  trash: 'M4.5 7h15M9 7V4.5h6V7M6.5 7l1 13h9l1-13M10.5 11v5M13.5 11v5',
  key: 'M8 16.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM12.5 12H21v3.5M17 12v3',
  link: 'M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1',
  refresh: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4v5h-5',
  filter: 'M4 6h16M7 12h10M10 18h4',
  smile: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM8.5 14c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9 9.7v.1M15 9.7v.1',
  'wifi-off':
    'M4 4l16 16M2.5 9.5A14 14 0 0 1 7 6.7M11 5.5a14 14 0 0 1 10.5 4M6 13a9 9 0 0 1 4-2.3M15 11.2A9 9 0 0 1 18 13M9.5 16.3a4 4 0 0 1 5 0M12 19.5v.1',
  down: 'M6 9.5l6 6 6-6',
  'arrow-down': 'M12 5v13.5M6 13l6 6 6-6',
  sidebar: 'M4 5h16v14H4zM9.5 5v14',
  unplug: 'M4 4l16 16M9 5V3.5M15 7V3.5M9.5 7h8v4.5c0 .9-.2 1.7-.6 2.5M6.5 8.5v3a5.5 5.5 0 0 0 8 4.9M12 17v4',
  ban: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM6 6l12 12',
  queues: 'M4 6h10M4 12h10M4 18h6M17.5 20.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM17.5 14.5v2l1.3 1',
  lock: 'M6 10.5h12V20H6zM8.5 10.5V8a3.5 3.5 0 0 1 7 0v2.5',
  user: 'M12 11.5a3.8 3.8 0 1 0 0-7.6 3.8 3.8 0 0 0 0 7.6zM5 20c.4-3.6 3.2-6 7-6s6.6 2.4 7 6',
  history: 'M4.5 12a7.5 7.5 0 1 0 2.2-5.3L4.5 9M4.5 4v5h5M12 8v4l2.5 2',
  braces:
    'M9 4.5c-2 0-2.5 1-2.5 2.5v2.5c0 1.5-.7 2.5-2 2.5 1.3 0 2 1 2 2.5V17c0 1.5.5 2.5 2.5 2.5M15 4.5c2 0 2.5 1 2.5 2.5v2.5c0 1.5.7 2.5 2 2.5-1.3 0-2 1-2 2.5V17c0 1.5-.5 2.5-2.5 2.5',
  hash: 'M9.5 4 8 20M16 4l-1.5 16M4.5 9h16M3.5 15h16',
  settings: 'M4 7h10M18 7h2M4 17h2M10 17h10M16 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4zM8 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4z',
  command:
    'M9 9h6v6H9zM9 9V6.5A2.5 2.5 0 1 0 6.5 9zM15 9h2.5A2.5 2.5 0 1 0 15 6.5zM15 15v2.5a2.5 2.5 0 1 0 2.5-2.5zM9 15H6.5A2.5 2.5 0 1 0 9 17.5z',
};

/** @typedef {keyof typeof paths} IconName */

/**
 * An icon. It is decoration: what it stands for is said by the text or label beside it.
 * @param {IconName} name
 * @param {string} [className]
 */
export function icon(name, className = '') {
  const heavy = name === 'more' ? ' heavy' : '';
  return svg(
    'svg',
    { class: `icon${heavy} ${className}`, viewBox: '0 0 24 24', 'aria-hidden': 'true', focusable: 'false' },
    svg('path', { d: paths[name] }),
  );
}

/** The mark: the eaves of a relay station, and the road that goes through it. */
export function mark() {
  return svg(
    'svg',
    { class: 'mark', viewBox: '0 0 32 32', 'aria-hidden': 'true', focusable: 'false' },
    svg('rect', { width: 32, height: 32, rx: 9, class: 'mark-ground' }),
    svg('path', { d: 'M5.5 13.5c3.5-.3 7.6-2.6 10.5-6 2.9 3.4 7 5.7 10.5 6', class: 'mark-roof' }),
    svg('path', { d: 'M4.5 22.5h6.2M21.3 22.5h6.2', class: 'mark-road' }),
    svg('circle', { cx: 16, cy: 21, r: 3.6, class: 'mark-rider' }),
  );
}
