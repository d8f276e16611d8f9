#!/usr/bin/env python3
"""The rules of WebSocket (RFC 6455, RFC 7692) as named cases, in the manner of the Autobahn test suite but written anew.

    python3 autobahn.py ws://127.0.0.1:8080/v1/socket [--token TOKEN] [--only PART] [--quiet]

Plain Python 3 with a raw socket: every bit of every frame is ours. Our own command `ping` (answered by `pong` with the same
number) is the echo. One line for each case: `ok`, `ok, late` (right, but later than it could be; RFC 6455 allows it) or
`FAILED` with what came instead. The last line is `N passed, N failed`; the exit code is 0 or 1.
"""

import argparse
import base64
import hashlib
import json
import os
import random
import re
import socket
import struct
import sys
import zlib
from urllib.parse import urlsplit

# How long an answer may take, s. Long, because it only passes where something is wrong.
WAIT = 15.0
# How long to wait for a failure that may come early, before the rest is sent, s.
EARLY = 1.0
LIMIT = 1_048_576

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TAIL = b"\x00\x00\xff\xff"


class Wrong(Exception):
    """The server did something else than the rule says."""


class Late(Exception):
    """The rule was kept, but only at the last moment that it allows."""


def expect(claim, what):
    if not claim:
        raise Wrong(what)


# ---- A client made of bytes --------------------------------------------------------------------------------------------


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, length_form=None, key=None):
    """One frame. `length_form` 7, 16 or 64 encodes the length in a form of our choice."""
    size = len(payload)
    form = length_form or (7 if size < 126 else 16 if size < 65536 else 64)
    head = bytes([(0x80 if fin else 0) | (rsv << 4) | opcode])
    flag = 0x80 if mask else 0
    head += {7: lambda: bytes([flag | size]), 16: lambda: struct.pack("!BH", flag | 126, size), 64: lambda: struct.pack("!BQ", flag | 127, size)}[form]()
    if not mask:
        return head + payload
    key = os.urandom(4) if key is None else key
    return head + key + xor(payload, key)


def xor(payload, key):
    size = len(payload)
    pad = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")


def ping_command(number, pad=None, size=None):
    """Our echo, padded to a size in bytes where one is given."""
    command = {"type": "ping", "id": number}
    if pad is not None:
        command["pad"] = pad
    data = json.dumps(command, ensure_ascii=False).encode()
    if size is None:
        return data
    expect(size >= len(data), "a case asks for too small a message")
    return data + b" " * (size - len(data))


class Refused(Exception):
    def __init__(self, status, headers):
        super().__init__(f"HTTP {status}")
        self.status, self.headers = status, headers


class Client:
    """One connection. `offer` is the value of Sec-WebSocket-Extensions."""

    def __init__(self, server, offer=None, protocols="yizhan.v1.json", hello=True, headers=None, drop=(), first=b"", method="GET"):
        self.sock = socket.create_connection((server.host, server.port), timeout=WAIT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.inflate = None
        key = base64.b64encode(os.urandom(16)).decode()
        fields = {
            "Host": f"{server.host}:{server.port}", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13",
        }
        if protocols:
            fields["Sec-WebSocket-Protocol"] = protocols
        if offer:
            fields["Sec-WebSocket-Extensions"] = offer
        fields.update(headers or {})
        for name in drop:
            del fields[name]
        request = f"{method} {server.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items()) + "\r\n"
        self.sock.sendall(request.encode() + first)
        self.status, self.headers = self.read_head()
        if self.status != 101:
            self.sock.close()
            raise Refused(self.status, self.headers)
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        expect(self.headers.get("sec-websocket-accept") == accept, "Sec-WebSocket-Accept is not the hash of the key (4.2.2)")
        self.extension = self.headers.get("sec-websocket-extensions")
        self.parameters = read_extension(self.extension)
        if self.parameters is not None:
            bits = int(self.parameters.get("server_max_window_bits") or 15)
            self.inflate_bits = max(bits, 9)
            self.inflate = zlib.decompressobj(-self.inflate_bits)
        if hello:
            greeting = {"type": "hello", "id": 0, **({"token": server.token} if server.token else {})}
            self.text(json.dumps(greeting).encode())
            welcome = self.answer(0)
            expect(welcome.get("type") == "welcome", f"no welcome but {welcome}")

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status, *lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines:
            name, value = line.split(":", 1)
            fields[name.strip().lower()] = value.strip()
        return int(status.split()[1]), fields

    # Sending

    def send(self, *data):
        try:
            self.sock.sendall(b"".join(data))
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has left already. What it said is read below.

    def octets(self, data):
        """Byte by byte, each in a segment of its own as far as the system lets us."""
        for i in range(len(data)):
            self.send(data[i : i + 1])

    def text(self, payload, **how):
        self.send(frame(TEXT, payload, **how))

    # Receiving

    def fill(self, wait=WAIT):
        self.sock.settimeout(wait)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise Wrong(f"nothing came for {wait:g} s") from None
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self.buffer += data

    def take(self, size, wait=WAIT):
        while len(self.buffer) < size:
            self.fill(wait)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def frame(self, wait=WAIT):
        """The next frame: fin, rsv, opcode, payload. What the server may never send is checked here."""
        first, second = self.take(2, wait)
        fin, rsv, opcode, size = first >> 7, (first >> 4) & 7, first & 15, second & 127
        expect(not second & 128, "the server masked a frame (5.1)")
        if size == 126:
            (size,) = struct.unpack("!H", self.take(2))
            expect(size >= 126, "the server wrote a length too long (5.2)")
        elif size == 127:
            (size,) = struct.unpack("!Q", self.take(8))
            expect(65536 <= size < 1 << 63, "the server wrote a length too long (5.2)")
        expect(opcode in (0, TEXT, BINARY, CLOSE, PING, PONG), f"the server used opcode {opcode}")
        expect(opcode < 8 or (fin and size < 126 and not rsv), "the server sent a bad control frame (5.5)")
        expect(not rsv or (rsv == 4 and self.inflate and opcode), f"the server set reserved bits {rsv} (5.2)")
        return fin, rsv, opcode, self.take(size)

    def event(self, wait=WAIT):
        """The next message or control frame: opcode, payload. Inflated, and pieces put together."""
        fin, rsv, opcode, payload = self.frame(wait)
        if opcode >= 8:
            return opcode, payload
        while not fin:
            fin, more, part, rest = self.frame()
            if part >= 8:
                continue
            expect(part == 0 and not more, "the server broke its own fragments (5.4)")
            payload += rest
        if rsv:
            if "server_no_context_takeover" in self.parameters:
                self.inflate = zlib.decompressobj(-self.inflate_bits)
            payload = self.inflate.decompress(payload + TAIL)
        return opcode, payload

    def answer(self, number, wait=WAIT):
        """The event that answers our command of this number; pongs of the protocol are passed over."""
        while True:
            opcode, payload = self.event(wait)
            if opcode == CLOSE:
                raise Wrong(f"closed with {close_code(payload)} instead of answering")
            if opcode != TEXT:
                continue
            events = json.loads(payload.decode())
            for event in events if isinstance(events, list) else [events]:
                if event.get("re") == number:
                    return event

    def echo(self, number=1):
        answer = self.answer(number)
        expect(answer.get("type") == "pong", f"no pong but {answer}")

    def until_close(self, wait=WAIT):
        """Reads on until the server's close frame; its code, or None where it said none."""
        while True:
            try:
                opcode, payload = self.event(wait)
            except EOFError:
                raise Wrong("the connection ended without a close frame") from None
            if opcode == CLOSE:
                return close_code(payload)

    def closed(self, *codes):
        """The server closes with one of these codes, and ends the TCP connection when we have answered."""
        code = self.until_close()
        expect(code in codes, f"closed with {code}, not {' or '.join(map(str, codes))}")
        self.send(frame(CLOSE, struct.pack("!H", code) if code else b""))
        self.ended()

    def ended(self):
        try:
            while True:
                self.fill()
                self.buffer = b""
        except EOFError:
            self.sock.close()

    def goodbye(self):
        self.send(frame(CLOSE, struct.pack("!H", 1000)))
        self.closed(1000)


def close_code(payload):
    expect(len(payload) != 1, "the server sent a close frame with half a code (5.5.1)")
    if not payload:
        return None
    payload[2:].decode()  # The reason is UTF-8, or this raises.
    return struct.unpack("!H", payload[:2])[0]


def read_extension(value):
    """The parameters of an accepted permessage-deflate, None where there is none."""
    if value is None:
        return None
    expect("," not in value, f"more than one extension accepted: {value}")
    name, *parameters = [part.strip() for part in value.split(";")]
    expect(name == "permessage-deflate", f"an extension that nobody offered: {name}")
    found = {}
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        name, text = name.strip(), text.strip().strip('"') or None
        expect(name not in found, f"a parameter twice: {value} (RFC 7692, 5.2)")
        found[name] = text
    known = {"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"}
    expect(set(found) <= known, f"unknown parameters: {value}")
    for name, text in found.items():
        if name.endswith("bits"):
            expect(text is not None and re.fullmatch(r"[89]|1[0-5]", text), f"{name}={text} (RFC 7692, 7.1.2)")
        else:
            expect(text is None, f"{name} has no value (RFC 7692, 7.1.1)")
    return found


class Deflate:
    """Our side of the compression. `parameters` are what was agreed on."""

    def __init__(self, bits=15, level=6, parameters=None):
        parameters = parameters or {}
        bits = min(bits, int(parameters.get("client_max_window_bits") or 15))
        self.make = lambda: zlib.compressobj(level, zlib.DEFLATED, -bits)
        self.stream = self.make()
        self.forgets = "client_no_context_takeover" in parameters

    def message(self, payload):
        if self.forgets:
            self.stream = self.make()
        data = self.stream.compress(payload) + self.stream.flush(zlib.Z_SYNC_FLUSH)
        return data[: -len(TAIL)]


# ---- The cases ---------------------------------------------------------------------------------------------------------

CASES = []


def case(name):
    def add(run):
        CASES.append((name, run))
        return run

    return add


def fails(name, data, *codes, offer=None):
    """These bytes end the connection with one of these codes."""

    @case(name)
    def run(server):
        client = Client(server, offer)
        client.send(data() if callable(data) else data)
        client.closed(*codes)


def echoes(name, *parts, offer=None):
    """These bytes hold our ping number 1, which is answered."""

    @case(name)
    def run(server):
        client = Client(server, offer)
        client.send(*parts)
        client.echo()
        client.goodbye()


def pieces(payload, *cuts, opcode=TEXT, rsv=0, between=b""):
    """A message in fragments, cut at these places."""
    edges = [0, *cuts, len(payload)]
    parts = [payload[a:b] for a, b in zip(edges, edges[1:])]
    last = len(parts) - 1
    return b"".join(
        (between if i else b"") + frame(opcode if i == 0 else 0, part, fin=i == last, rsv=rsv if i == 0 else 0) for i, part in enumerate(parts)
    )


def handshake_cases():
    @case("1 handshake: the hash of the key, one of our subprotocols")
    def _(server):
        client = Client(server, protocols="chat, yizhan.v1.json")
        expect(client.headers.get("sec-websocket-protocol") == "yizhan.v1.json", f"subprotocol {client.headers.get('sec-websocket-protocol')}")
        expect(client.headers.get("upgrade", "").lower() == "websocket", "no Upgrade: websocket (4.2.2)")
        expect("upgrade" in client.headers.get("connection", "").lower(), "no Connection: Upgrade (4.2.2)")
        client.goodbye()

    @case("1 handshake: no subprotocol asked, none answered")
    def _(server):
        client = Client(server, protocols=None)
        expect("sec-websocket-protocol" not in client.headers, "a subprotocol that nobody asked for (4.2.2)")
        client.goodbye()

    @case("1 handshake: only unknown subprotocols: refused, or none chosen")
    def _(server):
        try:
            client = Client(server, protocols="chat, soap", hello=False)
        except Refused as refused:
            expect(refused.status == 400, f"HTTP {refused.status}")
        else:
            expect("sec-websocket-protocol" not in client.headers, "a subprotocol that nobody asked for (4.2.2)")

    @case("1 handshake: CBOR by subprotocol")
    def _(server):
        client = Client(server, protocols="yizhan.v1.cbor", hello=False)
        expect(client.headers.get("sec-websocket-protocol") == "yizhan.v1.cbor", "not chosen")
        client.send(frame(BINARY, b"\xa2dtypedpingbid\x01"))
        while True:
            opcode, payload = client.event()
            expect(opcode == BINARY, f"opcode {opcode} with {payload!r}")
            if b"dpong" in payload or b"cbid" in payload or b"ere\x01" in payload or b"bre\x01" in payload:
                break
        client.goodbye()

    @case("1 handshake: Upgrade and Connection in any case, among others")
    def _(server):
        Client(server, headers={"Upgrade": "WebSocket", "Connection": "keep-alive, UPGRADE"}).goodbye()

    @case("1 handshake: frames in the same segment as the request")
    def _(server):
        client = Client(server, hello=False, first=frame(TEXT, b'{"type":"hello","id":0}') + frame(TEXT, ping_command(1)))
        if not server.token:
            client.echo()

    def refuses(name, statuses, **how):
        @case(f"1 handshake: {name}: refused")
        def _(server):
            try:
                Client(server, hello=False, **how)
            except Refused as refused:
                expect(refused.status in statuses, f"HTTP {refused.status}, not {statuses}")
                if refused.status == 426 and "Sec-WebSocket-Version" in how.get("headers", {}):
                    expect(refused.headers.get("sec-websocket-version") == "13", "426 does not name version 13 (4.4)")
            else:
                raise Wrong("it was upgraded")

    refuses("version 12", (426, 400), headers={"Sec-WebSocket-Version": "12"})
    refuses("no version", (400, 426), drop=["Sec-WebSocket-Version"])
    refuses("no key", (400,), drop=["Sec-WebSocket-Key"])
    refuses("a key that is not 16 bytes", (400,), headers={"Sec-WebSocket-Key": "AAAA"})
    refuses("no Upgrade", (400, 404, 426), drop=["Upgrade"])
    refuses("no Connection", (400, 404, 426), drop=["Connection"])
    refuses("POST", (400, 404, 405), method="POST", headers={"Content-Length": "0"})


def framing_cases():
    for size in (40, 125, 126, 127, 128, 65535, 65536, 65537, 300_000, LIMIT):
        echoes(f"2 framing: a message of {size} bytes", frame(TEXT, ping_command(1, size=size)))
    echoes("2 framing: a mask of zeros", frame(TEXT, ping_command(1), key=b"\0\0\0\0"))

    @case("2 framing: byte by byte")
    def _(server):
        client = Client(server)
        client.octets(frame(TEXT, ping_command(1)))
        client.echo()
        client.octets(frame(TEXT, ping_command(2, size=200)))
        client.echo(2)
        client.goodbye()

    @case("2 framing: a hundred messages in one segment, answered in order")
    def _(server):
        client = Client(server)
        client.send(b"".join(frame(TEXT, ping_command(number)) for number in range(1, 101)))
        for number in range(1, 101):
            client.echo(number)
        client.goodbye()

    fails("2 framing: 16-bit length for 40 bytes", frame(TEXT, ping_command(1, size=40), length_form=16), 1002)
    fails("2 framing: 64-bit length for 40 bytes", frame(TEXT, ping_command(1, size=40), length_form=64), 1002)
    fails("2 framing: 64-bit length for 300 bytes", frame(TEXT, ping_command(1, size=300), length_form=64), 1002)
    fails("2 framing: a length with its highest bit set", b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, 1002, 1009)
    for name, opcode in (("text", TEXT), ("ping", PING), ("pong", PONG), ("close", CLOSE)):
        payload = ping_command(1) if opcode == TEXT else b""
        fails(f"2 framing: {name} without a mask", frame(opcode, payload, mask=False), 1002)
    fails("2 framing: a continuation without a mask", frame(TEXT, b"{", fin=False) + frame(0, b"}", mask=False), 1002)
    fails("2 framing: binary on a JSON connection", frame(BINARY, ping_command(1)), 1003)

    @case("2 framing: text on a CBOR connection")
    def _(server):
        client = Client(server, protocols="yizhan.v1.cbor", hello=False)
        client.text(ping_command(1))
        client.closed(1003)


def ping_cases():
    def pongs(name, payload, chop=False):
        @case(f"3 ping: {name}")
        def _(server):
            client = Client(server)
            (client.octets if chop else client.send)(frame(PING, payload))
            while True:
                opcode, answer = client.event()
                if opcode == PONG:
                    break
            expect(answer == payload, f"pong with {answer!r}")
            client.goodbye()

    pongs("empty", b"")
    pongs("with text", b"Hello, world!")
    pongs("with bytes that are no UTF-8", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")
    pongs("125 bytes", b"\xfe" * 125)
    pongs("125 bytes, byte by byte", b"\xfe" * 125, chop=True)
    fails("3 ping: 126 bytes", frame(PING, b"\xfe" * 126), 1002)
    fails("3 pong: 126 bytes", frame(PONG, b"\xfe" * 126), 1002)
    echoes("3 pong: unasked, empty: passed over", frame(PONG), frame(TEXT, ping_command(1)))
    echoes("3 pong: unasked, with payload: passed over", frame(PONG, b"nobody asked"), frame(TEXT, ping_command(1)))

    @case("3 ping: ten in one segment, pongs in order up to the last")
    def _(server):
        client = Client(server)
        client.send(b"".join(frame(PING, b"%d" % i) for i in range(10)))
        seen = []
        while seen[-1:] != [9]:
            opcode, answer = client.event()
            if opcode == PONG:
                seen.append(int(answer))
        expect(seen == sorted(set(seen)), f"pongs {seen} (5.5.3)")
        client.goodbye()


def reserved_cases():
    for rsv in range(1, 8):
        fails(f"4 reserved bits {rsv:03b} on text", frame(TEXT, ping_command(1), rsv=rsv), 1002)
    for rsv in (1, 2, 4):
        fails(f"4 reserved bits {rsv:03b} on ping", frame(PING, b"x", rsv=rsv), 1002)
        fails(f"4 reserved bits {rsv:03b} on close", frame(CLOSE, struct.pack("!H", 1000), rsv=rsv), 1002)
        fails(f"4 reserved bits {rsv:03b} on a continuation", frame(TEXT, b"{", fin=False) + frame(0, b"}", rsv=rsv), 1002)

    @case("4 reserved bits after a good message: that one is answered")
    def _(server):
        client = Client(server)
        client.text(ping_command(1))
        client.echo()
        client.send(frame(TEXT, ping_command(2), rsv=1), frame(PING))
        client.closed(1002)

    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        fails(f"4 reserved opcode {opcode}, empty", frame(opcode), 1002)
        fails(f"4 reserved opcode {opcode}, with payload", frame(opcode, b"hello"), 1002)


def fragment_cases():
    payload = ping_command(1, pad="x" * 50)
    echoes("5 fragments: two", pieces(payload, 20))
    echoes("5 fragments: every byte alone", pieces(payload, *range(1, len(payload))))
    echoes("5 fragments: empty ones first, between and last", pieces(payload, 0, 10, 10, 20, len(payload), len(payload)))
    echoes("5 fragments: 2,000 empty ones", pieces(payload, *[5] * 2000))

    @case("5 fragments: two, byte by byte")
    def _(server):
        client = Client(server)
        client.octets(pieces(payload, 20))
        client.echo()
        client.goodbye()

    for count in (1, 3):

        @case(f"5 fragments: {count} pings between: answered before the message")
        def _(server, count=count):
            client = Client(server)
            client.send(pieces(payload, *range(10, 10 + count), between=frame(PING, b"between")))
            seen = []
            while "message" not in seen:
                opcode, data = client.event()
                if opcode == PONG:
                    expect(data == b"between", f"pong with {data!r}")
                seen.append("pong" if opcode == PONG else "message")
            expect(seen == ["pong"] * count + ["message"], f"came as {seen}")
            client.goodbye()

    @case("5 fragments: a ping between is answered while the message is still open")
    def _(server):
        client = Client(server)
        client.send(frame(TEXT, payload[:10], fin=False), frame(PING, b"now"))
        opcode, data = client.event()
        expect((opcode, data) == (PONG, b"now"), f"opcode {opcode} with {data!r}")
        client.send(frame(0, payload[10:]))
        client.echo()
        client.goodbye()

    @case("5 fragments: close between them")
    def _(server):
        client = Client(server)
        client.send(frame(TEXT, payload[:10], fin=False))
        client.goodbye()

    for name, opcode in (("ping", PING), ("pong", PONG), ("close", CLOSE)):
        fails(f"5 fragments: {name} in fragments", frame(opcode, b"", fin=False) + frame(0, b""), 1002)
    fails("5 fragments: a continuation of nothing, last", frame(0, payload), 1002)
    fails("5 fragments: a continuation of nothing, not last", frame(0, payload, fin=False), 1002)
    fails("5 fragments: a continuation after a whole message", frame(TEXT, payload) + frame(0, payload), 1002)
    fails("5 fragments: text within text", frame(TEXT, payload[:10], fin=False) + frame(TEXT, payload), 1002)
    fails("5 fragments: binary within text", frame(TEXT, payload[:10], fin=False) + frame(BINARY, payload), 1002)
    fails("5 fragments: text within text, unfinished", frame(TEXT, payload[:10], fin=False) + frame(TEXT, payload, fin=False), 1002)


# What is UTF-8 and what is not (RFC 3629, and Markus Kuhn's stress test as the idea).
GOOD_UTF8 = {
    "Greek": "κόσμε", "Chinese and a face": "驿站 👋🏽", "first of 2 bytes": "\u0080", "first of 3 bytes": "\u0800", "first of 4 bytes": "\U00010000",
    "last of 1 byte": "\x7f", "last of 2 bytes": "\u07ff", "last of 3 bytes": "\uffff", "last of all": "\U0010ffff", "before the surrogates": "\ud7ff",
    "after the surrogates": "\ue000", "replacement character": "\ufffd", "noncharacters": "\ufffe\uffff\U0001fffe\U0010fffe\ufdd0", "BOM inside": "a\ufeffb",
}
BAD_UTF8 = {
    "first continuation byte": b"\x80", "last continuation byte": b"\xbf", "two continuation bytes": b"\x80\xbf", "six continuation bytes": b"\x80\xbf\x80\xbf\x80\xbf",
    "2-byte start and space": b"\xc3 ", "3-byte start and space": b"\xe0 ", "4-byte start and space": b"\xf0 ",
    "3 bytes without the last": b"\xe4\xbd ", "4 bytes without the last": b"\xf0\x9f\x91 ",
    "C0": b"\xc0\x80", "C1": b"\xc1\xbf", "F5": b"\xf5\x80\x80\x80", "F8": b"\xf8\x88\x80\x80\x80", "FC": b"\xfc\x84\x80\x80\x80\x80", "FE": b"\xfe", "FF": b"\xff",
    "FE FE FF FF": b"\xfe\xfe\xff\xff", "overlong / in 2": b"\xc0\xaf", "overlong / in 3": b"\xe0\x80\xaf", "overlong / in 4": b"\xf0\x80\x80\xaf",
    "overlong / in 5": b"\xf8\x80\x80\x80\xaf", "overlong / in 6": b"\xfc\x80\x80\x80\x80\xaf", "overlong maximum in 2": b"\xc1\xbf",
    "overlong maximum in 3": b"\xe0\x9f\xbf", "overlong maximum in 4": b"\xf0\x8f\xbf\xbf", "overlong NUL in 3": b"\xe0\x80\x80",
    "surrogate D800": b"\xed\xa0\x80", "surrogate DB7F": b"\xed\xad\xbf", "surrogate DB80": b"\xed\xae\x80", "surrogate DBFF": b"\xed\xaf\xbf",
    "surrogate DC00": b"\xed\xb0\x80", "surrogate DFFF": b"\xed\xbf\xbf", "surrogate pair": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond the last": b"\xf4\x90\x80\x80", "Greek and bad": "κόσμε".encode() + b"\xed\xa0\x80" + b"edited",
}


def utf8_cases():
    for name, text in GOOD_UTF8.items():
        echoes(f"6 UTF-8: {name}", frame(TEXT, ping_command(1, pad=text)))
    mixed = ping_command(1, pad="aκ驿👋")
    for cut in range(1, len(mixed)):
        if mixed[cut] & 0xC0 == 0x80:
            echoes(f"6 UTF-8: fragments cut inside a code point, at {cut}", pieces(mixed, cut))
    echoes("6 UTF-8: every byte its own fragment", pieces(mixed, *range(1, len(mixed))))
    echoes("6 UTF-8: cut inside a code point, with a ping between", pieces(mixed, len(mixed) - 4, between=frame(PING)))

    def bad(payload):
        return b'{"type":"ping","id":1,"pad":"' + payload + b'"}'

    for name, payload in BAD_UTF8.items():
        fails(f"6 UTF-8: bad: {name}", frame(TEXT, bad(payload)), 1007)
    for name, payload in (("2", b"\xce"), ("3", b"\xe9\xa9"), ("4", b"\xf0\x9f\x91")):
        fails(f"6 UTF-8: bad: a message that ends inside {name} bytes", frame(TEXT, b'"' + payload), 1007)
        fails(f"6 UTF-8: bad: the same in fragments ({name})", frame(TEXT, b'"' + payload, fin=False) + frame(0), 1007)
    fails("6 UTF-8: bad: split so that each half looks like a start", pieces(bad(b"\xf4\x90\x80\x80"), 30), 1007)

    def fast(name, first, rest):
        @case(f"6 UTF-8: fails at once: {name}")
        def _(server):
            client = Client(server)
            client.send(first)
            try:
                code = client.until_close(EARLY)
            except Wrong:
                client.send(rest)
                client.closed(1007)
                raise Late("only when the message was complete") from None
            expect(code == 1007, f"closed with {code}")

    start = b'{"pad":"' + b"\xf4\x90"
    fast("in the first of two fragments", frame(TEXT, start, fin=False), frame(0, b'\x80\x80"}'))
    whole = frame(TEXT, start + b'\x80\x80"}' + b" " * 40)
    fast("in the middle of a frame", whole[:20], whole[20:])


def close_cases():
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):

        @case(f"7 close: {code} is answered")
        def _(server, code=code):
            client = Client(server)
            client.send(frame(CLOSE, struct.pack("!H", code)))
            # 1012 to 1014 were registered after the RFC: a server may not know them.
            client.closed(code, 1000, *([1002] if 1012 <= code <= 1014 else []))

    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        fails(f"7 close: {code} is no code", frame(CLOSE, struct.pack("!H", code)), 1002)

    @case("7 close: without a code")
    def _(server):
        client = Client(server)
        client.send(frame(CLOSE))
        client.closed(None, 1000)

    @case("7 close: with the longest reason")
    def _(server):
        client = Client(server)
        client.send(frame(CLOSE, struct.pack("!H", 1000) + "é".encode() * 61 + b"!"))
        client.closed(1000)

    fails("7 close: half a code", frame(CLOSE, b"\x03"), 1002)
    fails("7 close: 126 bytes", frame(CLOSE, struct.pack("!H", 1000) + b"x" * 124), 1002)
    fails("7 close: a reason that is no UTF-8", frame(CLOSE, struct.pack("!H", 1000) + b"\xce\xba\xed\xa0\x80"), 1007)

    def nothing_after(name, data):
        @case(f"7 close: {name} after it is passed over")
        def _(server):
            client = Client(server)
            client.send(frame(CLOSE, struct.pack("!H", 1000)) + data)
            seen = []
            try:
                while True:
                    seen.append(client.event())
            except EOFError:
                pass
            expect([opcode for opcode, _ in seen] == [CLOSE], f"came: {seen}")
            expect(close_code(seen[0][1]) == 1000, f"closed with {close_code(seen[0][1])}")

    nothing_after("a message", frame(TEXT, ping_command(1)))
    nothing_after("a ping", frame(PING, b"still there?"))
    nothing_after("a second close", frame(CLOSE, struct.pack("!H", 1001)))

    @case("7 close: what came before it is answered")
    def _(server):
        client = Client(server)
        client.send(frame(TEXT, ping_command(1)), frame(CLOSE, struct.pack("!H", 1000)))
        client.echo()
        client.closed(1000)

    @case("7 close: an end without one is borne")
    def _(server):
        for data in (b"", b"\x81", frame(TEXT, b"x" * 200)[:50], frame(TEXT, b"{", fin=False)):
            client = Client(server)
            client.send(data)
            client.sock.close()
        Client(server).goodbye()


def size_cases():
    fails(f"8 size: {LIMIT + 1} bytes", lambda: frame(TEXT, ping_command(1, size=LIMIT + 1)), 1009)
    fails("8 size: a frame that claims 2^40 bytes, refused by its head", b"\x81\xff" + struct.pack("!Q", 1 << 40) + b"\0" * 4, 1009)
    fails("8 size: fragments that are too much together", lambda: pieces(ping_command(1, size=LIMIT + 1000), *range(100_000, LIMIT + 1000, 100_000)), 1009)
    fails("8 size: fragments without an end", lambda: frame(TEXT, b" " * 60_000, fin=False) + frame(0, b" " * 60_000, fin=False) * 20, 1009)
    echoes("8 size: the largest in fragments", pieces(ping_command(1, size=LIMIT), *range(50_000, LIMIT, 50_000)))


def deflate_cases():
    plain = "permessage-deflate"

    def open_deflate(server, offer=plain):
        client = Client(server, offer)
        expect(client.parameters is not None, f"the offer '{offer}' was not taken")
        return client

    @case("9 deflate: offered, taken")
    def _(server):
        client = open_deflate(server)
        expect("client_max_window_bits" not in client.parameters, "client_max_window_bits was not offered (RFC 7692, 7.1.2.2)")
        client.goodbye()

    @case("9 deflate: not offered, not used")
    def _(server):
        client = Client(server)
        expect(client.extension is None, f"extension {client.extension}")
        client.goodbye()

    @case("9 deflate: messages that are not compressed are taken all the same")
    def _(server):
        client = open_deflate(server)
        client.text(ping_command(1))
        client.echo()
        client.goodbye()

    @case("9 deflate: compressed messages, the later ones with what the earlier ones had")
    def _(server):
        client = open_deflate(server)
        deflate = Deflate(parameters=client.parameters)
        sizes = []
        for number in range(1, 6):
            data = deflate.message(ping_command(number, pad="the same again and again: " + "abcdefgh" * 8))
            sizes.append(len(data))
            client.text(data, rsv=4)
            client.echo(number)
        expect(deflate.forgets or sizes[4] < sizes[0] / 2, "the case itself: no context was carried over")
        client.goodbye()

    @case("9 deflate: compressed and plain messages in turn")
    def _(server):
        client = open_deflate(server)
        deflate = Deflate(parameters=client.parameters)
        for number in range(1, 9):
            if number % 2:
                client.text(deflate.message(ping_command(number, pad="x" * 100)), rsv=4)
            else:
                client.text(ping_command(number))
            client.echo(number)
        client.goodbye()

    def round_trip(name, make, offer=plain):
        """Compressed bytes that hold our ping number 1, made by `make(payload)`."""

        @case(f"9 deflate: {name}")
        def _(server):
            client = open_deflate(server, offer)
            client.send(make(ping_command(1, pad="驿站 " * 200)))
            client.echo()
            client.text(Deflate().message(ping_command(2)), rsv=4)
            client.echo(2)
            client.goodbye()

    round_trip("in fragments", lambda payload: pieces(Deflate().message(payload), 5, 6, 20, rsv=4))
    round_trip("every byte its own fragment, pings between", lambda payload: pieces(data := Deflate().message(payload), *range(1, len(data)), rsv=4, between=frame(PING)))
    round_trip("an empty last fragment", lambda payload: pieces(data := Deflate().message(payload), len(data), rsv=4))
    round_trip("stored blocks (RFC 7692, 7.2.3.3)", lambda payload: frame(TEXT, Deflate(level=0).message(payload), rsv=4))
    round_trip("window of 9 bits", lambda payload: frame(TEXT, Deflate(bits=9).message(payload), rsv=4))

    def two_blocks(payload):
        stream = zlib.compressobj(6, zlib.DEFLATED, -15)
        data = stream.compress(payload[:20]) + stream.flush(zlib.Z_SYNC_FLUSH) + stream.compress(payload[20:]) + stream.flush(zlib.Z_SYNC_FLUSH)
        return frame(TEXT, data[: -len(TAIL)], rsv=4)

    round_trip("two blocks in a message (RFC 7692, 7.2.3.5)", two_blocks)

    @case("9 deflate: a block marked as final (RFC 7692, 7.2.3.4)")
    def _(server):
        client = open_deflate(server)
        for number in (1, 2):
            stream = zlib.compressobj(6, zlib.DEFLATED, -15)
            client.text(stream.compress(ping_command(number, pad="x" * 100)) + stream.flush(zlib.Z_FINISH) + b"\0", rsv=4)
            client.echo(number)
        client.goodbye()

    @case("9 deflate: large, both ways")
    def _(server):
        client = open_deflate(server)
        command = {"type": "publish", "id": 2, "topic": "clients/autobahn", "text": "驿" * 200_000}
        client.text(json.dumps({"type": "subscribe", "id": 1, "sub": 1, "filter": "clients/autobahn"}).encode())
        client.answer(1)
        client.text(Deflate().message(json.dumps(command, ensure_ascii=False).encode()), rsv=4)
        while True:
            opcode, payload = client.event()
            expect(opcode == TEXT, f"opcode {opcode}")
            events = json.loads(payload.decode())
            for event in events if isinstance(events, list) else [events]:
                if event.get("type") == "records":
                    expect(event["records"][0]["text"] == command["text"], "it came changed")
                    return client.goodbye()

    def server_talks(client, count=20):
        """Answers of some size, so that the server compresses if it ever does."""
        deflate = None if client.parameters is None else Deflate(parameters=client.parameters)
        for number in range(1, count + 1):
            payload = json.dumps([{"type": "ping", "id": number * 100 + i} for i in range(40)]).encode()
            if deflate:
                client.text(deflate.message(payload), rsv=4)
            else:
                client.text(payload)
            client.echo(number * 100 + 39)
        client.goodbye()

    for bits in range(8, 16):

        @case(f"9 deflate: server_max_window_bits={bits}: kept, or the offer is declined")
        def _(server, bits=bits):
            client = Client(server, f"{plain}; server_max_window_bits={bits}")
            if client.parameters is not None:
                got = client.parameters.get("server_max_window_bits")
                expect(got is not None and int(got) <= bits, f"answered server_max_window_bits={got} (RFC 7692, 7.1.2.1)")
            server_talks(client)

    for offer in ("client_max_window_bits", *(f"client_max_window_bits={bits}" for bits in range(8, 16))):

        @case(f"9 deflate: {offer}")
        def _(server, offer=offer):
            client = open_deflate(server, f"{plain}; {offer}")
            bits = client.parameters.get("client_max_window_bits")
            if "=" in offer and bits:
                expect(int(bits) <= int(offer.split("=")[1]), f"answered {bits} (RFC 7692, 7.1.2.2)")
            if bits == "8":
                return client.goodbye()  # zlib cannot make such.
            server_talks(client)

    for offer in (
        "server_no_context_takeover", "client_no_context_takeover", "server_no_context_takeover; client_no_context_takeover",
        "server_no_context_takeover; client_no_context_takeover; client_max_window_bits; server_max_window_bits=10", 'client_max_window_bits="12"',
    ):

        @case(f"9 deflate: {offer}")
        def _(server, offer=offer):
            client = Client(server, f"{plain}; {offer}")
            if client.parameters is not None and "server_no" in offer:
                expect("server_no_context_takeover" in client.parameters, "taken, but not promised (RFC 7692, 7.1.1.1)")
            server_talks(client)

    for offer in (
        "server_max_window_bits=7", "server_max_window_bits=16", "server_max_window_bits=08", "server_max_window_bits=x", "server_max_window_bits",
        "client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=1000000", "server_no_context_takeover=1", "client_no_context_takeover=1", "unknown",
        "server_no_context_takeover; server_no_context_takeover", "client_max_window_bits; client_max_window_bits=9",
    ):

        @case(f"9 deflate: bad offer, declined: {offer}")
        def _(server, offer=offer):
            client = Client(server, f"{plain}; {offer}")
            expect(client.parameters is None, f"taken as {client.extension} (RFC 7692, 7.1)")
            client.text(ping_command(1))
            client.echo()
            client.goodbye()

    @case("9 deflate: of several offers, the first good one")
    def _(server):
        open_deflate(server, f"x-unknown, {plain}; server_max_window_bits=99, {plain}; server_no_context_takeover, {plain}").goodbye()

    @case("9 deflate: only unknown extensions: none")
    def _(server):
        client = Client(server, "x-webkit-deflate-frame, permessage-foo; x=1")
        expect(client.extension is None, f"extension {client.extension}")
        client.goodbye()

    message = Deflate().message(ping_command(1))
    fails("9 deflate: RSV1 where nothing was negotiated", frame(TEXT, message, rsv=4), 1002)
    for rsv in (1, 2, 5, 6):
        fails(f"9 deflate: reserved bits {rsv:03b}", frame(TEXT, message, rsv=rsv), 1002, offer=plain)
    fails("9 deflate: RSV1 on ping", frame(PING, b"x", rsv=4), 1002, offer=plain)
    fails("9 deflate: RSV1 on close", frame(CLOSE, struct.pack("!H", 1000), rsv=4), 1002, offer=plain)
    fails("9 deflate: RSV1 on a continuation", frame(TEXT, message[:5], fin=False, rsv=4) + frame(0, message[5:], rsv=4), 1002, offer=plain)
    fails("9 deflate: RSV1 only on a continuation", frame(TEXT, b"{", fin=False) + frame(0, message, rsv=4), 1002, offer=plain)
    # RFC 7692 names no code for bad data; 1007 and 1002 both say it.
    bad = (1002, 1007)
    fails("9 deflate: plain text that says it is compressed", frame(TEXT, ping_command(1), rsv=4), *bad, offer=plain)
    fails("9 deflate: a reserved block type", frame(TEXT, b"\x07\xff\xff\xff", rsv=4), *bad, offer=plain)
    fails("9 deflate: a stored block whose length lies", frame(TEXT, b"\x00\x05\x00\x00\x00hello", rsv=4), *bad, offer=plain)
    fails("9 deflate: a distance before the beginning", frame(TEXT, b"\x03\xf8\x00", rsv=4), *bad, offer=plain)
    fails("9 deflate: noise", lambda: frame(TEXT, random.Random(1).randbytes(500), rsv=4), *bad, offer=plain)
    fails("9 deflate: cut off in the middle", frame(TEXT, Deflate().message(ping_command(1, pad="abc" * 300))[:30], rsv=4), *bad, offer=plain)
    fails("9 deflate: an empty message is no frame of ours", frame(TEXT, b"\0", rsv=4), *bad, offer=plain)
    fails("9 deflate: bad UTF-8 inside", frame(TEXT, Deflate().message(b'{"type":"ping","pad":"\xed\xa0\x80"}'), rsv=4), 1007, offer=plain)

    def bomb(megabytes):
        stream = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = b"".join(stream.compress(b" " * 1_000_000) for _ in range(megabytes)) + stream.flush(zlib.Z_SYNC_FLUSH)
        return data[: -len(TAIL)]

    fails("9 deflate: a bomb of 10 MB in 10 kB", lambda: frame(TEXT, bomb(10), rsv=4), 1009, offer=plain)
    fails("9 deflate: a bomb of 500 MB in 500 kB", lambda: frame(TEXT, bomb(500), rsv=4), 1009, offer=plain)
    fails("9 deflate: a bomb in fragments", lambda: pieces(bomb(20), *range(1000, 19000, 1000), rsv=4), 1009, offer=plain)
    fails("9 deflate: one byte too many when inflated", lambda: frame(TEXT, Deflate().message(ping_command(1, size=LIMIT + 1)), rsv=4), 1009, offer=plain)

    @case("9 deflate: the largest when inflated")
    def _(server):
        client = open_deflate(server)
        client.text(Deflate().message(ping_command(1, size=LIMIT)), rsv=4)
        client.echo()
        client.goodbye()


def noise_cases():
    @case("10 noise: 200 connections of it, and everybody else is served")
    def _(server):
        chance = random.Random(6455)
        watcher = Client(server)
        for round_ in range(200):
            client = Client(server, chance.choice([None, "permessage-deflate"]), hello=False)
            data = bytearray(frame(TEXT, ping_command(1, pad="x" * chance.randrange(300))) * 3)
            for _ in range(chance.randrange(1, 30)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            client.send(bytes(data))
            client.sock.close()
        for number in range(1, 4):
            watcher.text(ping_command(number))
            watcher.echo(number)
        watcher.goodbye()

    @case("10 noise: what is no JSON, or no frame of ours")
    def _(server):
        for payload in (b"", b"{", b"nul", b'{"type":"ping"', b"5", b'"ping"', b"[[]]", b"\xef\xbb\xbf{}", b'{"type":"ping"} x'):
            client = Client(server)
            client.text(payload)
            client.closed(1002)


class Server:
    def __init__(self, url, token):
        parts = urlsplit(url)
        expect(parts.scheme == "ws", "the address begins with ws://")
        self.host, self.port, self.path, self.token = parts.hostname, parts.port or 80, parts.path or "/v1/socket", token


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("url")
    arguments.add_argument("--token")
    arguments.add_argument("--only", default="", help="only cases with this in their name")
    arguments.add_argument("--quiet", action="store_true", help="only failures")
    wanted = arguments.parse_args()
    server = Server(wanted.url, wanted.token)
    for group in (handshake_cases, framing_cases, ping_cases, reserved_cases, fragment_cases, utf8_cases, close_cases, size_cases, deflate_cases, noise_cases):
        group()
    passed = late = failed = 0
    for name, run in CASES:
        if wanted.only not in name:
            continue
        outcome = "ok"
        try:
            run(server)
        except Late as how:
            outcome, late = f"ok, late: {how}", late + 1
        except Wrong as why:
            outcome = f"FAILED: {why}"
        except Refused as why:
            outcome = f"FAILED: the handshake was refused: {why}"
        except EOFError:
            outcome = "FAILED: the connection ended"
        except (OSError, ValueError, zlib.error) as why:
            outcome = f"FAILED: {type(why).__name__}: {why}"
        bad = outcome.startswith("FAILED")
        failed, passed = failed + bad, passed + (not bad)
        if bad or not wanted.quiet:
            print(f"{name}: {outcome}", flush=True)
    print(f"{passed} passed, {failed} failed" + (f" ({late} of those that passed were late)" if late else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
