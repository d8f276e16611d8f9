"""MQTT 3.1.1 and 5.0 as bytes: packets are built as the caller says, wrong ones too, and read strictly.

Everything a server sends goes through `read`, which raises Violation where a packet is not as the standards have it:
flags, lengths, UTF-8, properties that do not belong there or come twice, reason codes that the packet does not have.
"""

import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
NAMES = {
    1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 5: "PUBREC", 6: "PUBREL", 7: "PUBCOMP", 8: "SUBSCRIBE",
    9: "SUBACK", 10: "UNSUBSCRIBE", 11: "UNSUBACK", 12: "PINGREQ", 13: "PINGRESP", 14: "DISCONNECT", 15: "AUTH",
}
# The flags that a packet of each kind has where they are reserved.
FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}
WILL = "will"

# Properties: name, identifier, form, the packets that have them (MQTT 5, 2.2.2.2).
_PROPERTIES = [
    ("payload_format", 0x01, "byte", {PUBLISH, WILL}),
    ("message_expiry", 0x02, "four", {PUBLISH, WILL}),
    ("content_type", 0x03, "string", {PUBLISH, WILL}),
    ("response_topic", 0x08, "string", {PUBLISH, WILL}),
    ("correlation_data", 0x09, "binary", {PUBLISH, WILL}),
    ("subscription_id", 0x0B, "varint", {PUBLISH, SUBSCRIBE}),
    ("session_expiry", 0x11, "four", {CONNECT, CONNACK, DISCONNECT}),
    ("assigned_id", 0x12, "string", {CONNACK}),
    ("server_keep_alive", 0x13, "two", {CONNACK}),
    ("auth_method", 0x15, "string", {CONNECT, CONNACK, AUTH}),
    ("auth_data", 0x16, "binary", {CONNECT, CONNACK, AUTH}),
    ("request_problem", 0x17, "byte", {CONNECT}),
    ("will_delay", 0x18, "four", {WILL}),
    ("request_response", 0x19, "byte", {CONNECT}),
    ("response_information", 0x1A, "string", {CONNACK}),
    ("server_reference", 0x1C, "string", {CONNACK, DISCONNECT}),
    ("reason", 0x1F, "string", {CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, DISCONNECT, AUTH}),
    ("receive_maximum", 0x21, "two", {CONNECT, CONNACK}),
    ("alias_maximum", 0x22, "two", {CONNECT, CONNACK}),
    ("alias", 0x23, "two", {PUBLISH}),
    ("maximum_qos", 0x24, "byte", {CONNACK}),
    ("retain_available", 0x25, "byte", {CONNACK}),
    ("user", 0x26, "pair", set(NAMES) - {PINGREQ, PINGRESP} | {WILL}),
    ("packet_maximum", 0x27, "four", {CONNECT, CONNACK}),
    ("wildcards_available", 0x28, "byte", {CONNACK}),
    ("ids_available", 0x29, "byte", {CONNACK}),
    ("shared_available", 0x2A, "byte", {CONNACK}),
]
BY_NAME = {name: (identifier, form) for name, identifier, form, _ in _PROPERTIES}
BY_ID = {identifier: (name, form, where) for name, identifier, form, where in _PROPERTIES}

# The reason codes that a server may send (MQTT 5, 2.4 and chapter 3; the two differ on DISCONNECT with 0x8C).
_ACK = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS = {
    CONNACK: {0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
              0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    PUBACK: _ACK, PUBREC: _ACK, PUBREL: {0x00, 0x92}, PUBCOMP: {0x00, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0x00, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
                 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2, 0x80},
    AUTH: {0x00, 0x18},
}


class Violation(Exception):
    """A server sent what no server may send."""


# Building


def varint(number):
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def binary(data):
    return struct.pack(">H", len(data)) + data


def string(text):
    """Text, or bytes that claim to be text."""
    return binary(text.encode() if isinstance(text, str) else text)


def _value(form, value):
    if form == "pair":
        return string(value[0]) + string(value[1])
    if form in ("string", "binary"):
        return string(value)
    return varint(value) if form == "varint" else struct.pack({"byte": ">B", "two": ">H", "four": ">I"}[form], value)


def properties(pairs=()):
    """Properties as (name, value) pairs in their order; bytes are taken as they are, length included."""
    if isinstance(pairs, bytes):
        return pairs
    body = b""
    for name, value in pairs:
        identifier, form = BY_NAME[name]
        body += varint(identifier) + _value(form, value)
    return varint(len(body)) + body


def packet(kind, body=b"", flags=None):
    first = kind << 4 | (FLAGS.get(kind, 0) if flags is None else flags)
    return bytes([first]) + varint(len(body)) + body


def connect(version, client_id, clean=True, keep_alive=60, will=None, user=None, password=None, props=(), name="MQTT",
            level=None, flags=None, tail=b""):
    """A CONNECT; `will` is a Will, `flags` are set besides those that follow from the rest, `tail` comes after it all."""
    bits = 2 if clean else 0
    payload = string(client_id)
    if will:
        bits |= 4 | will.qos << 3 | (32 if will.retain else 0)
        payload += (properties(will.props) if version == 5 else b"") + string(will.topic) + binary(will.payload)
    if user is not None:
        bits |= 128
        payload += string(user)
    if password is not None:
        bits |= 64
        payload += string(password)
    bits |= flags or 0
    head = string(name) + bytes([version if level is None else level, bits]) + struct.pack(">H", keep_alive)
    return packet(CONNECT, head + (properties(props) if version == 5 else b"") + payload + tail)


class Will:
    def __init__(self, topic, payload=b"gone", qos=0, retain=False, props=()):
        self.topic, self.payload, self.qos, self.retain, self.props = topic, payload, qos, retain, props


def publish(version, topic, payload=b"", qos=0, pid=None, retain=False, dup=False, props=()):
    body = string(topic) + (b"" if pid is None else struct.pack(">H", pid))
    body += (properties(props) if version == 5 else b"") + payload
    return packet(PUBLISH, body, (8 if dup else 0) | qos << 1 | (1 if retain else 0))


def ack(version, kind, pid, reason=None, props=None, flags=None):
    """PUBACK, PUBREC, PUBREL or PUBCOMP; the short form where no reason is given."""
    body = struct.pack(">H", pid)
    if version == 5 and reason is not None:
        body += bytes([reason]) + (b"" if props is None else properties(props))
    return packet(kind, body, flags)


def subscribe(version, pid, filters, props=(), flags=None):
    """`filters` are (filter, options byte) pairs."""
    body = struct.pack(">H", pid) + (properties(props) if version == 5 else b"")
    return packet(SUBSCRIBE, body + b"".join(string(name) + bytes([options]) for name, options in filters), flags)


def unsubscribe(version, pid, filters, props=(), flags=None):
    body = struct.pack(">H", pid) + (properties(props) if version == 5 else b"")
    return packet(UNSUBSCRIBE, body + b"".join(string(name) for name in filters), flags)


def disconnect(version, reason=None, props=None, flags=None):
    body = b"" if version == 4 or reason is None else bytes([reason]) + (b"" if props is None else properties(props))
    return packet(DISCONNECT, body, flags)


def auth(reason, props=(), flags=None):
    return packet(AUTH, bytes([reason]) + properties(props), flags)


# Reading


class Packet:
    """One that a server sent. What a kind does not have is None, or empty."""

    def __init__(self, kind, flags, size):
        self.kind, self.flags, self.size = kind, flags, size
        self.pid = self.topic = self.payload = self.reason = None
        self.reasons = []
        self.props = []
        self.session_present = False

    @property
    def qos(self):
        return self.flags >> 1 & 3

    @property
    def retain(self):
        return bool(self.flags & 1)

    @property
    def dup(self):
        return bool(self.flags & 8)

    def get(self, name, default=None):
        """The first property of this name."""
        return next((value for key, value in self.props if key == name), default)

    def all(self, name):
        return [value for key, value in self.props if key == name]

    def __repr__(self):
        said = [NAMES[self.kind]]
        if self.kind == PUBLISH:
            said.append(f"q{self.qos}{' retain' if self.retain else ''}{' dup' if self.dup else ''} {self.topic!r:.80} {self.payload[:40]!r}")
        said += [] if self.pid is None else [f"#{self.pid}"]
        said += [] if self.reason is None else [f"0x{self.reason:02X}"]
        said += [str([hex(reason) for reason in self.reasons])] * bool(self.reasons) + [str(self.props)] * bool(self.props)
        return " ".join(said)


class Reader:
    """What is left of a packet's body."""

    def __init__(self, body):
        self.body, self.at = body, 0

    def left(self):
        return len(self.body) - self.at

    def take(self, count):
        if count > self.left():
            raise Violation(f"a packet ends {count - self.left()} bytes too early")
        self.at += count
        return self.body[self.at - count:self.at]

    def number(self, count):
        return int.from_bytes(self.take(count), "big")

    def varint(self):
        value, digits = 0, 0
        while True:
            digit = self.number(1)
            value |= (digit & 0x7F) << 7 * digits
            digits += 1
            if digit < 0x80:
                break
            if digits == 4:
                raise Violation("a variable byte integer has more than four bytes")
        if digits > 1 and digit == 0:
            raise Violation("a variable byte integer is longer than it need be (MQTT5-1.5.5-1)")
        return value

    def binary(self):
        return self.take(self.number(2))

    def string(self):
        try:
            text = self.binary().decode()
        except UnicodeDecodeError as error:
            raise Violation(f"a string is not UTF-8: {error}") from error
        if "\0" in text:
            raise Violation("a string has U+0000")
        return text

    def properties(self, where):
        inner = Reader(self.take(self.varint()))
        found = []
        while inner.left():
            identifier = inner.varint()
            if identifier not in BY_ID:
                raise Violation(f"there is no property 0x{identifier:02X}")
            name, form, places = BY_ID[identifier]
            if where not in places:
                raise Violation(f"{NAMES[where]} has no property {name}")
            if name not in ("user", "subscription_id") and any(key == name for key, _ in found):
                raise Violation(f"the property {name} comes twice in {NAMES[where]}")
            read = {"byte": lambda: inner.number(1), "two": lambda: inner.number(2), "four": lambda: inner.number(4),
                    "varint": inner.varint, "binary": inner.binary, "string": inner.string,
                    "pair": lambda: (inner.string(), inner.string())}[form]
            found.append((name, read()))
        return found


def read(version, first, body, size):
    """One packet from a server, or Violation."""
    kind, flags = first >> 4, first & 15
    packet_ = Packet(kind, flags, size)
    if kind not in _READERS:
        raise Violation(f"a server does not send packets of kind {kind} ({NAMES.get(kind, 'reserved')})")
    if kind != PUBLISH and flags != FLAGS.get(kind, 0):
        raise Violation(f"{NAMES[kind]} has the flags {flags:04b}")
    if version == 4 and kind in (DISCONNECT, AUTH):
        raise Violation(f"a server of MQTT 3.1.1 sends no {NAMES[kind]}")
    reader = Reader(body)
    _READERS[kind](version, packet_, reader)
    if reader.left():
        raise Violation(f"{NAMES[kind]} has {reader.left()} bytes too many: {body.hex()}")
    if version == 5 and kind in REASONS:
        for reason in packet_.reasons or [packet_.reason]:
            if reason not in REASONS[kind]:
                raise Violation(f"{NAMES[kind]} has no reason code 0x{reason:02X}")
    return packet_


def _read_connack(version, packet_, reader):
    flags = reader.number(1)
    if flags > 1:
        raise Violation(f"CONNACK has the flags {flags:08b}")
    packet_.session_present = flags == 1
    packet_.reason = reader.number(1)
    if version == 5:
        packet_.props = reader.properties(CONNACK)
        for name in ("maximum_qos", "retain_available", "wildcards_available", "ids_available", "shared_available"):
            if packet_.get(name, 0) > 1:
                raise Violation(f"{name} is {packet_.get(name)}")
        if packet_.get("receive_maximum") == 0 or packet_.get("packet_maximum") == 0:
            raise Violation(f"a maximum is 0: {packet_.props}")
    elif packet_.reason > 5:
        raise Violation(f"there is no return code {packet_.reason}")
    if packet_.reason and packet_.session_present:
        raise Violation("a refusal has session present")


def _read_publish(version, packet_, reader):
    if packet_.qos == 3:
        raise Violation("PUBLISH has QoS 3")
    if packet_.qos == 0 and packet_.dup:
        raise Violation("PUBLISH has DUP at QoS 0")
    packet_.topic = reader.string()
    if packet_.qos:
        packet_.pid = reader.number(2)
        if packet_.pid == 0:
            raise Violation("PUBLISH has the packet identifier 0")
    if version == 5:
        packet_.props = reader.properties(PUBLISH)
        if packet_.get("alias") == 0 or packet_.get("subscription_id") == 0:
            raise Violation(f"an identifier is 0: {packet_.props}")
    if not packet_.topic and packet_.get("alias") is None:
        raise Violation("PUBLISH has no topic")
    if "+" in packet_.topic or "#" in packet_.topic:
        raise Violation(f"a topic name has wildcards: {packet_.topic!r}")
    packet_.payload = reader.take(reader.left())


def _read_ack(version, packet_, reader):
    packet_.pid = reader.number(2)
    if packet_.pid == 0:
        raise Violation(f"{NAMES[packet_.kind]} has the packet identifier 0")
    packet_.reason = reader.number(1) if version == 5 and reader.left() else 0
    if version == 5 and reader.left():
        packet_.props = reader.properties(packet_.kind)


def _read_suback(version, packet_, reader):
    packet_.pid = reader.number(2)
    if version == 5:
        packet_.props = reader.properties(packet_.kind)
    if version == 5 or packet_.kind == SUBACK:
        packet_.reasons = list(reader.take(reader.left()))
        if not packet_.reasons:
            raise Violation(f"{NAMES[packet_.kind]} has no reason codes")
    if version == 4 and any(reason not in (0, 1, 2, 0x80) for reason in packet_.reasons):
        raise Violation(f"SUBACK has the return codes {packet_.reasons}")


def _read_disconnect(_, packet_, reader):
    packet_.reason = reader.number(1) if reader.left() else 0
    if reader.left():
        packet_.props = reader.properties(packet_.kind)
        if packet_.get("session_expiry") is not None:
            raise Violation("a server's DISCONNECT has a session expiry interval")


def _read_nothing(_version, _packet, _reader):
    pass


_READERS = {CONNACK: _read_connack, PUBLISH: _read_publish, PUBACK: _read_ack, PUBREC: _read_ack, PUBREL: _read_ack,
            PUBCOMP: _read_ack, SUBACK: _read_suback, UNSUBACK: _read_suback, PINGRESP: _read_nothing,
            DISCONNECT: _read_disconnect, AUTH: _read_disconnect}
