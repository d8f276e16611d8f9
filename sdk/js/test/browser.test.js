// All three transports in a real browser, from a page of another origin.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser, serve, skip } from './browser.js';
import { RealServer } from './real.js';

let data;
let server;
let web;
let browser;

before(async () => {
  if (skip) return;
  data = mkdtempSync(join(tmpdir(), 'yizhan-browser-'));
  web = await serve(() => '<!doctype html><title>Test</title>');
  server = await RealServer.start(data, { sets: [`http.origins=${web.origin}`] });
  browser = await openBrowser();
});
after(async () => {
  if (skip) return;
  await browser.close();
  web.stop();
  await server.stop('SIGTERM');
  rmSync(data, { recursive: true });
});

for (const transport of ['websocket', 'sse', 'poll', 'sse by EventSource']) {
  test(`in a browser, from another origin: ${transport}`, { skip, timeout: 60_000 }, async () => {
    const page = await (await browser.newContext()).newPage();
    await page.goto(web.origin);
    const [name, byEventSource] = transport.split(' by ');
    const told = await page.evaluate(async ([url, chosen, eventSource]) => {
      const { connect } = await import(`${url}/sdk/yizhan.js`);
      const client = connect(url, { transports: [chosen], device: 'browser', ...(eventSource && { EventSource }) });
      const topic = `disk/browser-${Math.random()}`;
      const room = client.subscribe(topic);
      await room.ready;
      const receipts = await Promise.all(Array.from({ length: 30 }, (_, i) => client.publish(topic, i)));
      await client.publish(topic, '驿'.repeat(100_000));
      await client.publish(topic, Uint8Array.of(0, 255));
      const got = [];
      for await (const record of room) {
        got.push(record.data ?? record.text?.length ?? [...record.bin]);
        if (got.length === 32) break;
      }
      const { records } = await client.history(topic, { before: 4 });
      const { roundTrip } = await client.readTime();
      const present = await client.presence({ topic });
      const { session, transport: used } = client;
      client.close();
      return { got, seqs: receipts.map(({ seq }) => seq), past: records.map(({ seq }) => seq), roundTrip, present, session, used };
    }, [`http://${server.http}`, name, Boolean(byEventSource)]);
    assert.equal(told.used, name);
    assert.deepEqual(told.got, [...Array(30).keys(), 100_000, [0, 255]]);
    assert.deepEqual(told.seqs, Array.from({ length: 30 }, (_, i) => i + 1));
    assert.deepEqual(told.past, [1, 2, 3]);
    assert.deepEqual(told.present, []); // The loop was left, so nobody listens.
    assert.ok(told.roundTrip > 0);
    await page.context().close();
  });
}
