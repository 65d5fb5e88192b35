#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The recorded autograd runs of tests/phases say what they claim, without PyTorch: form, order, sums and truth agree, and `opmeter replay`
counts each to the last operation. `--table` prints the counts of tests/phases/README.md, which must be the ones found."""
import collections
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

B = Path(os.environ.get("B", "build"))
DIR = Path("tests/phases/runs")
KINDS = ("training", "frozen", "inference", "mixed", "other")
COLLECTIVES = ("allreduce", "reducescatter", "allgather", "alltoall", "broadcast", "reduce", "sendrecv")
FACTS = ("phase", "recompute_ops", "algorithmic_ops", "executed_ops", "hidden", "layers", "vocabulary", "parameters", "unseen_parameters", "tokens", "training_ops",
         "variant")
BYTES_MAX = 1_000_000
FORGED = ("padded_inference", "put_off", "diluted", "hidden_gradients")  # their products are of no tensors
# Of a real trace the same model was recorded: which one, how many of its products the twin leaves out (rotary positions, heads, an optimizer), whether the
# operators' names are the same (a compiled model adds its biases elsewhere) and whether the order is to be compared as well.
TWINS = {"twin_resnet50_train": ("v100_resnet50_train", 0, True, True), "twin_qwen05b_prefill": ("h100_qwen05b_prefill", 1, True, True),
         "twin_megatron8b_tp8": ("a100_megatron8b_tp8_fwd_r0", 0, True, True), "twin_vitb16_graph": ("a100_vitb16_cudagraph", 0, False, True),
         "twin_owlv2": ("h100_owlv2_infer", 8, True, False), "twin_gpt124m_fp8": ("h100_gpt124m_train_fp8_r0", 4, True, False)}
# No judgement by shapes, order and threads can tell these two apart: a step of training with all dimensions equal, replayed from one thread, and inference.
SAME = {"square_graphs", "inf_square_decode"}


def parse(text):
    """The order in `s` is that of versions 1 and 2; `at` has its lines as they are: buffers of A, B and D as well."""
    run = {"p": [], "s": [], "at": [], "c": [], "w": {}}
    lines = text.splitlines()
    assert lines[0] in ("opmeter-run 2", "opmeter-run 3"), "not a run of version 2 or 3"
    for line in lines[1:]:
        word, rest = line.split(" ", 1)
        if word in ("#", "k"):
            continue
        if word == "p":
            b, m, n, k, types, op, calls = rest.split()
            run["p"].append((int(b), int(m), int(n), int(k), int(types, 16), op, int(calls)))
        elif word == "s":
            i, repeat, thread, *buffers = map(int, rest.split())
            assert len(buffers) == (3 if lines[0] == "opmeter-run 3" else 0), "not a step of its version"
            run["at"].append((i, repeat, thread, *buffers))
            if run["s"] and run["s"][-1][0] == i and run["s"][-1][2] == thread:
                repeat += run["s"].pop()[1]
            run["s"].append((i, repeat, thread))
        elif word == "c":
            kind, size, calls = rest.split()
            run["c"].append((kind, int(size), int(calls)))
        elif word == "w":
            key, value = rest.split()
            assert key not in run["w"], f"{key} twice"
            run["w"][key] = value
        else:
            assert word in ("name", "source", "licence", "gpu", "kind") and word not in run, f"a line of {word}"
            run[word] = rest
    return run


def operations(p):
    return (8 if p[4] & 255 in (4, 5) else 2) * p[0] * p[1] * p[2] * p[3] * p[6]


def check(name, run):
    """What is wrong with a run, as a list of texts."""
    wrong, w = [], run["w"]

    def must(ok, what):
        if not ok:
            wrong.append(what)

    must(run.get("name") == name, "its name is not its file's")
    must(run.get("kind") in KINDS and w.get("phase") == run.get("kind"), "kind and phase disagree, or are none")
    must(run.get("licence") == "Apache-2.0" and run.get("source") and run.get("gpu"), "no licence, source or gpu")
    must(run["p"] and len({p[:6] for p in run["p"]}) == len(run["p"]), "no products, or one twice")
    must(all(min(p[:4]) > 0 and p[6] > 0 for p in run["p"]), "a product of nothing")
    calls, seen = collections.Counter(), []
    for i, repeat, thread in run["s"]:
        calls[i] += repeat
        if thread not in seen:
            seen.append(thread)
    must(all(repeat > 0 for _, repeat, _ in run["s"]), "a step of nothing")
    must(set(calls) == set(range(len(run["p"]))) and all(calls[i] == p[6] for i, p in enumerate(run["p"])), "s lines do not sum to the calls")
    must(list(dict.fromkeys(i for i, _, _ in run["s"])) == list(range(len(run["p"]))), "products are not in the order of first appearance")
    must(seen == list(range(len(seen))), "threads are not numbered by their first product")
    must(all(a[0] != b[0] or a[2:] != b[2:] for a, b in zip(run["at"], run["at"][1:])), "the order is not run-length coded")
    buffers = list(dict.fromkeys(b for x in run["at"] for b in x[3:] if b))
    must(buffers == list(range(1, len(buffers) + 1)), "buffers are not numbered as they come")
    must(w.get("variant") in FORGED or all(x[3] and x[4] and x[5] for x in run["at"]), "a buffer is not known")
    must(all(k in COLLECTIVES and size > 0 and n > 0 for k, size, n in run["c"]), "a collective of no kind or size")
    must(not set(w) - set(FACTS) and "variant" in w, "facts that the form does not know, or no variant")
    number = {k: int(w.get(k, -1)) for k in FACTS[1:11]}
    must(number["executed_ops"] == sum(map(operations, run["p"])), "executed_ops is not the sum of the products")
    must(number["algorithmic_ops"] + number["recompute_ops"] == number["executed_ops"], "algorithmic and recomputed are not what was executed")
    must(0 <= number["recompute_ops"] <= number["training_ops"] <= number["executed_ops"], "training is more than all, or less than what it recomputed")
    if w.get("phase") in ("inference", "other"):
        must(number["training_ops"] == 0, "training, in a run that does not train")
    elif w.get("phase") == "mixed":
        must(0 < number["training_ops"] < number["executed_ops"], "mixed, but all of one kind")
    else:
        must(number["training_ops"] > 0, "no training, in a run that trains")
    return wrong


def replayed(path, run):
    out = subprocess.run([B / "opmeter", "replay", path, "--json"], capture_output=True, text=True)
    if out.returncode:
        return [f"replay refuses it: {out.stderr.strip()}"]
    g = json.loads(out.stdout)["gemm"]
    ok = g["ops"] == run["w"]["executed_ops"] and g["calls"] == sum(p[6] for p in run["p"])
    return [] if ok else [f"replay counts {g['ops']} operations in {g['calls']} calls"]


def table(runs):
    count = collections.Counter(("adversarial" if n.startswith("adv_") else r["kind"], r["w"]["variant"]) for n, r in runs.items())
    rows = ["| group | runs | variants |", "|---|---|---|"]
    for group in (*KINDS, "adversarial"):
        of = {v: n for (g, v), n in sorted(count.items()) if g == group}
        if of:
            rows.append(f"| {group} | {sum(of.values())} | {', '.join(v if n == 1 else f'{v} {n}' for v, n in of.items())} |")
    return rows


def in_order(run, named, only=None):
    """The calls one by one: (shape, types, operator, thread). A trace does not tell the type of C."""
    calls = []
    for i, repeat, thread in run["s"]:
        p = run["p"][i]
        key = (*p[:4], p[4] & 0xFF00FFFF, p[5] if named else "")
        if only is None or key in only:
            calls += [(*key, thread)] * repeat
    return calls


def compare(twin, real, left_out, named, ordered):
    """What a recorded run and the trace of the same model on a GPU do not agree on."""
    a = in_order(twin, named)
    only = {c[:-1] for c in a}
    b = in_order(real, named, only)
    x, y = collections.Counter(a), collections.Counter(b)
    wrong = [f"{k}: {x[k]} calls, on the GPU {y[k]}" for k in set(x) | set(y) if x[k] != y[k]]
    others = len({c[:-1] for c in in_order(real, named)} - only)
    if others != left_out:
        wrong.append(f"the GPU had {others} other products")
    if ordered and a != b:
        wrong.append("the order is not the GPU's")
    return wrong


def liar(text, pattern, to):
    """A run with one thing wrong: what finds nothing in it finds nothing at all."""
    changed = re.sub(pattern, to, text, count=1, flags=re.M)
    assert changed != text, pattern
    return check("square_fused", parse(changed))


def main():
    files = sorted(DIR.glob("*.run.gz"))
    runs, bad = {}, 0

    def fail(text):
        nonlocal bad
        bad += 1
        print(f"FAIL {text}")

    for path in files:
        name, data = path.name.removesuffix(".run.gz"), path.read_bytes()
        if data[4:8] != bytes(4):
            fail(f"{name}: compressed with a time")
        try:
            runs[name] = parse(gzip.decompress(data).decode())
            wrong = check(name, runs[name]) + replayed(path, runs[name])
        except (AssertionError, ValueError, OSError) as e:
            wrong = [str(e)]
        for what in wrong:
            fail(f"{name}: {what}")
    if bad:
        sys.exit(1)
    if "--table" in sys.argv:
        print("\n".join(table(runs)))
        return
    if set(table(runs)) - set(Path("tests/phases/README.md").read_text().splitlines()):
        fail("tests/phases/README.md does not have the table that --table prints")
    honest = [n for n in runs if not n.startswith("adv_")]
    same = collections.Counter(json.dumps([r["p"], r["s"], r["c"]]) for n, r in runs.items() if n in honest)
    if sorted(same.values())[-2:] != [1, 2] or len({json.dumps([runs[n][k] for k in "psc"]) for n in SAME}) != 1:
        fail("two runs are the same, other than the two that are known to be")
    for name, (real, *how) in TWINS.items():
        on_gpu = parse(gzip.decompress(Path(f"tests/data/runs/{real}.run.gz").read_bytes()).decode())
        for what in compare(runs[name], on_gpu, *how):
            fail(f"{name} and {real}: {what}")
        shifted = {**on_gpu, "s": [(i, repeat, 1 - thread) for i, repeat, thread in on_gpu["s"]]}
        if not compare(runs[name], shifted, *how) or not compare(runs["square_fused"], on_gpu, *how):
            fail(f"{name}: what is compared with {real} may be anything")
    if len(honest) < 100 or len(same) < 100:
        fail(f"{len(honest)} runs that nobody forged, {len(same)} of them distinct")
    if sum(f.stat().st_size for f in files) > BYTES_MAX:
        fail("the runs are too big to be committed")
    text = gzip.decompress((DIR / "square_fused.run.gz").read_bytes()).decode()
    for pattern, to in ((r"^(s \d+) 1 ", r"\1 2 "), (r"^w executed_ops \d", "w executed_ops 9"), (r"^w recompute_ops 0", "w recompute_ops 8"),
                        (r"^w phase training", "w phase inference"), (r"^(p 1 \d+)", r"\g<1>0"), (r"^name .*", "name another"),
                        (r"^(s 0 \d+) 0", r"\1 3"), (r"^(s 0 1 0) 1 ", r"\1 9 "), (r"^w variant", "w variance")):
        if not liar(text, pattern, to):
            fail(f"a run in which {pattern} became {to} passes")
    print(f"{len(runs)} runs, {len(honest)} of them honest and {len(same)} distinct, {sum(f.stat().st_size for f in files)} bytes; {len(TWINS)} as on a GPU")
    sys.exit(1 if bad else 0)


main()
