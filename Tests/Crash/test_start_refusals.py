"""Judges: a data directory that cannot be served is refused with a sentence and a non-zero exit, and left alone."""

import os

import pytest

from broker import Broker, lmbroker, refused, run_tool, verify
from dumps import sections, set_format, text
from records import batch
from wire_requests import produce


def test_a_directory_in_use(start_broker, topic, tmp_path):
    broker = start_broker()
    said = refused(broker.directory, tmp_path / "second.log")
    assert "use" in said.lower() or "lock" in said.lower()
    broker.create_topic(topic)
    verify(broker.directory)


def test_a_port_in_use(start_broker, tmp_path):
    broker = start_broker()
    second = Broker(tmp_path / "other", port=broker.port, log_path=tmp_path / "second.log")
    second.launch()
    assert second.process.wait(10) > 0
    assert str(broker.port) in second.log()


@pytest.mark.parametrize("content", [b"this is not a store\n" * 1000, b"\0" * 65536], ids=["text", "zeros"])
def test_a_file_that_is_no_store(tmp_path, content):
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "data.mdb").write_bytes(content)
    refused(directory, tmp_path / "log")
    assert (directory / "data.mdb").read_bytes() == content, "what is not ours must not be touched"


@pytest.mark.parametrize("share", [0.1, 0.6, 0.99])
def test_a_file_that_is_cut_off(start_broker, topic, tmp_path, share):
    """As `mdb_copy` or `cp` leave it when they are interrupted."""
    broker = start_broker()
    broker.create_topic(topic)
    with broker.connect() as connection:
        for number in range(20):
            assert produce(connection, topic, batch([b"%03d" % number * 70_000])).error_code == 0
    broker.stop()
    data = broker.directory / "data.mdb"
    length = int(data.stat().st_size * share)
    os.truncate(data, length)
    assert "is cut off" in refused(broker.directory, tmp_path / "log")
    for command in (["verify"], ["stat"], ["compact"], ["backup", tmp_path / "copy", "--data"]):
        done = lmbroker(*command, broker.directory, check=False)
        assert done.returncode == 1 and "is cut off" in done.stderr, command
    assert data.stat().st_size == length, "what is left must not be touched"


def test_what_an_interrupted_copy_has_left(tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    (directory / "data.mdb.partial").write_bytes(b"half of it")
    assert "data.mdb.partial" in refused(directory, tmp_path / "log")
    assert [path.name for path in directory.iterdir()] == ["data.mdb.partial"]


def test_somebody_elses_environment(tmp_path):
    directory = tmp_path / "data"
    directory.mkdir()
    dump = "VERSION=3\nformat=print\ntype=btree\nmapsize=1048576\nHEADER=END\n key\n value\nDATA=END\n"
    run_tool("mdb_load", directory, stdin=dump)
    before = run_tool("mdb_dump", "-a", directory).stdout
    refused(directory, tmp_path / "log")
    assert run_tool("mdb_dump", "-a", directory).stdout == before


def test_a_path_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("hello")
    refused(path, tmp_path / "log")
    assert path.read_text() == "hello"


def test_a_newer_format(start_broker, tmp_path):
    """The identity row is dumped, its format number raised and its checksum renewed, and loaded with the stock tools."""
    broker = start_broker()
    broker.stop()
    dump = sections(run_tool("mdb_dump", "-s", "meta", broker.directory).stdout)
    set_format(dump["meta"][1], lambda format: format + 1)
    run_tool("mdb_load", "-s", "meta", broker.directory, stdin=text(dump))
    said = refused(broker.directory, tmp_path / "log")
    assert "format" in said.lower() and "2" in said


@pytest.mark.parametrize("name, value", [("num.partitions", "many"), ("socket.request.max.bytes", "-5"),
                                         ("log.message.timestamp.type", "Sometimes")])
def test_a_bad_value_is_refused_by_name(tmp_path, name, value):
    broker = Broker(tmp_path / "data", {name: value}, log_path=tmp_path / "log")
    broker.launch()
    assert broker.process.wait(10) > 0
    assert name in broker.log() and value in broker.log()


def test_an_unknown_setting_is_warned_about(start_broker):
    assert "no.such.setting" in start_broker({"no.such.setting": "1"}).log()
