# SPDX-License-Identifier: Apache-2.0
"""Which probes are in a process at this moment: at each entry that may be probed, the byte in its memory against the byte in the file. The
kernel takes probes out some time after they were given back, so that `off` is only off when none is seen."""
import os
import re
import struct
import time

import host


def watched(source):
    """Driver entries of the agent's own table: symbol -> operation."""
    out = {}
    for kind, symbol, op in re.findall(r'(TWIN\(|\{ )"(cu\w+)", (OM_OP_\w+)', source.read_text()):
        out[symbol] = op
        if kind.startswith("TWIN"):
            out[symbol + "_ptsz"] = op
    return out


def symbols(path):
    """Exported functions of an ELF file: value -> names."""
    with open(path, "rb") as f:
        head = f.read(64)
        if head[:5] != b"\x7fELF\x02":
            raise host.Failure(f"{path} is no 64-bit ELF file")
        at, size, count = struct.unpack_from("<Q", head, 40)[0], *struct.unpack_from("<HH", head, 58)
        f.seek(at)
        table = f.read(size * count)
        sections = [struct.unpack_from("<IIQQQQIIQQ", table, i * size) for i in range(count)]
        out = {}
        for s in sections:
            if s[1] != 11:  # SHT_DYNSYM
                continue
            f.seek(s[4])
            entries = f.read(s[5])
            f.seek(sections[s[6]][4])
            names = f.read(sections[s[6]][5])
            for i in range(0, len(entries), 24):
                name, info, _, index, value, _ = struct.unpack_from("<IBBHQQ", entries, i)
                if index and info & 15 in (2, 10):  # defined; a function, or chosen when it is loaded
                    text = names[name:names.index(b"\0", name)].decode()
                    out.setdefault(value, []).append(text)
    return out


def mappings(pid, path):
    """[(start, end, offset in the file, is executable)] of one file."""
    out = []
    for line in open(f"/proc/{pid}/maps"):
        part = line.split(None, 5)
        if len(part) == 6 and os.path.realpath(part[5].strip()) == path:
            low, high = (int(x, 16) for x in part[0].split("-"))
            out.append((low, high, int(part[2], 16), "x" in part[1]))
    return out


def base_of(pid, path):
    """Where the file's first byte is mapped."""
    first = next((low for low, _, offset, _ in mappings(pid, path) if offset == 0), None)
    if first is None:
        raise host.Failure(f"{path} is not mapped")
    return first


class Sites:
    """Of one process: entries of the math libraries and of the driver that it has mapped."""

    def __init__(self, pid, libraries):
        self.pid, self.places = pid, {}
        driver = watched(host.ENTRIES)
        for path in libraries:
            maps = mappings(pid, path)
            if not maps:
                continue
            base, places = base_of(pid, path), []
            with open(path, "rb") as f:
                for value, names in symbols(path).items():
                    if not any(n in driver or n == "cublasLtMatmul" or re.match(r"cublas\w*[gG]emm", n) for n in names):
                        continue
                    for low, high, offset, is_code in maps:
                        if is_code and low <= base + value < high:
                            f.seek(base + value - low + offset)
                            places.append((base + value, f.read(1)))
            self.places["driver" if "libcuda.so" in path else "math"] = self.places.get("driver" if "libcuda.so" in path else "math", []) + places

    def trapped(self):
        """{"driver": how many entries hold a probe, "math": likewise}"""
        out = {}
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            for kind, places in self.places.items():
                out[kind] = 0
                for address, byte in places:
                    memory.seek(address)
                    out[kind] += memory.read(1) != byte
        return out

    def wait(self, kinds, limit_s):
        """Until none of those is trapped. What there still is, and how long it took."""
        start = time.monotonic()
        while True:
            seen = self.trapped()
            if not any(seen.get(k) for k in kinds) or time.monotonic() - start > limit_s:
                return {**seen, "waited_s": round(time.monotonic() - start, 2)}
            time.sleep(0.1)
