// Messaging against the real server: what the scripted one only pretends.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WebSocket } from 'ws';
import { openIm } from '../im.js';
import { connect } from '../yizhan.js';
import { until } from './fake.js';
import { RealServer, binary } from './real.js';

const skip = existsSync(binary) ? false : `${binary} is not built`;
const SECRET = 'a secret of this test, and of no other';
// 1×1 pixel.
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

let data;
let server;
before(async () => {
  if (skip) return;
  data = mkdtempSync(join(tmpdir(), 'yizhan-im-'));
  server = await RealServer.start(data, { sets: [`identity.jwt.secret=${SECRET}`] });
});
after(async () => {
  if (skip) return;
  await server.stop('SIGTERM');
  rmSync(data, { recursive: true });
});

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function tokenOf(user) {
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp: Math.floor(Date.now() / 1000) + 3_600 })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

async function open(t, user, options = {}) {
  const client = connect(`http://${server.http}`, { WebSocket, token: tokenOf(user), device: `${user}'s`, ...options });
  const im = openIm(client, { cache: false, platform: 'other' });
  t.after(async () => {
    await im.stop();
    client.close();
  });
  await im.start();
  return im;
}

for (const transport of ['websocket', 'sse', 'poll']) {
  test(`two people talk, over ${transport}: sent, delivered, read`, { skip, timeout: 60_000 }, async (t) => {
    const options = { transports: [transport] };
    const [ann, bob] = [await open(t, `ann-${transport}`, options), await open(t, `bob-${transport}`, options)];
    const mine = await ann.open(bob.me);
    await mine.open();
    const rung = [];
    bob.on('message', ({ seq }) => rung.push(seq));
    await mine.send('hello');
    await until(() => rung.length === 1, 'the message comes by the stream');
    const theirs = await bob.open(ann.me);
    await theirs.open();
    await until(() => mine.messages[0].state === 'delivered');
    assert.equal(bob.unread.unread, 1);
    theirs.typing();
    await until(() => mine.typers.includes(bob.me));
    theirs.markRead();
    await until(() => mine.messages[0].state === 'read');
    assert.equal(bob.unread.unread, 0);
    await theirs.reply(1, 'hi');
    await until(() => mine.messages.length === 2);
    assert.equal(mine.messages[1].content.reply, 1);
    assert.equal(mine.messages[1].mine, false);
    await mine.edit(1, 'hello!');
    await theirs.react(1, '👍');
    await until(() => theirs.messages[0].content.text === 'hello!' && mine.messages[0].reactions?.[0].count === 1);
    await mine.recall(1);
    await until(() => theirs.messages[0].recalled);
  });
}

test('a group: made, joined, left; who is there and who has read', { skip, timeout: 60_000 }, async (t) => {
  const [ann, bob, eve] = [await open(t, 'ann-group'), await open(t, 'bob-group'), await open(t, 'eve-group')];
  const group = await ann.create({ kind: 'group', title: 'Tea', members: ['bob-group'] });
  await until(() => bob.conversations.get(group.id)?.title === 'Tea');
  await group.open();
  await group.send('welcome');
  const { link } = await group.link();
  const joined = await eve.join({ link });
  await joined.open();
  await until(() => group.entry.members === 3);
  const { members } = await group.members();
  assert.deepEqual(members.map(({ user, role }) => `${user} ${role}`).sort(), ['ann-group owner', 'bob-group member', 'eve-group member']);
  await joined.send({ kind: 'text', text: '@bob-group look', mentions: ['bob-group'] });
  await until(() => bob.unread.mentions === 1);
  bob.conversation(group.id).markRead();
  await until(async () => (await group.receipts(1)).users.includes('bob-group'));
  await group.update({ title: 'Coffee' });
  await until(() => bob.conversations.get(group.id).title === 'Coffee');
  await joined.leave();
  await until(() => !eve.conversations.get(group.id) && group.entry.members === 2);
  await group.mute('bob-group', 60);
  await assert.rejects(bob.conversation(group.id).send('not now'), { code: 612 });
  await until(() => group.notices.some(({ event }) => event === 'mute'));
});

test('a picture goes up, comes to the other one, and comes down', { skip, timeout: 60_000 }, async (t) => {
  const [ann, bob] = [await open(t, 'ann-file'), await open(t, 'bob-file')];
  const chat = await ann.open('bob-file');
  await chat.open();
  await chat.send({ kind: 'image' }, { file: new File([PNG], 'dot.png', { type: 'image/png' }) });
  await until(() => chat.messages[0]?.content.facts?.width === 1, 'the server has looked at it');
  const theirs = await bob.open('ann-file');
  await theirs.open();
  const { content } = theirs.messages[0];
  assert.deepEqual([content.name, content.facts.bytes, content.facts.type], ['dot.png', PNG.length, 'image/png']);
  assert.deepEqual(Buffer.from(await (await bob.files.download(content.file)).arrayBuffer()), PNG);
  const signed = await fetch(await bob.fileLink(content.file));
  assert.equal(signed.status, 200);
  // Who shows nothing is anonymous here, and to such a one there is no such file.
  assert.equal((await fetch(bob.fileUrl(content.file))).status, 404);
  const large = new File([Buffer.alloc(2_500_000, 'yizhan ')], 'large.txt');
  const sent = [];
  await chat.send({ kind: 'file' }, { file: large, onProgress: (progress) => sent.push(progress.sent) });
  assert.ok(sent.length > 3);
  await until(() => theirs.messages.length === 2);
  assert.equal((await bob.files.download(theirs.messages[1].content.file)).size, 2_500_000);
});

test('a device that was away has all that it missed, and what was left is gone', { skip, timeout: 60_000 }, async (t) => {
  const ann = await open(t, 'ann-away');
  const [chat, group] = [await ann.open('bob-away'), await ann.create({ kind: 'group', title: 'Away', members: ['bob-away'] })];
  const bob = await open(t, 'bob-away');
  await bob.conversation(chat.id).open();
  for (const text of ['1', '2', '3']) await chat.send(text);
  await until(() => bob.conversation(chat.id).messages.length === 3);
  bob.client.close();
  await bob.stop();
  await chat.edit(2, 'two');
  await chat.send('4');
  await group.remove(['bob-away']);
  const again = await open(t, 'bob-away');
  assert.equal(again.conversations.get(chat.id).unread, 4);
  assert.equal(again.conversations.get(group.id), undefined);
  await again.conversation(chat.id).open();
  assert.deepEqual(again.conversation(chat.id).messages.map(({ content }) => content.text), ['1', 'two', '3', '4']);
});

test('people: profiles, presence, friends, blocks', { skip, timeout: 60_000 }, async (t) => {
  const [ann, bob] = [await open(t, 'ann-people'), await open(t, 'bob-people')];
  await bob.people.setProfile({ name: 'Bob' });
  await until(() => ann.people.nameOf('bob-people') === 'Bob');
  await until(() => ann.people.presenceOf('bob-people')?.online);
  const asked = new Promise((resolve) => bob.people.on('friends', resolve));
  await ann.people.befriend('bob-people', 'hello');
  await asked;
  await bob.people.answerFriend('ann-people', true);
  const { friends } = await ann.people.friends();
  assert.equal(friends.length, 1);
  await bob.people.block('ann-people');
  await assert.rejects(ann.open('bob-people'), { code: 614 });
});

test('a chatroom: who listens hears, and values are there for all', { skip, timeout: 60_000 }, async (t) => {
  const [ann, bob] = [await open(t, 'ann-room'), await open(t, 'bob-room')];
  const { id } = await ann.create({ kind: 'room', title: 'Stage' });
  const [mine, theirs] = [ann.room(id), bob.room(id)];
  assert.equal((await mine.enter()).title, 'Stage');
  await theirs.enter();
  await mine.send('welcome');
  await mine.set('score', 3);
  await until(() => theirs.messages.length === 1 && theirs.values.get('score') === 3);
  assert.equal(theirs.messages[0].content.text, 'welcome');
  theirs.leave();
});

test('what was said is found', { skip, timeout: 60_000 }, async (t) => {
  const ann = await open(t, 'ann-search');
  const chat = await ann.open('bob-search');
  await chat.send('we drink 乌龙茶 tonight');
  const found = () => ann.search({ text: '乌龙茶' }).then(({ hits }) => hits[0]);
  const hit = await until(found, 'the message is in the index');
  const [[from, to]] = hit.marks;
  assert.equal(hit.snippet.slice(from, to), '乌龙茶');
});
