"""Guards: how often the broker allocates for a batch that is produced and for one that is fetched.

Counts, not times: they are the same on every machine. One that rises above its limit has an allocation in the data path that
somebody should be able to name.
"""

import struct

import pytest

from broker import run_tool
from messages import PRODUCE
from records import batch
from wire_requests import fetch_one, produce

ROUNDS, PARTITIONS, LARGE = 500, 16, 900_000
# What was measured, and a tenth: a commit now and then carries a sweep.
PRODUCED, PRODUCED_BESIDE_OTHERS, FETCHED = 32, 3.5, 28


class CountedBroker:
    def __init__(self, start_broker, directory):
        library, self.counts = directory / "allocations.so", directory / "allocations"
        run_tool("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, __file__.replace("test_allocations.py", "allocations.c"))
        self.counts.write_bytes(bytes(16))
        self.broker = start_broker(environment={"LD_PRELOAD": str(library), "LMB_ALLOCATIONS_FILE": str(self.counts)})

    def each(self, action):
        """Allocations, and bytes of them, for each time that the action is done; the first rounds are not counted.

        The action returns the error codes of what it did."""
        for _ in range(ROUNDS):
            assert not any(action())
        before = self.read()
        for _ in range(ROUNDS):
            assert not any(action())
        counts = [(after - before) / ROUNDS for before, after in zip(before, self.read())]
        assert counts[0] >= 1, "the allocations of the broker are not seen"
        return counts

    def read(self):
        return struct.unpack("=QQ", self.counts.read_bytes())


@pytest.fixture
def counted(start_broker, tmp_path):
    return CountedBroker(start_broker, tmp_path)


def test_a_batch_that_is_produced_allocates_little(counted):
    counted.broker.create_topic("topic")
    records = batch([b"." * 1000])
    with counted.broker.connect() as connection:
        allocations, size = counted.each(lambda: [produce(connection, "topic", records).error_code])
    print(f"{allocations:.1f} allocations of {size:.0f} bytes for each batch produced")
    assert allocations <= PRODUCED


def test_a_batch_among_others_in_a_request_allocates_less(counted):
    counted.broker.create_topic("topic", PARTITIONS)
    records = batch([b"." * 1000])
    request = dict(acks=-1, timeout_ms=10_000, topic_data=[
        dict(name="topic", partition_data=[dict(index=p, records=records) for p in range(PARTITIONS)])])
    with counted.broker.connect() as connection:
        allocations, size = (n / PARTITIONS for n in counted.each(
            lambda: [p.error_code for p in connection.ask(PRODUCE, 9, **request).responses[0].partition_responses]))
    print(f"{allocations:.1f} allocations of {size:.0f} bytes for each of {PARTITIONS} batches produced together")
    assert allocations <= PRODUCED_BESIDE_OTHERS


def test_a_batch_that_is_fetched_allocates_little(counted):
    counted.broker.create_topic("topic")
    with counted.broker.connect() as connection:
        produce(connection, "topic", batch([b"." * 1000]))
        allocations, size = counted.each(lambda: [fetch_one(connection, "topic").error_code])
    print(f"{allocations:.1f} allocations of {size:.0f} bytes for each fetch")
    assert allocations <= FETCHED


def test_records_that_are_fetched_are_not_copied(counted):
    counted.broker.create_topic("topic")
    with counted.broker.connect() as connection:
        produce(connection, "topic", batch([b"." * LARGE]))
        allocations, size = counted.each(lambda: [fetch_one(connection, "topic").error_code])
    print(f"{allocations:.1f} allocations of {size:.0f} bytes for each fetch of {LARGE}")
    assert size <= LARGE / 4
