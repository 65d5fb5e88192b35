/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_USDT_H
#define OPMETER_CUPTI_USDT_H

/*
 * A static probe site without any library: a nop, a note in .note.stapsdt that says
 * where it is, and a counter that the kernel raises while somebody listens.
 *
 * On x86-64 the nop has five bytes, so that a kernel from 6.18 on may make a call of it. The
 * site's one argument is an address, in the first argument register.
 */

#if defined(__x86_64__)
#define USDT_NOP ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n"
#define USDT_ARGUMENT "8@%%rdi"
#define USDT_REGISTER "rdi"
#elif defined(__aarch64__)
#define USDT_NOP "nop\n"
#define USDT_ARGUMENT "8@x0"
#define USDT_REGISTER "x0"
#else
#error "no probe sites for this machine"
#endif

#define USDT_SEMAPHORE(name)                                                                                 \
	__attribute__((section(".probes"), used,                                                             \
		       visibility("hidden"))) volatile unsigned short opmeter_##name##_semaphore
#define USDT_IS_LISTENED_TO(name) (opmeter_##name##_semaphore != 0)

#define USDT_FIRE(name, address)                                                                             \
	do {                                                                                                 \
		register const void *usdt_address __asm__(USDT_REGISTER) = (address);                        \
		__asm__ volatile("990: " USDT_NOP ".pushsection .note.stapsdt, \"\", \"note\"\n"             \
				 ".balign 4\n"                                                               \
				 ".4byte 992f - 991f, 994f - 993f, 3\n"                                      \
				 "991: .asciz \"stapsdt\"\n"                                                 \
				 "992: .balign 4\n"                                                          \
				 "993: .8byte 990b\n"                                                        \
				 ".8byte _.stapsdt.base\n"                                                   \
				 ".8byte opmeter_" #name "_semaphore\n"                                      \
				 ".asciz \"opmeter\"\n"                                                      \
				 ".asciz \"" #name "\"\n"                                                    \
				 ".asciz \"" USDT_ARGUMENT "\"\n"                                            \
				 "994: .balign 4\n"                                                          \
				 ".popsection\n"                                                             \
				 ".ifndef _.stapsdt.base\n"                                                  \
				 ".pushsection .stapsdt.base, \"aG\", \"progbits\", .stapsdt.base, comdat\n" \
				 ".weak _.stapsdt.base\n"                                                    \
				 ".hidden _.stapsdt.base\n"                                                  \
				 "_.stapsdt.base: .space 1\n"                                                \
				 ".size _.stapsdt.base, 1\n"                                                 \
				 ".popsection\n"                                                             \
				 ".endif\n" ::"r"(usdt_address)                                              \
				 : "memory");                                                                \
	} while (0)

#endif
