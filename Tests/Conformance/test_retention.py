"""Judges: what is too old or too much goes from the front, and what is left is whole.

Time and size, a changed limit that takes effect on what is there, and space that is used again.
"""

import time

from messages import INCREMENTAL_ALTER_CONFIGS
from records import batch, batches
from waiting import wait_for
from wire_requests import fetch_one, list_offset, produce

CHECK_OFTEN = {"log.retention.check.interval.ms": 100}


def beginning(connection, topic):
    return list_offset(connection, topic, -2).offset


def await_beginning(connection, topic, condition, timeout=20):
    """Waits until the log start offset satisfies the condition, and returns it."""
    wait_for(lambda: condition(beginning(connection, topic)), lambda: f"the beginning moves; it is {beginning(connection, topic)}", timeout)
    return beginning(connection, topic)


def test_old_records_go_and_new_ones_stay(start_broker, topic):
    broker = start_broker(CHECK_OFTEN)
    broker.create_topic(topic, retention_ms=60_000)
    now = int(time.time() * 1000)
    with broker.connect() as connection:
        for age in (300_000, 200_000, 100_000, 5_000, 0):
            for _ in range(10):
                produce(connection, topic, batch([b"x" * 30_000] * 3, timestamp=now - age))
        # Whole extents go. Batches as large as these share none, so that no old record stays, and no young one may go.
        start = await_beginning(connection, topic, lambda offset: offset >= 90)
        assert start == 90
        first = batches(fetch_one(connection, topic, offset=start).records)[0]
        assert first.base_offset == start
        assert list_offset(connection, topic, -1).offset == 150
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        assert beginning(connection, topic) == 90


def test_bytes_are_limited_for_each_partition(start_broker, topic):
    broker = start_broker(CHECK_OFTEN)
    broker.create_topic(topic, retention_bytes=2_000_000)
    with broker.connect() as connection:
        for _ in range(100):
            produce(connection, topic, batch([b"x" * 100_000]))
        start = await_beginning(connection, topic, lambda offset: offset >= 70)
        assert start <= 80, "at least the newest two megabytes stay"


def test_a_small_batch_in_front_keeps_nothing_behind_it(start_broker, topic):
    """It waits in the journal for others to be sealed with, and they may never come."""
    broker = start_broker(CHECK_OFTEN)
    broker.create_topic(topic, retention_bytes=2_000_000)
    with broker.connect() as connection:
        produce(connection, topic, batch([b"small"]))
        for _ in range(100):
            produce(connection, topic, batch([b"x" * 100_000]))
        # The newest twenty come to two megabytes.
        start = await_beginning(connection, topic, lambda offset: offset == 81)
        first = batches(fetch_one(connection, topic, offset=start).records)[0]
        assert first.base_offset == start


def test_a_shorter_limit_takes_effect_on_what_is_there(start_broker, topic):
    broker = start_broker(CHECK_OFTEN)
    broker.create_topic(topic)
    old = int(time.time() * 1000) - 3_600_000
    with broker.connect() as connection:
        for _ in range(20):
            produce(connection, topic, batch([b"x" * 100_000], timestamp=old))
        assert beginning(connection, topic) == 0
        reply = connection.ask(INCREMENTAL_ALTER_CONFIGS, 1, resources=[dict(resource_type=2, resource_name=topic, configs=[
            dict(name="retention.ms", config_operation=0, value="1000")])])
        assert reply.responses[0].error_code == 0
        assert await_beginning(connection, topic, lambda offset: offset == 20) == 20
        assert produce(connection, topic, batch([b"next"])).base_offset == 20


def test_space_is_used_again(start_broker, topic):
    """Ten times the retained bytes pass through; the file stays near what lives in it."""
    broker = start_broker(CHECK_OFTEN)
    broker.create_topic(topic, 4, retention_bytes=5_000_000)
    with broker.connect() as connection:
        for number in range(400):
            assert produce(connection, topic, batch([b"x" * 500_000]), partition=number % 4).error_code == 0
    size = (broker.directory / "data.mdb").stat().st_size
    assert size < 120_000_000, f"200 MB in, at most 20 MB kept, and the file has {size / 1e6:.0f} MB"
