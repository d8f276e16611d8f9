"""FLV over HTTP and WebSocket."""

import base64
import os
import socket
import struct
import time

from place import expect, media, probe, same, soon
from wire import AUDIO, DATA, VIDEO, Pusher, is_head, is_key, tags


def websocket(server, path, seconds, origin=None):
    """What comes over a WebSocket within this time: (status, bytes, opcodes)."""
    line = socket.create_connection(("127.0.0.1", server.ports["http"]), 5)
    key = base64.b64encode(os.urandom(16)).decode()
    line.sendall((f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n" + (f"origin: {origin}\r\n" if origin else "") + "\r\n").encode())
    buffer = b""
    while b"\r\n\r\n" not in buffer:
        more = line.recv(4096)
        if not more:
            break
        buffer += more
    head, _, buffer = buffer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    if status != 101:
        return status, buffer, []
    data, opcodes, end = b"", [], time.monotonic() + seconds
    while time.monotonic() < end:
        line.settimeout(max(0.01, end - time.monotonic()))
        while len(buffer) >= 2:
            size, at = buffer[1] & 127, 2
            if buffer[1] & 128:
                raise AssertionError("a server does not mask (RFC 6455 §5.1)")
            if size == 126:
                if len(buffer) < 4:
                    break
                size, at = struct.unpack_from(">H", buffer, 2)[0], 4
            elif size == 127:
                if len(buffer) < 10:
                    break
                size, at = struct.unpack_from(">Q", buffer, 2)[0], 10
            if len(buffer) < at + size:
                break
            opcodes.append(buffer[0] & 15)
            if buffer[0] & 15 in (0, 2):
                data += buffer[at:at + size]
            buffer = buffer[at + size:]
        try:
            more = line.recv(65536)
        except TimeoutError:
            break
        if not more:
            break
        buffer += more
    line.close()
    return 101, data, opcodes


def well_formed(data, text):
    found = tags(data)
    expect(data[4] == 5, f"{text}: the head says {data[4]}, not picture and sound")
    expect(found[0][0] == DATA and b"onMetaData" in found[0][2], f"{text}: the first tag is no onMetaData")
    expect({tag[0] for tag in found[1:3]} == {VIDEO, AUDIO} and all(is_head(tag[0], tag[2]) for tag in found[1:3]), f"{text}: no sequence headers behind it")
    first = next(tag for tag in found if tag[0] == VIDEO and not is_head(tag[0], tag[2]))
    expect(is_key(VIDEO, first[2]), f"{text}: the first picture is no key frame")
    for kind in (VIDEO, AUDIO):
        stamps = [stamp for one, stamp, _ in found if one == kind]
        expect(all(later >= before for before, later in zip(stamps, stamps[1:])), f"{text}: timestamps go back")
    return found


def rule_http_flv_is_well_formed_and_begins_at_once(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "wellformed", media(gop=50))
    try:
        soon(lambda: server.view("wellformed"), "not on air")
        time.sleep(2.5)
        for _ in range(3):
            began = time.monotonic()
            got = server.flv("/live/wellformed.flv", 3, enough=lambda data: len(data) > 3000)
            took = time.monotonic() - began
            expect(took < 0.8, f"the first pictures came after {took:.2f} s")
            time.sleep(0.3)
        got = server.flv("/live/wellformed.flv", 3)
        found = well_formed(got.body, "HTTP")
        expect(50 <= sum(tag[0] == VIDEO for tag in found) < 140, f"{sum(tag[0] == VIDEO for tag in found)} pictures in 3 s")
        same(got["access-control-allow-origin"], "*", "access-control-allow-origin")
        expect("no-" in (got["cache-control"] or ""), f"cache-control is {got['cache-control']}")
        expect((got["content-type"] or "").startswith("video/x-flv"), f"content-type is {got['content-type']}")
        same(server.get("/live/wellformed.flv", "HEAD").status, 200, "HEAD")
    finally:
        pusher.stop()


def rule_websocket_flv_is_well_formed(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "overws", media())
    try:
        soon(lambda: server.view("overws"), "not on air")
        status, data, opcodes = websocket(server, "/live/overws.flv", 3)
        same(status, 101, "the upgrade")
        expect(1 not in opcodes, "text frames came")
        found = well_formed(data, "WebSocket")
        expect(sum(tag[0] == VIDEO for tag in found) > 50, "too few pictures in 3 s")
        status, data, opcodes = websocket(server, "/live/nobody-here.flv", 2)
        expect(status == 404 or opcodes == [8], f"a WebSocket to what is not on air: {status}, {opcodes}")
    finally:
        pusher.stop()


def rule_pictures_come_out_byte_by_byte_as_they_came_in(servers):
    server, source = servers.shared(), media()
    pusher = Pusher(server.rtmp, "verbatim", source)
    try:
        soon(lambda: server.view("verbatim"), "not on air")
        found = tags(server.flv("/live/verbatim.flv", 2.5).body)
        bodies = [body for kind, _, body in source.tags if kind == VIDEO and body[1] == 1]
        got = [body for kind, _, body in found if kind == VIDEO and body[1] == 1]
        at = bodies.index(got[0])
        same(sum(got[place] != (bodies[at:] + bodies * 3)[place] for place in range(len(got))), 0, "pictures that differ, are missing or in another order")
    finally:
        pusher.stop()


def rule_a_viewer_that_goes_in_the_middle_is_no_longer_counted(servers):
    server = servers.shared()
    pusher = Pusher(server.rtmp, "comeandgo", media())
    try:
        soon(lambda: server.view("comeandgo"), "not on air")
        lines = []
        for _ in range(30):
            line = socket.create_connection(("127.0.0.1", server.ports["http"]), 5)
            line.sendall(b"GET /live/comeandgo.flv HTTP/1.1\r\nhost: x\r\n\r\n")
            lines.append(line)
        count = lambda: server.view("comeandgo")["broadcast"]["viewers"]  # noqa: E731
        soon(lambda: count() == 30, lambda: f"{count()} viewers of 30", 5)
        for line in lines:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.close()
        soon(lambda: count() == 0, lambda: f"{count()} viewers of none", 6)
    finally:
        pusher.stop()
