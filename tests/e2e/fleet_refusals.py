#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records that no honest node writes: each is named, counted, kept as a dead letter and said in an alert, and no total moves
for it. At the same broker: names of tenants that change (tests/lib/fleet_tenants.py), and versions side by side (fleet_versions.py)."""
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *
from fleet_tenants import check_tenants_file
from fleet_versions import check_versions

SIM = ["--seed", "5", "--nodes", "32", "--jobs", "80", "--days", "2", "--faults", "forge,regress"]
# What the simulated fleet forges, and the name it is refused under. A key of another register and a bare null come as they come.
NAMES = {"new": "impossible", "grown": "impossible", "key": "forged", "damaged": "damaged", "version": "unknown-version", "source": "forged",
         "crossed": "damaged", "peak": "impossible", "start": "impossible", "old": "impossible", "devices": "impossible"}


def records(broker, topic):
    out = subprocess.run([BUILD / "tests/kafka/consume", "--brokers", broker.brokers, "--topic", topic], check=True,
                         capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def fleet(broker, name, *extra):
    out = subprocess.run([OPMETER, "fleet", "--brokers", broker.brokers, "--name", name, "--regimes", "tests/demo/regimes", "--once",
                          "--json", *extra], check=True, capture_output=True, text=True, timeout=120).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    return [r for r in rows if "group" in r], [r for r in rows if "specversion" in r]


def sums(rows):
    got = {}
    for r in rows:
        at = ("lineage", r["lineage"]) if r["group"] == "lineage" else ("model", r["tenant"], r["model"])
        got[at] = {f: int(r[f.split(".")[0]][f.split(".")[1]]) for f in FIELDS} | {"registers": int(r["registers"])}
    return got


def check_said(events, truth):
    said = {}
    for e in events:
        if e["type"] == "opmeter.alert.data.v1" and e["subject"].startswith("partition/"):
            said[e["data"]["cause"]] = said.get(e["data"]["cause"], 0) + int(e["data"]["count"])
            assert e["data"]["what_to_do"], e
    for name in set(NAMES.values()):
        want = sum(n for kind, n in truth["forged"].items() if NAMES.get(kind) == name)
        assert said.get(name, 0) == want > 0, f"{name}: {said.get(name, 0)} said, {want} forged ({truth['forged']})"
    assert truth["regressed"] > 0 and said.get("regression", 0) == truth["regressed"], f"{said.get('regression', 0)} steps back said, {truth['regressed']} sent"
    return {name: said[name] for name in set(NAMES.values())}


def check_dead_letters(broker, said):
    dead = {}
    for r in records(broker, "opmeter.deadletters.v1"):
        dead.setdefault(r["headers"]["reason"], set()).add(r["key"])
        assert r["key"] == "/".join(r["headers"][h] for h in ("topic", "partition", "offset")), r
    for name in set(NAMES.values()):
        assert len(dead.get(name, ())) == said[name], f"{name}: {len(dead.get(name, ()))} dead letters, {said[name]} refused"


def check_overclaims(broker, tmp):
    """A node whose jobs claim, each for itself, what the node can do in a day: counted, and said with the node's name, once."""
    subprocess.run([FLEETSIM, "--reset", "--brokers", broker.brokers], check=True)
    subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"], check=True)
    path = os.path.join(tmp, "claims.json")
    subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", path, "--seed", "5", "--nodes", "1", "--jobs", "1", "--days", "1",
                    "--cross", "12", "--cross-ops", str(8 * 10**15 * 86400)], check=True)
    rows, events = fleet(broker, "claims")
    lines = differences(truth_sums(json.loads(open(path).read())), sums(rows))
    assert not lines, "\n".join(lines[:10])
    over = [e for e in events if e["data"].get("cause") == "overclaimed"]
    # The day may be sealed by now: then its keys have nulls, too, which nobody's node wrote.
    sources = {r["headers"]["ce_source"] for r in records(broker, "opmeter.readings.v1") if r["value"]}
    assert len(over) == 1 and {over[0]["subject"]} == sources, (over, sources)
    data = over[0]["data"]
    assert int(data["claimed"]) > int(data["possible"]) >= 2 * 8 * 10**15 * 86400, data


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-refusals-") as tmp:
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "4", "--replication", "1"], check=True)
        path = os.path.join(tmp, "truth.json")
        subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", path, *SIM], check=True)
        truth = json.loads(open(path).read())
        rows, events = fleet(broker, "refusals")
        lines = differences(truth_sums(truth), sums(rows))
        assert not lines, "\n".join(lines[:10])
        said = check_said(events, truth)
        check_dead_letters(broker, said)
        check_tenants_file(broker, "refusals", "tests/demo/regimes", tmp, rows)
        # Tenants that the provider does not have: their jobs stay where they were, with nobody.
        names = sorted({s["tenant"] for s in truth["totals"] if s["tenant"] not in ("", "unknown")})
        kept = names[::2]
        with open(os.path.join(tmp, "tenants"), "w") as f:
            f.write("# ours\n" + "".join(f"{n}\n" for n in kept))
        rows, events = fleet(broker, "known", "--tenants", f.name)
        tenants = {r["tenant"] for r in rows if r["group"] == "model"}
        assert tenants <= {*kept, "unknown"}, tenants - set(kept)
        assert any(e["data"].get("cause") == "no-such-tenant" for e in events), "a tenant that does not exist is not said"
        before = sum(s["all.low"] for at, s in truth_sums(truth).items() if at[0] == "model")
        after = sum(s["all.low"] for at, s in sums(rows).items() if at[0] == "model")
        assert before == after, "operations were lost with their tenant"
        check_overclaims(broker, tmp)
        print(check_versions(broker, tmp))
    print(f"{sum(truth['forged'].values())} forged records, refused as " + ", ".join(f"{n} {c}" for n, c in sorted(said.items())))


main()
