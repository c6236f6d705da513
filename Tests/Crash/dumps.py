"""What `mdb_dump` writes, taken apart and put together for `mdb_load`."""

import struct

from records import crc32c


def sections(dump):
    """Of each database its head and its rows: keys and values by turns, as hexadecimal digits."""
    found, name = {}, None
    for line in dump.splitlines():
        if line == "VERSION=3":
            name, head, rows = None, [line], []
        elif line == "DATA=END":
            found[name] = (head, rows)
        elif line.startswith(" "):
            rows.append(line)
        else:
            head.append(line)
            if line.startswith("database="):
                name = line.removeprefix("database=")
    return found


def text(databases):
    """What `sections` has taken apart."""
    return "".join("\n".join([*head, *rows, "DATA=END", ""]) for head, rows in databases.values())


def set_format(rows, change):
    """Changes the store's format in the rows of `meta`; returns what it was.

    The identity row is a format byte, the CRC-32C of the rest, and the fields, of which the first is the store's format.
    """
    place = rows.index(" " + b"identity".hex()) + 1
    value = bytes.fromhex(rows[place])
    before = struct.unpack(">i", value[5:9])[0]
    changed = struct.pack(">i", change(before)) + value[9:]
    rows[place] = " " + (value[:1] + struct.pack(">I", crc32c(changed)) + changed).hex()
    return before
