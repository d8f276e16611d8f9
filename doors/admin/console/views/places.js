// The list of views: which there are for whom, in the order of the sidebar.

import './account.js';
import './accounts.js';
import './audit.js';
import './bans.js';
import './charts.js';
import './chat.js';
import './help.js';
import './im-admin.js';
import './live.js';
import './overview.js';
import './people.js';
import './queues.js';
import './sessions.js';
import './spaces.js';
import './topics.js';
import { me } from '../lib/account.js';
import { t } from '../lib/i18n.js';

/** @typedef {{view: string, element: string, icon: import('../components/icon.js').IconName, text: string, short?: string}} Place */

/** @returns {{heading: string, items: Place[]}[]} */
export function places() {
  const who = me.value;
  const admin = who?.admin ?? false;
  /** @param {Place[]} items @param {boolean} [there] */
  const only = (items, there = true) => (there ? items : []);
  return [
    {
      heading: '',
      items: [
        ...only([{ view: 'overview', element: 'y-overview', icon: 'overview', text: t('nav.overview') }], admin),
        { view: 'chat', element: 'y-chat', icon: 'chat', text: t('nav.chat') },
        ...only([{ view: 'people', element: 'y-people', icon: 'accounts', text: t('nav.contacts') }], !who?.guest),
      ],
    },
    {
      heading: t('nav.flow'),
      items: [
        { view: 'live', element: 'y-live', icon: 'broadcast', text: t('nav.live') },
        { view: 'topics', element: 'y-topics', icon: 'topics', text: t('nav.topics') },
        ...only([{ view: 'sessions', element: 'y-sessions', icon: 'sessions', text: t('nav.sessions') }], !who?.guest),
        ...only(
          [
            { view: 'queues', element: 'y-queues', icon: 'queues', text: t('nav.queues') },
            { view: 'charts', element: 'y-charts', icon: 'charts', text: t('nav.charts') },
            { view: 'spaces', element: 'y-spaces', icon: 'spaces', text: t('nav.spaces') },
          ],
          admin,
        ),
      ],
    },
    {
      heading: t('nav.people'),
      items: [
        ...only(
          [
            { view: 'accounts', element: 'y-accounts', icon: 'accounts', text: t('nav.accounts') },
            { view: 'bans', element: 'y-bans', icon: 'ban', text: t('nav.bans') },
            { view: 'im', element: 'y-im', icon: 'shield', text: t('nav.im') },
            { view: 'audit', element: 'y-audit', icon: 'audit', text: t('nav.audit') },
          ],
          admin,
        ),
        ...only(
          [
            {
              view: 'account',
              element: 'y-account',
              icon: 'key',
              text: t('nav.account'),
              short: t('nav.account.short'),
            },
          ],
          !who?.guest,
        ),
        { view: 'help', element: 'y-help', icon: 'help', text: t('nav.help') },
      ],
    },
  ];
}
