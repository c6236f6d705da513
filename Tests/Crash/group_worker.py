"""A consumer in a process of its own, made to be killed: it writes down each record before it commits it.

    group_worker.py BOOTSTRAP GROUP TOPIC FILE classic|consumer

FILE gets a line "partition offset" for every record, appended in one write before the commit that
covers it. SIGTERM makes it leave in good order as soon as there is FILE; kill -9 is what it is for.
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
        # Longer than librdkafka takes to ask for the coordinator again. A commit that waits to be sent when the
        # coordinator is found fails, which has librdkafka look for the coordinator anew: round and round.
        "retry.backoff.ms": 1000, "topic.metadata.refresh.interval.ms": 1000} | PROTOCOLS[protocol])
    uncommitted = {}

    def give_up(_, partitions):
        """Another member takes the records again that are not committed. That is at-least-once."""
        for partition in partitions:
            uncommitted.pop(partition.partition, None)

    consumer.subscribe([topic], on_revoke=give_up, on_lost=give_up)
    while not finish:
        messages = [m for m in consumer.consume(1000, 0.1) if m.error() is None]
        os.write(file, "".join(f"{m.partition()} {m.offset()}\n" for m in messages).encode())
        uncommitted |= {m.partition(): m.offset() + 1 for m in messages}
        if not uncommitted:
            continue
        try:
            consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in uncommitted.items()], asynchronous=False)
        except KafkaException:
            # The group has moved on. Partitions that this member keeps are committed in the new generation.
            continue
        uncommitted.clear()
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
