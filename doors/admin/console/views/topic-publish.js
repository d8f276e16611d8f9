// <y-topic-publish>: sends a message to a topic, with everything that a message can have.

import { field } from '../components/bits.js';
import { icon } from '../components/icon.js';
import { Part, fill, h } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { line } from '../lib/line.js';

export class TopicPublish extends Part {
  topic = '';

  begin() {
    const body = h('textarea', { class: 'input mono', rows: 8, spellcheck: false, placeholder: '{"temperature": 21.5}' });
    const form = /** @type {const} */ (['json', 'text', 'bytes']);
    const kind = h('select', { class: 'input' }, form.map((value) => h('option', { value }, t(`publish.${value}`))));
    const content = h('input', { class: 'input mono', placeholder: 'text/markdown' });
    const key = h('input', { class: 'input mono', maxLength: 256 });
    const expires = h('input', { class: 'input number', type: 'number', min: '0', step: 'any' });
    const durable = h('select', { class: 'input' }, h('option', { value: '' }, t('publish.durable.any')), h('option', { value: 'memory' }, t('publish.durable.memory')), h('option', { value: 'disk' }, t('publish.durable.disk')));
    const headers = h('textarea', { class: 'input mono', rows: 2, spellcheck: false, placeholder: 'lang: en' });
    const result = h('div', { role: 'status' });
    const button = h('button', { class: 'button main', type: 'submit' }, icon('send'), t('publish.send'));

    const send = async () => {
      const outgoing = {
        topic: this.topic,
        ...readBody(kind.value, body.value),
        ...(content.value.trim() && kind.value !== 'json' && { content: content.value.trim() }),
        ...(key.value && { key: key.value }),
        ...(expires.value && { expires: Number(expires.value) }),
        ...(durable.value && { durable: /** @type {'memory' | 'disk'} */ (durable.value) }),
        ...(headers.value.trim() && { headers: readHeaders(headers.value) }),
      };
      const begun = performance.now();
      const receipt = await line.publish(outgoing);
      const ms = performance.now() - begun;
      fill(
        result,
        h(
          'p',
          { class: 'receipt' },
          icon('check'),
          h('b', null, t('publish.done', { ms: ms.toFixed(1) })),
          h('span', { class: 'badge good' }, t(`publish.safe.${receipt.durable}`)),
          receipt.seq !== undefined ? h('code', null, `seq ${receipt.seq}`) : null,
          receipt.pos ? h('code', null, `pos ${receipt.pos}`) : null,
          receipt.duplicate ? h('span', { class: 'badge wait' }, t('publish.duplicate')) : null,
        ),
      );
    };
    const submit = async (/** @type {Event} */ event) => {
      event.preventDefault();
      button.disabled = true;
      try {
        await send();
      } catch (error) {
        fill(result, h('p', { class: 'notes bad' }, error instanceof Error ? error.message : String(error)));
      } finally {
        button.disabled = false;
      }
    };
    this.listen(body, 'keydown', (/** @type {KeyboardEvent} */ event) => {
      if (event.key === 'Enter' && (event.metaKey || event.ctrlKey)) void submit(event);
    });
    this.replaceChildren(
      h(
        'form',
        { class: 'publish', on: { submit } },
        h('p', null, t('publish.to'), ' ', h('code', null, this.topic)),
        h('div', { class: 'publish-body' }, field(t('publish.body'), body, t('publish.body.hint')), field(t('publish.kind'), kind)),
        h(
          'div',
          { class: 'publish-grid' },
          field(t('col.key'), key, t('publish.key.hint')),
          field(t('publish.durable'), durable, t('publish.durable.hint')),
          field(t('publish.expires'), expires, t('publish.expires.hint')),
          field(t('col.content'), content, t('publish.content.hint')),
        ),
        field(t('feed.headers'), headers, t('publish.headers.hint')),
        h('div', { class: 'toolbar' }, button),
        result,
      ),
    );
  }
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
