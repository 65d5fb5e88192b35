#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How soon it is known what a job does. Prints rows of a table; compares nothing with a limit.

    verdict.py one      jobs that begin at random moments, one at a time
    verdict.py many     64 jobs that begin at random moments of a minute

Recorded runs are played again and again into the real library, beside an agent with its usual intervals. What is measured begins when the
job's process does, which is before its first product, and ends with the time that stands in the ledger: of the first assignment of a phase that
is known, and of the first record that tells the process's parameters."""
import calendar
import os
import random
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

RUNS = ("gpt2_bf16", "gpt2_ckpt_layer", "gpt2_lora64", "inf_gpt2_beam")
KNOWN = ("training", "frozen-weight-training", "inference")


def row(name, *cells):
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def unix_s(text):
    whole, _, part = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float("0." + (part or "0"))


def told(rig):
    """When it was first known, by the name of the cgroup: phases, models."""
    entries = rig.export("entries")
    name = {e["payload"]["job"]: os.path.basename(e["payload"]["path"]) for e in entries if e["kind"] == "job" and f"/{rig.tag}/" in (e["payload"]["path"] or "")}
    phases, models = {}, {}
    for e in entries:
        p = e["payload"]
        if e["kind"] == "assignment" and p["kind"] == "phase" and p["job"] in name and p["value"] in KNOWN:
            phases.setdefault(name[p["job"]], unix_s(p["at"]))
        if e["kind"] == "process" and p["job"] in name and float(p["model"]["parameters"]["best"]) > 0:
            models.setdefault(name[p["job"]], unix_s(p["at"]))
    return phases, models


def begin(rig, i, since):
    path = f"tests/phases/runs/{RUNS[i % len(RUNS)]}.run.gz"
    since[f"job{i}"] = time.time()
    return rig.play(rig.cgroup(f"job{i}"), "--lib-dir", CUDA13, "--run", path, "--as-recorded", "--seconds", "3600", "--rate", "300")


def wait_told(rig, since):
    # A poll of the ledger costs the node something: it is asked rarely.
    until = time.monotonic() + 300
    while time.monotonic() < until and not all(len(x) == len(since) for x in told(rig)):
        time.sleep(5)


def say(what, since, at):
    late = sorted(at[k] - since[k] for k in since if k in at)
    missing = len(since) - len(late)
    row(what, *(f"p50 {statistics.median(late):.1f} s, p99 {late[round(0.99 * (len(late) - 1))]:.1f} s, max {late[-1]:.1f} s" if late else "none",
                f"{len(late)} of {len(since)} known" + (f", {missing} not in 5 minutes" if missing else "")))


def measure(count, spread_s, name, at_once):
    random.seed(count)
    with Rig("bench-verdict", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start("--drain", "1s", "--publish", "15s")
        since, began = {}, time.monotonic()
        for i, at in enumerate(sorted(random.uniform(0, spread_s) for _ in range(count))):
            time.sleep(max(0, began + at - time.monotonic()))
            player = begin(rig, i, since)
            if not at_once:
                wait_told(rig, since)
                player.kill()
                player.wait()
        wait_told(rig, since)
        phases, models = told(rig)
        say(f"{name}: its phase is assigned", since, phases)
        say(f"{name}: its model is told", since, models)


def one():
    measure(4, 20, "a job alone, from its process's start", False)


def many():
    measure(64, 60, "each of 64 jobs", True)


def main():
    need_live()
    for what in sys.argv[1:] or ["one", "many"]:
        {"one": one, "many": many}[what]()


main()
