"""Judges: malformed bytes on a live socket cost the sender its connection and nobody anything else.

After each attack a connection that was open all along still works, the process has not
grown beyond the stated bound, and its log has no sign of a crash.
"""

import random
import struct

import pytest

from messages import ALL, API_VERSIONS, DELETE_TOPICS, FETCH, METADATA, PRODUCE
from records import batch
from test_wire_versions import REQUESTS
from waiting import wait_for
from wire import Connection, ConnectionClosed
from wire_requests import fetch_one, produce, produce_values

MEGABYTE = 1 << 20
GROWTH_BYTES_MAX = 64 * MEGABYTE
SEED = 20261122


@pytest.fixture
def witness(broker):
    """A connection from before the attack that must still be served after it."""
    before = broker.memory_anonymous()
    with broker.connect() as connection:
        assert connection.ask(API_VERSIONS, 0).error_code == 0
        yield connection
        assert broker.process.poll() is None, "the broker died"
        assert connection.ask(API_VERSIONS, 0).error_code == 0, "the bystander's connection was harmed"
        with broker.connect() as fresh:
            assert fresh.ask(API_VERSIONS, 0).error_code == 0
    grown = broker.memory_anonymous() - before
    assert grown < GROWTH_BYTES_MAX, f"the broker grew by {grown / MEGABYTE:.0f} MB"


@pytest.mark.parametrize("length", [-1, -0x80000000, 0, 1, 7, 0x7FFFFFFF, 200 * MEGABYTE],
                         ids=["minus-one", "lowest", "zero", "one", "no-header", "two-gigabytes", "over-limit"])
def test_impossible_lengths_close_the_connection(broker, witness, length):
    with broker.connect() as connection:
        connection.send_raw(struct.pack(">i", length) + b"\0" * max(0, min(length, 7)))
        connection.expect_close()


def test_a_length_over_the_configured_limit_closes_at_once(start_broker):
    broker = start_broker({"socket.request.max.bytes": 100_000})
    with broker.connect() as connection:
        connection.send_raw(struct.pack(">i", 100_001))
        connection.expect_close()
    with broker.connect() as connection:
        connection.send_frame(API_VERSIONS.header(0, 1, "x" * 30_000))
        connection.receive_frame()


def test_announced_gigabytes_are_not_allocated(broker, witness):
    """Forty clients announce 90 MB each and send a little of it: memory follows what came."""
    before = broker.memory_anonymous()
    clients = [broker.connect() for _ in range(40)]
    for client in clients:
        client.send_raw(struct.pack(">i", 90 * MEGABYTE) + PRODUCE.header(9, 1) + b"x" * 1000)
    assert witness.ask(API_VERSIONS, 0).error_code == 0
    assert broker.memory_anonymous() - before < GROWTH_BYTES_MAX
    for client in clients:
        client.close()


def test_memory_that_many_held_at_once_is_given_back(start_broker):
    """Six clients send 8 MB each of a frame that never becomes whole, and go."""
    broker = start_broker()
    before = broker.memory_anonymous()
    clients = [broker.connect() for _ in range(6)]
    for client in clients:
        client.send_raw(struct.pack(">i", 8 * MEGABYTE) + b"x" * (8 * MEGABYTE - 1))
    wait_for(lambda: broker.memory_anonymous() - before > 40 * MEGABYTE, "all of it has arrived")
    for client in clients:
        client.close()
    wait_for(lambda: broker.memory_anonymous() - before < 20 * MEGABYTE, "what they held is given back", timeout=30)


def test_truncated_frames_are_forgotten_with_their_connection(broker, witness, topic):
    broker.create_topic(topic)
    body = PRODUCE.header(9, 1) + PRODUCE.encode(9, **produce_values(topic, batch([b"half"])))
    for cut in range(0, len(body), 5):
        with broker.connect() as connection:
            connection.send_raw(struct.pack(">i", len(body)) + body[:cut])
    assert fetch_one(witness, topic).high_watermark == 0


@pytest.mark.parametrize("api, version", [(METADATA, 9), (METADATA, 1), (PRODUCE, 9), (PRODUCE, 3), (FETCH, 12),
                                          (DELETE_TOPICS, 4)], ids=lambda v: getattr(v, "name", str(v)))
def test_counts_larger_than_the_frame(broker, witness, api, version):
    """An array that claims two billion elements must not be believed."""
    for claim in (struct.pack(">i", 0x7FFFFFFF), b"\xff\xff\xff\xff\x07", b"\xff" * 12, struct.pack(">i", -2)):
        with broker.connect() as connection:
            prefix = {"Produce": b"\0" * (7 if version >= 9 else 8), "Fetch": b"\0" * 21}.get(api.name, b"")
            connection.send_frame(api.header(version, 1) + prefix + claim + b"\0" * 20)
            try:
                connection.socket.settimeout(3)
                connection.receive_frame()
            except (ConnectionClosed, TimeoutError):
                pass


def test_garbage_closes_or_is_answered_but_never_hangs_the_broker(broker, witness):
    chance = random.Random(SEED)
    for _ in range(300):
        with broker.connect(timeout=5) as connection:
            try:
                connection.send_raw(chance.randbytes(chance.randint(1, 2000)))
            except ConnectionClosed:
                continue
    assert witness.ask(API_VERSIONS, 0).error_code == 0


def mutate(chance, frame):
    """One to four changes: bits, bytes, lengths, cuts, insertions."""
    data = bytearray(frame)
    for _ in range(chance.randint(1, 4)):
        if not data:
            break
        place = chance.randrange(len(data))
        kind = chance.randrange(6)
        if kind == 0:
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[place] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            data[place:place + 4] = struct.pack(">i", chance.choice((-1, 0, 0x7FFFFFFF, -0x80000000, 65536)))
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            data[place:place] = chance.randbytes(chance.randint(1, 20))
        else:
            del data[place:place + chance.randint(1, 8)]
    return bytes(data)


@pytest.mark.parametrize("round_number", range(4))
def test_mutated_frames_of_every_api(broker, witness, topic, round_number):
    """A seeded fuzz; on failure the seed and the last frame say how to replay it."""
    chance = random.Random(SEED + round_number)
    topic_id = broker.create_topic(topic)
    seeds = [(api, version, api.encode(version, **REQUESTS[api.name](topic, topic_id, version)))
             for api in ALL.values() for version in (api.first_flexible, max(api.first_flexible - 1, 3))
             if not (api.name == "DescribeTopicPartitions" and version) and api.name != "ApiVersions"]
    for number in range(400):
        api, version, body = chance.choice(seeds)
        frame = api.header(version, number) + body
        frame = frame[:8] + mutate(chance, frame[8:])
        try:
            with broker.connect(timeout=5) as connection:
                connection.send_frame(frame)
                connection.send_frame(API_VERSIONS.header(0, 7))
                # Either the broker answers (with an error or, by luck, a success) or it closes.
                connection.receive_frame()
        except ConnectionClosed:
            pass
        except TimeoutError:
            # A mutated Fetch may have asked for a long poll; any other must not hang.
            assert api is FETCH, f"seed {SEED + round_number}, frame {number}: {api.name} v{version} {frame.hex()}"
        assert broker.process.poll() is None, f"died at frame {number}: {api.name} v{version} {frame.hex()}"


def test_mutated_record_batches_never_get_in(broker, witness, topic):
    """Under a checksum, no mutation of the checked part may be stored."""
    broker.create_topic(topic)
    chance = random.Random(SEED)
    good = batch([b"value %d" % i for i in range(20)], codec="gzip")
    for number in range(300):
        bad = good[:17] + mutate(chance, good[17:])
        if bad == good:
            continue
        try:
            with broker.connect(timeout=5) as connection:
                code = produce(connection, topic, bad).error_code
            assert code != 0, f"seed {SEED}, batch {number} was accepted: {bad.hex()}"
        except ConnectionClosed:
            pass
    assert fetch_one(witness, topic).high_watermark == 0


def test_tls_http_and_ssh_greetings_are_turned_away(broker, witness):
    for greeting in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
                     b"SSH-2.0-OpenSSH_9.2\r\n"):
        with Connection(broker.address) as connection:
            connection.send_raw(greeting)
            connection.expect_close()
