// Where the console begins: settings, who is there, then the sign-in page or the shell.

import './components/notices.js';
import './views/shell.js';
import './views/sign-in.js';
import { setPassword } from './views/account.js';
import { comeIn, enterAsGuest, forget, guestLogin, look, me } from './lib/account.js';
import { token } from './lib/admin.js';
import { startChat, stopChat } from './lib/im/im.js';
import { clearGauges, keepGauges, takeFigures } from './lib/gauges.js';
import { t } from './lib/i18n.js';
import { line } from './lib/line.js';
import { notices, tell, warn } from './lib/notices.js';
import { clearPeople, followPeople } from './lib/people.js';
import { applySettings, language } from './lib/settings.js';
import { startAlerts } from './lib/alerts.js';
import { find } from './lib/dom.js';

applySettings();
const app = find(document, '#app');
document.body.append(document.createElement('y-notices'));
startAlerts();

/** The token and name that the connection was made with. @type {string | null} */
let lineOf = null;
/** @type {import('./lib/line.js').Listening | null} */
let metrics = null;

me.watch((who) => {
  const wanted = who ? `${who.user} ${token.value}` : null;
  if (lineOf !== wanted) {
    if (lineOf !== null) {
      stopChat(!who);
      clearPeople();
      metrics?.end();
      metrics = null;
      line.stop();
      clearGauges();
    }
    lineOf = wanted;
    // What was said to somebody else, or before signing in, is over.
    if (who) notices.value = [];
    if (who) {
      line.start({ token: token.value, guest: who.guest ? guestLogin() : null });
      void startChat();
      if (who.admin) {
        followPeople();
        keepGauges();
        metrics = line.subscribe(
          '$SYS/metrics',
          { state: true },
          {
            record: (record) => takeFigures(/** @type {import('./lib/gauges.js').Figures} */ (record.data)),
            failed: () => undefined,
          },
        );
      }
    }
  }
  draw();
});
language.hear(draw);

// A connection that is refused for good: guests are sent back to the door, others may have an expired token.
line.state.hear(({ phase, reason }) => {
  if (phase !== 'refused' || !me.value) return;
  if (me.value.guest && guestLogin()) {
    // It may take nobodies where it does not take named guests.
    enterAsGuest('');
  } else if (me.value.guest) {
    forget();
    warn(t('signin.guest.refused'), reason);
  } else void look().catch(() => undefined);
});

function draw() {
  const who = me.value;
  if (who === undefined) return;
  const wanted = who ? 'y-shell' : 'y-sign-in';
  app.replaceChildren(document.createElement(wanted));
}

async function begin() {
  try {
    const byLink = await comeIn();
    if (byLink && me.value?.account && !me.value.hasPassword)
      tell(t('signin.welcome', { user: me.value.user }), { label: t('account.password.set'), run: setPassword });
  } catch (error) {
    if (me.value === undefined) {
      // The server is not there; it is asked again until it is.
      app.textContent = t('error.unreachable');
      app.className = 'empty';
      setTimeout(() => {
        app.className = '';
        void begin();
      }, 2000);
      return;
    }
    warn(t('signin.link.bad'), t('signin.link.advice'));
  }
}

// A sign-in link opened in a page that is already here only changes the part behind #.
addEventListener('hashchange', () => {
  if (/^#(?:link|ticket)=/.test(location.hash)) void begin();
});
void begin();
