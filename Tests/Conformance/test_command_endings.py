"""Judges: how `lmbroker` commands end that could not do all they were asked to, and what they leave as it was."""

import json
import os
import re
import signal
import subprocess

import pytest

from broker import BINARY, lmbroker, verify
from test_command import consume, produce
from waiting import wait_for

BROKER_SETTINGS = {"group.initial.rebalance.delay.ms": 0}


def test_one_topic_that_is_missing_keeps_no_other_from_being_deleted(broker, topic):
    at = ("--broker", broker.bootstrap)
    names = [f"{topic}-{letter}" for letter in "abc"]
    for name in (names[0], names[2]):
        broker.create_topic(name)
    done = lmbroker("topic", "delete", *names, *at, check=False)
    assert done.returncode == 1
    assert done.stderr.count("lmbroker: ") == 1 and f"there is no topic {names[1]}" in done.stderr, done.stderr
    assert not set(names) & set(lmbroker("topic", "list", *at).stdout.split())


def test_a_topic_is_altered_in_both_ways_or_in_none(broker, topic):
    at = ("--broker", broker.bootstrap)
    broker.create_topic(topic, 4)

    def retention():
        lines = lmbroker("config", "describe", "--topic", topic, "--json", *at).stdout.splitlines()
        return {line["name"]: line["value"] for line in map(json.loads, lines)}.get("retention.ms")

    refused = lmbroker("topic", "alter", topic, "--config", "retention.ms=1000", "--partitions", "1", *at, check=False)
    assert refused.returncode == 1 and topic in refused.stderr, refused.stderr
    assert retention() is None
    lmbroker("topic", "alter", topic, "--config", "retention.ms=1000", "--partitions", "5", *at)
    assert retention() == "1000"
    produce(broker, topic, "x\n", "--partition", "4")


@pytest.mark.parametrize("command", [["verify", "--json"], ["verify"], ["stat"], ["stat", "--json"]], ids=" ".join)
def test_a_report_that_cannot_be_written_is_a_failure(broker, topic, command):
    produce(broker, topic, "x\n")
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(BINARY), *command, str(broker.directory)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr, done.stderr


def test_a_group_with_members_is_not_reset_and_nothing_is_shown(broker, topic):
    at = ("--broker", broker.bootstrap)
    reset = ("group", "reset", topic, "--topic", topic, "--to-earliest", *at)
    produce(broker, topic, "x\n")

    def members():
        return json.loads(lmbroker("group", "describe", topic, "--json", *at).stdout)["members"]

    with subprocess.Popen([str(BINARY), "consume", topic, "--group", topic, *at], stdout=subprocess.PIPE, text=True) as member:
        try:
            assert member.stdout.readline() == "x\n"
            assert len(members()) == 1
            for options in ([], ["--json"]):
                refused = lmbroker(*reset, *options, check=False)
                assert (refused.returncode, refused.stdout) == (1, "")
                assert f"the group {topic} has 1 member" in refused.stderr, refused.stderr
        finally:
            member.send_signal(signal.SIGINT)
        member.wait(10)
    wait_for(lambda: members() == [], "the member has left")
    assert topic in lmbroker(*reset, "--dry-run").stdout
    assert topic in lmbroker(*reset).stdout
    assert consume(broker, topic, "--group", topic, "--until-end") == "x\n"


def test_the_version_is_told():
    assert re.fullmatch(r"\d+\.\d+\.\d+, store format \d+\n", lmbroker("--version").stdout)


def test_an_address_to_listen_on_is_a_host_and_a_port(tmp_path):
    for address in ("9092", "PLAINTEXT://127.0.0.1:9092", "127.0.0.1:http"):
        done = lmbroker("serve", "--listen", address, "--data", tmp_path / "data", check=False, timeout=20)
        assert done.returncode == 64, address
        assert f"'{address}' is not HOST:PORT" in done.stderr and "PLAINTEXT://9092" not in done.stderr, done.stderr
    assert not (tmp_path / "data").exists()


def test_a_state_that_no_group_can_have_is_refused(broker):
    at = ("--broker", broker.bootstrap)
    for option, wrong, right in (("--state", "stabel", "stable"), ("--type", "clasic", "classic")):
        refused = lmbroker("group", "list", option, wrong, *at, check=False)
        assert refused.returncode == 64 and f"'{wrong}'" in refused.stderr, refused.stderr
        lmbroker("group", "list", option, right, *at)


def test_a_broker_without_standard_streams_keeps_its_store_to_itself(start_broker, topic):
    """What it has to say must not go into a file that got the number of a stream that was closed."""
    broker = start_broker(start=False)
    command = broker.command()
    broker.command = lambda: ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    broker.start()
    assert [os.readlink(f"/proc/{broker.pid}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
    text = "".join(f"{i}\n" for i in range(1000))
    produce(broker, topic, text)
    assert consume(broker, topic, "--until-end") == text
    broker.stop()
    verify(broker.directory)


@pytest.mark.parametrize("command, closed, says", [
    ("consume {topic} --until-end", ">&-", "standard output cannot be written"),
    ("consume {topic} --until-end --group readers", ">&-", "standard output cannot be written"),
    ("produce {topic}", "<&-", "standard input cannot be read"),
    ("verify {directory}", ">&-", "standard output cannot be written"),
])
def test_who_needs_a_stream_that_is_closed_fails(broker, topic, command, closed, says):
    """What stands in for it takes and gives nothing: else a group would commit what was written nowhere."""
    produce(broker, topic, "x\n")
    words = command.format(topic=topic, directory=broker.directory).split()
    words += [] if words[0] == "verify" else ["--broker", broker.bootstrap]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", str(BINARY), *words], stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and says in done.stderr, (done.returncode, done.stderr)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
@pytest.mark.parametrize("command", ["stat", "verify"])
def test_a_lock_file_that_root_makes_is_the_store_owner_s(start_broker, topic, command):
    """Else the owner could not serve the store any more."""
    owner = 65534
    broker = start_broker()
    produce(broker, topic, "x\n")
    broker.stop()
    (broker.directory / "lock.mdb").unlink()
    os.chown(broker.directory / "data.mdb", owner, owner)
    lmbroker(command, broker.directory)
    status = (broker.directory / "lock.mdb").stat()
    assert (status.st_uid, status.st_gid) == (owner, owner)
