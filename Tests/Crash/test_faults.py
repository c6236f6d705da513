"""Judges: a write or a sync that fails is not retried (see the fsync troubles of 2018).

The store stops taking writes and says why, producers get KAFKA_STORAGE_ERROR, readers go
on, and after a restart nothing acknowledged is missing and nothing is torn.
"""

import subprocess

import pytest

from broker import run_tool, verify
from messages import METADATA
from records import batch, batches
from transactions import RawTransaction, describe
from waiting import wait_for
from wire_requests import fetch_one, list_offset, produce

KAFKA_STORAGE_ERROR = 56


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "faults.so"
    source = __file__.replace("test_faults.py", "faults.c")
    run_tool("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, source, "-ldl")
    return library


class FaultyStore:
    """A broker whose store can be made to fail at a moment that the test chooses."""

    def __init__(self, start_broker, shim, directory, call, at, error, repeat):
        self.arm, self.fired = directory / "arm", directory / "fired"
        self.broker = start_broker(environment={
            "LD_PRELOAD": str(shim), "LMB_FAULT_ARM": str(self.arm), "LMB_FAULT_FIRED": str(self.fired),
            "LMB_FAULT_CALL": call, "LMB_FAULT_AT": str(at), "LMB_FAULT_ERROR": error, "LMB_FAULT_REPEAT": repeat})

    def end_and_restart(self):
        """Ends the process, however it likes to end with a store that failed, and starts a healthy one."""
        self.broker.process.terminate()
        try:
            self.broker.process.wait(10)
        except subprocess.TimeoutExpired:
            raise AssertionError("SIGTERM did not end a broker whose store has failed") from None
        self.arm.unlink()
        self.broker.environment.clear()
        verify(self.broker.directory)
        self.broker.start()


@pytest.mark.parametrize("repeat", ["once", "forever"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call, at", [("write", 1), ("write", 2), ("write", 9), ("sync", 1), ("sync", 4)])
def test_the_nth_failing_call(start_broker, shim, topic, tmp_path, call, at, error, repeat):
    store = FaultyStore(start_broker, shim, tmp_path, call, at, error, repeat)
    broker = store.broker
    broker.create_topic(topic, 2)
    acknowledged = {}
    with broker.connect() as connection:
        def send(number):
            reply = produce(connection, topic, batch([b"%06d" % number + b"." * 3000]), partition=number % 2)
            if reply.error_code == 0:
                acknowledged[(number % 2, reply.base_offset)] = b"%06d" % number
            return reply.error_code

        for number in range(40):
            assert send(number) == 0
        store.arm.touch()
        codes = [send(number) for number in range(40, 140)]
        assert store.fired.exists(), "the fault was never reached"
        assert set(codes) <= {0, KAFKA_STORAGE_ERROR} and KAFKA_STORAGE_ERROR in codes
        if error == "EIO" or repeat == "forever":
            first = codes.index(KAFKA_STORAGE_ERROR)
            assert set(codes[first:]) == {KAFKA_STORAGE_ERROR}, "a store that failed must not go on writing"

        # Readers go on, and see nothing that was not acknowledged.
        for partition in range(2):
            highest = max(offset for part, offset in acknowledged if part == partition)
            assert list_offset(connection, topic, -1, partition).offset == highest + 1
            read = batches(fetch_one(connection, topic, partition=partition).records)
            assert read[0].base_offset == 0
        assert connection.ask(METADATA, 12, topics=[dict(name=topic)]).topics[0].error_code == 0
    words = broker.log().lower()
    assert any(reason in words for reason in ("input/output error", "no space left", "disk is full")), \
        "the log does not say why the store stopped"

    store.end_and_restart()
    with broker.connect() as connection:
        for (partition, offset), value in acknowledged.items():
            found = batches(fetch_one(connection, topic, offset=offset, partition=partition).records)[0]
            assert found.base_offset == offset and value in found.data
        assert send_again(connection, topic) == 0


def send_again(connection, topic):
    return produce(connection, topic, batch([b"after the restart"])).error_code


def test_a_failing_sync_at_clean_shutdown_is_not_called_clean(start_broker, shim, topic, tmp_path):
    store = FaultyStore(start_broker, shim, tmp_path, "any", 1, "EIO", "forever")
    broker = store.broker
    broker.create_topic(topic)
    with broker.connect() as connection:
        for _ in range(20):
            assert produce(connection, topic, batch([b"x" * 1000])).error_code == 0
    store.arm.touch()
    store.end_and_restart()
    with broker.connect() as connection:
        assert list_offset(connection, topic, -1).offset == 20


@pytest.mark.parametrize("call, error", [("sync", "EIO"), ("write", "ENOSPC")])
def test_a_transaction_that_times_out_while_nothing_can_be_written_costs_nothing(start_broker, shim, topic, tmp_path, call, error):
    """It is looked at again after seconds, not at once and for ever: neither the processor nor the log is filled with it."""
    store = FaultyStore(start_broker, shim, tmp_path, call, 1, error, "forever")
    broker = store.broker
    broker.create_topic(topic)
    with RawTransaction(broker, topic, timeout_ms=1000) as producer, broker.connect() as connection:
        producer.send(topic, [b"x"])
        store.arm.touch()
        assert produce(connection, topic, batch([b"y"])).error_code == KAFKA_STORAGE_ERROR
        failure = f"transactions of '{topic}' could not be written"
        wait_for(lambda: failure in broker.log(), "the timeout's failure in the log")
        cpu, lines = broker.cpu_seconds(), broker.log().count(failure)
        # Longer than a failed step waits, so that what comes after the wait is seen as well.
        wait_for(lambda: broker.log().count(failure) > lines, "the second look", timeout=30)
        assert broker.cpu_seconds() - cpu < 2
        assert broker.log().count(failure) < lines + 3
    store.end_and_restart()
    with broker.connect() as connection:
        wait_for(lambda: describe(connection, topic).transaction_state == "CompleteAbort", "the transaction's end after the restart")
