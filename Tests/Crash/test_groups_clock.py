"""Judges: a wall clock that jumps moves no member — sessions and rebalances go by the monotonic clock alone."""

import mmap
import struct
import time

import pytest

from broker import run_tool
from members import (PROMPT, REBALANCE_IN_PROGRESS, UNKNOWN_MEMBER_ID, ClassicMember, ConsumerMember, committed, converge, form,
                     rejoin, synchronise)
from records import batch
from waiting import wait_for
from wire_requests import produce

DAY = 86_400
SETTINGS = PROMPT | {"group.min.session.timeout.ms": 500, "group.consumer.min.session.timeout.ms": 500,
                     "group.consumer.session.timeout.ms": 2000, "group.consumer.min.heartbeat.interval.ms": 50,
                     "group.consumer.heartbeat.interval.ms": 100, "offsets.retention.check.interval.ms": 100}


class Clock:
    """The broker's wall clock, in seconds away from ours."""

    def __init__(self, directory):
        self.path = directory / "clock"
        self.path.write_bytes(struct.pack("q", 0))
        library = directory / "clock.so"
        source = __file__.replace("test_groups_clock.py", "clock.c")
        run_tool("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl")
        self.environment = {"LD_PRELOAD": str(library), "LMB_CLOCK_FILE": str(self.path)}

    def jump(self, seconds):
        with open(self.path, "r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            page[:8] = struct.pack("q", seconds)


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path)


def broker_time(broker, topic):
    """Seconds since 1970 as the broker has them, by the stamp on a record."""
    with broker.connect() as connection:
        return produce(connection, topic, batch([b"what time is it?"])).log_append_time_ms / 1000


@pytest.mark.parametrize("seconds", [DAY, -DAY, 10 * 365 * DAY], ids=["a day on", "a day back", "ten years on"])
def test_a_jump_moves_no_member(start_broker, topic, clock, seconds):
    broker = start_broker(SETTINGS, environment=clock.environment)
    broker.create_topic(topic + "-time", message_timestamp_type="LogAppendTime")
    topic_id = broker.create_topic(topic, 4)
    names, ids = {(topic, p) for p in range(4)}, {(topic_id, p) for p in range(4)}
    classic = form([ClassicMember(broker, "classic", [topic], session_ms=3000) for _ in range(2)], names)
    new = [ConsumerMember(broker, "new", [topic]) for _ in range(2)]
    for member in new:
        member.heartbeat()
    epoch, generation = converge(new, ids), classic[0].generation
    assert {m.commit({(topic, 0): 5})[0] for m in (classic[0], new[0])} == {0}
    assert abs(broker_time(broker, topic + "-time") - time.time()) < 60
    clock.jump(seconds)
    assert abs(broker_time(broker, topic + "-time") - time.time() - seconds) < 60, "the shim moves the broker's clock"
    for _ in range(3):
        begun = time.monotonic()
        assert {m.heartbeat() for m in classic} == {0}
        assert {m.heartbeat().error_code for m in new} == {0}
    assert {m.epoch for m in new} == {epoch} and {m.generation for m in classic} == {generation}
    with broker.connect() as connection:
        assert committed(connection, "classic")[topic, 0] == committed(connection, "new")[topic, 0] == 5
    # A silent member still goes after its session, not a day later and not at once.
    silent = classic.pop()
    wait_for(lambda: classic[0].heartbeat() == REBALANCE_IN_PROGRESS, "the silent member's session ends", 15)
    assert time.monotonic() - begun > 2.9, "its session was cut short"
    assert silent.heartbeat() == UNKNOWN_MEMBER_ID
    rejoin(classic)
    synchronise(classic, names)
    for member in [*classic, silent, *new]:
        member.close()
