#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files of docs/formats.md from its tables alone, knowing nothing of the C code."""
import hashlib
import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
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


def leaf():
    salt, payload = bytes(range(32)), b'{"v":1,"act":"off"}'
    return b"OPLF" + struct.pack("<HHQQI", 1, 5, 1795456800000000000, 3, len(payload)) + hashlib.sha256(salt + payload).digest()


def alert_id():
    parts = ["opmeter-alert-v1", "opmeter.alert.level.v1", "/opmeter/f", "us-bis-4e091", "2025-01-15", "acme/lm", "warn"]
    return hashlib.sha256(b"".join(p.encode() + b"\0" for p in parts)).digest()[:16]


def main():
    (HERE / "register_key_v1.hex").write_text(key().hex() + "\n")
    (HERE / "reading_v1.hex").write_text(reading().hex() + "\n")
    (HERE / "leaf_v1.hex").write_text(leaf().hex() + "\n")
    (HERE / "alert_id_v1.hex").write_text(alert_id().hex() + "\n")
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
