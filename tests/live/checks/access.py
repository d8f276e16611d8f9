"""Who may publish and watch; chat, gifts and states; the API."""

import base64
import hmac
import http.server
import json
import os
import random
import shutil
import subprocess
import threading
import time

from checks.flv import websocket
from place import NotHere, expect, media, same, soon
from wire import Closed, Pusher, Rtmp

SECRET = "0123456789abcdef0123456789abcdef"
KEYED = f"""
[live]
keys = {{ "live/keyed" = ["correct-horse"], "live/fam-*" = ["family"] }}
[live.access]
publish = "keys"
play = "tokens"
[live.tokens]
secret = "{SECRET}"
"""


def token(name, seconds=3600, doing="v", more="", app="live", secret=SECRET):
    head = f"{doing}{int(time.time()) + seconds}{more}"
    wide = ".w" in more
    mac = hmac.digest(secret.encode(), f"{app}/{'*' if wide else name}?{head}".encode(), "sha256")
    return head + "." + base64.urlsafe_b64encode(mac)[:24].decode()


def publishes(server, name):
    rtmp = Rtmp(server.rtmp)
    try:
        return rtmp.publish(name)["level"] == "status"
    except Closed:
        return False
    finally:
        rtmp.close()
        time.sleep(0.1)


def rule_keys_and_tokens_let_publish_and_nothing_else_does(servers):
    server = servers.shared(KEYED + "# 1\n", dev=False)
    for name in ("keyed", "keyed?key=wrong", "keyed?key=", "keyed?key=correct-hors", "keyed?key=correct-horse1", "fam-a?key=correct-horse", "other?key=family", f"keyed?token={token('keyed')}", f"keyed?token={token('other', doing='p')}",
                 f"keyed?token={token('keyed', -5, 'p')}", f"keyed?token={token('keyed', doing='p', secret='x' * 32)}", f"keyed?token={token('keyed', doing='p', app='other')}", "keyed?token=" + "p" * 3000, "keyed?token=p99999999999999999999.aaaaaaaaaaaaaaaaaaaaaaaa"):
        expect(not publishes(server, name), f"{name[:80]} was let in")
    for name in ("keyed?key=correct-horse", "fam-a?key=family", f"keyed?token={token('keyed', doing='p')}", f"keyed?x=1&key=correct-horse&y=2", f"any?token={token('any', doing='p', more='.w')}"):
        soon(lambda: publishes(server, name), f"{name} was not let in", 3)


def rule_tokens_let_watch_in_every_form_and_expired_ones_do_not(servers):
    server = servers.shared(KEYED + "# 2\n", dev=False)
    pusher = Pusher(server.rtmp, "fam-watch?key=family", media())
    try:
        name, good = "fam-watch", token("fam-watch")
        bad = {"none": "", "wrong": "?token=v1.x", "expired": f"?token={token(name, -5)}", "another's": f"?token={token('fam-other')}", "to publish": f"?token={token(name, doing='p')}", "twice": f"?token={token(name, -5)}&token=x"}
        soon(lambda: server.get(f"/live/{name}.m3u8?token={good}").status == 200, lambda: f"with a good token: {server.get(f'/live/{name}.m3u8?token={good}').status}", 10)
        for file in (".flv", ".m3u8", ".ts.m3u8", ".mpd", "/video.m3u8", "/audio.m3u8", "/ts.m3u8"):
            for why, query in bad.items():
                found = server.get(f"/live/{name}{file}{query}")
                expect(found.status in (401, 403), f"{file} with a token that is {why} was answered {found.status}")
        for why, query in bad.items():
            status, data, opcodes = websocket(server, f"/live/{name}.flv{query}", 0.5)
            expect(status in (401, 403) or (8 in opcodes and not data), f"a WebSocket with a token that is {why} was let in")
            viewer = Rtmp(server.rtmp)
            viewer.play(name + query)
            try:
                expect(viewer.status()["level"] == "error" or not soon(lambda: viewer.media(), "", 1), f"RTMP with a token that is {why} was let in")
            except (Closed, AssertionError) as wrong:
                if "was let in" in str(wrong):
                    raise
            viewer.close()
        got = server.flv(f"/live/{name}.flv?token={good}", 1)
        same(got.status, 200, "FLV with a good token")
        # From the master down to a segment with what the playlists say, without a cookie; then its bytes without a token.
        master = server.get(f"/live/{name}.m3u8?token={good}")
        variant = next(line for line in master.text.splitlines() if line and not line.startswith("#"))
        found = soon(lambda: (lambda reply: reply if reply.status == 200 and "#EXTINF" in reply.text else None)(server.get(f"/live/{variant}")), lambda: f"{variant}: {server.get(f'/live/{variant}').status}", 10)
        segment = next(line for line in found.text.splitlines() if line and not line.startswith("#"))
        folder = ("/live/" + variant).rpartition("/")[0]
        same(server.get(f"{folder}/{segment}").status, 200, "a segment as the playlist names it")
        # A token that ends soon: whoever it let in may go on, nobody else comes in with it.
        short = token(name, 3)
        same(server.get(f"/live/{name}/video.m3u8?token={short}").status, 200, "a token for 3 s")
        time.sleep(3.2)
        same(server.get(f"/live/{name}/video.m3u8?token={short}", headers={"user-agent": "somebody else"}).status, 401, "a token replayed after its end")
        same(server.get(f"/live/{name}.flv?token={short}").status, 401, "a token replayed after its end, FLV")
    finally:
        pusher.stop()


def rule_a_token_for_one_time_is_taken_once(servers):
    server = servers.shared(KEYED + "# 3\n", dev=False)
    once = token("keyed", doing="p", more=f".o{random.getrandbits(40):x}")
    expect(publishes(server, f"keyed?token={once}"), "it was not taken")
    time.sleep(0.3)
    expect(not publishes(server, f"keyed?token={once}"), "it was taken again")


def rule_chat_and_gifts_are_topics_and_states_are_records(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "chatty", media())
    try:
        soon(lambda: server.view("chatty"), "not on air")
        for topic, body in (("live/live/chatty/chat", {"text": "hello", "color": "#ff0000"}), ("live/live/chatty/chat", {"text": "x"})):
            found = server.get(f"/v1/publish/{topic}", "POST", server.admin(), body)
            expect(found.status < 300, f"{topic}: {found.status} {found.body[:200]}")
        found = server.get("/v1/publish/live/live/chatty/gifts", "POST", server.admin(), {"gift": "rose", "count": 2})
        expect(found.status < 300, f"a gift: {found.status} {found.body[:200]}")
        for body in (b"", b"\xff\xfe", b"{", b"[]", json.dumps({"text": "y" * 5000}).encode(), json.dumps({"text": 5}).encode(), json.dumps({"text": ""}).encode(), json.dumps({"text": "a", "color": "red; }"}).encode(), os.urandom(2000), b"[" * 50000):
            for topic in ("chat", "gifts"):
                found = server.get(f"/v1/publish/live/live/chatty/{topic}", "POST", server.admin(), body)
                expect(found.status < 500, f"{topic} {body[:30]!r}: {found.status} {found.body[:200]}")
        for topic in ("live/live/chatty", "live/live/nobody/chat", "live/other/x/chat", "live/live/chatty/on_air"):
            found = server.get(f"/v1/publish/{topic}", "POST", server.admin(), {"text": "forged"})
            expect(400 <= found.status < 500, f"publishing to {topic} was answered {found.status}")
    finally:
        pusher.stop()


def rule_mosquitto_sees_states_and_its_chat_is_seen(servers):
    if not shutil.which("mosquitto_sub"):
        raise NotHere("mosquitto_sub is not there")
    server = servers.shared()
    pusher = Pusher(server.rtmp, "mosquito", media())
    try:
        soon(lambda: server.view("mosquito"), "not on air")
        hears = subprocess.Popen(["mosquitto_sub", "-p", str(server.ports["mqtt"]), "-t", "live/live/mosquito/#", "-t", "live/live/mosquito", "-v", "-W", "5"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        time.sleep(0.8)
        for number in range(5):
            subprocess.run(["mosquitto_pub", "-p", str(server.ports["mqtt"]), "-t", "live/live/mosquito/chat", "-m", json.dumps({"text": f"bite {number}"})], check=True, timeout=5)
        said, _ = hears.communicate(timeout=10)
        for wanted in ("bite 0", "bite 4"):
            expect(wanted in said, f"{wanted} did not come: {said[-400:]}")
        expect('"dts"' in said, f"the chat has no dts: {said[-300:]}")
    finally:
        pusher.stop()


def example(schema, root, rng, depth=0):
    """A random value, mostly not what the schema wants."""
    roll = rng.random()
    if roll < 0.5 or depth > 3:
        return rng.choice([None, 0, -1, 2**63, 1e308, "", "x", "live", "~", "..", "x" * 70, "\u0000", "😀" * 50, [], {}, True, ["a"], {"a": 1}, "v" * 5000])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        return {key: example(inner, root, rng, depth + 1) for key, inner in schema.get("properties", {}).items() if rng.random() < 0.85}
    return {"string": "live", "integer": rng.choice([0, 1, -1, 2**40]), "boolean": True, "number": 1.5}.get(kind, "fuzz")


def rule_every_operation_answers_garbage_with_words(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "fuzz", media())
    rng = random.Random(5)
    try:
        document = server.get("/live/v1/openapi.json").json
        count = 0
        for path, item in document["paths"].items():
            for method, operation in item.items():
                schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
                known = set(operation["responses"])
                bodies = [b"", b"{", b"null", b"[]", b"\xff", b"{}" * 3, b"[" * 3000, json.dumps({"app": "live", "name": "fuzz"}).encode(), json.dumps({"app": "live", "name": "fuzz", "more": 1}).encode()]
                if path.endswith("/kick"):
                    bodies.remove(json.dumps({"app": "live", "name": "fuzz"}).encode())
                bodies += [json.dumps(example(schema, document, rng)).encode() for _ in range(25)]
                for body in bodies:
                    for headers in (server.admin(), None):
                        found = server.get(path, method.upper(), headers, body)
                        count += 1
                        expect(found.status < 500 or found.status == 503 or (found.status == 501), f"{path} {body[:80]!r}: {found.status} {found.body[:200]}")
                        expect({str(found.status), f"{found.status // 100}XX", "default"} & known, f"{path} {body[:60]!r}: {found.status} is not in its document ({sorted(known)})")
                        if found.body:
                            json.loads(found.body)
        expect(count > 500, f"only {count} questions")
        expect(server.get("/live/v1/nothing", "POST", server.admin(), {}).status in (400, 404), "an operation that is not there")
    finally:
        pusher.cut()


class Hook(http.server.BaseHTTPRequestHandler):
    said = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Hook.said.append(json.loads(body))
        answer = b"1" if "deny" in str(Hook.said[-1]) else b"0"
        if "slow" in str(Hook.said[-1].get("stream")):
            time.sleep(4)
        try:
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def rule_hooks_are_asked_and_told_and_can_refuse(servers):
    hooks = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hooks.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{hooks.server_address[1]}/hook"
    server = servers.own("[live.hooks]\n" + "".join(f'{name} = ["{url}"]\n' for name in ("on_publish", "on_unpublish", "on_play", "on_stop", "on_done")) + 'within = "1s"\n')
    try:
        pusher = Pusher(server.rtmp, "hooked?user=me", media())
        server.flv("/live/hooked.flv?who=you", 1)
        expect(not publishes(server, "deny-me"), "a publisher came in that the hook had refused")
        expect(not publishes(server, "slow"), "a publisher came in though the hook did not answer in time")
        pusher.stop()
        actions = lambda: {(one.get("action"), one.get("stream")) for one in Hook.said}  # noqa: E731
        for wanted in ("on_publish", "on_play", "on_stop", "on_unpublish"):
            soon(lambda: (wanted, "hooked") in actions(), lambda: f"{wanted} was not told: {actions()}", 8)
        first = next(one for one in Hook.said if one["action"] == "on_publish")
        for key in ("action", "client_id", "ip", "vhost", "app", "stream", "param", "server_id"):
            expect(key in first, f"{key} is not in {first}")
        expect("user=me" in first["param"], f"param is {first['param']}")
    finally:
        server.close()
        hooks.shutdown()


def rule_recordings_snapshots_and_rungs_want_the_same_token(servers):
    server = servers.shared(KEYED + '[live.record]\napps = ["live"]\nreserve_bytes = 0\n[live.snapshots]\nevery = "1s"\n[live.ladder]\napps = ["live"]\n[[live.ladder.rungs]]\nname = "low"\nside = 64\nbits_per_second = 60000\n', dev=False)
    pusher = Pusher(server.rtmp, "fam-closed?key=family", media())
    try:
        good, expired = token("fam-closed"), token("fam-closed", -5)
        listed = soon(lambda: (lambda found: found.json if found.status == 200 and any(found.json.values()) else None)(server.get(f"/record/live/fam-closed?token={good}")), lambda: f"recordings with a token: {server.get(f'/record/live/fam-closed?token={good}').status}", 8)
        soon(lambda: server.get(f"/live/fam-closed.jpg?token={good}").status == 200, lambda: f"the snapshot with a token: {server.get(f'/live/fam-closed.jpg?token={good}').status}", 15)
        first = (listed if isinstance(listed, list) else next(value for value in listed.values() if isinstance(value, list)))[0]
        file = first.get("file") or first.get("name") or first["url"].rpartition("/")[2].partition("?")[0]
        for path in ("/record/live/fam-closed", f"/record/live/fam-closed/{file}", "/live/fam-closed.jpg", "/live/fam-closed~low.flv", "/live/fam-closed~low/video.m3u8", "/live/fam-closed~low.m3u8", "/live/fam-closed~low.mpd"):
            for why, query in (("none", ""), ("expired", f"?token={expired}"), ("another's", f"?token={token('fam-x')}")):
                found = server.get(path + query, headers={"user-agent": f"{why}"})
                expect(found.status in (401, 403), f"{path} with a token that is {why} was answered {found.status}")
        same(server.get(f"/record/live/fam-closed/{file}?token={good}", headers={"range": "bytes=0-9"}).status, 206, "a recording with a token")
    finally:
        pusher.stop()


def rule_strangers_may_not_do_what_leaders_may(servers):
    server = servers.shared(KEYED + "# strangers\n", dev=False)
    pusher = Pusher(server.rtmp, "fam-strange?key=family", media())
    try:
        soon(lambda: server.view("fam-strange"), "not on air")
        here = {"app": "live", "name": "fam-strange"}
        for operation, more in (("kick", {}), ("title", {"title": "mine"}), ("record", {"on": True}), ("token", {"action": "play"}), ("viewers", {}), ("mute", {"user": "x"}), ("ban", {"user": "x"}), ("chat", {"closed": True}), ("show", {}), ("list", {})):
            found = server.ask(operation, admin=False, **({} if operation == "list" else here), **more)
            if found.status < 300 and operation in ("show", "list"):
                expect("127.0.0.1" not in found.text, f"{operation} tells strangers the publisher's address")
            else:
                expect(found.status in (401, 403), f"{operation} by a stranger was answered {found.status} {found.text[:200]}")
        found = server.get("/v1/publish/live/live/fam-strange/chat", "POST", None, {"text": "hello"})
        expect(found.status in (401, 403), f"a stranger's chat was answered {found.status}")
        expect(pusher.error is None and not pusher.rtmp.closed, "the publisher was disturbed")
    finally:
        pusher.stop()
