"""Judges a history (see history.py) in the manner of Jepsen's Kafka workload: what must never be seen.

`check` returns the anomalies, each with its kind:

lost-write              acknowledged, or in a committed transaction, and not there
aborted-read            seen by read_committed and never committed
torn-transaction        a part of a transaction is there and a part is not
value-at-two-offsets    written twice, or elsewhere than acknowledged
two-values-at-one-offset
unsent-value            nobody sent this to this partition
reordered-write         a producer's values stand in another order than it sent them
poll-went-back          a reader got an offset again without having been moved
poll-skipped            a reader passed over a record that it should have got
input-twice             two committed outputs were made of one input
offsets-without-records the group's offset passed an input whose output is not there
records-without-offsets an output is there whose input the group's offset has not passed
zombie-commit           a commit was asked for and granted after another had been given the id
"""

import bisect
import collections

from history import COMMITTED, MAIN, UNCOMMITTED

Anomaly = collections.namedtuple("Anomaly", "kind text")
Send = collections.namedtuple("Send", "partition txn who group source place")


class Transaction:
    def __init__(self):
        self.values, self.offsets = [], []
        self.end_at = self.ended_at = None
        self.asked_to_commit, self.outcome, self.who = False, None, None


class View:
    """What one copy of the store holds when nothing in it is open any more."""

    def __init__(self):
        self.begun = float("inf")
        self.records = {COMMITTED: {}, UNCOMMITTED: {}}
        self.offsets = {}

    def values(self, isolation):
        return {value for records in self.records[isolation].values() for _, value in records}

    def is_complete(self, isolation, partition):
        return partition in self.records[isolation]


class History:
    def __init__(self, operations):
        self.sends, self.acks, self.holders = {}, {}, []
        self.transactions = collections.defaultdict(Transaction)
        self.views = collections.defaultdict(View)
        self.polls, self.live_offsets, self.sent_twice = [], [], []
        for operation in sorted(operations, key=lambda o: o["at"]):
            getattr(self, "note_" + operation["op"])(**{k: v for k, v in operation.items() if k != "op"})

    def note_holds(self, at, who, id):
        self.holders.append((id, at, who))

    def note_begin(self, at, who, txn):
        self.transactions[txn].who = who

    def note_send(self, at, who, txn, records, group=None):
        for partition, value, source in records:
            if value in self.sends:
                self.sent_twice.append(value)
            self.sends[value] = Send(partition, txn, who, group, source, len(self.sends))
            if txn is not None:
                self.transactions[txn].values.append(value)

    def note_ack(self, at, who, records):
        for partition, value, offset in records:
            self.acks[value] = (partition, offset, at)

    def note_offsets(self, at, who, txn, group, offsets):
        self.transactions[txn].offsets += [(group, partition, offset) for partition, offset in offsets]

    def note_end(self, at, who, txn, commit):
        transaction = self.transactions[txn]
        transaction.end_at = at
        transaction.asked_to_commit |= commit

    def note_ended(self, at, who, txn, outcome):
        self.transactions[txn].outcome, self.transactions[txn].ended_at = outcome, at

    def note_seek(self, at, who, isolation, partition, offset):
        self.polls.append((who, isolation, partition, offset, None))

    def note_poll(self, at, who, isolation, records):
        self.polls += [(who, isolation, partition, offset, value) for partition, offset, value in records]

    def note_view(self, at, view):
        self.views[view].begun = at

    def note_complete(self, at, view, isolation, partition, records):
        self.views[view].records[isolation][partition] = [tuple(r) for r in records]

    def note_committed(self, at, view, group, offsets):
        if view is None:
            self.live_offsets += [(group, partition, offset) for partition, offset in offsets]
        else:
            self.views[view].offsets[group] = dict(offsets)


def check(operations):
    """All anomalies of a history, in no particular order; an empty list for a good one."""
    history = History(operations)
    assert not history.sent_twice, f"the workload sent values twice: {history.sent_twice[:3]}"
    found = []
    for judge in (places, order, aborted_reads, polls, zombies, live_offsets):
        found += judge(history)
    for name, view in history.views.items():
        for judge in (lost, torn, inputs):
            found += [Anomaly(kind, f"{name}: {text}") for kind, text in judge(history, view)]
    return found


def sightings(history):
    """Every (partition, offset, value) that anybody was told of, in whatever way."""
    for value, (partition, offset, _) in history.acks.items():
        yield partition, offset, value
    for _, _, partition, offset, value in history.polls:
        if value is not None:
            yield partition, offset, value
    for view in history.views.values():
        for partitions in view.records.values():
            for partition, records in partitions.items():
                for offset, value in records:
                    yield partition, offset, value


def places(history):
    """One value at an offset, one offset for a value, in every copy and for all time."""
    at, of = {}, {}
    for partition, offset, value in sightings(history):
        send = history.sends.get(value)
        if send is None or send.partition != partition:
            yield Anomaly("unsent-value", f"{value!r} is in {partition} at {offset}")
        elif at.setdefault((partition, offset), value) != value:
            yield Anomaly("two-values-at-one-offset", f"{partition} {offset}: {at[(partition, offset)]!r} and {value!r}")
        elif of.setdefault(value, offset) != offset:
            yield Anomaly("value-at-two-offsets", f"{value!r} is in {partition} at {of[value]} and {offset}")


def order(history):
    known = {value: offset for _, offset, value in sightings(history)}
    last = {}
    for value, send in sorted(history.sends.items(), key=lambda item: item[1].place):
        if value not in known:
            continue
        where = (send.who, send.partition)
        if where in last and known[last[where]] > known[value]:
            yield Anomaly("reordered-write", f"{send.who} sent {last[where]!r} before {value!r} to {send.partition}")
        last[where] = value


def may_be_committed(history, value):
    send = history.sends.get(value)
    if send is None or send.txn is None:
        return True
    transaction = history.transactions[send.txn]
    return transaction.outcome != "abort" and transaction.asked_to_commit


def aborted_reads(history):
    seen = {value: who for who, isolation, _, _, value in history.polls if isolation == COMMITTED and value is not None}
    for name, view in history.views.items():
        seen |= {value: name for value in view.values(COMMITTED)}
    for value, who in seen.items():
        if not may_be_committed(history, value):
            yield Anomaly("aborted-read", f"{who} saw {value!r} of transaction {history.sends[value].txn}")


def lost(history, view):
    """What was acknowledged before the view began is in it; what was committed before, for read_committed too."""
    there = {isolation: view.values(isolation) for isolation in (COMMITTED, UNCOMMITTED)}
    for value, send in history.sends.items():
        acknowledged = value in history.acks and history.acks[value][2] < view.begun
        transaction = history.transactions[send.txn] if send.txn is not None else None
        if transaction is None:
            promised = dict.fromkeys((COMMITTED, UNCOMMITTED), acknowledged)
        else:
            committed = transaction.outcome == "commit" and transaction.ended_at < view.begun
            promised = {COMMITTED: committed, UNCOMMITTED: committed or acknowledged}
        for isolation, is_promised in promised.items():
            if is_promised and view.is_complete(isolation, send.partition) and value not in there[isolation]:
                yield "lost-write", f"{isolation} does not have {value!r} of {send.partition}"


def torn(history, view):
    there = view.values(COMMITTED)
    for txn, transaction in history.transactions.items():
        values = [v for v in transaction.values if view.is_complete(COMMITTED, history.sends[v].partition)]
        seen = [v for v in values if v in there]
        if transaction.asked_to_commit and 0 < len(seen) < len(values):
            missing = next(v for v in values if v not in there)
            yield "torn-transaction", f"{len(seen)} of {len(values)} values of {txn} are there; {missing!r} is not"


def polls(history):
    """A reader gets every record once, in order, until it is moved."""
    offsets = {(isolation, partition): sorted(offset for offset, _ in records)
               for isolation, partitions in history.views[MAIN].records.items() for partition, records in partitions.items()}
    positions = {}
    for who, isolation, partition, offset, value in history.polls:
        where = (who, partition)
        if value is None:
            positions[where] = offset
            continue
        position = positions.get(where, offset)
        if offset < position:
            yield Anomaly("poll-went-back", f"{who} got {partition} {offset} when it was at {position}")
        existing = offsets.get((isolation, partition), [])
        first = bisect.bisect_left(existing, position)
        if first < len(existing) and existing[first] < offset:
            yield Anomaly("poll-skipped", f"{who} got {partition} {offset} but not {existing[first]}, from {position}")
        positions[where] = offset + 1


def inputs(history, view):
    """Of each input that the group's committed offset has passed, and of no other, there is one output."""
    there = view.values(COMMITTED)
    made = collections.defaultdict(dict)
    for value, send in history.sends.items():
        if send.source is None or value not in there:
            continue
        if send.source in made[send.group]:
            yield "input-twice", f"{made[send.group][send.source]!r} and {value!r} were made of {send.source}"
        made[send.group][send.source] = value
    for group in set(made) | set(view.offsets):
        yield from passed(view, view.offsets.get(group, {}), made[group])


def passed(view, offsets, made):
    for source, value in made.items():
        partition, _, offset = source.rpartition("@")
        if int(offset) >= offsets.get(partition, 0):
            yield "records-without-offsets", f"{value!r} was made of {source}, but {offsets.get(partition, 0)} is committed"
    for partition, end in offsets.items():
        for offset, _ in view.records[COMMITTED].get(partition, []):
            if offset < end and f"{partition}@{offset}" not in made:
                yield "offsets-without-records", f"{end} is committed for {partition}, but nothing was made of {offset}"


def live_offsets(history):
    """A committed offset that anybody saw is one of a transaction that was, or may have been, committed."""
    there = history.views[MAIN].values(COMMITTED)
    allowed = {(group, partition, 0) for group, partition, _ in history.live_offsets}
    for transaction in history.transactions.values():
        if transaction.asked_to_commit and transaction.outcome != "abort" and any(v in there for v in transaction.values):
            allowed |= set(transaction.offsets)
    for group, partition, offset in sorted(set(history.live_offsets) - allowed):
        yield Anomaly("offsets-without-records", f"{group} was seen at {partition} {offset}, which no committed transaction says")


def zombies(history):
    holders = collections.defaultdict(list)
    held = {who: (id, at) for id, at, who in history.holders}
    for id, at, who in history.holders:
        holders[id].append((at, who))
    for txn, transaction in history.transactions.items():
        if transaction.outcome != "commit" or transaction.who not in held:
            continue
        id, since = held[transaction.who]
        for at, who in holders[id]:
            if since < at < transaction.end_at and who != transaction.who:
                yield Anomaly("zombie-commit", f"{transaction.who} committed {txn} after {who} had got {id!r}")
                break
