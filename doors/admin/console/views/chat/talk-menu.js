// What can be done with a conversation from the list and from its heading.

import { confirm } from '../../components/dialog.js';
import { chat, silent, titleOf } from '../../lib/im/im.js';
import { t } from '../../lib/i18n.js';
import { tell, warn } from '../../lib/notices.js';
import { go, route } from '../../lib/route.js';

/** @typedef {import('/sdk/im.js').Entry} Entry */

/** Says why something did not work. @param {unknown} error */
export function sayWhy(error) {
  warn(t('failed.do'), error instanceof Error ? error.message : String(error));
}

/**
 * Does something, and says so where it fails. Whether it worked.
 * @param {Promise<unknown> | (() => Promise<unknown>)} work
 * @param {string} [done] what to tell then
 */
export async function attempt(work, done) {
  try {
    await (typeof work === 'function' ? work() : work);
    if (done) tell(done);
    return true;
  } catch (error) {
    sayWhy(error);
    return false;
  }
}

/** @param {Entry} entry @returns {import('../../components/menu.js').Entry[]} */
export function talkMenu(entry) {
  const conversation = chat().conversation(entry.id);
  const set = (/** @type {import('/sdk/im/types.js').Settings} */ settings) => void attempt(conversation.settings(settings));
  return [
    entry.pinned_at
      ? { label: t('im.unpin'), icon: 'pin', run: () => set({ pinned: false }) }
      : { label: t('im.pin'), icon: 'pin', run: () => set({ pinned: true }) },
    silent(entry)
      ? { label: t('im.unmute'), icon: 'bell', run: () => set({ notify: 'all' }) }
      : { label: t('im.mute'), icon: 'bell-off', run: () => set({ notify: 'none' }) },
    ...(entry.kind === 'direct' || entry.notify === 'mentions' ? [] : [{ label: t('im.onlymentions'), icon: /** @type {const} */ ('at'), run: () => set({ notify: 'mentions' }) }]),
    entry.unread || entry.marked_unread
      ? { label: t('im.markread'), icon: 'check', run: () => conversation.markRead() }
      : { label: t('im.markunread'), icon: 'chat', run: () => set({ marked_unread: true }) },
    'line',
    { label: t('im.clear'), icon: 'trash', run: () => void clear(entry) },
    {
      label: t('im.hide'),
      icon: 'close',
      run: () => {
        set({ hidden: true });
        if (route.value[1] === entry.id) go('chat');
      },
    },
    ...(entry.kind === 'direct'
      ? []
      : [{ label: t('panel.leave'), icon: /** @type {const} */ ('leave'), danger: true, run: () => void leave(entry) }]),
  ];
}

/** @param {Entry} entry */
async function clear(entry) {
  if (!(await confirm({ title: t('im.clear'), text: t('im.clear.text'), yes: t('im.clear'), danger: true }))) return;
  await attempt(chat().conversation(entry.id).clear(), t('im.cleared'));
}

/** @param {Entry} entry */
export async function leave(entry) {
  const title = titleOf(entry);
  if (!(await confirm({ title: t('panel.leave.title', { title }), text: t('panel.leave.text'), yes: t('panel.leave'), danger: true }))) return;
  if (await attempt(chat().conversation(entry.id).leave())) go('chat');
}
