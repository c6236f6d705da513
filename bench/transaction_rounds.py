"""The rounds of transactions: how many a second beside raw LMDB, and what read_committed costs its readers."""

import json
import shutil
import subprocess

# What a transaction writes besides its batches: a marker in each partition, a row of the state, offsets.
MARKER_BYTES, STATE_BYTES, OFFSET_BYTES = 78, 200, 60


class TransactionCase:
    def __init__(self, name, title, producers, partitions, offsets, transactions):
        self.name, self.title, self.producers = name, title, producers
        self.partitions, self.offsets, self.transactions = partitions, offsets, transactions


CASES = [TransactionCase("one", "transactions, 1 partition, 1 producer", 1, 1, False, 2_000),
         TransactionCase("many", "transactions, 1 partition, 32 producers", 32, 1, False, 20_000),
         TransactionCase("one_wide", "transactions, 10 partitions, offsets, 1 producer", 1, 10, True, 1_000),
         TransactionCase("many_wide", "transactions, 10 partitions, offsets, 32 producers", 32, 10, True, 10_000)]


class TransactionRounds:
    def __init__(self, bench):
        self.bench = bench

    def case(self, case):
        """Transactions of ten 100 B records for each partition; LMDB alone then writes as many bytes in as many commits."""
        bench, broker = self.bench, self.bench.broker()
        broker.create_topic("bench", case.partitions)
        count = case.transactions // bench.scale
        command = [str(bench.directory / "transactions"), f"broker={broker.bootstrap}", f"producers={case.producers}",
                   f"partitions={case.partitions}", f"offsets={int(case.offsets)}", f"transactions={count}"]
        before, cpu = broker.commits(), broker.cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr}\n{broker.log_tail()}")
        done, cpu, commits = json.loads(done.stdout), broker.cpu_seconds() - cpu, broker.commits() - before
        broker.stop(30)
        total = count * (STATE_BYTES + case.partitions * (done["batch_bytes"] + MARKER_BYTES + OFFSET_BYTES * case.offsets))
        directory = bench.fresh()
        raw = bench.raw("write", directory, total, max(total // commits, 1))
        for place in (directory, broker.directory):
            shutil.rmtree(place)
        return dict(transactions_s=done["transactions_s"], p50_ms=done["p50_ms"], p99_ms=done["p99_ms"],
                    commits_each=commits / count, raw_transactions_s=count / raw["seconds"], raw_commit_ms=raw["p50_ms"],
                    ratio=raw["seconds"] / done["seconds"], broker_cores=cpu / done["seconds"])

    def reading(self):
        """The same records of 500 transactions, read alternately at each isolation level; the better of two each."""
        bench, broker = self.bench, self.bench.broker()
        records = 500_000 // bench.scale
        broker.create_topic("bench", 16)
        bench.load("produce", broker, topic="bench", partitions=16, size=1024, records=records, transaction=1_000 // bench.scale,
                   batch__size=1_000_000, transactional__id="bench")
        best = dict(read_committed=0.0, read_uncommitted=0.0)
        for level in ("read_uncommitted", "read_committed") * 2:
            done = bench.load("consume", broker, topic="bench", partitions=16, records=records, isolation__level=level)
            best[level] = max(best[level], done["mb_s"])
        broker.stop(30)
        shutil.rmtree(broker.directory)
        return dict(committed_mb_s=best["read_committed"], uncommitted_mb_s=best["read_uncommitted"],
                    ratio=best["read_committed"] / best["read_uncommitted"])
