"""Group members on the raw wire, each on a connection of its own, moved one request at a time.

`ClassicMember` speaks JoinGroup/SyncGroup/Heartbeat, `ConsumerMember` speaks KIP-848's one
heartbeat. The functions below move whole groups and wait for what the broker shows, never for time.
"""

import time

from group_messages import (CONSUMER_GROUP_DESCRIBE, CONSUMER_GROUP_HEARTBEAT, DESCRIBE_GROUPS, HEARTBEAT, JOIN_GROUP,
                            LEAVE_GROUP, OFFSET_COMMIT, OFFSET_FETCH, SYNC_GROUP, assigned, assignment, subscription)
from waiting import wait_for
from wire import random_uuid

ILLEGAL_GENERATION, INCONSISTENT_PROTOCOL, INVALID_GROUP_ID, UNKNOWN_MEMBER_ID = 22, 23, 24, 25
INVALID_SESSION_TIMEOUT, REBALANCE_IN_PROGRESS, INVALID_REQUEST = 26, 27, 42
NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, MEMBER_ID_REQUIRED, GROUP_MAX_SIZE_REACHED = 68, 69, 79, 81
FENCED_INSTANCE_ID, GROUP_SUBSCRIBED_TO_TOPIC, FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID = 82, 86, 110, 111
UNSUPPORTED_ASSIGNOR, STALE_MEMBER_EPOCH = 112, 113

# A broker for groups that form at once; the tests about the delay itself set their own.
PROMPT = {"group.initial.rebalance.delay.ms": 0}


class ClassicMember:
    """One member of a classic group. Errors are returned, not raised: tests are about them."""

    def __init__(self, broker, group, topics, *, instance=None, protocols=("range",), protocol_type="consumer",
                 session_ms=30_000, rebalance_ms=30_000, version=9, timeout=20):
        self.broker, self.group, self.topics, self.instance = broker, group, list(topics), instance
        self.protocols, self.protocol_type, self.version = protocols, protocol_type, version
        self.session_ms, self.rebalance_ms, self.timeout = session_ms, rebalance_ms, timeout
        self.member_id, self.generation, self.leader, self.joined = "", -1, None, None
        self.owned, self.pending, self.synced = set(), None, None
        self.connection = broker.connect(timeout=timeout)

    def __repr__(self):
        return f"<{self.instance or self.member_id} of {self.group}, generation {self.generation}>"

    def reconnect(self):
        """A new connection, as after a restart of the broker; what the member knows stays."""
        self.connection.close()
        self.connection, self.pending = self.broker.connect(timeout=self.timeout), None

    def close(self):
        self.connection.close()

    def _instance(self, since):
        return dict(group_instance_id=self.instance) if self.instance is not None and self.version >= since else {}

    def ask(self, api, version, **values):
        return self.connection.ask(api, version, **values)

    def join_values(self, **changes):
        metadata = subscription(self.topics)
        values = dict(group_id=self.group, session_timeout_ms=self.session_ms, member_id=self.member_id,
                      protocol_type=self.protocol_type,
                      protocols=[dict(name=name, metadata=metadata) for name in self.protocols])
        if self.version >= 1:
            values["rebalance_timeout_ms"] = self.rebalance_ms
        return values | self._instance(5) | changes

    def obtain_id(self):
        """The first half of KIP-394: join without an id and be given one."""
        reply = self.ask(JOIN_GROUP, self.version, **self.join_values())
        assert reply.error_code == MEMBER_ID_REQUIRED and reply.member_id, reply
        self.member_id = reply.member_id
        return self

    def send_join(self, **changes):
        """Sends JoinGroup, having got an id before where one is needed, and does not wait for the reply."""
        if not self.member_id and self.instance is None and self.version >= 4:
            self.obtain_id()
        self.pending = self.connection.send(JOIN_GROUP, self.version, **self.join_values(**changes))
        return self

    def receive_join(self):
        reply = self.connection.receive(JOIN_GROUP, self.version, self.pending)
        self.joined = reply
        if reply.error_code == 0:
            self.member_id, self.generation, self.leader = reply.member_id, reply.generation_id, reply.leader
        return reply

    def join(self, **changes):
        return self.send_join(**changes).receive_join()

    @property
    def leads(self):
        return self.leader == self.member_id

    def send_sync(self, assignments=None, **changes):
        """Sends SyncGroup; `assignments` is {member id: set of (topic, partition)}."""
        values = dict(group_id=self.group, generation_id=self.generation, member_id=self.member_id, assignments=[
            dict(member_id=m, assignment=assignment(p)) for m, p in (assignments or {}).items()])
        if self.version >= 5:
            values |= dict(protocol_type=self.protocol_type, protocol_name=self.joined.protocol_name)
        values |= self._instance(3)
        self.pending = self.connection.send(SYNC_GROUP, min(self.version, 5), **values | changes)
        return self

    def receive_sync(self):
        reply = self.connection.receive(SYNC_GROUP, min(self.version, 5), self.pending)
        if reply.error_code == 0:
            self.owned, self.synced = assigned(reply.assignment), self.generation
        return reply

    def sync(self, assignments=None, **changes):
        return self.send_sync(assignments, **changes).receive_sync()

    def heartbeat(self, **changes):
        values = dict(group_id=self.group, generation_id=self.generation, member_id=self.member_id)
        return self.ask(HEARTBEAT, min(self.version, 4), **values | self._instance(3) | changes).error_code

    def leave(self):
        if self.version < 3:
            return self.ask(LEAVE_GROUP, self.version, group_id=self.group, member_id=self.member_id).error_code
        members = [dict(member_id=self.member_id) | self._instance(3)]
        reply = self.ask(LEAVE_GROUP, min(self.version, 5), group_id=self.group, members=members)
        return reply.error_code or reply.members[0].error_code

    def commit(self, offsets, **changes):
        """Commits {(topic, partition): offset} and returns the error codes in the same order."""
        return commit(self.connection, self.group, offsets, **dict(
            member_id=self.member_id, generation_id_or_member_epoch=self.generation, version=8) | self._instance(7) | changes)


class ConsumerMember:
    """One member of a group of the next-generation protocol (KIP-848)."""

    def __init__(self, broker, group, topics=None, *, instance=None, regex=None, assignor=None, rebalance_ms=30_000,
                 version=1, names=None, timeout=20):
        """`names` is {topic id: name}, so that what is owned can be told apart by name."""
        self.broker, self.group, self.topics, self.instance = broker, group, topics, instance
        self.regex, self.assignor, self.rebalance_ms, self.version = regex, assignor, rebalance_ms, version
        self.timeout, self.names = timeout, names or {}
        self.member_id = random_uuid().hex() if version >= 1 else ""
        self.epoch, self.owned, self.told, self.interval_ms = 0, set(), None, None
        self.connection = broker.connect(timeout=timeout)

    def __repr__(self):
        return f"<{self.instance or self.member_id} of {self.group}, epoch {self.epoch}, owns {len(self.owned)}>"

    def reconnect(self):
        self.connection.close()
        self.connection = self.broker.connect(timeout=self.timeout)

    def close(self):
        self.connection.close()

    def values(self, full):
        values = dict(group_id=self.group, member_id=self.member_id, member_epoch=self.epoch)
        if self.instance is not None:
            values["instance_id"] = self.instance
        if full:
            values |= dict(rebalance_timeout_ms=self.rebalance_ms, subscribed_topic_names=self.topics,
                           server_assignor=self.assignor)
            if self.regex is not None:
                values["subscribed_topic_regex"] = self.regex
        if full or self.told != self.owned:
            topics = {}
            for topic_id, partition in sorted(self.owned):
                topics.setdefault(topic_id, []).append(partition)
            values["topic_partitions"] = [dict(topic_id=t, partitions=p) for t, p in topics.items()]
        return values

    def heartbeat(self, full=False, **changes):
        """One heartbeat; what the broker assigns is owned from the reply on, what it takes away no more."""
        full = full or self.epoch <= 0
        told = set(self.owned)
        reply = self.connection.ask(CONSUMER_GROUP_HEARTBEAT, self.version, **self.values(full) | changes)
        if reply.error_code == 0:
            self.told = told
            self.member_id, self.epoch = reply.member_id or self.member_id, reply.member_epoch
            self.interval_ms = reply.heartbeat_interval_ms
            if reply.assignment is not None:
                self.owned = {(t.topic_id, p) for t in reply.assignment.topic_partitions for p in t.partitions}
        return reply

    def leave(self, temporarily=False):
        self.owned = set()
        return self.heartbeat(member_epoch=-2 if temporarily else -1, topic_partitions=None)

    def commit(self, offsets, **changes):
        return commit(self.connection, self.group, offsets, **dict(
            member_id=self.member_id, generation_id_or_member_epoch=self.epoch, version=9) | changes)


def commit(connection, group, offsets, *, version=8, metadata="", **values):
    """Commits {(topic, partition): offset}, as an administrator unless told otherwise; error codes in order."""
    topics = {}
    for (topic, partition), offset in offsets.items():
        topics.setdefault(topic, []).append(
            dict(partition_index=partition, committed_offset=offset, committed_metadata=metadata))
    reply = connection.ask(OFFSET_COMMIT, version, group_id=group,
                           topics=[dict(name=t, partitions=p) for t, p in topics.items()], **values)
    codes = {(t.name, p.partition_index): p.error_code for t in reply.topics for p in t.partitions}
    assert set(codes) == set(offsets), "each partition is answered, and nothing else"
    return [codes[where] for where in offsets]


def committed(connection, group, topic=None, partitions=(0,)):
    """{(topic, partition): offset} that are committed; of everything when no topic is named."""
    topics = None if topic is None else [dict(name=topic, partition_indexes=list(partitions))]
    reply = connection.ask(OFFSET_FETCH, 8, groups=[dict(group_id=group, topics=topics)])
    assert reply.groups[0].error_code == 0, reply
    found = {(t.name, p.partition_index): p for t in reply.groups[0].topics for p in t.partitions}
    assert all(p.error_code == 0 for p in found.values()), reply
    return {where: p.committed_offset for where, p in found.items()}


def describe(broker, group, version=5):
    with broker.connect() as connection:
        return connection.ask(DESCRIBE_GROUPS, version, groups=[group]).groups[0]


def describe_consumer(broker, group, version=0):
    with broker.connect() as connection:
        return connection.ask(CONSUMER_GROUP_DESCRIBE, version, group_ids=[group]).groups[0]


def round_robin(member_ids, partitions):
    """{member id: its partitions}, the same for the same members in whatever order."""
    ids = sorted(member_ids)
    return {m: set(sorted(partitions)[i::len(ids)]) for i, m in enumerate(ids)}


def rejoin(members, newcomers=()):
    """One rebalance: the newcomers join, then the members rejoin; all have the next generation's join reply.

    The members wait until the broker shows every newcomer, so that one rebalance takes them all in.
    """
    everyone = list(members) + list(newcomers)
    for member in newcomers:
        member.send_join()
    if members and newcomers:
        broker, group = everyone[0].broker, everyone[0].group
        wait_for(lambda: len(describe(broker, group).members) == len(everyone), "every newcomer in the group")
    for member in members:
        member.send_join()
    replies = [member.receive_join() for member in everyone]
    assert {r.error_code for r in replies} == {0}, replies
    generations = {r.generation_id for r in replies}
    assert len(generations) == 1, f"one rebalance made several generations: {generations}"
    return generations.pop()


def synchronise(members, partitions):
    """The followers' SyncGroup, then the leader's; each member gets its part of the partitions."""
    leader, = [m for m in members if m.leads]
    followers = [m for m in members if m is not leader]
    for member in followers:
        member.send_sync()
    leader.send_sync(round_robin([m.member_id for m in members], partitions))
    replies = [m.receive_sync() for m in followers + [leader]]
    assert {r.error_code for r in replies} == {0}, replies
    assert_divided(members, partitions)


def form(members, partitions):
    """A stable classic group of all the members: the first alone, then the others in one rebalance."""
    first, rest = members[0], members[1:]
    assert first.join().error_code == 0
    if rest:
        assert first.sync({first.member_id: partitions}).error_code == 0
        rejoin([first], rest)
    synchronise(members, partitions)
    return members


def assert_divided(members, partitions=None):
    """No partition has two owners; with `partitions`, each has one."""
    owners = [where for member in members for where in member.owned]
    assert len(owners) == len(set(owners)), f"a partition has two owners: {members}"
    if partitions is not None:
        assert set(owners) == set(partitions)


def converge(members, partitions, timeout=30):
    """Heartbeats of all members in turn until one epoch has every partition owned by one of them.

    After each single heartbeat no partition may have two owners.
    """
    deadline = time.monotonic() + timeout
    while True:
        quiet = True
        for member in members:
            before = (member.epoch, set(member.owned))
            reply = member.heartbeat()
            assert reply.error_code == 0, (member, reply)
            assert_divided(members)
            quiet = quiet and before == (member.epoch, member.owned) and member.told == member.owned
        owned = [where for member in members for where in member.owned]
        if quiet and len({m.epoch for m in members}) == 1 and set(owned) == set(partitions):
            return members[0].epoch
        assert time.monotonic() < deadline, f"no agreement in {timeout} s: {members}"
