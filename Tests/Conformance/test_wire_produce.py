"""Judges: Produce on the wire — acks, validation of what is sent, idempotent sequences, what is stored."""

import random
import struct
import time

import pytest

from messages import API_VERSIONS, DESCRIBE_PRODUCERS, PRODUCE
from records import HEADER_SIZE, batch, batches, crc32c, record
from waiting import wait_for
from wire_requests import fetch_one, list_offset, new_producer_id, produce, produce_values

CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION, MESSAGE_TOO_LARGE, INVALID_REQUIRED_ACKS = 2, 3, 10, 21
INVALID_TIMESTAMP, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH = 32, 45, 47
UNSUPPORTED_FOR_MESSAGE_FORMAT, UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD = 43, 76, 87
NO_TIME = -1


@pytest.fixture
def made(broker, topic):
    broker.create_topic(topic)
    return topic


def frame(correlation, values):
    """A Produce as it goes over the wire, with its length in front."""
    request = PRODUCE.header(9, correlation) + PRODUCE.encode(9, **values)
    return struct.pack(">i", len(request)) + request


def end_offset(connection, topic, partition=0):
    return list_offset(connection, topic, -1, partition).offset


def test_offsets_are_consecutive_and_the_batch_is_kept_byte_for_byte(connection, made):
    sent = [batch([b"a", b"b", b"c"]), batch([b"d"], codec="zstd"), batch([b"e", b"f"], codec="lz4")]
    replies = [produce(connection, made, data) for data in sent]
    assert [(r.error_code, r.base_offset, r.log_append_time_ms, r.log_start_offset) for r in replies] == [
        (0, 0, NO_TIME, 0), (0, 3, NO_TIME, 0), (0, 4, NO_TIME, 0)]
    stored = batches(fetch_one(connection, made).records)
    assert [b.base_offset for b in stored] == [0, 3, 4]
    for kept, given in zip(stored, sent):
        # Base offset (8), length (4) and leader epoch (4) are the broker's to write; the rest is the producer's.
        assert kept.data[16:] == given[16:]
        assert kept.leader_epoch >= 0


@pytest.mark.parametrize("seed", range(8))
def test_a_large_frame_arrives_whole_however_the_stream_is_cut(connection, made, seed):
    """The rest of a large frame is received in its place: its end, and the frames behind it, may come in the same piece."""
    choose = random.Random(seed)
    values = [choose.randbytes(choose.choice([10, 9_000, 70_000, 900_000])) for _ in range(12)]
    stream = b"".join(frame(number, produce_values(made, batch([value]))) for number, value in enumerate(values))
    while stream:
        size = choose.choice([1, 3, 5_000, 20_000, 300_000])
        connection.send_raw(stream[:size])
        stream = stream[size:]
    replies = [connection.receive(PRODUCE, 9, number) for number in range(len(values))]
    assert [r.responses[0].partition_responses[0].base_offset for r in replies] == list(range(len(values)))
    for offset, value in enumerate(values):
        assert value in batches(fetch_one(connection, made, offset).records)[0].data


def test_acks_zero_gets_no_reply_but_is_stored(connection, made):
    connection.send(PRODUCE, 9, **produce_values(made, batch([b"quiet"]), acks=0))
    # The next request's reply is the next frame: nothing was sent for the one before it.
    assert produce(connection, made, batch([b"loud"])).base_offset == 1
    connection.expect_silence(0.2)


def test_a_failing_acks_zero_closes_or_stays_silent(connection, broker, made):
    """Kafka closes the connection to tell the client; an error frame would be misread as another reply."""
    connection.send(PRODUCE, 9, **produce_values(made, batch([b"x"], crc=1), acks=0))
    connection.socket.settimeout(0.5)
    try:
        assert connection.socket.recv(1) == b""
    except TimeoutError:
        assert connection.ask(API_VERSIONS, 0).error_code == 0
    with broker.connect() as other:
        assert end_offset(other, made) == 0


@pytest.mark.parametrize("acks", [2, -2, 100])
def test_other_acks_are_refused(connection, made, acks):
    assert produce(connection, made, batch([b"x"]), acks=acks).error_code == INVALID_REQUIRED_ACKS


def test_one_bad_partition_does_not_spoil_the_others(connection, broker, topic):
    broker.create_topic(topic, 3)
    reply = connection.ask(PRODUCE, 9, acks=-1, timeout_ms=1000, topic_data=[
        dict(name=topic, partition_data=[
            dict(index=0, records=batch([b"fine"])), dict(index=1, records=batch([b"torn"], crc=5)),
            dict(index=9, records=batch([b"nowhere"])), dict(index=2, records=batch([b"fine"]))]),
        dict(name=topic + "-none", partition_data=[dict(index=0, records=batch([b"x"]))])])
    codes = {(t.name, p.index): p.error_code for t in reply.responses for p in t.partition_responses}
    assert codes == {(topic, 0): 0, (topic, 1): CORRUPT_MESSAGE, (topic, 9): UNKNOWN_TOPIC_OR_PARTITION,
                     (topic, 2): 0, (topic + "-none", 0): UNKNOWN_TOPIC_OR_PARTITION}


def flip(data, position):
    return data[:position] + bytes([data[position] ^ 0x40]) + data[position + 1:]


GOOD = batch([b"one", b"two", b"three"])
LIES = {
    "bad-crc": (batch([b"x"], crc=0xDEADBEEF), {CORRUPT_MESSAGE}),
    "flipped-bit-in-a-record": (flip(GOOD, len(GOOD) - 3), {CORRUPT_MESSAGE}),
    "magic-0": (batch([b"x"], magic=0), {CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "magic-1": (batch([b"x"], magic=1), {CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "magic-3": (batch([b"x"], magic=3), {CORRUPT_MESSAGE, INVALID_RECORD, UNSUPPORTED_FOR_MESSAGE_FORMAT}),
    "length-too-long": (batch([b"x"], length=5000), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "length-too-short": (batch([b"x"], length=50), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "length-below-a-header": (batch([b"x"], length=10), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "length-negative": (batch([b"x"], length=-1), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "header-cut": (GOOD[:HEADER_SIZE - 5], {CORRUPT_MESSAGE, INVALID_RECORD}),
    "body-cut": (GOOD[:-4], {CORRUPT_MESSAGE, INVALID_RECORD}),
    "count-too-high": (batch([b"x", b"y"], count=5), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "count-too-low": (batch([b"x", b"y"], count=1), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "count-zero": (batch([], count=0, last_offset_delta=0), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "count-negative": (batch([b"x"], count=-1), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "count-huge": (batch([b"x"], count=0x7FFFFFFF, last_offset_delta=0x7FFFFFFE), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "last-offset-delta-lies": (batch([b"x", b"y"], last_offset_delta=7), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "last-offset-delta-negative": (batch([b"x"], last_offset_delta=-1), {CORRUPT_MESSAGE, INVALID_RECORD}),
    "two-batches": (GOOD + GOOD, {INVALID_RECORD, CORRUPT_MESSAGE}),
    "trailing-bytes": (GOOD + b"\0" * 7, {INVALID_RECORD, CORRUPT_MESSAGE}),
    "control-batch": (batch([b"x"], attributes=0x20), {INVALID_RECORD}),
    "unknown-codec": (batch([b"x"], attributes=5), {UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD, CORRUPT_MESSAGE}),
    "sequence-without-a-number": (batch([b"x"], producer_id=5, producer_epoch=0, base_sequence=-1), {INVALID_RECORD}),
    "no-records-at-all": (b"", {INVALID_RECORD, CORRUPT_MESSAGE}),
}


@pytest.mark.parametrize("data, codes", LIES.values(), ids=LIES)
def test_a_batch_that_lies_is_refused_and_leaves_no_trace(connection, made, data, codes):
    assert produce(connection, made, data).error_code in codes
    assert end_offset(connection, made) == 0
    assert produce(connection, made, batch([b"next"])).base_offset == 0


def test_null_records_are_an_error(connection, made):
    assert produce(connection, made, None).error_code != 0


def test_a_batch_over_the_limit_is_too_large(connection, broker, topic):
    broker.create_topic(topic, max_message_bytes=2000)
    assert produce(connection, topic, batch([b"x" * 3000])).error_code == MESSAGE_TOO_LARGE
    assert produce(connection, topic, batch([b"x" * 1000])).error_code == 0


@pytest.mark.parametrize("limit, shift", [("message_timestamp_after_max_ms", 60_000),
                                          ("message_timestamp_before_max_ms", -60_000)])
def test_timestamps_out_of_bounds(connection, broker, topic, limit, shift):
    broker.create_topic(topic, **{limit: 10_000})
    now = int(time.time() * 1000)
    assert produce(connection, topic, batch([b"x"], timestamp=now + shift)).error_code == INVALID_TIMESTAMP
    assert produce(connection, topic, batch([b"x"], timestamp=now)).error_code == 0


def test_log_append_time_is_stamped_and_told(connection, broker, topic):
    broker.create_topic(topic, message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    reply = produce(connection, topic, batch([b"x", b"y"], timestamp=1000))
    assert before <= reply.log_append_time_ms <= time.time() * 1000
    stored, = batches(fetch_one(connection, topic).records)
    assert stored.max_timestamp == reply.log_append_time_ms and stored.attributes & 8
    assert stored.crc == crc32c(stored.data[21:]), "the checksum covers the new attributes and time"


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_a_greatest_timestamp_that_is_missing_is_found_in_the_records(connection, broker, topic, codec):
    broker.create_topic(topic)
    now = int(time.time() * 1000)
    assert produce(connection, topic, batch([b"x", b"y"], timestamp=now, max_timestamp=-1, codec=codec)).error_code == 0
    stored, = batches(fetch_one(connection, topic).records)
    assert (stored.first_timestamp, stored.max_timestamp) == (now, now)
    assert stored.crc == crc32c(stored.data[21:]), "the checksum covers the time"
    found = list_offset(connection, topic, now - 1000)
    assert (found.offset, found.timestamp) == (0, now)


def test_a_compacted_topic_wants_keys_and_says_which_record_has_none(connection, broker, topic):
    broker.create_topic(topic, cleanup_policy="compact")
    for codec in ("none", "gzip", "zstd"):
        reply = produce(connection, topic, batch([b"1", b"2", b"3"], keys=[b"a", None, b"c"], codec=codec))
        assert reply.error_code == INVALID_RECORD
        assert [e.batch_index for e in reply.record_errors] == [1]
    assert produce(connection, topic, batch([b"1"], keys=[b"a"])).error_code == 0


@pytest.mark.parametrize("codec, number", [("gzip", 1), ("zstd", 4), ("uncompressed", 0)])
def test_a_topics_compression_type_is_applied(connection, broker, topic, codec, number):
    broker.create_topic(topic, compression_type=codec)
    values = [b"value %d " % i * 10 for i in range(50)]
    assert produce(connection, topic, batch(values, codec="lz4")).error_code == 0
    stored, = batches(fetch_one(connection, topic).records)
    assert stored.attributes & 7 == number and stored.count == 50
    assert stored.crc == crc32c(stored.data[21:])
    if number == 0:
        assert stored.data[HEADER_SIZE:] == b"".join(record(v, offset_delta=i) for i, v in enumerate(values))


class Sequenced:
    """An idempotent producer whose every sequence number the test chooses."""

    def __init__(self, connection, topic):
        self.connection, self.topic = connection, topic
        self.id, self.epoch = new_producer_id(connection)

    def send(self, sequence, count=1, epoch=None):
        data = batch([b"%d" % (sequence + i) for i in range(count)], producer_id=self.id, base_sequence=sequence,
                     producer_epoch=self.epoch if epoch is None else epoch)
        reply = produce(self.connection, self.topic, data)
        return reply.error_code, reply.base_offset


def test_duplicates_are_answered_with_their_first_offsets(connection, made):
    producer = Sequenced(connection, made)
    firsts = [producer.send(s, 2) for s in (0, 2, 4, 6, 8)]
    assert firsts == [(0, 0), (0, 2), (0, 4), (0, 6), (0, 8)]
    assert [producer.send(s, 2) for s in (8, 0, 4, 2, 6)] == [(0, 8), (0, 0), (0, 4), (0, 2), (0, 6)]
    assert end_offset(connection, made) == 10


def test_only_five_batches_are_remembered(connection, made):
    producer = Sequenced(connection, made)
    for sequence in range(6):
        assert producer.send(sequence) == (0, sequence)
    assert producer.send(0)[0] in (OUT_OF_ORDER_SEQUENCE_NUMBER, 46)
    assert producer.send(1) == (0, 1)
    assert end_offset(connection, made) == 6


def test_gaps_and_overlaps_are_out_of_order(connection, made):
    producer = Sequenced(connection, made)
    assert producer.send(0, 3) == (0, 0)
    for sequence, count in ((5, 1), (1, 1), (2, 3), (4, 1)):
        assert producer.send(sequence, count)[0] == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert producer.send(3) == (0, 3)


def test_a_new_epoch_begins_at_zero_and_fences_the_old(connection, made):
    producer = Sequenced(connection, made)
    assert producer.send(0, 3) == (0, 0)
    assert producer.send(5, 1, epoch=producer.epoch + 1)[0] == OUT_OF_ORDER_SEQUENCE_NUMBER
    assert producer.send(0, 1, epoch=producer.epoch + 1) == (0, 3)
    assert producer.send(3, 1)[0] == INVALID_PRODUCER_EPOCH
    assert producer.send(1, 1, epoch=producer.epoch + 1) == (0, 4)


def test_a_producer_unknown_to_the_partition_may_begin_anywhere(connection, made):
    """Kafka since 2.5 (KIP-360): forgotten state must not turn into UNKNOWN_PRODUCER_ID."""
    producer = Sequenced(connection, made)
    assert producer.send(1000, 2) == (0, 0)
    assert producer.send(1002) == (0, 2)


def test_sequences_wrap_around(connection, made):
    producer = Sequenced(connection, made)
    highest = 0x7FFFFFFF
    assert producer.send(highest - 1, 2) == (0, 0)
    assert producer.send(0, 1) == (0, 2)


def test_sequences_are_kept_for_each_partition_and_survive_a_restart(start_broker, topic):
    broker = start_broker()
    broker.create_topic(topic)
    with broker.connect() as connection:
        producer = Sequenced(connection, topic)
        assert [producer.send(s) for s in range(3)] == [(0, 0), (0, 1), (0, 2)]
    for stop in (broker.stop, broker.kill):
        stop()
        broker.start()
        with broker.connect() as connection:
            producer.connection = connection
            assert [producer.send(s) for s in (2, 1, 0)] == [(0, 2), (0, 1), (0, 0)]
            assert producer.send(7)[0] == OUT_OF_ORDER_SEQUENCE_NUMBER
            assert new_producer_id(connection)[0] != producer.id


def test_producer_ids_are_never_given_twice(broker):
    seen = set()
    for _ in range(50):
        with broker.connect() as connection:
            seen |= {new_producer_id(connection) for _ in range(20)}
    assert len(seen) == 1000 and {epoch for _, epoch in seen} == {0}


def test_describe_producers_shows_the_last_sequence(connection, made):
    producer = Sequenced(connection, made)
    producer.send(0, 5)
    reply = connection.ask(DESCRIBE_PRODUCERS, 0, topics=[dict(name=made, partition_indexes=[0])])
    state, = reply.topics[0].partitions[0].active_producers
    assert (state.producer_id, state.producer_epoch, state.last_sequence) == (producer.id, producer.epoch, 4)
    assert abs(state.last_timestamp - time.time() * 1000) < 60_000
    assert state.current_txn_start_offset == -1


def test_forgotten_producers_leave_the_table(start_broker, topic):
    broker = start_broker({"producer.id.expiration.ms": 500})
    broker.create_topic(topic)
    with broker.connect() as connection:
        Sequenced(connection, topic).send(0)

        def is_forgotten():
            # Commits are what moves a quiet store on; this one belongs to no producer.
            produce(connection, topic, batch([b"tick"]))
            reply = connection.ask(DESCRIBE_PRODUCERS, 0, topics=[dict(name=topic, partition_indexes=[0])])
            return not reply.topics[0].partitions[0].active_producers
        wait_for(is_forgotten, "the producer is forgotten", 15, every=0.1)
