// SPDX-License-Identifier: Apache-2.0
/* Proofs, tiles, notes and checkpoints: published vectors, the definitions of RFC 6962 word for word, and what must be refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/file_io.h"
#include "userspace/core/tlog.h"
#include "userspace/core/tlog_note.h"

/* The test tree of Certificate Transparency: its leaves and the roots of its first 1 to 8. */
static const struct {
	const char *leaf, *root;
} known[] = {
	{ "", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
	{ "00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
	{ "10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
	{ "2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
	{ "3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
	{ "40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
	{ "5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
	{ "606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
};

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		out[i] = (uint8_t)v;
	}
	return n;
}

static void the_test_tree_has_its_published_roots(void **state)
{
	struct om_tlog_tree *t = om_tlog_tree_new();
	struct om_tlog_reader r = om_tlog_tree_reader(t);
	uint8_t leaf[32], hash[32], root[32], want[32];

	unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", want);
	assert_int_equal(om_tlog_root(&r, 0, root), 0);
	assert_memory_equal(root, want, 32);
	for (size_t i = 0; i < 8; i++) {
		om_merkle_leaf_hash(leaf, unhex(known[i].leaf, leaf), hash);
		assert_int_equal(om_tlog_tree_append(t, hash), 0);
		unhex(known[i].root, want);
		assert_int_equal(om_tlog_root(&r, i + 1, root), 0);
		assert_memory_equal(root, want, 32);
	}
	/* Of a smaller tree, from the larger one's hashes. */
	for (size_t i = 0; i < 8; i++) {
		unhex(known[i].root, want);
		assert_int_equal(om_tlog_root(&r, i + 1, root), 0);
		assert_memory_equal(root, want, 32);
	}
	om_tlog_tree_free(t);
}

static void the_test_tree_has_its_published_proofs(void **state)
{
	/* RFC 6962's test data: PATH(5, D[8]) and PROOF(6, D[8]). */
	static const char *const path[] = { "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
					    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
					    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" };
	static const char *const growth[] = { "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
					      "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
					      "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" };
	struct om_tlog_tree *t = om_tlog_tree_new();
	struct om_tlog_reader r = om_tlog_tree_reader(t);
	uint8_t leaf[32], hash[32], want[32];
	struct om_tlog_proof p;

	for (size_t i = 0; i < 8; i++) {
		om_merkle_leaf_hash(leaf, unhex(known[i].leaf, leaf), hash);
		om_tlog_tree_append(t, hash);
	}
	assert_int_equal(om_tlog_prove_inclusion(&r, 8, 5, &p), 0);
	assert_int_equal(p.count, 3);
	for (size_t i = 0; i < 3; i++) {
		unhex(path[i], want);
		assert_memory_equal(p.hash[i], want, 32);
	}
	assert_int_equal(om_tlog_prove_consistency(&r, 6, 8, &p), 0);
	assert_int_equal(p.count, 3);
	for (size_t i = 0; i < 3; i++) {
		unhex(growth[i], want);
		assert_memory_equal(p.hash[i], want, 32);
	}
	om_tlog_tree_free(t);
}

#define LEAVES 70

struct tree {
	struct om_tlog_tree *t;
	struct om_tlog_reader r;
	uint8_t hash[LEAVES][32], root[LEAVES + 1][32];
};

/* The definitions, word for word: slow and plain. */
static void mth(const struct tree *t, size_t lo, size_t n, uint8_t ret[32])
{
	uint8_t left[32], right[32];
	size_t k = 1;

	if (n == 1) {
		memcpy(ret, t->hash[lo], 32);
		return;
	}
	while (2 * k < n)
		k *= 2;
	mth(t, lo, k, left);
	mth(t, lo + k, n - k, right);
	om_merkle_node_hash(left, right, ret);
}

static void path(const struct tree *t, size_t m, size_t lo, size_t n, struct om_tlog_proof *p)
{
	size_t k = 1;

	if (n == 1)
		return;
	while (2 * k < n)
		k *= 2;
	if (m < k) {
		path(t, m, lo, k, p);
		mth(t, lo + k, n - k, p->hash[p->count++]);
	} else {
		path(t, m - k, lo + k, n - k, p);
		mth(t, lo, k, p->hash[p->count++]);
	}
}

static void subproof(const struct tree *t, size_t m, size_t lo, size_t n, bool whole, struct om_tlog_proof *p)
{
	size_t k = 1;

	if (m == n) {
		if (!whole)
			mth(t, lo, n, p->hash[p->count++]);
		return;
	}
	while (2 * k < n)
		k *= 2;
	if (m <= k) {
		subproof(t, m, lo, k, whole, p);
		mth(t, lo + k, n - k, p->hash[p->count++]);
	} else {
		subproof(t, m - k, lo + k, n - k, false, p);
		mth(t, lo, k, p->hash[p->count++]);
	}
}

static void make_tree(struct tree *t)
{
	t->t = om_tlog_tree_new();
	t->r = om_tlog_tree_reader(t->t);
	om_tlog_root(&t->r, 0, t->root[0]);
	for (size_t i = 0; i < LEAVES; i++) {
		uint8_t leaf[8] = { (uint8_t)i, 0x55 };

		om_merkle_leaf_hash(leaf, sizeof(leaf), t->hash[i]);
		om_tlog_tree_append(t->t, t->hash[i]);
		mth(t, 0, i + 1, t->root[i + 1]);
	}
}

static void same_proof(const struct om_tlog_proof *a, const struct om_tlog_proof *b)
{
	assert_int_equal(a->count, b->count);
	assert_memory_equal(a->hash, b->hash, a->count * 32);
}

static void inclusion_is_by_the_definition_and_nothing_else_is_shown(void **state)
{
	struct tree t;

	make_tree(&t);
	for (size_t n = 1; n <= LEAVES; n++) {
		for (size_t m = 0; m < n; m++) {
			struct om_tlog_proof got, want = { 0 };

			assert_int_equal(om_tlog_prove_inclusion(&t.r, n, m, &got), 0);
			path(&t, m, 0, n, &want);
			same_proof(&got, &want);
			assert_int_equal(om_tlog_check_inclusion(t.hash[m], m, n, &got, t.root[n]), 0);
			/* Another place, another leaf, another tree, a hash more or less: no. */
			for (size_t x = 0; x < n; x++)
				if (x != m) {
					assert_int_equal(om_tlog_check_inclusion(t.hash[x], m, n, &got, t.root[n]), -EBADMSG);
					assert_int_equal(om_tlog_check_inclusion(t.hash[m], x, n, &got, t.root[n]), -EBADMSG);
				}
			assert_int_equal(om_tlog_check_inclusion(t.hash[m], m, n, &got, t.root[n - 1]), -EBADMSG);
			assert_int_equal(om_tlog_check_inclusion(t.hash[m], n, n, &got, t.root[n]), -EBADMSG);
			for (unsigned i = 0; i < got.count; i++) {
				got.hash[i][i % 32] ^= 1;
				assert_int_equal(om_tlog_check_inclusion(t.hash[m], m, n, &got, t.root[n]), -EBADMSG);
				got.hash[i][i % 32] ^= 1;
			}
			got.count++;
			assert_int_equal(om_tlog_check_inclusion(t.hash[m], m, n, &got, t.root[n]), -EBADMSG);
			if (got.count > 1) {
				got.count -= 2;
				assert_int_equal(om_tlog_check_inclusion(t.hash[m], m, n, &got, t.root[n]), -EBADMSG);
			}
		}
	}
	om_tlog_tree_free(t.t);
}

static void consistency_is_by_the_definition_and_nothing_else_is_shown(void **state)
{
	struct tree t;

	make_tree(&t);
	for (size_t n = 1; n <= LEAVES; n++) {
		for (size_t m = 0; m <= n; m++) {
			struct om_tlog_proof got, want = { 0 };

			assert_int_equal(om_tlog_prove_consistency(&t.r, m, n, &got), 0);
			if (m)
				subproof(&t, m, 0, n, true, &want);
			same_proof(&got, &want);
			assert_int_equal(om_tlog_check_consistency(m, t.root[m], n, t.root[n], &got), 0);
			for (size_t x = 0; x <= n; x++)
				if (x != m)
					assert_int_equal(om_tlog_check_consistency(m, t.root[x], n, t.root[n], &got), -EBADMSG);
			/* Every tree begins with the empty one: of that nothing is shown. */
			if (m)
				assert_int_equal(om_tlog_check_consistency(m, t.root[m], n, t.root[n - 1], &got), -EBADMSG);
			for (unsigned i = 0; i < got.count; i++) {
				got.hash[i][31] ^= 0x80;
				assert_int_equal(om_tlog_check_consistency(m, t.root[m], n, t.root[n], &got), -EBADMSG);
				got.hash[i][31] ^= 0x80;
			}
			got.count++;
			assert_int_equal(om_tlog_check_consistency(m, t.root[m], n, t.root[n], &got), -EBADMSG);
		}
		assert_int_equal(om_tlog_check_consistency(n, t.root[n], n - 1, t.root[n - 1], &(struct om_tlog_proof){ 0 }),
				 -EBADMSG);
	}
	om_tlog_tree_free(t.t);
}

static void what_is_not_in_the_tree_is_not_proved(void **state)
{
	struct om_tlog_proof p;
	uint8_t root[32];
	struct tree t;

	make_tree(&t);
	assert_int_equal(om_tlog_prove_inclusion(&t.r, LEAVES, LEAVES, &p), -EINVAL);
	assert_int_equal(om_tlog_prove_inclusion(&t.r, LEAVES + 1, 0, &p), -ENOENT);
	assert_int_equal(om_tlog_prove_inclusion(&t.r, UINT64_MAX, 0, &p), -EINVAL);
	assert_int_equal(om_tlog_prove_consistency(&t.r, 2, 1, &p), -EINVAL);
	assert_int_equal(om_tlog_prove_consistency(&t.r, 1, UINT64_MAX, &p), -EINVAL);
	assert_int_equal(om_tlog_root(&t.r, UINT64_MAX, root), -EINVAL);
	om_tlog_tree_free(t.t);
}

static void tiles_have_their_paths(void **state)
{
	static const struct {
		struct om_tile t;
		const char *path;
	} good[] = {
		{ { 0, 0, 256 }, "tile/0/000" },
		{ { 0, 1234067, 256 }, "tile/0/x001/x234/067" },
		{ { 3, 999, 1 }, "tile/3/999.p/1" },
		{ { 1, 1000, 255 }, "tile/1/x001/000.p/255" },
		{ { OM_TILE_ENTRIES, 1000000, 256 }, "tile/entries/x001/x000/000" },
	};
	static const char *const bad[] = {
		"",		  "tile",	      "tile/",		 "tile/0",	     "tile/0/",		 "tile/0/0",
		"tile/0/00",	  "tile/0/0000",      "tile/8/000",	 "tile/00/000",	     "tile/0/x000/001",	 "tile/0/x1/000",
		"tile/0/001/000", "tile/0/000.p/0",   "tile/0/000.p/256", "tile/0/000.p/",    "tile/0/000.p/01",	 "tile/0/000.p/1x",
		"tile/-1/000",	  "tile/0/000.p/999", "/tile/0/000",	 "tile/entries/..",  "tile/0/x001/x234", "tile/0/x001/x002/x003/x004/x005/x006/x007/000",
	};
	char buf[OM_TILE_PATH_MAX];
	struct om_tile t;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_string_equal(om_tile_path(&good[i].t, buf), good[i].path);
		assert_int_equal(om_tile_parse(good[i].path, &t), 0);
		assert_int_equal(t.level, good[i].t.level);
		assert_true(t.index == good[i].t.index);
		assert_int_equal(t.width, good[i].t.width);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(om_tile_parse(bad[i], &t), -EINVAL);
	om_tile_path(&(struct om_tile){ 5, UINT64_MAX, 1 }, buf);
	assert_string_equal(buf, "tile/5/x018/x446/x744/x073/x709/x551/615.p/1");
	assert_int_equal(om_tile_width(0, 0, 0), 0);
	assert_int_equal(om_tile_width(70, 0, 0), 70);
	assert_int_equal(om_tile_width(256, 0, 0), 256);
	assert_int_equal(om_tile_width(256, 0, 1), 0);
	assert_int_equal(om_tile_width(256, 1, 0), 1);
	assert_int_equal(om_tile_width(255, 1, 0), 0);
	assert_int_equal(om_tile_width(70000, 2, 0), 1);
	assert_int_equal(om_tile_width(257, OM_TILE_ENTRIES, 1), 1);
	assert_int_equal(om_tile_width(UINT64_MAX, 7, 0), 255);
}

static void a_tile_holds_the_hashes_of_its_level(void **state)
{
	uint8_t got[OM_TILE_WIDTH * 32];
	struct om_tlog_tree *t = om_tlog_tree_new();
	struct om_tlog_reader r = om_tlog_tree_reader(t);
	uint8_t leaf[2], hash[32], want[32];

	for (unsigned i = 0; i < 600; i++) {
		leaf[0] = (uint8_t)i;
		leaf[1] = (uint8_t)(i >> 8);
		om_merkle_leaf_hash(leaf, 2, hash);
		om_tlog_tree_append(t, hash);
	}
	assert_int_equal(om_tile_read(&r, &(struct om_tile){ 0, 2, 88 }, got), 0);
	assert_memory_equal(got + 87 * 32, hash, 32);
	assert_int_equal(om_tile_read(&r, &(struct om_tile){ 1, 0, 2 }, got), 0);
	assert_int_equal(r.read(r.ctx, 8, 1, want), 0);
	assert_memory_equal(got + 32, want, 32);
	assert_int_equal(om_tile_read(&r, &(struct om_tile){ 1, 0, 3 }, got), -ENOENT);
	assert_int_equal(om_tile_read(&r, &(struct om_tile){ OM_TILE_ENTRIES, 0, 1 }, got), -EINVAL);
	om_tlog_tree_free(t);
}

/* --- notes --- */

/* The vector that the note format's first implementation publishes in its documentation. */
#define PETER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define PETER_SECRET "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define PETER_SAYS "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
#define PETER_SIGNS                                                                                                    \
	"\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

static void a_published_note_is_verified_and_made_again(void **state)
{
	struct om_note_key public, secret;
	char buf[OM_NOTE_KEY_TEXT_MAX], *made;
	struct om_note n;

	assert_int_equal(om_note_key_parse(PETER, strlen(PETER), &public), 0);
	assert_false(public.has_secret);
	assert_int_equal(om_note_key_parse(PETER_SECRET "\n", strlen(PETER_SECRET) + 1, &secret), 0);
	assert_true(secret.has_secret);
	assert_string_equal(om_note_key_format(&secret, false, buf), PETER);
	assert_string_equal(om_note_key_format(&secret, true, buf), PETER_SECRET);
	made = om_note_sign(PETER_SAYS, &secret, 1);
	assert_string_equal(made, PETER_SAYS "\n" PETER_SIGNS);
	assert_int_equal(om_note_parse(made, strlen(made), &n), 0);
	assert_int_equal(om_note_check(&n, &public), 0);
	assert_int_equal(om_note_check_origin(&n, "PeterNeumann", &public, 1, NULL), 0);
	assert_int_equal(om_note_check_origin(&n, "PeterNeuman", &public, 1, NULL), -ENOKEY);
	free(made);
}

static void a_key_is_the_one_of_rfc_8032(void **state)
{
	struct om_note_key k;
	uint8_t seed[32], want[32];

	unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", seed);
	unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", want);
	assert_int_equal(om_note_key_make("a/b", seed, &k), 0);
	assert_memory_equal(k.public, want, 32);
	assert_int_equal(om_note_key_make("a b", seed, &k), -EINVAL);
	assert_int_equal(om_note_key_make("a+b", seed, &k), -EINVAL);
	assert_int_equal(om_note_key_make("", seed, &k), -EINVAL);
}

static void each_changed_byte_of_a_note_is_found(void **state)
{
	struct om_note_key key;
	char *note = strdup(PETER_SAYS "\n" PETER_SIGNS);
	size_t len = strlen(note), found = 0;
	struct om_note n;

	om_note_key_parse(PETER, strlen(PETER), &key);
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			note[i] ^= (char)(1 << bit);
			if (om_note_parse(note, len, &n) || om_note_check(&n, &key))
				found++;
			note[i] ^= (char)(1 << bit);
		}
		assert_true(om_note_parse(note, i, &n) || om_note_check(&n, &key));
	}
	assert_int_equal(found, 8 * len);
	free(note);
}

static void keys_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {
		"", "+", "++", "a+c74f20a3", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", PETER " ", PETER "\n\n",
		"PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFy",
	};
	struct om_note_key k;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(om_note_key_parse(bad[i], strlen(bad[i]), &k) < 0);
	assert_int_equal(om_note_key_parse("x+00000000+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
					   strlen("x+00000000+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"), &k),
			 -EPROTONOSUPPORT);
}

static void a_checkpoint_is_three_lines(void **state)
{
	static const char *const bad[] = {
		"", "\n", "o\n1\n", "o\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		"o\n-1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", "\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		"o\n18446744073709551616\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		"o\n9223372036854775808\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
		"o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n", "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n",
		"o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n", "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nx",
	};
	static const char good[] = "example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
	static const char extended[] = "o\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n";
	struct om_checkpoint c = { .origin = "x" };
	char buf[OM_CHECKPOINT_TEXT_MAX];

	assert_int_equal(om_checkpoint_parse(good, strlen(good), &c), 0);
	assert_string_equal(om_checkpoint_format(&c, buf), good);
	assert_int_equal(om_checkpoint_parse(extended, strlen(extended), &c), 0);
	assert_true(c.size == 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(om_checkpoint_parse(bad[i], strlen(bad[i]), &c), -EBADMSG);
}

static char *golden(const char *name)
{
	char path[128], *text = NULL;
	size_t len;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	assert_int_equal(om_file_get(AT_FDCWD, path, 4096, &text, &len), 0);
	return text;
}

/* Another program made it, from docs/formats.md alone: of the log whose one leaf is the golden one. */
static void a_checkpoint_is_its_golden_note(void **state)
{
	static const char seed_hex[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
	char *want = golden("checkpoint_v1.note"), *pub = golden("checkpoint_v1.pub"), *leaf_hex = golden("leaf_v1.hex");
	char text[OM_CHECKPOINT_TEXT_MAX], *made;
	struct om_note_key key, signer;
	uint8_t seed[32], leaf[60], hash[32];
	struct om_checkpoint c = { 0 };
	struct om_note n;

	leaf_hex[120] = 0;
	unhex(leaf_hex, leaf);
	om_merkle_leaf_hash(leaf, sizeof(leaf), hash);
	assert_int_equal(om_note_key_parse(pub, strlen(pub), &key), 0);
	assert_int_equal(om_note_parse(want, strlen(want), &n), 0);
	assert_int_equal(om_note_check(&n, &key), 0);
	assert_int_equal(om_checkpoint_parse(n.text, n.text_len, &c), 0);
	assert_string_equal(c.origin, "example.org/opmeter/golden");
	assert_true(c.size == 1);
	assert_memory_equal(c.root, hash, sizeof(hash));
	unhex(seed_hex, seed);
	assert_int_equal(om_note_key_make(c.origin, seed, &signer), 0);
	made = om_note_sign(om_checkpoint_format(&c, text), &signer, 1);
	assert_string_equal(made, want);
	free(made);
	free(want);
	free(pub);
	free(leaf_hex);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_test_tree_has_its_published_roots),
		cmocka_unit_test(the_test_tree_has_its_published_proofs),
		cmocka_unit_test(inclusion_is_by_the_definition_and_nothing_else_is_shown),
		cmocka_unit_test(consistency_is_by_the_definition_and_nothing_else_is_shown),
		cmocka_unit_test(what_is_not_in_the_tree_is_not_proved),
		cmocka_unit_test(tiles_have_their_paths),
		cmocka_unit_test(a_tile_holds_the_hashes_of_its_level),
		cmocka_unit_test(a_published_note_is_verified_and_made_again),
		cmocka_unit_test(a_key_is_the_one_of_rfc_8032),
		cmocka_unit_test(each_changed_byte_of_a_note_is_found),
		cmocka_unit_test(keys_that_are_none_are_refused),
		cmocka_unit_test(a_checkpoint_is_three_lines),
		cmocka_unit_test(a_checkpoint_is_its_golden_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
