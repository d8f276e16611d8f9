"""Random stories against a model of one's own: unread and mention counts, order, gaps, cursors, through kills and returns."""

import json
import time

import requests
from websockets.exceptions import ConnectionClosed

from people import Refused
from suite import NotHere, expect, rule, same


class Said:
    """A message, as the model knows it."""

    def __init__(self, seq, by, text, mentions, everybody):
        self.seq, self.by, self.text, self.mentions, self.everybody = seq, by, text, mentions, everybody
        self.recalled = False


class Model:
    """One conversation: what was said, who is in it since when, and how far each has read."""

    def __init__(self, id, members, history_all):
        self.id, self.history_all = id, history_all
        self.said = []
        self.read = {m: 0 for m in members}
        self.floor = {m: 0 for m in members}
        self.deleted = {m: set() for m in members}
        # The cursor as the server told it last: it moves over own messages by itself, and never back.
        self.told = {m: 0 for m in members}

    def seen(self, who):
        return [s for s in self.said if s.seq > self.floor[who] and s.seq not in self.deleted[who]]

    def unread(self, who):
        # What one deleted for oneself counts until one has read on: only what was recalled does not.
        return [s for s in self.said if s.seq > max(self.read[who], self.floor[who]) and s.by is not who and not s.recalled]

    def mentions(self, who):
        return [s for s in self.unread(who) if who in s.mentions or s.everybody]

    def send(self, who, seq, text, mentions, everybody):
        self.said.append(Said(seq, who, text, mentions, everybody))


class Story:
    def __init__(self, stage, kills):
        self.stage, self.random, self.kills = stage, stage.random, kills
        self.people = stage.persons("ann", "bob", "cat", "dan")
        ann = self.people[0]
        self.models = []
        for n in range(3):
            id = stage.group(ann, *self.people[1:])
            self.models.append(Model(id, self.people, True))
        self.models.append(Model(ann.ask("open", user=self.people[1].user)["id"], self.people[:2], True))
        self.devices = {}
        self.log = []

    def device(self, who, n):
        device = self.devices.get((who, n))
        if device is None or device.ended:
            device = self.devices[who, n] = who.device(f"{n}", "web")
        return device

    def ask(self, who, op, **data):
        """By either door; a question whose answer is lost is asked again."""
        for _ in range(50):
            try:
                if self.random.random() < 0.5:
                    return who.ask(op, **data)
                return self.device(who, self.random.randrange(2)).ask(op, **data)
            except Refused as no:
                if no.body.get("again") == "never":
                    raise
            except (OSError, requests.RequestException, ConnectionClosed, AssertionError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"{op} is never answered")

    def step(self, number):
        r = self.random
        model = r.choice(self.models)
        who = r.choice(list(model.read))
        kind = r.choices(["send", "read", "recall", "delete", "clear", "resend", "edit", "react", "away", "check", "kill", "delivered", "burst"],
                         [30, 16, 6, 4, 1, 4, 4, 4, 4, 8, 3 if self.kills else 0, 4, 3])[0]
        self.log.append((number, kind, who.user, model.id))
        mine = [s for s in model.said if s.by is who and not s.recalled]
        c = {"conversation": model.id}
        if kind == "send":
            mentions = r.sample(list(model.read), r.randrange(3)) if r.random() < 0.3 else []
            everybody = r.random() < 0.05 and who is self.people[0] and len(model.read) > 2
            self.say(model, who, number, mentions, everybody)
        elif kind == "burst":
            # A kill while several are under way: afterwards each is sent again, and none is there twice.
            device = self.device(who, 0)
            ids = [f"{number}-{n}" for n in range(8)]
            for id in ids:
                device.command("ask", to="im/send", data={**c, "id": id, "content": {"kind": "text", "text": id}})
            if self.kills and r.random() < 0.7:
                time.sleep(r.random() * 0.02)
                self.kill()
            told = [(self.ask(who, "send", **c, id=id, content={"kind": "text", "text": id})["seq"], id) for id in ids]
            same(len({seq for seq, _ in told}), 8, "numbers of a burst")
            for seq, id in sorted(told):
                model.send(who, seq, id, [], False)
        elif kind == "read" and model.said:
            seq = r.randrange(1, len(model.said) + 1)
            self.entry(model, who)
            told = self.ask(who, "read", **c, seq=seq)
            model.read[who] = max(model.read[who], seq)
            same(told["unread"], len(model.unread(who)), f"step {number}: unread after reading {seq}")
        elif kind == "recall" and mine:
            said = r.choice(mine)
            try:
                self.ask(who, "recall", **c, seq=said.seq)
            except Refused as no:
                # Deleted for oneself: it is not there any more; or it was asked again after a kill.
                expect(no.code in (620, 631), str(no))
                if no.code == 620:
                    return
            said.recalled = True
        elif kind == "delete" and model.said:
            said = r.choice(model.said)
            self.ask(who, "delete", **c, seqs=[said.seq])
            model.deleted[who].add(said.seq)
        elif kind == "clear":
            self.ask(who, "clear", **c)
            model.floor[who] = len(model.said)
        elif kind == "resend" and mine:
            said = r.choice(mine)
            told = self.ask(who, "send", **c, id=said.text, content={"kind": "text", "text": said.text})
            same((told["seq"], told["duplicate"]), (said.seq, True), f"step {number}: sent again")
        elif kind == "edit" and mine:
            said = r.choice([s for s in mine])
            if said.seq in [s.seq for s in model.seen(who)]:
                self.ask(who, "edit", **c, seq=said.seq, content={"kind": "text", "text": said.text, "mentions": [m.user for m in said.mentions], "mention_all": said.everybody})
        elif kind == "react":
            seen = [s for s in model.seen(who) if not s.recalled]
            if seen:
                self.ask(who, "react", **c, seq=r.choice(seen).seq, emoji=r.choice("ab"), off=r.random() < 0.3)
        elif kind == "away":
            device = self.devices.pop((who, r.randrange(2)), None)
            if device:
                device.close()
        elif kind == "delivered" and model.said:
            self.ask(who, "delivered", cursors={model.id: r.randrange(1, len(model.said) + 1)})
        elif kind == "kill":
            self.kill()
        elif kind == "check":
            self.check(model, who, number)

    def say(self, model, who, number, mentions, everybody):
        content = {"kind": "text", "text": f"s{number}", "mentions": [m.user for m in mentions], "mention_all": everybody}
        seq = self.ask(who, "send", conversation=model.id, id=f"s{number}", content=content)["seq"]
        same(seq, len(model.said) + 1, f"step {number}: the number")
        model.send(who, seq, f"s{number}", mentions, everybody)

    def kill(self):
        self.stage.server.again()

    def check(self, model, who, number):
        entry = self.entry(model, who)
        wanted = (len(model.said), len(model.unread(who)), len(model.mentions(who)))
        same((entry["newest"], entry["unread"], entry["mentions"]), wanted, f"step {number}: newest, unread, mentions of {who.user} in {model.id}")
        expect(entry["read"] >= max(model.read[who], model.told[who]), f"step {number}: the cursor of {who.user} went back to {entry['read']} from {model.told[who]}")
        model.told[who] = entry["read"]
        skipped = [s.seq for s in model.unread(who) if s.seq <= entry["read"]]
        same(skipped, [], f"step {number}: the cursor of {who.user} went over what they had not read")

    def entry(self, model, who):
        """A message counts a moment after its sender had the answer."""
        end = time.monotonic() + 2
        while True:
            entry = self.ask(who, "conversation", conversation=model.id)
            if entry["newest"] >= len(model.said) or time.monotonic() > end:
                return entry
            time.sleep(0.01)

    def check_all(self, number):
        for model in self.models:
            for who in model.read:
                self.check(model, who, number)
                got, after = [], 0
                while True:
                    page = self.ask(who, "history", conversation=model.id, after=after, limit=50)
                    got += page["messages"]
                    if page["at_end"]:
                        break
                    after = page.get("next") or got[-1]["seq"]
                same([(m["seq"], m["from"], (m.get("content") or {}).get("text")) for m in got],
                     [(s.seq, s.by.user, None if s.recalled else s.text) for s in model.seen(who)], f"step {number}: history of {who.user}")
        for who in self.people:
            told = self.ask(who, "list")
            mine = [m for m in self.models if who in m.read]
            same((told["unread"], told["mentions"]), (sum(len(m.unread(who)) for m in mine), sum(len(m.mentions(who)) for m in mine)), f"step {number}: sums of {who.user}")


def play(stage, kills, steps):
    story = Story(stage, kills)
    try:
        for number in range(steps):
            story.step(number)
            if number % 40 == 39:
                story.check_all(number)
        story.check_all(steps)
        if kills:
            story.kill()
            story.check_all(steps)
    except (AssertionError, Refused) as wrong:
        raise AssertionError(f"{wrong}\n  the last steps: {json.dumps(story.log[-25:])}") from wrong


@rule
def counts_are_right_after_a_random_story(stage):
    play(stage, False, stage.place.steps)


@rule(alone=True)
def counts_are_right_though_the_server_is_killed_again_and_again(stage):
    if stage.place.server is None:
        raise NotHere("the server is not ours to kill (--server)")
    play(stage, True, stage.place.steps)


@rule(alone=True)
def nothing_that_was_answered_is_lost_by_a_kill(stage):
    server = stage.server
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    group = stage.group(ann, bob)
    direct = ann.send(bob, "direct")
    seq = ann.send(group, "said", mentions=[bob.user])
    taken = ann.send(group, "taken back")
    old = ann.send(group, "edited")
    own = ann.ask("send", conversation=group, id="own", content={"kind": "text", "text": "own"})["seq"]
    link = ann.ask("link", conversation=group, uses=1)["link"]
    deeds = [("react", ann, {"conversation": group, "seq": seq, "emoji": "x"}), ("recall", ann, {"conversation": group, "seq": taken}),
             ("edit", ann, {"conversation": group, "seq": old, "content": {"kind": "text", "text": "new words"}}), ("pin", ann, {"conversation": group, "seq": seq}),
             ("read", bob, {"conversation": group, "seq": seq}), ("settings", bob, {"conversation": group, "draft": "dear", "pinned": True, "notify": "none"}),
             ("update", ann, {"conversation": group, "title": "new title", "mute_all": False}), ("member", bob, {"conversation": group, "nick": "B"}),
             ("mute", ann, {"conversation": group, "user": bob.user, "seconds": 1000}), ("befriend", ann, {"user": cat.user}), ("befriended", cat, {"user": ann.user, "accept": True}),
             ("block", bob, {"user": cat.user}), ("set_profile", bob, {"about": "me"}), ("privacy", bob, {"groups": "friends"}), ("join", cat, {"link": link}),
             ("role", ann, {"conversation": group, "user": cat.user, "role": "admin"}), ("delete", bob, {"conversation": group, "seqs": [own]})]
    for op, who, data in deeds:
        who.ask(op, **data)
        server.again()
    entry, message = bob.entry(group), bob.ask("message", conversation=group, seq=seq)
    same((entry["title"], entry["draft"], entry["notify"], entry["read"], "muted_until" in entry), ("new title", "dear", "none", seq, True), "entry")
    same((message["reactions"][0]["count"], "pinned" in message), (1, True), "message")
    same((bob.ask("message", conversation=group, seq=old)["content"]["text"], "content" in bob.ask("message", conversation=group, seq=taken)), ("new words", False), "edited, recalled")
    same(ann.ask("friends")["friends"][0]["user"], cat.user, "friends")
    same((bob.ask("profile")["about"], bob.ask("privacy")["groups"], bob.ask("blocked")["profiles"][0]["user"]), ("me", "friends", cat.user), "bob")
    same([(m["role"], m.get("nick")) for m in ann.ask("members", conversation=group)["members"]], [("owner", None), ("admin", None), ("member", "B")], "members")
    same([m["seq"] for m in bob.messages(group)], [seq, taken, old], "deleted")
    same(ann.ask("send", conversation=group, id="own", content={"kind": "text", "text": "own"})["duplicate"], True, "own id")
    events = ann.ask("changes", conversation=group, after=0)["events"]
    same([e["seq"] for e in events], list(range(1, len(events) + 1)), "events are dense")
    for what in ("react", "recall", "edit", "pin"):
        expect(sum(e["event"] == what for e in events) >= 1, f"nothing was told of {what}")
    stage.person("eve").refused("join", (611, 620, 630), link=link)
    same(direct, 1, "seq")
