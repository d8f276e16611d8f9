// <y-topic-publish>: sends a message to a topic, with everything that a message can have.

import { field } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { RETAINED } from '../lib/admin.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { line } from '../lib/line.js';

export class TopicPublish extends Part {
  topic = '';

  begin() {
    const controls = makeControls();
    const result = h('div', { role: 'status' });
    const button = h('button', { class: 'button main', type: 'submit' }, icon('send'), t('publish.send'));
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        const outgoing = read(this.topic, controls);
        const begun = performance.now();
        const receipt = await line.publish(outgoing);
        fill(result, receiptView(receipt, performance.now() - begun));
      } catch (error) {
        fill(result, h('p', { class: 'notes bad' }, error instanceof Error ? error.message : String(error)));
      } finally {
        button.disabled = false;
      }
    };
    const { body, kind, key, durable, expires, content, headers, retain, qos, delay } = controls;
    this.listen(retain, 'change', () => {
      key.disabled = retain.checked;
      key.placeholder = retain.checked ? RETAINED : '';
    });
    this.listen(body, 'keydown', (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void submit(event);
    });
    this.replaceChildren(
      h(
        'form',
        { class: 'publish', on: { submit } },
        h('p', null, t('publish.to'), ' ', h('code', null, this.topic)),
        h(
          'div',
          { class: 'publish-body' },
          field(t('publish.body'), body, t('publish.body.hint')),
          h(
            'div',
            { class: 'stack' },
            field(t('publish.kind'), kind),
            field('QoS', qos, t('publish.qos.hint')),
            h(
              'label',
              { class: 'switch', title: t('publish.retain.hint') },
              retain,
              h('span', { class: 'two' }, h('b', null, t('publish.retain'))),
            ),
            h('span', { class: 'hint' }, t('publish.retain.hint')),
          ),
        ),
        h(
          'div',
          { class: 'publish-grid' },
          field(t('col.key'), key, t('publish.key.hint')),
          field(t('publish.durable'), durable, t('publish.durable.hint')),
          field(t('publish.expires'), expires, t('publish.expires.hint')),
          field(t('publish.delay'), delay, t('publish.delay.hint')),
          field(t('col.content'), content, t('publish.content.hint')),
        ),
        field(t('feed.headers'), headers, t('publish.headers.hint')),
        h('div', { class: 'toolbar' }, button),
        result,
      ),
    );
  }
}

function makeControls() {
  const kinds = /** @type {const} */ (['json', 'text', 'bytes']);
  const option = (/** @type {string} */ value, /** @type {string} */ text) => h('option', { value }, text);
  const select = (/** @type {HTMLElement[]} */ options) => h('select', { class: 'input' }, options);
  return {
    body: h('textarea', { class: 'input mono', rows: 8, spellcheck: false, placeholder: '{"temperature": 21.5}' }),
    kind: select(kinds.map((value) => option(value, t(`publish.${value}`)))),
    key: h('input', { class: 'input mono', maxLength: 256 }),
    durable: select([
      option('', t('publish.durable.any')),
      option('memory', t('publish.durable.memory')),
      option('disk', t('publish.durable.disk')),
    ]),
    expires: h('input', { class: 'input number', type: 'number', min: '0', step: 'any' }),
    content: h('input', { class: 'input mono', placeholder: 'text/markdown' }),
    retain: h('input', { type: 'checkbox', name: 'retain' }),
    qos: select([option('0', t('publish.qos.0')), option('1', t('publish.qos.1')), h('option', { value: '', selected: true }, t('publish.qos.2'))]),
    delay: h('input', { class: 'input number', type: 'number', min: '0', step: 'any' }),
    headers: h('textarea', { class: 'input mono', rows: 2, spellcheck: false, placeholder: 'lang: en' }),
  };
}

/**
 * What the form says, as a message.
 * @param {string} topic
 * @param {ReturnType<typeof makeControls>} controls
 * @returns {import('../lib/line.js').Outgoing}
 */
function read(topic, { body, kind, key, durable, expires, content, headers, retain, qos, delay }) {
  const type = content.value.trim();
  return {
    topic,
    ...readBody(kind.value, body.value),
    ...(type && kind.value !== 'json' && { content: type }),
    ...(retain.checked ? { key: RETAINED } : key.value && { key: key.value }),
    ...(qos.value && { qos: /** @type {0 | 1} */ (Number(qos.value)) }),
    ...(Number(delay.value) > 0 && { delay: Number(delay.value) }),
    ...(expires.value && { expires: Number(expires.value) }),
    ...(durable.value && { durable: /** @type {'memory' | 'disk'} */ (durable.value) }),
    ...(headers.value.trim() && { headers: readHeaders(headers.value) }),
  };
}

/**
 * What the server said to it.
 * @param {import('../lib/line.js').Receipt} receipt
 * @param {number} ms how long it took
 */
function receiptView(receipt, ms) {
  return h(
    'p',
    { class: 'receipt' },
    icon('check'),
    h('b', null, t('publish.done', { ms: ms.toFixed(1) })),
    h('span', { class: 'badge good' }, t(`publish.safe.${receipt.durable}`)),
    receipt.seq !== undefined ? h('code', null, `seq ${receipt.seq}`) : null,
    receipt.pos ? h('code', null, `pos ${receipt.pos}`) : null,
    receipt.duplicate ? h('span', { class: 'badge wait' }, t('publish.duplicate')) : null,
  );
}

/**
 * @param {string} kind
 * @param {string} text
 */
function readBody(kind, text) {
  if (text === '') return {};
  if (kind === 'text') return { text };
  if (kind === 'json') {
    try {
      return { data: /** @type {unknown} */ (JSON.parse(text)) };
    } catch (error) {
      throw new Error(t('publish.bad.json', { reason: error instanceof Error ? error.message : '' }));
    }
  }
  const digits = text.replace(/[\s,]|0x/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(t('publish.bad.bytes'));
  return { bytes: Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)) };
}

/** @param {string} text @returns {{[name: string]: string}} */
function readHeaders(text) {
  /** @type {{[name: string]: string}} */
  const headers = {};
  for (const each of text.split('\n').filter((one) => one.trim())) {
    const at = each.indexOf(':');
    if (at < 1) throw new Error(t('publish.bad.header', { line: each }));
    headers[each.slice(0, at).trim()] = each.slice(at + 1).trim();
  }
  return headers;
}

customElements.define('y-topic-publish', TopicPublish);
