#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A case from a finding of the demo's threshold to its closing by two people, through the real binary: who may not close it, what its
record says, and that the same finding never opens a second one. Then its erasure by two people."""
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from casework import Desk  # noqa: E402


def life(d):
    case = d.find()
    assert re.fullmatch(r"case-[0-9a-f]{12}", case), case
    alerts = [json.loads(x) for x in d.run("ledger", "export", "--entries", "--dir", d.node).stdout.splitlines()]
    named = {e["payload"]["data"].get("case") for e in alerts if e["kind"] == "alert"} - {None}
    assert named == {case}, f"alerts name {named}, the case is {case}"

    # Taken again, from the ledger and from a file as the exporter writes it: the same one.
    out = d.run("case", "take", "--store", d.store, "--ledger", d.node).stdout
    assert "0 opened, 0 added to a case, 1 known" in out, out
    event = next(e["payload"] for e in alerts if e["kind"] == "case")
    lines = d.dir / "cases.jsonl"
    fleet = {**event, "id": "f" * 32, "source": "/opmeter/fleet", "data": {**event["data"], "case": "case-" + "f" * 12}}
    lines.write_text("\n".join(json.dumps(x) for x in (
        {"topic": "opmeter.cases.v1", "key": event["id"], "event": event}, {"topic": "opmeter.readings.v1", "key": "", "event": {}}, fleet)) + "\nnot json\n")
    out = d.run("case", "take", lines, "--store", d.store, code=3)
    assert "0 opened, 1 added to a case, 1 known, 1 other events, 1 refused" in out.stdout, out.stdout
    assert ":4: refused" in out.stderr, out.stderr
    assert len(d.run("case", "list", "--store", d.store, "--json").stdout.splitlines()) == 1
    assert d.record("case-" + "f" * 12)["case_id"] == case

    # Nobody closes it alone, nor who runs the machines, nor out of turn.
    d.case("confirm", case, "bob", "--rationale", "x", code=2)
    d.case("determine", case, "alice", "--outcome", "refused", "--rationale", "x", code=2)
    out = d.case("assign", case, "alice", "--sre", "alice, bob", code=2).stderr
    assert "' bob' is no person's name" in out, out
    d.to_second_review(case)
    d.case("assign", case, "carol", "--sre", "mallory")
    for who in ("alice", "Alice", "carol", "DAN", "mallory"):
        d.case("confirm", case, who, "--rationale", "x", code=4)
    assert d.record(case)["state"] == "second_review"
    d.case("confirm", case, "bob", "--rationale", "not yet", "--disagree")
    assert d.record(case)["state"] == "under_review"
    d.case("determine", case, "alice", "--outcome", "customer_informed", "--rationale", "asked, answered, informed")
    d.case("confirm", case, "bob", "--rationale", "read it all")
    r = d.record(case)
    assert (r["state"], r["outcome"], r["irregular"]) == ("closed", "customer_informed", []), r
    assert r["determination"]["by"] == "alice" and r["determination"]["second"]["by"] == "bob"
    assert r["determination"]["four_eyes"] == "two names, one login of the machine"
    assert [h["to"] for h in r["state_history"]] == ["detected", "inquiry_sent", "under_review", "second_review", "under_review", "second_review",
                                                      "closed"], r["state_history"]
    assert r["policy"]["digest"] == event["data"]["digest"] and r["path"] == event["data"]["path"]
    assert r["operations"]["training"] == event["data"]["observed"]
    assert len(r["findings"]) == 2 and {f["source"] for f in r["findings"]} == {event["source"], "/opmeter/fleet"}
    d.case("reopen", case, "carol", "--reason", "a new model")
    assert d.record(case)["state"] == "reopened"
    d.case("determine", case, "bob", "--outcome", "below_floor", "--rationale", "x")
    d.case("confirm", case, "alice", "--rationale", "x")
    return case


def text_of(d, case):
    return d.run("case", "show", case, "--store", d.store, "--retention", "data/retention.yaml").stdout


def read_by_a_reviewer(d, case):
    """What the record has stands on the terminal too: answers, both determinations, facts, reasons, papers, who asked for a hold."""
    d.case("fact", case, "alice", "--name", "email", "--value", "a@b.example", "--source", "letter of 2026-11-20")
    d.case("hold", case, "alice", "--reason", "proceedings", "--authority", "an agency")
    text = text_of(d, case)
    for words in ("finding       material-training", "It does not.", "not yet", "NOT confirmed", "customer_informed", "because       read it all", "below_floor",
                  "because: a new model", "email: a@b.example", "source: letter of 2026-11-20", "LEGAL HOLD    proceedings, asked for by an agency",
                  "run by mallory; they cannot confirm", "Cumulus Holding (CN), as of 2026-10-01: invented register extract", "[x] 2. If so"):
        assert words in text, (words, text)
    assert text.index("1. customer_informed") < text.index("2. customer_informed") < text.index("3. below_floor"), text
    d.case("release", case, "alice", "--reason", "over", "--authorization", "its letter")
    d.case("reopen", case, "carol", "--reason", "a licence came")
    d.case("determine", case, "alice", "--outcome", "licence_held", "--rationale", "x", "--licence", "D1", "--expires", "2020-01-01", code=2)
    d.case("determine", case, "alice", "--outcome", "licence_held", "--rationale", "x", "--licence", "D1", "--expires", "2998-01-01", "--next-review", "2998-06-01")
    d.case("confirm", case, "bob", "--rationale", "seen")
    text = text_of(d, case)
    for words in ("licence       D1", "expires       2998-01-01", "review by     2998-06-01", "hold released: over, by the authorization its letter"):
        assert words in text, (words, text)
    # What is due first is listed by its day.
    due = lambda day: d.run("case", "list", "--store", d.store, "--due", day).stdout.splitlines()[1:]
    assert due("2997-12-31") == [] and len(due("2998-01-01")) == 1 and " 2998-01-01 " in due("2998-01-01")[0], due("2998-01-01")
    d.run("case", "list", "--store", d.store, "--due", "soon", code=2)


def waits(d):
    """Whose it is, is not known: the record, the terminal and the list say that work waits."""
    event = next(e["payload"] for e in map(json.loads, d.run("ledger", "export", "--entries", "--dir", d.node).stdout.splitlines()) if e["kind"] == "case")
    event = {**event, "data": {**event["data"], "hold": True, "ownership": "the ultimate parent is not known", "notices": [
        {"what": "notify the office", "who": "provider", "due": "2026-12-14", "when_known": True, "citation": "a law", "evidence": "design"}]}}
    lines, store = d.dir / "waits.jsonl", d.dir / "waits"
    lines.write_text(json.dumps(event) + "\n")
    case = d.run("case", "take", lines, "--store", store).stdout.split()[0]
    show = lambda *more: d.run("case", "show", case, "--store", store, "--retention", "data/retention.yaml", *more).stdout
    record = json.loads(show("--json"))
    assert record["schema_version"] == 2 and record["hold"] is True and record["notices"] == event["data"]["notices"], record
    assert "WORK WAITS" in show() and "notify the office, by the provider: due 2026-12-14 [a law]" in show(), show()
    assert "work waits" in d.run("case", "list", "--store", store, "--due", "2026-12-14").stdout


def causes(d, case):
    """A gap and what is exceeded are two cases of one subject, whichever is told first."""
    event = next(e["payload"] for e in map(json.loads, d.run("ledger", "export", "--entries", "--dir", d.node).stdout.splitlines()) if e["kind"] == "case")
    gap = {**event, "id": "e" * 32, "data": {**event["data"], "case": "case-" + "e" * 12, "cause": "telemetry-gap"}}
    lines, store = d.dir / "causes.jsonl", d.dir / "causes"
    lines.write_text(json.dumps(gap) + "\n" + json.dumps(event) + "\n")
    out = d.run("case", "take", lines, "--store", store).stdout
    assert "2 opened, 0 added to a case, 0 known" in out and f"{case} opened" in out, out


def erasure(d, case):
    secret = "words that must not be left on the disk"
    d.case("note", case, "alice", "--text", secret)
    files = lambda: b"".join(p.read_bytes() for p in sorted(d.store.iterdir()) if p.is_file())
    assert secret.encode() in files()
    d.case("erase", case, "alice", "--reason", "its time is over", "--second", "--retention", "data/retention.yaml", code=2)
    d.case("hold", case, "alice", "--reason", "an agency asked")
    d.case("erase", case, "alice", "--reason", "x", "--retention", "data/retention.yaml", code=2)
    d.case("release", case, "alice", "--reason", "it said so", "--authorization", "letter of today")
    d.case("erase", case, "alice", "--reason", "its time is over", "--retention", "data/retention.yaml")
    # Five years are not over; under clocks that have run out it goes, but not by one person.
    out = d.case("erase", case, "bob", "--second", "--reason", "x", "--retention", "data/retention.yaml", code=2).stderr
    assert "is kept to the end of" in out, out
    clocks = d.dir / "clocks.yaml"
    clocks.write_text("clocks:\n  - {id: test, citation: a test, evidence: none, years: 1, from: [contract-end]}\n")
    out = d.case("erase", case, "bob", "--second", "--reason", "x", "--retention", clocks, code=2).stderr
    assert "no clock holds for it" in out, out
    out = d.case("event", case, "alice", "--kind", "contract-end", "--date", "2001-01-01", "--retention", "data/retention.yaml", code=2).stderr
    assert "'contract-end': no clock of data/retention.yaml runs from such an event" in out, out
    d.case("event", case, "alice", "--kind", "contract-end", "--date", "2001-01-01", "--retention", clocks)
    d.case("erase", case, "ALICE", "--second", "--reason", "x", "--retention", clocks, code=4)
    before = d.run("ledger", "verify", "--dir", d.store).stdout
    entries = int(re.search(r"(\d+) entries", before)[1])
    act = int(d.case("erase", case, "bob", "--second", "--reason", "its time is over", "--retention", clocks).stdout.split()[-1])
    after = d.run("ledger", "verify", "--dir", d.store).stdout
    gone = {int(a): int(b) for a, b in re.findall(r"entry (\d+): destroyed by act (\d+)", after)}
    assert act == entries and set(gone.values()) == {act}, after
    kept = [json.loads(x) for x in d.run("ledger", "export", "--entries", "--dir", d.store).stdout.splitlines()]
    assert sorted(gone) == [e["index"] for e in kept if e["payload"] is None], kept
    assert all(e["payload"]["act"] in ("checkpoint", "erase") for e in kept if e["payload"]), kept
    assert secret.encode() not in files() and b"cirrus" not in files(), "erased words are still on the disk"
    assert d.record(case)["state"] == "erased"
    # Told again it stays erased, and nothing can be sealed or said of it.
    out = d.run("case", "take", "--store", d.store, "--ledger", d.node).stdout
    assert "0 opened, 0 added to a case, 1 known" in out, out
    d.case("note", case, "alice", "--text", "x", code=2)
    d.run("evidence", "export", case, "--store", d.store, "--keys", d.keys, "--by", "bob", "--out", d.dir / "x", code=2)


with Desk("cases") as desk:
    desk.keygen()
    which = life(desk)
    read_by_a_reviewer(desk, which)
    waits(desk)
    causes(desk, which)
    desk.run("evidence", "checkpoint", "--dir", desk.store, "--keys", desk.keys)
    erasure(desk, which)
    # The log goes on growing from what was signed before the erasure.
    desk.run("evidence", "checkpoint", "--dir", desk.store, "--keys", desk.keys)
    print("a case by two people, and its erasure")
