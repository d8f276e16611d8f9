import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, until } from './fake.js';

/** Subscribes, publishes, receives: over whatever it is. */
async function speak(client, server, transport) {
  const subscription = client.subscribe('t');
  await subscription.ready;
  assert.equal(client.transport, transport);
  const talk = server.talks.at(-1);
  const records = [];
  subscription.on('record', ({ text }) => records.push(text));
  talk.records(1, 1, 'ä👋');
  await until(() => records.length === 1);
  await client.publish('t', 'x');
  return { talk, records };
}

test('falls back to Server-Sent Events and POST where the upgrade is refused', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  const client = server.client(t, { token: 'yz_1', device: 'my phone', network: 'cellular' });
  const { talk, records } = await speak(client, server, 'sse');
  assert.equal(talk.request.headers.authorization, 'Bearer yz_1');
  assert.equal(talk.request.url, '/v1/sse?device=my+phone&network=cellular');
  assert.equal(talk.all('hello').length, 0);
  assert.deepEqual(records, ['ä👋']);
  client.close();
  await talk.next('bye');
  await until(() => talk.closed);
});

test('the stream goes on where it ended, with nothing twice', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  const client = server.client(t);
  const { talk, records } = await speak(client, server, 'sse');
  talk.drop();
  const second = await server.talk(2);
  assert.match(second.after, /^s1\/\d+$/);
  second.records(1, 1, 'ä👋', 'next');
  await until(() => records.length === 2);
  assert.deepEqual(records, ['ä👋', 'next']);
  assert.equal(second.all('subscribe').length, 0);
  assert.equal(client.session, 's1');
});

test('commands by POST keep their order, one request at a time', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  const client = server.client(t);
  await client.ready;
  const receipts = [];
  for (let i = 0; i < 20; i += 1) {
    receipts.push(client.publish('t', String(i)));
    if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(receipts);
  const texts = (await server.talk()).all('publish').map(({ text }) => Number(text));
  assert.deepEqual(texts, Array.from({ length: 20 }, (_, i) => i));
});

test('a POST that is too many (429) is sent again, once it may be', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  const client = server.client(t);
  await client.ready;
  await until(() => client.clock?.roundTrip < Infinity);
  let refused = 0;
  server.refuse = ({ url }, reply) => {
    if (url !== '/v1/send' || (refused += 1) > 1) return false;
    reply(429, { type: 'error', code: 402, reason: 'too fast', again: 0.01 }, { 'Retry-After': '0.01' });
    return true;
  };
  await client.publish('t', 'x');
  assert.equal(refused, 2);
  assert.equal((await server.talk()).all('publish').length, 1);
});

test('a session that the POST finds gone is opened anew, and nothing of the queue is lost', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  const client = server.client(t);
  const { talk } = await speak(client, server, 'sse');
  talk.session = 'gone';
  await client.publish('t', 'y');
  const second = await server.talk(2);
  assert.deepEqual(second.all('subscribe', 'publish').map(({ type }) => type), ['subscribe', 'publish']);
  assert.equal(client.session, 's2');
});

test('falls back to long-poll where there is no stream, and loses no answer', async (t) => {
  const server = await FakeServer.start(t, { sockets: false, sse: false });
  const client = server.client(t, { token: 'yz_1' });
  const { talk, records } = await speak(client, server, 'poll');
  // Answers are lost on the way, one of them with the second record: it comes again.
  server.failPolls = 2;
  talk.records(1, 2, 'second');
  await until(() => records.length === 2 && server.failPolls === 0 && client.status === 'open');
  assert.deepEqual(records, ['ä👋', 'second']);
  assert.equal(server.talks.length, 1);
  assert.equal(client.session, 's1');
  // Back from a break it does not wait for news before it says that it is there.
  const waits = server.requests.flatMap((request) => /^GET \/v1\/poll\?wait=(\d+)&ack=\d+$/.exec(request)?.[1] ?? []);
  assert.deepEqual([...new Set(waits)].sort(), ['0', '25']);
  client.close();
  await talk.next('bye');
});

test('a poll whose session is gone opens another', async (t) => {
  const server = await FakeServer.start(t, { sockets: false, sse: false });
  const client = server.client(t);
  const { talk, records } = await speak(client, server, 'poll');
  talk.session = 'gone';
  const second = await server.talk(2);
  await second.next('subscribe');
  second.records(1, 1, 'again');
  await until(() => records.length === 2);
});

test('a stream that a proxy swallows counts as none', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  server.refuse = ({ url }, reply) => {
    if (!url.startsWith('/v1/sse')) return false;
    reply(200, 'please sign in');
    return true;
  };
  const client = server.client(t);
  await client.ready;
  assert.equal(client.transport, 'poll');
});

test('moves back to a WebSocket as soon as one opens, with the session', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  const client = server.client(t, { upgradeAfter: 0.02 });
  const { talk, records } = await speak(client, server, 'sse');
  await until(() => server.upgrades >= 3);
  server.sockets = true;
  await until(() => client.transport === 'websocket');
  const second = server.talks.at(-1);
  assert.deepEqual(second.all('hello')[0].resume, { session: 's1', secret: 'secret of s1', have: [{ sub: 1, n: 1 }] });
  await until(() => talk.closed);
  second.records(1, 1, 'ä👋', 'by socket');
  await until(() => records.length === 2);
  assert.equal(second.all('subscribe').length, 0);
  second.drop();
  await (await until(() => server.talks.find((each) => each !== second && each.all('hello').length > 0))).next('hello');
});

test('a server that is away for a moment is no reason to fall back', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  const used = [];
  client.on('status', ({ status, transport }) => status === 'connecting' && used.push(transport));
  server.sockets = false;
  (await server.talk()).drop();
  await until(() => server.upgrades >= 3);
  server.sockets = true;
  await until(() => client.status === 'open');
  assert.deepEqual([...new Set(used)], ['websocket']);
});

test('only the transports that were asked for', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { transports: ['poll'] });
  await client.ready;
  assert.equal(client.transport, 'poll');
  assert.equal(server.upgrades, 0);
});

test('without a WebSocket class it begins with the stream', async (t) => {
  const had = globalThis.WebSocket;
  globalThis.WebSocket = undefined;
  t.after(() => (globalThis.WebSocket = had));
  const server = await FakeServer.start(t);
  const client = server.client(t, { WebSocket: undefined });
  await client.ready;
  assert.equal(client.transport, 'sse');
});

test('with an EventSource: a ticket instead of a header, and it goes on after a drop', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  /** As little of one as the client uses. */
  class EventSource {
    constructor(url) {
      this.abort = new AbortController();
      this.run(url).catch(() => this.onerror());
    }

    async run(url) {
      const response = await fetch(url, { signal: this.abort.signal });
      this.onopen();
      let text = '';
      for await (const chunk of response.body) {
        text += new TextDecoder().decode(chunk);
        const events = text.split('\r\n\r\n');
        text = events.pop();
        for (const event of events) {
          const field = (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(event)?.[1];
          this.onmessage({ data: field('data'), lastEventId: field('id') });
        }
      }
      throw new Error('ended');
    }

    close() {
      this.onerror = () => {};
      this.abort.abort();
    }
  }
  const client = server.client(t, { EventSource, token: 'yz_1' });
  const { talk, records } = await speak(client, server, 'sse');
  assert.equal(talk.request.headers.authorization, undefined);
  assert.ok(server.requests.includes(`GET /v1/sse?${new URLSearchParams({ ticket: 'ticket for Bearer yz_1', network: 'wifi' })}`));
  talk.drop();
  const second = await server.talk(2);
  assert.match(second.after, /^s1\//);
  second.records(1, 2, 'next');
  await until(() => records.length === 2);
});

test('a token that expired is changed on the stream, too', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  server.refuse = ({ headers, url }, reply) => {
    if (!url.startsWith('/v1/sse') || headers.authorization === 'Bearer token 2') return false;
    reply(401, { type: 'error', code: 202, reason: 'expired', again: 'never' });
    return true;
  };
  let asked = 0;
  const client = server.client(t, { token: () => `token ${(asked += 1)}` });
  await client.ready;
  assert.equal(client.transport, 'sse');
});

test('who is not let in (401) is not let in by any transport', async (t) => {
  const server = await FakeServer.start(t, { sockets: false });
  server.refuse = (_, reply) => {
    reply(401, { type: 'error', code: 203, reason: 'not valid', again: 'never' });
    return true;
  };
  const client = server.client(t, { token: 'x' });
  await assert.rejects(client.ready, { code: 203 });
  assert.deepEqual(server.requests, ['GET /v1/sse?network=wifi']);
});
