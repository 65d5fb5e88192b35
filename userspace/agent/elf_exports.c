// SPDX-License-Identifier: Apache-2.0
/* The dynamic symbols of a foreign ELF file: the second pass (elf_image.c). */
#include "elf_internal.h"

#include <errno.h>
#include <string.h>

/* Number of dynamic symbols: DT_HASH says it, DT_GNU_HASH lets it be found. */
static int count_sysv(const struct elf_image *img, uint64_t *ret)
{
	uint32_t head[2];
	int r = elf_read_vaddr(img, img->dyn.hash, head, sizeof(head));

	*ret = r ? 0 : head[1];
	return r;
}

struct gnu_hash_head {
	uint32_t buckets, first_symbol, bloom_words, bloom_shift;
};

/* The highest symbol any bucket begins with. */
static int last_bucket(const struct elf_image *img, uint64_t addr, uint32_t buckets, uint32_t *ret)
{
	uint32_t block[1024], n;

	*ret = 0;
	for (uint32_t i = 0; i < buckets; i += n) {
		int r;

		n = buckets - i < ARRAY_SIZE(block) ? buckets - i : ARRAY_SIZE(block);
		r = elf_read_vaddr(img, addr + (uint64_t)i * 4, block, n * 4);
		if (r)
			return r;
		for (uint32_t k = 0; k < n; k++)
			if (block[k] > *ret)
				*ret = block[k];
	}
	return 0;
}

/* From `sym` to the end of its chain, which a set low bit marks. chain is where
 * symbol 0 would have its word. */
static int end_of_chain(const struct elf_image *img, uint64_t chain, uint32_t sym, uint64_t *ret)
{
	for (unsigned i = 0; i < ELF_IMAGE_CHAIN_MAX; i++, sym++) {
		uint32_t link;
		int r = elf_read_vaddr(img, chain + (uint64_t)sym * 4, &link, sizeof(link));

		if (r)
			return r;
		if (link & 1) {
			*ret = (uint64_t)sym + 1;
			return 0;
		}
	}
	return -E2BIG;
}

static int count_gnu(const struct elf_image *img, uint64_t *ret)
{
	struct gnu_hash_head h;
	uint64_t buckets;
	uint32_t sym;
	int r = elf_read_vaddr(img, img->dyn.gnu_hash, &h, sizeof(h));

	if (r)
		return r;
	if (h.buckets > ELF_IMAGE_SYMBOLS_MAX)
		return -E2BIG;
	buckets = img->dyn.gnu_hash + sizeof(h) + (uint64_t)h.bloom_words * 8;
	r = last_bucket(img, buckets, h.buckets, &sym);
	if (r)
		return r;
	*ret = h.first_symbol;
	if (sym < h.first_symbol)
		return 0;
	return end_of_chain(img, buckets + (uint64_t)h.buckets * 4 - (uint64_t)h.first_symbol * 4, sym, ret);
}

static int count_symbols(const struct elf_image *img, uint64_t *ret)
{
	uint64_t sysv = 0, gnu = 0;
	int r = 0;

	if (img->dyn.hash)
		r = count_sysv(img, &sysv);
	if (!r && img->dyn.gnu_hash)
		r = count_gnu(img, &gnu);
	*ret = sysv > gnu ? sysv : gnu;
	if (!r && *ret > ELF_IMAGE_SYMBOLS_MAX)
		r = -E2BIG;
	return r;
}

/* Where the prefix occurs in the string table, ascending. Linkers share tails of
 * strings, so a name may begin anywhere, not only after a NUL. */
struct places {
	uint32_t *at;
	size_t count;
};

static void places_done(struct places *p)
{
	free(p->at);
}

static int note_place(struct places *p, uint64_t at)
{
	if (!p->at) {
		p->at = calloc(ELF_IMAGE_EXPORTS_MAX, sizeof(*p->at));
		if (!p->at)
			return -ENOMEM;
	}
	if (p->count == ELF_IMAGE_EXPORTS_MAX)
		return -E2BIG;
	p->at[p->count++] = (uint32_t)at;
	return 0;
}

static int find_places(const struct elf_image *img, const char *prefix, struct places *ret)
{
	_cleanup_free_ char *block = malloc(ELF_BLOCK);
	size_t plen = strlen(prefix);
	uint64_t at = 0, size = img->dyn.strtab_size;

	if (!block)
		return -ENOMEM;
	if (size > ELF_IMAGE_STRTAB_MAX)
		return -E2BIG;
	while (size - at >= plen) {
		size_t n = size - at < ELF_BLOCK ? size - at : ELF_BLOCK;
		const char *hit = block;
		int r = elf_read_vaddr(img, img->dyn.strtab + at, block, n);

		while (!r && (hit = memmem(hit, n - (size_t)(hit - block), prefix, plen)))
			r = note_place(ret, at + (uint64_t)(hit++ - block));
		if (r)
			return r;
		at += n - (plen - 1); /* a prefix across two blocks is whole in the next one */
	}
	return 0;
}

static bool is_place(const struct places *p, uint32_t at)
{
	size_t lo = 0, hi = p->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->at[mid] == at)
			return true;
		if (p->at[mid] < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static bool is_function(const Elf64_Sym *s)
{
	unsigned type = ELF64_ST_TYPE(s->st_info), bind = ELF64_ST_BIND(s->st_info);

	/* An indirect function's address is its resolver, not itself. */
	return s->st_shndx != SHN_UNDEF && (type == STT_FUNC || type == STT_NOTYPE) &&
	       (bind == STB_GLOBAL || bind == STB_WEAK || bind == STB_GNU_UNIQUE);
}

/* Positive: not an export that can be probed. */
static int take_symbol(const struct elf_image *img, const Elf64_Sym *s, struct elf_exports *x)
{
	struct elf_export *e = &x->item[x->count];
	uint64_t left = img->dyn.strtab_size - s->st_name;
	size_t n = left < sizeof(e->name) ? left : sizeof(e->name);
	int r;

	if (elf_offset_of(img, s->st_value, 1, PF_X, &e->offset))
		return 1;
	r = elf_read_vaddr(img, img->dyn.strtab + s->st_name, e->name, n);
	if (r)
		return r;
	if (!memchr(e->name, '\0', n))
		return 1;
	e->vaddr = s->st_value;
	e->size = s->st_size;
	return 0;
}

static int scan_symbols(const struct elf_image *img, const struct places *places, uint64_t count,
			struct elf_exports *x)
{
	_cleanup_free_ Elf64_Sym *block = malloc(ELF_BLOCK);
	const size_t per = ELF_BLOCK / sizeof(*block);

	if (!block)
		return -ENOMEM;
	for (uint64_t i = 0, n; i < count; i += n) {
		int r;

		n = count - i < per ? count - i : per;
		r = elf_read_vaddr(img, img->dyn.symtab + i * sizeof(*block), block, n * sizeof(*block));
		for (uint64_t k = 0; k < n && r >= 0; k++) {
			if (!is_function(&block[k]) || !is_place(places, block[k].st_name))
				continue;
			if (x->count == ELF_IMAGE_EXPORTS_MAX)
				return -E2BIG;
			r = take_symbol(img, &block[k], x);
			if (r == 0)
				x->count++;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

static int by_address(const void *a, const void *b)
{
	const struct elf_export *x = a, *y = b;

	if (x->vaddr != y->vaddr)
		return x->vaddr < y->vaddr ? -1 : 1;
	return strcmp(x->name, y->name);
}

int elf_image_exports(const struct elf_image *img, const char *prefix, struct elf_exports *ret,
		      struct error_text *err)
{
	_cleanup_(places_done) struct places places = { 0 };
	_cleanup_(elf_exports_done) struct elf_exports x = { 0 };
	uint64_t count = 0;
	int r;

	*ret = x;
	if (!prefix[0])
		return -EINVAL;
	if (!img->dyn.symtab || !img->dyn.strtab)
		return 0;
	r = find_places(img, prefix, &places);
	if (!r && places.count)
		r = count_symbols(img, &count);
	if (!r && places.count) {
		x.item = calloc(ELF_IMAGE_EXPORTS_MAX, sizeof(*x.item));
		r = x.item ? scan_symbols(img, &places, count, &x) : -ENOMEM;
	}
	if (r)
		return error_set(err, r,
				 r == -E2BIG ? "its dynamic symbols are beyond the limits"
					     : "its dynamic symbols are damaged");
	if (!x.count)
		return 0;
	qsort(x.item, x.count, sizeof(*x.item), by_address);
	ret->item = realloc(x.item, x.count * sizeof(*x.item));
	if (!ret->item)
		return -ENOMEM;
	ret->count = x.count;
	x.item = NULL; /* now *ret's */
	return 0;
}

void elf_exports_done(struct elf_exports *x)
{
	free(x->item);
	*x = (struct elf_exports){ 0 };
}

const struct elf_export *elf_exports_find(const struct elf_exports *x, const char *name)
{
	for (size_t i = 0; i < x->count; i++)
		if (!strcmp(x->item[i].name, name))
			return &x->item[i];
	return NULL;
}
