"""Judges: confluent-kafka's Producer (librdkafka 2.x) with every codec, acks and idempotence setting."""

import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from confluent import create, produce_all, producer, read_topic
from waiting import wait_for

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.mark.parametrize("idempotent", [False, True], ids=["plain", "idempotent"])
@pytest.mark.parametrize("codec", CODECS)
def test_acknowledged_records_are_at_their_offsets(broker, topic, codec, idempotent):
    create(broker, topic)
    values = [b"%d:" % i + b"payload " * (i % 50) for i in range(3000)]
    delivered = produce_all(producer(broker, compression_type=codec, enable_idempotence=idempotent), topic, values)
    assert [m.offset() for m in delivered] == list(range(3000))
    read = read_topic(broker, topic)
    assert [m.value() for m in read] == values
    assert [m.offset() for m in read] == list(range(3000))


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_each_acks_setting_delivers(broker, topic, acks):
    create(broker, topic)
    values = [b"%d" % i for i in range(500)]
    produce_all(producer(broker, acks=acks), topic, values)
    wait_for(lambda: [m.value() for m in read_topic(broker, topic)] == values, "the records become readable", 10)


def test_keys_headers_timestamps_null_and_empty_values(broker, topic):
    create(broker, topic)
    client = producer(broker)
    stamp = 1_700_000_000_123
    cases = [(b"key", b"value", [("h", b"1"), ("h", b"2"), ("none", None), ("empty", b"")]),
             (None, b"value", []), (b"key", None, []), (b"", b"", []), (None, None, [("only", b"header")])]
    for key, value, headers in cases:
        produce_all(client, topic, [value], key=key, headers=headers, timestamp=stamp)
    read = read_topic(broker, topic)
    assert [(m.key(), m.value(), m.headers() or []) for m in read] == cases
    assert {m.timestamp() for m in read} == {(1, stamp)}


def test_log_append_time_is_the_brokers(broker, topic):
    create(broker, topic, message_timestamp_type="LogAppendTime")
    before = time.time() * 1000
    delivered, = produce_all(producer(broker), topic, [b"x"], timestamp=1_000)
    read, = read_topic(broker, topic)
    for message in (delivered, read):
        kind, stamp = message.timestamp()
        assert kind == 2 and before - 1 <= stamp <= time.time() * 1000 + 1
    assert delivered.timestamp() == read.timestamp()


def test_a_hundred_partitions_at_once(broker, topic):
    create(broker, topic, 100)
    client = producer(broker, enable_idempotence=True, sticky_partitioning_linger_ms=0)
    delivered = produce_all(client, topic, [b"%d" % i for i in range(20000)])
    seen = {}
    for message in delivered:
        seen.setdefault(message.partition(), []).append((message.offset(), message.value()))
    assert len(seen) == 100
    for partition in (0, 57, 99):
        read = [(m.offset(), m.value()) for m in read_topic(broker, topic, partition)]
        assert read == sorted(seen[partition]) and [o for o, _ in read] == list(range(len(read)))


def test_a_message_over_the_topics_limit_is_refused_alone(broker, topic):
    create(broker, topic, max_message_bytes=10_000)
    errors = []
    client = producer(broker, message_max_bytes=1_000_000)
    client.produce(topic, b"x" * 50_000, on_delivery=lambda error, _: errors.append(error))
    assert client.flush(15) == 0
    assert errors[0].code() == KafkaError.MSG_SIZE_TOO_LARGE
    produce_all(client, topic, [b"small"])
    assert [m.value() for m in read_topic(broker, topic)] == [b"small"]


def test_an_unknown_topic_is_created_on_first_use(broker, topic):
    assert produce_all(producer(broker), topic, [b"hello"])[0].offset() == 0


def test_an_unknown_topic_is_an_error_when_creation_is_off(start_broker, topic):
    broker = start_broker({"auto.create.topics.enable": "false"})
    errors = []
    client = producer(broker, message_timeout_ms=2000, topic_metadata_propagation_max_ms=200)
    client.produce(topic, b"x", on_delivery=lambda error, _: errors.append(error))
    assert client.flush(15) == 0
    assert errors[0].code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._MSG_TIMED_OUT)


def test_a_megabyte_record_and_many_in_flight(broker, topic):
    create(broker, topic, max_message_bytes=20_000_000)
    values = [bytes([i]) * 1_500_000 for i in range(20)]
    client = producer(broker, message_max_bytes=5_000_000, enable_idempotence=True)
    delivered = produce_all(client, topic, values)
    assert [m.offset() for m in delivered] == list(range(20))
    assert [m.value() for m in read_topic(broker, topic)] == values


def test_transactions_are_refused_clearly_or_work(broker, topic):
    """A producer must never believe in a transaction that is not one."""
    client = producer(broker, transactional_id=topic)
    try:
        client.init_transactions(5)
    except KafkaException as error:
        assert error.args[0].code() in (KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION,
                                        KafkaError._TIMED_OUT, KafkaError.COORDINATOR_NOT_AVAILABLE,
                                        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
                                        KafkaError.INVALID_REQUEST, KafkaError.NOT_COORDINATOR)
        return
    client.begin_transaction()
    client.produce(topic, b"aborted")
    client.abort_transaction(10)
    client.begin_transaction()
    client.produce(topic, b"committed")
    client.commit_transaction(10)
    assert [m.value() for m in read_topic(broker, topic)] == [b"committed"]
