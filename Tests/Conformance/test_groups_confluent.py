"""Judges: confluent-kafka's group consumer in detail — commits, static members, resuming, revocation, the admin calls."""

import threading

import pytest
from confluent_kafka import (OFFSET_BEGINNING, Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType,
                             KafkaError, KafkaException, TopicPartition)

from confluent import admin, error_code, produce_all, producer, result
from group_clients import BROKER_SETTINGS, ConfluentMember, Witness  # noqa: F401
from members import describe, describe_consumer
from waiting import wait_for

PROTOCOLS = {"classic": {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 300}, "consumer": {"group.protocol": "consumer"}}


@pytest.fixture
def hundred(broker, topic):
    """A topic of two partitions with fifty records each."""
    broker.create_topic(topic, 2)
    client = producer(broker)
    for partition in range(2):
        produce_all(client, topic, [b"%d" % i for i in range(50)], partition=partition)
    return topic


@pytest.fixture
def consumers(broker):
    """A function that makes consumers, and closes those that the test has left open."""
    made = []

    def make(group, protocol="classic", **options):
        made.append(Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group, "enable.auto.commit": False,
                              "auto.offset.reset": "earliest", "log_level": 0} | PROTOCOLS[protocol] |
                             {k if k == "on_commit" else k.replace("_", "."): v for k, v in options.items()}))
        return made[-1]

    yield make
    for consumer in made:
        consumer.close()


def poll_until(consumer, count, timeout=30):
    messages = []

    def enough():
        messages.extend(m for m in consumer.consume(count - len(messages), 0.2) if m.error() is None)
        return len(messages) >= count

    wait_for(enough, lambda: f"{count} records, there are {len(messages)}", timeout)
    return messages


def offsets(partitions):
    return {p.partition: p.offset for p in partitions}


def of(topic, *partitions):
    return [TopicPartition(topic, p) for p in partitions]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_commit_and_resume(broker, consumers, hundred, protocol):
    first = consumers(hundred, protocol)
    first.subscribe([hundred])
    poll_until(first, 100)
    done = first.commit(offsets=[TopicPartition(hundred, 0, 30, "note"), TopicPartition(hundred, 1, 40)], asynchronous=False)
    assert [p.error for p in done] == [None, None]
    found = first.committed(of(hundred, 0, 1), timeout=10)
    assert offsets(found) == {0: 30, 1: 40}
    assert found[0].metadata == "note"
    first.close()
    second = consumers(hundred, protocol)
    second.subscribe([hundred])
    again = poll_until(second, 30)
    assert sorted((m.partition(), m.offset()) for m in again) == sorted(
        [(0, o) for o in range(30, 50)] + [(1, o) for o in range(40, 50)])
    assert second.poll(0.5) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_asynchronous_commits_are_reported(broker, consumers, hundred, protocol):
    reported = []
    client = consumers(hundred, protocol, on_commit=lambda error, partitions: reported.append((error, offsets(partitions))))
    client.subscribe([hundred])
    poll_until(client, 100)
    client.commit(asynchronous=True)

    def told():
        client.poll(0.05)
        return reported

    wait_for(told, "the report of the commit")
    assert reported == [(None, {0: 50, 1: 50})]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_automatic_commits(broker, consumers, hundred, protocol):
    client = consumers(hundred, protocol, enable_auto_commit=True, auto_commit_interval_ms=100)
    client.subscribe([hundred])
    poll_until(client, 100)

    def both():
        client.poll(0.05)
        return offsets(client.committed(of(hundred, 0, 1), timeout=10)) == {0: 50, 1: 50}

    wait_for(both, "the automatic commit")


def test_an_uncommitted_position_is_unknown(consumers, hundred):
    client = consumers(hundred + "-new")
    assert offsets(client.committed(of(hundred, 0, 1), timeout=10)) == {0: -1001, 1: -1001}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_member_is_refused_to_commit_for_a_generation_that_is_over(broker, consumers, hundred, protocol):
    """Another consumer that claims to be nobody must not commit for a group that has members."""
    client = consumers(hundred, protocol)
    client.subscribe([hundred])
    poll_until(client, 100)
    stranger = consumers(hundred)
    stranger.assign(of(hundred, 0))
    with pytest.raises(KafkaException) as raised:
        stranger.commit(offsets=[TopicPartition(hundred, 0, 3)], asynchronous=False)
    assert raised.value.args[0].code() == KafkaError.UNKNOWN_MEMBER_ID


def test_an_assigning_consumer_commits_without_a_group_of_members(consumers, hundred):
    client = consumers(hundred)
    client.assign([TopicPartition(hundred, 0, OFFSET_BEGINNING)])
    poll_until(client, 50)
    client.commit(asynchronous=False)
    client.close()
    again = consumers(hundred)
    assert offsets(again.committed(of(hundred, 0), timeout=10)) == {0: 50}


class Restarting:
    """A static member that is polled in a thread, and counts what happens to its assignment."""

    def __init__(self, make, group, topic, protocol, instance):
        self.consumer = make(group, protocol, group_instance_id=instance)
        self.events, self.owned, self.finish = [], set(), threading.Event()
        self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def on_assign(self, consumer, partitions):
        self.owned |= {p.partition for p in partitions}
        self.events.append("assign")

    def on_revoke(self, consumer, partitions):
        self.owned -= {p.partition for p in partitions}
        self.events.append("revoke")

    def run(self):
        while not self.finish.is_set():
            self.consumer.poll(0.1)

    def stop(self):
        """A static member's close leaves it in the group until its session is over."""
        self.finish.set()
        self.thread.join(20)
        self.consumer.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_static_members_restart_without_a_rebalance(broker, consumers, hundred, protocol):
    first, second = (Restarting(consumers, hundred, hundred, protocol, f"instance-{n}") for n in range(2))
    wait_for(lambda: len(first.owned) == len(second.owned) == 1 and first.owned != second.owned, "one partition each")
    before, events, owned = generation(broker, hundred, protocol), list(first.events), set(second.owned)
    for _ in range(3):
        second.stop()
        second = Restarting(consumers, hundred, hundred, protocol, "instance-1")
        wait_for(lambda: second.owned, "its partition")
        assert second.owned == owned, "it gets what it had"
        assert first.events == events, "the other has noticed nothing"
        assert generation(broker, hundred, protocol) == before
    first.stop()
    second.stop()


def generation(broker, group, protocol):
    """What changes with a rebalance: the epoch, or the members' assignments of a classic group."""
    if protocol == "consumer":
        return describe_consumer(broker, group).group_epoch
    return sorted((m.group_instance_id, m.member_assignment) for m in describe(broker, group).members)


def test_a_commit_during_revocation_is_of_the_generation_that_ends(broker, topic):
    """The witness commits in on_revoke; were those refused, the next owner would take records again."""
    with Witness(broker, topic) as witness:
        members = [ConfluentMember(witness)]
        witness.wait_until_divided(*members)
        for _ in range(3):
            witness.produce(20)
            members.append(ConfluentMember(witness))
            witness.wait_until_divided(*members)
            witness.wait_until_taken(*members)
        for member in members:
            member.stop()


def test_the_regular_expression_of_a_subscription(broker, consumers, topic):
    """The classic client matches by itself; the next-generation one asks the broker to."""
    for name in ("red-1", "red-2", "blue"):
        broker.create_topic(f"{topic}-{name}")
        produce_all(producer(broker), f"{topic}-{name}", [b"x"])
    client = consumers(topic, topic_metadata_refresh_interval_ms=500)
    client.subscribe([f"^{topic}-red-.*"])
    assert {m.topic() for m in poll_until(client, 2)} == {f"{topic}-red-1", f"{topic}-red-2"}
    newer = consumers(topic + "-new", "consumer")
    newer.subscribe([f"^{topic}-red-.*"])
    assert {m.topic() for m in poll_until(newer, 2)} == {f"{topic}-red-1", f"{topic}-red-2"}


# The admin calls.


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_groups_are_listed_and_described(broker, consumers, hundred, protocol):
    client = consumers(hundred, protocol, client_id="the-client")
    client.subscribe([hundred])
    poll_until(client, 100)
    kind = ConsumerGroupType.CLASSIC if protocol == "classic" else ConsumerGroupType.CONSUMER
    for filters in ({}, dict(states={ConsumerGroupState.STABLE}), dict(types={kind})):
        listing = result(admin(broker).list_consumer_groups(**filters))
        assert not listing.errors
        mine, = [g for g in listing.valid if g.group_id == hundred]
        assert (mine.is_simple_consumer_group, mine.state, mine.type) == (False, ConsumerGroupState.STABLE, kind)
    empty = result(admin(broker).list_consumer_groups(states={ConsumerGroupState.EMPTY}))
    assert hundred not in {g.group_id for g in empty.valid}
    future, = admin(broker).describe_consumer_groups([hundred], include_authorized_operations=True).values()
    described = result(future)
    assert (described.group_id, described.state, described.type) == (hundred, ConsumerGroupState.STABLE, kind)
    assert described.partition_assignor == ("range" if protocol == "classic" else "uniform")
    assert described.coordinator.port == broker.port
    assert described.authorized_operations
    member, = described.members
    assert member.client_id == "the-client" and member.host == "/127.0.0.1"
    assert {(p.topic, p.partition) for p in member.assignment.topic_partitions} == {(hundred, 0), (hundred, 1)}


def test_an_unknown_group_is_described_as_dead_or_not_found(broker, topic):
    future, = admin(broker).describe_consumer_groups([topic]).values()
    try:
        assert result(future).state == ConsumerGroupState.DEAD
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_groups_are_deleted_when_empty(broker, consumers, hundred, protocol):
    client = consumers(hundred, protocol)
    client.subscribe([hundred])
    poll_until(client, 100)
    client.commit(asynchronous=False)
    delete = admin(broker).delete_consumer_groups
    assert error_code(delete([hundred])[hundred]) == KafkaError.NON_EMPTY_GROUP
    client.close()
    assert result(delete([hundred])[hundred]) is None
    assert error_code(delete([hundred])[hundred]) == KafkaError.GROUP_ID_NOT_FOUND
    again = consumers(hundred, protocol)
    assert offsets(again.committed(of(hundred, 0, 1), timeout=10)) == {0: -1001, 1: -1001}


def test_offsets_are_listed_and_altered(broker, consumers, hundred):
    client = consumers(hundred)
    client.subscribe([hundred])
    poll_until(client, 100)
    client.commit(asynchronous=False)

    def listed(partitions=None, **options):
        request = [ConsumerGroupTopicPartitions(hundred, partitions)]
        return result(admin(broker).list_consumer_group_offsets(request, **options)[hundred]).topic_partitions

    def altered(*wanted):
        request = [ConsumerGroupTopicPartitions(hundred, [TopicPartition(hundred, p, o) for p, o in wanted])]
        return admin(broker).alter_consumer_group_offsets(request)[hundred]

    assert offsets(listed()) == offsets(listed(require_stable=True)) == {0: 50, 1: 50}
    assert offsets(listed(of(hundred, 1))) == {1: 50}
    refused = result(altered((0, 7))).topic_partitions
    assert [p.error.code() for p in refused] == [KafkaError.UNKNOWN_MEMBER_ID], "its members have the say"
    client.close()
    assert [p.error for p in result(altered((0, 7), (1, 9))).topic_partitions] == [None, None]
    assert offsets(listed()) == {0: 7, 1: 9}
    again = consumers(hundred)
    again.subscribe([hundred])
    first = {}
    for message in poll_until(again, 84):
        first.setdefault(message.partition(), message.offset())
    assert first == {0: 7, 1: 9}
