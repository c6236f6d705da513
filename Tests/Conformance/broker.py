"""The broker under test as a process: start, wait until it answers, observe, stop.

`LMBROKER` names the binary (default: the release build). Nothing here sleeps for luck:
readiness is a decoded ApiVersions reply, the end is the process's exit.
"""

import os
import pathlib
import re
import signal
import socket
import subprocess

from messages import API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS
from waiting import wait_for
from wire import Connection, ConnectionClosed

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("LMBROKER", ROOT / ".build/release/lmbroker")).resolve()
STOP_SECONDS = 5.0


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_tool(*arguments, stdin=None, timeout=120, check=True, text=True):
    """Runs any command to its end and returns it with its output; fails with what it said."""
    done = subprocess.run([str(a) for a in arguments], input=stdin, capture_output=True, text=text, timeout=timeout)
    if check:
        assert done.returncode == 0, f"{' '.join(map(str, arguments))} exited {done.returncode}: {done.stderr[-2000:]}"
    return done


def lmbroker(*arguments, **options):
    """Runs a subcommand of the binary under test."""
    return run_tool(BINARY, *arguments, **options)


def verify(directory, timeout=300):
    """`lmbroker verify` must find nothing to say against the store."""
    done = lmbroker("verify", directory, check=False, timeout=timeout)
    assert done.returncode == 0, f"verify found faults in {directory}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done


def evict(directory):
    """Takes a stopped store's pages out of the page cache: who comes next finds them on the disk."""
    os.sync()
    for path in pathlib.Path(directory).iterdir():
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Broker:
    """One `lmbroker serve`; `settings` become --set options, `environment` is added to ours."""

    def __init__(self, directory, settings=None, environment=None, port=None, log_path=None):
        self.directory = pathlib.Path(directory)
        self.settings = dict(settings or {})
        self.environment = dict(environment or {})
        self.port = port or free_port()
        self.log_path = pathlib.Path(log_path or f"{self.directory}.log")
        self.process = None

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        command = [str(BINARY), "serve", "--data", str(self.directory), "--listen", self.bootstrap]
        for name, value in self.settings.items():
            command += ["--set", f"{name}={value}"]
        return command

    def launch(self):
        """Starts the process without waiting for it to serve."""
        assert BINARY.exists(), f"no broker at {BINARY}: build it first, or set LMBROKER"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=os.environ | self.environment)
        return self

    def start(self, timeout=10.0):
        """Starts the process and returns once it has answered ApiVersions."""
        self.launch()
        self.wait_until_serving(timeout)
        return self

    def wait_until_serving(self, timeout=10.0):
        wait_for(self.serves, lambda: f"the broker serves:\n{self.log_tail()}", timeout, every=0.002)

    def serves(self):
        """Whether it answers ApiVersions; a process that has ended never will."""
        code = self.process.poll()
        assert code is None, f"the broker exited {code} at start:\n{self.log_tail()}"
        try:
            with Connection(self.address, timeout=2.0) as connection:
                assert connection.ask(API_VERSIONS, 0).error_code == 0
            return True
        except (OSError, ConnectionClosed):
            return False

    def stop(self, timeout=STOP_SECONDS):
        """SIGTERM must end the process with status 0 within the time given."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"SIGTERM did not end the broker in {timeout} s:\n{self.log_tail()}") from None
        assert code == 0, f"the broker exited {code} on SIGTERM:\n{self.log_tail()}"

    def kill(self):
        """kill -9, and wait until the kernel has taken the process away."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, count=3000):
        return self.log()[-count:]

    def connect(self, **options):
        return Connection(self.address, **options)

    def memory_anonymous(self):
        """Anonymous memory in bytes: what the process itself holds, not the mapped store."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", text, re.M)[1]) * 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def commits(self):
        """How many commits the file has seen: LMDB's own count."""
        return int(re.search(r"Last transaction ID: (\d+)", run_tool("mdb_stat", "-e", self.directory).stdout)[1])

    def bytes_read(self):
        """Bytes that the process has had read from the disk."""
        return int(re.search(r"^read_bytes: (\d+)", pathlib.Path(f"/proc/{self.pid}/io").read_text(), re.M)[1])

    def extents(self):
        """Entries of the keyspace `log`, those of deleted topics included until the sweep has been there."""
        return int(re.search(r"Entries: (\d+)", run_tool("mdb_stat", "-s", "log", self.directory).stdout)[1])

    def create_topic(self, name, partitions=1, **configs):
        """Creates a topic over the raw wire and returns its id."""
        with self.connect() as connection:
            reply = connection.ask(CREATE_TOPICS, 7, timeout_ms=10000, topics=[dict(
                name=name, num_partitions=partitions, replication_factor=1,
                configs=[dict(name=k.replace("_", "."), value=str(v)) for k, v in configs.items()])])
        assert reply.topics[0].error_code == 0, reply.topics[0]
        return reply.topics[0].topic_id

    def delete_topic(self, name):
        """Deletes a topic over the raw wire; its space is freed by later commits."""
        with self.connect(timeout=60) as connection:
            reply = connection.ask(DELETE_TOPICS, 6, timeout_ms=30_000, topics=[dict(name=name)])
        assert reply.responses[0].error_code == 0, reply.responses[0]


def refused(directory, log_path):
    """Starts a broker that must not start; returns what it said."""
    broker = Broker(directory, log_path=log_path)
    broker.launch()
    try:
        code = broker.process.wait(10)
    except subprocess.TimeoutExpired:
        broker.process.kill()
        raise AssertionError("the broker started where it should have refused") from None
    said = broker.log()
    assert code > 0, f"exit status {code}: {said}"
    assert "Fatal error" not in said and "crashed" not in said, said
    assert any(len(line.split()) >= 5 for line in said.splitlines()), f"that is no sentence: {said!r}"
    return said
