#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verifies a bundle of docs/formats.md, "Evidence bundle", from that page alone: hashlib, and Ed25519 by RFC 8032 in
plain integers. Shares no code with opmeter.

    verify_bundle.py BUNDLE.tar PUBLIC-KEY-LINE
"""
import base64
import hashlib
import json
import sys
import tarfile

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
sha256 = lambda b: hashlib.sha256(b).digest()


def add(a, b):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = a, b
    e, f = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    g, h = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    i, j, k, l = f - e, h - g, h + g, f + e
    return i * j % P, k * l % P, j * k % P, i * l % P


def times(n, p):
    q = (0, 1, 1, 0)
    while n:
        if n & 1:
            q = add(q, p)
        p, n = add(p, p), n >> 1
    return q


def point(b):
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        raise ValueError("no point")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        raise ValueError("no point")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519(public, message, signature):
    r, s = point(signature[:32]), int.from_bytes(signature[32:], "little")
    if s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    a, b = times(s, BASE), add(r, times(h, point(public)))
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def compress(p):
    z = pow(p[2], P - 2, P)
    x, y = p[0] * z % P, p[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def sign(seed, message):
    """For tests: RFC 8032, 5.1.6."""
    h = hashlib.sha512(seed).digest()
    a = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = compress(times(a, BASE))
    r = int.from_bytes(hashlib.sha512(h[32:] + message).digest(), "little") % L
    big_r = compress(times(r, BASE))
    k = int.from_bytes(hashlib.sha512(big_r + public + message).digest(), "little") % L
    return public, big_r + ((r + k * a) % L).to_bytes(32, "little")


def need(true, what):
    if not true:
        raise SystemExit("NOT in order: " + what)


def unbase64(s):
    b = base64.b64decode(s, validate=True)
    need(base64.b64encode(b).decode() == s, "base64")
    return b


def public_key(line):
    name, key_id, data = line.strip().split("+", 2)
    data = unbase64(data)
    need(data[0] == 1 and len(data) == 33, "not an Ed25519 key")
    need(sha256(name.encode() + b"\n" + data)[:4].hex() == key_id, "the key's id")
    return name, data[1:]


def open_note(note, key):
    """The text, if the key signed it; and every signature's (name, id, bytes)."""
    text, _, tail = note.rpartition(b"\n\n")
    text += b"\n"
    signatures = []
    for line in tail.decode().splitlines():
        dash, name, data = line.split(" ")
        need(dash == "\u2014", "a signature line")
        signatures.append((name, unbase64(data)))
    name, public = key
    key_id = sha256(name.encode() + b"\n\x01" + public)[:4]
    mine = [s[4:] for n, s in signatures if n == name and s[:4] == key_id]
    need(mine and ed25519(public, text, mine[0]), "the signature")
    return text.decode(), signatures


def root_of(leaf, index, size, proof):
    """RFC 9162, 2.1.3.2."""
    fn, sn, r = index, size - 1, leaf
    for p in proof:
        need(sn, "a proof")
        if fn & 1 or fn == sn:
            r = sha256(b"\1" + p + r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\1" + r + p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0, "a proof")
    return r


def check_leaf(o, payload, root, size):
    leaf, salt = bytes.fromhex(o["leaf"]), bytes.fromhex(o["salt"])
    need(len(leaf) == 60 and leaf[:6] == b"OPLF\1\0", "a leaf")
    need(leaf[28:] == sha256(salt + payload), "a commitment")
    need(int.from_bytes(leaf[24:28], "little") == len(payload), "a length")
    need(int.from_bytes(leaf[16:24], "little") == int(o["index"]), "an index")
    need(int.from_bytes(leaf[6:8], "little") == o["kind"], "a kind")
    need(root_of(sha256(b"\0" + leaf), int(o["index"]), size, [bytes.fromhex(h) for h in o["proof"]]) == root, "an inclusion")


def checkpoint(text):
    origin, size, root = text.splitlines()[:3]
    return origin, int(size), unbase64(root)


def check_consistency(m, first, n, second, proof):
    """RFC 9162, 2.1.4.2."""
    path = list(proof)
    if m & (m - 1) == 0:
        path.insert(0, first)
    fn, sn = m - 1, n - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        need(sn, "consistency")
        if fn & 1 or fn == sn:
            fr, sr = sha256(b"\1" + c + fr), sha256(b"\1" + c + sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha256(b"\1" + sr + c)
        fn, sn = fn >> 1, sn >> 1
    need(fr == first and sr == second and sn == 0, "consistency")


def verify(path, key_line):
    key = public_key(key_line)
    with tarfile.open(path) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
    text, signatures = open_note(files["MANIFEST"], key)
    lines = text.splitlines()
    need(lines[0] == "opmeter-bundle v1", "the manifest")
    signers = [public_key(x[7:]) for x in lines if x.startswith("signer ")]
    need(key in signers and len(signers) == len(signatures), "the signers")
    for signer in signers:
        open_note(files["MANIFEST"], signer)
    named = {}
    for x in lines:
        if x.startswith("file "):
            _, digest, size, name = x.split(" ")
            named[name] = (digest, int(size))
    need(set(named) | {"MANIFEST"} == set(files), "the list of files")
    for name, (digest, size) in named.items():
        need(len(files[name]) == size and sha256(files[name]).hex() == digest, name)
    origin, size, root = checkpoint(open_note(files["checkpoint"], key)[0])
    need(lines[1] == f"origin {origin}" and key[0] == origin, "the origin")
    acts, evidence, case = [], 0, next(x[5:] for x in lines if x.startswith("case "))
    for line in files["entries.jsonl"].decode().splitlines():
        o = json.loads(line)
        payload = unbase64(o["payload"])
        check_leaf(o, payload, root, size)
        act = json.loads(payload)
        need(act["case"] == case and act["n"] == len(acts) and act["at"] == o["time"], "the order of acts")
        acts.append(act)
        if act["act"] == "evidence":
            data, source = unbase64(act["data"]), act["source"]
            need(sha256(data).hex() == act["sha256"], "evidence")
            evidence += 1
            if source:
                check_leaf(source, data, bytes.fromhex(source["root"]), int(source["size"]))
    if "consistency.json" in files:
        c = json.loads(files["consistency.json"])
        old = checkpoint(files["previous.checkpoint"].decode())
        need((old[0], old[1], int(c["to"])) == (origin, int(c["from"]), size), "the previous checkpoint")
        check_consistency(old[1], old[2], size, root, [bytes.fromhex(h) for h in c["proof"]])
    return {"case": case, "origin": origin, "size": size, "acts": len(acts), "evidence": evidence, "files": len(files)}


if __name__ == "__main__":
    print(json.dumps(verify(sys.argv[1], sys.argv[2])))
