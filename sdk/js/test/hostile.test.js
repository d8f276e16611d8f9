import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, until } from './fake.js';

test('what is no JSON: the connection is dropped, and the session goes on from what is sure', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const errors = [];
  client.on('error', ({ code }) => errors.push(code));
  const records = [];
  const subscription = client.subscribe('t');
  subscription.on('record', ({ text }) => records.push(text));
  const talk = await server.talk(1);
  await subscription.ready;
  talk.records(1, 1, 'a');
  talk.write('{"type":"records","sub":1,"n":2,"rec');
  const second = await server.talk(2);
  assert.deepEqual((await second.next('hello')).resume.have, [{ sub: 1, n: 1 }]);
  second.records(1, 2, 'b');
  await until(() => records.length === 2);
  assert.deepEqual(errors, [100]);
});

test('events that are unknown, half or of the wrong shape change nothing', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const records = [];
  const subscription = client.subscribe('t');
  subscription.on('record', (record) => records.push(record));
  const talk = await server.talk(1);
  await subscription.ready;
  for (const event of [
    null, 1, 'text', [], [[]], [null, 5], {}, { type: 5 }, { type: 'from the future', re: 1 }, { type: '__proto__' }, { type: 'constructor' },
    { type: 'records' }, { type: 'records', sub: 1 }, { type: 'records', sub: 1, n: 'x', records: [{ topic: 't' }] },
    { type: 'records', sub: 1, n: 1e300, records: [{ topic: 't' }] }, { type: 'records', sub: 1, n: 1, records: { length: 1e9 } },
    { type: 'records', sub: 1, n: 1, records: [null, 5, 'x', {}, { topic: 5 }] }, { type: 'records', sub: 99, n: 1, records: [{ topic: 't' }] },
    { type: 'records', sub: '__proto__', n: 1, records: [] }, { type: 'missed', sub: 1, n: 1 }, { type: 'missed', sub: 1, n: 1, missed: 'x' },
    { type: 'missed', sub: 1, n: 1, missed: 1.5 }, { type: 'state_end', sub: 1 }, { type: 'error' }, { type: 'error', re: 1e9, code: 'x', reason: {} },
    { type: 'receipt', re: 1e9 }, { type: 'receipt', re: {} }, { type: 'welcome', session: 'other' }, { type: 'welcome' }, { type: 'pong', heartbeat: 'x' },
  ]) talk.write(JSON.stringify(event));
  talk.send({ type: 'records', sub: 1, n: 1, records: [JSON.parse('{"topic":"t","at":1,"bin":"%%%","__proto__":{"text":"x"}}')] });
  await until(() => records.length === 1);
  assert.equal(records[0].bin.length, 0);
  assert.equal(({}).text, undefined);
  assert.equal(subscription.lost, 0);
  assert.deepEqual([client.status, client.session, server.talks.length], ['open', 's1', 1]);
  await client.publish('t', 'still here');
});

test('a welcome full of nonsense', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.hello = (command, talk) =>
    server.welcome(command, talk, { subs: [null, 5, { sub: {} }, 'x'], heartbeat: -5, at: 'now', limits: null, secret: 5 });
  server.answers.time = () => ({ type: 'time', t2: 'x', t3: null });
  const client = server.client(t);
  client.subscribe('t');
  await client.ready;
  await (await server.talk()).next('subscribe');
  await assert.rejects(client.readTime(), { code: 903 });
  assert.ok(Math.abs(client.serverTime() - Date.now()) < 5_000);
});

test('a server that only ever says no such session is not asked in a hurry', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  server.answers.hello = () => ({ type: 'error', code: 301, reason: 'no such session', again: 'never' });
  (await server.talk(1)).drop();
  const error = await new Promise((resolve) => client.on('close', resolve));
  assert.equal(error.code, 301);
  assert.equal((await server.talk(2)).all('hello').length, 2);
});

test('a listener that throws disturbs nobody else', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t');
  const seen = [];
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message); // As browsers have it.
  t.after(() => delete globalThis.reportError);
  subscription.on('record', () => {
    throw new Error('mine');
  });
  subscription.on('record', ({ text }) => seen.push(text));
  await subscription.ready;
  (await server.talk()).records(1, 1, 'a', 'b');
  await until(() => seen.length === 2);
  assert.deepEqual(reported, ['mine', 'mine']);
});

test('a listener may close the client in the middle of a frame', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t');
  const seen = [];
  subscription.on('record', ({ text }) => {
    seen.push(text);
    client.close();
  });
  await subscription.ready;
  (await server.talk()).records(1, 1, 'a', 'b');
  await until(() => client.status === 'closed');
  assert.deepEqual(seen, ['a']);
});
