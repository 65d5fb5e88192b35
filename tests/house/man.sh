#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The man page and --help say the same: every verb, every option, and nothing else; and the page is well formed.
set -u
B=${B:-build}
page=docs/man/opmeter.1
bad=0
wrong() { printf '%s\n' "$*"; bad=1; }
command -v man >/dev/null || { echo "man is not installed"; exit 77; }
warnings=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=100 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
[ -z "$warnings" ] || wrong "$warnings"
# options of a section of the page, and of the verb's help
in_page() { sed -n "/^\.SS \"opmeter $1 /,/^\.S[SH] /p" "$page" | sed -nE 's/^\.B ((\\-)+[a-z\\-]+).*/\1/p' | tr -d '\134' | sort; }
# shellcheck disable=SC2086
in_help() { "$B/opmeter" $1 --help | sed -nE 's/^  (--[a-z-]+).*/\1/p' | sort; }
cases=(take list show gather note fact assign checklist inquiry answer event hold release determine confirm escalate reopen erase)
evidence=(keygen checkpoint tiles export verify)
reports=(case period)
for verb in standalone agent fleet "api serve" "api token" totals top forecast explain "lineage list" "lineage join" "lineage part" replay "ledger verify" "ledger show" "ledger export" prove "policy check" "policy explain" "policy diff" "policy replay" tpp declare "topics list" "topics create" "topics check" "owners import" "owners list" "owners show" "owners bind" "owners suggest" "owners screen" "owners check" off on "${cases[@]/#/case }" "${evidence[@]/#/evidence }" "${reports[@]/#/report }"; do
	[ -n "$(in_help "$verb")" ] || wrong "opmeter $verb --help lists no option"
	diff <(in_page "$verb") <(in_help "$verb") >/dev/null || wrong "opmeter $verb: page and help differ: $(diff <(in_page "$verb") <(in_help "$verb") | tr '\n' ' ')"
done
for verb in $("$B/opmeter" --help | sed -nE 's/^  ([a-z]+) +.*/\1/p'); do
	grep -q "^\.SS \"opmeter $verb" "$page" || wrong "the page has no section for $verb"
done
exit $bad
