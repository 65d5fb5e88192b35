#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo, shortened: tenants in the path forms of Kubernetes, Slurm and Docker, alerts, and totals that are equal to what
was played, to the last operation. Its ledger is in order."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def main():
    need_live()
    p = subprocess.run(["tests/demo/demo"], capture_output=True, text=True, env={**os.environ, "DEMO_SECONDS": "20"}, timeout=120)
    out = p.stdout
    assert p.returncode == 0, out[-3000:] + p.stderr[-3000:]
    m = re.search(r"Played (\d+) operations, metered (\d+): equal, to the last operation", out)
    assert m and m[1] == m[2] and int(m[1]) > 10**15, out[-3000:]
    for tenant in ("acme", "cirrus", "borealis"):
        assert re.search(rf"^{tenant} ", out, re.M), f"{tenant} is not in the totals"
    # The case comes with the tenant's first level, after half a minute.
    assert re.search(r"ALERT owner +cirrus", out) and re.search(r"ALERT level +acme/acme-124m", out), out
    assert re.search(r"^ledger [0-9a-f]{32}: in order", out, re.M), out[-2000:]
    print(m[0])


main()
