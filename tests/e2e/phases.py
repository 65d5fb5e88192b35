#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded runs, played thread by thread into the real library, are judged live as the recordings are: from the kernel's counts and
its sample of the order. A restart of the agent in the middle changes no share; a person's declaration that the products contradict
is said; what is judged enters the totals."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

RUNS = {"gpt2_bf16": "training", "gpt2_ckpt_layer": "training", "gpt2_lora64": "frozen-weight-training", "inf_gpt2_beam": "inference"}


def replayed(name):
    out = subprocess.run([OPMETER, "replay", f"tests/phases/runs/{name}.run.gz", "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def assignments(rig):
    """The judgements that hold, by the name of the cgroup."""
    entries = rig.export("entries")
    path = {e["payload"]["job"]: e["payload"]["path"] for e in entries if e["kind"] == "job" and e["payload"].get("path")}
    return {os.path.basename(path[e["payload"]["job"]]): e["payload"] for e in entries
            if e["kind"] == "assignment" and e["payload"]["kind"] == "phase" and e["payload"]["author"].get("rule") == "phase-shapes"}


def play(rig, name, *more):
    return rig.play(rig.cgroup(name), "--lib-dir", CUDA13, "--run", f"tests/phases/runs/{name}.run.gz", "--as-recorded", "--wait-ms", "300",
                    *more)


def check(name, want, got, truth):
    share = {k: float(v) for k, v in got["share"].items()}
    print(f"{name}: {got['value']} {share}  {got['evidence'][:110]}")
    assert got["value"] == truth == want["phase"]["verdict"], (name, got["value"], want["phase"]["verdict"])
    low, high = (want["phase"]["training_share"][k] for k in ("low", "high"))
    if truth == "inference":
        assert share == {"low": 1, "high": 1}, share
    else:
        bounds = want["recompute_bounds"]
        assert abs(share["low"] - (low - bounds["high"])) < 2e-5, (share, low, bounds)
        assert abs(share["high"] - (high - bounds["low"])) < 2e-5, (share, high, bounds)


def main():
    need_live()
    with Rig("phases", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start()
        for player in [play(rig, name) for name in RUNS]:
            rig.finish(player)
        rig.wait_for(lambda: len(assignments(rig)) == len(RUNS), "the judgements")
        rig.stop()
        got = assignments(rig)
        for name, truth in RUNS.items():
            check(name, replayed(name), got[name], truth)
        lines = [json.loads(l) for l in subprocess.run([OPMETER, "ledger", "export", "--ledger", rig.state, "--totals"], check=True,
                                                       capture_output=True, text=True).stdout.splitlines()]
        print(lines)


def restart():
    """Half of it before, half of it after: the day's judgement is of the whole."""
    with Rig("phases-restart", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start()
        player = play(rig, "gpt2_ckpt_layer", "--seconds", "6", "--rate", "4000")
        time.sleep(2.5)
        rig.stop()
        before = assignments(rig)["gpt2_ckpt_layer"]
        rig.start()
        rig.finish(player)
        rig.wait_for(lambda: assignments(rig)["gpt2_ckpt_layer"]["at"] != before["at"], "another judgement")
        rig.stop()
        got = assignments(rig)["gpt2_ckpt_layer"]
        print("restart:", before["value"], before["share"], "then", got["value"], got["share"])
        assert before["value"] == got["value"] == "training"


main()
restart()
