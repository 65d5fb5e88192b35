#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The guard: a meter whose probes take more of the processors than their budget is switched off by itself, says so, and
stays off until a person switches it on; one within its budget is left alone."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def causes(rig):
    return [e["payload"]["data"]["cause"] for e in rig.export("entries")
            if e["kind"] == "alert" and e["payload"]["type"] == "opmeter.alert.data.v1"]


def main():
    need_live()
    with Rig("guard", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start("--budget", "1")
        lt = ("--lib-dir", CUDA13, "--product", f"1,641,257,131,{TYPES_BF16}")
        # A thousand calls a second are a thousandth of a processor.
        rig.finish(rig.play(rig.cgroup("calm"), *lt, "--seconds", "4", "--rate", "1000"))
        assert "a meter was switched off by the guard" not in causes(rig), causes(rig)
        player = rig.play(rig.cgroup("wild"), *lt, "--seconds", "40")
        rig.wait_for(lambda: "a meter was switched off by the guard" in causes(rig), "the guard", timeout=35)
        time.sleep(1.5)
        counted = rig.total("calls", "wild")
        time.sleep(1)
        assert counted > 0 and rig.total("calls", "wild") == counted, "it went on counting"
        player.terminate()
        rig.finish(player)
        acts = [(e["payload"]["act"], e["payload"]["meter"]) for e in rig.export("entries") if e["kind"] == "act"]
        assert acts == [("off", "shape")], acts
        subprocess.run([OPMETER, "on", "--pin-dir", rig.pins], check=True, stdout=subprocess.DEVNULL)
        time.sleep(0.7)
        rig.finish(rig.play(rig.cgroup("after"), *lt, "--calls", "101", "--wait-ms", "300"))
        rig.wait_for(lambda: rig.total("calls", "after") == 101, "counting after it was switched on")
        rig.stop()
    print(f"counted {counted} calls before the guard")


main()
