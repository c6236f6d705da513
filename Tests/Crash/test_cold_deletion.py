"""Judges: deleting records that nobody has read for long does not read them.

LMDB looks at the first page of every value that it deletes; a page fault there would fetch its neighbours too, all of the topic
in the end, and each producer would wait for it.
"""

from broker import evict, verify
from records import batch
from waiting import wait_for
from wire_requests import produce

BATCHES, BATCH_BYTES = 200, 1_000_000


def test_a_cold_topic_is_deleted_without_being_read(start_broker):
    broker = start_broker()
    broker.create_topic("cold")
    records = batch([b"." * BATCH_BYTES])
    with broker.connect() as connection:
        for _ in range(BATCHES):
            assert produce(connection, "cold", records).error_code == 0
    broker.stop()
    evict(broker.directory)
    broker.start()
    before = broker.bytes_read()
    broker.delete_topic("cold")
    wait_for(lambda: broker.extents() == 0, "the topic's extents are still there")
    read = broker.bytes_read() - before
    assert read > 0, "it was not cold"
    assert read < BATCHES * BATCH_BYTES / 5, f"{read} bytes were read to delete {BATCHES * BATCH_BYTES}"
    broker.stop()
    verify(broker.directory)
