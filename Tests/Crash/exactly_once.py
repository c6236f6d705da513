"""The exactly-once workload: clients in processes of their own, harm done to them and to the broker, and their history.

What the clients do is in transaction_client.py, what is written down in Checker/history.py, and what
of it must never be seen in Checker/checker.py.
"""

import collections
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading

from broker import ROOT, lmbroker, run_tool, verify
from checker import check
from history import COMMITTED, MAIN, UNCOMMITTED, Log, partition_name, read_log
from transaction_client import FENCED_STATUS, GROUP, INPUT, PARTITIONS
from transactions import READ_COMMITTED, READ_UNCOMMITTED, end_all, group_offsets, read
from waiting import wait_for
from wire import ConnectionClosed

SETTINGS = {"group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 500}
LEVELS = {COMMITTED: READ_COMMITTED, UNCOMMITTED: READ_UNCOMMITTED}
SCRIPT = pathlib.Path(__file__).with_name("transaction_client.py")


class Slot:
    """A place that is always taken: when its client dies, another with the same role and name comes after it."""

    def __init__(self, workload, role, name):
        self.workload, self.role, self.name, self.process = workload, role, name, None

    def start(self):
        path = self.workload.new_history(f"{self.role}-{self.name}")
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), self.role, self.name, self.workload.broker.bootstrap, str(path),
             str(self.workload.chance.random())],
            stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT / "Tests/Checker")})

    def kill(self):
        self.process.kill()
        self.process.communicate()
        self.start()


class Observer(threading.Thread):
    """Reads the group's committed offsets over and over while the work goes on."""

    def __init__(self, workload):
        super().__init__(daemon=True)
        self.workload, self.log = workload, Log(workload.new_history("observer"))
        self.finish, self.fault, self.last = threading.Event(), None, {}
        self.start()

    def run(self):
        while not self.finish.is_set():
            try:
                with self.workload.broker.connect(timeout=5) as connection:
                    while not self.finish.wait(0.02):
                        self.look(connection)
            except (ConnectionClosed, OSError):
                self.finish.wait(0.02)
            except Exception as error:
                self.fault = f"{type(error).__name__}: {error}"
                return

    def look(self, connection):
        found = stable_offsets(connection)
        if found != self.last:
            self.last = found
            self.log("committed", view=None, group=GROUP, offsets=sorted(found.items()))

    def stop(self):
        self.finish.set()
        self.join(20)
        assert self.fault is None, self.fault


def stable_offsets(connection):
    """{partition name: offset} that the group has committed, where no transaction holds it back."""
    found = group_offsets(connection, GROUP, INPUT, range(PARTITIONS[INPUT]), stable=True)
    return {partition_name(INPUT, p): offset for p, (offset, code) in found.items() if code == 0 and offset >= 0}


class Workload:
    def __init__(self, broker, directory, seed, roles):
        """`roles`: [(role, name)] of the clients."""
        self.broker, self.directory, self.seed, self.chance = broker, directory, seed, random.Random(seed)
        self.paths, self.counts, self.deck = [], collections.Counter(), []
        self.log = Log(self.new_history("workload"))
        for topic, count in PARTITIONS.items():
            broker.create_topic(topic, count)
        self.slots = [Slot(self, role, name) for role, name in roles]
        self.replaced = []

    def new_history(self, name):
        self.paths.append(self.directory / f"{len(self.paths):03d}-{name}.history")
        self.paths[-1].touch()
        return self.paths[-1]

    def __enter__(self):
        for slot in self.slots:
            slot.start()
        self.observer = Observer(self)
        return self

    def __exit__(self, *_):
        self.observer.finish.set()
        for process in self.processes():
            if process.poll() is None:
                process.kill()
                process.communicate()

    def processes(self):
        return [slot.process for slot in self.slots] + self.replaced

    # What has happened so far

    def size(self, role):
        """Bytes of history that clients of a role have left."""
        return sum(path.stat().st_size for path in self.paths if f"-{role}-" in path.name)

    def tend(self):
        """Fills places that have become free; a client may only end because it was fenced."""
        for slot in self.slots:
            if slot.process.poll() is not None:
                self.note_end(slot.process)
                slot.start()
        for process in [p for p in self.replaced if p.poll() is not None]:
            self.note_end(process)
            self.replaced.remove(process)
        return True

    def note_end(self, process):
        said = process.communicate()[1]
        assert process.returncode == FENCED_STATUS, f"a client ended with status {process.returncode}: {said[-3000:]}"
        self.counts["fenced"] += 1

    def wait_for_more(self, byte_count, role="transactor", timeout=60):
        """Returns when clients of that role have written down so much more."""
        wanted = self.size(role) + byte_count
        wait_for(lambda: self.tend() and self.size(role) >= wanted, lambda: f"each {role} goes on\n{self.broker.log_tail()}", timeout)

    # Harm

    def of(self, *roles):
        return [slot for slot in self.slots if slot.role in roles]

    def harm(self):
        if not self.deck:
            self.deck = ["broker", "broker", "worker", "transactor", "plain", "reader", "zombie", "both"]
            self.chance.shuffle(self.deck)
        kind = self.deck.pop()
        victims = dict(broker=[], worker=self.of("worker"), transactor=self.of("transactor"), plain=self.of("plain"),
                       reader=self.of(COMMITTED, UNCOMMITTED), zombie=self.of("transactor", "worker"),
                       both=self.of("worker", "transactor"))[kind]
        if kind == "zombie":
            # Another gets the same transactional id while its holder goes on.
            victim = self.chance.choice(victims)
            self.replaced.append(victim.process)
            victim.start()
        elif victims:
            self.chance.choice(victims).kill()
        if kind in ("broker", "both"):
            self.broker.kill()
            self.broker.start()
        self.counts[kind] += 1

    # Views

    def copy(self, start_broker, name, tool):
        """Makes a hot copy, serves it by a second broker, and reads all of it when nothing in it is open any more."""
        place = self.directory / name
        self.log("view", view=name)
        if tool == "mdb_copy":
            place.mkdir()
            run_tool("mdb_copy", self.broker.directory, place)
        else:
            lmbroker("backup", place, "--data", self.broker.directory)
        verify(place)
        restored = start_broker(SETTINGS, directory=place)
        self.read_view(restored, name)
        restored.stop()
        self.counts["copies"] += 1

    def read_view(self, broker, name):
        with broker.connect(timeout=30) as connection:
            end_all(connection)
            for topic, count in PARTITIONS.items():
                for partition in range(count):
                    for isolation, level in LEVELS.items():
                        records = [(offset, value.decode()) for offset, value in read(connection, topic, partition, level)]
                        self.log("complete", view=name, isolation=isolation, partition=partition_name(topic, partition),
                                 records=records)
            self.log("committed", view=name, group=GROUP, offsets=sorted(stable_offsets(connection).items()))

    def finish(self):
        """Ends the clients in good order, reads what is there, and returns the whole history."""
        wait_for(lambda: self.tend() and not self.replaced, "those whose transactional ids were taken over are fenced", 60)
        self.observer.stop()
        for process in self.processes():
            process.send_signal(signal.SIGTERM)
        for process in self.processes():
            said = process.communicate(timeout=60)[1]
            # One that has only just been started has no handler for the signal yet.
            assert process.returncode in (0, FENCED_STATUS, -signal.SIGTERM), f"a client ended with status {process.returncode}: {said[-3000:]}"
        self.log("view", view=MAIN)
        self.read_view(self.broker, MAIN)
        return [operation for path in self.paths for operation in read_log(path)]

    def judge(self, operations):
        found = check(operations)
        listed = "\n".join(f"{a.kind}: {a.text}" for a in found[:20])
        assert not found, f"seed {self.seed}: {len(found)} anomalies, histories in {self.directory}\n{listed}"


def tally(operations):
    """How much of each kind is in a history, so that a test can say that enough has happened."""
    counts = collections.Counter()
    for operation in operations:
        counts[operation["op"]] += 1
        if operation["op"] == "ended":
            counts[operation["outcome"]] += 1
        if operation["op"] == "poll":
            counts[operation["isolation"]] += len(operation["records"])
        if operation["op"] == "ack":
            counts["acknowledged"] += len(operation["records"])
    return counts
