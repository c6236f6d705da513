"""Producers that write down what was acknowledged, and the check that it is all there.

What a checker must assert (Jepsen's Kafka workload): one value per offset and one offset
per value; everything acknowledged is at its acknowledged offset; the values of one
producer stand in the order of its sends; offsets have no holes, since nothing here is
transactional or compacted.
"""

import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from waiting import wait_for

IN_FLIGHT_BYTES_MAX = 8 << 20


class LoadingProducer(threading.Thread):
    """An idempotent producer that sends numbered values to its partitions until it is told to stop.

    It lives through restarts of the broker: librdkafka retries, and the broker must tell the
    repeated batches from new ones.
    """

    def __init__(self, ledger, number, size, in_flight_max):
        super().__init__(daemon=True, name=f"producer-{number}")
        self.ledger, self.number, self.size, self.in_flight_max = ledger, number, size, in_flight_max
        self.client = Producer({
            "bootstrap.servers": ledger.bootstrap, "enable.idempotence": True, "linger.ms": 2,
            "message.timeout.ms": 120_000, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
            "retry.backoff.ms": 20, "retry.backoff.max.ms": 200, "log_level": 0, "error_cb": self.note_error})
        self.acknowledged, self.failures = [], []
        self.finish, self.paused = threading.Event(), threading.Event()
        self.fatal = None

    def note_error(self, error):
        if error.fatal():
            self.fatal = error

    def note_delivery(self, error, message):
        if error:
            self.failures.append((error, message.value()[:20]))
        else:
            self.acknowledged.append((message.partition(), message.offset(), int(message.value()[4:14])))

    def run(self):
        padding, sent = b"." * max(0, self.size - 15), 0
        while not self.finish.is_set() and self.fatal is None:
            if self.paused.is_set() or len(self.client) >= self.in_flight_max:
                self.client.poll(0.005)
                continue
            value = b"%03d:%010d:" % (self.number, sent) + padding
            try:
                self.client.produce(self.ledger.topic, value, partition=sent % self.ledger.partitions,
                                    on_delivery=self.note_delivery)
                sent += 1
            except BufferError:
                pass
            self.client.poll(0)
        self.client.flush(60)


class Ledger:
    """Several loading producers on one topic, and what has been acknowledged to them."""

    def __init__(self, broker, topic, sizes=(200, 200, 200, 200), partitions=4, in_flight_max=2000):
        """One producer for each of `sizes`, the bytes of its values."""
        self.bootstrap, self.topic, self.partitions = broker.bootstrap, topic, partitions
        broker.create_topic(topic, partitions)
        self.producers = [LoadingProducer(self, number, size, min(in_flight_max, IN_FLIGHT_BYTES_MAX // size))
                          for number, size in enumerate(sizes)]

    def __enter__(self):
        for producer in self.producers:
            producer.start()
        return self

    def __exit__(self, kind, *_):
        self.end(complain=kind is None)

    def count(self):
        return sum(len(p.acknowledged) for p in self.producers)

    def wait_for_more(self, records, timeout=30):
        """Returns when that many more records have been acknowledged."""
        wanted = self.count() + records

        def has_come():
            self.complain()
            return self.count() >= wanted
        wait_for(has_come, lambda: f"{wanted} records are acknowledged, not {self.count()}", timeout, every=0.005)

    def pause(self):
        for producer in self.producers:
            producer.paused.set()

    def resume(self):
        for producer in self.producers:
            producer.paused.clear()

    def complain(self):
        for producer in self.producers:
            assert producer.fatal is None, f"{producer.name} had a fatal error: {producer.fatal}"
            assert not producer.failures, f"{producer.name} was refused: {producer.failures[:3]}"

    def end(self, complain=True):
        for producer in self.producers:
            producer.finish.set()
        for producer in self.producers:
            producer.join(90)
        if complain:
            self.complain()

    def snapshot(self):
        """What has been acknowledged until now: a list of (partition, offset, producer, number)."""
        return [(partition, offset, producer.number, number)
                for producer in self.producers for partition, offset, number in list(producer.acknowledged)]

    def check(self, bootstrap, acknowledged):
        """Reads the whole topic and holds it against what was acknowledged."""
        stored = {p: read_partition(bootstrap, self.topic, p) for p in range(self.partitions)}
        for partition, values in stored.items():
            for producer in range(len(self.producers)):
                numbers = [number for owner, number in values if owner == producer]
                assert all(a < b for a, b in zip(numbers, numbers[1:])), \
                    f"partition {partition}: producer {producer} has a value twice or out of order"
        missing = [entry for entry in acknowledged
                   if entry[1] >= len(stored[entry[0]]) or stored[entry[0]][entry[1]] != entry[2:]]
        assert not missing, f"{len(missing)} acknowledged records are not at their offsets, first {min(missing)}"


def read_partition(bootstrap, topic, partition, timeout=60):
    """A partition's values as (producer, number), by offset, up to where its end was at the call.

    A hole in the offsets is a failure.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "ledger", "enable.auto.commit": False,
                         "auto.offset.reset": "error", "check.crcs": True})
    deadline = time.monotonic() + timeout
    try:
        end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
        consumer.assign([TopicPartition(topic, partition, 0)])
        values = []
        while len(values) < end:
            assert time.monotonic() < deadline, f"partition {partition}: {len(values)} of {end} records in {timeout} s"
            for message in consumer.consume(5_000, 0.1):
                assert not message.error(), message.error()
                assert message.offset() == len(values), f"hole before offset {message.offset()}"
                value = message.value()
                values.append((int(value[:3]), int(value[4:14])))
        return values
    finally:
        consumer.close()
