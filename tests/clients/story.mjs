// What both Node clients share: how a script ends, and how one waits.
export const KEPT = process.env.YIZHAN_KEPT ?? 'disk/';
export const TOKEN = process.env.YIZHAN_TOKEN;
export const UNICODE = '你好，驿站 👋🏽 – ñ, ß, \u0000, \u2028, \u{10ffff}';
export const LARGE = '驿'.repeat(200_000); // 600,000 bytes
const WAIT = 15_000;

export function expect(claim, what) {
  if (!claim) throw new Error(what);
}

export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
export const topic = (under) => `${under}clients-${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`;

/** Tells a story about the server that the argument names; the exit code says whether it is true. */
export async function run(name, story) {
  if (process.argv.length !== 3) {
    console.log(`usage: ${process.argv[1]} http://127.0.0.1:8080`);
    process.exit(2);
  }
  let at = 'the beginning';
  try {
    await story(process.argv[2].replace(/\/$/, ''), (what) => console.log(`  ${(at = what)}`));
  } catch (error) {
    console.log(`FAILED ${name}: at '${at}': ${error.message}`);
    process.exit(1);
  }
  console.log(`PASSED ${name}`);
  process.exit(0);
}

/** Events as they come, to be waited for. */
export class Events {
  waiting = [];
  #wake = () => {};

  frame(text) {
    this.waiting.push(...[JSON.parse(text)].flat());
    this.#wake();
  }

  /** The next event that fits; the others wait for their turn. */
  async next(fits) {
    const end = Date.now() + WAIT;
    for (;;) {
      const i = this.waiting.findIndex(fits);
      if (i >= 0) return this.waiting.splice(i, 1)[0];
      if (Date.now() >= end) throw new Error(`the event did not come; waiting: ${JSON.stringify(this.waiting).slice(0, 500)}`);
      await new Promise((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, end - Date.now());
      });
    }
  }

  async records(sub, count) {
    const found = [];
    while (found.length < count) {
      const event = await this.next(({ type, sub: of }) => (type === 'records' || type === 'missed') && of === sub);
      expect(event.type === 'records', `records were lost: ${JSON.stringify(event)}`);
      event.records.forEach((record, i) => found.push({ n: event.n + i, ...record }));
    }
    expect(found.length === count, `${found.length} records instead of ${count}`);
    return found;
  }
}
