"""Judges: a full disk, or a budget that is used up, is an operating state and not an accident.

Producers get KAFKA_STORAGE_ERROR, readers go on, deleting a topic or records makes room
and producing works again without a restart. On a small tmpfs, on a small ext4 in a loop
device, and with lmbroker.store.max.bytes.
"""

import os
import subprocess

import pytest

from broker import run_tool, verify
from messages import DELETE_RECORDS, DELETE_TOPICS, METADATA
from records import batch, batches
from waiting import wait_for
from wire_requests import fetch_one, list_offset, produce

KAFKA_STORAGE_ERROR = 56
MEGABYTE = 1 << 20
CAPACITY_BYTES = 64 * MEGABYTE


@pytest.fixture(params=["budget", "tmpfs", "ext4"])
def small_store(request, tmp_path):
    """A place for a store that is full after 64 MB: (directory, settings)."""
    place = tmp_path / "small"
    place.mkdir()
    if request.param == "budget":
        yield place / "data", {"lmbroker.store.max.bytes": CAPACITY_BYTES}
        return
    if os.geteuid() != 0:
        pytest.skip(f"mounting a {request.param} needs root; the budget variant covers the behaviour")
    if request.param == "tmpfs":
        run_tool("mount", "-t", "tmpfs", "-o", f"size={CAPACITY_BYTES}", "tmpfs", place)
    else:
        image = tmp_path / "image"
        with open(image, "wb") as out:
            out.truncate(CAPACITY_BYTES)
        run_tool("mkfs.ext4", "-q", "-m", "0", image)
        mounted = run_tool("mount", "-o", "loop", image, place, check=False)
        if mounted.returncode != 0:
            pytest.skip(f"this machine cannot mount a loop device: {mounted.stderr.strip()}")
    try:
        yield place / "data", {}
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class Filler:
    """Fills topics with batches of 100 KB and remembers what was acknowledged."""

    def __init__(self, connection):
        self.connection, self.acknowledged = connection, {}

    def send(self, topic):
        number = len(self.acknowledged)
        reply = produce(self.connection, topic, batch([b"%08d" % number + os.urandom(1000) * 100]))
        if reply.error_code == 0:
            self.acknowledged[(topic, reply.base_offset)] = b"%08d" % number
        return reply.error_code

    def fill(self, topic):
        """Sends until the store refuses for good; fails when it takes more than there is room for.

        A sweep may find room again after a first refusal, so that twenty in a row are waited for.
        """
        refused = 0
        for _ in range(2 * CAPACITY_BYTES // 100_000):
            code = self.send(topic)
            assert code in (0, KAFKA_STORAGE_ERROR)
            refused = refused + 1 if code else 0
            if refused == 20:
                return
        raise AssertionError("the store took twice what there is room for")

    def recovers(self, topic, timeout=20):
        wait_for(lambda: self.send(topic) == 0, "producing works again once there is room", timeout, every=0.05)

    def check(self, connection):
        for (topic, offset), value in self.acknowledged.items():
            begin = list_offset(connection, topic, -2).offset
            if offset < begin:
                continue
            found = batches(fetch_one(connection, topic, offset=offset, partition_max_bytes=1).records)[0]
            assert found.base_offset == offset and value in found.data[:200]

    def forget(self, topic):
        self.acknowledged = {k: v for k, v in self.acknowledged.items() if k[0] != topic}


def test_a_full_store_refuses_serves_and_recovers(start_broker, small_store, topic):
    directory, settings = small_store
    broker = start_broker(settings, directory=directory)
    keep, drop = topic + "-keep", topic + "-drop"
    for name in (keep, drop):
        broker.create_topic(name)
    with broker.connect(timeout=30) as connection:
        filler = Filler(connection)
        for _ in range(50):
            assert filler.send(keep) == 0
        filler.fill(drop)

        # Full: writes are refused, for good, while everything else goes on.
        assert filler.send(keep) == KAFKA_STORAGE_ERROR
        filler.check(connection)
        assert connection.ask(METADATA, 12, topics=[dict(name=keep)]).topics[0].error_code == 0

        reply = connection.ask(DELETE_TOPICS, 6, timeout_ms=5000, topics=[dict(name=drop)])
        assert reply.responses[0].error_code == 0, "deleting must work on a full disk"
        filler.forget(drop)
        filler.recovers(keep)

        filler.fill(keep)
        end = list_offset(connection, keep, -1).offset
        reply = connection.ask(DELETE_RECORDS, 2, timeout_ms=5000, topics=[
            dict(name=keep, partitions=[dict(partition_index=0, offset=end - 20)])])
        assert reply.topics[0].partitions[0].error_code == 0
        filler.recovers(keep)
        filler.check(connection)
    broker.kill()
    verify(directory)
    broker.start()
    with broker.connect() as connection:
        filler.check(connection)


@pytest.mark.parametrize("small_store", ["tmpfs", "ext4"], indirect=True)
def test_space_taken_by_others_comes_back(start_broker, small_store, topic):
    """The disk fills up behind the broker's back: ENOSPC in a commit; and then somebody cleans up."""
    directory, settings = small_store
    broker = start_broker(settings, directory=directory)
    broker.create_topic(topic)
    with broker.connect(timeout=30) as connection:
        filler = Filler(connection)
        for _ in range(20):
            assert filler.send(topic) == 0
        ballast = directory.parent / "ballast"
        with open(ballast, "wb", buffering=0) as out:
            try:
                while True:
                    out.write(b"\0" * 65536)
            except OSError:
                pass
        filler.fill(topic)
        filler.check(connection)
        ballast.unlink()
        filler.recovers(topic)
        filler.check(connection)
    broker.kill()
    verify(directory)
    broker.start()
    with broker.connect() as connection:
        filler.check(connection)
