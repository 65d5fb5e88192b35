#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch workloads of tests/gpu on a CPU, in tiny sizes: each one runs, is counted, and its count is what its sizes give.
Needs a PyTorch: OPMETER_TORCH names a python that has one, else one in the cache is looked for; skips without."""
import json
import os
import subprocess
import sys
from pathlib import Path

CACHE = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter")))
PYTHON = os.environ.get("OPMETER_TORCH") or str(CACHE / "torch-venv/bin/python")

INSIDE = """
import argparse, json, sys
sys.path.insert(0, "tests/gpu")
import torch
torch.set_num_threads(1)
import workloads as W
out = {}
for name, kind in W.WORKLOADS.items():
    w = kind(argparse.Namespace(device="cpu", tiny=True, layers=0, products="bf16:1:1:1,tf32:1:1:1"))
    said = W.count(w)
    w.step()
    ran = W.run(w, 3)
    out[name] = {**said, "steps": ran["steps"], "p99": ran.get("token_ms_p99"), "stands_in": w.stands_in, "threads": sorted(w.threads)}
print(json.dumps(out))
"""


def by_hand(layers=2, h=64, vocab=128, batch=2, seq=32):
    """Textbook operations of the tiny GPT: one layer's weights forward, its attention's products, the head's."""
    tokens = batch * seq
    return 2 * tokens * 12 * h * h * layers, 4 * batch * seq * seq * h * layers, 2 * tokens * h * vocab


def check(rows):
    weights, attention, head = by_hand()
    n = {name: int(r["operations"]) for name, r in rows.items()}
    assert all(r["steps"] == 3 for r in rows.values()), rows
    for name in ("gpt-bf16", "gpt-tf32", "gpt-fp8"):
        assert n[name] == 3 * (weights + attention + head) == int(rows[name]["products"]), (name, n[name])
    # Its backward pass computes the scores again: five products for two.
    assert n["gpt-flash"] == n["gpt-cudnn"] == n["gpt-compile"] == n["gpt-graph"] == n["gpt-graphed"], n
    assert n["gpt-flash"] == 3 * (weights + head) + attention * 7 // 2, n["gpt-flash"]
    assert int(rows["gpt-flash"]["products"]) == 3 * (weights + head), rows["gpt-flash"]
    assert n["gpt-checkpoint"] > n["gpt-bf16"] and n["gpt-accumulate"] == 4 * n["gpt-bf16"], n
    assert weights + attention + head < n["lora"] < n["gpt-bf16"], n
    assert n["inference"] == n["prefill"] == weights + attention + head, n
    assert n["decode"] == n["decode-graph"] == n["inference"] // 32, n  # a token of 32, over the whole cache
    assert n["triton"] == 4 * 2 * 64**3 and n["gemm"] == 2 * 2 * 64**3, n
    assert n["convolution"] > 10 * int(rows["convolution"]["products"]) > 0, rows["convolution"]
    assert rows["decode"]["p99"] > 0 and rows["gpt-bf16"]["p99"] is None
    assert rows["gpt-checkpoint"]["threads"] == ["forward", "recomputation", "weight gradients"], rows["gpt-checkpoint"]
    for name in ("gpt-compile", "gpt-graph", "gpt-graphed", "decode-graph", "triton"):
        assert rows[name]["stands_in"], f"{name}: a CPU's way round it is not said"


def protocol():
    """As the rig speaks with it; and an error is said, not only died of."""
    argv = [PYTHON, "tests/gpu/workloads.py", "decode", "--device", "cpu", "--tiny"]
    p = subprocess.run(argv, input="run 0.2\nsteps 5\nprofile\nend\n", capture_output=True, text=True, timeout=120)
    said = [json.loads(x) for x in p.stdout.splitlines()]
    assert p.returncode == 0 and [s["event"] for s in said] == ["ready", "ran", "ran", "profiled"], (p.returncode, p.stdout, p.stderr)
    assert said[2]["steps"] == said[2]["tokens"] == 5 and said[2]["marks"][-1][1] == 5, said[2]
    p = subprocess.run(argv, input="dance\n", capture_output=True, text=True, timeout=120)
    assert p.returncode and json.loads(p.stdout.splitlines()[-1])["event"] == "error", p.stdout
    p = subprocess.run([PYTHON, "tests/gpu/workloads.py", "--facts"], capture_output=True, text=True, timeout=120)
    assert json.loads(p.stdout)["torch"], p.stdout


def main():
    if subprocess.run([PYTHON, "-c", "import torch"], capture_output=True).returncode if os.access(PYTHON, os.X_OK) else True:
        print("skipped: no PyTorch (OPMETER_TORCH names a python that has it)")
        sys.exit(77)
    p = subprocess.run([PYTHON, "-c", INSIDE], capture_output=True, text=True, timeout=200)
    assert p.returncode == 0, p.stderr[-3000:]
    rows = json.loads(p.stdout.splitlines()[-1])
    print({name: r["operations"] for name, r in rows.items()})
    check(rows)
    protocol()


main()
