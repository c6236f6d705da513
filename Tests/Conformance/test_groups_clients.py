"""Judges: the group consumers of each client — alone, grown to two, mixed; each record once, no partition twice."""

import pytest
from aiokafka.coordinator.assignors.range import RangePartitionAssignor as AioRange
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor as AioRoundRobin
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor as AioSticky
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

from group_clients import (BROKER_SETTINGS, AiokafkaMember, ConfluentMember, KafkaPythonMember, Witness,  # noqa: F401
                           grow_and_shrink)
from members import committed, describe


@pytest.fixture
def witness(broker, topic):
    with Witness(broker, topic) as witness:
        yield witness


def ends_are_committed(witness):
    with witness.broker.connect() as connection:
        found = committed(connection, witness.topic, witness.topic, sorted(witness.partitions))
    assert found == {(witness.topic, p): end for p, end in witness.ends.items()}


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_confluent_classic(witness, strategy):
    def member():
        return ConfluentMember(witness, partition_assignment_strategy=strategy)
    grow_and_shrink(witness, member, member)
    ends_are_committed(witness)


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_confluent_next_generation(witness, assignor):
    def member():
        return ConfluentMember(witness, group_protocol="consumer", group_remote_assignor=assignor)
    grow_and_shrink(witness, member, member)
    ends_are_committed(witness)


@pytest.mark.parametrize("strategy", [RangePartitionAssignor, RoundRobinPartitionAssignor, StickyPartitionAssignor],
                         ids=lambda s: s.name)
def test_kafka_python(witness, strategy):
    def member():
        return KafkaPythonMember(witness, partition_assignment_strategy=[strategy])
    grow_and_shrink(witness, member, member)
    ends_are_committed(witness)


@pytest.mark.parametrize("strategy", [AioRange, AioRoundRobin, AioSticky], ids=lambda s: s.name)
def test_aiokafka(witness, strategy):
    def member():
        return AiokafkaMember(witness, partition_assignment_strategy=[strategy])
    grow_and_shrink(witness, member, member)
    ends_are_committed(witness)


CONFLUENT = (ConfluentMember, dict(partition_assignment_strategy="range,roundrobin"))
KAFKA_PYTHON = (KafkaPythonMember, dict(partition_assignment_strategy=[RoundRobinPartitionAssignor, RangePartitionAssignor]))
AIOKAFKA = (AiokafkaMember, dict(partition_assignment_strategy=[AioRoundRobin]))


@pytest.mark.parametrize("first, second", [(CONFLUENT, KAFKA_PYTHON), (KAFKA_PYTHON, CONFLUENT), (CONFLUENT, AIOKAFKA),
                                           (AIOKAFKA, KAFKA_PYTHON)],
                         ids=lambda pair: pair[0].__name__.removesuffix("Member"))
def test_two_makes_in_one_group(witness, first, second):
    """They agree on a strategy that both have; whoever leads divides for both."""
    grow_and_shrink(witness, lambda: first[0](witness, **first[1]), lambda: second[0](witness, **second[1]))
    ends_are_committed(witness)


def test_the_strategy_in_common_is_chosen(witness):
    members = [CONFLUENT[0](witness, **CONFLUENT[1]), AIOKAFKA[0](witness, **AIOKAFKA[1])]
    witness.wait_until_divided(*members)
    assert describe(witness.broker, witness.topic).protocol_data == "roundrobin"
    for member in members:
        member.stop()


def test_a_classic_client_and_one_of_the_new_protocol_share_a_group(witness):
    """The online move (KIP-848): the group is divided between both, and each record is taken once."""
    grow_and_shrink(witness, lambda: ConfluentMember(witness, partition_assignment_strategy="cooperative-sticky"),
                    lambda: ConfluentMember(witness, group_protocol="consumer"))
    ends_are_committed(witness)


def test_five_members_come_and_go(witness):
    """With a load going on, one after the other joins and leaves; nothing is lost or taken twice."""
    members = []
    for _ in range(5):
        members.append(ConfluentMember(witness, partition_assignment_strategy="cooperative-sticky"))
        witness.produce(10)
        witness.wait_until_divided(*members)
    while len(members) > 1:
        members.pop(0).stop()
        witness.produce(10)
        witness.wait_until_divided(*members)
    witness.wait_until_taken(*members)
    members.pop().stop()
    ends_are_committed(witness)
