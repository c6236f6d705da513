"""Judges: the classic group protocol on the wire — joining, ids, generations, static members, refusals."""

import pytest

from group_messages import GROUP_APIS, HEARTBEAT, JOIN_GROUP, LEAVE_GROUP, SYNC_GROUP, assigned, subscription
from members import (FENCED_INSTANCE_ID, GROUP_MAX_SIZE_REACHED, ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL,
                     INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, MEMBER_ID_REQUIRED, PROMPT, REBALANCE_IN_PROGRESS,
                     UNKNOWN_MEMBER_ID, ClassicMember, assert_divided, describe, form, rejoin, synchronise)
from waiting import wait_for

PARTITIONS = 6
BROKER_SETTINGS = PROMPT


class Group:
    """A topic, a group of the same name, and members that end with the test."""

    def __init__(self, broker, topic):
        self.broker, self.topic, self.members = broker, topic, []
        broker.create_topic(topic, PARTITIONS)
        self.partitions = {(topic, p) for p in range(PARTITIONS)}

    def member(self, **options):
        self.members.append(ClassicMember(self.broker, self.topic, [self.topic], **options))
        return self.members[-1]

    def stable(self, count, **options):
        return form([self.member(**options) for _ in range(count)], self.partitions)

    def state(self):
        return describe(self.broker, self.topic).group_state


@pytest.fixture
def group(broker, topic):
    group = Group(broker, topic)
    yield group
    for member in group.members:
        member.close()


@pytest.mark.parametrize("version", range(10))
def test_a_group_lives_in_each_version(group, version):
    """Join, sync, heartbeat, grow, leave: in JoinGroup's version and the newest of the others that is no newer."""
    first, second = group.stable(2, version=version)
    assert first.generation == second.generation == 2
    assert first.heartbeat() == second.heartbeat() == 0
    assert len(first.owned) == len(second.owned) == PARTITIONS // 2
    leader = first if first.leads else second
    assert {m.member_id for m in leader.joined.members} == {first.member_id, second.member_id}
    assert {m.metadata for m in leader.joined.members} == {subscription([group.topic])}
    if version >= 7:
        assert leader.joined.protocol_type == "consumer"
    assert second.leave() == 0
    wait_for(lambda: first.heartbeat() == REBALANCE_IN_PROGRESS, "the one that stays is told")
    rejoin([first])
    synchronise([first], group.partitions)
    assert first.leave() == 0
    assert group.state() in ("Empty", "Dead")


def test_only_the_leader_sees_the_members(group):
    members = group.stable(3)
    for member in members:
        assert bool(member.joined.members) == member.leads
        assert member.joined.leader == members[0].leader


def test_an_id_is_required_from_version_4_on(group):
    """KIP-394: the id comes first, and only then is there a member."""
    member = group.member()
    reply = member.ask(JOIN_GROUP, 9, **member.join_values())
    assert (reply.error_code, reply.generation_id) == (MEMBER_ID_REQUIRED, -1)
    assert reply.member_id.startswith("wire-test-") and len(reply.member_id) > len("wire-test-")
    assert describe(group.broker, group.topic).members == []
    member.member_id = reply.member_id
    assert member.join().error_code == 0
    again = group.member()
    assert again.obtain_id().member_id != member.member_id


def test_before_version_4_the_first_join_counts(group):
    member = group.member(version=3)
    reply = member.join()
    assert (reply.error_code, reply.generation_id) == (0, 1) and reply.member_id


def test_generations_count_up_and_are_never_used_twice(group):
    members = group.stable(2)
    seen = [members[0].generation]
    for _ in range(5):
        # A leader that rejoins makes a rebalance, even where nothing has changed.
        leader = next(m for m in members if m.leads)
        leader.send_join()
        other, = [m for m in members if m is not leader]
        wait_for(lambda: other.heartbeat() == REBALANCE_IN_PROGRESS, "the other is told to rejoin")
        other.send_join()
        assert leader.receive_join().error_code == other.receive_join().error_code == 0
        synchronise(members, group.partitions)
        seen.append(members[0].generation)
    assert seen == list(range(seen[0], seen[0] + 6))


def test_a_follower_that_rejoins_unchanged_gets_its_generation_again(group):
    members = group.stable(2)
    follower = next(m for m in members if not m.leads)
    before = follower.generation
    assert follower.join().error_code == 0
    assert follower.generation == before and group.state() == "Stable"
    assert follower.sync().error_code == 0, "the kept assignment is handed out again"
    assert_divided(members, group.partitions)


def test_a_stale_or_future_generation_is_illegal(group):
    first, second = group.stable(2)
    for wrong in (first.generation - 1, first.generation + 1, 0x7FFFFFFF, -1):
        assert first.heartbeat(generation_id=wrong) == ILLEGAL_GENERATION
        assert first.sync(generation_id=wrong).error_code == ILLEGAL_GENERATION
        assert set(first.commit({(group.topic, 0): 1}, generation_id_or_member_epoch=wrong)) == {ILLEGAL_GENERATION}
    assert first.heartbeat() == second.heartbeat() == 0


def test_an_unknown_member_is_told_so(group):
    first, = group.stable(1)
    assert first.heartbeat(member_id="nobody") == UNKNOWN_MEMBER_ID
    assert first.sync(member_id="nobody").error_code == UNKNOWN_MEMBER_ID
    assert first.join(member_id="nobody").error_code == UNKNOWN_MEMBER_ID
    assert first.commit({(group.topic, 0): 1}, member_id="nobody") == [UNKNOWN_MEMBER_ID]
    assert first.heartbeat() == 0


def test_an_unknown_group(group):
    member = group.member()
    member.member_id, member.generation = "nobody", 3
    assert member.heartbeat() == UNKNOWN_MEMBER_ID
    assert member.ask(SYNC_GROUP, 3, group_id=group.topic, generation_id=3, member_id="nobody").error_code == UNKNOWN_MEMBER_ID
    assert member.leave() == UNKNOWN_MEMBER_ID
    assert member.join().error_code == UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("api", ["JoinGroup", "SyncGroup", "Heartbeat", "LeaveGroup"])
def test_an_empty_group_id_is_invalid_in_each_version(broker, api):
    api = next(a for a in GROUP_APIS.values() if a.name == api)
    values = {"JoinGroup": dict(session_timeout_ms=10_000, protocol_type="consumer",
                                protocols=[dict(name="range", metadata=b"")]),
              "SyncGroup": dict(generation_id=1, member_id="m"), "Heartbeat": dict(generation_id=1, member_id="m"),
              "LeaveGroup": {}}[api.name]
    last = {"JoinGroup": 9, "SyncGroup": 5, "Heartbeat": 4, "LeaveGroup": 5}[api.name]
    with broker.connect() as connection:
        for version in range(last + 1):
            if api.name == "SyncGroup" and version == 5:
                assert connection.ask(api, version, group_id="", **values).error_code == INCONSISTENT_PROTOCOL
                values |= dict(protocol_type="consumer", protocol_name="range")
            assert connection.ask(api, version, group_id="", **values).error_code == INVALID_GROUP_ID


@pytest.mark.parametrize("session_ms", [-1, 0, 1, 5999, 1_800_001, 0x7FFFFFFF])
def test_an_absurd_session_timeout_is_invalid(group, session_ms):
    assert group.member(version=3, session_ms=session_ms).join().error_code == INVALID_SESSION_TIMEOUT
    newer = group.member(version=9, session_ms=session_ms)
    assert newer.ask(JOIN_GROUP, 9, **newer.join_values()).error_code == INVALID_SESSION_TIMEOUT
    assert group.state() == "Dead"


def test_no_protocols_or_no_type_is_inconsistent(group):
    member = group.member(version=3)
    assert member.join(protocols=[]).error_code == INCONSISTENT_PROTOCOL
    assert member.join(protocol_type="").error_code == INCONSISTENT_PROTOCOL


def test_another_protocol_type_or_no_common_protocol_is_inconsistent(group):
    first, = group.stable(1, protocols=("range", "roundrobin"))
    other = group.member(version=3)
    assert other.join(protocol_type="connect").error_code == INCONSISTENT_PROTOCOL
    assert other.join(protocols=[dict(name="sticky", metadata=b"")]).error_code == INCONSISTENT_PROTOCOL
    assert first.heartbeat() == 0, "a refused member disturbs nobody"
    assert first.sync(protocol_type="connect").error_code == INCONSISTENT_PROTOCOL
    assert first.sync(protocol_name="sticky").error_code == INCONSISTENT_PROTOCOL


@pytest.mark.parametrize("first, second, chosen", [
    (("range", "roundrobin"), ("roundrobin", "range"), {"range", "roundrobin"}),
    (("range", "roundrobin"), ("roundrobin",), {"roundrobin"}),
    (("sticky", "range"), ("cooperative-sticky", "range"), {"range"}),
])
def test_the_protocol_is_one_that_all_have(group, first, second, chosen):
    members = form([group.member(protocols=first), group.member(protocols=second)], group.partitions)
    name, = {m.joined.protocol_name for m in members}
    assert name in chosen
    assert describe(group.broker, group.topic).protocol_data == name


def test_most_votes_choose_the_protocol(group):
    members = form([group.member(protocols=("range", "roundrobin")), group.member(protocols=("roundrobin", "range")),
                    group.member(protocols=("roundrobin", "range"))], group.partitions)
    assert {m.joined.protocol_name for m in members} == {"roundrobin"}


def test_a_sync_waits_for_the_leaders_and_a_heartbeat_meanwhile_is_fine(group):
    members = [group.member(), group.member()]
    form(members[:1], group.partitions)
    rejoin(members[:1], members[1:])
    follower = next(m for m in members if not m.leads)
    leader = next(m for m in members if m.leads)
    assert group.state() == "CompletingRebalance"
    assert leader.heartbeat() == 0
    assert leader.commit({(group.topic, 0): 1}) == [REBALANCE_IN_PROGRESS], "the new owners are not known yet"
    follower.send_sync()
    follower.connection.expect_silence(0.1)
    assert leader.sync({leader.member_id: group.partitions}).error_code == 0
    assert follower.receive_sync().error_code == 0 and follower.owned == set(), "who is not named gets nothing"


def test_a_join_during_the_sync_ends_it(group):
    """Followers that wait for the leader's assignment are sent back when a member comes."""
    members = [group.member() for _ in range(3)]
    form(members[:1], group.partitions)
    rejoin(members[:1], members[1:2])
    follower, leader = sorted(members[:2], key=lambda m: m.leads)
    follower.send_sync()
    newcomer = members[2].send_join()
    assert follower.receive_sync().error_code == REBALANCE_IN_PROGRESS
    assert leader.sync({leader.member_id: group.partitions}).error_code == REBALANCE_IN_PROGRESS
    rejoin_all = [follower.send_join(), leader.send_join(), newcomer]
    assert {m.receive_join().error_code for m in rejoin_all} == {0}
    synchronise(members, group.partitions)


def test_who_does_not_rejoin_in_time_is_dropped(group):
    gone = group.member(rebalance_ms=1500)
    form([gone], group.partitions)
    stays = group.member(rebalance_ms=1500)
    assert stays.join().error_code == 0, "the rebalance ends with the rebalance timeout, not with the session"
    assert stays.leads and [m.member_id for m in stays.joined.members] == [stays.member_id]
    assert gone.heartbeat() == UNKNOWN_MEMBER_ID


def test_who_is_silent_for_the_session_timeout_is_dropped(start_broker, topic):
    broker = start_broker(PROMPT | {"group.min.session.timeout.ms": 500})
    broker.create_topic(topic, 2)
    silent, alive = form([ClassicMember(broker, topic, [topic], session_ms=ms) for ms in (3000, 30_000)],
                         {(topic, 0), (topic, 1)})
    wait_for(lambda: alive.heartbeat() == REBALANCE_IN_PROGRESS, "the silent one's session ends")
    rejoin([alive])
    assert [m.member_id for m in alive.joined.members] == [alive.member_id]
    assert silent.heartbeat() == UNKNOWN_MEMBER_ID
    silent.close()
    alive.close()


def test_initial_members_are_waited_for(start_broker, topic):
    """`group.initial.rebalance.delay.ms`: two members of a new group share its first generation."""
    broker = start_broker({"group.initial.rebalance.delay.ms": 700})
    broker.create_topic(topic, PARTITIONS)
    members = [ClassicMember(broker, topic, [topic]) for _ in range(2)]
    for member in members:
        member.obtain_id()
    for member in members:
        member.send_join()
    assert [m.receive_join().generation_id for m in members] == [1, 1]
    synchronise(members, {(topic, p) for p in range(PARTITIONS)})
    for member in members:
        member.close()


def test_leaving_in_a_batch_answers_for_each(group):
    first, second, third = group.stable(3)
    reply = first.ask(LEAVE_GROUP, 5, group_id=group.topic, members=[
        dict(member_id=second.member_id, reason="tired"), dict(member_id="nobody"), dict(member_id=third.member_id)])
    assert reply.error_code == 0
    assert [(m.member_id, m.error_code) for m in reply.members] == [
        (second.member_id, 0), ("nobody", UNKNOWN_MEMBER_ID), (third.member_id, 0)]
    wait_for(lambda: first.heartbeat() == REBALANCE_IN_PROGRESS, "the one that stays is told")


def test_the_group_is_limited_in_size(start_broker, topic):
    broker = start_broker(PROMPT | {"group.max.size": 3})
    broker.create_topic(topic, 3)
    members = form([ClassicMember(broker, topic, [topic]) for _ in range(3)], {(topic, p) for p in range(3)})
    late = ClassicMember(broker, topic, [topic])
    reply = late.ask(JOIN_GROUP, 9, **late.join_values())
    if reply.error_code == MEMBER_ID_REQUIRED:
        late.member_id = reply.member_id
        reply = late.join()
    assert reply.error_code == GROUP_MAX_SIZE_REACHED
    assert {m.heartbeat() for m in members} == {0}, "nobody is disturbed by who is refused"
    for member in members + [late]:
        member.close()


# Static members (KIP-345): the instance id is who they are, the member id only which incarnation.


def test_a_static_member_comes_back_without_a_rebalance(group):
    members = form([group.member(instance=f"i{n}") for n in range(3)], group.partitions)
    generation = members[0].generation
    returned = next(m for m in members if not m.leads)
    before, owned = returned.member_id, set(returned.owned)
    returned.reconnect()
    returned.member_id, returned.owned = "", set()
    assert returned.join().error_code == 0
    assert returned.member_id != before and returned.generation == generation
    assert returned.sync().error_code == 0 and returned.owned == owned
    assert {m.heartbeat() for m in members} == {0}
    old = dict(member_id=before)
    assert returned.heartbeat(**old) == FENCED_INSTANCE_ID, "the incarnation before is fenced"
    assert returned.sync(**old).error_code == FENCED_INSTANCE_ID
    assert returned.join(**old).error_code == FENCED_INSTANCE_ID
    assert returned.commit({(group.topic, 0): 1}, **old) == [FENCED_INSTANCE_ID]


def test_a_static_leader_comes_back_without_a_rebalance(group):
    """KIP-814: from version 9 on the leader is told to leave the assignment as it is."""
    members = form([group.member(instance=f"i{n}") for n in range(3)], group.partitions)
    generation, leader = members[0].generation, next(m for m in members if m.leads)
    owned = set(leader.owned)
    leader.reconnect()
    leader.member_id, leader.owned = "", set()
    reply = leader.join()
    assert (reply.error_code, reply.generation_id, reply.leader) == (0, generation, leader.member_id)
    assert reply.skip_assignment and len(reply.members) == 3
    assert leader.sync().error_code == 0 and leader.owned == owned
    assert {m.heartbeat() for m in members} == {0}


def test_a_static_member_that_speaks_less_makes_a_rebalance(group):
    """The group's protocol is not one of its own any more, so the assignment cannot stay."""
    members = form([group.member(instance=f"i{n}", protocols=("range", "roundrobin")) for n in range(2)], group.partitions)
    generation = members[0].generation
    changed = next(m for m in members if not m.leads)
    other, = [m for m in members if m is not changed]
    changed.reconnect()
    changed.member_id, changed.protocols = "", ("roundrobin",)
    changed.send_join()
    wait_for(lambda: other.heartbeat() == REBALANCE_IN_PROGRESS, "the other is told")
    other.send_join()
    assert other.receive_join().error_code == changed.receive_join().error_code == 0
    assert other.generation == changed.generation == generation + 1
    assert other.joined.protocol_name == "roundrobin"


def test_an_unknown_instance_or_id_of_another(group):
    member, = group.stable(1, instance="one")
    assert member.heartbeat(group_instance_id="two") == UNKNOWN_MEMBER_ID
    assert member.heartbeat(member_id="someone-else") == FENCED_INSTANCE_ID


def test_an_administrator_removes_a_static_member_by_its_instance(group):
    first, second = form([group.member(instance=f"i{n}") for n in range(2)], group.partitions)
    reply = first.ask(LEAVE_GROUP, 5, group_id=group.topic, members=[
        dict(member_id="", group_instance_id="i1"), dict(member_id="", group_instance_id="i7")])
    assert [m.error_code for m in reply.members] == [0, UNKNOWN_MEMBER_ID]
    wait_for(lambda: first.heartbeat() == REBALANCE_IN_PROGRESS, "the one that stays is told")
    assert second.heartbeat() in (UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID)


def test_an_assignment_is_kept_byte_for_byte(group):
    """What the leader hands out is not the broker's to read: any bytes come through."""
    member = group.member(protocol_type="connect", protocols=("compatible",))
    assert member.join(protocols=[dict(name="compatible", metadata=b"\xff" * 500)]).error_code == 0
    assert member.joined.members[0].metadata == b"\xff" * 500
    reply = member.ask(SYNC_GROUP, 5, group_id=group.topic, generation_id=member.generation, member_id=member.member_id,
                       protocol_type="connect", protocol_name="compatible",
                       assignments=[dict(member_id=member.member_id, assignment=bytes(range(256)))])
    assert (reply.error_code, reply.assignment) == (0, bytes(range(256)))
    described = describe(group.broker, group.topic)
    assert (described.protocol_type, described.protocol_data) == ("connect", "compatible")
    assert described.members[0].member_metadata == b"\xff" * 500
    assert described.members[0].member_assignment == bytes(range(256))


def test_a_member_is_described(group):
    member, = group.stable(1, instance="one")
    described = describe(group.broker, group.topic)
    assert (described.error_code, described.group_state, described.protocol_type, described.protocol_data) == (
        0, "Stable", "consumer", "range")
    shown, = described.members
    assert (shown.member_id, shown.group_instance_id, shown.client_id) == (member.member_id, "one", "wire-test")
    assert shown.client_host.startswith("/127.0.0.1")
    assert shown.member_metadata == subscription([group.topic])
    assert assigned(shown.member_assignment) == group.partitions


def test_pipelined_requests_behind_a_parked_join_are_answered_in_order(group):
    """A join that waits for others holds the connection's later replies back, not another connection's."""
    first, = group.stable(1)
    newcomer = group.member().send_join()
    wait_for(lambda: first.heartbeat() == REBALANCE_IN_PROGRESS, "the rebalance has begun")
    beat = newcomer.connection.send(HEARTBEAT, 4, group_id=group.topic, generation_id=99, member_id=newcomer.member_id)
    newcomer.connection.expect_silence(0.1)
    first.send_join()
    assert newcomer.receive_join().error_code == first.receive_join().error_code == 0
    assert newcomer.connection.receive(HEARTBEAT, 4, beat).error_code in (ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS)
