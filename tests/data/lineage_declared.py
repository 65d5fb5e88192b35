#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs whose models are not alike, of two tenants: joined once a person declares that the one was trained on from the other, more surely with the
digest of the evidence, and not any more when it is withdrawn."""
import json
import os
import subprocess
import tempfile
from pathlib import Path

OPMETER = Path(os.environ.get("B", "build")) / "opmeter"


def opmeter(*args):
    return subprocess.run([OPMETER, *map(str, args)], check=True, capture_output=True, text=True).stdout


def groups(ledger, *more):
    view = json.loads(opmeter("lineage", "list", "--dir", ledger, "--json", "--architectures", "data/architectures.csv", *more))
    return sorted((len(g["runs"]), round(g["confidence"], 2), sorted(r["tie"] for r in g["runs"])) for g in view["lineages"])


def main():
    with tempfile.TemporaryDirectory() as d:
        ledger, file, tenants = Path(d, "ledger"), Path(d, "declarations.jsonl"), Path(d, "tenants.yaml")
        tenants.write_text("rules:\n  - match: {path: \"/base\"}\n    tenant: acme\n    model: base\n  - match: {path: \"/tuned\"}\n    tenant: zeta\n    model: tuned\n")
        for path, run in (("/base", "gpt2_bf16"), ("/tuned", "llama_onestep")):
            opmeter("replay", f"tests/phases/runs/{run}.run.gz", "--ledger", ledger, "--cgroup", path, "--tenants", tenants)
        apart = [(1, 1.0, ["the first"])] * 2
        assert groups(ledger) == apart, groups(ledger)
        opmeter("declare", "--file", file, "--by", "Jane Doe", "--parent", "acme/base", "parent", "zeta/tuned")
        assert groups(ledger) == apart and groups(ledger, "--declarations", file) == [(2, 0.7, ["a declared checkpoint", "the first"])]
        evidence = Path(d, "card.txt")
        evidence.write_text("trained on from acme/base at step 9000\n")
        said = opmeter("declare", "--file", file, "--by", "Jane Doe", "--parent", "acme/base", "--evidence-file", evidence, "parent", "zeta/tuned")
        assert groups(ledger, "--declarations", file) == [(2, 0.95, ["a declared checkpoint", "the first"])], groups(ledger, "--declarations", file)
        opmeter("declare", "--file", file, "--by", "Jane Doe", "--of", said.split()[0], "withdrawal", "zeta/tuned")
        left = groups(ledger, "--declarations", file)
        assert left == [(2, 0.7, ["a declared checkpoint", "the first"])], left
        file.write_text("{}\n")
        bad = subprocess.run([OPMETER, "lineage", "list", "--dir", ledger, "--declarations", file], capture_output=True, text=True)
        assert bad.returncode == 1 and ":1:" in bad.stderr, bad
        print("joined by what is declared, as surely as it is proven")


main()
