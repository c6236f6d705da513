"""Judges: the lines that `lmbroker produce` takes and the records that `lmbroker consume` gives, at their edges."""

import json
import subprocess

import pytest

from broker import BINARY, lmbroker
from test_command import consume, interrupt, produce, start_producing


@pytest.fixture
def uneven(broker, topic):
    """A topic with five, two and no records in its partitions, each of which says where it is."""
    broker.create_topic(topic, 3)
    for partition, count in enumerate((5, 2, 0)):
        produce(broker, topic, "".join(f"{partition}-{offset}\n" for offset in range(count)), "--partition", str(partition))
    return topic


def test_a_partition_that_ends_before_the_offset_is_read_from_its_end(broker, uneven):
    assert consume(broker, uneven, "--from", "3", "--until-end").split() == ["0-3", "0-4"]
    assert consume(broker, uneven, "--from", "1", "--until-end", "--partition", "1").split() == ["1-1"]
    assert consume(broker, uneven, "--from", "9", "--until-end") == ""
    reader = subprocess.Popen([str(BINARY), "consume", uneven, "--from", "3", "--count", "3", "--broker", broker.bootstrap],
                              stdout=subprocess.PIPE, text=True)
    try:
        assert [reader.stdout.readline() for _ in range(2)] == ["0-3\n", "0-4\n"]
        produce(broker, uneven, "1-2\n", "--partition", "1")
        assert reader.stdout.read() == "1-2\n"
        assert reader.wait(10) == 0
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()


def keys_and_values(broker, topic):
    lines = consume(broker, topic, "--until-end", "--json").splitlines()
    return [(message["key"], message["value"]) for message in map(json.loads, lines)]


def test_what_is_consumed_with_its_keys_is_produced_with_them(broker, topic):
    text, expected = "k1\tv1\nk2\tv=2\nk\\t3\t\n", [("k1", "v1"), ("k2", "v=2"), ("k\\t3", "")]
    first, second = topic + "-first", topic + "-second"
    produce(broker, first, text, "--key-separator", r"\t")
    assert keys_and_values(broker, first) == expected
    copied = consume(broker, first, "--until-end", "--keys")
    assert copied == text
    produce(broker, second, copied, "--key-separator", r"\t")
    assert keys_and_values(broker, second) == expected


def test_a_separator_may_be_any_bytes(broker, topic):
    produce(broker, topic, "a=b\n", "--key-separator", r"\x3d")
    produce(broker, topic, "a\\t\n", "--key-separator", r"\\")
    assert keys_and_values(broker, topic) == [("a", "b"), ("a", "t")]


@pytest.mark.parametrize("escape", ["\\", r"\q", r"\x4", r"\x+4"])
def test_an_escape_that_is_none_is_refused(broker, topic, escape):
    for option in ("--key-separator", "--null-value"):
        done = lmbroker("produce", topic, "--broker", broker.bootstrap, option, escape, stdin="x\n", check=False)
        assert done.returncode == 64 and option in done.stderr, done.stderr


def test_a_line_that_is_too_long_is_named_with_what_came_before_it(broker, topic, tmp_path):
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n" + "x" * 2_000_000 + "\nfour\n")
    done = lmbroker("produce", topic, path, "--broker", broker.bootstrap, check=False)
    assert done.returncode == 1
    assert f"line 3 of {path}" in done.stderr and "2 records were written, all up to line 2" in done.stderr, done.stderr
    assert consume(broker, topic, "--until-end").split() == ["one", "two"]


def test_an_interrupted_producer_says_how_far_it_came(broker, topic):
    producer = start_producing(broker, topic, "one\ntwo\nthr", stderr=subprocess.PIPE)
    assert producer.stdout.readline()
    interrupt(producer)
    said = producer.stderr.read()
    producer.stderr.close()
    assert "2 records were written, all up to line 2 of standard input" in said, said
    assert consume(broker, topic, "--until-end").split() == ["one", "two"]


def test_long_lines_are_records_where_topic_and_producer_allow_them(broker, topic):
    broker.create_topic(topic, max_message_bytes=4_000_000)
    line = "x" * 2_000_000 + "\n"
    refused = lmbroker("produce", topic, "--broker", broker.bootstrap, stdin=line, check=False)
    assert refused.returncode == 1 and "line 1 of standard input" in refused.stderr, refused.stderr
    produce(broker, topic, line, "--max-record-bytes", "3000000")
    assert consume(broker, topic, "--until-end") == line
    for senseless in ("0", "-1", str(1 << 40)):
        done = lmbroker("produce", topic, "--broker", broker.bootstrap, f"--max-record-bytes={senseless}", stdin="x\n", check=False)
        assert done.returncode == 64, senseless
