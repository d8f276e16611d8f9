"""Recordings: they play while they are written, after a rotation, after kill -9, and a full disk ends only them."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from place import NotHere, expect, media, probe, same, soon
from wire import VIDEO, Pusher, tags

ALL = '[live.record]\napps = ["live"]\nreserve_bytes = 0\n'


def files(server, name):
    found = server.get(f"/record/live/{name}")
    if found.status != 200:
        return []
    got = found.json
    return got.get("recordings", got.get("files", got)) if isinstance(got, dict) else got


def named(one):
    return one.get("file") or one.get("name") or one.get("url").rpartition("/")[2]


def plays(server, name, file, text, least=1.0):
    url = f"{server.base}/record/live/{name}/{file}"
    code, found, said = probe(url)
    same((code, said), (0, ""), f"{text}: what ffprobe says")
    duration = float(found["format"].get("duration", 0) or 0)
    code, _, said = probe(url, decode=True)
    same((code, said), (0, ""), f"{text}: what ffmpeg says")
    return duration


def ranges(server, name, file):
    path = f"/record/live/{name}/{file}"
    whole = server.get(path)
    same(whole.status, 200, path)
    size = len(whole.body)
    for said, status, body in (("bytes=0-99", 206, whole.body[:100]), (f"bytes={size - 10}-", 206, whole.body[-10:]), ("bytes=-10", 206, whole.body[-10:]), (f"bytes={size + 10}-", 416, None), ("bytes=5-2", 416, None)):
        found = server.get(path, headers={"range": said})
        expect(found.status == status or (said == "bytes=5-2" and found.status in (200, 400)), f"range {said}: {found.status}")
        if body is not None:
            expect(found.body == body, f"range {said} has other bytes")
    same(server.get(path, "HEAD")["content-length"], str(size), "content-length of HEAD")
    return whole.body


def rule_a_recording_plays_while_it_is_written_and_after(servers):
    for form in ("mp4", "flv"):
        server = servers.shared(ALL + f'format = "{form}"\n')
        pusher = Pusher(server.rtmp, "taped", media(gop=25))
        soon(lambda: files(server, "taped"), f"{form}: no recording is listed")
        time.sleep(4)
        file = named(files(server, "taped")[0])
        found = server.get(f"/record/live/taped/{file}", headers={"range": "bytes=0-999999"})
        expect(found.status in (200, 206) and len(found.body) > 20000, f"{form}: while it is written: {found.status}, {len(found.body)} bytes")
        part = pathlib.Path(tempfile.mkdtemp()) / file
        part.write_bytes(found.body)
        code, _, said = probe(str(part), decode=True)
        same((code, said), (0, ""), f"{form}: while it is written")
        shutil.rmtree(part.parent)
        pusher.stop()
        soon(lambda: not any(one.get("growing") or one.get("is_growing") for one in files(server, "taped")), "it goes on growing", 8)
        duration = plays(server, "taped", file, form)
        expect(3.5 < duration < 8, f"{form}: {duration} s were recorded")
        body = ranges(server, "taped", file)
        for start in ("2", "2.7", "0", "-1", "99999", "x", "nan", "1e400", ""):
            found = server.get(f"/record/live/taped/{file}?start={start}")
            expect(found.status < 500, f"{form}: start={start} was answered {found.status}")
            if start in ("2", "2.7"):
                same(found.status, 200, f"{form}: start={start}")
                expect(len(found.body) < len(body), f"{form}: start={start} gives all")
                cut = pathlib.Path(tempfile.mkdtemp()) / file
                cut.write_bytes(found.body)
                code, _, said = probe(str(cut), decode=True)
                same((code, said), (0, ""), f"{form}: start={start}")
                shutil.rmtree(cut.parent)
        for bad in ("..%2f..%2fyizhan.toml", "nothing.mp4", "%00", ".."):
            expect(server.get(f"/record/live/taped/{bad}").status in (400, 404), f"{bad} was answered")


def rule_recordings_rotate_at_key_frames_and_lose_nothing(servers):
    server = servers.shared(ALL + 'rotate = "10s"\n')
    pusher = Pusher(server.rtmp, "rotated", media(), speed=6)
    soon(lambda: len(files(server, "rotated")) >= 3, lambda: f"no three files: {files(server, 'rotated')}", 15)
    pusher.stop()
    soon(lambda: not any(one.get("growing") or one.get("is_growing") for one in files(server, "rotated")), "one goes on growing", 8)
    lengths = [plays(server, "rotated", named(one), named(one)) for one in files(server, "rotated")]
    expect(all(9.5 < length < 12 for length in sorted(lengths)[1:]), f"files of {lengths} s with a rotation of 10 s")


def rule_after_kill_9_the_recording_is_there_and_plays(servers):
    for form in ("mp4", "flv"):
        server = servers.own(ALL + f'format = "{form}"\n', name=f"kill-{form}")
        try:
            pusher = Pusher(server.rtmp, "killed", media())
            soon(lambda: files(server, "killed"), "no recording is listed")
            time.sleep(5)
            server.kill()
            pusher.cut()
            server.again()
            found = soon(lambda: files(server, "killed"), f"{form}: nothing is listed after the restart", 5)
            file = named(found[0])
            expect(not (found[0].get("growing") or found[0].get("is_growing")), f"{form}: it is said to grow: {found}")
            duration = plays(server, "killed", file, f"{form} after kill -9")
            expect(duration > 3, f"{form}: only {duration} s of 5 are there")
            ranges(server, "killed", file)
            same(server.get(f"/record/live/killed/{file}?start=2").status, 200, f"{form}: start=2")
            again = Pusher(server.rtmp, "killed", media())
            soon(lambda: len(files(server, "killed")) == 2, "no second file", 8)
            again.stop()
        finally:
            server.close()


def rule_a_full_disk_ends_the_recording_only(servers):
    small = tempfile.mkdtemp(prefix="live-small-")
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], capture_output=True).returncode:
        os.rmdir(small)
        raise NotHere("a small tmpfs cannot be mounted")
    server = None
    try:
        for reserve in ("0", '"100KiB"'):
            server = servers.own(f'[live.record]\napps = ["live"]\nreserve_bytes = {reserve}\nfolder = "{small}"\n', name="full")
            pusher = Pusher(server.rtmp, "full", media(size="320x240", extra=("-vf", "noise=alls=60:allf=t"), seconds=3), ahead=0)
            viewer = lambda: server.flv("/live/full.flv", 2)  # noqa: E731
            soon(lambda: server.view("full"), "not on air")
            soon(lambda: "record" in server.log.read_text() and any(word in server.log.read_text() for word in ("space", "full", "disk", "No space")) and shutil.disk_usage(small).free < 150_000, lambda: f"it never was full: {shutil.disk_usage(small)}", 20)
            time.sleep(1)
            expect(pusher.error is None and not pusher.rtmp.closed, "the publisher was ended")
            pictures = [tag for tag in tags(viewer().body) if tag[0] == VIDEO]
            expect(len(pictures) > 20, f"a viewer got only {len(pictures)} pictures in 2 s")
            for one in files(server, "full"):
                plays(server, "full", named(one), "what was recorded before")
            pusher.stop()
            server.close()
            for one in pathlib.Path(small).rglob("*.*"):
                if one.is_file():
                    one.unlink()
    finally:
        if server and server.process.poll() is None:
            server.close()
        subprocess.run(["umount", "-l", small], capture_output=True)
        os.rmdir(small)


def rule_recording_can_be_begun_and_ended_by_hand(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "byhand", media())
    try:
        soon(lambda: server.view("byhand"), "not on air")
        same(files(server, "byhand"), [], "recordings before")
        found = server.ask("record", app="live", name="byhand", on=True)
        expect(found.status == 200, f"record: {found.status} {found.body[:200]}")
        soon(lambda: files(server, "byhand"), "no recording", 5)
        time.sleep(2)
        same(server.ask("record", app="live", name="byhand", on=False).status, 200, "record off")
        soon(lambda: not any(one.get("growing") or one.get("is_growing") for one in files(server, "byhand")), "it goes on growing", 5)
        plays(server, "byhand", named(files(server, "byhand")[0]), "by hand")
        expect(server.ask("record", admin=False, app="live", name="byhand", on=True).status in (401, 403, 200), "by anybody")
    finally:
        pusher.stop()
