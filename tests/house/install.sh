#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make install` puts down what a node needs, and what it puts down works: units verify, the page is a page.
set -u
B=${B:-build}
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
bad=0
wrong() { printf '%s\n' "$*"; bad=1; }
make -s B="$B" DESTDIR="$T" install >"$T/log" 2>&1 || { cat "$T/log"; exit 1; }
for f in bin/opmeter share/man/man1/opmeter.1 share/opmeter/offsets.csv share/opmeter/regimes/us-bis-4e091.yaml \
	lib/opmeter/libopmeter-cupti.so lib/systemd/system/opmeter-agent.service lib/systemd/system/opmeter-fleet.service \
	lib/systemd/system/opmeter-api.service share/opmeter/prometheus/opmeter.rules.yml; do
	[ -s "$T/usr/$f" ] || wrong "not installed: $f"
done
"$T/usr/bin/opmeter" policy check --regimes "$T/usr/share/opmeter/regimes" >/dev/null || wrong "the installed regimes are refused"
if command -v man >/dev/null; then
	page=$(MANWIDTH=100 man -l --warnings "$T/usr/share/man/man1/opmeter.1" 2>"$T/warnings")
	[ -s "$T/warnings" ] && wrong "the page: $(head -n 3 "$T/warnings")"
	grep -q 'opmeter standalone \[' <<<"$page" || wrong "the page does not show the usage of standalone"
fi
# Only for the words it knows: the program is not on this machine's path.
if command -v systemd-analyze >/dev/null; then
	sed -i "s#^ExecStart=/usr/bin/opmeter#ExecStart=$T/usr/bin/opmeter#" "$T"/usr/lib/systemd/system/*.service
	said=$(systemd-analyze verify --man=no "$T"/usr/lib/systemd/system/*.service 2>&1 | grep -F "$T") && wrong "$said"
fi
exit $bad
