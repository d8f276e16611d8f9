// The real server over one folder and one port, killed and started again.
import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** `target/debug/yizhan`, or what YIZHAN_BIN names. */
export const binary = process.env.YIZHAN_BIN ?? fileURLToPath(new URL('../../target/debug/yizhan', import.meta.url));
const SECRET = 'a secret of this test, and of no other';

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token that lets somebody in. */
export function tokenOf(user) {
  const signed = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: user, exp: Math.floor(Date.now() / 1000) + 86_400 })}`;
  return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
}

export class Server {
  static async make() {
    const server = new Server();
    server.folder = mkdtempSync(join(tmpdir(), 'yizhan-completeness-'));
    server.url = `http://127.0.0.1:${await freePort()}`;
    const config = `[http]
listen = "${server.url.slice(7)}"
[socket]
tcp = "127.0.0.1:${await freePort()}"
[mqtt]
tcp = "127.0.0.1:${await freePort()}"
[rtmp]
tcp = []
[identity.jwt]
secret = "${SECRET}"
[identity.rates.user]
`;
    writeFileSync(join(server.folder, 'yizhan.toml'), config);
    return server;
  }

  starts = 0;

  async start() {
    const log = openSync(join(this.folder, 'server.log'), 'a');
    // Variables of this name are the server's settings, and YIZHAN_BIN is none.
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('YIZHAN_')));
    const command = ['serve', '--config', join(this.folder, 'yizhan.toml'), '--data', join(this.folder, 'data')];
    this.child = spawn(binary, command, { env, stdio: ['ignore', log, log] });
    closeSync(log);
    this.starts += 1;
    let over = false;
    this.ended = new Promise((resolve) => this.child.on('exit', resolve)).then(() => (over = true));
    for (let i = 0; i < 3_000; i += 1) {
      if (over) throw new Error(`the server ended:\n${this.log()}`);
      if (await fetch(`${this.url}/healthz`).then(() => true, () => false)) return;
      await pause(20);
    }
    throw new Error(`the server does not answer:\n${this.log()}`);
  }

  log() {
    return readFileSync(join(this.folder, 'server.log'), 'utf8').slice(-4_000);
  }

  async kill() {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async end(keep) {
    if (this.child && this.child.exitCode === null && this.child.signalCode === null) await this.kill();
    if (keep) console.log(`kept ${this.folder}`);
    else rmSync(this.folder, { recursive: true, force: true });
  }
}
