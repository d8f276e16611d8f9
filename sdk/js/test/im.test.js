import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryCache, openIm } from '../im.js';
import { FakeIm } from './fake-im.js';
import { until } from './fake.js';

/** Messaging of one user against a scripted server, started. */
async function open(t, fake, user, options = {}) {
  const client = fake.server.client(t, { token: user, timeout: 5 });
  const im = openIm(client, { cache: false, ...options });
  t.after(() => im.stop());
  await im.start();
  return im;
}

const texts = (chat) => chat.messages.map(({ content }) => content?.text);

test('a message is pending, sent, delivered and read, under one key', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  const chat = ann.conversation('dannbob');
  await chat.open();
  const states = new Set();
  const keys = new Set();
  chat.on('change', () => chat.messages.forEach(({ key, state }) => (states.add(state), keys.add(key))));
  const sending = chat.send('hello');
  assert.equal(chat.messages[0].state, 'pending');
  assert.equal((await sending).seq, 1);
  await until(() => chat.messages[0].state === 'delivered');
  assert.equal(bob.conversations.get('dannbob').unread, 1);
  bob.conversation('dannbob').markRead();
  assert.equal(bob.unread.unread, 0);
  await until(() => chat.messages[0].state === 'read');
  assert.equal(keys.size, 1);
  assert.deepEqual([...states].filter((state) => state !== 'sent'), ['pending', 'delivered', 'read']);
  assert.equal(chat.messages[0].content.checked, true, 'what the server made of it replaces what was sent');
});

test('holes are filled from history, and what comes twice is there once', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('group0000001', 'group', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  const chat = bob.conversation('group0000001');
  await chat.open();
  const heard = [];
  bob.on('message', ({ seq }) => heard.push(seq));
  fake.loses = ({ topic, seq }, talk) => talk.user === 'bob' && topic === 'im/c/group0000001' && seq % 3 === 2;
  for (let i = 1; i <= 10; i += 1) await ann.conversation('group0000001').send(String(i));
  await until(() => chat.messages.length === 10);
  assert.deepEqual(texts(chat), ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10']);
  assert.deepEqual(heard, [1, 3, 4, 6, 7, 9, 10]);
  await until(() => bob.conversations.get('group0000001').unread === 10, 'the count is corrected');
});

test('changes that were missed are read, and applied in order', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('group0000001', 'group', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  const [mine, theirs] = [ann.conversation('group0000001'), bob.conversation('group0000001')];
  await Promise.all([mine.open(), theirs.open()]);
  for (const text of ['a', 'b', 'c']) await mine.send(text);
  await until(() => theirs.messages.length === 3);
  fake.loses = ({ topic, seq }, talk) => talk.user === 'bob' && topic.endsWith('/events') && seq < 4;
  await mine.edit(1, 'A');
  await mine.edit(1, 'AA');
  await mine.recall(2);
  await theirs.react(3, '👍');
  await until(() => theirs.messages[2].reactions);
  assert.deepEqual(texts(theirs), ['AA', undefined, 'c']);
  assert.equal(theirs.messages[0].edited.count, 2);
  assert.deepEqual(theirs.messages[2].reactions, [{ emoji: '👍', count: 1, mine: true, users: ['bob'] }]);
  await until(() => mine.messages[2].reactions?.[0].mine === undefined || mine.messages[2].reactions?.[0].mine === false);
  await until(() => bob.conversations.get('group0000001').unread === 2, 'a recalled message is not unread');
});

test('after a drop, the list and what is open are caught up', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('group0000001', 'group', ['ann', 'bob']);
  fake.make('group0000002', 'group', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  const chat = bob.conversation('group0000001');
  await chat.open();
  await ann.conversation('group0000001').send('before');
  await until(() => chat.messages.length === 1);
  fake.loses = (_, talk) => talk.user === 'bob';
  await ann.conversation('group0000001').send('one');
  await ann.conversation('group0000002').send('two');
  fake.talksOf('bob').forEach((talk) => talk.drop());
  fake.loses = () => false;
  await until(() => chat.messages.length === 2);
  assert.deepEqual(texts(chat), ['before', 'one']);
  assert.equal(bob.conversations.get('group0000002').unread, 1);
  assert.equal(bob.conversations.all[0].id, 'group0000002', 'the newest activity is first');
  const lists = fake.asked.filter(({ user, name }) => user === 'bob' && name === 'list');
  assert.ok(lists.slice(-1)[0].data.since > 0, 'only what changed is asked for');
});

test('a send whose answer was lost is sent again, and taken once', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const ann = await open(t, fake, 'ann');
  const chat = ann.conversation('dannbob');
  await chat.open();
  let drops = 2;
  fake.drops = (name) => name === 'send' && drops-- > 0;
  await Promise.all(['1', '2', '3'].map((text) => chat.send(text)));
  await until(() => chat.messages.length === 3 && chat.messages.every(({ seq }) => seq > 0));
  assert.deepEqual(texts(chat), ['1', '2', '3']);
  assert.equal(fake.conversations.get('dannbob').messages.length, 3);
});

test('what waits to be sent survives a reload, in order', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const cache = memoryCache();
  const client = fake.server.client(t, { token: 'ann' });
  const before = openIm(client, { cache });
  await before.start();
  const chat = before.conversation('dannbob');
  await chat.open();
  fake.refuses = () => ({ type: 'error', code: 640, reason: 'later', again: 0.05 });
  for (const text of ['1', '2', '3']) chat.send(text).catch(() => {});
  await until(() => fake.asked.some(({ name }) => name === 'send'));
  await before.stop();
  client.close();
  fake.refuses = () => undefined;
  const after = await open(t, fake, 'ann', { cache });
  const again = after.conversation('dannbob');
  await again.open();
  await until(() => again.messages.length === 3 && again.messages.every(({ seq }) => seq > 0));
  assert.deepEqual(texts(again), ['1', '2', '3']);
  assert.deepEqual(await cache.all('outbox'), []);
});

test('what a visit knew is shown before there is a connection', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const cache = memoryCache();
  const before = await open(t, fake, 'ann', { cache });
  await before.conversation('dannbob').open();
  await before.conversation('dannbob').send('hello');
  await before.stop();
  fake.do_send({ content: { kind: 'text', text: 'news' }, id: 'x' }, 'bob', fake.conversations.get('dannbob'));
  let letIn = () => {};
  const token = new Promise((resolve) => (letIn = () => resolve('ann')));
  const im = openIm(fake.server.client(t, { token: () => token }), { cache, user: 'ann' });
  t.after(() => im.stop());
  const started = im.start();
  await until(() => im.status === 'cached');
  const chat = im.conversation('dannbob');
  const opened = chat.open();
  assert.deepEqual(texts(chat), ['hello']);
  assert.equal(chat.messages[0].mine, true);
  letIn();
  await Promise.all([started, opened]);
  await until(() => chat.messages.length === 2);
  assert.deepEqual(texts(chat), ['hello', 'news']);
  assert.equal(im.conversations.get('dannbob').unread, 1);
});

test('a message that the server refuses has failed, and can be sent again or given up', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const ann = await open(t, fake, 'ann');
  const chat = ann.conversation('dannbob');
  await chat.open();
  fake.refuses = (name) => name === 'send' && { type: 'error', code: 611, reason: 'you are muted', again: 'never' };
  await assert.rejects(chat.send('one'), { code: 611 });
  await assert.rejects(chat.send('two'), { code: 611 });
  assert.deepEqual(chat.messages.map(({ state, error }) => [state, error.code]), [['failed', 611], ['failed', 611]]);
  fake.refuses = () => undefined;
  chat.retry(chat.messages[1]);
  await until(() => chat.messages.some(({ seq }) => seq === 1));
  chat.discard(chat.messages[1]);
  assert.deepEqual(texts(chat), ['two']);
});

test('my messages of another device, and what I read there, are seen here', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const [phone, web, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  const chat = web.conversation('dannbob');
  await chat.open();
  await phone.conversation('dannbob').send('from my phone');
  await until(() => chat.messages.length === 1);
  assert.equal(chat.messages[0].mine, true);
  await bob.conversation('dannbob').send('hello');
  await until(() => web.unread.unread === 1 && phone.unread.unread === 1);
  phone.conversation('dannbob').markRead();
  await until(() => web.unread.unread === 0);
  await phone.conversation('dannbob').settings({ pinned: true });
  await until(() => web.conversations.get('dannbob').pinned_at > 0);
});

test('reads are told once for many, and only go forward', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  for (let i = 0; i < 5; i += 1) await ann.conversation('dannbob').send(String(i));
  await until(() => bob.unread.unread === 5);
  const chat = bob.conversation('dannbob');
  for (const seq of [1, 3, 2, 5, 4]) chat.markRead(seq);
  await until(() => fake.conversations.get('dannbob').members.get('bob').read === 5);
  assert.deepEqual(fake.asked.filter(({ name }) => name === 'read').map(({ data }) => data.seq), [5]);
  const told = fake.asked.filter(({ user, name }) => user === 'bob' && name === 'delivered');
  assert.ok(told.length <= 3, `${told.length} acknowledgements of 5 messages`);
});

test('older messages are loaded page by page, also around one that was searched for', async (t) => {
  const fake = await FakeIm.start(t);
  const conversation = fake.make('group0000001', 'group', ['ann', 'bob']);
  for (let i = 1; i <= 130; i += 1) fake.do_send({ content: { kind: 'text', text: String(i) }, id: `i${i}` }, 'bob', conversation);
  const ann = await open(t, fake, 'ann');
  const chat = ann.conversation('group0000001');
  await chat.open();
  assert.equal(chat.messages[0].seq, 81);
  await chat.load({ before: true });
  await chat.load({ before: true });
  assert.equal(chat.atStart, true);
  assert.deepEqual(chat.messages.map(({ seq }) => seq), Array.from({ length: 130 }, (_, i) => i + 1));
  await chat.load({ around: 30, limit: 20 });
  assert.equal(chat.atEnd, false);
  assert.deepEqual([chat.messages[0].seq, chat.messages.at(-1).seq], [20, 40]);
  fake.do_send({ content: { kind: 'text', text: 'new' }, id: 'new' }, 'bob', conversation);
  await until(() => ann.conversations.get('group0000001').newest === 131);
  assert.equal(chat.messages.at(-1).seq, 40);
  for (let i = 0; i < 3; i += 1) await chat.load({ after: true });
  assert.equal(chat.atEnd, true);
  assert.equal(chat.messages.at(-1).content.text, 'new');
  assert.deepEqual(chat.messages.map(({ seq }) => seq), Array.from({ length: 112 }, (_, i) => i + 20));
});

test('who types is known for a while, and told every three seconds at most', async (t) => {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  const chat = bob.conversation('dannbob');
  for (let i = 0; i < 5; i += 1) ann.conversation('dannbob').typing();
  await until(() => chat.typers.length === 1);
  assert.equal(fake.asked.filter(({ name }) => name === 'typing').length, 1);
  await ann.conversation('dannbob').send('done');
  await until(() => chat.typers.length === 0);
});

test('what should ring rings: not mine, not muted, mentions where I want those', async (t) => {
  const fake = await FakeIm.start(t);
  for (const id of ['all000000000', 'mentions0000', 'none00000000']) fake.make(id, 'group', ['ann', 'bob']);
  const [ann, bob] = [await open(t, fake, 'ann'), await open(t, fake, 'bob')];
  await bob.conversation('mentions0000').settings({ notify: 'mentions' });
  await bob.conversation('none00000000').settings({ notify: 'none' });
  const rung = [];
  bob.on('notify', ({ message }) => rung.push(`${message.conversation} ${message.seq}`));
  for (const id of ['all000000000', 'mentions0000', 'none00000000']) {
    await ann.conversation(id).send('hello');
    await ann.conversation(id).send({ kind: 'text', text: '@bob', mentions: ['bob'] });
  }
  await until(() => bob.conversations.get('none00000000').newest === 2);
  await bob.conversation('all000000000').send('mine');
  await until(() => bob.conversations.get('all000000000').newest === 3);
  assert.deepEqual(rung, ['all000000000 1', 'all000000000 2', 'mentions0000 2']);
  assert.deepEqual(bob.unread, { unread: 4, mentions: 3 });
});

test('people are asked for together', async (t) => {
  const fake = await FakeIm.start(t);
  const ann = await open(t, fake, 'ann');
  assert.equal(ann.people.nameOf('bob'), 'bob');
  ann.people.get('eve');
  ann.people.presenceOf('bob');
  await until(() => ann.people.nameOf('bob') === 'BOB' && ann.people.presenceOf('bob'));
  assert.deepEqual(fake.asked.filter(({ name }) => name === 'profiles').map(({ data }) => data.users), [['bob', 'eve']]);
});
