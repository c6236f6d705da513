"""Judges: a broker that goes away between any two steps of a transaction, in good order or not, changes nothing of it."""

import pytest

from broker import verify
from messages import PRODUCE
from transaction_messages import END_TXN
from transactions import (INVALID_TXN_STATE, PRODUCER_FENCED, UNSTABLE_OFFSET_COMMIT, RawTransaction, active_producers,
                          describe, group_offsets, latest, list_transactions, read, values_at)
from waiting import wait_for


class Story:
    """One transaction over two partitions and a group, step by step."""

    STEPS = ["initialised", "first_partition", "second_partition", "offsets", "more_records", "ended"]

    def __init__(self, broker, topic, implicit, commit):
        self.broker, self.topic, self.commit, self.group = broker, topic, commit, topic
        self.producer = RawTransaction(broker, topic, implicit=implicit, init=False)

    def initialised(self):
        assert self.producer.init() == 0

    def first_partition(self):
        self.producer.send(self.topic, [b"a", b"b"], 0)

    def second_partition(self):
        self.producer.send(self.topic, [b"c"], 1)

    def offsets(self):
        self.producer.send_offsets(self.group, {(self.topic, 0): 7})

    def more_records(self):
        assert self.producer.produce(self.topic, [b"d"], 0).error_code == 0

    def ended(self):
        assert self.producer.end(self.commit).error_code == 0

    def restart(self, how):
        """Checks what a reader sees before and after: the same."""
        before = self.seen()
        getattr(self.broker, how)()
        verify(self.broker.directory)
        self.broker.start()
        self.producer.reconnect()
        assert self.seen() == before

    def seen(self):
        with self.broker.connect() as connection:
            open_at = {p: {i: s.current_txn_start_offset for i, s in active_producers(connection, self.topic, p).items()}
                       for p in (0, 1)}
            return ([read(connection, self.topic, p, isolation) for p in (0, 1) for isolation in (0, 1)],
                    [latest(connection, self.topic, p) for p in (0, 1)], open_at, describe(connection, self.topic),
                    group_offsets(connection, self.group, self.topic, stable=True))

    def check(self):
        committed = [[b"a", b"b", b"d"], [b"c"]] if self.commit else [[], []]
        with self.broker.connect() as connection:
            assert [values_at(connection, self.topic, p) for p in (0, 1)] == committed
            assert group_offsets(connection, self.group, self.topic, stable=True) == {0: (7 if self.commit else -1, 0)}
            assert list_transactions(connection, state_filters=["Ongoing"]).transaction_states == []
            self.producer.send(self.topic, [b"next"], 1)
            self.producer.commit()
            assert values_at(connection, self.topic, 1) == committed[1] + [b"next"]


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("commit", [True, False], ids=["commit", "abort"])
@pytest.mark.parametrize("implicit", [False, True], ids=["added", "implicit"])
def test_a_restart_after_every_step(start_broker, topic, implicit, commit, how):
    broker = start_broker()
    broker.create_topic(topic, 2)
    story = Story(broker, topic, implicit, commit)
    for step in Story.STEPS:
        getattr(story, step)()
        story.restart(how)
    story.check()


def test_a_kill_between_adding_and_writing(start_broker, topic):
    """What was added is still in the transaction; what was not added is not."""
    broker = start_broker()
    broker.create_topic(topic, 2)
    producer = RawTransaction(broker, topic, implicit=False)
    assert producer.add(topic, [0]) == [0] and producer.add_offsets(topic) == 0
    broker.kill()
    broker.start()
    producer.reconnect()
    assert producer.produce(topic, [b"x"]).error_code == 0
    assert producer.produce(topic, [b"x"], 1).error_code != 0
    assert producer.commit_offsets(topic, {(topic, 0): 3}) == [0]
    with broker.connect() as connection:
        assert group_offsets(connection, topic, topic, stable=True)[0][1] == UNSTABLE_OFFSET_COMMIT
        producer.commit()
        assert values_at(connection, topic) == [b"x"]
        assert group_offsets(connection, topic, topic, stable=True) == {0: (3, 0)}


@pytest.mark.parametrize("commit", [True, False], ids=["commit", "abort"])
@pytest.mark.parametrize("wait_for_answer", [True, False], ids=["answered", "lost"])
def test_an_end_is_repeated_after_a_kill(start_broker, topic, commit, wait_for_answer):
    """Carried out or not, the same request again ends the transaction as was asked, once, and no other."""
    broker = start_broker()
    broker.create_topic(topic)
    producer = RawTransaction(broker, topic)
    for number in range(5):
        producer.send(topic, [b"%d" % number])
        request = producer.identity()
        sent = producer.connection.send(END_TXN, 5, **request, committed=commit)
        if wait_for_answer:
            assert producer.connection.receive(END_TXN, 5, sent).error_code == 0
        broker.kill()
        broker.start()
        producer.reconnect()
        assert producer.end(commit).error_code == 0
        assert producer.connection.ask(END_TXN, 5, **request, committed=not commit).error_code == INVALID_TXN_STATE
    with broker.connect() as connection:
        assert values_at(connection, topic) == ([b"%d" % n for n in range(5)] if commit else [])
        assert latest(connection, topic) == 10, "one marker for each end"


def test_a_batch_is_repeated_after_a_kill(start_broker, topic):
    broker = start_broker()
    broker.create_topic(topic)
    producer = RawTransaction(broker, topic)
    for number in range(5):
        values = producer.produce_values(topic, [b"%d" % number], 0)
        producer.connection.send(PRODUCE, 12, **values)
        broker.kill()
        broker.start()
        producer.reconnect()
        reply = producer.produce(topic, [b"%d" % number])
        assert (reply.error_code, reply.base_offset) == (0, number)
    producer.commit()
    with broker.connect() as connection:
        assert read(connection, topic) == [(n, b"%d" % n) for n in range(5)]


def test_a_timeout_goes_on_while_the_broker_is_away(start_broker, topic):
    broker = start_broker()
    broker.create_topic(topic)
    producer = RawTransaction(broker, topic, timeout_ms=6000)
    producer.send(topic, [b"x"])
    broker.kill()
    broker.start()
    producer.reconnect()
    with broker.connect() as connection:
        assert describe(connection, topic).transaction_state == "Ongoing"
        wait_for(lambda: describe(connection, topic).transaction_state == "CompleteAbort", "the timeout ends it", 20)
        assert latest(connection, topic) == 2
    assert producer.end(True).error_code == PRODUCER_FENCED


def test_aborted_transactions_are_known_after_a_restart_and_sealing(start_broker, topic):
    """Enough data that what was aborted has long left the journal; readers are still told."""
    broker = start_broker({"lmbroker.journal.max.bytes": 4 << 20})
    broker.create_topic(topic)
    kept = []
    with RawTransaction(broker, topic) as producer:
        for number in range(120):
            value = b"%05d" % number + bytes(100_000)
            producer.send(topic, [value])
            assert producer.end(number % 3 == 0).error_code == 0
            if number % 3 == 0:
                kept.append(value[:5])
    for how in ("kill", "stop"):
        getattr(broker, how)()
        verify(broker.directory)
        broker.start()
        with broker.connect() as connection:
            assert [v[:5] for v in values_at(connection, topic)] == kept


def test_ids_that_only_look_the_same_are_two(start_broker, topic):
    """Kafka compares bytes; neither spelling may fence the other, or be taken for it after a restart."""
    broker = start_broker()
    broker.create_topic(topic)
    composed, decomposed = RawTransaction(broker, "caf\u00e9"), RawTransaction(broker, "cafe\u0301")
    assert composed.producer_id != decomposed.producer_id
    for producer in (composed, decomposed):
        producer.send(topic, [producer.id.encode()])
    decomposed.commit()
    broker.kill()
    verify(broker.directory)
    broker.start()
    with broker.connect() as connection:
        assert [found.error_code for found in describe(connection, composed.id, decomposed.id)] == [0, 0]
        states = {s.transactional_id: s.transaction_state for s in list_transactions(connection).transaction_states}
        assert states == {composed.id: "Ongoing", decomposed.id: "CompleteCommit"}
        for producer in (composed, decomposed):
            producer.reconnect()
        composed.commit()
        decomposed.send(topic, [b"again"])
        decomposed.commit()
        assert sorted(values_at(connection, topic)) == sorted([composed.id.encode(), decomposed.id.encode(), b"again"])
    composed.close()
    decomposed.close()
