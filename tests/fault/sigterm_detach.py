#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM while a library's probes are being detached: the agent ends in order and soon, and the next one sweeps
what is left and goes on counting, with no total changed."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def main():
    need_live()
    libs = [CUDA13 / "libcublas.so.13", CUDA12 / "libcublas.so.12", CUDA13 / "libcublasLt.so.13"]
    with Rig("sigterm", [x for l in libs for x in ("--library", l)]) as rig:
        rig.start()
        play = lambda: int(rig.finish(rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product", f"1,128,64,32,{TYPES_BF16}",
                                               "--calls", "5003", "--wait-ms", "200"))["ops"])
        ops, probes = 0, lambda: sum(len(f) for _, _, f in os.walk(os.path.join(rig.pins, "libraries")))
        assert probes() > 100, f"only {probes()} probes: too few to be interrupted"
        for delay_s in (0.0, 0.1, 0.15, 0.2, 0.3):  # the agent notices at its next drain, within 0.2 s
            ops += play()
            rig.wait_for(lambda: rig.total() == ops, "the drain")
            subprocess.run([OPMETER, "off", "--pin-dir", rig.pins], check=True, stdout=subprocess.DEVNULL)
            time.sleep(delay_s)
            left, start = probes(), time.monotonic()
            rig.agent.send_signal(signal.SIGTERM)
            rc = rig.agent.wait(timeout=60)
            print(f"after {delay_s} s {left} probes were left; the end took {time.monotonic() - start:.2f} s", flush=True)
            assert rc == 0, f"the agent ended with {rc}"
            subprocess.run([OPMETER, "on", "--pin-dir", rig.pins], check=True, stdout=subprocess.DEVNULL)
            rig.start()
        ops += play()
        rig.wait_for(lambda: rig.total() == ops, "the count to go on")
        rig.stop()


main()
