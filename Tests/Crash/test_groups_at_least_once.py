"""Judges: at-least-once under kills — every acknowledged record is consumed, no committed offset goes back.

Producers and a group of consumers (processes) run while consumers and the broker are killed with -9
and restarted twenty times. A hot copy taken in the middle lets the group go on from its committed offsets.
"""

import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from broker import run_tool, verify
from ledger import Ledger
from members import PROMPT, committed
from waiting import wait_for
from wire import ConnectionClosed
from wire_requests import list_offset

ROUNDS, WORKERS, PARTITIONS = 20, 3, 4
SETTINGS = PROMPT | {"group.min.session.timeout.ms": 500, "group.consumer.min.session.timeout.ms": 500,
                     "group.consumer.session.timeout.ms": 2000, "group.consumer.min.heartbeat.interval.ms": 100,
                     "group.consumer.heartbeat.interval.ms": 200}


class Worker:
    def __init__(self, bootstrap, group, topic, path, protocol):
        script = pathlib.Path(__file__).with_name("group_worker.py")
        self.path = path
        self.process = subprocess.Popen([sys.executable, str(script), bootstrap, group, topic, str(path), protocol],
                                        stderr=subprocess.PIPE, text=True)

    def consumed(self):
        """{(partition, offset)} in whole lines of its file: a worker may have been killed within a line."""
        if not self.path.exists():
            return set()
        whole = self.path.read_bytes().rpartition(b"\n")[0]
        return {(int(p), int(o)) for p, _, o in (line.partition(b" ") for line in whole.splitlines())}

    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        wait_for(self.path.exists, "the worker has its file, and so listens to signals")
        self.process.send_signal(signal.SIGTERM)
        said = self.process.communicate(timeout=30)[1]
        assert self.process.returncode == 0, said


class Workers:
    """The group: so many workers at a time, each with a file for what it has consumed."""

    def __init__(self, bootstrap, topic, directory, protocol):
        directory.mkdir()
        self.make = lambda number: Worker(bootstrap, topic, topic, directory / str(number), protocol)
        self.all, self.living = [], []
        for _ in range(WORKERS):
            self.start_one()

    def start_one(self):
        worker = self.make(len(self.all))
        self.all.append(worker)
        self.living.append(worker)

    def kill_one(self, chance):
        self.living.pop(chance.randrange(len(self.living))).kill()
        self.start_one()

    def consumed(self):
        return set().union(*(worker.consumed() for worker in self.all))

    def size(self):
        return sum(worker.size() for worker in self.all)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.living:
            if worker.process.poll() is None:
                worker.kill()


class Watch(threading.Thread):
    """Reads the group's committed offsets again and again: none may go back, or past the end of the log."""

    def __init__(self, broker, group, topic):
        super().__init__(daemon=True)
        self.broker, self.group, self.topic = broker, group, topic
        self.last, self.readings, self.faults = {}, 0, []
        self.finish = threading.Event()
        self.start()

    def run(self):
        while not self.finish.is_set():
            try:
                with self.broker.connect(timeout=5) as connection:
                    while not self.finish.wait(0.02):
                        self.read(connection)
            except (ConnectionClosed, OSError):
                self.finish.wait(0.02)
            except Exception as error:
                self.faults.append(f"{type(error).__name__}: {error}")
                return

    def read(self, connection):
        found = committed(connection, self.group)
        if set(self.last) - set(found):
            self.faults.append(f"committed offsets are gone: {set(self.last) - set(found)}")
        for (topic, partition), offset in found.items():
            if offset < self.last.get((topic, partition), 0):
                self.faults.append(f"partition {partition} went back from {self.last[topic, partition]} to {offset}")
            end = list_offset(connection, topic, -1, partition).offset
            if offset > end:
                self.faults.append(f"partition {partition} is committed at {offset}, its log ends at {end}")
            self.last[topic, partition] = offset
        self.readings += 1

    def stop(self):
        self.finish.set()
        self.join(20)
        assert not self.faults, self.faults[:5]


def go_on_from_a_copy(start_broker, broker, ledger, topic, protocol, directory):
    """Copies the running store; a second broker serves the copy, and the group goes on there where it stood."""
    copy = directory / "copy"
    copy.mkdir()
    acknowledged = ledger.snapshot()
    run_tool("mdb_copy", broker.directory, copy)
    verify(copy)
    restored = start_broker(SETTINGS, directory=copy)
    ledger.check(restored.bootstrap, acknowledged)
    with restored.connect() as connection:
        before = committed(connection, topic)
        ends = {(topic, p): list_offset(connection, topic, -1, p).offset for p in range(PARTITIONS)}
    assert set(before) <= set(ends) and all(offset <= ends[where] for where, offset in before.items())
    assert before, "the copy has the group"
    with Workers(restored.bootstrap, topic, directory / "copied", protocol) as workers:
        expected = {(p, o) for (_, p), end in ends.items() for o in range(before.get((topic, p), 0), end)}
        wait_for(lambda: len(workers.consumed()) >= len(expected) and workers.consumed() >= expected,
                 "the rest of the copy consumed", 60)
        assert workers.consumed() == expected, "and nothing that had been committed before"

        def all_committed():
            with restored.connect() as connection:
                return committed(connection, topic) == {where: end for where, end in ends.items() if end}

        wait_for(all_committed, "everything committed in the copy")
        for worker in workers.living:
            worker.stop()
    restored.stop()
    shutil.rmtree(copy)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_twenty_kills_of_consumers_and_broker(start_broker, topic, tmp_path, protocol):
    chance = random.Random(protocol)
    broker = start_broker(SETTINGS)
    with Ledger(broker, topic, (100, 1000), PARTITIONS, in_flight_max=200) as ledger, \
            Workers(broker.bootstrap, topic, tmp_path / "consumed", protocol) as workers:
        watch = Watch(broker, topic, topic)
        for round_number in range(ROUNDS):
            seen, readings = workers.size(), watch.readings
            ledger.wait_for_more(chance.randint(50, 500))
            if round_number % 3 == 0:
                wait_for(lambda: workers.size() > seen and watch.readings > readings, "the group goes on", 30)
            victim = chance.choice(["broker", "broker", "consumer", "both"])
            if victim != "broker":
                workers.kill_one(chance)
            if victim != "consumer":
                broker.kill()
                broker.start()
            if round_number == ROUNDS // 2:
                ledger.wait_for_more(100)
                wait_for(lambda: watch.last, "a committed offset", 30)
                ledger.pause()
                go_on_from_a_copy(start_broker, broker, ledger, topic, protocol, tmp_path)
                ledger.resume()
        ledger.wait_for_more(200)
        ledger.end()
        wanted = {(partition, offset) for partition, offset, _, _ in ledger.snapshot()}
        wait_for(lambda: workers.consumed() >= wanted, "every acknowledged record consumed", 60, every=0.2)
        ends = {(topic, p): 1 + max(o for q, o in wanted if q == p) for p in range(PARTITIONS)}
        wait_for(lambda: watch.last == ends, lambda: f"all committed: {watch.last} of {ends}", 30)
        for worker in workers.living:
            worker.stop()
        watch.stop()
        assert watch.readings > ROUNDS, "the watch has seen too little to vouch for anything"
    broker.stop()
    verify(broker.directory)
