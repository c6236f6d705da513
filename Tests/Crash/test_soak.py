"""Judges, slowly: ten minutes at a steady rate with retention deleting from the front change nothing.

The last minute's throughput is within 15 % of the second's, the file is at most 1.4 times
the live bytes, memory is flat. `SOAK_SECONDS` and `SOAK_MB_S` change the length and the rate.
"""

import json
import os
import statistics
import subprocess
import time

import pytest

from broker import ROOT, run_tool, verify
from messages import DESCRIBE_LOG_DIRS
from soak_watch import MemoryWatch

SECONDS = int(os.environ.get("SOAK_SECONDS", 600))
RATE_MB_S = float(os.environ.get("SOAK_MB_S", 50))
RETENTION_SECONDS = 30
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    program = tmp_path_factory.mktemp("load") / "load"
    run_tool("cc", "-O2", "-Wall", "-o", program, ROOT / "bench/load.c", "-lrdkafka")
    return program


def live_bytes(broker):
    with broker.connect() as connection:
        reply = connection.ask(DESCRIBE_LOG_DIRS, 4, topics=None)
    return sum(p.partition_size for t in reply.results[0].topics for p in t.partitions)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_ten_minutes_at_a_steady_rate(start_broker, load):
    broker = start_broker({"log.retention.check.interval.ms": 1000})
    broker.create_topic("soak", 16, retention_ms=RETENTION_SECONDS * 1000)
    process = subprocess.Popen(
        [str(load), "produce", f"broker={broker.bootstrap}", "topic=soak", "partitions=16", "size=1024",
         f"seconds={SECONDS}", f"rate_mb_s={RATE_MB_S}"], stdout=subprocess.PIPE, text=True)
    samples, anonymous = [], MemoryWatch(broker)
    try:
        # load prints a line every ten seconds: each is a sample.
        for line in process.stdout:
            report = json.loads(line)
            if "elapsed" not in report:
                break
            samples.append(dict(mb_s=report["mb_s"], memory=anonymous.mean(), live=live_bytes(broker),
                                file=(broker.directory / "data.mdb").stat().st_size))
            print(f"{report['elapsed']:6.0f} s  {report['mb_s']:6.1f} MB/s  live {samples[-1]['live'] / MEGABYTE:6.0f} MB  "
                  f"file {samples[-1]['file'] / MEGABYTE:6.0f} MB  anonymous {samples[-1]['memory'] / MEGABYTE:4.0f} MB")
        assert process.wait(60) == 0
    finally:
        process.kill()
        anonymous.stop()
    second, last = samples[6:12], samples[-6:]
    speed = [statistics.mean(s["mb_s"] for s in minute) for minute in (second, last)]
    memory = [statistics.mean(s["memory"] for s in minute) for minute in (second, last)]
    ratio = statistics.mean(s["file"] / s["live"] for s in last)
    assert last[-1]["live"] < 3 * RATE_MB_S * 1e6 * RETENTION_SECONDS, "retention does not delete"
    assert abs(speed[1] - speed[0]) <= 0.15 * speed[0], f"throughput went from {speed[0]:.1f} to {speed[1]:.1f} MB/s"
    assert ratio <= 1.4, f"the file is {ratio:.2f} times the live bytes"
    assert memory[1] <= memory[0] * 1.15 + 16 * MEGABYTE, f"memory grew from {memory[0] / 1e6:.0f} to {memory[1] / 1e6:.0f} MB"
    broker.stop()
    verify(broker.directory)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_recovery_takes_no_time_whatever_is_stored(start_broker, load):
    """With at least 5 GB in the store: kill -9 to first successful produce in under a second."""
    from records import batch
    from wire_requests import produce

    broker = start_broker()
    broker.create_topic("recovery", 16)
    gigabytes = float(os.environ.get("RECOVERY_GB", 5.2))
    filling = [str(load), "produce", f"broker={broker.bootstrap}", "topic=recovery", "partitions=16", "size=1024"]
    run_tool(*filling, f"records={int(gigabytes * 1e9) // 1024}", timeout=600)
    times = []
    for _ in range(3):
        under_load = subprocess.Popen([*filling, "seconds=60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert live_bytes(broker) >= 5e9
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and under_load.poll() is None:
            with broker.connect() as connection:
                produce(connection, "recovery", batch([b"x"]))
        under_load.kill()
        under_load.wait()
        broker.kill()
        begun = time.monotonic()
        broker.start()
        with broker.connect() as connection:
            assert produce(connection, "recovery", batch([b"alive"])).error_code == 0
        times.append(time.monotonic() - begun)
    print("kill -9 to first successful produce:", ", ".join(f"{t * 1000:.0f} ms" for t in times))
    assert max(times) < 1.0
    broker.stop(timeout=10)
    verify(broker.directory)
