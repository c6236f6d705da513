"""The clients of the exactly-once workload, each in a process of its own, made to be killed.

    transaction_client.py ROLE NAME BOOTSTRAP FILE SEED

ROLE is `plain` (idempotent writes without transactions), `transactor` (transactions over two topics,
some aborted; NAME is the transactional id), `worker` (consume, transform, produce in one transaction
with the group's offsets; NAME is the transactional id) or `read_committed`/`read_uncommitted` (a reader
of everything). What a client is about to do and what came of it goes into FILE, see history.py.
SIGTERM ends it in good order with status 0; status 7 says that it was fenced.
"""

import os
import random
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from history import COMMITTED, Log, partition_name

INPUT, SIDE, OUTPUT, GROUP = "in", "side", "out", "workers"
PARTITIONS = {INPUT: 3, SIDE: 2, OUTPUT: 3}
FENCED_STATUS = 7
PATIENCE_SECONDS = 90
BATCH_MAX = 20


class Fenced(Exception):
    pass


def expect_no_fence(error):
    """What a fenced client meets is the end of it; anything else is left to the caller."""
    if error.args[0].fatal():
        raise Fenced(str(error)) from None


def insist(call, *arguments):
    """Calls again while the client says that this may help."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return call(*arguments)
        except KafkaException as error:
            expect_no_fence(error)
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise


class Client:
    def __init__(self, name, bootstrap, path, seed):
        self.name, self.who = name, f"{name}#{os.getpid()}"
        self.bootstrap, self.chance, self.log = bootstrap, random.Random(seed), Log(path)
        self.sent, self.acknowledged, self.finish = 0, [], False
        signal.signal(signal.SIGTERM, self.note_end)

    def note_end(self, *_):
        self.finish = True

    def options(self, **more):
        # With "rebootstrap" librdkafka 2.16 gives up its coordinator's connection when the broker goes away, and
        # send_offsets_to_transaction never looks for another (confluentinc/librdkafka#5511).
        return {"metadata.recovery.strategy": "none",
                "bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.ms": 20,
                "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 20, "retry.backoff.max.ms": 200} | {
                    name.replace("_", "."): value for name, value in more.items()}

    def producer(self, **more):
        return Producer(self.options(enable_idempotence=True, linger_ms=1, **more))

    def value(self):
        self.sent += 1
        return f"{self.who}.{self.sent}"

    def note_delivery(self, error, message):
        if error is None:
            where = partition_name(message.topic(), message.partition())
            self.acknowledged.append([where, message.value().decode(), message.offset()])

    def log_acknowledged(self):
        if self.acknowledged:
            self.log("ack", who=self.who, records=self.acknowledged)
            self.acknowledged = []

    def send(self, producer, records, txn=None, group=None):
        """Writes down and produces [(topic, partition, value, source)]."""
        self.log("send", who=self.who, txn=txn, group=group,
                 records=[[partition_name(topic, partition), value, source] for topic, partition, value, source in records])
        for topic, partition, value, _ in records:
            producer.produce(topic, value, partition=partition, on_delivery=self.note_delivery)
        producer.poll(0)
        self.log_acknowledged()

    def anywhere(self, topics):
        topic = self.chance.choice(topics)
        return topic, self.chance.randrange(PARTITIONS[topic])


class Plain(Client):
    def run(self):
        producer = self.producer(message_timeout_ms=60_000)
        while not self.finish:
            self.send(producer, [(*self.anywhere([INPUT, SIDE]), self.value(), None) for _ in range(self.chance.randint(1, 10))])
            producer.flush(PATIENCE_SECONDS)
            self.log_acknowledged()
            # The others are what is being judged: it leaves them the machine.
            producer.poll(0.02)


class Transacting(Client):
    def transactional_producer(self):
        producer = self.producer(transactional_id=self.name, transaction_timeout_ms=20_000)
        insist(producer.init_transactions, 20)
        self.log("holds", who=self.who, id=self.name)
        return producer

    def end(self, producer, txn, commit):
        """Ends the transaction, by an abort where a commit cannot be had. True when it is committed."""
        if commit:
            self.log("end", who=self.who, txn=txn, commit=True)
            try:
                insist(producer.commit_transaction, 20)
                self.ended(txn, "commit")
                return True
            except KafkaException as error:
                if not error.args[0].txn_requires_abort():
                    raise
        self.log("end", who=self.who, txn=txn, commit=False)
        insist(producer.abort_transaction, 20)
        self.ended(txn, "abort")
        return False

    def ended(self, txn, outcome):
        self.log_acknowledged()
        self.log("ended", who=self.who, txn=txn, outcome=outcome)


class Transactor(Transacting):
    def run(self):
        producer = self.transactional_producer()
        while not self.finish:
            txn = f"txn {self.value()}"
            self.log("begin", who=self.who, txn=txn)
            producer.begin_transaction()
            self.end(producer, txn, self.fill(producer, txn) and self.chance.random() < 0.75)

    def fill(self, producer, txn):
        """Sends what the transaction is of. False where it can only be aborted."""
        try:
            for _ in range(self.chance.randint(1, 3)):
                count = self.chance.randint(1, 4)
                self.send(producer, [(*self.anywhere([INPUT, SIDE]), self.value(), None) for _ in range(count)], txn)
                if self.chance.random() < 0.3:
                    producer.poll(0.01)
        except KafkaException as error:
            expect_no_fence(error)
            return False
        return True


class Reading(Client):
    """What all that polls has in common: positions that are written down whenever they are set."""

    isolation = COMMITTED

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.polled = []

    def place(self, consumer, places):
        """Has the consumer read these partitions, from these offsets on, and nothing else."""
        self.log_polled()
        for place in places:
            self.log("seek", who=self.who, isolation=self.isolation, partition=partition_name(place.topic, place.partition),
                     offset=place.offset)
        consumer.assign(places)

    def log_polled(self):
        if self.polled:
            self.log("poll", who=self.who, isolation=self.isolation, records=self.polled)
            self.polled = []

    def gather(self, consumer, batch):
        """Polls until the batch is full or nothing more is there; whoever moves the consumer meanwhile empties the batch."""
        wait = 0.2
        while len(batch) < BATCH_MAX and not self.finish:
            message = consumer.poll(wait)
            if message is None:
                break
            if message.error() is not None:
                continue
            batch.append(message)
            self.polled.append([partition_name(message.topic(), message.partition()), message.offset(), message.value().decode()])
            wait = 0
        self.log_polled()


class Worker(Transacting, Reading):
    def run(self):
        producer = self.transactional_producer()
        consumer = Consumer(self.options(
            group_id=GROUP, isolation_level=COMMITTED, enable_auto_commit=False, auto_offset_reset="earliest",
            session_timeout_ms=2000, heartbeat_interval_ms=200, partition_assignment_strategy="range"))
        batch = []

        def moved(consumer, partitions):
            batch.clear()
            self.resume(consumer, partitions)

        def revoked(consumer, _):
            batch.clear()
            consumer.unassign()

        consumer.subscribe([INPUT], on_assign=moved, on_revoke=revoked, on_lost=revoked)
        while not self.finish:
            batch.clear()
            self.gather(consumer, batch)
            if batch and not self.transform(producer, consumer, batch):
                self.resume(consumer, consumer.assignment())
        consumer.close()

    def resume(self, consumer, partitions):
        """Goes on from what the group has committed."""
        committed = insist(self.committed, consumer, partitions) if partitions else []
        self.place(consumer, [TopicPartition(p.topic, p.partition, max(p.offset, 0)) for p in committed])

    @staticmethod
    def committed(consumer, partitions):
        found = consumer.committed(partitions, 20)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return found

    def transform(self, producer, consumer, batch):
        txn = f"txn {self.value()}"
        self.log("begin", who=self.who, txn=txn)
        producer.begin_transaction()
        outputs, ends = [], {}
        for message in batch:
            source = f"{partition_name(message.topic(), message.partition())}@{message.offset()}"
            value = f"{message.value().decode()}>{self.value()}"
            outputs.append((OUTPUT, self.chance.randrange(PARTITIONS[OUTPUT]), value, source))
            ends[message.partition()] = message.offset() + 1
        try:
            self.send(producer, outputs, txn, GROUP)
            self.log("offsets", who=self.who, txn=txn, group=GROUP,
                     offsets=[[partition_name(INPUT, p), end] for p, end in ends.items()])
            insist(producer.send_offsets_to_transaction, [TopicPartition(INPUT, p, end) for p, end in ends.items()],
                   consumer.consumer_group_metadata(), 20)
            commit = self.chance.random() < 0.9
        except KafkaException as error:
            expect_no_fence(error)
            # The group has moved on, for one.
            commit = False
        return self.end(producer, txn, commit)


class Reader(Reading):
    def run(self):
        consumer = Consumer(self.options(group_id="readers", isolation_level=self.isolation, enable_auto_commit=False,
                                         auto_offset_reset="earliest"))
        positions = {(topic, p): 0 for topic, count in PARTITIONS.items() for p in range(count)}
        self.go(consumer, positions)
        batch = []
        while not self.finish:
            batch.clear()
            self.gather(consumer, batch)
            positions |= {(m.topic(), m.partition()): m.offset() + 1 for m in batch}
            if self.chance.random() < 0.005:
                moved = self.chance.choice(sorted(positions))
                positions[moved] = self.chance.randint(0, positions[moved])
                self.go(consumer, positions)
        consumer.close()

    def go(self, consumer, positions):
        self.place(consumer, [TopicPartition(topic, p, offset) for (topic, p), offset in sorted(positions.items())])


ROLES = {"plain": Plain, "transactor": Transactor, "worker": Worker, "read_committed": Reader, "read_uncommitted": Reader}


def main(role, name, bootstrap, path, seed):
    client = ROLES[role](name, bootstrap, path, seed)
    if role in ("read_committed", "read_uncommitted"):
        client.isolation = role
    try:
        client.run()
    except Fenced as error:
        print(error, file=sys.stderr, flush=True)
        # Not by way of its destructors: librdkafka 2.16 has been seen to end a fenced client's threads in glibc's abort
        # ("unaligned tcache chunk").
        os._exit(FENCED_STATUS)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
