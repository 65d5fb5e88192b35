# SPDX-License-Identifier: Apache-2.0
PLAYER_OBJS := $(patsubst %.c,$(B)/%.o,$(wildcard tests/player/*.c))
TEST_PROGRAMS += $(B)/tests/player/player

$(B)/tests/player/player: $(PLAYER_OBJS) $(B)/libopmeter.a
	$(call say,TEST,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -ljansson -lz -ldl -lm
