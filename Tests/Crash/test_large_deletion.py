"""Judges, slowly: deleting a topic of 20 GB is no concern of a producer to another topic.

The producer sends a small record every two milliseconds whether or not the one before was acknowledged, and each is
timed from the moment at which it was due. `DELETION_GB` changes the size.
"""

import os
import queue
import threading
import time

import pytest

from broker import ROOT, evict, run_tool
from messages import PRODUCE
from records import batch
from wire_requests import produce_values

GIGABYTES = float(os.environ.get("DELETION_GB", 20))
EVERY_SECONDS = 0.002
SECONDS_BEFORE = 30
# The p99 of a second or two says little: what comes right after the deletion is judged with it.
SECONDS_AFTER_LEAST = 20


class SteadyProducer:
    """One connection, one thread that sends by the clock and one that takes the answers and their times."""

    def __init__(self, broker, topic):
        self.connection, self.is_done = broker.connect(timeout=120), threading.Event()
        self.values, self.sent, self.waits, self.fault = produce_values(topic, batch([b"." * 100])), queue.Queue(), [], None
        self.threads = [threading.Thread(target=self.guarded, args=(part,), daemon=True) for part in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def guarded(self, part):
        try:
            part()
        except BaseException as fault:
            self.fault = fault

    def send(self):
        due = time.monotonic()
        while not self.is_done.is_set():
            due += EVERY_SECONDS
            time.sleep(max(0.0, due - time.monotonic()))
            self.sent.put((due, self.connection.send(PRODUCE, 9, **self.values)))
        self.sent.put(None)

    def receive(self):
        while (entry := self.sent.get()) is not None:
            due, correlation = entry
            reply = self.connection.receive(PRODUCE, 9, correlation).responses[0].partition_responses[0]
            assert reply.error_code == 0, reply
            self.waits.append((due, time.monotonic() - due))

    def stop(self):
        self.is_done.set()
        for thread in self.threads:
            thread.join(120)
        self.connection.close()
        assert self.fault is None, self.fault

    def between(self, begin, end, least=1000):
        """p50, p99 and the most, in milliseconds, of what was due in that time, more than `least` records."""
        waits = sorted(wait * 1000 for due, wait in self.waits if begin <= due < end)
        assert len(waits) > least, f"only {len(waits)} records"
        return waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_steady_producer_does_not_notice_a_large_deletion(start_broker, tmp_path):
    load = tmp_path / "load"
    run_tool("cc", "-O2", "-Wall", "-o", load, ROOT / "bench/load.c", "-lrdkafka")
    broker = start_broker()
    broker.create_topic("large", 16)
    broker.create_topic("steady")
    run_tool(load, "produce", f"broker={broker.bootstrap}", "topic=large", "partitions=16", "size=1024",
             f"records={int(GIGABYTES * 1e9) // 1024}", "batch.size=1000000", timeout=1200)
    before = broker.extents()
    # What is deleted in a store that has run for years has not been read for long.
    broker.stop(timeout=60)
    evict(broker.directory)
    broker.start()
    producer = SteadyProducer(broker, "steady")
    time.sleep(SECONDS_BEFORE)
    deleted = time.monotonic()
    broker.delete_topic("large")
    while broker.extents() > before // 100:
        assert time.monotonic() < deleted + 600, f"{broker.extents()} of {before} extents are left"
        time.sleep(0.1)
    swept = time.monotonic()
    time.sleep(max(0.0, deleted + SECONDS_AFTER_LEAST - swept))
    end = time.monotonic()
    producer.stop()
    # What was due within a second of the begin has met the fill's last commits.
    quiet, during = producer.between(deleted - SECONDS_BEFORE + 1, deleted), producer.between(deleted, end)
    sweep = producer.between(deleted, swept, least=100)
    for what, (p50, p99, most) in (("before", quiet), ("deleting", during), ("its sweep", sweep)):
        print(f"{what:9} p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, most {most:7.2f} ms")
    print(f"{before} extents of {GIGABYTES:g} GB swept in {swept - deleted:.1f} s")
    assert during[1] <= 2 * quiet[1], f"p99 went from {quiet[1]:.2f} to {during[1]:.2f} ms"
    # A commit that sweeps takes twice what another does, and one that nobody asked for may be under way.
    assert sweep[0] <= 4 * quiet[0], f"p50 went from {quiet[0]:.2f} to {sweep[0]:.2f} ms while the sweep went on"
