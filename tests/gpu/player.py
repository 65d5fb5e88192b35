# SPDX-License-Identifier: Apache-2.0
"""A workload's process: started, told what to do, and heard, each with a limit of time."""
import json
import os
import select
import subprocess
import time

import host


class Player:
    """`argv` of the program follows its name; the answers are one JSON object a line (tests/gpu/workloads.py)."""

    def __init__(self, ctx, name, *argv, env=(), cgroup=None, label=None):
        a = ctx.args
        cmd = [a.python, a.program, name, "--device", a.device, *(["--tiny"] if a.tiny else []), *argv]
        self.log_path = ctx.work / f"{label or name}.workload.log"
        self.log = open(self.log_path, "ab")
        self.name, self.label, self.buffer = name, label or name, b""
        self.p = subprocess.Popen([str(c) for c in cmd], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                  env={**os.environ, **dict(env)}, cwd=ctx.work)
        if cgroup:
            cgroup(self.p.pid)

    def why(self):
        self.log.flush()
        return host.last_line(host.read(self.log_path) or "")

    def hear(self, event, timeout):
        """The answer of that kind. Failure: an error, an end, or no answer in time."""
        end = time.monotonic() + timeout
        while True:
            line, found, rest = self.buffer.partition(b"\n")
            if found:
                self.buffer = rest
                answer = json.loads(line)
                if answer["event"] == event:
                    return answer
                raise host.Failure(f"{self.label}: {answer.get('error', answer)}")
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.p.stdout], [], [], left)[0]:
                raise host.Failure(f"{self.label}: no answer ({event}) in {timeout:.0f} s: {self.why()}")
            more = os.read(self.p.stdout.fileno(), 65536)
            if not more:
                raise host.Failure(f"{self.label}: ended with {self.p.wait()}: {self.why()}")
            self.buffer += more

    def tell(self, command, event=None, timeout=60):
        try:
            self.p.stdin.write(command.encode() + b"\n")
            self.p.stdin.flush()
        except BrokenPipeError:
            pass  # the answer tells why
        return self.hear(event, timeout) if event else None

    def close(self):
        """Its exit code; one that does not end is killed."""
        try:
            if self.p.poll() is None:
                self.tell("end")
                self.p.stdin.close()
            self.p.wait(timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            self.p.kill()
            self.p.wait()
        self.p.stdout.close()
        self.log.close()
        return self.p.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
