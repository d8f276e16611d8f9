// Compiled, never run: what a program in TypeScript sees of the client.
import {
  CODES, Client, Subscription, YizhanError, backoff, bestSample, connect, timeSample,
  type ConnectOptions, type DeliveredRecord, type Page, type Present, type Receipt, type StoredRecord,
} from '../../yizhan.js';

const options: ConnectOptions = {
  token: async ({ expired }) => (expired ? 'new' : 'old'), keep: 60, transports: ['websocket', 'poll'],
  queue: { max: 10, policy: 'drop-oldest' }, will: { topic: 'status/ann', key: 'status', text: 'gone' },
};

export async function use(): Promise<string> {
  const client: Client = connect(new URL('http://localhost:8080'), options);
  const off: () => void = client.on('status', ({ status, retryIn, error }) => {
    const wait: number | undefined = retryIn;
    const code: number | undefined = error?.code;
    if (status === 'waiting') console.log(wait, code);
    // @ts-expect-error There is no such status.
    if (status === 'lost') console.log();
  });
  off();
  // @ts-expect-error There is no such event.
  client.on('open', () => {});
  // @ts-expect-error What happens inside is not for the outside.
  client.subscribe('t').take(1, []);

  const rooms: Subscription = client.subscribe('rooms/#', { after: ['1.0.1.5'], state: true, window: 10, noLocal: true });
  rooms.on('missed', ({ missed }) => missed.toFixed());
  const receipt: Receipt = await client.publish('rooms/a', { on: true }, { durable: 'disk', expires: 5 });
  const page: Page = await client.history('rooms/a', { before: receipt.seq ?? 0 });
  const present: Present[] = await client.presence({ user: 'ann' });
  const state: StoredRecord[] = await client.state('rooms/+');
  for await (const records of client.pages('rooms/a')) records[0]?.text?.at(0);
  for await (const record of rooms) {
    const { text, bin, missed, n }: DeliveredRecord = record;
    return `${text}${bin?.length}${missed}${n}${page.more}${present.length}${state.length}`;
  }
  try {
    await client.ready;
  } catch (error) {
    if (error instanceof YizhanError && error.code === CODES.CLOSED && error.again !== 'never') throw error;
  }
  const { offset } = bestSample([timeSample(1, 2, 3, 4)]);
  return String(offset + client.serverTime() + backoff(1, 'soon', { first: 1, max: 2 }, Math.random));
}
