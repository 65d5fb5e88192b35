#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`opmeter off` stops the counting within 10 ms by its own measure; the calls made while it is off are a counted loss; `on`
goes on; and both are acts in the log."""
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def main():
    need_live()
    with Rig("switch", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start()
        player = rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product", f"1,641,257,131,{TYPES_BF16}",
                          "--calls", "40009", "--rate", "8000", "--wait-ms", "300")
        time.sleep(1.5)
        out = subprocess.run([OPMETER, "off", "--pin-dir", rig.pins], check=True, capture_output=True, text=True).stdout
        print(out.strip())
        assert float(re.match(r"off after ([\d.]+) ms", out)[1]) < 10
        time.sleep(1.0)
        at_off = rig.total("calls")
        time.sleep(0.7)
        assert rig.total("calls") == at_off and at_off > 0, "it went on counting"
        subprocess.run([OPMETER, "on", "--pin-dir", rig.pins], check=True)
        report = rig.finish(player)
        rig.wait_for(lambda: rig.total("calls") > at_off, "the counting to go on")
        time.sleep(1)
        rig.stop()
        counted = rig.total("calls")
        lost = sum(int(r["lost"].get("off", 0)) for r in rig.readings())
        print(f"played {report['calls']}, counted {counted}, lost while off {lost}")
        # Calls between the detachment and the next attachment meet no probe at all.
        assert counted < int(report["calls"]) and counted + lost <= int(report["calls"])
        acts = [(e["payload"]["act"], e["payload"]["meter"]) for e in rig.export("entries") if e["kind"] == "act"]
        assert acts == [("off", "node"), ("on", "node")], acts


def by_meter():
    """Each meter by itself: the other goes on."""
    with Rig("switch-meter", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start()
        for meter in ("launch", "counter", "shape"):
            out = subprocess.run([OPMETER, "off", "--meter", meter, "--pin-dir", rig.pins], check=True, capture_output=True,
                                 text=True).stdout
            assert float(re.match(r"off after ([\d.]+) ms", out)[1]) < 10
            time.sleep(0.5)
            player = rig.play(rig.cgroup(meter), "--lib-dir", CUDA13, "--product", f"1,641,257,131,{TYPES_BF16}",
                              "--calls", "1009", "--wait-ms", "300")
            rig.finish(player)
            subprocess.run([OPMETER, "on", "--meter", meter, "--pin-dir", rig.pins], check=True)
            end = time.monotonic() + (2 if meter == "shape" else 30)
            while (counted := rig.total("calls", meter)) < 1009 and time.monotonic() < end:
                time.sleep(0.2)
            assert counted == (0 if meter == "shape" else 1009), (meter, counted)
        rig.stop()
        bad = subprocess.run([OPMETER, "off", "--meter", "gas", "--pin-dir", rig.pins], capture_output=True, text=True)
        assert bad.returncode == 2 and "gas" in bad.stderr, bad


main()
by_meter()
