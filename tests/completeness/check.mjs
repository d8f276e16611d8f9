// The end: everybody's view against the server's history, and the server's history against what its clients were told.
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { connect } from '../../sdk/js/yizhan.js';

/** What of a message has to be the same everywhere. */
const plain = ({ seq, from, content, recalled, edited, reactions = [] }) => ({
  seq, from, id: content?.id, text: content?.text, recalled: recalled?.by, edited: edited?.count,
  reactions: reactions.map(({ emoji, count }) => `${emoji}${count}`).sort(),
});

async function until(claim, seconds) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await claim()) return true;
    if (Date.now() > end) return false;
    await pause(50);
  }
}

/** A member's own connection without the SDK's messaging: plain questions. */
async function asking(world, user, use) {
  const client = connect(world.server.url, { WebSocket: world.WebSocket, transports: ['websocket'], token: world.tokenOf(user) });
  try {
    return await use((name, data) => client.ask(`im/${name}`, data));
  } finally {
    client.close();
  }
}

/** All of a conversation as the server has it. */
async function readAll(ask, conversation) {
  const all = [];
  for (;;) {
    const { messages, at_end: atEnd } = await ask('history', { conversation, after: all.at(-1)?.seq ?? 0, limit: 200 });
    all.push(...messages);
    if (atEnd) return all;
    if (messages.length === 0) throw new Error(`history of ${conversation} gives nothing and has not ended`);
  }
}

/** Holds a conversation's history against what its senders were told. */
function checkTruth(world, id, messages) {
  const { ledger } = world;
  messages.forEach(({ seq }, i) => seq === i + 1 || ledger.say(`${id}: number ${seq} at place ${i + 1}`));
  const seqs = new Map();
  for (const { seq, content } of messages) {
    if (!content) continue;
    if (seqs.has(content.id)) ledger.say(`${id}: ${content.id} is there twice: ${seqs.get(content.id)} and ${seq}`);
    seqs.set(content.id, seq);
    if (!ledger.sends.has(content.id)) ledger.say(`${id}: nobody sent ${content.id}`);
  }
  const bySeq = new Map(messages.map((message) => [message.seq, message]));
  for (const send of ledger.sends.values()) {
    if (send.conversation !== id) continue;
    const seq = send.acked ?? seqs.get(send.id);
    const message = bySeq.get(seq);
    const recalls = ledger.recalls.get(send.id) ?? [];
    if (!message) {
      if (send.acked !== undefined) ledger.say(`${id}: ${send.id} was told to be ${send.acked}, and is not there`);
      else if (!send.lost && recalls.length === 0) ledger.say(`${id}: ${send.id} of ${send.from} never arrived`);
      continue;
    }
    if (message.from !== send.from) ledger.say(`${id}: ${seq} is by ${message.from}, not by ${send.from}`);
    if (message.recalled) {
      if (recalls.length === 0) ledger.say(`${id}: ${seq} is recalled, and nobody did`);
      continue;
    }
    if (recalls.some(({ done }) => done)) ledger.say(`${id}: ${seq} was recalled, and is there`);
    if (message.content?.id !== send.id) ledger.say(`${id}: ${seq} is ${message.content?.id}, not ${send.id}`);
    const edits = ledger.edits.get(send.id) ?? [];
    const last = edits.findLastIndex(({ done }) => done);
    const may = last < 0 ? [send.text, ...edits.map(({ value }) => value)] : edits.slice(last).map(({ value }) => value);
    if (!may.includes(message.content?.text)) ledger.say(`${id}: ${seq} says '${message.content?.text}', not '${may.join("' or '")}'`);
  }
}

/** Unread messages and mentions, counted one by one. */
function recount(messages, user, read) {
  const unread = messages.filter(({ seq, from, recalled }) => seq > read && from !== user && !recalled);
  return { unread: unread.length, mentions: unread.filter(({ content }) => content.mentions?.includes(user)).length };
}

/** One device's view of one conversation. */
async function checkView(world, device, id, truth) {
  const chat = device.im.conversation(id);
  try {
    await chat.open();
    while (!chat.atStart) await chat.load({ before: true });
  } catch (error) {
    return world.ledger.say(`${device.name} cannot read ${id}: ${error.message}`);
  }
  const wanted = truth.map(plain);
  const isSame = () => isDeepStrictEqual(chat.messages.map(plain), wanted);
  if (await until(isSame, 15)) return undefined;
  const seen = chat.messages.map(plain);
  const at = wanted.findIndex((message, i) => !isDeepStrictEqual(seen[i], message));
  return world.ledger.say(`${device.name} sees ${seen.length} of ${wanted.length} in ${id}; at ${at}: ${JSON.stringify(seen[at])}, not ${JSON.stringify(wanted[at])}`);
}

async function checkCounts(world, device, id, truth, entry) {
  const counted = recount(truth, device.user, entry.read);
  if (entry.unread !== counted.unread || entry.mentions !== counted.mentions) {
    world.ledger.say(`the server counts ${entry.unread} unread and ${entry.mentions} mentions for ${device.user} in ${id} (read ${entry.read}), not ${counted.unread} and ${counted.mentions}`);
  }
  const mine = () => device.im.conversations.get(id);
  const isSame = () => mine()?.unread === entry.unread && mine()?.mentions === entry.mentions && mine()?.newest === entry.newest;
  if (!(await until(isSame, 10))) {
    const { unread, mentions, newest, read } = mine() ?? {};
    world.ledger.say(`${device.name} counts ${JSON.stringify({ unread, mentions, newest, read })} in ${id}, the server ${JSON.stringify({ unread: entry.unread, mentions: entry.mentions, newest: entry.newest, read: entry.read })}`);
  }
}

/** What each user's list says, by id. */
async function listOf(ask) {
  const entries = new Map();
  let after;
  do {
    const page = await ask('list', { after });
    for (const entry of page.conversations) entries.set(entry.id, entry);
    after = page.next;
  } while (after !== undefined);
  return entries;
}

/** Everybody is back: compares all with all. Says what is wrong to the ledger. */
export async function check(world) {
  const { ledger, devices } = world;
  if (!(await until(() => devices.every(({ im }) => im.waiting === 0), 60))) {
    for (const { im, name } of devices) if (im.waiting > 0) ledger.say(`${name} could not send ${im.waiting} messages`);
  }
  if (!(await until(() => devices.every(({ im }) => im.status === 'live'), 30))) {
    for (const { im, name } of devices) if (im.status !== 'live') ledger.say(`${name} is ${im.status}`);
  }
  // Acknowledgements and reads that wait for each other.
  await pause(1_500);
  const truths = new Map();
  for (const [id, members] of world.members) {
    await asking(world, members[0], async (ask) => {
      const messages = await readAll(ask, id);
      truths.set(id, messages);
      checkTruth(world, id, messages);
      const { cursors = [] } = await ask('conversation', { conversation: id });
      for (const { user, read, delivered } of cursors) {
        const seen = ledger.cursors.get(`${id} ${user}`) ?? { read: 0, delivered: 0 };
        if (seen.read > read || seen.delivered > delivered) ledger.say(`${id}: ${user} was seen at ${JSON.stringify(seen)} and is at ${JSON.stringify({ read, delivered })}`);
      }
    });
  }
  const lists = new Map();
  for (const user of new Set(devices.map((device) => device.user))) lists.set(user, await asking(world, user, listOf));
  await Promise.all(devices.map(async (device) => {
    for (const id of world.conversationsOf(device.user)) {
      const entry = lists.get(device.user).get(id);
      if (!entry) {
        ledger.say(`${id} is not in the list of ${device.user}`);
        continue;
      }
      await checkView(world, device, id, truths.get(id));
      await checkCounts(world, device, id, truths.get(id), entry);
    }
  }));
  return [...truths.values()].reduce((sum, messages) => sum + messages.length, 0);
}
