#!/usr/bin/env node
// Server-Sent Events with `eventsource` (npm), which does what browsers do: node_eventsource.mjs http://127.0.0.1:8080
import { readFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { EventSource } from 'eventsource';
import { Events, KEPT, LARGE, TOKEN, UNICODE, expect, run, same, topic } from './story.mjs';

/** A network that can be cut, so that the library comes back by itself with Last-Event-ID. */
async function network(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(Number(port || 80), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => [near, far].forEach((end) => end.destroy()));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, cut: () => sockets.forEach((socket) => socket.destroy()) };
}

async function story(url, step) {
  const [place, kept] = [topic('clients/'), topic(KEPT)];
  const authorization = TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {};
  const between = await network(url);

  const publish = async (to, body, type = 'text/plain; charset=utf-8') => {
    const response = await fetch(`${url}/v1/publish/${to}`, { method: 'POST', body, headers: { 'Content-Type': type, ...authorization } });
    expect(response.status === 200, `HTTP ${response.status}: ${await response.clone().text()}`);
    return response.json();
  };

  step('a ticket for the address, welcome');
  let ticket = '';
  if (TOKEN) ticket = `&ticket=${(await (await fetch(`${url}/v1/ticket`, { method: 'POST', headers: authorization })).json()).ticket}`;
  const source = new EventSource(`${between.url}/v1/sse?filter=${encodeURIComponent(place)}&filter=${encodeURIComponent(kept)}${ticket}`);
  const events = new Events();
  source.onmessage = ({ data }) => events.frame(data);
  const welcome = await events.next(({ type }) => type === 'welcome');
  expect(welcome.secret && welcome.keep > 0, 'the session will not outlive the stream');
  for (const sub of [1, 2]) await events.next((event) => event.type === 'subscribed' && event.sub === sub);

  step('publish, receive, unicode, a large message');
  for (const text of ['hello', UNICODE, LARGE]) await publish(place, text);
  expect(same((await events.records(1, 3)).map(({ text }) => text), ['hello', UNICODE, LARGE]), 'it came changed');

  step('history');
  for (let i = 0; i < 5; i += 1) expect((await publish(kept, String(i), 'application/json')).seq === i + 1, 'wrong seq');
  const page = await (await fetch(`${url}/v1/history/${kept}?before=5&limit=2`, { headers: authorization })).json();
  expect(same(page.records.map(({ data }) => data), [2, 3]) && page.more, `page ${JSON.stringify(page)}`);
  expect(same((await events.records(2, 5)).map(({ data }) => data), [0, 1, 2, 3, 4]), 'not all came');

  step('the network breaks: the library comes back by itself, with everything once');
  between.cut();
  for (const i of [5, 6]) await publish(kept, String(i), 'application/json');
  await publish(place, 'meanwhile');
  expect(same((await events.records(2, 2)).map(({ n, data }) => [n, data]), [[6, 5], [7, 6]]), 'not what came meanwhile');
  expect(same((await events.records(1, 1)).map(({ n, text }) => [n, text]), [[4, 'meanwhile']]), 'not what came meanwhile');
  await publish(kept, '7', 'application/json');
  expect((await events.records(2, 1))[0].data === 7, 'something came twice');
  const lost = events.waiting.filter(({ type }) => type === 'missed');
  expect(lost.length === 0, `lost: ${JSON.stringify(lost)}`);
  source.close();
}

const { version } = JSON.parse(readFileSync(new URL('node_modules/eventsource/package.json', import.meta.url), 'utf8'));
await run(`node eventsource ${version}`, story);
