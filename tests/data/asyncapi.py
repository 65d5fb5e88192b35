#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/asyncapi.yaml names exactly the topics that `opmeter topics list` prints, with the same settings, every
reference in it leads somewhere, and its schemas take the golden records and refuse what lacks a member of them."""
import json
import os
import subprocess
import sys

OPMETER = os.path.join(os.environ.get("B", "build"), "opmeter")
sys.path.append(os.path.join(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter")), "kubernetes-validate"))
try:
    import jsonschema
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


def golden():
    """(message, record, a member without which it is refused), of each kind of JSON that crosses Kafka."""
    load = lambda name: json.load(open(f"tests/golden/{name}.json"))
    for name, member in (("total_v2", "all"), ("total_v3", "tenant"), ("total_lineage_v3", "members"), ("days_v3", "of"), ("ask_v3", "partition")):
        yield "total", load(name), member
    event = {"specversion": "1.0", "id": "assignment-1", "source": "/opmeter/x", "type": "opmeter.assignment.v1"}
    yield "assignment", {**event, "data": load("assignment_v1")}, "data"
    process = {**event, "id": "process-1", "type": "opmeter.process.v1", "data": load("process_v1")}
    yield "process", process, "data"
    yield "process", {**process, "data": {**process["data"], "model": None}}, "type"
    yield "assignment", {**event, "data": load("assignment_v2")}, "data"
    for line in open("tests/golden/alerts_v1.jsonl"):
        alert = json.loads(line)
        yield "case" if alert["type"] == "opmeter.case.v1" else "alert", alert, "time"


def check_schemas(doc):
    counts = {}
    for message, record, member in golden():
        schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": doc["components"],
                  **doc["components"]["messages"][message]["payload"]}
        check = jsonschema.Draft202012Validator(schema)
        errors = [f"{list(e.path)}: {e.message}" for e in check.iter_errors(record)]
        assert not errors, (message, errors)
        assert not check.is_valid({k: v for k, v in record.items() if k != member}), f"{message} without {member} is taken"
        counts[message] = counts.get(message, 0) + 1
    assert len(counts) >= 3, counts
    return counts


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
        settings = {**is_["topicConfiguration"], "cleanup.policy": is_["topicConfiguration"]["cleanup.policy"][0]}
        assert settings == {k: v for k, v in want.items() if "." in k}, f"{topic}: {settings}"
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
    counts = check_schemas(doc)
    print(f"{len(table)} topics, {len(refs)} references; records that the schemas take: {counts}")


main()
