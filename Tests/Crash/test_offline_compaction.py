"""Judges: `lmbroker compact` gives free pages back and loses nothing, whatever happens to it; `lmbroker stat` tells how many there are.

Killed at any moment, or without room for the new file, the store is what it was; a store that anybody has open is refused.
"""

import contextlib
import json
import os
import random
import re
import subprocess
import time

import pytest

from broker import BINARY, ROOT, lmbroker, run_tool, verify
from members import commit, committed
from records import batch, batches
from waiting import wait_for
from wire_requests import fetch_one, produce

MEGABYTE = 1 << 20
BATCHES = 200


def stat(directory):
    return json.loads(lmbroker("stat", directory, "--json").stdout)


def size(directory):
    return (directory / "data.mdb").stat().st_size


def value(number):
    return b"%06d" % number + random.Random(number).randbytes(100_000)


@pytest.fixture
def emptied(start_broker):
    """A stopped broker whose file is mostly free: topic `kept` has a tenth of what was written, and a group has read from it."""
    broker = start_broker()
    for topic in ("kept", "gone"):
        broker.create_topic(topic)
    with broker.connect() as connection:
        for number in range(BATCHES):
            assert produce(connection, "gone", batch([value(number)])).error_code == 0
            if number % 10 == 0:
                assert produce(connection, "kept", batch([value(number)])).error_code == 0
        assert commit(connection, "readers", {("kept", 0): 7}) == [0]
    broker.delete_topic("gone")
    wait_for(lambda: stat(broker.directory)["free_bytes"] > BATCHES * 90_000, "the deleted topic's pages to be free")
    broker.stop()
    return broker


def check(broker):
    """The store verifies, and a broker on it serves what was kept, takes more and stops again."""
    verify(broker.directory)
    broker.start()
    with broker.connect() as connection:
        for place, number in enumerate(range(0, BATCHES, 10)):
            found = batches(fetch_one(connection, "kept", offset=place).records)[0]
            assert found.base_offset == place and value(number) in found.data
        assert committed(connection, "readers") == {("kept", 0): 7}
        assert produce(connection, "kept", batch([b"more"])).error_code == 0
    broker.stop()


def test_free_pages_are_given_back(emptied):
    before = stat(emptied.directory)
    assert before["file_bytes"] == size(emptied.directory)
    assert before["used_bytes"] + before["free_bytes"] + before["held_bytes"] == before["file_bytes"]
    assert lmbroker("compact", emptied.directory, "--min-free", "99").stdout.strip().endswith("left alone.")
    assert stat(emptied.directory) == before

    assert lmbroker("compact", emptied.directory, "--min-free", "50").stdout.strip()
    after = stat(emptied.directory)
    assert after["file_bytes"] == size(emptied.directory) < before["file_bytes"] / 4
    assert after["file_bytes"] <= before["used_bytes"] * 1.05 and after["free_bytes"] == 0
    assert after["cluster_id"] == before["cluster_id"] and after["databases"] != []
    assert {d["name"]: d["entries"] for d in after["databases"]} == {d["name"]: d["entries"] for d in before["databases"]}
    check(emptied)
    # What has no room to give back is written anew all the same, and stays as it is.
    lmbroker("compact", emptied.directory)
    check(emptied)


def test_a_store_that_is_open_is_refused(emptied):
    def refusal():
        done = lmbroker("compact", emptied.directory, check=False)
        assert done.returncode == 1 and not (emptied.directory / "data.mdb.compact").exists()
        return done.stderr

    emptied.start()
    assert "in use by another broker" in refusal()
    emptied.stop()
    reader = subprocess.Popen(["mdb_dump", "-a", str(emptied.directory)], stdout=subprocess.PIPE)
    try:
        # It waits with the store open for somebody to read what it says.
        assert reader.stdout.read(10)
        assert "another process has the store" in refusal()
        rows = stat(emptied.directory)["readers"]
        assert [(row["pid"], row["command"]) for row in rows] == [(reader.pid, "mdb_dump")]
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()
    lmbroker("compact", emptied.directory)
    check(emptied)


def test_a_directory_that_is_no_store_is_left_alone(tmp_path):
    for place in (tmp_path, tmp_path / "missing"):
        for command in ("compact", "stat"):
            done = lmbroker(command, place, check=False)
            assert done.returncode == 1 and len(done.stderr.split()) > 5, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_start_without_a_store_is_not_held_up(start_broker, tmp_path):
    """The unit's line that OPERATIONS.md gives: of the binary that the unit starts, and let through where there is nothing to compact."""
    binary, arguments = re.search(r"^ +ExecStartPre=-(\S+) (compact .*)$", (ROOT / "docs/OPERATIONS.md").read_text(), re.M).groups()
    assert f"ExecStart={binary} serve" in (ROOT / "config/lmbroker.service").read_text()

    def prepare(directory):
        return lmbroker(*(str(directory) if word == "/var/lib/lmbroker" else word for word in arguments.split()), check=False)

    broker = start_broker(start=False)
    # A directory that is not there may be a mistyped one.
    assert prepare(broker.directory).returncode == 1 and not broker.directory.exists()
    for state in ("empty", "cut short"):
        if state == "empty":
            broker.directory.mkdir()
        if state == "cut short":
            (broker.directory / "data.mdb").touch()
        before = list(broker.directory.glob("*"))
        done = prepare(broker.directory)
        assert done.returncode == 0 and "no store yet" in done.stdout, f"{state}: {done.stderr}"
        assert list(broker.directory.glob("*")) == before
    broker.start()
    broker.stop()
    assert prepare(broker.directory).returncode == 0
    verify(broker.directory)
    # What is there and is no store is refused as ever.
    (tmp_path / "data.mdb").write_bytes(b"no store" * 1000)
    assert prepare(tmp_path).returncode == 1


def test_kills_at_any_moment_leave_the_old_store_or_the_new_one(emptied):
    lmbroker("backup", emptied.directory.parent / "spare", "--data", emptied.directory)
    begun = time.monotonic()
    lmbroker("compact", emptied.directory)
    whole = time.monotonic() - begun
    new_size, outcomes = size(emptied.directory), set()
    chance = random.Random(os.environ.get("SEED", "compact"))
    # Among the random moments one before everything and one after, so that both outcomes do not depend on the disk.
    for moment in (0, *(chance.uniform(0, whole) for _ in range(18)), None):
        os.replace(emptied.directory.parent / "spare/data.mdb", emptied.directory / "data.mdb")
        lmbroker("backup", emptied.directory.parent / "spare-2", "--data", emptied.directory)
        os.replace(emptied.directory.parent / "spare-2/data.mdb", emptied.directory.parent / "spare/data.mdb")
        old_size = size(emptied.directory)
        process = subprocess.Popen([BINARY, "compact", str(emptied.directory)], stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        process.kill()
        process.wait()
        outcomes.add("old" if size(emptied.directory) == old_size else "new")
        assert size(emptied.directory) in (old_size, new_size)
        check(emptied)
    assert outcomes == {"old", "new"}, outcomes
    lmbroker("compact", emptied.directory)
    assert {path.name for path in emptied.directory.iterdir()} <= {"data.mdb", "lock.mdb"}
    check(emptied)


def test_without_room_for_the_new_file_the_store_is_left_alone(emptied, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    small = tmp_path / "small"
    small.mkdir()
    used = stat(emptied.directory)["used_bytes"]
    run_tool("mount", "-t", "tmpfs", "-o", f"size={size(emptied.directory) + used // 2}", "tmpfs", small)
    try:
        run_tool("mdb_copy", emptied.directory, small)
        done = lmbroker("compact", small, check=False)
        assert done.returncode == 1 and "the file system has" in done.stderr
        assert {path.name for path in small.iterdir()} <= {"data.mdb", "lock.mdb"}
        verify(small)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
