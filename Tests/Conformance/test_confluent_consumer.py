"""Judges: confluent-kafka's assign-based Consumer: positions, times, watermarks, seeks, isolation levels."""

import time

import pytest
from confluent_kafka import (OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition)

from confluent import admin, consumer, create, produce_all, producer, read_to_end, read_topic, result


@pytest.fixture
def hundred(broker, topic):
    """A topic with records 0…99, a second apart in time."""
    create(broker, topic)
    client = producer(broker)
    for i in range(100):
        client.produce(topic, b"%d" % i, timestamp=1_700_000_000_000 + i * 1000)
    assert client.flush(20) == 0
    return topic


def next_record(client, timeout=10):
    """The next record, past any notice of a partition's end."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        message = client.poll(0.5)
        if message is not None and message.error() is None:
            return message
    raise AssertionError(f"no record within {timeout} s")


def values(messages):
    return [int(m.value()) for m in messages]


@pytest.mark.parametrize("offset, first", [(OFFSET_BEGINNING, 0), (37, 37), (99, 99), (100, 100), (OFFSET_END, 100)])
def test_reading_begins_where_it_was_told(broker, hundred, offset, first):
    assert values(read_topic(broker, hundred, offset=offset)) == list(range(first, 100))


@pytest.mark.parametrize("level", ["read_committed", "read_uncommitted"])
def test_isolation_levels_agree_without_transactions(broker, hundred, level):
    assert values(read_topic(broker, hundred, isolation_level=level)) == list(range(100))


def test_watermarks_and_offsets_for_times(broker, hundred):
    client = consumer(broker)
    partition = TopicPartition(hundred, 0)
    assert client.get_watermark_offsets(partition, timeout=10) == (0, 100)
    for ask, answer in [(0, 0), (1_700_000_000_000, 0), (1_700_000_000_001, 1), (1_700_000_050_000, 50),
                        (1_700_000_098_001, 99), (1_700_000_099_001, -1)]:
        found, = client.offsets_for_times([TopicPartition(hundred, 0, ask)], timeout=10)
        assert found.error is None
        assert found.offset == answer or (answer == -1 and found.offset == OFFSET_END), (ask, found)
    client.close()


def test_seek_goes_back_and_forth(broker, hundred):
    client = consumer(broker)
    client.assign([TopicPartition(hundred, 0, OFFSET_BEGINNING)])
    assert next_record(client).offset() == 0
    for target in (50, 10, 99, 0):
        client.seek(TopicPartition(hundred, 0, target))
        assert next_record(client).offset() == target
    client.close()


def test_an_offset_out_of_range_is_an_error_or_resets(broker, hundred):
    with pytest.raises(AssertionError, match="(?i)out of range"):
        read_topic(broker, hundred, offset=5000)
    assert values(read_topic(broker, hundred, offset=5000, auto_offset_reset="earliest")) == list(range(100))


def test_many_partitions_in_one_consumer(broker, topic):
    create(broker, topic, 50)
    client = producer(broker)
    for i in range(5000):
        client.produce(topic, b"%d" % i, partition=i % 50)
    assert client.flush(20) == 0
    reader = consumer(broker)
    messages = read_to_end(reader, [TopicPartition(topic, p, 0) for p in range(50)])
    reader.close()
    for partition in range(50):
        mine = [int(m.value()) for m in messages if m.partition() == partition]
        assert mine == list(range(partition, 5000, 50))


def test_small_fetches_still_read_everything(broker, topic):
    """Fetch limits smaller than a batch must neither stall nor skip."""
    create(broker, topic)
    sent = [bytes([i % 256]) * 20_000 for i in range(60)]
    produce_all(producer(broker, linger_ms=50), topic, sent)
    read = read_topic(broker, topic, fetch_message_max_bytes=1000, fetch_max_bytes=1_000_000)
    assert [m.value() for m in read] == sent


def test_a_waiting_consumer_is_woken_by_the_record(broker, topic):
    create(broker, topic)
    client = consumer(broker, fetch_wait_max_ms=6_000)
    client.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    end = client.poll(15)
    assert end.error().code() == KafkaError._PARTITION_EOF, "the end is told when the first long poll is over"
    begun = time.monotonic()
    produce_all(producer(broker, linger_ms=0), topic, [b"now"])
    assert next_record(client).value() == b"now"
    assert time.monotonic() - begun < 3, "the record waited for the long poll's end"
    client.close()


def test_deleted_records_move_the_beginning(broker, hundred):
    lows = admin(broker).delete_records([TopicPartition(hundred, 0, 40)])
    deleted, = [result(f) for f in lows.values()]
    assert deleted.low_watermark == 40
    client = consumer(broker)
    assert client.get_watermark_offsets(TopicPartition(hundred, 0), timeout=10) == (40, 100)
    client.close()
    assert values(read_topic(broker, hundred, offset=OFFSET_BEGINNING)) == list(range(40, 100))
    with pytest.raises(AssertionError, match="(?i)out of range"):
        read_topic(broker, hundred, offset=39)


def test_an_unknown_topic_is_an_error(broker, topic):
    client = consumer(broker, allow_auto_create_topics=False)
    with pytest.raises(KafkaException) as raised:
        client.get_watermark_offsets(TopicPartition(topic, 0), timeout=5)
    assert raised.value.args[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION,
                                           KafkaError._UNKNOWN_TOPIC)
    client.close()
