// What the browser tests stand on: a server of their own, a road to it that can be cut, and a browser.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** How long a test waits for what must happen, ms; `PATIENCE` sets it in seconds. */
export const PATIENCE = Number(process.env.PATIENCE ?? 60) * 1000;

const BINARY = process.env.YIZHAN_BIN ?? fileURLToPath(new URL('../../target/debug/yizhan', import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Ours without what the server would take for its configuration. */
const ENVIRONMENT = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('YIZHAN_')));

/** Why these tests can't run here; `false` where they can. */
export function missing() {
  if (!existsSync(CHROMIUM)) return `no browser at ${CHROMIUM} (set CHROMIUM)`;
  if (!existsSync(BINARY)) return `no server at ${BINARY} (set YIZHAN_BIN, or run cargo build)`;
  if (!existsSync(new URL('node_modules/playwright-core', import.meta.url)))
    return 'no playwright-core (run npm ci in tests/browser)';
  return false;
}

/** Waits until `ready` gives something that is not false. */
export async function eventually(what, ready) {
  const until = Date.now() + PATIENCE;
  for (;;) {
    const value = await ready();
    if (value) return value;
    if (Date.now() > until) throw new Error(`${what} did not happen within ${PATIENCE / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A server over a data folder of its own, on free ports. */
export class Server {
  folder = mkdtempSync(join(tmpdir(), 'yizhan-browser-'));
  output = '';
  #child;
  #options;

  /** @param {string[]} options what else `serve` is given */
  constructor(options = []) {
    this.#options = options;
  }

  /** Starts it; the second time on the port of the first. */
  async start() {
    const run = join(this.folder, 'data', 'run.json');
    rmSync(run, { force: true });
    const listen = this.port ?? 0;
    const child = spawn(
      BINARY,
      [
        'serve',
        '--data',
        join(this.folder, 'data'),
        '--set',
        `http.listen=127.0.0.1:${listen}`,
        '--set',
        'socket.tcp=127.0.0.1:0',
        '--set',
        'mqtt.tcp=127.0.0.1:0',
        '--set',
        'rtmp.tcp=127.0.0.1:0',
        ...this.#options,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: ENVIRONMENT },
    );
    this.#child = child;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (this.output += data));
    const doors = await eventually('the start of the server', () => {
      if (child.exitCode !== null) throw new Error(`the server ended:\n${this.output}`);
      try {
        const written = JSON.parse(readFileSync(run, 'utf8'));
        return written.pid === child.pid && written.doors;
      } catch {
        return false;
      }
    });
    this.port = Number(doors.http[0].split(':').at(-1));
    this.origin = `http://127.0.0.1:${this.port}`;
    this.mqtt = Number(doors.mqtt[0].split(':').at(-1));
    this.rtmp = Number(doors.rtmp[0].split(':').at(-1));
  }

  /** The one-time link that the server printed. */
  async link() {
    return (await eventually('the first link', () => /#link=\S+/.exec(this.output.replace(/\x1b\[[0-9;]*m/g, ''))))[0];
  }

  /** `kill -9`. */
  async kill() {
    const child = this.#child;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async end() {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A road to a server: what goes over it arrives, until it is cut. */
export class Road {
  #ends = new Set();
  #open = true;
  #server;

  async build(port) {
    this.#server = createServer((near) => {
      if (!this.#open) return void near.destroy();
      const far = connect(port, '127.0.0.1');
      for (const [end, other] of [
        [near, far],
        [far, near],
      ]) {
        this.#ends.add(end);
        end.on('error', () => other.destroy());
        end.on('close', () => {
          this.#ends.delete(end);
          other.destroy();
        });
      }
      near.pipe(far).pipe(near);
    });
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.origin = `http://127.0.0.1:${this.#server.address().port}`;
  }

  cut() {
    this.#open = false;
    for (const end of [...this.#ends]) end.destroy();
  }

  mend() {
    this.#open = true;
  }

  end() {
    this.cut();
    this.#server?.close();
  }
}

/** A browser without a window. @param {string[]} options what else it is started with */
export async function openBrowser(options = []) {
  const { chromium } = await import('playwright-core');
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // A microphone that hums, and nobody who has to allow it.
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      ...options,
    ],
  });
}
