import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, until } from './fake.js';

async function begin(t, options, clientOptions) {
  const server = await FakeServer.start(t);
  const client = server.client(t, clientOptions);
  const subscription = client.subscribe('t', options);
  const talk = await server.talk();
  await subscription.ready;
  return { server, client, subscription, talk };
}

test('sends what it was asked for', async (t) => {
  const { talk, client } = await begin(t, { last: 50, state: true, noLocal: true });
  await client.subscribe('u/#', { after: ['1.0.1.5', '1.1.1.6'], window: 0 }).ready;
  await client.subscribe('v', { seq: 0, window: 7 }).ready;
  assert.deepEqual(talk.all('subscribe').map(({ id, ...command }) => command), [
    { type: 'subscribe', sub: 1, filter: 't', last: 50, state: true, window: 256, no_local: true },
    { type: 'subscribe', sub: 2, filter: 'u/#', after: ['1.0.1.5', '1.1.1.6'] },
    { type: 'subscribe', sub: 3, filter: 'v', seq: 0, window: 7 },
  ]);
});

test('a loop that is left unsubscribes', async (t) => {
  const { talk, subscription } = await begin(t);
  talk.records(1, 1, 'a', 'b', 'c');
  const texts = [];
  for await (const { text } of subscription) {
    texts.push(text);
    if (text === 'b') break;
  }
  assert.deepEqual(texts, ['a', 'b']);
  assert.equal((await talk.next('unsubscribe')).sub, 1);
  assert.deepEqual(await subscription[Symbol.asyncIterator]().next(), { value: undefined, done: true });
});

test('a loop that waits ends when somebody else unsubscribes', async (t) => {
  const { talk, subscription } = await begin(t);
  const loop = (async () => {
    for await (const record of subscription) assert.equal(record.text, 'a');
  })();
  talk.records(1, 1, 'a');
  const ended = new Promise((resolve) => subscription.on('end', resolve));
  subscription.unsubscribe();
  subscription.unsubscribe();
  await loop;
  assert.equal(await ended, undefined);
  await talk.next('unsubscribe');
});

test('acknowledges what the consumer handled, not what came', async (t) => {
  const { talk, subscription, client } = await begin(t, { window: 8 });
  talk.records(1, 1, ...'abcdefgh');
  const iterator = subscription[Symbol.asyncIterator]();
  await iterator.next(); // a is taken
  await client.readTime();
  assert.deepEqual(talk.all('ack'), []); // and nothing is handled yet.
  await iterator.next(); // a is handled, b is taken
  await iterator.next(); // b is handled: a quarter of the window
  assert.deepEqual(await talk.next('ack'), { type: 'ack', sub: 1, n: 2 });
  for (let i = 0; i < 5; i += 1) await iterator.next();
  await until(() => talk.all('ack').at(-1).n === 6);
  assert.deepEqual(talk.all('ack').map(({ n }) => n), [2, 4, 6]);
});

test('what was acknowledged into a connection that broke is acknowledged again', async (t) => {
  const { talk, subscription, server } = await begin(t, { window: 4 });
  const seen = [];
  subscription.on('record', ({ n }) => seen.push(n));
  talk.records(1, 1, 'a', 'b', 'c');
  await talk.next('ack', 3);
  talk.drop();
  const second = await server.talk(2);
  assert.deepEqual(await second.next('ack'), { type: 'ack', sub: 1, n: 3 });
  assert.deepEqual(seen, [1, 2, 3]);
});

test('a listener has handled a record when it returns', async (t) => {
  const { talk, subscription } = await begin(t, { window: 4 });
  const texts = [];
  const off = subscription.on('record', ({ text }) => texts.push(text));
  talk.records(1, 1, 'a', 'b', 'c');
  await until(() => texts.length === 3);
  await talk.next('ack', 3);
  assert.deepEqual(talk.all('ack').map(({ n }) => n), [1, 2, 3]);
  off();
  talk.records(1, 4, 'd');
  assert.equal((await subscription[Symbol.asyncIterator]().next()).value.text, 'd');
  assert.deepEqual(texts, ['a', 'b', 'c']);
});

test('what came before anybody listened waits for the first listener', async (t) => {
  const { talk, subscription, client } = await begin(t);
  talk.records(1, 1, 'a', 'b');
  await client.readTime();
  const texts = [];
  subscription.on('record', ({ text }) => texts.push(text));
  assert.deepEqual(texts, ['a', 'b']);
});

test('numbers of a lost session are not acknowledged in the next', async (t) => {
  const { talk, subscription, server } = await begin(t, { window: 4 });
  talk.records(1, 1, 'a', 'b', 'c', 'd');
  const iterator = subscription[Symbol.asyncIterator]();
  await iterator.next();
  server.answers.hello = (command, answering) =>
    command.resume ? { type: 'error', code: 301, reason: '', again: 'never' } : server.welcome(command, answering);
  const again = new Promise((resolve) => subscription.on('subscribed', resolve));
  talk.drop();
  await again;
  const second = await server.talk(2);
  second.records(1, 1, 'e', 'f');
  const texts = [];
  for (let i = 0; i < 5; i += 1) texts.push((await iterator.next()).value.text);
  assert.deepEqual(texts, ['b', 'c', 'd', 'e', 'f']);
  assert.deepEqual(await second.next('ack'), { type: 'ack', sub: 1, n: 1 });
});

test('without a window a slow reader loses the oldest, and is told', async (t) => {
  const { talk, subscription, client } = await begin(t, { window: 0, buffer: 3 });
  talk.records(1, 1, 'a');
  talk.send({ type: 'missed', sub: 1, n: 2, missed: 2 });
  talk.records(1, 4, 'b', 'c', 'd', 'e');
  await client.readTime();
  const records = [];
  subscription.on('record', ({ text, missed }) => records.push([text, missed]));
  assert.deepEqual(records, [['c', 4], ['d', 0], ['e', 0]]);
  assert.equal(subscription.lost, 4);
  talk.records(1, 8, 'f');
  await until(() => records.length === 4);
  assert.deepEqual(records[3], ['f', 0]);
});

test('the state comes first, is marked, and its end is told', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.subscribe = ({ sub }) => ({ type: 'subscribed', sub, pos: ['1.0.1.64'], missed: 0 });
  const client = server.client(t);
  const subscription = client.subscribe('t', { state: true });
  const seen = [];
  subscription.on('record', ({ text, state }) => seen.push([text, state]));
  subscription.on('state', () => seen.push('complete'));
  const talk = await server.talk();
  await subscription.ready;
  talk.kept(1, 1, 3, 1);
  talk.send({ type: 'state_end', sub: 1 });
  talk.send({ type: 'state_end', sub: 1 });
  await until(() => seen.length === 3);
  // Records of the state say nothing about where the journal was read to; the answer to subscribe does.
  talk.drop();
  const { resume } = await (await server.talk(2)).next('hello');
  assert.deepEqual(resume.have, [{ sub: 1, n: 2, pos: ['1.0.1.64'] }]);
  (await server.talk(2)).kept(1, 3, 101);
  await until(() => seen.length === 4);
  assert.deepEqual(seen, [['3', true], ['1', true], 'complete', ['101', false]]);
});

test('a drop within the state: nothing is skipped by its positions', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.subscribe = ({ sub }) => ({ type: 'subscribed', sub, pos: ['1.0.1.64'], missed: 0 });
  const client = server.client(t);
  const subscription = client.subscribe('t', { state: true });
  const seen = [];
  subscription.on('record', ({ n }) => seen.push(n));
  const talk = await server.talk();
  await subscription.ready;
  talk.kept(1, 1, 3);
  await until(() => seen.length === 1);
  talk.drop();
  const { resume } = await (await server.talk(2)).next('hello');
  assert.deepEqual(resume.have, [{ sub: 1, n: 1 }]);
});

test('the newest epoch of a lane counts', async (t) => {
  const { talk, subscription, server } = await begin(t);
  const seen = [];
  subscription.on('record', ({ pos }) => seen.push(pos));
  const send = (n, pos) => talk.send({ type: 'records', sub: 1, n, records: [{ topic: 't', at: 1, pos }] });
  send(1, '1.0.ff.ffffffffffff');
  send(2, '1.1.ff.2');
  send(3, '1.0.100.3');
  send(4, '1.0.100.1000000000000000');
  await until(() => seen.length === 4);
  talk.drop();
  const { resume } = await (await server.talk(2)).next('hello');
  assert.deepEqual(resume.have, [{ sub: 1, n: 4, pos: ['1.0.100.1000000000000000', '1.1.ff.2'] }]);
});

test('one that is refused ends with the reason, and the others go on', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.subscribe = ({ sub, filter }) =>
    filter === 'secret' ? { type: 'error', code: 210, reason: 'you may not', again: 'never' } : { type: 'subscribed', sub, pos: [], missed: 0 };
  const client = server.client(t);
  const [secret, open] = [client.subscribe('secret'), client.subscribe('open')];
  await open.ready;
  await assert.rejects(secret.ready, { code: 210 });
  await assert.rejects(secret[Symbol.asyncIterator]().next(), { code: 210 });
  assert.equal(client.status, 'open');
});

test('one that is refused for a moment is asked for again', async (t) => {
  const server = await FakeServer.start(t);
  let asked = 0;
  server.answers.subscribe = ({ sub }) =>
    ((asked += 1) < 2 ? { type: 'error', code: 513, reason: 'changed', again: 'soon' } : { type: 'subscribed', sub, pos: [], missed: 0 });
  const client = server.client(t);
  const errors = [];
  client.on('error', ({ code }) => errors.push(code));
  await client.subscribe('t').ready;
  assert.deepEqual(errors, [513]);
});
