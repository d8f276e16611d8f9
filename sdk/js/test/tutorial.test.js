// The tutorial's pages, taken from docs/guide/chat-tutorial.md as they stand, in a real browser against a real server.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openBrowser, serve, skip } from './browser.js';
import { until } from './fake.js';
import { RealServer } from './real.js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const text = readFileSync(here('../../../docs/guide/chat-tutorial.md'), 'utf8');
const blocks = [...text.matchAll(/^```(\w+)\n(.*?)^```$/gms)].map(([, kind, code]) => ({ kind, code }));
const pages = blocks.filter(({ kind }) => kind === 'html').map(({ code }) => code);

test('the tutorial quotes its own page', () => {
  assert.equal(pages.length, 2);
  const quotes = blocks.filter(({ kind }) => kind === 'js').map(({ code }) => code.trim());
  const last = quotes.pop(); // About accounts: not in the page.
  assert.match(last, /api\/v1\/login/);
  for (const quote of quotes) assert.ok(pages[1].includes(quote), `not in the page: ${quote}`);
});

test('both pages of the tutorial do what it says', { skip, timeout: 180_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), 'yizhan-tutorial-'));
  let page = pages[0];
  const web = await serve(() => page.replaceAll('http://localhost:8080', `http://${server.http}`));
  const { origin } = web;
  let server = await RealServer.start(data, { sets: [`http.origins=${origin}`] });
  const browser = await openBrowser();
  t.after(async () => {
    await browser.close();
    web.stop();
    await server.stop('SIGTERM');
    rmSync(data, { recursive: true });
  });
  const problems = [];
  const open = async (name) => {
    const context = await browser.newContext();
    const window = await context.newPage();
    window.on('pageerror', (error) => problems.push(String(error)));
    window.on('dialog', (dialog) => dialog.accept(name));
    await window.goto(origin);
    return window;
  };
  const type = async (window, message) => {
    await window.fill('input', message);
    await window.press('input', 'Enter');
  };
  const lines = (window) => window.$$eval('li', (items) => items.map((item) => item.textContent));

  // 2. The smallest chat
  let [ann, bob] = [await open(), await open()];
  await type(ann, 'hello <b>you</b>');
  for (const window of [ann, bob]) await until(async () => (await lines(window)).join() === 'hello <b>you</b>', 'the first message');
  await server.stop('SIGTERM');
  await type(ann, 'while away');
  server = await RealServer.start(data, { http: server.http, sets: [`http.origins=${origin}`] });
  for (const window of [ann, bob]) await until(async () => (await lines(window)).at(-1) === 'while away', 'what was typed while the server was away');
  assert.deepEqual(await lines(bob), ['hello <b>you</b>', 'while away']);
  for (const window of [ann, bob]) await window.context().close();

  // 3. The whole page, after a fresh start
  await server.stop('SIGTERM');
  rmSync(data, { recursive: true });
  server = await RealServer.start(data, { http: server.http, sets: [`http.origins=${origin}`] });
  page = pages[1];
  [ann, bob] = [await open('Ann'), await open('Bob')];
  for (const window of [ann, bob]) await until(async () => (await window.textContent('#people')) === 'Ann, Bob', 'both names');
  for (let i = 1; i <= 120; i += 1) await type(ann, `message ${i}`);
  await until(async () => (await lines(bob)).length === 120 && (await ann.$$('.waiting')).length === 0, 'all messages');
  assert.match((await lines(bob))[0], /^Annmessage 1\d/);

  const carl = await open('Carl');
  await until(async () => (await lines(carl)).length >= 50, 'the newest 50');
  assert.match((await lines(carl)).at(-1), /^Annmessage 120/);
  await until(async () => {
    await carl.$eval('#messages', (list) => (list.scrollTop = 0));
    return /^Annmessage 1\d\d?:/.test((await lines(carl))[0]) && (await lines(carl)).length === 120;
  }, 'scrolling back to the first');
  const texts = await carl.$$eval('li', (items) => items.map((item) => item.childNodes[1].textContent));
  assert.deepEqual(texts, Array.from({ length: 120 }, (_, i) => `message ${i + 1}`));

  // Carl leaves, Bob is cut off and the server is killed.
  await carl.context().close();
  await until(async () => (await ann.textContent('#people')) === 'Ann, Bob', 'Carl is gone');
  await server.stop('SIGKILL');
  await until(async () => (await bob.textContent('#status')) !== '', 'Bob sees that he is offline');
  await type(bob, 'from the dark');
  assert.equal((await bob.$$('.waiting')).length, 1);
  server = await RealServer.start(data, { http: server.http, sets: [`http.origins=${origin}`] });
  for (const window of [ann, bob]) await until(async () => /^Bobfrom the dark/.test((await lines(window)).at(-1)), 'what waited');
  for (const window of [ann, bob]) assert.equal((await lines(window)).length, 121);
  assert.deepEqual(await ann.$$('.lost'), []);
  assert.deepEqual(problems, []);
});
