"""What the mixed soak measures beside the load: the store's file, its free pages and readers, and who used the machine."""

import bisect
import collections
import os
import pathlib
import re
import statistics
import threading
import time

from broker import run_tool
from messages import DESCRIBE_LOG_DIRS

PAGE = 4096
FreeList = collections.namedtuple("FreeList", "last_commit entries pages by_commit readers")


def free_list(directory):
    """The free list of a live store as LMDB's own tool sees it: pages by the commit that freed them; and its readers."""
    text = run_tool("mdb_stat", "-e", "-r", "-ff", directory).stdout
    by_commit = [(int(commit), int(pages)) for commit, pages in re.findall(r"Transaction (\d+), (\d+) pages", text)]
    readers = [(int(pid), int(commit)) for pid, commit in re.findall(r"^ *(\d+) +[0-9a-f]+ +(\d+)$", text, re.M)]
    listed = text[text.index("Freelist Status"):]
    return FreeList(int(re.search(r"Last transaction ID: (\d+)", text)[1]), int(re.search(r"Entries: (\d+)", listed)[1]),
                    int(re.search(r"Free pages: (\d+)", listed)[1]), by_commit, readers)


def pinned_bytes(free, pid):
    """Bytes that are free but cannot be used because this process reads a snapshot: LMDB takes no page again that a commit
    freed which is not before every reader's snapshot."""
    held = [commit for reader, commit in free.readers if reader == pid]
    return sum(pages for commit, pages in free.by_commit if commit >= min(held)) * PAGE if held else 0


class CommitTimes:
    """When commits were made, as well as the moments at which somebody looked tell; the age of a snapshot follows."""

    def __init__(self):
        self.commits, self.times, self.lock = [], [], threading.Lock()

    def note(self, free):
        with self.lock:
            self.commits.append(free.last_commit)
            self.times.append(time.monotonic())

    def oldest_reader_seconds(self, free):
        """At least how long the oldest reader has had its snapshot: since somebody last saw a commit that comes after it."""
        if not free.readers:
            return 0.0
        oldest = min(commit for _, commit in free.readers)
        with self.lock:
            place = bisect.bisect_right(self.commits, oldest)
            return time.monotonic() - self.times[place] if place < len(self.times) else 0.0


def live_bytes(broker):
    """The bytes of record batches in the store, by the kind of their topic."""
    with broker.connect() as connection:
        reply = connection.ask(DESCRIBE_LOG_DIRS, 4, topics=None)
    live = collections.Counter()
    for topic in reply.results[0].topics:
        live[topic.name.partition("-")[0]] += sum(p.partition_size for p in topic.partitions)
    return dict(live)


def file_bytes(broker):
    return (broker.directory / "data.mdb").stat().st_size


class MemoryWatch:
    """The broker's anonymous memory on average. What is free in it goes back every ten seconds: one look at each sample, at the
    same pace, would tell how long after that it came, and not how much there is."""

    def __init__(self, broker):
        self.broker, self.looks, self.lock, self.is_over = broker, [broker.memory_anonymous()], threading.Lock(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_over.wait(0.25):
            look = self.broker.memory_anonymous()
            with self.lock:
                self.looks.append(look)

    def mean(self):
        """Since the last call."""
        with self.lock:
            looks, self.looks = self.looks, self.looks[-1:]
        return statistics.mean(looks)

    def stop(self):
        self.is_over.set()
        self.thread.join()


class MachineUse:
    """Cores that others than these processes used, or that the host took away, since this was made."""

    def __init__(self, *pids):
        self.pids, self.begun, self.before = pids, time.monotonic(), self.seconds(pids)

    @staticmethod
    def seconds(pids):
        ticks = [int(n) for n in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        ours = 0
        for pid in pids:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ours += int(fields[11]) + int(fields[12])
        idle, waiting = ticks[3:5]
        return (sum(ticks) - idle - waiting - ours) / os.sysconf("SC_CLK_TCK")

    def by_others(self):
        return max(0.0, (self.seconds(self.pids) - self.before) / (time.monotonic() - self.begun))
