#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every shell script of ours passes shellcheck. `info` and `style` findings are advice: only warnings and errors fail.
set -u
command -v shellcheck >/dev/null || { echo "shellcheck is not installed"; exit 77; }
scripts=()
while IFS= read -r f; do
	[ -f "$f" ] && head -n 1 "$f" | tr -d '\0' | grep -qE '^#!.*\b(ba)?sh\b' && scripts+=("$f")
done < <(git ls-files -co --exclude-standard)
[ ${#scripts[@]} -gt 10 ] || { echo "only ${#scripts[@]} scripts found"; exit 1; }
shellcheck -S warning -x -P SCRIPTDIR -P "$PWD" "${scripts[@]}"
