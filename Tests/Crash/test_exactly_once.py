"""Judges: exactly once, under kills — nothing committed is lost, torn, repeated or read before its time.

Transactional producers, consume–transform–produce workers, plain producers, readers of both levels and
an observer of offsets run while broker and clients are killed with -9, transactional ids are taken over
from living holders, and hot copies are made and served. The history of it all goes to the checker.

`CHECKER_SEED` replays a run's choices (not its timing); `CHECKER_SECONDS` is the length of the slow one.
"""

import collections
import os
import random
import shutil
import time

import pytest

from broker import verify
from exactly_once import SETTINGS, Workload, stable_offsets, tally
from history import COMMITTED, UNCOMMITTED
from transaction_client import INPUT, OUTPUT, PARTITIONS
from transactions import READ_COMMITTED, end_all, latest, values_at
from waiting import wait_for

ROLES = [("plain", "plain"), ("transactor", "t0"), ("transactor", "t1"), ("transactor", "t2"), ("worker", "w0"), ("worker", "w1"),
         (COMMITTED, "r0"), (UNCOMMITTED, "r1")]
SECONDS = float(os.environ.get("CHECKER_SECONDS", 600))


@pytest.fixture
def histories(tmp_path_factory):
    """A directory for them; a test that is content takes it away, so it stays when the test fails."""
    return tmp_path_factory.mktemp("histories")


def seed():
    return int(os.environ.get("CHECKER_SEED", random.SystemRandom().randrange(10**6)))


def run(start_broker, directory, goes_on):
    """Harm, round by round, while `goes_on(round)`; a hot copy in every eighth. Returns what has happened, judged."""
    chosen = seed()
    print(f"CHECKER_SEED={chosen}")
    broker = start_broker(SETTINGS)
    with Workload(broker, directory, chosen, ROLES) as workload:
        workload.wait_for_more(20_000)
        number = 0
        while goes_on(number):
            workload.wait_for_more(workload.chance.randint(1_000, 60_000))
            # Workers take their time to come back into their group: they are waited for, but not always.
            if number % 2:
                workload.wait_for_more(workload.chance.randint(1_000, 30_000), "worker")
            workload.harm()
            if number % 8 == 4:
                workload.wait_for_more(20_000)
                workload.copy(start_broker, f"copy-{number}", ("mdb_copy", "backup")[number // 8 % 2])
            number += 1
        workload.wait_for_more(30_000, "worker")
        operations = workload.finish()
        workload.judge(operations)
    broker.stop()
    verify(broker.directory)
    counts = tally(operations) + workload.counts
    print(dict(counts))
    shutil.rmtree(directory)
    return counts


def assert_enough(counts, rounds):
    """A run in which little happened proves little."""
    wanted = {"commit": 20 * rounds, "abort": 5 * rounds, "offsets": 5 * rounds, "holds": rounds // 2, "fenced": rounds // 8,
              "copies": rounds // 8, "acknowledged": 100 * rounds, COMMITTED: 100 * rounds, UNCOMMITTED: 100 * rounds,
              "broker": rounds // 4, "worker": rounds // 8, "both": rounds // 8, "zombie": rounds // 8}
    missing = {what: (counts[what], least) for what, least in wanted.items() if counts[what] < least}
    assert not missing, f"(got, wanted): {missing}"


@pytest.mark.timeout(240)
def test_a_history_under_harm_has_no_anomaly(start_broker, histories):
    rounds = 24
    assert_enough(run(start_broker, histories, lambda number: number < rounds), rounds)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 600)
def test_the_checker_for_long(start_broker, histories):
    deadline = time.monotonic() + SECONDS
    counts = run(start_broker, histories, lambda _: time.monotonic() < deadline)
    assert_enough(counts, int(SECONDS / 5))


@pytest.mark.timeout(240)
def test_twenty_kills_of_consume_transform_produce(start_broker, histories):
    """Workers and broker are killed in turns; in the end the output holds each input exactly once."""
    broker = start_broker(SETTINGS)
    with Workload(broker, histories, seed(), [("plain", "plain"), ("worker", "w0"), ("worker", "w1")]) as workload:
        for number in range(20):
            # Now and then they are killed before they are well under way.
            workload.wait_for_more(workload.chance.choice([1, 1_000, 20_000, 40_000]), "worker")
            if number % 2:
                workload.chance.choice(workload.of("worker")).kill()
            if number % 2 == 0 or number % 5 == 0:
                broker.kill()
                broker.start()
        plain, = workload.of("plain")
        plain.process.terminate()
        assert plain.process.wait(60) == 0
        workload.slots.remove(plain)
        with broker.connect(timeout=30) as connection:
            ends = {f"{INPUT}/{p}": latest(connection, INPUT, p) for p in range(PARTITIONS[INPUT])}
            wait_for(lambda: workload.tend() and stable_offsets(connection) == ends, "all of the input is transformed", 60)
            operations = workload.finish()
            end_all(connection)
            inputs = [value for p in range(PARTITIONS[INPUT]) for value in values_at(connection, INPUT, p, READ_COMMITTED)]
            outputs = [value for p in range(PARTITIONS[OUTPUT]) for value in values_at(connection, OUTPUT, p, READ_COMMITTED)]
        assert len(inputs) > 1000
        assert collections.Counter(value.partition(b">")[0] for value in outputs) == collections.Counter(inputs)
        workload.judge(operations)
    broker.stop()
    verify(broker.directory)
    shutil.rmtree(histories)
