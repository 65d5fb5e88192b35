#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owners, declarations and regimes that change while a node is metered: what is learned late of an owner is judged by the days it was one, what is
declared counts, and a damaged file is named and changes nothing. On SIGHUP they are read at once."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../data"))
from opm import *
import scenarios
from fleet_files import IRISH, SOLD_TO_IRISH, START, regime, replace

JOBS = [{"tenant": "acme", "model": "lm", "from": START.isoformat(), "days": 100, "ops": 10**16 + 7},
        {"tenant": "zeta", "model": "lm", "from": START.isoformat(), "days": 10, "ops": 4 * 10**15}]


def events(rig, kind, subject):
    return [e["payload"] for e in rig.export("entries") if e["kind"] in ("alert", "case") and e["payload"]["subject"] == subject
            and e["payload"]["type"] == f"opmeter.{kind}.v1"]


def asked_for(rig, owners):
    """SIGHUP: read now, though the next publication is an hour away; also what has not changed, and as often as it is asked."""
    log = lambda: (rig.dir / "agent.log").read_text()
    replace(owners, IRISH)
    rig.start("--owners", owners, "--publish", "3600s")
    read = log().count("owners.yaml was read anew")
    replace(owners, IRISH.replace("name: sub", "name: sub-of-far"))
    for n in (1, 2):
        rig.agent.send_signal(signal.SIGHUP)
        rig.wait_for(lambda: log().count("owners.yaml was read anew") == read + n, f"owners to be read when asked, {n}")
    replace(owners, IRISH[:200])
    refused = log().count("owners: what was read before stays in use")
    rig.agent.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: log().count("owners: what was read before stays in use") == refused + 1, "the damaged file to be named when asked")
    assert rig.agent.poll() is None, "it ended on SIGHUP"
    rig.stop()


def other_law(rig):
    """A regime that comes while the node runs is judged by without being asked, a version that takes its place on SIGHUP; half of a file is named."""
    log = lambda: (rig.dir / "agent.log").read_text()
    said = lambda version: {(e["subject"], e["data"]["level"]) for e in (x["payload"] for x in rig.export("entries") if x["kind"] == "alert")
                            if e["type"] == "opmeter.alert.level.v1" and (e["data"]["regime"], e["data"]["version"]) == ("test-law", version)}
    law = rig.dir / "law"
    law.mkdir()
    replace(law / "other.yaml", regime("0", "1e30").replace("test-law", "other-law"))
    rig.start("--regimes", law)
    replace(law / "test-1.yaml", regime("1", "7e15"))
    rig.wait_for(lambda: said("1") == {("acme/lm", "exceeded")}, "the new regime to be judged by")
    rig.stop()
    rig.start("--regimes", law, "--publish", "3600s")
    replace(law / "test-1.yaml", regime("1", "7e15", f"to: {START.isoformat()}\n"))
    replace(law / "test-2.yaml", regime("2", "4e15", f"from: {START.isoformat()}\n"))
    assert not said("2")
    rig.agent.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: said("2") == {("acme/lm", "exceeded"), ("zeta/lm", "exceeded")}, "the version that takes its place")
    refused = log().count("regimes: what was read before stays in use")
    replace(law / "test-2.yaml", regime("2", "4e15")[:150])
    rig.agent.send_signal(signal.SIGHUP)
    rig.wait_for(lambda: log().count("regimes: what was read before stays in use") == refused + 1, "half of a file to be named")
    rig.stop()


def main():
    need_live()
    with Rig("files") as rig:
        scenarios.Scenario({"id": "files", "jobs": JOBS, "owners": IRISH}, rig.dir)
        owners, declared = rig.dir / "owners.yaml", rig.dir / "declarations.jsonl"
        subprocess.run([BUILD / "tests/tools/make_ledger", rig.ledger, rig.dir / "readings", rig.dir / "assignments.jsonl"], check=True,
                       capture_output=True)
        rig.start("--owners", owners, "--declarations", declared)
        replace(owners, SOLD_TO_IRISH)
        rig.wait_for(lambda: events(rig, "case", "acme"), "a case of the earlier owner")
        case = [c["data"] for c in events(rig, "case", "acme")]
        half = sum(scenarios.split(10**16 + 7, 100)[:50])
        assert len(case) == 1 and case[0]["observed"] == {"low": str(half), "high": str(half)} and case[0]["owner_until_told"], case
        assert [int(p["training"]["low"]) for p in case[0]["periods"]] == [half, 10**16 + 7 - half], case[0]["periods"]
        scenarios.run("declare", "external-operations", "zeta/lm", "--provider", "elsewhere", "--operations", "7e15", "--evidence-file",
                      rig.dir / "letter.txt", "--by", "Jane Doe", "--file", declared)
        rig.wait_for(lambda: any(e["data"]["level"] == "exceeded" for e in events(rig, "alert.level", "zeta/lm")), "what is declared to count")
        replace(owners, SOLD_TO_IRISH[:200])
        file = f"file/owners/{time.strftime('%Y-%m-%d', time.gmtime())}"
        rig.wait_for(lambda: events(rig, "alert.data", file), "the damaged file to be said")
        assert "owners.yaml:" not in events(rig, "alert.data", file)[0]["data"]["sentence"]
        assert "owners: what was read before stays in use" in (rig.dir / "agent.log").read_text()
        assert len(events(rig, "case", "acme")) == 1
        rig.stop()
        asked_for(rig, owners)
        other_law(rig)
    print("owners, declarations and regimes of a node: read anew, judged by their days; a damaged file is named")


if __name__ == "__main__":
    main()
