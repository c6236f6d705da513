"""The rounds of scaling: what a commit costs beside many partitions, and in a large store.

At most ten partitions are written to, whatever else there is. The rest are idle topics of a thousand partitions that the clients
do not ask about, with a record in each, so that the broker holds all of their state.

Each store is measured by turns with one of the least size, whose broker runs beside it and idles meanwhile (single records
alternate between the two): what the machine does to one it does to both, and the ratios say what the size does. The least size is
measured so against another store of its own kind, which tells how far the ratios can be believed. Every round writes into space
that the one before has freed, which is the state that measures the same twice (README.md).

The requests are the same whatever there is, a batch of one partition in each: a client that batches by partition would send one
partition larger requests than ten, or smaller ones, and be measured with them.
"""

import collections
import functools
import shutil
import time

from machine import MEGABYTE
from messages import PRODUCE
from ready_requests import Asker, drive, request_to_produce
from records import batch
from report import gather

ACTIVE = 10
PARTITIONS = (1, ACTIVE, 100, 1_000, 10_000, 50_000)
STORED_GB = (1, 10, 40)
IDLE_TOPIC_PARTITIONS = 1_000
RECORDS, SIZE, LATENCY_RECORDS = 1_000_000, 1_024, 5_000
# Records in a request, and requests under way at once.
REQUEST_RECORDS, CONNECTIONS = 900, ACTIVE
# Pairs of rounds for each round that was asked for.
PAIRS = 3


# A broker and how many partitions of its topic are written to.
Side = collections.namedtuple("Side", "broker active")


class ScalingRounds:
    def __init__(self, bench):
        self.bench = bench
        self.records = RECORDS // bench.scale

    @functools.cached_property
    def frames(self):
        """One for each partition written to. Their checksums take Python a while, which runs without these rounds do not wait for."""
        return [request_to_produce("bench", partition, REQUEST_RECORDS, SIZE) for partition in range(ACTIVE)]

    def partitions(self, rounds):
        """{number of partitions: spreads of figures and of their ratios to those of one}."""
        return self.by_size(PARTITIONS, PARTITIONS[0], self.with_partitions, rounds)

    def stored(self, rounds):
        """{GB stored: the same}."""
        return self.by_size(STORED_GB, STORED_GB[0], self.with_stored, rounds)

    def by_size(self, sizes, least, prepared, rounds):
        control, found = prepared(least), {}
        for size in sizes:
            subject = prepared(size)
            found[size] = self.beside(subject, control, PAIRS * rounds)
            self.drop(subject)
        self.drop(control)
        return found

    def with_partitions(self, count):
        """A store with so many partitions, all but ten of them idle."""
        broker = self.bench.broker(settings={"lmbroker.partitions.max": 200_000})
        active, record = min(count, ACTIVE), batch([b"idle"])
        idle = count - active
        with broker.connect() as connection:
            for number, first in enumerate(range(0, idle, IDLE_TOPIC_PARTITIONS)):
                size = min(IDLE_TOPIC_PARTITIONS, idle - first)
                broker.create_topic(f"idle-{number}", size)
                reply = connection.ask(PRODUCE, 9, acks=-1, timeout_ms=30_000, topic_data=[dict(
                    name=f"idle-{number}", partition_data=[dict(index=p, records=record) for p in range(size)])])
                assert all(p.error_code == 0 for p in reply.responses[0].partition_responses), reply
        return Side(broker, active)

    def with_stored(self, gigabytes):
        """A store that holds so much."""
        broker = self.bench.broker()
        broker.create_topic("stored", 16)
        self.bench.load("produce", broker, topic="stored", partitions=16, size=SIZE,
                        records=int(gigabytes * 1e9) // self.bench.scale // SIZE, batch__size=1_000_000)
        return Side(broker, ACTIVE)

    def drop(self, side):
        side.broker.stop(60)
        shutil.rmtree(side.broker.directory)

    def beside(self, subject, control, pairs):
        """Spreads of the subject's figures, and under `of_least` of what they are of the control's in the same pair."""
        self.pair(subject, control)
        figures, ratios = [], []
        for number in range(pairs):
            # Neither is always the first.
            order = (subject, control) if number % 2 else (control, subject)
            found = dict(zip(order, self.pair(*order), strict=True))
            figures.append(found[subject])
            ratios.append({name: value / found[control][name] for name, value in found[subject].items()})
        return gather(figures) | dict(of_least=gather(ratios))

    def pair(self, *sides):
        """The figures of each: of throughput one after the other, of single records by turns; then the space that they took is free again."""
        before = [side.broker.extents() for side in sides]
        found = [self.produce(*side) for side in sides]
        for figures, single in zip(found, self.single_records([side.broker for side in sides]), strict=True):
            figures |= single
        for side, extents in zip(sides, before, strict=True):
            self.bench.empty(side.broker, left=extents)
        return found

    def single_records(self, brokers):
        """One synchronous record to each broker in turn: a disk takes its time by its mood, which differs between any two seconds."""
        cpu = lambda: [broker.cpu_seconds() for broker in brokers]  # noqa: E731
        before = cpu()
        waits = self.bench.bare(brokers, LATENCY_RECORDS // self.bench.scale)
        return [dict(p50_ms=told["p50_ms"], p99_ms=told["p99_ms"], single_us=(end - begun) * 1e6 / told["sent"],
                     anonymous_mb=broker.memory_anonymous() / 1e6)
                for broker, told, begun, end in zip(brokers, waits, before, cpu(), strict=True)]

    def produce(self, broker, active):
        """Throughput into a new topic: a request under way on each of ten connections."""
        broker.create_topic("bench", active)
        askers = [Asker(broker, self.frames[number % active]) for number in range(CONNECTIONS)]
        total = lambda: sum(asker.answers for asker in askers) * REQUEST_RECORDS * SIZE  # noqa: E731
        commits, cpu, client, begun = broker.commits(), broker.cpu_seconds(), time.process_time(), time.monotonic()
        drive(askers, lambda: total() >= self.records * SIZE)
        seconds, client, cpu = time.monotonic() - begun, time.process_time() - client, broker.cpu_seconds() - cpu
        return dict(mb_s=total() / MEGABYTE / seconds, cpu_s_per_gb=cpu / (total() / 1e9), client_cores=client / seconds,
                    commit_kb=total() / (broker.commits() - commits) / 1000)
