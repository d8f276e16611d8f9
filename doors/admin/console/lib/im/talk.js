// What the parts of an open conversation share: what one answers or edits, what is selected, where to jump to.

import { Cell } from '../cell.js';

/** @typedef {import('/sdk/im.js').Conversation} Conversation */
/** @typedef {import('/sdk/im.js').Message} Message */
/** @typedef {import('/sdk/im.js').Shown} Shown */
/** @typedef {{kind: 'plain'} | {kind: 'reply' | 'edit', message: Message}} Writing */

/** Messages that quotes refer to and that are held. */
const ORIGINALS_MAX = 500;

export class Talk {
  /** What one writes now: something new, an answer, a change. */
  writing = new Cell(/** @type {Writing} */ ({ kind: 'plain' }));
  /** Numbers of the messages that are selected; `null` while nobody selects. */
  choosing = new Cell(/** @type {Set<number> | null} */ (null));
  /** A message to show. Told with `touch`, too. */
  target = new Cell(/** @type {{seq: number} | null} */ (null));
  /** Text that should stand in the composer. */
  text = new Cell(/** @type {{text: string} | null} */ (null));
  /** Told when something that timelines show has come. */
  news = new Cell(0);
  /** @type {Map<number, Message | null>} */ #originals = new Map();
  /** Answers in threads that are here, by the number of what they answer. @type {Map<number, number>} */ threads = new Map();
  /** What was said in messages that I took back on this page, to be written anew. @type {Map<number, string>} */ recalledTexts = new Map();
  /** When messages that burn were read, by number. @type {Map<number, number>} */ burning = new Map();

  /** What it was called when it was seen last. */
  title = '';

  /** @param {Conversation} conversation */
  constructor(conversation) {
    this.conversation = conversation;
  }

  get id() {
    return this.conversation.id;
  }

  get entry() {
    return this.conversation.entry;
  }

  /** Whether I may do what owners and admins may. */
  get leads() {
    return this.entry?.role === 'owner' || this.entry?.role === 'admin';
  }

  /** @param {number} seq */
  show(seq) {
    this.target.value = { seq };
  }

  /** @param {Message} message */
  reply(message) {
    this.writing.value = { kind: 'reply', message };
  }

  /** @param {Message} message */
  edit(message) {
    this.writing.value = { kind: 'edit', message };
  }

  /**
   * The message that a quote is about; `null`: it is not there; `undefined`: it is asked for, and `news` will tell.
   * @param {number} seq
   * @returns {Message | null | undefined}
   */
  original(seq) {
    const here = this.conversation.messages.find((message) => message.seq === seq);
    if (here) return here;
    if (this.#originals.has(seq)) return this.#originals.get(seq);
    if (this.#originals.size > ORIGINALS_MAX) this.#originals.clear();
    this.#originals.set(seq, /** @type {any} */ (undefined));
    this.conversation.message(seq).then(
      (message) => {
        this.#originals.set(seq, message);
        this.news.touch();
      },
      () => {
        this.#originals.set(seq, null);
        this.news.touch();
      },
    );
    return undefined;
  }
}
