"""Judges: kafka-python's and aiokafka's calls about groups, and their commits in detail."""

import aiokafka
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.admin import MemberToRemove, OffsetSpec
from kafka.errors import NoError, UnknownMemberIdError

from group_clients import BROKER_SETTINGS  # noqa: F401
from members import ClassicMember, commit, describe, form
from records import batch
from test_aiokafka import Admin, asynchronous
from waiting import wait_for
from wire_requests import produce


@pytest.fixture
def admin(broker):
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    yield client
    client.close()


@pytest.fixture
def filled(broker, topic):
    """A topic of two partitions with ten records each."""
    broker.create_topic(topic, 2)
    with broker.connect() as connection:
        for partition in range(2):
            assert produce(connection, topic, batch([b"%d" % i for i in range(10)]), partition=partition).error_code == 0
    return topic


def consumer_of(broker, topic, **options):
    """A consumer that knows its topic before it joins its group.

    One that joins while the answer to its very first question, which names no topic, is on its way may divide by that, find the next
    answer to be what it knew before, and never divide again.
    """
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, group_id=topic, auto_offset_reset="earliest", **options)
    wait_for(lambda: consumer.partitions_for_topic(topic) == {0, 1}, "the topic's partitions")
    return consumer


def consume_all(broker, topic, count, **options):
    """Reads `count` records as the only member of a group, commits, and returns the consumer."""
    consumer = consumer_of(broker, topic, enable_auto_commit=False, heartbeat_interval_ms=300, session_timeout_ms=10_000, **options)
    found = []

    def enough():
        found.extend(r for records in consumer.poll(timeout_ms=200).values() for r in records)
        return len(found) >= count

    wait_for(enough, lambda: f"{count} records, there are {len(found)}")
    consumer.commit()
    return consumer, found


def test_kafka_python_commits_and_resumes(broker, filled):
    where = TopicPartition(filled, 0)
    consumer, _ = consume_all(broker, filled, 20)
    assert consumer.committed(where) == 10
    consumer.commit({where: OffsetAndMetadata(4, "four", -1)})
    assert consumer.committed(where) == 4
    consumer.close(autocommit=False)
    consumer, found = consume_all(broker, filled, 6)
    assert [(r.partition, r.offset) for r in found] == [(0, o) for o in range(4, 10)]
    consumer.close(autocommit=False)


def test_kafka_python_commits_automatically(broker, filled):
    consumer = consumer_of(broker, filled, auto_commit_interval_ms=100)

    def both():
        consumer.poll(timeout_ms=100)
        return [consumer.committed(TopicPartition(filled, p)) for p in range(2)] == [10, 10]

    wait_for(both, "the automatic commit")
    consumer.close()


def test_kafka_python_static_member_restarts_without_a_rebalance(broker, filled):
    bystander = ClassicMember(broker, filled, [filled], instance="bystander", protocols=("range",))
    form([bystander], {(filled, 0), (filled, 1)})
    ids = set()
    for _ in range(2):
        consumer = KafkaConsumer(filled, bootstrap_servers=broker.bootstrap, group_id=filled, group_instance_id="static",
                                 heartbeat_interval_ms=300, session_timeout_ms=20_000, enable_auto_commit=False)
        if not ids:
            # The first time it is new, and there is a rebalance, with the bystander for its leader.
            def joined():
                consumer.poll(timeout_ms=50)
                return bystander.heartbeat() != 0
            wait_for(joined, "the rebalance")
            bystander.send_join()

            def divided():
                consumer.poll(timeout_ms=50)
                return describe(broker, filled).group_state == "CompletingRebalance"
            wait_for(divided, "the new generation")
            bystander.receive_join()
            assert bystander.leads
            theirs, = {m.member_id for m in bystander.joined.members} - {bystander.member_id}
            assert bystander.sync({bystander.member_id: {(filled, 0)}, theirs: {(filled, 1)}}).error_code == 0

        def assigned():
            consumer.poll(timeout_ms=50)
            return consumer.assignment() == {TopicPartition(filled, 1)}

        wait_for(assigned, "the partition that it had")
        assert bystander.heartbeat() == 0, "the generation is the same"
        ids.add(next(m.member_id for m in describe(broker, filled).members if m.group_instance_id == "static"))
        consumer.close(autocommit=False)
    assert len(ids) == 2
    bystander.close()


def test_kafka_python_lists_and_describes(broker, admin, filled):
    consumer, _ = consume_all(broker, filled, 20, client_id="the-client")
    mine, = [g for g in admin.list_groups() if g["group_id"] == filled]
    assert (mine["protocol_type"], mine["group_state"]) == ("consumer", "Stable")
    assert filled in {g["group_id"] for g in admin.list_groups(states_filter=["Stable"], types_filter=["classic"])}
    assert filled not in {g["group_id"] for g in admin.list_groups(states_filter=["Empty"])}
    described = admin.describe_groups([filled])[filled]
    assert described["group_state"] == "Stable" and described["protocol_type"] == "consumer"
    member, = described["members"]
    assert member["client_id"] == "the-client" and filled in str(member["member_assignment"])
    consumer.close(autocommit=False)


def test_kafka_python_offsets(broker, admin, filled):
    consumer, _ = consume_all(broker, filled, 20)
    zero, one = TopicPartition(filled, 0), TopicPartition(filled, 1)
    listed = admin.list_group_offsets({filled: None})[filled]
    assert {where: found.offset for where, found in listed.items()} == {zero: 10, one: 10}
    refused = admin.alter_group_offsets(filled, {zero: OffsetAndMetadata(1, "", -1)})
    assert refused[zero] is UnknownMemberIdError, "its members have the say"
    consumer.close(autocommit=False)
    assert admin.alter_group_offsets(filled, {zero: OffsetAndMetadata(1, "by hand", -1)})[zero] is NoError
    listed = admin.list_group_offsets({filled: [zero]})[filled]
    assert (listed[zero].offset, listed[zero].metadata) == (1, "by hand")
    admin.reset_group_offsets(filled, {zero: OffsetSpec.LATEST, one: OffsetSpec.EARLIEST})
    listed = admin.list_group_offsets({filled: None})[filled]
    assert {where: found.offset for where, found in listed.items()} == {zero: 10, one: 0}
    assert admin.delete_group_offsets(filled, [one])[one] is NoError
    assert set(admin.list_group_offsets({filled: None})[filled]) == {zero}


def test_kafka_python_deletes_groups(broker, admin, filled):
    consumer, _ = consume_all(broker, filled, 20)
    assert admin.delete_groups([filled]) == {filled: "NonEmptyGroupError"}
    consumer.close(autocommit=False)
    assert filled in {g["group_id"] for g in admin.list_groups()}
    assert admin.delete_groups([filled]) == {filled: "OK"}
    assert filled not in {g["group_id"] for g in admin.list_groups()}
    assert admin.delete_groups([filled]) == {filled: "GroupIdNotFoundError"}


def test_kafka_python_removes_members(broker, admin, filled):
    members = form([ClassicMember(broker, filled, [filled], instance=f"i{n}") for n in range(2)], {(filled, 0), (filled, 1)})
    removed = admin.remove_group_members(filled, [MemberToRemove(group_instance_id="i1")])
    assert list(removed.values()) == [NoError]
    assert [m.group_instance_id for m in describe(broker, filled).members] == ["i0"]
    for member in members:
        member.close()


@asynchronous
async def test_aiokafka_commits_and_resumes(broker, filled):
    where = aiokafka.TopicPartition(filled, 0)
    for first in (0, 4):
        consumer = aiokafka.AIOKafkaConsumer(filled, bootstrap_servers=broker.bootstrap, group_id=filled,
                                             auto_offset_reset="earliest", enable_auto_commit=False, heartbeat_interval_ms=300)
        await consumer.start()
        found = []
        while len(found) < 10 - first:
            found += (await consumer.getmany(where, timeout_ms=500)).get(where, [])
        assert [r.offset for r in found] == list(range(first, 10))
        await consumer.commit({where: aiokafka.structs.OffsetAndMetadata(4, "four")})
        assert await consumer.committed(where) == 4
        await consumer.stop()


@asynchronous
async def test_aiokafka_admin(broker, filled):
    with broker.connect() as connection:
        commit(connection, filled, {(filled, 0): 3, (filled, 1): 5})
    async with Admin(broker) as admin:
        assert filled in {g[0] for g in await admin.list_consumer_groups()}
        found = await admin.list_consumer_group_offsets(filled)
        assert {p: o.offset for (_, p), o in found.items()} == {0: 3, 1: 5}
        described, = await admin.describe_consumer_groups([filled])
        assert filled in str(described) and "Empty" in str(described)
