"""The one place where tests wait: for a condition, never for time."""

import time


def wait_for(condition, what, timeout=20, every=0.02):
    """Returns the condition's first true value; fails with `what` when there is none in time.

    What is awaited is in another process, which tells nobody: so it is asked again and again.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout} s: {what() if callable(what) else what}"
        time.sleep(every)


def now_ms():
    """The time of day in milliseconds, as records are stamped with it."""
    return int(time.time() * 1000)


def next_millisecond():
    """Returns a time of day that everything stamped so far is before."""
    before = now_ms()
    wait_for(lambda: now_ms() > before, "the clock moves on", every=0.0005)
    return now_ms()
