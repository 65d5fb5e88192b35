#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The recorded jobs of several ranks: `opmeter replay` of all ranks' files tells the job's phase, how it is spread over the ranks, and its
parameters, as the recorder knows them. The line of sums in docs/model.md is the one that is found."""
import collections
import gzip
import json
import os
import re
import subprocess
from pathlib import Path

B = Path(os.environ.get("B", "build"))
DEGREES = {"tensor": "tensor_ranks", "pipeline": "pipeline_ranks", "expert": "expert_ranks", "data": "data_ranks"}


def facts(path):
    with gzip.open(path, "rt") as f:
        return dict(line.split()[1:3] for line in f if line.startswith("w "))


def replay(paths):
    out = subprocess.run([B / "opmeter", "replay", *paths, "--json", "--architectures", "data/architectures.csv"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def check(name, paths, sums):
    got, want = replay(paths), facts(paths[0])
    job, n = got["job"], int(want["job_parameters"])
    assert job["ranks"] == len(paths) and job["verdict"] == want["job_phase"], (name, job)
    for rank, path in zip(got["ranks"], paths):
        assert rank["phase"]["verdict"] == facts(path)["phase"], (name, path, rank["phase"])
    p = job["parameters"]
    right = abs(p["best"] - n) <= 0.05 * n
    assert p["low"] <= 1.05 * n and p["high"] >= 0.95 * n, (name, p, n)
    told = all(job["parallel"][k] == int(want[v]) for k, v in DEGREES.items())
    assert all(job["parallel"][k] in (None, int(want[v])) for k, v in DEGREES.items()), (name, job["parallel"], want)
    sums["jobs"] += 1
    sums["parameters"] += right
    sums["degrees"] += told
    sums["ranks"] += len(paths)
    print(f"{name:20} {len(paths):3} ranks  {job['verdict']:10} {job['parallel']}  parameters {p['best']:.6g} of {n:.6g}")
    return got


def partly(paths):
    """Half of the ranks, as one node of two has them: of the whole nothing is claimed that half cannot know, and each rank stays in the bounds."""
    whole, half = replay(paths)["job"], replay(paths[: len(paths) // 2])["job"]
    assert half["ranks"] == len(paths) // 2 and half["parameters"]["low"] <= whole["parameters"]["best"], half


def main():
    jobs, sums = collections.defaultdict(list), collections.Counter()
    for path in sorted(Path("tests/phases/ranks").glob("*.run.gz")):
        jobs[re.fullmatch(r"ranks_(.+)_\d+\.run\.gz", path.name)[1]].append(path)
    got = {name: check(name, paths, sums) for name, paths in sorted(jobs.items())}
    # Ranks that only answer for those that learn are in the upper bound alone.
    rl = got["rl"]["job"]
    learn = sum(int(facts(p)["executed_ops"]) for p in jobs["rl"][:2])
    assert rl["phases"] == {"learning": 2, "inferring": 2, "unknown": 0}, rl
    assert int(rl["training"]["low"]) <= learn < int(rl["training"]["high"]) == int(rl["executed"]), rl
    serves = got["serves"]["job"]
    assert serves["training"] == {"low": "0", "high": "0"}, serves
    partly(jobs["tp2_pp2"])
    line = (f"Jobs of several ranks: {sums['jobs']} ({sums['ranks']} ranks); phase told in all, degrees in {sums['degrees']}, "
            f"parameters within 5 % in {sums['parameters']}, in bounds in all.")
    print(line)
    assert line in " ".join(Path("docs/model.md").read_text().split()), "docs/model.md does not have that line"


main()
