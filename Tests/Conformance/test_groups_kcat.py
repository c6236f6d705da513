"""Judges: kcat -G (librdkafka 2.0.2, Debian's) — one and two consumers of a group, and going on where it stopped."""

import collections
import os
import signal
import subprocess
import tempfile

from broker import run_tool
from group_messages import assigned
from members import PROMPT, committed, describe
from waiting import wait_for

BROKER_SETTINGS = PROMPT
PARTITIONS = 4


class Kcat:
    """A `kcat -G` whose lines are "partition offset value"."""

    def __init__(self, broker, group, topic, *options):
        self.output, self.errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            ["kcat", "-b", broker.bootstrap, "-G", group, "-u", "-f", r"%p %o %s\n", "-X", "auto.offset.reset=earliest",
             "-X", "heartbeat.interval.ms=300", "-X", "session.timeout.ms=10000", *options, topic],
            stdout=self.output, stderr=self.errors, stdin=subprocess.DEVNULL)

    @staticmethod
    def text(file):
        return os.pread(file.fileno(), 1 << 24, 0).decode()

    def lines(self):
        """What it has printed in whole lines, as (partition, offset, value)."""
        whole = self.text(self.output).rpartition("\n")[0]
        return [(int(p), int(o), v) for p, o, v in (line.split(" ", 2) for line in whole.splitlines())]

    def said(self):
        return self.text(self.errors)

    def stop(self):
        """An interrupt makes it leave the group in good order."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(15) == 0, self.said()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def produce(broker, topic, name, count=100):
    for partition in range(PARTITIONS):
        run_tool("kcat", "-b", broker.bootstrap, "-P", "-t", topic, "-p", partition,
                 stdin="".join(f"{name}-{partition}-{i}\n" for i in range(count)))
    return sorted(f"{name}-{p}-{i}" for p in range(PARTITIONS) for i in range(count))


def values(*consumers):
    return sorted(value for consumer in consumers for _, _, value in consumer.lines())


def all_committed(broker, group, topic, end):
    with broker.connect() as connection:
        return committed(connection, group, topic, range(PARTITIONS)) == {(topic, p): end for p in range(PARTITIONS)}


def test_one_consumer_reads_all_and_goes_on_where_it_stopped(broker, topic):
    broker.create_topic(topic, PARTITIONS)
    first = produce(broker, topic, "first")
    with Kcat(broker, topic, topic) as consumer:
        wait_for(lambda: values(consumer) == first, "everything printed")
        consumer.stop()
    assert all_committed(broker, topic, topic, 100), "it commits what it has read when it leaves"
    second = produce(broker, topic, "second")
    with Kcat(broker, topic, topic) as consumer:
        wait_for(lambda: len(values(consumer)) >= len(second), "the rest printed")
        consumer.stop()
        assert values(consumer) == second, "nothing of what was committed comes again"
    with Kcat(broker, topic + "-other", topic) as consumer:
        wait_for(lambda: values(consumer) == sorted(first + second), "another group reads from the beginning")
        consumer.stop()


def test_the_order_within_a_partition(broker, topic):
    broker.create_topic(topic, PARTITIONS)
    produce(broker, topic, "x", 500)
    with Kcat(broker, topic, topic) as consumer:
        wait_for(lambda: len(consumer.lines()) == 500 * PARTITIONS, "everything printed")
        by_partition = collections.defaultdict(list)
        for partition, offset, value in consumer.lines():
            by_partition[partition].append(offset)
            assert value == f"x-{partition}-{offset}"
        assert all(offsets == list(range(500)) for offsets in by_partition.values())
        consumer.stop()


def members_of(broker, group, count):
    described = describe(broker, group)
    return described.group_state == "Stable" and len(described.members) == count


def test_two_consumers_share_and_one_takes_over(broker, topic):
    broker.create_topic(topic, PARTITIONS)
    with Kcat(broker, topic, topic) as one:
        wait_for(lambda: members_of(broker, topic, 1), "one member")
        with Kcat(broker, topic, topic) as two:
            wait_for(lambda: members_of(broker, topic, 2), "two members")
            first = produce(broker, topic, "first")
            wait_for(lambda: values(one, two) == first, "everything printed by one of the two")
            shares = [{p for p, _, _ in consumer.lines()} for consumer in (one, two)]
            assert len(shares[0]) == len(shares[1]) == PARTITIONS // 2 and not shares[0] & shares[1]
            two.stop()
            wait_for(lambda: members_of(broker, topic, 1), "one member")
            second = produce(broker, topic, "second")
            wait_for(lambda: values(one, two) == sorted(first + second), "the one that stays reads all, once")
        one.stop()
    assert all_committed(broker, topic, topic, 200)


def test_a_killed_consumers_part_is_taken_over_after_its_session(start_broker, topic):
    broker = start_broker(PROMPT | {"group.min.session.timeout.ms": 500})
    broker.create_topic(topic, PARTITIONS)
    short = ("-X", "session.timeout.ms=1500", "-X", "heartbeat.interval.ms=200", "-X", "enable.auto.commit=false")
    with Kcat(broker, topic, topic, *short) as one, Kcat(broker, topic, topic, *short) as two:
        wait_for(lambda: members_of(broker, topic, 2), "two members")
        first = produce(broker, topic, "first", 10)
        wait_for(lambda: values(one, two) == first, "everything printed by one of the two")
        two.process.kill()
        wait_for(lambda: members_of(broker, topic, 1), "one member")
        second = produce(broker, topic, "second", 10)
        wait_for(lambda: set(values(one)) >= set(second), "the one that stays reads all that is new")


def test_a_cooperative_group(broker, topic):
    broker.create_topic(topic, PARTITIONS)
    options = ("-X", "partition.assignment.strategy=cooperative-sticky")
    with Kcat(broker, topic, topic, *options) as one:
        wait_for(lambda: members_of(broker, topic, 1), "one member")
        with Kcat(broker, topic, topic, *options) as two:
            wait_for(lambda: members_of(broker, topic, 2) and shares(broker, topic) == [2, 2], "two partitions each")
            sent = produce(broker, topic, "x", 50)
            wait_for(lambda: values(one, two) == sent, "everything printed once")
            two.stop()
        one.stop()


def shares(broker, group):
    return sorted(len(assigned(m.member_assignment)) for m in describe(broker, group).members)
