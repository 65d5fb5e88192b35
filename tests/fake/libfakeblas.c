// SPDX-License-Identifier: Apache-2.0
/*
 * A shared object that looks like a math library to discovery and is none: it
 * exports a few of the names and does nothing. Tests of what finds and reads
 * libraries use it in place of half a gigabyte.
 */

int cublasLtMatmul(void *handle, void *desc);
int cublasGemmEx(void *handle);
int cublasSgemm_v2(void *handle);
int cublasDestroy_v2(void *handle);
int other_function(int x);

/* A distinct value each, so that the linker does not fold them into one. */
int cublasLtMatmul(void *handle, void *desc)
{
	return handle ? 14 : 1;
}

int cublasGemmEx(void *handle)
{
	return handle ? 15 : 1;
}

int cublasSgemm_v2(void *handle)
{
	return handle ? 16 : 1;
}

int cublasDestroy_v2(void *handle)
{
	return handle ? 17 : 1;
}

int other_function(int x)
{
	return x * 3 + FAKE_SALT;
}
