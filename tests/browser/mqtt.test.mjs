// The console of who runs MQTT clients, with mosquitto's own tools on the other side.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PATIENCE, Server, eventually, missing, openBrowser } from './stage.mjs';

const PUB = '/usr/bin/mosquitto_pub';
const SUB = '/usr/bin/mosquitto_sub';
const without = missing() || (existsSync(PUB) && existsSync(SUB) ? false : `no ${PUB} and ${SUB}`);

describe('the console with MQTT clients', { skip: without, timeout: 15 * 60_000 }, () => {
  const server = new Server();
  const shots = mkdtempSync(join(tmpdir(), 'yizhan-mqtt-shots-'));
  const children = new Set();
  const complaints = [];
  let browser, at, secret;

  before(async () => {
    await server.start();
    browser = await openBrowser();
    at = await page({ viewport: { width: 1360, height: 860 }, locale: 'en-GB' });
    await at.goto(`${server.origin}/${await server.link()}`);
    await at.locator('y-shell').waitFor();
    secret = await at.evaluate(() => localStorage.getItem('yizhan.token'));
    await api('POST', 'accounts', { user: 'plant', password: 'plant secret', roles: ['user'] });
  });

  after(async () => {
    for (const child of children) child.kill();
    await browser?.close();
    await server.end();
    console.log(`screenshots: ${shots}`);
  });

  async function page(look) {
    const context = await browser.newContext(look);
    context.setDefaultTimeout(PATIENCE);
    const made = await context.newPage();
    made.on('pageerror', (error) => complaints.push(String(error)));
    made.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
    });
    return made;
  }

  async function api(method, path, body) {
    const response = await fetch(`${server.origin}/api/v1/${path}`, {
      method,
      headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? null : response.json();
  }

  const login = () => ['-h', '127.0.0.1', '-p', String(server.mqtt), '-u', 'plant', '-P', 'plant secret'];

  const pub = (...rest) => execFileSync(PUB, [...login(), ...rest], { timeout: PATIENCE });

  /** A `mosquitto_sub` that is left running under a client id; what it heard so far. */
  async function sub(id, ...rest) {
    // Its lines are wanted as they come, not when a buffer is full.
    const child = spawn('stdbuf', ['-oL', SUB, ...login(), '-F', '%t %r %q %p', '-i', id, ...rest]);
    children.add(child);
    const heard = { text: '', child };
    child.stdout.on('data', (data) => (heard.text += data));
    await eventually(`the subscription of ${id}`, async () => {
      const { items } = await api('GET', `sessions?state=live&search=${id}`);
      return items.some(({ subscriptions }) => subscriptions > 0);
    });
    return heard;
  }

  async function go(where) {
    await at.evaluate((hash) => (location.hash = hash), where);
    await eventually(`${where} to be loaded`, async () => (await at.locator('.bones').count()) === 0);
  }

  const shot = (name) => at.screenshot({ path: join(shots, `${name}.png`) });

  const row = (text) => at.locator('main tbody tr', { hasText: text }).first();

  it('shows what mosquitto_pub publishes, live and retained', async () => {
    await go('#/topics/plant%2F%23/live');
    await at.locator('y-topic-feed').getByText('Nothing has been said').or(at.locator('y-topic-feed .empty')).first().waitFor();
    pub('-t', 'plant/1/temp', '-m', '21.5', '-q', '1');
    await row('21.5').waitFor();
    pub('-t', 'plant/1/state', '-m', 'running', '-r', '-i', 'plc');
    await row('running').waitFor();
    await shot('live');
    await go('#/topics/plant%2F%23/state');
    await row('running').click();
    await at.locator('.detail').getByText('retained', { exact: true }).waitFor();
    await shot('state');
  });

  it('brings what is typed there to mosquitto_sub, retained and not', async () => {
    const heard = await sub('listener', '-t', 'plant/+/cmd', '-q', '2');
    await go('#/topics/plant%2F1%2Fcmd/publish');
    await at.locator('y-topic-publish textarea').first().fill('"open"');
    await at.locator('y-topic-publish select').nth(1).selectOption('1');
    await shot('publish');
    await at.getByRole('button', { name: 'Publish', exact: true }).click();
    await eventually('the message', () => heard.text.includes('plant/1/cmd 0 1 "open"'));
    await at.locator('y-topic-publish textarea').first().fill('"stay"');
    await at.locator('input[name=retain]').check();
    await at.getByRole('button', { name: 'Publish', exact: true }).click();
    await eventually('the second', () => heard.text.includes('"stay"'));
    const late = await sub('late', '-t', 'plant/1/cmd');
    await eventually('the retained one', () => late.text.includes('plant/1/cmd 1 '));
    late.child.kill();
    await go('#/topics/plant%2F1%2Fcmd/state');
    await row('stay').click();
    await at.getByRole('button', { name: 'Clear retained message' }).click();
    await at.locator('dialog button.danger').click();
    await at.getByText('was cleared').first().waitFor();
    const later = await sub('later', '-t', 'plant/1/cmd');
    pub('-t', 'plant/1/cmd', '-m', 'end');
    await eventually('the live one', () => later.text.includes('end'));
    assert.ok(!later.text.includes('plant/1/cmd 1 '), later.text);
    later.child.kill();
  });

  it('finds a client, shows its page, and follows it', async () => {
    await go('#/sessions');
    await at.locator('main select').selectOption('mqtt');
    await at.locator('main input[type=search]').fill('listen');
    await row('listener').waitFor();
    await eventually('the others to go', async () => (await at.locator('main tbody tr').count()) === 1);
    await shot('clients');
    await row('listener').click();
    await at.getByRole('heading', { name: 'listener' }).waitFor();
    await row('plant/+/cmd').waitFor();
    await at.getByRole('button', { name: 'Follow' }).click();
    await at.locator('y-client-trace').waitFor();
    await eventually('a line of the trace', async () => {
      pub('-t', 'plant/2/cmd', '-m', 'traced', '-q', '1');
      return (await at.locator('.trace li', { hasText: 'PUBLISH' }).count()) > 0;
    });
    await shot('client');
  });

  it('disconnects a client, which comes back, and bans it, which does not', async () => {
    await at.getByRole('button', { name: 'Disconnect' }).click();
    await at.locator('dialog button.main').click();
    await at.getByText('The connection was closed').first().waitFor();
    const heard = await sub('bad-one', '-t', 'plant/x');
    await go('#/sessions');
    await at.locator('main input[type=search]').fill('bad-one');
    await row('bad-one').click();
    await at.getByRole('button', { name: 'Ban…' }).click();
    await at.locator('dialog input').nth(1).fill('noise');
    await shot('ban-dialog');
    await at.locator('dialog button.main').click();
    await at.getByText('is kept out').first().waitFor();
    heard.child.kill();
    const refused = spawn(SUB, [...login(), '-V', '5', '-t', 'plant/x', '-i', 'bad-one', '-E']);
    children.add(refused);
    assert.notEqual(await new Promise((resolve) => refused.once('exit', resolve)), 0);
    await go('#/bans');
    await row('bad-one').waitFor();
    await shot('bans');
    await row('bad-one').getByRole('button', { name: 'End ban' }).click();
    await at.locator('dialog button.main').click();
    await at.getByText('Nobody is banned').waitFor();
  });

  it('shows groups and messages for later, and cancels one', async () => {
    const member = await sub('worker', '-t', '$share/crew/plant/jobs/#', '-q', '1');
    pub('-t', '$delayed/600/plant/later', '-m', 'not yet', '-q', '1');
    pub('-t', '$delayed/2/plant/jobs/1', '-m', 'soon', '-q', '1');
    await go('#/queues');
    await row('crew').waitFor();
    await row('plant/later').waitFor();
    await shot('queues');
    await eventually('the delayed job', () => member.text.includes('plant/jobs/1'));
    await row('plant/later').getByRole('button', { name: 'Cancel message' }).click();
    await at.locator('dialog button.danger').click();
    await at.getByText('The message was cancelled').first().waitFor();
    await at.getByText('Nothing waits').waitFor();
    member.child.kill();
  });

  it('fits every width, in both languages and both lights', async () => {
    await sub('sensor-with-a-rather-long-client-id-000017', '-t', '$share/crew/plant/#', '-q', '1');
    pub('-t', '$delayed/86400/plant/tomorrow', '-m', 'x', '-q', '1');
    pub('-t', 'plant/1/state', '-m', 'running', '-r');
    await api('POST', 'bans', { whom: 'address:192.0.2.0/24', reason: 'a scanner', expires_in: 3600 });
    const { items } = await api('GET', 'sessions?search=rather-long');
    const looks = [
      { locale: 'zh-CN', colorScheme: 'dark', viewport: { width: 1440, height: 900 } },
      { locale: 'zh-CN', colorScheme: 'dark', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
      { locale: 'en-GB', colorScheme: 'light', viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true },
      { locale: 'en-GB', colorScheme: 'light', viewport: { width: 1280, height: 800 } },
    ];
    for (const look of looks) {
      const seen = await page(look);
      await seen.goto(server.origin);
      await seen.evaluate((value) => localStorage.setItem('yizhan.token', value), secret);
      await seen.reload();
      await seen.locator('y-shell').waitFor();
      for (const [name, where] of [
        ['sessions', '#/sessions'],
        ['client', `#/sessions/${items[0].id}`],
        ['queues', '#/queues'],
        ['bans', '#/bans'],
        ['publish', '#/topics/plant%2F1%2Fstate/publish'],
        ['state', '#/topics/plant%2F%23/state'],
      ]) {
        await seen.evaluate((hash) => (location.hash = hash), where);
        await eventually(`${name} to be loaded`, async () => (await seen.locator('main .bones').count()) === 0);
        const wide = await seen.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        await seen.screenshot({ path: join(shots, `${name}-${look.locale}-${look.viewport.width}.png`) });
        assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
      }
      await seen.context().close();
    }
    assert.deepEqual(complaints, []);
  });
});
