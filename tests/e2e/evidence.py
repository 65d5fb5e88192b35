#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sealed case is verified with nothing but the public key: in an empty directory with an empty environment, in a root file system of its
own (as root), and by a second verifier that shares no code. Every byte of it is changed, one at a time, and found. Keys rotate with an
overlap; a log that was cut or rewritten is not signed; files that others can read are not used."""
import gzip
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "lib"))
from casework import ORIGIN, Desk, libraries  # noqa: E402
from opm import BUILD, OPMETER  # noqa: E402
import verify_bundle  # noqa: E402


def alone(d, bundle, key):
    """The verifier's machine: the binary with its libraries, the bundle, the key."""
    empty = d.dir / "empty"
    empty.mkdir()
    p = subprocess.run([OPMETER, "evidence", "verify", str(bundle), "--key", str(key)], cwd=empty, env={}, capture_output=True, text=True)
    assert p.returncode == 0 and "in order" in p.stdout, p.stderr
    assert not list(empty.iterdir()), "verifying left files"
    if os.geteuid() != 0:
        print("not root: not tried in a root file system of its own")
        return
    root = d.dir / "root"
    for lib in libraries():
        to = root / lib.lstrip("/")
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(lib, to)
    for f, name in ((OPMETER, "opmeter"), (bundle, "b.tar"), (key, "key.pub")):
        shutil.copy(f, root / name)
    p = subprocess.run([shutil.which("chroot"), root, "/opmeter", "evidence", "verify", "/b.tar", "--key", "/key.pub"], env={}, capture_output=True, text=True)
    assert p.returncode == 0 and "in order" in p.stdout, p.stdout + p.stderr
    shutil.rmtree(root)


def older(d):
    """Sealed when the record of a case was of version 1: it is verified still, byte for byte."""
    bundle = d.dir / "older.tar"
    bundle.write_bytes(gzip.decompress(Path("tests/golden/bundle_record_v1.tar.gz").read_bytes()))
    assert b'"schema_version": 1' in bundle.read_bytes()
    out = d.verify(bundle, "tests/golden/bundle_record_v1.pub").stdout
    assert "in order" in out and "12 files, every byte of them" in out, out
    bundle.write_bytes(bundle.read_bytes().replace(b'"schema_version": 1', b'"schema_version": 2'))
    d.verify(bundle, "tests/golden/bundle_record_v1.pub", code=3)


def against_what_was_seen(d, sealed, case_key, node_key, node_keys):
    """The checkpoint that came over Kafka confirms the node's part of the bundle; another head of the same size, signed by the same key, is a fork."""
    import base64
    note = (node_keys / "last.checkpoint").read_text()
    origin, size, root = note.splitlines()[:3]
    event = lambda n, r: json.dumps({"specversion": "1.0", "id": "0" * 32, "source": "/opmeter/x", "type": "opmeter.checkpoint.v1", "subject": origin, "data": {
        "origin": origin, "size": n.splitlines()[1], "root": base64.b64decode(r).hex(), "checkpoint": n}}) + "\n"
    seed = base64.b64decode(next(node_keys.glob("*.key")).read_text().splitlines()[0].split("+", 4)[4])[1:]

    def signed(leaves, r):
        text = f"{origin}\n{leaves}\n{r}\n"
        line = node_key.read_text().strip()
        sig = base64.b64encode(bytes.fromhex(line.split("+")[1]) + verify_bundle.sign(seed, text.encode())[1]).decode()
        return event(f"{text}\n\u2014 {origin} {sig}\n", r)

    seen = d.dir / "seen.jsonl"
    check = lambda code, *args: (lambda p: p.stdout + p.stderr)(d.run("evidence", "verify", *args, "--seen", seen, "--key", case_key, "--key", node_key, code=code))
    seen.write_text(event(note, root))
    said = check(0, sealed)
    assert f"head of {origin} with {size} leaves: as it was seen" in said and "NOT COMPARED: no head of this log was seen" in said, said
    assert "it grew through 1 heads" in check(0, "--dir", d.node)
    other = base64.b64encode(bytes(32)).decode()
    seen.write_text(signed(size, other))
    assert "FORK" in check(3, sealed) and "FORK" in check(3, "--dir", d.node)
    seen.write_text(event(note, root) + signed(size, other))
    assert "FORK" in check(3)
    seen.write_text(signed(int(size) + 1000, other))
    assert "none of its heads is among those that were seen" in check(3, sealed)
    assert "the log has fewer" in check(3, "--dir", d.node)
    seen.write_text(event(note, root).replace(size, str(int(size) + 1), 1))
    assert "damaged" in check(3, sealed)
    # The leaves stay, and what they are of is another: nothing in the tree changes.
    seen.write_text("{nonsense\n" + event(note, root))
    assert "the first is line 1" in check(0, "--dir", d.node)
    rewritten = d.dir / "rewritten"
    shutil.copytree(d.node, rewritten)
    with sqlite3.connect(rewritten / "ledger.db") as db:
        assert db.execute("UPDATE entry SET payload = payload || x'00' WHERE idx = (SELECT max(idx) FROM entry WHERE payload IS NOT NULL AND idx < ?)", (int(size),)).rowcount == 1
    db.close()
    assert "NOT in order" in check(3, "--dir", rewritten)
    # A key that is trusted for the cases says nothing of the node.
    case_seed = base64.b64decode(next(d.keys.glob("*.key")).read_text().splitlines()[0].split("+", 4)[4])[1:]
    foreign = d.dir / "foreign"
    name, key_id = case_key.read_text().strip().split("+")[:2]
    text = f"{origin}\n{size}\n{other}\n"
    sig = base64.b64encode(bytes.fromhex(key_id) + verify_bundle.sign(case_seed, text.encode())[1]).decode()
    foreign.write_text(f"{text}\n\u2014 {name} {sig}\n")
    assert "other keys" in d.run("evidence", "verify", foreign, "--key", case_key, "--key", node_key, code=3).stderr


def without_its_memory(d):
    last = d.keys / "last.checkpoint"
    kept = last.read_text()
    last.unlink()
    said = d.run("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys, code=3).stderr
    assert "missing" in said and "--begin" in said, said
    last.write_text(kept)
    d.run("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys, "--begin", code=1)


def second_verifier(d, bundle, key):
    # The second verifier's own arithmetic first: RFC 8032, 7.1, tests 1 and 2.
    for seed, public, message, signature in (
            ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
             "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
            ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
             "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")):
        assert verify_bundle.sign(bytes.fromhex(seed), bytes.fromhex(message)) == (bytes.fromhex(public), bytes.fromhex(signature))
        assert verify_bundle.ed25519(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))
    said = verify_bundle.verify(bundle, key.read_text())
    ours = d.verify(bundle, key).stdout
    assert f"{said['acts']} entries in the log, {said['evidence']} pieces of evidence, {said['files']} files" in ours, (said, ours)
    assert f"log {said['origin']}: {said['size']} leaves" in ours and said["evidence"] > 5, ours


def sweep():
    """On a small sample, since each byte costs a whole verification."""
    with Desk("sweep") as d:
        case, key = d.find(repeat=100), d.keygen()
        (d.dir / "letter").write_text("We do not intend to export it.")
        d.case("assign", case, "alice", "--sre", "carol")
        d.case("inquiry", case, "alice", "--to", "cirrus", "--question", "Will it be exported?")
        d.case("answer", case, "alice", "--text", "No.", "--file", d.dir / "letter")
        bundle = d.seal(case)
        d.verify(bundle, key)
        sweep_bundle(bundle, key)


def sweep_bundle(bundle, key):
    p = subprocess.run([BUILD / "tests/tools/bundle_sweep", bundle, key], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr
    said = json.loads(p.stdout)
    assert said["bytes"] == bundle.stat().st_size and said["missed"] == 0, said
    print(f"{said['bytes']} changed bytes and {said['blocks']} cut, moved or emptied blocks: all found")


def rotation(d, case, old):
    checkpoint = lambda name: (d.dir / name, (d.dir / name).write_text(
        d.run("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys).stdout))[0]
    first = checkpoint("first")
    new = d.keygen("--overlap", "1h")
    d.case("note", case, "alice", "--text", "between")
    both = checkpoint("both")
    bundle = d.seal(case, "both.tar")
    for key in (old, new):
        d.verify(both, key)
        verify_bundle.verify(bundle, key.read_text())
    # The old key's verifier is told of the new one by what the old one signed.
    assert new.read_text().strip() in d.verify(bundle, old).stdout
    assert old.read_text().strip() in d.verify(bundle, new).stdout
    d.verify(first, old)
    d.verify(first, new, code=3)
    last = d.keygen("--overlap", "0")  # both older ones end now
    after = checkpoint("after")
    sealed = d.seal(case, "after.tar")
    d.verify(after, last)
    for key in (old, new):
        d.verify(after, key, code=3)
        d.verify(sealed, key, code=3)
        d.verify(both, key)  # what they signed stays so
        d.verify(bundle, key)
    said = d.verify(sealed, last).stdout
    assert "grows from a checkpoint" in said and "by a key that was not given" in said, said
    assert "not given" not in d.verify(sealed, last, new).stdout.split("evidence of")[0]
    d.run("evidence", "keygen", "--keys", d.keys, "--origin", "another.example/log", code=1)


def never_inconsistent(d, case):
    """A log that is not the one that was signed is not signed again."""
    sign = lambda store, code: d.run("evidence", "checkpoint", "--dir", store, "--keys", d.keys, code=code)
    old = d.dir / "old"
    shutil.copytree(d.store, old)
    d.case("note", case, "alice", "--text", "what the copy does not have")
    sign(d.store, 0)
    said = sign(old, 3).stderr
    assert "it was cut, or is an old copy" in said, said
    for i in range(6):  # as long as the true one, and other
        d.run("case", "note", case, "--store", old, "--by", "eve", "--text", f"rewritten {i}")
    said = sign(old, 3).stderr
    assert "rewritten, or is another log" in said, said
    sign(d.store, 0)
    # Nor with a memory that was tampered with.
    last = d.keys / "last.checkpoint"
    text = last.read_text()
    last.write_text(text.replace("\n", "\n1", 1))
    sign(d.store, 3)
    last.write_text(text)
    sign(d.store, 0)


def beside_a_writer(d):
    """An agent has the ledger: it is signed as it stands, and that is not recorded in it."""
    import fcntl
    keys, pub = d.dir / "node-keys", d.dir / "node.pub"
    with open(d.node / "ledger.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = d.run("ledger", "verify", "--dir", d.node).stdout
        p = d.run("evidence", "checkpoint", "--dir", d.node, "--keys", keys)
        assert "is not recorded" in p.stderr, p.stderr
        (d.dir / "beside").write_text(p.stdout)
        d.verify(d.dir / "beside", pub)
        assert d.run("ledger", "verify", "--dir", d.node).stdout == before
        assert f"root of {p.stdout.splitlines()[1]} leaves" in before, (p.stdout, before)


def permissions(d):
    key = next(d.keys.glob("*.key"))
    for path, mode in ((key, 0o640), (key, 0o604), (d.keys, 0o755)):
        before = path.stat().st_mode
        path.chmod(mode)
        said = d.run("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys, code=4).stderr
        assert "others can" in said, said
        path.chmod(before)
    d.run("evidence", "checkpoint", "--dir", d.store, "--keys", d.keys)
    said = d.run("evidence", "verify", d.dir / "first", "--key", key, code=2).stderr
    assert "public key" in said, said


def tiles(d, key):
    out = d.dir / "tiles"
    d.run("evidence", "tiles", "--dir", d.store, "--keys", d.keys, "--out", out)
    origin, size, root = verify_bundle.checkpoint(verify_bundle.open_note((out / "checkpoint").read_bytes(), verify_bundle.public_key(key.read_text()))[0])
    assert origin == ORIGIN
    entries = (out / f"tile/entries/000.p/{size}").read_bytes()
    leaves = [entries[i * 62 + 2:i * 62 + 62] for i in range(size)]
    assert all(entries[i * 62:i * 62 + 2] == b"\0\x3c" for i in range(size)) and len(entries) == 62 * size
    hashes = [verify_bundle.sha256(b"\0" + x) for x in leaves]
    assert (out / f"tile/0/000.p/{size}").read_bytes() == b"".join(hashes)

    def mth(h):
        if len(h) == 1:
            return h[0]
        k = 1
        while 2 * k < len(h):
            k *= 2
        return verify_bundle.sha256(b"\1" + mth(h[:k]) + mth(h[k:]))
    assert mth(hashes) == root


def forged_rules(d, case, key):
    """Sealed by the true key, but closed by one person past the rules: found all the same."""
    forged = d.dir / "forged"
    shutil.copytree(d.store, forged)
    # No act of ours writes this: it goes in as the ledger itself would write it, salt, leaf and tree.
    tool = subprocess.run([BUILD / "tests/tools/append_act", forged, case, "reopen", "eve", "reason"], capture_output=True, text=True)
    assert tool.returncode == 0, tool.stderr
    assert d.run("case", "show", case, "--store", forged, "--retention", "data/retention.yaml", code=None).returncode == 0
    subprocess.run([BUILD / "tests/tools/append_act", forged, case, "confirm", "eve", "rationale"], check=True)
    said = d.run("case", "show", case, "--store", forged, "--retention", "data/retention.yaml", code=3).stdout
    assert "IRREGULAR" in said, said
    keys = d.dir / "forged-keys"
    line = d.run("evidence", "keygen", "--keys", keys, "--origin", ORIGIN).stdout
    (d.dir / "forged.pub").write_text(line)
    # We do not seal it; another program may.
    said = d.run("evidence", "export", case, "--store", forged, "--keys", keys, "--by", "eve", "--out", d.dir / "none.tar", code=3).stderr
    assert "nothing is sealed" in said and "against the rules of a case" in said, said
    assert not (d.dir / "none.tar").exists()
    subprocess.run([BUILD / "tests/tools/seal_unchecked", forged, case, keys, "eve", d.dir / "forged.tar"], check=True)
    said = d.verify(d.dir / "forged.tar", d.dir / "forged.pub", code=3).stderr
    assert "against the rules of a case" in said, said


with Desk("evidence") as desk:
    which = desk.find()
    first_key = desk.keygen()
    # With a checkpoint of its own, the node's part can be checked too.
    node_keys = desk.dir / "node-keys"
    node_pub = desk.dir / "node.pub"
    node_pub.write_text(desk.run("evidence", "keygen", "--keys", node_keys, "--origin", "example.org/opmeter/node1").stdout)
    desk.run("evidence", "checkpoint", "--dir", desk.node, "--keys", node_keys)
    assert "Proved against the ledger's own checkpoint" in desk.gather(which)
    assert re.search(r"0 entries of readings, 0 alerts, 0 others; [1-9]\d* were there", desk.gather(which))
    desk.close(which)
    sealed = desk.seal(which)
    assert "not checked" in desk.verify(sealed, first_key).stdout
    assert "example.org/opmeter/node1" in desk.verify(sealed, first_key, node_pub).stdout
    assert "not checked" not in desk.verify(sealed, first_key, node_pub).stdout
    desk.verify(sealed, node_pub, code=3)
    against_what_was_seen(desk, sealed, first_key, node_pub, node_keys)
    older(desk)
    alone(desk, sealed, first_key)
    second_verifier(desk, sealed, first_key)
    sweep()
    forged_rules(desk, which, first_key)
    never_inconsistent(desk, which)
    tiles(desk, first_key)
    rotation(desk, which, first_key)
    permissions(desk)
    without_its_memory(desk)
    beside_a_writer(desk)
    print("sealed, verified alone, tampered with, rotated")
