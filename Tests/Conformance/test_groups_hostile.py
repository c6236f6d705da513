"""Judges: what group members may do to the broker — vanish in a loop, send megabytes, be ten thousand groups."""

import time

import pytest

from group_messages import CONSUMER_GROUP_HEARTBEAT, DESCRIBE_GROUPS, JOIN_GROUP, LIST_GROUPS, OFFSET_COMMIT
from members import (INVALID_GROUP_ID, INVALID_REQUEST, MEMBER_ID_REQUIRED, PROMPT, ClassicMember, commit, committed, describe,
                     form)
from messages import API_VERSIONS
from wire import ConnectionClosed

MEGABYTE = 1 << 20
BROKER_SETTINGS = PROMPT


def answers_quickly(broker, seconds=1.0):
    begun = time.monotonic()
    with broker.connect() as connection:
        assert connection.ask(API_VERSIONS, 0).error_code == 0
    assert time.monotonic() - begun < seconds, "others were stalled"


def join_values(group, **changes):
    return dict(group_id=group, session_timeout_ms=6000, rebalance_timeout_ms=6000, member_id="", protocol_type="consumer",
                protocols=[dict(name="range", metadata=b"")]) | changes


@pytest.mark.parametrize("version, count", [(9, 20_000), (2, 3000)])
def test_a_member_that_joins_and_vanishes_in_a_loop(start_broker, topic, version, count):
    """Each asks for an id (or, before version 4, joins) and is never seen again: memory stays flat."""
    broker = start_broker(PROMPT | {"group.min.session.timeout.ms": 100})
    broker.create_topic(topic)

    def vanish(times):
        for start in range(0, times, 100):
            with broker.connect() as connection:
                values = join_values(topic, session_timeout_ms=100)
                sent = [connection.send(JOIN_GROUP, version, **values) for _ in range(1 if version < 4 else 100)]
                if version >= 4:
                    assert {connection.receive(JOIN_GROUP, version, c).error_code for c in sent} == {MEMBER_ID_REQUIRED}
                # The older versions' join stays unanswered while others are waited for; the connection just ends.

    vanish(count // 10)
    before = broker.memory_anonymous()
    vanish(count)
    answers_quickly(broker)
    grown = broker.memory_anonymous() - before
    assert grown < 32 * MEGABYTE, f"members that are gone took {grown / MEGABYTE:.0f} MB"


def test_members_of_the_new_protocol_that_vanish_in_a_loop(start_broker, topic):
    broker = start_broker({"group.consumer.max.size": 50})
    broker.create_topic(topic)
    codes = set()
    with broker.connect() as connection:
        for number in range(2000):
            codes.add(connection.ask(
                CONSUMER_GROUP_HEARTBEAT, 1, group_id=topic, member_id=f"m{number}", member_epoch=0,
                rebalance_timeout_ms=1000, subscribed_topic_names=[topic], topic_partitions=[]).error_code)
    assert codes == {0, 81}, "the group's size is the limit"
    answers_quickly(broker)


@pytest.mark.parametrize("size", [2 * MEGABYTE, 40 * MEGABYTE])
def test_metadata_of_megabytes(start_broker, topic, size):
    """It is kept or it is refused, and nobody else feels it."""
    broker = start_broker(PROMPT)
    broker.create_topic(topic, 2)
    good, = form([ClassicMember(broker, "good", [topic])], {(topic, 0), (topic, 1)})
    before = broker.memory_anonymous()
    with broker.connect(timeout=30) as connection:
        for number in range(5):
            protocols = [dict(name="range", metadata=b"m" * size)]
            try:
                reply = connection.ask(JOIN_GROUP, 3, **join_values(f"{topic}-{number}", protocols=protocols))
            except ConnectionClosed:
                break
            assert describe(broker, f"{topic}-{number}").group_state in (
                ("Dead", "Empty") if reply.error_code else ("CompletingRebalance", "Stable"))
    answers_quickly(broker, 2)
    assert good.heartbeat() == 0 and good.commit({(topic, 0): 1}) == [0]
    grown = broker.memory_anonymous() - before
    assert grown < 300 * MEGABYTE, f"metadata took {grown / MEGABYTE:.0f} MB"
    broker.kill()
    broker.start()
    good.reconnect()
    assert good.heartbeat() == 0
    good.close()


def test_ten_thousand_groups(start_broker, topic):
    """Half simple ones with an offset, half with a member; then all are listed, and all are there after a kill."""
    broker = start_broker(PROMPT)
    broker.create_topic(topic)
    before = broker.memory_anonymous()
    with broker.connect(timeout=30) as connection:
        for start in range(0, 5000, 500):
            sent = [connection.send(OFFSET_COMMIT, 8, group_id=f"simple-{n}", topics=[dict(name=topic, partitions=[
                dict(partition_index=0, committed_offset=n, committed_metadata="")])]) for n in range(start, start + 500)]
            for correlation in sent:
                assert connection.receive(OFFSET_COMMIT, 8, correlation).topics[0].partitions[0].error_code == 0
            sent = [connection.send(JOIN_GROUP, 3, **join_values(f"member-{n}", session_timeout_ms=1_800_000))
                    for n in range(start, start + 500)]
            for correlation in sent:
                assert connection.receive(JOIN_GROUP, 3, correlation).error_code == 0
        grown = broker.memory_anonymous() - before
        assert grown < 100 * MEGABYTE, f"ten thousand groups took {grown / MEGABYTE:.0f} MB"
        names = {f"{kind}-{n}" for kind in ("simple", "member") for n in range(5000)}
        assert {g.group_id for g in connection.ask(LIST_GROUPS, 5).groups} == names
        answers_quickly(broker)
    broker.kill()
    begun = time.monotonic()
    broker.start()
    assert time.monotonic() - begun < 1.0, "there is no recovery step: it must serve within a second"
    with broker.connect(timeout=30) as connection:
        assert {g.group_id for g in connection.ask(LIST_GROUPS, 5).groups} == names
        for number in (0, 4999):
            assert committed(connection, f"simple-{number}") == {(topic, 0): number}
            assert len(describe(broker, f"member-{number}").members) == 1


@pytest.mark.parametrize("name", ["", "g" * 256, "ü" * 128], ids=["empty", "256 letters", "256 bytes"])
def test_group_ids_that_cannot_be(broker, topic, name):
    broker.create_topic(topic)
    with broker.connect() as connection:
        assert connection.ask(JOIN_GROUP, 9, **join_values(name)).error_code == INVALID_GROUP_ID
        # Kafka has always let consumers without a group commit under the empty id.
        assert commit(connection, name, {(topic, 0): 1}) == [INVALID_GROUP_ID if name else 0]
        reply = connection.ask(CONSUMER_GROUP_HEARTBEAT, 1, group_id=name, member_id="m", member_epoch=0,
                               rebalance_timeout_ms=1000, subscribed_topic_names=[topic], topic_partitions=[])
        assert reply.error_code in (INVALID_GROUP_ID, INVALID_REQUEST)


@pytest.mark.parametrize("name", ["g" * 255, "a b\0c\nd", "é漢字🎈", "."], ids=["longest", "control", "letters", "dot"])
def test_group_ids_that_may_be(broker, topic, name):
    broker.create_topic(topic)
    with broker.connect() as connection:
        assert commit(connection, name, {(topic, 0): 7}) == [0]
        assert committed(connection, name) == {(topic, 0): 7}
    member, = form([ClassicMember(broker, name, [topic])], {(topic, 0)})
    assert member.leave() == 0
    member.close()


@pytest.mark.parametrize("name", ["i" * 5000, "ü" * 100, "bad\0name"], ids=["long", "wide", "control"])
def test_odd_instance_ids_are_refused_or_work(broker, topic, name):
    broker.create_topic(topic)
    member = ClassicMember(broker, topic, [topic], instance=name, version=9)
    reply = member.join()
    if reply.error_code == 0:
        assert member.heartbeat() == 0
        assert member.leave() == 0
    else:
        assert describe(broker, topic).members == []
    answers_quickly(broker)
    member.close()


def test_a_client_id_as_long_as_can_be(broker, topic):
    """The member id begins with the client id, cut so that it can be kept."""
    broker.create_topic(topic)
    with broker.connect() as connection:
        correlation = next(connection.correlations)
        header = JOIN_GROUP.header(9, correlation, client="c" * 30_000)
        connection.send_frame(header + JOIN_GROUP.encode(9, **join_values(topic)))
        reply = connection.receive(JOIN_GROUP, 9, correlation)
        assert reply.error_code == MEMBER_ID_REQUIRED and len(reply.member_id) <= 200
        assert connection.ask(JOIN_GROUP, 9, **join_values(topic, member_id=reply.member_id)).error_code == 0


def test_thousands_of_groups_asked_for_at_once(broker):
    with broker.connect() as connection:
        reply = connection.ask(DESCRIBE_GROUPS, 5, groups=[f"none-{n}" for n in range(20_000)])
    assert len(reply.groups) == 20_000 and {g.group_state for g in reply.groups} == {"Dead"}


def test_a_connection_that_ends_in_a_parked_join_holds_nobody_up_for_good(start_broker, topic):
    """The member behind it is dropped after its session timeout, and the rebalance goes on without it."""
    broker = start_broker(PROMPT | {"group.min.session.timeout.ms": 100})
    broker.create_topic(topic, 2)
    first, = form([ClassicMember(broker, topic, [topic])], {(topic, 0), (topic, 1)})
    ghost = ClassicMember(broker, topic, [topic], session_ms=500, rebalance_ms=500)
    ghost.send_join()
    ghost.close()
    first.send_join()
    assert first.receive_join().error_code == 0
    deadline = time.monotonic() + 20
    while len(first.joined.members) != 1:
        assert time.monotonic() < deadline, "the ghost stays for ever"
        first.join()
    first.close()
