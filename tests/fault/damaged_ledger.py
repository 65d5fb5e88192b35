#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each byte of a small ledger flipped (a sample, seeded), and the file cut at each page: `ledger verify` says so (exit 3), or the
byte had no meaning (free space, an unused field) and every figure is as before. Never another figure, never a crash."""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

SAMPLE = int(os.environ.get("SAMPLE", "400"))


def state(d):
    v = subprocess.run([OPMETER, "ledger", "verify", "--dir", d], capture_output=True, timeout=20)
    e = subprocess.run([OPMETER, "ledger", "export", "--readings", "--entries", "--dir", d], capture_output=True, timeout=20)
    return v.returncode, v.stdout, e.returncode, e.stdout


def main():
    need_live()
    seed = int(os.environ.get("SEED", "7"))
    random.seed(seed)
    with Rig("damage", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start()
        rig.finish(rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product", f"1,128,64,32,{TYPES_BF16}", "--calls", "503",
                            "--wait-ms", "200"))
        time.sleep(1.5)
        rig.stop()
        whole = Path(rig.dir, "whole")
        shutil.copytree(rig.ledger, whole)
        subprocess.run(["sqlite3", whole / "ledger.db", "PRAGMA wal_checkpoint(TRUNCATE)"], check=True, stdout=subprocess.DEVNULL)
        want = state(whole)
        assert want[0] == 0, want
        data = (whole / "ledger.db").read_bytes()
        one = Path(rig.dir, "one")
        found = harmless = 0
        cuts = [n for n in range(0, len(data), 4096)]
        flips = random.sample(range(len(data)), min(SAMPLE, len(data)))
        for kind, at in [("cut", n) for n in cuts] + [("flip", n) for n in flips]:
            shutil.rmtree(one, ignore_errors=True)
            one.mkdir()
            bad = data[:at] if kind == "cut" else data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1:]
            (one / "ledger.db").write_bytes(bad)
            got = state(one)
            assert got[0] in (0, 1, 3), f"{kind} {at}: verify ended with {got[0]} (seed {seed})"
            if got[0]:
                found += 1
            else:
                assert got[3] == want[3] and got[1] == want[1], f"{kind} {at}: another figure, and verify is content (seed {seed})"
                harmless += 1
        print(f"{len(cuts)} cuts and {len(flips)} flips: {found} found, {harmless} without a meaning")
        assert found > len(cuts) // 2 and found - len(cuts) > 10, "hardly anything was found"


main()
