"""Short ways to say what the confluent-kafka tests say often."""

import functools
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def producer(broker, **options):
    return Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 2} |
                    {k.replace("_", "."): v for k, v in options.items()})


def consumer(broker, **options):
    return Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "assign-only", "enable.auto.commit": False,
                     "enable.partition.eof": True, "auto.offset.reset": "error"} |
                    {k.replace("_", "."): v for k, v in options.items()})


@functools.cache
def admin_at(bootstrap):
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def admin(broker):
    """A client that stays: one that is collected takes its unanswered futures with it."""
    return admin_at(broker.bootstrap)


def create(broker, topic, partitions=1, **config):
    config = {k.replace("_", "."): str(v) for k, v in config.items()}
    result(admin(broker).create_topics([NewTopic(topic, partitions, 1, config=config)])[topic])


def result(future, timeout=15):
    return future.result(timeout)


def error_code(future):
    """The error code that an admin future fails with; a success is a failure here."""
    try:
        value = result(future)
    except KafkaException as error:
        return error.args[0].code()
    raise AssertionError(f"expected an error, got {value!r}")


def produce_all(client, topic, values, timeout=30, **arguments):
    """Produces the values and returns the delivered messages, in the order of delivery."""
    delivered, failed = [], []

    def report(error, message):
        (failed if error else delivered).append(error or message)

    for value in values:
        while True:
            try:
                client.produce(topic, value, on_delivery=report, **arguments)
                break
            except BufferError:
                client.poll(0.1)
        client.poll(0)
    left = client.flush(timeout)
    assert left == 0, f"{left} records were not answered in {timeout} s"
    assert not failed, failed[:3]
    return delivered


def read_to_end(client, assignment, timeout=30):
    """Assigns the partitions and polls until each has said that it is at its end."""
    from confluent_kafka import KafkaError
    client.assign(assignment)
    waiting, messages = {(p.topic, p.partition) for p in assignment}, []
    deadline = time.monotonic() + timeout
    while waiting:
        assert time.monotonic() < deadline, f"no end of {waiting} within {timeout} s; {len(messages)} messages so far"
        message = client.poll(0.5)
        if message is None:
            continue
        if message.error() is None:
            messages.append(message)
        elif message.error().code() == KafkaError._PARTITION_EOF:
            waiting.discard((message.topic(), message.partition()))
        else:
            raise AssertionError(message.error())
    return messages


def read_topic(broker, topic, partition=0, offset=0, **options):
    client = consumer(broker, **options)
    try:
        return read_to_end(client, [TopicPartition(topic, partition, offset)])
    finally:
        client.close()
