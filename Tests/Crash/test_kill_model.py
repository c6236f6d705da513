"""Judges: through kills at any moment, each partition is one that a simple model allows (promises 1, 3 and 4).

Appends in all codecs, DeleteRecords and a limit that changes go to topics of four kinds, while retention, compaction and hot copies
work beside them, until the broker is killed or told to end, again and again. What was answered must be there afterwards, byte for
byte; of what was on its way, each partition has the first few batches or none; retention and compaction have taken what their rules
let them take, and nothing else; and a search by time finds the first of what is left.

    LMBROKER_SEED=7 .venv/bin/python -m pytest -c Tests/pytest.ini -s Tests/Crash/test_kill_model.py      (LMBROKER_SEEDS=200)

The seed says what is sent and when the broker dies. How far it has come by then is the machine's: a replay may need a few runs.
"""

import contextlib
import os
import random
import shutil
import signal
import threading
from collections import Counter, defaultdict, deque
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from broker import lmbroker, run_tool, verify
from messages import DELETE_RECORDS, DESCRIBE_CONFIGS, INCREMENTAL_ALTER_CONFIGS, PRODUCE
from records import batches
from waiting import now_ms, wait_for
from wire import ConnectionClosed
from wire_requests import fetch_one, list_offset, produce_values

SEEDS = [int(os.environ["LMBROKER_SEED"])] if "LMBROKER_SEED" in os.environ else range(1, int(os.environ.get("LMBROKER_SEEDS", 10)) + 1)
ROUNDS = 6
ROUND_SECONDS_MAX = 0.7
EAGER = {"log.cleaner.backoff.ms": 100, "log.retention.check.interval.ms": 50}
EAGER_TOPIC = dict(segment_ms=100, max_compaction_lag_ms=300, min_cleanable_dirty_ratio=0.05)
JOURNAL_BYTES_MAX = (1 << 20, 8 << 20, 200 << 20)
BATCH_BYTES_MAX = 8 << 20
LIMITS = (30_000, 300_000, 3_000_000)
RETENTION_MS, OLD_MS, YOUNG_MS = 60_000, 300_000, 5_000
KEYS = [b"key-%02d" % number for number in range(20)]
OFFSET_OUT_OF_RANGE, TOPIC = 1, 2
BEGINNING, END, GREATEST_TIME = -2, -1, -3


class Record(NamedTuple):
    key: bytes | None
    value: bytes | None
    timestamp: int


class Limit:
    """What is known of a topic's `retention.bytes`."""

    def __init__(self, value):
        self.value, self.sent = value, []   # As of the last answer, and without one.
        self.lowest = value                 # Of those that may have been in force since the last check.

    def answered(self, reply):
        assert reply.responses[0].error_code == 0, reply
        self.value = self.sent.pop(0)

    def check(self, found):
        assert found in (self.value, *self.sent), f"retention.bytes is {found}, was {self.value}, and {self.sent} on their way"
        self.value = self.lowest = found
        self.sent.clear()


class Log:
    """What is known of a partition: what was answered, and what was sent and may have happened."""

    def __init__(self, kind, topic, partition, may_be_cut, limit):
        self.kind, self.topic, self.partition, self.may_be_cut, self.limit = kind, topic, partition, may_be_cut, limit
        self.records = []       # Each at its offset, also those that are gone.
        self.sent = []          # Batches without an answer.
        self.cuts = []          # Where DeleteRecords without an answer would have the log begin.
        self.start = 0          # Where it began at the last check, or by an answer to DeleteRecords since then.
        self.start_seen = 0     # By the last answer of any kind: retention may have been there.

    def __str__(self):
        return f"{self.kind}-{self.partition}"

    def appended(self, part):
        assert part.error_code == 0 and part.base_offset == len(self.records), f"{self}: at {len(self.records)}, {part}"
        self.records += self.sent.pop(0)
        self.see_start(part.log_start_offset)

    def cut(self, target, part):
        assert part.error_code == 0 and part.low_watermark >= target, f"{self}: to {target}, {part}"
        self.cuts.remove(target)
        self.start = max(self.start, target)
        self.see_start(part.low_watermark)

    def see_start(self, start):
        assert start >= self.start_seen, f"{self} began at {self.start_seen}, and now at {start}"
        self.start_seen = start


class Model:
    """A topic of each kind, as they are made on a broker, and counts of what came to pass."""

    def __init__(self, broker, name, chance):
        self.count, self.limit, self.logs = Counter(), Limit(max(LIMITS)), []
        compacted = dict(cleanup_policy=chance.choice(("compact", "compact,delete")), delete_retention_ms=chance.choice((0, 300)))
        for kind, configs in dict(plain={}, sized=dict(retention_bytes=self.limit.value), timed=dict(retention_ms=RETENTION_MS),
                                  compacted=compacted | EAGER_TOPIC).items():
            partitions = chance.randint(1, 2)
            broker.create_topic(f"{name}-{kind}", partitions, max_message_bytes=BATCH_BYTES_MAX, **configs)
            # Where there is nothing but compaction, DeleteRecords is refused.
            self.logs += [Log(kind, f"{name}-{kind}", partition, configs.get("cleanup_policy") != "compact", self.limit)
                          for partition in range(partitions)]

    def of_kind(self, kind):
        return [log for log in self.logs if log.kind == kind]


def some_records(log, chance):
    """Of 10 B to 100 KB, small batches as often as large ones; half of them can be compressed."""
    size_max, pattern_size = 10 ** chance.uniform(1, 5), chance.choice((100, 100_000))
    # Where age counts, all are young, all are old, or some are.
    ages = chance.choice(((0,), (OLD_MS,), (OLD_MS,), (0, OLD_MS))) if log.kind == "timed" else (0,)
    has_keys, now = log.kind == "compacted", now_ms()

    def value():
        size = int(chance.uniform(10, size_max))
        return (chance.randbytes(min(size, pattern_size)) * (size // pattern_size + 1))[:size]
    return [Record(chance.choice(KEYS) if has_keys else None, None if has_keys and chance.random() < 0.15 else value(),
                   now - chance.choice(ages) - chance.randint(0, YOUNG_MS)) for _ in range(chance.randint(1, 50))]


def encode(records, codec):
    """As `records.batch` does, but in C, and with a timestamp for each record."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, BATCH_BYTES_MAX)
    for offset, record in enumerate(records):
        assert builder.append(offset, record.timestamp, record.key, record.value, []) is not None
    return bytes(builder.build())


class Load:
    """A client that sends what chance says, some requests ahead of their answers, and tells the model.

    What is sent is in the model first: the broker may have done it, and died, before `send` returns.
    """

    def __init__(self, connection, model, chance):
        self.connection, self.model, self.chance = connection, model, chance
        self.waiting, self.waiting_max = deque(), chance.choice((1, 2, 16))

    def step(self):
        while len(self.waiting) >= self.waiting_max:
            self.receive()
        self.chance.choices((self.append, self.cut, self.change_limit), (100, 10, 4))[0]()

    def send(self, api, version, answered, **values):
        self.waiting.append((api, version, self.connection.send(api, version, **values), answered))

    def receive(self):
        *request, answered = self.waiting.popleft()
        answered(self.connection.receive(*request))

    def append(self):
        log = self.chance.choice(self.model.logs)
        records = some_records(log, self.chance)
        log.sent.append(records)
        self.model.count["batches"] += 1
        self.send(PRODUCE, 9, lambda reply: log.appended(reply.responses[0].partition_responses[0]),
                  **produce_values(log.topic, encode(records, self.chance.randrange(5)), log.partition))

    def cut(self):
        log = self.chance.choice([log for log in self.model.logs if log.may_be_cut])
        target = self.chance.randint(log.start, min(len(log.records), log.start + 500))
        log.cuts.append(target)
        self.send(DELETE_RECORDS, 2, lambda reply: log.cut(target, reply.topics[0].partitions[0]), timeout_ms=10_000, topics=[
            dict(name=log.topic, partitions=[dict(partition_index=log.partition, offset=target)])])

    def change_limit(self):
        limit, value = self.model.limit, self.chance.choice(LIMITS)
        limit.sent.append(value)
        limit.lowest = min(limit.lowest, value)
        self.send(INCREMENTAL_ALTER_CONFIGS, 1, limit.answered, resources=[
            dict(resource_type=TOPIC, resource_name=self.model.of_kind("sized")[0].topic,
                 configs=[dict(name="retention.bytes", config_operation=0, value=str(value))])])


def load_until(number, broker, model, chance):
    """Loads the broker until a signal ends it, at a moment that the load knows nothing of."""
    has_struck = threading.Event()

    def strike():
        has_struck.set()
        broker.process.send_signal(number)
    timer = threading.Timer(chance.uniform(0, ROUND_SECONDS_MAX), strike)
    with broker.connect() as connection:
        load = Load(connection, model, chance)
        timer.start()
        try:
            while True:
                load.step()
        except ConnectionClosed:
            assert has_struck.is_set(), f"the broker closed the connection:\n{broker.log_tail()}"
            # Answers that have come count, though no more can be sent.
            with contextlib.suppress(ConnectionClosed):
                while load.waiting:
                    load.receive()
        finally:
            timer.cancel()
            timer.join()
    broker.kill() if number == signal.SIGKILL else broker.stop()


def copy_hot(directory, to, by_stock_tool):
    if by_stock_tool:
        to.mkdir()
        run_tool("mdb_copy", directory, to)
    else:
        lmbroker("backup", to, "--data", directory)
    verify(to)
    shutil.rmtree(to)


class View(NamedTuple):
    """What a reader of a partition finds."""

    start: int
    end: int
    batches: list   # Base offset and bytes of each; the first may begin before `start`.
    records: dict   # By offset, ascending.


def read(connection, log):
    """A view of a partition; None where its beginning was taken away meanwhile."""
    view = View(*(list_offset(connection, log.topic, mark, log.partition).offset for mark in (BEGINNING, END)), [], {})
    due = view.start
    while due < view.end:
        part = fetch_one(connection, log.topic, due, log.partition, partition_max_bytes=16 << 20)
        if part.error_code == OFFSET_OUT_OF_RANGE:
            return None
        assert part.error_code == 0 and part.records, f"{log}: nothing from {due} to the end {view.end}: {part}"
        for found in batches(part.records):
            view.batches.append((found.base_offset, len(found.data)))
            read_batch(log, found, due, view)
            due = found.last_offset + 1
    return view


def read_batch(log, found, due, view):
    batch = DefaultRecordBatch(found.data)
    assert batch.validate_crc(), f"{log}: the batch at {found.base_offset} has a wrong CRC"
    assert due <= found.last_offset, f"{log}: the batch at {found.base_offset} comes again where {due} is due"
    # What compaction has left no records in cannot be decompressed.
    for record in batch if found.count else ():
        if record.offset >= view.start:
            assert due <= record.offset <= found.last_offset, f"{log}: offset {record.offset} comes where {due} is due"
            view.records[record.offset] = Record(record.key, record.value, record.timestamp)
            due = record.offset + 1


def settled_view(connection, log, chance):
    """A view, and what searches by time answer, while nothing was taken out of it."""
    def look():
        view = read(connection, log)
        some = chance.sample(list(view.records.values()), min(4, len(view.records))) if view else []
        times = {GREATEST_TIME, *(record.timestamp + chance.choice((-1, 0, 1)) for record in some)}
        answers = {time: list_offset(connection, log.topic, time, log.partition) for time in times}
        return view and view == read(connection, log) and (view, answers)
    return wait_for(look, f"{log} stays as it is for a moment")


def check(broker, model, chance):
    with broker.connect(timeout=30) as connection:
        for log in model.logs:
            view, answers = settled_view(connection, log, chance)
            check_end(log, view, model.count)
            check_start(log, view, model.count)
            check_records(log, view, model.count)
            check_times(log, view, answers)
        reply = connection.ask(DESCRIBE_CONFIGS, 4, resources=[dict(
            resource_type=TOPIC, resource_name=model.of_kind("sized")[0].topic, configuration_keys=["retention.bytes"])])
        model.limit.check(int(reply.results[0].configs[0].value))


def check_end(log, view, count):
    """All that was answered, and the first few batches of what was on its way."""
    while len(log.records) < view.end and log.sent:
        log.records += log.sent.pop(0)
        count["unanswered and there"] += 1
    assert len(log.records) == view.end, f"{log} ends at {view.end}; the nearest that the model allows is {len(log.records)}"
    count["unanswered and not there"] += len(log.sent)
    log.sent.clear()


def check_start(log, view, count):
    assert view.start >= log.start_seen, f"{log} begins at {view.start}, and was seen to begin at {log.start_seen}"
    asked = [log.start] + [target for target in log.cuts if target > log.start]
    if view.start not in asked:
        check_retention(log, view, max(target for target in asked if target < view.start))
        count["retention"] += 1
    log.start = log.start_seen = view.start
    log.cuts.clear()


def check_retention(log, view, begin):
    """From `begin` on, whole batches have gone, and only such as may go."""
    assert log.kind in ("sized", "timed"), f"{log} begins at {view.start} and not at {begin}, and nobody has asked for it"
    assert view.start == view.end or view.start == view.batches[0][0], f"{log} begins at {view.start}, within a batch"
    if log.kind == "sized":
        left = sum(size for _, size in view.batches)
        assert left >= log.limit.lowest, f"{log}: {left} bytes are left, and no limit was below {log.limit.lowest}"
    else:
        # The broker looked before now: what was too old then is so now.
        young = [offset for offset in range(begin, view.start) if log.records[offset].timestamp >= now_ms() - RETENTION_MS]
        assert not young, f"{log}: retention has taken young records, {young}"


def check_records(log, view, count):
    wrong = [offset for offset, record in view.records.items() if record != log.records[offset]]
    assert not wrong, f"{log}: other records than were sent are at {wrong}"
    missing = set(range(view.start, view.end)) - view.records.keys()
    if log.kind == "compacted":
        check_compaction(log, view)
        count["compacted"] = max(count["compacted"], len(missing))
    else:
        assert not missing, f"{log}: {sorted(missing)} are missing between {view.start} and {view.end}"


def offsets_by_key(log, view):
    """Where each key's records were, those that are gone too."""
    offsets = defaultdict(list)
    for offset in range(view.start, view.end):
        offsets[log.records[offset].key].append(offset)
    return offsets


def check_compaction(log, view):
    """A key's record is not gone unless all before it are, and the last is there or was a tombstone."""
    for key, offsets in offsets_by_key(log, view).items():
        left = [offset for offset in offsets if offset in view.records]
        assert left == offsets[len(offsets) - len(left):], f"{log}: {left} are left of {key}, which was at {offsets}"
        assert left or log.records[offsets[-1]].value is None, f"{log}: nothing is left of {key}, which was at {offsets}"


def check_times(log, view, answers):
    for time, answer in answers.items():
        least = max((record.timestamp for record in view.records.values()), default=0) if time == GREATEST_TIME else time
        first = next(((offset, record.timestamp) for offset, record in view.records.items() if record.timestamp >= least), (-1, -1))
        assert (answer.offset, answer.timestamp) == first, f"{log}: the search for {time} has found {answer}, and not {first}"


def await_compaction(broker, model):
    """Left alone, compaction comes to its end: the last record of each key, and no tombstone."""
    def is_done(log):
        view = read(connection, log)
        lasts = {offsets[-1] for offsets in offsets_by_key(log, view).values()}
        return view.records.keys() == {offset for offset in lasts if log.records[offset].value is not None}
    with broker.connect(timeout=30) as connection:
        wait_for(lambda: all(map(is_done, model.of_kind("compacted"))), "all is compacted")


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_kill_leaves_is_what_the_model_allows(start_broker, topic, tmp_path, seed):
    print(f"LMBROKER_SEED={seed} .venv/bin/python -m pytest -c Tests/pytest.ini -s Tests/Crash/test_kill_model.py")
    chance = random.Random(seed)
    broker = start_broker(EAGER | {"lmbroker.journal.max.bytes": chance.choice(JOURNAL_BYTES_MAX)})
    model = Model(broker, topic, chance)
    for number in range(ROUNDS):
        # Each round by itself: how often the one before has asked its own depends on the machine.
        chance = random.Random(f"{seed}-{number}")
        with ThreadPoolExecutor() as beside:
            copy = beside.submit(copy_hot, broker.directory, tmp_path / "copy", number % 4 == 1) if number % 2 else None
            load_until(chance.choice([signal.SIGKILL] * 3 + [signal.SIGTERM]), broker, model, chance)
            copy and copy.result()
        verify(broker.directory)
        broker.start()
        check(broker, model, chance)
    await_compaction(broker, model)
    check(broker, model, chance)
    broker.stop()
    verify(broker.directory)
    print(f"{sum(len(log.records) for log in model.logs)} records:", dict(model.count))
