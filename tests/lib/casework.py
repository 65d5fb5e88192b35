# SPDX-License-Identifier: Apache-2.0
"""A case store of a test's own, with a finding from a ledger that a recorded run was replayed into. No root, no GPU, no broker."""
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from opm import BUILD, OPMETER

CIRRUS = "/system.slice/docker-" + "c1" * 32 + ".scope"
RUN = "tests/data/runs/h100_gpt124m_train_fp8_r0.run.gz"
ORIGIN = "example.org/opmeter/cases"


class Desk:
    def __init__(self, name):
        self.dir = Path(tempfile.mkdtemp(prefix=f"opmeter-{name}-"))
        self.node, self.store, self.keys = self.dir / "node", self.dir / "cases", self.dir / "keys"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def run(self, *args, code=0, cwd=None, env=None):
        p = subprocess.run([OPMETER, *map(str, args)], capture_output=True, text=True, cwd=cwd, env=env)
        if code is not None:
            assert p.returncode == code, f"{args}: exit {p.returncode}, not {code}: {p.stdout}{p.stderr}"
        return p

    def find(self, repeat=200):
        """A finding of the demo's policy, through the real binary; returns the case."""
        self.run("replay", RUN, "--ledger", self.node, "--cgroup", CIRRUS, "--repeat", repeat, "--tenants", "tests/demo/tenants.yaml",
                 "--owners", "tests/demo/owners.yaml", "--regimes", "tests/demo/regimes")
        out = self.run("case", "take", "--store", self.store, "--ledger", self.node).stdout
        assert "1 opened, 0 added to a case, 0 known" in out, out
        return out.split()[0]

    def keygen(self, *extra):
        line = self.run("evidence", "keygen", "--keys", self.keys, "--origin", ORIGIN, *extra).stdout
        path = self.dir / f"{line.split('+')[1]}.pub"
        path.write_text(line)
        return path

    def case(self, act, case, by, *args, code=0):
        return self.run("case", act, case, "--store", self.store, "--by", by, *args, code=code)

    def record(self, case):
        return json.loads(self.run("case", "show", case, "--store", self.store, "--json", "--retention", "data/retention.yaml").stdout)

    def gather(self, case):
        return self.case("gather", case, "alice", "--ledger", self.node, "--regimes", "tests/demo/regimes", "--owners",
                         "tests/demo/owners.yaml").stdout

    def to_second_review(self, case):
        self.case("assign", case, "alice", "--sre", "carol,dan")
        self.case("inquiry", case, "alice", "--to", "counsel of cirrus", "--question", "Does the customer intend to export the model?")
        self.case("answer", case, "alice", "--text", "It does not.")
        for i in (1, 2):
            self.case("checklist", case, "alice", "--item", i)
        self.case("determine", case, "alice", "--outcome", "customer_informed", "--rationale", "asked, answered, informed")

    def close(self, case):
        self.to_second_review(case)
        self.case("confirm", case, "bob", "--rationale", "read it all")

    def seal(self, case, out="b.tar"):
        self.run("evidence", "export", case, "--store", self.store, "--keys", self.keys, "--by", "bob", "--out", self.dir / out)
        return self.dir / out

    def verify(self, bundle, *keys, code=0):
        return self.run("evidence", "verify", bundle, *[x for k in keys for x in ("--key", k)], code=code)


def libraries():
    """What the binary needs to start: (name it is looked up by, file)."""
    out = subprocess.run(["ldd", OPMETER], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        words = line.split()
        if "=>" in words and words[2].startswith("/"):
            yield words[2]
        elif words and words[0].startswith("/"):
            yield words[0]
