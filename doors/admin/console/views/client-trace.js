// <y-client-trace>: what one client sends and hears, packet by packet, as it happens.

import { icon } from '../components/icon.js';
import { admin } from '../lib/admin.js';
import { atNextFrame } from '../lib/cell.js';
import { Part, h } from '../lib/dom.js';
import { clockMillis, whole } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { line } from '../lib/line.js';

/** Lines that are shown; the oldest go. */
const LINES_MAX = 500;

/**
 * @typedef {{
 *   at: number, direction: 'in' | 'out', packet: string, bytes?: number, id?: number, topic?: string, qos?: number,
 *   retain?: boolean, dup?: boolean, reason?: number, reason_name?: string, text?: string, dropped?: number
 * }} Packet
 */

export class ClientTrace extends Part {
  client = '';
  topic = '';
  /** @type {Packet[]} */ #new = [];
  #count = 0;
  #lines = h('ol', { class: 'trace scroll', tabIndex: 0 });
  #status = h('span', { class: 'aside number', role: 'status' });

  begin() {
    this.#lines.setAttribute('aria-label', t('trace.title', { name: this.client }));
    const stop = h('button', { class: 'button small', type: 'button' }, icon('close'), t('trace.stop'));
    this.listen(stop, 'click', () => {
      void admin.stopTrace(this.client).catch(() => undefined);
      this.remove();
    });
    this.#status.textContent = t('trace.wait');
    this.replaceChildren(
      h(
        'section',
        { class: 'card' },
        h('header', null, h('h2', null, t('trace.title', { name: this.client })), this.#status, stop),
        this.#lines,
      ),
    );
    const draw = atNextFrame(() => this.#draw());
    const listening = line.subscribe(
      this.topic,
      {},
      {
        record: (record) => {
          this.#new.push(/** @type {Packet} */ (record.data ?? JSON.parse(record.text ?? '{}')));
          if (this.#new.length > LINES_MAX) this.#new.shift();
          draw();
        },
        failed: (error) => (this.#status.textContent = error.message),
      },
    );
    this.keep(() => listening.end());
  }

  #draw() {
    const low = this.#lines.scrollHeight - this.#lines.scrollTop - this.#lines.clientHeight < 40;
    for (const packet of this.#new.splice(0)) {
      this.#count++;
      this.#lines.append(lineOf(packet));
    }
    while (this.#lines.childElementCount > LINES_MAX) this.#lines.firstElementChild?.remove();
    this.#status.textContent = t('trace.count', { n: whole(this.#count) });
    if (low) this.#lines.scrollTop = this.#lines.scrollHeight;
  }
}

/** @param {Packet} packet */
function lineOf(packet) {
  const { direction, topic, qos, id, bytes, reason, reason_name: why, text, dropped } = packet;
  const flags = [
    qos !== undefined ? `q${qos}` : '',
    packet.retain ? 'retain' : '',
    packet.dup ? 'dup' : '',
    id !== undefined ? `id ${id}` : '',
    bytes !== undefined ? `${bytes} B` : '',
    reason !== undefined ? `0x${reason.toString(16).padStart(2, '0')} ${why ?? ''}` : '',
  ].filter(Boolean);
  return h(
    'li',
    null,
    dropped ? h('span', { class: 'badge wait' }, t('trace.dropped', { n: dropped })) : null,
    h('time', null, clockMillis(packet.at)),
    h('b', { class: direction, title: t(direction === 'in' ? 'trace.in' : 'trace.out') }, direction === 'in' ? '→' : '←'),
    h('span', { class: 'packet' }, packet.packet),
    topic ? h('span', { class: 'topic' }, topic) : null,
    h('span', { class: 'aside' }, flags.join(' · ')),
    text ? h('span', { class: 'aside' }, text) : null,
  );
}

customElements.define('y-client-trace', ClientTrace);
