"""What the benchmarks know of the machine: its memory, its page cache, and who used its processors."""

import json
import mmap
import os
import pathlib
import re
import subprocess
import threading

MEGABYTE = 1e6
PATTERN = b"\1" * (64 << 20)


def back_memory():
    """Touches memory so that a virtual machine's host has backed what the page cache is about to take.

    Without it the same program on the same disk measures 500 or 1,500 MB/s by the luck of which pages it gets.
    """
    available = int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) * 1024
    size = min(4 << 30, available // 2)
    with mmap.mmap(-1, size) as memory:
        for start in range(0, size, 64 << 20):
            memory[start:start + (64 << 20)] = PATTERN[:min(64 << 20, size - start)]


def client_cpu():
    """CPU seconds of all children that have ended, which are the clients: the broker is not among them while it runs."""
    times = os.times()
    return times.children_user + times.children_system


class PeakMemory(threading.Thread):
    """Samples a process's anonymous memory until it is left."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path, self.peak, self.over = f"/proc/{pid}/status", 0, threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def run(self):
        while not self.over.is_set():
            try:
                text = pathlib.Path(self.path).read_text()
            except OSError:
                return
            self.peak = max(self.peak, int(re.search(r"RssAnon:\s+(\d+)", text)[1]) * 1024)
            self.over.wait(0.05)


class CorePace:
    """Watches how long a core of this machine takes for the same arithmetic until it is left (core_pace.c)."""

    def __init__(self, directory):
        self.command = [str(directory / "core_pace")]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        said, _ = self.process.communicate()
        # Whatever ended the measurement early may have ended this, too.
        self.figures = json.loads(said) if kind is None else {}
