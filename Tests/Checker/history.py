"""What clients did and what they saw: one JSON object a line, a file for each client.

A client writes down what it is about to do before it does it, and what came of it after; one
that is killed leaves a file that ends early, which weakens what can be said and never makes it
wrong. `at` is the machine's monotonic clock, so that the files of several processes compare.

| op | fields | meaning |
|---|---|---|
| holds | who, id | `who` has been given the transactional id |
| begin | who, txn | |
| send | who, txn or null, group, records [[partition, value, source or null]] | about to be sent, in this order |
| ack | who, records [[partition, value, offset]] | |
| offsets | who, txn, group, offsets [[partition, offset]] | about to be sent with the transaction |
| end | who, txn, commit | about to be asked for |
| ended | who, txn, outcome (commit or abort) | answered so; without this line nobody knows |
| seek | who, isolation, partition, offset | from here on a reader begins there |
| poll | who, isolation, records [[partition, offset, value]] | |
| view | view | from here on nothing more is promised to be in this copy of the store |
| complete | view, isolation, partition, records [[offset, value]] | the whole partition, when nothing is open any more |
| committed | view or null, group, offsets [[partition, offset]] | with null: while the work went on |

A partition is "topic/number", a source "topic/number@offset": the input that an output was made of.
The view of the store itself, at the end, is "main".
"""

import json
import os
import time

COMMITTED, UNCOMMITTED = "read_committed", "read_uncommitted"
MAIN = "main"


def partition_name(topic, partition):
    return f"{topic}/{partition}"


class Log:
    """Appends operations to a file, each in one write, so that a kill loses at most the last."""

    def __init__(self, path):
        self.file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)

    def __call__(self, op, **fields):
        os.write(self.file, (json.dumps(dict(op=op, at=time.monotonic(), **fields)) + "\n").encode())


def read_log(path):
    """The operations of one file; a last line that was cut by a kill is left out."""
    with open(path, "rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]
