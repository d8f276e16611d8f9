// @ts-check
/**
 * The messages of one conversation that are at hand: a run without holes from `low` to `high`, and what came ahead of
 * it. Numbers without a message in it are known to have none (deleted, expired). No network, no clock.
 *
 * @module yizhan/im/window
 */

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Change} Change */
/** @typedef {import('./types.js').Reaction} Reaction */
/**
 * A window as it is kept between two visits.
 * @typedef {{low: number, high: number, changed: number, messages: Message[], atStart: boolean, provisional: number[]}} SavedWindow
 */

/** Messages ahead of a hole; beyond it they are forgotten, since history has them. */
const AHEAD_MAX = 1_000;
/** People who are named with a reaction. */
const NAMED_MAX = 5;

export class Window {
  /** @type {Map<number, Message>} */
  #messages = new Map();
  /** @type {Map<number, Message>} */
  #ahead = new Map();
  /** Own messages as they were sent: the server's version of them is still to come. @type {Set<number>} */
  #provisional = new Set();
  /** Changes of messages that are still to come. @type {{change: Change, me: string | undefined}[]} */
  #early = [];
  /** @type {Message[] | undefined} */
  #sorted;
  /** The first number it knows about; `high + 1` where it knows none. */
  low = 1;
  /** The last one. */
  high = 0;
  /** How many of the conversation's changes were applied. */
  changed = 0;
  /** Whether there is nothing before `low`. */
  atStart = false;
  /** Whether something was loaded. */
  loaded = false;
  /** Counts how often it was begun anew: a page that was asked for before then does not belong to it. */
  round = 0;

  /** The messages, oldest first. */
  get messages() {
    this.#sorted ??= [...this.#messages.values()].sort((a, b) => a.seq - b.seq);
    return this.#sorted;
  }

  /** Whether a message came without the one before it. */
  get hasHole() {
    return this.#ahead.size > 0;
  }

  /** Numbers of own messages that were only seen as they were sent. */
  get provisional() {
    return [...this.#provisional];
  }

  /** @param {number} seq */
  get(seq) {
    return this.#messages.get(seq) ?? this.#ahead.get(seq);
  }

  /** Forgets everything. */
  clear() {
    this.#messages.clear();
    this.#ahead.clear();
    this.#provisional.clear();
    this.#early = [];
    this.#sorted = undefined;
    Object.assign(this, { low: 1, high: 0, changed: 0, atStart: false, loaded: false, round: this.round + 1 });
  }

  /**
   * Begins anew with one page. All numbers from its first to `high` are known then.
   * @param {Message[]} messages @param {number} high @param {boolean} atStart @param {number} changed
   */
  begin(messages, high, atStart, changed) {
    const ahead = [...this.#ahead.values()];
    this.clear();
    this.loaded = true;
    this.atStart = atStart;
    this.changed = changed;
    this.high = Math.max(high, messages.at(-1)?.seq ?? 0);
    this.low = atStart ? 1 : (messages[0]?.seq ?? this.high + 1);
    for (const message of messages) this.#put(message);
    for (const message of ahead) this.add(message);
  }

  /** A page from before `low`. @param {Message[]} messages @param {boolean} atStart @param {number} [from] Where it begins, where that is further back. */
  prepend(messages, atStart, from = this.low) {
    for (const message of messages) this.#put(message);
    this.low = atStart ? 1 : Math.min(this.low, messages[0]?.seq ?? this.low, from);
    this.atStart = atStart;
  }

  /**
   * A page from after `high`. @param {Message[]} messages
   * @param {number} through Where the server has nothing more: what it surely knew of. Else 0.
   */
  append(messages, through) {
    for (const message of messages) this.#put(message);
    this.high = Math.max(this.high, messages.at(-1)?.seq ?? 0, through);
    this.#join();
  }

  /**
   * One message as it came. @param {Message} message
   * @param {boolean} [provisional] It is ours, as we sent it.
   * @returns {boolean} Whether anything to be seen changed.
   */
  add(message, provisional = false) {
    const { seq } = message;
    if (seq < this.low && seq <= this.high) return false;
    if (seq <= this.high) {
      if (provisional || !this.#provisional.has(seq)) return false;
      this.#put(message);
      return true;
    }
    if (this.#ahead.has(seq) && !this.#provisional.has(seq)) return false;
    if (provisional) this.#provisional.add(seq);
    else this.#provisional.delete(seq);
    this.#ahead.set(seq, message);
    if (this.#ahead.size > AHEAD_MAX) this.#ahead.delete(Math.min(...this.#ahead.keys()));
    const before = this.high;
    this.#join();
    return this.high > before;
  }

  /** What the server says of a message that is here. @param {Message} message */
  replace(message) {
    if (!this.#messages.has(message.seq)) return false;
    this.#put(message);
    return true;
  }

  /** @param {number[]} seqs @returns {boolean} Whether one was here. */
  remove(seqs) {
    let any = false;
    for (const seq of seqs) any = this.#messages.delete(seq) || any;
    if (any) this.#sorted = undefined;
    return any;
  }

  /** All up to `through` are gone for me. @param {number} through */
  removeThrough(through) {
    this.remove([...this.#messages.keys()].filter((seq) => seq <= through));
    if (through >= this.low) this.atStart = true;
  }

  /** Applies a change to the message that it is about. @param {Change} change @param {string | undefined} me */
  apply(change, me) {
    const seq = Number(change.message_seq);
    const message = this.get(seq);
    if (!message && seq > this.high) this.#early.push({ change, me });
    const changed = message && changeMessage(message, change, me);
    if (!changed || changed === message) return false;
    if (this.#messages.has(seq)) {
      this.#messages.set(seq, changed);
      this.#sorted = undefined;
    } else this.#ahead.set(seq, changed);
    return true;
  }

  /** @param {number} count How many of the newest to keep. @returns {SavedWindow | undefined} */
  save(count) {
    if (!this.loaded) return undefined;
    const messages = this.messages.slice(-count);
    const cut = messages.length < this.#messages.size;
    return {
      low: cut ? (messages[0]?.seq ?? this.high + 1) : this.low, high: this.high, changed: this.changed, messages, atStart: this.atStart && !cut,
      provisional: this.provisional,
    };
  }

  /** @param {SavedWindow} saved */
  restore({ low, high, changed, messages, atStart, provisional }) {
    this.begin(messages, high, atStart, changed);
    this.low = low;
    for (const seq of provisional) if (this.#messages.has(seq)) this.#provisional.add(seq);
  }

  /** @param {Message} message */
  #put(message) {
    this.#messages.set(message.seq, message);
    this.#ahead.delete(message.seq);
    this.#provisional.delete(message.seq);
    this.#sorted = undefined;
  }

  /** Takes in what has become contiguous, and drops what is there already. */
  #join() {
    for (;;) {
      const next = this.#ahead.get(this.high + 1);
      if (!next) break;
      this.high += 1;
      this.#messages.set(this.high, next);
      this.#ahead.delete(this.high);
      this.#sorted = undefined;
    }
    for (const seq of this.#ahead.keys()) if (seq <= this.high) this.#ahead.delete(seq);
    const due = this.#early.filter(({ change }) => change.message_seq <= this.high);
    if (due.length === 0) return;
    this.#early = this.#early.filter(({ change }) => change.message_seq > this.high);
    for (const { change, me } of due) this.apply(change, me);
  }
}

/** A message after a change; the same one where it says nothing about it. @param {Message} message @param {Change} change @param {string | undefined} me @returns {Message} */
export function changeMessage(message, change, me) {
  switch (change.event) {
    case 'edit':
      // What we have may be newer than a change that is read again.
      if (message.recalled || (message.edited && change.edited && message.edited.count > change.edited.count)) return message;
      return { ...message, content: change.content, edited: change.edited ?? { at: change.at ?? message.at, count: (message.edited?.count ?? 0) + 1 } };
    case 'recall': {
      const { content, edited, reactions, pinned, ...rest } = message;
      return { ...rest, recalled: { by: change.by ?? message.from, at: change.at ?? message.at } };
    }
    case 'react': {
      const reactions = changeReactions(message.reactions ?? [], change, me);
      return { ...message, reactions: reactions.length > 0 ? reactions : undefined };
    }
    case 'pin':
      return { ...message, pinned: change.off ? undefined : { by: change.by ?? '', at: change.at ?? 0 } };
    default:
      return message;
  }
}

/** @param {Reaction[]} reactions @param {Change} change @param {string | undefined} me @returns {Reaction[]} */
function changeReactions(reactions, { emoji, user, off, count, by }, me) {
  const who = user ?? by;
  const known = reactions.find((reaction) => reaction.emoji === emoji);
  const others = (known?.users ?? []).filter((name) => name !== who);
  /** @type {Reaction} */
  const next = {
    emoji, count: Number.isInteger(count) ? count : Math.max(0, (known?.count ?? 0) + (off ? -1 : 1)),
    mine: who === me ? !off : known?.mine, users: off ? others : [...others, who].slice(0, NAMED_MAX),
  };
  if (next.count <= 0) return reactions.filter((reaction) => reaction !== known);
  return known ? reactions.map((reaction) => (reaction === known ? next : reaction)) : [...reactions, next];
}
