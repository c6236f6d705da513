"""Fetches Java's own Kafka client with what it needs: fetch_jars.py DIRECTORY

PyPI has it inside of another project's wheel, from which only these five files are read. They are pinned like the
clients in requirements.txt, by what is in them.
"""

import hashlib
import pathlib
import sys

from remotezip import RemoteZip

# deephaven-server 42.7.
WHEEL = ("https://files.pythonhosted.org/packages/4b/e0/9ee0b0d4971a43ddfef6780938e7084c900c264b2df53287922f98c6fdc8/"
         "deephaven_server-42.7-py3-none-any.whl")
JARS = {
    # Apache Kafka 4.3's, as Confluent builds it.
    "kafka-clients-8.3.2-ccs.jar": "fcbf0f2b33479dbe3ec8543216b5bf025d5660fdc25fe2af22c3f1a2458dc451",
    "slf4j-api-2.0.18.jar": "44508fd1576500688c790b190acdd16fec4f8c79a3e0b900afd70503cf055f55",
    "lz4-java-1.12.0.jar": "31c287041eab41f2459e93659d49162eff015a0eb858877e1c5e9dcce1a10c26",
    "snappy-java-1.1.10.8.jar": "50485d06037fea3d6e40c968386feeca6338cc9872e25549593ff3eb352cefcc",
    "zstd-jni-1.5.7-15.jar": "88af05c50951c2c8d0fe10c7b3451736204fcc389eaad01e767e7acc64e75fe2",
}


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(exist_ok=True)
    with RemoteZip(WHEEL) as wheel:
        for name, digest in JARS.items():
            content = wheel.read(f"deephaven_server/jars/{name}")
            if hashlib.sha256(content).hexdigest() != digest:
                raise SystemExit(f"{name} in {WHEEL} is not what it was")
            (directory / name).write_bytes(content)


if __name__ == "__main__":
    main()
