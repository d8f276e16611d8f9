// One device of somebody: an SDK client that does what people do, and comes and goes as devices do.
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { memoryCache, messageId, openIm } from '../../sdk/js/im.js';
import { connect } from '../../sdk/js/yizhan.js';
import { tokenOf } from './server.mjs';

const { WebSocket } = createRequire(new URL('../../sdk/js/package.json', import.meta.url))('ws');
const EMOJI = ['👍', '❤️', '😂'];
const ignore = () => {};

export class Device {
  constructor(world, user, number) {
    Object.assign(this, { world, user, number, generation: 0, cache: memoryCache(), mine: new Set(), edits: Promise.resolve() });
    this.begin();
  }

  get name() {
    return `${this.user}/${this.number}.${this.generation}`;
  }

  begin() {
    const device = this;
    const { ledger, server } = this.world;
    this.sockets = new Set();
    this.isOffline = false;
    /** A socket that can be torn, and that does not open while the device is offline. */
    class Torn extends WebSocket {
      constructor(url, protocols) {
        super(device.isOffline ? 'ws://127.0.0.1:1' : url, protocols);
        device.sockets.add(this);
        this.on('close', () => device.sockets.delete(this));
        this.on('error', ignore);
      }
    }
    this.client = connect(server.url, {
      WebSocket: Torn, transports: ['websocket'], token: tokenOf(this.user), device: `${this.user}-${this.number}-${this.generation}`, keep: 5,
      backoff: { first: 0.1, max: 1.5 }, timeout: 10,
    });
    // Cursors as the server says them: the SDK itself never lets one go back.
    const subscribe = this.client.subscribe.bind(this.client);
    this.client.subscribe = (...args) => {
      const subscription = subscribe(...args);
      const seen = new Map();
      subscription.on('record', ({ topic, data }) => {
        if (data?.event === 'cursors') for (const cursor of data.cursors) ledger.cursor(seen, topic.split('/')[2], cursor, this.name);
      });
      return subscription;
    };
    this.im = openIm(this.client, { cache: this.cache, platform: 'other', user: this.user });
    this.heard = new Set();
    this.im.on('message', ({ conversation, seq, content }) => {
      const key = `${conversation} ${seq}`;
      if (this.heard.has(key)) ledger.say(`${this.name} heard ${key} twice`);
      this.heard.add(key);
      const send = ledger.sends.get(content?.id);
      if (send && send.conversation !== conversation) ledger.say(`${content.id} of ${send.conversation} came in ${conversation}`);
    });
    this.im.on('error', (error) => this.world.verbose && console.log(this.name, error.message));
    const { im } = this;
    // One that is ended before it could begin has nothing to complain about.
    this.started = im.start().catch((error) => im.status === 'stopped' || ledger.say(`${this.name} did not start: ${error.message}`));
    // A device looks at some conversations, not at all.
    for (const id of this.world.conversationsOf(this.user)) if (this.world.random.chance(0.6)) this.im.conversation(id).open().catch(ignore);
  }

  /** The connection breaks. */
  tear() {
    this.world.ledger.counts.drops += 1;
    for (const socket of this.sockets) socket.terminate();
  }

  async beOffline(ms) {
    this.isOffline = true;
    this.tear();
    await pause(ms);
    this.isOffline = false;
    this.client.retry();
  }

  /** The page is loaded again: what the cache has is there. */
  async reload() {
    this.world.ledger.counts.reloads += 1;
    await this.end();
    this.begin();
  }

  /** Another device instead of this one: nothing is there but the server. */
  async switch() {
    this.world.ledger.counts.switches += 1;
    await this.end();
    for (const send of this.world.ledger.sends.values()) if (this.mine.has(send.id) && send.acked === undefined) send.lost = true;
    this.mine.clear();
    this.generation += 1;
    this.cache = memoryCache();
    this.begin();
  }

  async end() {
    await this.im.stop();
    this.client.close();
  }

  /** Does one thing. */
  async act() {
    const { random } = this.world;
    const id = random.pick(this.world.conversationsOf(this.user));
    const chat = this.im.conversation(id);
    const what = random.number();
    if (what < 0.55) this.send(chat);
    else if (what < 0.63) this.edit(chat);
    else if (what < 0.67) this.recall(chat);
    else if (what < 0.73) this.react(chat);
    else if (what < 0.85) {
      this.world.ledger.counts.read += 1;
      chat.markRead();
    } else if (what < 0.88) chat.load({ before: true }).catch(ignore);
    else if (what < 0.90) chat.open().catch(ignore);
    else if (what < 0.935) this.tear();
    else if (what < 0.955) await this.beOffline(random.between(200, 2_500));
    else if (what < 0.975) await this.reload();
    else if (what < 0.985) await this.switch();
    else chat.typing();
  }

  send(chat) {
    const { ledger, random } = this.world;
    const members = this.world.members.get(chat.id);
    const mentions = random.chance(0.15) ? [random.pick(members)] : undefined;
    const id = messageId();
    const text = `${this.name} ${ledger.counts.sent}${mentions ? ` @${mentions}` : ''}`;
    const send = ledger.send(id, chat.id, this.user, text, mentions);
    this.mine.add(id);
    chat.send({ kind: 'text', text, mentions, id }).then(({ seq }) => {
      if (send.acked !== undefined && send.acked !== seq) ledger.say(`${id} was told to be ${send.acked}, then ${seq}`);
      send.acked = seq;
    }, (error) => {
      if (error.code !== 900) ledger.say(`${id} of ${this.name} was refused: ${error.message}`);
    });
  }

  /** One that this device sent, so that nobody else changes it at the same time. */
  ownOf(chat) {
    const { ledger, random } = this.world;
    const all = chat.messages.filter(({ seq, content }) => seq > 0 && content && this.mine.has(content.id) && !ledger.recalls.has(content.id));
    return all.length > 0 ? random.pick(all.slice(-10)) : undefined;
  }

  edit(chat) {
    const { ledger } = this.world;
    const message = this.ownOf(chat);
    if (!message) return;
    const { id } = message.content;
    const text = `${message.content.text.split(' *')[0]} *${(ledger.edits.get(id)?.length ?? 0) + 1}`;
    const attempt = ledger.try(ledger.edits, id, text);
    ledger.counts.edited += 1;
    // One after the other: what is answered later was done later.
    this.edits = this.edits.then(() => chat.edit(message.seq, { kind: 'text', text, mentions: message.content.mentions })).then(() => (attempt.done = true), ignore);
  }

  recall(chat) {
    const { ledger } = this.world;
    const message = this.ownOf(chat);
    if (!message) return;
    const attempt = ledger.try(ledger.recalls, message.content.id, true);
    ledger.counts.recalled += 1;
    this.edits = this.edits.then(() => chat.recall(message.seq)).then(() => (attempt.done = true), ignore);
  }

  react(chat) {
    const { ledger, random } = this.world;
    const all = chat.messages.filter(({ seq, content }) => seq > 0 && content);
    if (all.length === 0) return;
    ledger.counts.reacted += 1;
    chat.react(random.pick(all.slice(-20)).seq, random.pick(EMOJI), random.chance(0.7)).catch(ignore);
  }
}
