"""Judges: the `lmbroker` command beside other clients — produce, consume, topic, backup, verify, their exits."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time

from broker import BINARY, Broker, lmbroker, run_tool, verify
from messages import DESCRIBE_CONFIGS, METADATA
from waiting import next_millisecond, wait_for
from wire_requests import delete_before


def produce(broker, topic, text, *options):
    lmbroker("produce", topic, "--broker", broker.bootstrap, *options, stdin=text)


def consume(broker, topic, *options):
    return lmbroker("consume", topic, "--broker", broker.bootstrap, *options).stdout


def test_lines_in_and_out(broker, topic):
    produce(broker, topic, "one\ntwo\n\nfour\nno newline at the end")
    expected = ["one", "two", "", "four", "no newline at the end"]
    assert consume(broker, topic, "--until-end").split("\n")[:5] == expected
    assert run_tool("kcat", "-b", broker.bootstrap, "-C", "-q", "-e", "-t", topic, "-o", "beginning"
                    ).stdout.split("\n")[:5] == expected


def test_files_are_read_one_after_the_other(broker, topic, tmp_path):
    (tmp_path / "first").write_text("one\ntwo")
    (tmp_path / "last").write_text("four\n")
    lmbroker("produce", topic, tmp_path / "first", "-", tmp_path / "last", "--broker", broker.bootstrap, stdin="three\n")
    assert consume(broker, topic, "--until-end").split() == ["one", "two", "three", "four"]
    missing = lmbroker("produce", topic, tmp_path / "none", "--broker", broker.bootstrap, check=False)
    assert missing.returncode == 1 and str(tmp_path / "none") in missing.stderr


def test_produce_says_where_records_are(broker, topic):
    broker.create_topic(topic, 2)
    said = lmbroker("produce", topic, "--partition", "1", "-v", "--broker", broker.bootstrap, stdin="a\nb\nc\n").stdout
    assert said.splitlines() == [f"{topic}-1 offset {n}" for n in range(3)]


def test_produce_keeps_to_a_rate(broker, topic):
    begun = time.monotonic()
    produce(broker, topic, "x\n" * 51, "--rate", "100")
    assert time.monotonic() - begun >= 0.5
    assert consume(broker, topic, "--until-end") == "x\n" * 51


def start_producing(broker, topic, text, *options, stderr=None):
    """Starts a producer, gives it the text, and returns when its first record is there; its input stays open."""
    producer = subprocess.Popen([str(BINARY), "produce", topic, "--broker", broker.bootstrap, "-v", *options], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=stderr, text=True)
    producer.stdin.write(text)
    producer.stdin.flush()
    assert producer.stdout.readline()
    return producer


def interrupt(producer):
    producer.send_signal(signal.SIGINT)
    assert producer.wait(10) == 130
    producer.stdin.close()
    producer.stdout.close()


def test_a_rate_that_no_clock_can_keep_is_refused(broker, topic, tmp_path):
    for command in (["produce", topic, "--broker", broker.bootstrap, "--rate", "1e-300"],
                    ["backup", tmp_path / "copy", "--data", broker.directory, "--rate", "1e-7"]):
        done = lmbroker(*command, stdin="x\n", check=False)
        assert done.returncode == 64 and "--rate" in done.stderr


def test_a_rate_is_not_made_up_for(broker, topic):
    """What comes after a pause goes at the rate, and an interruption does not wait for the next record."""
    producer = start_producing(broker, topic, "first\n", "--rate", "20")
    time.sleep(1)  # The pause is what is tested.
    begun = time.monotonic()
    producer.stdin.write("x\n" * 21)
    producer.stdin.close()
    assert producer.wait(30) == 0 and time.monotonic() - begun > 0.8
    producer.stdout.close()

    interrupt(start_producing(broker, topic, "one\ntwo\nthree", "--rate", "0.01"))


def test_half_a_line_is_no_record(broker, topic):
    interrupt(start_producing(broker, topic, "whole\nhal"))
    assert consume(broker, topic, "--until-end") == "whole\n"


def test_many_files_and_a_full_disk(broker, topic, tmp_path):
    paths = [tmp_path / f"{number}" for number in range(600)]
    for path in paths:
        path.write_text(f"{path.name}\n")
    limited = subprocess.run(["sh", "-c", 'ulimit -n 100; exec "$@"', "sh", BINARY, "produce", topic, *paths, "--broker", broker.bootstrap],
                             capture_output=True, text=True)
    assert limited.returncode == 0, limited.stderr
    assert consume(broker, topic, "--until-end").split() == [path.name for path in paths]
    with open("/dev/full", "w") as full:
        done = subprocess.run([str(BINARY), "produce", topic, paths[0], "-v", "--broker", broker.bootstrap], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "standard output cannot be written" in done.stderr


def test_keys_and_headers_reach_kcat(broker, topic):
    produce(broker, topic, "k1=v1\nk2=v=2\n", "--key-separator", "=", "--header", "a=1", "--header", "b=x=y")
    lines = run_tool("kcat", "-b", broker.bootstrap, "-C", "-q", "-e", "-J", "-t", topic, "-o", "beginning"
                     ).stdout.splitlines()
    found = [(m["key"], m["payload"], m["headers"]) for m in map(json.loads, lines)]
    assert found == [("k1", "v1", ["a", "1", "b", "x=y"]), ("k2", "v=2", ["a", "1", "b", "x=y"])]


def test_acks_idempotence_and_partition(broker, topic):
    broker.create_topic(topic, 3)
    for options in (["--acks", "1"], ["--acks", "all", "--idempotent"], ["--codec", "zstd"]):
        produce(broker, topic, "x\n", "--partition", "2", *options)
    assert consume(broker, topic, "--partition", "2", "--until-end") == "x\n" * 3
    assert consume(broker, topic, "--partition", "0", "--until-end") == ""


def test_where_consume_begins_and_ends(broker, topic):
    produce(broker, topic, "".join(f"{i}\n" for i in range(10)))
    middle = next_millisecond()
    produce(broker, topic, "".join(f"{i}\n" for i in range(10, 20)))
    assert consume(broker, topic, "--from", "7", "--count", "2").split() == ["7", "8"]
    assert consume(broker, topic, "--from", "beginning", "--count", "1").split() == ["0"]
    assert consume(broker, topic, "--from", "end", "--until-end") == ""
    assert consume(broker, topic, "--from", f"@{middle}", "--until-end").split() == [str(i) for i in range(10, 20)]


def test_consume_ends_at_a_place(broker, topic):
    produce(broker, topic, "".join(f"{i}\n" for i in range(10)))
    middle = next_millisecond()
    produce(broker, topic, "".join(f"{i}\n" for i in range(10, 20)))
    numbers = [str(i) for i in range(20)]
    assert consume(broker, topic, "--to", "3").split() == numbers[:3]
    assert consume(broker, topic, "--from", "5", "--to", f"@{middle}").split() == numbers[5:10]
    assert consume(broker, topic, "--to", "@2999-01-01").split() == numbers
    assert consume(broker, topic, "--to", "1000").split() == numbers
    assert consume(broker, topic, "--from", "5", "--to", "5") == consume(broker, topic, "--to", "beginning") == ""
    # A group ends there, too, and goes on from there.
    assert consume(broker, topic, "--group", topic, "--to", f"@{middle}").split() == numbers[:10]
    assert consume(broker, topic, "--group", topic, "--to", "end").split() == numbers[10:]


def test_consume_ends_where_nothing_is_left(broker, topic):
    produce(broker, topic, "".join(f"{i}\n" for i in range(5)))
    assert consume(broker, topic, "--group", topic, "--count", "2").split() == ["0", "1"]
    with broker.connect() as connection:
        assert delete_before(connection, topic, -1) == 5
    for options in (["--from", "0"], ["--group", topic]):
        done = lmbroker("consume", topic, "--broker", broker.bootstrap, "--until-end", *options, timeout=20)
        assert done.stdout == "", options
    # The group stands where it would go on.
    described = json.loads(lmbroker("group", "describe", topic, "--broker", broker.bootstrap, "--json").stdout)
    assert [part["committed_offset"] for part in described["partitions"]] == [5]


def test_consume_picks_records(broker, topic):
    for header in ("source=web", "source=app"):
        produce(broker, topic, "a1:x\na2:y\nb1:z\nno key\n", "--key-separator", ":", "--header", header)
    assert consume(broker, topic, "--until-end", "--key", "a*").split() == ["x", "y"] * 2
    assert consume(broker, topic, "--until-end", "--key", "?1", "--header", "source=w*", "--keys") == "a1\tx\nb1\tz\n"
    assert consume(broker, topic, "--until-end", "--header", "none") == ""
    # What is counted is what was written.
    assert consume(broker, topic, "--key", "b1", "--count", "2").split() == ["z", "z"]
    assert consume(broker, topic, "--group", topic, "--until-end", "--key", "a2", "--format", "%k{hex} %s{json}\n") == '6132 "y"\n' * 2


def test_consume_dumps_bytes(broker, topic):
    produce(broker, topic, "k:value\n", "--key-separator", ":", "--header", "h=1")
    lines = consume(broker, topic, "--hex", "--count", "1").splitlines()
    assert lines[0].startswith(f"{topic}-0 offset 0 at 20") and lines[0].endswith("Z")
    assert [line.split("  |")[-1] for line in lines if "|" in line] == ["k|", "1|", "value|"]


def test_consume_prints_json(broker, topic):
    run_tool("kcat", "-b", broker.bootstrap, "-P", "-t", topic, "-K", ":", "-H", "h=1", stdin="k:v\n")
    line, = consume(broker, topic, "--until-end", "--json").splitlines()
    message = json.loads(line)
    assert (message["topic"], message["partition"], message["offset"]) == (topic, 0, 0)
    assert (message["key"], message["value"]) == ("k", "v")
    assert "h" in json.dumps(message["headers"])


def test_settings_are_described_and_altered(broker, topic):
    at = ("--topic", topic, "--broker", broker.bootstrap)
    broker.create_topic(topic, retention_ms=1234)

    def described(*options):
        return {line["name"]: line for line in map(json.loads, lmbroker("config", "describe", *at, "--json", *options).stdout.splitlines())}

    assert {name: (line["value"], line["from"]) for name, line in described().items()} == {"retention.ms": ("1234", "topic")}
    assert described("--defaults")["max.message.bytes"]["from"] == "default"
    lmbroker("config", "alter", *at, "--set", "retention.ms=777", "--append", "cleanup.policy=compact", "--validate-only")
    assert described()["retention.ms"]["value"] == "1234"
    lmbroker("config", "alter", *at, "--set", "retention.ms=777", "--append", "cleanup.policy=compact")
    assert described()["retention.ms"]["value"] == "777" and described()["cleanup.policy"]["value"] == "delete,compact"
    lmbroker("config", "alter", *at, "--delete", "retention.ms", "--subtract", "cleanup.policy=compact")
    assert "retention.ms" not in described()
    assert "cleanup.policy" in lmbroker("config", "describe", *at, "--defaults").stdout

    for changes in (["--set", "retention.ms=never"], ["--set", "no.such.setting=1"]):
        refused = lmbroker("config", "alter", *at, *changes, check=False)
        assert refused.returncode == 1 and changes[1].split("=")[0] in refused.stderr
    for senseless in (["--set", "a=1", "--delete", "a"], [], ["--id", "1", "--set", "a=1"]):
        assert lmbroker("config", "alter", *at, *senseless, check=False).returncode == 64


def test_a_broker_s_settings_are_altered(broker):
    for target in (["--all-brokers"], ["--id", str(node_id(broker))]):
        at = (*target, "--broker", broker.bootstrap)

        def described():
            lines = map(json.loads, lmbroker("config", "describe", *at, "--json").stdout.splitlines())
            return {line["name"]: line["value"] for line in lines}.get("log.cleaner.backoff.ms")

        before = described()
        lmbroker("config", "alter", *at, "--set", "log.cleaner.backoff.ms=1234")
        assert described() == "1234" != before
        lmbroker("config", "alter", *at, "--delete", "log.cleaner.backoff.ms")
        assert described() == before


def node_id(broker):
    with broker.connect() as connection:
        return connection.ask(METADATA, 9, topics=[]).brokers[0].node_id


def test_the_cluster_is_shown(broker, topic):
    broker.create_topic(topic, 3)
    produce(broker, topic, "x" * 1000 + "\n")
    shown = json.loads(lmbroker("cluster", "--broker", broker.bootstrap, "--json").stdout)
    member, = shown["brokers"]
    assert member["id"] == shown["controller"] == node_id(broker) and member["address"] == broker.bootstrap
    assert member["leads"] == member["replicas"] == shown["partitions"] >= 3
    directory, = member["directories"]
    assert directory["path"] == str(broker.directory) and directory["record_bytes"] >= 1000 and directory["free_bytes"] > 0
    text = lmbroker("cluster", "--broker", broker.bootstrap).stdout
    assert shown["cluster_id"] in text and str(broker.directory) in text


def test_topics_are_created_listed_described_altered_and_deleted(broker, topic):
    at = ("--broker", broker.bootstrap)
    lmbroker("topic", "create", topic, "--partitions", "3", "--config", "retention.ms=1234", *at)
    assert topic in lmbroker("topic", "list", *at).stdout.split()
    described = lmbroker("topic", "describe", topic, *at).stdout
    assert "retention.ms" in described and "1234" in described
    lmbroker("topic", "alter", topic, "--config", "retention.ms=777", *at)
    assert "777" in lmbroker("topic", "describe", topic, *at).stdout
    lmbroker("topic", "delete", topic, *at)
    assert topic not in lmbroker("topic", "list", *at).stdout.split()


def test_mistakes_end_in_a_sentence_and_a_status(broker, topic):
    at = ("--broker", broker.bootstrap)
    broker.create_topic(topic)
    for arguments in (["topic", "create", topic, *at], ["topic", "delete", topic + "-none", *at],
                      ["topic", "create", "a b", *at], ["topic", "describe", topic + "-none", *at],
                      ["consume", topic, "--from", "yesterday", *at],
                      ["consume", topic, "--to", "end", "--until-end", *at], ["consume", topic, "--hex", "--json", *at],
                      ["consume", topic, "--format", "%s{octal}", *at], ["consume", topic, "--header", "=x", *at],
                      ["produce", topic, "--codec", "zip", *at], ["produce", topic, "--rate", "nan", *at],
                      ["topic", "list", "--broker", "127.0.0.1:1"], ["verify", "/nonexistent"], ["no-such-command"]):
        done = lmbroker(*arguments, stdin="", check=False, timeout=60)
        assert done.returncode > 0, arguments
        said = done.stderr.strip()
        assert said and "Fatal error" not in said and "Thread 0 crashed" not in said, (arguments, said)


def test_serve_is_what_happens_without_a_subcommand_and_reads_a_file(tmp_path):
    """Command line over file over default, in Kafka's own property format."""
    broker = Broker(tmp_path / "data", {"num.partitions": 7}, log_path=tmp_path / "log")
    config = tmp_path / "lmbroker.properties"
    config.write_text(f"# a comment\nlisteners=PLAINTEXT://127.0.0.1:{broker.port}\nnum.partitions=3\nmessage.max.bytes = 4321\n")
    broker.command = lambda: [str(BINARY), "--config", str(config), "--data", str(broker.directory),
                              "--set", "num.partitions=7"]
    broker.start()
    lmbroker("topic", "create", "made", "--broker", broker.bootstrap)
    with broker.connect() as connection:
        described = connection.ask(DESCRIBE_CONFIGS, 4, resources=[dict(
            resource_type=2, resource_name="made", configuration_keys=["max.message.bytes"])])
        assert len(connection.ask(METADATA, 12, topics=[dict(name="made")]).topics[0].partitions) == 7
    assert described.results[0].configs[0].value == "4321"
    broker.stop()


def test_the_binary_needs_no_toolchain():
    needed = re.findall(r"^\s*(\S+)", run_tool("ldd", BINARY).stdout, re.M)
    assert "liblmdb.so.0" in needed
    assert not [name for name in needed if re.search("swift|Foundation|dispatch|Blocks", name)]


def test_consume_ends_when_its_reader_does(broker, topic):
    produce(broker, topic, "".join(f"{i}\n" for i in range(100_000)))
    reader = subprocess.Popen([BINARY, "consume", topic, "--broker", broker.bootstrap], stdout=subprocess.PIPE)
    assert reader.stdout.readline() == b"0\n"
    reader.stdout.close()
    assert reader.wait(10) is not None


def test_what_nobody_reads_is_no_failure(broker, topic):
    broker.create_topic(topic)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for command in (["topic", "list"], ["topic", "describe", topic], ["group", "list"], ["txn", "list"], ["cluster"],
                        ["config", "describe", "--topic", topic, "--defaults"]):
            done = subprocess.run([BINARY, *command, "--broker", broker.bootstrap], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
            assert (done.returncode, done.stderr) == (0, ""), command
    finally:
        os.close(writing)


def test_a_pipe_that_does_not_wait_gets_everything(broker, topic):
    text = "".join(f"{i}\n" for i in range(100_000))
    produce(broker, topic, text)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    reader = subprocess.Popen([BINARY, "consume", topic, "--until-end", "--broker", broker.bootstrap], stdout=writing, stderr=subprocess.PIPE, text=True)
    room = fcntl.fcntl(reading, fcntl.F_GETPIPE_SZ)
    os.close(writing)

    def waiting():
        """Bytes in the pipe."""
        return struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, b"\0" * 4))[0]

    wait_for(lambda: waiting() == room or reader.poll() is not None, "the pipe to be full")
    with open(reading) as pipe:
        assert pipe.read() == text
    said = reader.communicate(timeout=30)[1]
    assert (reader.returncode, said) == (0, "")


def test_a_line_without_an_end_is_refused_before_it_is_all_in_memory(broker, topic, tmp_path):
    broker.create_topic(topic)
    path = tmp_path / "zeros"
    path.touch()
    os.truncate(path, 400 << 20)
    with open(tmp_path / "said", "w+") as said:
        process = subprocess.Popen([BINARY, "produce", topic, path, "--broker", broker.bootstrap], stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        assert process.returncode == 1 and "longer than the 1000000 bytes" in said.read()
    assert usage.ru_maxrss < 200 << 10, f"{usage.ru_maxrss} KB"


def test_backup_of_a_running_broker_is_a_store(start_broker, topic, tmp_path):
    broker = start_broker()
    produce(broker, topic, "".join(f"{i}\n" for i in range(50_000)))
    copy = tmp_path / "copy"
    lmbroker("backup", copy, "--data", broker.directory)
    verify(copy)
    verify(broker.directory)
    restored = start_broker(directory=copy)
    assert consume(restored, topic, "--until-end").split() == [str(i) for i in range(50_000)]
    done = lmbroker("backup", copy, "--data", broker.directory, check=False)
    assert done.returncode != 0, "a backup must not overwrite another"


def test_verify_finds_a_flipped_bit(start_broker, topic):
    """In a copy of the store, one changed byte of a record must be noticed."""
    broker = start_broker()
    marker = "a line that is easy to find in the file"
    produce(broker, topic, f"{marker}\n" * 2000)
    broker.stop()
    verify(broker.directory)
    data = broker.directory / "data.mdb"
    content = bytearray(data.read_bytes())
    place = content.rfind(marker.encode())
    assert place > 0
    content[place + 5] ^= 0x20
    data.write_bytes(content)
    done = lmbroker("verify", broker.directory, check=False)
    # The flipped byte may lie in a page that is free by now; flip them all then.
    if done.returncode == 0:
        data.write_bytes(bytes(content).replace(marker.encode(), marker.upper().encode()))
        done = lmbroker("verify", broker.directory, check=False)
    assert done.returncode != 0, "verify did not notice"
