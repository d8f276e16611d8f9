// The icons: strokes on a 24-unit square, drawn for this page.

const PATHS = {
  play: 'M7.5 4.8v14.4L19 12z',
  pause: 'M6.8 5.2h3v13.6h-3zM14.2 5.2h3v13.6h-3z',
  sound: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a8 8 0 0 1 0 11',
  quiet: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6',
  muted: 'M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM16 9.5l5 5M21 9.5l-5 5',
  full: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  small: 'M9 4v5H4M20 9h-5V4M15 20v-5h5M4 15h5v5',
  window: 'M3.5 5h17v14h-17zM12.5 12h5.5v4.5h-5.5z',
  settings: 'M4 7h9M17.5 7H20M4 17h2.5M11 17h9M15.2 9.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4zM8.8 19.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z',
  bullets: 'M3.5 5h17v12.5H11L7 21v-3.5H3.5zM7 9.2h6M15.5 9.2H17M7 13.2h2M11.5 13.2H17',
  'bullets-off': 'M3.5 5h17v12.5H11L7 21v-3.5H3.5zM4 3l17 17',
  tune: 'M5 4v7M5 15v5M12 4v3M12 11v9M19 4v9M19 17v3M3 13h4M10 9h4M17 15h4',
  chat: 'M20 11.5c0 4.1-3.6 7-8 7-1 0-2-.15-2.9-.43L4.5 19.5l1.2-3.4A6.7 6.7 0 0 1 4 11.5c0-4.1 3.6-7 8-7s8 2.9 8 7z',
  gift: 'M4 9h16v4H4zM5.5 13v7h13v-7M12 9v11M12 9C9 9 7.5 7.8 7.5 6.2 7.5 5 8.4 4 9.6 4 11.3 4 12 6 12 9zM12 9c3 0 4.5-1.2 4.5-2.8 0-1.2-.9-2.2-2.1-2.2C12.7 4 12 6 12 9z',
  eye: 'M2.5 12S6 5.8 12 5.8 21.5 12 21.5 12 18 18.2 12 18.2 2.5 12 2.5 12zM12 14.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6z',
  share: 'M8.5 12.5 15.5 8M8.5 13l7 4M6 15.5a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM18 9.3a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6zM18 21a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6z',
  send: 'M4 12 20 4.5 15.5 20l-4-6.5zM11.5 13.5 20 4.5',
  user: 'M12 11.5a3.8 3.8 0 1 0 0-7.6 3.8 3.8 0 0 0 0 7.6zM5 20c.4-3.6 3.2-6 7-6s6.6 2.4 7 6',
  close: 'M6 6l12 12M18 6 6 18',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  down: 'M12 5v13.5M6 13l6 6 6-6',
  off: 'M4 4l16 16M3.5 6.5v11h11.5M8 6.5h8.5V13M16.5 11l4-2.5v7',
  alert: 'M12 4 21 19.5H3zM12 10v4.5M12 17v.1',
  lock: 'M6 10.5h12V20H6zM8.5 10.5V8a3.5 3.5 0 0 1 7 0v2.5',
  refresh: 'M19.5 12a7.5 7.5 0 1 1-2.2-5.3L19.5 9M19.5 4v5h-5',
  sidebar: 'M4 5h16v14H4zM15 5v14',
};

/** @typedef {keyof typeof PATHS} IconName */

/** @param {IconName} name */
export function icon(name) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  element.setAttribute('viewBox', '0 0 24 24');
  element.setAttribute('class', 'icon');
  element.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', PATHS[name]);
  if (name === 'play' || name === 'pause') path.setAttribute('class', 'filled');
  element.append(path);
  return element;
}
