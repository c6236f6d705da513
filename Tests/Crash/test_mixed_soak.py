"""Judges, slowly: 200 topics of mixed retention for an hour, or less; at the end the store is as it was near the begin.

bench/mixed.c produces at a steady rate, and every minute 600 MB as fast as it can. A topic is deleted and one
created every minute, a hot copy made and verified every five. The second sixth of the time is held against the last:
throughput of both kinds, memory, free list; and the file against what lives in it and what the copies pinned. A shorter
run has shorter times of everything (soak_plan.py), and begins with some that is not judged.

`SOAK_SECONDS` is the length without that, `SOAK_MIXED_MB_S` the steady rate, `SOAK_SAMPLES` the file of JSON lines that
bench/soak_curve.py draws.
"""

import json
import os
import pathlib
import shutil
import statistics
import subprocess
import threading
import time

import pytest

import soak_plan
from broker import BINARY, ROOT, run_tool, verify
from soak_watch import PAGE, CommitTimes, MachineUse, MemoryWatch, file_bytes, free_list, live_bytes, pinned_bytes

SECONDS = int(os.environ.get("SOAK_SECONDS", 600))
RATE_MB_S = float(os.environ.get("SOAK_MIXED_MB_S", 30))
SAMPLES = pathlib.Path(os.environ.get("SOAK_SAMPLES", ROOT / ".build/soak.jsonl"))
SCALE = min(1.0, SECONDS / soak_plan.HOUR)
# What the end is held against begins after four times the shortest time limit, when the store writes where it has written before.
WARM_UP = max(0, 4 * soak_plan.SHORTEST - SECONDS // 6)
LENGTH = WARM_UP + SECONDS
DELETE_EVERY = max(60 * SCALE, 5)
# A copy with its verification takes ten to twenty seconds even of a few gigabytes; most of the time none is to be under way.
COPY_EVERY = max(300 * SCALE, 100)
BURST_EVERY, BURST_MB = max(60 * SCALE, 20), 600 if SCALE == 1 else 300
INTERVAL = 10
MEGABYTE = 1e6
# A burst in which others used more of the machine than this measures them.
OTHERS_CORES = 0.1
BURSTS_LEAST = 3
READER_SECONDS = 30


class Record:
    """What was measured, in memory and as lines of a file, by kind."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file, self.lock, self.kept, self.begun = open(path, "w"), threading.Lock(), [], time.monotonic()

    def now(self):
        return time.monotonic() - self.begun

    def note(self, kind, **values):
        line = dict(kind=kind, **values)
        with self.lock:
            self.kept.append(line)
            print(json.dumps(line), file=self.file, flush=True)
        return line

    def of(self, kind, begin=0.0, end=float("inf")):
        with self.lock:
            return [line for line in self.kept if line["kind"] == kind and begin <= line["at"] < end]


class Beat(threading.Thread):
    """Does something again and again, at fixed times, until it is told to stop; what goes wrong is kept for the test."""

    def __init__(self, every, action):
        super().__init__(daemon=True)
        self.every, self.action, self.is_done, self.fault = every, action, threading.Event(), None
        self.start()

    def run(self):
        begun, number = time.monotonic(), 1
        try:
            while not self.is_done.wait(max(0.0, begun + number * self.every - time.monotonic())):
                self.action(number)
                # One that took too long skips beats instead of crowding them.
                number = max(number + 1, int((time.monotonic() - begun) / self.every) + 1)
        except BaseException as fault:
            self.fault = fault

    def check(self):
        if self.fault is not None:
            raise self.fault

    def stop(self, timeout):
        self.is_done.set()
        self.join(timeout)
        assert not self.is_alive(), f"what a beat does takes longer than {timeout} s"
        self.check()


class Fleeting:
    """Deletes a fleeting topic at each beat and creates the one that was deleted at the beat before."""

    def __init__(self, broker, topics):
        self.broker, self.topics, self.missing, self.deleted = broker, [t for t in topics if t.kind == "fleeting"], None, 0

    def beat(self, number):
        if self.missing is not None:
            create(self.broker, self.missing)
        self.missing = self.topics[number % len(self.topics)]
        self.broker.delete_topic(self.missing.name)
        self.deleted += 1


class Copies:
    """Makes a hot copy at each beat, by either tool in turn, verifies it and takes it away."""

    def __init__(self, broker, directory, record, commits):
        self.broker, self.directory, self.record, self.commits, self.is_busy = broker, directory, record, commits, False

    def beat(self, number):
        self.is_busy = True
        copy = self.directory / f"copy-{number}"
        tool = ("mdb_copy", "lmbroker backup")[number % 2]
        begun, before = self.record.now(), file_bytes(self.broker)
        if tool == "mdb_copy":
            copy.mkdir()
        command = {"mdb_copy": ["mdb_copy", self.broker.directory, copy],
                   "lmbroker backup": [BINARY, "backup", copy, "--data", self.broker.directory]}[tool]
        pinned, looks = self.run([str(part) for part in command])
        ended, after = self.record.now(), file_bytes(self.broker)
        size = (copy / "data.mdb").stat().st_size
        verify(copy, timeout=1800)
        shutil.rmtree(copy)
        self.is_busy = False
        self.record.note("copy", at=begun, tool=tool, copied=ended, verified=self.record.now(), bytes=size, pinned=pinned,
                         looks=looks, grew=after - before)

    def run(self, command):
        """Runs the copy to its end; returns the most bytes that it was seen to pin, a little less than it did, in how many looks."""
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        pinned, looks = 0, 0
        while True:
            try:
                said = process.communicate(timeout=0.1)[1]
            except subprocess.TimeoutExpired:
                free = free_list(self.broker.directory)
                self.commits.note(free)
                pinned, looks = max(pinned, pinned_bytes(free, process.pid)), looks + 1
                continue
            assert process.returncode == 0, f"{command} exited {process.returncode}: {said}"
            return pinned, looks


class Soak:
    """The load under way, and what is looked at while it is."""

    def __init__(self, broker, program, plan_path, record, commits, copies):
        self.broker, self.record, self.commits, self.copies = broker, record, commits, copies
        self.process = subprocess.Popen(
            [str(program), f"broker={broker.bootstrap}", f"plan={plan_path}", f"seconds={LENGTH}", f"rate_mb_s={RATE_MB_S}",
             f"interval={INTERVAL}", f"burst_every={BURST_EVERY}", f"burst_mb={BURST_MB}"],
            stdout=subprocess.PIPE, text=True)
        self.use, self.was_copying, self.memory = None, False, MemoryWatch(broker)

    def follow(self, beats):
        """Takes the load's lines as they come until its last one, which is returned."""
        for line in self.process.stdout:
            report = json.loads(line)
            if "elapsed" in report:
                self.sample(report)
            elif "burst_begins" in report:
                self.use, self.was_copying = MachineUse(self.broker.pid, self.process.pid), self.copies.is_busy
            elif "burst_ends" in report:
                self.burst(report)
            else:
                self.process.wait(60)
                return report
            for beat in beats:
                beat.check()
        raise AssertionError(f"the load ended early with {self.process.wait(60)}")

    def burst(self, report):
        others = self.use.by_others()
        copying = self.was_copying or self.copies.is_busy
        self.record.note("burst", at=report["burst_ends"], mb_s=report["burst_mb_s"], others_cores=round(others, 2),
                         copying=copying, undisturbed=not copying and others <= OTHERS_CORES)

    def sample(self, report):
        free, live = free_list(self.broker.directory), live_bytes(self.broker)
        self.commits.note(free)
        sample = self.record.note(
            "sample", at=report["elapsed"], mb_s=report["mb_s"], p50_ms=report["p50_ms"], p99_ms=report["p99_ms"],
            failed=report["failed"], missed=report["missed"], memory=round(self.memory.mean()), file=file_bytes(self.broker),
            live=sum(live.values()), live_by_kind=live, free_pages=free.pages, free_entries=free.entries,
            oldest_reader_s=round(self.commits.oldest_reader_seconds(free), 1), copying=self.copies.is_busy,
            load=os.getloadavg()[0])
        bursts = self.record.of("burst", sample["at"] - INTERVAL)
        print(f"{sample['at']:6.0f} s  {sample['mb_s']:5.1f} MB/s p50 {sample['p50_ms']:4.0f} p99 {sample['p99_ms']:5.0f} ms  "
              f"live {sample['live'] / MEGABYTE:6.0f} file {sample['file'] / MEGABYTE:6.0f} free {free.pages * PAGE / MEGABYTE:5.0f} MB "
              f"in {free.entries:5}  anonymous {sample['memory'] / MEGABYTE:4.0f} MB  reader {sample['oldest_reader_s']:3.0f} s  "
              f"missed {sample['missed']}" + "".join(f"  burst {b['mb_s']:.0f}{'' if b['undisturbed'] else '*'} MB/s" for b in bursts)
              + ("  copying" if sample["copying"] else ""))


def create(broker, topic):
    broker.create_topic(topic.name, topic.partitions, **topic.configs)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("mixed") / "mixed"
    run_tool("cc", "-O2", "-Wall", "-o", path, ROOT / "bench/mixed.c", "-lrdkafka", "-lm")
    return path


@pytest.mark.slow
@pytest.mark.timeout(LENGTH + 3600)
def test_mixed_retention_with_copies_and_deletions(start_broker, program, tmp_path):
    broker = start_broker({"log.retention.check.interval.ms": 1000, "log.cleaner.backoff.ms": 1000,
                           "auto.create.topics.enable": "false"})
    topics = soak_plan.plan(RATE_MB_S, SECONDS)
    (tmp_path / "plan").write_text(soak_plan.lines(topics))
    for topic in topics:
        create(broker, topic)
    record, commits = Record(SAMPLES), CommitTimes()
    record.note("settings", at=0, seconds=LENGTH, warm_up=WARM_UP, rate_mb_s=RATE_MB_S, topics=len(topics), burst_every=BURST_EVERY,
                copy_every=COPY_EVERY, delete_every=DELETE_EVERY)
    fleeting, copies = Fleeting(broker, topics), Copies(broker, tmp_path, record, commits)
    soak = Soak(broker, program, tmp_path / "plan", record, commits, copies)
    try:
        beats = [Beat(DELETE_EVERY, fleeting.beat), Beat(COPY_EVERY, copies.beat)]
        total = soak.follow(beats)
        for beat in beats:
            beat.stop(1800)
    finally:
        soak.process.kill()
        soak.memory.stop()
    print(f"{total['acknowledged_mb']:.0f} MB acknowledged, {fleeting.deleted} topics deleted, {len(record.of('copy'))} copies verified")
    broker.stop(timeout=10)
    verify(broker.directory, timeout=1800)
    judge(record, total, topics)


def judge(record, total, topics):
    """Says everything that is wrong, not just the first."""
    second, fourth, last = (record.of("sample", sixth(begin), sixth(end)) for begin, end in ((1, 2), (3, 4), (5, 7)))
    faults = [fault for fault in (
        held_rate(second, last), burst_rate(record.of("burst", sixth(1), sixth(2)), record.of("burst", sixth(5))),
        file_size(last, record.of("copy")), flat_free_list(fourth, last, record.of("copy")), flat_memory(second, last),
        old_readers(record.of("sample"), record.of("copy")), kept(last, topics, total["acknowledged_mb"] * MEGABYTE / LENGTH),
        f"{total['failed']} records of topics that stay were not delivered" if total["failed"] else None) if fault]
    assert not faults, "\n".join(faults)


def sixth(number):
    """When so many sixths of what is judged are over."""
    return WARM_UP + number * SECONDS / 6


def mean(samples, name):
    return statistics.mean(s[name] for s in samples)


def held_rate(second, last):
    before, after = mean(second, "mb_s"), mean(last, "mb_s")
    print(f"steady: {before:.1f} MB/s in the second sixth, {after:.1f} in the last")
    return f"throughput went from {before:.1f} to {after:.1f} MB/s" if after < 0.9 * before or before < 0.9 * RATE_MB_S else None


def burst_rate(second, last):
    """Undisturbed bursts are compared, where both have enough of them; else those without a copy; else all."""
    for which, is_taken in (("undisturbed", lambda b: b["undisturbed"]), ("copyless", lambda b: not b["copying"]), ("all", lambda b: True)):
        taken = [[b["mb_s"] for b in bursts if is_taken(b)] for bursts in (second, last)]
        if min(map(len, taken)) >= BURSTS_LEAST:
            break
    before, after = map(statistics.median, taken)
    print(f"bursts: {before:.0f} MB/s in the second sixth, {after:.0f} in the last "
          f"(medians of {len(taken[0])} of {len(second)} and of {len(taken[1])} of {len(last)}: {which})")
    return f"bursts went from {before:.0f} to {after:.0f} MB/s" if after < 0.9 * before else None


def file_size(last, copies):
    """What one copy pinned the next one finds free: the most of any counts, not their sum."""
    live, file, pinned = mean(last, "live"), mean(last, "file"), max(c["pinned"] for c in copies)
    grew = sum(c["grew"] for c in copies)
    print(f"file: {file / MEGABYTE:.0f} MB for {live / MEGABYTE:.0f} MB live ({file / live:.2f}); a copy pinned {pinned / MEGABYTE:.0f} MB "
          f"at most; without them {(file - pinned) / live:.2f}; it grew by {grew / MEGABYTE:.0f} MB during copies in all")
    return f"the file is {(file - pinned) / live:.2f} times the live bytes, without what copies pinned" \
        if file > 1.4 * live + pinned else None


def flat_free_list(fourth, last, copies):
    """The list may grow as what lives does, and by what later copies pinned beyond the earlier ones.

    It begins at nothing and grows until most topics have been deleting for a while, so the fourth sixth is where it is to
    be flat from. Its entries are the commits that freed something since LMDB last took pages: told, not judged.
    """
    pages, entries = [[mean(samples, name) for samples in (fourth, last)] for name in ("free_pages", "free_entries")]
    earlier = max((c["pinned"] for c in copies if c["at"] < sixth(4)), default=0)
    pinned = max(0, max(c["pinned"] for c in copies) - earlier) / PAGE
    grown = max(1.0, mean(last, "live") / mean(fourth, "live"))
    print(f"free list: {pages[0]:.0f} pages in {entries[0]:.0f} entries in the fourth sixth, {pages[1]:.0f} in {entries[1]:.0f} in the "
          f"last; live bytes grew by {grown:.2f}, what a copy pins by {pinned:.0f} pages")
    return f"the free list went from {pages[0]:.0f} to {pages[1]:.0f} pages" if pages[1] > 1.2 * grown * pages[0] + pinned else None


def flat_memory(second, last):
    before, after = mean(second, "memory"), mean(last, "memory")
    print(f"anonymous memory: {before / MEGABYTE:.0f} MB, then {after / MEGABYTE:.0f} MB")
    return f"memory grew from {before / MEGABYTE:.0f} to {after / MEGABYTE:.0f} MB" if after > 1.15 * before + 16 * MEGABYTE else None


def old_readers(samples, copies):
    """Nobody but a copy holds a snapshot for long."""
    alone = [s for s in samples if not any(c["at"] <= s["at"] + 1 and s["at"] <= c["copied"] + 2 for c in copies)]
    oldest = max(s["oldest_reader_s"] for s in alone)
    print(f"oldest reader: {oldest:.0f} s outside of copies, {mean(samples, 'oldest_reader_s'):.1f} s on average")
    return f"a reader was {oldest:.0f} s old while no copy was made" if oldest > READER_SECONDS else None


def expected_bytes(topic, rate):
    """About what a topic holds by its limits, at the rate that there was."""
    if topic.kind == "time":
        return topic.share * rate * min(topic.kept_seconds, LENGTH)
    if topic.kind == "fleeting":
        # Between nothing and what comes until its turn to be deleted.
        return topic.share * rate * DELETE_EVERY * soak_plan.KINDS["fleeting"][0] / 2
    # A compacted one has as much again that waits for compaction, at most.
    return topic.kept_bytes * (1 if topic.kind == "bytes" else 2)


def kept(last, topics, rate):
    """Retention and compaction keep up, and take no more than they may."""
    faults = []
    for kind in soak_plan.KINDS:
        live = statistics.mean(s["live_by_kind"][kind] for s in last)
        expected = sum(expected_bytes(t, rate) for t in topics if t.kind == kind)
        print(f"{kind} topics hold {live / MEGABYTE:.0f} MB, by their limits about {expected / MEGABYTE:.0f}")
        if not expected / 2 < live < 2 * expected + 64 * MEGABYTE:
            faults.append(f"{kind} topics hold {live / MEGABYTE:.0f} MB where about {expected / MEGABYTE:.0f} were to be")
    return "\n".join(faults)
