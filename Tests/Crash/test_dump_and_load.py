"""Judges: what `mdb_dump -a` writes of a store that was killed, `mdb_load` makes a store of that a broker serves; and so for the older
format in which the journal's newest entries had no database of their own."""

import confluent
from broker import lmbroker, refused, run_tool, verify
from dumps import sections, set_format, text
from records import batch
from wire_requests import produce

RECORDS = 25


def killed_store(start_broker, topic):
    """A store with so many records, each in a commit of its own, that a broker had no time to seal."""
    broker = start_broker()
    broker.create_topic(topic)
    with broker.connect() as connection:
        for number in range(RECORDS):
            assert produce(connection, topic, batch([b"%03d" % number])).error_code == 0
    broker.kill()
    return broker.directory


def loaded(directory, databases):
    directory.mkdir()
    run_tool("mdb_load", directory, stdin=text(databases))
    return directory


def assert_serves_all(broker, topic, count=RECORDS):
    assert [message.value() for message in confluent.read_topic(broker, topic)] == [b"%03d" % number for number in range(count)]


def test_a_dump_holds_everything(start_broker, topic, tmp_path):
    databases = sections(run_tool("mdb_dump", "-a", killed_store(start_broker, topic)).stdout)
    assert databases["tail"][1], "nothing stands in the tail, so this test shows nothing"
    copy = loaded(tmp_path / "copy", databases)
    verify(copy)
    assert_serves_all(start_broker(directory=copy), topic)


def test_a_store_of_format_4(start_broker, topic, tmp_path):
    """The same as it was then: all entries in the journal, and another number in the identity row."""
    databases = sections(run_tool("mdb_dump", "-a", killed_store(start_broker, topic)).stdout)
    databases["journal"][1].extend(databases.pop("tail")[1])
    assert set_format(databases["meta"][1], lambda _: 4) == 5
    store = loaded(tmp_path / "store", databases)
    verify(store)
    broker = start_broker(directory=store)
    assert_serves_all(broker, topic)
    assert "format 4 and is now of format 5" in broker.log()
    verify(store)
    # What comes now stands in the tail, behind entries that never did.
    with broker.connect() as connection:
        for number in range(RECORDS, RECORDS + 5):
            assert produce(connection, topic, batch([b"%03d" % number])).error_code == 0
    broker.kill()
    verify(store)
    broker.start()
    assert_serves_all(broker, topic, RECORDS + 5)
    assert "tail" in sections(run_tool("mdb_dump", "-a", store).stdout)


def test_a_store_without_its_tail_is_refused(start_broker, topic, tmp_path):
    databases = sections(run_tool("mdb_dump", "-a", killed_store(start_broker, topic)).stdout)
    del databases["tail"]
    store = loaded(tmp_path / "store", databases)
    assert "has no database 'tail'" in lmbroker("verify", store, check=False).stderr
    assert "has no database 'tail'" in refused(store, tmp_path / "log")
