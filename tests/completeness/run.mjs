// Clients that come, go and switch devices while the server is killed with -9: at the end everybody has the same.
//
//   node run.mjs [--clients 40] [--seconds 60] [--seed 1] [--kills 6] [--keep] [--verbose]
//
// It prints what went wrong and ends with 1, or a summary and 0. See README.md.
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { check } from './check.mjs';
import { Device } from './device.mjs';
import { Ledger } from './ledger.mjs';
import { seeded } from './random.mjs';
import { Server, binary, tokenOf } from './server.mjs';
import { connect } from '../../sdk/js/yizhan.js';

const { WebSocket } = createRequire(new URL('../../sdk/js/package.json', import.meta.url))('ws');

const { values: options } = parseArgs({
  options: {
    clients: { type: 'string', default: '40' }, seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' },
    kills: { type: 'string' }, keep: { type: 'boolean', default: false }, verbose: { type: 'boolean', default: false },
  },
});
const [clients, seconds, seed] = [options.clients, options.seconds, options.seed].map(Number);
const kills = options.kills === undefined ? Math.max(1, Math.floor(seconds / 8)) : Number(options.kills);

class World {
  random = seeded(seed);
  ledger = new Ledger();
  verbose = options.verbose;
  WebSocket = WebSocket;
  tokenOf = tokenOf;
  /** Who is in each conversation. */
  members = new Map();
  devices = [];

  conversationsOf(user) {
    return this.#of.get(user);
  }

  #of = new Map();

  /** Direct conversations and groups, made by their first member. */
  async meet() {
    const users = Array.from({ length: Math.max(2, Math.ceil(clients / 2)) }, (_, i) => `user${i}`);
    this.users = users;
    for (const user of users) this.#of.set(user, []);
    await Promise.all(users.map((user) => this.#as(user, (ask) => ask('attach', { platform: 'other' }))));
    for (let i = 0; i < users.length; i += 1) {
      const [user, peer] = [users[i], users[(i + 1) % users.length]];
      if (user !== peer) await this.#made([user, peer], (ask) => ask('open', { user: peer }));
    }
    for (let i = 0; i < Math.ceil(users.length / 4); i += 1) {
      const members = users.filter((_, n) => n % Math.ceil(users.length / 4) === i || this.random.chance(0.25));
      if (members.length > 1) await this.#made(members, (ask) => ask('create', { kind: 'group', title: `group ${i}`, members: members.slice(1) }));
    }
    await this.#made(users, (ask) => ask('create', { kind: 'group', title: 'all', members: users.slice(1) }));
  }

  async #made(members, make) {
    const { id } = await this.#as(members[0], make);
    if (this.members.has(id)) return;
    this.members.set(id, members);
    for (const user of members) this.#of.get(user).push(id);
  }

  async #as(user, use) {
    const client = connect(this.server.url, { WebSocket, transports: ['websocket'], token: tokenOf(user) });
    try {
      return await use((name, data) => client.ask(`im/${name}`, data));
    } finally {
      client.close();
    }
  }

  /** Each user has a device; some have two or three. */
  begin() {
    for (let i = 0; i < clients; i += 1) this.devices.push(new Device(this, this.users[i < this.users.length ? i : Math.floor(i * 7) % this.users.length], i));
  }

  /** A device lives until time is over. */
  async live(device, end) {
    while (Date.now() < end) {
      // All together do as much as forty would: more is more than one process can hear.
      await pause(this.random.between(50, 600) * Math.max(1, clients / 40));
      await device.act();
    }
  }

  async killAgain(end) {
    for (let i = 0; i < kills; i += 1) {
      await pause(((end - Date.now()) / (kills - i)) * this.random.between(0.4, 0.9));
      await this.server.kill();
      await pause(this.random.between(0, 600));
      await this.server.start();
    }
  }
}

async function run() {
  const world = new World();
  world.server = await Server.make();
  let isGood = false;
  try {
    await world.server.start();
    await world.meet();
    world.begin();
    await Promise.all(world.devices.map(({ started }) => started));
    const end = Date.now() + seconds * 1000;
    await Promise.all([...world.devices.map((device) => world.live(device, end)), world.killAgain(end)]);
    const told = [...world.ledger.sends.values()].filter(({ acked }) => acked !== undefined).length;
    console.log(`${clients} clients of ${world.users.length} users in ${world.members.size} conversations, ${kills} kills: ${JSON.stringify(world.ledger.counts)}, ${told} told so far`);
    const count = await check(world);
    const { wrong } = world.ledger;
    isGood = wrong.length === 0;
    for (const line of wrong.slice(0, 40)) console.log(`WRONG ${line}`);
    if (wrong.length > 40) console.log(`WRONG … and ${wrong.length - 40} more`);
    console.log(`${isGood ? 'PASSED' : 'FAILED'} completeness (--seed ${seed}): ${count} messages, each once and in order, on ${clients} devices`);
  } finally {
    await Promise.all(world.devices.map((device) => device.end().catch(() => {})));
    await world.server.end(options.keep);
  }
  return isGood;
}

console.log(`${binary}, seed ${seed}`);
run().then((isGood) => process.exit(isGood ? 0 : 1), (error) => {
  console.error(error);
  process.exit(1);
});
