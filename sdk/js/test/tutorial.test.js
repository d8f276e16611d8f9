// The tutorial's page, docs/guide/chat-page.html as it stands, in a real browser against a real server: part 1 of
// docs/guide/chat-tutorial.md.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBrowser, serve, skip } from './browser.js';
import { until } from './fake.js';
import { RealServer } from './real.js';

const read = (name) => readFileSync(fileURLToPath(new URL(`../../../docs/guide/${name}`, import.meta.url)), 'utf8');
const text = read('chat-tutorial.md');
const page = read('chat-page.html');
// 1×1 pixel.
const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

test('the tutorial quotes its own page', () => {
  const [part] = text.split(/^## 2\./m);
  const quotes = [...part.matchAll(/^```js\n(.*?)^```$/gms)].flatMap(([, code]) => code.split('\n').map((line) => line.trim()).filter(Boolean));
  assert.ok(quotes.length >= 5);
  for (const quote of quotes) assert.ok(page.includes(quote), `not in the page: ${quote}`);
  const [, lines] = /one file of (\d+) lines/.exec(part);
  assert.equal(page.trimEnd().split('\n').length, Number(lines));
});

test('the page of the tutorial does what it says', { skip, timeout: 180_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'yizhan-tutorial-'));
  const web = await serve(() => page.replaceAll('http://localhost:8080', `http://${server.http}`));
  const sets = [`http.origins=${web.origin}`];
  let server = await RealServer.start(data, { sets });
  const browser = await openBrowser();
  t.after(async () => {
    await browser.close();
    web.stop();
    await server.stop('SIGTERM');
    rmSync(data, { recursive: true });
  });
  const problems = [];
  const contexts = new Map();
  const open = async (name) => {
    const context = contexts.get(name) ?? (await browser.newContext());
    contexts.set(name, context);
    const window = await context.newPage();
    window.on('pageerror', (error) => problems.push(`${name}: ${error}`));
    window.answers = [];
    window.on('dialog', (dialog) => dialog.accept(window.answers.shift()));
    await window.goto(`${web.origin}/?me=${name}`);
    return window;
  };
  const type = async (window, message) => {
    await window.fill('input[name=text]', message);
    await window.press('input[name=text]', 'Enter');
  };
  const lines = (window) => window.$$eval('#messages li', (items) => items.map((item) => item.children[1].textContent));
  const ticks = (window) => window.$$eval('#messages li small', (items) => items.map((item) => item.textContent));
  const list = (window) => window.$$eval('#list button', (items) => items.map((item) => item.textContent));
  const begin = async (window, ...answers) => {
    window.answers = answers;
    await window.click('#new');
  };

  const ann = await open('ann');
  let bob = await open('bob');
  await until(async () => (await bob.textContent('#me')) === 'bob' && (await ann.textContent('#me')) === 'ann', 'both are there');
  await begin(ann, 'bob');
  await until(() => ann.isVisible('form'), 'the conversation is open');
  await type(ann, 'hello <b>you</b>');
  await until(async () => /bob/.test((await list(ann)).join()), 'the name of the other one');
  await until(async () => (await list(bob)).join() === 'ann1', 'one unread message in the list');
  await bob.click('#list button');
  await until(async () => (await lines(bob)).join() === 'hello <b>you</b>', 'the message');
  await until(async () => /✓✓ read/.test((await ticks(ann)).at(-1)), 'it was read');
  await ann.setInputFiles('input[type=file]', { name: 'dot.png', mimeType: 'image/png', buffer: PNG });
  await until(() => bob.$eval('#messages img', ({ complete, naturalWidth }) => complete && naturalWidth === 1).catch(() => false), 'the picture');

  await begin(ann, 'bob, eve', 'Tea');
  await until(async () => (await ann.textContent('#title')) === 'Tea', 'the group');
  await type(ann, 'who is there?');
  const eve = await open('eve');
  await until(async () => (await list(eve)).join() === 'Tea1', 'eve finds the group');

  // Stopped, then killed, while somebody writes.
  await bob.click('#list button:has-text("Tea")');
  await until(async () => (await lines(bob)).join() === 'who is there?');
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    await server.stop(signal);
    await type(bob, `after ${signal}`);
    await until(async () => /…/.test((await ticks(bob)).at(-1)), 'it waits');
    server = await RealServer.start(data, { http: server.http, sets });
    for (const window of [ann, bob]) await until(async () => (await lines(window)).at(-1) === `after ${signal}`, 'what waited');
  }
  assert.deepEqual(await lines(ann), ['who is there?', 'after SIGTERM', 'after SIGKILL']);

  // Written while there is no server, and the window closed.
  await server.stop('SIGTERM');
  await type(bob, 'from a closed window');
  await bob.waitForTimeout(500); // The cache is written beside what is shown.
  await bob.close();
  server = await RealServer.start(data, { http: server.http, sets });
  bob = await open('bob');
  await until(async () => (await lines(ann)).at(-1) === 'from a closed window', 'it goes out by itself');
  assert.deepEqual(problems, []);
});
