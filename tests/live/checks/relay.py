"""Relays: fetched when wanted, sent on, back after the other server was away."""

import threading
import time

from place import expect, media, same, soon
from wire import VIDEO, Pusher, Rtmp, tags


def pictures(server, path, seconds):
    got = server.flv(path, seconds, timeout=15)
    return got.status, len([tag for tag in tags(got.body) if tag[0] == VIDEO]) if got.status == 200 else 0


def rule_a_broadcast_is_fetched_when_somebody_wants_it_and_let_go_after(servers):
    origin = servers.shared()
    edge = servers.own(f'[live]\nwanted_for = "5s"\n[relay.up]\nfrom = "rtmp://127.0.0.1:{origin.rtmp}/live"\nwhen = "wanted"\nlinger = "1s"\nretry_min = "1s"\nretry_max = "1s"\n', name="edge")
    pusher = Pusher(origin.rtmp, "fetched", media())
    try:
        soon(lambda: origin.view("fetched"), "not on air")
        same(edge.view("fetched"), None, "before anybody wants it")
        found = []
        viewers = [threading.Thread(target=lambda: found.append(pictures(edge, "/live/fetched.flv", 4)), daemon=True) for _ in range(5)]
        for one in viewers:
            one.start()
        for one in viewers:
            one.join()
        expect(all(status == 200 and count > 40 for status, count in found), f"viewers at the edge: {found}")
        same(edge.get("/live/fetched.m3u8").status, 200, "the master at the edge")
        soon(lambda: (origin.view("fetched") or {"broadcast": {"viewers": 0}})["broadcast"]["viewers"] <= 1, "the edge watches more than once")
        soon(lambda: edge.view("fetched") is None, "it is fetched though nobody watches", 20)
        soon(lambda: origin.view("fetched")["broadcast"]["viewers"] == 0, "the origin still has the edge as a viewer", 5)
        began = time.monotonic()
        same(edge.get("/live/not-there.flv").status, 404, "what the origin has not")
        expect(time.monotonic() - began < 8, "it took too long to say so")
    finally:
        pusher.stop()
        edge.close()


def rule_an_edge_goes_on_when_the_origin_was_killed_and_is_back(servers):
    origin = servers.own(name="origin")
    edge = servers.own(f'[live]\ngrace = "25s"\n[relay.up]\nfrom = "rtmp://127.0.0.1:{origin.rtmp}/live"\nwhen = "wanted"\nretry_min = "1s"\nretry_max = "1s"\n', name="edge")
    try:
        pusher = Pusher(origin.rtmp, "back", media())
        viewer = Rtmp(edge.rtmp)
        viewer.play("back")
        soon(lambda: len(viewer.media()) > 40, "nothing comes", 10)
        origin.kill()
        pusher.cut()
        time.sleep(1)
        origin.again()
        count = len(viewer.media())
        pusher = Pusher(origin.rtmp, "back", media(), begin=99_000)
        soon(lambda: len(viewer.media()) > count + 60, lambda: f"the viewer at the edge does not go on (closed: {viewer.closed})", 20)
        stamps = [message[1] for message in viewer.media() if message[0] == VIDEO]
        expect(all(0 <= later - before < 20_000 for before, later in zip(stamps, stamps[1:])), "timestamps jump")
        viewer.close()
        pusher.stop()
    finally:
        edge.close()
        origin.close()


def rule_what_is_published_here_is_sent_to_another_server_and_again_when_it_is_back(servers):
    other = servers.own(name="other")
    here = servers.own(f'[relay.out]\nto = "rtmp://127.0.0.1:{other.rtmp}/live/sent-{{name}}"\nretry_min = "1s"\nretry_max = "1s"\n', name="here")
    pusher = Pusher(here.rtmp, "show", media())
    try:
        soon(lambda: other.view("sent-show"), "it does not come to the other server")
        status, count = pictures(other, "/live/sent-show.flv", 2)
        expect(count > 20, f"{status}, {count} pictures at the other server")
        other.kill()
        time.sleep(1)
        expect(pusher.error is None, "the publisher was disturbed")
        expect(pictures(here, "/live/show.flv", 1)[1] > 10, "a viewer here was disturbed")
        other.again()
        soon(lambda: other.view("sent-show"), "it does not come back", 10)
        expect(pictures(other, "/live/sent-show.flv", 2)[1] > 20, "nothing to see after the other server's return")
        pusher.stop()
        soon(lambda: other.view("sent-show") is None, "it is still on air at the other server", 15)
    finally:
        pusher.cut()
        here.close()
        other.close()
