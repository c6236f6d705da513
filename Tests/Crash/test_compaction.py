"""Judges: compaction keeps the last record of each key, for every reader, through kill -9 at any moment.

Updates in all codecs go to a compacted topic while the cleaner works with a key map too small for a whole pass; the broker
is killed at random; halfway, a consumer begins to read through it from the start. In the end there is one record for each
key.

`COMPACTION_UPDATES`, `COMPACTION_KEYS` and `COMPACTION_SEED` change what is done; the slow test does five million.
"""

import os
import random
import threading

import pytest
from confluent_kafka import KafkaError, TopicPartition

import confluent
from broker import verify
from transactions import latest
from waiting import wait_for

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
PARTITIONS = 4
KILLS = 8
EAGER = {"log.cleaner.backoff.ms": 100, "log.roll.ms": 200, "log.cleaner.dedupe.buffer.size": 1 << 20}
TOPIC_CONFIGS = dict(cleanup_policy="compact", min_cleanable_dirty_ratio=0.3, max_compaction_lag_ms=1000, delete_retention_ms=500)
PATIENCE_SECONDS = 120


class Follower(threading.Thread):
    """Reads everything from the start, and keeps what a table built from it would hold."""

    def __init__(self, broker, topic):
        super().__init__(daemon=True)
        self.client = confluent.consumer(broker, reconnect_backoff_max_ms=200)
        self.client.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        self.table, self.next, self.end, self.count, self.fault = {}, [0] * PARTITIONS, [0] * PARTITIONS, 0, None
        self.is_done = threading.Event()
        self.start()

    def run(self):
        while not self.is_done.is_set():
            for message in self.client.consume(1000, 0.1):
                if message.error():
                    if message.error().code() == KafkaError._PARTITION_EOF:
                        # Also behind the last record that is left: compaction may have taken those that came after it.
                        self.end[message.partition()] = message.offset()
                    elif not message.error().retriable():
                        self.fault = str(message.error())
                    continue
                if message.offset() < self.next[message.partition()]:
                    self.fault = f"offset {message.offset()} of partition {message.partition()} came after {self.next[message.partition()]}"
                self.next[message.partition()] = message.offset() + 1
                self.table[message.key()] = message.value()
                self.count += 1

    def stop(self):
        self.is_done.set()
        self.join(30)
        self.client.close()
        assert self.fault is None, self.fault


def update(broker, topic, count, key_count, chance):
    """Sends the updates, in chunks of one codec each, and returns {key: its last value, None where that is a tombstone}."""
    clients = {codec: confluent.producer(broker, **{
        "compression.type": codec, "enable.idempotence": True, "linger.ms": 5, "reconnect.backoff.max.ms": 200})
        for codec in CODECS}
    failures, model = [], {}

    def note(error, _):
        if error is not None:
            failures.append(str(error))

    harmed = sorted(chance.sample(range(count), KILLS // 2))
    sent = 0
    while sent < count:
        client = clients[chance.choice(CODECS)]
        for sent in range(sent + 1, min(sent + chance.randint(1_000, 25_000), count) + 1):
            key = b"key-%d" % chance.randrange(key_count)
            value = None if chance.random() < 0.05 else b"%d " % sent + b"x" * (sent % 97)
            client.produce(topic, value, key, on_delivery=note)
            model[key] = value
            if sent % 500 == 0:
                client.poll(0)
        if harmed and harmed[0] < sent:
            # What has been produced is on its way.
            harmed.pop(0)
            broker.kill()
            broker.start()
        # The next chunk is another client's, and must come behind.
        assert client.flush(PATIENCE_SECONDS) == 0, broker.log_tail()
        assert not failures, failures[:3]
    return model


def table_of(broker, topic):
    """What is in the topic now: the records that a reader from the start gets, and the table that they make."""
    records = [m for p in range(PARTITIONS) for m in confluent.read_topic(broker, topic, p)]
    return len(records), {m.key(): m.value() for m in records}


def check(start_broker, topic, count, key_count, seed):
    print(f"COMPACTION_SEED={seed}")
    chance = random.Random(seed)
    broker = start_broker(EAGER)
    broker.create_topic(topic, PARTITIONS, **TOPIC_CONFIGS)
    model = update(broker, topic, count // 2, key_count, chance)
    # It begins in what has been compacted, and goes on through what is being compacted.
    follower = Follower(broker, topic)
    model |= update(broker, topic, count // 2, key_count, chance)
    living = {key: value for key, value in model.items() if value is not None}
    with broker.connect() as connection:
        ends = [latest(connection, topic, p) for p in range(PARTITIONS)]
    wait_for(lambda: follower.fault or follower.end == ends, lambda: f"the follower reads to {ends}, is at {follower.end}", PATIENCE_SECONDS)
    follower.stop()
    # A tombstone it may miss, as it takes longer than `delete.retention.ms` to get there; a value never.
    assert {key: follower.table.get(key) for key in living} == living

    # It was killed in the middle of passes; now it comes to an end with what is left, also of the tombstones.
    wait_for(lambda: table_of(broker, topic)[0] == len(living),
             lambda: f"{len(living)} records are left, there are {table_of(broker, topic)[0]}", PATIENCE_SECONDS, every=0.5)
    assert table_of(broker, topic)[1] == living
    broker.stop()
    verify(broker.directory)
    broker.start()
    assert table_of(broker, topic) == (len(living), living)
    print(f"{count} updates of {key_count} keys: {len(living)} records are left; the follower read {follower.count} records")


def seed():
    return int(os.environ.get("COMPACTION_SEED", random.SystemRandom().randrange(10**6)))


@pytest.mark.timeout(300)
def test_the_last_record_of_each_key_stays(start_broker, topic):
    check(start_broker, topic, int(os.environ.get("COMPACTION_UPDATES", 300_000)), int(os.environ.get("COMPACTION_KEYS", 20_000)), seed())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_compaction_of_five_million(start_broker, topic):
    check(start_broker, topic, 5_000_000, 100_000, seed())
