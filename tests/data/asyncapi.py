#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/asyncapi.yaml names exactly the topics that `opmeter topics list` prints, with the same settings, and every
reference in it leads somewhere."""
import json
import os
import subprocess
import sys

OPMETER = os.path.join(os.environ.get("B", "build"), "opmeter")
try:
    import yaml
except ImportError:
    sys.path.append(os.path.join(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter")), "kubernetes-validate"))
    try:
        import yaml
    except ImportError:
        print("skipped: no PyYAML here: run `make deps`")
        sys.exit(77)


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def main():
    doc = yaml.safe_load(open("docs/asyncapi.yaml"))
    out = subprocess.run([OPMETER, "topics", "list", "--json"], check=True, capture_output=True, text=True).stdout
    table = {r["topic"]: r for r in map(json.loads, out.splitlines())}
    assert doc["asyncapi"].startswith("3."), doc["asyncapi"]
    assert len(table) >= 10, table
    named = {c["address"]: c for c in doc["channels"].values()}
    assert set(named) == set(table), f"only here: {set(named) - set(table)}; only in the table: {set(table) - set(named)}"
    for topic, c in named.items():
        want, is_ = table[topic], c["bindings"]["kafka"]
        assert is_["partitions"] == want["partitions"], f"{topic}: partitions"
        assert is_["replicas"] == want["replication"], f"{topic}: replicas"
        assert is_["topicConfiguration"]["cleanup.policy"] == [want["cleanup.policy"]], f"{topic}: cleanup.policy"
        assert ("Restricted" in c["description"]) == want["restricted"], f"{topic}: restricted"
        assert c["messages"], topic
    refs = set(references(doc))
    assert len(refs) >= 15
    for ref in refs:
        node = doc
        for step in ref.removeprefix("#/").split("/"):
            assert step in node, f"{ref} leads nowhere"
            node = node[step]
    for op in doc["operations"].values():
        assert op["action"] in ("send", "receive"), op
    print(f"{len(table)} topics, {len(refs)} references")


main()
