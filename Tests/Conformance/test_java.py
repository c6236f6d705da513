"""Judges: Java's own client (kafka-clients 4.3), in the scenarios of java/*.java; each in a process of its own."""

import pathlib
import subprocess
import sys

import pytest

# A heartbeat of the consumer protocol, which Kafka bounds at five seconds, is when a member learns what has changed.
BROKER_SETTINGS = {
    "group.initial.rebalance.delay.ms": 0,
    "group.consumer.min.heartbeat.interval.ms": 500,
    "group.consumer.heartbeat.interval.ms": 500,
}

SOURCES = pathlib.Path(__file__).parent / "java"
JARS = pathlib.Path(sys.prefix) / "jars"

SCENARIOS = [
    "cluster",
    "configurations",
    "fencing",
    "group of the classic protocol",
    "group of the consumer protocol",
    "group that moves to the consumer protocol and back",
    "hanging transaction",
    "offsets of a topic",
    "patterns",
    "positions",
    "records compressed with gzip",
    "records compressed with lz4",
    "records compressed with none",
    "records compressed with snappy",
    "records compressed with zstd",
    "refused records",
    "refused topics",
    "replicas of one broker",
    "static member",
    "topics from their creation to their end",
    "transactions of records and offsets of the classic protocol",
    "transactions of records and offsets of the consumer protocol",
]


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A function that runs the compiled judge with the arguments given; what it printed."""
    classes = tmp_path_factory.mktemp("classes")
    path = f"{JARS}/*:{classes}"
    subprocess.run(["javac", "-Xlint:all,-path", "-Werror", "-cp", path, "-d", classes, *SOURCES.glob("*.java")], check=True)

    def run(*arguments):
        return subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", path, "Judge", *arguments], capture_output=True, text=True, timeout=200)

    return run


def test_every_scenario_is_run(judge):
    assert judge("list").stdout.splitlines() == SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda name: name.replace(" ", "-"))
def test_scenario(judge, broker, scenario):
    done = judge(broker.bootstrap, scenario)
    assert done.returncode == 0, done.stderr
