# SPDX-License-Identifier: Apache-2.0
# opmeter. `make help` lists the targets. All output is under $(B)/; quiet unless V=1.

VERSION := 0.1.0
PREFIX ?= /usr
DATADIR := $(PREFIX)/share/opmeter
B ?= $(if $(SAN),build/san,build)
CC := gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

PKGS := libbpf libelf sqlite3 rdkafka libmicrohttpd yaml-0.1 jansson libsodium libcrypto zlib libcurl
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS))
CFLAGS_ALL = -std=gnu17 -O2 -g -D_GNU_SOURCE -DOPMETER_VERSION='"$(VERSION)"' -DOPMETER_DATADIR='"$(DATADIR)"' -Wall -Wextra -Werror -Wshadow \
	-Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wno-unused-parameter -Wno-missing-field-initializers -fno-strict-aliasing -pthread \
	-I. -I$(B) $(PKG_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = -pthread $(LDFLAGS)
ifdef SAN
CFLAGS_ALL += -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=address,undefined
endif
ARCH := $(shell uname -m | sed 's/x86_64/x86/;s/aarch64/arm64/')
BPF_CFLAGS := -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH) -Wall -Werror -I. -Ibpf $(BPF_EXTRA)

SRCS := $(filter-out userspace/cli/main.c,$(shell find userspace exporters -name '*.c' -not -path 'userspace/cupti/*'))
OBJS := $(SRCS:%.c=$(B)/%.o)
# The programs of these meters are objects of their own: loaded only where the meter is on.
BPF_ALONE := counter collective
BPF_SRCS := $(filter-out $(BPF_ALONE:%=bpf/%.bpf.c),$(wildcard bpf/*.bpf.c))
BPF_OBJS := $(BPF_SRCS:%.c=$(B)/%.o)
UNIT := $(patsubst %.c,$(B)/%,$(wildcard tests/unit/test_*.c))

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help all demo check unit bench soak fuzz undo deps clean install format

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo '  variables: V=1 verbose, SAN=1 sanitizers, T=name one test, KAFKA=1 demo through a broker, YES=1 ask nothing'

all: $(B)/opmeter ## build build/opmeter

deps: ## install what the build and the tests need (says first what that is)
	@tools/deps

demo: ## the main job, live, within a minute (KAFKA=1: through a real broker)
	@tools/deps demo $(if $(KAFKA),kafka)
	@$(MAKE) --no-print-directory all tests-build
	@tests/demo/demo $(if $(KAFKA),--kafka)

check: ## every test that needs no GPU
	@tools/deps check
	@tools/deps release
	@$(MAKE) --no-print-directory all tests-build bench-build $(B)/release/opmeter
	@B=$(B) tests/run $(T)

unit: $(UNIT) ## unit tests only: no root, under 30 s
	@B=$(B) tests/run --unit $(T)

undo: ## remove what the two commands installed and cached
	@tools/deps undo

clean: ## remove build/
	$(Q)rm -rf build

install: all ## install binary, data, man page and systemd units (DESTDIR, PREFIX=/usr)
	$(Q)install -Dm755 $(B)/opmeter $(DESTDIR)$(PREFIX)/bin/opmeter
	$(Q)install -Dm755 -t $(DESTDIR)$(PREFIX)/lib/opmeter $(CUPTI_SO)
	$(Q)install -Dm644 -t $(DESTDIR)$(DATADIR) data/offsets.csv data/kernels.csv data/peaks.csv data/architectures.csv data/retention.yaml data/tpp.csv
	$(Q)install -Dm644 -t $(DESTDIR)$(DATADIR)/regimes data/regimes/*.yaml
	$(Q)install -Dm644 -t $(DESTDIR)$(DATADIR)/prometheus data/prometheus/*.yml
	$(Q)install -Dm644 -t $(DESTDIR)$(PREFIX)/share/man/man1 docs/man/opmeter.1
	$(Q)install -Dm644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system dist/systemd/*.service

format: ## write the layout of .clang-format
	$(Q)git ls-files -co --exclude-standard 'userspace/*.[ch]' 'exporters/*.[ch]' 'bpf/*.[ch]' ':!bpf/vmlinux.h' | xargs clang-format -i

SOAK ?= 10
FLEET_RUNS ?= 50
FLEET_FIRST ?= 1000
soak: all tests-build ## the fault tests again and again: SOAK=10 rounds of 200 kills and an upgrade, then FLEET_RUNS=50 seeded runs of the fleet, and leaders of three brokers
	@for i in $$(seq $(SOAK)); do echo "round $$i of $(SOAK)"; \
		B=$(B) KILLS=200 tests/e2e/agent_kill.py && B=$(B) tests/e2e/upgrade.py || exit 1; done
	@B=$(B) tests/fault/fleet_faults.py --first $(FLEET_FIRST) --runs $(FLEET_RUNS)
	@B=$(B) tests/soak/fleet_replicas.py
.PHONY: install format soak

include userspace/cupti/rules.mk
-include $(wildcard tests/*/rules.mk)

tests-build: $(UNIT) $(TEST_PROGRAMS)
.PHONY: tests-build

$(B)/opmeter: $(B)/userspace/cli/main.o $(B)/libopmeter.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lm

# What releases are made with: librdkafka 2.15.1, linked in; compiled for 2.0.2, whose interface the later one keeps.
RDKAFKA_PINNED := $(or $(OPMETER_CACHE),$(HOME)/.cache/opmeter)/librdkafka-2.15.1/lib/librdkafka.a
release: $(B)/release/opmeter ## build build/release/opmeter, with librdkafka 2.15.1 in it (YES=1 asks nothing)
.PHONY: release

# By this make: a second one beside `all` would write the same library.
$(RDKAFKA_PINNED):
	@tools/deps release

$(B)/release/opmeter: $(B)/userspace/cli/main.o $(B)/libopmeter.a $(RDKAFKA_PINNED)
	$(call say,LINK,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(filter-out -lrdkafka,$(PKG_LIBS)) -lssl -ldl -lm

$(B)/libopmeter.a: $(OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && ar rcs $@ $^

$(B)/%.o: %.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/userspace/fleet/api_openapi.o: docs/openapi.json

# A table that is data, built in: two fields a line, else nothing is built.
$(B)/screening_lists.h: data/screening-lists.csv
	@mkdir -p $(@D)
	$(Q)awk -F, '/^#/ || $$1 == "begins" { next } NF != 2 { exit 1 } { printf "\t{ \"%s\", \"%s\" },\n", $$1, $$2 }' $< >$@.new && mv $@.new $@
$(B)/userspace/core/owner_csl.o: $(B)/screening_lists.h

# The skeleton exists before any file of agent/ is compiled; after that the
# dependency files know who includes it.
ifneq ($(BPF_SRCS),)
$(filter $(B)/userspace/agent/%,$(OBJS)): | $(B)/opmeter.skel.h $(BPF_ALONE:%=$(B)/%.skel.h)
endif

$(B)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

$(B)/opmeter.bpf.o: $(BPF_OBJS)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(B)/opmeter.skel.h: $(B)/opmeter.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name opmeter_bpf > $@

$(BPF_ALONE:%=$(B)/%.skel.h): $(B)/%.skel.h: $(B)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(B)/tests/unit/%: tests/unit/%.c $(B)/libopmeter.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lcmocka -lm

-include $(shell find $(B) -name '*.d' 2>/dev/null)
