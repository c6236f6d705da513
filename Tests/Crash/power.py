"""What a disk may hold after a power cut, laid out from the log that disk_log.c writes.

What was synced is there. Of what was written since the last sync there is any part, sector by sector: a disk and its
kernel write in the order they like.
"""

import bisect
import struct

HEAD = struct.Struct("<c3xIQ")
SECTOR = 512


class DiskLog:
    """The steps of one store's file, by their ends in the log."""

    def __init__(self, path):
        self.data = path.read_bytes()
        self.steps, position = [], 0
        while position + HEAD.size <= len(self.data):
            step, length, offset = HEAD.unpack_from(self.data, position)
            begin = position + HEAD.size
            position = begin + length
            if position > len(self.data):
                break
            self.steps.append((position, step, offset, begin))
        self.ends = [step[0] for step in self.steps]

    def steps_at(self, end):
        """How many steps were begun when the log was so long."""
        return bisect.bisect_right(self.ends, end)


class Disk:
    """The file while the log is replayed, up to any step and on from there."""

    def __init__(self, log):
        self.log, self.step_count = log, 0
        self.synced, self.unsynced = bytearray(), []

    def advance(self, step_count):
        for end, step, offset, begin in self.log.steps[self.step_count:step_count]:
            if step == b"W":
                self.unsynced.append((offset, self.log.data[begin:end]))
            elif step == b"P":
                self.put(self.synced, *self.unsynced.pop())
                # What is older would otherwise be laid over it.
                assert not self.unsynced, "a write is on the disk before those that came before it"
            else:
                for write in self.unsynced:
                    self.put(self.synced, *write)
                self.unsynced.clear()
        self.step_count = step_count

    @staticmethod
    def put(file, offset, data):
        if len(file) < offset + len(data):
            file.extend(bytes(offset + len(data) - len(file)))
        file[offset:offset + len(data)] = data

    def after_a_cut(self, chance, kept):
        """The file as it may be found, with each unsynced sector there with the probability `kept`."""
        file = bytearray(self.synced)
        for offset, data in self.unsynced:
            position = 0
            while position < len(data):
                # Sectors are the disk's, wherever the write begins.
                size = min(SECTOR - (offset + position) % SECTOR, len(data) - position)
                if chance.random() < kept:
                    self.put(file, offset + position, data[position:position + size])
                position += size
        return file
