"""Judges: a real file of over a million lines goes in with kcat and out with `lmbroker consume`, and the
other way round, byte for byte, with each codec, over 1 and over 16 partitions.

Over one partition the very order must come back; over sixteen, the sorted lines.
"""

import hashlib
import subprocess

import pytest

from broker import BINARY
from corpus import LINES_MIN, write_corpus

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "lines.txt"
    lines = write_corpus(path)
    assert lines >= LINES_MIN
    return path


@pytest.fixture(scope="module")
def digests(corpus):
    """The file's digest as it is and with its lines sorted."""
    return digest(f"cat {corpus}"), digest(f"LC_ALL=C sort -S 400M {corpus}")


def digest(pipeline):
    """The SHA-256 of what a shell pipeline prints; every stage of it must succeed."""
    process = subprocess.Popen(["bash", "-o", "pipefail", "-c", pipeline], stdout=subprocess.PIPE)
    sha = hashlib.sha256()
    while piece := process.stdout.read(1 << 20):
        sha.update(piece)
    assert process.wait() == 0, f"failed: {pipeline}"
    return sha.hexdigest()


def shell(pipeline):
    done = subprocess.run(["bash", "-o", "pipefail", "-c", pipeline], capture_output=True, text=True)
    assert done.returncode == 0, f"{pipeline}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("partitions", [1, 16])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("direction", ["kcat-in", "kcat-out"])
def test_a_million_lines(broker, topic, corpus, digests, direction, codec, partitions):
    broker.create_topic(topic, partitions)
    if direction == "kcat-in":
        shell(f"kcat -b {broker.bootstrap} -P -t {topic} -p -1 -z {codec} -X linger.ms=20 "
              f"-X queue.buffering.max.messages=1000000 < {corpus}")
        read = f"{BINARY} consume {topic} --broker {broker.bootstrap} --from beginning --until-end"
    else:
        shell(f"{BINARY} produce {topic} --broker {broker.bootstrap} --codec {codec} < {corpus}")
        read = f"kcat -b {broker.bootstrap} -C -q -e -o beginning -t {topic}"
    if partitions > 1:
        read += " | LC_ALL=C sort -S 400M"
    assert digest(read) == digests[partitions > 1]
    shell(f"{BINARY} topic delete {topic} --broker {broker.bootstrap}")
