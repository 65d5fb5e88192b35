# SPDX-License-Identifier: Apache-2.0
"""For the counter meter's tests: the watching agent and a tenant on the simulated GPU, each a process that does what it
is told (tests/cupti/watch.c, tests/cupti/tenant.c)."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

B = Path(os.environ.get("B", "build")).resolve()
LOST = ("read", "version", "absurd", "decreasing", "quota", "off")
GH100, BF16 = 6, 4
# enum om_counter_reason, in the header's order.
REASONS = {x.lower().replace("_", "-"): i for i, x in enumerate(
    re.findall(r"OM_COUNTER_(\w+)(?: = 0)?,", Path("bpf/counter.h").read_text().split("enum om_counter_reason {")[1].split("}")[0]))}


def fnv(name):
    h = 14695981039346656037
    for b in name.encode():
        h = (h ^ b) * 1099511628211 % 2**64
    return f"{h:016x}"


def need_root():
    if os.geteuid():
        print("SKIP: attaching probes needs root")
        sys.exit(77)
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        print("SKIP: the kernel has no BTF")
        sys.exit(77)


class Told:
    def __init__(self, argv, **env):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                  env={**os.environ, **env})
        self.pid = self.p.pid

    def line(self):
        return self.p.stdout.readline().rstrip("\n")

    def begin(self, command):
        self.p.stdin.write(command + "\n")
        self.p.stdin.flush()

    def answer(self):
        lines = []
        while True:
            line = self.line()
            if line == "ok":
                return lines
            if line.startswith("error") or (not line and self.p.poll() is not None):
                raise RuntimeError(f"{line!r}, exit {self.p.poll()}, {self.p.stderr.read() if self.p.poll() is not None else ''}")
            lines.append(line)

    def tell(self, command):
        self.begin(command)
        return self.answer()

    def end(self):
        """Its exit status. What the tenant printed to stderr is an error of ours."""
        if self.p.stdin and not self.p.stdin.closed:
            self.p.stdin.close()
        rc = self.p.wait(timeout=20)
        err = self.p.stderr.read()
        if err:
            raise AssertionError(f"printed to the tenant's stderr: {err}")
        return rc


class Rig:
    """A copy of the collector, so that other tests' tenants are not heard, and an agent that listens to it."""

    def __init__(self, listen=True, quota=None):
        need_root()
        self.dir = Path(tempfile.mkdtemp(prefix="opmeter-counter-"))
        self.so = self.dir / "libopmeter-cupti.so"
        shutil.copy(B / "libopmeter-cupti.so", self.so)
        self.bpf = self.dir / "bpf"
        self.bpf.mkdir()
        subprocess.run(["mount", "-t", "bpf", self.dir.name, self.bpf], check=True)
        self.pins = str(self.bpf / "opmeter")
        self.tenants, self.agent, self.quota = [], None, quota
        if listen:
            self.listen()

    def listen(self):
        argv = [B / "tests/cupti/watch", self.pins, self.so] + ([str(self.quota)] if self.quota else [])
        self.agent = Told(argv)
        line = self.agent.line()
        if line != "ready":
            raise RuntimeError(f"the agent: {line} {self.agent.p.stderr.read()}")

    def tenant(self, inject=True, **env):
        env = {"LD_LIBRARY_PATH": str(B / "simgpu"), "OPMETER_COUNTER_INTERVAL_MS": "2", "OPMETER_COUNTER_SEED": "1", **env}
        t = Told([B / "tests/cupti/tenant"], **env)
        self.tenants.append(t)
        if inject:
            t.tell(f"inject {self.so}")
        return t

    def read(self):
        rows = [json.loads(x) for x in self.agent.tell("read")]
        return [r for r in rows if "pid" in r], {r["process"]: r for r in rows if "process" in r}

    def wait(self, what, seconds=12, step=None):
        """Until what(rows, processes) is true; what it returned."""
        until = time.monotonic() + seconds
        while True:
            rows, processes = self.read()
            got = what(rows, processes)
            if got:
                return got
            if time.monotonic() > until:
                raise AssertionError(f"did not come about: {rows[:4]} {processes}")
            if step:
                step()
            else:
                time.sleep(0.05)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        for t in self.tenants:
            if t.p.poll() is None:
                t.p.kill()
                t.p.wait()
        if self.agent and self.agent.p.poll() is None:
            self.agent.p.stdin.close()
            self.agent.p.wait(timeout=20)
        subprocess.run(["umount", self.bpf], check=False)
        shutil.rmtree(self.dir)


def check(condition, text):
    if not condition:
        print("FAIL:", text)
        raise AssertionError(text)
