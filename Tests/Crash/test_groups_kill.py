"""Judges: kill -9 between any two steps of a rebalance; the group goes on, and no generation means two things."""

import random
import time

import pytest

from broker import verify
from group_messages import CONSUMER_GROUP_HEARTBEAT, HEARTBEAT, LEAVE_GROUP
from live_member import History, LiveMember, settle
from members import PROMPT, ClassicMember, ConsumerMember, committed, converge, describe, round_robin
from waiting import wait_for

PARTITIONS = 6
SETTINGS = PROMPT | {"group.min.session.timeout.ms": 500, "group.consumer.min.session.timeout.ms": 500,
                     "group.consumer.session.timeout.ms": 5000, "group.consumer.min.heartbeat.interval.ms": 50,
                     "group.consumer.heartbeat.interval.ms": 100}


class Rebalance:
    """Two members of a classic group and a third that comes, one step at a time.

    A step that ends in `_sent` does not wait for the reply: the kill may meet the request anywhere.
    """

    STEPS = ["first_joined", "first_synced", "second_id", "second_join_sent", "first_rejoin_sent", "both_joined",
             "follower_sync_sent", "leader_sync_sent", "both_synced", "committed", "third_join_sent", "leave_sent"]

    def __init__(self, broker, topic):
        self.broker, self.topic, self.history = broker, topic, History()
        self.partitions = {(topic, p) for p in range(PARTITIONS)}
        self.first, self.second, self.third = (
            ClassicMember(broker, topic, [topic], session_ms=3000, rebalance_ms=3000) for _ in range(3))
        self.members = [self.first, self.second]

    def roles(self):
        return sorted(self.members, key=lambda m: m.leads)

    def first_joined(self):
        assert self.first.join().error_code == 0
        self.history.note_join(self.first)

    def first_synced(self):
        assert self.first.sync({self.first.member_id: self.partitions}).error_code == 0
        self.history.note_assignment(self.first)

    def second_id(self):
        self.second.obtain_id()

    def second_join_sent(self):
        self.second.send_join()
        wait_for(lambda: len(describe(self.broker, self.topic).members) == 2, "the second in the group")

    def first_rejoin_sent(self):
        self.first.send_join()

    def both_joined(self):
        for member in self.members:
            assert member.receive_join().error_code == 0
            member.owned = set()
            self.history.note_join(member)

    def follower_sync_sent(self):
        self.roles()[0].send_sync()

    def leader_sync_sent(self):
        self.roles()[1].send_sync(round_robin([m.member_id for m in self.members], self.partitions))

    def both_synced(self):
        for member in self.members:
            assert member.receive_sync().error_code == 0
            self.history.note_assignment(member)

    def committed(self):
        for member in self.members:
            assert set(member.commit({where: 7 for where in member.owned})) == {0}

    def third_join_sent(self):
        self.third.send_join()
        self.members.append(self.third)

    def leave_sent(self):
        gone = self.members.pop(0)
        gone.connection.send(LEAVE_GROUP, 5, group_id=self.topic, members=[dict(member_id=gone.member_id)])


@pytest.mark.parametrize("last", Rebalance.STEPS)
def test_a_classic_rebalance_killed_after_each_step(start_broker, topic, last):
    broker = start_broker(SETTINGS)
    broker.create_topic(topic, PARTITIONS)
    rebalance = Rebalance(broker, topic)
    steps = Rebalance.STEPS[:Rebalance.STEPS.index(last) + 1]
    for step in steps:
        getattr(rebalance, step)()
    broker.kill()
    verify(broker.directory)
    broker.start()
    for member in rebalance.members:
        member.reconnect()
    settle(rebalance.members, rebalance.partitions, rebalance.history)
    if "committed" in steps:
        with broker.connect() as connection:
            assert committed(connection, topic) == dict.fromkeys(rebalance.partitions, 7)


@pytest.mark.parametrize("seed", range(3))
def test_a_group_that_lives_through_kills_at_random_moments(start_broker, topic, seed):
    """Five members that come and go while the broker is killed: one owner per partition and generation."""
    chance = random.Random(seed)
    broker = start_broker(SETTINGS)
    broker.create_topic(topic, PARTITIONS)
    partitions, history = {(topic, p) for p in range(PARTITIONS)}, History()
    members = [ClassicMember(broker, topic, [topic], session_ms=1500, rebalance_ms=3000) for _ in range(5)]
    living = [LiveMember(member, partitions, history) for member in members]
    for round_number in range(10):
        before = [one.beats for one in living]
        wanted = 5 if round_number % 3 == 0 else 1
        wait_for(lambda: sum(one.stable and one.beats > count for one, count in zip(living, before)) >= wanted,
                 lambda: f"{wanted} members are stable; failures {[one.failure for one in living]}", 40)
        chance.choice(living).disturb()
        # The moment is what is random: the kill meets the leave, the joins or the syncs that follow.
        time.sleep(chance.uniform(0, 0.1))
        broker.kill()
        broker.start()
    for one in living:
        one.finish.set()
    for one in living:
        one.join(30)
        assert one.failure is None, one.failure
    settle(members, partitions, history)


class Reconciliation:
    """The same for the next-generation protocol: one member has all, a second comes, partitions move, the first goes."""

    STEPS = ["first_join_sent", "first_owns", "second_join_sent", "second_joined", "first_told", "first_let_go_sent",
             "first_let_go", "second_owns", "second_said_so_sent", "settled", "committed", "first_leave_sent"]

    def __init__(self, broker, topic, topic_id):
        self.broker, self.topic = broker, topic
        self.partitions = {(topic_id, p) for p in range(PARTITIONS)}
        self.first, self.second = (ConsumerMember(broker, topic, [topic]) for _ in range(2))
        self.members = [self.first]

    def send(self, member):
        member.connection.send(CONSUMER_GROUP_HEARTBEAT, 1, **member.values(member.epoch <= 0))

    def first_join_sent(self):
        self.send(self.first)
        self.first.reconnect()

    def first_owns(self):
        converge([self.first], self.partitions)

    def second_join_sent(self):
        self.members.append(self.second)
        self.send(self.second)
        self.second.reconnect()

    def second_joined(self):
        assert self.second.heartbeat().error_code == 0

    def first_told(self):
        wait_for(lambda: self.first.heartbeat().error_code == 0 and len(self.first.owned) == PARTITIONS // 2,
                 "the first is told to let go")

    def first_let_go_sent(self):
        self.send(self.first)

    def first_let_go(self):
        self.first.reconnect()
        assert self.first.heartbeat().error_code == 0

    def second_owns(self):
        wait_for(lambda: self.second.heartbeat().error_code == 0 and self.second.owned, "the second has its part")

    def second_said_so_sent(self):
        self.send(self.second)

    def settled(self):
        self.second.reconnect()
        converge(self.members, self.partitions)

    def committed(self):
        for member in self.members:
            assert set(member.commit({(self.topic, p): 7 for _, p in member.owned})) == {0}

    def first_leave_sent(self):
        self.members.remove(self.first)
        self.first.owned = set()
        self.first.connection.send(CONSUMER_GROUP_HEARTBEAT, 1, group_id=self.topic, member_id=self.first.member_id,
                                   member_epoch=-1)


@pytest.mark.parametrize("last", Reconciliation.STEPS)
def test_a_reconciliation_killed_after_each_step(start_broker, topic, last):
    broker = start_broker(SETTINGS)
    topic_id = broker.create_topic(topic, PARTITIONS)
    story = Reconciliation(broker, topic, topic_id)
    steps = Reconciliation.STEPS[:Reconciliation.STEPS.index(last) + 1]
    for step in steps:
        getattr(story, step)()
    epochs = [m.epoch for m in story.members]
    broker.kill()
    verify(broker.directory)
    broker.start()
    for member in story.members:
        member.reconnect()
        assert member.heartbeat(full=True).error_code == 0, "no member is fenced because the broker was killed"
    converge(story.members, story.partitions)
    assert all(m.epoch >= before for m, before in zip(story.members, epochs)), "an epoch never goes back"
    if "committed" in steps:
        with broker.connect() as connection:
            assert set(committed(connection, topic).values()) == {7}
    for member in (story.first, story.second):
        member.close()


def test_a_parked_join_is_asked_again_after_a_kill(start_broker, topic):
    """Who waits in a rebalance when the broker dies learns of it by its connection, not by its patience."""
    broker = start_broker(SETTINGS)
    broker.create_topic(topic, PARTITIONS)
    story = Rebalance(broker, topic)
    for step in Rebalance.STEPS[:4]:
        getattr(story, step)()
    broker.kill()
    story.second.connection.expect_close(5)
    broker.start()
    story.first.reconnect()
    assert story.first.ask(HEARTBEAT, 4, group_id=topic, generation_id=1, member_id=story.first.member_id).error_code in (0, 27)
    story.second.reconnect()
    settle(story.members, story.partitions, story.history)
