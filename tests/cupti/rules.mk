# SPDX-License-Identifier: Apache-2.0
# Tests of the counter meter's collector; the scripts beside this file use these programs.
CUPTI_TESTS := $(B)/tests/cupti/metrics
TEST_PROGRAMS += $(CUPTI_TESTS)

$(B)/tests/cupti/metrics: tests/cupti/metrics.c $(B)/cupti/metrics.o $(B)/cupti/library.o
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CUPTI_FLAGS) -MMD -MP -o $@ $(filter %.c %.o,$^) -ldl -lm
