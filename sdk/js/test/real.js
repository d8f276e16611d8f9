// The real server as a process of a test's own.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './fake.js';

/** `target/debug/yizhan`, or what YIZHAN_BIN names; it may not be there. */
export const binary = process.env.YIZHAN_BIN ?? fileURLToPath(new URL('../../../target/debug/yizhan', import.meta.url));

export class RealServer {
  /** Starts it with `--dev` over a data folder, and waits until it listens. */
  static async start(data, { http = '127.0.0.1:0', sets = [] } = {}) {
    const server = new RealServer();
    const all = [`http.listen=${http}`, 'socket.tcp=127.0.0.1:0', 'mqtt.tcp=127.0.0.1:0', 'rtmp.tcp=127.0.0.1:0', ...sets].flatMap((set) => ['--set', set]);
    // Variables of this name are the server's settings, and YIZHAN_BIN is none.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('YIZHAN_')));
    server.child = spawn(binary, ['serve', '--dev', '--data', data, ...all], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    server.log = '';
    for (const stream of [server.child.stdout, server.child.stderr]) stream.on('data', (text) => (server.log += text));
    let isOver = false;
    server.ended = new Promise((resolve) => server.child.on('exit', resolve)).then(() => (isOver = true));
    await until(() => {
      if (isOver) throw new Error(`the server ended:\n${server.log}`);
      try {
        const run = JSON.parse(readFileSync(join(data, 'run.json'), 'utf8'));
        server.http = run.pid === server.child.pid && run.doors.http[0];
      } catch {
        // Not written yet.
      }
      return server.http;
    }, 'the server starts');
    return server;
  }

  stop(signal) {
    this.child.kill(signal);
    return this.ended;
  }
}
