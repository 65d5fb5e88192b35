# SPDX-License-Identifier: Apache-2.0
# For tests of library discovery: a watcher in the background, and waiting for its
# lines. Source it first; it makes $T, a directory that goes at the end.
# shellcheck shell=bash
set -eu
B=${B:-build}
T=$(mktemp -d /tmp/opmeter-discovery-XXXXXX)
# Copies: other tests, and other clones on this machine, may map the originals. For the
# same reason only lines with $T in them are ever counted.
FAKE=$T
cp "$B"/tests/fake/libfakeblas*.so "$T/"
watcher=0
started=()

skip() { echo "SKIP: $1"; exit 77; }
fail() {
	echo "FAIL: $1"
	echo "--- what the watcher printed:"
	cat "$T/log" 2>/dev/null || true
	exit 1
}

finish() {
	local p
	for p in "${started[@]}"; do kill "$p" 2>/dev/null || true; done
	if [ "$watcher" -gt 0 ]; then kill "$watcher" 2>/dev/null || true; fi
	wait 2>/dev/null || true
	rm -rf "$T"
}
trap finish EXIT

[ "$(id -u)" = 0 ] || skip "needs root (or CAP_PERFMON and CAP_SYS_PTRACE)"
[ -e "$T/libfakeblas.so" ] || fail "$B/tests/fake is not built (make tests-build)"
[ -x "$B/tests/tools/discovery_watch" ] || fail "$B/tests/tools/discovery_watch is not built (make tests-build)"

# watch OPTION ...: starts the watcher and waits until it has scanned.
watch() {
	"$B/tests/tools/discovery_watch" --seconds 30 "$@" >"$T/log" 2>&1 &
	watcher=$!
	expect '^ready'
}

unwatch() {
	kill "$watcher"
	wait "$watcher" || fail "the watcher failed"
	watcher=0
}

# run COMMAND ...: in the background, $pid is it.
run() {
	"$@" &
	pid=$!
	disown "$pid"
	started+=("$pid")
}

# seen REGEX: how many lines about our files (or about none).
seen() { grep -E -- "$1" "$T/log" 2>/dev/null | grep -cE "path=(/mnt)?$T/|^[^=]*$" || true; }

# expect REGEX [COUNT]: that many lines within 5 s.
expect() {
	local i
	for i in $(seq 100); do
		if [ "$(seen "$1")" -ge "${2:-1}" ]; then return 0; fi
		sleep 0.05
	done
	fail "no line (${2:-1} times): $1"
}

# expect_none REGEX SECONDS: not within that time.
expect_none() {
	sleep "$2"
	if [ "$(seen "$1")" -gt 0 ]; then fail "there is a line: $1"; fi
}

# field NAME: of the first line of standard input.
field() { sed -nE "1s/.*\b$1=([^ ]*).*/\1/p"; }
