"""Judges: aiokafka — producer with each codec, assign-based consumer, admin client."""

import asyncio
import functools

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError, OffsetOutOfRangeError


def asynchronous(test):
    """Runs a coroutine test in a loop of its own, with an end."""
    @functools.wraps(test)
    def run(*arguments, **options):
        asyncio.run(asyncio.wait_for(test(*arguments, **options), 60))
    return run


async def create(broker, topic, partitions=1, **configs):
    async with Admin(broker) as admin:
        reply = await admin.create_topics([NewTopic(
            topic, partitions, 1, topic_configs={k.replace("_", "."): v for k, v in configs.items()})])
    assert reply.topic_errors[0][1] == 0, reply


class Admin:
    """aiokafka's admin client as a context that always closes."""

    def __init__(self, broker):
        self.client = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)

    async def __aenter__(self):
        await self.client.start()
        return self.client

    async def __aexit__(self, *_):
        await self.client.close()


async def read(broker, topic, count, offset=0, partition=0):
    where = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([where])
        consumer.seek(where, offset)
        records = []
        while len(records) < count:
            records += (await consumer.getmany(where, timeout_ms=1000)).get(where, [])
        assert (await consumer.end_offsets([where]))[where] == records[-1].offset + 1
        return records
    finally:
        await consumer.stop()


@pytest.mark.parametrize("idempotent", [False, True], ids=["plain", "idempotent"])
@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
@asynchronous
async def test_each_codec(broker, topic, codec, idempotent):
    await create(broker, topic)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=codec,
                                enable_idempotence=idempotent, linger_ms=5)
    await producer.start()
    futures = [await producer.send(topic, b"value %d" % i * 20, partition=0) for i in range(1000)]
    sent = await asyncio.gather(*futures)
    await producer.stop()
    assert [r.offset for r in sent] == list(range(1000))
    assert [r.value for r in await read(broker, topic, 1000)] == [b"value %d" % i * 20 for i in range(1000)]


@pytest.mark.parametrize("acks", [0, 1, "all"])
@asynchronous
async def test_each_acks(broker, topic, acks):
    await create(broker, topic)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks=acks)
    await producer.start()
    for i in range(100):
        await producer.send(topic, b"%d" % i, partition=0)
    await producer.flush()
    await producer.stop()
    assert [r.value for r in await read(broker, topic, 100)] == [b"%d" % i for i in range(100)]


@asynchronous
async def test_keys_headers_timestamps_and_nulls(broker, topic):
    await create(broker, topic)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    cases = [(b"k", b"v", [("a", b"1"), ("a", b"2")]), (None, b"", []), (b"k", None, [("e", b"")])]
    for key, value, headers in cases:
        await producer.send_and_wait(topic, value, key, 0, 1_700_000_000_000, headers)
    await producer.stop()
    records = await read(broker, topic, 3)
    assert [(r.key, r.value, list(r.headers)) for r in records] == cases
    assert {(r.timestamp, r.timestamp_type) for r in records} == {(1_700_000_000_000, 0)}


@asynchronous
async def test_positions_times_and_out_of_range(broker, topic):
    await create(broker, topic)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    for i in range(50):
        await producer.send(topic, b"%d" % i, partition=0, timestamp_ms=1_000_000 + i * 10)
    await producer.stop()
    where = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none")
    await consumer.start()
    try:
        consumer.assign([where])
        assert (await consumer.beginning_offsets([where]))[where] == 0
        assert (await consumer.end_offsets([where]))[where] == 50
        assert (await consumer.offsets_for_times({where: 1_000_101}))[where].offset == 11
        consumer.seek(where, 20)
        assert (await consumer.getone(where)).offset == 20
        consumer.seek(where, 500)
        with pytest.raises(OffsetOutOfRangeError):
            await consumer.getone(where)
    finally:
        await consumer.stop()


@asynchronous
async def test_a_large_message_is_refused(broker, topic):
    await create(broker, topic, max_message_bytes="2000")
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    try:
        with pytest.raises(MessageSizeTooLargeError):
            await producer.send_and_wait(topic, b"x" * 10_000, partition=0)
        assert (await producer.send_and_wait(topic, b"small", partition=0)).offset == 0
    finally:
        await producer.stop()


@asynchronous
async def test_admin(broker, topic):
    await create(broker, topic, 2, retention_ms="5000")
    async with Admin(broker) as admin:
        assert topic in await admin.list_topics()
        await admin.create_partitions({topic: NewPartitions(4)})
        described, = await admin.describe_topics([topic])
        assert len(described["partitions"]) == 4
        assert [b["port"] for b in (await admin.describe_cluster())["brokers"]] == [broker.port]
        resource = ConfigResource(ConfigResourceType.TOPIC, topic)
        reply, = await admin.describe_configs([resource])
        assert "retention.ms" in str(reply) and "5000" in str(reply)
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": "777"})])
        reply, = await admin.describe_configs([resource])
        assert "777" in str(reply)
        again = await admin.create_topics([NewTopic(topic, 1, 1)])
        assert again.topic_errors[0][1] == 36
        await admin.delete_topics([topic])
        assert topic not in await admin.list_topics()


@asynchronous
async def test_records_are_deleted(broker, topic):
    await create(broker, topic)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
    await producer.start()
    for i in range(20):
        await producer.send_and_wait(topic, b"%d" % i, partition=0)
    await producer.stop()
    async with Admin(broker) as admin:
        where = TopicPartition(topic, 0)
        assert (await admin.delete_records({where: RecordsToDelete(5)}))[where] == 5
    assert [int(r.value) for r in await read(broker, topic, 15, offset=5)] == list(range(5, 20))
