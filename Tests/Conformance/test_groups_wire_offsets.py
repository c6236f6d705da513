"""Judges: committed offsets on the wire — commit, fetch, delete, expiry, limits, who may."""

import pytest

from group_messages import DELETE_GROUPS, OFFSET_COMMIT, OFFSET_DELETE, OFFSET_FETCH
from members import (GROUP_ID_NOT_FOUND, GROUP_SUBSCRIBED_TO_TOPIC, ILLEGAL_GENERATION, INVALID_GROUP_ID, PROMPT,
                     STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, ClassicMember, ConsumerMember, commit, committed, converge,
                     form)
from waiting import wait_for
from messages import DELETE_TOPICS

UNKNOWN_TOPIC, OFFSET_METADATA_TOO_LARGE = 3, 12
BROKER_SETTINGS = PROMPT


def fetch(connection, version, group, topics):
    """One group's OffsetFetch in any version; `topics` is {topic: partitions} or None for all. Flat entries."""
    listed = None if topics is None else [dict(name=t, partition_indexes=p) for t, p in topics.items()]
    if version >= 8:
        reply = connection.ask(OFFSET_FETCH, version, groups=[dict(group_id=group, topics=listed)]).groups[0]
    else:
        reply = connection.ask(OFFSET_FETCH, version, group_id=group, topics=listed)
    assert reply.get("error_code", 0) == 0, reply
    return {(t.name, p.partition_index): p for t in reply.topics for p in t.partitions}


@pytest.mark.parametrize("version", range(2, 10))
def test_commit_and_fetch_in_each_version(connection, broker, topic, version):
    broker.create_topic(topic, 3)
    extra = dict(retention_time_ms=-1) if version <= 4 else {}
    assert commit(connection, topic, {(topic, 0): 10, (topic, 2): 1 << 40}, version=version, metadata="märk",
                  generation_id_or_member_epoch=-1, **extra) == [0, 0]
    for reading in range(1, 10):
        entries = fetch(connection, reading, topic, {topic: [0, 1, 2]})
        assert {p: e.committed_offset for (_, p), e in entries.items()} == {0: 10, 1: -1, 2: 1 << 40}
        assert {e.error_code for e in entries.values()} == {0}
        assert (entries[topic, 0].metadata, entries[topic, 1].metadata or "") == ("märk", "")
        if reading >= 2:
            assert set(fetch(connection, reading, topic, None)) == {(topic, 0), (topic, 2)}, "null asks for all there are"


def test_leader_epoch_and_null_metadata(connection, broker, topic):
    broker.create_topic(topic)
    connection.ask(OFFSET_COMMIT, 8, group_id=topic, topics=[dict(name=topic, partitions=[
        dict(partition_index=0, committed_offset=4, committed_leader_epoch=0, committed_metadata=None)])])
    entry, = fetch(connection, 8, topic, None).values()
    assert (entry.committed_offset, entry.committed_leader_epoch, entry.metadata) == (4, 0, "")
    commit(connection, topic, {(topic, 0): 3})
    entry, = fetch(connection, 8, topic, None).values()
    assert (entry.committed_offset, entry.committed_leader_epoch) == (3, -1), "an administrator may go back"


def test_an_unknown_group_has_no_offsets_and_no_error(connection, broker, topic):
    broker.create_topic(topic, 2)
    for version in range(1, 10):
        entries = fetch(connection, version, "no-such-group", {topic: [0, 1], "no-such-topic": [5]})
        assert {e.committed_offset for e in entries.values()} == {-1} and len(entries) == 3
        assert {e.error_code for e in entries.values()} == {0}
        if version >= 2:
            assert fetch(connection, version, "no-such-group", None) == {}


def test_many_groups_in_one_fetch(connection, broker, topic):
    broker.create_topic(topic, 2)
    for number in range(20):
        commit(connection, f"{topic}-{number}", {(topic, number % 2): number})
    reply = connection.ask(OFFSET_FETCH, 8, groups=[
        dict(group_id=f"{topic}-{n}", topics=None if n % 3 else [dict(name=topic, partition_indexes=[0, 1])])
        for n in range(21)])
    assert [g.group_id for g in reply.groups] == [f"{topic}-{n}" for n in range(21)]
    for number, group in enumerate(reply.groups):
        found = {p.partition_index: p.committed_offset for t in group.topics for p in t.partitions}
        assert group.error_code == 0 and found.get(number % 2, -1) == (number if number < 20 else -1)


def test_unknown_topics_and_partitions_are_refused_one_by_one(connection, broker, topic):
    broker.create_topic(topic, 2)
    codes = commit(connection, topic, {(topic, 0): 1, (topic, 2): 1, (topic, -1): 1, ("no-such-topic", 0): 1, (topic, 1): 1})
    assert codes == [0, UNKNOWN_TOPIC, UNKNOWN_TOPIC, UNKNOWN_TOPIC, 0]
    assert committed(connection, topic) == {(topic, 0): 1, (topic, 1): 1}


def test_metadata_has_a_limit(connection, broker, topic):
    broker.create_topic(topic, 2)
    assert commit(connection, topic, {(topic, 0): 1}, metadata="x" * 4096) == [0]
    assert commit(connection, topic, {(topic, 0): 2}, metadata="x" * 4097) == [OFFSET_METADATA_TOO_LARGE]
    assert commit(connection, topic, {(topic, 1): 2}, metadata="x" * 30_000) == [OFFSET_METADATA_TOO_LARGE]
    assert committed(connection, topic) == {(topic, 0): 1}


def test_the_limit_of_metadata_can_be_set(start_broker, topic):
    broker = start_broker({"offset.metadata.max.bytes": 10})
    broker.create_topic(topic)
    with broker.connect() as connection:
        assert commit(connection, topic, {(topic, 0): 1}, metadata="0123456789") == [0]
        assert commit(connection, topic, {(topic, 0): 1}, metadata="0123456789a") == [OFFSET_METADATA_TOO_LARGE]


def test_who_may_commit(connection, broker, topic):
    broker.create_topic(topic)
    where = {(topic, 0): 1}
    assert commit(connection, "", where) == [0], "consumers without a group may"
    assert committed(connection, "", topic) == where
    assert commit(connection, "", where, generation_id_or_member_epoch=3, member_id="m") == [UNKNOWN_MEMBER_ID]
    assert connection.ask(DELETE_GROUPS, 2, groups_names=[""]).results[0].error_code == 0
    assert delete_offsets(connection, "", {topic: [0]}).error_code == INVALID_GROUP_ID
    assert commit(connection, topic, where, generation_id_or_member_epoch=3, member_id="m") == [ILLEGAL_GENERATION]
    assert commit(connection, topic, where, version=9, generation_id_or_member_epoch=3, member_id="m") == [GROUP_ID_NOT_FOUND]
    member, = form([ClassicMember(broker, topic, [topic])], {(topic, 0)})
    assert commit(connection, topic, where) == [UNKNOWN_MEMBER_ID], "a group with members belongs to them"
    assert member.commit(where) == [0]
    assert member.leave() == 0
    assert commit(connection, topic, where) == [0], "an empty one belongs to administrators"
    member.close()


def test_a_fetch_of_a_member_is_checked(connection, broker, topic):
    """OffsetFetch 9: a member of the new protocol must be of the present epoch to learn where to go on."""
    topic_id = broker.create_topic(topic)
    member = ConsumerMember(broker, topic, [topic])
    member.heartbeat()
    converge([member], {(topic_id, 0)})

    def ask(**values):
        return connection.ask(OFFSET_FETCH, 9, groups=[dict(group_id=topic, topics=None) | values]).groups[0].error_code

    assert ask(member_id=member.member_id, member_epoch=member.epoch) == 0
    assert ask(member_id=member.member_id, member_epoch=member.epoch + 1) == STALE_MEMBER_EPOCH
    assert ask(member_id="nobody", member_epoch=1) == UNKNOWN_MEMBER_ID
    assert ask() == 0, "an administrator is not checked"
    member.close()


def delete_offsets(connection, group, topics):
    return connection.ask(OFFSET_DELETE, 0, group_id=group, topics=[
        dict(name=t, partitions=[dict(partition_index=p) for p in partitions]) for t, partitions in topics.items()])


def test_offsets_are_deleted(connection, broker, topic):
    broker.create_topic(topic, 3)
    commit(connection, topic, {(topic, p): p for p in range(3)})
    reply = delete_offsets(connection, topic, {topic: [0, 2, 7], "no-such-topic": [0]})
    assert reply.error_code == 0
    codes = {(t.name, p.partition_index): p.error_code for t in reply.topics for p in t.partitions}
    assert codes == {(topic, 0): 0, (topic, 2): 0, (topic, 7): UNKNOWN_TOPIC, ("no-such-topic", 0): UNKNOWN_TOPIC}
    assert committed(connection, topic) == {(topic, 1): 1}
    assert delete_offsets(connection, "no-such-group", {topic: [0]}).error_code == GROUP_ID_NOT_FOUND


@pytest.mark.parametrize("kind", [ClassicMember, ConsumerMember])
def test_offsets_of_subscribed_topics_are_not_deleted(connection, broker, topic, kind):
    ids = {name: broker.create_topic(name) for name in (topic, topic + "-free")}
    commit(connection, topic, {(name, 0): 1 for name in ids})
    member = kind(broker, topic, [topic])
    if kind is ClassicMember:
        form([member], {(topic, 0)})
    else:
        member.heartbeat()
        converge([member], {(ids[topic], 0)})
    reply = delete_offsets(connection, topic, {name: [0] for name in ids})
    assert reply.error_code == 0
    assert {t.name: t.partitions[0].error_code for t in reply.topics} == {
        topic: GROUP_SUBSCRIBED_TO_TOPIC, topic + "-free": 0}
    assert committed(connection, topic) == {(topic, 0): 1}
    member.close()


def test_a_deleted_topics_offsets_go_with_it(connection, broker, topic):
    """A topic of the same name is another topic: its consumers must not begin at the old one's offsets."""
    broker.create_topic(topic)
    commit(connection, topic, {(topic, 0): 1000})
    assert connection.ask(DELETE_TOPICS, 6, timeout_ms=5000, topics=[dict(name=topic)]).responses[0].error_code == 0
    broker.create_topic(topic)
    assert committed(connection, topic) == {}
    assert committed(connection, topic, topic) == {(topic, 0): -1}


def test_offsets_expire_only_without_members(start_broker, topic):
    """`offsets.retention.minutes`, looked after every `offsets.retention.check.interval.ms`.

    A commit of version 2 to 4 brings its own retention, which makes this testable in seconds.
    """
    broker = start_broker(PROMPT | {"offsets.retention.check.interval.ms": 100})
    broker.create_topic(topic)
    with broker.connect() as connection:
        simple, kept, lived_in = topic + "-simple", topic + "-kept", topic + "-lived-in"
        assert commit(connection, kept, {(topic, 0): 1}) == [0]
        member, = form([ClassicMember(broker, lived_in, [topic])], {(topic, 0)})
        assert member.commit({(topic, 0): 2}, version=4, retention_time_ms=1) == [0]
        assert commit(connection, simple, {(topic, 0): 3}, version=4, retention_time_ms=2000) == [0]
        assert committed(connection, simple) == {(topic, 0): 3}
        wait_for(lambda: committed(connection, simple) == {}, "the simple group's offset expires")
        assert committed(connection, lived_in) == {(topic, 0): 2}, "a group with members keeps its offsets"
        assert committed(connection, kept) == {(topic, 0): 1}
        assert member.leave() == 0
        wait_for(lambda: committed(connection, lived_in) == {}, "without members it expires too")
        member.close()


@pytest.mark.parametrize("count", [1, 500])
def test_a_commit_of_many_partitions_is_one_step(connection, broker, topic, count):
    broker.create_topic(topic, count)
    for round_number in range(3):
        wanted = {(topic, p): round_number * 1000 + p for p in range(count)}
        assert set(commit(connection, topic, wanted)) == {0}
        assert committed(connection, topic) == wanted


def test_an_empty_commit_is_answered(connection, topic):
    assert connection.ask(OFFSET_COMMIT, 8, group_id=topic, topics=[]).topics == []
