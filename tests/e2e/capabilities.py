#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The capabilities that the systemd unit grants are enough, and each is needed: an agent with just them meters a
process of another user whose libraries lie in a directory that only he can read; with one less it counts nothing
and says so."""
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

USER = 61234  # nobody's
CALLS = 101
unit = Path("dist/systemd/opmeter-agent.service").read_text()
GRANTED = [c.lower().removeprefix("cap_") for c in re.search(r"^CapabilityBoundingSet=(.*)$", unit, re.M).group(1).split()]


def meter(name, capabilities):
    """Calls counted, and the agent's log."""
    with Rig(name) as rig:
        os.chmod(rig.dir, 0o755)
        home = rig.dir / "home"
        home.mkdir()
        for f in ("libcublasLt.so.13", "libcublas.so.13"):
            shutil.copy(CUDA13 / f, home / f)
        shutil.copy(PLAYER, home / "player")
        subprocess.run(["chown", "-R", str(USER), home], check=True)
        os.chmod(home, 0o700)
        bounding = ",".join(["-all", *("+" + c for c in capabilities)])
        wrapper = rig.dir / "confined"
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --bounding-set={bounding} --inh-caps=-all --no-new-privs {OPMETER} "$@"\n')
        wrapper.chmod(0o755)
        rig.start(binary=wrapper)
        group = rig.cgroup("tenant")
        player = subprocess.Popen(
            ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec setpriv --reuid={USER} --regid={USER} --clear-groups '
             f'./player --lib-dir {home} --product 1,128,128,128,{TYPES_BF16} --calls {CALLS} --repeat 0 --wait-ms 3000'],
            cwd=home, stdout=rig.log, stderr=rig.log)
        rig.procs.append(player)
        assert player.wait(timeout=60) == 0, "the player failed"
        time.sleep(1)
        rig.stop()
        calls = sum(int(r["calls"]) for r in rig.readings() if r["meter"] == "shape")
        return calls, (rig.dir / "agent.log").read_text()


need_live()
chart = Path("charts/opmeter/templates/daemonset.yaml").read_text()
assert "add: [" + ", ".join(c.upper() for c in GRANTED) + "]" in chart, f"the chart does not grant what the unit does: {GRANTED}"
if not shutil.which("setpriv"):
    skip("setpriv is not installed")
assert GRANTED and "all" not in GRANTED, f"the unit grants {GRANTED}"
calls, log = meter("caps", GRANTED)
assert calls == CALLS, f"with {GRANTED}: {calls} of {CALLS} calls\n{log[-2000:]}"
print(f"ok    {', '.join(GRANTED)}: {calls} of {CALLS} calls")
for left_out in GRANTED:
    try:
        calls, log = meter("caps-less", [c for c in GRANTED if c != left_out])
    except AssertionError as e:  # it did not even start: then it must say why, which bad_input tests
        print(f"ok    without {left_out}: {e}")
        continue
    assert calls == 0, f"without {left_out} it counts too ({calls} calls): the unit grants too much"
    assert "warning: " in log, f"without {left_out} nothing is counted, and nothing is said\n{log[-2000:]}"
    print(f"ok    without {left_out}: nothing is counted, and the log says so")
