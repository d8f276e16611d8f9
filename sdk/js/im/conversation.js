// @ts-check
/**
 * One conversation: its messages, and what can be done there.
 *
 * @module yizhan/im/conversation
 */

import { Emitter } from '../yizhan.js';
import { Window } from './window.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Content} Content */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Member} Member */
/** @typedef {import('./types.js').Role} Role */
/** @typedef {import('./outbox.js').SendOptions} SendOptions */
/** @typedef {import('./outbox.js').Outbox} Outbox */
/** @typedef {import('./entries.js').Conversations} Conversations */
/** @typedef {import('./people.js').Ask} Ask */
/**
 * How far a message of mine is. `delivered` and `read`: to everybody else there.
 * @typedef {'pending' | 'failed' | 'sent' | 'delivered' | 'read'} SendState
 */
/**
 * A message as it is shown.
 * @typedef {object} Showing
 * @property {string} key The same for a message as long as it is here, also while it is sent.
 * @property {boolean} mine
 * @property {SendState} [state] Of mine only. Those that are `pending` or `failed` have `seq` 0.
 * @property {import('./files.js').Progress} [progress] While its file is uploaded.
 * @property {Blob} [file] While it is uploaded, to show it.
 * @property {import('../yizhan.js').YizhanError} [error] Why it failed.
 */
/** @typedef {Message & Showing} Shown */
/**
 * @typedef {object} LoadOptions
 * @property {boolean | number} [before] Older ones: before the first that is here, or before a number.
 * @property {boolean} [after] Newer ones, where the newest are not here.
 * @property {number} [around] Instead of what is here: what is around a number. Newer and older ones can be loaded then.
 * @property {number} [limit] How many. Default 50.
 */
/**
 * @typedef {object} ConversationEvents
 * @property {Conversation} change Messages, entry, or states changed. At most once in a moment.
 * @property {string[]} typing Who types now.
 * @property {Change} event Something changed here that a timeline may show.
 * @property {any} command A command that somebody sent: `{from, data}`.
 */
/**
 * What a conversation needs.
 * @typedef {object} ConversationOutside
 * @property {Ask} ask
 * @property {Conversations} entries
 * @property {Outbox} outbox
 * @property {() => string | undefined} me
 * @property {(id: string, seq: number) => void} read Tells the server how far I have read, soon.
 * @property {(id: string) => void} save The window changed.
 */

const PAGE = 50;
/** Where more is missing than this, the newest are loaded instead of all. */
const FILL_MAX = 1_000;
/** Messages and changes in one answer while catching up. */
const FILL_PAGE = 200;
/** More changes than that are not read one by one. */
const CHANGES_MAX = 1_000;
/** Notices that are remembered. */
const NOTICES_MAX = 200;
/** While I type, others are told so often, ms. */
const TYPING_EVERY = 3_000;
/** Somebody of whom nothing more is heard has stopped, ms. */
const TYPING_LASTS = 6_000;
/** Changes that a timeline shows. */
const NOTICES = new Set(['members', 'role', 'mute', 'info', 'pin', 'dismiss']);

/**
 * A conversation of an {@link Im}. Until {@link open} is called it has no messages.
 * @extends {Emitter<ConversationEvents>}
 */
export class Conversation extends Emitter {
  #outside;
  #window = new Window();
  /** Whether the window's end is the conversation's. */
  #attached = true;
  /** Whether somebody looks at it. */
  #isOpen = false;
  /** @type {Promise<void> | undefined} */
  #filling;
  /** Whether to look again after that. */
  #fillAgain = false;
  /** @type {Promise<void> | undefined} */
  #opening;
  /** The newest number that was seen of it. */
  #newest = 0;
  /** @type {Shown[] | undefined} */
  #shown;
  /** @type {Map<string, {of: Message, state: SendState | undefined, shown: Shown}>} */
  #showing = new Map();
  /** Keys of my messages, which are known by their ids while they are sent. @type {Map<number, string>} */
  #keys = new Map();
  /** @type {Change[]} */
  #notices = [];
  #noticesLoaded = false;
  /** Counts jumps, to the newest messages or elsewhere: the last one counts. */
  #jump = 0;
  /** The last change that was told. */
  #changeTold = 0;
  #told = false;
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #typers = new Map();
  #typedAt = 0;

  /** @param {string} id @param {ConversationOutside} outside */
  constructor(id, outside) {
    super();
    this.id = id;
    this.#outside = outside;
  }

  // -- What it is

  /** What is known of it; `undefined` where I am not in it (any more). @returns {Entry | undefined} */
  get entry() {
    return this.#outside.entries.get(this.id);
  }

  /** What somebody who opens it sees: messages without a hole, then those on their way. @returns {Shown[]} */
  get messages() {
    this.#shown ??= this.#show();
    return this.#shown;
  }

  /** What happened here besides messages, oldest first. `after` says behind which message. */
  get notices() {
    return this.#notices;
  }

  /** Whether there is nothing older than the first message here. */
  get atStart() {
    return this.#window.atStart;
  }

  /** Whether the newest message is here. Not after `load({around})`. */
  get atEnd() {
    return this.#attached;
  }

  /** Whether it was opened, and messages are here. */
  get loaded() {
    return this.#window.loaded;
  }

  /** Who types now. */
  get typers() {
    return [...this.#typers.keys()];
  }

  /** How far a message of mine is. @param {number} seq @returns {SendState} */
  stateOf(seq) {
    const { read, delivered, others } = this.counts(seq);
    if (others === 0) return 'sent';
    return read >= others ? 'read' : delivered >= others ? 'delivered' : 'sent';
  }

  /** How many others have a message. Only where cursors are known: at most 100 members; else see {@link receipts}. @param {number} seq */
  counts(seq) {
    const me = this.#outside.me();
    const others = (this.entry?.cursors ?? []).filter(({ user }) => user !== me);
    return {
      read: others.filter(({ read = 0 }) => read >= seq).length,
      delivered: others.filter(({ read = 0, delivered = 0 }) => Math.max(read, delivered) >= seq).length,
      others: others.length,
    };
  }

  // -- Messages

  /**
   * Loads the newest messages, and keeps them up to date from now on. What a cache has is here at once.
   * @returns {Promise<void>} When the newest are here.
   */
  open() {
    this.#isOpen = true;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  /** Nobody looks at it any more: it is no longer kept up to date. */
  close() {
    this.#isOpen = false;
  }

  /** More messages. @param {LoadOptions} [options] @returns {Promise<void>} */
  async load({ before, after, around, limit = PAGE } = {}) {
    const window = this.#window;
    const { changed, round } = window;
    if (around !== undefined) return this.#loadAround(around, limit);
    if (before === undefined && !after) return this.#attached ? this.open() : this.#loadNewest();
    if (before !== undefined && before !== false) {
      const from = before === true ? window.low : before;
      if (window.atStart && from <= window.low) return undefined;
      const { messages, at_end: atStart, next } = await this.#history({ before: from, limit });
      if (round !== window.round) return undefined;
      if (from >= window.low || before === true) window.prepend(messages, atStart, next);
    } else if (!this.#attached) {
      const { messages, at_end: atEnd, next } = await this.#history({ after: window.high, limit });
      if (round !== window.round) return undefined;
      window.append(messages, next ?? 0);
      if (atEnd) this.#attached = true;
    }
    this.#rewind(changed);
    return this.#tell();
  }

  /**
   * Sends a message. It is in `messages` at once, goes out when there is a connection, also after a reload, and can be
   * sent again where the server refuses it.
   * @param {Content | string} content A string is a text.
   * @param {SendOptions} [options] @returns {Promise<Message>} When the server has it safely. Need not be waited for.
   */
  send(content, options = {}) {
    this.typing(false);
    return this.#outside.outbox.add(this.id, typeof content === 'string' ? { kind: 'text', text: content } : content, options);
  }

  /** Sends something to the programs of those who are here now. It is not kept, and not shown. @param {any} data */
  command(data) {
    return this.#do('send', { content: { kind: 'command', data } }, { once: true });
  }

  /** Sends one that failed again. @param {Shown | string} message It, or its id. */
  retry(message) {
    this.#outside.outbox.retry(idOf(message));
  }

  /** Gives up one that waits or failed. @param {Shown | string} message It, or its id. */
  discard(message) {
    this.#outside.outbox.discard(idOf(message));
  }

  /** Answers a message. @param {number} seq @param {Content | string} content @param {SendOptions} [options] @returns {Promise<Message>} */
  reply(seq, content, options) {
    return this.send({ ...(typeof content === 'string' ? { kind: 'text', text: content } : content), reply: seq }, options);
  }

  /** Changes a message of mine. @param {number} seq @param {Content | string} content */
  edit(seq, content) {
    return this.#do('edit', { seq, content: typeof content === 'string' ? { kind: 'text', text: content } : content });
  }

  /** What a message said before it was changed. @param {number} seq @returns {Promise<any>} */
  edits(seq) {
    return this.#do('edits', { seq });
  }

  /** Takes a message back, for everybody. @param {number} seq */
  recall(seq) {
    return this.#do('recall', { seq });
  }

  /** @param {number} seq @param {string} emoji @param {boolean} [on] */
  react(seq, emoji, on = true) {
    return this.#do('react', { seq, emoji, off: !on || undefined });
  }

  /** @param {number} seq @param {boolean} [on] */
  pin(seq, on = true) {
    return this.#do('pin', { seq, off: !on || undefined });
  }

  /** What is pinned. @returns {Promise<Message[]>} */
  async pins() {
    return (await this.#do('pins')).messages ?? [];
  }

  /** Removes messages for me. @param {number | number[]} seqs */
  async delete(seqs) {
    const all = [seqs].flat();
    await this.#do('delete', { seqs: all });
    if (this.#window.remove(all)) this.#tell();
  }

  /** Sends messages of this conversation to another one: one as it is, several merged. @param {number | number[]} seqs @param {string} to Its id. @param {string} [title] Of merged ones. @returns {Promise<Message>} */
  forward(seqs, to, title = '') {
    const items = [seqs].flat().map((seq) => ({ conversation: this.id, seq }));
    /** @type {Content} */
    const content = Array.isArray(seqs) ? { kind: 'merged', title, items } : { kind: 'forward', ...items[0] };
    return this.#outside.outbox.add(to, content, {});
  }

  /** One message, from here or from the server. @param {number} seq @returns {Promise<Message>} */
  async message(seq) {
    const answer = this.#window.get(seq) ?? (await this.#do('message', { seq }));
    return answer.message ?? answer;
  }

  /** A thread's messages. @param {number} seq Its first message. @param {{before?: number, after?: number, limit?: number}} [page] @returns {Promise<{messages: Message[], at_end: boolean, next?: number}>} */
  thread(seq, page = {}) {
    return this.#history({ thread: seq, ...page });
  }

  /** Messages of some kinds, such as pictures. @param {import('./types.js').ContentKind[]} kinds @param {{before?: number, limit?: number}} [page] @returns {Promise<{messages: Message[], at_end: boolean, next?: number}>} */
  ofKind(kinds, page = {}) {
    return this.#history({ kinds, ...page });
  }

  /** The files that were sent here, newest first. @param {{before?: string, limit?: number}} [page] @returns {Promise<{files: (import('./files.js').Uploaded & {name?: string, at?: number})[], next?: string}>} */
  sharedFiles(page = {}) {
    return this.#do('shared_files', page);
  }

  /** @param {string} text @param {Omit<import('./types.js').SearchOptions, 'text' | 'conversation'>} [options] @returns {Promise<import('./types.js').Hits>} */
  search(text, options = {}) {
    return this.#do('search', { text, ...options });
  }

  // -- Who has what

  /** I have read up to here, or up to the newest. Only ever goes forward; told to the server soon. @param {number} [seq] */
  markRead(seq = this.entry?.newest ?? 0) {
    if (this.#outside.entries.moveRead(this.id, seq)) this.#outside.read(this.id, seq);
    else if (this.entry?.marked_unread) this.settings({ marked_unread: false }).catch(() => {});
  }

  /** Who has read, not read, or got a message. @param {number} seq @param {{which?: 'read' | 'unread' | 'delivered', after?: string, limit?: number}} [options] @returns {Promise<import('./types.js').Receipts>} */
  receipts(seq, options = {}) {
    return this.#do('receipts', { seq, ...options });
  }

  /** I type, or have stopped. Call it at each key: others are told every three seconds. @param {boolean} [on] */
  typing(on = true) {
    const now = Date.now();
    if (on ? now - this.#typedAt < TYPING_EVERY : this.#typedAt === 0) return;
    this.#typedAt = on ? now : 0;
    this.#do('typing', { on }).catch(() => {});
  }

  // -- My own

  /** Changes what is mine about it. @param {import('./types.js').Settings} settings @returns {Promise<Entry>} */
  async settings(settings) {
    const entry = await this.#do('settings', settings);
    this.#outside.entries.take(entry);
    return entry;
  }

  /** What I have begun to write, on all my devices. */
  get draft() {
    return this.entry?.draft ?? '';
  }

  /** @param {string} text @returns {Promise<Entry>} */
  setDraft(text) {
    this.#outside.entries.patch(this.id, { draft: text || undefined });
    return this.settings({ draft: text });
  }

  /** Removes its messages for me, all or up to a number. @param {number} [through] */
  async clear(through = this.entry?.newest ?? 0) {
    await this.#do('clear', { through });
    this.#window.removeThrough(through);
    this.#tell();
  }

  // -- The group

  /** The entry with all facts. @returns {Promise<Entry>} */
  async info() {
    const entry = await this.#do('conversation');
    this.#outside.entries.take(entry);
    return entry;
  }

  /** @param {import('./types.js').UpdateOptions} changes @returns {Promise<Entry>} */
  async update(changes) {
    const entry = await this.#do('update', changes);
    this.#outside.entries.take(entry);
    return entry;
  }

  /** One page of its members. @param {{after?: string, limit?: number, role?: Role}} [page] @returns {Promise<{members: Member[], next?: string}>} */
  members(page = {}) {
    return this.#do('members', page);
  }

  /** @param {string[]} users @returns {Promise<{added: string[], invited: string[], failed: {user: string, reason: string}[]}>} */
  add(users) {
    return this.#do('add', { users });
  }

  /** @param {string[]} users @param {number} [banSeconds] They cannot come back before. */
  remove(users, banSeconds) {
    return this.#do('remove', { users, ban_s: banSeconds });
  }

  /** Who wants to join. @returns {Promise<any>} */
  requests() {
    return this.#do('requests');
  }

  /** @param {string} user @param {boolean} accept */
  decide(user, accept) {
    return this.#do('decide', { user, accept });
  }

  leave() {
    return this.#do('leave');
  }

  /** Makes a link to join by. @param {{expires_s?: number, uses?: number}} [options] @returns {Promise<{link: string}>} */
  link(options = {}) {
    return this.#do('link', options, { once: true });
  }

  /** No link leads here any more. */
  unlink() {
    return this.#do('unlink');
  }

  /** @param {string} user @param {'admin' | 'member'} role */
  setRole(user, role) {
    return this.#do('role', { user, role });
  }

  /** Makes somebody else its owner. @param {string} user */
  transfer(user) {
    return this.#do('transfer', { user });
  }

  /** Ends it for everybody. */
  dismiss() {
    return this.#do('dismiss');
  }

  /** Somebody may not speak for a while. @param {string} user @param {number} seconds 0: may speak again. */
  mute(user, seconds) {
    return this.#do('mute', { user, seconds });
  }

  /** @param {string} user @param {number} [seconds] */
  ban(user, seconds) {
    return this.#do('ban', { user, seconds });
  }

  /** @param {string} user */
  unban(user) {
    return this.#do('unban', { user });
  }

  /** Who is banned. @returns {Promise<any>} */
  banned() {
    return this.#do('banned');
  }

  /** Somebody may speak though all are muted. @param {string} user @param {boolean} [on] */
  allow(user, on = true) {
    return this.#do('allow', { user, off: !on || undefined });
  }

  /** A member's nickname and attributes; without `user`: mine. @param {{user?: string, nick?: string, attributes?: Record<string, any>}} facts */
  setMember(facts) {
    return this.#do('member', facts);
  }

  // -- Inside

  /** A message came. @internal @param {Message} message @param {boolean} [provisional] */
  take(message, provisional = false) {
    this.#newest = Math.max(this.#newest, message.seq);
    if (message.from === this.#outside.me() && message.content?.id) this.#keys.set(message.seq, message.content.id);
    this.#stopsTyping(message.from);
    if (!this.#window.loaded || !this.#attached) return;
    if (this.#window.add(message, provisional)) this.#tell();
    if (this.#window.hasHole) this.#fill();
  }

  /** Something changed. @internal @param {Change} change */
  change(change) {
    const seq = Number(change.seq) || 0;
    if (this.#window.loaded) {
      if (seq === 0 || seq === this.#window.changed + 1) this.#apply(change);
      else if (seq > this.#window.changed) this.#fill();
    }
  }

  /** Something that is not kept. @internal @param {Change} change */
  live(change) {
    if (change.event === 'typing' && change.user !== this.#outside.me()) this.#types(String(change.user), change.on === true);
    if (change.event === 'command') this.emit('command', change);
  }

  /** The entry changed. @internal */
  entryChanged() {
    this.#tell();
  }

  /** What waits to be sent changed. @internal */
  outboxChanged() {
    this.#tell();
  }

  /** Something may have been missed. @internal @returns {Promise<void> | undefined} */
  catchUp() {
    return this.#isOpen ? this.open() : undefined;
  }

  /** The server says that there is more. @internal */
  more() {
    if (this.#isOpen && this.#window.loaded && this.#attached) this.#fill();
  }

  /** @internal @param {number} count */
  save(count) {
    return this.#attached ? this.#window.save(count) : undefined;
  }

  /** @internal @param {import('./window.js').SavedWindow} saved */
  restore(saved) {
    if (this.#window.loaded) return;
    this.#window.restore(saved);
    this.#tell();
  }

  /** @internal */
  stop() {
    for (const timer of this.#typers.values()) clearTimeout(timer);
    this.#typers.clear();
  }

  /** Lists do not say everybody's cursors, and not every change; so the entry is read, too. */
  async #open() {
    const isHere = this.#window.loaded;
    if (isHere || !this.entry) await this.info();
    else this.info().catch(() => {});
    if (!isHere) return this.#loadNewest();
    // A cache keeps messages, not what happened besides them.
    this.#loadNotices(this.entry?.changed ?? 0).catch(() => {});
    return this.#attached ? this.#fill() : undefined;
  }

  async #loadNewest() {
    const jump = (this.#jump += 1);
    const entry = this.entry ?? (await this.info());
    const { messages, at_end: atStart, next } = await this.#history({ limit: PAGE });
    if (jump !== this.#jump) return;
    // What the entry knew is either in the answer or gone.
    this.#window.begin(messages, entry.newest, atStart, entry.changed);
    if (next !== undefined) this.#window.prepend([], false, next);
    this.#attached = true;
    this.#remember(messages);
    this.#tell();
    this.#loadNotices(entry.changed).catch(() => {});
    this.#rewind(entry.changed);
  }

  /** @param {number} around @param {number} limit */
  async #loadAround(around, limit) {
    const changed = this.entry?.changed ?? 0;
    const jump = (this.#jump += 1);
    const { messages, at_start: atStart } = await this.#history({ around, limit });
    if (jump !== this.#jump) return;
    this.#window.begin(messages, messages.at(-1)?.seq ?? around, atStart, changed);
    this.#attached = false;
    this.#remember(messages);
    this.#attached = this.#window.high >= (this.entry?.newest ?? 0);
    this.#rewind(changed);
    this.#tell();
  }

  /**
   * A page was taken in that says how things were when this many changes had been made. Those that came while it was
   * on its way are applied again: they could not know its messages, or were undone by it.
   * @param {number} changed
   */
  #rewind(changed) {
    this.#window.changed = Math.min(this.#window.changed, changed);
    if (!this.#attached) this.#fillChanges().catch(() => {});
    else if (this.#isBehind()) this.#fill();
  }

  #isBehind() {
    const { newest = 0, changed = 0 } = this.entry ?? {};
    return this.#window.hasHole || Math.max(this.#newest, newest) > this.#window.high || changed > this.#window.changed;
  }

  /**
   * One page. `next` is where it ended where there is more: there may be less on it than was asked for, even nothing.
   * @param {Record<string, any>} range @returns {Promise<{messages: Message[], at_end: boolean, at_start: boolean, next?: number}>}
   */
  async #history(range) {
    const { messages, at_end: atEnd, at_start: atStart, next } = await this.#do('history', range);
    return { messages: messages ?? [], at_end: atEnd === true, at_start: atStart === true, next };
  }

  /** Reads what is missing: messages after the window's end, and changes. One at a time. @returns {Promise<void>} */
  #fill() {
    this.#fillAgain = true;
    this.#filling ??= this.#fillAll().catch(() => {}).finally(() => (this.#filling = undefined));
    return this.#filling;
  }

  async #fillAll() {
    while (this.#fillAgain && this.#attached) {
      this.#fillAgain = false;
      const target = Math.max(this.#newest, this.entry?.newest ?? 0);
      const behind = (this.entry?.changed ?? 0) - this.#window.changed;
      if (target - this.#window.high > FILL_MAX || behind > CHANGES_MAX) {
        await this.#loadNewest();
        continue;
      }
      await this.#fillMessages(target);
      await this.#fillChanges();
      await this.#fillProvisional();
    }
  }

  /** @param {number} target */
  async #fillMessages(target) {
    while (this.#window.high < target || this.#window.hasHole) {
      const { changed, round } = this.#window;
      const { high } = this.#window;
      const { messages, at_end: atEnd, next } = await this.#history({ after: high, limit: FILL_PAGE });
      if (round !== this.#window.round) return;
      this.#remember(messages);
      // Where the server has no more, the numbers up to what was known before have no message (any more).
      this.#window.append(messages, atEnd ? target : (next ?? 0));
      this.#window.changed = Math.min(this.#window.changed, changed);
      this.#tell();
      if (atEnd || this.#window.high === high) break;
    }
  }

  async #fillChanges() {
    while ((this.entry?.changed ?? 0) > this.#window.changed) {
      const { changed: after, round } = this.#window;
      const { events = [], at_end: atEnd, next = 0 } = await this.#do('changes', { after, limit: FILL_PAGE });
      if (round !== this.#window.round) return;
      for (const change of events) if (Number(change.seq) > this.#window.changed) this.#apply(change);
      this.#window.changed = Math.max(this.#window.changed, next);
      if (atEnd || this.#window.changed === after) break;
    }
  }

  /** What we only have as we sent it, as the server has it. */
  async #fillProvisional() {
    for (const seq of this.#window.provisional) {
      const { changed } = this.#window;
      const answer = await this.#do('message', { seq }).catch(() => undefined);
      const message = answer?.message ?? answer;
      if (message?.seq !== seq || !this.#window.replace(message)) continue;
      this.#rewind(changed);
      this.#tell();
    }
  }

  /** @param {number} changed */
  async #loadNotices(changed) {
    if (this.#noticesLoaded || changed === 0) return;
    this.#noticesLoaded = true;
    const asked = this.#do('changes', { after: Math.max(0, changed - FILL_PAGE), limit: FILL_PAGE });
    const { events = [] } = await asked.catch((error) => {
      this.#noticesLoaded = false;
      throw error;
    });
    const known = new Set(this.#notices.map(({ seq }) => seq));
    const fresh = events.filter((/** @type {Change} */ change) => NOTICES.has(change.event) && !known.has(change.seq));
    this.#notices = [...fresh, ...this.#notices].sort((a, b) => (a.seq ?? 0) - (b.seq ?? 0)).slice(-NOTICES_MAX);
    if (fresh.length > 0) this.#tell();
  }

  /** @param {Change} change */
  #apply(change) {
    const seq = Number(change.seq) || 0;
    this.#window.changed = Math.max(this.#window.changed, seq);
    this.#window.apply(change, this.#outside.me());
    this.#tell();
    if (seq > 0 && seq <= this.#changeTold) return; // Read again, for messages that came late.
    this.#changeTold = Math.max(this.#changeTold, seq);
    if (NOTICES.has(change.event)) this.#notices = [...this.#notices, change].slice(-NOTICES_MAX);
    this.emit('event', change);
  }

  /** @param {Message[]} messages */
  #remember(messages) {
    const me = this.#outside.me();
    for (const { seq, from, content } of messages) if (from === me && content?.id) this.#keys.set(seq, content.id);
  }

  /** @returns {Shown[]} */
  #show() {
    const me = this.#outside.me();
    const sent = this.#window.messages.map((message) => {
      const mine = message.from === me;
      const key = (mine && this.#keys.get(message.seq)) || `#${message.seq}`;
      return this.#shownAs(key, message, mine, mine ? this.stateOf(message.seq) : undefined);
    });
    const there = new Set(this.#keys.values());
    const waiting = (this.#attached ? this.#outside.outbox.of(this.id) : []).filter(({ row }) => !there.has(row.id));
    return [...sent, ...waiting.map(({ row, state, progress, error }) => ({
      conversation: this.id, seq: 0, at: row.at, from: me ?? '', content: row.content, key: row.id, mine: true, state, progress, file: row.file, error,
    }))];
  }

  /** The same object as long as nothing of it changes. @param {string} key @param {Message} of @param {boolean} mine @param {SendState | undefined} state @returns {Shown} */
  #shownAs(key, of, mine, state) {
    const known = this.#showing.get(key);
    if (known?.of === of && known.state === state) return known.shown;
    const shown = { ...of, key, mine, state };
    this.#showing.set(key, { of, state, shown });
    return shown;
  }

  /** @param {string} user @param {boolean} on */
  #types(user, on) {
    if (!on) return this.#stopsTyping(user);
    clearTimeout(this.#typers.get(user));
    this.#typers.set(user, setTimeout(() => this.#stopsTyping(user), TYPING_LASTS));
    this.emit('typing', this.typers);
  }

  /** @param {string} user */
  #stopsTyping(user) {
    if (!this.#typers.has(user)) return;
    clearTimeout(this.#typers.get(user));
    this.#typers.delete(user);
    this.emit('typing', this.typers);
  }

  #tell() {
    this.#shown = undefined;
    this.#outside.save(this.id);
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      this.#told = false;
      this.emit('change', this);
    });
  }

  /** @param {string} name @param {Record<string, any>} [data] @param {{once?: boolean}} [options] @returns {Promise<any>} */
  #do(name, data = {}, options) {
    return this.#outside.ask(name, { conversation: this.id, ...data }, options);
  }
}

/** @param {Shown | string} message */
const idOf = (message) => (typeof message === 'string' ? message : message.key);
