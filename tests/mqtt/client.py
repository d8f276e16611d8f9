"""A client that does just what a check tells it to, over TCP or WebSocket, and judges all that comes."""

import asyncio
import base64
import contextlib
import hashlib
import os
import struct

import wire
from wire import (CONNACK, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, NAMES,
                  Violation)

# How long what must happen may take, s.
PATIENCE = 10
# How long what must not happen is waited for, s.
GRACE = 0.4
# A connection that was given up ends with one of these.
ENDED = (ConnectionError, OSError, asyncio.IncompleteReadError)


class Failed(Exception):
    """The server does not do what a check says."""


class NotHere(Exception):
    """The check does not apply to this server; the text says why."""


def expect(claim, what):
    if not claim:
        raise Failed(what)


class Tcp:
    """Bytes over TCP."""

    @classmethod
    async def dial(cls, host, port, _path):
        self = cls()
        self.reader, self.writer = await asyncio.wait_for(asyncio.open_connection(host, port), PATIENCE)
        return self

    async def read(self):
        return await self.reader.read(65536)

    def write(self, data):
        self.writer.write(data)

    async def flushed(self):
        await self.writer.drain()

    def close(self):
        self.writer.close()

    def abort(self):
        self.writer.transport.abort()


class WebSocket(Tcp):
    """Bytes in the binary frames of a WebSocket (RFC 6455)."""

    @classmethod
    async def dial(cls, host, port, path):
        self = await super().dial(host, port, path)
        key = base64.b64encode(os.urandom(16)).decode()
        super(cls, self).write((
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n").encode())
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)).decode("latin-1")
        status, *lines = head.split("\r\n")
        expect(" 101 " in status, f"no WebSocket: {status}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        expect(fields.get("sec-websocket-accept") == accept, f"Sec-WebSocket-Accept is {fields.get('sec-websocket-accept')}")
        self.protocol = fields.get("sec-websocket-protocol")
        self.code = None
        return self

    def frame(self, data, opcode=2, final=True):
        mask = os.urandom(4)
        length = len(data)
        if length < 126:
            head = bytes([0x80 | length])
        else:
            head = struct.pack(">BH", 0xFE, length) if length < 65536 else struct.pack(">BQ", 0xFF, length)
        wide = mask * (length // 4 + 1)
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(wide[:length], "big")).to_bytes(length, "big")
        super().write(bytes([(0x80 if final else 0) | opcode]) + head + mask + masked)

    def write(self, data):
        self.frame(data)

    async def read(self):
        while True:
            try:
                first, second = await self.reader.readexactly(2)
                length = second & 0x7F
                if length > 125:
                    length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
                data = await self.reader.readexactly(length)
            except asyncio.IncompleteReadError:
                return b""
            opcode = first & 15
            if opcode == 8:
                self.code = int.from_bytes(data[:2], "big") if data else None
                return b""
            if opcode == 9:
                self.frame(data, 10)
            elif opcode == 1:
                raise Violation("packets came in a text frame (MQTT-6.0.0-1)")
            elif opcode in (0, 2) and data:
                return data


class Client:
    """One connection. `version` is 4 or 5."""

    def __init__(self, version, transport):
        self.version, self.transport = version, transport
        # What came and was not asked for yet.
        self.packets = []
        self.ended = False
        self.violation = None
        # What the server said of itself, and what this client said: the limits that it holds the server to.
        self.connack = None
        self.packet_maximum = None
        self.receive_maximum = 65535
        self.alias_maximum = 0
        self.problem_information = True
        self.aliases = {}
        self.unacknowledged = set()
        self.farewell = None
        self._pid = 0
        self._news = asyncio.Condition()
        self._pump = asyncio.ensure_future(self._read())

    # What comes

    async def _read(self):
        buffer = b""
        try:
            while True:
                data = await self.transport.read()
                if not data:
                    break
                buffer += data
                while True:
                    size = self._size(buffer)
                    if size is None or len(buffer) < size[0] + size[1]:
                        break
                    head, length = size
                    self._judge(wire.read(self.version, buffer[0], buffer[head:head + length], head + length))
                    buffer = buffer[head + length:]
                async with self._news:
                    self._news.notify_all()
        except ENDED:
            pass
        except Violation as error:
            self.violation = error
        self.ended = True
        if self.violation is None and buffer:
            self.violation = Violation(f"the connection ended within a packet: {buffer[:40].hex()}")
        async with self._news:
            self._news.notify_all()

    @staticmethod
    def _size(buffer):
        """How long head and body of the first packet are, if its head is there."""
        length = 0
        for i, digit in enumerate(buffer[1:5]):
            length |= (digit & 0x7F) << 7 * i
            if digit < 0x80:
                if i and digit == 0:
                    raise Violation("a remaining length is longer than it need be")
                return 2 + i, length
        if len(buffer) >= 5:
            raise Violation("a remaining length has more than four bytes")
        return None

    def _judge(self, packet):
        """The rules that hold for all that a server sends on one connection."""
        if self.farewell:
            raise Violation(f"{packet} came after DISCONNECT")
        if self.packet_maximum and packet.size > self.packet_maximum:
            raise Violation(f"{NAMES[packet.kind]} has {packet.size} bytes, the client takes {self.packet_maximum}")
        if self.connack is None and packet.kind not in (CONNACK, wire.AUTH):
            raise Violation(f"{packet} came before CONNACK")
        if self.connack is not None and packet.kind == CONNACK:
            raise Violation("a second CONNACK came")
        if not self.problem_information and packet.kind not in (PUBLISH, CONNACK, DISCONNECT) and packet.props:
            raise Violation(f"{packet} has properties for a client that wants no problem information")
        if packet.kind == CONNACK:
            self.connack = packet
        elif packet.kind == DISCONNECT:
            self.farewell = packet
        elif packet.kind == PUBLISH:
            self._judge_publish(packet)
        self.packets.append(packet)

    def _judge_publish(self, packet):
        alias = packet.get("alias")
        if alias is not None:
            if alias > self.alias_maximum:
                raise Violation(f"topic alias {alias}, the client takes {self.alias_maximum}")
            if packet.topic:
                self.aliases[alias] = packet.topic
            elif alias not in self.aliases:
                raise Violation(f"topic alias {alias} was not introduced")
            packet.topic = packet.topic or self.aliases[alias]
        if packet.qos:
            if packet.pid in self.unacknowledged and not packet.dup:
                raise Violation(f"packet identifier {packet.pid} is in use")
            self.unacknowledged.add(packet.pid)
            if len(self.unacknowledged) > self.receive_maximum:
                raise Violation(f"{len(self.unacknowledged)} messages without acknowledgement, the client takes {self.receive_maximum}")

    async def _until(self, ready, what, patience=PATIENCE):
        """Waits for something of what came; the end of the connection ends the waiting."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        async with self._news:
            while True:
                if self.violation:
                    raise self.violation
                found = ready()
                if found is not None:
                    return found
                expect(not self.ended, f"{what} did not come, the connection ended; came: {self.packets[-5:]}")
                left = end - loop.time()
                expect(left > 0, f"{what} did not come within {patience} s; came: {self.packets[-5:]}")
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), left)

    def _first(self, fits):
        for i, packet in enumerate(self.packets):
            if fits(packet):
                return self.packets.pop(i)
        return None

    async def take(self, kind, pid=None, patience=PATIENCE):
        """The first packet of a kind that came or comes, whatever else came before it."""
        fits = lambda packet: packet.kind == kind and pid in (None, packet.pid)  # noqa: E731
        return await self._until(lambda: self._first(fits), f"{NAMES[kind]}{f' #{pid}' if pid else ''}", patience)

    async def arrival(self, patience=PATIENCE):
        """The next message, not acknowledged."""
        return await self.take(PUBLISH, patience=patience)

    async def message(self, patience=PATIENCE):
        """The next message, acknowledged as its QoS asks."""
        message = await self.take(PUBLISH, patience=patience)
        await self.accept(message)
        return message

    async def messages(self, count, patience=PATIENCE):
        return [await self.message(patience) for _ in range(count)]

    async def accept(self, message):
        if message.qos == 1:
            self.ack(PUBACK, message.pid)
        elif message.qos == 2:
            self.ack(PUBREC, message.pid)
            await self.take(PUBREL, message.pid)
            self.ack(PUBCOMP, message.pid)

    async def text(self):
        """The next message's payload, as text; it is acknowledged."""
        return (await self.message()).payload.decode()

    async def nothing(self, kind=PUBLISH, grace=GRACE):
        """No packet of this kind comes, though the server had time."""
        await self.ping()
        await asyncio.sleep(grace)
        await self.ping()
        came = [packet for packet in self.packets if packet.kind == kind]
        expect(not came, f"what should not have come: {came[:3]}")

    async def closed(self, *reasons, patience=PATIENCE, told=False):
        """The server ends the connection; where it gives a reason (MQTT 5), it is one of these. `told`: it must give one."""
        await self._until(lambda: True if self.ended else None, "the end of the connection", patience)
        said = self.farewell or (self.connack if self.connack and self.connack.reason else None)
        if told and self.version == 5:
            expect(said, "the server gave no reason")
        if said and reasons and self.version == 5:
            expect(said.reason in reasons, f"the reason is 0x{said.reason:02X}, not {' or '.join(f'0x{reason:02X}' for reason in reasons)}")

    async def alive(self):
        """It answers."""
        await self.ping()

    # What goes

    def send(self, data):
        """Bytes, as they are. The other side may be gone: what follows will say so."""
        with contextlib.suppress(*ENDED):
            self.transport.write(data)

    async def flushed(self):
        with contextlib.suppress(*ENDED):
            await self.transport.flushed()

    def pid(self):
        self._pid = self._pid % 65535 + 1
        return self._pid

    def ack(self, kind, pid, reason=None, props=None):
        if kind in (PUBACK, PUBCOMP) or kind == PUBREC and (reason or 0) >= 0x80:
            self.unacknowledged.discard(pid)
        self.send(wire.ack(self.version, kind, pid, reason, props))

    async def ping(self):
        self.send(wire.packet(PINGREQ))
        await self.take(PINGRESP)

    def push(self, topic, payload=b"", qos=0, **more):
        """A PUBLISH whose acknowledgement nobody waits for. Gives the packet identifier."""
        payload = payload.encode() if isinstance(payload, str) else payload
        pid = more.pop("pid", None) or (self.pid() if qos else None)
        self.send(wire.publish(self.version, topic, payload, qos, pid, **more))
        return pid

    async def publish(self, topic, payload=b"", qos=0, **more):
        """A message, all the way. Gives the last acknowledgement. At QoS 0 the server has read it when this returns."""
        pid = self.push(topic, payload, qos, **more)
        if qos == 0:
            await self.ping()
            return None
        answer = await self.take(PUBACK if qos == 1 else PUBREC, pid)
        if qos == 2 and answer.reason < 0x80:
            self.ack(PUBREL, pid)
            return await self.take(PUBCOMP, pid)
        return answer

    async def subscribe(self, *filters, qos=2, options=0, props=(), granted=True):
        """SUBSCRIBE to filters, or to (filter, options) pairs, and its SUBACK."""
        pid = self.pid()
        pairs = [name if isinstance(name, tuple) else (name, qos | options) for name in filters]
        self.send(wire.subscribe(self.version, pid, pairs, props))
        answer = await self.take(SUBACK, pid)
        expect(len(answer.reasons) == len(pairs), f"{len(answer.reasons)} codes for {len(pairs)} filters")
        if granted:
            expect(all(code <= 2 for code in answer.reasons), f"not granted: {[hex(code) for code in answer.reasons]}")
        return answer

    async def unsubscribe(self, *filters):
        pid = self.pid()
        self.send(wire.unsubscribe(self.version, pid, filters))
        return await self.take(UNSUBACK, pid)

    # How it ends

    async def leave(self, reason=None, props=None):
        """DISCONNECT, and the end."""
        self.send(wire.disconnect(self.version, reason, props))
        await self.flushed()
        with contextlib.suppress(Failed):
            await self._until(lambda: True if self.ended else None, "the end", 2)
        self.transport.close()

    def drop(self):
        """The end without a word."""
        self.transport.abort()

    async def bury(self):
        """After a check: nothing is left open, and nothing wrong came unseen."""
        self.drop()
        self._pump.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump
        if self.violation:
            raise self.violation
