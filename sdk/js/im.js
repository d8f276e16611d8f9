// @ts-check
/**
 * Messaging: conversations, messages, receipts, people and files, on top of a connection.
 *
 * ```js
 * import { connect } from './yizhan.js';
 * import { openIm } from './im.js';
 * const im = openIm(connect('', { token: 'yz_…' }), { platform: 'web', cache: 'indexeddb' });
 * await im.start();
 * im.conversations.on('change', () => draw(im.conversations.all));
 * const chat = im.conversation(im.conversations.all[0].id);
 * chat.on('change', () => show(chat.messages));
 * await chat.open();
 * chat.send('hello');
 * ```
 *
 * It needs the files beside it in `im/`, and nothing else. What the server says is in docs/reference/im.md.
 *
 * @module yizhan/im
 */

import { CODES, Emitter, YizhanError } from './yizhan.js';
import { holdName, memoryCache, namesHeld, openCache } from './im/cache.js';
import { Conversation } from './im/conversation.js';
import { Conversations, isMentioned, notifyOf } from './im/entries.js';
import { Files } from './im/files.js';
import { Outbox, messageId } from './im/outbox.js';
import { People } from './im/people.js';
import { Room } from './im/room.js';

export { Conversation, Conversations, Files, Outbox, People, Room, isMentioned, memoryCache, messageId };

/** @typedef {import('./yizhan.js').Client} Client */
/** @typedef {import('./yizhan.js').Subscription} Subscription */
/** @typedef {import('./yizhan.js').StoredRecord} StoredRecord */
/** @typedef {import('./im/types.js').Entry} Entry */
/** @typedef {import('./im/types.js').Message} Message */
/** @typedef {import('./im/types.js').Content} Content */
/** @typedef {import('./im/types.js').Change} Change */
/** @typedef {import('./im/types.js').Profile} Profile */
/** @typedef {import('./im/types.js').Presence} Presence */
/** @typedef {import('./im/conversation.js').Shown} Shown */
/**
 * @typedef {object} ImOptions
 * @property {import('./im/types.js').Platform} [platform] What this is. Default `web`.
 * @property {string} [device] A name for this device, always the same. Default: the connection's, else one that is made up and kept in the cache.
 * @property {'indexeddb' | 'memory' | false | import('./im/cache.js').Cache} [cache] Where what is known is kept.
 *   Default `indexeddb`, and `memory` where there is none.
 * @property {string} [user] Who I am, where it is known before the connection: then the cache is shown at once, offline too,
 *   and what is sent before the first connection is kept.
 * @property {typeof fetch} [fetch] For files, instead of the global one.
 */
/**
 * @typedef {object} ImEvents
 * @property {Message} message A message came, mine on other devices too. Once each.
 * @property {{conversation: string, change: Change}} event Something changed in a conversation.
 * @property {Presence} presence Somebody came, went, or says something else.
 * @property {{message: Message, entry: Entry}} notify A message that should ring: not mine, not muted, or it mentions me.
 * @property {Change} own Something about me: friends, devices, a conversation that is gone.
 * @property {{status: ImStatus}} status
 * @property {{unread: number, mentions: number}} unread In all.
 * @property {YizhanError} error Something that went wrong beside what was asked for.
 */
/**
 * `starting`: nothing is known yet. `cached`: what an earlier visit knew is here. `updating`: connected, what was missed
 * is being read. `live`: up to date. `offline`: no connection.
 * @typedef {'starting' | 'cached' | 'updating' | 'live' | 'offline' | 'stopped'} ImStatus
 */

/** Entries in one answer. */
const LIST_PAGE = 100;
/** How long acknowledgements wait for others, ms. */
const GATHER = 150;
/** Conversations in one acknowledgement. */
const CURSORS_MAX = 1_000;
/** How long what changed waits until it is written into the cache, ms. */
const SAVE_AFTER = 400;
/** Messages of a conversation that are kept for the next visit. */
const SAVED_MESSAGES = 60;
/** Entries that are asked for one by one; where there are more, the list is read. */
const REFRESH_MAX = 20;
/** Until what could not be read is asked for again, ms. */
const AGAIN_AFTER = 2_000;

/**
 * Messaging over a connection. Made by {@link openIm}.
 * @extends {Emitter<ImEvents>}
 */
export class Im extends Emitter {
  #client;
  #options;
  #outbox;
  #tab = `yizhan-im-tab-${messageId()}`;
  /** @type {import('./im/cache.js').Cache | undefined} */
  #cache;
  /** Whether this tab writes what all tabs know. */
  #writes = false;
  /** @type {(() => void)[]} */
  #undo = [];
  /** @type {Map<string, Conversation>} */
  #open = new Map();
  /** @type {Map<string, any>} */
  #saved = new Map();
  /** @type {Promise<void> | undefined} */
  #starting;
  /** @type {Promise<void> | undefined} */
  #restoring;
  /** @type {Subscription | undefined} */
  #stream;
  /** @type {ImStatus} */
  #status = 'starting';
  /** The user whose cache is open. @type {string | undefined} */
  #me;
  /** The name that was made up for this device. @type {string | undefined} */
  #device;
  /** Where the list goes on. @type {any} */
  #sync;
  /** @type {Promise<void> | undefined} */
  #catching;
  #catchAgain = false;
  /** Whether the server knows this connection as a device of mine. */
  #attached = false;
  /** Counts connections. */
  #round = 0;
  /** What the server should hear. @type {Map<string, number>} */
  #delivered = new Map();
  /** What it has heard. @type {Map<string, number>} */
  #deliveredTold = new Map();
  /** @type {Map<string, number>} */
  #reads = new Map();
  /** @type {Set<string>} */
  #stale = new Set();
  /** @type {Set<string>} */
  #unsaved = new Set();
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #timers = new Map();
  #unreadTold = '';
  /** @type {() => void} */
  #makeAttached = () => {};
  /** @type {(error: unknown) => void} */
  #breakAttached = () => {};
  /** @type {Promise<void>} */
  #firstAttached = new Promise((resolve, reject) => {
    this.#makeAttached = resolve;
    this.#breakAttached = reject;
  });
  /** What the server allows, after the first connection. @type {Record<string, any>} */
  limits = {};
  /** All conversations of mine. */
  conversations;
  /** People: profiles, presence, friends. */
  people;
  /** Files over HTTP. */
  files;

  /** @param {Client} client @param {ImOptions} [options] */
  constructor(client, options = {}) {
    super();
    this.#client = client;
    this.#options = options;
    this.#firstAttached.catch(() => {});
    this.conversations = new Conversations((id) => this.#refresh(id), () => client.serverTime());
    this.conversations.on('change', ({ ids }) => this.#entriesChanged(ids));
    this.people = new People((name, data, how) => this.ask(name, data, how), (profile) => this.#write([{ store: 'people', key: profile.user, value: profile }]));
    this.files = new Files(client, options.fetch);
    this.#outbox = new Outbox({
      send: ({ conversation, content, id }) => this.ask('send', { conversation, content, id }),
      upload: (file, how) => this.files.upload(file, how),
      save: (id, row) => void this.#cache?.write([{ store: 'outbox', key: id, value: row }]).catch((error) => this.#wrong(error)),
      changed: (id) => this.#open.get(id)?.outboxChanged(),
      sent: (message) => this.#take(message, true),
      isOpen: () => client.status === 'open' && this.#attached,
      me: () => this.me,
      time: () => Math.round(client.serverTime()),
    }, this.#tab);
  }

  // -- State

  /** Who I am. */
  get me() {
    return this.#client.user ?? this.#me;
  }

  /** @returns {ImStatus} */
  get status() {
    return this.#status;
  }

  /** The connection. */
  get client() {
    return this.#client;
  }

  /** Unread messages and mentions in all. */
  get unread() {
    return this.conversations.unread;
  }

  /** How many messages wait to be sent. */
  get waiting() {
    return this.#outbox.waiting;
  }

  /** One conversation; the same object each time. @param {string} id */
  conversation(id) {
    const known = this.#open.get(id);
    if (known) return known;
    const conversation = new Conversation(id, {
      ask: (name, data, how) => this.ask(name, data, how), entries: this.conversations, outbox: this.#outbox, me: () => this.me,
      read: (which, seq) => this.#read(which, seq), save: (which) => this.#changed(which),
    });
    this.#open.set(id, conversation);
    const saved = this.#saved.get(id);
    if (saved?.window) conversation.restore(saved.window);
    return conversation;
  }

  /** A chatroom; call `enter()` next. @param {string} id */
  room(id) {
    return new Room(id, this.#client, (name, data, how) => this.ask(name, data, how), bodyOf);
  }

  // -- Coming and going

  /**
   * Begins. What an earlier visit knew is shown first.
   * @returns {Promise<void>} When the conversations are here and up to date; fails where the server refuses.
   */
  start() {
    this.#starting ??= this.#start();
    return this.#starting;
  }

  /** Ends: nothing more comes. The connection stays, what waits to be sent goes out at the next visit. */
  async stop() {
    if (this.#status === 'stopped') return;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    const saved = this.#save();
    this.#setStatus('stopped');
    this.#stream?.unsubscribe();
    this.#outbox.stop();
    this.people.stop();
    for (const conversation of this.#open.values()) conversation.stop();
    await Promise.all([saved, this.#restoring?.catch(() => {})]);
    for (const undo of this.#undo.splice(0)) undo();
    this.#cache?.close();
  }

  /** Ends, and forgets all that is kept here. For signing out. */
  async forget() {
    const cache = this.#cache;
    this.#writes = false;
    await cache?.clear();
    await this.stop();
  }

  /** Asks messaging anything. @param {string} name Without `im/`. @param {Record<string, any>} [data] @param {{once?: boolean}} [options] @returns {Promise<any>} */
  ask(name, data, options) {
    return this.#client.ask(`im/${name}`, data, options);
  }

  // -- Conversations

  /** The direct conversation with somebody; it is made where there is none. @param {string} user @returns {Promise<Conversation>} */
  async open(user) {
    return this.#enter(await this.ask('open', { user }));
  }

  /** Makes a group, channel or room. @param {import('./im/types.js').CreateOptions} options @returns {Promise<Conversation>} */
  async create(options) {
    return this.#enter(await this.ask('create', options, { once: true }));
  }

  /**
   * Joins by a conversation's id or a link.
   * @param {{conversation?: string, link?: string, text?: string}} how @returns {Promise<Conversation | undefined>} `undefined` where somebody
   *   has to accept it first.
   */
  async join(how) {
    const { joined, conversation } = await this.ask('join', how);
    return joined ? this.#enter(conversation) : undefined;
  }

  /** Where I was invited: `join` takes it, {@link decline} does not. @returns {Promise<{conversation: string, kind: string, title: string, members: number, by: string, at: number}[]>} */
  async invitations() {
    return (await this.ask('invitations')).invitations ?? [];
  }

  /** Does not come in where I was invited, or takes back that I asked to. @param {string} conversation */
  decline(conversation) {
    return this.ask('decline', { conversation });
  }

  /** Public groups by handle or title. @param {{text?: string, after?: string}} [options] @returns {Promise<any>} */
  discover(options = {}) {
    return this.ask('discover', options);
  }

  /** Searches all that I may see. @param {import('./im/types.js').SearchOptions} options @returns {Promise<import('./im/types.js').Hits>} */
  search(options) {
    return this.ask('search', options);
  }

  /** Tells those who look after this server about a message, a conversation or somebody. @param {{conversation?: string, seq?: number, user?: string, reason: string, text?: string}} report */
  report(report) {
    return this.ask('report', report);
  }

  // -- Devices

  /** Where I am signed in. @returns {Promise<import('./im/types.js').Device[]>} */
  async devices() {
    return (await this.ask('devices')).devices ?? [];
  }

  /** Signs out all my other devices. @returns {Promise<{ended: number}>} */
  logoutOthers() {
    return this.ask('logout_others');
  }

  // -- Files

  /** @param {Blob} file @param {import('./im/files.js').UploadOptions} [options] */
  upload(file, options) {
    return this.files.upload(file, options);
  }

  /** Where a file is. A page that cannot show an `Authorization` there takes {@link fileObject} or {@link fileLink}. @param {string} id @param {{thumb?: boolean}} [options] */
  fileUrl(id, options) {
    return this.files.url(id, options);
  }

  /** Removes a file that I uploaded: nobody can have it any more. @param {string} id */
  deleteFile(id) {
    return this.ask('file_delete', { file: id });
  }

  /** The same with a key in it, good for an hour: for players and links. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
  fileLink(id, options) {
    return this.files.signedUrl(id, options);
  }

  /** A file as an object URL, for `<img src>` and the like. @param {string} id @param {{thumb?: boolean}} [options] @returns {Promise<string>} */
  fileObject(id, options) {
    return this.files.objectUrl(id, options);
  }

  // -- Starting

  async #start() {
    const client = this.#client;
    this.#undo.push(client.on('welcome', () => this.#welcomed()), client.on('status', ({ status }) => this.#connection(status)));
    this.#listen();
    if (this.#options.user !== undefined) await (this.#restoring = this.#restore(this.#options.user));
    await client.ready;
    const user = this.me ?? '';
    if (this.#me !== user) {
      if (this.#me !== undefined) throw new YizhanError(202, `the connection is of '${user}', not of '${this.#me}'`);
      await (this.#restoring = this.#restore(user));
    }
    if (client.status === 'open' && !this.#attached) this.#welcomed();
    await this.#firstAttached;
    await this.#catchUp();
  }

  /** Hears when the page goes away: what is known is written down then. */
  #listen() {
    const target = /** @type {any} */ (globalThis);
    if (!target.document?.addEventListener) return;
    const hidden = () => target.document.visibilityState === 'hidden' && this.#save();
    target.document.addEventListener('visibilitychange', hidden);
    this.#undo.push(() => target.document.removeEventListener('visibilitychange', hidden));
  }

  /** Opens the cache of a user, and shows what is in it. @param {string} user */
  async #restore(user) {
    this.#me = user;
    this.conversations.setMe(user);
    const name = `yizhan-im ${user} ${this.#client.url}`;
    const cache = await openCache(this.#options.cache ?? 'indexeddb', name);
    this.#cache = cache;
    this.#outbox.save();
    const [facts, conversations, people] = await Promise.all([cache.all('facts'), cache.all('conversations'), cache.all('people')]);
    const known = new Map(facts);
    this.#sync = known.get('sync');
    this.#device = known.get('device');
    if (this.#device === undefined && this.#options.cache !== false) {
      this.#device = messageId().slice(0, 20);
      await cache.write([{ store: 'facts', key: 'device', value: this.#device }]);
    }
    for (const [id, saved] of conversations) this.#restoreConversation(id, saved);
    this.conversations.complete = this.#sync !== undefined;
    this.people.restore(people.map(([, profile]) => profile));
    this.#undo.push(holdName(this.#tab, () => {}), holdName(name, () => (this.#writes = true)));
    if (conversations.length > 0 && this.#status === 'starting') this.#setStatus('cached');
    await this.#takeLeft();
  }

  /** Sends what an earlier page or a closed tab left. What an open tab sends itself is left to it. */
  async #takeLeft() {
    const rows = (await this.#cache?.all('outbox')) ?? [];
    const held = await namesHeld();
    this.#outbox.restore(rows.map(([, row]) => row).filter(({ tab }) => tab !== this.#tab && !held.has(tab)));
  }

  /** @param {string} id @param {any} saved */
  #restoreConversation(id, saved) {
    if (!saved?.entry) return;
    this.#saved.set(id, saved);
    // The server may have been quicker than the cache.
    if (!this.conversations.get(id)) this.conversations.take(saved.entry);
    if (saved.delivered) this.#deliveredTold.set(id, saved.delivered);
    if (saved.reads) this.#reads.set(id, saved.reads);
    if (saved.window) this.#open.get(id)?.restore(saved.window);
  }

  /** @param {import('./yizhan.js').Status} status */
  #connection(status) {
    if (this.#status === 'stopped') return;
    if (status !== 'open') this.#attached = false;
    if (status === 'closed') this.#breakAttached(new YizhanError(CODES.CLOSED, 'the connection ended'));
    if (status === 'waiting' || status === 'closed') this.#setStatus(this.#status === 'starting' || this.#status === 'cached' ? this.#status : 'offline');
  }

  /** Connected, or connected again: says which device this is, and listens. */
  async #welcomed() {
    const round = (this.#round += 1);
    this.#attached = false;
    if (this.#status === 'stopped' || this.#me === undefined || this.#client.user !== this.#me) return;
    try {
      const { platform = 'web', device = this.#client.device ?? this.#device } = this.#options;
      const { stream, limits } = await this.ask('attach', { platform, device }, { once: true });
      if (round !== this.#round) return;
      this.#attached = true;
      this.limits = limits ?? {};
      if (!this.#stream) this.#subscribe(stream ?? streamOf(this.#me));
      this.#connected();
    } catch (error) {
      if (round !== this.#round || this.#client.status !== 'open') return;
      if (/** @type {YizhanError} */ (error).again === 'never') return this.#refused(error);
      this.#later('attach', AGAIN_AFTER, () => this.#welcomed());
    }
  }

  /** There is no messaging for us here. @param {unknown} error */
  #refused(error) {
    this.#breakAttached(error);
    this.#wrong(error);
  }

  /** Everything that waited for a connection. */
  #connected() {
    this.#makeAttached();
    this.#outbox.wake();
    this.#takeLeft().catch((error) => this.#wrong(error));
    this.people.forgetPresence();
    if (this.#reads.size > 0) this.#later('reads', 0, () => this.#tellReads());
    if (this.#delivered.size > 0) this.#later('delivered', 0, () => this.#tellDelivered());
    this.#catchUp().catch(() => {});
  }

  /** @param {string} stream */
  #subscribe(stream) {
    this.#stream = this.#client.subscribe(stream);
    this.#stream.on('record', (record) => this.#hear(record));
    this.#stream.on('subscribed', () => this.#catchUp().catch(() => {}));
    this.#stream.on('missed', () => this.#catchUp().catch(() => {}));
    this.#stream.on('end', (error) => error && this.#status !== 'stopped' && this.#wrong(error));
  }

  // -- Catching up

  /** Reads what was missed: the list, and what is open. One at a time. @returns {Promise<void>} */
  #catchUp() {
    this.#catchAgain = true;
    this.#catching ??= this.#catchAll().finally(() => (this.#catching = undefined));
    return this.#catching;
  }

  async #catchAll() {
    while (this.#catchAgain && this.#status !== 'stopped') {
      this.#catchAgain = false;
      if (this.#status !== 'live') this.#setStatus('updating');
      try {
        await this.#stream?.ready;
        await this.#readList();
        await Promise.all([...this.#open.values()].map((conversation) => this.#catchUpOne(conversation)));
      } catch (error) {
        const { again, code } = /** @type {YizhanError} */ (error);
        if (again === 'never' || this.#client.status === 'closed') throw error;
        // A new connection looks again by itself.
        if (code !== CODES.CLOSED || this.#client.status === 'open') this.#later('catch up', AGAIN_AFTER, () => this.#catchUp().catch(() => {}));
        return;
      }
    }
    if (this.#client.status === 'open') this.#setStatus('live');
  }

  /** @param {Conversation} conversation */
  async #catchUpOne(conversation) {
    try {
      await conversation.catchUp();
    } catch (error) {
      const { again, code } = /** @type {YizhanError} */ (error);
      if (again !== 'never') throw error;
      if (isGone(code)) this.#gone(conversation.id);
    }
  }

  async #readList() {
    const since = this.#sync;
    const listed = new Set();
    /** @type {any} */
    let sync;
    /** @type {any} */
    let after;
    do {
      const answer = await this.ask('list', { since, after, limit: LIST_PAGE });
      // What changes while the pages are read comes after the first one's place.
      sync ??= answer.sync;
      for (const entry of answer.conversations ?? []) {
        listed.add(entry.id);
        this.conversations.take(entry);
        this.#got(entry.id, entry.newest);
      }
      for (const id of answer.gone ?? []) this.#gone(id);
      after = answer.next;
    } while (after !== undefined && after !== null);
    if (since === undefined) for (const id of this.conversations.ids()) if (!listed.has(id)) this.#gone(id);
    this.#sync = sync;
    this.conversations.complete = true;
    this.#unsaved.add('');
    this.#later('save', SAVE_AFTER, () => this.#save());
  }

  /** An entry has to be read again, soon. @param {string} id */
  #refresh(id) {
    this.#stale.add(id);
    this.#soon('refresh', GATHER, () => this.#readStale());
  }

  async #readStale() {
    const ids = [...this.#stale];
    this.#stale.clear();
    if (this.#client.status !== 'open') return; // The list is read at the next connection.
    if (ids.length > REFRESH_MAX) return void this.#catchUp().catch(() => {});
    await Promise.all(ids.map(async (id) => {
      try {
        this.conversations.take(await this.ask('conversation', { conversation: id }));
      } catch (error) {
        const { code, again } = /** @type {YizhanError} */ (error);
        if (again === 'never' && isGone(code)) this.#gone(id);
      }
    }));
  }

  // -- What comes

  /** @param {StoredRecord} record */
  #hear(record) {
    const { topic } = record;
    const body = bodyOf(record);
    if (!body) return;
    if (topic === this.#stream?.filter) return this.#hearOwn(body);
    const [, id, kind] = /^im\/[cr]\/([^/]+)(?:\/(events|live))?$/.exec(topic) ?? [];
    if (id === undefined) return;
    if (kind === 'events') this.#hearChange(id, { seq: record.seq, at: record.at, ...body });
    else if (kind === 'live') this.#hearLive(id, body);
    else if (record.seq !== undefined) {
      const { seq, at, from = '', device } = record;
      this.#take({ conversation: id, seq, at, from, device, content: body }, false);
    }
  }

  /** A message, by the stream or as we sent it. @param {Message} message @param {boolean} provisional */
  #take(message, provisional) {
    const before = this.conversations.get(message.conversation);
    const isNew = this.conversations.add(message);
    const conversation = this.#open.get(message.conversation);
    conversation?.take(message, provisional);
    if (!provisional) this.#outbox.settle(message);
    if (!isNew) return;
    if (message.from !== this.me) this.#got(message.conversation, message.seq);
    this.emit('message', message);
    if (before && shouldRing(message, before, this.me, this.#client.serverTime())) {
      this.emit('notify', { message, entry: this.conversations.get(message.conversation) ?? before });
    }
  }

  /** @param {string} id @param {Change} change */
  #hearChange(id, change) {
    this.conversations.apply(id, change);
    this.#open.get(id)?.change(change);
    this.emit('event', { conversation: id, change });
  }

  /** @param {string} id @param {any} body */
  #hearLive(id, body) {
    if (body.event === 'cursors') this.conversations.moveCursors(id, body.cursors ?? []);
    this.#open.get(id)?.live(body);
  }

  /** @param {any} body */
  #hearOwn(body) {
    if (body.event === 'entry' && body.entry) {
      this.conversations.take(body.entry);
      this.#got(body.entry.id, body.entry.newest);
      this.#open.get(body.entry.id)?.more();
    } else if (body.event === 'read') this.#readElsewhere(body);
    else if (body.event === 'gone') this.#gone(body.conversation);
    this.people.hear(body);
    if (body.event === 'presence') this.emit('presence', body);
    else if (!['entry', 'unread', 'read'].includes(body.event)) this.emit('own', body);
  }

  /** @param {{conversation: string, read: number, unread: number, mentions: number}} body */
  #readElsewhere({ conversation, read, unread, mentions }) {
    this.conversations.moveRead(conversation, read);
    const entry = this.conversations.get(conversation);
    if (entry && (entry.unread !== unread || entry.mentions !== mentions)) this.#refresh(conversation);
  }

  /** @param {string} id */
  #gone(id) {
    this.conversations.remove(id);
    this.#delivered.delete(id);
    this.#reads.delete(id);
    this.#open.get(id)?.entryChanged();
  }

  /** @param {Entry} entry */
  #enter(entry) {
    this.conversations.take(entry);
    return this.conversation(entry.id);
  }

  /** @param {string[]} ids */
  #entriesChanged(ids) {
    for (const id of ids) {
      this.#open.get(id)?.entryChanged();
      this.#changed(id);
    }
    const unread = this.unread;
    const told = `${unread.unread} ${unread.mentions}`;
    if (told === this.#unreadTold) return;
    this.#unreadTold = told;
    this.emit('unread', unread);
  }

  // -- What the server should hear

  /** This device has messages up to here. @param {string} id @param {number} seq */
  #got(id, seq) {
    if (seq <= Math.max(this.#deliveredTold.get(id) ?? 0, this.#delivered.get(id) ?? 0)) return;
    this.#delivered.set(id, seq);
    this.#soon('delivered', GATHER, () => this.#tellDelivered());
  }

  async #tellDelivered() {
    if (this.#client.status !== 'open' || this.#delivered.size === 0) return;
    const some = [...this.#delivered].slice(0, CURSORS_MAX);
    for (const [id] of some) this.#delivered.delete(id);
    const cursors = Object.fromEntries(some);
    try {
      await this.ask('delivered', { cursors });
      for (const [id, seq] of Object.entries(cursors)) this.#deliveredTold.set(id, Math.max(seq, this.#deliveredTold.get(id) ?? 0));
      if (this.#delivered.size > 0) this.#soon('delivered', GATHER, () => this.#tellDelivered());
    } catch (error) {
      if (/** @type {YizhanError} */ (error).again === 'never') return this.#wrong(error);
      for (const [id, seq] of Object.entries(cursors)) this.#delivered.set(id, Math.max(seq, this.#delivered.get(id) ?? 0));
      this.#later('delivered', AGAIN_AFTER, () => this.#tellDelivered());
    }
  }

  /** @param {string} id @param {number} seq */
  #read(id, seq) {
    this.#reads.set(id, Math.max(seq, this.#reads.get(id) ?? 0));
    this.#changed(id);
    this.#soon('reads', GATHER, () => this.#tellReads());
  }

  async #tellReads() {
    if (this.#client.status !== 'open') return;
    const reads = [...this.#reads];
    await Promise.all(reads.map(async ([conversation, seq]) => {
      try {
        const { unread } = await this.ask('read', { conversation, seq });
        if (this.#reads.get(conversation) === seq) this.#reads.delete(conversation);
        // A count that does not fit may be of another moment than ours: the entry says both at once.
        if (unread !== this.conversations.get(conversation)?.unread) this.#refresh(conversation);
      } catch (error) {
        if (/** @type {YizhanError} */ (error).again === 'never') this.#reads.delete(conversation);
        else this.#later('reads', AGAIN_AFTER, () => this.#tellReads());
      }
    }));
  }

  // -- What is kept

  /** @param {string} id */
  #changed(id) {
    this.#unsaved.add(id);
    this.#soon('save', SAVE_AFTER, () => this.#save());
  }

  async #save() {
    if (!this.#writes || this.#unsaved.size === 0) return;
    const ids = [...this.#unsaved];
    this.#unsaved.clear();
    /** @type {import('./im/cache.js').Write[]} */
    const writes = ids.filter((id) => id !== '').map((id) => ({ store: 'conversations', key: id, value: this.#savedOf(id) }));
    if (ids.includes('')) writes.push({ store: 'facts', key: 'sync', value: this.#sync });
    await this.#write(writes);
  }

  /** @param {string} id */
  #savedOf(id) {
    const entry = this.conversations.get(id);
    if (!entry) return undefined;
    const window = this.#open.get(id)?.save(SAVED_MESSAGES) ?? this.#saved.get(id)?.window;
    const saved = { entry, window, delivered: this.#deliveredTold.get(id), reads: this.#reads.get(id) };
    this.#saved.set(id, saved);
    return saved;
  }

  /** @param {import('./im/cache.js').Write[]} writes */
  async #write(writes) {
    if (!this.#writes) return;
    try {
      await this.#cache?.write(writes);
    } catch (error) {
      this.#wrong(error);
    }
  }

  // -- Small things

  /** @param {ImStatus} status */
  #setStatus(status) {
    if (status === this.#status || this.#status === 'stopped') return;
    this.#status = status;
    this.emit('status', { status });
  }

  /** @param {unknown} error */
  #wrong(error) {
    if (this.#status === 'stopped' || (error instanceof YizhanError && error.code === CODES.CLOSED)) return;
    this.emit('error', error instanceof YizhanError ? error : new YizhanError(CODES.CLOSED, String(error), 'soon'));
  }

  /** Once, after a while; a later call puts it off. @param {string} name @param {number} ms @param {() => unknown} run */
  #later(name, ms, run) {
    if (this.#status === 'stopped') return;
    clearTimeout(this.#timers.get(name));
    this.#timers.set(name, setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, ms));
  }

  /** Once, after a while; a later call changes nothing. @param {string} name @param {number} ms @param {() => unknown} run */
  #soon(name, ms, run) {
    if (!this.#timers.has(name)) this.#later(name, ms, run);
  }
}

/** Whether a refusal says that a conversation is not, or no longer, one of mine. @param {number} code */
const isGone = (code) => code === 610 || code === 613 || code === 620 || code === 632;

/** A person's stream. @param {string} user */
function streamOf(user) {
  return `im/u/${user.replace(/[/+#%\x00-\x1f\x7f]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)}`;
}

/** @param {StoredRecord} record @returns {any} */
function bodyOf({ data, text }) {
  if (typeof data === 'object' && data !== null) return data;
  try {
    const body = text === undefined ? undefined : JSON.parse(text);
    return typeof body === 'object' && body !== null ? body : undefined;
  } catch {
    return undefined;
  }
}

/** @param {Message} message @param {Entry} entry @param {string | undefined} me @param {number} now */
function shouldRing(message, entry, me, now) {
  if (message.from === me || message.seq <= entry.read || !message.content) return false;
  const notify = notifyOf(entry, now);
  return notify === 'all' || (notify === 'mentions' && isMentioned(message, me));
}

/** Messaging over a connection. Call `start()` next. @param {Client} client @param {ImOptions} [options] */
export function openIm(client, options) {
  return new Im(client, options);
}
