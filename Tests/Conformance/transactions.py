"""A transactional producer on the raw wire, moved one request at a time, and what the broker shows of transactions.

`RawTransaction` speaks either of the two protocols: with `implicit`, that of transaction version 2
(KIP-890: Produce 12, TxnOffsetCommit 5, EndTxn 5, each end bumps the epoch), else the one before,
in which partitions and groups are added beforehand. Errors are returned, not raised.
"""

from group_messages import OFFSET_FETCH
from messages import DESCRIBE_PRODUCERS, FETCH, INIT_PRODUCER_ID, LIST_OFFSETS, PRODUCE
from records import batch, batches
from transaction_messages import (ADD_OFFSETS_TO_TXN, ADD_PARTITIONS_TO_TXN, DESCRIBE_TRANSACTIONS, END_TXN,
                                  LIST_TRANSACTIONS, TXN_OFFSET_COMMIT)
from waiting import wait_for
from wire_requests import fetch_values

UNKNOWN_TOPIC_OR_PARTITION, ILLEGAL_GENERATION, INVALID_GROUP_ID, UNKNOWN_MEMBER_ID, INVALID_REQUEST = 3, 22, 24, 25, 42
OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE = 45, 47, 48
INVALID_PRODUCER_ID_MAPPING, INVALID_TRANSACTION_TIMEOUT = 49, 50
CONCURRENT_TRANSACTIONS, TRANSACTIONAL_ID_AUTHORIZATION_FAILED, OPERATION_NOT_ATTEMPTED = 51, 53, 55
FENCED_INSTANCE_ID, UNSTABLE_OFFSET_COMMIT, PRODUCER_FENCED, TRANSACTIONAL_ID_NOT_FOUND, TRANSACTION_ABORTABLE = 82, 88, 90, 105, 120
TRANSACTIONAL, CONTROL = 0x10, 0x20
READ_UNCOMMITTED, READ_COMMITTED = 0, 1


class RawTransaction:
    def __init__(self, broker, transactional_id, *, implicit=True, timeout_ms=60_000, init=True):
        self.broker, self.id, self.implicit, self.timeout_ms = broker, transactional_id, implicit, timeout_ms
        self.producer_id, self.epoch, self.sequences = -1, -1, {}
        self.connection = broker.connect(timeout=20)
        if init:
            assert self.init() == 0

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def reconnect(self):
        """A new connection, as after a restart of the broker; what the producer knows stays."""
        self.connection.close()
        self.connection = self.broker.connect(timeout=20)

    def init(self, version=4, **values):
        """InitProducerId; returns its error code and takes over id and epoch when there is none."""
        reply = self.connection.ask(INIT_PRODUCER_ID, version, **dict(
            transactional_id=self.id, transaction_timeout_ms=self.timeout_ms) | values)
        if reply.error_code == 0:
            self.take(reply.producer_id, reply.producer_epoch)
        return reply.error_code

    def take(self, producer_id, epoch):
        if (producer_id, epoch) != (self.producer_id, self.epoch):
            self.producer_id, self.epoch, self.sequences = producer_id, epoch, {}

    def identity(self, **changes):
        return dict(transactional_id=self.id, producer_id=self.producer_id, producer_epoch=self.epoch) | changes

    def add(self, topic, partitions=(0,), version=3, **changes):
        """AddPartitionsToTxn as clients send it; the error codes in the order of the partitions."""
        reply = self.connection.ask(ADD_PARTITIONS_TO_TXN, version, **self.identity(**changes),
                                    topics=[dict(name=topic, partitions=list(partitions))])
        codes = {p.partition_index: p.partition_error_code for t in reply.results_by_topic for p in t.results_by_partition}
        return [codes[p] for p in partitions]

    def produce_values(self, topic, values, partition, *, sequence=None, transactional=True, **changes):
        identity = self.identity(**changes)
        sequence = self.sequences.get((topic, partition), 0) if sequence is None else sequence
        data = batch(values, producer_id=identity["producer_id"], producer_epoch=identity["producer_epoch"],
                     base_sequence=sequence, attributes=TRANSACTIONAL if transactional else 0)
        return dict(transactional_id=identity["transactional_id"], acks=-1, timeout_ms=10_000, topic_data=[
            dict(name=topic, partition_data=[dict(index=partition, records=data)])])

    def produce(self, topic, values, partition=0, *, version=None, **changes):
        """One batch in the open transaction; that partition's reply."""
        version = (12 if self.implicit else 11) if version is None else version
        request = self.produce_values(topic, values, partition, **changes)
        reply = self.connection.ask(PRODUCE, version, **request).responses[0].partition_responses[0]
        if reply.error_code == 0 and not changes:
            self.sequences[(topic, partition)] = self.sequences.get((topic, partition), 0) + len(values)
        return reply

    def send(self, topic, values, partition=0):
        """What a client does to write: adds the partition where it must, and produces. Returns the base offset."""
        if not self.implicit:
            assert self.add(topic, [partition]) == [0]
        reply = self.produce(topic, values, partition)
        assert reply.error_code == 0, reply
        return reply.base_offset

    def add_offsets(self, group, version=3, **changes):
        return self.connection.ask(ADD_OFFSETS_TO_TXN, version, **self.identity(**changes), group_id=group).error_code

    def commit_offsets(self, group, offsets, *, version=None, member=None, **changes):
        """TxnOffsetCommit of {(topic, partition): offset}; the error codes in that order."""
        version = (5 if self.implicit else 3) if version is None else version
        topics = {}
        for (topic, partition), offset in offsets.items():
            topics.setdefault(topic, []).append(dict(partition_index=partition, committed_offset=offset, committed_metadata=""))
        reply = self.connection.ask(TXN_OFFSET_COMMIT, version, **self.identity(**changes), **(member or {}), group_id=group,
                                    topics=[dict(name=t, partitions=p) for t, p in topics.items()])
        codes = {(t.name, p.partition_index): p.error_code for t in reply.topics for p in t.partitions}
        return [codes[where] for where in offsets]

    def send_offsets(self, group, offsets):
        if not self.implicit:
            assert self.add_offsets(group) == 0
        assert set(self.commit_offsets(group, offsets)) == {0}

    def end(self, commit, *, version=None, **changes):
        """EndTxn; the reply. From version 5 on the producer goes on with the id and epoch that it brings."""
        version = (5 if self.implicit else 4) if version is None else version
        reply = self.connection.ask(END_TXN, version, **self.identity(**changes), committed=commit)
        if reply.error_code == 0 and version >= 5:
            self.take(reply.producer_id, reply.producer_epoch)
        return reply

    def commit(self):
        reply = self.end(True)
        assert reply.error_code == 0, reply

    def abort(self):
        reply = self.end(False)
        assert reply.error_code == 0, reply


def latest(connection, topic, partition=0, isolation=READ_COMMITTED):
    """The end of a partition as ListOffsets has it at that isolation level."""
    reply = connection.ask(LIST_OFFSETS, 7, replica_id=-1, isolation_level=isolation, topics=[
        dict(name=topic, partitions=[dict(partition_index=partition, timestamp=-1)])]).topics[0].partitions[0]
    assert reply.error_code == 0, reply
    return reply.offset


def fetch_at(connection, topic, offset=0, partition=0, isolation=READ_COMMITTED, **options):
    """One partition's part of a Fetch at an isolation level."""
    reply = connection.ask(FETCH, 12, **fetch_values(topic, {partition: offset}, isolation_level=isolation, **options))
    assert reply.error_code == 0, reply
    return reply.responses[0].partitions[0]


def values_of(found):
    """The values of an uncompressed batch with records as records.py builds them, without headers."""
    values, data, at = [], found.data, 61

    def zigzag():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value >> 1 ^ -(value & 1)

    for _ in range(found.count):
        end = zigzag() + at
        at += 1
        zigzag(), zigzag()
        for part in ("key", "value"):
            size = zigzag()
            if part == "value":
                values.append(None if size < 0 else data[at:at + size])
            at += max(size, 0)
        at = end
    return values


def read(connection, topic, partition=0, isolation=READ_COMMITTED, offset=0):
    """[(offset, value)] of a partition, as a consumer of this level gives them to its user (KIP-98).

    At read_committed the batches of the aborted transactions that the reply names are left out.
    """
    records, aborting, begin = [], set(), offset
    end = latest(connection, topic, partition, isolation)
    while offset < end:
        part = fetch_at(connection, topic, offset, partition, isolation, partition_max_bytes=16 << 20)
        assert part.error_code == 0 and part.records, part
        aborted = sorted((a.first_offset, a.producer_id) for a in part.aborted_transactions or [])
        for found in batches(part.records):
            while aborted and aborted[0][0] <= found.last_offset:
                aborting.add(aborted.pop(0)[1])
            offset = found.last_offset + 1
            if found.attributes & CONTROL:
                aborting.discard(found.producer_id)
            elif not (found.attributes & TRANSACTIONAL and found.producer_id in aborting):
                records += [(found.base_offset + i, v) for i, v in enumerate(values_of(found))]
    # A batch is given whole, also where it begins before what was asked for.
    return [record for record in records if record[0] >= begin]


def values_at(connection, topic, partition=0, isolation=READ_COMMITTED):
    return [value for _, value in read(connection, topic, partition, isolation)]


def group_offsets(connection, group, topic, partitions=(0,), stable=False):
    """{partition: (offset, error code)} of a group."""
    reply = connection.ask(OFFSET_FETCH, 8, require_stable=stable, groups=[
        dict(group_id=group, topics=[dict(name=topic, partition_indexes=list(partitions))])])
    found = {p.partition_index: (p.committed_offset, p.error_code) for t in reply.groups[0].topics for p in t.partitions}
    return {p: found[p] for p in partitions}


def describe(connection, *transactional_ids):
    """What DescribeTransactions says of each id."""
    reply = connection.ask(DESCRIBE_TRANSACTIONS, 0, transactional_ids=list(transactional_ids))
    found = {s.transactional_id: s for s in reply.transaction_states}
    return found[transactional_ids[0]] if len(transactional_ids) == 1 else [found[i] for i in transactional_ids]


def list_transactions(connection, version=1, **filters):
    reply = connection.ask(LIST_TRANSACTIONS, version, **filters)
    assert reply.error_code == 0, reply
    return reply


def active_producers(connection, topic, partition=0):
    """{producer id: what DescribeProducers says of it} in one partition."""
    reply = connection.ask(DESCRIBE_PRODUCERS, 0, topics=[dict(name=topic, partition_indexes=[partition])])
    return {p.producer_id: p for p in reply.topics[0].partitions[0].active_producers}


def end_all(connection):
    """Fences every holder of an id whose transaction is open, which aborts it."""
    for state in list_transactions(connection, state_filters=["Ongoing"]).transaction_states:
        reply = connection.ask(INIT_PRODUCER_ID, 4, transactional_id=state.transactional_id, transaction_timeout_ms=10_000)
        assert reply.error_code == 0, reply
    wait_for(lambda: not list_transactions(connection, state_filters=["Ongoing"]).transaction_states, "every transaction has ended")
