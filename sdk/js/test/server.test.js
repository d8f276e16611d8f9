// Against the real server, where target/debug/yizhan (or what YIZHAN_BIN names) has been built.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as dial, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { connect } from '../yizhan.js';
import { until } from './fake.js';
import { RealServer, binary } from './real.js';

const isMissing = existsSync(binary) ? false : `${binary} is not built`;
const limits = { skip: isMissing, timeout: 60_000 };

/** A network between client and server that can be cut. */
class Network {
  static async start(to) {
    const network = new Network();
    network.sockets = new Set();
    network.isUp = true;
    network.server = createServer((near) => {
      if (!network.isUp) return near.destroy();
      const [host, port] = to().split(':');
      const far = dial(Number(port), host);
      for (const socket of [near, far]) {
        network.sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          network.sockets.delete(socket);
          near.destroy();
          far.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise((resolve) => network.server.listen(0, '127.0.0.1', resolve));
    network.url = `http://127.0.0.1:${network.server.address().port}`;
    return network;
  }

  /** Everything breaks off without a word. */
  cut() {
    for (const socket of this.sockets) socket.destroy();
  }

  stop() {
    this.server.close();
    this.cut();
  }
}

let data;
let server;
let network;
let topics = 0;
const topic = (under) => `${under}/js-${process.pid}-${(topics += 1)}`;

before(async () => {
  if (isMissing) return;
  data = mkdtempSync(join(tmpdir(), 'yizhan-js-'));
  server = await RealServer.start(data);
  network = await Network.start(() => server.http);
});
after(async () => {
  if (isMissing) return;
  network.stop();
  await server.stop('SIGTERM');
  rmSync(data, { recursive: true });
});

function client(t, options) {
  const made = connect(network.url, { WebSocket, backoff: { first: 0.02, max: 0.1 }, ...options });
  t.after(() => made.close());
  return made;
}

/** Takes records until `count` came; their texts as numbers. */
async function take(subscription, count) {
  const records = [];
  for await (const record of subscription) {
    records.push(record);
    if (records.length === count) break;
  }
  return records;
}
const numbers = (count, from = 0) => Array.from({ length: count }, (_, i) => i + from);

for (const transport of ['websocket', 'sse', 'poll']) {
  const options = { transports: [transport] };

  test(`${transport}: publish, receive, history, state, presence, time`, limits, async (t) => {
    const ann = client(t, { ...options, device: 'phone' });
    const place = topic('disk');
    const room = ann.subscribe(place);
    await room.ready;
    assert.equal(ann.transport, transport);
    const bodies = ['你好 👋', { a: [1, null, 'ü'] }, Uint8Array.of(0, 255, 128), undefined, '字'.repeat(100_000)];
    const receipts = [];
    for (const body of bodies) receipts.push(await ann.publish(place, body, { headers: { lang: 'zh' }, durable: 'disk' }));
    assert.deepEqual(receipts.map(({ seq, durable }) => [seq, durable]), numbers(5, 1).map((seq) => [seq, 'disk']));
    const records = await take(room, 5);
    assert.deepEqual(records.map(({ text, data: json, bin }) => text ?? json ?? bin), bodies);
    assert.deepEqual(records.map(({ seq, n, missed }) => [seq, n, missed]), numbers(5, 1).map((i) => [i, i, 0]));
    assert.deepEqual(records[0].headers, { lang: 'zh' });
    assert.equal(records[0].device, 'phone');

    const pages = [];
    for await (const page of ann.pages(place, { limit: 2 })) pages.push(page.map(({ seq }) => seq));
    assert.deepEqual(pages, [[4, 5], [2, 3], [1]]);
    for await (const page of ann.pages(place, { since: receipts[1].at, limit: 3 })) pages.push(page.map(({ seq }) => seq));
    const first = pages[3][0]; // Those of one millisecond go together.
    assert.ok(first <= 2);
    assert.deepEqual(pages.slice(3).flat(), numbers(6 - first, first));
    await ann.publish(place, 'on', { key: 'light' });
    await ann.publish(place, 'off', { key: 'light' });
    assert.deepEqual((await ann.state(place)).map(({ key, text }) => [key, text]), [['light', 'off']]);
    const listener = ann.subscribe(place, { state: true });
    const [newest] = await take(listener, 1);
    assert.deepEqual([newest.text, newest.state], ['off', true]);
    const again = ann.subscribe(place);
    await again.ready;
    const present = await ann.presence({ topic: place });
    assert.ok(present.some(({ session, device }) => session === ann.session && device === 'phone'));
    const { offset, roundTrip } = await ann.readTime();
    const truth = Date.now() - (performance.timeOrigin + performance.now()); // One machine, one clock.
    assert.ok(Math.abs(offset - truth) <= roundTrip / 2 + 2, `${offset} is not ${truth} ± ${roundTrip / 2}`);
  });

  test(`${transport}: a reader whose network breaks again and again has everything once, in order`, limits, async (t) => {
    const reader = client(t, options);
    const writer = connect(`http://${server.http}`, { WebSocket });
    t.after(() => writer.close());
    const place = topic('disk');
    const room = reader.subscribe(place, { window: 20 });
    await room.ready;
    const taken = take(room, 300);
    for (let i = 0; i < 300; i += 1) {
      await writer.publish(place, i);
      if (i % 60 === 30) network.cut();
    }
    const records = await taken;
    assert.deepEqual(records.map((record) => record.data), numbers(300));
    assert.deepEqual(records.map(({ seq }) => seq), numbers(300, 1));
    assert.equal(room.lost, 0);
  });

  test(`${transport}: a writer whose network breaks publishes everything once, in order`, limits, async (t) => {
    const writer = client(t, options);
    await writer.ready;
    const place = topic('disk');
    const receipts = [];
    for (let i = 0; i < 200; i += 1) {
      receipts.push(writer.publish(place, i));
      if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      if (i % 50 === 25) network.cut();
    }
    const seqs = (await Promise.all(receipts)).map(({ seq }) => seq);
    assert.deepEqual(seqs, numbers(200, 1));
    const { records } = await writer.history(place, { limit: 1000 });
    assert.deepEqual(records.map((record) => record.data), numbers(200));
  });
}

test('a space that keeps nothing: the session gathers what came meanwhile, and losses are counted', limits, async (t) => {
  const reader = client(t);
  const writer = connect(`http://${server.http}`, { WebSocket });
  t.after(() => writer.close());
  const place = topic('rooms');
  const room = reader.subscribe(place);
  await room.ready;
  const records = [];
  room.on('record', (record) => records.push(record));
  for (let i = 0; i < 300; i += 1) {
    await writer.publish(place, i);
    if (i % 60 === 30) network.cut();
  }
  await until(() => records.at(-1)?.data === 299);
  const got = records.map((record) => record.data);
  assert.deepEqual(got, [...new Set(got)].sort((a, b) => a - b));
  if (records.every(({ missed }) => missed >= 0)) assert.equal(got.length + room.lost, 300);
});

test('where WebSocket does not get through, the stream does; and back again with the same session', limits, async (t) => {
  let isBlocked = true;
  class Blocked extends WebSocket {
    constructor(url, protocols) {
      super(isBlocked ? 'ws://127.0.0.1:1/' : url, protocols);
    }
  }
  const reader = client(t, { WebSocket: Blocked, upgradeAfter: 0.05 });
  const place = topic('disk');
  const room = reader.subscribe(place);
  await room.ready;
  assert.equal(reader.transport, 'sse');
  const { session } = reader;
  await reader.publish(place, 'by stream');
  isBlocked = false;
  await until(() => reader.transport === 'websocket');
  await reader.publish(place, 'by socket');
  assert.deepEqual((await take(room, 2)).map(({ text, n, missed }) => [text, n, missed]), [['by stream', 1, 0], ['by socket', 2, 0]]);
  assert.equal(reader.session, session);
});

test('a slow reader is waited for, and nothing is lost', limits, async (t) => {
  const reader = client(t);
  const place = topic('disk');
  const room = reader.subscribe(place, { window: 8 });
  await room.ready;
  const receipts = numbers(100).map((i) => reader.publish(place, i));
  await Promise.all(receipts);
  const got = [];
  for await (const { data: number } of room) {
    got.push(number);
    if (number % 10 === 0) await reader.readTime();
    if (got.length === 100) break;
  }
  assert.deepEqual(got, numbers(100));
  assert.equal(room.lost, 0);
});

test('refusals have the codes of the protocol', limits, async (t) => {
  const ann = client(t);
  await assert.rejects(ann.publish('rooms/#', 'x'), (error) => [110, 111].includes(error.code));
  await assert.rejects(ann.publish('$SYS/x', 'x'), { code: 210 });
  await assert.rejects(ann.publish('rooms/a', 'x', { durable: 'disk' }), { code: 312 });
  await assert.rejects(ann.history('rooms/a'), { code: 311 });
  await assert.rejects(ann.subscribe('rooms/+', { last: 5 }).ready, { code: 111 });
  const stranger = client(t, { token: 'yz_not_a_token' });
  await assert.rejects(stranger.ready, (error) => [201, 203].includes(error.code));
});

// The last one: it takes the server away from the others.
test('kill -9: the reader goes on where it was, the writer loses nothing that was acknowledged', limits, async (t) => {
  const [reader, writer] = [client(t), client(t)];
  const place = topic('disk');
  const room = reader.subscribe(place);
  await room.ready;
  const records = [];
  room.on('record', (record) => records.push(record));
  const receipts = numbers(50).map((i) => writer.publish(place, i));
  await Promise.all(receipts);
  const address = server.http;
  await server.stop('SIGKILL');
  receipts.push(...numbers(50, 50).map((i) => writer.publish(place, i)));
  server = await RealServer.start(data, { http: address });
  const seqs = (await Promise.all(receipts)).map(({ seq }) => seq);
  assert.deepEqual(seqs, numbers(100, 1));
  await until(() => records.length >= 100);
  assert.deepEqual(records.map((record) => record.data), numbers(100));
  assert.equal(room.lost, 0);
  const { records: kept } = await writer.history(place, { limit: 1000 });
  assert.deepEqual(kept.map((record) => record.data), numbers(100));
});
