#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Notices whose clock runs since it is known that a threshold will be met: a node that has a tenant's days in its ledger says so once, with the day
that the forecast's interval gives, when it begins; a replay of the same days gives the same day, and none the day before."""
import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "../lib"), str(HERE / "../data")]
from day import await_day
from opm import *
import scenarios

LIMIT, A_DAY, DAYS, HORIZON = 10**25 + 1, 10**23, 60, 90  # eu-ai-act-51: more than 1e25


def first_known():
    """The first of the days, counted from 1, whose forecast's latest date lies within the horizon. The rate is the same in every window."""
    for n in range(1, DAYS + 1):
        factor = 30 if n <= 14 else 25 if n <= 28 else 20
        slow = A_DAY * 10 // factor
        if -(-(LIMIT - n * A_DAY) // slow) <= HORIZON:
            return n
    raise AssertionError("never")


def replayed(s, *until):
    s.what.pop("until", None)
    if until:
        s.what["until"] = until[0].isoformat()
    import shutil
    shutil.rmtree(s.dir / "old", ignore_errors=True)
    s.judge()
    return s.duties


def main():
    need_live()
    await_day(60)
    begun = date.today() - timedelta(days=DAYS)
    known = begun + timedelta(days=first_known() - 1)
    with Rig("duties") as rig:
        what = {"id": "duty", "law": {}, "jobs": [{"tenant": "acme", "model": "lm", "from": begun.isoformat(), "days": DAYS, "ops": A_DAY * DAYS}]}
        where = rig.dir / "scenario"
        where.mkdir()
        s = scenarios.Scenario(what, where)
        (duty,) = replayed(s)
        assert (duty["regime"], duty["subject"], duty["known_on"]) == ("eu-ai-act-51", "acme/lm", known.isoformat()), duty
        # Two weeks from the end of that day.
        assert duty["due"].startswith((known + timedelta(days=15)).isoformat()), duty
        assert replayed(s, known - timedelta(days=1)) == [] and replayed(s, known) == [duty]
        subprocess.run([BUILD / "tests/tools/make_ledger", rig.ledger, where / "readings", where / "assignments.jsonl"], check=True, capture_output=True)
        told = lambda: [e["payload"] for e in rig.export("entries") if e["kind"] == "alert" and e["payload"]["type"] == "opmeter.alert.duty.v1"]
        for _ in range(2):  # once, however often it begins
            rig.start("--regimes", "data/regimes")
            rig.wait_for(told, "the duty")
            time.sleep(1)
            rig.stop()
        (alert,) = told()
        data = alert["data"]
        assert alert["subject"] == "acme/lm" and data["known_on"] == known.isoformat() and data["due"] == duty["due"], alert
        assert data["sentence"] == duty["sentence"] and "A forecast, no verdict" in data["sentence"], (data, duty)
        assert int(data["observed"]["low"]) == first_known() * A_DAY and data["forecast"]["horizon_days"] == HORIZON, data
        assert date.fromisoformat(data["forecast"]["latest"]) - known <= timedelta(days=HORIZON), data
        print(f"known on {known}, due {data['due']}")


main()
