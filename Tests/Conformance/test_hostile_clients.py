"""Judges: clients that behave badly in well-formed ways do not grow memory or stall others.

Slow-loris, readers that never read, connection floods, requests for two gigabytes,
compressed bombs.
"""

import gzip
import socket
import struct
import time

import pytest

from messages import API_VERSIONS, DESCRIBE_LOG_DIRS, FETCH, METADATA, PRODUCE
from records import batch
from waiting import wait_for
from wire import Connection, ConnectionClosed
from wire_requests import fetch_one, fetch_values, produce, produce_values

MEGABYTE = 1 << 20


def answers_quickly(broker, seconds=1.0):
    begun = time.monotonic()
    with broker.connect() as connection:
        assert connection.ask(API_VERSIONS, 0).error_code == 0
    assert time.monotonic() - begun < seconds, "others were stalled"


def test_slow_loris_clients_hold_nobody_up(broker):
    frame = METADATA.header(9, 1) + METADATA.encode(9, topics=[])
    frame = struct.pack(">i", len(frame)) + frame
    slow = [broker.connect() for _ in range(200)]
    for position in range(len(frame) - 1):
        for client in slow:
            client.send_raw(frame[position:position + 1])
        if position % 8 == 0:
            answers_quickly(broker)
    for client in slow:
        client.send_raw(frame[-1:])
    for client in slow:
        client.receive_frame()
        client.close()


def test_a_reader_that_stops_reading_holds_only_its_own_bytes(broker, topic):
    """It asks for 4 GB in pipelined fetches and reads nothing: the broker must stop serving it, not buffer."""
    broker.create_topic(topic)
    with broker.connect() as connection:
        for _ in range(40):
            assert produce(connection, topic, batch([b"x" * 900_000])).error_code == 0
    before = broker.memory_anonymous()
    greedy = [Connection(broker.address, receive_buffer=4096) for _ in range(4)]
    for client in greedy:
        client.socket.settimeout(0.5)
        try:
            for _ in range(1000 // len(greedy)):
                client.send(FETCH, 12, **fetch_values(topic, {0: 0}, max_bytes=50 * MEGABYTE,
                                                      partition_max_bytes=50 * MEGABYTE))
        except TimeoutError:
            pass  # The broker has stopped reading: that is the back-pressure asked for.
    for _ in range(20):
        answers_quickly(broker, 2.0)
    grown = broker.memory_anonymous() - before
    for client in greedy:
        client.close()
    assert grown < 250 * MEGABYTE, f"unread replies took {grown / MEGABYTE:.0f} MB"
    answers_quickly(broker)


def test_a_producer_that_never_reads_its_replies(broker, topic):
    broker.create_topic(topic)
    before = broker.memory_anonymous()
    data = batch([b"x" * 50_000])
    deaf = Connection(broker.address, receive_buffer=4096, timeout=0.5)
    sent = 0
    try:
        for sent in range(20_000):
            deaf.send(PRODUCE, 9, **produce_values(topic, data))
            if sent == 4000:
                break
    except TimeoutError:
        pass
    answers_quickly(broker, 2.0)
    assert broker.memory_anonymous() - before < 200 * MEGABYTE
    deaf.close()


def test_a_request_for_two_gigabytes_gets_what_is_reasonable(broker, topic):
    broker.create_topic(topic)
    with broker.connect(timeout=30) as connection:
        for _ in range(100):
            produce(connection, topic, batch([b"y" * 900_000]))
        before = broker.memory_anonymous()
        reply = connection.ask(FETCH, 12, **fetch_values(topic, {0: 0}, max_bytes=0x7FFFFFFF,
                                                         partition_max_bytes=0x7FFFFFFF))
        assert reply.error_code == 0
        size = len(reply.responses[0].partitions[0].records)
    assert 900_000 < size <= 120 * MEGABYTE
    assert broker.memory_anonymous() - before < 250 * MEGABYTE


@pytest.mark.parametrize("limit", ["max.connections", "max.connections.per.ip"])
def test_connections_are_limited(start_broker, limit):
    broker = start_broker({limit: 20})
    kept = []
    refused = 0
    for _ in range(40):
        client = broker.connect(timeout=2)
        try:
            client.ask(API_VERSIONS, 0)
            kept.append(client)
        except (ConnectionClosed, TimeoutError):
            refused += 1
            client.close()
    assert len(kept) == 20 and refused == 20
    for client in kept:
        assert client.ask(API_VERSIONS, 0).error_code == 0, "those inside the limit are served"
        client.close()

    def is_let_in():
        try:
            answers_quickly(broker)
            return True
        except ConnectionClosed:
            return False
    wait_for(is_let_in, "the freed places are given out again", 5)


def test_ten_thousand_connections_one_after_another(broker):
    before, descriptors = broker.memory_anonymous(), broker.descriptors()
    for number in range(10_000):
        with broker.connect() as client:
            if number % 10 == 0:
                client.ask(API_VERSIONS, 0)

    def are_closed():
        answers_quickly(broker)
        return broker.descriptors() <= descriptors + 5
    wait_for(are_closed, lambda: f"the descriptors are closed; {broker.descriptors() - descriptors} are still open", 10)
    assert broker.memory_anonymous() - before < 64 * MEGABYTE


def test_many_idle_connections_at_once(broker):
    before = broker.memory_anonymous()
    idle = [broker.connect() for _ in range(900)]
    for client in idle[::50]:
        client.ask(API_VERSIONS, 0)
    answers_quickly(broker)
    grown = broker.memory_anonymous() - before
    for client in idle:
        client.close()
    assert grown < 64 * MEGABYTE, f"{grown / 900:.0f} bytes a connection"


@pytest.mark.parametrize("claimed", ["one-record", "million-records"])
def test_a_compressed_bomb_is_bounded(broker, topic, claimed):
    """Half a gigabyte of zeros in half a megabyte, sent where the broker must look inside."""
    broker.create_topic(topic, cleanup_policy="compact")
    before = broker.memory_anonymous()
    bomb = gzip.compress(b"\0" * (512 * MEGABYTE), 6)
    count = 1 if claimed == "one-record" else 1_000_000
    data = batch([], count=count, last_offset_delta=count - 1, attributes=1, body=bomb)
    with broker.connect(timeout=30) as connection:
        assert produce(connection, topic, data).error_code != 0
    assert broker.memory_anonymous() - before < 200 * MEGABYTE
    answers_quickly(broker)


def test_pipelined_requests_without_end_are_held_back(broker):
    """A client that sends faster than it is served is not read further; it gets its answers later."""
    before = broker.memory_anonymous()
    connection = Connection(broker.address, timeout=1.0, receive_buffer=4096)
    body = METADATA.encode(9, topics=None)
    sent = 0
    try:
        while sent < 200_000:
            connection.send_frame(METADATA.header(9, sent) + body)
            sent += 1
    except TimeoutError:
        pass
    answers_quickly(broker, 2.0)
    assert broker.memory_anonymous() - before < 200 * MEGABYTE
    connection.close()


def writes_and_reads(broker, topic, seconds=3.0):
    begun = time.monotonic()
    with broker.connect() as connection:
        written = produce(connection, topic, batch([b"x"]))
        assert written.error_code == 0
        assert fetch_one(connection, topic, offset=written.base_offset).records
    assert time.monotonic() - begun < seconds, "others were stalled"


@pytest.mark.parametrize("api, version", [(DESCRIBE_LOG_DIRS, 4), (METADATA, 12)], ids=["log-dirs", "metadata"])
def test_answers_that_threads_make_are_held_back(start_broker, topic, api, version):
    """A thousand questions about ten thousand partitions: a few are answered, and the others when there is room."""
    broker = start_broker()
    broker.create_topic(topic, 10_000)
    deaf = broker.connect(timeout=60, receive_buffer=1 << 18)
    deaf.ask(api, version, topics=None)
    held, spent, limit = broker.memory_anonymous(), -1.0, 100 * MEGABYTE
    asked = [deaf.send(api, version, topics=None) for _ in range(1000)]
    deaf.socket.recv(1, socket.MSG_PEEK)
    for _ in range(20):
        writes_and_reads(broker, topic)

    def rests():
        nonlocal spent
        before, spent = spent, broker.cpu_seconds()
        return spent - before < 0.02
    wait_for(rests, "the broker has done what it will do", 60, every=0.25)
    grown = broker.memory_anonymous() - held
    assert grown < limit, f"unread answers took {grown / MEGABYTE:.0f} MB"

    size = 0
    for correlation in asked:
        frame = deaf.receive_frame()
        assert struct.unpack(">i", frame[:4])[0] == correlation
        size += len(frame)
    assert size > 2 * limit, "so much would have been held"
    reply = api.decode(version, api.reply_body(version, frame))
    topics = reply.topics if api is METADATA else reply.results[0].topics
    assert {t.name: len(t.partitions) for t in topics} == {topic: 10_000}
    deaf.close()
    answers_quickly(broker)
