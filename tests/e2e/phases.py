#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Recorded runs, played thread by thread into the real library, are judged live as the recordings are: from the kernel's counts and
its sample of the order. A restart of the agent in the middle changes no share; a person's declaration that the products contradict
is said; kernels' names speak for learning; what is judged enters the totals."""
import json
import os
import shutil
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
        tenants = rig.dir / "tenants.yaml"
        tenants.write_text("rules:\n" + "".join(f'  - match: {{path: "**/{rig.tag}/{n}"}}\n    tenant: {n}\n' for n in RUNS))
        rig.start("--tenants", tenants)
        for player in [play(rig, name) for name in RUNS]:
            rig.finish(player)
        rig.wait_for(lambda: len(assignments(rig)) == len(RUNS), "the judgements")
        rig.stop()
        got = assignments(rig)
        for name, truth in RUNS.items():
            check(name, replayed(name), got[name], truth)
        check_totals(rig, got)
        check_explained(rig, got)


def check_totals(rig, got):
    """The tenants' map names each run its own tenant: training counts by the share that is judged."""
    top = subprocess.run([OPMETER, "top", "--dir", rig.ledger, "--once", "--json"], check=True, capture_output=True, text=True).stdout
    rows = {r["tenant"]: r for r in json.loads(top)}
    for name, a in got.items():
        row, ops = rows[name], int(rows[name]["all"]["low"])
        assert ops == int(replayed(name)["executed_ops"]), (name, row)
        low, high = (0, 0) if a["value"] == "inference" else (float(a["share"][k]) for k in ("low", "high"))
        assert abs(int(row["training"]["low"]) - ops * low) <= 1 + ops * 1e-6, (row, low)
        assert abs(int(row["training"]["high"]) - ops * high) <= 1 + ops * 1e-6, (row, high)


def check_explained(rig, got):
    """The reviewer's view: the same figures and reasons, in JSON and in words, by path and by id."""
    explain = [OPMETER, "explain", "--dir", rig.ledger, "--architectures", "data/architectures.csv"]
    one = json.loads(subprocess.run([*explain, "--json", f"{rig.tag}/gpt2_ckpt_layer"], check=True, capture_output=True, text=True).stdout)
    want = replayed("gpt2_ckpt_layer")
    assert [h["verdict"] for h in one["hours"]] == ["training"] and one["hours"][0]["executed"] == want["executed_ops"], one["hours"]
    assert [c["tenant"] for c in one["counts"]] == ["gpt2_ckpt_layer"] and int(one["counts"][0]["training"]["low"]) > 0
    assert one["model"]["matches"][0]["name"] == "gpt2" and one["model"]["hidden"] == 768, one["model"]
    assert {a["kind"] for a in one["assignments"]} == {"tenant", "phase"}
    words = subprocess.run([*explain, one["job"][:12]], check=True, capture_output=True, text=True).stdout
    print(words)
    for word in ("training", "said by phase-shapes", "It learns: ", "Confidence: high", " % of its operations count as training", "Thread 1 asks for twice", "gpt2", one["job"]):
        assert word in words, (word, words)
    for bad in ("ffffffffffff", rig.tag + "/"):
        out = subprocess.run([*explain, bad], capture_output=True, text=True)
        assert out.returncode == 2 and ("no job" in out.stderr or "jobs: give more" in out.stderr), out


def declared():
    """A person's word holds, and is contradicted aloud."""
    with Rig("phases-declared", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        tenants = rig.dir / "tenants.yaml"
        tenants.write_text(f'rules:\n  - match: {{path: "**/{rig.tag}/gpt2_bf16"}}\n    tenant: t\n    phase: inference\n'
                           '    declared: {by: "somebody", date: 2026-11-01}\n')
        rig.start("--tenants", tenants)
        rig.finish(play(rig, "gpt2_bf16"))
        rig.wait_for(lambda: assignments(rig), "the judgement")
        rig.stop()
        assert assignments(rig)["gpt2_bf16"]["value"] == "training"
        said = [e["payload"]["data"] for e in rig.export("entries") if e["kind"] == "alert"]
        assert any("contradicts" in d["cause"] and "Declared inference, measured training" in d["what_to_do"] for d in said), said
        top = subprocess.run([OPMETER, "top", "--dir", rig.ledger, "--once", "--json"], check=True, capture_output=True, text=True).stdout
        assert [r["training"]["high"] for r in json.loads(top) if r["tenant"] == "t"] == ["0"], top


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


def named():
    """Kernels' names, from the launch meter: forward products beside an optimizer's launches are no inference, the same with other names are, and
    names that agree make training certain. A process's names are its own."""
    runs = {"serves": ("inf_gpt2_beam", ["elementwise_kernel", "flash_fwd_kernel"]),
            "hides": ("inf_gpt2_beam", ["multi_tensor_apply_kernel", "elementwise_kernel"]),
            "learns": ("gpt2_bf16", ["cunn_SoftMaxBackward", "multi_tensor_apply_kernel"])}
    with Rig("phases-named", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        driver = rig.dir / "libcuda.so.1"
        shutil.copy(BUILD / "simgpu/libcuda.so.1", driver)
        rig.start("--library", driver)
        for name, (run, kernels) in runs.items():
            rig.finish(rig.play(rig.cgroup(name), "--lib-dir", CUDA13, "--run", f"tests/phases/runs/{run}.run.gz", "--as-recorded", "--wait-ms", "800",
                                "--driver", driver, *(a for k in kernels for a in ("--launch", k))))
        rig.wait_for(lambda: len(assignments(rig)) == len(runs), "the judgements")
        rig.stop()
        got = assignments(rig)
        for name, a in got.items():
            print(f"named: {name}: {a['value']} {a['share']}  {a['evidence']}")
        assert got["serves"]["value"] == "inference" and got["learns"]["value"] == "training", got
        assert got["hides"]["value"] == "unknown" and "16 of an optimizer's" in got["hides"]["evidence"], got["hides"]
        assert "16 launches of backward's, 16 of" in got["learns"]["evidence"], got["learns"]


main()
declared()
restart()
named()
