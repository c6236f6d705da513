"""Judges: what any client writes, every other one reads; the same key goes to the same partition, whoever hashes it.

The bundled client (`lmbroker produce` and `consume`), librdkafka, kafka-python and aiokafka, each with each, in every codec.
"""

import asyncio
import json
import random

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as AIOTopicPartition
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

import confluent
from broker import lmbroker

PARTITIONS = 7
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def records():
    """(key, value) pairs that come through a line of text; keys of every length that murmur2's last step tells apart."""
    chance = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz-_é漢🙂"
    keys = ["".join(chance.choices(letters, k=length)) for length in range(1, 40) for _ in range(4)]
    return [(key.encode(), f"value {number} of {key}".encode()) for number, key in enumerate(keys)]


RECORDS = records()


def write_lmbroker(broker, topic, codec):
    lines = b"".join(key + b"\t" + value + b"\n" for key, value in RECORDS)
    lmbroker("produce", topic, "--broker", broker.bootstrap, "--key-separator", "\t", "--codec", codec, stdin=lines, text=False)


def write_librdkafka(broker, topic, codec):
    # Its own default is another hash; this one is what Kafka's clients have.
    producer = confluent.producer(broker, partitioner="murmur2_random", compression_codec=codec)
    failures = []
    for key, value in RECORDS:
        producer.produce(topic, value, key, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30) == 0 and not failures, failures


def write_kafka_python(broker, topic, codec):
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=None if codec == "none" else codec, acks="all", linger_ms=5)
    futures = [producer.send(topic, value, key=key) for key, value in RECORDS]
    producer.flush(30)
    for future in futures:
        future.get(5)
    producer.close()


def write_aiokafka(broker, topic, codec):
    async def write():
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=None if codec == "none" else codec, acks="all")
        await producer.start()
        try:
            await asyncio.gather(*[await producer.send(topic, value, key=key) for key, value in RECORDS])
        finally:
            await producer.stop()
    asyncio.run(asyncio.wait_for(write(), 60))


def read_lmbroker(broker, topic):
    lines = lmbroker("consume", topic, "--broker", broker.bootstrap, "--until-end", "--json").stdout.splitlines()
    return [(r["partition"], r["offset"], r["key"].encode(), r["value"].encode()) for r in map(json.loads, lines)]


def read_librdkafka(broker, topic):
    consumer = confluent.consumer(broker)
    consumer.assign([confluent.TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
    found, ended = [], set()
    while len(ended) < PARTITIONS:
        message = consumer.poll(10)
        assert message is not None, f"{len(found)} records and the ends of {ended} came in ten seconds"
        if message.error():
            ended.add(message.partition())
        else:
            found.append((message.partition(), message.offset(), message.key(), message.value()))
    consumer.close()
    return found


def read_kafka_python(broker, topic):
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, consumer_timeout_ms=10_000)
    places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    found = []
    for record in consumer:
        found.append((record.partition, record.offset, record.key, record.value))
        if len(found) == len(RECORDS):
            break
    consumer.close()
    return found


def read_aiokafka(broker, topic):
    async def read():
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [AIOTopicPartition(topic, p) for p in range(PARTITIONS)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            found = []
            while len(found) < len(RECORDS):
                record = await consumer.getone()
                found.append((record.partition, record.offset, record.key, record.value))
            return found
        finally:
            await consumer.stop()
    return asyncio.run(asyncio.wait_for(read(), 60))


WRITERS = {"lmbroker": write_lmbroker, "librdkafka": write_librdkafka, "kafka-python": write_kafka_python, "aiokafka": write_aiokafka}
READERS = {"lmbroker": read_lmbroker, "librdkafka": read_librdkafka, "kafka-python": read_kafka_python, "aiokafka": read_aiokafka}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("writer", WRITERS)
def test_everyone_reads_what_one_has_written(broker, topic, writer, codec):
    broker.create_topic(topic, PARTITIONS)
    WRITERS[writer](broker, topic, codec)
    first = sorted(READERS["lmbroker"](broker, topic))
    assert sorted((key, value) for _, _, key, value in first) == sorted(RECORDS)
    for partition in range(PARTITIONS):
        mine = [(key, value) for p, _, key, value in first if p == partition]
        # Of one producer, in the order in which they were sent.
        assert mine == [record for record in RECORDS if record in set(mine)]
        assert [offset for p, offset, _, _ in first if p == partition] == list(range(len(mine)))
    for reader in ("librdkafka", "kafka-python", "aiokafka"):
        assert sorted(READERS[reader](broker, topic)) == first, reader


def test_the_same_key_goes_to_the_same_partition(broker, topic):
    places = {}
    for writer, write in WRITERS.items():
        name = f"{topic}-{writer}"
        broker.create_topic(name, PARTITIONS)
        write(broker, name, "none")
        places[writer] = {key: partition for partition, _, key, _ in read_lmbroker(broker, name)}
        assert len(places[writer]) == len({key for key, _ in RECORDS})
    assert set(places["lmbroker"].values()) == set(range(PARTITIONS))
    for writer in WRITERS:
        assert places[writer] == places["lmbroker"], writer
