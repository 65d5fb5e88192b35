#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports through the real binary: their figures are the ledger's own, what nobody recorded is said to be missing, and the CSV is read by
another parser to the same cells, with none that a spreadsheet would run."""
import csv
import hashlib
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from casework import CIRRUS, RUN, Desk  # noqa: E402

CLOCKS = ("--retention", "data/retention.yaml")
FORMULA = '=HYPERLINK("x","y"), and a comma'


def both(d, *args):
    """The JSON, after the CSV said the same."""
    report = json.loads(d.run(*args).stdout)
    text = d.run(*args, "--csv").stdout
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert rows[0] == report["columns"], rows[0]
    assert len(rows) == 1 + len(report["rows"])
    for row, want in zip(rows[1:], report["rows"]):
        for cell, name in zip(row, report["columns"]):
            assert not cell or cell[0] not in "=+-@\t\r\n", cell
            assert cell.removeprefix("'") == want[name], (cell, want[name])
    return report


with Desk("reports") as d:
    case = d.find()
    d.gather(case)
    ledger = [json.loads(x) for x in d.run("ledger", "show", "--json", "--dir", d.node).stdout.splitlines()]
    total = str(sum(int(r["exact"]) for r in ledger if r["tenant"] == "cirrus" and r["meter"] == "shape"))

    period = both(d, "report", "period", "--dir", d.node, "--owners", "tests/demo/owners.yaml", "--regimes", "tests/demo/regimes", "--store", d.store)
    (row,) = [r for r in period["rows"] if r["tenant"] == "cirrus"]
    assert row["training_low"] == row["training_high"] == row["all_low"] == total, (row, total)
    assert row["attempted"].startswith("yes") and row["meters"] == "shape" and row["cases"] == f"{case} detected", row
    assert "Cumulus Holding (CN, as of 2026-10-01: invented register extract)" in row["ownership"], row
    first, last = row["first_day"], row["last_day"]
    assert row["owners"].startswith(f"{first} to {last}: ") and "< Cumulus Holding (CN), " in row["owners"] and row["owners"].count(" to ") == 1, row
    demo = Path("tests/demo/owners.yaml").read_text()
    parent = demo[:demo.index("Cumulus Holding")].split("- id: ")[-1].split()[0]
    assert row["family"] == "family/" + hashlib.sha256(parent.encode()).hexdigest()[:16], row["family"]
    (alone,) = both(d, "report", "period", "--dir", d.node, "--tenant", "cirrus")["rows"]
    assert (alone["owners"], alone["training_low"]) == ("not asked for", row["training_low"]), alone
    assert both(d, "report", "period", "--dir", d.node, "--tenant", "nobody")["rows"] == []
    d.run("report", "period", "--dir", d.node, "--api", "https://127.0.0.1:1", code=2)
    share = int(total) * 100000 // 10**16  # of the demo's threshold
    assert f"demo-threshold 1 (enforce, digest " in row["regimes"] and f"{share // 1000}.{share % 1000:03} % to " in row["regimes"], row
    verified = d.run("ledger", "verify", "--dir", d.node).stdout
    assert row["log_root"] in verified and f"root of {row['log_size']} leaves" in verified, (row, verified)
    assert both(d, "report", "period", "--dir", d.node, "--to", "2020-01-01")["rows"] == []

    mine = both(d, "report", "case", case, "--store", d.store, *CLOCKS)
    (row,) = mine["rows"]
    assert row["training_low"] == total and row["case"] == case and row["regime"] == "demo-owner" and row["readings_at"], row
    assert "Cumulus Holding: invented register extract, as of 2026-10-01" in row["ownership_sources"], row
    assert mine["case"]["retention"]["open"] is True and mine["case"]["retention"]["clock"]

    fields = {r["field"]: r for r in both(d, "report", "case", case, "--store", d.store, "--form", "7308", *CLOCKS)["rows"]}
    assert len(fields) == 17 and fields["estimated_ops"]["value"] == f"{total} to {total}", fields
    assert fields["email"]["known"].startswith("missing") and fields["email"]["value"] == ""
    d.case("fact", case, "alice", "--name", "email", "--value", FORMULA, "--source", "@letter of the customer")
    fields = {r["field"]: r for r in both(d, "report", "case", case, "--store", d.store, "--form", "7308", *CLOCKS)["rows"]}
    assert (fields["email"]["value"], fields["email"]["known"]) == (FORMULA, "recorded in the case"), fields["email"]

    # Of the customer's parent it is no person's name that is told.
    owner = fields["ultimate_beneficial_owner"]
    assert owner["value"] == "" and owner["known"].startswith("missing") and "Cumulus Holding (CN)" in owner["known"], owner
    assert "gathered into this case" in mine["scope"] and row["coverage"], mine["scope"]

    half = mine["rows"][0]["first_day"]
    name = half[:4] + ("H1" if half[5:7] < "07" else "H2")
    veu = both(d, "report", "period", "--dir", d.node, "--form", "veu", "--half", name, "--owners", "tests/demo/owners.yaml", "--store", d.store)
    (row,) = [r for r in veu["rows"] if r["tenant"] == "cirrus"]
    assert (row["headquarters"], row["parent_headquarters"], row["training_low"]) == ("DE", "CN", total), row
    assert "748.15(f)" in veu["due"] and "Supp. 10" in veu["due"] and "codified, not enforced" in veu["due"]
    assert veu["scope"].startswith("1 ledger, each of one node")

    # Two nodes: figures add up, and each ledger is named with its own entries and root. Twice the same is refused.
    one, two = d.node, d.dir / "two"
    d.run("replay", RUN, "--ledger", two, "--cgroup", CIRRUS, "--repeat", 3, "--tenants", "tests/demo/tenants.yaml")
    alone = both(d, "report", "period", "--dir", two)["rows"][0]
    row = both(d, "report", "period", "--dir", one, "--dir", two)
    assert row["scope"].startswith("2 ledgers"), row["scope"]
    (row,) = [r for r in row["rows"] if r["tenant"] == "cirrus"]
    assert int(row["training_low"]) == int(total) + int(alone["training_low"]) > int(total), row
    assert row["ledger"].endswith("; " + alone["ledger"]) and row["log_root"].endswith("; " + alone["log_root"]) and row["entries"].count(" to ") == 2, row
    d.run("report", "period", "--dir", two, "--dir", two, code=2)
    # An owner that nobody loaded is unknown, not clear.
    (row,) = [r for r in both(d, "report", "period", "--dir", d.node, "--form", "veu", "--half", name)["rows"] if r["tenant"] == "cirrus"]
    assert (row["headquarters"], row["ownership_state"]) == ("unknown", "not asked for"), row
    d.run("report", "period", "--dir", d.node, "--form", "veu", code=2)
    d.run("report", "period", "--dir", d.node, "--from", "2026-02-30", code=2)
    print("reports are the ledger's figures")
