#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What no file of ours may say: a host to download from (packages are named, and the machine's own client knows where
# they are), or a path of the machine it was written on. And what each source must say: its licence.
set -u
bad=0
wrong() { printf '%s\n' "$*"; bad=1; }
mapfile -t files < <(git ls-files -co --exclude-standard | grep -vE '^(bpf/vmlinux\.h|LICENSES?(/|$)|tests/data/LICENSES/)')
[ ${#files[@]} -gt 100 ] || wrong "only ${#files[@]} files found"

# A URL may lead to: a specification, a law, a schema's name (never fetched), this machine. Anything else is a host.
allowed='(localhost|127\.0\.0\.1|\[::1\]|json-schema\.org|maven\.apache\.org|www\.w3\.org|[a-z.-]*example(\.(com|org|net))?|schemas?\.opmeter\.[a-z]+|www\.(ecfr|federalregister|bis|govinfo)\.gov|(www\.)?rfc-editor\.org|c2sp\.org|cloudevents\.io|openmetrics\.io|keepachangelog\.com|semver\.org)'
while IFS=: read -r f n url; do
	[[ $url =~ ://$allowed$ ]] || wrong "$f:$n: $url: name the package or the document, not a host"
done < <(grep -InoE 'https?://[][A-Za-z0-9.:-]*[][A-Za-z0-9]' -- "${files[@]}" | sed -E 's#(https?://[][A-Za-z0-9.-]+):[0-9]+$#\1#')

# A package client that is told where to fetch from.
while IFS=: read -r f n line; do
	case $f in tests/house/words.sh) continue ;; esac
	wrong "$f:$n: tells a package client where to fetch from: $line"
done < <(grep -InE -e '(--(extra-)?index-url|--registry|GOPROXY=|GOSUMDB=|PIP_INDEX_URL|-i https?:|<repositor(y|ies)>|sources\.list)' -- "${files[@]}")

# Paths of a machine: only those that a fresh Debian has.
while IFS=: read -r f n line; do
	case $f in tests/house/words.sh) continue ;; esac
	wrong "$f:$n: a path of one machine: $line"
done < <(grep -InE '(^|[^A-Za-z0-9_./}"-])/(work|home/[a-z]+|root|mnt/[a-z]+|Users)/' -- "${files[@]}")

for f in "${files[@]}"; do
	case $f in
	*.sha256 | tests/golden/*) continue ;;
	*.c | *.h | *.sh | *.py | *.mk | *.yaml | *.yml | Makefile | tools/* | .ci/*) ;;
	*) continue ;;
	esac
	[ -f "$f" ] || continue
	head -n 4 "$f" | grep -q 'SPDX-License-Identifier: ' || { wrong "$f: no SPDX-License-Identifier in its first lines"; continue; }
	case $f in
	bpf/opmeter.h | bpf/counter.h | bpf/collective.h) want='(GPL-2.0-only OR Apache-2.0)' ;;
	# Only a program of GPL's may call the helpers it needs.
	bpf/*.c | bpf/*.bpf.h | *.bpf.c) want=GPL-2.0-only ;;
	*) want=Apache-2.0 ;;
	esac
	head -n 4 "$f" | grep -qF "SPDX-License-Identifier: $want" || wrong "$f: its licence should be $want"
done
exit $bad
