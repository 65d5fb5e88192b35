#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which model a job computes is told live as it is of the recording: recorded runs with the buffers of their products are played into the real
library, and `explain` says of the ledger what `replay` says of the file. One run is played again and again, so that the kernel's sample is cut; one
goes through another entry; of some only the buffers tell the layers."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

TIMES = 40
# name: (run, options of the player, how often the run is played)
JOBS = {"gpt2": ("gpt2_bf16", [], 1),
        "packed": ("tinyllama_packed", [], 1),
        "again": ("tinyllama_packed", ["--repeat", str(TIMES)], TIMES),
        "strided": ("tinyllama_packed", ["--via", "stridedbatched"], 1),
        "stage": ("llama_pp_first", [], 1),
        "serves": ("inf_deepseek_decode", [], 1),
        "ema": ("square_ema", [], 1)}


def file_of(run):
    return f"tests/phases/runs/{run}.run.gz"


def replayed(path):
    out = subprocess.run([OPMETER, "replay", path, "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def explained(rig, name):
    out = subprocess.run([OPMETER, "explain", "--dir", rig.ledger, "--architectures", "data/architectures.csv", "--json", f"{rig.tag}/{name}"],
                         check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def near(got, want, share):
    return abs(got - want) <= share * want


def check(rig, name):
    run, _, times = JOBS[name]
    want, got = replayed(file_of(run)), explained(rig, name)
    model, told = want["model"], got["model"]
    print(f"{name}: {got['hours'][-1]['verdict']}, {told['parameters']} parameters, {told['layers']} layers, {told['tokens']['best']} tokens, "
          f"certain {told['certain']}; replay: {want['phase']['verdict']}, {model['parameters']}, {model['layers']} layers, "
          f"{model['tokens']['best']} tokens, certain {model['certain']}")
    assert got["hours"][-1]["verdict"] == want["phase"]["verdict"], (name, got["hours"])
    assert near(told["parameters"]["best"], model["parameters"]["best"], 0.05), (name, told, model)
    assert near(told["tokens"]["best"], times * model["tokens"]["best"], 0.02), (name, told, model)
    assert told["layers"] == model["layers"] and told["certain"] == model["certain"], (name, told, model)


def without_buffers(rig):
    """The buffers are what tells it: the same run without them says another model."""
    path = rig.dir / "plain.run"
    subprocess.run(f"zcat {file_of('tinyllama_packed')} | sed -E '1s/3$/2/; s/^(s [0-9]+ [0-9]+ [0-9]+) .*/\\1/' > {path}", shell=True, check=True)
    plain = replayed(str(path))["model"]
    assert not near(plain["parameters"]["best"], replayed(file_of("tinyllama_packed"))["model"]["parameters"]["best"], 0.05), plain


def main():
    need_live()
    with Rig("model-live", ["--library", CUDA13 / "libcublasLt.so.13", "--library", CUDA13 / "libcublas.so.13"]) as rig:
        without_buffers(rig)
        rig.start()
        for name, (run, more, _) in JOBS.items():
            rig.finish(rig.play(rig.cgroup(name), "--lib-dir", CUDA13, "--run", file_of(run), "--as-recorded", "--wait-ms", "300", *more))
        rig.wait_for(lambda: len([e for e in rig.export("entries") if e["kind"] == "assignment" and e["payload"]["kind"] == "phase"]) >= len(JOBS),
                     "the judgements")
        rig.stop()
        for name in JOBS:
            check(rig, name)


main()
