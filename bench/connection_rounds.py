"""A thousand connections at once, each with a produce request under way at all times: what they cost the broker in memory."""

import shutil
import time

from machine import MEGABYTE, PeakMemory, back_memory
from ready_requests import Asker, drive, request_to_produce

CONNECTIONS, PARTITIONS, RECORDS, SIZE, SECONDS = 1_000, 16, 64, 1_024, 15


class ConnectionRounds:
    def __init__(self, bench):
        self.bench = bench

    def round(self):
        broker = self.bench.broker(settings={"max.connections.per.ip": CONNECTIONS + 10})
        broker.create_topic("bench", PARTITIONS)
        back_memory()
        frames = [request_to_produce("bench", partition, RECORDS, SIZE) for partition in range(PARTITIONS)]
        askers = [Asker(broker, frames[number % PARTITIONS]) for number in range(CONNECTIONS)]
        cpu = broker.cpu_seconds()
        with PeakMemory(broker.pid) as memory:
            begun = time.monotonic()
            until = begun + SECONDS / self.bench.scale
            drive(askers, lambda: time.monotonic() >= until)
            seconds = time.monotonic() - begun
        cpu = broker.cpu_seconds() - cpu
        total = sum(asker.answers for asker in askers) * RECORDS * SIZE
        broker.stop(30)
        shutil.rmtree(broker.directory)
        return dict(mb_s=total / MEGABYTE / seconds, least_answers=min(asker.answers for asker in askers), peak_mb=memory.peak / MEGABYTE,
                    cpu_s_per_gb=cpu / (total / 1e9), broker_cores=cpu / seconds)
