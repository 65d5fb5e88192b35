// SPDX-License-Identifier: Apache-2.0
/*
 * Asks a server of the API for one target again and again, over connections that stay open, and prints what came:
 *   api_load URL TOKEN CA CONNECTIONS SECONDS
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <curl/curl.h>

#define SAMPLES_MAX 2000000

static const char *url, *ca;
static char header[512];
static double seconds;
static float *sample; /* milliseconds */
static atomic_size_t count;
static atomic_ullong bytes, failed;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
	atomic_fetch_add(&bytes, size * n);
	return size * n;
}

static void *ask(void *ctx)
{
	CURL *c = curl_easy_init();
	struct curl_slist *headers = curl_slist_append(NULL, header);
	double end = now() + seconds;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_CAINFO, ca);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	for (double before = now(); before < end; before = now()) {
		long status = 0;
		CURLcode code = curl_easy_perform(c);
		size_t i;

		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
		if (code || status != 200) {
			atomic_fetch_add(&failed, 1);
			continue;
		}
		i = atomic_fetch_add(&count, 1);
		if (i < SAMPLES_MAX)
			sample[i] = (float)((now() - before) * 1e3);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(c);
	return NULL;
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	pthread_t thread[256];
	size_t n;
	int connections;

	if (argc != 6 || (connections = atoi(argv[4])) < 1 || connections > 256)
		return 2;
	url = argv[1];
	ca = argv[3];
	seconds = atof(argv[5]);
	snprintf(header, sizeof(header), "Authorization: Bearer %s", argv[2]);
	sample = malloc(SAMPLES_MAX * sizeof(*sample));
	curl_global_init(CURL_GLOBAL_ALL);
	for (int i = 0; i < connections; i++)
		pthread_create(&thread[i], NULL, ask, NULL);
	for (int i = 0; i < connections; i++)
		pthread_join(thread[i], NULL);
	n = count < SAMPLES_MAX ? count : SAMPLES_MAX;
	if (!n)
		return 1;
	qsort(sample, n, sizeof(*sample), compare);
	printf("{\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"bytes\":%.0f,\"failed\":%llu}\n",
	       (double)count / seconds, sample[n / 2], sample[n * 99 / 100], (double)bytes / (double)count,
	       (unsigned long long)failed);
	return 0;
}
