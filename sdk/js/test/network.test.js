import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, until } from './fake.js';

// A browser's surroundings in place of Node's, for this file.
const target = new EventTarget();
const connection = Object.assign(new EventTarget(), { type: 'wifi' });
const document = Object.assign(new EventTarget(), { visibilityState: 'visible' });
const put = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
put('addEventListener', target.addEventListener.bind(target));
put('removeEventListener', target.removeEventListener.bind(target));
put('navigator', { connection });
put('document', document);
const goOnline = () => target.dispatchEvent(new Event('online'));

test('pings when it was silent for the interval, and not while it speaks', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.hello = (command, talk) => server.welcome(command, talk, { heartbeat: 0.1 });
  const client = server.client(t);
  await client.ready;
  const talk = await server.talk();
  await talk.next('ping', 2);
  assert.equal(server.talks.length, 1);
});

test('a server that is silent for one and a half intervals is dead: on with another connection', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.hello = (command, talk) => server.welcome(command, talk, { heartbeat: 0.1 });
  server.answers.ping = () => undefined;
  const client = server.client(t);
  const ends = [];
  client.on('status', ({ error }) => error && ends.push(error.code));
  await client.ready;
  await (await server.talk(2)).next('hello');
  assert.deepEqual(ends, [4008]);
});

test('says at once that the network changed, and takes the heartbeat that comes back', async (t) => {
  const server = await FakeServer.start(t);
  server.answers.network = () => ({ type: 'pong', heartbeat: 0.05 });
  const client = server.client(t);
  await client.ready;
  const talk = await server.talk();
  assert.equal(talk.all('hello')[0].network, 'wifi');
  connection.type = 'cellular';
  connection.dispatchEvent(new Event('change'));
  assert.equal((await talk.next('network')).network, 'cellular');
  await talk.next('ping', 2);
});

test('back online: a client that waits comes at once, unless the server named a time', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { backoff: { first: 3000, max: 3000 } });
  await client.ready;
  (await server.talk(1)).drop();
  await until(() => client.status === 'waiting');
  goOnline();
  await until(() => client.status === 'open');
  (await server.talk(2)).close(4029);
  await until(() => client.status === 'waiting');
  goOnline();
  assert.equal(client.status, 'waiting');
});

test('retry comes back at once', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { backoff: { first: 3000, max: 3000 } });
  await client.ready;
  (await server.talk(1)).drop();
  await until(() => client.status === 'waiting');
  client.retry();
  await until(() => client.status === 'open');
});

test('back in front: sees whether the connection lives', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  document.dispatchEvent(new Event('visibilitychange'));
  await (await server.talk()).next('network');
});

test('closed, it leaves no listeners behind', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  client.close();
  goOnline();
  assert.equal(client.status, 'closed');
  await until(() => server.ws.clients.size === 0);
  assert.equal(server.upgrades, 1);
});
