#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scenarios of law through the fleet: all of tests/data/scenarios and a figure below, at and above each threshold are tenants
of one fleet on a real broker. For each law that they are judged under there is a fleet of its own, which reads them all: aggregators,
totals on the wire, the judge with owners and declarations. What is expected is what the scenarios say, and what `opmeter policy
replay` makes of each by itself: the same levels, verdicts, figures and findings of every subject under every regime, and the
same cases, each once."""
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../data"))
from fleet import *
import scenarios
from day import await_day

await_day(110)

TODAY = date.today()
TOPICS = ("opmeter.alerts.v1", "opmeter.alerts.shadow.v1", "opmeter.cases.v1")
bad = []


def own(what, name):
    """The name that a tenant, lineage or model elsewhere of this scenario has in the fleet."""
    if name.startswith("family/FAMILY:"):
        return "family/FAMILY:" + own(what, name[14:])
    if name.startswith("lineage/"):
        return "lineage/" + own(what, name[8:])
    return f"{what['id'].replace('+', '.plus.')}.{name}"


def made_own(what):
    """The scenario under names that no other scenario has, judged today."""
    w = json.loads(json.dumps(what))
    for j in w["jobs"]:
        for key in ("tenant", "lineage"):
            if key in j:
                j[key] = own(what, j[key])
        assert date.fromisoformat(j["from"]) + timedelta(days=j.get("days", 1)) <= TODAY, "a scenario that is still to come"
    for d in w.get("declare", []):
        d["subject"] = own(what, d["subject"])
        for key in ("generator", "parent"):
            if key in d.get("options", {}):
                d["options"][key] = own(what, d["options"][key])
    if "holders" in w:
        w["holders"] = {own(what, t): [[own(what, n), *more] for n, *more in held] for t, held in w["holders"].items()}
        w["cases"] = []  # which version of a rule finds what, the dates of the rule say: check_listed()
    if "owners" in w:
        w["owners"] = re.sub(r"\b(id|entity|tenant): ([a-z0-9-]+)", lambda m: f"{m[1]}: {own(what, m[2])}", w["owners"])
    for e in w["expect"]:
        e["subject"] = own(what, e["subject"])
        if "words" in e:
            e["words"] = re.sub(r"(training operations of) ([a-z]\S*)", lambda m: f"{m[1]} {own(what, m[2])}", e["words"])
    for c in w.get("cases", []):
        if "subject" in c:
            c["subject"] = own(what, c["subject"])
        c.pop("day", None)  # which day of a history is for the replay to say
    w["until"] = TODAY.isoformat()
    return w


class Tenants:
    """All scenarios' readings, assignments, owners and declarations together."""

    clocks = met = listed = 0

    def __init__(self, tmp):
        self.tmp, self.readings, self.assignments = Path(tmp), b"", ""
        self.entities, self.tenants, self.holders = [], [], {}
        self.declarations = self.tmp / "declarations.jsonl"
        self.declarations.write_text("")
        self.laws = {}  # law: [(scenario, rows, cases, side)]

    def add(self, what):
        w = made_own(what)
        where = self.tmp / w["id"]
        where.mkdir()
        s = scenarios.Scenario(w, where)
        rows, cases = s.judge()
        self.readings += (where / "readings").read_bytes()
        self.assignments += (where / "assignments.jsonl").read_text()
        part = (where / "owners.yaml").read_text().split("tenants:")
        self.entities += [l for l in part[0].splitlines() if l.startswith("  - ")]
        self.tenants += [l for l in part[1].splitlines() if l.startswith("  - ")]
        for d in w.get("declare", []):
            flags = ["--evidence-file", where / "letter.txt"] if d.get("evidence", True) else []
            for k, v in d.get("options", {}).items():
                flags += [f"--{k}"] + ([] if v is True else [v])
            scenarios.run("declare", d["kind"], d["subject"], "--file", self.declarations, "--by", "Jane Doe", "--regimes", "data/regimes", *flags)
        law = w.get("law", {})
        if "holders" in w:
            law = {**law, "database": True}  # a fleet that has its owners from there
            self.holders.update(w["holders"])
        w["duties"] = s.duties
        self.judged_by(law, w, rows, cases, "old")
        if "against" in w:
            self.judged_by({**law, **w["against"]}, w, rows, cases, "new")
        for want in w["expect"]:
            scenarios.check_row(w["id"], want, rows)

    def judged_by(self, law, what, rows, cases, side):
        key = json.dumps(law, sort_keys=True)
        self.laws.setdefault(key, []).append((what, rows, [c for c in cases if c["side"] in (side, "judged")], side))

    def write(self):
        (self.tmp / "readings").write_bytes(self.readings)
        (self.tmp / "assignments.jsonl").write_text(self.assignments)
        lists = [f"{name}:{'' if lines else ' []'}" + "".join(f"\n{l}" for l in lines) + "\n"
                 for name, lines in (("entities", self.entities), ("tenants", self.tenants))]
        (self.tmp / "owners.yaml").write_text("".join(lists))
        scenarios.database(self.tmp, self.holders)


def collect(tmp):
    all_of = Tenants(tmp)
    everything = [w for f in sorted((scenarios.HERE / "scenarios").glob("*.json")) for w in json.loads(f.read_text())]
    families = list(scenarios.around_sold_families())
    parts = list(scenarios.around_fractions())
    for what in parts:  # under a law that is there already
        what["law"] = {"floor": "8e25", "enforce": ["us-bis-4e091", "us-bis-red-flag-28"]}
    for what in everything + families + parts:
        # One directory of regimes less to judge by: who does not declare the fact is not concerned.
        if what.get("law", {}).get("floor") == "8e25":
            what["law"]["modes"] = {"us-bis-veu-fine-tuning": "notice"}
        all_of.add(what)
    modes = {}
    around = list(scenarios.around_thresholds(lambda name: TODAY - timedelta(days=10)))
    for what in around:
        modes.update(what["law"]["modes"])
    for what in around:
        what["law"]["modes"] = modes
        all_of.add(what)
    all_of.write()
    return all_of, len(everything), len(around) + len(families) + len(parts)


def judge(broker, all_of, n, law, sealing):
    """One fleet, once: what it says, by subject and regime."""
    d = all_of.tmp / f"law-{n}"
    d.mkdir()
    what, _, _, side = all_of.laws[law][0]
    s = scenarios.Scenario.__new__(scenarios.Scenario)
    s.dir = d
    regimes = s.regimes(side, json.loads(law))
    owners = "owners.db" if json.loads(law).get("database") else "owners.yaml"
    return subprocess.Popen([OPMETER, "fleet", "--node-devices", "65536", "--brokers", broker.brokers, "--name", f"law-{n}", "--regimes", regimes, "--owners",
                             all_of.tmp / owners, "--declarations", all_of.declarations, "--once", "--seal-after",
                             "48h" if sealing else "0"], stdout=subprocess.DEVNULL)


def said(broker):
    """{fleet: [event]}, as a consumer reads them."""
    cmd = [BUILD / "tests/kafka/consume", "--brokers", broker.brokers]
    for t in TOPICS:
        cmd += ["--topic", t]
    out, seen = {}, Counter()
    for line in subprocess.run(cmd, check=True, capture_output=True, text=True).stdout.splitlines():
        r = json.loads(line)
        e = r["value"]
        out.setdefault(e["source"].removeprefix("/opmeter/"), []).append({**e, "topic": r["topic"]})
        seen[e["id"]] += 1
    again = [i for i, n in seen.items() if n > 1]
    if again:
        bad.append(f"said more than once: {again[:3]}")
    return out


def told(row):
    """What a judge must say of a row: its highest level, or nothing."""
    if not row or row["standing"] in ("none", "not held"):
        return None
    if row["standing"] == "exempt" and "derived from published weights" not in row["verdict"]:
        return None
    return row["level"]


def check_levels(name, subject, regime, row, alerts):
    got = {a["data"]["level"]: a["data"] for a in alerts}
    level = told(row)
    if subject.startswith("family/") and row and "structuring" not in row["findings"]:
        level = None
    want = set(row["since"]) if level else set()
    if set(got) != want:
        bad.append(f"{name}: {subject} {regime}: levels {sorted(got)} are told, not {sorted(want)}: {row and row['verdict']}")
        return
    if not level:
        return
    top = got[level]
    for figure in ("counted", "observed", "executed"):
        if figure == "observed" and subject.startswith("family/"):
            continue
        if top[figure] != row[figure]:
            bad.append(f"{name}: {subject} {regime}: {figure} is {top[figure]}, not {row[figure]}")
    if top["findings"] != row["findings"]:
        bad.append(f"{name}: {subject} {regime}: findings {top['findings']}, not {row['findings']}")
    words = f"{top['verdict']}: whether level '{level}' is met depends on that" if row["standing"] == "conditional" else f"{level} {top['verdict']}"
    if row["standing"] in ("conditional", "exempt") and words != row["verdict"] and level == "exceeded":
        bad.append(f"{name}: {subject} {regime}: verdict '{top['verdict']}', not '{row['verdict']}'")
    if row["standing"] in ("reached", "possible") and top["verdict"] != row["standing"]:
        bad.append(f"{name}: {subject} {regime}: verdict '{top['verdict']}', not '{row['standing']}'")


def trained(what, begin, end):
    """What the scenario's jobs trained on the days from `begin` on, before `end`."""
    total = 0
    for j in what["jobs"]:
        first, days = date.fromisoformat(j["from"]), j.get("days", 1)
        total += sum(v for i, v in enumerate(scenarios.split(scenarios.ops(j["ops"]), days))
                     if date.fromisoformat(begin) <= first + timedelta(days=i) < (date.fromisoformat(end) if end else TODAY))
    return str(total)


def check_periods(what, events):
    """A10: the owner changed in mid-run. The case says what was trained under which, to the last operation."""
    periods = [e["data"].get("periods") for e in events if e["type"] == "opmeter.case.v1" and e["data"]["cause"] == "material-training"
               and e["subject"] == own(what, "acme")]
    if len(periods) != 1 or not periods[0] or [(p["from"], p["to"]) for p in periods[0]] != [("2026-01-01", "2026-03-12"), ("2026-03-12", None)]:
        bad.append(f"{what['id']}: the periods of owners are {periods}")
        return
    for p in periods[0]:
        v = trained(what, p["from"], p["to"])
        if p["training"] != {"low": v, "high": v}:
            bad.append(f"{what['id']}: from {p['from']} on {p['training']}, not {v}")
    if periods[0][0]["ownership_version"] == periods[0][1]["ownership_version"]:
        bad.append(f"{what['id']}: both owners are one version")


def check_duties(name, what, side, events):
    """Clocks that run since a level was met, or since it is known that it will be: the same, since the same day, in the same words."""
    keys = ("regime", "subject", "known_on", "met_on", "due", "sentence")
    got = Counter(tuple({**e["data"], "subject": e["subject"]}.get(k) for k in keys) for e in events)
    want = Counter(tuple(d.get(k) for k in keys) for d in what["duties"] if d["side"] in (side, "judged"))
    if got != want:
        bad.append(f"{name}: clocks {sorted(got)}, not {sorted(want)}")
    Tenants.clocks += sum(want.values())
    Tenants.met += sum(n for k, n in want.items() if k[3])


# The versions of the rule about affiliates, what each says of half or more, of less, and of what is not known.
LISTED = [("2025-09-30", "2025-09-29", "2025-11-10", {"affiliate": "restricted", "below-50-red-flag": "red flag: below the threshold"}),
          ("2025-11-10", "2025-11-10", "2026-11-10", {"affiliate": "suspended: a red flag to review"}),
          ("2026-11-10", "2026-11-10", None, {"affiliate": "restricted, unless the suspension was extended"})]


def check_listed(what, events):
    """Holders on a list: a case under each version of the rule that held on a day of the run or since, by what that version says."""
    first = min(date.fromisoformat(j["from"]) for j in what["jobs"])
    held = sum(float(share[:-1]) for _, share, is_listed in next(iter(what["holders"].values())) if is_listed)
    told = sum(float(share[:-1]) for _, share, _ in next(iter(what["holders"].values())))
    standing = "affiliate" if held >= 50 else "unknown" if held + 100 - told >= 50 else "below-50-red-flag"
    versions = {v: says.get(standing) for v, since, until, says in LISTED if date.fromisoformat(since) <= TODAY
                and not (until and date.fromisoformat(until) <= first)}
    got = {e["data"]["version"]: e["data"] for e in events if e["type"] == "opmeter.case.v1" and e["data"]["regime"] == "us-bis-affiliates"
           and e["subject"] == own(what, "acme")}
    if set(got) != set(versions):
        bad.append(f"{what['id']}: cases under {sorted(got)}, not {sorted(versions)}")
        return
    for v, c in got.items():
        if c["cause"] != f"listed-owners/{standing}" or c.get("hold", False) != (standing == "unknown") or versions[v] not in (None, c["verdict"]):
            bad.append(f"{what['id']}: {v}: {c['cause']}, {c['verdict']}, hold {c.get('hold')}, and it is {standing}")
    Tenants.listed += len(got)


def check_scenario(what, rows, cases, side, events):
    name = f"{what['id']} ({side})"
    levels = {}
    for e in events:
        if e["type"] == "opmeter.alert.level.v1":
            levels.setdefault((e["subject"], e["data"]["regime"]), []).append(e)
    for r in rows:
        check_levels(name, r["subject"], r["regime"], r[side], levels.pop((r["subject"], r["regime"]), []))
    mine = {r["subject"] for r in rows}
    for (subject, regime), alerts in levels.items():
        if subject in mine:
            bad.append(f"{name}: {subject} {regime}: {[a['data']['level'] for a in alerts]} told, and no row of it")
    tenants = {j["tenant"] for j in what["jobs"]}
    got = Counter((e["data"]["regime"], e["data"]["cause"], e["subject"], e["data"].get("hold", False)) for e in events
                  if e["type"] == "opmeter.case.v1" and e["subject"] in mine | tenants)
    want = Counter((c["regime"], c["cause"], c["subject"], c["hold"]) for c in cases)
    if "holders" in what:
        check_listed(what, events)
    elif got != want:
        bad.append(f"{name}: cases {sorted(got)}, not {sorted(want)}")
    if what["id"] == "A10":
        check_periods(what, events)
    check_duties(name, what, side, [e for e in events if e["type"] == "opmeter.alert.duty.v1" and e["subject"] in mine])
    if side == "old":
        scenarios.check_cases(name, [c for c in what.get("cases", []) if "side" not in c],
                              [{"regime": r, "cause": c, "subject": s, "hold": h} for r, c, s, h in got.elements()])


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-law-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as tmp, Broker() as broker:
        all_of, count, figures = collect(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "4", "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([BUILD / "tests/tools/publish", broker.brokers, all_of.tmp / "readings", all_of.tmp / "assignments.jsonl"], check=True,
                       stdout=subprocess.DEVNULL)
        running = []
        for n, law in enumerate(all_of.laws):
            running.append((n, judge(broker, all_of, n, law, n == 0)))
            # The first one seals days, by itself; the others are beside each other in twos.
            while running and (n == 0 or len(running) == 2 or n + 1 == len(all_of.laws)):
                k, p = running.pop(0)
                assert p.wait(timeout=200) == 0, f"fleet law-{k} ended with {p.returncode}"
        events, alerts = said(broker), 0
        for n, law in enumerate(all_of.laws):
            alerts += len(events.get(f"law-{n}", []))
            for what, rows, cases, side in all_of.laws[law]:
                check_scenario(what, rows, cases, side, events.get(f"law-{n}", []))
    lines = bad + scenarios.bad
    print("\n".join(lines) or f"{count} scenarios and {figures} figures around thresholds through {len(all_of.laws)} fleets of one broker: "
          f"{alerts} events, as they should be, among them {Tenants.clocks} clocks, {Tenants.met} of which run since a level was met, the others since it was known, and {Tenants.listed} cases of listed holders")
    assert Tenants.listed and Tenants.met and Tenants.clocks > Tenants.met, "no clock: nothing is compared"
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    os.chdir(SOURCE)
    main()
