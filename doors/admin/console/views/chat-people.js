// <y-people>: who is in the room now, on which devices, and who else has written here.

import { avatar } from '../components/avatar.js';
import { displayName } from '../lib/account.js';
import { bones } from '../components/bits.js';
import { atNextFrame } from '../lib/cell.js';
import { Part, fill, h } from '../lib/dom.js';
import { ago, byName } from '../lib/format.js';
import { t, tName } from '../lib/i18n.js';
import { line } from '../lib/line.js';
import { people } from '../lib/people.js';
import { Room } from '../lib/rooms.js';
import { iconButton } from '../components/bits.js';

/** How often the server is asked who is here, ms. */
const ASK_EVERY = 10_000;
const SHOWN_MAX = 200;

export class People extends Part {
  room = new Room('', '');
  /** @type {import('../lib/line.js').Presence[] | null} */ #here = null;

  begin() {
    this.setAttribute('aria-label', t('people.title'));
    this.setAttribute('role', 'complementary');
    const draw = atNextFrame(() => this.#draw());
    const look = async () => {
      if (document.hidden || line.state.value.phase !== 'online') return;
      this.#here = await line.presence(this.room.topic).catch(() => this.#here ?? []);
      draw();
    };
    void look();
    this.each(ASK_EVERY, () => void look());
    let asked = 0;
    this.keep(
      people.hear(() => {
        draw();
        // Who comes or goes also comes or goes here, a moment later.
        if (Date.now() - asked < 1000) return;
        asked = Date.now();
        setTimeout(() => void look(), 600);
      }),
    );
    this.keep(this.room.changes.hear(draw));
    this.#draw();
  }

  #draw() {
    const close = iconButton('close', t('close'), () => this.classList.remove('shown'));
    close.classList.add('close');
    if (!this.#here) {
      fill(this, h('header', null, h('h2', null, t('people.title')), close), bones(5));
      return;
    }
    /** @type {Map<string, {devices: Set<string>, doors: Set<string>, sessions: number}>} */
    const here = new Map();
    for (const { user, device, door } of this.#here) {
      const found = here.get(user) ?? { devices: new Set(), doors: new Set(), sessions: 0 };
      if (device) found.devices.add(device);
      found.doors.add(door);
      found.sessions++;
      here.set(user, found);
    }
    const away = new Set(
      this.room.messages.filter(({ guest, from }) => !guest && !here.has(from)).map(({ from }) => from),
    );
    const names = [...here.keys()].sort(byName).slice(0, SHOWN_MAX);
    fill(
      this,
      h('header', null, h('h2', null, t('people.title')), close),
      h('h3', null, t('people.here', { n: here.size })),
      h(
        'ul',
        null,
        names.map((user) => {
          const { devices, doors, sessions } = here.get(user) ?? { devices: new Set(), doors: new Set(), sessions: 0 };
          const how =
            user === 'anonymous'
              ? t('people.guests', { n: sessions })
              : [...devices].join(', ') || [...doors].map((door) => tName('door', door)).join(', ');
          return person(user === 'anonymous' ? t('chat.guests') : displayName(user), true, how);
        }),
      ),
      away.size ? h('h3', null, t('people.away', { n: away.size })) : null,
      h(
        'ul',
        null,
        [...away]
          .sort(byName)
          .slice(0, SHOWN_MAX)
          .map((user) => {
            const known = people.value.get(user);
            const since = known
              ? known.online
                ? t('people.elsewhere')
                : t('people.seen', { ago: ago(known.since) })
              : '';
            return person(user, known?.online ?? false, since);
          }),
      ),
    );
  }
}

/**
 * @param {string} user
 * @param {boolean} on
 * @param {string} text
 */
function person(user, on, text) {
  return h(
    'li',
    { class: on ? 'person' : 'person off' },
    avatar(user, { size: 30, online: on }),
    h(
      'span',
      null,
      h('b', null, user),
      text ? h('small', null, text) : null,
      h('span', { class: 'unseen' }, on ? t('people.online') : t('people.offline')),
    ),
  );
}

customElements.define('y-people', People);
