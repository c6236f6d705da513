"""Judges: Fetch on the wire — sessions (KIP-227), long polls, byte limits, ids, epochs, offsets."""

import threading
import time

import pytest

from messages import DELETE_RECORDS, DELETE_TOPICS, FETCH, OFFSET_FOR_LEADER_EPOCH, PRODUCE
from records import batch, batches, record
from wire_requests import fetch, fetch_one, list_offset, produce, produce_values
from wire import random_uuid

OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION = 1, 3
FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH = 70, 71
FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, UNKNOWN_TOPIC_ID = 74, 75, 100


@pytest.fixture
def made(broker, topic):
    broker.create_topic(topic, 4)
    return topic


def answered(reply):
    """The partitions that a reply names."""
    return {p.partition_index: p for t in reply.responses for p in t.partitions}


def open_session(connection, topic, partitions=range(4)):
    reply = fetch(connection, topic, {p: 0 for p in partitions}, session_epoch=0)
    assert reply.error_code == 0 and reply.session_id != 0
    assert set(answered(reply)) == set(partitions)
    return reply.session_id


def test_an_incremental_fetch_names_only_what_changed(connection, made):
    session = open_session(connection, made)
    assert answered(fetch(connection, made, {}, session_id=session, session_epoch=1)) == {}
    produce(connection, made, batch([b"x"]), partition=2)
    changed = answered(fetch(connection, made, {}, session_id=session, session_epoch=2))
    assert set(changed) == {2} and batches(changed[2].records)[0].base_offset == 0
    # The position is the client's: as long as it does not move on, the data comes again.
    again = answered(fetch(connection, made, {}, session_id=session, session_epoch=3))
    assert set(again) == {2}
    assert answered(fetch(connection, made, {2: 1}, session_id=session, session_epoch=4)) == {}


def test_partitions_are_added_to_and_forgotten_from_a_session(connection, made):
    session = open_session(connection, made, [0])
    for partition in (0, 3):
        produce(connection, made, batch([b"x"]), partition=partition)
    assert set(answered(fetch(connection, made, {3: 0}, session_id=session, session_epoch=1))) == {0, 3}
    assert set(answered(fetch(connection, made, {}, session_id=session, session_epoch=2, forgotten=[0]))) == {3}


def test_session_errors(connection, made):
    session = open_session(connection, made)
    assert fetch(connection, made, {}, session_id=session, session_epoch=5).error_code == INVALID_FETCH_SESSION_EPOCH
    assert fetch(connection, made, {}, session_id=123456789, session_epoch=1).error_code == FETCH_SESSION_ID_NOT_FOUND
    closed = fetch(connection, made, {0: 0}, session_id=session, session_epoch=-1)
    assert closed.error_code == 0 and closed.session_id == 0
    assert fetch(connection, made, {}, session_id=session, session_epoch=1).error_code == FETCH_SESSION_ID_NOT_FOUND


def test_a_session_reports_a_partitions_error_until_it_is_gone(connection, made):
    session = open_session(connection, made, [0])
    reply = answered(fetch(connection, made, {0: 99}, session_id=session, session_epoch=1))
    assert reply[0].error_code == OFFSET_OUT_OF_RANGE
    produce(connection, made, batch([b"x"]))
    reply = answered(fetch(connection, made, {0: 0}, session_id=session, session_epoch=2))
    assert reply[0].error_code == 0 and reply[0].records


def test_more_sessions_than_slots_still_answer(start_broker, topic):
    broker = start_broker({"max.incremental.fetch.session.cache.slots": 3})
    broker.create_topic(topic)
    with broker.connect() as connection:
        for _ in range(10):
            reply = fetch(connection, topic, {0: 0}, session_epoch=0)
            assert reply.error_code == 0


def test_a_long_poll_waits_for_data_and_no_longer(connection, broker, made):
    begun = time.monotonic()
    assert not fetch_one(connection, made, max_wait_ms=400, min_bytes=1).records
    assert 0.35 <= time.monotonic() - begun < 2

    def later():
        with broker.connect() as other:
            produce(other, made, batch([b"wake up"]))

    begun = time.monotonic()
    waker = threading.Timer(0.2, later)
    waker.start()
    assert fetch_one(connection, made, max_wait_ms=8000, min_bytes=1).records
    waker.join()
    assert 0.15 <= time.monotonic() - begun < 3


def test_min_bytes_are_waited_for(connection, broker, made):
    produce(connection, made, batch([b"x" * 100]))
    begun = time.monotonic()
    assert fetch_one(connection, made, max_wait_ms=400, min_bytes=50_000).records, "what there is comes at the end"
    assert time.monotonic() - begun >= 0.35

    def later():
        with broker.connect() as other:
            for _ in range(6):
                produce(other, made, batch([b"y" * 10_000]))

    waker = threading.Timer(0.2, later)
    waker.start()
    begun = time.monotonic()
    found = fetch_one(connection, made, max_wait_ms=8000, min_bytes=50_000)
    waker.join()
    assert len(found.records) >= 50_000 and time.monotonic() - begun < 3


@pytest.mark.parametrize("size", [900_000, 20_000])
def test_more_than_a_megabyte_that_is_there_is_not_waited_for(connection, made, size):
    """The time limit of the wait is far beyond the test's patience with the socket."""
    data = batch([b"x" * size])
    sent = [connection.send(PRODUCE, 9, **produce_values(made, data)) for _ in range(13_000_000 // size)]
    for correlation in sent:
        assert connection.receive(PRODUCE, 9, correlation).responses[0].partition_responses[0].error_code == 0
    begun = time.monotonic()
    found = fetch_one(connection, made, max_wait_ms=60_000, min_bytes=4 << 20, partition_max_bytes=8 << 20)
    assert 4 << 20 <= len(found.records) <= 8 << 20 and time.monotonic() - begun < 5
    assert batches(found.records)[0].base_offset == 0


def test_bytes_of_other_partitions_count_towards_min_bytes(connection, made):
    for partition in range(4):
        produce(connection, made, batch([b"x" * 1000]), partition=partition)
    begun = time.monotonic()
    reply = fetch(connection, made, {p: 0 for p in range(4)}, max_wait_ms=5000, min_bytes=4000)
    assert len(answered(reply)) == 4 and time.monotonic() - begun < 2


def test_an_error_does_not_wait(connection, made):
    begun = time.monotonic()
    assert fetch_one(connection, made, offset=77, max_wait_ms=5000, min_bytes=1).error_code == OFFSET_OUT_OF_RANGE
    assert fetch_one(connection, made, partition=44, max_wait_ms=5000, min_bytes=1).error_code == UNKNOWN_TOPIC_OR_PARTITION
    assert time.monotonic() - begun < 2


def test_a_parked_fetch_learns_that_its_topic_was_deleted(connection, broker, topic):
    broker.create_topic(topic)

    def delete():
        with broker.connect() as other:
            other.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[dict(name=topic)])

    killer = threading.Timer(0.2, delete)
    killer.start()
    part = fetch_one(connection, topic, max_wait_ms=3000, min_bytes=1)
    killer.join()
    assert part.error_code in (0, UNKNOWN_TOPIC_OR_PARTITION) and not part.records


def test_offsets_out_of_range_on_either_side(connection, made):
    for _ in range(3):
        produce(connection, made, batch([b"a", b"b"]))
    connection.ask(DELETE_RECORDS, 2, timeout_ms=1000, topics=[
        dict(name=made, partitions=[dict(partition_index=0, offset=3)])])
    for offset, code in ((-1, OFFSET_OUT_OF_RANGE), (2, OFFSET_OUT_OF_RANGE), (3, 0), (6, 0), (7, OFFSET_OUT_OF_RANGE)):
        part = fetch_one(connection, made, offset=offset)
        assert part.error_code == code, offset
        if code == 0:
            assert (part.log_start_offset, part.high_watermark, part.last_stable_offset) == (3, 6, 6)
    # Offset 3 lies within the batch 2–3: the whole batch comes, the client skips.
    assert batches(fetch_one(connection, made, offset=3).records)[0].base_offset == 2


def test_a_fetch_begins_with_the_batch_that_holds_the_offset(connection, made):
    for size in (5, 1, 4):
        produce(connection, made, batch([b"x"] * size))
    for offset, first in ((0, 0), (4, 0), (5, 5), (6, 6), (9, 6)):
        assert batches(fetch_one(connection, made, offset=offset).records)[0].base_offset == first


def test_an_oversize_batch_is_delivered_whole_whatever_the_limits(connection, broker, topic):
    broker.create_topic(topic, max_message_bytes=2_000_000)
    big = batch([b"x" * 900_000])
    produce(connection, topic, big)
    produce(connection, topic, batch([b"after"]))
    part = fetch_one(connection, topic, max_bytes=1, partition_max_bytes=1)
    assert [b.base_offset for b in batches(part.records)] == [0]
    assert len(part.records) == len(big)


def test_limits_hold_once_there_is_something(connection, made):
    for partition in range(4):
        for _ in range(5):
            produce(connection, made, batch([b"x" * 30_000]), partition=partition)
    reply = answered(fetch(connection, made, {p: 0 for p in range(4)}, max_bytes=100_000))
    assert 30_000 <= sum(len(p.records or b"") for p in reply.values()) <= 131_000
    part = fetch_one(connection, made, partition_max_bytes=70_000)
    assert len(batches(part.records)) == 2


def test_a_partition_behind_a_full_one_is_not_starved(connection, made):
    for _ in range(10):
        produce(connection, made, batch([b"x" * 50_000]), partition=0)
    produce(connection, made, batch([b"y"]), partition=3)
    session = fetch(connection, made, {p: 0 for p in range(4)}, max_bytes=60_000, session_epoch=0).session_id
    seen = set()
    for epoch in range(1, 6):
        reply = answered(fetch(connection, made, {}, max_bytes=60_000, session_id=session, session_epoch=epoch))
        seen |= {number for number, part in reply.items() if part.records}
    assert 3 in seen


def test_all_whose_share_fits_are_answered_at_once(broker, connection, topic):
    """What is read from its place in the log, too: without a session nobody keeps whose turn it is."""
    broker.create_topic(topic, 16)
    for partition in range(16):
        produce(connection, topic, batch([b"x" * 100_000]), partition=partition)
    reply = answered(fetch(connection, topic, {p: 0 for p in range(16)}, partition_max_bytes=101_000))
    assert [number for number, part in reply.items() if part.records] == list(range(16))


def test_topic_ids(connection, broker, topic):
    first = broker.create_topic(topic)

    def by_id(topic_id):
        reply = connection.ask(FETCH, 13, max_wait_ms=0, min_bytes=0, topics=[dict(
            topic_id=topic_id, partitions=[dict(partition=0, fetch_offset=0, partition_max_bytes=1000)])])
        return reply.responses[0].partitions[0].error_code

    assert by_id(first) == 0
    assert by_id(random_uuid()) == UNKNOWN_TOPIC_ID
    connection.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[dict(topic_id=first)])
    second = broker.create_topic(topic)
    assert second != first
    assert (by_id(first), by_id(second)) == (UNKNOWN_TOPIC_ID, 0)


def test_leader_epochs(connection, made):
    produce(connection, made, batch([b"a", b"b"]))
    epoch = batches(fetch_one(connection, made).records)[0].leader_epoch
    assert fetch_one(connection, made, leader_epoch=epoch).error_code == 0
    assert fetch_one(connection, made, leader_epoch=epoch + 5).error_code == UNKNOWN_LEADER_EPOCH

    def end_of(asked, current=-1):
        reply = connection.ask(OFFSET_FOR_LEADER_EPOCH, 4, replica_id=-1, topics=[dict(topic=made, partitions=[
            dict(partition=0, leader_epoch=asked, current_leader_epoch=current)])])
        part = reply.topics[0].partitions[0]
        return part.error_code, part.leader_epoch, part.end_offset

    assert end_of(epoch) == (0, epoch, 2)
    assert end_of(epoch + 5) == (0, -1, -1)
    assert end_of(epoch, epoch + 5)[0] == UNKNOWN_LEADER_EPOCH
    reply = connection.ask(OFFSET_FOR_LEADER_EPOCH, 4, replica_id=-1, topics=[dict(topic=made + "-none", partitions=[
        dict(partition=0, leader_epoch=0)])])
    assert reply.topics[0].partitions[0].error_code == UNKNOWN_TOPIC_OR_PARTITION


def test_list_offsets_by_time(connection, made):
    for stamp in (1000, 5000, 3000):
        produce(connection, made, batch([b"x"], timestamp=stamp))
    ask = {-2: (0, None), -1: (3, None), -3: (1, 5000), 0: (0, 1000), 1001: (1, 5000), 5000: (1, 5000), 5001: (-1, -1)}
    for timestamp, (offset, stamp) in ask.items():
        found = list_offset(connection, made, timestamp)
        assert (found.error_code, found.offset) == (0, offset), timestamp
        if stamp is not None:
            assert found.timestamp == stamp
    assert list_offset(connection, made, -1, partition=2).offset == 0
    assert list_offset(connection, made, -3, partition=2).offset == -1
    assert list_offset(connection, made, -1, partition=9).error_code == UNKNOWN_TOPIC_OR_PARTITION


def test_a_time_within_a_batch_gives_the_records_own_offset(connection, made):
    body = b"".join(record(b"v", offset_delta=i, timestamp_delta=i * 100) for i in range(10))
    for codec in ("none", "zstd"):
        base = list_offset(connection, made, -1).offset
        start = 1_000_000 + base * 1000
        reply = produce(connection, made, batch([b"v"] * 10, body=body, timestamp=start, max_timestamp=start + 900,
                                                codec=codec))
        assert reply.error_code == 0
        found = list_offset(connection, made, start + 401)
        assert (found.offset, found.timestamp) == (base + 5, start + 500)
