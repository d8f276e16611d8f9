// Many clients of a scripted server that loses records, drops connections and answers late; at the end all know the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryCache, openIm } from '../im.js';
import { FakeIm } from './fake-im.js';
import { until } from './fake.js';

const USERS = ['ann', 'bob', 'eve', 'kim'];
const STEPS = 250;

/** Numbers from 0 to 1 that a seed decides (mulberry32). */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A device of somebody that comes and goes, with a cache of its own. */
class Device {
  constructor(t, fake, user) {
    Object.assign(this, { t, fake, user, cache: memoryCache() });
    this.begin();
  }

  begin() {
    this.client = this.fake.server.client(this.t, { token: this.user, timeout: 2 });
    this.im = openIm(this.client, { cache: this.cache });
    this.im.on('message', (message) => this.heard.push(`${message.conversation} ${message.seq}`));
    this.heard = [];
    this.started = this.im.start().catch(() => {});
    for (const [id, { members }] of this.fake.conversations) if (members.has(this.user) && id !== 'quiet0000000') this.im.conversation(id).open().catch(() => {});
  }

  async reload() {
    await this.im.stop();
    this.client.close();
    this.begin();
  }
}

/** What of a message has to be the same everywhere. */
const plain = ({ seq, content, recalled, edited, reactions = [] }) => ({
  seq, text: content?.text, recalled: recalled?.by, edited: edited?.count, reactions: reactions.map(({ emoji, count }) => `${emoji}${count}`).sort(),
});

/** What a device should see of a conversation. */
function truth(fake, id, user) {
  const { hidden } = fake.conversations.get(id).members.get(user);
  return fake.conversations.get(id).messages.filter(({ seq }) => !hidden.has(seq)).map(plain);
}

async function step(random, fake, device, sent) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const id = pick([...fake.conversations.values()].filter(({ members }) => members.has(device.user))).id;
  const chat = device.im.conversation(id);
  const last = chat.messages.findLast(({ seq, mine, recalled }) => seq > 0 && mine && !recalled);
  const what = random();
  const ignored = () => {};
  if (what < 0.5) {
    const text = `${device.user} ${sent.length}`;
    sent.push(text);
    chat.send(text).catch(ignored);
  } else if (what < 0.58 && last) chat.edit(last.seq, `${last.content.text}!`).catch(ignored);
  else if (what < 0.62 && last) chat.recall(last.seq).catch(ignored);
  else if (what < 0.7 && chat.messages.at(-1)?.seq > 0) chat.react(pick(chat.messages.filter(({ seq }) => seq > 0)).seq, pick(['👍', '❤️']), random() < 0.7).catch(ignored);
  else if (what < 0.8) chat.markRead();
  else if (what < 0.84) fake.talksOf(device.user).forEach((talk) => talk.drop());
  else if (what < 0.87) await device.reload();
  else await new Promise((resolve) => setTimeout(resolve, random() * 10));
}

async function run(t, seed) {
  const random = seeded(seed);
  const fake = await FakeIm.start(t);
  fake.make('group0000001', 'group', USERS);
  fake.make('quiet0000000', 'group', USERS);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const devices = [...USERS, 'ann', 'bob'].map((user) => new Device(t, fake, user));
  await Promise.all(devices.map(({ started }) => started));
  fake.loses = () => random() < 0.05;
  fake.drops = () => random() < 0.02;
  const sent = [];
  for (let i = 0; i < STEPS; i += 1) {
    const device = devices[Math.floor(random() * devices.length)];
    await step(random, fake, device, sent);
  }
  // Everything calms down, and everybody comes back once more.
  fake.loses = fake.drops = () => false;
  await until(() => devices.every(({ im }) => im.waiting === 0), 'all is sent');
  for (const talk of fake.server.talks) talk.drop();
  await until(() => devices.every(({ im }) => im.status === 'live'), 'all are back');
  for (const device of devices) await check(fake, device);
  const all = [...fake.conversations.values()].flatMap(({ messages }) => messages);
  assert.equal(new Set(all.map(({ content, seq, conversation }) => content?.id ?? `${conversation}${seq}`)).size, all.length, 'no message twice');
}

async function check(fake, { im, user, heard }) {
  assert.equal(new Set(heard).size, heard.length, 'no message is told twice');
  for (const [id, conversation] of fake.conversations) {
    if (!conversation.members.has(user)) continue;
    const chat = im.conversation(id);
    await chat.open();
    while (!chat.atStart) await chat.load({ before: true });
    await until(() => JSON.stringify(chat.messages.map(plain)) === JSON.stringify(truth(fake, id, user)), `${user} sees all of ${id}`)
      .catch(() => assert.deepEqual(chat.messages.map(plain), truth(fake, id, user)));
    const entry = fake.entry(conversation, user);
    await until(() => im.conversations.get(id).unread === entry.unread, `${user} counts ${id}`)
      .catch(() => assert.fail(`${user} counts ${id} as ${JSON.stringify(im.conversations.get(id))}, not as ${JSON.stringify(entry)}`));
    assert.equal(im.conversations.get(id).newest, entry.newest);
  }
}

const seeds = process.env.IM_SEED ? [Number(process.env.IM_SEED)] : [1, 2, 3, 4, 5];
for (const seed of seeds) test(`whatever is lost or dropped on the way, everybody ends up with the same (IM_SEED=${seed})`, (t) => run(t, seed));
