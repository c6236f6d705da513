"""Consumers that are not what is measured: they take a topic's answers and look into no record."""

import collections
import struct
import threading
import time

from machine import MEGABYTE
from messages import FETCH
from wire_requests import fetch_values

VERSION, PARTITION_BYTES, ANSWER_BYTES_MAX = 11, 4 << 20, 64 << 20
# Base offset and length of a batch, and where in it the last offset's distance is (KIP-98).
BATCH_HEAD, LAST_OFFSET_AT = struct.Struct(">qi"), 23


class BareConsumer(threading.Thread):
    """Reads partitions from their beginnings to an offset, with one fetch under way."""

    def __init__(self, broker, topic, partitions, end):
        super().__init__(daemon=True)
        self.connection, self.topic, self.end = broker.connect(), topic, end
        self.buffer = memoryview(bytearray(ANSWER_BYTES_MAX))
        # In the order in which they are asked for: whoever was served goes to its end.
        self.places = collections.OrderedDict.fromkeys(partitions, 0)
        self.byte_count, self.failure = 0, None

    def run(self):
        try:
            while self.places:
                self.connection.send(FETCH, VERSION, **fetch_values(self.topic, self.places, max_wait_ms=500, min_bytes=1,
                                                                    partition_max_bytes=PARTITION_BYTES))
                self.take(FETCH.decode(VERSION, FETCH.reply_body(VERSION, self.receive())))
        except Exception as failure:  # Told by whoever waits for the thread.
            self.failure = failure
        finally:
            self.connection.close()

    def receive(self):
        size, count = None, 0
        while size is None or count < size:
            piece = self.connection.socket.recv_into(self.buffer[count:size])
            if not piece:
                raise RuntimeError("the broker closed a consumer's connection")
            count += piece
            if size is None and count >= 4:
                size = 4 + struct.unpack_from(">i", self.buffer)[0]
        return self.buffer[4:size]

    def take(self, answer):
        for part in answer.responses[0].partitions:
            if part.error_code:
                raise RuntimeError(f"a fetch was answered with error {part.error_code}")
            place, at = self.places[part.partition_index], 0
            while at < len(part.records):
                base, length = BATCH_HEAD.unpack_from(part.records, at)
                place = base + struct.unpack_from(">i", part.records, at + LAST_OFFSET_AT)[0] + 1
                at += BATCH_HEAD.size + length
            if at > 0:
                self.byte_count += at
                self.places[part.partition_index] = place
                self.places.move_to_end(part.partition_index)
                if place >= self.end:
                    del self.places[part.partition_index]


def consume(broker, topic, partitions, records, count):
    """MB/s of so many consumers, each of its share of the partitions, and the bytes they read: so many records, spread evenly."""
    end = records // partitions
    consumers = [BareConsumer(broker, topic, range(number, partitions, count), end) for number in range(count)]
    begun = time.monotonic()
    for consumer in consumers:
        consumer.start()
    for consumer in consumers:
        consumer.join()
        if consumer.failure:
            raise consumer.failure
    seconds, total = time.monotonic() - begun, sum(consumer.byte_count for consumer in consumers)
    return total / MEGABYTE / seconds, total
