#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The borders of the design: base <- core <- {agent, fleet, cli}; exporters see base and core; core knows no kernel,
broker, GPU or clock; each foreign library lives behind one or two modules. A border that nobody checks moves."""
import fnmatch
import os
import re
import sys
from pathlib import Path

MAY = {  # what each part may include of ours
    "userspace/base": ["userspace/base"],
    "userspace/core": ["userspace/base", "userspace/core"],
    "userspace/cupti": ["userspace/cupti", "bpf"],  # goes into processes of others: of ours, only the wire structures
    "exporters": ["exporters", "userspace/base", "userspace/core"],
    "userspace/agent": ["userspace/agent", "userspace/base", "userspace/core", "exporters", "bpf"],
    "userspace/fleet": ["userspace/fleet", "userspace/base", "userspace/core", "exporters"],
    "userspace/cli": ["userspace/cli", "userspace/base", "userspace/core", "userspace/agent", "userspace/fleet", "exporters"],
}
# A calculation: the same input gives the same output on any machine, with no clock but the caller's.
NOT_IN_CORE = re.compile(r"<(bpf/|linux/bpf|librdkafka/|cuda|cupti|nvml|microhttpd|time\.h|sys/time\.h|sys/timerfd\.h)")
# Where a library may be included; a star is one module in several files. jansson and libsodium's hashes are not here:
# they are how JSON and digests are written, everywhere.
LIBRARIES = {
    "SQLite": (r"<sqlite3", ["userspace/core/ledger*", "userspace/core/owner_store*"]),
    "librdkafka": (r"<librdkafka/", ["exporters/kafka*", "userspace/fleet/*"]),
    "libyaml": (r"<yaml", ["userspace/base/yaml.c"]),
    "libmicrohttpd": (r"<microhttpd", ["exporters/openmetrics.c", "userspace/fleet/api_http.c"]),
    "OpenSSL": (r"<openssl/", ["userspace/agent/elf_image.c"]),
    "libcurl": (r"<curl/", ["userspace/agent/resolve_http.c", "userspace/cli/api_client.c"]),
    "zlib": (r"<zlib", ["userspace/base/json_stream.c", "userspace/core/run_compact.c"]),
    "libbpf": (r"<bpf/", ["userspace/agent/probes*", "userspace/agent/drain*", "userspace/agent/counter*", "userspace/agent/collective*"]),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
bad = []


def includes(path):
    """(what is included, whether it is ours) of one file; ours as a path from the root."""
    for kind, name in INCLUDE.findall(path.read_text()):
        if kind == "<":
            yield "<" + name, False
        elif name in ("opmeter.skel.h", "counter.skel.h", "collective.skel.h"):  # made of bpf/ by the build
            yield "bpf/" + name, True
        else:
            yield os.path.normpath(path.parent / name), True


def main():
    sources = sorted(p for top in ("userspace", "exporters") for p in Path(top).rglob("*.[ch]"))
    if len(sources) < 100:
        bad.append(f"only {len(sources)} sources found: is this the repository's root?")
    used = set()
    for path in sources:
        part = str(path.parent)
        if part not in MAY:
            bad.append(f"{path}: {part} has no place in this check")
        for name, ours in includes(path):
            if ours and os.path.dirname(name) not in MAY.get(part, []):
                bad.append(f"{path} includes {name}: {part} may include only {', '.join(MAY.get(part, []))}")
            if part == "userspace/core" and NOT_IN_CORE.match(name):
                bad.append(f"{path} includes {name}>: core has no kernel, broker, GPU or clock in it")
            for library, (pattern, modules) in LIBRARIES.items():
                if not ours and re.match(pattern, name):
                    used.add(library)
                    if not any(fnmatch.fnmatch(str(path), m) for m in modules):
                        bad.append(f"{path} includes {name}>: {library} lives in {', '.join(modules)} only")
    for library in LIBRARIES.keys() - used:
        bad.append(f"nothing includes {library}: is its line of this check out of date?")
    for header, may in (("bpf/opmeter.h", "<stdint.h"), ("bpf/counter.h", "bpf/opmeter.h"), ("bpf/collective.h", "bpf/opmeter.h")):  # both sides read them
        for name, ours in includes(Path(header)):
            if name != may:
                bad.append(f"{header} includes {name}: it must stand alone")
    print("\n".join(bad) or f"{len(sources)} files keep the borders")
    sys.exit(1 if bad else 0)


main()
