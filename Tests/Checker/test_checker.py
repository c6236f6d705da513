"""Judges the judge: a history with an anomaly planted fails with that anomaly named, the clean one passes."""

import copy

import pytest

from checker import check
from history import COMMITTED, MAIN, UNCOMMITTED, Log, read_log

IN, OUT, OTHER = "in/0", "out/0", "out/1"


def clean_history():
    """Inputs of a plain and a transactional producer, two transactions made of them, one aborted in between, a copy.

    in/0:  0 a   1 b (t1)   2 marker   3 x (t2)   4 abort marker   5 c
    out/0: 0 A (w1)   1 marker   2 Z (w2)   3 abort marker   4 C (w3)   5 marker
    out/1: 0 B (w1)   1 marker
    """
    steps = [
        dict(op="holds", who="p", id="P"), dict(op="holds", who="w", id="W"),
        dict(op="send", who="plain", txn=None, records=[[IN, "a", None]]),
        dict(op="ack", who="plain", records=[[IN, "a", 0]]),
        dict(op="begin", who="p", txn="t1"), dict(op="send", who="p", txn="t1", records=[[IN, "b", None]]),
        dict(op="ack", who="p", records=[[IN, "b", 1]]),
        dict(op="end", who="p", txn="t1", commit=True), dict(op="ended", who="p", txn="t1", outcome="commit"),
        dict(op="begin", who="p", txn="t2"), dict(op="send", who="p", txn="t2", records=[[IN, "x", None]]),
        dict(op="ack", who="p", records=[[IN, "x", 3]]),
        dict(op="end", who="p", txn="t2", commit=False), dict(op="ended", who="p", txn="t2", outcome="abort"),
        dict(op="seek", who="w", isolation=COMMITTED, partition=IN, offset=0),
        dict(op="poll", who="w", isolation=COMMITTED, records=[[IN, 0, "a"], [IN, 1, "b"]]),
        *transformation("w1", [[OUT, "A", "in/0@0"], [OTHER, "B", "in/0@1"]], 2, [[OUT, "A", 0], [OTHER, "B", 0]], "commit"),
        dict(op="committed", view=None, group="g", offsets=[[IN, 2]]),
        dict(op="send", who="plain", txn=None, records=[[IN, "c", None]]),
        dict(op="ack", who="plain", records=[[IN, "c", 5]]),
        dict(op="view", view="copy"),
        dict(op="poll", who="w", isolation=COMMITTED, records=[[IN, 5, "c"]]),
        *transformation("w2", [[OUT, "Z", "in/0@5"]], 6, [[OUT, "Z", 2]], "abort"),
        dict(op="seek", who="w", isolation=COMMITTED, partition=IN, offset=2),
        dict(op="poll", who="w", isolation=COMMITTED, records=[[IN, 5, "c"]]),
        *transformation("w3", [[OUT, "C", "in/0@5"]], 6, [], None),
        dict(op="seek", who="r", isolation=UNCOMMITTED, partition=OUT, offset=0),
        dict(op="poll", who="r", isolation=UNCOMMITTED, records=[[OUT, 0, "A"], [OUT, 2, "Z"], [OUT, 4, "C"]]),
        *complete("copy", {IN: [[0, "a"], [1, "b"], [5, "c"]], OUT: [[0, "A"]], OTHER: [[0, "B"]]},
                  {IN: [[0, "a"], [1, "b"], [3, "x"], [5, "c"]], OUT: [[0, "A"]], OTHER: [[0, "B"]]}, 2),
        *complete(MAIN, {IN: [[0, "a"], [1, "b"], [5, "c"]], OUT: [[0, "A"], [4, "C"]], OTHER: [[0, "B"]]},
                  {IN: [[0, "a"], [1, "b"], [3, "x"], [5, "c"]], OUT: [[0, "A"], [2, "Z"], [4, "C"]], OTHER: [[0, "B"]]}, 6),
    ]
    return [step | dict(at=float(number)) for number, step in enumerate(steps)]


def transformation(txn, records, offset, acks, outcome):
    steps = [dict(op="begin", who="w", txn=txn), dict(op="send", who="w", txn=txn, group="g", records=records),
             dict(op="ack", who="w", records=acks),
             dict(op="offsets", who="w", txn=txn, group="g", offsets=[[IN, offset]]),
             dict(op="end", who="w", txn=txn, commit=outcome != "abort")]
    return steps + ([dict(op="ended", who="w", txn=txn, outcome=outcome)] if outcome else [])


def complete(view, committed, uncommitted, offset):
    contents = ((COMMITTED, committed), (UNCOMMITTED, uncommitted))
    return [dict(op="complete", view=view, isolation=isolation, partition=partition, records=records)
            for isolation, content in contents for partition, records in content.items()] + [
                dict(op="committed", view=view, group="g", offsets=[[IN, offset]])]


class Planted:
    """A clean history and the places in it that an anomaly is planted at."""

    def __init__(self):
        self.steps = copy.deepcopy(clean_history())

    def of(self, op, **fields):
        return [s for s in self.steps if s["op"] == op and all(s.get(k) == v for k, v in fields.items())]

    def records(self, view, isolation, partition):
        step, = self.of("complete", view=view, isolation=isolation, partition=partition)
        return step["records"]

    def everywhere(self, partition, change):
        """Changes what both isolation levels see of a partition in the store and in its copy."""
        for step in self.of("complete", partition=partition):
            change(step["records"])

    def drop(self, op, **fields):
        self.steps = [s for s in self.steps if s not in self.of(op, **fields)]

    def add(self, op, after=None, **fields):
        at = self.steps[-1]["at"] + 1 if after is None else after["at"] + 0.5
        self.steps.append(dict(op=op, at=at, **fields))


def an_acknowledged_write_is_gone(planted):
    planted.everywhere(IN, lambda records: records.pop(0))
    planted.everywhere(OUT, lambda records: records.pop(0))


def a_committed_transaction_is_gone(planted):
    for isolation in (COMMITTED, UNCOMMITTED):
        planted.records(MAIN, isolation, IN).remove([1, "b"])


def an_acknowledged_write_is_gone_from_the_copy(planted):
    planted.records("copy", COMMITTED, IN).remove([5, "c"])
    planted.records("copy", UNCOMMITTED, IN).remove([5, "c"])


def an_acknowledged_write_that_was_aborted_is_gone(planted):
    planted.records(MAIN, UNCOMMITTED, OUT).remove([2, "Z"])


def an_aborted_value_is_polled(planted):
    planted.add("poll", who="late", isolation=COMMITTED, records=[[OUT, 2, "Z"]])


def an_aborted_value_is_in_the_store(planted):
    planted.records(MAIN, COMMITTED, IN).append([3, "x"])


def a_transaction_that_nobody_ended_is_read(planted):
    planted.drop("end", txn="w2")
    planted.drop("ended", txn="w2")
    planted.add("poll", who="late", isolation=COMMITTED, records=[[OUT, 2, "Z"]])


def a_transaction_is_torn(planted):
    planted.drop("ended", txn="w1")
    planted.drop("ack", who="w", records=[[OUT, "A", 0], [OTHER, "B", 0]])
    planted.everywhere(OTHER, lambda records: records.clear())


def a_transaction_is_torn_in_the_copy_alone(planted):
    # In the copy neither its outcome nor its records were promised: half of it is wrong all the same.
    copy_begun, = planted.of("view")
    copy_begun["at"] = 0.25
    planted.records("copy", COMMITTED, OTHER).clear()
    planted.records("copy", UNCOMMITTED, OTHER).clear()


def a_value_is_written_twice(planted):
    planted.records(MAIN, UNCOMMITTED, OUT).append([6, "C"])


def a_value_is_not_where_it_was_acknowledged(planted):
    planted.of("ack", who="plain")[0]["records"] = [[IN, "a", 2]]


def an_offset_has_another_value_in_the_copy(planted):
    planted.add("send", who="plain", txn=None, records=[[OTHER, "new", None]])
    planted.records("copy", UNCOMMITTED, OTHER)[0] = [0, "new"]


def a_reader_sees_another_value_at_an_offset(planted):
    planted.add("send", who="plain", txn=None, records=[[OUT, "new", None]])
    planted.add("poll", who="late", isolation=UNCOMMITTED, records=[[OUT, 2, "new"]])


def a_value_that_nobody_sent(planted):
    planted.records(MAIN, UNCOMMITTED, OUT).append([7, "ghost"])


def a_value_in_the_wrong_partition(planted):
    planted.records(MAIN, UNCOMMITTED, OTHER).append([7, "C"])


def a_producer_is_reordered(planted):
    first, = planted.of("send", records=[[IN, "a", None]])
    first["records"].append([IN, "a2", None])
    first["records"].reverse()
    planted.everywhere(IN, lambda records: records.append([6, "a2"]))


def a_reader_goes_back(planted):
    planted.add("poll", who="r", isolation=UNCOMMITTED, records=[[OUT, 2, "Z"]])


def a_reader_skips(planted):
    planted.of("poll", who="r")[0]["records"] = [[OUT, 0, "A"], [OUT, 4, "C"]]


def a_reader_skips_what_it_was_moved_to(planted):
    planted.add("seek", who="r", isolation=UNCOMMITTED, partition=OUT, offset=2)
    planted.add("poll", who="r", isolation=UNCOMMITTED, records=[[OUT, 4, "C"]])


def an_input_is_transformed_twice(planted):
    planted.steps += [step | dict(at=100.0 + number) for number, step in enumerate(
        transformation("w4", [[OUT, "C2", "in/0@5"]], 6, [], "commit"))]
    planted.records(MAIN, COMMITTED, OUT).append([6, "C2"])
    planted.records(MAIN, UNCOMMITTED, OUT).append([6, "C2"])


def offsets_are_committed_without_the_records(planted):
    for isolation in (COMMITTED, UNCOMMITTED):
        planted.records(MAIN, isolation, OUT).remove([4, "C"])
    planted.drop("poll", who="r")


def offsets_are_committed_without_the_records_in_the_copy(planted):
    planted.of("committed", view="copy")[0]["offsets"] = [[IN, 6]]


def records_are_committed_without_the_offsets(planted):
    planted.of("committed", view=MAIN)[0]["offsets"] = [[IN, 2]]


def an_aborted_offset_is_seen(planted):
    planted.drop("offsets", txn="w3")
    planted.add("committed", view=None, group="g", offsets=[[IN, 6]])


def a_zombie_commits(planted):
    begin, = planted.of("begin", txn="w1")
    planted.add("holds", after=begin, who="w-prime", id="W")


ANOMALIES = {
    "lost-write": [an_acknowledged_write_is_gone, a_committed_transaction_is_gone, an_acknowledged_write_is_gone_from_the_copy,
                   an_acknowledged_write_that_was_aborted_is_gone],
    "aborted-read": [an_aborted_value_is_polled, an_aborted_value_is_in_the_store, a_transaction_that_nobody_ended_is_read],
    "torn-transaction": [a_transaction_is_torn, a_transaction_is_torn_in_the_copy_alone],
    "value-at-two-offsets": [a_value_is_written_twice, a_value_is_not_where_it_was_acknowledged],
    "two-values-at-one-offset": [an_offset_has_another_value_in_the_copy, a_reader_sees_another_value_at_an_offset],
    "unsent-value": [a_value_that_nobody_sent, a_value_in_the_wrong_partition],
    "reordered-write": [a_producer_is_reordered],
    "poll-went-back": [a_reader_goes_back],
    "poll-skipped": [a_reader_skips, a_reader_skips_what_it_was_moved_to],
    "input-twice": [an_input_is_transformed_twice],
    "offsets-without-records": [offsets_are_committed_without_the_records, an_aborted_offset_is_seen,
                                offsets_are_committed_without_the_records_in_the_copy],
    "records-without-offsets": [records_are_committed_without_the_offsets],
    "zombie-commit": [a_zombie_commits],
}
PLANTS = [(kind, plant) for kind, plants in ANOMALIES.items() for plant in plants]


def test_a_clean_history_passes():
    assert check(clean_history()) == []


@pytest.mark.parametrize("kind, plant", PLANTS, ids=[plant.__name__ for _, plant in PLANTS])
def test_a_planted_anomaly_is_named(kind, plant):
    planted = Planted()
    plant(planted)
    assert planted.steps != clean_history()
    assert kind in {anomaly.kind for anomaly in check(planted.steps)}


def test_an_unknown_outcome_may_have_been_either():
    """The last transaction of the clean history has no answer: without its records and offsets it is clean as well."""
    planted = Planted()
    for isolation in (COMMITTED, UNCOMMITTED):
        planted.records(MAIN, isolation, OUT).remove([4, "C"])
    planted.drop("poll", who="r")
    planted.of("committed", view=MAIN)[0]["offsets"] = [[IN, 2]]
    assert check(planted.steps) == []


def test_a_log_that_a_kill_cut_is_read_up_to_there(tmp_path):
    log = Log(tmp_path / "log")
    for step in clean_history()[:3]:
        log(step.pop("op"), **{k: v for k, v in step.items() if k != "at"})
    with open(tmp_path / "log", "ab") as file:
        file.write(b'{"op": "poll", "rec')
    assert [o["op"] for o in read_log(tmp_path / "log")] == ["holds", "holds", "send"]
