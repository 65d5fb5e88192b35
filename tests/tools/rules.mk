# SPDX-License-Identifier: Apache-2.0
# Small programs that the shell tests drive: each tests/tools/NAME.c is one.
TEST_TOOLS := $(patsubst %.c,$(B)/%,$(wildcard tests/tools/*.c))
TEST_PROGRAMS += $(TEST_TOOLS)

$(TEST_TOOLS): $(B)/%: %.c $(B)/libopmeter.a
	$(call say,TOOL,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lm
