#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the papers promise is there: each file they link to, each make target, each verb with its help, each option.
set -u
bad=0
wrong() { printf '%s\n' "$*"; bad=1; }
B=${B:-build}

# Links of every page lead to files.
while IFS= read -r page; do
	while IFS= read -r to; do
		to=${to%%#*}
		case $to in '' | http*) continue ;; esac
		[ -e "$(dirname "$page")/$to" ] || wrong "$page links to $to, and that is not there"
	done < <(grep -oE '\]\([^) ]+\)' "$page" | sed -E 's/^\]\(//; s/\)$//')
done < <(git ls-files -co --exclude-standard '*.md')

# `make help` lists the targets; what the papers name exists.
help=$(make help) || wrong "make help fails"
for target in all demo check unit undo install format bench soak fuzz clean; do
	grep -qE "^  make $target " <<<"$help" || wrong "make help does not list $target"
done
[ "$(make)" = "$help" ] || wrong "bare make is not make help"
while IFS= read -r target; do
	grep -qE "^  make $target " <<<"$help" || wrong "the papers name \`make $target\`, which make help does not list"
done < <(grep -hoE '(^    |`)make [a-z][a-z-]*' README.md CONTRIBUTING.md docs/*.md | sed 's/.*make //' | sort -u)

# Every verb helps, says so in `opmeter --help`, and is documented.
verbs=$("$B/opmeter" --help | sed -nE 's/^  ([a-z]+) +.*/\1/p')
[ "$(wc -w <<<"$verbs")" -ge 10 ] || wrong "opmeter --help lists only: $verbs"
for v in $verbs; do
	text=$("$B/opmeter" "$v" --help) || wrong "opmeter $v --help exits $?"
	[ -n "$text" ] || wrong "opmeter $v --help prints nothing"
	grep -qE "\`opmeter [a-z, |]*\b$v\b|\`$v\`" README.md docs/*.md CHANGELOG.md || wrong "opmeter $v is documented nowhere"
done
while IFS= read -r verb; do
	grep -qxF "$verb" <<<"$verbs" || wrong "the papers name \`opmeter $verb\`, and there is no such verb"
done < <(grep -hoE '`opmeter [a-z]+' README.md CONTRIBUTING.md docs/*.md | sed 's/.*opmeter //' | sort -u)
"$B/opmeter" --version | grep -qE '^opmeter [0-9]+\.[0-9]+\.[0-9]+$' || wrong "opmeter --version prints no version"

# The README's output was captured from a real run, and both commands stand there.
grep -q '^    make demo' README.md || wrong "README: no make demo"
grep -q '^    make check' README.md || wrong "README: no make check"
grep -q '<!-- captured: ' README.md && wrong "README: a place for captured output is still empty"
exit $bad
