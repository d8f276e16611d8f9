import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../yizhan.js';
import { WebSocket } from 'ws';
import { FakeServer, until } from './fake.js';

test('a publish has a receipt, and an id of its own', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  server.answers.publish = () => ({ type: 'receipt', seq: 7, pos: '1.0.1.7', at: 5, durable: 'disk', duplicate: false });
  const receipt = await client.publish('t', 'hello', { key: 'k', headers: { a: 'b' }, expires: 60, durable: 'disk', content: 'text/x', qos: 1, delay: 5 });
  assert.deepEqual(receipt, { seq: 7, pos: '1.0.1.7', at: 5, durable: 'disk', duplicate: false });
  await client.publish('t', 'again');
  const [{ id, mid, expires, ...first }, second] = (await server.talk()).all('publish');
  assert.deepEqual(first, { type: 'publish', topic: 't', text: 'hello', key: 'k', headers: { a: 'b' }, durable: 'disk', content: 'text/x', qos: 1, delay: 5 });
  assert.ok(expires > 59 && expires <= 60);
  assert.notEqual(mid, second.mid);
});

test('bodies: text, bytes, JSON and nothing, there and back', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t');
  const talk = await server.talk();
  await subscription.ready;
  server.answers.publish = ({ text, data, bin, topic }) => {
    setImmediate(() => talk.send({ type: 'records', sub: 1, n: (talk.count = (talk.count ?? 0) + 1), records: [{ topic, at: 1, text, data, bin }] }));
    return { type: 'receipt', at: 1, durable: 'none', duplicate: false };
  };
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i);
  for (const body of ['你好 👋', bytes, bytes.buffer, new DataView(bytes.buffer, 1, 2), { a: [1, null] }, 0, null, undefined]) client.publish('t', body);
  const got = [];
  for await (const { text, data, bin } of subscription) {
    got.push(text ?? data ?? bin ?? 'nothing');
    if (got.length === 8) break;
  }
  assert.deepEqual(got, ['你好 👋', bytes, bytes, Uint8Array.of(1, 2), { a: [1, null] }, 0, 'nothing', 'nothing']);
  assert.deepEqual(talk.all('publish').slice(-2).map((command) => 'data' in command), [true, false]);
});

test('what is published offline goes out in order, behind what was on the way', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  server.answers.publish = () => undefined;
  const receipts = [client.publish('t', '1'), client.publish('t', '2')];
  const first = await server.talk(1);
  await first.next('publish', 2);
  client.on('status', ({ status }) => {
    if (status === 'waiting') receipts.push(client.publish('t', '3'), client.publish('t', '4'));
  });
  delete server.answers.publish;
  server.answers.publish = ({ text }) => ({ type: 'receipt', at: Number(text), durable: 'none', duplicate: false });
  first.drop();
  const second = await server.talk(2);
  await second.next('publish', 4);
  assert.deepEqual(second.all('publish').map(({ text }) => text), ['1', '2', '3', '4']);
  // The same ids, so that the server sends none of them twice.
  assert.deepEqual(second.all('publish').slice(0, 2).map(({ mid }) => mid), first.all('publish').map(({ mid }) => mid));
  assert.deepEqual((await Promise.all(receipts)).map(({ at }) => at), [1, 2, 3, 4]);
});

test('published before the first connection, behind the subscriptions, in one frame', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  client.publish('t', '1');
  client.subscribe('t');
  client.publish('t', '2');
  const talk = await server.talk();
  await talk.next('publish', 2);
  assert.deepEqual(talk.heard.map(({ type }) => type).slice(0, 5), ['hello', 'subscribe', 'publish', 'publish', 'time']);
  assert.equal(talk.frames - (talk.all('time').length - 1), 2);
});

test('a full queue refuses the new one', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { queue: { max: 2 } });
  const kept = [client.publish('t', '1'), client.publish('t', '2')];
  await assert.rejects(client.publish('t', '3'), { code: 901, again: 'soon' });
  await Promise.all(kept);
  await client.publish('t', '4');
  assert.deepEqual((await server.talk()).all('publish').map(({ text }) => text), ['1', '2', '4']);
});

test('a full queue gives up the oldest, if that is wished', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { queue: { max: 2, policy: 'drop-oldest' } });
  const first = client.publish('t', '1');
  client.publish('t', '2');
  await client.publish('t', '3');
  await assert.rejects(first, { code: 901 });
  assert.deepEqual((await server.talk()).all('publish').map(({ text }) => text), ['2', '3']);
});

test('what expires while offline is not sent, and the rest of its time is', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const short = client.publish('t', 'short', { expires: 0 });
  await client.publish('t', 'long', { expires: 100 });
  await assert.rejects(short, { code: 902 });
  const [{ text, expires }] = (await server.talk()).all('publish');
  assert.equal(text, 'long');
  assert.ok(expires > 0 && expires < 100);
});

test('a refusal rejects its own promise with code and advice', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  server.answers.publish = ({ text }) =>
    text === 'no' ? { type: 'error', code: 402, reason: 'too fast', again: 2 } : { type: 'receipt', at: 1, durable: 'none', duplicate: true };
  const [no, yes] = [client.publish('t', 'no'), client.publish('t', 'yes')];
  await assert.rejects(no, { code: 402, reason: 'too fast', again: 2, name: 'YizhanError' });
  assert.equal((await yes).duplicate, true);
});

test('a server that stops (501) is asked again by the next connection', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  server.answers.publish = (_, talk) => (talk.session === 's1' && server.talks.length === 1
    ? { type: 'error', code: 501, reason: 'stopping', again: 'soon' } : { type: 'receipt', at: 1, durable: 'none', duplicate: false });
  const receipt = client.publish('t', 'x');
  const talk = await server.talk(1);
  await talk.next('publish');
  talk.send({ type: 'close', code: 1001, reason: 'stopping', again: 'soon' });
  talk.close(1001, 'stopping');
  await receipt;
  assert.equal(server.talks.length, 2);
});

test('frames stay below the limit that the welcome names; a command that cannot is refused here', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  const talk = await server.talk();
  await until(() => client.clock?.roundTrip < Infinity);
  const before = talk.frames;
  const big = '字'.repeat(500); // 1,500 bytes; the fake server's limit is 4,096.
  await Promise.all(Array.from({ length: 6 }, () => client.publish('t', big)));
  assert.equal(talk.all('publish').length, 6);
  assert.equal(talk.frames - before, 3);
  await assert.rejects(client.publish('t', '字'.repeat(1400)), { code: 114 });
  assert.equal(client.status, 'open');
});

test('a read survives a drop, and is given up in time', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { timeout: 0.5 });
  await client.ready;
  server.answers.presence = () => undefined;
  const present = client.presence({ topic: 't' });
  const first = await server.talk(1);
  await first.next('presence');
  server.answers.presence = () => ({ type: 'presence', sessions: [{ user: 'ann', session: 's', door: 'ws', since: 1 }] });
  first.drop();
  assert.deepEqual(await present, [{ user: 'ann', session: 's', door: 'ws', since: 1 }]);
  server.answers.state = () => undefined;
  await assert.rejects(client.state('t'), { code: 903 });
});

test('history goes back page by page, and forward from a number', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  server.answers.history = ({ topic, before = 8, after, limit }) => {
    const seqs = Array.from({ length: 7 }, (_, i) => i + 1).filter((seq) => seq < before && seq > (after ?? 0));
    const page = after === undefined ? seqs.slice(-limit) : seqs.slice(0, limit);
    return { type: 'history', topic, missed: 0, more: page.length < seqs.length, records: page.map((seq) => ({ topic, seq, at: 1, bin: 'AQ==' })) };
  };
  const seqs = async (options) => {
    const pages = [];
    for await (const page of client.pages('t', options)) pages.push(page.map(({ seq }) => seq));
    return pages;
  };
  assert.deepEqual(await seqs({ limit: 3 }), [[5, 6, 7], [2, 3, 4], [1]]);
  assert.deepEqual(await seqs({ limit: 4, before: 6 }), [[2, 3, 4, 5], [1]]);
  assert.deepEqual(await seqs({ limit: 3, after: 2 }), [[3, 4, 5], [6, 7]]);
  assert.deepEqual(await seqs({ limit: 2, after: 3, before: 7 }), [[4, 5], [6]]);
  const page = await client.history('t', { limit: 1 });
  assert.deepEqual([page.more, page.missed, page.records[0].bin], [true, 0, Uint8Array.of(1)]);
});

test('a password goes into hello, and never over a fall-back', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  assert.throws(() => connect(server.url, { user: 'ann', password: 'x', transports: ['sse', 'poll'] }), TypeError);
  const client = server.client(t, { user: 'ann', password: 'secret' });
  await until(() => server.upgrades > 2);
  assert.equal(client.status === 'open', false);
  assert.deepEqual(server.requests, []);
  server.sockets = true;
  await client.ready;
  const { user, password } = await (await server.talk()).next('hello');
  assert.deepEqual([user, password], ['ann', 'secret']);
});

test('the address may be ws, http, with a path or slash', async (t) => {
  const server = await FakeServer.start(t);
  for (const url of [server.url.replace('http', 'ws'), `${server.url}/`, new URL(server.url)]) {
    const client = connect(url, { WebSocket });
    await client.ready;
    client.close();
  }
  const client = connect(`${server.url}/below/`, { WebSocket });
  t.after(() => client.close());
  await client.ready;
  assert.equal(server.talks.at(-1).request.url, '/below/v1/socket');
});
