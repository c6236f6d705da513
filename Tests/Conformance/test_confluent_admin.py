"""Judges: confluent-kafka's AdminClient: topics, partitions, configs, records, offsets, cluster, and its errors."""

import pytest
from confluent_kafka import IsolationLevel, KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import (AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic, OffsetSpec,
                                   ResourceType)

from confluent import admin, create, error_code, producer, result


def topic_config(broker, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return result(admin(broker).describe_configs([resource])[resource])


def test_create_list_describe_delete(broker, topic):
    client = admin(broker)
    result(client.create_topics([NewTopic(topic, 3, 1)])[topic])
    assert len(client.list_topics(timeout=10).topics[topic].partitions) == 3
    described = result(client.describe_topics(TopicCollection([topic]))[topic])
    assert described.name == topic and not described.is_internal
    assert [p.id for p in described.partitions] == [0, 1, 2]
    assert all(p.leader.id == p.replicas[0].id == p.isr[0].id for p in described.partitions)
    result(client.delete_topics([topic])[topic])
    assert topic not in client.list_topics(timeout=10).topics
    assert error_code(client.delete_topics([topic])[topic]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_a_recreated_topic_has_another_id_and_no_records(broker, topic):
    client = admin(broker)
    ids = []
    for _ in range(2):
        create(broker, topic)
        ids.append(str(result(client.describe_topics(TopicCollection([topic]))[topic]).topic_id))
        writer = producer(broker)
        seen = []
        writer.produce(topic, b"x", on_delivery=lambda _, m: seen.append(m.offset()))
        assert writer.flush(15) == 0
        assert seen == [0]
        result(client.delete_topics([topic])[topic])
    assert ids[0] != ids[1]


@pytest.mark.parametrize("name, partitions, replicas, config, code", [
    ("existing", 1, 1, {}, KafkaError.TOPIC_ALREADY_EXISTS),
    ("bad name", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
    ("", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
    ("x" * 250, 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
    (".", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
    ("fine", 1, 3, {}, KafkaError.INVALID_REPLICATION_FACTOR),
    ("fine", 0, 1, {}, KafkaError.INVALID_PARTITIONS),
    ("fine", 1, 1, {"no.such.config": "1"}, KafkaError.INVALID_CONFIG),
    ("fine", 1, 1, {"retention.ms": "soon"}, KafkaError.INVALID_CONFIG),
], ids=["existing", "space", "empty", "long", "dot", "replicas", "partitions", "unknown-config", "bad-value"])
def test_refused_topics(broker, topic, name, partitions, replicas, config, code):
    if name == "existing":
        create(broker, topic)
        name = topic
    elif name == "fine":
        name = topic
    assert error_code(admin(broker).create_topics([NewTopic(name, partitions, replicas, config=config)])[name]) == code
    if name == topic and code != KafkaError.TOPIC_ALREADY_EXISTS:
        assert topic not in admin(broker).list_topics(timeout=10).topics


def test_defaults_and_validate_only(broker, topic):
    client = admin(broker)
    result(client.create_topics([NewTopic(topic, 2, 1)], validate_only=True)[topic])
    assert topic not in client.list_topics(timeout=10).topics
    result(client.create_topics([NewTopic(topic)])[topic])
    assert len(client.list_topics(timeout=10).topics[topic].partitions) == 1


def test_partitions_can_only_grow(broker, topic):
    client = admin(broker)
    create(broker, topic, 2)
    result(client.create_partitions([NewPartitions(topic, 5)], validate_only=True)[topic])
    assert len(client.list_topics(timeout=10).topics[topic].partitions) == 2
    result(client.create_partitions([NewPartitions(topic, 5)])[topic])
    assert len(client.list_topics(timeout=10).topics[topic].partitions) == 5
    for count in (5, 3):
        assert error_code(client.create_partitions([NewPartitions(topic, count)])[topic]) == KafkaError.INVALID_PARTITIONS
    missing = topic + "-none"
    assert error_code(client.create_partitions([NewPartitions(missing, 5)])[missing]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_topic_configs_are_described_and_changed(broker, topic):
    create(broker, topic, retention_ms=123456)
    config = topic_config(broker, topic)
    assert config["retention.ms"].value == "123456" and not config["retention.ms"].is_default
    assert config["cleanup.policy"].value == "delete"
    assert {"max.message.bytes", "compression.type", "message.timestamp.type", "retention.bytes"} <= set(config)

    client = admin(broker)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", "777", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("max.message.bytes", "5000", incremental_operation=AlterConfigOpType.SET)])
    result(client.incremental_alter_configs([change])[change])
    config = topic_config(broker, topic)
    assert (config["retention.ms"].value, config["max.message.bytes"].value) == ("777", "5000")

    undo = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)])
    result(client.incremental_alter_configs([undo])[undo])
    assert topic_config(broker, topic)["retention.ms"].is_default
    assert topic_config(broker, topic)["max.message.bytes"].value == "5000"


def test_the_older_alter_configs_replaces_all(broker, topic):
    create(broker, topic, retention_ms=123456)
    client = admin(broker)
    replacement = ConfigResource(ResourceType.TOPIC, topic, set_config={"max.message.bytes": "4321"})
    result(client.alter_configs([replacement])[replacement])
    config = topic_config(broker, topic)
    assert config["max.message.bytes"].value == "4321" and config["retention.ms"].is_default


def test_a_config_change_that_is_wrong_changes_nothing(broker, topic):
    create(broker, topic)
    client = admin(broker)
    for name, value in (("no.such.config", "1"), ("retention.ms", "soon"), ("cleanup.policy", "wish")):
        wrong = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
            ConfigEntry("max.message.bytes", "999", incremental_operation=AlterConfigOpType.SET),
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)])
        assert error_code(client.incremental_alter_configs([wrong])[wrong]) == KafkaError.INVALID_CONFIG
    checked = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[
        ConfigEntry("max.message.bytes", "999", incremental_operation=AlterConfigOpType.SET)])
    result(client.incremental_alter_configs([checked], validate_only=True)[checked])
    assert topic_config(broker, topic)["max.message.bytes"].is_default


def test_configs_of_an_unknown_topic_are_refused(broker, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    assert error_code(admin(broker).describe_configs([resource])[resource]) == KafkaError.UNKNOWN_TOPIC_OR_PART


def test_broker_configs_are_described(broker):
    cluster = result(admin(broker).describe_cluster())
    resource = ConfigResource(ResourceType.BROKER, str(cluster.controller.id))
    config = result(admin(broker).describe_configs([resource])[resource])
    assert config["num.partitions"].value == "1"
    assert "socket.request.max.bytes" in config


def test_broker_configs_are_changed_and_outlive_a_restart(start_broker):
    broker = start_broker()
    name, client = str(result(admin(broker).describe_cluster()).controller.id), admin(broker)

    def change(key, value, operation=AlterConfigOpType.SET):
        resource = ConfigResource(ResourceType.BROKER, name, incremental_configs=[
            ConfigEntry(key, value, incremental_operation=operation)])
        return client.incremental_alter_configs([resource])[resource]

    def current(key):
        resource = ConfigResource(ResourceType.BROKER, name)
        return result(client.describe_configs([resource])[resource])[key].value

    result(change("log.retention.check.interval.ms", "1234"))
    assert current("log.retention.check.interval.ms") == "1234"
    # For a broker's configs Kafka says INVALID_REQUEST where for a topic's it says INVALID_CONFIG.
    for key, value in (("log.retention.check.interval.ms", "never"), ("no.such.config", "1"), ("num.network.threads", "3")):
        assert error_code(change(key, value)) in (KafkaError.INVALID_CONFIG, KafkaError.INVALID_REQUEST)
    broker.kill()
    broker.start()
    assert current("log.retention.check.interval.ms") == "1234"
    result(change("log.retention.check.interval.ms", None, AlterConfigOpType.DELETE))
    assert current("log.retention.check.interval.ms") == "300000"


def test_describe_cluster(broker):
    cluster = result(admin(broker).describe_cluster())
    assert cluster.cluster_id
    node, = cluster.nodes
    assert (node.host, node.port, node.id) == ("127.0.0.1", broker.port, cluster.controller.id)


def test_list_offsets_earliest_latest_and_max_timestamp(broker, topic):
    create(broker, topic)
    writer = producer(broker, linger_ms=0)
    for stamp in (5_000, 9_000, 7_000):
        writer.produce(topic, b"x", timestamp=1_700_000_000_000 + stamp)
        assert writer.flush(15) == 0
    client = admin(broker)
    for spec, offset in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 3), (OffsetSpec.max_timestamp(), 1),
                         (OffsetSpec.for_timestamp(1_700_000_006_000), 1)):
        for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED):
            partition = TopicPartition(topic, 0)
            found = result(client.list_offsets({partition: spec}, isolation_level=level)[partition])
            assert found.offset == offset, spec
    partition = TopicPartition(topic, 0)
    assert result(client.list_offsets({partition: OffsetSpec.max_timestamp()})[partition]).timestamp == 1_700_000_009_000


def test_delete_records_to_the_end_and_beyond(broker, topic):
    create(broker, topic)
    writer = producer(broker)
    for i in range(10):
        writer.produce(topic, b"%d" % i)
    assert writer.flush(15) == 0
    client = admin(broker)
    partition = TopicPartition(topic, 0, 11)
    assert error_code(client.delete_records([partition])[partition]) == KafkaError.OFFSET_OUT_OF_RANGE
    partition = TopicPartition(topic, 0, -1)
    assert result(client.delete_records([partition])[partition]).low_watermark == 10


def test_an_unknown_topic_is_not_described(broker, topic):
    future = admin(broker).describe_topics(TopicCollection([topic]))[topic]
    assert error_code(future) == KafkaError.UNKNOWN_TOPIC_OR_PART
