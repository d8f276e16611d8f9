#!/usr/bin/env node
// The MQTT story with MQTT.js (npm `mqtt`): mqtt_js.mjs mqtt://127.0.0.1:1883 [mqtts://…] [ws://…/mqtt] [wss://…]
// User and password stand in the address, or nobody has one. MQTT_CA: the certificates that mqtts:// and wss:// are signed by.
import { readFileSync } from 'node:fs';
import mqtt from 'mqtt';

const WAIT = 30_000;
const GRACE = 500;
const LARGE = Buffer.alloc(1 << 20, 'one megabyte ');
const MANY = 1000;
const UNICODE = '你好，驿站 👋🏽 – ñ, ß';

const expect = (claim, what) => {
  if (!claim) throw new Error(what);
};
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** A promise, or the end of the patience. */
function within(promise, what) {
  let timer;
  const end = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error(`${what} did not come`)), WAIT)));
  return Promise.race([promise, end]).finally(() => clearTimeout(timer));
}

/** One client, and what came for it. */
class Wire {
  waiting = [];
  #wake = () => {};

  static async dial(place, { id, keep = false, will, ...more } = {}) {
    const wire = new Wire();
    const five = place.version === 5;
    wire.client = mqtt.connect(place.address, {
      protocolVersion: place.version,
      clientId: id ?? place.id(),
      clean: !keep,
      reconnectPeriod: 0,
      connectTimeout: WAIT,
      ca: process.env.MQTT_CA && readFileSync(process.env.MQTT_CA),
      properties: five && keep ? { sessionExpiryInterval: 300 } : undefined,
      will: will && { ...will, qos: 1, retain: false },
      ...more,
    });
    place.open.push(wire);
    wire.client.on('message', (topic, payload, { qos, retain, dup, properties = {} }) => {
      wire.waiting.push({ topic, payload, qos, retain, dup, properties });
      wire.#wake();
    });
    const connack = await within(new Promise((resolve, reject) => wire.client.on('connect', resolve).on('error', reject)), 'CONNACK');
    wire.sessionPresent = connack.sessionPresent;
    // What ends later ends on purpose.
    wire.client.removeAllListeners('error').on('error', () => {});
    return wire;
  }

  async heard(patience = WAIT) {
    const end = Date.now() + patience;
    while (!this.waiting.length) {
      if (Date.now() >= end) return undefined;
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, end - Date.now());
      });
    }
    return this.waiting.shift();
  }

  async message() {
    const message = await this.heard();
    expect(message, 'the message did not come');
    return message;
  }

  async nothing() {
    const message = await this.heard(GRACE);
    expect(!message, `came, and should not have: ${message?.topic} ${message?.payload}`);
  }

  async subscribe(filter, qos) {
    const granted = await within(this.client.subscribeAsync(filter, { qos }), 'SUBACK');
    expect(granted.every((one) => one.qos < 128), `refused: ${JSON.stringify(granted)}`);
  }

  publish(topic, payload, qos, more) {
    return within(this.client.publishAsync(topic, payload, { qos, ...more }), 'the acknowledgement');
  }

  /** Ends TCP without a word. */
  drop() {
    this.client.stream.destroy();
  }

  leave() {
    return within(this.client.endAsync(), 'the end');
  }
}

class Place {
  open = [];
  #names = 0;

  constructor(address, version) {
    Object.assign(this, { address, version, root: `clients/${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}` });
  }

  topic = () => `${this.root}/${(this.#names += 1)}`;
  id = () => `js${process.pid}x${Math.random().toString(36).slice(2, 10)}${(this.#names += 1)}`;
  dial = (options) => Wire.dial(this, options);
}

async function story(place, step) {
  const five = place.version === 5;
  const [listener, speaker] = [await place.dial(), await place.dial()];

  step('publish and subscribe, QoS 0, 1, 2, wildcards');
  let topic = place.topic();
  await listener.subscribe(`${topic}/+/state`, 2);
  await listener.subscribe(`${topic}/all/#`, 1);
  for (const qos of [0, 1, 2]) {
    await speaker.publish(`${topic}/lamp/state`, `${UNICODE} ${qos}`, qos);
    let message = await listener.message();
    expect(message.topic === `${topic}/lamp/state` && String(message.payload) === `${UNICODE} ${qos}` && message.qos === qos, 'it came changed');
    await speaker.publish(`${topic}/all/of/it`, '', qos);
    message = await listener.message();
    expect(message.payload.length === 0 && message.qos === Math.min(qos, 1), 'it came changed');
  }
  await within(listener.client.unsubscribeAsync(`${topic}/+/state`), 'UNSUBACK');
  await speaker.publish(`${topic}/lamp/state`, 'x', 1);
  await listener.nothing();

  step('retained messages');
  topic = place.topic();
  await speaker.publish(topic, 'kept', 1, { retain: true });
  await listener.subscribe(topic, 1);
  let message = await listener.message();
  expect(String(message.payload) === 'kept' && message.retain, 'it came changed');
  await speaker.publish(topic, '', 1, { retain: true });
  expect(!(await listener.message()).retain, 'the flag is set');
  const late = await place.dial();
  await late.subscribe(topic, 1);
  await late.nothing();

  step('a will');
  topic = place.topic();
  await listener.subscribe(topic, 1);
  (await place.dial({ will: { topic, payload: Buffer.from('gone') } })).drop();
  expect(String((await listener.message()).payload) === 'gone', 'something else came');
  await (await place.dial({ will: { topic, payload: Buffer.from('gone') } })).leave();
  await listener.nothing();

  step('a session that goes on');
  topic = place.topic();
  const id = place.id();
  let sleeper = await place.dial({ id, keep: true });
  expect(!sleeper.sessionPresent, 'a session is present that was never there');
  await sleeper.subscribe(topic, 2);
  await sleeper.leave();
  for (let i = 0; i < 20; i += 1) await speaker.publish(topic, String(i), 1 + (i % 2));
  sleeper = await place.dial({ id, keep: true });
  expect(sleeper.sessionPresent, 'the session is gone');
  const texts = [];
  while (texts.length < 20) texts.push(Number((await sleeper.message()).payload));
  for (const qos of [0, 1]) {
    expect(same(texts.filter((i) => i % 2 === qos), Array.from({ length: 10 }, (_, i) => 2 * i + qos)), `came as ${texts}`);
  }
  await sleeper.nothing();
  await sleeper.leave();
  expect(!(await place.dial({ id })).sessionPresent, 'a clean start found a session');

  if (five) {
    step('request and answer, properties, aliases');
    const [questions, answers] = [place.topic(), place.topic()];
    await listener.subscribe(questions, 1);
    await speaker.subscribe(answers, 1);
    const properties = { responseTopic: answers, correlationData: Buffer.from([0, 7]), contentType: 'text/plain', userProperties: { a: '1', b: ['2', '3'] } };
    await speaker.publish(questions, '2+2', 1, { properties });
    const question = await listener.message();
    for (const name of ['responseTopic', 'correlationData', 'contentType', 'userProperties']) {
      expect(same(question.properties[name], properties[name]), `${name} came as ${JSON.stringify(question.properties[name])}`);
    }
    await listener.publish(question.properties.responseTopic, '4', 1, { properties: { correlationData: question.properties.correlationData } });
    const answer = await speaker.message();
    expect(String(answer.payload) === '4' && answer.properties.correlationData.equals(properties.correlationData), 'it came changed');
    const short = await place.dial({ autoAssignTopicAlias: true, autoUseTopicAlias: true, properties: { topicAliasMaximum: 5 } });
    await short.subscribe(questions, 1);
    for (const text of ['1', '2', '3']) {
      await short.publish(questions, text, 1);
      for (const one of [short, listener]) {
        message = await one.message();
        expect(message.topic === questions && String(message.payload) === text, `${message.topic} ${message.payload}`);
      }
    }
  }

  step('a message of 1 MiB');
  topic = place.topic();
  await listener.subscribe(topic, 2);
  for (const qos of [0, 1, 2]) {
    await speaker.publish(topic, LARGE, qos);
    expect((await listener.message()).payload.equals(LARGE), 'it came changed');
  }

  step(`${MANY} messages in order`);
  topic = place.topic();
  await listener.subscribe(topic, 1);
  // In the number that servers take at once.
  for (let first = 0; first < MANY; first += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, i) => speaker.publish(topic, String(first + i), 1)));
  }
  for (let i = 0; i < MANY; i += 1) {
    message = await listener.message();
    expect(String(message.payload) === String(i), `instead of ${i} came ${message.payload}`);
  }

  if (new URL(place.address).username) {
    step('a wrong password');
    const wrong = new URL(place.address);
    wrong.password = 'wrong';
    const stranger = new Place(wrong.href, place.version);
    const refused = await stranger.dial().then(() => undefined, (error) => error.code);
    expect((five ? [0x86, 0x87] : [4, 5]).includes(refused), `refused with ${refused}`);
  }
}

const { version: library } = JSON.parse(readFileSync(new URL('node_modules/mqtt/package.json', import.meta.url), 'utf8'));
if (process.argv.length < 3) {
  console.log(`usage: ${process.argv[1]} mqtt://127.0.0.1:1883 [mqtts://…] [ws://…/mqtt]`);
  process.exit(2);
}
let failed = false;
for (const address of process.argv.slice(2)) {
  for (const version of [4, 5]) {
    const place = new Place(address, version);
    const title = `mqtt.js ${library} ${new URL(address).protocol.slice(0, -1)} ${version === 4 ? '3.1.1' : '5.0'}`;
    let at = 'the beginning';
    try {
      await story(place, (what) => console.log(`  ${(at = what)}`));
      console.log(`PASSED ${title}`);
    } catch (error) {
      failed = true;
      console.log(`FAILED ${title}: at '${at}': ${error.message}`);
    }
    for (const wire of place.open) wire.client.end(true);
  }
}
process.exit(failed ? 1 : 0);
