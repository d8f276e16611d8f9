// A broadcast in a real browser: ffmpeg sends a picture with sound, the watch page plays it by every protocol, bullet chat
// flies over it, and publishers that come back, change their picture or end are survived. DASH is played by two players
// that nobody here wrote.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PATIENCE, Server, eventually, missing, openBrowser } from './stage.mjs';

const FFMPEG = process.env.FFMPEG ?? '/usr/bin/ffmpeg';
const PUB = '/usr/bin/mosquitto_pub';
const PLAYERS = {
  shaka: new URL('node_modules/shaka-player/dist/shaka-player.compiled.js', import.meta.url),
  dash: new URL('node_modules/dashjs/dist/modern/umd/dash.all.min.js', import.meta.url),
};
/** Whether the page was built with its players. */
const VENDOR = new URL('../../doors/live/page/node_modules/hls.js', import.meta.url);
const without =
  missing() ||
  (existsSync(FFMPEG) ? false : `no ${FFMPEG} (set FFMPEG)`) ||
  (existsSync(VENDOR) ? false : 'no players (run npm ci in doors/live/page, then build)');
if (without) console.log(`skipped: ${without}`);

/** One broadcast has a ladder, all have snapshots. */
const SETTINGS = [
  'live.ladder.apps=["live"]',
  'live.ladder.names=["stairs"]',
  'live.ladder.rungs=[{name="180p",side=180,bits_per_second=200000}]',
  'live.snapshots.every="1s"',
  'live.apps=["live", "vip"]',
  'live.access.app.vip.play="tokens"',
  'live.tokens.secret="a secret of sixteen bytes or more"',
];
/** A part of a segment. */
const PART = /\.\d+\.m4s/;
/** Pictures that a player has to show before it counts as playing. */
const FRAMES = 40;

describe('a broadcast', { skip: without, timeout: 15 * 60_000 }, () => {
  // Guests may come in here, and anybody may publish.
  const server = new Server(['--dev', ...SETTINGS.flatMap((each) => ['--set', each])]);
  const shots = process.env.SHOTS ?? mkdtempSync(join(tmpdir(), 'yizhan-live-shots-'));
  mkdirSync(shots, { recursive: true });
  const complaints = [];
  const children = new Set();
  let browser;
  let secret;
  let publisher;

  const shot = (at, name) => at.screenshot({ path: join(shots, `${name}.png`) });

  /** A page of somebody's own. `kept` is what the watch page remembers. */
  async function page(look = {}, kept = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 760 }, locale: 'en-GB', ...look });
    context.setDefaultTimeout(PATIENCE);
    const made = await context.newPage();
    made.on('pageerror', (error) => complaints.push(String(error.stack ?? error)));
    made.on('console', (message) => {
      if (/Content Security Policy|Refused to/.test(message.text())) complaints.push(message.text());
    });
    await made.addInitScript((values) => {
      for (const [name, value] of Object.entries(values)) localStorage.setItem(`yizhan.watch.${name}`, JSON.stringify(value));
    }, kept);
    return made;
  }

  /** Somebody who watches. What the page fetched stands in `fetched`. */
  async function viewer(kept = {}, look = {}, name = 'room1') {
    const at = await page(look, kept);
    const fetched = [];
    at.on('request', (request) => fetched.push(request.url()));
    await at.goto(`${server.origin}/watch/live/${name}`);
    return Object.assign(at, { fetched });
  }

  const facts = (at) =>
    at.evaluate(() => {
      const video = document.querySelector('video');
      return {
        time: video.currentTime,
        width: video.videoWidth,
        height: video.videoHeight,
        paused: video.paused,
        frames: video.getVideoPlaybackQuality().totalVideoFrames,
        sound: video.webkitAudioDecodedByteCount,
        ahead: video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0,
      };
    });

  /** Waits until so many more pictures were shown and the sound went on. */
  async function plays(at, frames = FRAMES) {
    // A fresh count: what was shown before is not what moves now.
    const before = await facts(at);
    try {
      return await eventually('the picture to move', async () => {
        const now = await facts(at);
        const more = now.frames < before.frames ? now.frames : now.frames - before.frames;
        const louder = now.sound !== before.sound;
        return more >= frames && louder && now;
      });
    } catch (error) {
      await shot(at, 'failed');
      throw new Error(`${error.message}: ${JSON.stringify(await facts(at))}, ${await at.locator('.veil').textContent()}`);
    }
  }

  /** Pictures that the compositor was really given within a second. */
  const shownInASecond = (at) =>
    at.evaluate(
      () =>
        new Promise((resolve) => {
          const video = document.querySelector('video');
          let n = 0;
          const count = () => {
            n++;
            video.requestVideoFrameCallback(count);
          };
          video.requestVideoFrameCallback(count);
          setTimeout(() => resolve(n), 1000);
        }),
    );

  async function ask(what, body = {}) {
    const response = await fetch(`${server.origin}/v1/ask/live/${what}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    assert.ok(response.ok, `live/${what}: ${JSON.stringify(answer)}`);
    return answer.data;
  }

  const onAir = async (name = 'room1') => (await ask('list')).broadcasts.find((each) => each.name === name);

  /** Sends a moving picture with a tone, as somebody's OBS would. */
  function publish({ size = '640x360', rate = 25, app = 'live', name = 'room1' } = {}) {
    const child = spawn(
      FFMPEG,
      [
        ...['-hide_banner', '-loglevel', 'error', '-re'],
        ...['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${rate}`, '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
        ...['-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency', '-pix_fmt', 'yuv420p', '-g', String(2 * rate), '-b:v', '800k'],
        ...['-c:a', 'aac', '-b:a', '96k', '-ac', '2', '-f', 'flv', `rtmp://127.0.0.1:${server.rtmp}/${app}/${name}`],
      ],
      { stdio: ['pipe', 'ignore', 'pipe'] },
    );
    children.add(child);
    child.said = '';
    child.stderr.on('data', (data) => (child.said += data));
    child.gone = new Promise((resolve) =>
      child.once('exit', () => {
        children.delete(child);
        resolve();
      }),
    );
    return child;
  }

  /** Waits until it is on air with this height. */
  const isOnAir = (height, name) =>
    eventually(`the broadcast to be on air with ${height} lines`, async () => {
      const found = await onAir(name);
      return found && !found.lost && found.video?.height === height && found.audio;
    });

  let broken = '';
  function step(name, run) {
    it(name, async (test) => {
      if (broken) return test.skip(`after “${broken}”`);
      try {
        await run();
      } catch (error) {
        broken = name;
        console.log(`screenshots: ${shots}\n${complaints.join('\n')}\n${publisher?.said ?? ''}`);
        throw error;
      }
    });
  }

  before(async () => {
    await server.start();
    browser = await openBrowser(['--autoplay-policy=no-user-gesture-required']);
    const at = await page();
    await at.goto(`${server.origin}/${await server.link()}`);
    await at.locator('y-shell').waitFor();
    secret = await at.evaluate(() => localStorage.getItem('yizhan.token'));
    await at.context().close();
  });

  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    await browser?.close();
    await server.end();
  });

  step('is waited for by a page that was opened too early, and begins there by itself', async () => {
    const at = await viewer();
    await at.locator('.veil.off', { hasText: 'Not on air' }).waitFor();
    await shot(at, 'off');
    publisher = publish();
    await isOnAir(360);
    await plays(at);
    await at.locator('.badge.on').waitFor();
    const [loaded, announced] = await at.evaluate(() => [
      performance
        .getEntriesByType('resource')
        .map((entry) => new URL(entry.name).pathname)
        .filter((path) => path.endsWith('.js') && !path.includes('/vendor/') && path !== '/watch/~/main.js'),
      [...document.querySelectorAll('link[rel=modulepreload]')].map((link) => link.getAttribute('href')),
    ]);
    assert.deepEqual([...new Set(loaded)].sort(), announced.sort(), 'index.html announces each module that the page imports');
    await eventually('a snapshot for lists', async () => (await fetch(`${server.origin}/live/room1.jpg`)).headers.get('content-type') === 'image/jpeg');
    await at.context().close();
  });

  step('plays by Low-Latency HLS, near to live', async () => {
    const at = await viewer({ protocol: 'llhls' });
    const { width } = await plays(at);
    assert.equal(width, 640);
    // A machine without a graphics card that does other things, too, shows fewer than were sent.
    await eventually('a picture that moves before the eyes', async () => (await shownInASecond(at)) > 6);
    assert.ok(at.fetched.some((url) => PART.test(url)), 'parts were fetched');
    await eventually('a delay below 4 s', async () => {
      const text = await at.locator('.go-live small').textContent();
      return Number(/[\d.]+/.exec(text ?? '')?.[0] ?? 99) < 4;
    });
    await shot(at, 'llhls');
    await at.context().close();
  });

  step('plays by HLS', async () => {
    const at = await viewer({ protocol: 'hls' });
    await plays(at);
    assert.ok(!at.fetched.some((url) => PART.test(url)), 'only whole segments were fetched');
    await at.context().close();
  });

  step('plays by FLV, nearer still, and changes its protocol when told to', async () => {
    const at = await viewer({ protocol: 'flv' });
    await plays(at);
    assert.ok(at.fetched.some((url) => url.includes('/live/room1.flv')));
    await eventually('little to be buffered', async () => (await facts(at)).ahead < 2.5);
    await at.mouse.move(300, 300);
    await at.getByRole('button', { name: 'Settings' }).click();
    await shot(at, 'settings');
    await at.locator('.menu.settings [data-id=llhls]').click();
    await eventually('a playlist', () => at.fetched.some((url) => url.includes('.m3u8')));
    await plays(at);
    await at.context().close();
  });

  step('obeys its keys: space, m, d, f', async () => {
    const at = await viewer();
    await plays(at, 5);
    await at.locator('h1').click();
    await at.keyboard.press(' ');
    await eventually('it to stand', async () => (await facts(at)).paused);
    await at.locator('.veil.paused').waitFor();
    await at.keyboard.press(' ');
    await plays(at);
    const muted = () => at.evaluate(() => document.querySelector('video').muted);
    const was = await muted();
    await at.keyboard.press('m');
    assert.equal(await muted(), !was);
    await at.keyboard.press('d');
    await at.locator('.bullets').waitFor({ state: 'hidden' });
    await at.keyboard.press('d');
    await at.locator('.bullets').waitFor({ state: 'attached' });
    await at.keyboard.press('f');
    await at.locator('.stage.is-full').waitFor();
    await at.keyboard.press('f');
    await at.locator('.stage:not(.is-full)').waitFor();
    await at.context().close();
  });

  step('has bullet chat fly over the picture, from another page and from mosquitto_pub', async () => {
    await ask('title', { app: 'live', name: 'room1', title: 'Evening at the harbour · 海港' });
    const ann = await viewer({ guest: 'Ann' });
    const bob = await viewer({ guest: 'Bob', colour: '#ffe66b', protocol: 'flv' });
    await plays(ann, 10);
    await ann.locator('h1', { hasText: 'Evening at the harbour · 海港' }).waitFor();
    await ann.locator('.watching', { hasText: /[1-9]/ }).waitFor();
    await bob.locator('.side .composer .words').fill('hello from the other page 你好');
    await bob.locator('.side .composer .words').press('Enter');
    const bullet = ann.locator('.bullet', { hasText: 'hello from the other page 你好' });
    await bullet.waitFor({ state: 'attached' });
    const place = () => bullet.evaluate((of) => of.getBoundingClientRect().left);
    const first = await place();
    await eventually('it to fly', async () => (await place()) < first - 40);
    assert.equal(await bullet.evaluate((of) => getComputedStyle(of).color), 'rgb(255, 230, 107)');
    await ann.locator('.lines li', { hasText: 'hello from the other page' }).waitFor();
    assert.match((await ann.locator('.lines li', { hasText: 'hello from the other page' }).textContent()) ?? '', /^Bob/);
    // One's own words stand there once.
    assert.equal(await bob.locator('.lines li', { hasText: 'hello from the other page' }).count(), 1);
    assert.equal(await ann.locator('.lines li', { hasText: 'hello from the other page' }).count(), 1);
    if (existsSync(PUB)) {
      execFileSync(PUB, ['-h', '127.0.0.1', '-p', String(server.mqtt), '-t', 'live/live/room1/chat', '-m', 'hello from MQTT', '-q', '1'], { timeout: PATIENCE });
      await ann.locator('.bullet', { hasText: 'hello from MQTT' }).waitFor({ state: 'attached' });
      await bob.locator('.lines li', { hasText: 'hello from MQTT' }).waitFor();
    }
    await shot(ann, 'bullets');
    for (const at of [ann, bob]) await at.context().close();
  });

  step('keeps bullets apart, however many fly, and shows no markup', async () => {
    const at = await viewer({ density: 'many' });
    await plays(at, 5);
    const talker = await viewer({ guest: 'Talker', protocol: 'flv' });
    await talker.locator('.side .words').fill('<img src=x onerror="window.hacked=1">');
    await talker.locator('.side .words').press('Enter');
    await at.locator('.bullet', { hasText: '<img src=x' }).waitFor({ state: 'attached' });
    for (let i = 0; i < 24; i++) {
      await talker.locator('.side .words').fill(`a line that is ${'rather '.repeat(i % 5)}long ${i}`);
      await talker.locator('.side .words').press('Enter');
    }
    await at.locator('.lines li', { hasText: 'long 23' }).waitFor();
    const overlaps = await at.evaluate(() => {
      const boxes = [...document.querySelectorAll('.bullet')].map((each) => each.getBoundingClientRect());
      let n = 0;
      boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => (n += a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2 ? 1 : 0)));
      return { n, of: boxes.length };
    });
    assert.ok(overlaps.of > 5, JSON.stringify(overlaps));
    assert.equal(overlaps.n, 0);
    assert.equal(await at.evaluate(() => window.hacked), undefined);
    await shot(at, 'many-bullets');
    for (const each of [at, talker]) await each.context().close();
  });

  step('shows gifts', async () => {
    const at = await viewer();
    await plays(at, 5);
    await at.locator('.side .composer .words:enabled').waitFor();
    await eventually('the ribbon', async () => {
      const response = await fetch(`${server.origin}/v1/publish/live/live/room1/gifts`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${secret}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ gift: 'lantern', count: 2, user: 'Mei' }),
      });
      assert.ok(response.ok, await response.text());
      return (await at.locator('.ribbon', { hasText: 'Mei' }).count()) > 0;
    });
    await at.locator('.lines .gift', { hasText: 'gave a lantern' }).first().waitFor();
    await shot(at, 'gift');
    await at.context().close();
  });

  step('goes on when its publisher is cut off and comes back with another picture', async () => {
    const all = [await viewer({ protocol: 'llhls' }), await viewer({ protocol: 'flv' })];
    for (const at of all) await plays(at, 10);
    for (const at of all) await at.evaluate(() => (window.same = true));
    publisher.kill('SIGKILL');
    await publisher.gone;
    publisher = publish({ size: '854x480' });
    await isOnAir(480);
    for (const at of all) {
      await eventually('the other picture', async () => (await facts(at)).width === 854);
      await plays(at);
      assert.equal(await at.evaluate(() => window.same), true);
    }
    await shot(all[0], 'other-picture');
    for (const at of all) await at.context().close();
  });

  for (const [name, begin] of Object.entries({
    shaka: async (url) => {
      const { shaka } = window;
      shaka.polyfill.installAll();
      const player = new shaka.Player();
      await player.attach(document.querySelector('video'));
      player.addEventListener('error', ({ detail }) => (window.fault = `${detail.code} ${JSON.stringify(detail.data)}`));
      await player.load(url);
      await document.querySelector('video').play();
    },
    dash: async (url) => {
      const player = window.dashjs.MediaPlayer().create();
      player.on('error', ({ error }) => (window.fault = `${error?.code} ${error?.message}`));
      player.initialize(document.querySelector('video'), url, true);
    },
  })) {
    step(`plays by DASH in ${name === 'dash' ? 'dash.js' : 'shaka'}, through another publisher and another picture`, async () => {
      const at = await page();
      // A page of nobody's, on the same host.
      await at.route('**/a-page-of-others/**', (route) =>
        route.request().url().endsWith('.js')
          ? route.fulfill({ contentType: 'text/javascript', body: readFileSync(PLAYERS[name]) })
          : route.fulfill({ contentType: 'text/html', body: '<!doctype html><video muted width="640"></video><p class="veil"></p><script src="player.js"></script>' }),
      );
      await at.goto(`${server.origin}/a-page-of-others/index.html`);
      const fault = () => at.evaluate(() => window.fault);
      await at.evaluate(begin, `${server.origin}/live/room1.mpd`);
      await plays(at).catch(async (error) => {
        throw new Error(`${error.message}; ${await fault()}`);
      });
      assert.equal(await fault(), undefined);
      const before = await facts(at);
      publisher.kill('SIGKILL');
      await publisher.gone;
      const height = before.height === 480 ? 360 : 480;
      publisher = publish({ size: height === 360 ? '640x360' : '854x480' });
      await isOnAir(height);
      await eventually('the other picture', async () => (await facts(at)).height === height);
      await plays(at);
      await at.context().close();
    });
  }

  step('changes the quality without a break, by HLS and by FLV', async () => {
    const other = publish({ name: 'stairs' });
    await isOnAir(360, 'stairs');
    const at = await viewer({ protocol: 'llhls' }, {}, 'stairs');
    const choose = async (text) => {
      await at.locator('.stage').hover();
      await at.locator('.quality').click();
      await at.locator('.menu.levels button', { hasText: text }).click();
    };
    await plays(at, 10);
    await choose('180p');
    await eventually('the smaller picture', async () => (await facts(at)).height === 180);
    await plays(at);
    await choose('Source');
    await eventually('the larger picture', async () => (await facts(at)).height === 360);
    await at.locator('.stage').hover();
    await at.getByRole('button', { name: 'Settings' }).click();
    await at.locator('.menu.settings [data-id=flv]').click();
    await eventually('the tags', () => at.fetched.some((url) => url.endsWith('/live/stairs.flv')));
    await plays(at);
    await choose('180p');
    await eventually('the smaller picture', async () => (await facts(at)).height === 180);
    assert.ok(at.fetched.some((url) => url.includes('/live/stairs~180p.flv')));
    await plays(at);
    await shot(at, 'quality');
    await at.context().close();
    other.kill('SIGKILL');
    await other.gone;
  });

  step('is closed to whom it is not for, and opens by a token, by HLS and by FLV', async () => {
    const other = publish({ app: 'vip', name: 'salon' });
    await isOnAir(360, 'salon');
    const closed = await page();
    await closed.goto(`${server.origin}/watch/vip/salon`);
    await closed.locator('.veil.denied').waitFor();
    await closed.context().close();
    const { token } = await ask('token', { app: 'vip', name: 'salon', action: 'play', valid_s: 600 });
    for (const protocol of ['llhls', 'flv']) {
      const at = await page({}, { protocol });
      await at.goto(`${server.origin}/watch/vip/salon?token=${encodeURIComponent(token)}`);
      await plays(at, 10);
      await at.locator('.badge.on').waitFor();
      await at.context().close();
    }
    other.kill('SIGKILL');
    await other.gone;
  });

  step('plays what the browser plays by itself where the page has no players', async () => {
    const at = await page();
    await at.route('**/watch/~/vendor/**', (route) => route.fulfill({ status: 404, body: '' }));
    await at.goto(`${server.origin}/watch/live/room1`);
    if (await at.evaluate(() => document.createElement('video').canPlayType('application/vnd.apple.mpegurl') !== '')) await plays(at);
    else await at.locator('.veil.unsupported').waitFor();
    await at.context().close();
  });

  step('fits a phone, upright and on its side, in both languages, without a complaint', async () => {
    for (const [name, look] of Object.entries({
      upright: { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, locale: 'zh-CN' },
      lying: { viewport: { width: 844, height: 390 }, hasTouch: true, isMobile: true, locale: 'zh-CN' },
      desk: { viewport: { width: 1440, height: 860 }, locale: 'en-GB' },
    })) {
      const at = await viewer({ guest: '小满', theme: name === 'desk' ? 'light' : 'dark' }, look);
      await plays(at, 10);
      if (name === 'lying') await at.locator('.stage').tap();
      const words = at.locator('.composer .words').filter({ visible: true });
      await words.fill(`画面好清楚 ${name}`);
      await words.press('Enter');
      const bullet = at.locator('.bullet', { hasText: `画面好清楚 ${name}` });
      await bullet.waitFor({ state: 'attached' });
      await eventually('it to be in sight', () => bullet.evaluate((of) => of.getBoundingClientRect().right < innerWidth - 20));
      const wide = await at.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${name} is ${wide} px too wide`);
      await shot(at, `watch-${name}`);
      await at.context().close();
    }
  });

  step('stands in the console, with its numbers, and is ended there', async () => {
    const watcher = await viewer({ protocol: 'flv' });
    await plays(watcher, 10);
    for (const look of [
      { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, locale: 'zh-CN', colorScheme: 'dark' },
      { viewport: { width: 1360, height: 900 }, locale: 'en-GB', colorScheme: 'light' },
    ]) {
      const at = await page(look);
      await at.goto(server.origin);
      await at.evaluate((value) => localStorage.setItem('yizhan.token', value), secret);
      await at.goto(`${server.origin}/#/live`);
      await at.reload();
      const card = at.locator('y-live-card', { hasText: 'live/room1' });
      await card.waitFor();
      await eventually('its numbers', async () => /H\.264/.test((await card.textContent()) ?? '') && /bit\/s/.test((await card.locator('.live-lines').textContent()) ?? ''));
      await eventually('the viewer by its door', async () => /FLV 1/.test((await card.locator('.live-lines').textContent()) ?? ''));
      const wide = await at.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} px too wide`);
      await shot(at, `console-${look.locale}`);
      if (look.locale !== 'en-GB') {
        await at.context().close();
        continue;
      }
      await card.getByRole('button', { name: 'More' }).click();
      await at.locator('.menu button', { hasText: 'Show the viewers' }).click();
      await card.locator('tbody tr').first().waitFor();
      await at.getByRole('button', { name: 'Go live' }).click();
      await at.locator('.given code', { hasText: /^rtmp:\/\/127\.0\.0\.1\/live$/ }).waitFor();
      await shot(at, 'console-help');
      await card.getByRole('button', { name: 'More' }).click();
      await at.locator('.menu button', { hasText: 'End the broadcast' }).click();
      await at.locator('dialog button[type=submit]').click();
      await card.waitFor({ state: 'detached' });
      await at.getByText('Nothing is on air').waitFor();
      await shot(at, 'console-none');
      await at.context().close();
    }
    await watcher.locator('.veil.off', { hasText: 'The broadcast is over' }).waitFor();
    await shot(watcher, 'over');
    // It goes on where it goes on.
    publisher = publish();
    await isOnAir(360);
    await plays(watcher);
    await watcher.context().close();
  });

  step('nothing complained', () => {
    assert.deepEqual(complaints, []);
    console.log(`screenshots: ${shots}`);
  });
});
