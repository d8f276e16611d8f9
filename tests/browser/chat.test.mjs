// Two people talk in a real browser; one goes away and comes back; the server is killed; nobody loses or doubles a word.

import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PATIENCE, Road, Server, eventually, missing, openBrowser } from './stage.mjs';

const skip = missing();
if (skip) console.log(`skipped: ${skip}`);

describe('the console', { skip }, () => {
  const server = new Server();
  const road = new Road();
  const shots = mkdtempSync(join(tmpdir(), 'yizhan-shots-'));
  /** What pages complained about. @type {string[]} */
  const complaints = [];
  let browser;
  let owner;
  let bob;

  /** A page of a person's own, in a context of its own. */
  async function page(origin, path, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', ...options });
    context.setDefaultTimeout(PATIENCE);
    const made = await context.newPage();
    made.on('pageerror', (error) => complaints.push(String(error.stack ?? error)));
    made.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
    });
    await made.goto(origin + path);
    return made;
  }

  const token = (at) => at.evaluate(() => localStorage.getItem('yizhan.token'));
  const go = (at, hash) => at.evaluate((to) => (location.hash = to), hash);
  const texts = (at) => at.locator('.room .message .text').allTextContents();
  const talk = (at, name) => at.locator('.talk-link', { has: at.locator('.name', { hasText: new RegExp(`^${name}$`) }) });
  /** The group that they talk in. */
  let group = '';

  async function api(at, method, path, body) {
    const response = await fetch(`${server.origin}/api/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${await token(at)}`, 'Content-Type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? null : response.json();
  }

  async function write(at, text) {
    await at.locator('.room .writing').fill(text);
    await at.locator('.room .writing').press('Enter');
  }

  /** Waits until a text stands in the room, confirmed by the server. */
  const stands = (at, text) =>
    at.locator('.message:not(.waiting):not(.failed) .text', { hasText: text }).first().waitFor();

  /** A step of one story: where one fails, those after it have nothing to stand on. */
  let broken = '';
  function step(name, run) {
    it(name, async (test) => {
      if (broken) return test.skip(`after “${broken}”`);
      try {
        await run();
      } catch (error) {
        broken = name;
        for (const [who, at] of Object.entries({ owner, bob }))
          await at?.screenshot({ path: join(shots, `failed-${who}.png`) }).catch(() => undefined);
        console.log(`screenshots: ${shots}`);
        throw error;
      }
    });
  }

  before(async () => {
    await server.start();
    await road.build(server.port);
    browser = await openBrowser();
  });

  after(async () => {
    await browser?.close();
    road.end();
    await server.end();
  });

  step('signs the owner in by the link that the server printed, and forgets the link', async () => {
    owner = await page(server.origin, `/${await server.link()}`);
    await owner.locator('y-shell').waitFor();
    assert.ok(!owner.url().includes('link='), owner.url());
    assert.ok(await token(owner));
    await owner.locator('.tile .value').first().waitFor();
    await eventually('figures', async () => (await owner.locator('.tile .value').first().textContent()) !== '–');
    await owner.screenshot({ path: join(shots, 'overview.png') });
    const [loaded, announced] = await owner.evaluate(() => [
      performance
        .getEntriesByType('resource')
        .map((entry) => new URL(entry.name).pathname)
        .filter((path) => path.endsWith('.js') && path !== '/console/main.js'),
      [...document.querySelectorAll('link[rel=modulepreload]')].map((link) => link.getAttribute('href')),
    ]);
    assert.deepEqual(
      [...new Set(loaded)].sort(),
      announced.sort(),
      'index.html announces each module that the page imports',
    );
  });

  step('lets in who was invited', async () => {
    const { path } = await api(owner, 'POST', 'invite', { user: 'bob' });
    bob = await page(road.origin, path);
    await bob.locator('y-chat').waitFor();
    assert.equal(await bob.locator('[data-view="accounts"]').count(), 0);
    await api(owner, 'PATCH', 'accounts/bob', { password: 'a long secret' });
    // Whoever gets a new password has to come in with it.
    await bob.locator('y-sign-in').waitFor();
    await bob.locator('[name=username]').fill('bob');
    await bob.locator('[name=password]').fill('not the secret');
    await bob.locator('form button[type=submit]').click();
    await bob.locator('[role=alert]:visible').waitFor();
    await bob.locator('[name=password]').fill('a long secret');
    await bob.locator('form button[type=submit]').click();
    await bob.locator('y-chat').waitFor();
  });

  step('carries what two people say, and shows who types and who has read', async () => {
    await go(owner, '#/chat');
    await owner.getByRole('button', { name: 'New chat' }).first().click();
    await owner.locator('dialog .segments button', { hasText: 'Group' }).click();
    await owner.locator('dialog [name=title]').fill('kitchen');
    await owner.locator('dialog .picker .picker .input').fill('bob');
    await owner.locator('dialog .picker .picker .input').press('Enter');
    await owner.locator('dialog .tag').waitFor();
    await owner.locator('dialog button[type=submit]').click();
    await owner.locator('.room .writing').waitFor();
    group = await owner.evaluate(() => location.hash.split('/')[2]);
    await talk(bob, 'kitchen').click();
    await bob.locator('y-timeline').waitFor();
    await owner.locator('.room .writing').pressSequentially('hel');
    await bob.locator('.typists', { hasText: 'owner' }).waitFor();
    await write(owner, 'hello bob 你好 🥟');
    await stands(bob, 'hello bob 你好 🥟');
    await write(bob, 'hello owner\nin two lines');
    await stands(owner, 'in two lines');
    await bob.locator('.message.own .tick.seen').last().waitFor();
    await owner.bringToFront();
    await owner.screenshot({ path: join(shots, 'chat.png') });
    assert.deepEqual(await texts(owner), ['hello bob 你好 🥟', 'hello owner\nin two lines']);
    assert.deepEqual(await texts(bob), await texts(owner));
  });

  step('gives everything once to somebody who was away', async () => {
    road.cut();
    await bob.locator('.banner:visible').waitFor();
    for (const n of [1, 2, 3]) {
      await write(owner, `while you were away ${n}`);
      await stands(owner, `while you were away ${n}`);
    }
    await write(bob, 'written while away 1');
    await write(bob, 'written while away 2');
    await bob.locator('.message.waiting .trouble').first().waitFor();
    await eventually('both wait', async () => (await bob.locator('.message.waiting').count()) === 2);
    await bob.screenshot({ path: join(shots, 'away.png') });
    road.mend();
    await stands(bob, 'while you were away 3');
    for (const n of [1, 2]) {
      await stands(bob, `written while away ${n}`);
      await stands(owner, `written while away ${n}`);
    }
    await bob.locator('.banner').waitFor({ state: 'hidden' });
    const said = [
      'hello bob 你好 🥟',
      'hello owner\nin two lines',
      'while you were away 1',
      'while you were away 2',
      'while you were away 3',
      'written while away 1',
      'written while away 2',
    ];
    await eventually('one order for both', async () => JSON.stringify(await texts(bob)) === JSON.stringify(said));
    assert.deepEqual(await texts(owner), said);
    await bob.reload();
    await stands(bob, 'written while away 2');
    assert.deepEqual(await texts(bob), said);
  });

  step('loses nothing when the server is killed', async () => {
    await server.kill();
    await bob.locator('.banner:visible').waitFor();
    await write(bob, 'said to a dead server');
    await server.start();
    await stands(bob, 'said to a dead server');
    await stands(owner, 'said to a dead server');
    const said = await texts(bob);
    assert.equal(said.length, 8);
    assert.equal(new Set(said).size, 8);
    assert.deepEqual(await texts(owner), said);
  });

  step('counts what is unread, and a second device agrees', async () => {
    const headers = { Authorization: `Bearer ${await token(owner)}`, 'Content-Type': 'text/plain' };
    await go(bob, '#/help');
    await bob.locator('y-help').waitFor();
    for (let n = 1; n <= 120; n++) {
      const response = await fetch(`${server.origin}/v1/publish/im/c/${group}`, {
        method: 'POST',
        headers,
        body: `message number ${n}`,
      });
      assert.ok(response.ok, String(response.status));
    }
    await eventually('the badge', async () => (await bob.locator('.sidebar .count').textContent()) === '99+');
    await go(bob, `#/chat/${group}`);
    // With so many it opens at the first of them.
    await bob.locator('.unread-line').waitFor();
    await bob.locator('.message .text', { hasText: /^message number 1$/ }).waitFor();
    await bob.bringToFront();
    // Its name says how many came since, where some did.
    await bob.getByTitle('To the newest').click();
    await stands(bob, 'message number 120');
    await bob.locator('.sidebar .count').waitFor({ state: 'hidden' });
    // Told a moment after it was read.
    const second = await page(server.origin, '/');
    await second.locator('[name=username]').fill('bob');
    await second.locator('[name=password]').fill('a long secret');
    await second.locator('form button[type=submit]').click();
    await second.locator('.talk-link').first().waitFor();
    await second.locator('.talk-link .count').first().waitFor({ state: 'detached' });
    await second.context().close();
  });

  step('scrolls back through the history without losing its place or a message', async () => {
    await owner.reload();
    await stands(owner, 'message number 120');
    const timeline = owner.locator('.timeline');
    // The first message in sight stays where it is on the screen, whatever is put above it.
    const first = await timeline.evaluate((box) => {
      box.scrollTo(0, 300);
      const top = box.getBoundingClientRect().top;
      const seen = [...box.querySelectorAll('.message')].find((each) => each.getBoundingClientRect().top >= top);
      return { key: seen.dataset.key, top: seen.getBoundingClientRect().top, oldest: box.querySelector('.message').dataset.seq };
    });
    await eventually('older messages', () =>
      timeline.evaluate((box, oldest) => Number(box.querySelector('.message').dataset.seq) < Number(oldest), first.oldest),
    );
    const moved = await timeline.evaluate(
      (box, { key, top }) => Math.abs(box.querySelector(`[data-key="${key}"]`).getBoundingClientRect().top - top),
      first,
    );
    assert.ok(moved < 3, `the place moved by ${moved} px`);
    /** Only a part of them is on the page at a time. @type {Set<string>} */
    const said = new Set();
    await eventually('the beginning', async () => {
      const { texts: part, begun } = await timeline.evaluate((box) => {
        const found = [...box.querySelectorAll('.message .text')].map((each) => each.textContent);
        box.scrollBy(0, -400);
        return { texts: found, begun: box.querySelector('.start') !== null && box.scrollTop < 10 };
      });
      for (const text of part) said.add(text);
      return begun;
    });
    assert.equal(said.size, 128);
    await owner.getByTitle('To the newest').click();
    await eventually('the end', () =>
      timeline.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 80),
    );
    await stands(owner, 'message number 120');
  });

  step('keeps a message that the server refuses, and says why', async () => {
    await bob.locator('.room .writing').waitFor();
    await bob.locator('.room .writing').pressSequentially('@every');
    await bob.locator('.mention-list li', { hasText: 'everyone' }).waitFor();
    await api(owner, 'POST', '../../im/v1/update', { conversation: group, mention_all: 'admins' });
    await bob.locator('.room .writing').press('Enter');
    await bob.locator('.room .writing').press('Enter');
    await bob.locator('.message.failed', { hasText: '@everyone' }).waitFor();
    await bob.getByRole('button', { name: 'Discard' }).click();
    await bob.locator('.message.failed').waitFor({ state: 'detached' });
  });

  step('shows and publishes topics', async () => {
    await go(owner, '#/topics/greenhouse%2F%23');
    await owner.getByText('Listening…').waitFor();
    const other = await page(server.origin, '/');
    await other.evaluate((value) => localStorage.setItem('yizhan.token', value), await token(owner));
    await other.goto(`${server.origin}/#/topics/greenhouse%2F1/publish`);
    await other.reload();
    await other.locator('.publish textarea').first().fill('{"temperature": 21.5}');
    await other.locator('.publish button[type=submit]').click();
    await other.locator('.receipt').waitFor();
    await owner.locator('tbody tr').first().click();
    await owner.locator('.detail .json').waitFor();
    assert.match((await owner.locator('.detail .json').textContent()) ?? '', /21\.5/);
    await owner.screenshot({ path: join(shots, 'topics.png') });
    await other.context().close();
  });

  step('ends a session from the list', async () => {
    await go(owner, '#/sessions');
    const row = owner.locator('tbody tr', { hasText: 'bob' }).filter({ hasText: 'WebSocket' });
    await row.first().waitFor();
    await row.first().click();
    await owner.locator('y-client').getByRole('button', { name: 'End session' }).click();
    await owner.locator('dialog').getByRole('button', { name: 'End session' }).click();
    await bob.locator('.banner.bad:visible').waitFor();
    await owner.screenshot({ path: join(shots, 'sessions.png') });
  });

  step('opens every view in both languages, light and dark, wide and narrow, without a complaint', async () => {
    const secret = await token(owner);
    const looks = [
      { locale: 'zh-CN', colorScheme: 'dark', viewport: { width: 1440, height: 900 } },
      { locale: 'en-GB', colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
    ];
    for (const look of looks) {
      const at = await page(server.origin, '/', look);
      await at.locator('y-sign-in').waitFor();
      await at.screenshot({ path: join(shots, `sign-in-${look.locale}.png`) });
      await at.evaluate((value) => localStorage.setItem('yizhan.token', value), secret);
      await at.reload();
      await at.locator('y-shell').waitFor();
      assert.equal(await at.evaluate(() => document.documentElement.dataset.theme), look.colorScheme);
      assert.equal(await at.evaluate(() => document.documentElement.lang), look.locale === 'zh-CN' ? 'zh-CN' : 'en');
      for (const view of [
        'overview',
        'chat',
        `chat/${group}`,
        `chat/${group}/info`,
        'people',
        'people/mine',
        'im',
        'im/reports',
        'im/words',
        'live',
        'topics',
        'topics/rooms%2F%23',
        `topics/im%2Fc%2F${group}/history`,
        'sessions',
        'queues',
        'bans',
        'charts',
        'spaces',
        'accounts',
        'audit',
        'account',
        'help',
      ]) {
        await go(at, `#/${view}`);
        await at.locator(`main > y-${view.split('/')[0]}`).waitFor();
        await eventually(`${view} to be loaded`, async () => (await at.locator('.bones').count()) === 0);
        const wide = await at.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(wide <= 0, `${view} is ${wide} px too wide`);
        await at.screenshot({ path: join(shots, `${view.replace(/\W+/g, '-')}-${look.locale}.png`) });
      }
      await at.context().close();
    }
    assert.deepEqual(complaints, []);
    console.log(`screenshots: ${shots}`);
  });
});
