"""Judges: aiokafka's transactional producer and its consumers with both isolation levels."""

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from test_aiokafka import asynchronous
from transactions import group_offsets

BROKER_SETTINGS = {"group.initial.rebalance.delay.ms": 0}


async def transactional(broker, transactional_id, **options):
    client = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=transactional_id, **options)
    await client.start()
    return client


async def values(broker, topic, isolation="read_committed"):
    """What a consumer of that level gets up to where its log ends."""
    where = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, isolation_level=isolation, auto_offset_reset="none",
                                enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([where])
        consumer.seek(where, 0)
        end = (await consumer.end_offsets([where]))[where]
        found = []
        while await consumer.position(where) < end:
            found += [r.value for r in (await consumer.getmany(where, timeout_ms=500)).get(where, [])]
        return found
    finally:
        await consumer.stop()


@pytest.mark.parametrize("codec", [None, "gzip", "zstd"])
@asynchronous
async def test_commits_and_aborts(broker, topic, codec):
    broker.create_topic(topic)
    client = await transactional(broker, topic, compression_type=codec)
    for number in range(4):
        await client.begin_transaction()
        for i in range(50):
            await client.send(topic, b"%d:%d" % (number, i), partition=0)
        await client.flush()
        await (client.commit_transaction if number % 2 == 0 else client.abort_transaction)()
    await client.stop()
    every = [b"%d:%d" % (n, i) for n in range(4) for i in range(50)]
    assert await values(broker, topic) == [v for v in every if v[:1] in b"02"]
    assert await values(broker, topic, "read_uncommitted") == every


@asynchronous
async def test_the_context_aborts_on_an_exception(broker, topic):
    broker.create_topic(topic)
    client = await transactional(broker, topic)
    with pytest.raises(ZeroDivisionError):
        async with client.transaction():
            await client.send_and_wait(topic, b"lost", partition=0)
            raise ZeroDivisionError
    async with client.transaction():
        await client.send_and_wait(topic, b"kept", partition=0)
    await client.stop()
    assert await values(broker, topic) == [b"kept"]


@asynchronous
async def test_an_open_transaction_holds_read_committed_back(broker, topic):
    broker.create_topic(topic)
    client = await transactional(broker, topic)
    async with client.transaction():
        await client.send_and_wait(topic, b"open", partition=0)
        assert await values(broker, topic) == []
        assert await values(broker, topic, "read_uncommitted") == [b"open"]
    assert await values(broker, topic) == [b"open"]
    await client.stop()


@asynchronous
async def test_consume_transform_produce(broker, topic):
    target, where = topic + "-out", TopicPartition(topic, 0)
    broker.create_topic(topic)
    broker.create_topic(target)
    client = await transactional(broker, topic)
    async with client.transaction():
        for i in range(60):
            await client.send(topic, b"%d" % i, partition=0)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker.bootstrap, group_id=topic, enable_auto_commit=False,
                                auto_offset_reset="earliest", isolation_level="read_committed", max_poll_records=20)
    await consumer.start()
    done, rounds = 0, 0
    while done < 60:
        records = (await consumer.getmany(where, timeout_ms=1000)).get(where, [])
        if not records:
            continue
        rounds += 1
        await client.begin_transaction()
        for record in records:
            await client.send(target, b"out " + record.value, partition=0)
        await client.send_offsets_to_transaction({where: records[-1].offset + 1}, topic)
        if rounds == 2:
            await client.abort_transaction()
            consumer.seek(where, records[0].offset)
        else:
            await client.commit_transaction()
            done += len(records)
    with broker.connect() as connection:
        assert group_offsets(connection, topic, topic, stable=True) == {0: (60, 0)}
    await consumer.stop()
    await client.stop()
    assert rounds > 2 and await values(broker, target) == [b"out %d" % i for i in range(60)]


@asynchronous
async def test_a_second_producer_with_the_same_id_fences_the_first(broker, topic):
    broker.create_topic(topic)
    first = await transactional(broker, topic)
    await first.begin_transaction()
    await first.send_and_wait(topic, b"zombie", partition=0)
    second = await transactional(broker, topic)
    with pytest.raises((ProducerFenced, KafkaError)):
        await first.commit_transaction()
    async with second.transaction():
        await second.send_and_wait(topic, b"heir", partition=0)
    await second.stop()
    await first.stop()
    assert await values(broker, topic) == [b"heir"]
