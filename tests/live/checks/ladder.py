"""The ladder: rungs, their key frames, and ffmpeg's processes."""

import os
import re
import signal
import subprocess
import time

from place import Source, expect, media, probe, same, soon
from playlist import Media, attributes, mpd
from wire import VIDEO, Pusher, is_key, tags

CONFIG = """
[live.ladder]
apps = ["live"]
linger = "6s"
nice = 0
[[live.ladder.rungs]]
name = "low"
side = 64
bits_per_second = 60000
[[live.ladder.rungs]]
name = "high"
side = 96
bits_per_second = 100000
[[live.ladder.rungs]]
name = "wider"
side = 720
bits_per_second = 2000000
"""


def encoders(server):
    return {pid: line for pid, line in server.children().items() if "ffmpeg" in line.split(" ")[0]}


def rule_rungs_are_offered_made_aligned_replaced_and_ended(servers):
    server = servers.own(CONFIG, name="ladder")
    pusher = Pusher(server.rtmp, "rungs", media(gop=25))
    try:
        master = soon(lambda: (lambda found: found.text if found.status == 200 else None)(server.get("/live/rungs.m3u8")), "no master")
        streams = [(attributes(line), uri) for line, uri in re.findall(r"#EXT-X-STREAM-INF:(.*)\n(.*)", master)]
        same(sorted(has["NAME"] for has, _ in streams), ["high", "low", "source"], "rungs that are no wider than the source")
        same(encoders(server), {}, "encoders before anybody watches a rung")
        soon(lambda: "#EXTINF" in server.get("/live/rungs/video.m3u8").text, "no segment of the source")
        uris = {has["NAME"]: "/live/" + uri for has, uri in streams}
        began = time.monotonic()
        low = soon(lambda: (lambda found: found if found.status == 200 and "#EXTINF" in found.text else None)(server.get(uris["low"])), lambda: f"no playlist of the rung: {server.get(uris['low']).status}", 20)
        first = time.monotonic() - began
        expect(first < 12, f"the rung came after {first:.1f} s")
        expect(1 <= len(encoders(server)) <= 2, f"encoders: {encoders(server)}")
        # The same numbers and times as the source's.
        for _ in range(14):
            source, rung = Media(server.get(uris["source"]).text), Media(server.get(uris["low"]).text).check()
            time.sleep(0.4)
        here = {one.number: one for one in source.segments}
        both = [(here[one.number], one) for one in rung.segments if one.number in here]
        expect(len(both) >= 2, f"the playlists share {len(both)} segments: {sorted(here)} and {[one.number for one in rung.segments]}")
        for one, other in both:
            expect(abs((one.date - other.date).total_seconds()) < 0.1 and abs(one.duration - other.duration) < 0.1, f"segment {one.number}: {one.date} {one.duration} and {other.date} {other.duration}")
        got = {name: [stamp for kind, stamp, body in tags(server.flv(f"/live/{path}.flv", 4).body) if is_key(kind, body)] for name, path in (("source", "rungs"), ("low", "rungs~low"))}
        expect(got["low"], "no key frames by FLV of the rung")
        root, periods = mpd(server.get("/live/rungs.mpd").text)
        expect(any("low" in identity for identity in periods[-1][2]), f"the MPD has {list(periods[-1][2])}")
        # kill -9 under a viewer.
        victim = next(iter(encoders(server)))
        count = Media(server.get(uris["low"]).text).newest
        os.kill(victim, signal.SIGKILL)
        last = {}

        def goes_on():
            last["now"] = server.get(uris["low"])
            return last["now"].status == 200 and Media(last["now"].text).newest[0] >= count[0] + 3
        soon(goes_on, lambda: f"the rung does not go on: {last['now'].status} {last['now'].body[-300:]}", 20)
        Media(last["now"].text).check()
        expect(victim not in encoders(server) and encoders(server), f"encoders after the kill: {encoders(server)}")
        expect(pusher.error is None, "the publisher was disturbed")
        soon(lambda: not encoders(server), lambda: f"encoders though nobody watches: {encoders(server)}", 45)
        # Who comes back to it gets it again, live: not the end of what was.
        found = soon(lambda: (lambda found: found if found.status == 200 else None)(server.get(uris["low"])), "the rung is not there again", 15)
        expect("ENDLIST" not in found.text, "a rung that was let go and is wanted again is answered with its old playlist and EXT-X-ENDLIST")
        children = list(encoders(server))
        expect(children, "no encoder for the second time")
        server.terminate()
        expect(server.process.wait(15) == 0, f"the server ended with {server.process.returncode}")
        soon(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in children), "ffmpeg goes on after the server", 5)
    finally:
        pusher.cut()
        server.close()


def rule_encoders_end_with_a_server_that_is_killed(servers):
    server = servers.own(CONFIG, name="ladder-kill")
    pusher = Pusher(server.rtmp, "orphans", media())
    try:
        soon(lambda: "#EXTINF" in server.get("/live/orphans/video.m3u8").text, "no segment of the source")
        soon(lambda: server.get("/live/orphans~low/video.m3u8").status == 200, "no rung", 15)
        children = list(encoders(server))
        expect(children, "no encoder")
        server.kill()
        soon(lambda: not any(os.path.exists(f"/proc/{pid}/exe") for pid in children), "ffmpeg goes on after kill -9 of the server", 8)
    finally:
        pusher.cut()
        server.close()


def rule_without_ffmpeg_the_rest_works(servers):
    server = servers.own('[live.ladder]\napps = ["live"]\nffmpeg = "/nowhere/ffmpeg"\n[[live.ladder.rungs]]\nname = "low"\nside = 64\nbits_per_second = 60000\n[live.snapshots]\nevery = "1s"\n', name="noffmpeg")
    pusher = Pusher(server.rtmp, "alone", media())
    try:
        soon(lambda: server.get("/live/alone.m3u8").status == 200, "no master")
        expect("low" not in server.get("/live/alone.m3u8").text, "a rung is offered that nobody can make")
        expect(server.get("/live/alone~low/video.m3u8").status in (404, 503), "a rung was answered")
        expect(server.get("/live/alone.jpg").status in (404, 503), "a snapshot was answered")
        soon(lambda: server.get("/live/alone/video.m3u8").status == 200, "no playlist")
    finally:
        pusher.stop()
        server.close()


def rule_snapshots_are_pictures(servers):
    server = servers.shared('[live.snapshots]\nevery = "1s"\n')
    pusher = Pusher(server.rtmp, "pictured", media())
    try:
        found = soon(lambda: (lambda found: found if found.status == 200 else None)(server.get("/live/pictured.jpg")), "no picture", 15)
        expect(found.body[:3] == b"\xff\xd8\xff" and found.body[-2:] == b"\xff\xd9", "it is no JPEG")
        same(found["content-type"], "image/jpeg", "content-type")
    finally:
        pusher.stop()


