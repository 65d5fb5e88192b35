#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`opmeter replay` gives the truth of the recorded runs, to the last operation and call: from the compact form, from
Kineto traces in the repository, and, if OPMETER_TRACES names a directory of full traces, from those."""
import json
import os
import subprocess
import sys
from pathlib import Path

B = Path(os.environ.get("B", "build"))
KINETO = {"vitb16_cudagraph": "a100_vitb16_cudagraph", "resnet50_old_format": "v100_resnet50_train",
          "qwen05b_prefill": "h100_qwen05b_prefill"}


def replay(path):
    out = subprocess.run([B / "opmeter", "replay", path, "--json"], check=True, capture_output=True, text=True).stdout
    return json.loads(out)["gemm"]


def main():
    truth = {n: (o, int(c)) for n, o, c in (l.split("\t") for l in open("tests/data/truth.tsv").read().splitlines()[1:])}
    jobs = [(Path(f"tests/data/runs/{n}.run.gz"), n) for n in truth]
    jobs += [(Path(f"tests/data/kineto/{f}.json.gz"), n) for f, n in KINETO.items()]
    full = os.environ.get("OPMETER_TRACES")
    jobs += [(Path(full, f"{n}.json.gz"), n) for n in truth] if full else []
    bad = 0
    for path, name in jobs:
        g = replay(path)
        from_shapes = sum(2 * b * m * n * k * c for b, m, n, k, c in g["shapes"])
        ok = (g["ops"], g["calls"]) == truth[name] and str(from_shapes) == g["ops"]
        ok = ok and sum(s[4] for s in g["shapes"]) == g["calls"]
        print(f"{'ok  ' if ok else 'FAIL'} {path.name:45} {g['ops']} operations in {g['calls']} calls; truth {truth[name]}")
        bad += not ok
    sys.exit(1 if bad else 0)


main()
