"""Judges: kafka-python's transactional producer, its consumers with both isolation levels, its admin client."""

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from transactions import group_offsets, latest

BROKER_SETTINGS = {"group.initial.rebalance.delay.ms": 0}


def transactional(broker, transactional_id, **options):
    client = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=transactional_id, **options)
    client.init_transactions()
    return client


def values(broker, topic, isolation="read_committed"):
    """What a consumer of that level gets up to where its log ends."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level=isolation, auto_offset_reset="none")
    where = TopicPartition(topic, 0)
    consumer.assign([where])
    consumer.seek(where, 0)
    end = consumer.end_offsets([where])[where]
    found = []
    while consumer.position(where) < end:
        for records in consumer.poll(timeout_ms=1000).values():
            found += [r.value for r in records]
    consumer.close()
    return found


@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
def test_commits_and_aborts(broker, topic, codec):
    broker.create_topic(topic)
    client = transactional(broker, topic, compression_type=codec)
    for number in range(4):
        client.begin_transaction()
        for i in range(50):
            client.send(topic, b"%d:%d" % (number, i), partition=0)
        client.flush(20)
        (client.commit_transaction if number % 2 == 0 else client.abort_transaction)()
    client.close()
    every = [b"%d:%d" % (n, i) for n in range(4) for i in range(50)]
    assert values(broker, topic) == [v for v in every if v[:1] in b"02"]
    assert values(broker, topic, "read_uncommitted") == every


def test_end_offsets_by_isolation_level(broker, topic):
    broker.create_topic(topic)
    client = transactional(broker, topic)
    client.begin_transaction()
    client.send(topic, b"x", partition=0).get(20)
    where = TopicPartition(topic, 0)
    for isolation, end in (("read_committed", 0), ("read_uncommitted", 1)):
        consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level=isolation)
        assert consumer.end_offsets([where])[where] == end
        consumer.close()
    assert values(broker, topic) == []
    client.commit_transaction()
    assert values(broker, topic) == [b"x"]
    client.close()


def test_consume_transform_produce(broker, topic):
    target = topic + "-out"
    broker.create_topic(topic)
    broker.create_topic(target)
    feeder = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for i in range(60):
        feeder.send(topic, b"%d" % i, partition=0)
    feeder.flush(20)
    feeder.close()
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, group_id=topic, enable_auto_commit=False,
                             auto_offset_reset="earliest", isolation_level="read_committed", max_poll_records=20)
    client = transactional(broker, topic)
    where, done, rounds = TopicPartition(topic, 0), 0, 0
    while done < 60:
        records = consumer.poll(timeout_ms=1000).get(where, [])
        if not records:
            continue
        rounds += 1
        client.begin_transaction()
        for record in records:
            client.send(target, b"out " + record.value, partition=0)
        offsets = {where: OffsetAndMetadata(records[-1].offset + 1, "", -1)}
        client.send_offsets_to_transaction(offsets, consumer.group_metadata())
        if rounds == 2:
            client.abort_transaction()
            consumer.seek(where, records[0].offset)
        else:
            client.commit_transaction()
            done += len(records)
    with broker.connect() as connection:
        assert group_offsets(connection, topic, topic, stable=True) == {0: (60, 0)}
    consumer.close()
    client.close()
    assert rounds > 2 and values(broker, target) == [b"out %d" % i for i in range(60)]


def test_a_second_producer_with_the_same_id_fences_the_first(broker, topic):
    broker.create_topic(topic)
    first = transactional(broker, topic)
    first.begin_transaction()
    first.send(topic, b"zombie", partition=0).get(20)
    second = transactional(broker, topic)
    with pytest.raises(KafkaError):
        first.send(topic, b"zombie", partition=0).get(20)
        first.commit_transaction()
    second.begin_transaction()
    second.send(topic, b"heir", partition=0)
    second.commit_transaction()
    second.close()
    first.close(timeout=1)
    assert values(broker, topic) == [b"heir"]


def test_a_timeout_beyond_the_brokers_is_refused(broker, topic):
    client = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic, transaction_timeout_ms=900_001)
    with pytest.raises(KafkaError, match="InvalidTransactionTimeout"):
        client.init_transactions()
    client.close(timeout=1)


def test_the_admin_client_shows_and_ends_transactions(broker, topic):
    broker.create_topic(topic)
    client = transactional(broker, topic)
    client.begin_transaction()
    client.send(topic, b"hanging", partition=0).get(20)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        described = admin.describe_transactions([topic])[topic]
        assert "Ongoing" in str(described)
        assert topic in str(admin.list_transactions())
        where = TopicPartition(topic, 0)
        states = admin.describe_producers([where])[where]
        state, = getattr(states, "active_producers", states)
        assert "0" in str(state)
        with broker.connect() as connection:
            assert latest(connection, topic) == 0
    finally:
        admin.close()
    client.abort_transaction()
    client.close()
    assert values(broker, topic) == []
