#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scenarios of law, from readings and files to the verdict, through the real binaries.

Each object of tests/data/scenarios/*.json is made into a file of readings, assignments, owners, declarations (by
`opmeter declare`) and regimes (those that are shipped, accepted by an acceptances.yaml where the scenario enforces them, with
Note 2's number where it sets one), and judged by `opmeter policy replay`. One is judged out of a ledger too. Then every threshold
is tried with one operation less, at it, and one more.
"""
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lib"))
import gleif  # noqa: E402

B = Path(os.environ.get("B", "build")).resolve()
OPMETER = str(B / "opmeter")
METERS = {"shape": 1, "launch": 2, "counter": 3, "device": 4, "allocation": 5}
EPOCH = date(1970, 1, 1)
LOSS_LATE = 5
bad = []


def u128(v):
    return int(v).to_bytes(16, "little")


def ops(text):
    v = Decimal(str(text))
    assert v == int(v), text
    return int(v)


def run(*args, code=0):
    p = subprocess.run([OPMETER, *map(str, args)], capture_output=True, text=True, timeout=120)
    if p.returncode != code:
        raise SystemExit(f"opmeter {' '.join(map(str, args))}: exit {p.returncode}, not {code}: {p.stderr.strip()}{p.stdout[-300:]}")
    return p.stdout


def reading(ledger, job, day, meter, sequence, attempted, exact=0, low=0, high=0, calls=1, late=0, device_ns=0):
    start = day * 86400 * 10**9
    lost = [0] * 7
    lost[LOSS_LATE] = late
    b = b"OPRD" + struct.pack("<HH", 1, 320) + ledger + job + struct.pack("<IBBH", day, 4, METERS[meter], 1 if attempted else 0)
    b += struct.pack("<Q", sequence) + u128(exact) + u128(low) + u128(high) + struct.pack("<ddQ", 0.0, 0.0, 0)
    b += struct.pack("<QQQQQ", calls, device_ns, 0, 0, 0) + struct.pack("<7Q", *lost)
    b += struct.pack("<QQ", start, start + 86400 * 10**9 - 1) + struct.pack("<QQ", start, 0)
    b += struct.pack("<II", 0, 0) + struct.pack("<Q", 0) + bytes(48)  # its node tells no devices: they are as many as `--node-devices` says
    assert len(b) == 320
    return b


def split(total, n):
    """n whole parts that add up to the last operation."""
    return [total // n + (1 if i < total % n else 0) for i in range(n)]


def database(where, holders):
    """Owners as they are imported, screened against a list, and judged by a person: {tenant: [[holder, share, whether it is listed]]}."""
    db, e, h = where / "owners.db", where / "entities.csv", where / "holdings.csv"
    owners = lambda verb, *args, code=0: run("owners", verb, "--db", db, *args, code=code)
    lei = {t: gleif.lei(i + 1) for i, t in enumerate(holders)}
    # A name that is like no other: a word of letters, from the id.
    called = lambda n: "".join(chr(ord("a") + b % 26) for b in hashlib.sha256(n.encode()).digest()[:14]) + " Trading"
    names = sorted({name for held in holders.values() for name, _, _ in held})
    gleif.write(e, ["id", "name", "headquarters", "as_of", "no_parent"],
                [{"id": lei[t], "name": f"Customer {t}", "headquarters": "DE", "as_of": "2025-09-01"} for t in holders]
                + [{"id": n, "name": called(n), "headquarters": "CN", "as_of": "2025-09-01", "no_parent": "yes"} for n in names])
    gleif.write(h, ["child", "parent", "share", "as_of"], [{"child": lei[t], "parent": n, "share": share, "as_of": "2025-09-01"}
                                                           for t, held in holders.items() for n, share, _ in held])
    listed = sorted({n for held in holders.values() for n, _, is_listed in held if is_listed})
    gleif.write(where / "csl.csv", gleif.CSL, [gleif.listing(i + 1, called(n)) for i, n in enumerate(listed)])
    for form, path, source in (("entities", e, ["--source", "invented"]), ("holdings", h, ["--source", "invented"]), ("csl", where / "csl.csv", [])):
        owners("import", "--format", form, *source, "--as-of", "2025-09-15", path)
    for t in holders:
        owners("bind", "--lei", lei[t], "--by", "Jane Doe", "--because", "contract", t)
    hits = [json.loads(l) for l in owners("screen", "--json", code=3).splitlines()]
    assert {x["entity"] for x in hits} == set(listed), hits
    for hit in hits:
        owners("screen", "--hit", hit["hit"], "--as", "confirmed", "--by", "Jane Doe", "--because", "looked at the entry")
    return db


class Scenario:
    def __init__(self, what, where):
        self.what, self.dir = what, where
        self.readings, self.assignments, self.sequence = [], [], 0
        for n, job in enumerate(what["jobs"]):
            self.job(n, job)
        (where / "readings").write_bytes(b"".join(self.readings))
        (where / "assignments.jsonl").write_text("".join(json.dumps(a) + "\n" for a in self.assignments))
        (where / "owners.yaml").write_text(what.get("owners", "entities: []\ntenants: []\n"))
        self.owners = database(where, what["holders"]) if "holders" in what else where / "owners.yaml"
        self.declare(what.get("declare", []))

    def job(self, n, j):
        ledger = hashlib.sha256(j.get("provider", "one").encode()).digest()[:16]
        job = hashlib.sha256(f"{self.what['id']}/{n}".encode()).digest()[:16]
        first, days = date.fromisoformat(j["from"]), j.get("days", 1)
        start = (first - EPOCH).days
        parts = split(ops(j.get("ops", 0)), days)
        device = j.get("device")
        for i in range(days):
            self.sequence += 1
            if parts[i]:
                self.readings.append(reading(ledger, job, start + i, "shape", self.sequence, not device, exact=parts[i],
                                             late=j.get("lost", {}).get(str(i), 0)))
            if device:
                v = split(ops(device), days)[i]
                self.readings.append(reading(ledger, job, start + i, "device", self.sequence, False, low=v, high=v))
            for gap in j.get("allocated", []):
                if gap["day"] == i:
                    self.readings.append(reading(ledger, job, start + i, "allocation", self.sequence, False, high=ops(gap["ops"])))
        self.assign(ledger, job, "tenant", j["tenant"], j)
        if "model" in j:
            self.assign(ledger, job, "model", j["model"], j)
        if "lineage" in j:
            self.assign(ledger, job, "lineage", j["lineage"], j)
        for p in j.get("phases", [{"phase": "training"}]):
            self.assign(ledger, job, "phase", p["phase"], j, p)

    def assign(self, ledger, job, kind, value, j, p={}):
        share = p.get("share", ["1", "1"])
        author = {"person": p["person"]} if "person" in p else {"rule": "scenario", "version": "1"}
        self.assignments.append({"v": 1, "ledger": ledger.hex(), "job": job.hex(), "kind": kind, "value": value,
                                 "from": j["from"] + "T00:00:00Z", "to": None, "share": {"low": share[0], "high": share[1]},
                                 "evidence": self.what["id"], "author": author, "at": j["from"] + "T00:00:00Z"})

    def declare(self, acts):
        """Declared now; the history is judged at its end, so what is declared gets the scenario's own date."""
        self.declarations = self.dir / "declarations.jsonl"
        self.declarations.write_text("")
        evidence = self.dir / "letter.txt"
        evidence.write_text("the letter of the scenario\n")
        for a in acts:
            flags = ["--evidence-file", evidence] if a.get("evidence", True) else []
            for k, v in a.get("options", {}).items():
                flags += [f"--{k}"] + ([] if v is True else [v])
            run("declare", a["kind"], a["subject"], "--file", self.declarations, "--by", "Jane Doe", "--regimes", "data/regimes", *flags)

    def regimes(self, name, law):
        """The shipped regimes with what the scenario says of them."""
        d = self.dir / name
        shutil.copytree("data/regimes", d)
        floor = law.get("floor")
        text = (d / "us-bis-4e091.yaml").read_text()
        if floor:
            assert "operations: null" in text
            (d / "us-bis-4e091.yaml").write_text(text.replace("operations: null", f"operations: {floor}")
                                                 .replace('version: "2025-01-15"', f'version: "{law.get("version", "2025-01-15")}"'))
        for f, mode in law.get("modes", {}).items():
            p = d / f"{f}.yaml"
            p.write_text(re.sub(r"^mode: .*$", f"mode: {mode}", p.read_text(), flags=re.M))
        accepted = ["accepted:"]
        for f in law.get("enforce", []):
            text = (d / f"{f}.yaml").read_bytes()
            version = re.search(rb'^version: "(.*)"$', text, re.M)[1].decode()
            name = re.search(rb"^id: (.*)$", text, re.M)[1].decode()
            accepted.append(f'  - {{regime: {name}, version: "{version}", digest: {hashlib.sha256(text).hexdigest()}, by: "counsel of the '
                            f'scenario", date: 2026-01-01, reference: "test"}}')
        if len(accepted) > 1:
            (d / "acceptances.yaml").write_text("\n".join(accepted) + "\n")
        return d

    def judge(self, *more):
        law = self.what.get("law", {})
        args = ["policy", "replay", "--json", "--all", "--assignment-file", self.dir / "assignments.jsonl", "--owners",
                self.owners, "--declarations", self.declarations, "--regimes", self.regimes("old", law)]
        if "against" in self.what:
            args += ["--against", self.regimes("new", {**law, **self.what["against"]})]
        if self.what.get("declare") and "until" not in self.what:  # what is declared now holds from now on
            last = max(date.fromisoformat(j["from"]) + timedelta(days=j.get("days", 1) - 1) for j in self.what["jobs"])
            args += ["--until", max(date.today() + timedelta(days=1), last).isoformat()]
        for flag in ("until", "assignments", "against-assignments"):
            if flag in self.what:
                args += [f"--{flag}", self.what[flag]]
        lines = [json.loads(l) for l in run(*args, *(more or ("--readings", self.dir / "readings"))).splitlines()]
        self.duties = [l for l in lines if "duty" in l]
        return [l for l in lines if "subject" in l and "case" not in l and "duty" not in l], [l for l in lines if "case" in l]


def close_to(a, b, share):
    return abs(ops(a) - ops(b)) <= share * ops(b)


def check_row(name, want, rows):
    side = want.get("side", "old")
    if want["subject"].startswith("family/FAMILY:"):
        want["subject"] = "family/" + hashlib.sha256(want["subject"][14:].encode()).hexdigest()[:16]
    got = [r for r in rows if r["subject"] == want["subject"] and r["regime"] == want["regime"]]
    if len(got) != 1:
        bad.append(f"{name}: {len(got)} rows of {want['subject']} under {want['regime']}")
        return
    v = got[0][side]
    v = v or {"standing": "not judged", "level": None, "verdict": "", "findings": [], "since": {}}
    for key in ("standing", "level"):
        if key in want and v[key] != want[key]:
            bad.append(f"{name}: {want['subject']} {want['regime']} {side}: {key} is {v[key]}, not {want[key]}: {v['verdict']}")
    if want.get("words", "") not in v["verdict"]:
        bad.append(f"{name}: '{want['words']}' is not in '{v['verdict']}'")
    for bound in ("low", "high"):
        for figure in ("observed", "counted"):
            if f"{figure}_{bound}" in want and ops(v[figure][bound]) != ops(want[f"{figure}_{bound}"]):
                bad.append(f"{name}: {figure} {bound} is {v[figure][bound]}, not {want[f'{figure}_{bound}']}")
    for path, (least, most) in want.get("between", {}).items():
        figure, bound = path.split("_")
        if not ops(least) <= ops(v[figure][bound]) <= ops(most):
            bad.append(f"{name}: {path} is {v[figure][bound]}, not {least} to {most}")
    for key, least in want.get("at_least", {}).items():
        if ops(v[key]) < ops(least):
            bad.append(f"{name}: {key} is {v[key]}, below {least}")
    for f in want.get("findings", []):
        if f not in v["findings"]:
            bad.append(f"{name}: {want['subject']} {want['regime']}: no finding {f}: {v['findings']}")
    if "exactly" in want and v.get("findings") != want["exactly"]:
        bad.append(f"{name}: findings are {v['findings']}, not {want['exactly']}")
    for level, day in want.get("since", {}).items():
        if v["since"].get(level) != day:
            bad.append(f"{name}: {level} since {v['since'].get(level)}, not {day}")


def check_cases(name, want, cases):
    for c in want:
        got = [x for x in cases if all(x.get(k) == v for k, v in c.items() if k != "count")]
        if len(got) != c.get("count", 1):
            bad.append(f"{name}: {len(got)} cases like {c}: {cases}")


def play(what, tmp):
    where = Path(tmp) / what["id"]
    where.mkdir()
    s = Scenario(what, where)
    rows, cases = s.judge()
    for want in what["expect"]:
        check_row(what["id"], want, rows)
    check_cases(what["id"], what.get("cases", []), cases)
    if what["id"] in ("A01", "A02", "C02"):
        out_of_a_ledger(s, rows)


def out_of_a_ledger(s, rows):
    """The same, recorded by a node: the same verdicts."""
    shutil.rmtree(s.dir / "old")
    shutil.rmtree(s.dir / "new", ignore_errors=True)
    subprocess.run([B / "tests/tools/make_ledger", s.dir / "ledger", s.dir / "readings", s.dir / "assignments.jsonl"], check=True,
                   capture_output=True)
    run("ledger", "verify", "--dir", s.dir / "ledger")
    there = s.dir / "assignments.jsonl"
    there.write_text("")
    again, _ = s.judge("--dir", s.dir / "ledger")
    if again != rows:
        bad.append(f"{s.what['id']}: out of a ledger the rows differ: {[(a, b) for a, b in zip(again, rows) if a != b][:1]}")


def main():
    # Many small files, each synced: in memory where there is room.
    with tempfile.TemporaryDirectory(prefix="opmeter-scenarios-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as tmp:
        n = 0
        for f in sorted((HERE / "scenarios").glob("*.json")):
            for what in json.loads(f.read_text()):
                play(what, tmp)
                n += 1
        thresholds = at_every_threshold(tmp)
    print("\n".join(bad) or f"{n} scenarios, {thresholds} figures around thresholds: as they should be")
    sys.exit(1 if bad else 0)


# The least figure that meets each threshold, worked out here from the laws' own words.
THRESHOLDS = [("us-bis-4e091", 10**26, ">="), ("us-bis-702-7", 10**26, ">"), ("us-eo-14110", 10**26, ">"), ("eu-ai-act-51", 10**25, ">"),
              ("eu-gpai", 10**23, ">"), ("us-ca-sb53", 10**26, ">"), ("us-ny-raise-2026-03-27", 10**26, ">"), ("kr-ai-basic-act", 10**26, ">=")]


def day_of(name):
    """A day on which that version of the regime holds."""
    return date.fromisoformat({"us-eo-14110": "2024-06-01", "us-ny-raise-2026-03-27": "2027-02-01"}.get(name, "2026-11-23"))


def around_thresholds(day):
    """The scenarios; `day` gives the first day for a regime; those that do not hold on it are left out."""
    for name, figure, comparator in THRESHOLDS:
        regime = name.replace("-2026-03-27", "")
        start = day(name)
        if not holds_on(name, start):
            continue
        for d in (-1, 0, 1):
            v = figure + d
            meets = v >= figure if comparator == ">=" else v > figure
            level = {"eu-gpai": "notice"}.get(name, "exceeded")
            what = {"id": f"{name}{d:+d}", "law": {"floor": "1e20", "modes": {name: "notice"}},
                    "jobs": [{"tenant": "acme", "model": "lm", "from": start.isoformat(), "days": 3, "ops": v}], "expect": []}
            if regime in ("eu-gpai", "us-ny-raise"):
                fact = {"eu-gpai": "generates-media", "us-ny-raise": "compute-cost-over-100m-usd"}[regime]
                what["declare"] = [{"kind": "fact", "subject": "acme/lm", "options": {"fact": fact, "value": "true"}}]
            want = {"subject": "acme/lm", "regime": regime, "observed_low": v}
            want.update({"standing": "reached", "level": level} if meets else {"level": None if regime == "eu-gpai" else "urgent"})
            what["expect"] = [want]
            yield what


def sold(before, after):
    """An entity whose parent was `before` until 2026-03-12, and `after` from then on."""
    edge = lambda parent, bound: f"{{entity: {parent}, share: 100%, source: invented, as-of: 2026-01-01{bound}}}"
    return (f"  - {{id: sub-a, name: sub-a, headquarters: US, source: invented, as-of: 2026-01-01, parents: "
            f"[{edge(before, ', to: 2026-03-12')}, {edge(after, ', from: 2026-03-12')}]}}\n")


def around_sold_families():
    """A tenant is sold in mid-run: the family that it was of has what it trained until then, the other one what it trained from then on.
    Both are at the level below which they are one operation, at it, and one above."""
    level = 9 * 10**25  # 90 % of 10^26: a family's sum is no model's, so it is never `exceeded`
    plain = lambda name, parent: (f"  - {{id: {name}, name: {name}, headquarters: US, source: invented, as-of: 2026-01-01, "
                                  + (f"parents: [{{entity: {parent}, share: 100%, source: invented, as-of: 2026-01-01}}]" if parent else "no-parent: true")
                                  + "}\n")
    owners = ("entities:\n" + sold("hold", "far") + plain("sub-b", "hold") + plain("sub-c", "far") + plain("hold", None) + plain("far", None)
              + "tenants:\n" + "".join(f"  - {{tenant: {t}, entity: sub-{t}}}\n" for t in "abc"))
    for d in (-1, 0, 1):
        job = lambda tenant, first, days, ops: {"tenant": tenant, "model": "lm", "from": first, "days": days, "ops": ops}
        want = {"regime": "us-bis-4e091", "standing": "possible", "level": "warn" if d < 0 else "urgent", "observed_high": level + d,
                "findings": ["structuring"]}
        yield {"id": f"sold{d:+d}", "law": {"floor": "8e25", "enforce": ["us-bis-4e091", "us-bis-red-flag-28"]}, "owners": owners,
               # The last day of the one owner and the first of the other are next to each other.
               "jobs": [job("a", "2026-03-02", 10, level // 2 + d), job("a", "2026-03-12", 7, level // 2), job("b", "2026-01-01", 30, level // 2),
                        job("c", "2026-01-01", 30, level // 2 + d)],
               "expect": [{"subject": "family/FAMILY:hold", **want}, {"subject": "family/FAMILY:far", **want}]}


def around_fractions():
    """A part of a parent's training, of Note 1's number, and the half of the threshold that makes a case of Red Flag 28."""
    job = {"tenant": "acme", "model": "lm", "from": "2026-10-01", "days": 3}
    facts = {"us-bis-veu-fine-tuning": ["veu"], "eu-modification-systemic": ["systemic-risk-parent"], "eu-modification-gpai": []}
    # regime, the parent's training (None: not known, a number of the guidelines stands in), the part of it by the text: "more than".
    parts = [("us-bis-veu-fine-tuning", 8 * 10**25, 4, 8 * 10**25), ("eu-modification-systemic", 9 * 10**24, 3, 9 * 10**24),
             ("eu-modification-systemic", None, 3, 10**25), ("eu-modification-gpai", 9 * 10**22, 3, 9 * 10**22),
             ("eu-modification-gpai", None, 3, 10**23)]
    for n, (regime, parent, part, of) in enumerate(parts):
        for d in (-1, 0, 1):
            v = of // part + d
            what = {"id": f"part-{n}{d:+d}", "law": {"modes": {regime: "notice"}}, "jobs": [{**job, "ops": v}],
                    "declare": [{"kind": "parent", "subject": "acme/lm", "options": {"parent": "base"}}]}
            what["declare"] += [{"kind": "training-operations", "subject": "base", "options": {"operations": str(parent)}}] if parent else []
            what["declare"] += [{"kind": "fact", "subject": "acme/lm", "options": {"fact": f, "value": "true"}} for f in facts[regime]]
            what["expect"] = [{"subject": "acme/lm", "regime": regime, "observed_low": v, "standing": "reached",
                               "level": "exceeded" if v * part > of else "urgent" if part == 4 else "warn"}]
            yield what
    for d in (-1, 0, 1):  # Note 1: the higher of 2.5e25 and a quarter of 8e25
        v = 25 * 10**24 + d
        yield {"id": f"note-1{d:+d}", "law": {"floor": "8e25"}, "jobs": [{**job, "ops": v}],
               "declare": [{"kind": "publication", "subject": "open-base"}, {"kind": "parent", "subject": "acme/lm", "options": {"parent": "open-base"}},
                           {"kind": "training-operations", "subject": "open-base", "options": {"operations": "1e24"}}],
               "expect": [{"subject": "acme/lm", "regime": "us-bis-4e091", "observed_low": v,
                           **({"standing": "exempt", "exactly": []} if d <= 0 else {"exactly": ["exemption-lost"]})}]}
        v = 5 * 10**25 + d
        yield {"id": f"half{d:+d}", "law": {"floor": "8e25", "enforce": ["us-bis-red-flag-28"]}, "jobs": [{**job, "ops": v}],
               "owners": "entities:\n  - {id: own, name: own, headquarters: AE, source: invented, as-of: 2026-01-01, no-parent: true}\n"
                         "tenants:\n  - {tenant: acme, entity: own}\n",
               "expect": [], "cases": [{"regime": "us-bis-red-flag-28", "cause": "material-training", "count": int(d >= 0)}]}


def holds_on(name, day):
    text = Path("data/regimes", f"{name}.yaml").read_text()
    window = {k: re.search(rf"^{k}: (\d{{4}}-\d\d-\d\d)$", text, re.M) for k in ("from", "to")}
    return not (window["from"] and day < date.fromisoformat(window["from"][1])) and not (
        window["to"] and day >= date.fromisoformat(window["to"][1]))


def at_every_threshold(tmp):
    n = 0
    for what in (*around_thresholds(day_of), *around_fractions()):
        play(what, tmp)
        n += 1
    for what in around_sold_families():
        play(what, tmp)
        n += 1
    return n


if __name__ == "__main__":
    os.chdir(HERE.parent.parent)
    main()
