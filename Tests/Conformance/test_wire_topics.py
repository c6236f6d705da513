"""Judges: topics on the wire — names, ids, null and empty arrays, auto-creation, paging."""

import pytest

from messages import (ALTER_PARTITION_REASSIGNMENTS, CREATE_PARTITIONS, CREATE_TOPICS, DELETE_RECORDS, DELETE_TOPICS, DESCRIBE_CONFIGS,
                      DESCRIBE_TOPIC_PARTITIONS, ELECT_LEADERS, INCREMENTAL_ALTER_CONFIGS, LIST_PARTITION_REASSIGNMENTS, METADATA)
from records import batch
from wire_requests import list_offset, produce
from wire import NO_UUID, random_uuid

OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC, TOPIC_EXISTS, UNKNOWN_TOPIC_ID = 1, 3, 17, 36, 100
INVALID_REPLICA_ASSIGNMENT, INVALID_CONFIG, INVALID_REQUEST, ELECTION_NOT_NEEDED, NO_REASSIGNMENT_IN_PROGRESS = 39, 40, 42, 84, 85
TOPIC, BROKER = 2, 4
SET, DELETE = 0, 1
FROM_TOPIC, FROM_DYNAMIC_DEFAULT_BROKER, FROM_DEFAULT = 1, 3, 5


def create(connection, name, **options):
    reply = connection.ask(CREATE_TOPICS, 7, timeout_ms=1000, topics=[
        dict(name=name, num_partitions=1, replication_factor=1)], **options)
    return reply.topics[0].error_code


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "é", "x" * 250, "a\n", "a:b", "\0"],
                         ids=["empty", "dot", "dots", "space", "slash", "accent", "long", "newline", "colon", "zero"])
def test_illegal_names_are_refused_and_their_neighbours_are_not(connection, broker, topic, name):
    assert create(connection, name) == INVALID_TOPIC
    broker.create_topic(topic)
    reply = connection.ask(METADATA, 12, topics=[dict(name=topic), dict(name=name)], allow_auto_topic_creation=True)
    assert {t.name: t.error_code for t in reply.topics} == {topic: 0, name: INVALID_TOPIC}


@pytest.mark.parametrize("name", ["x" * 249, "a", "A.b_c-9", "..."])
def test_legal_names(connection, name):
    assert create(connection, name) == 0


def test_names_that_differ_in_dot_and_underscore_collide(connection, topic):
    """Kafka refuses them because its metrics' names would be the same."""
    assert create(connection, topic + ".x_y") == 0
    assert create(connection, topic + "_x.y") == INVALID_TOPIC


def test_null_means_all_topics_and_empty_means_none(connection, broker, topic):
    broker.create_topic(topic)
    assert topic in {t.name for t in connection.ask(METADATA, 12, topics=None).topics}
    assert connection.ask(METADATA, 12, topics=[]).topics == []
    assert topic in {t.name for t in connection.ask(METADATA, 0, topics=[]).topics}, "v0 has no null"


def test_creation_by_metadata_happens_only_when_allowed(connection, topic):
    def ask(allowed):
        reply = connection.ask(METADATA, 12, topics=[dict(name=topic)], allow_auto_topic_creation=allowed)
        return reply.topics[0]

    assert ask(False).error_code == UNKNOWN_TOPIC_OR_PARTITION
    assert ask(True).error_code in (0, 5, UNKNOWN_TOPIC_OR_PARTITION)
    found = ask(False)
    assert found.error_code == 0 and len(found.partitions) == 1


def test_topics_by_id(connection, broker, topic):
    topic_id = broker.create_topic(topic)
    reply = connection.ask(METADATA, 12, topics=[dict(topic_id=topic_id, name=None),
                                                 dict(topic_id=random_uuid(), name=None)])
    assert [(t.name, t.error_code) for t in sorted(reply.topics, key=lambda t: t.error_code)] == [
        (topic, 0), (None, UNKNOWN_TOPIC_ID)]
    assert connection.ask(METADATA, 12, topics=[dict(name=topic)]).topics[0].topic_id == topic_id


def test_ids_and_partitions_outlive_a_restart(start_broker, topic):
    broker = start_broker()
    topic_id = broker.create_topic(topic, 7, retention_ms=5000)
    with broker.connect() as connection:
        cluster = connection.ask(METADATA, 12, topics=[]).cluster_id
    for stop in (broker.stop, broker.kill):
        stop()
        broker.start()
        with broker.connect() as connection:
            reply = connection.ask(METADATA, 12, topics=[dict(name=topic)])
        assert reply.cluster_id == cluster
        assert reply.topics[0].topic_id == topic_id and len(reply.topics[0].partitions) == 7


def test_deleting_by_name_by_id_and_in_vain(connection, broker, topic):
    first, second = broker.create_topic(topic + "-1"), broker.create_topic(topic + "-2")
    reply = connection.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[
        dict(name=topic + "-1"), dict(topic_id=second), dict(name=topic + "-3"), dict(topic_id=random_uuid())])
    codes = [(t.name, t.error_code) for t in reply.responses]
    assert sorted(codes, key=str) == sorted([
        (topic + "-1", 0), (topic + "-2", 0), (topic + "-3", UNKNOWN_TOPIC_OR_PARTITION), (None, UNKNOWN_TOPIC_ID)],
        key=str)
    assert first != second
    assert create(connection, topic + "-1") == 0


def test_deleting_with_both_name_and_id_is_an_invalid_request(connection, broker, topic):
    topic_id = broker.create_topic(topic)
    reply = connection.ask(DELETE_TOPICS, 6, timeout_ms=1000, topics=[dict(name=topic, topic_id=topic_id)])
    assert reply.responses[0].error_code == 42
    assert connection.ask(METADATA, 12, topics=[dict(name=topic)]).topics[0].error_code == 0


def test_create_reports_the_id_and_existing_topics(connection, topic):
    reply = connection.ask(CREATE_TOPICS, 7, timeout_ms=1000, topics=[
        dict(name=topic, num_partitions=2, replication_factor=1)])
    made = reply.topics[0]
    assert (made.error_code, made.num_partitions, made.replication_factor) == (0, 2, 1)
    assert made.topic_id != NO_UUID
    assert create(connection, topic) == TOPIC_EXISTS
    assert create(connection, topic, validate_only=True) == TOPIC_EXISTS
    assert create(connection, topic + "-v", validate_only=True) == 0
    assert connection.ask(METADATA, 12, topics=[dict(name=topic + "-v")], allow_auto_topic_creation=False
                          ).topics[0].error_code == UNKNOWN_TOPIC_OR_PARTITION


def test_grown_partitions_are_usable_at_once(connection, broker, topic):
    broker.create_topic(topic)
    reply = connection.ask(CREATE_PARTITIONS, 3, timeout_ms=1000, topics=[dict(name=topic, count=3, assignments=None)])
    assert reply.results[0].error_code == 0
    for partition in range(3):
        assert produce(connection, topic, batch([b"x"]), partition=partition).base_offset == 0


def test_deleted_records_are_gone_for_good(start_broker, topic):
    broker = start_broker()
    broker.create_topic(topic)

    def delete(connection, offset):
        reply = connection.ask(DELETE_RECORDS, 2, timeout_ms=1000, topics=[
            dict(name=topic, partitions=[dict(partition_index=0, offset=offset)])])
        part = reply.topics[0].partitions[0]
        return part.error_code, part.low_watermark

    with broker.connect() as connection:
        for _ in range(10):
            produce(connection, topic, batch([b"x"] * 10))
        assert delete(connection, 55) == (0, 55)
        assert delete(connection, 20) == (0, 55), "the beginning never moves back"
        assert delete(connection, 101)[0] == OFFSET_OUT_OF_RANGE
        assert delete(connection, -2)[0] == OFFSET_OUT_OF_RANGE
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        assert (list_offset(connection, topic, -2).offset, list_offset(connection, topic, -1).offset) == (55, 100)
        assert delete(connection, -1) == (0, 100)
        assert produce(connection, topic, batch([b"x"])).base_offset == 100


def test_describe_topic_partitions_pages_through_everything(connection, broker, topic):
    names = [f"{topic}-{letter}" for letter in "abc"]
    for name in names:
        broker.create_topic(name, 4)
    seen, cursor, pages = [], None, 0
    while True:
        reply = connection.ask(DESCRIBE_TOPIC_PARTITIONS, 0, topics=[dict(name=n) for n in reversed(names)],
                               response_partition_limit=5, cursor=cursor)
        page = [(t.name, p.partition_index) for t in reply.topics for p in t.partitions]
        assert 0 < len(page) <= 5 and all(t.error_code == 0 for t in reply.topics)
        seen += page
        pages += 1
        if reply.next_cursor is None:
            break
        assert pages < 10
        cursor = dict(reply.next_cursor)
        cursor.pop("_tags", None)
    assert seen == [(name, partition) for name in names for partition in range(4)] and pages == 3


def test_describe_topic_partitions_of_an_unknown_topic(connection, topic):
    reply = connection.ask(DESCRIBE_TOPIC_PARTITIONS, 0, topics=[dict(name=topic)], cursor=None)
    assert [(t.name, t.error_code) for t in reply.topics] == [(topic, UNKNOWN_TOPIC_OR_PARTITION)]
    assert topic not in {t.name for t in connection.ask(METADATA, 12, topics=None).topics}


def alter(connection, resource_type, name, *steps):
    """Alters configs by (operation, name, value) and returns the error code."""
    reply = connection.ask(INCREMENTAL_ALTER_CONFIGS, 1, resources=[dict(resource_type=resource_type, resource_name=name, configs=[
        dict(name=key, config_operation=operation, value=value) for operation, key, value in steps])])
    return reply.responses[0].error_code


def config(connection, topic, name):
    """A topic's config: its value and where that is from."""
    reply = connection.ask(DESCRIBE_CONFIGS, 4, resources=[dict(
        resource_type=TOPIC, resource_name=topic, configuration_keys=[name])])
    assert reply.results[0].error_code == 0, reply
    found, = reply.results[0].configs
    return found.value, found.config_source


def test_what_is_not_there_can_be_unset(connection, broker, topic):
    """MirrorMaker unsets what the other cluster has by default, in one request with what it sets."""
    broker.create_topic(topic)
    assert alter(connection, TOPIC, topic, (DELETE, "message.downconversion.enable", None), (SET, "retention.ms", "1234")) == 0
    assert config(connection, topic, "retention.ms") == ("1234", FROM_TOPIC)
    refused = alter(connection, TOPIC, topic, (SET, "message.downconversion.enable", "true"), (SET, "retention.ms", "1"))
    assert refused == INVALID_CONFIG
    assert config(connection, topic, "retention.ms") == ("1234", FROM_TOPIC)


def test_a_topic_shows_the_default_that_is_kept_for_all_brokers(start_broker, topic):
    """It has no effect, but tools compare what they have set with what they are shown."""
    broker = start_broker()
    broker.create_topic(topic)
    name = "unclean.leader.election.enable"
    with broker.connect() as connection:
        assert config(connection, topic, name) == ("false", FROM_DEFAULT)
        assert alter(connection, BROKER, "", (SET, name, "true")) == 0
        assert config(connection, topic, name) == ("true", FROM_DYNAMIC_DEFAULT_BROKER)
        assert alter(connection, TOPIC, topic, (SET, name, "false")) == 0
        assert config(connection, topic, name) == ("false", FROM_TOPIC)
        assert alter(connection, BROKER, "", (DELETE, name, None)) == 0
        assert alter(connection, TOPIC, topic, (DELETE, name, None)) == 0
        assert config(connection, topic, name) == ("false", FROM_DEFAULT)


@pytest.mark.parametrize("version", range(3))
def test_a_single_broker_has_nobody_else_to_elect(connection, broker, topic, version):
    broker.create_topic(topic, 2)
    kind = dict(election_type=1) if version > 0 else {}
    asked = [dict(topic=topic, partitions=[0, 1, 2]), dict(topic=topic + "-none", partitions=[0])]
    reply = connection.ask(ELECT_LEADERS, version, topic_partitions=asked, timeout_ms=1000, **kind)
    assert reply.get("error_code", 0) == 0
    found = {(t.topic, p.partition_id): p.error_code for t in reply.replica_election_results for p in t.partition_result}
    assert found == {(topic, 0): ELECTION_NOT_NEEDED, (topic, 1): ELECTION_NOT_NEEDED, (topic, 2): UNKNOWN_TOPIC_OR_PARTITION,
                     (topic + "-none", 0): UNKNOWN_TOPIC_OR_PARTITION}
    everywhere = connection.ask(ELECT_LEADERS, version, topic_partitions=None, timeout_ms=1000, **kind)
    assert everywhere.get("error_code", 0) == 0 and not everywhere.replica_election_results
    if version > 0:
        assert connection.ask(ELECT_LEADERS, version, election_type=2, topic_partitions=None, timeout_ms=1000).error_code == INVALID_REQUEST


def test_partitions_can_go_nowhere_else(connection, broker, topic):
    broker.create_topic(topic, 2)
    node = connection.ask(METADATA, 12, topics=[]).brokers[0].node_id

    def assign(name, partition, replicas):
        reply = connection.ask(ALTER_PARTITION_REASSIGNMENTS, 0, timeout_ms=1000, topics=[
            dict(name=name, partitions=[dict(partition_index=partition, replicas=replicas)])])
        assert reply.error_code == 0, reply
        return reply.responses[0].partitions[0].error_code

    assert assign(topic, 1, [node]) == 0
    assert assign(topic, 1, None) == NO_REASSIGNMENT_IN_PROGRESS
    for impossible in ([], [node, node], [node + 1], [node, node + 1]):
        assert assign(topic, 1, impossible) == INVALID_REPLICA_ASSIGNMENT
    assert assign(topic, 2, [node]) == assign(topic + "-none", 0, None) == UNKNOWN_TOPIC_OR_PARTITION
    for topics in (None, [dict(name=topic, partition_indexes=[0, 1])]):
        reply = connection.ask(LIST_PARTITION_REASSIGNMENTS, 0, timeout_ms=1000, topics=topics)
        assert reply.error_code == 0 and not reply.topics
