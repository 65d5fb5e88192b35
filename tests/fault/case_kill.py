#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 amid acts: whatever the moment, an act is done or not done, the store is in order, and the next act follows on. KILLS=n rounds."""
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from casework import Desk  # noqa: E402
from opm import OPMETER  # noqa: E402

ROUNDS = int(os.environ.get("KILLS", "24"))
seed = int(os.environ.get("SEED", time.time_ns() % 10**9))
chance = random.Random(seed)
print(f"SEED={seed}")


def start(*args):
    return subprocess.Popen([OPMETER, *map(str, args)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


with Desk("kill") as d:
    case = d.find()
    d.keygen()
    took = time.monotonic()
    d.case("note", case, "alice", "--text", "0")
    took = time.monotonic() - took
    said = {"0"}
    for i in range(1, ROUNDS + 1):
        acts = [("case", "note", case, "--store", d.store, "--by", "alice", "--text", str(i)),
                ("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys),
                ("case", "gather", case, "--store", d.store, "--by", "alice", "--ledger", d.node),
                ("case", "take", "--store", d.store, "--ledger", d.node)]
        p = start(*acts[0 if i % 2 else chance.randrange(1, 4)])
        time.sleep(chance.uniform(0, 1.5 * took))
        p.send_signal(signal.SIGKILL)
        done = p.wait() == 0
        notes = [n["text"] for n in d.record(case)["notes"]]
        assert len(notes) == len(set(notes)) and said <= set(notes) <= said | {str(i)}, (i, notes)
        assert not (done and i % 2) or str(i) in notes, f"act {i} was said to be done, and is not there"
        said = set(notes)
        out = d.run("ledger", "verify", "--dir", d.store).stdout
        assert "in order" in out, out
    # Nothing the signer remembers is ahead of the log, nothing was gathered twice, and it all goes on.
    d.run("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys)
    d.gather(case)
    e = d.record(case)["evidence"]
    assert len({(x["name"], x["sha256"]) for x in e}) == len(e)
    assert len(d.run("case", "list", "--store", d.store, "--json").stdout.splitlines()) == 1
    d.close(case)
    assert json.loads(d.run("case", "list", "--store", d.store, "--json").stdout)["irregular"] == []
    print(f"{ROUNDS} kills, {len(said) - 1} notes survived, no act half done")
