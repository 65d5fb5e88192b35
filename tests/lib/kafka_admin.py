# SPDX-License-Identifier: Apache-2.0
"""What an administrator of a test broker does, by Kafka's own protocol: CreateAcls and DeleteAcls (version 1), IncrementalAlterConfigs and
CreatePartitions (version 0). librdkafka knows no ACL of a transactional id, and the broker's own tools are not among the jars."""
import socket
import struct

TYPES = {"topic": 2, "group": 3, "transaction": 5}
OPERATIONS = {"read": 3, "write": 4, "describe": 8, "describe-configs": 10}
LITERAL, PREFIXED, ALLOW = 3, 4, 3
DELETE_TOPICS, CREATE_ACLS, DELETE_ACLS, CREATE_PARTITIONS, ALTER_CONFIGS, TOPIC, SET = 20, 30, 31, 37, 44, 2, 0


def text(s):
    return struct.pack(">h", len(s)) + s.encode()


def ask(brokers, api, version, body):
    """One request, its answer without the header."""
    host, port = brokers.split(",")[0].rsplit(":", 1)
    request = struct.pack(">hhi", api, version, 1) + text("opmeter-test") + body
    with socket.create_connection((host, int(port)), timeout=30) as s:
        s.sendall(struct.pack(">i", len(request)) + request)
        with s.makefile("rb") as answer:
            return answer.read(struct.unpack(">i", answer.read(4))[0])[4:]


def errors(answer):
    """(code, message) of each result: throttle time, then an array that begins with both."""
    count, at = struct.unpack_from(">i", answer, 4)[0], 8
    for _ in range(count):
        code, length = struct.unpack_from(">hh", answer, at)
        at += 4
        yield code, answer[at:at + max(length, 0)].decode()
        at += max(length, 0)


def check(answer):
    bad = [f"{code} {message}" for code, message in errors(answer) if code]
    assert not bad, bad


def acls(principal, rights):
    """Each "TYPE:OPERATION:NAME"; a name that ends in * is a prefix."""
    body = struct.pack(">i", len(rights))
    for right in rights:
        kind, operation, name = right.split(":")
        pattern = PREFIXED if name.endswith("*") else LITERAL
        body += struct.pack(">b", TYPES[kind]) + text(name.rstrip("*")) + struct.pack(">b", pattern)
        body += text(principal) + text("*") + struct.pack(">bb", OPERATIONS[operation], ALLOW)
    return body


def allow(brokers, principal, *rights):
    check(ask(brokers, CREATE_ACLS, 1, acls(principal, rights)))


def revoke(brokers, principal, *rights):
    """What allow() gave: each filter finds one."""
    answer = ask(brokers, DELETE_ACLS, 1, acls(principal, rights))
    count, code = struct.unpack_from(">ih", answer, 4)
    assert count == len(rights) and code == 0, (count, code)


def set_topic(brokers, topic, key, value):
    body = struct.pack(">ib", 1, TOPIC) + text(topic) + struct.pack(">i", 1) + text(key) + struct.pack(">b", SET) + text(value) + b"\0"
    answer = ask(brokers, ALTER_CONFIGS, 0, body)
    code = struct.unpack_from(">h", answer, 8)[0]
    assert code == 0, f"{topic}: {key}={value}: error {code}"


def delete_topic(brokers, topic):
    """(DeleteTopics, version 1)."""
    answer = ask(brokers, DELETE_TOPICS, 1, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 30000))
    count, length = struct.unpack_from(">ih", answer, 4)
    code = struct.unpack_from(">h", answer, 10 + length)[0]
    assert count == 1 and code == 0, f"{topic}: error {code}"


def add_partitions(brokers, topic, count):
    """So that there are `count` of them (CreatePartitions, version 0)."""
    answer = ask(brokers, CREATE_PARTITIONS, 0, struct.pack(">i", 1) + text(topic) + struct.pack(">iii?", count, -1, 10000, False))
    length = struct.unpack_from(">h", answer, 8)[0]
    code = struct.unpack_from(">h", answer, 10 + length)[0]
    assert code == 0, f"{topic}: {count} partitions: error {code}"
