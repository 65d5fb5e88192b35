#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of the API that ask for what has to be read, wait because the broker is frozen, and close their connections: they keep no place of their
token's, and the next one is answered when the broker goes on."""
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from api import *
from fleet import *


def ask(api, token, target):
    s = api.context.wrap_socket(socket.create_connection(("127.0.0.1", api.port)), server_hostname="127.0.0.1")
    s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
    return s


def answer(s, timeout):
    """Its status and body; None: it waits."""
    s.settimeout(timeout)
    try:
        text = b""
        while more := s.recv(65536):
            text += more
    except TimeoutError:
        return None
    return int(text.split()[1]), text.partition(b"\r\n\r\n")[2].decode()


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-gone-") as tmp:
        tmp = Path(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "2", "--replication", "1"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([FLEETSIM, "--brokers", broker.brokers, "--truth", tmp / "truth.json", "--seed", "3", "--nodes", "4", "--jobs", "6", "--days", "1"],
                       check=True, stdout=subprocess.DEVNULL)
        make_ca(tmp)
        token = make_token(tmp / "tokens", "all", "all")
        fleet = Fleet(broker, "gone", [Regime("none", 10**30)], tmp)
        pid, waiting, api = int((broker.data / "kafka.pid").read_text()), [], None
        try:
            assert fleet.start("--once").wait(timeout=60) == 0, fleet.logs()
            fleet.procs.clear()
            api = Api(tmp, broker.brokers, fleet.name, fleet.regimes, tmp / "tokens", tmp, ["--read-time", "120s"])
            api.await_ready()
            total = api.get("/v1/totals", token, largest=1)[1]["totals"][0]
            target = f"/v1/models/{total['tenant']}/{total['model']}/series"
            os.kill(pid, signal.SIGSTOP)
            refused = None
            while refused is None:
                assert len(waiting) < 40, "no bound of those who wait"
                waiting.append(ask(api, token, target))
                refused = answer(waiting[-1], 0.2)
            assert refused[0] == 503 and '"busy"' in refused[1] and len(waiting) > 4, (refused, len(waiting))
            places = len(waiting) - 1
            for s in waiting:
                s.close()
            waiting = [ask(api, token, target)]
            early = answer(waiting[0], 0.5)
            assert early is None, f"those who have gone keep their {places} places: {early}"
            os.kill(pid, signal.SIGCONT)
            late = answer(waiting[0], 60)
            assert late and late[0] == 200 and json.loads(late[1])["days"], late
            assert api.get(target, token)[0] == 200
            assert api.close() == 0
            print(f"{places} clients waited and went; the next one was answered")
        finally:
            os.kill(pid, signal.SIGCONT)
            for s in waiting:
                s.close()
            if api:
                api.close()
            fleet.close()


if __name__ == "__main__":
    os.chdir(SOURCE)
    main()
