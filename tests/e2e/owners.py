#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From the publishers' files to a finding: a parent's headquarters and a listed holder reach `owners show` and, by recorded runs, the alerts of policy. Rejects
stop an import and are kept with their place; a person's words bind tenants and judge hits; nothing unknown is clear."""
import csv
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import gleif
from gleif import lei

OPMETER = Path(os.environ.get("B", "build")).resolve() / "opmeter"
RUN = "tests/data/runs/h100_gpt124m_train_fp8_r0.run.gz"
IE, AE, CN, MO = 2, 3, 4, 5


def opmeter(*args, code=0, **more):
    p = subprocess.run([OPMETER, *map(str, args)], capture_output=True, text=True, **more)
    assert p.returncode == code, (args, p.returncode, p.stdout, p.stderr)
    return p.stdout


class Site:
    def __init__(self, folder):
        self.dir = Path(folder)
        self.db = self.dir / "owners.db"

    def owners(self, act, *args, **more):
        return opmeter("owners", act, "--db", self.db, *args, **more)

    def load(self, form, as_of, columns, rows, *args, code=0):
        path = gleif.write(self.dir / f"{form}.csv", columns, rows)
        return json.loads(self.owners("import", "--format", form, "--as-of", as_of, "--json", *args, path, code=code))

    def show(self, what, *args):
        p = subprocess.run([OPMETER, "owners", "show", "--db", self.db, "--json", *args, what], capture_output=True, text=True)
        assert p.returncode in (0, 3), p
        return json.loads(p.stdout), p.returncode

    def bind(self, tenant, *how):
        self.owners("bind", *how, "--by", "jane", "--because", "contract", tenant)


def rejects(s):
    """A bad row stops it, is kept with its line, and may be allowed; nothing else is lost."""
    rows = [gleif.entity(1, "Invented Ireland, \"Ltd\"", "IE"), gleif.entity(2, "Zwei\nZeilen GmbH", "DE"), gleif.entity(3, "Drei AG", "DE")]
    rows[2]["LEI"] = rows[2]["LEI"][:-2] + "00"
    out = s.load("gleif-lei", "2026-11-01", gleif.LEI, rows, "--rejects", s.dir / "rejects.csv", code=3)
    assert not out["imported"] and out["rejects"]["lei-check-digits"] == 1, out
    kept = list(csv.DictReader(open(s.dir / "rejects.csv")))
    assert [(r["file"], r["line"], r["column"], r["reject"]) for r in kept] == [("gleif-lei.csv", "5", "LEI", "lei-check-digits")], kept
    assert "0 record" in s.owners("check")
    assert s.load("gleif-lei", "2026-11-01", gleif.LEI, rows, "--dry-run", "--lost-max", "1")["new"] == 2
    assert "0 record" in s.owners("check")
    said = s.owners("import", "--format", "gleif-lei", "--as-of", "2026-11-01", s.dir / "gleif-lei.csv", code=3)
    assert all(w in said for w in ("nothing imported, nothing is changed", "2 would be new or changed", "--rejects FILE", "--lost-max 1 ")), said
    (s.dir / "utf16.csv").write_text((s.dir / "gleif-lei.csv").read_text(), encoding="utf-16")
    said = subprocess.run([OPMETER, "owners", "import", "--db", s.db, "--format", "gleif-lei", "--as-of", "2026-11-01", s.dir / "utf16.csv"], text=True,
                          capture_output=True)
    assert said.returncode != 0 and "UTF-16" in said.stdout + said.stderr, said
    rows[0]["Entity.HeadquartersAddress.Country"] = "ZZ"
    out = s.load("gleif-lei", "2026-11-01", gleif.LEI, rows, "--rejects", s.dir / "rejects.csv", code=3)
    assert out["rejects"]["malformed"] == 1 and "ISO 3166-1" in (s.dir / "rejects.csv").read_text(), out
    opmeter("owners", "import", "--db", s.db, "--format", "gleif-lei", s.dir / "gleif-lei.csv", code=2)  # no day
    opmeter("owners", "import", "--db", s.db, "--format", "gleif-rr", "--as-of", "2026-11-01", s.dir / "gleif-lei.csv", code=2)
    opmeter("owners", "import", "--db", s.db, "--format", "gleif-lei", "--as-of", "2026-11-01", s.dir / "none.csv", code=2)


def killed(s):
    """An import that dies in its middle has changed nothing."""
    p = subprocess.Popen([OPMETER, "owners", "import", "--db", s.db, "--format", "gleif-lei", "--as-of", "2026-11-01", "-"], stdin=subprocess.PIPE,
                         stdout=subprocess.DEVNULL)
    p.stdin.write((",".join(gleif.LEI) + "\n").encode())
    for n in range(20000):
        p.stdin.write((",".join(gleif.entity(n, f"E{n}", "US").values()) + "\n").encode())
    p.stdin.flush()
    deadline = time.monotonic() + 20
    while not (s.dir / "owners.db-journal").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (s.dir / "owners.db-journal").exists(), "it did not begin"
    p.send_signal(signal.SIGKILL)
    p.wait()
    p.stdin.close()
    assert "0 record" in s.owners("check"), s.owners("check")


def doubts(s):
    """What contradicts itself is told by the check, not only where somebody asks about that entity; and owners.yaml says nothing of days to come."""
    db = s.dir / "doubts.db"
    entities = [(i, "yes" if i in ("top", "small") else "no") for i in ("a", "b", "c", "self-a", "self-b", "top", "over", "small", "under")]
    gleif.write(s.dir / "e.csv", ["id", "name", "headquarters", "as_of", "no_parent"],
                [{"id": i, "name": i, "headquarters": "XK", "as_of": "2026-10-01", "no_parent": n} for i, n in entities])
    holds = [("a", "b", "100%"), ("b", "c", "60%"), ("c", "a", "50%"), ("self-a", "self-b", "49%"), ("self-b", "self-a", "100%"), ("top", "over", "70%"),
             ("small", "under", "49%")]
    gleif.write(s.dir / "h.csv", ["child", "parent", "share", "as_of"],
                [{"child": c, "parent": p, "share": share, "as_of": "2026-10-01"} for c, p, share in holds])
    for form in ("entities", "holdings"):
        opmeter("owners", "import", "--db", db, "--format", form, "--source", "register", "--as-of", "2026-11-01", s.dir / f"{form[0]}.csv")
    said = opmeter("owners", "check", "--db", db, code=3)
    told = sorted(l for l in said.splitlines() if l.startswith("doubt:"))
    assert [l.split(":")[1:3] for l in told] == [[" a", " stands above itself"], [" b", " stands above itself"], [" c", " stands above itself"],
                                                [" top", " is said to have no parent, and a parent is named"]], said
    assert "in 3 steps" in told[0] and "register says both" in told[3] and "4 doubts" in said, said
    # What ended is no doubt any more.
    holds[2], holds[5] = ("c", "a", "10%"), ("top", "over", "7%")
    gleif.write(s.dir / "h.csv", ["child", "parent", "share", "as_of"],
                [{"child": c, "parent": p, "share": share, "as_of": "2026-10-02"} for c, p, share in holds])
    opmeter("owners", "import", "--db", db, "--format", "holdings", "--source", "register", "--as-of", "2026-11-02", s.dir / "h.csv")
    assert "0 doubts" in opmeter("owners", "check", "--db", db)
    file = s.dir / "late.yaml"
    for day, country, code in (("2026-10-01", "DE", 3), ("2999-01-01", "DE", 1), ("2026-10-01", "ZZ", 1)):
        file.write_text(f"entities:\n  - {{id: x, name: X, headquarters: {country}, source: s, as-of: {day}}}\ntenants:\n  - {{tenant: t, entity: x}}\n")
        p = subprocess.run([OPMETER, "owners", "show", "--db", file, "t"], capture_output=True, text=True)
        assert (p.returncode == 3) == (code == 3) and (code == 3 or f"late.yaml:2: 'as-of' 2999-01-01 lies in the future" in p.stderr
                                                      or "ISO 3166-1" in p.stderr), p
        assert ("in order" in subprocess.run([OPMETER, "policy", "check", "--regimes", "data/regimes", "--owners", file], capture_output=True,
                                             text=True).stdout.splitlines()[-1]) == (code == 3)


def on_a_terminal(s):
    """Whoever looks on sees how far it is, up to the end, and nothing of it is left there; in a file there is no bar."""
    path = gleif.write(s.dir / "many.csv", gleif.LEI, [gleif.entity(n, f"Entity {n} " + "x" * 200, "US") for n in range(30000)])
    cmd = [OPMETER, "owners", "import", "--db", s.dir / "many.db", "--format", "gleif-lei", "--as-of", "2026-11-01", path]
    ours, theirs = pty.openpty()
    p = subprocess.Popen([str(a) for a in cmd], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            got = os.read(ours, 65536)
        except OSError:  # the last writer is gone
            got = b""
        if not got:
            break
        shown += got
    os.close(ours)
    assert p.wait() == 0, shown[-300:]
    steps = [int(x) for x in re.findall(rb"\[#* *\] +(\d+) %", shown)]
    assert len(set(steps)) > 5 and steps == sorted(steps) and steps[-1] <= 100, steps
    assert all(len(b) == 30 for b in re.findall(rb"\[([# ]*)\]", shown)) and shown.endswith(b"\r"), shown[-100:]
    again = subprocess.run([str(a) for a in cmd], capture_output=True)
    assert again.returncode == 0 and b"\r" not in again.stderr + again.stdout and b"#" not in again.stderr, again


def world(s):
    """One customer a way to stand: its parent moved, is not disclosed, is nobody's, holds by shares."""
    names = {1: ("Customer One", "US"), IE: ("Emerald Parent", "IE"), AE: ("Desert Parent", "AE"), CN: ("Huaxin Semiconductor", "CN"),
             MO: ("Harbour Holding", "MO"), 6: ("Customer Silent", "US"), 7: ("Customer Alone", "SE"), 8: ("Customer Held", "DE"),
             9: ("Customer Macau", "FR"), 10: ("Branch Office", "GB")}
    number = {"Entity.RegistrationAuthority.RegistrationAuthorityID": "RA000585",
              "Entity.RegistrationAuthority.RegistrationAuthorityEntityID": "HRB 77"}
    s.load("gleif-lei", "2026-11-01", gleif.LEI, [gleif.entity(n, name, hq, **(number if n == 8 else {})) for n, (name, hq) in names.items()])
    s.load("gleif-rr", "2026-11-01", gleif.RR, [
        gleif.relation(1, IE, "IS_ULTIMATELY_CONSOLIDATED_BY", "2020-01-01T00:00:00.000Z", "2026-08-01T00:00:00.000Z"),
        gleif.relation(1, AE, "IS_ULTIMATELY_CONSOLIDATED_BY", "2026-08-01T00:00:00.000Z"),
        gleif.relation(9, MO, "IS_ULTIMATELY_CONSOLIDATED_BY", "2020-01-01T00:00:00.000Z"),
        gleif.relation(10, 7, "IS_INTERNATIONAL_BRANCH_OF")])
    s.load("gleif-repex", "2026-11-01", gleif.REPEX, [gleif.exception(6, "NON_PUBLIC"), gleif.exception(7, "NO_KNOWN_PERSON"),
                                                      gleif.exception(CN, "NATURAL_PERSONS")])
    gleif.write(s.dir / "e.csv", ["id", "name", "headquarters", "as_of", "no_parent"],
                [{"id": i, "name": n, "headquarters": h, "as_of": "2026-10-01", "no_parent": "yes"}
                 for i, n, h in (("x1", "Alpha Trading", "CN"), ("x2", "Beta Trading", "CN"), ("x3", "Gamma Trading", "CN"), ("clean", "Clean Holder", "DE"))])
    s.owners("import", "--format", "entities", "--source", "register", "--as-of", "2026-11-01", s.dir / "e.csv")
    gleif.write(s.dir / "h.csv", ["child", "parent", "share", "as_of"],
                [{"child": lei(8), "parent": p, "share": share, "as_of": "2026-10-01"}
                 for p, share in (("x1", "20%"), ("x2", "0.2"), ("x3", "15.0%"), ("clean", "45%"))])
    s.owners("import", "--format", "holdings", "--source", "register", "--as-of", "2026-11-01", s.dir / "h.csv")
    # The list names the three holders, and one whose name is near a customer's parent.
    entries = [gleif.listing(1, "Alpha Trading Co., Ltd."), gleif.listing(2, "BETA TRADING LLC"), gleif.listing(3, "Somebody Else", gleif.SDN,
               alt_names="Gamna Trading"), gleif.listing(4, "Nobody At All")]
    assert s.load("csl", "2026-11-20", gleif.CSL, entries)["new"] == 4
    for tenant, n in (("mover", 1), ("silent", 6), ("alone", 7), ("macau", 9), ("branch", 10)):
        s.bind(tenant, "--lei", lei(n))
    s.bind("held", "--registration", "RA000585/HRB 77")
    opmeter("owners", "bind", "--db", s.db, "--lei", lei(1)[:-1] + "0", "--by", "j", "--because", "x", "t", code=2)
    opmeter("owners", "bind", "--db", s.db, "--lei", lei(99), "--by", "j", "--because", "x", "t", code=2)
    opmeter("owners", "bind", "--db", s.db, "--lei", lei(1), "--by", "j", "t", code=2)  # no reason
    suggested = s.owners("suggest", "CUSTOMER HELD GmbH").splitlines()
    assert suggested[0].split()[:2] == ["1000", lei(8)], suggested


def answers(s):
    def path(a):
        return [p["headquarters"] for p in a["path"]]
    mover, _ = s.show("mover", "--date", "2026-11-23", "--from", "2026-05-01", "--to", "2026-11-23")
    assert path(mover["answer"]) == ["US", "AE"] and mover["answer"]["known"], mover
    assert [(p["from"], p["to"], path(p["answer"])) for p in mover["periods"]] == [
        ("2026-05-01", "2026-08-01", ["US", "IE"]), ("2026-08-01", "2026-11-23", ["US", "AE"])], mover["periods"]
    told = mover["told"][lei(AE)]
    assert [(t["source"], t["file"], t["line"], t["last_seen"]) for t in told] == [("GLEIF", "gleif-lei.csv", 4, "2026-11-01")], told
    silent, code = s.show("silent", "--date", "2026-11-23")
    assert not silent["answer"]["known"] and silent["answer"]["exception"] == "NON_PUBLIC" and code == 3, silent
    assert silent["shares"]["standing"] == "unknown", silent
    alone, _ = s.show("alone", "--date", "2026-11-23")
    assert alone["answer"]["known"] and alone["shares"]["standing"] == "unknown", alone  # consolidation says nothing of shares
    assert path(s.show("branch", "--date", "2026-11-23")[0]["answer"]) == ["GB", "SE"]
    assert path(s.show("macau", "--date", "2026-11-23")[0]["answer"]) == ["FR", "MO"]
    nobody, _ = s.show("nobody", "--date", "2026-11-23")
    assert not nobody["answer"]["known"] and nobody["shares"]["standing"] == "unknown", nobody


def screening(s):
    """20 + 20 + 15 % are 55; they count when a person has confirmed each, and not before."""
    hits = [json.loads(line) for line in s.owners("screen", "--json", code=3).splitlines()]
    assert sorted((h["entity"], h["list"], h["listed_name"], h["list_date"], h["disposition"]) for h in hits) == [
        ("x1", "EL", "Alpha Trading Co., Ltd.", "2026-11-20", "open"), ("x2", "EL", "BETA TRADING LLC", "2026-11-20", "open"),
        ("x3", "SDN", "Gamna Trading", "2026-11-20", "open")], hits
    assert all(h["score"] == 1000 for h in hits if h["list"] == "EL") and 850 <= next(h["score"] for h in hits if h["list"] == "SDN") < 1000
    held, _ = s.show("held", "--date", "2026-11-23")
    assert held["shares"]["standing"] == "unknown" and held["shares"]["hits"]["open"] == 3, held
    for h in hits:
        s.owners("screen", "--hit", h["hit"], "--as", "confirmed", "--by", "jane", "--because", "looked at the entry")
    held, _ = s.show("held", "--date", "2026-11-23")
    assert held["shares"]["standing"] == "affiliate" and held["shares"]["cascade"] == "0.550000000", held
    third = next(h for h in hits if h["entity"] == "x3")["hit"]
    s.owners("screen", "--hit", third, "--as", "dismissed", "--by", "joe", "--because", "another one")
    held, _ = s.show("held", "--date", "2026-11-23")
    assert held["shares"]["standing"] == "below-50-red-flag" and held["shares"]["cascade"] == "0.400000000", held
    s.owners("screen", "--hit", third, "--as", "confirmed", "--by", "joe", "--because", "after all")
    opmeter("owners", "screen", "--db", s.db, "--hit", third, "--as", "confirmed", code=2)  # by nobody
    # 55 % under the rule about affiliates, by its dates; the first two were made before anybody imported anything.
    for date, verdict in (("2025-09-28", None), ("2025-10-15", "restricted"), ("2026-06-01", "suspended: a red flag to review"),
                          ("2026-11-23", "restricted, unless the suspension was extended")):
        rules = {r["regime"]: r["verdict"] for r in s.show("held", "--date", date, "--regimes", "data/regimes")[0]["rules"]}
        assert rules.get("us-bis-affiliates") == verdict, (date, rules)
    # The JSON of the same list says the same.
    rows = [{**{k.lstrip("_"): v for k, v in e.items()}, "alt_names": e["alt_names"].split("; ") if e["alt_names"] else [], "addresses": [], "ids": []}
            for e in csv.DictReader(open(s.dir / "csl.csv", encoding="utf-8"))]
    (s.dir / "csl.json").write_text(json.dumps({"results": rows, "search_performed_at": "x"}))
    again = json.loads(s.owners("import", "--format", "csl-json", "--as-of", "2026-11-21", "--json", s.dir / "csl.json"))
    assert again["confirmed"] == 4 and again["new"] == 0 and again["ended"] == 0, again


def findings(s):
    """The same database under the demo's regimes: who is flagged, told apart, and opens a case."""
    tenants = s.dir / "tenants.yaml"
    tenants.write_text("rules:\n" + "".join(
        f'  - match: {{path: "/{t}"}}\n    tenant: {t}\n    model: m\n    phase: training\n    declared: {{by: "t", date: 2026-11-01}}\n'
        for t in ("mover", "silent", "alone", "macau", "held")))
    for t in ("mover", "silent", "alone", "macau"):
        opmeter("replay", RUN, "--ledger", s.dir / "ledger", "--cgroup", "/" + t, "--repeat", "120", "--tenants", tenants, "--owners", s.db,
                "--regimes", "tests/demo/regimes")
    entries = [json.loads(line) for line in opmeter("ledger", "export", "--dir", s.dir / "ledger", "--entries").splitlines()]
    alerts = [e["payload"] for e in entries if e["kind"] in ("alert", "case")]
    flagged = {a["subject"].split("/")[0] for a in alerts if a["type"] == "opmeter.alert.owner.v1"}
    assert flagged == {"mover", "silent", "macau"}, flagged
    cases = {a["data"]["tenant"]: a["data"] for a in alerts if a["type"] == "opmeter.case.v1"}
    assert cases.keys() == flagged, cases.keys()
    assert cases["macau"]["seat"] == "bis-d5-macau" and cases["silent"]["seat"] == "unknown" and cases["mover"]["seat"] == "outside the clear set"
    assert [p["entity"] for p in cases["mover"]["path"]] == [lei(1), lei(AE)], cases["mover"]
    assert cases["mover"]["ownership_version"] == s.show("mover")[0]["answer"]["version"]
    shutil.rmtree(s.dir / "ledger")
    opmeter("replay", RUN, "--ledger", s.dir / "ledger", "--cgroup", "/held", "--tenants", tenants, "--owners", s.db, "--regimes", "data/regimes")
    entries = [json.loads(line) for line in opmeter("ledger", "export", "--dir", s.dir / "ledger", "--entries").splitlines()]
    listed = [e["payload"] for e in entries if e["kind"] == "alert" and e["payload"]["data"].get("regime") == "us-bis-affiliates"]
    assert [a["data"]["standing"] for a in listed] == ["affiliate"] and "Alpha" not in json.dumps(listed) and "0.55" not in json.dumps(listed), listed
    for a in alerts:  # what operators see names no owner
        assert a["type"] == "opmeter.case.v1" or "Desert" not in json.dumps(a), a


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-owners-") as folder:
        s = Site(folder)
        for part in (rejects, killed, doubts, on_a_terminal, world, answers, screening, findings):
            part(s)
            print(f"{part.__name__}: as it should be", flush=True)


main()
