# SPDX-License-Identifier: Apache-2.0
# `make phases`: what recorded runs were for, judged against what their recorder knows.
TEST_PROGRAMS += $(B)/tests/phases/phases

phases: $(B)/tests/phases/phases ## the recorded runs' phases, judged: a table of verdicts against the truth
	@$(B)/tests/phases/phases tests/phases/runs tests/phases/held tests/data/runs
.PHONY: phases

$(B)/tests/phases/phases: tests/phases/phases.c $(B)/libopmeter.a
	@mkdir -p $(@D)
	@echo "  TEST    $@"
	$(Q)$(CC) $(CFLAGS_ALL) -I. -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lm
