"""The rounds of scaling: what a commit costs beside many partitions, and in a large store.

Ten partitions are written to, whatever else there is. The rest are idle topics of a thousand partitions that the clients
do not ask about, with a record in each, so that the broker holds all of their state. Every round writes into space that
the one before has freed, which is the state that measures the same twice (README.md).
"""

import shutil

from messages import PRODUCE
from records import batch
from report import gather

PARTITIONS = (1, 100, 1_000, 10_000, 50_000)
STORED_GB = (1, 10, 40)
ACTIVE = 10
IDLE_TOPIC_PARTITIONS = 1_000
RECORDS, SIZE, LATENCY_RECORDS = 400_000, 1_024, 3_000


class ScalingRounds:
    def __init__(self, bench):
        self.bench = bench
        self.records = RECORDS // bench.scale

    # By partitions: one store for each number of them, measured by turns.

    def partitions(self, rounds):
        """{number of partitions: spreads of the figures}."""
        stores = {count: self.prepared(count) for count in PARTITIONS}
        found = {count: [] for count in PARTITIONS}
        for _ in range(rounds):
            for count, directory in stores.items():
                broker = self.bench.broker(directory)
                found[count].append(self.round(broker, min(count, ACTIVE)))
                broker.stop(60)
        for directory in stores.values():
            shutil.rmtree(directory)
        return {count: gather(figures) for count, figures in found.items()}

    def prepared(self, count):
        """The directory of a stopped store with so many partitions, all but ten of them idle, which has been written to before."""
        broker = self.bench.broker(settings={"lmbroker.partitions.max": 200_000})
        idle, record = count - min(count, ACTIVE), batch([b"idle"])
        with broker.connect() as connection:
            for number, first in enumerate(range(0, idle, IDLE_TOPIC_PARTITIONS)):
                size = min(IDLE_TOPIC_PARTITIONS, idle - first)
                broker.create_topic(f"idle-{number}", size)
                reply = connection.ask(PRODUCE, 9, acks=-1, timeout_ms=30_000, topic_data=[dict(
                    name=f"idle-{number}", partition_data=[dict(index=p, records=record) for p in range(size)])])
                assert all(p.error_code == 0 for p in reply.responses[0].partition_responses), reply
        self.round(broker, min(count, ACTIVE))
        broker.stop(60)
        return broker.directory

    # By size: one store that grows.

    def stored(self, rounds):
        """{GB stored: spreads of the figures}."""
        broker, found, held = self.bench.broker(), {}, 0
        broker.create_topic("stored", 16)
        for gigabytes in STORED_GB:
            wanted = int(gigabytes * 1e9) // self.bench.scale // SIZE
            self.bench.load("produce", broker, topic="stored", partitions=16, size=SIZE, records=wanted - held, batch__size=1_000_000)
            held = wanted
            self.round(broker, ACTIVE)
            found[gigabytes] = gather([self.round(broker, ACTIVE) for _ in range(rounds)])
        broker.stop(60)
        shutil.rmtree(broker.directory)
        return found

    def round(self, broker, partitions):
        """Throughput, then single synchronous records, then the topic goes and its space is free again."""
        bench, extents = self.bench, broker.extents()
        broker.create_topic("bench", partitions)
        commits, cpu = broker.commits(), broker.cpu_seconds()
        done = bench.load("produce", broker, topic="bench", partitions=partitions, size=SIZE, records=self.records, batch__size=1_000_000)
        cpu, commits = broker.cpu_seconds() - cpu, broker.commits() - commits
        before = broker.cpu_seconds()
        waits = bench.load("latency", broker, topic="bench", size=100, records=LATENCY_RECORDS // bench.scale)
        single = broker.cpu_seconds() - before
        bench.empty(broker, left=extents)
        return dict(mb_s=done["mb_s"], cpu_s_per_gb=cpu / (self.records * SIZE / 1e9), commit_kb=self.records * SIZE / commits / 1000,
                    p50_ms=waits["p50_ms"], p99_ms=waits["p99_ms"], single_us=single * 1e6 / waits["records"],
                    anonymous_mb=broker.memory_anonymous() / 1e6)
