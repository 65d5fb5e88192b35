#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What people write while the fleet runs: declarations, owners and regimes that are changed, damaged, tampered with, taken away, and flipped
all the time. A change is judged, what is damaged is named and changes nothing, and nothing floods the topics."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../data"))
from fleet import *
import scenarios
from day import await_day

await_day(100)

START = date.today() - timedelta(days=100)
SOLD = START + timedelta(days=50)
LAW = {"floor": "8e25", "enforce": ["us-bis-4e091", "us-bis-red-flag-28"]}
JOBS = [{"tenant": "acme", "model": "lm", "from": START.isoformat(), "days": 100, "ops": 10**26 + 7},
        {"tenant": "zeta", "model": "lm", "from": START.isoformat(), "days": 10, "ops": 4 * 10**25}]


def owners(parents, name="far"):
    """acme's parents over time: (country, from, to)."""
    edges = ", ".join(f"{{entity: p{i}, share: 100%, source: s, as-of: {START}" + (f", from: {a}" if a else "") + (f", to: {b}" if b else "") + "}"
                      for i, (_, a, b) in enumerate(parents))
    return ("entities:\n" + f"  - {{id: sub, name: sub, headquarters: US, source: s, as-of: {START}, parents: [{edges}]}}\n"
            + f"  - {{id: z, name: z, headquarters: IE, source: s, as-of: {START}, no-parent: true}}\n"
            + "".join(f"  - {{id: p{i}, name: \"{name}\", headquarters: {c}, source: s, as-of: {START}, no-parent: true}}\n"
                      for i, (c, _, _) in enumerate(parents)) + "tenants:\n  - {tenant: acme, entity: sub}\n  - {tenant: zeta, entity: z}\n")


IRISH = owners([("IE", None, None)])
SOLD_TO_IRISH = owners([("CN", None, SOLD), ("IE", SOLD, None)])


class Watched(Running):
    def files(self, which, state):
        return [l for l in self.lines() if l.get("file") == which and l["state"] == state]


def replace(path, text):
    """As people should: in one step."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


def levels(f, subject):
    return {e["data"]["level"] for e in f.events("alert.level", subject) if e["data"]["regime"] == "us-bis-4e091"}


def declare(d, *words):
    scenarios.run("declare", *words, "--by", "Jane Doe", "--file", d / "declarations.jsonl", "--keys", d / "keys")


def taken_back(f, d, good):
    """The last record and its head taken away by who can write both: the head that is left is older, of nobody, or not there."""
    file, head = d / "declarations.jsonl", d / "declarations.jsonl.head"
    whole = head.read_text()
    less = "".join(good.splitlines(True)[:-1])
    unsigned = f"opmeter/declarations\n{less.count(chr(10))}\n" + whole.splitlines()[2] + "\n"
    for text, why in ((None, "is not there"), (unsigned, "not those that its head")):
        n = len(f.files("declarations", "refused"))
        head.unlink() if text is None else replace(head, text)
        replace(file, less)
        f.p.send_signal(signal.SIGHUP)
        f.wait(f"refused: {why}", lambda: len(f.files("declarations", "refused")) > n)
        assert why in f.files("declarations", "refused")[-1]["error"], f.files("declarations", "refused")[-1]
    replace(head, whole)
    replace(file, good)


def declarations(f, d):
    file = d / "declarations.jsonl"
    before = len(f.events("alert.level"))
    acme = len(f.events("alert.level", "acme/lm"))
    declare(d, "external-operations", "zeta/lm", "--provider", "elsewhere", "--operations", "7e25", "--evidence-file", d / "letter.txt")
    f.wait("what is declared of zeta", lambda: "exceeded" in levels(f, "zeta/lm"))
    assert len(f.events("alert.level", "acme/lm")) == acme, "a declaration of zeta moved acme"
    assert len(f.events("alert.level")) > before
    good = file.read_text()
    replace(file, good.replace("7" + 25 * "0", "1" + 25 * "0", 1) + good)  # tampered with, and said again behind it
    bad = f.wait("a tampered file is refused", lambda: f.files("declarations", "refused"))
    assert "declarations.jsonl:3:" in bad[0]["error"], bad
    said = f.wait("and is said", lambda: f.events("alert.data", "file/declarations"))
    assert said[0]["data"]["cause"] == "file-refused" and "jsonl:3" not in json.dumps(said), said
    replace(file, good)
    f.wait("the right one is read", lambda: len(f.files("declarations", "read")) > 1)
    n = len(f.files("declarations", "read"))
    taken_back(f, d, good)
    f.wait("the whole one is read again", lambda: len(f.files("declarations", "read")) > n)


def late_fact(f, d):
    """That acme had another parent in the first half is learned now."""
    assert not f.events("alert.owner"), "an owner that is clear calls for a look"
    replace(d / "owners.yaml", SOLD_TO_IRISH)
    case = f.wait("a case of the earlier owner", lambda: f.events("case", "acme"))[0]["data"]
    assert case["cause"] == "material-training" and not case["hold"], case
    half = sum(scenarios.split(10**26 + 7, 100)[:50])
    assert case["observed"] == {"low": str(half), "high": str(half)} and case["owner_until_told"], case["observed"]
    assert [int(p["training"]["low"]) for p in case["periods"]] == [half, 10**26 + 7 - half], case["periods"]
    assert len(f.events("alert.owner", "acme")) == 1


def damaged(f, d):
    """Half a file, none, and one that nobody may have meant: each named, and what was read before stays in use."""
    file = d / "owners.yaml"
    for text, why in ((SOLD_TO_IRISH[:200], "owners.yaml:"), (None, "cannot be read"), (SOLD_TO_IRISH.replace("100%", "180%", 1), "owners.yaml:2:")):
        n = len(f.files("owners", "refused"))
        file.unlink() if text is None else replace(file, text)
        f.wait(f"refused: {why}", lambda: len(f.files("owners", "refused")) > n)
        assert why in f.files("owners", "refused")[-1]["error"], f.files("owners", "refused")[-1]
    f.wait("it is said", lambda: f.events("alert.data", "file/owners"))
    assert len(f.events("alert.data", "file/owners")) <= 2, "a file that is refused is said once a day"  # midnight may pass
    n = len(f.files("owners", "read"))
    replace(file, SOLD_TO_IRISH)
    f.p.send_signal(signal.SIGHUP)
    f.wait("told to look, it reads at once", lambda: len(f.files("owners", "read")) > n, timeout=10)
    assert len(f.events("alert.owner")) == 1, "the same owners are said again"


def regime(version, threshold, window="", mode="notice"):
    return ("# SPDX-License-Identifier: Apache-2.0\n"
            f'id: test-law\nversion: "{version}"\ntitle: "threshold of this test"\nkind: threshold\ncitation: "none: a test"\nevidence: design\n'
            f'sources: ["this test"]\nmode: {mode}\n{window}threshold: {{operations: {threshold}, comparator: ">=", figure: training}}\n'
            "levels:\n  - {name: exceeded, share: 100%, bound: lower}\n")


def other_law(f, d):
    """Regimes are read anew: a new one, a version that supersedes it, and what must not be taken for a law."""
    said = lambda version: {e["subject"] for e in f.events("alert.level") if (e["data"]["regime"], e["data"]["version"]) == ("test-law", version)}
    law = d / "old"
    replace(law / "test-1.yaml", regime("1", "3e25"))
    f.wait("a regime that is new", lambda: said("1") == {"acme/lm", "zeta/lm"})
    before = [e["id"] for e in f.events("alert.level")]
    # What supersedes it comes first, and overlaps: that is no law yet. Then the older one is ended.
    replace(law / "test-2.yaml", regime("2", 105 * 10**24, f"from: {date.today()}\n"))
    bad = f.wait("two versions of one day", lambda: f.files("regimes", "refused"))
    assert "holds on days on which version" in bad[0]["error"] and not said("2"), bad
    alert = f.wait("and is said", lambda: f.events("alert.data", "file/regimes"))
    assert alert[0]["data"]["cause"] == "file-refused", alert
    replace(law / "test-1.yaml", regime("1", "3e25", f"to: {date.today()}\n"))
    f.wait("the version that supersedes it", lambda: said("2") == {"zeta/lm"})
    assert [e["id"] for e in f.events("alert.level")][:len(before)] == before and said("1") == {"acme/lm", "zeta/lm"}
    good = (law / "test-2.yaml").read_text()
    for change, why in (((law / "test-1.yaml", None), "test-law version 1 is gone"), ((law / "test-2.yaml", good[:-30]), "test-2.yaml:"),
                        ((law / "test-2.yaml", regime("2", "1e24", f"from: {date.today()}\n", "enforce")), "accept")):
        path, text = change
        was, n = path.read_text(), len(f.files("regimes", "refused"))
        path.unlink() if text is None else replace(path, text)
        f.wait(f"refused: {why}", lambda: len(f.files("regimes", "refused")) > n)
        assert why in f.files("regimes", "refused")[-1]["error"], f.files("regimes", "refused")[-1]
        n = len(f.files("regimes", "read"))
        replace(path, was)
        f.p.send_signal(signal.SIGHUP)
        f.wait("the right one again", lambda: len(f.files("regimes", "read")) > n, timeout=10)
    assert said("2") == {"zeta/lm"}, "what was refused was judged by"


def flipping(f, d):
    """Every fifth of a second another owner: first two that take turns, then one that nobody has seen."""
    reads = len(f.files("owners", "read"))
    for i in range(20):
        replace(d / "owners.yaml", (IRISH, SOLD_TO_IRISH)[i % 2])
        time.sleep(0.2)
    for i in range(20):
        replace(d / "owners.yaml", owners([("CN", None, None)], name=f"far {i}"))
        time.sleep(0.2)
    f.wait("the last one is read", lambda: len(f.files("owners", "read")) > reads)
    time.sleep(1)
    taken = len(f.files("owners", "read")) - reads
    assert taken <= 3, f"{taken} reads of a file that never rests"
    events = f.events("alert.owner", "acme")
    assert len(events) <= 1 + taken, f"{len(events)} events about acme's owners"
    ids = [e["id"] for e in f.lines() if "specversion" in e]
    assert len(ids) == len(set(ids)), "said twice"
    return taken


def main():
    with tempfile.TemporaryDirectory(prefix="opmeter-files-") as tmp, Broker() as broker:
        d = Path(tmp)
        s = scenarios.Scenario({"id": "files", "jobs": JOBS, "owners": IRISH}, d)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([BUILD / "tests/tools/publish", broker.brokers, d / "readings", d / "assignments.jsonl"], check=True,
                       stdout=subprocess.DEVNULL)
        (d / "public").write_text(scenarios.run("evidence", "keygen", "--keys", d / "keys", "--origin", "example.org/declarations"))
        declare(d, "parent", "elsewhere/lm", "--parent", "elsewhere/base")
        f = Watched(broker, d, "files", "--node-devices", "65536", "--regimes", s.regimes("old", LAW), "--owners", d / "owners.yaml",
                    "--declarations", d / "declarations.jsonl", "--declaration-keys", d / "public")
        try:
            f.wait("acme's total", lambda: "exceeded" in levels(f, "acme/lm"))
            assert not levels(f, "zeta/lm"), levels(f, "zeta/lm")
            declarations(f, d)
            late_fact(f, d)
            damaged(f, d)
            other_law(f, d)
            taken = flipping(f, d)
        finally:
            f.close()
    print(f"declarations, owners and regimes changed, damaged and flipped: judged, named, not flooding ({taken} reads of 40 flips)")


if __name__ == "__main__":
    os.chdir(SOURCE)
    main()
