#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An upgrade to another build under load, there and back, changes no total: the new build adopts the pinned maps,
attaches its own programs and drops the old ones, while players go on calling."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def other_build(to):
    """The same source, differently compiled: other programs in the kernel, another binary."""
    subprocess.run(["make", "-s", f"B={to}", "VERSION=9.9.9", "CFLAGS=-O1", "BPF_EXTRA=-O1", f"{to}/opmeter"],
                   check=True, stdout=subprocess.DEVNULL)
    return str(to / "opmeter")


def main():
    need_live()
    with Rig("upgrade", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        new = os.environ.get("OTHER_BUILD") or other_build(rig.dir / "build")

        rig.start()
        players = [rig.play(rig.cgroup(f"t{i}"), "--lib-dir", CUDA13, "--product", f"1,641,257,{131 + i},{TYPES_BF16}",
                            "--seconds", "9", "--rate", "40000", "--threads", "2", "--wait-ms", "300") for i in range(2)]
        time.sleep(2)
        rig.stop()
        rig.start(binary=new)
        time.sleep(2)
        rig.kill()
        rig.start()
        time.sleep(1)
        rig.stop()
        rig.start(binary=new)
        want = [rig.finish(p) for p in players]
        ops, calls = (sum(int(w[k]) for w in want) for k in ("ops", "calls"))
        try:
            rig.wait_for(lambda: rig.total() == ops, "the last drain")
        finally:
            print(f"operations: played {ops}, ledger {rig.total()}; calls: played {calls}, ledger {rig.total('calls')}, "
                  f"duplicates told apart {rig.total('duplicates')}")
        assert rig.total("calls") == calls
        assert rig.total("duplicates") > 0, "the builds were never attached together: nothing was upgraded"
        rig.stop()


main()
