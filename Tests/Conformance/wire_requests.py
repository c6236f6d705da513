"""The requests that the wire tests send most, with the arguments that vary up front."""

from messages import DELETE_RECORDS, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, PRODUCE


def produce(connection, topic, records, partition=0, acks=-1, version=9):
    """Produces one batch (or whatever bytes are given) and returns that partition's reply."""
    reply = connection.ask(PRODUCE, version, **produce_values(topic, records, partition, acks))
    return reply.responses[0].partition_responses[0]


def produce_values(topic, records, partition=0, acks=-1):
    return dict(acks=acks, timeout_ms=10_000, topic_data=[
        dict(name=topic, partition_data=[dict(index=partition, records=records)])])


def fetch_values(topic, offsets, *, max_wait_ms=0, min_bytes=0, max_bytes=50 << 20, partition_max_bytes=1 << 20,
                 session_id=0, session_epoch=-1, forgotten=(), leader_epoch=-1, isolation_level=0):
    """A Fetch (v7–12) of {partition: offset} of one topic."""
    return dict(
        max_wait_ms=max_wait_ms, min_bytes=min_bytes, max_bytes=max_bytes, isolation_level=isolation_level,
        session_id=session_id, session_epoch=session_epoch,
        topics=[dict(topic=topic, partitions=[
            dict(partition=p, fetch_offset=o, partition_max_bytes=partition_max_bytes)
            | (dict(current_leader_epoch=leader_epoch) if leader_epoch >= 0 else {})
            for p, o in offsets.items()])] if offsets else [],
        forgotten_topics_data=[dict(topic=topic, partitions=list(forgotten))] if forgotten else [])


def fetch(connection, topic, offsets, **options):
    """A Fetch in version 12; `offsets` is {partition: offset}."""
    return connection.ask(FETCH, 12, **fetch_values(topic, offsets, **options))


def fetch_one(connection, topic, offset=0, partition=0, **options):
    """Fetches one partition and returns its part of the reply."""
    reply = fetch(connection, topic, {partition: offset}, **options)
    assert reply.error_code == 0, reply
    return reply.responses[0].partitions[0]


def list_offset(connection, topic, timestamp, partition=0, version=7):
    reply = connection.ask(LIST_OFFSETS, version, replica_id=-1, topics=[
        dict(name=topic, partitions=[dict(partition_index=partition, timestamp=timestamp)])])
    return reply.topics[0].partitions[0]


def delete_before(connection, topic, offset, partition=0):
    """Deletes the partition's records before the offset, −1 for all; returns the first one that is left."""
    reply = connection.ask(DELETE_RECORDS, 2, timeout_ms=5000, topics=[
        dict(name=topic, partitions=[dict(partition_index=partition, offset=offset)])]).topics[0].partitions[0]
    assert reply.error_code == 0, reply
    return reply.low_watermark


def new_producer_id(connection):
    reply = connection.ask(INIT_PRODUCER_ID, 4, transactional_id=None, transaction_timeout_ms=60_000)
    assert reply.error_code == 0
    return reply.producer_id, reply.producer_epoch
