# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a metered machine in a temporary directory.

Everything made here (processes, cgroups, pins, files) is ended or removed by
Rig.close(), also when a test fails.
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

BUILD = Path(os.environ.get("B", "build")).resolve()
OPMETER = os.environ.get("OPMETER") or str(BUILD / "opmeter")
PLAYER = str(BUILD / "tests/player/player")
CACHE = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter")))
CUDA12 = CACHE / "cuda/12.9.3.13"
CUDA13 = CACHE / "cuda/13.10.0.20"
TYPES_BF16 = "440e0e0e"  # compute type 32F, then C, B, A: bf16


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def need_live():
    if os.geteuid() != 0:
        skip("needs root for uprobes")
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        skip("the kernel has no BTF")
    if not (CUDA13 / "libcublasLt.so.13").exists():
        skip("no cuBLAS in the cache: run `make deps`")


def cgroup2_root():
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2":
            return left.split()[4]
    skip("no cgroup2 is mounted")


class Rig:
    def __init__(self, name, options=()):
        self.tag = f"opmeter-test-{name}-{uuid.uuid4().hex[:8]}"
        self.dir = Path(tempfile.mkdtemp(prefix=self.tag + "-"))
        # A BPF file system of the test's own: unmounting it releases every pin.
        self.bpf = self.dir / "bpf"
        self.bpf.mkdir()
        subprocess.run(["mount", "-t", "bpf", self.tag, self.bpf], check=True)
        self.pins = str(self.bpf / "opmeter")
        self.cgroup_root = Path(cgroup2_root()) / self.tag
        self.cgroup_root.mkdir()
        self.ledger = self.dir / "ledger"
        self.options = list(options)
        self.procs = []
        self.agent = None
        self.log = open(self.dir / "agent.log", "ab")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.log.flush()
            sys.stderr.write((self.dir / "agent.log").read_text()[-4000:])
        self.close()

    def cgroup(self, path):
        """Makes <test root>/path and returns its directory."""
        d = self.cgroup_root / path
        d.mkdir(parents=True, exist_ok=True)
        return d

    def start(self, *extra, binary=OPMETER, wait=True):
        args = [binary, "standalone", "--dir", self.ledger, "--pin-dir", self.pins,
                "--drain", "200ms", "--publish", "500ms", "--budget", "0", "--regimes", "tests/demo/regimes",
                "--offsets", "data/offsets.csv", *self.options, *extra]
        self.agent = subprocess.Popen([str(a) for a in args], stdout=self.log, stderr=self.log)
        if wait:
            self.wait_for(lambda: self.ready(), "the agent to be ready")
        return self.agent

    def ready(self):
        if self.agent.poll() is not None:
            raise AssertionError(f"the agent ended with {self.agent.returncode}")
        return f"ready pid={self.agent.pid} " in (self.dir / "agent.log").read_text()

    def kill(self):
        self.agent.send_signal(signal.SIGKILL)
        self.agent.wait()

    def stop(self):
        """SIGTERM: a last drain, then the end. The pins stay unless told otherwise."""
        self.agent.send_signal(signal.SIGTERM)
        rc = self.agent.wait(timeout=60)
        assert rc == 0, f"the agent ended with {rc}"

    def play(self, cgroup, *args, **kw):
        """Starts a player in the cgroup; its report is read by report()."""
        report = self.dir / f"report-{len(self.procs)}.json"
        cmd = [PLAYER, "--cgroup", os.fsencode(cgroup), "--report", str(report), *map(str, args)]
        p = subprocess.Popen(cmd, stdout=self.log, stderr=self.log, **kw)
        p.report = report
        self.procs.append(p)
        return p

    def finish(self, player, timeout=120):
        rc = player.wait(timeout=timeout)
        assert rc == 0, f"the player ended with {rc}"
        return json.loads(player.report.read_text())

    def export(self, what):
        out = subprocess.run([OPMETER, "ledger", "export", f"--{what}", "--dir", self.ledger],
                             check=True, capture_output=True, text=True).stdout
        return [json.loads(line) for line in out.splitlines()]

    def readings(self, below=""):
        """Registers by day of the jobs in this rig's cgroups: other processes of the machine are metered too."""
        jobs = {e["payload"]["job"] for e in self.export("entries")
                if e["kind"] == "job" and f"/{self.tag}/{below}" in (e["payload"]["path"] or "")}
        return [r for r in self.export("readings") if r["job"] in jobs]

    def total(self, field="exact", below=""):
        return sum(int(r[field]) for r in self.readings(below) if r["meter"] == "shape")

    def wait_for(self, condition, what, timeout=30):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError(f"waited {timeout} s for {what}")

    def close(self):
        for p in [*self.procs, self.agent]:
            if p and p.poll() is None:
                p.kill()
                p.wait()
        subprocess.run(["umount", self.bpf], check=False, stdout=self.log, stderr=self.log)
        for _ in range(50):
            dirs = [d for d, _, _ in os.walk(self.cgroup_root, topdown=False)]
            for d in dirs:
                try:
                    os.rmdir(d)
                except OSError:
                    pass
            if not self.cgroup_root.exists():
                break
            time.sleep(0.1)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Kafka:
    """A one-node broker in a temporary directory; ended and removed by close()."""

    def __init__(self, port):
        if not (CACHE / "kafka-4.1.0/.complete").exists():
            skip("no Kafka in the cache: run `make deps`")
        self.port = port
        self.brokers = f"127.0.0.1:{port}"
        self.dir = Path(tempfile.mkdtemp(prefix="opmeter-kafka-"))

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.act("down")
        shutil.rmtree(self.dir, ignore_errors=True)

    def act(self, verb, *args):
        subprocess.run(["tests/kafka/kafka-up", verb, "--data", self.dir, *args], check=True, stdout=subprocess.DEVNULL)

    def up(self):
        self.act("up", "--port", str(self.port))

    def kill(self):
        self.act("kill")

    def records(self, topic=None):
        out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", self.brokers], check=True,
                             capture_output=True, text=True).stdout
        rows = [json.loads(line) for line in out.splitlines()]
        return [r for r in rows if topic in (None, r["topic"])]
