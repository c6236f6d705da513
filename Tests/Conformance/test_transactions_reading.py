"""Judges: reading around transactions — deleted records, retention, long logs with many aborts, offsets by time."""

import collections
import select
import time

import pytest

from group_messages import OFFSET_FETCH
from messages import DELETE_TOPICS, LIST_OFFSETS
from records import batch
from transaction_messages import END_TXN
from transactions import (READ_COMMITTED, READ_UNCOMMITTED, RawTransaction, active_producers, fetch_at, latest, read, values_at)
from waiting import wait_for
from wire_requests import delete_before, list_offset, produce


@pytest.fixture
def made(broker, topic):
    broker.create_topic(topic)
    return topic


def test_records_of_an_open_transaction_may_be_deleted(broker, connection, made):
    """DeleteRecords goes up to the high watermark, whatever is open; the end then still sets readers free."""
    with RawTransaction(broker, made) as producer:
        producer.send(made, [b"a", b"b", b"c"])
        produce(connection, made, batch([b"d"]))
        assert delete_before(connection, made, 2) == 2
        producer.send(made, [b"e"])
        assert latest(connection, made) <= 2
        producer.commit()
        assert read(connection, made, offset=2) == [(2, b"c"), (3, b"d"), (4, b"e")]


def test_an_aborted_transaction_whose_beginning_was_deleted_stays_aborted(broker, connection, made):
    with RawTransaction(broker, made) as producer:
        producer.send(made, [b"a"])
        producer.send(made, [b"b"])
        producer.abort()
        produce(connection, made, batch([b"kept"]))
        delete_before(connection, made, 1)
        assert read(connection, made, offset=1) == [(3, b"kept")]


def test_all_records_deleted_while_a_transaction_is_open(broker, connection, made):
    with RawTransaction(broker, made) as producer:
        producer.send(made, [b"a", b"b"])
        delete_before(connection, made, -1)
        assert list_offset(connection, made, -2).offset == 2
        producer.abort()
        producer.send(made, [b"c"])
        producer.commit()
        assert read(connection, made, offset=2) == [(3, b"c")]


def test_retention_goes_on_around_transactions(start_broker, topic):
    broker = start_broker({"log.retention.check.interval.ms": 100})
    broker.create_topic(topic, retention_bytes=300_000)
    with RawTransaction(broker, topic) as producer, broker.connect() as connection:
        for number in range(60):
            producer.send(topic, [b"%03d" % number + bytes(20_000)])
            assert producer.end(number % 2 == 0).error_code == 0
        # Fifteen batches are the fewest that hold as many bytes. Each is a record, with a marker behind it.
        kept = range(45, 60)
        begin = 2 * kept[0]
        wait_for(lambda: list_offset(connection, topic, -2).offset == begin, "all that may go has gone")
        found = [int(v[:3]) for _, v in read(connection, topic, offset=begin)]
        assert found == [number for number in kept if number % 2 == 0]


def test_a_long_log_of_many_small_transactions(broker, connection, made):
    """Hundreds of aborts of several producers between each other: each fetch names those of its range, and only those."""
    producers = [RawTransaction(broker, f"{made}-{number}") for number in range(4)]
    kept = []
    for number in range(400):
        producer = producers[number % 4]
        producer.send(made, [b"%d" % number])
        if number % 8 < 4:
            # This one stays open over the next three producers' transactions.
            continue
        commit = number % 3 != 0
        assert producer.end(commit).error_code == 0
        if commit:
            kept += [number - 4, number]
    values = [int(v) for v in values_at(connection, made)]
    assert sorted(values) == sorted(kept) and values == sorted(values)
    part = fetch_at(connection, made, 300, partition_max_bytes=4000)
    assert 0 < len(part.aborted_transactions) < 40
    for producer in producers:
        producer.close()


def test_offsets_by_time_at_read_committed_end_at_the_stable_offset(broker, connection, made):
    produce(connection, made, batch([b"x"], timestamp=1000))
    with RawTransaction(broker, made) as producer:
        producer.send(made, [b"y"])

        def at(timestamp, isolation):
            reply = connection.ask(LIST_OFFSETS, 7, replica_id=-1, isolation_level=isolation, topics=[
                dict(name=made, partitions=[dict(partition_index=0, timestamp=timestamp)])]).topics[0].partitions[0]
            return reply.offset

        assert (at(-1, READ_COMMITTED), at(-1, READ_UNCOMMITTED)) == (1, 2)
        assert (at(500, READ_COMMITTED), at(500, READ_UNCOMMITTED)) == (0, 0)
        assert (at(5000, READ_COMMITTED), at(5000, READ_UNCOMMITTED)) == (-1, 1)
        assert at(-2, READ_COMMITTED) == 0
        producer.commit()
        assert at(5000, READ_COMMITTED) == 1


def test_a_large_transaction(broker, connection, made):
    """Batches beyond what the journal takes, in one transaction, before and after its end."""
    with RawTransaction(broker, made) as producer:
        sizes = [10, 50_000, 90_000, 300_000, 900_000, 10]
        for size in sizes:
            producer.send(made, [bytes(size)])
        assert values_at(connection, made) == []
        producer.commit()
        assert [len(v) for v in values_at(connection, made)] == sizes


def test_a_deleted_topic_takes_its_part_of_a_transaction_with_it(broker, connection, made):
    other = made + "-other"
    broker.create_topic(other)
    with RawTransaction(broker, made) as producer:
        producer.send(made, [b"x"])
        producer.send(other, [b"y"])
        assert connection.ask(DELETE_TOPICS, 6, timeout_ms=5000, topics=[dict(name=made)]).responses[0].error_code == 0
        producer.commit()
        assert values_at(connection, other) == [b"y"]
        broker.create_topic(made)
        producer.send(made, [b"new"])
        producer.commit()
        assert values_at(connection, made) == [b"new"]
        assert set(active_producers(connection, made)) == {producer.producer_id}


def test_a_sequence_of_another_incarnation_does_not_confuse_the_log(broker, connection, made):
    """Each incarnation begins its sequences at 0 in the same partition; the log takes the new and knows the old."""
    begun = time.monotonic()
    for number in range(20):
        with RawTransaction(broker, made) as producer:
            producer.send(made, [b"%d" % number, b"again"])
            if number % 2:
                producer.commit()
    assert [v for v in values_at(connection, made) if v != b"again"] == [b"%d" % n for n in range(1, 20, 2)]
    assert time.monotonic() - begun < 30


def read_around_a_commit(producer, readers, request, number):
    """Commits while all readers ask for the group's offsets without a pause, each from before the commit until it is shown `number`.

    Yields the partitions of each answer. That before and after are met does not depend on how long the commit takes: the first
    answer is there before it begins, and nobody stops at one that does not show it. One that was asked for when the commit had been
    acknowledged has to.
    """
    def ask(reader, acknowledged=False):
        return reader, reader.send(OFFSET_FETCH, 8, **request), acknowledged

    def partitions(reader, correlation):
        return reader.receive(OFFSET_FETCH, 8, correlation).groups[0].topics[0].partitions

    yield partitions(*ask(readers[0])[:2])
    asked = collections.deque(ask(reader) for reader in readers for _ in range(4))
    ending = producer.connection.send(END_TXN, 5, **producer.identity(), committed=True)
    deadline = time.monotonic() + 30
    while asked:
        reader, correlation, acknowledged = asked.popleft()
        answer = partitions(reader, correlation)
        yield answer
        if answer[0].committed_offset != number:
            assert not acknowledged and time.monotonic() < deadline, "the commit is not shown"
            has_reply, _, _ = select.select([producer.connection.socket], [], [], 0)
            asked.append(ask(reader, bool(has_reply)))
    reply = producer.connection.receive(END_TXN, 5, ending)
    assert reply.error_code == 0
    producer.take(reply.producer_id, reply.producer_epoch)


def test_a_stable_offset_is_never_the_one_before_an_acknowledged_commit_to_the_transaction(broker, topic):
    """While the transaction ends, a stable fetch says UNSTABLE_OFFSET_COMMIT or the new offset, never the old one (KIP-447)."""
    partitions = range(500)
    broker.create_topic(topic, len(partitions))
    group = f"stable-{topic}"
    request = dict(require_stable=True, groups=[dict(
        group_id=group, topics=[dict(name=topic, partition_indexes=list(partitions))])])
    readers = [broker.connect() for _ in range(3)]
    with RawTransaction(broker, group) as producer:
        producer.send_offsets(group, {(topic, p): 0 for p in partitions})
        producer.commit()
        for number in range(1, 60):
            producer.send_offsets(group, {(topic, 0): number})
            seen = {(answer[0].error_code, answer[0].committed_offset) for answer in read_around_a_commit(producer, readers, request, number)}
            assert seen == {(88, -1), (0, number)}
    for reader in readers:
        reader.close()


@pytest.mark.parametrize("stable", [False, True], ids=["plain", "stable"])
def test_a_fetch_of_offsets_sees_all_of_a_commit_or_nothing(broker, topic, stable):
    """The offsets that one transaction commits for a group are one step to whoever reads them."""
    partitions = range(300)
    broker.create_topic(topic, len(partitions))
    request = dict(require_stable=stable, groups=[dict(
        group_id=topic, topics=[dict(name=topic, partition_indexes=list(partitions))])])
    readers = [broker.connect() for _ in range(3)]
    with RawTransaction(broker, topic) as producer:
        for number in range(1, 150):
            producer.send_offsets(topic, {(topic, p): number for p in partitions})
            seen = set()
            for answer in read_around_a_commit(producer, readers, request, number):
                offsets = {(p.error_code, p.committed_offset) for p in answer}
                assert len(offsets) == 1, offsets
                seen |= offsets
            # Stable ones are refused until it is committed.
            old = (88, -1) if stable else (0, number - 1 if number > 1 else -1)
            assert seen == {old, (0, number)}
    for reader in readers:
        reader.close()
