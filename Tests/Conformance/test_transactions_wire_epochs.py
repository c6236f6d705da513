"""Judges: KIP-890 on the wire — what is repeated, late or reordered never acts on another transaction than its own."""

import pytest

from messages import API_VERSIONS, PRODUCE
from transaction_messages import END_TXN, TXN_OFFSET_COMMIT
from transactions import (INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE, PRODUCER_FENCED, READ_UNCOMMITTED, RawTransaction,
                          group_offsets, latest, values_at)


@pytest.fixture
def made(broker, topic):
    broker.create_topic(topic, 2)
    return topic


@pytest.fixture
def producer(broker, made):
    with RawTransaction(broker, made) as opened:
        yield opened


def test_the_broker_says_which_transaction_version_it_speaks(connection):
    reply = connection.ask(API_VERSIONS, 4, client_software_name="wire", client_software_version="1")
    table = {k.api_key: k.max_version for k in reply.api_keys}
    features = {f.name: f.max_version_level for f in reply.finalized_features}
    supported = {f.name: (f.min_version, f.max_version) for f in reply.supported_features}
    assert features["transaction.version"] == 2 and supported["transaction.version"][1] == 2
    assert table[0] >= 12 and table[26] == 5 and table[28] == 5


def test_each_end_bumps_the_epoch(producer, made):
    epochs = [producer.epoch]
    for commit in (True, False, True):
        producer.send(made, [b"x"])
        reply = producer.end(commit)
        assert (reply.error_code, reply.producer_id) == (0, producer.producer_id)
        epochs.append(reply.producer_epoch)
    assert epochs == list(range(epochs[0], epochs[0] + 4))


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "abort"])
def test_an_end_whose_answer_was_lost_is_answered_again(producer, connection, made, commit):
    producer.send(made, [b"x"])
    old = producer.identity()
    first = producer.end(commit)
    again = connection.ask(END_TXN, 5, **old, committed=commit)
    assert (again.error_code, again.producer_id, again.producer_epoch) == (0, first.producer_id, first.producer_epoch)
    assert connection.ask(END_TXN, 5, **old, committed=not commit).error_code == INVALID_TXN_STATE
    assert latest(connection, made, isolation=READ_UNCOMMITTED) == 2, "one marker, not two"


@pytest.mark.parametrize("late", [True, False], ids=["late-commit", "late-abort"])
@pytest.mark.parametrize("first", [True, False], ids=["after-commit", "after-abort"])
def test_a_late_end_never_acts_on_the_next_transaction(producer, connection, made, first, late):
    producer.send(made, [b"first"])
    old = producer.identity()
    assert producer.end(first).error_code == 0
    producer.send(made, [b"second"])
    assert connection.ask(END_TXN, 5, **old, committed=late).error_code == PRODUCER_FENCED
    assert connection.ask(END_TXN, 4, **old, committed=late).error_code == PRODUCER_FENCED
    assert values_at(connection, made) == ([b"first"] if first else [])
    producer.send(made, [b"third"], 1)
    assert producer.end(not late).error_code == 0
    assert connection.ask(END_TXN, 5, **old, committed=late).error_code == PRODUCER_FENCED
    assert [values_at(connection, made, p) for p in (0, 1)] == (
        [[b"first"] * first, []] if late else [[b"first"] * first + [b"second"], [b"third"]])


def test_a_late_batch_is_in_no_transaction(producer, connection, made):
    late = [producer.produce_values(made, [b"first"], 0, sequence=0), producer.produce_values(made, [b"late"], 0, sequence=1),
            producer.produce_values(made, [b"late"], 1, sequence=0)]
    producer.send(made, [b"first"])
    producer.commit()

    def refused():
        codes = [connection.ask(PRODUCE, 12, **request).responses[0].partition_responses[0].error_code for request in late]
        return codes == [INVALID_PRODUCER_EPOCH] * 3

    assert refused(), "nobody's transaction is open"
    producer.send(made, [b"second"])
    producer.send(made, [b"second"], 1)
    assert refused(), "the next transaction is open in the same partitions"
    producer.commit()
    assert refused()
    assert [values_at(connection, made, p) for p in (0, 1)] == [[b"first", b"second"], [b"second"]]
    assert [latest(connection, made, p, READ_UNCOMMITTED) for p in (0, 1)] == [4, 2]


def test_a_late_offset_commit_is_in_no_transaction(producer, connection, made):
    group = made
    producer.send_offsets(group, {(made, 0): 1})
    late = dict(**producer.identity(), group_id=group, topics=[dict(name=made, partitions=[
        dict(partition_index=0, committed_offset=99, committed_metadata="")])])
    producer.commit()
    producer.send_offsets(group, {(made, 0): 2})
    reply = connection.ask(TXN_OFFSET_COMMIT, 5, **late)
    assert reply.topics[0].partitions[0].error_code == INVALID_PRODUCER_EPOCH
    producer.commit()
    assert group_offsets(connection, group, made) == {0: (2, 0)}


def test_a_batch_that_overtakes_the_end_before_it_waits_its_turn(producer, connection, made):
    """The next transaction's first batch on another connection, sent before the client has the answer to its end."""
    producer.send(made, [b"first"])
    ahead = producer.produce_values(made, [b"second"], 0, sequence=0, producer_epoch=producer.epoch + 1)
    reply = connection.ask(PRODUCE, 12, **ahead).responses[0].partition_responses[0]
    assert reply.error_code == INVALID_PRODUCER_EPOCH, "nobody has been given this epoch yet"
    producer.commit()
    reply = connection.ask(PRODUCE, 12, **ahead).responses[0].partition_responses[0]
    assert reply.error_code == 0
    producer.commit()
    assert values_at(connection, made) == [b"first", b"second"]


def test_an_abort_with_nothing_to_abort_still_gives_a_fresh_epoch(producer, connection, made):
    before = producer.epoch
    producer.abort()
    assert producer.epoch == before + 1
    producer.send(made, [b"x"])
    producer.commit()
    assert values_at(connection, made) == [b"x"]


@pytest.mark.parametrize("version", range(5))
def test_older_ends_keep_the_epoch_and_know_a_repetition_by_its_outcome(broker, connection, made, version):
    with RawTransaction(broker, made, implicit=False) as producer:
        epoch = producer.epoch
        for number, commit in enumerate((True, False)):
            producer.send(made, [b"%d" % number])
            assert producer.end(commit, version=version).error_code == 0
            assert producer.end(commit, version=version).error_code == 0
            assert producer.end(not commit, version=version).error_code == INVALID_TXN_STATE
            assert producer.epoch == epoch
    assert values_at(connection, made) == [b"0"]
    assert latest(connection, made, isolation=READ_UNCOMMITTED) == 4


def test_a_producer_may_change_from_one_protocol_to_the_other(producer, connection, made):
    producer.send(made, [b"new"])
    producer.commit()
    producer.implicit = False
    producer.send(made, [b"old"])
    producer.commit()
    producer.implicit = True
    producer.send(made, [b"new again"])
    producer.commit()
    assert values_at(connection, made) == [b"new", b"old", b"new again"]
