"""Judges: the next-generation protocol (KIP-848) on the wire — epochs, assignment, fencing, static members, regexes."""

import pytest

from group_messages import CONSUMER_GROUP_HEARTBEAT
from members import (FENCED_INSTANCE_ID, FENCED_MEMBER_EPOCH, GROUP_ID_NOT_FOUND, GROUP_MAX_SIZE_REACHED, INVALID_REQUEST,
                     PROMPT, REBALANCE_IN_PROGRESS, STALE_MEMBER_EPOCH, UNKNOWN_MEMBER_ID, UNRELEASED_INSTANCE_ID, UNSUPPORTED_ASSIGNOR,
                     ClassicMember, ConsumerMember, assert_divided, committed, converge, describe, describe_consumer, form)
from waiting import wait_for
from messages import API_VERSIONS, CREATE_PARTITIONS

PARTITIONS = 6
INVALID_REGULAR_EXPRESSION = 128
BROKER_SETTINGS = PROMPT | {"group.consumer.min.heartbeat.interval.ms": 50, "group.consumer.heartbeat.interval.ms": 100}


class Group:
    """A topic, a group of the same name, and members that end with the test."""

    def __init__(self, broker, topic):
        self.broker, self.topic, self.members = broker, topic, []
        self.topic_id = broker.create_topic(topic, PARTITIONS)
        self.partitions = {(self.topic_id, p) for p in range(PARTITIONS)}

    def member(self, **options):
        self.members.append(ConsumerMember(self.broker, self.topic, **dict(topics=[self.topic]) | options))
        return self.members[-1]

    def stable(self, count, **options):
        members = [self.member(**options) for _ in range(count)]
        for member in members:
            assert member.heartbeat().error_code == 0
        converge(members, self.partitions)
        return members

    def described(self, version=0):
        return describe_consumer(self.broker, self.topic, version)


@pytest.fixture
def group(broker, topic):
    group = Group(broker, topic)
    yield group
    for member in group.members:
        member.close()


def test_the_feature_is_finalised(broker):
    """Java clients look for group.version before they speak the protocol."""
    with broker.connect() as connection:
        reply = connection.ask(API_VERSIONS, 4, client_software_name="wire", client_software_version="1")
    assert {f.name: f.max_version_level for f in reply.finalized_features}["group.version"] == 1


@pytest.mark.parametrize("version", [0, 1])
def test_a_single_member_gets_everything_at_once(group, version):
    member = group.member(version=version)
    reply = member.heartbeat()
    assert (reply.error_code, reply.member_epoch, reply.heartbeat_interval_ms) == (0, 1, 100)
    assert reply.member_id == member.member_id and member.member_id
    converge([member], group.partitions)
    again = member.heartbeat()
    assert again.assignment is None, "what is known is not told again"
    left = member.leave()
    assert (left.error_code, left.member_epoch) == (0, -1)


def test_members_share_and_nothing_is_owned_twice(group):
    members = group.stable(3)
    assert [len(m.owned) for m in members] == [2, 2, 2]
    epoch = members[0].epoch
    assert members.pop().leave().error_code == 0
    converge(members, group.partitions)
    assert [len(m.owned) for m in members] == [3, 3] and members[0].epoch > epoch
    newcomer = group.member()
    newcomer.heartbeat()
    kept = [set(m.owned) for m in members]
    converge(members + [newcomer], group.partitions)
    assert all(m.owned < before for m, before in zip(members, kept)), "a rebalance only takes away what moves"


def test_a_partition_is_given_only_after_it_was_let_go(group):
    """Epochs are per member: the newcomer waits while the owner still reports the partition."""
    owner, = group.stable(1)
    newcomer = group.member()
    newcomer.heartbeat()
    assert newcomer.owned == set()
    before = set(owner.owned)
    reply = owner.heartbeat()
    while reply.assignment is None:
        reply = owner.heartbeat()
    kept, going = set(owner.owned), before - owner.owned
    assert len(going) == 3
    for _ in range(3):
        newcomer.heartbeat()
        assert newcomer.owned == set(), "the owner has not said that it let them go"
    assert owner.heartbeat().error_code == 0 and owner.owned == kept
    wait_for(lambda: newcomer.heartbeat().error_code == 0 and newcomer.owned == going, "the newcomer gets them")


def test_stale_and_future_epochs(group):
    members = group.stable(2)
    member = members[0]
    assert member.heartbeat(member_epoch=member.epoch + 1).error_code == FENCED_MEMBER_EPOCH
    assert member.heartbeat(member_epoch=0x7FFFFFFF).error_code == FENCED_MEMBER_EPOCH
    for epoch in (member.epoch + 1, 0x7FFFFFFF, 0):
        assert member.commit({(group.topic, 0): 1}, generation_id_or_member_epoch=epoch) == [STALE_MEMBER_EPOCH]
    assert member.heartbeat().error_code == 0, "the member itself is not harmed"
    third = group.member()
    third.heartbeat()
    old = members[1].epoch
    converge([*members, third], group.partitions)
    assert members[1].epoch > old
    assert members[1].commit({(group.topic, 0): 1}, generation_id_or_member_epoch=old) == [STALE_MEMBER_EPOCH]
    full = [dict(topic_id=group.topic_id, partitions=list(range(PARTITIONS)))]
    assert members[1].heartbeat(member_epoch=old, topic_partitions=full).error_code == FENCED_MEMBER_EPOCH
    assert members[1].commit({(group.topic, 0): 7}) == [0]


def test_a_lost_reply_does_not_fence(group):
    """Who never saw its epoch go up says the one before, owning no more than it may, and goes on."""
    first, = group.stable(1)
    second = group.member()
    second.heartbeat()
    epoch, owned = first.epoch, set(first.owned)
    while first.heartbeat().assignment is None:
        pass
    lost = set(first.owned)
    first.heartbeat()
    assert first.epoch > epoch
    first.epoch, first.told = epoch, None
    assert first.owned == lost < owned
    assert first.heartbeat().error_code == 0
    converge([first, second], group.partitions)


def test_an_unknown_group_or_member(group):
    stranger = group.member()
    stranger.epoch = 5
    assert stranger.heartbeat().error_code == GROUP_ID_NOT_FOUND
    group.stable(1)
    assert stranger.heartbeat().error_code == UNKNOWN_MEMBER_ID
    assert stranger.commit({(group.topic, 0): 1}) == [UNKNOWN_MEMBER_ID]


@pytest.mark.parametrize("change", [
    dict(group_id=""), dict(rebalance_timeout_ms=-1), dict(subscribed_topic_names=None), dict(topic_partitions=None),
    dict(member_id=""), dict(member_epoch=-3), dict(instance_id=""), dict(rack_id=""), dict(member_id="", member_epoch=1),
    dict(member_epoch=-2)], ids=str)
def test_requests_that_make_no_sense(group, change):
    member = group.member()
    reply = member.heartbeat(full=True, **change)
    assert reply.error_code == INVALID_REQUEST and reply.error_message, reply
    assert group.described().error_code == GROUP_ID_NOT_FOUND, "nothing was made"


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_each_assignor(group, assignor):
    members = group.stable(4, assignor=assignor)
    assert sorted(len(m.owned) for m in members) == [1, 1, 2, 2]
    assert group.described().assignor_name == assignor


def test_range_gives_the_same_numbers_of_each_topic(group):
    """Co-partitioning: who has partition 3 of one topic has partition 3 of the other, so that joins are local."""
    other = group.topic + "-other"
    other_id = group.broker.create_topic(other, PARTITIONS)
    wanted = group.partitions | {(other_id, p) for p in range(PARTITIONS)}
    members = [group.member(topics=[group.topic, other], assignor="range") for _ in range(3)]
    for member in members:
        assert member.heartbeat().error_code == 0
    converge(members, wanted)
    for member in members:
        one, two = ({p for t, p in member.owned if t == topic_id} for topic_id in (group.topic_id, other_id))
        assert one == two and len(one) == PARTITIONS // 3


def test_an_unknown_assignor(group):
    reply = group.member(assignor="guess").heartbeat()
    assert reply.error_code == UNSUPPORTED_ASSIGNOR
    assert "uniform" in reply.error_message and "range" in reply.error_message


def test_the_group_is_limited_in_size(start_broker, topic):
    broker = start_broker({"group.consumer.max.size": 2})
    broker.create_topic(topic, 2)
    members = [ConsumerMember(broker, topic, [topic]) for _ in range(3)]
    assert [m.heartbeat().error_code for m in members] == [0, 0, GROUP_MAX_SIZE_REACHED]
    for member in members:
        member.close()


def test_who_is_silent_for_the_session_timeout_is_dropped(start_broker, topic):
    broker = start_broker({"group.consumer.min.session.timeout.ms": 500, "group.consumer.session.timeout.ms": 1000,
                           "group.consumer.min.heartbeat.interval.ms": 50, "group.consumer.heartbeat.interval.ms": 100})
    topic_id = broker.create_topic(topic, 2)
    silent, alive = (ConsumerMember(broker, topic, [topic]) for _ in range(2))
    silent.heartbeat()
    alive.heartbeat()
    converge([silent, alive], {(topic_id, 0), (topic_id, 1)})
    wait_for(lambda: alive.heartbeat().error_code == 0 and len(alive.owned) == 2, "the silent one's partitions move")
    assert silent.heartbeat().error_code == UNKNOWN_MEMBER_ID
    silent.close()
    alive.close()


def test_who_does_not_let_go_in_time_is_fenced(group):
    """The rebalance timeout bounds how long the others wait for a partition."""
    stubborn, = group.stable(1, rebalance_ms=1000)
    newcomer = group.member()
    newcomer.heartbeat()
    all_of_it = [dict(topic_id=group.topic_id, partitions=list(range(PARTITIONS)))]

    def fenced():
        return stubborn.heartbeat(topic_partitions=all_of_it).error_code in (UNKNOWN_MEMBER_ID, FENCED_MEMBER_EPOCH)

    wait_for(fenced, "the one that keeps its partitions is fenced")
    stubborn.owned = set()
    converge([newcomer], group.partitions)


def test_new_partitions_and_new_topics_are_assigned(group):
    members = group.stable(2)
    epoch = members[0].epoch
    with group.broker.connect() as connection:
        reply = connection.ask(CREATE_PARTITIONS, 3, timeout_ms=5000, topics=[
            dict(name=group.topic, count=PARTITIONS + 2, assignments=None)])
        assert reply.results[0].error_code == 0
    wanted = {(group.topic_id, p) for p in range(PARTITIONS + 2)}
    assert converge(members, wanted) > epoch
    later = group.topic + "-later"
    for member in members:
        member.topics = [group.topic, later]
        member.heartbeat(full=True)
    converge(members, wanted)
    later_id = group.broker.create_topic(later, 2)
    converge(members, wanted | {(later_id, 0), (later_id, 1)})


def test_regular_expressions(group):
    base = group.topic
    ids = {name: group.broker.create_topic(f"{base}-{name}", 1) for name in ("red-1", "red-2", "blue")}
    member = group.member(topics=[], regex=f"{base}-red-[0-9]+")
    assert member.heartbeat().error_code == 0
    converge([member], {(ids["red-1"], 0), (ids["red-2"], 0)})
    late = group.broker.create_topic(f"{base}-red-33", 1)
    converge([member], {(ids["red-1"], 0), (ids["red-2"], 0), (late, 0)})
    member.regex = f"{base}-blue|{base}"
    member.heartbeat(full=True)
    converge([member], group.partitions | {(ids["blue"], 0)})
    shown, = group.described().members
    assert shown.subscribed_topic_regex == member.regex


def test_a_bad_regular_expression(group):
    reply = group.member(topics=[], regex="(((").heartbeat()
    assert reply.error_code == INVALID_REGULAR_EXPRESSION and reply.error_message


# Static members (KIP-848 §static): leaving with -2 keeps the partitions for the same instance.


def test_a_static_member_comes_back_to_its_partitions(group):
    members = [group.member(instance=f"i{n}") for n in range(3)]
    for member in members:
        member.heartbeat()
    epoch = converge(members, group.partitions)
    gone = members[1]
    owned = set(gone.owned)
    reply = gone.leave(temporarily=True)
    assert (reply.error_code, reply.member_epoch) == (0, -2)
    for other in (members[0], members[2]):
        assert other.heartbeat().error_code == 0 and other.epoch == epoch, "its leaving moves nothing"
    back = group.member(instance="i1")
    assert back.heartbeat().error_code == 0
    wait_for(lambda: back.heartbeat().error_code == 0 and back.owned == owned, "its own partitions")
    members[1] = back
    assert converge(members, group.partitions) == epoch
    gone.epoch = epoch
    assert gone.heartbeat().error_code in (FENCED_INSTANCE_ID, UNKNOWN_MEMBER_ID)


def test_an_instance_in_use_is_not_released(group):
    member, = group.stable(1, instance="one")
    assert group.member(instance="one").heartbeat().error_code == UNRELEASED_INSTANCE_ID
    assert member.heartbeat().error_code == 0
    thief = group.member(instance="one")
    thief.epoch = member.epoch
    assert thief.heartbeat().error_code == FENCED_INSTANCE_ID


def test_a_group_is_described(group):
    members = group.stable(2)
    for version in (0, 1):
        described = group.described(version)
        assert (described.error_code, described.group_state, described.assignor_name) == (0, "Stable", "uniform")
        assert described.group_epoch == described.assignment_epoch == members[0].epoch
        shown = {m.member_id: m for m in described.members}
        assert set(shown) == {m.member_id for m in members}
        for member in members:
            entry = shown[member.member_id]
            assert (entry.member_epoch, entry.client_id, entry.subscribed_topic_names) == (
                member.epoch, "wire-test", [group.topic])
            assert entry.client_host.startswith("/127.0.0.1")
            for part in (entry.assignment, entry.target_assignment):
                assert {(t.topic_id, p) for t in part.topic_partitions for p in t.partitions} == member.owned
                assert {t.topic_name for t in part.topic_partitions} == {group.topic}
            if version == 1:
                assert entry.member_type == 1
    assert describe_consumer(group.broker, "no-such-group").error_code == GROUP_ID_NOT_FOUND


def test_commits_of_a_member_count_for_the_group(group):
    first, second = group.stable(2)
    assert first.commit({(group.topic, p): 10 + p for p in range(3)}) == [0, 0, 0]
    assert second.commit({(group.topic, 5): 5}) == [0]
    with group.broker.connect() as connection:
        assert committed(connection, group.topic) == {(group.topic, 0): 10, (group.topic, 1): 11, (group.topic, 2): 12,
                                                      (group.topic, 5): 5}


# The online move of a group between the protocols.


def share(old, new, topic):
    """A classic (eager) member and one of the new protocol move on until they have divided the topic."""
    def divided():
        if old.heartbeat() != 0:
            old.owned = set()
            assert old.join().error_code == 0, old.joined
            old.sync({})
        assert new.heartbeat().error_code == 0
        theirs = {(topic, partition) for _, partition in new.owned}
        assert not theirs & old.owned, "a partition has two owners"
        return len(theirs) == len(old.owned) == PARTITIONS // 2

    wait_for(divided, lambda: f"a division between {old.owned} and {new.owned}")


def test_a_classic_group_moves_to_the_new_protocol_and_back(group):
    old = form([ClassicMember(group.broker, group.topic, [group.topic])], {(group.topic, p) for p in range(PARTITIONS)})[0]
    assert old.commit({(group.topic, 0): 3}) == [0]
    new = group.member()
    assert new.heartbeat().error_code == 0, "a member of the new protocol converts the group"
    assert len(group.described().members) == 2
    share(old, new, group.topic)
    assert old.commit({(group.topic, 1): 4}) == [0] and new.commit({(group.topic, 2): 5}) == [0]
    assert new.leave().error_code == 0
    assert group.described().error_code == GROUP_ID_NOT_FOUND, "only classic members are left: it is classic again"
    wait_for(lambda: old.heartbeat() == REBALANCE_IN_PROGRESS, "the classic member is told to rejoin")
    form([old], {(group.topic, p) for p in range(PARTITIONS)})
    assert describe(group.broker, group.topic).group_state == "Stable"
    with group.broker.connect() as connection:
        assert committed(connection, group.topic) == {(group.topic, 0): 3, (group.topic, 1): 4, (group.topic, 2): 5}
    old.close()


def test_a_classic_member_may_join_a_group_of_the_new_protocol(group):
    new, = group.stable(1)
    old = ClassicMember(group.broker, group.topic, [group.topic])
    assert old.join().error_code == 0
    old.sync({})
    share(old, new, group.topic)
    shown = {m.member_id: m.member_type for m in group.described(1).members}
    assert shown == {old.member_id: 0, new.member_id: 1}
    old.close()


def test_a_group_stays_what_it_is_where_moving_is_disabled(start_broker, topic):
    broker = start_broker(PROMPT | {"group.consumer.migration.policy": "disabled"})
    broker.create_topic(topic, 1)
    old = form([ClassicMember(broker, topic, [topic])], {(topic, 0)})[0]
    new = ConsumerMember(broker, topic, [topic])
    assert new.heartbeat().error_code == GROUP_ID_NOT_FOUND
    assert old.heartbeat() == 0
    old.close()
    new.close()


def test_an_empty_classic_group_becomes_one_of_the_new_protocol_with_its_offsets(group):
    names = {(group.topic, p) for p in range(PARTITIONS)}
    old = form([ClassicMember(group.broker, group.topic, [group.topic])], names)[0]
    assert old.commit({(group.topic, 2): 22}) == [0]
    assert old.leave() == 0
    old.close()
    member, = group.stable(1)
    assert_divided([member], group.partitions)
    with group.broker.connect() as connection:
        assert committed(connection, group.topic, group.topic, [2]) == {(group.topic, 2): 22}


def test_version_zero_gives_the_member_its_id(broker, topic):
    broker.create_topic(topic)
    with broker.connect() as connection:
        ids = {connection.ask(CONSUMER_GROUP_HEARTBEAT, 0, group_id=topic, member_id="", member_epoch=0,
                              rebalance_timeout_ms=1000, subscribed_topic_names=[topic], topic_partitions=[]).member_id
               for _ in range(2)}
    assert len(ids) == 2 and all(ids)
