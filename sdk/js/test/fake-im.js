// A scripted server with messaging: the contract's essentials in memory, and faults on demand.
import { FakeServer } from './fake.js';

const refuse = (code, reason) => ({ type: 'error', code, reason, again: 'never' });

export class FakeIm {
  /** Users are known by their token, which is their name. */
  static async start(t, options = {}) {
    const im = new FakeIm();
    im.server = await FakeServer.start(t, options);
    const { answers } = im.server;
    answers.hello = (command, talk) => {
      talk.user = command.token;
      if (command.resume) return refuse(301, 'no such session');
      return im.server.welcome(command, talk, { user: talk.user, limits: { frame: 1_048_576, subscriptions: 10 } });
    };
    answers.subscribe = ({ sub, filter }, talk) => {
      talk.stream = { sub, filter, n: 0 };
      return { type: 'subscribed', sub, pos: [], missed: 0 };
    };
    answers.ask = (command, talk) => im.answer(command, talk);
    return im;
  }

  constructor() {
    this.conversations = new Map();
    this.clock = 1_000;
    this.sync = 0;
    this.asked = [];
    /** Whether this record is lost on its way, without a word. */
    this.loses = () => false;
    /** Whether the connection drops before the answer (the deed is done). */
    this.drops = () => false;
    this.refuses = () => undefined;
  }

  time() {
    return (this.clock += 1);
  }

  make(id, kind, members) {
    const conversation = {
      id, kind, title: kind === 'direct' ? '' : id, members: new Map(), messages: [], events: [], ids: new Map(), version: 1, active: this.time(),
    };
    for (const user of members) conversation.members.set(user, { read: 0, delivered: 0, settings: {}, hidden: new Set(), role: 'member' });
    this.conversations.set(id, conversation);
    this.touch(conversation);
    for (const user of members) this.tellOwn(user, { event: 'entry', entry: this.entry(conversation, user) });
    return conversation;
  }

  /** Something changed for one member, or for all. */
  touch(conversation, user) {
    this.sync += 1;
    for (const [name, member] of conversation.members) if (user === undefined || name === user) member.sync = this.sync;
  }

  entry(conversation, user) {
    const { id, kind, members, messages, events, version } = conversation;
    const member = members.get(user);
    const unread = messages.filter(({ seq, from, recalled }) => seq > member.read && from !== user && !recalled);
    return {
      id, topic: `im/c/${id}`, kind, title: conversation.title, peer: kind === 'direct' ? [...members.keys()].find((name) => name !== user) : undefined,
      members: members.size, newest: messages.length, changed: events.length, version, active_at: conversation.active,
      last: this.seen(messages.at(-1)), unread: unread.length, read: member.read, role: member.role,
      mentions: unread.filter(({ content }) => content.mentions?.includes(user)).length,
      cursors: [...members].map(([name, { read, delivered }]) => ({ user: name, read, delivered })), ...member.settings,
    };
  }

  seen(message) {
    if (!message) return undefined;
    const { history, ...rest } = message;
    return structuredClone(rest);
  }

  talksOf(user) {
    return this.server.talks.filter((talk) => talk.user === user && talk.stream && talk.isOpen?.());
  }

  deliver(user, record) {
    for (const talk of this.talksOf(user)) {
      if (this.loses(record, talk)) continue;
      talk.stream.n += 1;
      talk.send({ type: 'records', sub: talk.stream.sub, n: talk.stream.n, records: [{ at: this.clock, ...structuredClone(record) }] });
    }
  }

  tellOwn(user, body) {
    this.deliver(user, { topic: `im/u/${user}`, data: body });
  }

  tellAll(conversation, record) {
    for (const user of conversation.members.keys()) this.deliver(user, record);
  }

  event(conversation, body) {
    const event = { seq: conversation.events.length + 1, at: this.time(), after: conversation.messages.length, ...body };
    conversation.events.push(event);
    this.touch(conversation);
    const { seq, at, ...data } = event;
    this.tellAll(conversation, { topic: `im/c/${conversation.id}/events`, seq, at, data });
  }

  answer({ to, data }, talk) {
    const name = to.replace(/^im\//, '');
    this.asked.push({ user: talk.user, name, data });
    const refused = this.refuses(name, data, talk);
    if (refused) return refused;
    const operation = this[`do_${name}`];
    if (!operation) return refuse(313, `there is no ${to}`);
    const conversation = data.conversation === undefined ? undefined : this.conversations.get(data.conversation);
    if (data.conversation !== undefined && !conversation?.members.has(talk.user)) return refuse(620, 'no such conversation');
    const told = operation.call(this, data, talk.user, conversation, talk);
    if (this.drops(name, data, talk)) {
      talk.drop();
      return undefined;
    }
    return told?.type === 'error' ? told : { type: 'told', data: structuredClone(told ?? {}) };
  }

  do_attach(data, user) {
    return { user, stream: `im/u/${user}`, limits: { members: 100 } };
  }

  do_list({ since, after = 0, limit = 100 }, user) {
    const all = [...this.conversations.values()].filter(({ members }) => members.has(user) && !(members.get(user).sync <= since));
    const sorted = all.sort((a, b) => b.active - a.active);
    const page = sorted.slice(after, after + limit);
    const next = after + limit < sorted.length ? after + limit : undefined;
    return { conversations: page.map((conversation) => this.entry(conversation, user)), next, unread: 0, mentions: 0, sync: this.sync };
  }

  do_conversation(data, user, conversation) {
    return { ...this.entry(conversation, user), info: { about: '' } };
  }

  do_open({ user: peer }, user) {
    const id = `d${[user, peer].sort().join('')}`;
    const conversation = this.conversations.get(id) ?? this.make(id, 'direct', [user, peer]);
    return this.entry(conversation, user);
  }

  do_send({ content, id }, user, conversation) {
    const known = conversation.ids.get(`${user} ${id}`);
    if (known) return { conversation: conversation.id, seq: known.seq, at: known.at, duplicate: true };
    const at = this.time();
    const message = { conversation: conversation.id, seq: conversation.messages.length + 1, at, from: user, content: { ...content, id, checked: true } };
    conversation.messages.push(message);
    conversation.ids.set(`${user} ${id}`, message);
    conversation.active = at;
    const unread = this.entry(conversation, user).unread;
    if (unread === 0) conversation.members.get(user).read = message.seq;
    this.touch(conversation);
    this.tellAll(conversation, { topic: `im/c/${conversation.id}`, seq: message.seq, at, from: user, data: message.content });
    return { conversation: conversation.id, seq: message.seq, at, duplicate: false };
  }

  do_history({ before, after, around, limit = 50 }, user, conversation) {
    const { hidden } = conversation.members.get(user);
    const all = conversation.messages.filter(({ seq }) => !hidden.has(seq));
    let messages;
    let atEnd;
    if (after !== undefined) {
      const rest = all.filter(({ seq }) => seq > after);
      messages = rest.slice(0, limit);
      atEnd = rest.length <= limit;
    } else if (around !== undefined) {
      messages = all.filter(({ seq }) => Math.abs(seq - around) <= limit / 2);
      atEnd = false;
    } else {
      const rest = all.filter(({ seq }) => seq < (before ?? Infinity));
      messages = rest.slice(-limit);
      atEnd = rest.length <= limit;
    }
    return { messages: messages.map((message) => this.seen(message)), at_end: atEnd };
  }

  do_message({ seq }, user, conversation) {
    return this.seen(conversation.messages[seq - 1]);
  }

  do_changes({ after, limit = 100 }, user, conversation) {
    const events = conversation.events.slice(after, after + limit);
    return { events, at_end: after + limit >= conversation.events.length };
  }

  do_edit({ seq, content }, user, conversation) {
    const message = conversation.messages[seq - 1];
    if (message?.from !== user || message.recalled) return refuse(612, 'not yours');
    const edited = { at: this.time(), count: (message.edited?.count ?? 0) + 1 };
    Object.assign(message, { content: { ...content, id: message.content.id }, edited });
    this.event(conversation, { event: 'edit', by: user, message_seq: seq, content: message.content, edited });
    return {};
  }

  do_recall({ seq }, user, conversation) {
    const message = conversation.messages[seq - 1];
    if (message?.from !== user) return refuse(612, 'not yours');
    if (message.recalled) return {};
    delete message.content;
    delete message.reactions;
    delete message.edited;
    message.recalled = { by: user, at: this.time() };
    this.event(conversation, { event: 'recall', by: user, message_seq: seq, at: message.recalled.at });
    return {};
  }

  do_react({ seq, emoji, off }, user, conversation) {
    const message = conversation.messages[seq - 1];
    const all = new Map((message.reactions ?? []).map((reaction) => [reaction.emoji, new Set(reaction.users)]));
    const users = all.get(emoji) ?? new Set();
    if (off) users.delete(user);
    else users.add(user);
    all.set(emoji, users);
    message.reactions = [...all].filter(([, who]) => who.size > 0).map(([name, who]) => ({ emoji: name, count: who.size, users: [...who] }));
    this.event(conversation, { event: 'react', by: user, user, message_seq: seq, emoji, off, count: users.size });
    return {};
  }

  do_delete({ seqs }, user, conversation) {
    for (const seq of seqs) conversation.members.get(user).hidden.add(seq);
    return {};
  }

  do_read({ seq }, user, conversation) {
    const member = conversation.members.get(user);
    member.read = Math.max(member.read, Math.min(seq, conversation.messages.length));
    member.delivered = Math.max(member.delivered, member.read);
    this.touch(conversation, user);
    this.tellAll(conversation, { topic: `im/c/${conversation.id}/live`, data: { event: 'cursors', cursors: [{ user, read: member.read, delivered: member.delivered }] } });
    this.tellOwn(user, { event: 'entry', entry: this.entry(conversation, user) });
    return { read: member.read, unread: this.entry(conversation, user).unread };
  }

  do_delivered({ cursors }, user) {
    for (const [id, seq] of Object.entries(cursors)) {
      const conversation = this.conversations.get(id);
      const member = conversation?.members.get(user);
      if (!member || seq <= member.delivered) continue;
      member.delivered = Math.min(seq, conversation.messages.length);
      this.tellAll(conversation, { topic: `im/c/${id}/live`, data: { event: 'cursors', cursors: [{ user, delivered: member.delivered }] } });
    }
    return {};
  }

  do_typing({ on }, user, conversation) {
    this.tellAll(conversation, { topic: `im/c/${conversation.id}/live`, data: { event: 'typing', user, on } });
    return {};
  }

  do_settings({ conversation: _, ...settings }, user, conversation) {
    const member = conversation.members.get(user);
    for (const [name, value] of Object.entries(settings)) {
      if (name === 'pinned') member.settings.pinned_at = value ? this.time() : undefined;
      else member.settings[name] = value || undefined;
    }
    this.touch(conversation, user);
    this.tellOwn(user, { event: 'entry', entry: this.entry(conversation, user) });
    return this.entry(conversation, user);
  }

  do_profiles({ users }) {
    return { profiles: users.map((user) => ({ user, name: user.toUpperCase() })) };
  }

  do_presence({ users }) {
    return { people: users.map((user) => ({ user, online: this.talksOf(user).length > 0 })) };
  }
}
