"""Judges: confluent-kafka's transactional producer and its consumers with both isolation levels."""

import threading

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from confluent import admin, create, produce_all, producer, read_topic, result
from transactions import describe, group_offsets, latest
from waiting import wait_for

BROKER_SETTINGS = {"group.initial.rebalance.delay.ms": 0}
SECONDS = 20


def transactional(broker, transactional_id, **options):
    client = producer(broker, transactional_id=transactional_id, **options)
    client.init_transactions(SECONDS)
    return client


def values(broker, topic, isolation="read_committed", partition=0):
    return [m.value() for m in read_topic(broker, topic, partition, isolation_level=isolation)]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_commits_and_aborts_in_each_codec(broker, topic, codec):
    create(broker, topic, 2)
    client = transactional(broker, topic, compression_type=codec)
    for number in range(6):
        client.begin_transaction()
        for i in range(100):
            client.produce(topic, b"%d:%d" % (number, i), partition=i % 2)
        (client.commit_transaction if number % 2 == 0 else client.abort_transaction)(SECONDS)
    for partition in range(2):
        assert values(broker, topic, partition=partition) == [b"%d:%d" % (n, i) for n in (0, 2, 4) for i in range(partition, 100, 2)]


def test_an_abort_after_a_flush_is_seen_by_read_uncommitted_alone(broker, topic):
    create(broker, topic)
    client = transactional(broker, topic)
    for commit in (False, True):
        client.begin_transaction()
        client.produce(topic, b"%d" % commit)
        assert client.flush(SECONDS) == 0
        (client.commit_transaction if commit else client.abort_transaction)(SECONDS)
    assert values(broker, topic) == [b"1"]
    assert values(broker, topic, "read_uncommitted") == [b"0", b"1"]


def test_an_open_transaction_holds_read_committed_back(broker, topic):
    create(broker, topic)
    client = transactional(broker, topic)
    client.begin_transaction()
    client.produce(topic, b"open")
    assert client.flush(SECONDS) == 0
    produce_all(producer(broker), topic, [b"plain"])
    with broker.connect() as connection:
        assert latest(connection, topic) == 0
    assert values(broker, topic) == []
    client.commit_transaction(SECONDS)
    assert values(broker, topic) == [b"open", b"plain"]


def test_list_offsets_by_isolation_level(broker, topic):
    from confluent_kafka import IsolationLevel
    create(broker, topic)
    client = transactional(broker, topic)
    client.begin_transaction()
    client.produce(topic, b"x")
    assert client.flush(SECONDS) == 0
    where = TopicPartition(topic, 0)

    def end(level):
        futures = admin(broker).list_offsets({where: OffsetSpec.latest()}, isolation_level=level)
        return result(futures[where]).offset

    assert (end(IsolationLevel.READ_COMMITTED), end(IsolationLevel.READ_UNCOMMITTED)) == (0, 1)
    client.commit_transaction(SECONDS)
    assert (end(IsolationLevel.READ_COMMITTED), end(IsolationLevel.READ_UNCOMMITTED)) == (2, 2)


def group_consumer(broker, group, topic, **options):
    client = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": group, "enable.auto.commit": False,
                       "auto.offset.reset": "earliest", "isolation.level": "read_committed"} |
                      {k.replace("_", "."): v for k, v in options.items()})
    client.subscribe([topic])
    return client


def poll_some(client, count):
    messages = []
    wait_for(lambda: messages.extend(m for m in client.consume(count - len(messages), 0.2) if not m.error())
             or len(messages) == count, f"{count} records", 30, 0)
    return messages


def send_offsets(client, group, messages):
    ends = {(m.topic(), m.partition()): m.offset() + 1 for m in messages}
    client.send_offsets_to_transaction([TopicPartition(t, p, o) for (t, p), o in ends.items()], group.consumer_group_metadata(), SECONDS)


@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_consume_transform_produce(broker, topic, protocol):
    """Aborted rounds are done again from the committed offset; each input has one output in the end."""
    source, target, group = topic, topic + "-out", topic
    create(broker, source, 2)
    create(broker, target, 2)
    feeder = producer(broker)
    for i in range(200):
        feeder.produce(source, b"%d" % i, partition=i % 2)
    assert feeder.flush(SECONDS) == 0
    consumer = group_consumer(broker, group, source, group_protocol=protocol)
    client = transactional(broker, topic)
    done, rounds = 0, 0
    while done < 200:
        messages = poll_some(consumer, 20)
        client.begin_transaction()
        for message in messages:
            client.produce(target, b"out " + message.value(), partition=message.partition())
        send_offsets(client, consumer, messages)
        rounds += 1
        if rounds % 3 == 0:
            client.abort_transaction(SECONDS)
            for where in consumer.committed(consumer.assignment(), 10):
                where.offset = max(where.offset, 0)
                consumer.seek(where)
        else:
            client.commit_transaction(SECONDS)
            done += len(messages)
    with broker.connect() as connection:
        assert group_offsets(connection, group, source, (0, 1), stable=True) == {0: (100, 0), 1: (100, 0)}
    consumer.close()
    for partition in range(2):
        assert values(broker, target, partition=partition) == [b"out %d" % i for i in range(partition, 200, 2)]


def test_offsets_of_an_aborted_transaction_are_nowhere(broker, topic):
    create(broker, topic)
    produce_all(producer(broker), topic, [b"x"])
    consumer = group_consumer(broker, topic, topic)
    messages = poll_some(consumer, 1)
    client = transactional(broker, topic)
    client.begin_transaction()
    send_offsets(client, consumer, messages)
    client.abort_transaction(SECONDS)
    assert consumer.committed([TopicPartition(topic, 0)], 10)[0].offset < 0
    client.begin_transaction()
    send_offsets(client, consumer, messages)
    client.commit_transaction(SECONDS)
    assert consumer.committed([TopicPartition(topic, 0)], 10)[0].offset == 1
    consumer.close()


def test_a_member_that_was_replaced_cannot_send_its_offsets(broker, topic):
    """KIP-447: the group's generation fences a worker whose partitions have gone to another."""
    create(broker, topic)
    produce_all(producer(broker), topic, [b"x"])
    first = group_consumer(broker, topic, topic)
    messages = poll_some(first, 1)
    metadata = first.consumer_group_metadata()
    first.close()
    second = group_consumer(broker, topic, topic)
    poll_some(second, 1)
    client = transactional(broker, topic)
    client.begin_transaction()
    with pytest.raises(KafkaException) as failure:
        client.send_offsets_to_transaction([TopicPartition(topic, 0, messages[0].offset() + 1)], metadata, SECONDS)
    assert failure.value.args[0].txn_requires_abort()
    client.abort_transaction(SECONDS)
    assert second.committed([TopicPartition(topic, 0)], 10)[0].offset < 0
    second.close()


def test_a_second_producer_with_the_same_id_fences_the_first(broker, topic):
    create(broker, topic)
    first = transactional(broker, topic)
    first.begin_transaction()
    first.produce(topic, b"zombie")
    assert first.flush(SECONDS) == 0
    second = transactional(broker, topic)
    with pytest.raises(KafkaException) as failure:
        first.commit_transaction(SECONDS)
    assert failure.value.args[0].fatal() and failure.value.args[0].code() == KafkaError._FENCED
    second.begin_transaction()
    second.produce(topic, b"heir")
    second.commit_transaction(SECONDS)
    assert values(broker, topic) == [b"heir"]


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(broker, topic):
    create(broker, topic)
    client = transactional(broker, topic, transaction_timeout_ms=4000, message_timeout_ms=4000)
    client.begin_transaction()
    client.produce(topic, b"slow")
    assert client.flush(SECONDS) == 0
    with broker.connect() as connection:
        wait_for(lambda: describe(connection, topic).transaction_state == "CompleteAbort", "the timeout ends it")
        assert latest(connection, topic) == 2
    with pytest.raises(KafkaException) as failure:
        client.commit_transaction(SECONDS)
    assert failure.value.args[0].fatal() or failure.value.args[0].txn_requires_abort()
    assert values(broker, topic) == []
    heir = transactional(broker, topic)
    heir.begin_transaction()
    heir.produce(topic, b"quick")
    heir.commit_transaction(SECONDS)
    assert values(broker, topic) == [b"quick"]


def test_a_timeout_beyond_the_brokers_is_refused(broker, topic):
    client = producer(broker, transactional_id=topic, transaction_timeout_ms=900_001)
    with pytest.raises(KafkaException) as failure:
        client.init_transactions(SECONDS)
    assert failure.value.args[0].code() == KafkaError.INVALID_TRANSACTION_TIMEOUT


def test_a_producer_lives_through_restarts_of_the_broker(start_broker, topic):
    """Its transaction goes on where it was, whether the broker ended in good order or not."""
    broker = start_broker()
    create(broker, topic)
    client = transactional(broker, topic, reconnect_backoff_ms=20, reconnect_backoff_max_ms=200)
    for number, how in enumerate(("kill", "stop", "kill")):
        client.begin_transaction()
        client.produce(topic, b"%d before" % number)
        assert client.flush(SECONDS) == 0
        getattr(broker, how)()
        broker.start()
        client.produce(topic, b"%d after" % number)
        commit_patiently(client)
    assert values(broker, topic) == [b"%d %s" % (n, w) for n in range(3) for w in (b"before", b"after")]


def commit_patiently(client):
    while True:
        try:
            return client.commit_transaction(SECONDS)
        except KafkaException as exception:
            if not exception.args[0].retriable():
                raise


def test_many_producers_at_once(broker, topic):
    create(broker, topic, 4)
    failures = []

    def work(number):
        try:
            client = transactional(broker, f"{topic}-{number}")
            for round_number in range(20):
                client.begin_transaction()
                for partition in range(4):
                    client.produce(topic, b"%d:%d" % (number, round_number), partition=partition)
                (client.commit_transaction if round_number % 4 else client.abort_transaction)(SECONDS)
        except Exception as exception:  # noqa: BLE001 - told by the main thread
            failures.append(exception)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    for partition in range(4):
        read = values(broker, topic, partition=partition)
        for number in range(6):
            mine = [int(v.split(b":")[1]) for v in read if v.startswith(b"%d:" % number)]
            assert mine == [n for n in range(20) if n % 4]
