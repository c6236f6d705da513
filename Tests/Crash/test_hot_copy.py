"""Judges: `mdb_copy` by the distribution's own tool, under full load, is a backup (promise 3).

Ten copies: each is clean, holds everything that was acknowledged before it began, and a
second broker serves it as it is. `mdb_stat` and `mdb_dump` open the running store.
"""

import shutil
import subprocess

from broker import lmbroker, run_tool, verify
from ledger import Ledger

COPIES = 10


def test_ten_copies_under_full_load(start_broker, topic, tmp_path):
    broker = start_broker()
    with Ledger(broker, topic, (1000, 1000, 90_000), in_flight_max=8000) as ledger:
        for number in range(COPIES):
            ledger.wait_for_more(5000)
            copy = tmp_path / "copy"
            copy.mkdir()
            before, acknowledged = ledger.count(), ledger.snapshot()
            run_tool("mdb_copy", broker.directory, copy)
            assert ledger.count() >= before
            # The checks below would compete with the load for two cores and prove nothing more.
            ledger.pause()
            verify(copy)
            restored = start_broker(directory=copy)
            ledger.check(restored.bootstrap, acknowledged)
            run_tool("kcat", "-b", restored.bootstrap, "-P", "-t", f"{topic}-restored", stdin="new life\n")
            assert run_tool("kcat", "-b", restored.bootstrap, "-C", "-q", "-e", "-t", f"{topic}-restored",
                            "-o", "beginning").stdout == "new life\n"
            restored.stop()
            shutil.rmtree(copy)
            ledger.resume()
    ledger.check(broker.bootstrap, ledger.snapshot())


def test_the_backup_command_under_load(start_broker, topic, tmp_path):
    broker = start_broker()
    with Ledger(broker, topic, (1000, 1000)) as ledger:
        for number in range(3):
            ledger.wait_for_more(5000)
            acknowledged, copy = ledger.snapshot(), tmp_path / f"backup-{number}"
            lmbroker("backup", copy, "--data", broker.directory)
            ledger.pause()
            verify(copy)
            restored = start_broker(directory=copy)
            ledger.check(restored.bootstrap, acknowledged)
            restored.stop()
            ledger.resume()


def test_stock_tools_open_the_live_store(start_broker, topic):
    broker = start_broker()
    with Ledger(broker, topic) as ledger:
        ledger.wait_for_more(3000)
        overview = run_tool("mdb_stat", "-a", "-e", "-f", "-r", broker.directory).stdout
        for database in ("meta", "journal", "log", "times", "partitions", "topics"):
            assert f"Status of {database}" in overview
        ledger.wait_for_more(1000)
        dump = subprocess.run(["mdb_dump", "-a", str(broker.directory)], stdout=subprocess.PIPE, timeout=120)
        assert dump.returncode == 0 and dump.stdout.count(b"HEADER=END") >= 6
        verify(broker.directory)
        ledger.wait_for_more(1000)
