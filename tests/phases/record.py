#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""record.py [DIR] [NAME...]: records the runs of tests/phases/README.md (all, or those named) into DIR (default: runs beside this file, held for those held out, ranks for those of one job).
Needs PyTorch, any build, no GPU. What the records assume of a GPU is said in recorder.py; nothing in `make check` needs this."""
import fnmatch
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from recorder import Recorder  # noqa: E402
from variants import RUNS  # noqa: E402
import variants_adversarial  # noqa: E402, F401
import variants_frozen  # noqa: E402, F401
import variants_heldout  # noqa: E402, F401
import variants_inference  # noqa: E402, F401
import variants_jobs  # noqa: E402, F401
import variants_other  # noqa: E402, F401
import variants_ranks  # noqa: E402, F401
import variants_twins  # noqa: E402, F401


def frozen_share(rec):
    """Of the parameters that products used, the part that is not trained."""
    return 1 - rec.parameters(trained=True) / rec.parameters()


def record(name, to):
    kind, variant, fn, made_with = RUNS[name]
    rec = Recorder(name, **made_with)
    with rec:
        facts = {"phase": kind, "variant": variant, **(fn(rec) or {})}
    assert rec.roles, f"{name}: no products"
    if kind in ("training", "frozen"):
        assert (frozen_share(rec) > 0.5) == (kind == "frozen"), f"{name}: {frozen_share(rec):.2f} of its parameters are frozen"
    size = rec.write(to / f"{name}.run.gz", kind, facts)
    w = rec.truth(facts)
    share = lambda r: rec.roles[r] / w["executed_ops"]
    print(f"{name:28} {kind:9} {size:6} bytes {len(rec.products):5} shapes {sum(c for _, c in rec.products.values()):6} calls "
          f"forward {share('forward'):.2f} dX {share('input_gradient'):.2f} dW {share('weight_gradient'):.2f} again {share('recompute'):.2f}")
    return size


def main():
    args = sys.argv[1:]
    to = Path(args.pop(0)) if args else None
    names = [n for n in RUNS if not args or any(fnmatch.fnmatch(n, a) for a in args)]
    torch.set_grad_enabled(True)
    total = 0
    for n in names:
        here = to or Path(__file__).parent / ("held" if n.startswith("held_") else "ranks" if n.startswith("ranks_") else "runs")
        here.mkdir(exist_ok=True)
        total += record(n, here)
    print(f"{len(names)} runs, {total} bytes")


main()
