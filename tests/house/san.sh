#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The unit tests again, with address and undefined-behaviour sanitizers. A build of its own, kept beside the first.
set -u
echo 'int main(void) { return 0; }' | gcc -fsanitize=address,undefined -x c -o /dev/null - 2>/dev/null ||
	{ echo "this compiler has no sanitizers"; exit 77; }
B=build/san
want=(tests/unit/test_*.c)
programs=("${want[@]/#/$B/}")
programs=("${programs[@]%.c}")
nice make -s -j"$(nproc)" SAN=1 B=$B "${programs[@]}" || exit 1
bad=0
for t in "${programs[@]}"; do
	B=$B ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 "$t" >"$t.log" 2>&1 && continue
	echo "$t fails under the sanitizers"
	grep -aE -A12 'ERROR: |runtime error|FAILED' "$t.log" | head -40
	bad=1
done
echo "${#programs[@]} unit tests with address and undefined-behaviour sanitizers"
exit $bad
