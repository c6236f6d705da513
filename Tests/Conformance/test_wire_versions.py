"""Judges: the API table and the framing — versions, unknown keys, pipelining, empty and null arrays."""

import struct

import pytest

from group_messages import GROUP_APIS
from messages import (ALL, API_VERSIONS, CREATE_TOPICS, DESCRIBE_CLUSTER, DESCRIBE_CONFIGS, DESCRIBE_LOG_DIRS,
                      DESCRIBE_PRODUCERS, FIND_COORDINATOR, METADATA, PRODUCE)
from records import batch
from transaction_messages import TRANSACTION_APIS
from wire import ConnectionClosed

UNSUPPORTED_VERSION = 35
SPOKEN = ALL | GROUP_APIS | TRANSACTION_APIS
# A join must not wait for others that do not come.
BROKER_SETTINGS = {"group.initial.rebalance.delay.ms": 0}


def advertised(broker):
    with broker.connect() as connection:
        reply = connection.ask(API_VERSIONS, 4, client_software_name="wire", client_software_version="1")
    return {k.api_key: range(k.min_version, k.max_version + 1) for k in reply.api_keys}


@pytest.mark.parametrize("version", range(5))
def test_api_versions_in_each_version(broker, version):
    with broker.connect() as connection:
        values = dict(client_software_name="wire", client_software_version="1") if version >= 3 else {}
        reply = connection.ask(API_VERSIONS, version, **values)
    assert reply.error_code == 0
    table = {k.api_key: (k.min_version, k.max_version) for k in reply.api_keys}
    assert table[18] == (0, 4)
    assert table[0][0] == 0, "librdkafka stops compressing unless Produce is offered from 0"
    assert table[0][1] >= 9 and table[1][1] >= 13 and table[3][1] >= 12


@pytest.mark.parametrize("version", [5, 99, 32767])
def test_an_unknown_api_versions_version_is_answered_in_v0(broker, version):
    """KIP-511: the client can always learn what the broker speaks."""
    with broker.connect() as connection:
        header = struct.pack(">hhih", 18, version, 7, 4) + b"test\0"
        connection.send_frame(header + b"\x05wire\x021\0")
        frame = connection.receive_frame()
        assert frame[:4] == struct.pack(">i", 7)
        reply = API_VERSIONS.decode(0, frame[4:])
        assert reply.error_code == UNSUPPORTED_VERSION
        assert 18 in {k.api_key for k in reply.api_keys}
        assert connection.ask(API_VERSIONS, 0).error_code == 0, "the connection stays usable"


def test_a_bad_software_name_is_an_invalid_request(broker):
    with broker.connect() as connection:
        reply = connection.ask(API_VERSIONS, 3, client_software_name="b@d name", client_software_version="1")
    assert reply.error_code == 42


@pytest.mark.parametrize("key, version", [(999, 0), (-1, 0), (32767, 3), (3, 99), (3, -1), (1, 3), (19, 1), (60, 9)])
def test_an_unknown_api_or_version_closes_only_that_connection(broker, key, version):
    with broker.connect() as other, broker.connect() as connection:
        connection.send_frame(struct.pack(">hhih", key, version, 1, 0))
        connection.expect_close()
        assert other.ask(API_VERSIONS, 0).error_code == 0


@pytest.mark.parametrize("version", [0, 1, 2])
def test_produce_with_old_message_formats_is_refused(broker, topic, version):
    """Offered for librdkafka's sake, refused in use (KIP-896): Kafka answers with an error or closes."""
    broker.create_topic(topic)
    with broker.connect() as connection:
        try:
            reply = connection.ask(PRODUCE, version, acks=1, timeout_ms=1000, topic_data=[dict(
                name=topic, partition_data=[dict(index=0, records=batch([b"x"]))])])
        except ConnectionClosed:
            return
        assert reply.responses[0].partition_responses[0].error_code == UNSUPPORTED_VERSION


NOBODY = dict(transactional_id="nobody", producer_id=77, producer_epoch=0)
REQUESTS = {
    "Produce": lambda topic, tid, v: dict(acks=1, timeout_ms=1000, topic_data=[dict(
        name=topic, partition_data=[dict(index=0, records=batch([b"x"]))])]),
    "Fetch": lambda topic, tid, v: dict(max_wait_ms=0, min_bytes=0, session_epoch=-1, topics=[
        (dict(topic_id=tid) if v >= 13 else dict(topic=topic)) |
        dict(partitions=[dict(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)])])
    if v >= 7 else dict(max_wait_ms=0, min_bytes=0, topics=[
        dict(topic=topic, partitions=[dict(partition=0, fetch_offset=0, partition_max_bytes=1 << 20)])]),
    "ListOffsets": lambda topic, tid, v: dict(replica_id=-1, topics=[dict(
        name=topic, partitions=[dict(partition_index=0, timestamp=-1)])]),
    "Metadata": lambda topic, tid, v: dict(topics=[dict(name=topic)]),
    "FindCoordinator": lambda topic, tid, v: dict(coordinator_keys=["g"]) if v >= 4 else dict(key="g"),
    "CreateTopics": lambda topic, tid, v: dict(timeout_ms=1000, topics=[dict(
        name=f"{topic}-c{v}", num_partitions=1, replication_factor=1)]),
    "DeleteTopics": lambda topic, tid, v: dict(timeout_ms=1000) | (
        dict(topics=[dict(name=f"{topic}-none")]) if v >= 6 else dict(topic_names=[f"{topic}-none"])),
    "DeleteRecords": lambda topic, tid, v: dict(timeout_ms=1000, topics=[dict(
        name=topic, partitions=[dict(partition_index=0, offset=0)])]),
    "InitProducerId": lambda topic, tid, v: dict(transactional_id=None, transaction_timeout_ms=1000),
    "OffsetForLeaderEpoch": lambda topic, tid, v: dict(topics=[dict(
        topic=topic, partitions=[dict(partition=0, leader_epoch=0)])]) | (dict(replica_id=-1) if v >= 3 else {}),
    "DescribeConfigs": lambda topic, tid, v: dict(include_synonyms=True, resources=[
        dict(resource_type=2, resource_name=topic, configuration_keys=None)]),
    "AlterConfigs": lambda topic, tid, v: dict(validate_only=True, resources=[dict(
        resource_type=2, resource_name=topic, configs=[dict(name="retention.ms", value="5")])]),
    "IncrementalAlterConfigs": lambda topic, tid, v: dict(validate_only=True, resources=[dict(
        resource_type=2, resource_name=topic, configs=[dict(name="retention.ms", config_operation=0, value="5")])]),
    "ElectLeaders": lambda topic, tid, v: dict(topic_partitions=[dict(topic=topic, partitions=[0])], timeout_ms=1000),
    "AlterPartitionReassignments": lambda topic, tid, v: dict(timeout_ms=1000, topics=[
        dict(name=topic, partitions=[dict(partition_index=0, replicas=None)])]),
    "ListPartitionReassignments": lambda topic, tid, v: dict(timeout_ms=1000, topics=[
        dict(name=topic, partition_indexes=[0])]),
    "CreatePartitions": lambda topic, tid, v: dict(timeout_ms=1000, validate_only=True, topics=[
        dict(name=topic, count=2, assignments=None)]),
    "DescribeLogDirs": lambda topic, tid, v: dict(topics=None),
    "DescribeProducers": lambda topic, tid, v: dict(topics=[dict(name=topic, partition_indexes=[0])]),
    "DescribeTopicPartitions": lambda topic, tid, v: dict(topics=[dict(name=topic)], cursor=None),
    "DescribeCluster": lambda topic, tid, v: {},
    "OffsetCommit": lambda topic, tid, v: dict(group_id=topic, topics=[dict(
        name=topic, partitions=[dict(partition_index=0, committed_offset=1, committed_metadata="")])]),
    "OffsetFetch": lambda topic, tid, v: dict(groups=[dict(group_id=topic, topics=[dict(
        name=topic, partition_indexes=[0])])]) if v >= 8 else dict(group_id=topic, topics=[dict(
            name=topic, partition_indexes=[0])]),
    "JoinGroup": lambda topic, tid, v: dict(group_id=f"{topic}-{v}", session_timeout_ms=10_000, protocol_type="consumer",
                                            protocols=[dict(name="range", metadata=b"")]),
    "Heartbeat": lambda topic, tid, v: dict(group_id=topic, generation_id=1, member_id="m"),
    "LeaveGroup": lambda topic, tid, v: dict(group_id=topic) | (
        dict(members=[dict(member_id="m")]) if v >= 3 else dict(member_id="m")),
    "SyncGroup": lambda topic, tid, v: dict(group_id=topic, generation_id=1, member_id="m", protocol_type="consumer", protocol_name="range"),
    "DescribeGroups": lambda topic, tid, v: dict(groups=[topic]),
    "ListGroups": lambda topic, tid, v: {},
    "DeleteGroups": lambda topic, tid, v: dict(groups_names=[f"{topic}-none"]),
    "OffsetDelete": lambda topic, tid, v: dict(group_id=f"{topic}-none"),
    "ConsumerGroupHeartbeat": lambda topic, tid, v: dict(
        group_id=f"{topic}-{v}", member_id="m" if v >= 1 else "", member_epoch=0, rebalance_timeout_ms=1000,
        subscribed_topic_names=[topic], topic_partitions=[]),
    "ConsumerGroupDescribe": lambda topic, tid, v: dict(group_ids=[f"{topic}-none"]),
    # Of an id that nobody has: each is refused in its own form.
    "AddPartitionsToTxn": lambda topic, tid, v: dict(transactions=[dict(**NOBODY, topics=[dict(name=topic, partitions=[0])])])
    if v >= 4 else NOBODY | dict(topics=[dict(name=topic, partitions=[0])]),
    "AddOffsetsToTxn": lambda topic, tid, v: NOBODY | dict(group_id=topic),
    "EndTxn": lambda topic, tid, v: NOBODY | dict(committed=True),
    "TxnOffsetCommit": lambda topic, tid, v: NOBODY | dict(group_id=topic, topics=[dict(
        name=topic, partitions=[dict(partition_index=0, committed_offset=1, committed_metadata="")])]),
    "WriteTxnMarkers": lambda topic, tid, v: dict(markers=[dict(
        producer_id=77, producer_epoch=0, transaction_result=False, coordinator_epoch=0,
        topics=[dict(name=topic, partition_indexes=[99])])]),
    "DescribeTransactions": lambda topic, tid, v: dict(transactional_ids=[f"{topic}-none"]),
    "ListTransactions": lambda topic, tid, v: {},
    "ApiVersions": lambda topic, tid, v: dict(client_software_name="w", client_software_version="1") if v >= 3 else {},
}

# The one refusal that the request above must meet, with the versions that have it: what it names is not there.
REFUSALS = {"ElectLeaders": (84, 0), "AlterPartitionReassignments": (85, 0),
            "AddOffsetsToTxn": (49, 0), "EndTxn": (49, 0), "DescribeTransactions": (105, 0), "TxnOffsetCommit": (49, 0),
            "WriteTxnMarkers": (3, 0), "DeleteTopics": (3, 0), "JoinGroup": (79, 4), "Heartbeat": (25, 0), "LeaveGroup": (25, 0), "SyncGroup": (25, 0),
            "DescribeGroups": (69, 6), "DeleteGroups": (69, 0), "OffsetDelete": (69, 0), "ConsumerGroupDescribe": (69, 0)}

EMPTY = {
    "Produce": dict(acks=1, timeout_ms=100), "Fetch": dict(max_wait_ms=0, min_bytes=0),
    "Metadata": dict(topics=[]), "DescribeLogDirs": dict(topics=[]),
    "ApiVersions": None, "DescribeTopicPartitions": None,
}


@pytest.mark.parametrize("api", list(SPOKEN.values()), ids=lambda api: api.name)
def test_every_advertised_version_answers_in_its_own_form(broker, topic, api):
    """Each version from the lowest to the highest is decoded to the last byte, with no error inside but the one expected."""
    offered = advertised(broker)
    assert api.key in offered, f"{api.name} is not offered"
    topic_id = broker.create_topic(topic)
    for version in offered[api.key]:
        if api.name == "Produce" and version < 3:
            continue
        with broker.connect() as connection:
            reply = connection.ask(api, version, **REQUESTS[api.name](topic, topic_id, version))
        code, since = REFUSALS.get(api.name, (0, 0))
        assert set(error_codes(reply)) - {0} == ({code} - {0} if version >= since else set()), f"{api.name} v{version}: {reply}"


@pytest.mark.parametrize("api", [a for a in SPOKEN.values() if EMPTY.get(a.name, {}) is not None], ids=lambda api: api.name)
def test_empty_arrays_are_answered_with_empty_arrays(broker, api):
    for version in advertised(broker)[api.key]:
        if api.name == "Produce" and version < 3 or api.name == "Metadata" and version == 0:
            continue
        with broker.connect() as connection:
            connection.ask(api, version, **EMPTY.get(api.name, {}))
            assert connection.ask(API_VERSIONS, 0).error_code == 0


def error_codes(value):
    """All error codes anywhere in a reply."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "error_code":
                yield inner
            else:
                yield from error_codes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from error_codes(inner)


def test_nothing_is_advertised_that_is_not_spoken_here(broker):
    """Each advertised API must be known to these listings or to a later suite's; none may be a guess."""
    later = {17, 29, 30, 31, 36, 48, 49, 50, 51, 57, 74, 76, 77, 78, 79}
    assert set(advertised(broker)) <= set(SPOKEN) | later


def test_pipelined_requests_are_answered_in_order(broker, topic):
    """A long poll in front of quick requests holds their replies back, it does not let them overtake."""
    broker.create_topic(topic)
    with broker.connect() as connection:
        sent = []
        for i in range(300):
            if i % 3 == 0:
                api, version, values = PRODUCE, 9, REQUESTS["Produce"](topic, None, 9)
            elif i % 3 == 1:
                api, version, values = METADATA, 9, dict(topics=[dict(name=topic)])
            else:
                api, version, values = API_VERSIONS, 0, {}
            sent.append((api, version, connection.send(api, version, **values)))
        replies = [connection.receive(*expected) for expected in sent]
    offsets = [r.responses[0].partition_responses[0].base_offset for r in replies[::3]]
    assert offsets == list(range(100))


def test_unknown_tagged_fields_are_skipped(broker):
    with broker.connect() as connection:
        tags = {99: b"later", 1000: b"x" * 500}
        reply = connection.ask(METADATA, 12, topics=[], _tags=tags)
        assert reply.brokers
        # The header has tags of its own.
        body = METADATA.encode(12, topics=[])
        header = struct.pack(">hhih", 3, 12, 77, 1) + b"w" + b"\x01\x63\x03abc"
        connection.send_frame(header + body)
        assert connection.receive_frame()[:4] == struct.pack(">i", 77)


def test_a_null_client_id_is_fine(broker):
    with broker.connect() as connection:
        connection.send_frame(struct.pack(">hhih", 18, 0, 5, -1))
        assert connection.receive_frame()[:4] == struct.pack(">i", 5)


def test_frames_that_arrive_byte_by_byte_or_many_at_once(broker):
    frame = API_VERSIONS.header(0, 1)
    frame = struct.pack(">i", len(frame)) + frame
    with broker.connect() as connection:
        for byte in frame:
            connection.send_raw(bytes([byte]))
        assert connection.receive_frame()[:4] == struct.pack(">i", 1)
        connection.send_raw(frame * 200)
        for _ in range(200):
            connection.receive_frame()


def test_find_coordinator_names_this_broker(broker):
    with broker.connect() as connection:
        cluster = connection.ask(DESCRIBE_CLUSTER, 1)
        reply = connection.ask(FIND_COORDINATOR, 4, key_type=0, coordinator_keys=["a", "b"])
    assert [(c.key, c.error_code, c.node_id, c.port) for c in reply.coordinators] == [
        (k, 0, cluster.brokers[0].broker_id, broker.port) for k in ("a", "b")]


def test_describe_log_dirs_counts_what_was_written(broker, topic):
    broker.create_topic(topic, 2)
    data = batch([b"x" * 1000])
    with broker.connect() as connection:
        connection.ask(PRODUCE, 9, acks=-1, timeout_ms=1000, topic_data=[dict(
            name=topic, partition_data=[dict(index=1, records=data)])])
        reply = connection.ask(DESCRIBE_LOG_DIRS, 4, topics=[dict(topic=topic, partitions=[0, 1])])
    mine = next(t for t in reply.results[0].topics if t.name == topic)
    sizes = {p.partition_index: p.partition_size for p in mine.partitions}
    assert sizes == {0: 0, 1: len(data)}
    assert reply.results[0].total_bytes > 0 and reply.results[0].usable_bytes >= 0


def test_describe_configs_filters_by_name_and_gives_synonyms(broker, topic):
    broker.create_topic(topic, retention_ms=9)
    with broker.connect() as connection:
        reply = connection.ask(DESCRIBE_CONFIGS, 4, include_synonyms=True, include_documentation=True, resources=[
            dict(resource_type=2, resource_name=topic, configuration_keys=["retention.ms", "cleanup.policy"])])
    configs = {c.name: c for c in reply.results[0].configs}
    assert set(configs) == {"retention.ms", "cleanup.policy"}
    assert configs["retention.ms"].config_source == 1 and configs["retention.ms"].synonyms[0].value == "9"
    assert configs["cleanup.policy"].config_source == 5


def test_describe_producers_of_unknown_partitions(broker, topic):
    broker.create_topic(topic)
    with broker.connect() as connection:
        reply = connection.ask(DESCRIBE_PRODUCERS, 0, topics=[dict(name=topic, partition_indexes=[0, 7])])
    assert [(p.partition_index, p.error_code) for p in reply.topics[0].partitions] == [(0, 0), (7, 3)]


def test_create_topics_with_assignments(broker, topic):
    with broker.connect() as connection:
        node = connection.ask(DESCRIBE_CLUSTER, 1).brokers[0].broker_id

        def create(name, **values):
            spec = dict(name=name, num_partitions=-1, replication_factor=-1) | values
            return connection.ask(CREATE_TOPICS, 7, timeout_ms=1000, topics=[spec]).topics[0]

        by_hand = create(topic, assignments=[dict(partition_index=i, broker_ids=[node]) for i in range(3)])
        assert (by_hand.error_code, by_hand.num_partitions, by_hand.replication_factor) == (0, 3, 1)
        wrong = create(topic + "-wrong", assignments=[dict(partition_index=0, broker_ids=[node + 77])])
        assert wrong.error_code == 39
        twice = connection.ask(CREATE_TOPICS, 7, timeout_ms=1000, topics=[
            dict(name=topic + "-2", num_partitions=1, replication_factor=1)] * 2)
        assert {t.error_code for t in twice.topics} == {42}
        defaults = create(topic + "-default")
        assert (defaults.error_code, defaults.num_partitions) == (0, 1)
        assert defaults.configs, "Java's admin client throws when configs is null"
        assert all(c.config_source in (1, 2, 4, 5, 6) for c in defaults.configs)


