import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openIm } from '../im.js';
import { FakeIm } from './fake-im.js';
import { until } from './fake.js';

/** The chat door's files in memory; `breaks(request, number)` says which requests of a kind fail, and how. */
class FakeFiles {
  constructor(fake) {
    Object.assign(this, { files: new Map(), requests: [], breaks: () => undefined });
    fake.server.refuse = (request, reply, { bytes, response }) => this.answer(request, reply, bytes, response);
  }

  answer(request, reply, bytes, response) {
    const url = new URL(request.url, 'http://x');
    if (!url.pathname.startsWith('/im/v1/')) return false;
    const { method } = request;
    this.requests.push(`${method} ${url.pathname}`);
    const broken = this.breaks(method, this.requests.filter((line) => line.startsWith(method)).length);
    if (broken === 'before') return request.socket.destroy() && true;
    const [, id, part] = /^\/im\/v1\/files\/([^/]+)(\/thumb)?$/.exec(url.pathname) ?? [];
    const file = this.files.get(id);
    const done = () => ({ file: id, bytes: file.bytes.length, type: 'text/plain', kind: 'other', complete: true, offset: file.bytes.length });
    const tell = (status, value, headers) => (broken === 'after' ? request.socket.destroy() : reply(status, value, headers), true);
    if (request.headers.authorization !== 'Bearer ann') return tell(401, { code: 201, reason: 'who are you?', again: 'never' });
    if (url.pathname === '/im/v1/files' && method === 'PUT') {
      this.files.set('small', { bytes, about: Object.fromEntries(url.searchParams) });
      return tell(200, { file: 'small', bytes: bytes.length, type: 'text/plain', kind: 'other' });
    }
    if (url.pathname === '/im/v1/files') {
      const name = `f${this.files.size}`;
      this.files.set(name, { bytes: Buffer.alloc(0), about: JSON.parse(bytes) });
      return tell(201, { file: name, offset: 0 });
    }
    if (url.pathname === '/im/v1/file_key') return tell(200, { key: 'k y', expires_at: 10_000_000_000_000 });
    if (!file) return tell(404, { code: 620, reason: 'no such file', again: 'never' });
    if (method === 'HEAD') return tell(200, {}, { 'Upload-Offset': String(file.bytes.length) });
    if (method === 'GET') {
      response.end(part ? 'thumb' : file.bytes);
      return true;
    }
    if (Number(request.headers['upload-offset']) !== file.bytes.length) return tell(409, { code: 631, reason: 'not there', again: 'never' }, { 'Upload-Offset': String(file.bytes.length) });
    file.bytes = Buffer.concat([file.bytes, bytes]);
    return tell(200, file.bytes.length === file.about.bytes ? done() : { file: id, offset: file.bytes.length, complete: false });
  }
}

async function begin(t) {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  const files = new FakeFiles(fake);
  const im = openIm(fake.server.client(t, { token: 'ann' }), { cache: false });
  t.after(() => im.stop());
  await im.start();
  return { fake, files, im };
}

const large = () => new File([Buffer.from(Array.from({ length: 2_500_000 }, (_, i) => i % 251))], 'large.bin');

test('a small file goes up in one request', async (t) => {
  const { files, im } = await begin(t);
  const uploaded = await im.upload(new File(['hello'], 'a b.txt'), { conversation: 'dannbob' });
  assert.deepEqual(uploaded, { file: 'small', bytes: 5, type: 'text/plain', kind: 'other' });
  assert.deepEqual(files.files.get('small').about, { name: 'a b.txt', conversation: 'dannbob' });
  assert.deepEqual(files.requests, ['PUT /im/v1/files']);
});

test('a large file goes up in parts, with progress, and on where it was after breaks', async (t) => {
  const { files, im } = await begin(t);
  // The second part never arrives, the third arrives without being answered.
  files.breaks = (method, number) => method === 'PATCH' && { 2: 'before', 3: 'after' }[number];
  const sent = [];
  const uploaded = await im.upload(large(), { onProgress: (progress) => sent.push(progress) });
  assert.equal(uploaded.file, 'f0');
  assert.equal(uploaded.bytes, 2_500_000);
  assert.deepEqual(files.files.get('f0').bytes, Buffer.from(await large().arrayBuffer()));
  assert.deepEqual(sent[0], { sent: 0, total: 2_500_000 });
  assert.deepEqual(sent.at(-1), { sent: 2_500_000, total: 2_500_000 });
  assert.ok(files.requests.includes('HEAD /im/v1/files/f0'));
});

test('an upload that the server forgot begins anew; one that it refuses fails at once', async (t) => {
  const { files, im } = await begin(t);
  const uploaded = await im.upload(large(), { resume: 'gone' });
  assert.equal(uploaded.bytes, 2_500_000);
  files.answer = (request, reply) => reply(413, { code: 645, reason: 'too large', again: 'never' }) ?? true;
  await assert.rejects(im.upload(large()), { code: 645 });
});

test('an upload can be given up', async (t) => {
  const { files, im } = await begin(t);
  const abort = new AbortController();
  files.breaks = (method) => method === 'PATCH' && 'before';
  const uploading = im.upload(large(), { signal: abort.signal });
  await until(() => files.requests.some((line) => line.startsWith('PATCH')));
  abort.abort(new Error('enough'));
  await assert.rejects(uploading, /enough|abort/i);
});

test('a message with a file shows its progress, and carries the id of the file', async (t) => {
  const { fake, im } = await begin(t);
  const chat = im.conversation('dannbob');
  await chat.open();
  const shares = new Set();
  chat.on('change', () => chat.messages.forEach(({ progress, file }) => progress && file && shares.add(progress.sent)));
  await chat.send({ kind: 'file' }, { file: large() });
  const { content } = fake.conversations.get('dannbob').messages[0];
  assert.deepEqual([content.kind, content.file, content.name], ['file', 'f0', 'large.bin']);
  assert.deepEqual([...shares], [0, 1_048_576, 2_097_152, 2_500_000]);
});

test('what was uploaded comes down, as bytes, as a picture and by a signed address', async (t) => {
  const { im, files } = await begin(t);
  await im.upload(new File(['hello'], 'a.txt'));
  assert.equal(await (await im.files.download('small')).text(), 'hello');
  assert.equal(await (await im.files.download('small', { thumb: true })).text(), 'thumb');
  const url = await im.fileObject('small');
  assert.equal(url, await im.fileObject('small'));
  assert.match(url, /^blob:/);
  assert.match(await im.fileLink('small', { thumb: true }), /\/im\/v1\/files\/small\/thumb\?key=k%20y$/);
  await im.fileLink('small');
  assert.equal(files.requests.filter((line) => line.endsWith('file_key')).length, 1);
});
