#!/usr/bin/env node
// The story with `ws` (npm): node_ws.mjs http://127.0.0.1:8080
import { readFileSync } from 'node:fs';
import WebSocket from 'ws';
import { Events, KEPT, LARGE, TOKEN, UNICODE, expect, run, same, topic } from './story.mjs';

class Talk extends Events {
  ids = 0;

  static async dial(url) {
    const talk = new Talk();
    talk.socket = new WebSocket(`${url.replace(/^http/, 'ws')}/v1/socket`, ['yizhan.v1.json'], { perMessageDeflate: { threshold: 0 } });
    talk.ended = new Promise((resolve) => talk.socket.on('close', resolve));
    talk.socket.on('message', (data) => talk.frame(String(data)));
    await new Promise((resolve, reject) => talk.socket.on('open', resolve).on('error', reject));
    expect(talk.socket.protocol === 'yizhan.v1.json', `subprotocol ${talk.socket.protocol}`);
    return talk;
  }

  ask(command) {
    const id = (this.ids += 1);
    this.socket.send(JSON.stringify({ ...command, id }));
    return this.next(({ re }) => re === id);
  }

  async hello(more) {
    const welcome = await this.ask({ type: 'hello', token: TOKEN, ...more });
    expect(welcome.type === 'welcome', `no welcome but ${JSON.stringify(welcome)}`);
    return welcome;
  }

  async publish(to, body) {
    const receipt = await this.ask({ type: 'publish', topic: to, ...body });
    expect(receipt.type === 'receipt', `no receipt but ${JSON.stringify(receipt)}`);
    return receipt;
  }
}

async function story(url, step) {
  const [place, kept] = [topic('clients/'), topic(KEPT)];
  step('welcome');
  let talk = await Talk.dial(url);
  const welcome = await talk.hello({ keep: 60, device: 'check' });

  step('permessage-deflate: agreed on');
  expect(talk.socket.extensions === 'permessage-deflate', `extensions '${talk.socket.extensions}'`);

  step('subscribe, publish, receive');
  await talk.ask({ type: 'subscribe', sub: 1, filter: place });
  await talk.ask({ type: 'subscribe', sub: 2, filter: kept });
  await talk.publish(place, { text: 'hello' });
  const [first] = await talk.records(1, 1);
  expect(first.n === 1 && first.topic === place && first.text === 'hello', `came as ${JSON.stringify(first)}`);

  step('unicode, JSON, bytes');
  await talk.publish(place, { text: UNICODE });
  await talk.publish(place, { data: { a: [1, null, UNICODE] } });
  await talk.publish(place, { bin: 'AP+A' });
  const [text, data, bin] = await talk.records(1, 3);
  expect(text.text === UNICODE && same(data.data, { a: [1, null, UNICODE] }) && bin.bin === 'AP+A', 'it came changed');

  step('a large message');
  await talk.publish(place, { text: LARGE });
  expect((await talk.records(1, 1))[0].text === LARGE, 'it came changed');

  step('history, and the same message id twice');
  for (let i = 0; i < 5; i += 1) expect((await talk.publish(kept, { data: i, mid: `${kept} ${i}` })).seq === i + 1, 'wrong seq');
  const again = await talk.publish(kept, { data: 4, mid: `${kept} 4` });
  expect(again.duplicate && again.seq === 5, `receipt ${JSON.stringify(again)}`);
  const page = await talk.ask({ type: 'history', topic: kept, before: 5, limit: 2 });
  expect(same(page.records.map((record) => record.data), [2, 3]) && page.more, `page ${JSON.stringify(page)}`);
  const last = (await talk.records(2, 5)).at(-1);

  step('resume after a drop: what came meanwhile, once');
  talk.socket.terminate();
  await talk.ended;
  const other = await Talk.dial(url);
  await other.hello();
  for (const i of [5, 6]) await other.publish(kept, { data: i });
  await other.publish(place, { text: 'meanwhile' });
  talk = await Talk.dial(url);
  const have = [{ sub: 1, n: 5 }, { sub: 2, n: last.n, pos: [last.pos] }];
  const back = await talk.hello({ keep: 60, resume: { session: welcome.session, secret: welcome.secret, have } });
  expect(back.resumed && back.subs.every(({ missed }) => missed === 0), `welcome ${JSON.stringify(back.subs)}`);
  expect(same((await talk.records(2, 2)).map(({ n, data: value }) => [n, value]), [[6, 5], [7, 6]]), 'not what came meanwhile');
  expect(same((await talk.records(1, 1)).map(({ n, text: value }) => [n, value]), [[6, 'meanwhile']]), 'not what came meanwhile');
  await other.publish(kept, { data: 7 });
  expect((await talk.records(2, 1))[0].data === 7, 'something came twice');

  step('goodbye');
  talk.socket.send('{"type":"bye"}');
  const code = await talk.ended;
  expect(code === 1000, `closed with ${code}`);
}

const { version } = JSON.parse(readFileSync(new URL('node_modules/ws/package.json', import.meta.url), 'utf8'));
await run(`node ws ${version}`, story);
