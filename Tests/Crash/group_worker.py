"""A consumer in a process of its own, made to be killed: it writes down each record before it commits it.

    group_worker.py BOOTSTRAP GROUP TOPIC FILE classic|consumer

FILE gets a line "partition offset" for every record, appended in one write before the commit that
covers it. SIGTERM makes it leave in good order; kill -9 is what it is for.
"""

import os
import signal
import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition

PROTOCOLS = {"classic": {"partition.assignment.strategy": "cooperative-sticky", "session.timeout.ms": 2000,
                         "heartbeat.interval.ms": 200},
             "consumer": {"group.protocol": "consumer"}}


def main(bootstrap, group, topic, path, protocol):
    finish = []
    signal.signal(signal.SIGTERM, lambda *_: finish.append(True))
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    consumer = Consumer({
        "bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False, "auto.offset.reset": "earliest",
        "log_level": 0, "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200,
        "retry.backoff.ms": 20, "topic.metadata.refresh.interval.ms": 1000} | PROTOCOLS[protocol])
    consumer.subscribe([topic])
    while not finish:
        messages = [m for m in consumer.consume(1000, 0.1) if m.error() is None]
        if not messages:
            continue
        os.write(file, "".join(f"{m.partition()} {m.offset()}\n" for m in messages).encode())
        ends = {m.partition(): m.offset() + 1 for m in messages}
        try:
            consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in ends.items()], asynchronous=False)
        except KafkaException:
            # The group has moved on: another member takes these records again. That is at-least-once.
            continue
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
