// Messaging's cache in a real browser: IndexedDB, reloads, and several tabs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBrowser, skip as noBrowser } from './browser.js';
import { FakeIm } from './fake-im.js';
import { until } from './fake.js';

// The server is a scripted one, so that no binary is needed.
const skip = /cargo build/.test(noBrowser) ? false : noBrowser;
let browser;
before(async () => {
  if (!skip) browser = await openBrowser();
});
after(() => browser?.close());

/** A scripted server that has the SDK's files and a page, too. */
async function begin(t) {
  const fake = await FakeIm.start(t);
  fake.make('dannbob', 'direct', ['ann', 'bob']);
  fake.server.refuse = (request, reply, { response }) => {
    const { pathname } = new URL(request.url, 'http://x');
    if (pathname === '/') return response.end('<!doctype html><title>Test</title>') ?? true;
    if (!pathname.startsWith('/sdk/')) return false;
    response.writeHead(200, { 'Content-Type': 'text/javascript' });
    response.end(readFileSync(fileURLToPath(new URL(`..${pathname.slice(4)}`, import.meta.url))));
    return true;
  };
  const context = await browser.newContext();
  t.after(() => context.close());
  const tab = async () => {
    const page = await context.newPage();
    await page.goto(fake.server.url);
    await page.evaluate(async () => {
      const [{ connect }, { openIm }] = await Promise.all([import('/sdk/yizhan.js'), import('/sdk/im.js')]);
      window.im = openIm(connect('', { token: 'ann', transports: ['websocket'], backoff: { first: 0.05, max: 0.1 } }), { user: 'ann' });
      window.started = window.im.start();
      window.chat = window.im.conversation('dannbob');
      window.seen = () => window.chat.messages.map(({ content, state }) => `${content.text} ${state}`);
    });
    return page;
  };
  return { fake, tab };
}

test('a reload shows what was known though there is no server, and sends what waited when it is back', { skip, timeout: 60_000 }, async (t) => {
  const { fake, tab } = await begin(t);
  const page = await tab();
  await page.evaluate(async () => {
    await window.started;
    await window.chat.open();
    await window.chat.send('hello');
  });
  await until(() => page.evaluate(() => window.seen().join() === 'hello sent'));
  // From now on nobody gets in, and nothing is taken.
  const { hello } = fake.server.answers;
  fake.server.answers.hello = () => ({ type: 'error', code: 402, reason: 'later', again: 0.2 });
  fake.talksOf('ann').forEach((talk) => talk.drop());
  await page.evaluate(() => {
    window.chat.send('one').catch(() => {});
    window.chat.send({ kind: 'text', text: 'two' }).catch(() => {});
  });
  await page.waitForTimeout(700); // The cache is written a moment later.
  await page.close();
  const again = await tab();
  await until(() => again.evaluate(() => window.seen().join() === 'hello sent,one pending,two pending'));
  fake.server.answers.hello = hello;
  await until(() => again.evaluate(() => window.seen().join() === 'hello sent,one sent,two sent'));
  assert.deepEqual(fake.conversations.get('dannbob').messages.map(({ content }) => content.text), ['hello', 'one', 'two']);
  const left = await again.evaluate(async () => {
    const [{ name }] = await indexedDB.databases();
    const opening = indexedDB.open(name);
    await new Promise((resolve) => (opening.onsuccess = resolve));
    const rows = opening.result.transaction('outbox').objectStore('outbox').getAllKeys();
    await new Promise((resolve) => (rows.onsuccess = resolve));
    return rows.result;
  });
  assert.deepEqual(left, []);
});

test('two tabs have the same, each sends its own, and what a closed one left is sent by the next', { skip, timeout: 60_000 }, async (t) => {
  const { fake, tab } = await begin(t);
  const [one, two] = [await tab(), await tab()];
  for (const page of [one, two]) await page.evaluate(() => window.started.then(() => window.chat.open()));
  await Promise.all([one.evaluate(() => window.chat.send('from one')), two.evaluate(() => window.chat.send('from two'))]);
  for (const page of [one, two]) await until(() => page.evaluate(() => window.seen().length === 2));
  assert.equal(fake.asked.filter(({ name }) => name === 'send').length, 2);
  fake.refuses = (name) => name === 'send' && { type: 'error', code: 640, reason: 'later', again: 0.1 };
  await one.evaluate(() => void window.chat.send('left behind').catch(() => {}));
  await until(() => fake.asked.filter(({ name }) => name === 'send').length > 2);
  await one.close();
  fake.refuses = () => undefined;
  const three = await tab();
  await until(() => three.evaluate(() => window.seen().includes('left behind sent')));
  await until(() => two.evaluate(() => window.seen().length === 3));
  assert.equal(fake.conversations.get('dannbob').messages.length, 3);
});

test('signing out forgets what was kept', { skip, timeout: 60_000 }, async (t) => {
  const { tab } = await begin(t);
  const page = await tab();
  await page.evaluate(async () => {
    await window.started;
    await window.chat.open();
    await window.chat.send('a secret');
    await new Promise((resolve) => setTimeout(resolve, 700));
    await window.im.forget();
  });
  const again = await tab();
  await again.evaluate(() => window.started);
  assert.deepEqual(await again.evaluate(() => window.seen()), []);
});
