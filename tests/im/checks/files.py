"""Files: what they are, who may have them, and bad ones."""

import io
import struct
import wave
import zlib

from suite import expect, rule, same


def png(width, height, data=None):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = zlib.compress((b"\0" + bytes(i % 251 for i in range(width * 3))) * height) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def sound(seconds=1):
    into = io.BytesIO()
    with wave.open(into, "wb") as out:
        out.setnchannels(1), out.setsampwidth(2), out.setframerate(8000)
        out.writeframes(b"".join(struct.pack("<h", (i * 37) % 20000 - 10000) for i in range(int(8000 * seconds))))
    return into.getvalue()


@rule
def a_picture_is_taken_shown_and_had_by_members_only(stage):
    ann, bob, eve = stage.persons("ann", "bob", "eve")
    group = stage.group(ann, bob)
    data = png(300, 200)
    status, told = ann.put_file("a.png", data)
    same((status, told["kind"], told["width"], told["height"]), (200, "image", 300, 200), "put")
    url = f"{stage.place.base}/im/v1/files/{told['file']}"
    same(bob.http.get(url).status_code, 404, "before it was sent")
    ann.ask("send", conversation=group, content={"kind": "image", "file": told["file"], "text": "look"})
    facts = bob.messages(group)[0]["content"]["facts"]
    same((facts["type"], facts["width"], facts["bytes"]), ("image/png", 300, len(data)), "facts")
    got = bob.http.get(url)
    same((got.status_code, got.content == data, got.headers.get("X-Content-Type-Options")), (200, True, "nosniff"), "get")
    part = bob.http.get(url, headers={"Range": "bytes=10-19"})
    same((part.status_code, part.content), (206, data[10:20]), "range")
    same(bob.http.get(url, headers={"Range": "bytes=999999999-"}).status_code, 416, "range beyond")
    expect(bob.http.get(url + "/thumb").headers["Content-Type"].startswith("image/"), "thumb")
    for person in (eve,):
        same(person.http.get(url).status_code, 404, "a stranger")
        same(person.http.get(url + "/thumb").status_code, 404, "a stranger's thumb")
        person.refused("file", 620, file=told["file"])
        person.refused("file_key", 620, file=told["file"])
        person.refused("file_delete", (611, 620), file=told["file"])
        own = stage.group(person)
        person.refused("send", (601, 611, 620), conversation=own, content={"kind": "image", "file": told["file"]})
    bob.refused("file_delete", (611, 620), file=told["file"])
    key = bob.ask("file_key", file=told["file"])["key"]
    import requests
    same(requests.get(url, params={"key": key}).status_code, 200, "by key")
    expect(requests.get(url, params={"key": key[:-1] + ("a" if key[-1] != "a" else "b")}).status_code in (401, 403, 404), "by a wrong key")
    _, other = ann.put_file("b.png", png(10, 10))
    expect(requests.get(f"{stage.place.base}/im/v1/files/{other['file']}", params={"key": key}).status_code in (401, 403, 404), "the key opens another file")
    same([f["file"] for f in bob.ask("shared_files", conversation=group)["files"]], [told["file"]], "shared")
    ann.ask("remove", conversation=group, users=[bob.user])
    same(bob.http.get(url).status_code, 404, "after removal")


@rule
def a_file_that_is_not_what_it_says_is_no_picture(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    for name, data in (("a.png", b"MZ" + b"\0" * 500), ("a.jpg", b"<html><script>alert(1)</script>"), ("a.png", b"#!/bin/sh\nrm -rf /\n"), ("x.png", png(20, 20)[:40]),
                       ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"), ("a.gif", b"GIF89a"), ("e.png", b"\x89PNG\r\n\x1a\n" + b"\xff" * 1000),
                       ("a.png", zlib.compress(b"x" * 100)), ("a.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 300), ("a.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 " + b"\0" * 40)):
        status, told = ann.put_file(name, data)
        expect(status == 200 or 400 <= status < 500, f"{name}: {status} {told}")
        if status == 200:
            expect(told["kind"] != "image" or told.get("width"), f"{name} {data[:20]}: {told}")
            for kind in ("image", "voice", "video"):
                if told["kind"] != kind:
                    ann.refused("send", (601, 620), conversation=group, content={"kind": kind, "file": told["file"]})
            got = ann.http.get(f"{stage.place.base}/im/v1/files/{told['file']}")
            expect(not got.headers["Content-Type"].startswith(("text/html", "image/svg")), f"{got.headers}")
    status, told = ann.put_file("a.wav", sound())
    same((told["kind"], told["type"]), ("audio", told["type"]), "sound")
    ann.refused("send", 601, conversation=group, content={"kind": "image", "file": told["file"]})
    seq = ann.ask("send", conversation=group, content={"kind": "voice", "file": told["file"]})["seq"]
    expect(900 <= bob.ask("message", conversation=group, seq=seq)["content"]["facts"]["duration_ms"] <= 1100, "duration")


@rule
def a_picture_that_would_be_gigabytes_costs_nothing(stage):
    ann, bob = stage.persons("ann", "bob")
    group = stage.group(ann, bob)
    squeeze = zlib.compressobj(9)
    bomb = b"".join(squeeze.compress(b"\0" * 1_000_003) for _ in range(300)) + squeeze.flush()
    for width, height in ((30000, 30000), (2**31 - 1, 2**31 - 1), (65535, 65535)):
        status, told = ann.put_file("bomb.png", png(width, height, bomb))
        expect(status == 200 or 400 <= status < 500, f"{status} {told}")
        if status == 200:
            expect(not told.get("thumb"), f"{width}×{height} was unpacked: {told}")
            status, told = ann.post("send", {"conversation": group, "content": {"kind": "image", "file": told["file"]}})
            expect(status < 500, f"{told}")
    bob.ask("list")


@rule
def uploads_go_on_where_they_stood(stage):
    ann, eve = stage.persons("ann", "eve")
    data = bytes(range(256)) * 4000
    file = ann.http.post(f"{stage.place.base}/im/v1/files", json={"name": "x.bin", "bytes": len(data)}).json()["file"]
    url = f"{stage.place.base}/im/v1/files/{file}"
    same(ann.http.patch(url, data=data[:1000], headers={"Upload-Offset": "0"}).json()["offset"], 1000, "one piece")
    got = ann.http.patch(url, data=data[5000:6000], headers={"Upload-Offset": "5000"})
    same((got.status_code, got.headers["Upload-Offset"]), (409, "1000"), "a hole")
    same(ann.http.head(url).headers["Upload-Offset"], "1000", "head")
    expect(eve.http.patch(url, data=b"x", headers={"Upload-Offset": "1000"}).status_code in (403, 404), "another's upload")
    expect(ann.http.patch(url, data=data + b"more", headers={"Upload-Offset": "1000"}).status_code in (400, 409, 413), "more than was said")
    at = int(ann.http.head(url).headers["Upload-Offset"])
    got = ann.http.patch(url, data=data[at:], headers={"Upload-Offset": str(at)}).json()
    same((got["complete"], got["bytes"]), (True, len(data)), "complete")
    same(ann.http.get(url).content == data, True, "content")
    for bad in ({"name": "x"}, {"name": "x", "bytes": -1}, {"name": "x", "bytes": 2**62}, {"name": "x" * 300, "bytes": 1}, {"name": "", "bytes": 1}, {"bytes": 1}, {"name": "../../x", "bytes": 1}, {"name": "a\u0000", "bytes": 1}):
        status = ann.http.post(f"{stage.place.base}/im/v1/files", json=bad)
        expect(status.status_code in (201, 400, 413), f"{str(bad)[:60]}: {status.status_code} {status.text[:200]}")
    for odd in ("x", "..", "%2e%2e%2f", "0" * 32, "\u0000"):
        expect(ann.http.get(f"{stage.place.base}/im/v1/files/{odd}").status_code in (400, 404, 405), odd)
