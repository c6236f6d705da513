"""Judges: transactions on the wire, in both protocols — what a transaction makes visible and when, and who may take part."""

import pytest

from messages import INIT_PRODUCER_ID, PRODUCE
from records import batch, batches
from transaction_messages import ADD_PARTITIONS_TO_TXN, END_TXN
from transactions import (CONTROL, ILLEGAL_GENERATION, INVALID_GROUP_ID, INVALID_PRODUCER_EPOCH,
                          INVALID_PRODUCER_ID_MAPPING, INVALID_REQUEST, INVALID_TRANSACTION_TIMEOUT, INVALID_TXN_STATE,
                          OPERATION_NOT_ATTEMPTED, OUT_OF_ORDER_SEQUENCE_NUMBER, PRODUCER_FENCED, READ_COMMITTED,
                          READ_UNCOMMITTED, TRANSACTION_ABORTABLE, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, UNKNOWN_MEMBER_ID,
                          UNKNOWN_TOPIC_OR_PARTITION, UNSTABLE_OFFSET_COMMIT, RawTransaction, describe, fetch_at, group_offsets, latest, read, values_at)
from wire_requests import produce

GROUP = "a-group"


@pytest.fixture
def made(broker, topic):
    broker.create_topic(topic, 3)
    return topic


@pytest.fixture(params=[False, True], ids=["added", "implicit"])
def producer(request, broker, made):
    with RawTransaction(broker, made, implicit=request.param) as opened:
        yield opened


def test_a_commit_makes_all_partitions_visible_at_once(connection, made, producer):
    for partition in range(3):
        producer.send(made, [b"a", b"b"], partition)
    for partition in range(3):
        assert values_at(connection, made, partition) == []
        assert values_at(connection, made, partition, READ_UNCOMMITTED) == [b"a", b"b"]
    producer.commit()
    for partition in range(3):
        assert values_at(connection, made, partition) == [b"a", b"b"]
        assert latest(connection, made, partition) == 3, "the marker has an offset of its own"


def test_an_abort_leaves_nothing_for_read_committed(connection, made, producer):
    producer.send(made, [b"gone", b"too"])
    producer.abort()
    producer.send(made, [b"kept"])
    producer.commit()
    assert read(connection, made) == [(3, b"kept")]
    assert read(connection, made, isolation=READ_UNCOMMITTED) == [(0, b"gone"), (1, b"too"), (3, b"kept")]


def test_read_committed_ends_where_the_oldest_open_transaction_begins(broker, connection, made, producer):
    produce(connection, made, batch([b"0"]))
    producer.send(made, [b"1"])
    produce(connection, made, batch([b"2"]))
    with RawTransaction(broker, made + "-other") as other:
        other.send(made, [b"3"])
        other.commit()
        assert (latest(connection, made), latest(connection, made, isolation=READ_UNCOMMITTED)) == (1, 5)
        part = fetch_at(connection, made)
        assert (part.last_stable_offset, part.high_watermark, part.error_code) == (1, 5, 0)
        assert [b.last_offset for b in batches(part.records)] == [0]
        part = fetch_at(connection, made, isolation=READ_UNCOMMITTED)
        assert (part.last_stable_offset, part.high_watermark) == (1, 5)
        assert not part.aborted_transactions and batches(part.records)[-1].last_offset == 4
        assert fetch_at(connection, made, offset=3).records in (None, b"")
        producer.commit()
        assert values_at(connection, made) == [b"0", b"1", b"2", b"3"]
        assert latest(connection, made) == 6


def test_a_fetch_names_the_aborted_transactions_of_its_range(broker, connection, made, producer):
    producer.send(made, [b"0", b"1"])
    producer.abort()
    with RawTransaction(broker, made + "-other") as other:
        other.send(made, [b"3"])
        producer.send(made, [b"4"])
        other.abort()
        producer.commit()

        def aborted(offset, isolation=READ_COMMITTED):
            part = fetch_at(connection, made, offset, isolation=isolation)
            return [(a.producer_id, a.first_offset) for a in part.aborted_transactions or []]

        mine, others = (producer.producer_id, 0), (other.producer_id, 3)
        assert sorted(aborted(0)) == sorted([mine, others])
        assert others in aborted(4) and mine not in aborted(4)
        assert aborted(6) == []
        assert aborted(0, READ_UNCOMMITTED) == []
    assert read(connection, made) == [(4, b"4")]


def test_markers_are_control_batches_of_their_own(connection, made, producer):
    epochs = [producer.epoch]
    producer.send(made, [b"x"])
    producer.commit()
    epochs.append(producer.epoch)
    producer.send(made, [b"y"])
    producer.abort()
    markers = [b for b in batches(fetch_at(connection, made).records) if b.attributes & CONTROL]
    assert [b.base_offset for b in markers] == [1, 3]
    for marker, kind in zip(markers, (1, 0)):
        assert marker.attributes & 0x30 == 0x30 and marker.count == 1 and marker.base_sequence == -1
        assert marker.producer_id == producer.producer_id and marker.producer_epoch >= epochs[0]
        # The record: length, attributes, two deltas, key length 4, then version 0 and type (0 abort, 1 commit).
        assert marker.data[61 + 5:61 + 9] == bytes([0, 0, 0, kind])


def test_offsets_become_visible_with_the_commit_and_vanish_with_the_abort(connection, made, producer):
    group = f"{GROUP}-{made}"
    producer.send_offsets(group, {(made, 0): 5, (made, 1): 7})
    assert group_offsets(connection, group, made, (0, 1)) == {0: (-1, 0), 1: (-1, 0)}
    assert group_offsets(connection, group, made, stable=True)[0][1] == UNSTABLE_OFFSET_COMMIT
    producer.commit()
    for stable in (False, True):
        assert group_offsets(connection, group, made, (0, 1), stable=stable) == {0: (5, 0), 1: (7, 0)}
    producer.send(made, [b"x"])
    producer.send_offsets(group, {(made, 0): 50})
    assert group_offsets(connection, group, made) == {0: (5, 0)}
    assert group_offsets(connection, group, made, (0, 1), stable=True) == {0: (-1, UNSTABLE_OFFSET_COMMIT), 1: (7, 0)}
    producer.abort()
    assert group_offsets(connection, group, made, stable=True) == {0: (5, 0)}


def test_the_last_of_a_transactions_offsets_counts(connection, made, producer):
    group = f"{GROUP}-{made}"
    for offset in (5, 9, 6):
        producer.send_offsets(group, {(made, 0): offset})
    producer.commit()
    assert group_offsets(connection, group, made) == {0: (6, 0)}


def test_an_offset_commit_of_a_member_that_is_none(connection, made, producer):
    group = f"{GROUP}-{made}"
    if not producer.implicit:
        assert producer.add_offsets(group) == 0
    for member in (dict(member_id="nobody", generation_id=7), dict(generation_id=7)):
        assert producer.commit_offsets(group, {(made, 0): 5}, member=member)[0] in (UNKNOWN_MEMBER_ID, ILLEGAL_GENERATION)
    producer.send(made, [b"x"])
    producer.commit()
    assert group_offsets(connection, group, made) == {0: (-1, 0)}


def test_a_group_without_a_name_takes_no_offsets(made, producer):
    if producer.implicit:
        assert producer.commit_offsets("", {(made, 0): 5}) == [INVALID_GROUP_ID]
    else:
        assert producer.add_offsets("") == INVALID_GROUP_ID


def test_the_same_batch_again_is_answered_with_its_offset(connection, made, producer):
    assert producer.send(made, [b"a", b"b"]) == 0
    again = producer.produce(made, [b"a", b"b"], sequence=0)
    assert (again.error_code, again.base_offset) == (0, 0)
    producer.commit()
    assert values_at(connection, made) == [b"a", b"b"]


def test_numbers_of_an_aborted_batch_are_not_taken_for_it(broker, connection, made):
    """librdkafka numbers other records alike, when it aborted before it had the batch's answer: they must not be acknowledged as it."""
    with RawTransaction(broker, f"{made}-older", implicit=False) as producer:
        producer.send(made, [b"given up"])
        producer.abort()
        assert producer.add(made) == [0]
        assert producer.produce(made, [b"another"], sequence=0).error_code == OUT_OF_ORDER_SEQUENCE_NUMBER
        producer.abort()
        assert producer.init() == 0
        producer.send(made, [b"another"])
        producer.commit()
    assert values_at(connection, made) == [b"another"]


def test_the_next_incarnation_aborts_what_is_open_and_fences(broker, connection, made, producer):
    group = f"{GROUP}-{made}"
    producer.send(made, [b"old"])
    producer.send_offsets(group, {(made, 0): 5})
    with RawTransaction(broker, made, implicit=producer.implicit) as successor:
        assert successor.producer_id == producer.producer_id and successor.epoch > producer.epoch
        assert values_at(connection, made) == [] and latest(connection, made) == 2
        assert group_offsets(connection, group, made, stable=True) == {0: (-1, 0)}
        assert producer.produce(made, [b"zombie"], sequence=1).error_code == INVALID_PRODUCER_EPOCH
        assert producer.end(True).error_code == PRODUCER_FENCED
        assert producer.end(False).error_code == PRODUCER_FENCED
        assert producer.commit_offsets(group, {(made, 0): 5}) == [INVALID_PRODUCER_EPOCH]
        assert producer.add(made) == [PRODUCER_FENCED]
        assert producer.add_offsets(group) == PRODUCER_FENCED
        assert producer.init(producer_id=producer.producer_id, producer_epoch=producer.epoch) == PRODUCER_FENCED
        successor.send(made, [b"new"])
        assert producer.end(False).error_code == PRODUCER_FENCED
        successor.commit()
    assert values_at(connection, made) == [b"new"]


def test_clients_that_do_not_know_producer_fenced_are_told_of_the_epoch(broker, made):
    """PRODUCER_FENCED came with AddPartitionsToTxn 2, AddOffsetsToTxn 2, EndTxn 2 and InitProducerId 4 (KIP-588)."""
    with RawTransaction(broker, made, implicit=False) as zombie, RawTransaction(broker, made, implicit=False):
        for version in range(4):
            expected = INVALID_PRODUCER_EPOCH if version < 2 else PRODUCER_FENCED
            assert zombie.add(made, version=version) == [expected]
            assert zombie.add_offsets(GROUP, version=version) == expected
            assert zombie.end(True, version=version).error_code == expected
        claim = dict(producer_id=zombie.producer_id, producer_epoch=zombie.epoch)
        assert [zombie.init(version, **claim) for version in (3, 4)] == [INVALID_PRODUCER_EPOCH, PRODUCER_FENCED]


def test_a_producer_id_that_is_not_the_ids_own(made, producer):
    stranger = dict(producer_id=producer.producer_id + 1_000_000)
    assert producer.add(made, **stranger) == [INVALID_PRODUCER_ID_MAPPING]
    assert producer.add_offsets(GROUP, **stranger) == INVALID_PRODUCER_ID_MAPPING
    assert producer.commit_offsets(GROUP, {(made, 0): 1}, **stranger) == [INVALID_PRODUCER_ID_MAPPING]
    assert producer.end(True, **stranger).error_code == INVALID_PRODUCER_ID_MAPPING
    assert producer.produce(made, [b"x"], **stranger).error_code == INVALID_PRODUCER_ID_MAPPING
    unknown = dict(transactional_id=made + "-none")
    assert producer.add(made, **unknown) == [INVALID_PRODUCER_ID_MAPPING]
    assert producer.end(False, **unknown).error_code == INVALID_PRODUCER_ID_MAPPING


def test_nothing_is_ended_that_has_not_begun(producer):
    assert producer.end(True).error_code == INVALID_TXN_STATE


def test_writes_outside_a_transaction_are_refused(broker, connection, made):
    with RawTransaction(broker, made, implicit=False) as producer:
        # Not added: not to any transaction, and not to the one that is open.
        for version, code in ((9, INVALID_TXN_STATE), (10, INVALID_TXN_STATE), (11, TRANSACTION_ABORTABLE)):
            assert producer.produce(made, [b"x"], version=version).error_code == code
        assert producer.add(made, [1]) == [0]
        assert producer.produce(made, [b"x"], 0).error_code == TRANSACTION_ABORTABLE
        assert producer.commit_offsets(GROUP, {(made, 0): 1}) == [INVALID_TXN_STATE]
        producer.abort()
        assert producer.produce(made, [b"x"], 1).error_code == TRANSACTION_ABORTABLE
    assert [latest(connection, made, p, READ_UNCOMMITTED) for p in (0, 2)] == [0, 0]


def test_a_transactional_batch_without_a_transactional_id(made, producer):
    """Kafka checks whether a client may use the id, and nobody may use none."""
    assert producer.produce(made, [b"x"], transactional_id=None).error_code == TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def test_a_plain_batch_of_the_producer_in_its_open_transaction_is_refused(connection, made, producer):
    producer.send(made, [b"a"])
    assert producer.produce(made, [b"plain"], sequence=1, transactional=False).error_code == INVALID_TXN_STATE
    producer.commit()
    assert values_at(connection, made) == [b"a"]


def test_partitions_are_added_all_or_none(broker, made):
    with RawTransaction(broker, made, implicit=False) as producer:
        reply = producer.connection.ask(ADD_PARTITIONS_TO_TXN, 3, **producer.identity(), topics=[
            dict(name=made, partitions=[0, 99]), dict(name=made + "-none", partitions=[0])])
        codes = {(t.name, p.partition_index): p.partition_error_code
                 for t in reply.results_by_topic for p in t.results_by_partition}
        assert codes == {(made, 0): OPERATION_NOT_ATTEMPTED, (made, 99): UNKNOWN_TOPIC_OR_PARTITION,
                         (made + "-none", 0): UNKNOWN_TOPIC_OR_PARTITION}
        assert producer.end(True).error_code == INVALID_TXN_STATE, "nothing has begun"


def test_brokers_ask_for_several_transactions_at_once(broker, connection, made):
    """Version 4: to add, or only to ask whether a partition is in the transaction."""
    with RawTransaction(broker, made, implicit=False) as first, RawTransaction(broker, made + "-2", implicit=False) as second:
        assert first.add(made, [0]) == [0]

        def ask(version, *transactions):
            reply = connection.ask(ADD_PARTITIONS_TO_TXN, version, transactions=list(transactions))
            assert reply.error_code == 0
            return {(t.transactional_id, p.partition_index): p.partition_error_code for t in reply.results_by_transaction
                    for topic in t.topic_results for p in topic.results_by_partition}

        only_ask = first.identity(verify_only=True) | dict(topics=[dict(name=made, partitions=[0, 1])])
        add = second.identity() | dict(topics=[dict(name=made, partitions=[1])])
        for version in (4, 5):
            codes = ask(version, only_ask, add)
            assert (codes[(first.id, 0)], codes[(second.id, 1)]) == (0, 0)
            assert codes[(first.id, 1)] in (TRANSACTION_ABORTABLE, INVALID_TXN_STATE)
        assert second.produce(made, [b"x"], 1).error_code == 0


@pytest.mark.parametrize("timeout, code", [(0, INVALID_TRANSACTION_TIMEOUT), (-1, INVALID_TRANSACTION_TIMEOUT),
                                           (900_001, INVALID_TRANSACTION_TIMEOUT), (900_000, 0), (1, 0)])
def test_timeouts_are_those_that_the_broker_allows(connection, topic, timeout, code):
    for version in range(6):
        reply = connection.ask(INIT_PRODUCER_ID, version, transactional_id=topic, transaction_timeout_ms=timeout)
        assert reply.error_code == code


def test_an_empty_transactional_id_is_an_invalid_request(connection):
    reply = connection.ask(INIT_PRODUCER_ID, 4, transactional_id="", transaction_timeout_ms=1000)
    assert (reply.error_code, reply.producer_id, reply.producer_epoch) == (INVALID_REQUEST, -1, -1)


def test_init_again_with_what_one_has_bumps_the_epoch(broker, topic):
    """KIP-360: after an error a producer asks for a new epoch, and its answer may get lost."""
    with RawTransaction(broker, topic) as producer:
        claim = dict(producer_id=producer.producer_id, producer_epoch=producer.epoch)
        first = producer.epoch
        assert producer.init(**claim) == 0 and producer.epoch == first + 1
        assert producer.init(**claim) == 0 and producer.epoch == first + 1, "the same request again has the same answer"
        assert producer.init(producer_id=claim["producer_id"], producer_epoch=-1) == INVALID_REQUEST


def test_transactions_one_after_the_other_without_a_wait(connection, made, producer):
    """CONCURRENT_TRANSACTIONS is for an end that is under way; in one store none ever is."""
    for number in range(100):
        producer.send(made, [b"%d" % number], number % 3)
        assert producer.end(number % 4 != 3).error_code == 0
    found = sorted(int(v) for p in range(3) for v in values_at(connection, made, p))
    assert found == [n for n in range(100) if n % 4 != 3]


def test_a_pipeline_of_a_whole_transaction(broker, connection, made):
    """Requests sent without waiting for replies take effect in their order."""
    with RawTransaction(broker, made) as producer:
        sent = [producer.connection.send(PRODUCE, 12, **producer.produce_values(made, [b"%d" % i], sequence=i, partition=0))
                for i in range(20)]
        end = producer.connection.send(END_TXN, 5, **producer.identity(), committed=True)
        replies = [producer.connection.receive(PRODUCE, 12, c).responses[0].partition_responses[0] for c in sent]
        assert [(r.error_code, r.base_offset) for r in replies] == [(0, i) for i in range(20)]
        assert producer.connection.receive(END_TXN, 5, end).error_code == 0
    assert values_at(connection, made) == [b"%d" % i for i in range(20)]


def test_an_open_transaction_is_described(connection, made, producer):
    producer.send(made, [b"x"], 2)
    state = describe(connection, made)
    assert (state.error_code, state.transaction_state) == (0, "Ongoing")
    producer.abort()
    assert describe(connection, made).transaction_state == "CompleteAbort"
