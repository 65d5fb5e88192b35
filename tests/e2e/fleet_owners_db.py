#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A database of owners that changes while the fleet runs: what is bound and imported is read anew and judged. The owner that one member of a
lineage had for a time is learned late: the lineage is judged again by what all its members trained until then, and the rule about listed owners by
its versions of that time. No import that is under way, and none that fails, is taken for owners."""
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../data"))
from fleet import *
import gleif
import scenarios

START, SOLD = date(2025, 10, 1), date(2026, 3, 12)
LAW = {"floor": "8e25", "enforce": ["us-bis-4e091", "us-bis-red-flag-28"]}
# Half of 10^26 is material: no tenant has it alone, the lineage has it until the day of the sale.
JOBS = [{"tenant": "acme", "model": "lm", "lineage": "one", "from": START.isoformat(), "days": 200, "ops": 2 * 10**25 + 7},
        *({"tenant": "zeta", "model": "lm", "lineage": "one", "from": START.isoformat(), "days": 100, "ops": 10**25} for _ in range(4))]
SUB, THEN, HOLD, FAR, ZETA = (gleif.lei(n) for n in range(1, 6))


class Owners:
    def __init__(self, d):
        self.dir, self.db = d, d / "owners.db"

    def run(self, act, *args):
        return scenarios.run("owners", act, "--db", self.db, *args)

    def load(self, form, as_of, columns, rows):
        path = gleif.write(self.dir / f"{form}.csv", columns, rows)
        self.run("import", "--format", form, "--source", "register", "--as-of", as_of, path)

    def begin(self):
        self.load("entities", "2025-09-01", ["id", "name", "headquarters", "as_of", "no_parent"],
                  [{"id": i, "name": n, "headquarters": h, "as_of": "2025-09-01", "no_parent": p}
                   for i, n, h, p in ((SUB, "Sub", "US", ""), (THEN, "Sub before", "US", ""), (HOLD, "Hold", "JP", "yes"),
                                      (FAR, "Far Holding", "CN", "yes"), (ZETA, "Zeta", "IE", "yes"))])
        self.load("holdings", "2025-09-01", ["child", "parent", "share", "as_of"],
                  [{"child": c, "parent": p, "share": "100%", "as_of": "2025-09-01"} for c, p in ((SUB, HOLD), (THEN, FAR))])
        for tenant, entity in (("acme", SUB), ("zeta", ZETA)):
            self.bind(tenant, entity)

    def bind(self, tenant, entity, *when):
        self.run("bind", "--lei", entity, "--by", "jane", "--because", "contract", *when, tenant)


class Watched(Running):
    def listed(self):
        return {(e["data"]["version"], e["data"]["standing"], e["data"].get("owner_until")) for e in self.events("alert.owner", "acme")
                if e["data"]["regime"] == "us-bis-affiliates"}


def until_sold(tenant):
    return sum(sum(scenarios.split(j["ops"], j["days"])[:(SOLD - START).days]) for j in JOBS if j["tenant"] == tenant)


def learned_late(f, o):
    """acme was another parent's until the day of the sale. Nobody's own training was material then, the lineage's was."""
    acme, zeta = until_sold("acme"), until_sold("zeta")
    assert max(acme, zeta, JOBS[0]["ops"]) < 5 * 10**25 <= acme + zeta
    o.bind("acme", THEN, "--to", SOLD)
    case = f.wait("a case by the lineage", lambda: f.events("case", "acme"))[0]["data"]
    assert case["cause"] == "material-training" and case["owner_until"] == SOLD.isoformat() and case["owner_until_told"], case
    assert case["observed"] == {"low": str(acme + zeta), "high": str(acme + zeta)}, case["observed"]
    assert [(p["from"], p["to"]) for p in case["periods"]] == [(START.isoformat(), SOLD.isoformat()), (SOLD.isoformat(), None)], case["periods"]
    assert not f.events("case", "zeta"), "zeta's owner is clear"


def failing(f, o):
    """An import that is stopped changes nothing, and one that nobody ended is waited for."""
    n = len(f.lines())
    gleif.write(o.dir / "bad.csv", ["child", "parent", "share", "as_of"], [{"child": SUB, "parent": FAR, "share": "180%", "as_of": "2026-01-01"}])
    p = subprocess.run([OPMETER, "owners", "import", "--db", o.db, "--format", "holdings", "--source", "register", "--as-of", "2026-01-01", o.dir / "bad.csv"],
                       capture_output=True)
    assert p.returncode == 3, p
    time.sleep(3)
    assert not [l for l in f.lines()[n:] if "specversion" in l], f.lines()[n:]


def listed(f, o):
    """That the earlier parent is listed is learned after all that: each version of the rule is asked about the owner of its time."""
    assert not f.listed(), f.listed()  # without a list nothing was compared
    entry = gleif.listing(1, "Far Holding")
    o.run("import", "--format", "csl", "--as-of", "2025-10-01", gleif.write(o.dir / "csl.csv", gleif.CSL, [entry]))
    hits = [json.loads(l) for l in subprocess.run([OPMETER, "owners", "screen", "--db", o.db, "--json"], capture_output=True, text=True).stdout.splitlines()]
    for h in hits:
        o.run("screen", "--hit", h["hit"], "--as", "confirmed", "--by", "jane", "--because", "looked at the entry")
    want = {("2025-09-30", "affiliate", "2025-11-10"), ("2025-11-10", "affiliate", SOLD.isoformat())}
    f.wait("the rule's versions of that time", lambda: want <= f.listed())
    assert {x for x in f.listed() if x[1] == "affiliate"} == want, f.listed()
    text = json.dumps([e for e in f.lines() if e.get("type") == "opmeter.alert.owner.v1"])
    assert "Far" not in text and "CN" not in text, "an alert names an owner"


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-owners-db-") as tmp, Broker() as broker:
        d = Path(tmp)
        s = scenarios.Scenario({"id": "db", "jobs": JOBS}, d)
        o = Owners(d)
        o.begin()
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([BUILD / "tests/tools/publish", broker.brokers, d / "readings", d / "assignments.jsonl"], check=True, stdout=subprocess.DEVNULL)
        f = Watched(broker, d, "db", "--regimes", s.regimes("old", LAW), "--owners", o.db)
        try:
            f.wait("the lineage's level", lambda: f.events("alert.level", "lineage/one"))
            assert not f.events("case", "acme") and not f.events("alert.owner", "acme"), "an owner that is clear calls for a look"
            learned_late(f, o)
            failing(f, o)
            listed(f, o)
            ids = [e["id"] for e in f.lines() if "specversion" in e]
            assert len(ids) == len(set(ids)), "said twice"
            reads = len([l for l in f.lines() if l.get("file") == "owners" and l["state"] == "read"])
        finally:
            f.close()
    print(f"an owners database that changed while the fleet ran: read anew {reads} times, a lineage judged again, listed owners by their time")


if __name__ == "__main__":
    os.chdir(SOURCE)
    main()
