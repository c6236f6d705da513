"""A raw-socket Kafka client for tests: every byte on the wire is the test's own choice.

`Api` turns a listing of fields (see messages.py) into an encoder and a decoder for every
version of a message; `Connection` sends frames and reads them back. Decoding is strict:
bytes left over after a reply are an error, because a client of another make would trip
over them too.
"""

import itertools
import re
import socket
import struct
import uuid

NO_UUID = b"\0" * 16


class Message(dict):
    """A decoded struct: a dictionary whose fields can also be read as attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Field:
    LINE = re.compile(
        r"(?P<name>\w+) (?P<array>\[\])?(?P<struct>\{\})?(?P<kind>[a-z]\w*)?"
        r"(?: (?P<since>\d+)(?P<until>\+|-\d+)?)?(?: \?(?P<null>\d+)(?P<nulluntil>\+|-\d+)?)?"
        r"(?: tag=(?P<tag>\d+))?(?: =(?P<default>\S+))?$"
    )

    def __init__(self, line):
        match = self.LINE.match(line)
        assert match, f"cannot read field listing: {line!r}"
        self.name, self.kind = match["name"], match["kind"]
        self.is_array = bool(match["array"])
        self.versions = self._range(match["since"] or "0", match["until"] if match["since"] else "+")
        self.null_versions = self._range(match["null"], match["nulluntil"])
        self.tag = None if match["tag"] is None else int(match["tag"])
        self.default = match["default"]
        self.fields = []

    @staticmethod
    def _range(first, rest):
        if first is None:
            return range(0)
        if rest is None:
            return range(int(first), int(first) + 1)
        return range(int(first), 1000 if rest == "+" else int(rest[1:]) + 1)

    def default_value(self, version):
        if self.is_array:
            return None if version in self.null_versions else []
        if self.kind is None:
            return None if version in self.null_versions else {}
        if self.default is not None:
            return self.default == "true" if self.kind == "bool" else int(self.default, 0)
        if self.kind in ("string", "bytes", "records") and version in self.null_versions:
            return None
        return {"string": "", "uuid": NO_UUID, "bytes": b"", "records": b"", "bool": False}.get(self.kind, 0)


def parse_listing(text):
    """The tree of fields from an indented listing."""
    root, stack = [], []
    for line in filter(str.strip, text.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        field = Field(line.strip())
        del stack[depth - 1:]
        (stack[-1].fields if stack else root).append(field)
        stack.append(field)
    return root


def varint(value):
    """An unsigned variable-length integer."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


INTEGERS = {"i8": ">b", "i16": ">h", "i32": ">i", "i64": ">q", "u16": ">H", "bool": ">?", "f64": ">d"}


class Encoder:
    def __init__(self, version, flexible):
        self.version, self.flexible = version, flexible

    def fields(self, fields, values):
        present = [f for f in fields if self.version in f.versions]
        unknown = set(values) - {f.name for f in fields} - {"_tags"}
        assert not unknown, f"no such fields: {unknown}"
        out = b"".join(self.field(f, values.get(f.name, f.default_value(self.version)))
                       for f in present if f.tag is None)
        if not self.flexible:
            return out
        tagged = [(f.tag, self.field(f, values[f.name])) for f in present if f.tag is not None and f.name in values]
        tagged += sorted(values.get("_tags", {}).items()) if "_tags" in values else []
        return out + varint(len(tagged)) + b"".join(varint(t) + varint(len(b)) + b for t, b in tagged)

    def field(self, field, value):
        if field.is_array:
            return self.length(value, ">i") + b"".join(self.item(field, v) for v in value or [])
        if field.kind is None and self.version in field.null_versions:
            return b"\xff" if value is None else b"\x01" + self.item(field, value)
        return self.item(field, value)

    def item(self, field, value):
        kind = field.kind
        if kind is None:
            return self.fields(field.fields, value)
        if kind in INTEGERS:
            return struct.pack(INTEGERS[kind], value)
        if kind == "uuid":
            return value
        data = value.encode() if isinstance(value, str) else value
        return self.length(data, ">h" if kind == "string" else ">i") + (data or b"")

    def length(self, value, form):
        if self.flexible:
            return varint(0 if value is None else len(value) + 1)
        return struct.pack(form, -1 if value is None else len(value))


class Decoder:
    def __init__(self, data, version, flexible):
        self.data, self.offset, self.version, self.flexible = data, 0, version, flexible

    def take(self, count):
        piece = self.data[self.offset:self.offset + count]
        assert len(piece) == count, f"reply ends early: wanted {count} bytes at {self.offset} of {len(self.data)}"
        self.offset += count
        return piece

    def integer(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, form):
        return self.varint() - 1 if self.flexible else self.integer(form)

    def fields(self, fields):
        out = Message()
        for field in fields:
            if self.version in field.versions:
                out[field.name] = field.default_value(self.version) if field.tag is not None else self.field(field)
        if self.flexible:
            tags = {f.tag: f for f in fields if f.tag is not None and self.version in f.versions}
            for _ in range(self.varint()):
                tag, size = self.varint(), self.varint()
                end = self.offset + size
                if tag in tags:
                    out[tags[tag].name] = self.field(tags[tag])
                else:
                    self.take(size)
                assert self.offset == end, f"tagged field {tag} has a wrong size"
        return out

    def field(self, field):
        if not field.is_array:
            if field.kind is None and self.version in field.null_versions and self.integer(">b") < 0:
                return None
            return self.item(field)
        count = self.length(">i")
        if count < 0:
            assert self.version in field.null_versions, f"{field.name} must not be null in version {self.version}"
            return None
        return [self.item(field) for _ in range(count)]

    def item(self, field):
        kind = field.kind
        if kind is None:
            return self.fields(field.fields)
        if kind in INTEGERS:
            return self.integer(INTEGERS[kind])
        if kind == "uuid":
            return self.take(16)
        size = self.length(">h" if kind == "string" else ">i")
        if size < 0:
            assert self.version in field.null_versions, f"{field.name} must not be null in version {self.version}"
            return None
        data = self.take(size)
        return str(data, "utf-8") if kind == "string" else data


class Api:
    """One Kafka API: its key, its listings, and from which version on it is flexible (KIP-482)."""

    def __init__(self, key, name, flexible, request, response):
        self.key, self.name, self.first_flexible = key, name, flexible
        self.request, self.response = parse_listing(request), parse_listing(response)

    def encode(self, version, **values):
        return Encoder(version, version >= self.first_flexible).fields(self.request, values)

    def decode(self, version, data):
        decoder = Decoder(data, version, version >= self.first_flexible)
        message = decoder.fields(self.response)
        left = len(data) - decoder.offset
        assert left == 0, f"{self.name} v{version}: {left} bytes left over after the reply: {message}"
        return message

    def header(self, version, correlation, client="wire-test"):
        name = client.encode()
        header = struct.pack(">hhih", self.key, version, correlation, len(name)) + name
        return header + b"\0" if version >= self.first_flexible else header

    def reply_body(self, version, frame):
        """What follows the reply's header; ApiVersions keeps the oldest header for ever (KIP-511)."""
        flexible_header = version >= self.first_flexible and self.key != 18
        decoder = Decoder(frame, version, True)
        decoder.take(4)
        if flexible_header:
            for _ in range(decoder.varint()):
                decoder.varint()
                decoder.take(decoder.varint())
        return frame[decoder.offset:]


class ConnectionClosed(Exception):
    """The broker closed the connection."""


class Connection:
    """A TCP connection that counts correlation ids and checks that they come back in order."""

    def __init__(self, address, timeout=10.0, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlations = itertools.count(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send_raw(self, data):
        try:
            self.socket.sendall(data)
        except (ConnectionResetError, BrokenPipeError) as error:
            raise ConnectionClosed from error

    def send_frame(self, payload):
        self.send_raw(struct.pack(">i", len(payload)) + payload)

    def send(self, api, version, **values):
        """Sends a request and returns its correlation id."""
        correlation = next(self.correlations)
        self.send_frame(api.header(version, correlation) + api.encode(version, **values))
        return correlation

    def receive_exactly(self, count):
        pieces = []
        while count:
            try:
                piece = self.socket.recv(min(count, 1 << 20))
            except ConnectionResetError as error:
                raise ConnectionClosed from error
            if not piece:
                raise ConnectionClosed
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def receive_frame(self):
        return self.receive_exactly(struct.unpack(">i", self.receive_exactly(4))[0])

    def receive(self, api, version, correlation):
        frame = self.receive_frame()
        answered = struct.unpack(">i", frame[:4])[0]
        assert answered == correlation, f"reply {answered} came where {correlation} was due"
        return api.decode(version, api.reply_body(version, frame))

    def ask(self, api, version, **values):
        """One request and its decoded reply."""
        return self.receive(api, version, self.send(api, version, **values))

    def expect_close(self, timeout=5.0):
        """Fails unless the broker closes the connection without another byte."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(1)
        except ConnectionResetError:
            return
        except TimeoutError:
            raise AssertionError(f"the broker kept the connection open for {timeout} s") from None
        assert data == b"", f"the broker answered instead of closing: {data!r}…"

    def expect_silence(self, seconds):
        """Fails when anything arrives within the time given."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            data = self.socket.recv(1)
            raise AssertionError(f"expected no reply, got {data!r}")
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(before)


def random_uuid():
    return uuid.uuid4().bytes
