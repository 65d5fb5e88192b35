#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the agent at 50 random moments changes no total.

Players make a known number of calls while the agent is killed and started
again; in the end the ledger must hold exactly what the players report.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

KILLS = int(os.environ.get("KILLS", "50"))


def main():
    need_live()
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    random.seed(seed)
    print(f"seed {seed}, {KILLS} kills")
    with Rig("kill", ["--library", CUDA13 / "libcublasLt.so.13", "--library", CUDA12 / "libcublasLt.so.12"]) as rig:
        rig.start()
        players = [
            rig.play(rig.cgroup("tenant-a/job"), "--lib-dir", CUDA13, "--product", f"1,1031,523,257,{TYPES_BF16}",
                     "--rate", "20000", "--seconds", KILLS * 0.45, "--threads", "3", "--wait-ms", "300"),
            rig.play(rig.cgroup("tenant-b/job"), "--lib-dir", CUDA12, "--product", f"7,64,129,33,{TYPES_BF16}",
                     "--rate", "5000", "--seconds", KILLS * 0.4, "--wait-ms", "300"),
        ]
        for _ in range(KILLS):
            time.sleep(random.uniform(0.0, 0.35))
            rig.kill()
            rig.start(wait=random.random() < 0.5)
        reports = [rig.finish(p) for p in players]
        if not rig.ready():
            rig.wait_for(rig.ready, "the agent to be ready")
        want_ops = sum(int(r["ops"]) for r in reports)
        want_calls = sum(int(r["calls"]) for r in reports)
        assert want_calls > 1000 * KILLS / 50, "the players hardly played"
        try:
            rig.wait_for(lambda: rig.total() == want_ops, "the last drain", timeout=15)
        finally:
            print(f"operations: played {want_ops}, ledger {rig.total()}; "
                  f"calls: played {want_calls}, ledger {rig.total('calls')}")
        assert rig.total("calls") == want_calls
        rig.stop()
        assert rig.total() == want_ops, "the last drain changed the total"


main()
