#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files of docs/formats.md from its tables alone, knowing nothing of the C code."""
import base64
import datetime
import hashlib
import json
import struct
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "lib"))
from verify_bundle import sign  # noqa: E402: Ed25519 in plain integers, checked there against RFC 8032
u128 = lambda v: v.to_bytes(16, "little")
LEDGER, JOB = bytes(range(16)), bytes(range(0xA0, 0xB0))
DAY, FORMAT, METER = 20780, 4, 1  # 2026-11-23, bf16, shape
LOST = [1, 2, 3, 4, 5, 6, 7]


def key():
    return LEDGER + JOB + struct.pack("<IBBH", DAY, FORMAT, METER, 1)


def reading():
    b = b"OPRD" + struct.pack("<HH", 1, 320) + LEDGER + JOB + struct.pack("<IBBH", DAY, FORMAT, METER, 1)
    b += struct.pack("<Q", 77) + u128(10**26 + 1) + u128(5) + u128(2**100) + struct.pack("<ddQ", 1.5e24, 2.25e46, 9)
    b += struct.pack("<QQQQQ", 1009, 123456789, 11, 12, 13) + struct.pack("<7Q", *LOST)
    b += struct.pack("<QQ", 1795456800000000000, 1795460400500000000) + struct.pack("<QQ", 1795000000000000000, 8 * 10**15)
    b += struct.pack("<II", 8, 0) + struct.pack("<Q", 0x1122334455667788) + bytes(48)
    assert len(b) == 320
    return b


def leb128(v):
    out = b""
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def folded(fmt, meter, attempted, fields):
    """fields: bit -> value; a float is a double."""
    body = b"".join(struct.pack("<d", v) if isinstance(v, float) else leb128(v) for _, v in sorted(fields.items()))
    return struct.pack("<BBBBI", fmt, meter, attempted, 0, sum(1 << b for b in fields)) + body


def carry_key():
    return LEDGER + JOB + struct.pack("<IBBH", DAY, 0, 0, 1)


def carry():
    day_ns, start, end = DAY * 86400 * 10**9, 1795456800000000000, 1795460400500000000
    shape = {0: 10**26 + 1, 1: 5, 2: 2**100, 3: 1.5e24, 4: 2.25e46, 5: 9, 6: 1009, 7: 123456789, 8: 11, 9: 12, 10: 13, 18: start - day_ns, 19: end - start, 20: 77}
    shape.update({11 + i: v for i, v in enumerate(LOST)})
    counter = {3: 1.5e24, 4: 2.25e46, 5: 9, 6: 3, 18: 2**64 - day_ns, 20: 2**64 - 1}  # from and to are 0
    regs = folded(FORMAT, METER, 1, shape) + folded(FORMAT, 3, 0, counter) + folded(128 + 2, 6, 0, {0: 2**128 - 1, 18: 2**64 - day_ns})
    head = b"OPCY" + struct.pack("<HHII", 1, 1, 96 + len(regs), 3) + LEDGER + JOB + struct.pack("<I", DAY) + bytes(12)
    return head + hashlib.sha256(head + regs).digest() + regs


def total(version):
    t = {"v": version, "tenant": "acme", "model": "lm-7b", "partition": 3,
         "training": {"low": str(10**26), "high": str(10**26 + 1), "ceiling": str(2**100)},
         "all": {"low": str(10**26 + 2), "high": str(10**26 + 3), "ceiling": str(2**101)}, "contradicted": "4", "unattributed": "5",
         "bounded": True, "attempted": False, "losses": "6", "registers": "9", "as_of": "2026-11-23T19:00:00.500000000Z"}
    if version > 1:
        t.update(group="model", saturated=True, calls="7", launches="8", meters=["shape", "device"])
    if version > 2:
        t.update(executed={"low": str(10**26 + 11), "high": str(10**26 + 12)}, suspected=str(10**25 + 13), gap_days="14", first_day="2026-01-01",
                 until=[{"day": "2026-03-12", "training": {"low": str(10**25), "high": str(10**25 + 1)}},
                        {"day": "2026-06-01", "training": {"low": str(2 * 10**25), "high": str(2 * 10**25 + 1)}}])
    return t


def lineage(version):
    t = total(version)
    del t["tenant"], t["model"]
    part = lambda low, high: {"low": str(low), "high": str(high), "ceiling": str(2**99)}
    return {**t, "group": "lineage", "lineage": "l-6f1c", "members": [
        {"tenant": "acme", "training": part(10**25, 10**25 + 1), "registers": "8"},
        {"tenant": "zeta", "training": part(9 * 10**25, 9 * 10**25), "registers": "1"}]}


def days(of, **names):
    return {"v": 3, "group": "days", "of": of, **names, "partition": 3,
            "days": [["2026-11-21", "0", "0"], ["2026-11-22", str(10**25), str(10**25 + 1)], ["2026-11-28", str(2**100), str(2**101)]]}


def process():
    """One rank of sixteen; the third weight is of experts, its `active` another than its copies."""
    both = lambda low, high: {"low": low, "high": high}
    three = lambda low, best, high: {"low": low, "best": best, "high": high}
    return {
        "v": 1, "ledger": LEDGER.hex(), "job": JOB.hex(), "process": bytes(range(0xC0, 0xD0)).hex(), "from": "2026-11-23T18:00:00Z",
        "to": "2026-11-23T18:12:00Z", "at": "2026-11-23T18:12:01.500000000Z", "begun": "2026-11-22T07:00:00Z", "ended": False,
        "tenant": "acme", "model_name": "lm/\u00e9", "lineage": None,
        "phase": {"verdict": "training", "confidence": "high", "training": both("0.7228", "0.883301"), "recomputed": three("0", "0.1", "0.12"),
                  "executed": str(10**26 + 1), "suspicion": None, "evidence": "24 weights are there in all three forms."},
        "model": {"hidden": 768, "feed_forward": 3072, "key_value": 0, "vocabulary": 50257, "experts": 8, "experts_here": 2, "layers": 12, "tensor_parallel": 1,
                  "passes": "123.5", "has_passes": True, "seen_in_order": 0, "by_tokens": 0, "by_buffers": True, "certain": True,
                  "parameters": three("123532032", "123532033", "1.23532034e+11"), "active": three("5", "6", "7"), "tokens": three("0", "1048576", "1048576"),
                  "check": "1.02", "weights": [{"small": 768, "large": 3072, "copies": "24"}, {"small": 768, "large": 50257, "copies": "1"},
                                               {"small": 64, "large": 768, "copies": "24.5", "active": "6", "experts": True, "narrows": True}],
                  "weights_left_out": 2, "evidence": "3 weights explain 99.1 % of the operations."},
        "communicators": [{"id": bytes(range(16, 32)).hex(), "ranks": 16, "rank": 3, "time": "2026-11-23T17:59:58Z"},
                          {"id": bytes(range(32, 48)).hex(), "ranks": 2, "rank": -1, "time": "2026-11-23T18:05:00.000000001Z"}],
        "communicators_left_out": 1, "groups": [{"ranks": 16, "kind": "allreduce", "bytes": str((2**64 - 1) * 3)}, {"ranks": 2, "kind": "sendrecv", "bytes": "0"}]}


def leaf():
    salt, payload = bytes(range(32)), b'{"v":1,"act":"off"}'
    return b"OPLF" + struct.pack("<HHQQI", 1, 5, 1795456800000000000, 3, len(payload)) + hashlib.sha256(salt + payload).digest()


def alert_id():
    parts = ["opmeter-alert-v1", "opmeter.alert.level.v1", "/opmeter/f", "us-bis-4e091", "2025-01-15", "acme/lm", "warn"]
    return hashlib.sha256(b"".join(p.encode() + b"\0" for p in parts)).digest()[:16]


def alert_event(kind, subject, level, data):
    """An event about the demonstration's threshold, with what every finding carries in front and the sentence behind."""
    version, source, text = "1", "/opmeter/golden", (HERE.parent / "demo/regimes/demo-threshold.yaml").read_bytes()
    parts = ["opmeter-alert-v1", kind, source, "demo-threshold", version, subject, level]
    ident = hashlib.sha256(b"".join(p.encode() + b"\0" for p in parts)).digest()[:16].hex()
    facts = {"regime": "demo-threshold", "version": version, "digest": hashlib.sha256(text).hexdigest(), "mode": "enforce",
             "citation": "none: a demonstration", "evidence": "design", "occasion": level}
    return {"specversion": "1.0", "id": ident, "source": source, "type": kind, "subject": subject, "time": "2026-11-23T18:00:00Z",
            "datacontenttype": "application/json", "data": {**facts, **data}}


def alerts():
    """Three levels of a model whose name has to be escaped; 8e15 to 10^16 + 1 operations, of which 8 calls are lost."""
    subject, low, high = 'ac"me\\\x01/\u00e9', 8 * 10**15, 10**16 + 1
    both = lambda a, b: {"low": str(a), "high": str(b)}
    rest = {"threshold": str(10**16), "limit": str(10**16), "comparator": ">=", "counted": both(low, high), "executed": both(low // 2, high * 2),
            "declared": False, "meters": ["shape", "device"], "findings": [], "group": "model", "members": {"tenants": 1, "models": 1}, "demo": True,
            "observed": both(low, high), "attempted": True, "coverage": "incomplete: 8 calls or processes could not be counted"}
    title = "DEMO threshold, sized to be crossed within a minute; no law says this"
    for level, verdict, at in (("notice", "reached", "5.00e+15"), ("warn", "reached", "7.50e+15"), ("urgent", "possible", "9.00e+15")):
        sentence = (f"{subject}: 8.00e+15 to 1.00e+16 training operations observed here (attempted): level '{level}' {verdict}, at least {at} "
                    f"(meters: shape, device). {title} (demo-threshold version 1; none: a demonstration).")
        yield alert_event("opmeter.alert.level.v1", subject, level, {
            "level": level, "verdict": verdict, "figure": "training, upper bound", **rest, "notices": [], "sentence": sentence})


def forecast_alert():
    """10^14 operations on each of twenty days up to 2026-11-22, of 10^16: the fast rate is two and a half times, the slow one two fifths of that."""
    subject, a_day, total = "acme/lm", 10**14, 20 * 10**14
    left, fast, slow = 10**16 - total, a_day * 5 // 2, a_day * 2 // 5
    on = lambda rate: (datetime.date(2026, 11, 22) + datetime.timedelta(days=-(-left // rate))).isoformat()
    earliest, likely, latest = on(fast), on(a_day), on(slow)
    sentence = (f"{subject}: at least 1.00e+16 training operations will be met if it goes on as it went up to 2026-11-22: on {earliest} at the earliest, likely on "
                f"{likely}, at the latest on {latest} (demo-threshold version 1; none: a demonstration). Observed here; a forecast, no verdict.")
    return alert_event("opmeter.alert.forecast.v1", subject, f"forecast/{earliest[:7]}", {
        "as_of_day": "2026-11-22", "verdict": "none", "limit": str(10**16), "observed": {"low": str(total), "high": str(total)}, "declared": "0",
        "forecast": {"earliest": earliest, "likely": likely, "latest": latest, "operations_per_day": {"fast": str(fast), "likely": str(a_day), "slow": str(slow)},
                     "days": 20, "horizon_days": 90}, "demo": True, "sentence": sentence})


def declarations_head():
    h = lambda b: hashlib.sha256(b).digest()
    first, second = [h(b"\0" + l.encode()) for l in declarations().splitlines()]
    return f"opmeter/declarations\n2\n{base64.b64encode(h(bytes([1]) + first + second)).decode()}\n"


def declarations():
    """Two lines: operations elsewhere, and their withdrawal, chained as docs/formats.md says."""
    def line(kind, own, prev, at, **more):
        parts = ["opmeter-declaration-v1", kind, "acme/lm", own, at, "Jane Doe", prev]
        ident = hashlib.sha256(b"".join(p.encode() + b"\0" for p in parts)).digest()[:16].hex()
        o = {"v": 1, "id": ident, "kind": kind, "subject": "acme/lm", "at": at, "by": "Jane Doe", **more,
             "evidence": {"what": "letter of 2026-11-20", "sha256": "ab" * 32}, "prev": prev}
        return ident, json.dumps(o, separators=(",", ":"))

    ident, first = line("external-operations", "another cloud", "0" * 64, "2026-11-23T18:00:00Z", provider="another cloud",
                        operations={"low": str(6 * 10**25), "high": str(65 * 10**24 + 1)})
    prev = hashlib.sha256(first.encode()).hexdigest()
    return first + "\n" + line("withdrawal", ident, prev, "2026-11-24T00:00:00Z", of=ident)[1] + "\n"


def checkpoint():
    """Of the log whose one leaf is the golden one, signed by the key of RFC 8032, 7.1, test 1."""
    name, seed = "example.org/opmeter/golden", bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    text = f"{name}\n1\n{base64.b64encode(hashlib.sha256(bytes(1) + leaf()).digest()).decode()}\n"
    public, signature = sign(seed, text.encode())
    key_id = hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]
    key = f"{name}+{key_id.hex()}+{base64.b64encode(bytes([1]) + public).decode()}\n"
    return key, f"{text}\n\u2014 {name} {base64.b64encode(key_id + signature).decode()}\n"


def case_act(version):
    """Findings had no cause at first; acts that name the older id are read still."""
    cause = {} if version == 1 else {"cause": "material-training"}
    parts = [f"opmeter-finding-v{version}", "demo-owner", "1", "cirrus", "v", *cause.values()]
    finding = hashlib.sha256(b"".join(p.encode() + b"\0" for p in parts)).hexdigest()[:32]
    event = {"specversion": "1.0", "id": "00112233445566778899aabbccddeeff", "source": "/opmeter/n1", "type": "opmeter.case.v1", "subject": "cirrus",
             "time": "2026-11-23T18:00:00Z", "datacontenttype": "application/json",
             "data": {"regime": "demo-owner", "version": "1", "sentence": "s", "case": "case-001122334455", "ownership_version": "v", **cause}}
    return {"v": 1, "case": "case-001122334455", "n": 0, "act": "take", "by": "opmeter", "uid": 0, "at": "2026-11-23T18:00:01Z", "finding": finding,
            "event": event}


def serves():
    return {"v": 2, "ledger": LEDGER.hex(), "job": JOB.hex(), "kind": "serves", "value": "101112131415161718191a1b1c1d1e1f", "from": "2026-11-23T00:00:00Z",
            "to": "2026-11-24T00:00:00Z", "share": {"low": "0", "high": "1"}, "evidence": "Communicators join it with a job that learns.",
            "author": {"rule": "job-joined", "version": "1"}, "at": "2026-11-23T18:00:01Z"}


def main():
    public, note = checkpoint()
    (HERE / "checkpoint_v1.pub").write_text(public)
    (HERE / "checkpoint_v1.note").write_text(note)
    (HERE / "case_act_v1.json").write_text(json.dumps(case_act(1), indent=1) + "\n")
    (HERE / "case_act_finding_v2.json").write_text(json.dumps(case_act(2), indent=1) + "\n")
    (HERE / "register_key_v1.hex").write_text(key().hex() + "\n")
    (HERE / "reading_v1.hex").write_text(reading().hex() + "\n")
    (HERE / "carry_key_v1.hex").write_text(carry_key().hex() + "\n")
    (HERE / "carry_v1.hex").write_text(carry().hex() + "\n")
    asked = days("model", tenant="acme", model="lm-7b")
    for name, t in (("process_v1", process()), ("days_v3", asked), ("days_lineage_v3", {**days("lineage", lineage="l-6f1c"), "folded": True}),
                    ("ask_v3", {k: v for k, v in {**asked, "group": "ask"}.items() if k != "days"}), ("total_v1", total(1)), ("total_v2", total(2)), ("total_lineage_v2", lineage(2)), ("total_v3", total(3)),
                    ("total_lineage_v3", lineage(3))):
        (HERE / f"{name}.json").write_text(json.dumps(t, indent=1) + "\n")
    (HERE / "assignment_v2.json").write_text(json.dumps(serves(), separators=(",", ":")) + "\n")
    (HERE / "leaf_v1.hex").write_text(leaf().hex() + "\n")
    (HERE / "alert_id_v1.hex").write_text(alert_id().hex() + "\n")
    (HERE / "alerts_v1.jsonl").write_text("".join(json.dumps(a, separators=(",", ":"), ensure_ascii=False) + "\n" for a in alerts()))
    (HERE / "alert_forecast_v1.json").write_text(json.dumps(forecast_alert(), separators=(",", ":")) + "\n")
    (HERE / "declarations_v1.jsonl").write_text(declarations())
    (HERE / "declarations_v1.jsonl.head").write_text(declarations_head())
    names = ["failed-read", "inconsistent", "absurd", "refused", "unread", "late", "off"]
    (HERE / "reading_v1.json").write_text(json.dumps({
        "v": 1, "ledger": LEDGER.hex(), "job": JOB.hex(), "day": "2026-11-23", "format": "bf16", "meter": "shape",
        "attempted": True, "sequence": "77", "exact": str(10**26 + 1), "low": "5", "high": str(2**100), "mean": 1.5e24,
        "variance": 2.25e46, "calibration": "9", "calls": "1009", "device_time_ns": "123456789", "nested": "11",
        "duplicates": "12", "overflow_calls": "13", "lost": {n: str(v) for n, v in zip(names, LOST)},
        "from": "2026-11-23T18:00:00Z", "to": "2026-11-23T19:00:00.500000000Z",
        "node": {"ledger_start": "2026-11-18T11:06:40Z", "peak_ops_per_s": str(8 * 10**15), "devices": 8,
                 "inventory": "1122334455667788"}}, indent=1) + "\n")


main()
