"""A thousand connections at once, each with a produce request under way at all times: what they cost the broker in memory.

The requests are made once and sent over and over by one thread without a look at their content, so that the broker, and not
the client, is what is loaded. A batch without a producer id may be written any number of times.
"""

import selectors
import shutil
import struct
import time

from machine import MEGABYTE, PeakMemory, back_memory
from messages import PRODUCE
from records import batch

CONNECTIONS, PARTITIONS, RECORDS, SIZE, SECONDS = 1_000, 16, 64, 1_024, 15
VERSION, CORRELATION = 9, 1


class Asker:
    """A connection with one request under way."""

    def __init__(self, broker, frame):
        self.connection, self.frame, self.unsent, self.reply = broker.connect(), frame, memoryview(b""), bytearray()
        self.connection.socket.setblocking(False)
        self.answers = 0

    def ask(self):
        self.unsent = memoryview(self.frame)

    def go_on(self):
        """Sends and receives what can be; whether the socket is to be waited for until it takes more."""
        if self.unsent:
            try:
                self.unsent = self.unsent[self.connection.socket.send(self.unsent):]
            except BlockingIOError:
                pass
        if not self.unsent:
            self.receive()
        return bool(self.unsent)

    def receive(self):
        try:
            piece = self.connection.socket.recv(4096)
        except BlockingIOError:
            return
        if not piece:
            raise SystemExit("the broker closed a connection")
        self.reply += piece
        if len(self.reply) >= 4 and len(self.reply) == 4 + struct.unpack(">i", self.reply[:4])[0]:
            self.check(bytes(self.reply[4:]))
            self.reply.clear()
            self.answers += 1
            self.ask()

    def check(self, reply):
        answer = PRODUCE.decode(VERSION, PRODUCE.reply_body(VERSION, reply)).responses[0].partition_responses[0]
        if answer.error_code:
            raise SystemExit(f"a batch was answered with error {answer.error_code}")


class ConnectionRounds:
    def __init__(self, bench):
        self.bench = bench

    def round(self):
        broker = self.bench.broker(settings={"max.connections.per.ip": CONNECTIONS + 10})
        broker.create_topic("bench", PARTITIONS)
        back_memory()
        records = batch([b"\1" * SIZE] * RECORDS)
        frames = [self.frame(partition, records) for partition in range(PARTITIONS)]
        askers = [Asker(broker, frames[number % PARTITIONS]) for number in range(CONNECTIONS)]
        cpu = broker.cpu_seconds()
        with PeakMemory(broker.pid) as memory:
            begun = time.monotonic()
            self.drive(askers, begun + SECONDS / self.bench.scale)
            seconds = time.monotonic() - begun
        cpu = broker.cpu_seconds() - cpu
        total = sum(asker.answers for asker in askers) * RECORDS * SIZE
        for asker in askers:
            asker.connection.close()
        broker.stop(30)
        shutil.rmtree(broker.directory)
        return dict(mb_s=total / MEGABYTE / seconds, least_answers=min(asker.answers for asker in askers), peak_mb=memory.peak / MEGABYTE,
                    cpu_s_per_gb=cpu / (total / 1e9), broker_cores=cpu / seconds)

    def frame(self, partition, records):
        payload = PRODUCE.header(VERSION, CORRELATION) + PRODUCE.encode(VERSION, acks=-1, timeout_ms=30_000, topic_data=[dict(
            name="bench", partition_data=[dict(index=partition, records=records)])])
        return struct.pack(">i", len(payload)) + payload

    def drive(self, askers, until):
        with selectors.DefaultSelector() as selector:
            for asker in askers:
                asker.ask()
                selector.register(asker.connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, asker)
            while time.monotonic() < until:
                for key, _ in selector.select(1):
                    wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if key.data.go_on() else 0)
                    if wanted != key.events:
                        selector.modify(key.fileobj, wanted, key.data)
