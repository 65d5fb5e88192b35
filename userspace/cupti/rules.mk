# SPDX-License-Identifier: Apache-2.0
# The counter meter's collector: the one file of ours that goes into the processes of others. It needs libc alone
# and exports one symbol; once loaded it stays (nodelete), as the driver's library may still call it.
CUPTI_SRCS := $(wildcard userspace/cupti/*.c)
CUPTI_OBJS := $(CUPTI_SRCS:userspace/cupti/%.c=$(B)/cupti/%.o)
CUPTI_FLAGS = $(filter-out -fsanitize% -fno-sanitize%,$(CFLAGS_ALL)) -fPIC -fvisibility=hidden -include userspace/cupti/old_libc.h
CUPTI_SO := $(B)/libopmeter-cupti.so
all: $(CUPTI_SO)

$(B)/cupti/%.o: userspace/cupti/%.c userspace/cupti/rules.mk
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CUPTI_FLAGS) -MMD -MP -c -o $@ $<

$(CUPTI_SO): $(CUPTI_OBJS)
	$(call say,SO,$@)
	$(Q)$(CC) -shared -pthread -Wl,-soname,libopmeter-cupti.so -Wl,-z,nodelete,-z,relro,-z,now,-z,defs -Wl,--build-id \
		-Wl,--exclude-libs,ALL -o $@ $^ -ldl -lm
