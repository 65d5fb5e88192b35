#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A declaration that is taken off the end of its file is found by whoever reads it, as long as the head is there; with a signed head and the
public key also when the head is gone, older, or made anew, and by who declares next, since the keys remember what they signed."""
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

OPMETER = Path(os.environ.get("B", "build")) / "opmeter"


def opmeter(want, *args):
    p = subprocess.run([OPMETER, *map(str, args)], capture_output=True, text=True)
    assert p.returncode == want, (args, p.returncode, p.stdout[-500:], p.stderr)
    return p.stdout + p.stderr


def main():
    with tempfile.TemporaryDirectory() as d:
        file, keys, public = Path(d, "d.jsonl"), Path(d, "keys"), Path(d, "public")
        head = Path(f"{file}.head")
        public.write_text(opmeter(0, "evidence", "keygen", "--keys", keys, "--origin", "example.org/declarations"))
        one = lambda want, n, *more: opmeter(want, "declare", "--file", file, "--by", "Jane Doe", "--parent", f"acme/base{n}", *more, "parent", "acme/lm")
        listed = lambda want, *more: opmeter(want, "declare", "--file", file, "--list", *more)
        assert "blank" in opmeter(2, "declare", "--file", file, "--by", " ", "--parent", "acme/base", "parent", "acme/lm")
        states = []
        for n in range(3):
            one(0, n)
            states.append((file.read_text(), head.read_text()))
        assert "3 records, in order; the head names 3, not signed" in listed(0)
        file.write_text(states[1][0])
        assert "has 2 records, and its head" in listed(3) and "the last were taken away" in listed(3)
        assert "the last were taken away" in opmeter(2, "policy", "check", "--regimes", "data/regimes", "--declarations", file)
        assert "the last were taken away" in one(2, 9)
        file.write_text(states[2][0])
        assert "is not signed" in listed(3, "--key", public)
        # From now on it is signed, and stays so.
        one(0, 3, "--keys", keys)
        assert "give the directory of its keys" in one(2, 4)
        one(0, 4, "--keys", keys)
        whole = (file.read_text(), head.read_text())
        assert "5 records, in order; the head names all of them, signed for example.org/declarations" in listed(0, "--key", public)
        # A fleet starts with what a key of its own signed, and with nothing else.
        fleet = lambda *more: opmeter(2, "fleet", "--brokers", "127.0.0.1:1", "--regimes", "data/regimes", *more)
        other = Path(d, "other-public")
        other.write_text("# of somebody else\n" + opmeter(0, "evidence", "keygen", "--keys", Path(d, "other"), "--origin", "example.org/other"))
        assert "of --declarations, which is not given" in fleet("--declaration-keys", public)
        assert "none of the keys" in fleet("--declarations", file, "--declaration-keys", other)
        Path(d, "none").write_text("# of nobody\n")
        assert "has no key" in fleet("--declarations", file, "--declaration-keys", Path(d, "none"))
        assert "is no key" in fleet("--declarations", file, "--declaration-keys", head)
        with open(file) as held:  # whoever may read the file may hold its lock: nobody waits without end
            fcntl.flock(held, fcntl.LOCK_EX)
            assert "is locked" in fleet("--declarations", file, "--declaration-keys", public)
        # Whoever can write both files takes the record away and the head with it, puts an older head there, or makes one.
        head.unlink()
        file.write_text(states[2][0])
        assert "no head" in listed(0) and "is not there" in listed(3, "--key", public)
        for text in (states[2][1], "example.org/declarations\n" + states[2][1].split("\n", 1)[1]):
            head.write_text(text)
            listed(3, "--key", public)
        head.write_text(states[2][1])
        assert "example.org" in one(1, 9, "--keys", keys) or "signed" in one(1, 9, "--keys", keys)
        assert file.read_text() == states[2][0], "written all the same"
        # A record that was put behind the head by hand, with a right chain.
        file.write_text(whole[0])
        head.write_text(whole[1])
        shutil.copy(file, Path(d, "by-hand"))
        opmeter(0, "declare", "--file", Path(d, "by-hand"), "--by", "Jane Doe", "--parent", "acme/x", "parent", "acme/lm")
        file.write_text(Path(d, "by-hand").read_text())
        assert "the head names 5" in listed(0) and "only the first 5 are signed" in listed(3, "--key", public)
        print("the last declaration cannot be taken away unseen")


main()
