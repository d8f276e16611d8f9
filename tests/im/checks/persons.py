"""People: profiles, friends, blocking, privacy, presence, devices."""

import time

from people import Refused
from suite import expect, rule, same, soon

TEXT = {"kind": "text", "text": "x"}


@rule
def profiles_are_seen_and_handles_are_one_persons_each(stage):
    ann, bob = stage.persons("ann", "bob")
    handle = "p" + stage.name
    got = ann.ask("set_profile", name="Ann 安 \u202e🏔", about="x", handle=handle, attributes={"city": "上海"})
    same((got["name"], got["handle"]), ("Ann 安 \u202e🏔", handle), "set")
    got = bob.ask("find", handle=handle)
    same((got["user"], got["attributes"]), (ann.user, {"city": "上海"}), "found")
    expect("privacy" not in got and "dnd" not in got, f"others see: {got}")
    bob.refused("set_profile", 631, handle=handle)
    same("handle" in bob.ask("profile"), False, "half taken")
    bob.refused("find", 620, handle="nobody" + stage.name)
    ann.ask("set_profile", handle=handle + "x")
    bob.ask("set_profile", handle=handle)
    same(ann.ask("find", handle=handle)["user"], bob.user, "taken over")
    for bad in ({"name": "x" * 5000}, {"name": "a\u0000b"}, {"handle": "A"}, {"handle": "a b c"}, {"attributes": {"x": "y" * 9000}}, {"about": "x" * 10000}, {"name": 7}, {"avatar": "x" * 3000}):
        bob.refused("set_profile", (600, 603), **bad)
    got = ann.ask("profiles", users=[bob.user, "nobody-" + stage.name, ann.user])["profiles"]
    same([p["user"] for p in got], [bob.user, ann.user], "profiles")
    ann.refused("profiles", 603, users=["x"] * 101)


@rule
def the_same_handle_at_once_is_one_persons(stage):
    people = stage.persons(*"abcdef")
    handle = "q" + stage.name
    sockets = [p.device(stream=False) for p in people]
    asked = [(s, s.command("ask", to="im/set_profile", data={"handle": handle})) for s in sockets]
    took = 0
    for socket, number in asked:
        try:
            took += bool(socket.answer(number))
        except Refused as no:
            same(no.code, 631, "code")
    same((took, sum(p.ask("profile").get("handle") == handle for p in people)), (1, 1), "took")


@rule
def blocked_ones_do_not_write_nor_ask_nor_bring_in(stage):
    ann, bob = stage.persons("ann", "bob")
    direct = ann.ask("send", user=bob.user, content=TEXT)["conversation"]
    ann.ask("block", user=bob.user)
    same([p["user"] for p in ann.ask("blocked")["profiles"]], [bob.user], "blocked")
    bob.refused("send", 614, conversation=direct, content=TEXT)
    bob.refused("send", 614, user=ann.user, content=TEXT)
    bob.refused("befriend", (611, 614, 620), user=ann.user)
    socket = bob.device(stream=False)
    for text in ("x", "y"):
        try:
            socket.publish(f"im/c/{direct}", text=text)
            raise AssertionError("published")
        except Refused as no:
            same(no.code, 614, "code")
    group = bob.ask("create", kind="group", title="x", members=[ann.user])
    same(group["members"], 1, "a blocked one brought one in")
    same([c for c in ann.ask("list")["conversations"] if c["id"] == group["id"]], [], "list")
    same(bob.ask("add", conversation=group["id"], users=[ann.user])["added"], [], "added")
    presence = bob.ask("presence", users=[ann.user])["people"][0]
    expect(not presence["online"] and "last_seen" not in presence, f"a blocked one sees: {presence}")
    expect("blocked" not in str(bob.ask("profile", user=ann.user)), "told")
    ann.ask("unblock", user=bob.user)
    bob.send(direct)
    ann.refused("block", (600, 611), user=ann.user)
    ann.refused("block", 620, user="nobody-" + stage.name)


@rule
def friends_are_asked_and_both_or_neither(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    ear = bob.device()
    same(ann.ask("befriend", user=bob.user, text="me")["friends"], False, "asked")
    ear.event("friend", what="request", user=ann.user)
    same((bob.ask("friends")["requests"][0]["user"], ann.ask("friends")["asked"][0]["user"]), (ann.user, bob.user), "requests")
    bob.ask("befriended", user=ann.user, accept=True)
    for one, other in ((ann, bob), (bob, ann)):
        same([f["user"] for f in one.ask("friends")["friends"]], [other.user], "friends")
    ann.ask("remark", user=bob.user, remark="B", group="work")
    got = ann.ask("friends")["friends"][0]
    same((got["remark"], got["group"]), ("B", "work"), "remark")
    expect("remark" not in bob.ask("friends")["friends"][0], "seen by the other")
    bob.refused("befriended", (620, 631), user=cat.user, accept=True)
    bob.ask("unfriend", user=ann.user)
    same((ann.ask("friends")["friends"], bob.ask("friends")["friends"]), ([], []), "ended")
    ann.ask("befriend", user=cat.user)
    same(cat.ask("befriend", user=ann.user)["friends"], True, "both asked")
    ann.refused("befriend", (600, 611), user=ann.user)
    ann.refused("befriend", 620, user="nobody-" + stage.name)
    ann.refused("remark", (611, 620), user=bob.user, remark="x")
    # At once from both sides.
    one, two = bob.device(stream=False), cat.device(stream=False)
    numbers = one.command("ask", to="im/befriend", data={"user": cat.user}), two.command("ask", to="im/befriend", data={"user": bob.user})
    one.answer(numbers[0]), two.answer(numbers[1])
    expect(cat.user in str(bob.ask("friends")["friends"]) and bob.user in str(cat.ask("friends")["friends"]), "both asked at once")


@rule
def privacy_holds_for_strangers_and_not_for_friends(stage):
    ann, bob, cat = stage.persons("ann", "bob", "cat")
    ann.ask("befriend", user=bob.user)
    bob.ask("befriended", user=ann.user, accept=True)
    ann.ask("privacy", last_seen="friends", messages="friends", groups="friends")
    ann.device()
    same(bob.ask("presence", users=[ann.user])["people"][0]["online"], True, "a friend")
    got = cat.ask("presence", users=[ann.user])["people"][0]
    expect(not got["online"] and "last_seen" not in got and not got.get("platforms"), f"a stranger sees {got}")
    cat.refused("send", (611, 614), user=ann.user, content=TEXT)
    bob.ask("send", user=ann.user, content=TEXT)
    group = stage.group(cat)
    got = cat.ask("add", conversation=group, users=[ann.user])
    same((got["added"], got["invited"]), ([], [ann.user]), "brought in by a stranger")
    same(cat.entry(group)["members"], 1, "members")
    ann.ask("join", conversation=group)
    same(cat.entry(group)["members"], 2, "members")
    ann.refused("privacy", 600, messages="whoever")
    ann.ask("privacy", last_seen="nobody")
    got = bob.ask("presence", users=[ann.user])["people"][0]
    expect(not got["online"] and "last_seen" not in got, f"nobody: {got}")


@rule
def presence_is_told_to_who_watches(stage):
    ann, bob = stage.persons("ann", "bob")
    ear = bob.device()
    same(bob.ask("presence", users=[ann.user])["people"][0]["online"], False, "before")
    ear.ask("presence", users=[ann.user], watch=True)
    device = ann.device("phone", "ios")
    got = ear.event("presence", user=ann.user, online=True)
    same(got["platforms"], ["ios"], "platforms")
    ann.ask("status", text="lunch", emoji="🍜", show="busy")
    ear.event("presence", user=ann.user, show="busy")
    ann.ask("status", show="invisible")
    ear.event("presence", user=ann.user, online=False)
    ann.ask("status", show="online")
    device.close()
    soon(lambda: not bob.ask("presence", users=[ann.user])["people"][0]["online"], "still online")
    expect(bob.ask("presence", users=[ann.user])["people"][0].get("last_seen", 0) > time.time() * 1000 - 20_000, "last_seen")
    ann.refused("status", 600, text="x" * 257)
    ann.refused("presence", 603, users=["x"] * 501)


@rule
def quiet_hours_are_read_back(stage):
    ann = stage.persons("ann")[0]
    ann.ask("dnd", **{"from": "22:00", "until": "07:30", "offset_min": 480})
    same(ann.ask("profile")["dnd"], {"from_min": 1320, "until_min": 450, "offset_min": 480}, "dnd")
    for bad in ("24:00", "7", "aa:bb", "-1:00", "", "07:60", "\u0000"):
        ann.refused("dnd", 600, **{"from": bad, "until": "07:00"})
    ann.refused("dnd", 600, **{"from": "22:00", "until": "07:00", "offset_min": 99999})


@rule
def devices_are_listed_and_others_are_logged_out(stage):
    ann = stage.persons("ann")[0]
    one, two = ann.device("phone", "ios"), ann.device("tab", "web")
    got = one.ask("devices")["devices"]
    same(sorted((d["device"], d["platform"], d["self"]) for d in got), [("phone", "ios", True), ("tab", "web", False)], "devices")
    same(one.ask("logout_others")["ended"], 1, "ended")
    two.wait_end()
    same([d["device"] for d in one.ask("devices")["devices"]], ["phone"], "devices")
    one.ask("list")


@rule
def one_device_too_many_on_a_platform_ends_the_oldest(stage):
    ann = stage.persons("ann")[0]
    devices = [ann.device(f"d{n}", "android") for n in range(11)]
    devices[0].wait_end()
    same(sorted(d["device"] for d in devices[-1].ask("devices")["devices"]), sorted(f"d{n}" for n in range(1, 11)), "devices")
    others = [ann.device(f"w{n}", "web") for n in range(11)]
    soon(lambda: len(others[-1].ask("devices")["devices"]) <= 20, "more than 20")
    others[-1].ask("list")


@rule
def names_with_marks_of_topics_have_their_stream(stage):
    if not stage.place.guests:
        return
    for mark in ("a/b", "a+b", "#", "a%2Fb", "%", "é安", "a b", "🏔", "‮x", "..", "a'\"<b>"):
        person = stage.person("bob")
        name = f"{mark}{stage.name}"
        odd = type(person).guest(stage.place, name)
        stage.people.append(odd)
        try:
            odd.ask("set_profile", name="x")
        except Refused as no:
            expect(no.status in (400, 401), str(no))
            continue
        person.ask("set_profile", name="x")
        ear = odd.device()
        sent = person.ask("send", user=odd.user, content={"kind": "text", "text": "to " + mark})
        ear.message(sent["conversation"], sent["seq"])
        seq = odd.send(sent["conversation"], "back")
        same(person.texts(sent["conversation"]), ["to " + mark, "back"], mark)
        ear.ask("read", conversation=sent["conversation"], seq=seq)
        group = stage.group(person, odd)
        same(odd.entry(group)["members"], 2, mark)
        got = [e["id"] for e in odd.ask("list")["conversations"]]
        same(set(got), {sent["conversation"], group}, f"list of {mark}")
        same([m["user"] for m in person.ask("members", conversation=group)["members"]][1], odd.user, mark)
        same(person.ask("remove", conversation=group, users=[odd.user])["removed"], [odd.user], mark)


@rule
def streams_are_ones_own(stage):
    ann, bob, eve = stage.persons("ann", "bob", "eve")
    ear = eve.device()
    ann.device()
    for filter in (f"im/u/{ann.user}", "im/u/+", "im/u/#", "im/#", "#", "+/#", "im/+/+", "+/u/+"):
        try:
            ear.do("subscribe", sub=50, filter=filter)
        except Refused:
            continue
        ann.ask("send", user=bob.user, content={"kind": "text", "text": f"hush {filter}"})
        ann.ask("settings", conversation=ann.ask("open", user=bob.user)["id"], draft=f"hush {filter}")
        time.sleep(0.25)
        expect("hush" not in str(ear.records), f"{filter} hears {ear.records[-1:]}")
    for topic in (f"im/u/{ann.user}", f"im/u/{eve.user}", "im/x", "im", "im/c", "im/push", f"im/r/r00000000000000", "im/c/x/y/z"):
        try:
            ear.publish(topic, data={"event": "entry", "entry": {}})
            raise AssertionError(f"published to {topic}")
        except Refused as no:
            expect(no.code not in (None, 500), str(no))
