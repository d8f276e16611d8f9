// Two people on three devices, one of them a phone, go through all that one does in a chat, in a real browser.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PATIENCE, Road, Server, eventually, missing, openBrowser } from './stage.mjs';

const skip = missing();
if (skip) console.log(`skipped: ${skip}`);

/** A name and a text that would do something where a page took them for markup. */
const HOSTILE = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"'&amp;`;

/** A picture of 320 by 200, all red, as PNG. Made here, so that no file has to be kept. */
async function picture(at) {
  return Buffer.from(
    await at.evaluate(async () => {
      const canvas = new OffscreenCanvas(320, 200);
      const pen = canvas.getContext('2d');
      pen.fillStyle = '#c2371f';
      pen.fillRect(0, 0, 320, 200);
      pen.fillStyle = '#ffd34d';
      pen.arc(160, 100, 60, 0, 7);
      pen.fill();
      const bytes = new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
      return btoa(String.fromCharCode(...bytes));
    }),
    'base64',
  );
}

describe('the chat', { skip }, () => {
  const server = new Server();
  const road = new Road();
  const shots = process.env.SHOTS ?? mkdtempSync(join(tmpdir(), 'yizhan-im-'));
  mkdirSync(shots, { recursive: true });
  /** What pages complained about. @type {string[]} */
  const complaints = [];
  let browser;
  /** The owner at a desk, Bob at a desk, Bob's phone in Chinese and dark. */
  let ann;
  let bob;
  let phone;
  let group = '';

  async function page(origin, path, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, locale: 'en-GB', permissions: ['microphone'], ...options });
    context.setDefaultTimeout(PATIENCE);
    const made = await context.newPage();
    made.on('pageerror', (error) => complaints.push(String(error.stack ?? error)));
    made.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
    });
    await made.addInitScript(() => localStorage.setItem('yizhan.notify-asked', '1'));
    await made.goto(origin + path);
    return made;
  }

  const token = (at) => at.evaluate(() => localStorage.getItem('yizhan.token'));
  const go = (at, hash) => at.evaluate((to) => (location.hash = to), hash);
  /** A conversation in the list, by what it is called. */
  const talk = (at, name) => at.locator('.talk-link', { has: at.locator('.name', { hasText: name }) }).first();
  /** The same, by what was said last. */
  const said = (at, text) => at.locator('.talk-link', { has: at.locator('.last', { hasText: text }) }).first();
  const message = (at, text) => at.locator('.room .message', { hasText: text }).last();
  const shot = (at, name) => at.screenshot({ path: join(shots, `${name}.png`) });

  /** Asks the server in the name of a page, or by a token. */
  async function call(at, path, body) {
    const response = await fetch(`${server.origin}${path}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${typeof at === 'string' ? at : await token(at)}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = response.status === 204 ? null : await response.json();
    assert.ok(response.ok, `${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer;
  }

  /** Asks messaging by HTTP. */
  const ask = (at, name, data) => call(at, `/im/v1/${name}`, data);

  async function write(at, text, where = '.room') {
    await at.locator(`${where} .writing`).fill(text);
    await at.locator(`${where} .writing`).press('Enter');
  }

  /** Waits until a text stands there, confirmed by the server. */
  const stands = (at, text) => at.locator('.room .message:not(.waiting):not(.failed)', { hasText: text }).last().waitFor();

  /** Opens a message's menu and presses an entry. */
  async function choose(at, text, entry) {
    const row = message(at, text);
    await row.locator('.bubble').click({ button: 'right' });
    await at.locator('.menu:popover-open button', { hasText: new RegExp(`^${entry}$`) }).click();
  }

  const tick = (at, text, label) => message(at, text).locator(`.tick[aria-label="${label}"]`).first().waitFor();

  let broken = '';
  function step(name, run) {
    it(name, async (test) => {
      if (broken) return test.skip(`after “${broken}”`);
      try {
        await run();
      } catch (error) {
        broken = name;
        for (const [who, at] of Object.entries({ ann, bob, phone })) await at && (await shot(at, `failed-${who}`).catch(() => undefined));
        console.log(`screenshots: ${shots}\n${complaints.join('\n')}`);
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

  step('lets two people in, one of them on two devices', async () => {
    ann = await page(server.origin, `/${await server.link()}`);
    await ann.locator('y-shell').waitFor();
    for (const user of ['bob', 'cleo', '李雷', 'mallory']) await call(ann, '/api/v1/accounts', { user, roles: ['user'], password: 'a long secret' }).catch(() => call(ann, '/api/v1/invite', { user }));
    const come = async (look = {}) => {
      const { path } = await call(ann, '/api/v1/invite', { user: 'bob' });
      const at = await page(road.origin, path, look);
      await at.locator('y-chat').waitFor();
      return at;
    };
    bob = await come();
    phone = await come({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, locale: 'zh-CN', colorScheme: 'dark' });
    await ask(bob, 'set_profile', { name: 'Bob' });
    await go(ann, '#/chat');
    await ann.locator('y-chat-list').waitFor();
  });

  step('begins a direct conversation by a name, and shows how far a message is', async () => {
    await ann.getByRole('button', { name: 'New chat' }).first().click();
    await ann.locator('dialog .picker .input').fill('nobody-of-this-name');
    await ann.locator('dialog .picker .input').press('Enter');
    await ann.locator('dialog [role=alert]:visible').first().waitFor();
    await ann.locator('dialog .picker .input').fill('bob');
    await ann.locator('dialog .picker .input').press('Enter');
    await ann.locator('.room .writing').waitFor();
    await ann.locator('.room .writing').pressSequentially('hel');
    await write(ann, 'hello bob 你好 🥟');
    await stands(ann, 'hello bob');
    await tick(ann, 'hello bob', 'Delivered');
    await said(bob, 'hello bob').waitFor();
    assert.equal(await said(bob, 'hello bob').locator('.count').textContent(), '1');
    await bob.bringToFront();
    await said(bob, 'hello bob').click();
    await stands(bob, 'hello bob 你好 🥟');
    await tick(ann, 'hello bob', 'Read');
    // The phone hears that the other device has read it.
    await eventually('the phone to agree', async () => (await phone.locator('.talk-link .count').count()) === 0);
    await bob.locator('.room .writing').pressSequentially('I am wri');
    await ann.locator('.typists', { hasText: 'Bob' }).waitFor();
    await write(bob, 'hello ann\nin two lines');
    await stands(ann, 'in two lines');
  });

  step('takes texts and names for texts', async () => {
    await write(ann, HOSTILE);
    await stands(bob, '<img src=x onerror=');
    const { ticket } = await call(ann, '/api/v1/invite', { user: 'mallory' });
    const mallory = await call(ann, '/api/v1/login/link', { ticket, device: 'a script' });
    await call(mallory.token, '/im/v1/set_profile', { name: HOSTILE, about: HOSTILE });
    const made = await ask(ann, 'create', { kind: 'group', title: HOSTILE, about: HOSTILE, members: ['bob', 'mallory'] });
    await ask(ann, 'update', { conversation: made.id, announcement: HOSTILE });
    await go(ann, `#/chat/${made.id}/members`);
    await ann.locator('.panel .member').first().waitFor();
    await ann.locator('.panel .member', { hasText: '<script>' }).first().waitFor();
    await ann.locator('.panel .member .face').last().click();
    await ann.locator('.profile-dialog h2', { hasText: '<script>' }).waitFor();
    await ann.keyboard.press('Escape');
    await talk(bob, '<script>').click();
    await bob.locator('.bar', { hasText: '<script>' }).waitFor();
    await ask(ann, 'dismiss', { conversation: made.id });
    for (const at of [ann, bob, phone]) assert.equal(await at.evaluate(() => window.hacked), undefined);
  });

  step('makes a group, and all devices have it', async () => {
    await ann.getByRole('button', { name: 'New chat' }).first().click();
    await ann.locator('dialog .segments button', { hasText: 'Group' }).click();
    await ann.locator('dialog [name=title]').fill('Harbour project');
    for (const name of ['bob', 'cleo', '李雷']) {
      await ann.locator('dialog .picker .picker .input').fill(name);
      await ann.locator('dialog .picker .picker .input').press('Enter');
      await ann.locator('dialog .tag', { hasText: name === 'bob' ? 'Bob' : name }).waitFor();
    }
    await ann.locator('dialog button[type=submit]').click();
    await ann.locator('.room h1', { hasText: 'Harbour project' }).waitFor();
    group = await ann.evaluate(() => location.hash.split('/')[2]);
    await talk(bob, 'Harbour project').click();
    await talk(phone, 'Harbour project').tap();
    await write(ann, 'The new drawings are in');
    await stands(bob, 'The new drawings are in');
    await stands(phone, 'The new drawings are in');
  });

  step('mentions, replies, and jumps to what was answered', async () => {
    await ann.locator('.room .writing').pressSequentially('@bo');
    await ann.locator('.mention-list li', { hasText: 'Bob' }).waitFor();
    await ann.locator('.room .writing').press('Enter');
    await ann.locator('.room .writing').pressSequentially('please look at sheet 4');
    await ann.locator('.room .writing').press('Enter');
    await message(bob, 'sheet 4').locator('.mention.me').waitFor();
    await choose(bob, 'sheet 4', 'Reply');
    await bob.locator('.context .quote').waitFor();
    await write(bob, 'All good there');
    await message(ann, 'All good there').locator('.quote', { hasText: 'sheet 4' }).click();
    await ann.locator('.message.lit', { hasText: 'sheet 4' }).waitFor();
  });

  step('says in a group who has read', async () => {
    await bob.bringToFront();
    const readers = ann.locator('.room .message.own', { hasText: 'sheet 4' }).last().locator('.receipts');
    await eventually('a reader', async () => /^Read by [1-9]/.test((await readers.getAttribute('aria-label')) ?? ''));
    await readers.click();
    await ann.locator('.receipts-dialog .member', { hasText: 'Bob' }).waitFor();
    await ann.locator('.receipts-dialog .segments button', { hasText: 'Not read' }).click();
    await ann.locator('.receipts-dialog .member', { hasText: 'cleo' }).waitFor();
    await ann.keyboard.press('Escape');
  });

  step('reacts, edits, and takes back', async () => {
    await choose(bob, 'The new drawings', '👍');
    await message(ann, 'The new drawings').locator('.chip', { hasText: '👍' }).click();
    await eventually('both', async () => /2/.test((await message(bob, 'The new drawings').locator('.chip').textContent()) ?? ''));
    await write(ann, 'typo hree');
    await stands(ann, 'typo hree');
    await ann.locator('.room .writing').press('ArrowUp');
    await eventually('the text to change', async () => (await ann.locator('.room .writing').inputValue()) === 'typo hree');
    await write(ann, 'typo here');
    await message(bob, 'typo here').locator('.edited').click();
    await bob.locator('.versions li', { hasText: 'typo hree' }).waitFor();
    await bob.keyboard.press('Escape');
    await write(ann, 'better not said');
    await stands(bob, 'better not said');
    await choose(ann, 'better not said', 'Recall');
    await bob.locator('.event', { hasText: 'recalled a message' }).waitFor();
    await phone.locator('.event', { hasText: '撤回了一条消息' }).waitFor();
    assert.equal(await bob.locator('.message', { hasText: 'better not said' }).count(), 0);
    await ann.locator('.event .again').click();
    assert.equal(await ann.locator('.room .writing').inputValue(), 'better not said');
    await ann.locator('.room .writing').fill('');
  });

  step('sends a picture, shows it in small and in large', async () => {
    const chooser = ann.waitForEvent('filechooser');
    await ann.locator('.composer').getByRole('button', { name: 'Attach' }).click();
    await ann.locator('.menu button', { hasText: 'Photo or video' }).click();
    await (await chooser).setFiles({ name: 'sun.png', mimeType: 'image/png', buffer: await picture(ann) });
    await ann.locator('dialog input[placeholder]').fill('What a sun');
    await ann.locator('dialog button[type=submit]').click();
    await stands(ann, 'What a sun');
    for (const at of [bob, phone]) {
      const image = message(at, 'What a sun').locator('.picture-frame img');
      await image.waitFor();
      await eventually('the picture', () => image.evaluate((of) => of.complete && of.naturalWidth > 0));
    }
    await message(bob, 'What a sun').locator('.picture-frame').click();
    await eventually('the large one', () => bob.locator('.lightbox img').evaluate((of) => of.naturalWidth === 320));
    await shot(bob, 'lightbox');
    await bob.keyboard.press('Escape');
  });

  step('takes a file that is dropped onto the conversation', async () => {
    const data = await ann.evaluateHandle(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(70_000)], 'plan of the quay.pdf', { type: 'application/pdf' }));
      return transfer;
    });
    await ann.dispatchEvent('y-timeline', 'drop', { dataTransfer: data });
    await ann.locator('dialog button[type=submit]').click();
    const download = bob.waitForEvent('download');
    await message(bob, 'plan of the quay.pdf').getByRole('button', { name: /^Download/ }).click();
    assert.equal((await download).suggestedFilename(), 'plan of the quay.pdf');
  });

  step('records a voice message and plays it elsewhere', async () => {
    await phone.getByRole('button', { name: '录制语音' }).tap();
    await phone.locator('.recorder .wave i').nth(12).waitFor();
    await shot(phone, 'recording');
    await phone.getByRole('button', { name: '发送语音' }).tap();
    const voice = bob.locator('.message .voice').last();
    await voice.locator('.wave i').first().waitFor();
    await voice.locator('.round').click();
    await voice.locator('.wave i.played').first().waitFor();
    await stands(ann, '');
  });

  step('talks in a thread beside the conversation', async () => {
    await choose(bob, 'All good there', 'Reply in thread');
    await bob.locator('.panel .writing').waitFor();
    await write(bob, 'Only the mooring is new', '.panel');
    await bob.locator('.panel li', { hasText: 'Only the mooring' }).waitFor();
    await message(ann, 'All good there').locator('.thread-link').click();
    await ann.locator('.panel li', { hasText: 'Only the mooring' }).waitFor();
    assert.equal(await ann.locator('.room .message', { hasText: 'Only the mooring' }).count(), 0);
    await shot(ann, 'thread');
    await ann.keyboard.press('Escape');
    await ann.locator('.panel').waitFor({ state: 'detached' });
    await bob.keyboard.press('Escape');
  });

  step('pins, forwards as one card, and keeps what one has begun to write', async () => {
    await choose(ann, 'The new drawings', 'Pin');
    await bob.locator('.bar', { hasText: 'The new drawings' }).waitFor();
    await choose(ann, 'The new drawings', 'Select');
    await message(ann, 'All good there').click();
    await ann.locator('.choosing button', { hasText: 'Forward' }).click();
    await ann.locator('dialog .member', { hasText: 'Bob' }).click();
    await ann.locator('dialog button[type=submit]').click();
    await said(bob, 'Chat history').click();
    await bob.locator('.merged-card').click();
    await bob.locator('.merged-list li', { hasText: 'All good there' }).waitFor();
    await bob.keyboard.press('Escape');
    await bob.locator('.room .writing').fill('half a sentence');
    await talk(bob, 'Harbour project').click();
    await bob.locator('.talk-link .draft').waitFor();
    await go(phone, '#/chat');
    await phone.locator('.talk-link .draft').waitFor();
    await shot(phone, 'phone-list');
    await talk(phone, 'Harbour project').tap();
  });

  step('finds what was said, here and everywhere', async () => {
    await ann.locator('.room').getByRole('button', { name: 'Search in this conversation' }).click();
    await ann.locator('.panel .search .input').fill('drawings');
    await ann.locator('.hit mark', { hasText: 'drawings' }).first().waitFor();
    await ann.locator('.hit', { hasText: 'The new drawings' }).first().click();
    await ann.locator('.message.lit', { hasText: 'The new drawings' }).waitFor();
    await shot(ann, 'search');
    await ann.locator('.panel header').getByRole('button', { name: 'Close' }).click();
    await bob.locator('.finder .input').fill('你好');
    await bob.locator('.found .hit', { hasText: '你好' }).first().click();
    await bob.locator('.message.lit', { hasText: '你好' }).waitFor();
    await bob.locator('.finder .input').fill('');
    await talk(bob, 'Harbour project').click();
  });

  step('mutes one, mutes all, and lets speak again', async () => {
    await go(ann, `#/chat/${group}/members`);
    const row = ann.locator('.panel .member', { hasText: 'Bob' });
    await row.getByRole('button', { name: /^More/ }).click();
    await ann.locator('.menu button', { hasText: 'Mute for an hour' }).click();
    await bob.locator('.no-writing', { hasText: 'You are muted here until' }).waitFor();
    await phone.locator('.no-writing').waitFor();
    // The menu is made from what is known when it opens.
    await row.locator('small', { hasText: 'Muted until' }).waitFor();
    await row.getByRole('button', { name: /^More/ }).click();
    await ann.locator('.menu button', { hasText: 'Unmute' }).click();
    await bob.locator('.room .writing').waitFor();
    await go(ann, `#/chat/${group}/info`);
    await ann.locator('.panel label', { hasText: 'Only admins may write' }).click();
    await bob.locator('.no-writing', { hasText: 'Only admins' }).waitFor();
    await ann.locator('.panel label', { hasText: 'Only admins may write' }).locator('input:checked').waitFor({ state: 'attached' });
    await ann.locator('.panel label', { hasText: 'Only admins may write' }).click();
    await bob.locator('.room .writing').waitFor();
    await shot(ann, 'group-panel');
  });

  step('gives everything once to somebody who was away', async () => {
    road.cut();
    await bob.locator('.banner:visible').waitFor();
    for (const n of [1, 2, 3]) {
      await write(ann, `while you were away ${n}`);
      await stands(ann, `while you were away ${n}`);
    }
    await write(bob, 'written while away');
    await bob.locator('.message.waiting', { hasText: 'written while away' }).waitFor();
    await shot(bob, 'away');
    road.mend();
    for (const at of [bob, phone]) await stands(at, 'while you were away 3');
    await stands(ann, 'written while away');
    await bob.locator('.banner').waitFor({ state: 'hidden' });
    for (const at of [ann, bob, phone]) {
      for (const text of ['while you were away 1', 'while you were away 2', 'while you were away 3', 'written while away']) {
        assert.equal(await at.locator('.room .message', { hasText: text }).count(), 1, text);
      }
    }
  });

  step('loses nothing when the server is killed', async () => {
    await server.kill();
    await bob.locator('.banner:visible').waitFor();
    await write(bob, 'said to a dead server');
    await server.start();
    for (const at of [ann, bob, phone]) await stands(at, 'said to a dead server');
    for (const at of [ann, bob]) assert.equal(await at.locator('.room .message', { hasText: 'said to a dead server' }).count(), 1);
  });

  step('looks well in both languages, in light and dark', async () => {
    await go(ann, `#/chat/${group}`);
    await ann.locator('.panel').waitFor({ state: 'detached' });
    await shot(ann, 'chat-light');
    await shot(phone, 'chat-phone-zh-dark');
    await phone.locator('.room > header .about').tap();
    await phone.locator('.panel .card-top h2').waitFor();
    await shot(phone, 'panel-phone-zh-dark');
    const wide = await phone.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${wide} px too wide`);
    await go(phone, `#/chat/${group}`);
    await bob.evaluate(() => localStorage.setItem('yizhan.theme', 'dark'));
    await bob.reload();
    await stands(bob, 'said to a dead server');
    // It opens at the end, however late pictures and notices come.
    await eventually('the end', () => bob.locator('.timeline').evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight < 5));
    await shot(bob, 'chat-dark');
  });

  step('knows contacts, blocks, and one’s own devices', async () => {
    await ask(ann, 'befriend', { user: 'bob', text: 'It is me' });
    await go(bob, '#/people/requests');
    await bob.locator('.member', { hasText: 'It is me' }).getByRole('button', { name: 'Accept' }).click();
    await go(ann, '#/people');
    await ann.locator('.member', { hasText: 'Bob' }).waitFor();
    await shot(ann, 'contacts');
    await go(bob, '#/people/mine');
    await bob.locator('.mine-cards').waitFor();
    await bob.getByRole('radio', { name: 'Busy' }).click();
    await ann.locator('.member .dot.busy').waitFor();
    await shot(bob, 'profile-dark');
    await go(bob, '#/people/devices');
    await bob.locator('.member').nth(1).waitFor();
    await bob.getByRole('button', { name: 'Log out my other devices' }).click();
    await bob.locator('dialog button[value=yes]').click();
    await eventually('the phone to be out', () => phone.evaluate(() => !document.querySelector('y-chat') || document.querySelector('.banner.bad:not([hidden])') !== null));
    await shot(bob, 'devices-dark');
  });

  step('shows somebody out', async () => {
    await go(bob, `#/chat/${group}`);
    await stands(bob, 'said to a dead server');
    await go(ann, `#/chat/${group}/members`);
    const row = ann.locator('.panel .member', { hasText: 'Bob' });
    await row.getByRole('button', { name: /^More/ }).click();
    await ann.locator('.menu button', { hasText: /^Remove$/ }).click();
    await ann.locator('dialog button[value=yes]').click();
    await bob.locator('.notice', { hasText: 'You were removed' }).waitFor();
    await eventually('the group to be gone', async () => (await talk(bob, 'Harbour project').count()) === 0);
    await row.waitFor({ state: 'detached' });
  });

  step('nothing complained', () => {
    assert.deepEqual(complaints, []);
    console.log(`screenshots: ${shots}`);
  });
});
