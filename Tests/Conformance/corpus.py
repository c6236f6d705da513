"""A real text file of more than a million lines: the package indexes that apt leaves on a Debian machine.

Where they are missing (a slim image), the machine's own text files stand in; where there
are too few lines, the corpus is repeated with a line number, so that no two lines are
alike by accident alone.
"""

import pathlib
import subprocess

LINES_MIN = 1_000_001


def apt_indexes():
    for path in sorted(pathlib.Path("/var/lib/apt/lists").glob("*_Packages*")):
        if path.suffix in (".lz4", ".xz", ".gz", ".zst"):
            done = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", str(path)], capture_output=True)
            yield done.stdout
        else:
            yield path.read_bytes()


def machine_texts():
    for folder in ("/usr/share", "/usr/lib/python3", "/usr/include", "/etc"):
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if path.suffix in (".txt", ".h", ".py", ".pl", ".pm", "", ".conf") and path.is_file():
                try:
                    data = path.read_bytes()
                except OSError:
                    continue
                if b"\0" not in data[:4096]:
                    yield data


def write_corpus(target):
    """Writes the corpus; each line is non-empty and ends in a newline. Returns the number of lines."""
    lines = 0
    with open(target, "wb") as out:
        for source in (apt_indexes, machine_texts):
            for data in source():
                kept = [line for line in data.replace(b"\r", b"").replace(b"\0", b"").split(b"\n") if line]
                if kept:
                    out.write(b"\n".join(kept) + b"\n")
                    lines += len(kept)
                if lines > 3 * LINES_MIN:
                    break
            if lines >= LINES_MIN:
                return lines
        number = 0
        while lines < LINES_MIN:
            number += 1
            out.write(b"line %d of a machine that has too little text of its own\n" % number)
            lines += 1
    return lines
