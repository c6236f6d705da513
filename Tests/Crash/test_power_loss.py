"""Judges: what is acknowledged is on the disk, not only in the kernel's memory (promise 1).

A kill leaves what was written in the page cache; a power cut does not. A shim writes down every write and sync of the store's file, and
each acknowledgement is noted with the length of that log. Then the power is cut many times, at moments chosen by a seed, in the file that
a disk might hold then: without anything that was not synced, or with any part of it. A broker must serve each such file, with all that was
acknowledged until then.
"""

import dataclasses
import random
import shutil
import threading

import pytest

from broker import Broker, run_tool, verify
from members import commit, committed
from messages import METADATA
from power import Disk, DiskLog
from records import batch, batches
from transactions import READ_COMMITTED, RawTransaction
from wire_requests import delete_before, fetch_one, list_offset, produce

# A small budget has a small journal, which is trimmed all the time, and pages that are freed and used again.
SETTINGS = {"lmbroker.store.max.bytes": 64 << 20}
SECONDS_MAX = 120


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "disk_log.so"
    source = __file__.replace("test_power_loss.py", "disk_log.c")
    run_tool("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl", "-lpthread")
    return library


@dataclasses.dataclass
class Claim:
    """What must be found in every file that is cut when the log is at least `at` long."""
    at: int
    kind: str
    where: tuple
    value: object


class Watched:
    """A broker whose store's file is written down, and what it has acknowledged."""

    def __init__(self, start_broker, shim, directory):
        self.log_path = directory / "disk.log"
        store = directory / "watched"
        self.broker = start_broker(SETTINGS, directory=store, environment={
            "LD_PRELOAD": str(shim), "DISK_LOG": str(self.log_path), "DISK_LOG_STORE": str(store / "data.mdb")})
        self.claims, self.asked_starts = [], {}

    def claim(self, kind, where, value):
        self.claims.append(Claim(self.log_path.stat().st_size, kind, where, value))

    def create_topic(self, topic, partitions):
        self.broker.create_topic(topic, partitions)
        self.claim("topic", (topic,), partitions)

    def produce(self, connection, topic, partition, value):
        reply = produce(connection, topic, batch([value]), partition)
        assert reply.error_code == 0, reply
        self.claim("record", (topic, partition), (reply.base_offset, value[:40]))
        return reply.base_offset

    def delete_before(self, connection, topic, partition, offset):
        self.asked_starts.setdefault((topic, partition), []).append(offset)
        assert delete_before(connection, topic, offset, partition) == offset
        self.claim("start", (topic, partition), offset)

    def commit_offset(self, connection, group, topic, offset):
        assert commit(connection, group, {(topic, 0): offset}) == [0]
        self.claim("offset", (group, topic), offset)

    # MARK: After the cut

    def cut(self, seed, count):
        """Cuts the power at `count` moments, and has a broker serve what is left each time."""
        self.broker.stop()
        chance, log = random.Random(seed), DiskLog(self.log_path)
        assert self.claims and log.steps and self.claims[-1].at <= log.ends[-1], "not all of it was written down"
        # Half of them when something has just been acknowledged: all of it must be there, and nothing else need be.
        moments = [claim.at for claim in chance.sample(self.claims, count // 2)]
        moments += chance.sample(log.ends, count - count // 2 - 1) + log.ends[-1:]
        disk = Disk(log)
        for moment in sorted(moments):
            disk.advance(log.steps_at(moment))
            kept = chance.choice([0, 0, 0.5, 0.95, 1])
            self.serve_after_a_cut(disk.after_a_cut(chance, kept), moment, f"seed {seed}, {moment} bytes into the log, kept {kept}")

    def serve_after_a_cut(self, file, moment, when):
        claims = [claim for claim in self.claims if claim.at <= moment]
        if not claims:
            return
        directory = self.log_path.parent / "after"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "data.mdb").write_bytes(file)
        verify(directory)
        broker = Broker(directory, SETTINGS)
        try:
            broker.start()
            with broker.connect() as connection:
                missing = Found(connection, claims).missing(claims, self.asked_starts)
            assert not missing, f"{when}: {len(missing)} of {len(claims)} claims do not hold, first {missing[0]}"
        finally:
            broker.stop()


class Found:
    """What a broker serves of what the claims are about."""

    def __init__(self, connection, claims):
        self.connection = connection
        reply = connection.ask(METADATA, 12, topics=None)
        self.partitions = {topic.name: len(topic.partitions) for topic in reply.topics}
        self.starts, self.records = {}, {}
        for topic, partition in {claim.where for claim in claims if claim.kind in ("record", "start")}:
            if partition < self.partitions.get(topic, 0):
                self.starts[topic, partition] = list_offset(connection, topic, -2, partition).offset
                self.records[topic, partition] = self.read(topic, partition)

    def read(self, topic, partition):
        """The batches that readers of committed records see, by offset."""
        position, end, found = self.starts[topic, partition], list_offset(self.connection, topic, -1, partition).offset, {}
        while position < end:
            part = fetch_one(self.connection, topic, position, partition, partition_max_bytes=4 << 20, isolation_level=READ_COMMITTED)
            read = batches(part.records)
            # An open transaction is where they stop.
            if not read:
                break
            found |= {one.base_offset: one.data for one in read}
            position = read[-1].last_offset + 1
        return found

    def missing(self, claims, asked_starts):
        newest = {(claim.kind, claim.where): claim for claim in claims if claim.kind != "record"}
        return [claim for claim in claims
                if (claim.kind == "record" or claim is newest[claim.kind, claim.where]) and not self.holds(claim, asked_starts)]

    def holds(self, claim, asked_starts):
        match claim.kind:
            case "topic":
                return self.partitions.get(claim.where[0]) == claim.value
            case "record":
                offset, value = claim.value
                start = self.starts.get(claim.where, -1)
                if 0 <= offset < start:
                    return start in asked_starts.get(claim.where, ())
                return value in self.records.get(claim.where, {}).get(offset, b"")
            case "start":
                return self.starts.get(claim.where, -1) >= claim.value
            case "offset":
                group, topic = claim.where
                return committed(self.connection, group, topic).get((topic, 0), -1) >= claim.value


def test_a_lone_client(start_broker, shim, topic, tmp_path):
    """Where the disk is quick, its event loop makes the commits of what is small, and the committer's thread those of what is not."""
    watched = Watched(start_broker, shim, tmp_path)
    watched.create_topic(topic, 2)
    with watched.broker.connect() as connection:
        for number in range(600):
            watched.produce(connection, topic, number % 2, b"%010d of a lone client" % number + b"." * (200 if number % 3 else 20_000))
    watched.cut(seed=1, count=60)


def test_many_clients_and_all_kinds_of_changes(start_broker, shim, topic, tmp_path):
    watched = Watched(start_broker, shim, tmp_path)
    watched.create_topic(topic, 5)
    failures = []

    def client(work):
        def run():
            try:
                with watched.broker.connect() as connection:
                    work(connection)
            except BaseException as error:  # noqa: B902 (told by the test's own thread)
                failures.append(error)
        return threading.Thread(target=run, daemon=True)

    def produces(partition, size, count):
        def work(connection):
            for number in range(count):
                watched.produce(connection, topic, partition, b"%010d in partition %d " % (number, partition) + b"." * size)
        return work

    def produces_and_deletes(connection):
        for number in range(120):
            offset = watched.produce(connection, topic, 3, b"%010d to be deleted " % number + b"." * 150_000)
            if number % 10 == 9:
                watched.delete_before(connection, topic, 3, offset - 3)

    def commits_offsets(connection):
        for number in range(300):
            watched.commit_offset(connection, f"group-{number % 3}", topic, number)

    def creates_topics(connection):
        for number in range(40):
            watched.create_topic(f"{topic}-{number}", 1 + number % 3)

    def makes_transactions(_):
        with RawTransaction(watched.broker, topic) as producer:
            for number in range(80):
                value = b"%010d in a transaction" % number
                offset = producer.send(topic, [value], partition=4)
                producer.send_offsets("transactional", {(topic, 0): number})
                producer.commit()
                watched.claim("record", (topic, 4), (offset, value))
                watched.claim("offset", ("transactional", topic), number)

    threads = [client(work) for work in (
        produces(0, 200, 400), produces(1, 3_000, 300), produces(2, 70_000, 60), produces_and_deletes, commits_offsets, creates_topics,
        makes_transactions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS_MAX)
        assert not thread.is_alive(), "a client did not come to its end"
    if failures:
        raise failures[0]
    watched.cut(seed=2, count=60)
