# SPDX-License-Identifier: Apache-2.0
# Every tests/fuzz/fuzz_NAME.c is a libFuzzer target, linked with a libopmeter.a of
# its own that is built with coverage and sanitizers. Seeds: tests/fuzz/seeds/NAME/
# and what FUZZ_SEEDS_NAME lists. FUZZ_SECONDS is for each target.
FUZZ_SECONDS ?= 20
FUZZ_B := build/fuzz
FUZZ_SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined
FUZZERS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SEEDS_elf = $(FAKE_LIBS)
FUZZ_SEEDS_yaml = $(wildcard data/regimes/*.yaml tests/demo/*.yaml)
FUZZ_SEEDS_regime = $(wildcard data/regimes/*.yaml tests/demo/regimes/*.yaml)
FUZZ_SEEDS_declaration = tests/golden/declarations_v1.jsonl
FUZZ_SEEDS_process_record = tests/golden/process_v1.json
FUZZ_SEEDS_seen = tests/golden/checkpoint_v1.note
FUZZ_SEEDS_run = $(wildcard tests/data/runs/*.gz tests/phases/runs/square*.gz)

fuzz: ## feed the readers of foreign input with noise (FUZZ_SECONDS=20 each)
	@tools/deps fuzz
	@$(MAKE) --no-print-directory $(FUZZERS:%=$(FUZZ_B)/fuzz_%) $(FAKE_LIBS)
	@set -e; for f in $(FUZZERS); do \
		mkdir -p $(FUZZ_B)/corpus_$$f; \
		$(MAKE) --no-print-directory -s fuzz-seed-$$f; \
		echo "  FUZZ    $$f, $(FUZZ_SECONDS) s"; \
		$(FUZZ_B)/fuzz_$$f -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
			-artifact_prefix=$(FUZZ_B)/crash_$${f}_ $(FUZZ_B)/corpus_$$f \
			>$(FUZZ_B)/fuzz_$$f.log 2>&1 || { tail -40 $(FUZZ_B)/fuzz_$$f.log; exit 1; }; \
		tail -1 $(FUZZ_B)/fuzz_$$f.log; \
	done

$(FUZZERS:%=fuzz-seed-%): fuzz-seed-%:
	@for s in $(wildcard tests/fuzz/seeds/$*/*) $(FUZZ_SEEDS_$*); do cp -f $$s $(FUZZ_B)/corpus_$*/; done
.PHONY: $(FUZZERS:%=fuzz-seed-%)

# By a make of its own, for which this library is an ordinary one.
fuzz-lib:
	@$(MAKE) --no-print-directory B=$(FUZZ_B) CC=$(CLANG) \
		CFLAGS='-fsanitize=fuzzer-no-link $(FUZZ_SAN) -Wno-error -Wno-unknown-warning-option' $(FUZZ_B)/libopmeter.a
.PHONY: fuzz-lib

$(FUZZ_B)/fuzz_%: tests/fuzz/fuzz_%.c fuzz-lib
	$(call say,FUZZCC,$@)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(CFLAGS_ALL) -fsanitize=fuzzer $(FUZZ_SAN) -o $@ $< $(FUZZ_B)/libopmeter.a $(PKG_LIBS) -lm
