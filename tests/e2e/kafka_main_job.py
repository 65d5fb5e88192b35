#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job through a real broker: what tenants call is in the readings topic to the last operation; a level
crossed and a foreign-parent owner are each one CloudEvent, once, also after restarts; the fleet comes to the same totals."""
import os
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

TENANTS = """rules:
  - match: {path: "**/TAG/acme/**"}
    tenant: acme
    phase: training
    declared: {by: test, date: 2026-11-01}
  - match: {path: "**/TAG/cirrus/**"}
    tenant: cirrus
    model: lm
    phase: training
    declared: {by: test, date: 2026-11-01}
"""
# acme: 60 % of the demo threshold of 1e16; cirrus: over it. 2*2^40 operations a call.
PRODUCT = f"1,8192,8192,16384,{TYPES_BF16}"
OPS = 2 * 8192 * 8192 * 16384
ACME, CIRRUS = 2729, 4561  # calls, primes


def alerts(kafka):
    """Of this test's tenants: whatever else runs on the machine is metered, and judged, too."""
    return [r for r in kafka.records() if r["topic"] in ("opmeter.alerts.v1", "opmeter.cases.v1")
            and r["value"]["type"] not in ("opmeter.heartbeat.v1", "opmeter.alert.data.v1")
            and r["value"]["subject"].split("/")[0] in ("acme", "cirrus")]


def kinds(records):
    return sorted((r["value"]["type"], r["value"]["subject"], r["value"]["data"].get("level", "")) for r in records)


EXPECTED = sorted([
    ("opmeter.alert.level.v1", "acme/unassigned", "notice"),
    *(("opmeter.alert.level.v1", "cirrus/lm", level) for level in ("notice", "warn", "urgent", "exceeded")),
    ("opmeter.alert.owner.v1", "cirrus", ""),
    ("opmeter.case.v1", "cirrus", ""),
])


def check_events(kafka, source):
    got = alerts(kafka)
    assert kinds(got) == EXPECTED, f"alerts of {source}: {kinds(got)}"
    for r in got:
        v = r["value"]
        assert v["specversion"] == "1.0" and r["key"] == v["id"] and v["source"].startswith("/opmeter/"), v
        assert r["headers"]["content-type"] == "application/cloudevents+json"
        if v["type"] != "opmeter.case.v1":
            text = json.dumps(v)
            for secret in ("CN", "Cumulus", "cumulus", "Macau", "macau"):
                assert f'"{secret}"' not in text and secret not in v["data"]["sentence"], f"an alert names {secret}"
    case = [r["value"] for r in got if r["value"]["type"] == "opmeter.case.v1"][0]["data"]
    assert [s["headquarters"] for s in case["path"]] == ["DE", "CN"] and case["seat"] == "bis-d5-macau", case
    assert len({r["key"] for r in got}) == len(got), "an id twice"


def check_heartbeats(kafka):
    """The second start's first one says whose jobs ran there. A node that is gone for good is so by a person's word."""
    beats = lambda: [r for r in kafka.records("opmeter.alerts.v1") if r["value"]["type"] == "opmeter.heartbeat.v1"]
    last = beats()[-1]
    data = last["value"]["data"]
    assert {"acme", "cirrus"} <= set(data["tenants"]) and data["interval_s"] == 60 and last["key"] == last["value"]["source"], last
    subprocess.run([OPMETER, "topics", "retire", "--brokers", kafka.brokers, "--person", "J. Doe", "--reason", "sold",
                    last["key"].removeprefix("/opmeter/")], check=True, stdout=subprocess.DEVNULL)
    gone = beats()[-1]
    assert gone["key"] == last["key"] and gone["value"]["data"]["retired"] == {"person": "J. Doe", "reason": "sold"}, gone


def check_readings(kafka, want, jobs):
    """Byte-exact, keyed, partitioned; the last record of each key is the register."""
    last, parts = {}, {}
    rows = kafka.records("opmeter.readings.v1")
    for r in rows:
        last[r["key"]] = r["value"]
        parts.setdefault(r["key"], set()).add(r["partition"])
        key = bytes.fromhex(r["key"])
        a, b = struct.unpack_from("<Q", key, 0)[0], struct.unpack_from("<Q", key, 16)[0]
        assert r["partition"] == (a ^ b) % 4, "not the partition of docs/formats.md"
        assert r["headers"]["ce_type"] == "opmeter.reading.v1" and r["headers"]["ce_id"].endswith(r["key"][32:])
    assert all(len(p) == 1 for p in parts.values())
    got = {v["job"]: int(v["exact"]) for v in last.values() if v["format"] == "bf16" and v["job"] in jobs}
    assert sum(got.values()) == want, f"readings {sum(got.values())}, played {want}"


def fleet(kafka, name):
    out = subprocess.run([OPMETER, "fleet", "--brokers", kafka.brokers, "--regimes", "tests/demo/regimes", "--owners",
                          "tests/demo/owners.yaml", "--name", name, "--once", "--json"],
                         check=True, capture_output=True, text=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    return {r["tenant"]: r for r in rows if "tenant" in r}, [r for r in rows if "specversion" in r]


def main():
    need_live()
    with Kafka(19492) as kafka, Rig("kafka") as rig:
        tenants = rig.dir / "tenants.yaml"
        tenants.write_text(TENANTS.replace("TAG", rig.tag))
        rig.options = ["--tenants", tenants, "--owners", "tests/demo/owners.yaml", "--brokers", kafka.brokers,
                       "--create-topics", "--library", CUDA13 / "libcublasLt.so.13"]
        rig.start()
        play = lambda who, calls: rig.play(rig.cgroup(f"{who}/job"), "--lib-dir", CUDA13, "--product", PRODUCT,
                                           "--calls", calls, "--rate", "3000", "--wait-ms", "300")
        players = [play("acme", ACME), play("cirrus", CIRRUS)]
        played = sum(int(rig.finish(p)["ops"]) for p in players)
        assert played == OPS * (ACME + CIRRUS)
        rig.wait_for(lambda: rig.total() == played, "the last drain")
        rig.wait_for(lambda: len(alerts(kafka)) >= len(EXPECTED), "the alerts")
        rig.stop()
        check_events(kafka, "standalone")
        check_readings(kafka, played, {r["job"] for r in rig.readings()})
        rig.start()  # the same findings are true again, and are not said again
        rig.stop()
        check_events(kafka, "standalone, restarted")
        # As after a crash between delivery and acknowledgement: everything said waits in the outbox again.
        import sqlite3
        with sqlite3.connect(rig.ledger / "ledger.db") as db:
            n = db.execute("INSERT INTO pending SELECT 0, idx FROM entry WHERE kind IN (4, 7)").rowcount
        assert n >= len(EXPECTED)
        rig.start()
        time.sleep(2)
        rig.stop()
        check_events(kafka, "standalone, crashed before the acknowledgement")
        check_heartbeats(kafka)
        totals, said = fleet(kafka, "test-fleet")
        assert int(totals["acme"]["all"]["low"]) == OPS * ACME and int(totals["cirrus"]["all"]["low"]) == OPS * CIRRUS
        gone = [s["data"] for s in said if s["data"].get("cause") == "node-retired"]
        assert [(g["person"], g["reason"]) for g in gone] == [("J. Doe", "sold")], gone
        said = [s for s in said if s["subject"].split("/")[0] in ("acme", "cirrus")]
        assert sorted((s["type"], s["subject"], s["data"].get("level", "")) for s in said) == EXPECTED
        totals, again = fleet(kafka, "test-fleet")
        assert not [s for s in again if s["subject"].split("/")[0] in ("acme", "cirrus")], "the fleet said it twice"
        assert int(totals["cirrus"]["training"]["low"]) == OPS * CIRRUS
        print(f"{played} operations, {len(EXPECTED)} findings once each")


main()
