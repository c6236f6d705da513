"""The 200 topics of the mixed soak: what each keeps, what its records are like, its share of the bytes.

Times are those of an hour; a shorter soak has them shorter by as much. Time limits stay at a minute at least: three of
the load's bursts, so that what lives in the store does not come and go with each of them.
"""

import collections

Topic = collections.namedtuple("Topic", "name kind partitions size keys share configs kept_bytes kept_seconds")

SIZES = (100, 1_000, 10_000, 100_000, 500_000)
# The share of the bytes that a topic of this record size has beside others: with more of the small records, the
# client's work for each would be what the bursts measure.
WEIGHTS = dict(zip(SIZES, (0.1, 1.0, 1.2, 1.0, 0.7)))
# Kind of topic: how many of them, their share of the bytes. Fleeting ones keep all and are deleted in turn.
KINDS = {"time": (90, 0.50), "bytes": (50, 0.25), "compacted": (30, 0.10), "both": (20, 0.07), "fleeting": (10, 0.08)}
HOUR = 3600
SHORTEST = 60
SHORTEST_SECONDS = {"time": SHORTEST, "both": SHORTEST}
COMPACTED_SECONDS = 120
BOTH_SECONDS = 300


def kept_seconds(kind, number, count, scale):
    """How long a topic's records are to stay, or be about what stays, at the steady rate."""
    place = number / (count - 1)
    wanted = {"time": 60 * 60 ** place, "bytes": 30 * 10 ** place, "compacted": COMPACTED_SECONDS,
              "both": BOTH_SECONDS, "fleeting": HOUR}[kind]
    return max(wanted * scale, SHORTEST_SECONDS.get(kind, 0))


def configs(kind, seconds, partition_bytes):
    """The topic's configs, by their names with underscores."""
    return {"time": dict(retention_ms=int(seconds * 1000)),
            "bytes": dict(retention_ms=-1, retention_bytes=int(partition_bytes)),
            "compacted": dict(cleanup_policy="compact"),
            "both": dict(cleanup_policy="compact,delete", retention_ms=int(seconds * 1000)),
            "fleeting": dict(retention_ms=-1)}[kind]


def plan(rate_mb_s, seconds):
    """All topics. One that keeps by time for long has few of the bytes, so that each topic holds about as many."""
    scale = min(1.0, seconds / HOUR)
    topics = []
    for kind, (count, kind_share) in KINDS.items():
        stays = [kept_seconds(kind, n, count, scale) for n in range(count)]
        weights = [WEIGHTS[SIZES[n % len(SIZES)]] / (stays[n] if kind == "time" else 1) for n in range(count)]
        for number in range(count):
            share = kind_share * weights[number] / sum(weights)
            size, partitions = SIZES[number % len(SIZES)], 1 + number % 3 // 2
            # Compacted by their keys within two minutes, whatever the time limit says beside.
            kept = share * rate_mb_s * 1e6 * (COMPACTED_SECONDS * scale if kind in ("compacted", "both") else stays[number])
            keys = max(10, int(kept / size)) if kind in ("compacted", "both") else 0
            topics.append(Topic(f"{kind}-{number:02}", kind, partitions, size, keys, share,
                                configs(kind, stays[number], kept / partitions), kept, stays[number]))
    return topics


def lines(topics):
    """The plan as bench/mixed.c reads it."""
    return "".join(f"{t.name} {t.partitions} {t.size} {t.keys} {t.share:.9f} {int(t.kind == 'fleeting')}\n" for t in topics)
