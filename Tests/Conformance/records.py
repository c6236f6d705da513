"""Record batches of format 2, built and taken apart byte by byte.

The builder takes every header field as an argument, so that a test can lie in exactly
one of them. Layout (KIP-98): base offset 8, batch length 4, leader epoch 4, magic 1,
CRC-32C 4, attributes 2, last offset delta 4, base timestamp 8, max timestamp 8,
producer id 8, producer epoch 2, base sequence 4, record count 4, records.
"""

import gzip
import importlib
import struct
import time

from wire import Message, varint

HEADER_SIZE = 61
CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def _crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C_TABLE = _crc32c_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    table = CRC32C_TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def zigzag(value):
    return varint(((value << 1) ^ (value >> 63)) & 0xFFFFFFFFFFFFFFFF)


def record(value, key=None, headers=(), offset_delta=0, timestamp_delta=0):
    def sized(data):
        return zigzag(-1) if data is None else zigzag(len(data)) + data

    body = b"\0" + zigzag(timestamp_delta) + zigzag(offset_delta) + sized(key) + sized(value)
    body += zigzag(len(headers)) + b"".join(zigzag(len(k)) + k + sized(v) for k, v in headers)
    return zigzag(len(body)) + body


def compress(codec, data):
    if codec == "none":
        return data
    if codec == "gzip":
        return gzip.compress(data)
    # Looked for when they are wanted: the benchmarks build batches too, with the system's Python, which has none of these.
    if codec == "snappy":
        return bytes(importlib.import_module("cramjam").snappy.compress_raw(data))
    if codec == "lz4":
        return importlib.import_module("lz4.frame").compress(data)
    return importlib.import_module("zstandard").compress(data)


def batch(values, *, codec="none", timestamp=None, keys=None, base_offset=0, leader_epoch=-1, magic=2,
          producer_id=-1, producer_epoch=-1, base_sequence=-1, attributes=0, count=None,
          last_offset_delta=None, crc=None, length=None, body=None, max_timestamp=None):
    """One batch. Every keyword that is given replaces what an honest producer would write."""
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    keys = keys or [None] * len(values)
    if body is None:
        body = b"".join(record(v, k, offset_delta=i) for i, (v, k) in enumerate(zip(values, keys)))
    count = len(values) if count is None else count
    checked = struct.pack(
        ">hiqqqhii", attributes | CODECS[codec],
        len(values) - 1 if last_offset_delta is None else last_offset_delta,
        timestamp, timestamp if max_timestamp is None else max_timestamp,
        producer_id, producer_epoch, base_sequence, count) + compress(codec, body)
    crc = crc32c(checked) if crc is None else crc
    tail = struct.pack(">ibI", leader_epoch, magic, crc) + checked
    return struct.pack(">qi", base_offset, len(tail) if length is None else length) + tail


def batches(data):
    """The headers of the batches in a fetch reply; a truncated last one is left out."""
    found, offset = [], 0
    while offset + HEADER_SIZE <= len(data):
        base, length, epoch, magic, crc, attributes, delta, first, last, pid, pepoch, sequence, count = \
            struct.unpack(">qiibIhiqqqhii", data[offset:offset + HEADER_SIZE])
        end = offset + 12 + length
        if end > len(data):
            break
        found.append(Message(
            base_offset=base, leader_epoch=epoch, magic=magic, crc=crc, attributes=attributes,
            last_offset=base + delta, first_timestamp=first, max_timestamp=last, producer_id=pid,
            producer_epoch=pepoch, base_sequence=sequence, count=count, data=data[offset:end]))
        offset = end
    return found
