#!/usr/bin/env python3
"""Instant messaging over HTTP as other programs use it: Python's requests, and curl for what it is known for.

im_http.py http://127.0.0.1:8080 NAME:PASSWORD NAME:PASSWORD   (two accounts)
"""

import hashlib
import io
import json
import struct
import subprocess
import sys
import uuid
import wave
import zlib

import requests


def png(width: int, height: int) -> bytes:
    """A picture of its own, without a library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((x * 255 // width, y * 255 // height, 90)[i] for x in range(width) for i in range(3)) for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def sound(seconds: float) -> bytes:
    into = io.BytesIO()
    with wave.open(into, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"".join(struct.pack("<h", (i * 37) % 20000 - 10000) for i in range(int(8000 * seconds))))
    return into.getvalue()


class User:
    def __init__(self, base: str, account: str) -> None:
        self.base, self.name = base + "/im/v1/", account.split(":")[0]
        self.http = requests.Session()
        self.http.auth = tuple(account.split(":", 1))

    def ask(self, op: str, status: int = 200, headers=None, **body):
        answer = self.http.post(self.base + op, json=body, headers=headers)
        assert answer.status_code == status, f"{op}: {answer.status_code} {answer.text}"
        return answer.json()

    def upload(self, name: str, data: bytes, piece: int, **more):
        file = self.ask("files", 201, name=name, bytes=len(data), **more)["file"]
        url, at = f"{self.base}files/{file}", 0
        while True:
            part = data[at : at + piece]
            answer = self.http.patch(url, data=part, headers={"Upload-Offset": str(at)})
            assert answer.status_code == 200, answer.text
            told = answer.json()
            at = told["offset"]
            assert int(answer.headers["Upload-Offset"]) == at
            if told["complete"]:
                return told
            assert int(self.http.head(url).headers["Upload-Offset"]) == at


def messages(ann: User, bob: User) -> str:
    own = str(uuid.uuid4())
    sent = ann.ask("send", user=bob.name, content={"kind": "text", "text": "hi"}, id=own)
    again = ann.ask("send", user=bob.name, content={"kind": "text", "text": "hi"}, id=own)
    assert (again["seq"], again["duplicate"]) == (sent["seq"], True)
    conversation = sent["conversation"]
    key = {"Idempotency-Key": own}
    one = ann.ask("send", headers=key, conversation=conversation, content={"kind": "text", "text": "once"})
    two = ann.ask("send", headers=key, conversation=conversation, content={"kind": "text", "text": "once"})
    assert one == two
    assert ann.ask("send", 422, headers=key, conversation=conversation, content={"kind": "text", "text": "x"})["code"] == 650
    heard = bob.ask("history", conversation=conversation)["messages"]
    assert [m["content"]["text"] for m in heard[-2:]] == ["hi", "once"], heard
    assert bob.ask("hist0ry", 400)["code"] == 602
    assert bob.ask("history", 400, conversation=conversation, unknown=1)["code"] == 600
    return conversation


def pictures(ann: User, bob: User, eve: requests.Session, conversation: str) -> None:
    data = png(640, 400)
    told = ann.upload("Ansicht 界.png", data, 1000)
    assert (told["kind"], told["type"], told["width"], told["height"], told["thumb"]) == ("image", "image/png", 640, 400, True), told
    file = told["file"]
    url = f"{ann.base}files/{file}"
    assert bob.http.get(url).status_code == 404, "nobody else has it before it is sent"
    ann.ask("send", conversation=conversation, content={"kind": "image", "file": file})
    newest = bob.ask("history", conversation=conversation)["messages"][-1]["content"]
    assert (newest["facts"]["width"], newest["name"]) == (640, "Ansicht 界.png"), newest
    got = bob.http.get(url)
    assert got.content == data and got.headers["Content-Type"] == "image/png"
    assert got.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in got.headers["Content-Security-Policy"]
    assert got.headers["Content-Disposition"].startswith("inline; filename*=UTF-8''Ansicht%20%E7%95%8C.png")
    part = bob.http.get(url, headers={"Range": "bytes=8-15"})
    assert (part.status_code, part.content) == (206, data[8:16]) and part.headers["Content-Range"] == f"bytes 8-15/{len(data)}"
    assert bob.http.get(url, headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    assert bob.http.get(url, headers={"If-None-Match": got.headers["ETag"]}).status_code == 304
    small = bob.http.get(url + "/thumb")
    assert small.status_code == 200 and small.headers["Content-Type"] in ("image/jpeg", "image/webp")
    assert eve.get(url).status_code in (401, 404)
    key = bob.ask("file_key", file=file)["key"]
    assert eve.get(url, params={"key": key}).content == data and eve.get(url + "/thumb", params={"key": key}).ok
    other = ann.upload("other.txt", b"x", 10)["file"]
    assert eve.get(f"{ann.base}files/{other}", params={"key": key}).status_code == 403
    assert eve.get(url, params={"key": key[:-1] + ("A" if key[-1] != "A" else "B")}).status_code == 403
    shared = bob.ask("shared_files", conversation=conversation)["files"]
    assert shared[0]["file"] == file, shared


def lies(ann: User, conversation: str) -> None:
    program = ann.upload("cute.png", b"MZ\x90\0" + bytes(500), 1000)
    assert program["kind"] == "other", program
    assert ann.ask("send", 400, conversation=conversation, content={"kind": "image", "file": program["file"]})["code"] == 601
    page = ann.upload("page.html", b"<html><script>alert(1)</script></html>", 1000)
    got = ann.http.get(f"{ann.base}files/{page['file']}")
    assert got.headers["Content-Disposition"].startswith("attachment") and "html" not in got.headers["Content-Type"], got.headers
    assert ann.ask("files", 413, name="large", bytes=1 << 50)["code"] == 663
    assert ann.ask("send", 404, conversation=conversation, content={"kind": "file", "file": "0" * 32})["code"] == 620
    begun = ann.ask("files", 201, name="a", bytes=10)["file"]
    assert ann.ask("send", 409, conversation=conversation, content={"kind": "file", "file": begun})["code"] == 631
    url = f"{ann.base}files/{begun}"
    assert ann.http.patch(url, data=b"abc").status_code == 400
    late = ann.http.patch(url, data=b"abc", headers={"Upload-Offset": "4"})
    assert (late.status_code, late.headers["Upload-Offset"], late.json()["code"]) == (409, "0", 661)
    more = ann.http.patch(url, data=b"x" * 11, headers={"Upload-Offset": "0"})
    assert more.status_code == 413, more.text
    assert ann.http.get(url).status_code == 404


def voice(ann: User, bob: User, conversation: str) -> None:
    told = ann.http.put(f"{ann.base}files", params={"name": "memo.wav"}, data=sound(1.5)).json()
    assert told["complete"] and told["kind"] == "audio" and abs(told["duration_ms"] - 1500) < 50, told
    assert 0 < len(told["waveform"]) <= 128
    ann.ask("send", conversation=conversation, content={"kind": "voice", "file": told["file"]})
    newest = bob.ask("history", conversation=conversation)["messages"][-1]["content"]
    assert newest["facts"]["duration_ms"] == told["duration_ms"] and newest["waveform"] == told["waveform"], newest
    ann.ask("file_delete", file=told["file"])
    assert bob.http.get(f"{ann.base}files/{told['file']}").status_code == 404
    assert bob.ask("file_delete", 404, file=told["file"])["code"] == 620


def curl(base: str, account: str, ann: User) -> None:
    """A download that broke off goes on; the answer has a request id."""
    data = bytes(range(256)) * 400
    file = ann.upload("bytes.bin", data, 1 << 20)["file"]
    run = lambda *args: subprocess.run(["curl", "-sS", "-u", account, *args], check=True, capture_output=True).stdout
    url = f"{base}/im/v1/files/{file}"
    rest = run("-r", "1000-", url)
    assert hashlib.sha256(data[:1000] + rest).digest() == hashlib.sha256(data).digest()
    head = run("-I", url).decode().lower()
    assert f"content-length: {len(data)}" in head and "accept-ranges: bytes" in head
    told = run("-i", "-H", "X-Request-Id: shop-1", "-d", "{}", f"{base}/im/v1/list").decode()
    assert "x-request-id: shop-1" in told.lower() and "conversations" in told, told


def main() -> None:
    base, one, two = sys.argv[1:4]
    ann, bob, eve = User(base, one), User(base, two), requests.Session()
    conversation = messages(ann, bob)
    pictures(ann, bob, eve, conversation)
    lies(ann, conversation)
    voice(ann, bob, conversation)
    curl(base, one, ann)
    document = eve.get(f"{base}/im/v1/openapi.json").json()
    print(json.dumps({"operations": len(document["paths"]), "ok": True}))


main()
