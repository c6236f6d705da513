"""The rounds of clients: the bundled one beside librdkafka, on the same broker, by turns.

Both number their batches (idempotence) and have batches of the same size and linger. Each turn writes into space that
was written and freed before, and who begins changes from round to round.
"""

import json
import shutil
import subprocess

from broker import BINARY
from machine import back_memory, client_cpu

PARTITIONS, SIZES = 16, (1024, 100)
BATCH, LINGER_MS, SECONDS = 256 << 10, 5, 10
BUNDLED, LIBRDKAFKA = "bundled", "librdkafka"


class ClientRounds:
    def __init__(self, bench):
        self.bench, self.rounds = bench, 0
        self.seconds = SECONDS / min(bench.scale, 5)

    def round(self):
        """{work: {client: figures}, with the ratio of the bundled one to librdkafka}, of producing each size and of consuming."""
        broker = self.bench.broker()
        back_memory()
        order = (BUNDLED, LIBRDKAFKA) if self.rounds % 2 else (LIBRDKAFKA, BUNDLED)
        self.rounds += 1
        self.turn(broker, LIBRDKAFKA, SIZES[0], consuming=False)  # Makes the space that the others use again; counts for nothing.
        found = {}
        for size in SIZES:
            for client in order:
                for name, figures in self.turn(broker, client, size, consuming=size == SIZES[0]).items():
                    found.setdefault(name, {})[client] = figures
        broker.stop(30)
        shutil.rmtree(broker.directory)
        for clients in found.values():
            clients["ratio"] = clients[BUNDLED]["mb_s"] / clients[LIBRDKAFKA]["mb_s"]
        return found

    def turn(self, broker, client, size, consuming):
        """One client on a topic of its own."""
        broker.create_topic("bench", PARTITIONS)
        produced = self.measured(broker, self.produce, client, broker, size)
        found = {f"produce {size} B": produced}
        if consuming:
            found[f"consume {size} B"] = self.measured(broker, self.consume, client, broker, produced["records"])
        self.bench.empty(broker)
        return found

    def measured(self, broker, act, *arguments):
        """What `act` returns, with the processors that both sides used meanwhile."""
        client, own = client_cpu(), broker.cpu_seconds()
        done = act(*arguments)
        client, own = client_cpu() - client, broker.cpu_seconds() - own
        gigabytes = done["bytes"] / 1e9
        return done | dict(client_s_per_gb=client / gigabytes, broker_s_per_gb=own / gigabytes)

    def produce(self, client, broker, size):
        if client == BUNDLED:
            done = self.bundled("produce", broker, "--size", size, "--linger-ms", LINGER_MS, "--batch-size", BATCH, "--seconds", self.seconds,
                                "--warm-up", 0)
            return dict(mb_s=done["produced"]["mb_per_s"], records=done["produced"]["records"], bytes=done["produced"]["records"] * size)
        done = self.bench.load("produce", broker, topic="bench", partitions=PARTITIONS, size=size, seconds=self.seconds, idempotent=1,
                               linger_ms=LINGER_MS, batch__size=BATCH, batch__num__messages=100_000)
        return dict(mb_s=done["mb_s"], records=done["records"], bytes=done["records"] * size)

    def consume(self, client, broker, records):
        size = SIZES[0]
        if client == BUNDLED:
            done = self.bundled("consume", broker)["consumed"]
            return dict(mb_s=done["mb_per_s"], records=done["records"], bytes=done["records"] * size)
        done = self.bench.load("consume", broker, topic="bench", partitions=PARTITIONS, records=records)
        return dict(mb_s=done["mb_s"], records=records, bytes=records * size)

    def bundled(self, what, broker, *arguments):
        command = [str(BINARY), "bench", what, "--broker", broker.bootstrap, "--topic", "bench", "--json", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr}\n{broker.log_tail()}")
        return json.loads(done.stdout)


def gathered(rounds, gather, spread):
    """The rounds' figures as spreads, in the same shape."""
    return {work: {BUNDLED: gather([r[work][BUNDLED] for r in rounds]), LIBRDKAFKA: gather([r[work][LIBRDKAFKA] for r in rounds]),
                   "ratio": spread([r[work]["ratio"] for r in rounds])} for work in rounds[0]}
