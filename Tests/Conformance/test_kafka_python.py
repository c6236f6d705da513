"""Judges: kafka-python 3 — producer with each codec, assign-based consumer, admin client."""

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (InvalidConfigurationError, InvalidPartitionsError, InvalidReplicationFactorError,
                          InvalidReplicationAssignmentError, MessageSizeTooLargeError, NoReassignmentInProgressError,
                          OffsetOutOfRangeError, TopicAlreadyExistsError, UnknownTopicOrPartitionError)


@pytest.fixture
def admin(broker):
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


def producing(broker, **options):
    return KafkaProducer(bootstrap_servers=broker.bootstrap, **options)


def read(broker, topic, count, offset=0, partition=0, **options):
    """Reads exactly `count` records from an offset; fails when they do not come within ten seconds."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, consumer_timeout_ms=10_000, **options)
    where = TopicPartition(topic, partition)
    consumer.assign([where])
    consumer.seek(where, offset)
    records = []
    for record in consumer:
        records.append(record)
        if len(records) == count:
            break
    end = consumer.end_offsets([where])[where]
    consumer.close()
    assert len(records) == count
    assert records[-1].offset == end - 1
    return records


@pytest.mark.parametrize("idempotent", [False, True], ids=["plain", "idempotent"])
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
def test_each_codec(broker, admin, topic, codec, idempotent):
    admin.create_topics({topic: {"num_partitions": 1}})
    producer = producing(broker, compression_type=codec, enable_idempotence=idempotent, acks="all", linger_ms=5)
    futures = [producer.send(topic, b"value %d" % i * 20, partition=0) for i in range(1000)]
    producer.flush(30)
    assert [f.get(1).offset for f in futures] == list(range(1000))
    producer.close()
    assert [r.value for r in read(broker, topic, 1000)] == [b"value %d" % i * 20 for i in range(1000)]


@pytest.mark.parametrize("acks", [0, 1, "all"])
def test_each_acks(broker, admin, topic, acks):
    admin.create_topics({topic: {"num_partitions": 1}})
    producer = producing(broker, acks=acks, enable_idempotence=False)
    for i in range(100):
        producer.send(topic, b"%d" % i, partition=0)
    producer.flush(30)
    producer.close()
    assert [r.value for r in read(broker, topic, 100)] == [b"%d" % i for i in range(100)]


def test_keys_headers_timestamps_and_nulls(broker, admin, topic):
    admin.create_topics({topic: {"num_partitions": 1}})
    producer = producing(broker)
    cases = [(b"k", b"v", [("a", b"1"), ("a", b"2")]), (None, b"", []), (b"k", None, [("e", b"")])]
    for key, value, headers in cases:
        producer.send(topic, value, key, headers, partition=0, timestamp_ms=1_700_000_000_000).get(10)
    producer.close()
    records = read(broker, topic, 3)
    assert [(r.key, r.value, [tuple(h) for h in r.headers]) for r in records] == cases
    assert {(r.timestamp, r.timestamp_type) for r in records} == {(1_700_000_000_000, 0)}


def test_positions_times_and_seeks(broker, admin, topic):
    admin.create_topics({topic: {"num_partitions": 1}})
    producer = producing(broker)
    for i in range(50):
        producer.send(topic, b"%d" % i, partition=0, timestamp_ms=1_000_000 + i * 10)
    producer.flush(30)
    producer.close()
    where = TopicPartition(topic, 0)
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none")
    consumer.assign([where])
    assert consumer.beginning_offsets([where])[where] == 0
    assert consumer.end_offsets([where])[where] == 50
    assert consumer.offsets_for_times({where: 1_000_101})[where].offset == 11
    assert consumer.offsets_for_times({where: 9_000_000})[where] is None
    consumer.seek_to_beginning(where)
    assert consumer.position(where) == 0
    consumer.seek_to_end(where)
    assert consumer.position(where) == 50
    consumer.seek(where, 20)
    assert next(consumer).offset == 20
    consumer.seek(where, 500)
    with pytest.raises(OffsetOutOfRangeError):
        for _ in range(20):
            consumer.poll(timeout_ms=500)
    consumer.close()


def test_a_large_message_is_refused(broker, admin, topic):
    admin.create_topics({topic: {"num_partitions": 1, "configs": {"max.message.bytes": "2000"}}})
    # An idempotent producer of this make takes the refusal for fatal.
    producer = producing(broker, enable_idempotence=False)
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(topic, b"x" * 10_000, partition=0).get(20)
    assert producer.send(topic, b"small", partition=0).get(20).offset == 0
    producer.close()


def test_topics_are_created_listed_grown_and_deleted(admin, topic):
    admin.create_topics({topic: {"num_partitions": 2}})
    assert topic in admin.list_topics()
    admin.create_partitions({topic: 4})
    described, = admin.describe_topics([topic])
    assert sorted(p["partition_index"] for p in described["partitions"]) == [0, 1, 2, 3]
    with pytest.raises(TopicAlreadyExistsError):
        admin.create_topics({topic: {"num_partitions": 2}})
    with pytest.raises(InvalidPartitionsError):
        admin.create_partitions({topic: 3})
    admin.delete_topics([topic])
    assert topic not in admin.list_topics()
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.delete_topics([topic])


def test_refused_topics(admin, topic):
    with pytest.raises(InvalidReplicationFactorError):
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 3}})
    with pytest.raises(InvalidConfigurationError):
        admin.create_topics({topic: {"num_partitions": 1, "configs": {"no.such.config": "1"}}})
    admin.create_topics({topic: {"num_partitions": 1}}, validate_only=True)
    assert topic not in admin.list_topics()


def test_configs(admin, topic):
    admin.create_topics({topic: {"num_partitions": 1, "configs": {"retention.ms": "5000"}}})

    def current():
        found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all")
        return {name: entry["value"] for name, entry in found["topic"][topic].items()}

    assert current()["retention.ms"] == "5000"
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "777"})])
    assert (current()["retention.ms"], current()["max.message.bytes"]) == ("5000", "777")
    admin.reset_configs([ConfigResource(ConfigResourceType.TOPIC, topic, ["retention.ms"])])
    assert current()["retention.ms"] == "604800000"


def test_records_are_deleted_and_offsets_listed(broker, admin, topic):
    admin.create_topics({topic: {"num_partitions": 1}})
    producer = producing(broker)
    for i in range(20):
        producer.send(topic, b"%d" % i, partition=0, timestamp_ms=1000 + i)
    producer.flush(30)
    producer.close()
    where = TopicPartition(topic, 0)
    assert admin.delete_records({where: 5})[where]["low_watermark"] == 5
    for spec, offset in ((OffsetSpec.EARLIEST, 5), (OffsetSpec.LATEST, 20), (OffsetSpec.MAX_TIMESTAMP, 19)):
        assert admin.list_partition_offsets({where: spec})[where].offset == offset
    assert [int(r.value) for r in read(broker, topic, 15, offset=5)] == list(range(5, 20))


def test_the_cluster_its_log_directories_and_producers_are_described(broker, admin, topic):
    admin.create_topics({topic: {"num_partitions": 2}})
    cluster = admin.describe_cluster()
    assert [(b["host"], b["port"]) for b in cluster["brokers"]] == [("127.0.0.1", broker.port)]
    assert topic in str(admin.describe_log_dirs())
    producer = producing(broker, enable_idempotence=True)
    producer.send(topic, b"x", partition=0).get(10)
    where = TopicPartition(topic, 0)
    states = admin.describe_producers([where])[where]
    assert len(getattr(states, "active_producers", states)) == 1
    producer.close()
    partitions = admin.describe_topic_partitions([topic])
    assert topic in str(partitions)


def test_leaders_and_places_of_partitions_are_what_they_are(broker, topic, admin):
    broker.create_topic(topic, 2)
    node = admin.describe_cluster()["brokers"][0]["broker_id"]
    admin.elect_leaders(0, {topic: [0, 1]})
    admin.elect_leaders(1, {topic: [0]})
    admin.elect_leaders(0)
    with pytest.raises(UnknownTopicOrPartitionError):
        admin.elect_leaders(0, {topic: [2]})
    places = {0: [node], 1: [node + 1]}
    answer = admin.alter_partition_reassignments({TopicPartition(topic, n): replicas for n, replicas in places.items()})
    assert answer == {TopicPartition(topic, 0): None, TopicPartition(topic, 1): InvalidReplicationAssignmentError}
    assert admin.alter_partition_reassignments({TopicPartition(topic, 0): None}) == {
        TopicPartition(topic, 0): NoReassignmentInProgressError}
    assert admin.list_partition_reassignments() == {}
