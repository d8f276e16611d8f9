// A scripted server: it answers like a real one unless a test says otherwise, and remembers all that it heard.
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from 'ws';
import { connect } from '../yizhan.js';

/** Waits until `claim` holds. The test runner's own time limit is the end of it. */
export async function until(claim, what = String(claim)) {
  const from = Date.now();
  for (;;) {
    const value = await claim();
    if (value) return value;
    if (Date.now() - from > 20_000) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** The server's end of one client's session, over whatever transport. */
class Talk {
  constructor(server, session) {
    this.server = server;
    this.session = session;
    this.secret = `secret of ${session}`;
    /** Commands, in order. */
    this.heard = [];
    /** How many frames they came in. */
    this.frames = 0;
    /** Carries events to the client: set by the transport. */
    this.write = () => {};
    this.drop = () => {};
    this.close = () => {};
  }

  /** Commands of one type, or of several. */
  all(...types) {
    return this.heard.filter((command) => types.includes(command.type));
  }

  async next(type, count = 1) {
    await until(() => this.all(type).length >= count, `${type} number ${count}`);
    return this.all(type)[count - 1];
  }

  send(...events) {
    this.write(JSON.stringify(events.length === 1 ? events[0] : events));
  }

  /** Answers to a frame; `undefined` for those that get none. */
  hear(text) {
    this.frames += 1;
    const frame = JSON.parse(text);
    return [frame].flat().flatMap((command) => {
      this.heard.push(command);
      const answer = (this.server.answers[command.type] ?? (() => undefined))(command, this);
      return answer === undefined ? [] : [{ re: command.id, ...answer }];
    });
  }

  records(sub, n, ...texts) {
    this.send({ type: 'records', sub, n, records: texts.map((text) => ({ topic: 't', at: 1, from: 'ann', text })) });
  }

  kept(sub, n, ...offsets) {
    this.send({
      type: 'records', sub, n,
      records: offsets.map((offset) => ({ topic: 't', at: 1, seq: offset, pos: `1.0.1.${offset.toString(16)}`, text: String(offset) })),
    });
  }
}

export class FakeServer {
  static async start(t, options = {}) {
    const server = new FakeServer(options);
    await new Promise((resolve) => server.http.listen(0, '127.0.0.1', resolve));
    server.url = `http://127.0.0.1:${server.http.address().port}`;
    t.after(() => server.stop());
    return server;
  }

  constructor({ sockets = true, sse = true, poll = true } = {}) {
    Object.assign(this, { sockets, sse, poll });
    this.talks = [];
    this.requests = [];
    this.upgrades = 0;
    this.answers = {
      hello: (command, talk) => this.welcome(command, talk),
      time: ({ t1 }) => ({ type: 'time', t1, t2: t1 + 1000, t3: t1 + 1000 }),
      subscribe: ({ sub }) => ({ type: 'subscribed', sub, pos: [], missed: 0 }),
      unsubscribe: () => ({ type: 'ok' }),
      publish: () => ({ type: 'receipt', at: 5, durable: 'none', duplicate: false }),
      ping: () => ({ type: 'pong' }),
      network: () => ({ type: 'pong', heartbeat: 20 }),
    };
    this.http = createServer((request, response) => this.#serve(request, response));
    this.ws = new WebSocketServer({ noServer: true, handleProtocols: () => 'yizhan.v1.json' });
    this.http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** What a server says that knows the session and lost nothing. */
  welcome(command, talk, more = {}) {
    const { resume } = command;
    const resumed = resume !== undefined;
    if (resumed) talk.session = resume.session;
    return {
      type: 'welcome', session: talk.session, secret: resumed ? undefined : talk.secret, user: 'ann', resumed, keep: 60, heartbeat: 45,
      at: 1000, limits: { frame: 4096, subscriptions: 10 },
      subs: (resume?.have ?? []).map(({ sub }) => ({ sub, filter: 't', missed: 0 })), ...more,
    };
  }

  talk(n = 1) {
    return until(() => this.talks[n - 1], `talk ${n}`);
  }

  /** A client of this server, closed at the test's end. */
  client(t, options = {}) {
    const client = connect(this.url, { WebSocket, backoff: { first: 0.01, max: 0.02 }, ...options });
    t.after(() => client.close());
    return client;
  }

  stop() {
    for (const socket of this.ws.clients) socket.terminate();
    this.http.closeAllConnections();
    this.http.close();
  }

  #begin() {
    const talk = new Talk(this, `s${this.talks.length + 1}`);
    this.talks.push(talk);
    return talk;
  }

  #upgrade(request, socket, head) {
    this.upgrades += 1;
    if (!this.sockets) return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    this.ws.handleUpgrade(request, socket, head, (ws) => {
      const talk = this.#begin();
      talk.request = request;
      talk.write = (text) => ws.send(text);
      talk.drop = () => ws.terminate();
      talk.close = (code, reason) => ws.close(code, reason);
      talk.isOpen = () => ws.readyState === 1;
      ws.on('close', (code) => (talk.closed = code));
      ws.on('error', () => {});
      ws.on('message', (data) => {
        const answers = talk.hear(String(data));
        if (answers.length > 0 && ws.readyState === 1) talk.send(...answers);
      });
    });
  }

  async #serve(request, response) {
    const url = new URL(request.url, this.url);
    this.requests.push(`${request.method} ${url.pathname}${url.search}`);
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const body = bytes.toString();
    const authorization = request.headers.authorization ?? '';
    const reply = (status, value, headers = {}) => {
      response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
      response.end(JSON.stringify(value));
    };
    const known = this.talks.findLast((talk) => authorization === `Session ${talk.session}:${talk.secret}`);
    if (this.refuse?.(request, reply, { bytes, response })) return;
    if (url.pathname === '/v1/sse' && this.sse) return this.#stream(request, response, url);
    if (url.pathname === '/v1/poll' && this.poll) return this.#wait(known, url, authorization, reply);
    if (url.pathname === '/v1/ticket') return reply(200, { ticket: `ticket for ${authorization}`, expires_in: 60 });
    if (url.pathname === '/v1/send') {
      if (!known) return reply(404, { type: 'error', code: 301, reason: 'no such session', again: 'never' });
      return reply(200, known.hear(body));
    }
    reply(404, {});
  }

  #stream(request, response, url) {
    const last = request.headers['last-event-id'] ?? url.searchParams.get('last_event_id');
    const before = last && this.talks.find((talk) => talk.session === last.split('/')[0]);
    const talk = this.#begin();
    talk.request = request;
    talk.after = last;
    if (before) Object.assign(talk, { session: before.session, secret: before.secret });
    let count = 0;
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    // Cut where it hurts, with a comment and all three kinds of line ends.
    talk.write = (text) => {
      const event = `: comment\r\nid: ${talk.session}/${(count += 1)}\r\ndata: ${text}\r\n\r\n`;
      response.write(event.slice(0, 15));
      setImmediate(() => response.write(event.slice(15)));
    };
    talk.drop = () => response.destroy();
    talk.close = () => response.end();
    request.on('close', () => {});
    response.on('close', () => (talk.closed = true));
    talk.send(this.welcome({}, talk, before ? { resumed: true, subs: undefined } : {}));
  }

  async #wait(known, url, authorization, reply) {
    if (!authorization.startsWith('Session')) {
      const talk = this.#begin();
      Object.assign(talk, { waiting: [], number: 1 });
      talk.write = (text) => talk.waiting.push([JSON.parse(text)].flat());
      return reply(200, [this.welcome({}, talk)], { 'Yizhan-Poll': '1' });
    }
    if (!known?.waiting) return reply(404, { type: 'error', code: 301, reason: 'no such session', again: 'never' });
    const acked = Number(url.searchParams.get('ack'));
    if (acked === known.number) known.last = undefined;
    if (!known.last) {
      for (let i = 0; i < 50 && known.waiting.length === 0; i += 1) await new Promise((resolve) => setTimeout(resolve, 4));
      known.last = known.waiting.splice(0).flat();
      known.number += 1;
    }
    if (this.failPolls > 0) {
      this.failPolls -= 1;
      return reply(502, {}); // Lost on the way: the client asks with the old number again.
    }
    return reply(200, known.last, { 'Yizhan-Poll': String(known.number) });
  }
}
