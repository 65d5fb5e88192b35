#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fine-tune that is renamed twelve times is one lineage of its tenant; the same under another account is a finding, not a join; a
person parts and joins while the agent writes, and the words stand in the log."""
import json
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

RENAMED = sorted(p.name[:-7] for p in Path("tests/phases/runs").glob("adv_renamed_*.run.gz"))


def lineages(rig):
    out = subprocess.run([OPMETER, "lineage", "list", "--dir", rig.ledger, "--json", "--architectures", "data/architectures.csv"], check=True,
                         capture_output=True, text=True).stdout
    return json.loads(out)


def group_of(view, path):
    return next(g for g in view["lineages"] if any(r["path"].endswith(path) for r in g["runs"]))


def names(group):
    return sorted(os.path.basename(r["path"]) for r in group["runs"])


def say(rig, *args):
    return subprocess.run([OPMETER, "lineage", *args, "--dir", rig.ledger], capture_output=True, text=True)


def play(rig, cgroup, run):
    rig.finish(rig.play(rig.cgroup(cgroup), "--lib-dir", CUDA13, "--run", f"tests/phases/runs/{run}.run.gz", "--as-recorded", "--wait-ms", "300"))


def people(rig):
    """Parted while the agent writes, joined again when it does not."""
    out = say(rig, "part", "--by", "jane", "--because", "a test bed", "/acme/" + RENAMED[3])
    assert out.returncode == 0, out
    rig.wait_for(lambda: len(group_of(lineages(rig), "/acme/" + RENAMED[3])["runs"]) == 1, "the word to be taken")
    assert not list((rig.ledger / "spool").glob("*")), "a word was left"
    parted = group_of(lineages(rig), "/acme/" + RENAMED[3])
    assert parted["declared"] and parted["confidence"] == 1, parted
    assert len(group_of(lineages(rig), "/acme/" + RENAMED[0])["runs"]) == len(RENAMED) - 1
    # Not a word of ours: put aside, and no assignment.
    (rig.ledger / "spool" / ("0" * 32 + ".json")).write_text('{"v":1}')
    rig.wait_for(lambda: list((rig.ledger / "spool").glob("*.refused")), "the refusal")
    rig.stop()
    out = say(rig, "join", "--by", "jane", "--name", "chat", "/acme/" + RENAMED[3], "/zeta/again")
    assert out.returncode == 0, out
    joined = group_of(lineages(rig), "/zeta/again")
    assert joined["lineage"] == "chat" and RENAMED[3] in names(joined), joined
    for bad in (["join", "--name", "x y", "--by", "a", "/zeta/again"], ["join", "--by", "a", "/zeta/again"], ["part", "/zeta/again"],
                ["part", "--by", "a", "/nothing/like/it"]):
        assert say(rig, *bad).returncode == 2, bad
    assert subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger]).returncode == 0
    said = [e["payload"] for e in rig.export("entries") if e["kind"] == "assignment" and e["payload"]["kind"] == "lineage"]
    assert [s["author"] for s in said] == [{"person": "jane"}] * 3 and said[0]["evidence"] == "a test bed", said


def main():
    need_live()
    with Rig("lineage", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        tenants = rig.dir / "tenants.yaml"
        tenants.write_text("rules:\n" + "".join(f'  - match: {{path: "**/{rig.tag}/{t}/**"}}\n    tenant: {t}\n' for t in ("acme", "zeta")))
        rig.start("--tenants", tenants)
        for name in RENAMED:
            play(rig, "acme/" + name, name)
        play(rig, "acme/other", "gpt2_ckpt_layer")
        play(rig, "zeta/again", RENAMED[0])
        rig.wait_for(lambda: sum(len(g["runs"]) for g in lineages(rig)["lineages"]) >= len(RENAMED) + 2, "the runs")
        view = lineages(rig)
        one = group_of(view, "/acme/" + RENAMED[0])
        print(f"{len(one['runs'])} runs of one lineage, confidence {one['confidence']}")
        assert names(one) == RENAMED and one["confidence"] >= 0.8, one
        assert names(group_of(view, "/acme/other")) == ["other"]
        assert names(group_of(view, "/zeta/again")) == ["again"]
        assert any({f["a"], f["b"]} == {one["lineage"], group_of(view, "/zeta/again")["lineage"]} for f in view["findings"]), view["findings"]
        people(rig)


main()
