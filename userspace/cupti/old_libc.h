/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_OLD_LIBC_H
#define OPMETER_CUPTI_OLD_LIBC_H

/*
 * Included by the build into every file of the collector. It is loaded into images of
 * tenants, whose libc may be years older than the one it is built with: so it asks
 * for the oldest versions of what moved or was renewed since. libdl and libpthread,
 * where these were before 2.34, are in any process that has loaded the driver.
 */

#if defined(__x86_64__)
#define OLD_LIBC "GLIBC_2.2.5"
#define OLD_SETNAME "GLIBC_2.12"
#else
#define OLD_LIBC "GLIBC_2.17"
#define OLD_SETNAME "GLIBC_2.17"
#endif

__asm__(".symver dlopen, dlopen@" OLD_LIBC);
__asm__(".symver dlsym, dlsym@" OLD_LIBC);
__asm__(".symver dladdr, dladdr@" OLD_LIBC);
__asm__(".symver pthread_create, pthread_create@" OLD_LIBC);
__asm__(".symver pthread_sigmask, pthread_sigmask@" OLD_LIBC);
__asm__(".symver pthread_setname_np, pthread_setname_np@" OLD_SETNAME);
__asm__(".symver log, log@" OLD_LIBC);

#endif
