"""Judges: what is shown of transactions, and how hanging ones are ended: describe, list, markers, timeouts, expiry."""

import time

import pytest

from messages import FETCH, FIND_COORDINATOR, INIT_PRODUCER_ID
from records import batch
from transaction_messages import WRITE_TXN_MARKERS
from transactions import (INVALID_PRODUCER_EPOCH, INVALID_REQUEST, INVALID_TXN_STATE, PRODUCER_FENCED, READ_UNCOMMITTED,
                          TRANSACTIONAL_ID_NOT_FOUND, RawTransaction, active_producers, describe, fetch_at, group_offsets,
                          latest, list_transactions, values_at)
from waiting import wait_for
from wire_requests import fetch_values, produce


@pytest.fixture
def made(broker, topic):
    broker.create_topic(topic, 3)
    return topic


@pytest.fixture(params=[False, True], ids=["added", "implicit"])
def producer(request, broker, made):
    with RawTransaction(broker, made, implicit=request.param, timeout_ms=54_321) as opened:
        yield opened


def test_find_coordinator_of_a_transactional_id(broker, connection, topic):
    reply = connection.ask(FIND_COORDINATOR, 4, key_type=1, coordinator_keys=[topic])
    assert [(c.key, c.error_code, c.port) for c in reply.coordinators] == [(topic, 0, broker.port)]


def test_describe_transactions_in_each_state(connection, made, producer):
    state = describe(connection, made)
    assert (state.error_code, state.transaction_state, state.transaction_timeout_ms) == (0, "Empty", 54_321)
    assert (state.producer_id, state.producer_epoch) == (producer.producer_id, producer.epoch)
    assert (state.transaction_start_time_ms, state.topics) == (-1, [])
    producer.send(made, [b"x"], 2)
    producer.send(made, [b"x"], 0)
    state = describe(connection, made)
    assert (state.transaction_state, [(t.topic, sorted(t.partitions)) for t in state.topics]) == ("Ongoing", [(made, [0, 2])])
    assert abs(state.transaction_start_time_ms - time.time() * 1000) < 60_000
    assert (state.producer_id, state.producer_epoch) == (producer.producer_id, producer.epoch)
    for commit, name in ((True, "CompleteCommit"), (False, "CompleteAbort")):
        producer.send(made, [b"x"])
        assert producer.end(commit).error_code == 0
        state = describe(connection, made)
        assert (state.transaction_state, state.topics) == (name, [])
        assert state.producer_epoch == producer.epoch


def test_describe_transactions_of_ids_that_are_not_there(connection, made, producer):
    known, unknown, empty = describe(connection, made, made + "-none", "")
    assert [s.error_code for s in (known, unknown)] == [0, TRANSACTIONAL_ID_NOT_FOUND]
    assert empty.error_code in (TRANSACTIONAL_ID_NOT_FOUND, INVALID_REQUEST)


def test_list_transactions_by_state_producer_and_duration(connection, made, producer):
    mine = dict(producer_id_filters=[producer.producer_id])

    def ids(**filters):
        return [s.transactional_id for s in list_transactions(connection, **filters).transaction_states]

    state, = list_transactions(connection, **mine).transaction_states
    assert (state.transactional_id, state.producer_id, state.transaction_state) == (made, producer.producer_id, "Empty")
    assert made in ids() and made in ids(state_filters=["Empty", "Ongoing"])
    assert made not in ids(state_filters=["Ongoing"])
    assert ids(producer_id_filters=[producer.producer_id + 1_000_000]) == []
    producer.send(made, [b"x"])
    assert made in ids(state_filters=["Ongoing"]) and made not in ids(state_filters=["Empty"])
    assert ids(duration_filter=600_000, **mine) == []
    wait_for(lambda: ids(duration_filter=5, **mine) == [made], "the transaction is older than 5 ms")
    producer.commit()
    assert ids(state_filters=["CompleteCommit"], **mine) == [made]
    assert ids(duration_filter=0, **mine) == []


def test_list_transactions_names_the_states_that_it_does_not_know(connection):
    for version in (0, 1):
        reply = list_transactions(connection, version, state_filters=["Ongoing", "Sleeping", "ongoing"])
        assert sorted(reply.unknown_state_filters) == ["Sleeping", "ongoing"]


def test_describe_producers_shows_where_a_transaction_began(connection, made, producer):
    produce(connection, made, batch([b"before"]))
    producer.send(made, [b"a", b"b"])
    producer.send(made, [b"c"])
    state = active_producers(connection, made)[producer.producer_id]
    assert (state.current_txn_start_offset, state.last_sequence, state.producer_epoch) == (1, 2, producer.epoch)
    producer.commit()
    state = active_producers(connection, made)[producer.producer_id]
    assert state.current_txn_start_offset == -1 and state.coordinator_epoch >= 0


def write_markers(connection, producer, topic, partitions, commit=False, **changes):
    """WriteTxnMarkers; {partition: error code}."""
    reply = connection.ask(WRITE_TXN_MARKERS, 1, markers=[dict(
        producer_id=producer.producer_id, producer_epoch=producer.epoch, transaction_result=commit,
        coordinator_epoch=-1, topics=[dict(name=topic, partition_indexes=partitions)]) | changes])
    return {p.partition_index: p.error_code for m in reply.markers for t in m.topics for p in t.partitions}


def test_markers_of_an_admin_abort_an_open_transaction_whole(connection, made, producer):
    """As `kafka-transactions.sh abort` sends them (KIP-664): for one partition; none of the others is left open."""
    group = made
    for partition in range(3):
        producer.send(made, [b"x"], partition)
    producer.send_offsets(group, {(made, 0): 5})
    assert write_markers(connection, producer, made, [1]) == {1: 0}
    wait_for(lambda: [latest(connection, made, p) for p in range(3)] == [2, 2, 2], "no partition is held back")
    assert [values_at(connection, made, p) for p in range(3)] == [[], [], []]
    assert group_offsets(connection, group, made, stable=True) == {0: (-1, 0)}
    assert describe(connection, made).transaction_state == "CompleteAbort"
    assert producer.end(True).error_code == PRODUCER_FENCED, "its producer must not believe that it can go on"
    assert producer.produce(made, [b"y"], sequence=1).error_code == INVALID_PRODUCER_EPOCH


def test_markers_never_commit_or_tear_an_open_transaction(connection, made, producer):
    for partition in range(2):
        producer.send(made, [b"x"], partition)
    assert write_markers(connection, producer, made, [0], commit=True)[0] == INVALID_TXN_STATE
    assert write_markers(connection, producer, made, [0], producer_epoch=producer.epoch - 1)[0] == INVALID_PRODUCER_EPOCH
    assert [latest(connection, made, p) for p in (0, 1)] == [0, 0]
    producer.commit()
    assert [values_at(connection, made, p) for p in (0, 1)] == [[b"x"], [b"x"]]


def test_markers_of_an_unknown_partition(connection, made, producer):
    assert write_markers(connection, producer, made, [77]) == {77: 3}


@pytest.mark.parametrize("implicit", [False, True], ids=["added", "implicit"])
def test_a_transaction_that_outlives_its_timeout_is_aborted_and_its_producer_fenced(broker, connection, made, implicit):
    group = made
    with RawTransaction(broker, made, implicit=implicit, timeout_ms=2000) as producer:
        begun = time.monotonic()
        producer.send(made, [b"x"])
        producer.send_offsets(group, {(made, 0): 5})
        wait_for(lambda: latest(connection, made) == 2, "the timeout ends it")
        assert time.monotonic() - begun >= 1.95
        assert describe(connection, made).transaction_state == "CompleteAbort"
        assert values_at(connection, made) == [] and values_at(connection, made, isolation=READ_UNCOMMITTED) == [b"x"]
        assert group_offsets(connection, group, made, stable=True) == {0: (-1, 0)}
        assert producer.end(True).error_code == PRODUCER_FENCED
        assert producer.produce(made, [b"y"], sequence=1).error_code == INVALID_PRODUCER_EPOCH
        producer.timeout_ms = 60_000
        assert producer.init() == 0
        producer.send(made, [b"z"])
        producer.commit()
    assert values_at(connection, made) == [b"z"]


def test_a_reader_that_waits_is_woken_by_the_end(broker, connection, made, producer):
    """A long poll at read_committed that waits for the stable offset gets the records with the commit, not with its patience."""
    producer.send(made, [b"x"])
    assert fetch_at(connection, made).records in (None, b"")
    waiting = connection.send(FETCH, 12, **fetch_values(made, {0: 0}, isolation_level=1, max_wait_ms=8000, min_bytes=1))
    begun = time.monotonic()
    producer.commit()
    part = connection.receive(FETCH, 12, waiting).responses[0].partitions[0]
    assert part.records and part.last_stable_offset == 2
    assert time.monotonic() - begun < 4


def test_ids_that_nobody_uses_are_forgotten(start_broker, topic):
    broker = start_broker({"transactional.id.expiration.ms": 3000})
    broker.create_topic(topic)
    with broker.connect() as connection, RawTransaction(broker, topic) as producer, RawTransaction(broker, topic + "-open") as other:
        other.send(topic, [b"x"])
        wait_for(lambda: describe(connection, topic).error_code == TRANSACTIONAL_ID_NOT_FOUND, "the idle id expires")
        assert describe(connection, topic + "-open").transaction_state == "Ongoing", "one that is open does not"
        before = producer.producer_id
        assert producer.init() == 0
        assert producer.producer_id != before and producer.epoch == 0


def test_the_longest_timeout_is_the_brokers_to_set(start_broker, topic):
    broker = start_broker({"transaction.max.timeout.ms": 5000})
    with broker.connect() as connection:
        codes = [connection.ask(INIT_PRODUCER_ID, 4, transactional_id=topic, transaction_timeout_ms=t).error_code for t in (5000, 5001)]
    assert codes == [0, 50]
