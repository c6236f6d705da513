"""Real clients as members of a group, each in a thread, under the eyes of one witness.

The witness knows who owns which partition and who has taken which record: two owners at once,
a record taken twice, or one taken by who does not own its partition is written down as a fault.
Every member commits what it has taken before it lets a partition go, so that a group in which
nobody dies takes each record once.
"""

import asyncio
import threading
import traceback

import aiokafka
import confluent_kafka
import kafka

from records import batch
from waiting import wait_for
from wire_requests import produce

HEARTBEAT_MS = 300
# Short heartbeats, so that clients hear of a rebalance soon; the classic ones bring their own.
BROKER_SETTINGS = {"group.initial.rebalance.delay.ms": 0, "group.consumer.min.heartbeat.interval.ms": 100,
                   "group.consumer.heartbeat.interval.ms": HEARTBEAT_MS}


class Witness:
    def __init__(self, broker, topic, partitions=6):
        self.broker, self.topic = broker, topic
        self.partitions = set(range(partitions))
        self.lock, self.faults = threading.Lock(), []
        self.owners, self.taken, self.ends = {}, {}, dict.fromkeys(self.partitions, 0)
        self.assignments, self.members = 0, []
        broker.create_topic(topic, partitions)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """Members that a failed test has left behind end too."""
        for member in self.members:
            member.finish.set()
        for member in self.members:
            member.join(15)

    def assign(self, member, partitions):
        with self.lock:
            self.assignments += 1
            for partition in partitions:
                other = self.owners.setdefault(partition, member)
                if other is not member:
                    self.faults.append(f"partition {partition} went to {member} while {other} owned it")

    def revoke(self, member, partitions):
        with self.lock:
            for partition in partitions:
                if self.owners.get(partition) is member:
                    del self.owners[partition]

    def take(self, member, partition, offset):
        """Whether the record is the member's to process."""
        with self.lock:
            if self.owners.get(partition) is not member:
                return False
            other = self.taken.setdefault((partition, offset), member)
            if other is not member or offset in member.offsets[partition]:
                self.faults.append(f"record {offset} of partition {partition} was taken by {other} and by {member}")
            member.offsets[partition].add(offset)
            return True

    def owned_by(self, member):
        with self.lock:
            return {p for p, owner in self.owners.items() if owner is member}

    def produce(self, count=40):
        """That many records more in each partition."""
        with self.broker.connect() as connection:
            for partition in self.partitions:
                reply = produce(connection, self.topic, batch([b"%d" % i for i in range(count)]), partition=partition)
                assert reply.error_code == 0
                self.ends[partition] += count

    def check(self):
        assert not self.faults, self.faults[:5]

    def wait_until_divided(self, *members, timeout=45):
        """Every partition has an owner, each member at least one, and nobody else any."""
        def divided():
            self.complain(members)
            with self.lock:
                return set(self.owners) == self.partitions and set(self.owners.values()) == set(members)

        wait_for(divided, lambda: f"a division among {members}, owners are {self.owners}", timeout)
        self.check()

    def wait_until_taken(self, *members, timeout=45):
        """Every record produced so far has been taken, and once."""
        def taken():
            self.complain(members)
            with self.lock:
                return len(self.taken) == sum(self.ends.values())

        wait_for(taken, lambda: f"{sum(self.ends.values())} records taken, there are {len(self.taken)}", timeout)
        self.check()
        assert set(self.taken) == {(p, o) for p, end in self.ends.items() for o in range(end)}

    def complain(self, members):
        for member in members:
            assert member.failure is None, f"{member} failed: {member.failure}"
        self.check()


class Member(threading.Thread):
    """A client that subscribes, takes what comes, and leaves in good order when it is told to."""

    def __init__(self, witness, group=None, **options):
        super().__init__(daemon=True, name=f"{type(self).__name__}-{id(self) & 0xFFFF:04x}")
        self.witness, self.group, self.options = witness, group or witness.topic, options
        self.offsets = {p: set() for p in witness.partitions}
        self.finish, self.failure = threading.Event(), None
        witness.members.append(self)
        self.start()

    def __repr__(self):
        return self.name

    def run(self):
        try:
            self.consume()
        except BaseException:  # confluent-kafka raises errors that are no Exception out of its callbacks
            self.failure = traceback.format_exc()

    def positions(self, partitions):
        """What to commit for the partitions: one past the last record taken of each."""
        return {p: max(self.offsets[p]) + 1 for p in partitions if self.offsets[p]}

    def stop(self, timeout=30):
        self.finish.set()
        self.join(timeout)
        assert not self.is_alive(), f"{self} did not end in {timeout} s"
        assert self.failure is None, f"{self} failed: {self.failure}"
        self.witness.check()

    def consume(self):
        raise NotImplementedError


class ConfluentMember(Member):
    """librdkafka; cooperative strategies and the new protocol assign and unassign increments."""

    def consume(self):
        classic = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": HEARTBEAT_MS}
        options = {k.replace("_", "."): v for k, v in self.options.items()}
        if options.get("group.protocol") == "consumer":
            classic = {}
        self.consumer = confluent_kafka.Consumer({
            "bootstrap.servers": self.witness.broker.bootstrap, "group.id": self.group, "enable.auto.commit": False,
            "auto.offset.reset": "earliest", "log_level": 0, "reconnect.backoff.max.ms": 500} | classic | options)
        self.consumer.subscribe([self.witness.topic], on_assign=self.on_assign, on_revoke=self.on_revoke,
                                on_lost=self.on_lost)
        while not self.finish.is_set():
            message = self.consumer.poll(0.1)
            if message is not None and message.error() is None:
                self.witness.take(self, message.partition(), message.offset())
        self.consumer.close()

    def incremental(self):
        strategy = self.options.get("partition_assignment_strategy", "range")
        return "cooperative" in strategy or self.options.get("group_protocol") == "consumer"

    def on_assign(self, consumer, partitions):
        self.witness.assign(self, [p.partition for p in partitions])
        (consumer.incremental_assign if self.incremental() else consumer.assign)(partitions)

    def on_revoke(self, consumer, partitions):
        mine = self.positions(p.partition for p in partitions)
        if mine:
            consumer.commit(offsets=[confluent_kafka.TopicPartition(self.witness.topic, p, o) for p, o in mine.items()],
                            asynchronous=False)
        self.witness.revoke(self, [p.partition for p in partitions])
        if self.incremental():
            consumer.incremental_unassign(partitions)
        else:
            consumer.unassign()

    def on_lost(self, consumer, partitions):
        self.witness.faults.append(f"{self} lost {partitions}")
        self.witness.revoke(self, [p.partition for p in partitions])


class KafkaPythonMember(Member, kafka.AsyncConsumerRebalanceListener):
    """kafka-python; its strategies are classes, and its callbacks run in its own event loop."""

    def consume(self):
        self.consumer = kafka.KafkaConsumer(
            bootstrap_servers=self.witness.broker.bootstrap, group_id=self.group, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=10_000, heartbeat_interval_ms=HEARTBEAT_MS, **self.options)
        self.consumer.subscribe([self.witness.topic], listener=self)
        while not self.finish.is_set():
            for records in self.consumer.poll(timeout_ms=100).values():
                for record in records:
                    self.witness.take(self, record.partition, record.offset)
        mine = self.to_commit(self.witness.owned_by(self))
        if mine:
            self.consumer.commit(mine)
        self.witness.revoke(self, self.witness.owned_by(self))
        self.consumer.close(autocommit=False)

    def to_commit(self, partitions):
        owned = self.witness.owned_by(self)
        return {kafka.TopicPartition(self.witness.topic, p): kafka.OffsetAndMetadata(o, "", -1)
                for p, o in self.positions(p for p in partitions if p in owned).items()}

    async def on_partitions_assigned(self, assigned):
        self.witness.assign(self, [p.partition for p in assigned])

    async def on_partitions_revoked(self, revoked):
        mine = self.to_commit(p.partition for p in revoked)
        if mine:
            await self.consumer.commit_async(mine)
        self.witness.revoke(self, [p.partition for p in revoked])


class AiokafkaMember(Member, aiokafka.ConsumerRebalanceListener):
    """aiokafka, with an event loop of its own; its strategies are classes too."""

    def consume(self):
        asyncio.run(self.consume_in_loop())

    async def consume_in_loop(self):
        self.consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.witness.broker.bootstrap, group_id=self.group, enable_auto_commit=False,
            auto_offset_reset="earliest", session_timeout_ms=10_000, heartbeat_interval_ms=HEARTBEAT_MS, **self.options)
        self.consumer.subscribe([self.witness.topic], listener=self)
        await self.consumer.start()
        while not self.finish.is_set():
            for records in (await self.consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    self.witness.take(self, record.partition, record.offset)
        await self.let_go(self.witness.owned_by(self))
        await self.consumer.stop()

    async def on_partitions_assigned(self, assigned):
        self.witness.assign(self, [p.partition for p in assigned])

    async def on_partitions_revoked(self, revoked):
        await self.let_go([p.partition for p in revoked])

    async def let_go(self, partitions):
        # Whatever arrives from here on is not taken: the loop may hold records that it has not looked at yet.
        mine = self.positions(p for p in partitions if p in self.witness.owned_by(self))
        self.witness.revoke(self, partitions)
        if mine:
            await self.consumer.commit({aiokafka.TopicPartition(self.witness.topic, p): o for p, o in mine.items()})


def grow_and_shrink(witness, make_first, make_second):
    """One member takes the topic, a second shares it, the first leaves: each record is taken once."""
    witness.produce()
    first = make_first()
    witness.wait_until_divided(first)
    witness.wait_until_taken(first)
    second = make_second()
    witness.wait_until_divided(first, second)
    witness.produce()
    witness.wait_until_taken(first, second)
    assert all(second.offsets[p] for p in witness.owned_by(second))
    first.stop()
    witness.wait_until_divided(second)
    witness.produce()
    witness.wait_until_taken(second)
    second.stop()
    witness.check()
