#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `opmeter prove`: finds the offsets of a library that is honest, refuses each other
# kind in one line, and holds a library that tries to get out. The shipped rows are
# proven again from the vendor's files where those are in the cache.
set -eu
B=${B:-build}
FAKE=$B/tests/fake
T=$(mktemp -d /tmp/opmeter-prove-XXXXXX)
trap 'rm -rf "$T" /tmp/opmeter-escaped /tmp/opmeter-bait' EXIT
fail() { echo "FAIL: $1"; exit 1; }

# refuses CODE PATTERN ARGUMENT ...
refuses() {
	local want=$1 pattern=$2 rc=0
	shift 2
	"$B/opmeter" prove "$@" >"$T/out" 2>"$T/err" || rc=$?
	[ "$rc" = "$want" ] || fail "prove $*: exit $rc, not $want: $(cat "$T/err")"
	[ "$(wc -l <"$T/err")" = 1 ] || fail "prove $*: not one line: $(cat "$T/err")"
	[ ! -s "$T/out" ] || fail "prove $*: printed a row all the same"
	grep -qE "$pattern" "$T/err" || fail "prove $*: says: $(cat "$T/err")"
}

row=$("$B/opmeter" prove --source 'made for a test' "$FAKE/libfakelt_GOOD.so") || fail "an honest library is not proven"
[[ $row =~ ^[0-9a-f]{64},libfakelt_GOOD.so,99.1.2,4,0,16,8,40,24,32,-,16,0,8,4,made\ for\ a\ test, ]] ||
	fail "wrong offsets: $row"
"$B/opmeter" prove --header "$FAKE/libfakelt_GOOD.so" >"$T/good.csv"
"$B/opmeter" prove --check "$T/good.csv" "$FAKE/libfakelt_GOOD.so" >/dev/null || fail "does not agree with its own row"
sed 's/,16,8,40,24,32,/,8,16,40,24,32,/' "$T/good.csv" >"$T/wrong.csv"
refuses 3 'says layout_rows is at 8, this library at 16' --check "$T/wrong.csv" "$FAKE/libfakelt_GOOD.so"
refuses 3 'has no row for' --check "$T/good.csv" "$FAKE/libfakelt_BURGLAR.so"

refuses 3 'layout_rows: byte 16 does not hold' "$FAKE/libfakelt_BENT.so"
refuses 3 'signal 11|ended the process' "$FAKE/libfakelt_BROKEN.so"
refuses 3 'answer is damaged' "$FAKE/libfakelt_LIAR.so"
refuses 1 'no answer within 1 s' --timeout 1s "$FAKE/libfakelt_ASLEEP.so"
refuses 3 'does not export cublasLtMatrixLayoutCreate' "$FAKE/libfakeblas.so"
refuses 2 'not a library' "$(ldconfig -p | sed -nE 's/.*libc\.so\.6.*=> //p' | head -1)"
refuses 2 'not an ELF64' /etc/passwd
refuses 2 'No such file' /nonexistent/libcublasLt.so
refuses 2 'one library' "$FAKE/libfakelt_GOOD.so" "$FAKE/libfakelt_BENT.so"
refuses 2 'without a comma' --source 'a,b' "$FAKE/libfakelt_GOOD.so"

# The burglar is one: without the cage it gets out.
touch /tmp/opmeter-bait
LD_PRELOAD=$PWD/$FAKE/libfakelt_BURGLAR.so /bin/true
[ -e /tmp/opmeter-escaped ] && [ ! -e /tmp/opmeter-bait ] || fail "the burglar does not even try"
rm -f /tmp/opmeter-escaped
touch /tmp/opmeter-bait
"$B/opmeter" prove "$FAKE/libfakelt_BURGLAR.so" >"$T/out" 2>&1 || fail "something got out of the cage: $(cat "$T/out")"
[ ! -e /tmp/opmeter-escaped ] && [ -e /tmp/opmeter-bait ] || fail "a library in the cage changed files"

proved=0
for lib in "${OPMETER_CACHE:-$HOME/.cache/opmeter}"/cuda/*/libcublasLt.so.*; do
	[ -e "$lib" ] || continue
	"$B/opmeter" prove --check data/offsets.csv "$lib" >/dev/null || fail "$lib: see above"
	proved=$((proved + 1))
done
echo "the cage holds, $proved vendor libraries agree with data/offsets.csv"
