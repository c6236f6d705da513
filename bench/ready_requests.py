"""A client that is not what is measured: requests to produce, made once and sent over and over, one under way on each connection.

One thread sends them without a look at their content. A batch without a producer id may be written any number of times.
"""

import contextlib
import selectors
import struct

from messages import PRODUCE
from records import batch

VERSION, CORRELATION = 9, 1
# Bytes of answers to read at once.
PIECE = 4096
SILENCE_SECONDS = 30


def request_to_produce(topic, partition, records, size):
    """The frame of a request with one batch of so many records."""
    payload = PRODUCE.header(VERSION, CORRELATION) + PRODUCE.encode(VERSION, acks=-1, timeout_ms=30_000, topic_data=[dict(
        name=topic, partition_data=[dict(index=partition, records=batch([b"\1" * size] * records))])])
    return struct.pack(">i", len(payload)) + payload


class Asker:
    """A connection with one request under way."""

    def __init__(self, broker, frame):
        self.connection, self.frame, self.unsent, self.reply = broker.connect(), frame, memoryview(b""), bytearray()
        self.connection.socket.setblocking(False)
        self.answers = 0

    def ask(self):
        self.unsent = memoryview(self.frame)

    def go_on(self):
        """Sends and receives what can be; true once the answer is there."""
        if self.unsent:
            with contextlib.suppress(BlockingIOError):
                self.unsent = self.unsent[self.connection.socket.send(self.unsent):]
        return not self.unsent and self.receive()

    def receive(self):
        try:
            piece = self.connection.socket.recv(PIECE)
        except BlockingIOError:
            return False
        if not piece:
            raise SystemExit("the broker closed a connection")
        self.reply += piece
        if len(self.reply) < 4 or len(self.reply) < 4 + struct.unpack(">i", self.reply[:4])[0]:
            return False
        self.check(bytes(self.reply[4:]))
        self.reply.clear()
        self.answers += 1
        return True

    def check(self, reply):
        answer = PRODUCE.decode(VERSION, PRODUCE.reply_body(VERSION, reply)).responses[0].partition_responses[0]
        if answer.error_code:
            raise SystemExit(f"a batch was answered with error {answer.error_code}")


def drive(askers, is_enough):
    """Keeps them all asking until it is enough, takes what answers are still to come, and closes their connections."""
    with selectors.DefaultSelector() as selector:
        for asker in askers:
            asker.ask()
            selector.register(asker.connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, asker)
        while selector.get_map():
            ready = selector.select(SILENCE_SECONDS)
            if not ready:
                raise SystemExit(f"no answer for {SILENCE_SECONDS} s")
            for key, _ in ready:
                asker = key.data
                if asker.go_on():
                    if is_enough():
                        selector.unregister(key.fileobj)
                        continue
                    asker.ask()
                # Whether it takes more is of interest only while there is more.
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if asker.unsent else 0)
                if wanted != key.events:
                    selector.modify(key.fileobj, wanted, asker)
    for asker in askers:
        asker.connection.close()
