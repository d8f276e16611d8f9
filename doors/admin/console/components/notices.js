// <y-notices>: what the page tells in passing, at its lower right.

import { Part, h, reconcile } from '../lib/dom.js';
import { t } from '../lib/i18n.js';
import { dismiss, notices } from '../lib/notices.js';
import { iconButton } from './bits.js';
import { icon } from './icon.js';

class Notices extends Part {
  begin() {
    this.className = 'notices';
    this.setAttribute('role', 'status');
    this.setAttribute('aria-live', 'polite');
    this.follow(notices, (list) =>
      reconcile(this, list, {
        key: (notice) => String(notice.id),
        form: () => '',
        make: (notice) =>
          h(
            'div',
            { class: `notice ${notice.kind}` },
            icon(notice.kind === 'bad' ? 'alert' : 'check'),
            h('b', null, notice.text),
            iconButton('close', t('close'), () => dismiss(notice.id)),
            notice.advice ? h('p', null, notice.advice) : null,
            notice.action
              ? h(
                  'button',
                  {
                    class: 'button small',
                    type: 'button',
                    on: {
                      click: () => {
                        dismiss(notice.id);
                        notice.action?.run();
                      },
                    },
                  },
                  notice.action.label,
                )
              : null,
          ),
      }),
    );
  }
}

customElements.define('y-notices', Notices);
