// What was done, as those who did it were told: the claims that the server's history is held against.

export class Ledger {
  /** Every message that somebody sent, by its id. */
  sends = new Map();
  /** Edits of a message, in the order in which its sender tried them. */
  edits = new Map();
  recalls = new Map();
  /** The furthest cursor that anybody saw: `conversation user` to `{read, delivered}`. */
  cursors = new Map();
  wrong = [];
  counts = { sent: 0, edited: 0, recalled: 0, read: 0, reacted: 0, drops: 0, reloads: 0, switches: 0 };

  say(what) {
    this.wrong.push(what);
  }

  /** One was written. It is `acked` when its sender was told its number; `lost` when the device that had it is gone. */
  send(id, conversation, from, text, mentions) {
    const send = { id, conversation, from, text, mentions, acked: undefined, lost: false };
    this.sends.set(id, send);
    this.counts.sent += 1;
    return send;
  }

  /** An edit or recall is tried: `done` turns true when its sender was told so. */
  try(map, key, value) {
    const attempt = { value, done: false };
    map.set(key, [...(map.get(key) ?? []), attempt]);
    return attempt;
  }

  /** A cursor was seen by a device; `seen` are those of its connection. */
  cursor(seen, conversation, { user, read = 0, delivered = 0 }, who) {
    const key = `${conversation} ${user}`;
    const before = seen.get(key) ?? { read: 0, delivered: 0 };
    if (read < before.read || delivered < before.delivered) this.say(`${who} saw the cursor of ${user} in ${conversation} go back from ${JSON.stringify(before)} to ${JSON.stringify({ read, delivered })}`);
    const further = (a) => ({ read: Math.max(a?.read ?? 0, read), delivered: Math.max(a?.delivered ?? 0, delivered) });
    seen.set(key, further(before));
    this.cursors.set(key, further(this.cursors.get(key)));
  }
}
