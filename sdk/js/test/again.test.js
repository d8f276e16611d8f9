import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoff } from '../yizhan.js';
import { FakeServer, until } from './fake.js';

/** What a client does after the server closed with this. */
async function afterClose(t, act, options) {
  const server = await FakeServer.start(t);
  const client = server.client(t, options);
  const states = [];
  client.on('status', (event) => states.push(event));
  const closed = new Promise((resolve) => client.on('close', resolve));
  await client.ready;
  const talk = await server.talk(1);
  act(talk);
  await until(() => ['waiting', 'closed'].includes(states.at(-1).status));
  return { server, client, closed, ...states.at(-1) };
}

for (const code of [1002, 1003, 1009, 4003, 4009, 4030, 4004]) {
  test(`close code ${code} is the end`, async (t) => {
    const { status, error, closed, client, server } = await afterClose(t, (talk) => talk.close(code, 'why'));
    assert.deepEqual([status, error.code, error.reason, error.again], ['closed', code, 'why', 'never']);
    assert.equal(await closed, error);
    assert.equal(client.status, 'closed');
    assert.equal(server.talks.length, 1);
  });
}

for (const code of [1000, 1001, 4001, 4008, 4010, 4999]) {
  test(`after close code ${code} it comes back soon`, async (t) => {
    const { status, retryIn, error, server } = await afterClose(t, (talk) => talk.close(code, 'why'));
    assert.deepEqual([status, error.code, error.again], ['waiting', code, 'soon']);
    assert.ok(retryIn <= 0.01);
    await server.talk(2);
  });
}

test('after a connection that just broke, too', async (t) => {
  const { status, error, server } = await afterClose(t, (talk) => talk.drop());
  assert.deepEqual([status, error.code], ['waiting', 1006]);
  await (await server.talk(2)).next('hello');
});

for (const [code, seconds] of [[1011, 5], [4029, 10]]) {
  test(`after close code ${code} it waits at least ${seconds} s`, async (t) => {
    const { status, retryIn } = await afterClose(t, (talk) => talk.close(code, 'why'));
    assert.equal(status, 'waiting');
    assert.ok(retryIn >= seconds && retryIn < seconds + 1);
  });
}

test('the close event says more than the code: never, soon, or when', async (t) => {
  const say = (code, again) => (talk) => {
    talk.send({ type: 'close', code, reason: 'because', again });
    talk.close(code);
  };
  const never = await afterClose(t, say(1001, 'never'));
  assert.deepEqual([never.status, never.error.reason], ['closed', 'because']);
  const soon = await afterClose(t, say(4009, 'soon'));
  assert.deepEqual([soon.status, soon.error.code], ['waiting', 4009]);
  const later = await afterClose(t, say(1001, 42));
  assert.ok(later.retryIn >= 42 && later.retryIn < 43);
  for (const nonsense of [-1, 1e300, 'x', null]) {
    const { status, retryIn } = await afterClose(t, say(1001, nonsense));
    assert.equal(status, 'waiting');
    assert.ok(retryIn < 3601);
  }
});

test('the back-off doubles up to its bound, has jitter, and never undercuts the server', () => {
  const bounds = { first: 0.5, max: 30 };
  const least = (attempt, again = 'soon') => backoff(attempt, again, bounds, () => 0);
  const most = (attempt, again = 'soon') => backoff(attempt, again, bounds, () => 1);
  assert.deepEqual([0, 1, 2, 5, 6, 7, 1000].map((attempt) => most(attempt)), [0.5, 1, 2, 16, 30, 30, 30]);
  assert.deepEqual([0, 1, 7].map((attempt) => least(attempt)), [0.25, 0.5, 15]);
  assert.deepEqual([least(0, 10), most(0, 10)], [10.25, 10.5]);
});

test('attempts that fail wait longer and longer', async (t) => {
  const server = await FakeServer.start(t);
  const waits = [];
  const client = server.client(t, { transports: ['websocket'], random: () => 1, backoff: { first: 0.001, max: 0.008 } });
  client.on('status', ({ retryIn }) => retryIn && waits.push(retryIn));
  server.answers.hello = (_, talk) => talk.drop();
  await until(() => waits.length >= 6);
  assert.deepEqual(waits.slice(0, 6), [0.001, 0.002, 0.004, 0.008, 0.008, 0.008]);
});

test('a token function is asked once, and again when the token expired (4004)', async (t) => {
  const server = await FakeServer.start(t);
  const asked = [];
  const client = server.client(t, { token: async ({ expired }) => `token ${asked.push(expired)}` });
  await client.ready;
  const first = await server.talk(1);
  first.drop();
  const second = await server.talk(2);
  await second.next('hello');
  await until(() => client.status === 'open');
  second.close(4004, 'expired');
  const third = await server.talk(3);
  await third.next('hello');
  assert.deepEqual(server.talks.map((talk) => talk.all('hello')[0].token), ['token 1', 'token 1', 'token 2']);
  assert.deepEqual(asked, [false, true]);
});

test('a token that is refused as expired (202) is changed, and hello is said again', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.hello = (command, talk) =>
    command.token === 'token 3' ? server.welcome(command, talk) : { type: 'error', code: 202, reason: 'expired', again: 'never' };
  let asked = 0;
  const client = server.client(t, { token: () => `token ${(asked += 1)}` });
  await client.ready;
  assert.equal(asked, 3);
});

test('a fixed token that expired, or one that is no good, is the end', async (t) => {
  for (const [code, token] of [[202, 'x'], [203, () => 'x'], [201, undefined]]) {
    const server = await FakeServer.start(t);
    server.answers.hello = () => ({ type: 'error', code, reason: 'no', again: 'never' });
    const client = server.client(t, { token });
    await assert.rejects(client.ready, { code });
    assert.equal(client.status, 'closed');
  }
});

test('a token function that fails is asked again later', async (t) => {
  const server = await FakeServer.start(t);
  let asked = 0;
  const client = server.client(t, { token: async () => ((asked += 1) < 3 ? Promise.reject(new Error('offline')) : 'good') });
  await client.ready;
  assert.equal((await server.talk(1)).all('hello')[0].token, 'good');
});

test('a fixed ticket is shown once, one from a function for every connection', async (t) => {
  for (const [ticket, shown] of [['a', ['a', undefined]], [(() => { let n = 0; return () => `t${(n += 1)}`; })(), ['t1', 't2']]]) {
    const server = await FakeServer.start(t);
    const client = server.client(t, { ticket });
    await client.ready;
    (await server.talk(1)).drop();
    await (await server.talk(2)).next('hello');
    assert.deepEqual(server.talks.map((talk) => talk.all('hello')[0].ticket), shown);
  }
});

test('a hello that is refused for a while is said again then', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.hello = () => ({ type: 'error', code: 204, reason: 'too many failed attempts', again: 7 });
  const client = server.client(t);
  const { retryIn, error } = await new Promise((resolve) => client.on('status', (event) => event.retryIn && resolve(event)));
  assert.ok(retryIn >= 7);
  assert.deepEqual([error.code, error.again], [204, 7]);
});
