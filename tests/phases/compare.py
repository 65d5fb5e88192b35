#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare.py DIR: two readings of one run, true.json and false.json, say the same, and what true.run knows to be true."""
import json
import sys

a, b = (json.load(open(f"{sys.argv[1]}/{f}.json")) for f in ("true", "false"))
for key in ("phase", "recompute_fraction", "recompute_bounds", "algorithmic_ops", "executed_ops"):
    assert a[key] == b[key], (key, a[key], b[key])
assert a["phase"]["verdict"] == "training" and a["phase"]["confidence"] == "high" and a["phase"]["evidence"], a["phase"]
facts = dict(line.split()[1:3] for line in open(f"{sys.argv[1]}/true.run") if line.startswith("w "))
assert a["executed_ops"] == facts["executed_ops"] == a["gemm"]["ops"]
truth = int(facts["recompute_ops"]) / int(facts["executed_ops"])
assert abs(a["recompute_fraction"] - truth) < 0.02 < truth, (a["recompute_fraction"], truth)
assert abs(int(a["algorithmic_ops"]) - int(facts["algorithmic_ops"])) < 0.02 * int(facts["executed_ops"])
