"""Fixtures that every suite shares: brokers that must end well, and topic names of one's own."""

import itertools
import re
import shutil

import pytest

from broker import Broker

for tool in ("kcat", "mdb_copy", "mdb_stat", "mdb_dump", "cc", "javac"):
    if shutil.which(tool) is None:
        raise pytest.UsageError(f"{tool} is missing: apt-get install kcat lmdb-utils gcc libc6-dev openjdk-17-jdk-headless")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tests, and only those")


def pytest_collection_modifyitems(config, items):
    """The slow targets are another command, not a skipped line in this one."""
    wanted = config.getoption("--slow")
    chosen = [item for item in items if bool(item.get_closest_marker("slow")) == wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


class Brokers:
    """Starts brokers in a directory of their own and, at the end, stops each as an operator would."""

    def __init__(self, directory):
        self.directory, self.started = directory, []

    def __call__(self, settings=None, *, directory=None, start=True, **options):
        number = len(self.started)
        broker = Broker(directory or self.directory / f"store-{number}", settings,
                        log_path=self.directory / f"broker-{number}.log", **options)
        self.started.append(broker)
        return broker.start() if start else broker

    def stop(self):
        failures = []
        for broker in self.started:
            try:
                broker.stop()
            except AssertionError as error:
                failures.append(str(error))
            print(f"--- log of {broker.directory}\n{broker.log_tail()}")
        assert not failures, "\n".join(failures)


@pytest.fixture
def start_broker(tmp_path):
    """A function that starts a broker with the settings given; several in one test if need be."""
    brokers = Brokers(tmp_path)
    yield brokers
    try:
        brokers.stop()
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="module")
def broker(request, tmp_path_factory):
    """A broker with default settings, or those in the file's BROKER_SETTINGS, shared by one file's tests."""
    directory = tmp_path_factory.mktemp("shared")
    brokers = Brokers(directory)
    yield brokers(getattr(request.module, "BROKER_SETTINGS", None))
    try:
        brokers.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def connection(broker):
    """A connection to the file's broker, for requests on the raw wire."""
    with broker.connect() as opened:
        yield opened


TOPIC_NUMBERS = itertools.count(1)


@pytest.fixture
def topic(request):
    """A topic name that no other test uses; the topic itself is not created."""
    name = re.sub(r"[^a-zA-Z0-9._-]+", "-", request.node.name)[:80].strip("-")
    return f"{name}-{next(TOPIC_NUMBERS)}"
