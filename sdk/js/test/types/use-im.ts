// Compiled, never run: what a program in TypeScript sees of messaging.
import { connect } from '../../yizhan.js';
import { Conversation, memoryCache, openIm, type Entry, type Im, type Message, type Shown } from '../../im.js';

export async function use(file: File): Promise<string> {
  const im: Im = openIm(connect('', { token: 'yz_x' }), { platform: 'desktop', cache: memoryCache(), user: 'ann' });
  await im.start();
  const off: () => void = im.conversations.on('change', ({ ids }) => ids.map((id) => im.conversations.get(id)?.title));
  off();
  const entry: Entry | undefined = im.conversations.with('bob');
  const chat: Conversation = entry ? im.conversation(entry.id) : await im.open('bob');
  chat.on('change', ({ messages }) => messages.forEach((message: Shown) => message.state === 'failed' && chat.retry(message)));
  // @ts-expect-error There is no such state.
  chat.on('change', ({ messages }) => messages.some(({ state }) => state === 'lost'));
  await chat.load({ before: true });
  const sent: Message = await chat.send({ kind: 'image' }, { file, onProgress: ({ sent: bytes, total }) => bytes / total });
  // @ts-expect-error There is no such kind.
  chat.send({ kind: 'smell' });
  im.on('notify', ({ message, entry: { title } }) => `${title}: ${message.content?.text}`);
  const { hits } = await im.search({ text: 'tea', kinds: ['text'], since: 0 });
  const { members, next } = await chat.members({ limit: 10, role: 'admin' });
  const profile = im.people.get('bob');
  return `${sent.seq} ${hits[0]?.marks[0]?.[1]} ${members[0]?.nick} ${next} ${profile?.name} ${chat.typers.length} ${im.unread.mentions}`;
}
