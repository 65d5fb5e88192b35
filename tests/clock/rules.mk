# SPDX-License-Identifier: Apache-2.0
TEST_PROGRAMS += $(B)/tests/clock/libclock.so
$(B)/tests/clock/libclock.so: tests/clock/libclock.c
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE -O1 -g -Wall -Werror -fPIC -shared -o $@ $<
