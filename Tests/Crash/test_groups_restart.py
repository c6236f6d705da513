"""Judges: a restart of the broker under a running group is no rebalance (generation, epoch and assignment as before)."""

import time

import pytest

from group_clients import ConfluentMember, Witness
from members import (ILLEGAL_GENERATION, PROMPT, REBALANCE_IN_PROGRESS, ClassicMember, ConsumerMember, assert_divided,
                     committed, converge, describe, describe_consumer, form, rejoin, synchronise)
from waiting import wait_for

MEMBERS, PARTITIONS = 10, 20
SETTINGS = PROMPT | {"group.min.session.timeout.ms": 500, "group.consumer.min.session.timeout.ms": 500,
                     "group.consumer.min.heartbeat.interval.ms": 50, "group.consumer.heartbeat.interval.ms": 100}
ENDS = {"SIGTERM": lambda broker: broker.stop(), "kill -9": lambda broker: broker.kill()}


def restart(broker, end, members):
    ENDS[end](broker)
    broker.start()
    for member in members:
        member.reconnect()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_ten_classic_members(start_broker, topic, end, static):
    broker = start_broker(SETTINGS)
    broker.create_topic(topic, PARTITIONS)
    partitions = {(topic, p) for p in range(PARTITIONS)}
    members = form([ClassicMember(broker, topic, [topic], instance=f"i{n}" if static else None) for n in range(MEMBERS)],
                   partitions)
    generation, before = members[0].generation, describe(broker, topic)
    for round_number in range(3):
        for member in members:
            assert set(member.commit({where: round_number for where in member.owned})) == {0}
        restart(broker, end, members)
        after = describe(broker, topic)
        assert after.group_state == "Stable" and after.protocol_data == before.protocol_data
        assert sorted(map(str, after.members)) == sorted(map(str, before.members))
        assert {m.heartbeat() for m in members} == {0}
        assert {m.heartbeat(generation_id=generation + 1) for m in members} == {ILLEGAL_GENERATION}
        assert all(m.sync().error_code == 0 for m in members), "each can ask for its assignment again"
        assert_divided(members, partitions)
        with broker.connect() as connection:
            assert committed(connection, topic) == dict.fromkeys(partitions, round_number)
    # The group is alive, not a picture of itself: a rebalance still works, and counts on.
    gone = members.pop()
    reply = gone.leave()
    assert reply == 0
    wait_for(lambda: members[0].heartbeat() == REBALANCE_IN_PROGRESS, "the rebalance")
    assert rejoin(members) == generation + 1
    synchronise(members, partitions)
    for member in members + [gone]:
        member.close()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_ten_members_of_the_new_protocol(start_broker, topic, end, static):
    broker = start_broker(SETTINGS)
    topic_id = broker.create_topic(topic, PARTITIONS)
    partitions = {(topic_id, p) for p in range(PARTITIONS)}
    members = [ConsumerMember(broker, topic, [topic], instance=f"i{n}" if static else None) for n in range(MEMBERS)]
    for member in members:
        assert member.heartbeat().error_code == 0
    epoch = converge(members, partitions)
    before = describe_consumer(broker, topic, 1)
    for _ in range(3):
        restart(broker, end, members)
        assert str(describe_consumer(broker, topic, 1)) == str(before)
        for member in members:
            reply = member.heartbeat()
            assert (reply.error_code, reply.member_epoch, reply.assignment) == (0, epoch, None)
        assert {m.commit({(topic, p): 1 for _, p in m.owned})[0] for m in members} == {0}
    gone = members.pop()
    assert gone.leave().error_code == 0
    assert converge(members, partitions) > epoch
    for member in members + [gone]:
        member.close()


def test_members_have_their_whole_session_to_come_back(start_broker, topic):
    """However long the broker was away: what it could not hear is not held against them."""
    broker = start_broker(SETTINGS)
    broker.create_topic(topic, 2)
    partitions = {(topic, 0), (topic, 1)}
    comes, stays_away = form([ClassicMember(broker, topic, [topic], session_ms=3000) for _ in range(2)], partitions)
    broker.kill()
    # Time itself is what is tested: more than the session passes while nobody is there to count it.
    time.sleep(3.3)
    broker.start()
    comes.reconnect()
    assert comes.heartbeat() == 0
    stays_away.close()
    wait_for(lambda: comes.heartbeat() == REBALANCE_IN_PROGRESS, "who does not come back is dropped")
    rejoin([comes])
    synchronise([comes], partitions)
    comes.close()


@pytest.mark.parametrize("protocol", [dict(partition_assignment_strategy="range"),
                                      dict(partition_assignment_strategy="cooperative-sticky"),
                                      dict(group_protocol="consumer")], ids=lambda p: "-".join(p.values()))
def test_confluent_consumers_notice_nothing(start_broker, topic, protocol):
    """Real clients: no partition is given or taken, no record is taken twice, across three kills."""
    broker = start_broker(SETTINGS)
    with Witness(broker, topic) as witness:
        members = [ConfluentMember(witness, **protocol) for _ in range(3)]
        witness.wait_until_divided(*members)
        witness.produce()
        witness.wait_until_taken(*members)
        assignments, owners = witness.assignments, dict(witness.owners)
        for end in (ENDS["kill -9"], ENDS["SIGTERM"], ENDS["kill -9"]):
            end(broker)
            broker.start()
            witness.produce()
            witness.wait_until_taken(*members)
            assert (witness.assignments, witness.owners) == (assignments, owners), "there was a rebalance"
        for member in members:
            member.stop()
