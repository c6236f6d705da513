"""Judges: listing, describing and deleting groups on the wire, in each version."""

import pytest

from group_messages import DELETE_GROUPS, DESCRIBE_GROUPS, LIST_GROUPS
from members import (GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, PROMPT, ClassicMember, ConsumerMember, commit, committed, converge,
                     describe, form, rejoin)
from messages import FIND_COORDINATOR
from transaction_messages import END_TXN, TXN_OFFSET_COMMIT
from transactions import INVALID_PRODUCER_ID_MAPPING, RawTransaction

BROKER_SETTINGS = PROMPT
# The same letter as one code point, and as a letter with an accent behind it.
SPELLINGS = ["caf\u00e9", "cafe\u0301"]


@pytest.fixture(scope="module")
def groups(broker):
    """One group in each state that lasts: names by (type, state)."""
    topic = "groups"
    topic_id = broker.create_topic(topic, 2)
    partitions = {(topic, 0), (topic, 1)}
    stable = form([ClassicMember(broker, "c-stable", [topic])], partitions)
    empty, = form([ClassicMember(broker, "c-empty", [topic])], partitions)
    empty.commit({(topic, 0): 1})
    assert empty.leave() == 0
    syncing = form([ClassicMember(broker, "c-syncing", [topic])], partitions) + [ClassicMember(broker, "c-syncing", [topic])]
    rejoin(syncing[:1], syncing[1:])
    new, gone = ConsumerMember(broker, "k-stable", [topic]), ConsumerMember(broker, "k-empty", [topic])
    for member in (new, gone):
        member.heartbeat()
        converge([member], {(topic_id, 0), (topic_id, 1)})
    gone.commit({(topic, 0): 1})
    gone.leave()
    with broker.connect() as connection:
        assert commit(connection, "c-simple", {(topic, 0): 1}) == [0]
    yield {("classic", "Stable"): {"c-stable"}, ("classic", "Empty"): {"c-empty", "c-simple"},
           ("classic", "CompletingRebalance"): {"c-syncing"},
           ("consumer", "Stable"): {"k-stable"}, ("consumer", "Empty"): {"k-empty"}}
    for member in [*stable, empty, *syncing, new, gone]:
        member.close()


def listed(broker, version=5, **filters):
    with broker.connect() as connection:
        reply = connection.ask(LIST_GROUPS, version, **filters)
    assert reply.error_code == 0
    return {g.group_id: g for g in reply.groups}


@pytest.mark.parametrize("version", range(6))
def test_all_groups_are_listed(broker, groups, version):
    found = listed(broker, version)
    assert set(found) == set().union(*groups.values())
    assert found["c-stable"].protocol_type == found["k-stable"].protocol_type == "consumer"
    assert found["c-simple"].protocol_type == ""
    for (kind, state), names in groups.items():
        for name in names:
            if version >= 4:
                assert found[name].group_state == state
            if version >= 5:
                assert found[name].group_type.lower() == kind


@pytest.mark.parametrize("states", [["Stable"], ["Empty"], ["stable", "EMPTY"], ["CompletingRebalance"], ["Dead"], ["Nonsense"]])
def test_the_filter_of_states(broker, groups, states):
    wanted = {s.lower() for s in states}
    expected = set().union(*(names for (_, state), names in groups.items() if state.lower() in wanted))
    assert set(listed(broker, 4, states_filter=states)) == set(listed(broker, 5, states_filter=states)) == expected


@pytest.mark.parametrize("types", [["classic"], ["Consumer"], ["classic", "consumer"], ["share"]])
def test_the_filter_of_types(broker, groups, types):
    wanted = {t.lower() for t in types}
    expected = set().union(*(names for (kind, _), names in groups.items() if kind in wanted))
    assert set(listed(broker, types_filter=types)) == expected


def test_both_filters_at_once(broker, groups):
    assert set(listed(broker, states_filter=["Stable"], types_filter=["consumer"])) == {"k-stable"}


@pytest.mark.parametrize("version", range(6))
def test_groups_are_described_in_the_order_asked_for(broker, groups, version):
    names = ["c-stable", "no-such-group", "c-empty", "c-syncing", "c-simple"]
    with broker.connect() as connection:
        reply = connection.ask(DESCRIBE_GROUPS, version, groups=names)
    assert [g.group_id for g in reply.groups] == names
    assert [g.group_state for g in reply.groups] == ["Stable", "Dead", "Empty", "CompletingRebalance", "Empty"]
    assert {g.error_code for g in reply.groups} == {0}
    assert [len(g.members) for g in reply.groups] == [1, 0, 0, 2, 0]


def test_the_newest_description_says_what_is_not_there(broker, groups):
    unknown = describe(broker, "no-such-group", 6)
    assert (unknown.error_code, unknown.group_state) == (GROUP_ID_NOT_FOUND, "Dead") and unknown.error_message
    assert describe(broker, "c-stable", 6).error_code == 0


def test_a_classic_description_of_a_group_of_the_new_protocol(broker, groups):
    """Kafka: not a classic group, so it is as if it were not there."""
    assert describe(broker, "k-stable", 5).group_state == "Dead"
    assert describe(broker, "k-stable", 6).error_code == GROUP_ID_NOT_FOUND


def test_operations_are_described_when_asked_for(broker, groups):
    with broker.connect() as connection:
        for asked, expected in ((False, -0x80000000), (True, 1 << 3 | 1 << 6 | 1 << 8)):
            reply = connection.ask(DESCRIBE_GROUPS, 5, groups=["c-stable"], include_authorized_operations=asked)
            operations = reply.groups[0].authorized_operations
            assert operations == expected if not asked else operations & expected == expected


@pytest.mark.parametrize("version", range(3))
def test_groups_are_deleted(broker, topic, version):
    broker.create_topic(topic)
    member, = form([ClassicMember(broker, f"{topic}-full", [topic])], {(topic, 0)})
    with broker.connect() as connection:
        commit(connection, f"{topic}-empty", {(topic, 0): 1})
        names = [f"{topic}-full", f"{topic}-empty", "no-such-group"]
        reply = connection.ask(DELETE_GROUPS, version, groups_names=names)
        assert {r.group_id: r.error_code for r in reply.results} == dict(
            zip(names, [NON_EMPTY_GROUP, 0, GROUP_ID_NOT_FOUND]))
        assert committed(connection, f"{topic}-empty") == {} and f"{topic}-empty" not in listed(broker)
        assert member.heartbeat() == 0
        assert member.leave() == 0
        assert connection.ask(DELETE_GROUPS, version, groups_names=names[:1]).results[0].error_code == 0
        assert describe(broker, names[0]).group_state == "Dead"
    member.close()


def test_a_refused_commit_leaves_no_group(broker, topic, connection):
    """Whoever has no transaction open must not be able to fill the broker with groups."""
    broker.create_topic(topic)
    reply = connection.ask(TXN_OFFSET_COMMIT, 5, transactional_id="nobody", producer_id=77, producer_epoch=0, group_id=topic, topics=[
        dict(name=topic, partitions=[dict(partition_index=0, committed_offset=1, committed_metadata="")])])
    assert reply.topics[0].partitions[0].error_code == INVALID_PRODUCER_ID_MAPPING
    assert topic not in listed(broker) and describe(broker, topic).group_state == "Dead"


def test_a_deletion_takes_the_offsets_that_a_transaction_is_committing(broker, topic, connection):
    """In whichever order the two are decided, a group that was deleted has no offsets, or is still there to be deleted."""
    broker.create_topic(topic)
    codes = set()
    with RawTransaction(broker, topic) as producer:
        for number in range(200):
            group = f"{topic}-{number}"
            producer.send_offsets(group, {(topic, 0): 5})
            ending = producer.connection.send(END_TXN, 5, **producer.identity(), committed=True)
            deleting = connection.send(DELETE_GROUPS, 2, groups_names=[group])
            ended = producer.connection.receive(END_TXN, 5, ending)
            codes.add((ended.error_code, connection.receive(DELETE_GROUPS, 2, deleting).results[0].error_code))
            assert committed(connection, group) == {}, f"after {number} groups"
            producer.take(ended.producer_id, ended.producer_epoch)
    assert codes == {(0, 0)}
    assert not any(name.startswith(topic) for name in listed(broker))


def test_names_that_only_look_the_same_are_two_groups(start_broker, topic):
    """Kafka compares bytes; the two spellings of one letter with its accent are two names."""
    broker = start_broker(PROMPT)
    broker.create_topic(topic)
    for number, name in enumerate(SPELLINGS):
        with broker.connect() as connection:
            commit(connection, name, {(topic, 0): number})
    broker.kill()
    broker.start()
    with broker.connect() as connection:
        assert set(listed(broker)) == set(SPELLINGS)
        assert [committed(connection, name) for name in SPELLINGS] == [{(topic, 0): 0}, {(topic, 0): 1}]
        assert connection.ask(DELETE_GROUPS, 2, groups_names=SPELLINGS[:1]).results[0].error_code == 0
        assert [committed(connection, name) for name in SPELLINGS] == [{}, {(topic, 0): 1}]


def test_a_deleted_group_is_gone_after_a_restart(start_broker, topic):
    broker = start_broker(PROMPT)
    broker.create_topic(topic)
    with broker.connect() as connection:
        for name in ("kept", "deleted"):
            commit(connection, name, {(topic, 0): 1})
        connection.ask(DELETE_GROUPS, 2, groups_names=["deleted"])
    broker.kill()
    broker.start()
    assert set(listed(broker)) == {"kept"}


@pytest.mark.parametrize("version", range(7))
def test_the_coordinator_of_any_group_is_this_broker(broker, version):
    values = dict(coordinator_keys=["a", "b"]) if version >= 4 else dict(key="a")
    with broker.connect() as connection:
        reply = connection.ask(FIND_COORDINATOR, version, **values)
    found = reply.coordinators if version >= 4 else [reply]
    assert [(c.error_code, c.host, c.port) for c in found] == [(0, "127.0.0.1", broker.port)] * len(found)
