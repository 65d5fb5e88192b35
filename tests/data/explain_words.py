#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `policy explain` and `policy diff` tell of a subject and of two directories, through the real binary."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import scenarios

bad = []
OWNERS = ("entities:\n  - {id: sub, name: sub, headquarters: US, source: invented, as-of: 2026-01-01, "
          "parents: [{entity: hold, share: 80%, source: invented, as-of: 2026-01-01}]}\n"
          "  - {id: hold, name: hold, headquarters: MO, source: invented, as-of: 2026-01-01, no-parent: true}\n"
          "tenants:\n  - {tenant: acme, entity: sub}\n")


def opmeter(code, *args):
    p = subprocess.run([scenarios.OPMETER, *map(str, args)], capture_output=True, text=True, timeout=120)
    if p.returncode != code:
        bad.append(f"opmeter {' '.join(map(str, args[:3]))}: exit {p.returncode}, not {code}: {p.stderr}{p.stdout[-300:]}")
    return p.stdout + p.stderr


def says(text, *words):
    bad.extend(f"'{w}' is not in: {text}" for w in words if w not in text)


def says_not(text, *words):
    bad.extend(f"'{w}' is in: {text}" for w in words if w in text)


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-explain-") as tmp:
        what = {"id": "x", "owners": OWNERS, "jobs": [{"tenant": "acme", "model": "lm", "from": "2026-07-01", "days": 3, "ops": "9.5e25"}],
                "declare": [{"kind": "external-operations", "subject": "acme/lm", "options": {"provider": "far", "operations": "1e25"}}]}
        where = Path(tmp, "x")
        where.mkdir()
        s = scenarios.Scenario(what, where)
        args = ["policy", "explain", "acme/lm", "--readings", where / "readings", "--assignment-file", where / "assignments.jsonl",
                "--owners", where / "owners.yaml", "--declarations", s.declarations, "--regimes", "data/regimes"]
        text = opmeter(0, *args)
        says(text, "us-bis-4e091 version", "1 declaration was made after that day", "15 CFR part 732 Supp. 3, Red Flag 28",
             "in Country Group D:5 or Macau", "mode shadow", "material from 5.00e+25", "not enforced", "us-bis-affiliates version 2025-11-10",
             "headquarters MO", "beside it: what devices executed is not known")
        says_not(text, "us-bis-702-7", "seat")
        says(opmeter(0, *args, "--regime", "us-bis-702-7"), "us-bis-702-7 version")
        says(opmeter(2, *args, "--regime", "nosuch"), "no regime 'nosuch'")
        fact = lambda rc, name, *more: opmeter(rc, "declare", "fact", "acme/lm", "--fact", name, "--value", "false", "--file", s.declarations, "--by",
                                               "Jane Doe", "--regimes", "data/regimes", *more)
        fact(0, "veu")
        says(fact(2, "veuu"), "no regime of data/regimes asks for a fact 'veuu'; the nearest: veu (")
        says(fact(2, "something-else-altogether"), "known ones: ", "generates-media", "compute-cost-over-100m-usd")
        says(opmeter(1, "declare", "fact", "acme/lm", "--fact", "veu", "--value", "true", "--file", s.declarations, "--by", "Jane Doe", "--regimes",
                     Path(tmp, "none")), "cannot be looked up")
        fact(0, "veuu", "--new-fact")
        text = opmeter(0, "policy", "check", "--regimes", "data/regimes", "--declarations", s.declarations)
        says(text, f"{s.declarations}:3: no regime asks for a fact 'veuu'")
        says_not(text, "a fact 'veu'")
        other = Path(tmp, "other")
        subprocess.run(["cp", "-r", "data/regimes", other], check=True)
        r = other / "us-bis-4e091.yaml"
        r.write_text(r.read_text().replace("neither off nor deleted", "neither deleted nor off"))
        says(opmeter(3, "policy", "diff", "data/regimes", other), "us-bis-4e091 version 2025-01-15: two texts of one version", "a new version beside it")
        (other / "acceptances.yaml").write_text('accepted:\n  - {regime: us-bis-4e091, version: "2025-01-15", digest: '
                                                f"{scenarios.hashlib.sha256(r.read_bytes()).hexdigest()}, by: B, date: 2099-01-01, reference: r}}\n")
        says(opmeter(2, "policy", "explain", "us-bis-4e091", "--regimes", other), "a day to come")
    print("\n".join(bad) or "what is explained: as it should be")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    os.chdir(Path(__file__).parent.parent.parent)
    main()
