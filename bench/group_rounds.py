"""The rounds of consumer groups: offset commits beside raw LMDB, rebalances, and what idle groups cost the others."""

import json
import shutil
import subprocess
import time

from machine import MEGABYTE, back_memory, client_cpu
from messages import METADATA

GROUPS, MEMBERS, IDLE_GROUPS = 100, 100, 10_000
# Groups form at once, and a heartbeat tells without delay: what is measured is the broker's part of a rebalance.
SETTINGS = {"group.initial.rebalance.delay.ms": 0, "group.consumer.min.heartbeat.interval.ms": 100,
            "group.consumer.heartbeat.interval.ms": 100}


class GroupRounds:
    def __init__(self, bench):
        self.bench, self.idle_rounds = bench, 0

    def command(self, mode, broker, **keys):
        return [str(self.bench.directory / "groups"), mode, f"broker={broker.bootstrap}"] + [f"{k}={v}" for k, v in keys.items()]

    def run(self, mode, broker, **keys):
        done = subprocess.run(self.command(mode, broker, **keys), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"groups {mode} failed: {done.stderr}\n{broker.log_tail()}")
        return json.loads(done.stdout)

    def end(self, broker):
        broker.stop(30)
        shutil.rmtree(broker.directory)

    def offsets(self):
        """Each of 100 groups has one commit under way; LMDB alone then puts as many rows in as many commits."""
        bench, broker = self.bench, self.bench.broker(settings=SETTINGS)
        count = 200_000 // bench.scale
        broker.create_topic("bench", 100)
        used = client_cpu()
        process = subprocess.Popen(self.command("commit", broker, topic="bench", groups=GROUPS, commits=count),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if process.stderr.readline().strip() != "ready":
            raise SystemExit(f"groups commit failed: {process.stderr.read()}\n{broker.log_tail()}")
        before, cpu = broker.commits(), broker.cpu_seconds()
        out, said = process.communicate("go\n")
        if process.returncode:
            raise SystemExit(f"groups commit failed: {said}\n{broker.log_tail()}")
        done, cpu, commits = json.loads(out), broker.cpu_seconds() - cpu, broker.commits() - before
        used = client_cpu() - used
        self.end(broker)
        directory = bench.fresh()
        raw = bench.raw("rows", directory, count, commits)
        shutil.rmtree(directory)
        return dict(commits_s=done["commits_s"], p50_ms=done["p50_ms"], p99_ms=done["p99_ms"], per_commit=count / commits,
                    lmdb_commits_s=commits / done["seconds"], raw_rows_s=raw["rows_s"], raw_commits_s=raw["commits_s"],
                    ratio=done["commits_s"] / raw["rows_s"],
                    broker_cores=cpu / done["seconds"], client_cores=used / done["seconds"])

    def rebalance(self):
        broker = self.bench.broker(settings=SETTINGS)
        topic_id = broker.create_topic("bench", 2 * MEMBERS)
        rounds = max(50 // self.bench.scale, 5)
        classic = self.run("rebalance", broker, topic="bench", members=MEMBERS, rounds=rounds)
        other = self.run("reconcile", broker, topic="bench", topic_id=topic_id.hex(), members=MEMBERS, partitions=2 * MEMBERS,
                         rounds=rounds)
        self.end(broker)
        return dict(classic_p50_ms=classic["p50_ms"], classic_max_ms=classic["max_ms"], next_p50_ms=other["p50_ms"],
                    next_max_ms=other["max_ms"], next_formed_ms=other["formed_ms"])

    def produced(self, broker):
        back_memory()
        return self.bench.load("produce", broker, topic="bench", partitions=16, size=1024, batch__size=1_000_000,
                               records=1_000_000 // self.bench.scale, batch__num__messages=100_000)["mb_s"]

    def idle(self):
        """The same produce load on a broker with 10,000 groups, each with a member and an offset, and on one without.

        Which of the two comes first alternates: a first run is the slower one on many machines.
        """
        self.idle_rounds += 1
        if self.idle_rounds % 2:
            alone = self.without_groups()
            figures = self.with_groups()
        else:
            figures = self.with_groups()
            alone = self.without_groups()
        return figures | dict(without_mb_s=alone, ratio=figures["with_mb_s"] / alone)

    def without_groups(self):
        broker = self.bench.broker(settings=SETTINGS)
        broker.create_topic("bench", 16)
        speed = self.produced(broker)
        self.end(broker)
        return speed

    def with_groups(self):
        broker = self.bench.broker(settings=SETTINGS)
        broker.create_topic("bench", 16)
        before = broker.memory_anonymous()
        made = self.run("idle", broker, topic="bench", groups=IDLE_GROUPS, partitions=16)
        memory = broker.memory_anonymous() - before
        speed = self.produced(broker)
        broker.kill()
        begun = time.monotonic()
        broker.start()
        with broker.connect() as connection:
            connection.ask(METADATA, 9, topics=[])
        start_ms = (time.monotonic() - begun) * 1000
        self.end(broker)
        return dict(memory_mb=memory / MEGABYTE, made_s=made["seconds"], with_mb_s=speed, start_ms=start_ms)
