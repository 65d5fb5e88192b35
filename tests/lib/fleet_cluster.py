# SPDX-License-Identifier: Apache-2.0
"""Three brokers on loopback, each a controller, too, and which of them leads what."""
import struct
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

from fleet import *
from kafka_admin import ask, text

METADATA = 3


class Cluster:
    """Started together: none is ready before two of them are."""

    def __init__(self, count=3, heap="200m"):
        if not (CACHE / "kafka-4.1.0/.complete").exists():
            skip("no Kafka in the cache: run `make deps`")
        self.dir, self.heap = Path(tempfile.mkdtemp(prefix="opmeter-cluster-")), heap
        port = free_port(2 * count)
        self.nodes = range(1, count + 1)
        self.ports = {n: port + 2 * (n - 1) for n in self.nodes}
        self.brokers = ",".join(self.address(n) for n in self.nodes)
        self.voters = ",".join(f"{n}@127.0.0.1:{self.ports[n] + 1}" for n in self.nodes)
        self.dead = set()

    def address(self, n):
        return f"127.0.0.1:{self.ports[n]}"

    def act(self, verb, n, *args):
        p = subprocess.run([SOURCE / "tests/kafka/kafka-up", verb, "--data", self.dir / str(n), *args], capture_output=True, text=True)
        assert p.returncode == 0, f"broker {n}: {verb}: {p.stderr[-1500:]}"

    def up(self, n):
        self.act("up", n, "--port", str(self.ports[n]), "--heap", self.heap, "--timeout", "150", "--node", str(n), "--voters", self.voters)
        self.dead.discard(n)

    def kill(self, n):
        """SIGKILL."""
        self.dead.add(n)
        self.act("kill", n)

    def __enter__(self):
        try:
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(self.up, self.nodes))
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def partitions(self, topic):
        """{partition: (leader or -1, copies, copies in sync)}, as the first broker that lives has it (Metadata, version 1)."""
        alive = next(n for n in self.nodes if n not in self.dead)
        answer, at = ask(self.address(alive), METADATA, 1, struct.pack(">i", 1) + text(topic)), 0

        def take(form):
            nonlocal at
            value = struct.unpack_from(">" + form, answer, at)
            at += struct.calcsize(">" + form)
            return value[0]

        def take_text():
            nonlocal at
            length = take("h")
            at += max(length, 0)

        for _ in range(take("i")):
            take("i"), take_text(), take("i"), take_text()  # id, host, port, rack
        take("i")  # controller
        assert take("i") == 1 and take("h") == 0, f"{topic}: the broker does not know it"
        take_text(), take("b")
        out = {}
        for _ in range(take("i")):
            _, number, leader = take("h"), take("i"), take("i")
            out[number] = (leader, [take("i") for _ in range(take("i"))], [take("i") for _ in range(take("i"))])
        return out

    def close(self):
        for n in self.nodes:
            if (self.dir / str(n) / "kafka.pid").exists():
                self.act("kill", n)
        subprocess.run(["rm", "-rf", self.dir], check=False)
