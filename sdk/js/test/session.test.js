import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, until } from './fake.js';

/** Takes what comes into a list. */
function gather(subscription) {
  const records = [];
  subscription.on('record', (record) => records.push(record));
  return records;
}
const texts = (records) => records.map((record) => record.text);

test('says hello with what it was given, and is ready when welcomed', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t, { token: 'yz_1', device: 'phone', keep: 30, network: 'cellular', will: { topic: 's', text: 'gone' } });
  const welcome = await client.ready;
  const { id, client: name, ...hello } = await (await server.talk()).next('hello');
  assert.deepEqual(hello, { type: 'hello', token: 'yz_1', device: 'phone', keep: 30, network: 'cellular', will: { topic: 's', text: 'gone' } });
  assert.match(name, /^yizhan-js\//);
  assert.equal(welcome.user, 'ann');
  assert.equal('secret' in welcome, false);
  assert.deepEqual([client.status, client.transport, client.user, client.session], ['open', 'websocket', 'ann', 's1']);
});

test('goes on with its session after a drop: has what it has, and nothing twice', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t');
  const records = gather(subscription);
  let begun = 0;
  subscription.on('subscribed', () => (begun += 1));
  const first = await server.talk(1);
  await first.next('subscribe');
  first.kept(1, 1, 16, 32);
  first.records(1, 3, 'unkept');
  await until(() => records.length === 3);
  first.drop();
  const second = await server.talk(2);
  const { resume } = await second.next('hello');
  assert.deepEqual(resume, { session: 's1', secret: 'secret of s1', have: [{ sub: 1, n: 3, pos: ['1.0.1.20'] }] });
  second.kept(1, 1, 16, 32); // A careless server.
  second.kept(1, 4, 48);
  await until(() => records.length === 4);
  assert.deepEqual(texts(records), ['16', '32', 'unkept', '48']);
  assert.deepEqual(records.map((record) => record.n), [1, 2, 3, 4]);
  assert.equal(second.all('subscribe').length, 0);
  assert.deepEqual([client.session, begun], ['s1', 1]);
});

test('a record that its position shows to be new is taken, whatever its number says', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const records = gather(client.subscribe('t'));
  const talk = await server.talk();
  await talk.next('subscribe');
  talk.kept(1, 7, 16);
  talk.kept(1, 1, 17); // A server that was restarted and counts anew.
  talk.kept(1, 2, 18);
  await until(() => records.length === 3);
  assert.deepEqual(texts(records), ['16', '17', '18']);
});

test('an unknown session: hello again on the same connection, and on from the positions', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const kept = client.subscribe('kept');
  const unkept = client.subscribe('unkept');
  const fresh = client.subscribe('fresh', { last: 5 });
  server.answers.subscribe = ({ sub }) => ({ type: 'subscribed', sub, pos: sub === 2 ? [] : ['1.0.1.8'], missed: 0 });
  const records = gather(kept);
  gather(unkept);
  const missed = [];
  client.on('missed', ({ subscription, missed: count }) => missed.push([subscription.filter, count]));
  const first = await server.talk(1);
  await first.next('subscribe', 3);
  first.kept(1, 1, 16);
  first.records(2, 1, 'x');
  await until(() => records.length === 1);
  server.answers.hello = (command, talk) =>
    command.resume ? { type: 'error', code: 301, reason: 'no such session', again: 'never' } : server.welcome(command, talk);
  first.drop();
  const second = await server.talk(2);
  await second.next('subscribe', 3);
  assert.equal(second.all('hello').length, 2);
  assert.deepEqual(second.all('subscribe').map(({ sub, filter, after, last }) => ({ sub, filter, after, last })), [
    { sub: 1, filter: 'kept', after: ['1.0.1.10'], last: undefined },
    { sub: 2, filter: 'unkept', after: undefined, last: undefined },
    { sub: 3, filter: 'fresh', after: undefined, last: 5 },
  ]);
  second.kept(1, 1, 17);
  await until(() => records.length === 2);
  assert.deepEqual(missed, [['unkept', -1]]);
  assert.equal(unkept.lost, 1);
  assert.equal(fresh.lost, 0);
});

test('a position that the server does not know (112): on from now, and it is said', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t', { after: '9.9.9.9' });
  server.answers.subscribe = ({ sub, after }) =>
    after ? { type: 'error', code: 112, reason: 'unknown', again: 'never' } : { type: 'subscribed', sub, pos: ['1.0.1.8'], missed: 0 };
  const [lost, ready] = [[], subscription.ready];
  subscription.on('missed', ({ missed }) => lost.push(missed));
  const talk = await server.talk();
  // It had nothing yet, so there is nothing to go on from: refused for good.
  await assert.rejects(ready, { code: 112 });
  const other = client.subscribe('u');
  other.on('missed', ({ missed }) => lost.push(missed));
  await other.ready;
  server.answers.hello = (command, answering) =>
    command.resume ? { type: 'error', code: 301, reason: '', again: 'never' } : server.welcome(command, answering);
  talk.drop();
  const second = await server.talk(2);
  await second.next('subscribe', 2);
  await until(() => lost.length === 1);
  assert.deepEqual(second.all('subscribe').map(({ after }) => after), [['1.0.1.8'], undefined]);
  assert.deepEqual(lost, [-1]);
});

test('what is lost is said once: by event, on the next record, and in sum', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t');
  const events = [];
  subscription.on('missed', (event) => events.push(event));
  const records = gather(subscription);
  const talk = await server.talk();
  await talk.next('subscribe');
  talk.records(1, 1, 'a');
  talk.send({ type: 'missed', sub: 1, n: 2, missed: 3 });
  talk.send({ type: 'missed', sub: 1, n: 2, missed: 3 }); // Said twice.
  talk.records(1, 5, 'b');
  talk.records(1, 8, 'c'); // A gap that nobody told of.
  talk.send({ type: 'missed', sub: 1, n: 9, missed: -1 });
  talk.records(1, 20, 'd', 'e');
  await until(() => records.length === 5);
  assert.deepEqual(records.map(({ text, missed }) => [text, missed]), [['a', 0], ['b', 3], ['c', 2], ['d', -1], ['e', 0]]);
  assert.deepEqual(events, [{ missed: 3, n: 2 }, { missed: 2, n: 6 }, { missed: -1, n: 9 }]);
  assert.equal(subscription.lost, 6);
});

for (const numbering of ['counted', 'not counted']) {
  test(`what a welcome says to be lost is not said again by the numbers (${numbering})`, async (t) => {
    const server = await FakeServer.start(t);
    const client = server.client(t);
    const subscription = client.subscribe('t');
    const records = gather(subscription);
    const first = await server.talk();
    await first.next('subscribe');
    first.records(1, 1, 'a');
    await until(() => records.length === 1);
    server.answers.hello = (command, talk) => server.welcome(command, talk, { subs: [{ sub: 1, filter: 't', missed: 4 }] });
    first.drop();
    const second = await server.talk(2);
    await second.next('hello');
    if (numbering === 'counted') second.send({ type: 'missed', sub: 1, n: 2, missed: 4 });
    second.records(1, numbering === 'counted' ? 6 : 2, 'b');
    await until(() => records.length === 2);
    assert.deepEqual([records[1].missed, subscription.lost], [4, 4]);
  });
}

test('subscriptions made and ended while away are put right', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const gone = client.subscribe('gone');
  await gone.ready;
  const first = await server.talk(1);
  client.on('status', ({ status }) => {
    if (status !== 'waiting' || first.closed === 'done') return;
    first.closed = 'done';
    gone.unsubscribe();
    client.subscribe('new');
  });
  server.answers.hello = (command, talk) => server.welcome(command, talk, { subs: [{ sub: 1, filter: 'gone', missed: 0 }] });
  first.drop();
  const second = await server.talk(2);
  await second.next('unsubscribe');
  assert.deepEqual(second.all('subscribe', 'unsubscribe').map(({ type, sub, filter }) => [type, sub, filter]), [
    ['subscribe', 2, 'new'], ['unsubscribe', 1, undefined],
  ]);
});

test('reads the clock by the quickest of several exchanges', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  await client.ready;
  const talk = await server.talk();
  await until(() => client.clock?.roundTrip < Infinity);
  assert.equal(talk.all('time').length, 4);
  // The fake server's clock is 1 s ahead, and its answer takes no time.
  const { offset, roundTrip } = client.clock;
  assert.ok(Math.abs(offset - 1000) <= roundTrip / 2 + 0.01, `${offset} ± ${roundTrip / 2}`);
  const [before, told, after] = [performance.timeOrigin + performance.now(), client.serverTime(), performance.timeOrigin + performance.now()];
  assert.ok(told >= before + offset && told <= after + offset);
});

test('close says goodbye, ends loops and rejects what waits', async (t) => {
  const server = await FakeServer.start(t);
  const client = server.client(t);
  const subscription = client.subscribe('t');
  await subscription.ready;
  const talk = await server.talk();
  server.answers.publish = () => undefined;
  const receipt = client.publish('t', 'x');
  const loop = (async () => {
    for await (const record of subscription) assert.fail(record);
    return 'ended';
  })();
  await talk.next('publish');
  client.close();
  await assert.rejects(receipt, { code: 900 });
  assert.equal(await loop, 'ended');
  await talk.next('bye');
  await until(() => talk.closed === 1000);
  assert.equal(client.status, 'closed');
  await assert.rejects(client.publish('t', 'y'), { code: 900 });
  await assert.rejects(client.subscribe('t').ready, { code: 900 });
});
