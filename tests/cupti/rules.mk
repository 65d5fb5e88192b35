# SPDX-License-Identifier: Apache-2.0
# Tests of the counter meter's collector; the scripts beside this file use these programs.
CUPTI_TESTS := $(addprefix $(B)/tests/cupti/,metrics watch tenant) $(addprefix $(B)/simgpu/,libcupti.so.13 libcupti_hidden.so libcupti_old.so)
TEST_PROGRAMS += $(CUPTI_TESTS)

$(B)/tests/cupti/metrics: tests/cupti/metrics.c $(B)/cupti/metrics.o $(B)/cupti/library.o
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CUPTI_FLAGS) -MMD -MP -o $@ $(filter %.c %.o,$^) -ldl -lm

$(B)/tests/cupti/watch $(B)/tests/cupti/tenant: $(B)/tests/cupti/%: tests/cupti/%.c $(B)/libopmeter.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -ldl -lm

# The same under a name that the collector does not look for, and one without what it needs.
$(B)/simgpu/libcupti.so.13: SONAME := libcupti.so.13
$(B)/simgpu/libcupti_hidden.so: SONAME := libcupti_hidden.so
$(B)/simgpu/libcupti_old.so: tests/cupti/rules.mk
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)echo 'int cuptiGetVersion(unsigned *v) { return *v = 18, 0; }' | $(CC) -shared -fPIC -x c -o $@ -

$(B)/simgpu/libcupti.so.13 $(B)/simgpu/libcupti_hidden.so: tests/simgpu/libcupti.c tests/simgpu/simcupti.h userspace/cupti/abi.h
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(SIMGPU_FLAGS) -Wno-parentheses -Wl,-soname,$(SONAME) -o $@ $< -ldl

$(B)/tests/unit/test_elf_notes: | $(CUPTI_SO)
