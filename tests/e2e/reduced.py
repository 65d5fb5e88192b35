#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What ranks add up reaches the live judgement, through the real libnccl and cuBLASLt without a GPU. A run whose weight gradients are made by kernels
that nobody meters is unknown by its products; with the all-reduces of its gradients it is training. A run that only goes forward is inference; with them its
verdict is taken away: no, if they could be activations by their sum, and yes, if they are more than all products made."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

LIBRARY = CACHE / "cuda/nccl-cu13-2.32.3/libnccl.so.2"
RUN = "tests/phases/runs/llama_hidden_weight.run.gz"


def judged(rig):
    path = {e["payload"]["job"]: e["payload"]["path"] for e in rig.export("entries") if e["kind"] == "job" and e["payload"].get("path")}
    return {os.path.basename(path.get(e["payload"]["job"], "")): e["payload"] for e in rig.export("entries")
            if e["kind"] == "assignment" and e["payload"]["kind"] == "phase"}


def main():
    need_live()
    if not LIBRARY.exists():
        skip("no NCCL in the cache: run `make deps`")
    with Rig("reduced", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        library = rig.dir / "libnccl.so.2"
        subprocess.run(["cp", "--reflink=auto", LIBRARY, library], check=True)
        forward = rig.dir / "forward.run"
        subprocess.run(f"zcat {RUN} | sed -E '/^w |^#/d' > {rig.dir}/all.run", shell=True, check=True)
        forward_only(rig.dir / "all.run", forward, 60)
        rig.start("--no-devices")
        jobs = {"alone": (RUN, False), "together": (RUN, True), "serves": (forward, False), "hides": (forward, True)}
        players = [rig.play(rig.cgroup(name), "--lib-dir", CUDA13, "--run", run, "--as-recorded", "--wait-ms", "6000",
                            *(["--nccl", library] if reduces else [])) for name, (run, reduces) in jobs.items()]
        for p in players:
            rig.finish(p)
        rig.wait_for(lambda: set(judged(rig)) >= set(jobs), "the judgements")
        rig.stop()
        got = judged(rig)
        for name in jobs:
            print(name, got[name]["value"], got[name]["evidence"][:150])
        assert {n: got[n]["value"] for n in jobs} == {"alone": "unknown", "together": "training", "serves": "inference", "hides": "unknown"}, got
        assert "Ranks add up" in got["together"]["evidence"] and "Deception suspected" in got["hides"]["evidence"]
        said = [e["payload"]["data"] for e in rig.export("entries") if e["kind"] == "alert"]
        assert [d for d in said if "deception-suspected" in d.get("cause", "") and "ranks add up" in d["what_to_do"]], said
        words = subprocess.run([OPMETER, "explain", "--dir", rig.ledger, f"{rig.tag}/hides"], check=True, capture_output=True, text=True).stdout
        print(words)
        assert "finding" in words and "Deception suspected" in words and "What it is for is not told: 0 to 100 % of its operations" in words, words


def together():
    """Two ranks of one job under two accounts: one learns, one only answers. What it answers may serve the learning: the upper bound has it. The
    same run beside a learner that no communicator joins it with does not."""
    with Rig("reduced-joined", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        library = rig.dir / "libnccl.so.2"
        subprocess.run(["cp", "--reflink=auto", LIBRARY, library], check=True)
        rig.start("--no-devices")
        runs = {"learns": ("gpt2_bf16", 0), "answers": ("inf_gpt2_beam", 1), "other": ("inf_gpt2_beam", None)}
        players = [rig.play(rig.cgroup(name), "--lib-dir", CUDA13, "--run", f"tests/phases/runs/{run}.run.gz", "--as-recorded", "--wait-ms", "6000",
                            *(["--nccl", library, "--ranks", "2", "--rank", rank] if rank is not None else []),
                            env={**os.environ, "NCCL_COMM_ID": "127.0.0.1:29517"}) for name, (run, rank) in runs.items()]
        for p in players:
            rig.finish(p)
        rig.wait_for(lambda: set(judged(rig)) >= set(runs) and judged(rig)["answers"]["share"]["low"] == "0", "the judgements")
        rig.stop()
        got = judged(rig)
        assert {n: got[n]["value"] for n in runs} == {"learns": "training", "answers": "inference", "other": "inference"}, got
        assert got["other"]["share"] == {"low": "1", "high": "1"} and "communicator joins it" in got["answers"]["evidence"], got
        one = json.loads(subprocess.run([OPMETER, "explain", "--dir", rig.ledger, "--json", f"{rig.tag}/answers"], check=True, capture_output=True,
                                        text=True).stdout)["together"]
        print(one)
        assert one["verdict"] == "training" and one["ranks"] == one["world"] == 2, one
        assert one["phases"] == {"learning": 1, "inferring": 1, "unknown": 0} and one["training"]["high"] == one["executed"], one


def forward_only(source, to, times):
    """The products of the forward thread alone, and `times` the all-reduces."""
    lines = source.read_text().splitlines()
    products = [line for line in lines if line.startswith("p ")]
    steps = [line.split() for line in lines if line.startswith("s ") and line.split()[3] == "0"]
    used = sorted({int(s[1]) for s in steps})
    calls = {i: sum(int(s[2]) for s in steps if int(s[1]) == i) for i in used}
    number = {}
    for s in steps:
        number.setdefault(int(s[1]), len(number))
    out = [line for line in lines if not line.startswith(("p ", "s ", "c "))]
    out += [" ".join([*products[i].split()[:-1], str(calls[i])]) for i in number]
    out += [" ".join(["s", str(number[int(s[1])]), *s[2:]]) for s in steps]
    for line in lines:
        if line.startswith("c allreduce"):
            _, kind, size, n = line.split()
            out.append(f"c {kind} {size} {int(n) * times}")
    to.write_text("\n".join(out) + "\n")


main()
together()
