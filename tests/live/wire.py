"""RTMP by raw bytes, and FLV. Nothing here knows the server's code."""

import os
import socket
import struct
import threading
import time

# RTMP 1.0 §5.4, §7.1: message types.
SET_CHUNK_SIZE, ABORT, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW, PEER_BANDWIDTH = 1, 2, 3, 4, 5, 6
AUDIO, VIDEO, DATA, COMMAND, AGGREGATE = 8, 9, 18, 20, 22
NAMES = {1: "set chunk size", 2: "abort", 3: "acknowledgement", 4: "user control", 5: "window", 6: "peer bandwidth"}


class Closed(Exception):
    """The server has closed the connection."""


class Silent(Exception):
    """The server has not answered in time."""


# -- AMF0 ---------------------------------------------------------------------------------------------------------------

def amf(*values):
    out = bytearray()
    for value in values:
        if value is None:
            out += b"\x05"
        elif isinstance(value, bool):
            out += bytes([1, value])
        elif isinstance(value, (int, float)):
            out += b"\x00" + struct.pack(">d", value)
        elif isinstance(value, str):
            text = value.encode()
            out += (b"\x02" + struct.pack(">H", len(text)) if len(text) < 65536 else b"\x0c" + struct.pack(">I", len(text))) + text
        else:
            out += b"\x03"
            for key, inner in value.items():
                out += struct.pack(">H", len(key)) + key.encode() + amf(inner)
            out += b"\x00\x00\x09"
    return bytes(out)


def unamf(data):
    """All values; what cannot be read raises."""
    place, values = 0, []

    def object_at(place):
        found = {}
        while True:
            size = struct.unpack_from(">H", data, place)[0]
            key, place = data[place + 2:place + 2 + size].decode(), place + 2 + size
            if not key and data[place] == 9:
                return found, place + 1
            found[key], place = value_at(place)

    def value_at(place):
        kind, place = data[place], place + 1
        if kind == 0:
            return struct.unpack_from(">d", data, place)[0], place + 8
        if kind == 1:
            return bool(data[place]), place + 1
        if kind in (2, 12):
            head = ">H" if kind == 2 else ">I"
            size = struct.unpack_from(head, data, place)[0]
            place += struct.calcsize(head)
            return data[place:place + size].decode(), place + size
        if kind == 3:
            return object_at(place)
        if kind in (5, 6):
            return None, place
        if kind == 8:
            return object_at(place + 4)
        if kind == 10:
            count, place, found = struct.unpack_from(">I", data, place)[0], place + 4, []
            for _ in range(count):
                value, place = value_at(place)
                found.append(value)
            return found, place
        if kind == 11:
            return struct.unpack_from(">d", data, place)[0], place + 10
        raise ValueError(f"AMF0 type {kind}")

    while place < len(data):
        value, place = value_at(place)
        values.append(value)
    return values


# -- chunks -------------------------------------------------------------------------------------------------------------

def chunked(message, body, timestamp=0, stream=0, channel=3, size=128):
    """One message as chunks: a header of type 0, then of type 3 (§5.3.1)."""
    basic = bytes([channel]) if channel < 64 else bytes([0, channel - 64]) if channel < 320 else bytes([1, (channel - 64) & 255, (channel - 64) >> 8])
    long = timestamp >= 0xFFFFFF
    extended = struct.pack(">I", timestamp & 0xFFFFFFFF) if long else b""
    out = bytearray(basic)
    out += struct.pack(">I", 0xFFFFFF if long else timestamp)[1:] + struct.pack(">I", len(body))[1:] + bytes([message]) + struct.pack("<I", stream) + extended
    out += body[:size]
    following = bytes([basic[0] | 0xC0]) + basic[1:] + extended
    for place in range(size, len(body), size):
        out += following + body[place:place + size]
    return bytes(out)


class Rtmp:
    """One connection. What comes in is read by a thread of its own into `messages`."""

    def __init__(self, port, host="127.0.0.1", handshake=True, timeout=5, read=True, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.messages, self.closed, self.received = [], False, 0
        self.changed = threading.Condition()
        self._out, self._in, self._streams, self._buffer = 128, 128, {}, b""
        self.transaction, self.acknowledge, self._said, self.window = 0, True, 0, 2_500_000
        self._reads = read
        if handshake:
            self.handshake()
            if read:
                threading.Thread(target=self._read, daemon=True).start()

    def handshake(self):
        c1 = struct.pack(">II", 0, 0) + os.urandom(1528)
        self.socket.sendall(b"\x03" + c1)
        s = self._exactly(1 + 1536 + 1536)
        if s[0] != 3:
            raise AssertionError(f"the server's version is {s[0]}, not 3 (§5.2.2)")
        if s[1537:1541] != c1[:4] or s[1545:] != c1[8:]:
            raise AssertionError("S2 does not repeat C1 (§5.2.4)")
        self.socket.sendall(s[1:1537])

    def _exactly(self, count):
        while len(self._buffer) < count:
            more = self.socket.recv(65536)
            if not more:
                raise Closed
            self.received += len(more)
            self._buffer += more
            if self.acknowledge and self.received - self._said > self.window // 2:
                self._said = self.received
                self.socket.sendall(chunked(ACKNOWLEDGEMENT, struct.pack(">I", self.received & 0xFFFFFFFF), channel=2))
        got, self._buffer = self._buffer[:count], self._buffer[count:]
        return got

    def _read(self):
        try:
            self.socket.settimeout(None)
            while True:
                self._message()
        except (OSError, Closed):
            pass
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def _message(self):
        first = self._exactly(1)[0]
        form, channel = first >> 6, first & 63
        if channel == 0:
            channel = self._exactly(1)[0] + 64
        elif channel == 1:
            low, high = self._exactly(2)
            channel = low + 256 * high + 64
        state = self._streams.setdefault(channel, {"stamp": 0, "delta": 0, "size": 0, "type": 0, "stream": 0, "body": b"", "long": False})
        if form < 3:
            head = self._exactly((11, 7, 3)[form])
            stamp = int.from_bytes(head[:3], "big")
            if form < 2:
                state["size"], state["type"] = int.from_bytes(head[3:6], "big"), head[6]
            if form == 0:
                state["stream"] = struct.unpack("<I", head[7:11])[0]
            state["long"] = stamp == 0xFFFFFF
            if state["long"]:
                stamp = struct.unpack(">I", self._exactly(4))[0]
            if form == 0:
                state["stamp"], state["delta"] = stamp, 0
            else:
                state["delta"] = stamp
                if not state["body"]:
                    state["stamp"] += stamp
        else:
            if state["long"]:
                self._exactly(4)
            if not state["body"]:
                state["stamp"] += state["delta"]
        state["body"] += self._exactly(min(self._in, state["size"] - len(state["body"])))
        if len(state["body"]) < state["size"]:
            return
        body, state["body"] = state["body"], b""
        if state["type"] == SET_CHUNK_SIZE:
            self._in = struct.unpack(">I", body)[0] & 0x7FFFFFFF
        if state["type"] == WINDOW:
            self.window = struct.unpack(">I", body)[0]
        if state["type"] == USER_CONTROL and body[:2] == b"\x00\x06":
            self.send(USER_CONTROL, b"\x00\x07" + body[2:], channel=2)
        with self.changed:
            self.messages.append((state["type"], state["stamp"] & 0xFFFFFFFF, state["stream"], body))
            self.changed.notify_all()

    def wait(self, wanted, seconds=None, text="an answer"):
        """The first message for which `wanted(type, stamp, stream, body)` is true."""
        end = time.monotonic() + (seconds or self.timeout)
        seen = 0
        with self.changed:
            while True:
                for message in self.messages[seen:]:
                    if wanted(*message):
                        return message
                seen = len(self.messages)
                if self.closed:
                    raise Closed(f"the server closed in place of {text}")
                left = end - time.monotonic()
                if left <= 0:
                    raise Silent(f"no {text} within {seconds or self.timeout} s")
                self.changed.wait(left)

    def closes(self, seconds=5):
        """Whether the server closes within this time."""
        end = time.monotonic() + seconds
        with self.changed:
            while not self.closed and time.monotonic() < end:
                self.changed.wait(end - time.monotonic())
            return self.closed

    def raw(self, data):
        self.socket.sendall(data)

    def send(self, message, body, timestamp=0, stream=0, channel=3):
        self.raw(chunked(message, body, timestamp, stream, channel, self._out))

    def chunk_size(self, size):
        self.send(SET_CHUNK_SIZE, struct.pack(">I", size), channel=2)
        if 0 < size < 2**31:
            self._out = size

    def command(self, name, *values, stream=0, channel=3):
        self.transaction += 1
        self.send(COMMAND, amf(name, self.transaction, *values), stream=stream, channel=channel)
        return self.transaction

    def commands(self):
        """Commands that have come, as lists."""
        return [unamf(body) for message, _, _, body in list(self.messages) if message == COMMAND]

    def answer(self, number, seconds=None):
        found = self.wait(lambda message, stamp, stream, body: message == COMMAND and unamf(body)[0] in ("_result", "_error") and unamf(body)[1] == number, seconds)
        return unamf(found[3])

    def status(self, *codes, seconds=None):
        """The first onStatus, or the first with one of these codes."""
        def fits(message, stamp, stream, body):
            values = unamf(body) if message == COMMAND else []
            return bool(values) and values[0] == "onStatus" and (not codes or values[3].get("code") in codes)
        return unamf(self.wait(fits, seconds, f"status {codes}")[3])[3]

    def connect(self, app="live", port=1935, **more):
        said = {"app": app, "type": "nonprivate", "flashVer": "FMLE/3.0 (check)", "tcUrl": f"rtmp://127.0.0.1:{port}/{app}", **more}
        return self.answer(self.command("connect", said))

    def stream(self):
        return int(self.answer(self.command("createStream", None))[3])

    def publish(self, name, app="live", chunk=4096):
        """Up to the server's answer, which is given."""
        self.connect(app)
        self.command("releaseStream", None, name)
        self.command("FCPublish", None, name)
        self.number = self.stream()
        if chunk:
            self.chunk_size(chunk)
        self.command("publish", None, name, "live", stream=self.number, channel=8)
        return self.status("NetStream.Publish.Start", "NetStream.Publish.BadName", "NetStream.Publish.Denied", "NetConnection.Connect.Rejected", "NetStream.Publish.Failed")

    def play(self, name, app="live"):
        self.connect(app)
        self.number = self.stream()
        self.send(USER_CONTROL, struct.pack(">HII", 3, self.number, 1000), channel=2)
        self.command("play", None, name, -2000, stream=self.number, channel=8)

    def media(self):
        """Pictures and sound that have come."""
        return [message for message in list(self.messages) if message[0] in (AUDIO, VIDEO)]

    def close(self):
        # A socket that a thread reads from is only closed once that has returned: shut down first.
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()

    def cut(self):
        """Ends as a machine does that lost its power: with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()


# -- FLV ----------------------------------------------------------------------------------------------------------------

def tags(data, whole=False):
    """The tags of an FLV file: (type, milliseconds, body). Wrong sizes raise; a cut end does not, unless `whole`."""
    if data[:3] != b"FLV" or data[3] != 1:
        raise AssertionError(f"not FLV: {data[:9]!r}")
    place = struct.unpack_from(">I", data, 5)[0]
    if place != 9 or data[9:13] != bytes(4):
        raise AssertionError("the head has 9 bytes, and the size of the tag before the first is 0")
    place, found = 13, []
    while place + 11 <= len(data):
        kind, size = data[place], int.from_bytes(data[place + 1:place + 4], "big")
        stamp = int.from_bytes(data[place + 4:place + 7], "big") | data[place + 7] << 24
        if kind not in (AUDIO, VIDEO, DATA):
            raise AssertionError(f"a tag of type {kind} at byte {place}")
        if data[place + 8:place + 11] != bytes(3):
            raise AssertionError(f"the stream id at byte {place} is not 0")
        end = place + 11 + size
        if end + 4 > len(data):
            break
        if struct.unpack_from(">I", data, end)[0] != size + 11:
            raise AssertionError(f"the size of the tag at byte {place} is {size + 11}, not {struct.unpack_from('>I', data, end)[0]} as is said behind it")
        found.append((kind, stamp, data[place + 11:end]))
        place = end + 4
    if whole and place != len(data):
        raise AssertionError(f"{len(data) - place} bytes too many")
    return found


def is_head(kind, body):
    """A sequence header: the codec's configuration."""
    return kind == VIDEO and body[0] & 0x0F == 7 and body[1] == 0 or kind == AUDIO and body[0] >> 4 == 10 and body[1] == 0


def is_key(kind, body):
    return kind == VIDEO and body[0] >> 4 == 1 and not is_head(kind, body)


class Pusher:
    """Publishes a file's tags in real time, again and again, until it is stopped."""

    def __init__(self, port, name, source, app="live", speed=1.0, begin=0, connection=None, chunk=4096, ahead=0.0):
        self.port, self.name, self.source = port, name, source
        self.rtmp = connection or Rtmp(port)
        self.begin, self.speed, self.ahead = begin, speed, ahead
        self.stamp, self.sent, self.error = begin, 0, None
        self._stop, self._swap = threading.Event(), None
        self.answer = self.rtmp.publish(name, app, chunk)
        if self.answer["code"] != "NetStream.Publish.Start":
            self.rtmp.close()
            raise AssertionError(f"publishing {name}: {self.answer}")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def swap(self, source):
        """Goes on with other media at the end of the round."""
        self._swap = source

    def _run(self):
        began, media = time.monotonic(), self.begin
        try:
            while not self._stop.is_set():
                source, base = self.source, self.stamp_of_round()
                for kind, stamp, body in source.tags:
                    now = base + stamp
                    wait = (now - media) / 1000 / self.speed - self.ahead - (time.monotonic() - began)
                    if wait > 0 and self._stop.wait(wait):
                        return
                    self.rtmp.send(kind, body, now & 0xFFFFFFFF, self.rtmp.number, {AUDIO: 4, VIDEO: 6, DATA: 5}[kind])
                    self.sent += 1
                self._round = base + source.length
                if self._swap is not None:
                    self.source, self._swap = self._swap, None
        except OSError as error:
            self.error = error

    _round = None

    def stamp_of_round(self):
        return self.begin if self._round is None else self._round

    def stop(self):
        """As an encoder ends: no grace time."""
        self._stop.set()
        self._thread.join(5)
        try:
            self.rtmp.command("FCUnpublish", None, self.name)
            self.rtmp.command("deleteStream", None, self.rtmp.number)
        except OSError:
            pass
        time.sleep(0.05)
        self.rtmp.close()

    def cut(self):
        self._stop.set()
        self._thread.join(5)
        try:
            self.rtmp.cut()
        except OSError:
            pass
