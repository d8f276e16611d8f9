// Telling the operators about a message, a person or a conversation.

import { field } from '../../components/bits.js';
import { ask } from '../../components/dialog.js';
import { h } from '../../lib/dom.js';
import { chat } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell } from '../../lib/notices.js';

export const REASONS = /** @type {const} */ (['spam', 'abuse', 'fraud', 'nsfw', 'illegal', 'other']);

/** @param {{conversation?: string, seq?: number, user?: string}} what */
export function report(what) {
  const reason = h('select', { class: 'input' }, REASONS.map((name) => h('option', { value: name }, t(`report.${name}`))));
  const text = h('textarea', { class: 'input', maxLength: 1000, rows: 3 });
  ask({
    title: t('report.title'),
    text: t('report.text'),
    fields: [field(t('report.reason'), reason), field(t('report.more'), text)],
    yes: t('report.title'),
    send: async () => {
      await chat().report({ ...what, reason: reason.value, ...(text.value.trim() && { text: text.value.trim() }) });
      tell(t('report.done'));
    },
  });
}
