"""Judges: `lmbroker bench` measures what happened, says it in text and JSON, and leaves nothing behind."""

import json
import signal
import subprocess
import time

import pytest

from broker import BINARY, lmbroker
from messages import METADATA
from records import batches
from waiting import wait_for
from wire_requests import fetch_one, list_offset

SHORT = ["--seconds", "1", "--warm-up", "0.3"]
# One record of so many is timed where it is read.
READ_PER_TIMING = 17
PERCENTILES = ["p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"]


def bench(broker, workload, *arguments, **options):
    return lmbroker("bench", workload, "--broker", broker.bootstrap, *arguments, **options)


def report(broker, workload, *arguments, **options):
    return json.loads(bench(broker, workload, *arguments, "--json", **options).stdout)


def topics(connection):
    return {t.name for t in connection.ask(METADATA, 9, topics=None).topics}


def records_in(connection, topic, partitions):
    return sum(list_offset(connection, topic, -1, p).offset for p in range(partitions))


def check_waits(waits, count):
    assert waits["records"] == count if count else waits["records"] > 0
    values = [waits[name] for name in PERCENTILES]
    assert values == sorted(values) and values[0] > 0


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_what_is_produced_is_there_and_is_consumed(broker, connection, topic, codec):
    written = report(broker, "produce", "--topic", topic, "--partitions", "3", "--size", "500", "--codec", codec, "--keys", "50", *SHORT)
    stored = records_in(connection, topic, 3)
    produced = written["produced"]
    # The warm-up is in the topic, and not in the report.
    assert 0 < produced["records"] < stored and written["failed"] == 0
    assert produced["mb_per_s"] == pytest.approx(produced["records_per_s"] * 500 / 1e6, rel=0.01)
    assert produced["records"] == pytest.approx(produced["records_per_s"] * written["measured_seconds"], rel=0.01)
    assert (written["size"], written["codec"], written["acks"]) == (500, codec, "all")
    check_waits(written["acknowledged_ms"], None)
    read = report(broker, "consume", "--topic", topic)
    assert read["consumed"]["records"] == stored
    some = report(broker, "consume", "--topic", topic, "--records", "10")["consumed"]["records"]
    assert 10 <= some <= stored


def test_values_have_nothing_in_common(broker, connection, topic):
    """Of one letter out of 26 a codec saves two fifths; more would be what values repeat of each other."""
    report(broker, "produce", "--topic", topic, "--partitions", "1", "--size", "1000", "--codec", "zstd", *SHORT)
    fullest = max(batches(fetch_one(connection, topic).records), key=lambda found: found.count)
    assert fullest.count > 10
    assert 0.5 < len(fullest.data) / (fullest.count * 1000) < 0.8


def test_a_topic_without_a_name_is_gone_afterwards(broker, connection):
    before = topics(connection)
    text = bench(broker, "produce", "--size", "100", *SHORT).stdout
    assert "records/s" in text and "acknowledged" in text and "p99.9" in text
    assert topics(connection) == before


def test_latency_is_taken_at_the_rate_that_was_asked_for(broker, tmp_path):
    found = report(broker, "latency", "--rate", "500", "--size", "64", "--seconds", "6", "--warm-up", "1", "--histogram", tmp_path / "waits.hgrm")
    assert found["produced"]["records_per_s"] == pytest.approx(500, rel=0.1) and found["rate"] == 500
    waits = found["acknowledged_ms"]
    # Those due in the six seconds, and the few that were due while the end was written down.
    assert 2850 <= waits["records"] <= 3300
    assert found["late"] < 60
    check_waits(waits, None)
    distribution = (tmp_path / "waits.hgrm").read_text()
    assert distribution.split()[:3] == ["Value", "Percentile", "TotalCount"] and f"Total count    = {waits['records']:12}".split()[-1] in distribution


def test_a_rate_that_is_not_held_is_told_and_charged(broker):
    """Ten gigabytes a second are too many for anything: who was due and was not offered has waited until the end."""
    found = report(broker, "latency", "--rate", "100000", "--size", "100000", *SHORT)
    waits = found["acknowledged_ms"]
    assert 0 < found["late"] <= waits["records"]
    # All that were due in the measured second, offered or not.
    assert waits["records"] == pytest.approx(100_000, rel=0.1)
    assert waits["max"] > 500


def test_a_stall_is_charged_to_all_who_were_due(start_broker):
    """The broker stands still for a second: at 200 a second, about a fifth of five seconds' records waited, half a second on average."""
    broker = start_broker()
    process = subprocess.Popen(
        [BINARY, "bench", "latency", "--broker", broker.bootstrap, "--rate", "200", "--seconds", "5", "--warm-up", "0.5", "--json"],
        stdout=subprocess.PIPE, text=True)
    with broker.connect() as connection:
        wait_for(lambda: any(name.startswith("lmbroker-bench-") for name in topics(connection)), "the bench's topic")
        name = next(name for name in topics(connection) if name.startswith("lmbroker-bench-"))
        wait_for(lambda: records_in(connection, name, 16) > 300, "the warm-up to be over")
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(1)  # How long it stands still is what is tested.
    broker.process.send_signal(signal.SIGCONT)
    waits = json.loads(process.communicate(timeout=60)[0])["acknowledged_ms"]
    assert process.returncode == 0
    assert 900 < waits["max"] < 2500
    # 200 of 1,000 were due in the stall; nine tenths of them waited for more than a tenth of a second.
    assert waits["p90"] > 300 and waits["p50"] < 200


def test_records_are_timed_from_end_to_end(broker, connection):
    before = topics(connection)
    found = report(broker, "mixed", "--rate", "2000", "--size", "200", "--seconds", "5", "--warm-up", "2")
    assert found["consumed"]["records"] == pytest.approx(found["produced"]["records"], rel=0.1)
    check_waits(found["acknowledged_ms"], None)
    check_waits(found["end_to_end_ms"], None)
    # As many of each fetch, however few records come with it.
    assert abs(found["end_to_end_ms"]["records"] * READ_PER_TIMING - found["acknowledged_ms"]["records"]) <= 3 * READ_PER_TIMING
    full = report(broker, "mixed", "--size", "200", *SHORT)
    assert full["consumed"]["records"] > found["consumed"]["records"]
    assert (found["failed"], found["unread"], full["failed"], full["unread"]) == (0, 0, 0, 0)
    assert topics(connection) == before


def test_what_was_delivered_and_is_not_read_is_a_failure(broker, topic):
    """The broker refuses every batch, which nobody learns with acks=0."""
    broker.create_topic(topic, max_message_bytes=1000)
    done = bench(broker, "mixed", "--topic", topic, "--size", "5000", "--acks", "0", "--rate", "10", "--json", *SHORT, check=False)
    found = json.loads(done.stdout)
    assert found["unread"] > 0 and found["consumed"]["records"] == 0
    assert done.returncode == 1 and "not read" in done.stderr


def test_what_cannot_be_is_said_with_its_exit_status(broker, topic):
    done = lmbroker("bench", "produce", "--broker", "127.0.0.1:1", *SHORT, check=False)
    assert done.returncode == 69 and "127.0.0.1:1" in done.stderr
    assert bench(broker, "latency", "--rate", "0", check=False).returncode == 64
    assert bench(broker, "mixed", "--size", "4", check=False).returncode == 64
    done = bench(broker, "consume", "--topic", topic, check=False)
    assert done.returncode == 1 and topic in done.stderr
    broker.create_topic(topic, max_message_bytes=1000)
    done = bench(broker, "produce", "--topic", topic, "--size", "5000", *SHORT, check=False)
    assert done.returncode == 1 and "were not delivered" in done.stderr


@pytest.mark.parametrize("name", ["007", "0x1F", ".5", "1e3"])
def test_a_topic_may_be_named_like_a_number(broker, name):
    broker.create_topic(name)
    assert report(broker, "consume", "--topic", name)["topic"] == name


@pytest.mark.parametrize("arguments", [
    ["latency", "--rate", "1e-300"], ["mixed", "--rate", "inf"], ["produce", "--seconds", "1e300"], ["produce", "--warm-up", "1e300"],
    ["produce", "--seconds", "nan"], ["produce", "--size", "9223372036854775807"]])
def test_numbers_beyond_all_bounds_are_refused(broker, arguments):
    done = bench(broker, *arguments, check=False)
    assert done.returncode == 64 and arguments[1] in done.stderr


@pytest.mark.parametrize("rate", ["0.01", "0.0002"])
def test_a_slow_rate_does_not_hold_up_the_end(broker, rate):
    assert report(broker, "latency", "--rate", rate, *SHORT, timeout=30)["rate"] == float(rate)


def test_ctrl_c_ends_it_with_what_there_is(broker, connection):
    before = topics(connection)
    process = subprocess.Popen([BINARY, "bench", "produce", "--broker", broker.bootstrap, "--seconds", "600", "--warm-up", "0", "--json"],
                               stdout=subprocess.PIPE, text=True)
    wait_for(lambda: topics(connection) - before, "the bench's topic")
    name, = topics(connection) - before
    wait_for(lambda: records_in(connection, name, 16) > 0, "the first records")
    process.send_signal(signal.SIGINT)
    found = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 130 and found["produced"]["records"] > 0 and found["measured_seconds"] < 60
    assert topics(connection) == before
