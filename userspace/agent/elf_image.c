// SPDX-License-Identifier: Apache-2.0
/*
 * DESIGN
 *
 * Three passes, each with bounded memory and a bounded number of reads:
 *  1. headers: ELF header, program headers, dynamic segment, section headers.
 *  2. exports: the string table goes by in blocks and leaves only the places
 *     where the prefix occurs; then the symbol table goes by in blocks and a symbol
 *     is looked at only if its name is one of those places. A file of 200,000
 *     symbols without the prefix costs one pass over its string table.
 *  3. text: hashed in blocks. By libcrypto, which uses the processor's instructions for
 *     it: 0.1 s for the 110 MiB of a libcublasLt where libsodium takes 0.8 s, and
 *     until the hash is known the probes are not on.
 *
 * Every offset and size is checked against the file's size by read_at(), the only
 * function that reads; sums are checked for overflow before use.
 *
 * Section headers are a hint for one thing only: where .text begins and ends. They
 * are believed if they name a range inside an executable segment.
 */
#include "elf_image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#define BLOCK 65536

struct dynamic {
	uint64_t symtab, strtab, strtab_size; /* addresses; bytes */
	uint64_t hash, gnu_hash;              /* addresses, 0: none */
};

struct elf_image {
	int fd;
	uint64_t file_size;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[ELF_IMAGE_PHDRS_MAX];
	struct elf_range text[ELF_IMAGE_SEGMENTS_MAX];
	size_t n_text;
	struct elf_range text_section; /* size 0: not told */
	struct dynamic dyn;
};

static int read_at(const struct elf_image *img, uint64_t offset, void *buf, size_t len)
{
	uint64_t end;

	if (__builtin_add_overflow(offset, len, &end) || end > img->file_size)
		return -EBADMSG;
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(img->fd, (char *)buf + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EBADMSG; /* it shrank while we read */
		done += (size_t)n;
	}
	return 0;
}

/* File offset of the len bytes at vaddr, if one segment's file part holds them all. */
static int offset_of(const struct elf_image *img, uint64_t vaddr, uint64_t len, uint32_t flags,
		     uint64_t *ret)
{
	for (size_t i = 0; i < img->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &img->phdr[i];

		if (p->p_type != PT_LOAD || (p->p_flags & flags) != flags || vaddr < p->p_vaddr)
			continue;
		if (vaddr - p->p_vaddr > p->p_filesz || len > p->p_filesz - (vaddr - p->p_vaddr))
			continue;
		if (__builtin_add_overflow(p->p_offset, vaddr - p->p_vaddr, ret))
			return -EBADMSG;
		return 0;
	}
	return -EBADMSG;
}

static int read_vaddr(const struct elf_image *img, uint64_t vaddr, void *buf, size_t len)
{
	uint64_t offset;
	int r = offset_of(img, vaddr, len, 0, &offset);

	return r ? r : read_at(img, offset, buf, len);
}

static int read_header(struct elf_image *img, struct error_text *err)
{
	const Elf64_Ehdr *e = &img->ehdr;

	if (img->file_size < sizeof(*e) || read_at(img, 0, &img->ehdr, sizeof(img->ehdr)) ||
	    memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_CLASS] != ELFCLASS64 ||
	    e->e_ident[EI_DATA] != ELFDATA2LSB || e->e_type != ET_DYN)
		return error_set(err, -ENOEXEC, "not an ELF64 shared object");
	if (e->e_phentsize != sizeof(Elf64_Phdr) || e->e_phnum == 0)
		return error_set(err, -EBADMSG, "its program headers are damaged");
	if (e->e_phnum > ELF_IMAGE_PHDRS_MAX)
		return error_set(err, -E2BIG, "%u program headers, %u at most", e->e_phnum,
				 ELF_IMAGE_PHDRS_MAX);
	if (read_at(img, e->e_phoff, img->phdr, e->e_phnum * sizeof(Elf64_Phdr)))
		return error_set(err, -EBADMSG, "its program headers lie outside of the file");
	return 0;
}

static int collect_text(struct elf_image *img, struct error_text *err)
{
	for (size_t i = 0; i < img->ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &img->phdr[i];
		uint64_t end;

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		if (__builtin_add_overflow(p->p_vaddr, p->p_memsz, &end) || p->p_filesz > p->p_memsz ||
		    __builtin_add_overflow(p->p_offset, p->p_filesz, &end) || end > img->file_size)
			return error_set(err, -EBADMSG, "an executable segment lies outside of the file");
		if (img->n_text == ELF_IMAGE_SEGMENTS_MAX)
			return error_set(err, -E2BIG, "more than %u executable segments",
					 ELF_IMAGE_SEGMENTS_MAX);
		img->text[img->n_text++] =
			(struct elf_range){ p->p_vaddr, p->p_memsz, p->p_offset, p->p_filesz };
	}
	return 0;
}

static void note_dynamic(struct dynamic *dyn, const Elf64_Dyn *d)
{
	switch (d->d_tag) {
	case DT_SYMTAB:
		dyn->symtab = d->d_un.d_ptr;
		break;
	case DT_STRTAB:
		dyn->strtab = d->d_un.d_ptr;
		break;
	case DT_STRSZ:
		dyn->strtab_size = d->d_un.d_val;
		break;
	case DT_HASH:
		dyn->hash = d->d_un.d_ptr;
		break;
	case DT_GNU_HASH:
		dyn->gnu_hash = d->d_un.d_ptr;
		break;
	}
}

/* An image without a dynamic segment is fine: it exports nothing. */
static int read_dynamic(struct elf_image *img, struct error_text *err)
{
	const Elf64_Phdr *p = NULL;
	Elf64_Dyn d;

	for (size_t i = 0; i < img->ehdr.e_phnum; i++)
		if (img->phdr[i].p_type == PT_DYNAMIC)
			p = &img->phdr[i];
	if (!p)
		return 0;
	for (uint64_t i = 0; i < p->p_filesz / sizeof(d); i++) {
		if (i == ELF_IMAGE_DYNAMIC_MAX)
			return error_set(err, -E2BIG, "more than %u dynamic entries", ELF_IMAGE_DYNAMIC_MAX);
		if (p->p_offset > img->file_size || read_at(img, p->p_offset + i * sizeof(d), &d, sizeof(d)))
			return error_set(err, -EBADMSG, "its dynamic segment lies outside of the file");
		if (d.d_tag == DT_NULL)
			break;
		note_dynamic(&img->dyn, &d);
	}
	return 0;
}

static bool lies_in_text(const struct elf_image *img, const Elf64_Shdr *s)
{
	for (size_t i = 0; i < img->n_text; i++) {
		const struct elf_range *t = &img->text[i];

		if (s->sh_offset >= t->offset && s->sh_offset - t->offset <= t->file_size &&
		    s->sh_size <= t->file_size - (s->sh_offset - t->offset))
			return true;
	}
	return false;
}

/* Finds .text; says nothing when section headers are missing or wrong, for they
 * are no part of what the loader needs. */
static void find_text_section(struct elf_image *img)
{
	const Elf64_Ehdr *e = &img->ehdr;
	Elf64_Shdr names, s;
	char name[6];

	if (e->e_shoff == 0 || e->e_shentsize != sizeof(s) || e->e_shnum > ELF_IMAGE_SECTIONS_MAX ||
	    e->e_shstrndx >= e->e_shnum || e->e_shoff > img->file_size ||
	    read_at(img, e->e_shoff + (uint64_t)e->e_shstrndx * sizeof(s), &names, sizeof(names)) ||
	    names.sh_offset > img->file_size)
		return;
	for (size_t i = 1; i < e->e_shnum; i++) {
		if (read_at(img, e->e_shoff + i * sizeof(s), &s, sizeof(s)))
			return;
		if (s.sh_type != SHT_PROGBITS || !(s.sh_flags & SHF_EXECINSTR) || s.sh_size == 0 ||
		    read_at(img, names.sh_offset + s.sh_name, name, sizeof(name)) ||
		    memcmp(name, ".text", sizeof(name)) || !lies_in_text(img, &s))
			continue;
		img->text_section = (struct elf_range){ s.sh_addr, s.sh_size, s.sh_offset, s.sh_size };
		return;
	}
}

int elf_image_open(int fd, struct elf_image **ret, struct error_text *err)
{
	_cleanup_elf_image_ struct elf_image *img = calloc(1, sizeof(*img));
	struct stat st;
	int r;

	if (!img)
		return -ENOMEM;
	if (fstat(fd, &st))
		return error_set(err, -errno, "stat: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, -ENOEXEC, "not a regular file");
	img->fd = fd;
	img->file_size = (uint64_t)st.st_size;
	r = read_header(img, err);
	if (!r)
		r = collect_text(img, err);
	if (!r)
		r = read_dynamic(img, err);
	if (r)
		return r;
	find_text_section(img);
	*ret = TAKE_PTR(img);
	return 0;
}

struct elf_image *elf_image_free(struct elf_image *img)
{
	free(img);
	return NULL;
}

unsigned elf_image_machine(const struct elf_image *img)
{
	return img->ehdr.e_machine;
}

const struct elf_range *elf_image_text(const struct elf_image *img, size_t *ret_count)
{
	*ret_count = img->n_text;
	return img->text;
}

/* Number of dynamic symbols: DT_HASH says it, DT_GNU_HASH lets it be found. */
static int count_sysv(const struct elf_image *img, uint64_t *ret)
{
	uint32_t head[2];
	int r = read_vaddr(img, img->dyn.hash, head, sizeof(head));

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
		r = read_vaddr(img, addr + (uint64_t)i * 4, block, n * 4);
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
		int r = read_vaddr(img, chain + (uint64_t)sym * 4, &link, sizeof(link));

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
	int r = read_vaddr(img, img->dyn.gnu_hash, &h, sizeof(h));

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
	_cleanup_free_ char *block = malloc(BLOCK);
	size_t plen = strlen(prefix);
	uint64_t at = 0, size = img->dyn.strtab_size;

	if (!block)
		return -ENOMEM;
	if (size > ELF_IMAGE_STRTAB_MAX)
		return -E2BIG;
	while (size - at >= plen) {
		size_t n = size - at < BLOCK ? size - at : BLOCK;
		const char *hit = block;
		int r = read_vaddr(img, img->dyn.strtab + at, block, n);

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

	if (offset_of(img, s->st_value, 1, PF_X, &e->offset))
		return 1;
	r = read_vaddr(img, img->dyn.strtab + s->st_name, e->name, n);
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
	_cleanup_free_ Elf64_Sym *block = malloc(BLOCK);
	const size_t per = BLOCK / sizeof(*block);

	if (!block)
		return -ENOMEM;
	for (uint64_t i = 0, n; i < count; i += n) {
		int r;

		n = count - i < per ? count - i : per;
		r = read_vaddr(img, img->dyn.symtab + i * sizeof(*block), block, n * sizeof(*block));
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
		return error_set(err, r, r == -E2BIG ? "its dynamic symbols are beyond the limits" :
						       "its dynamic symbols are damaged");
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

uint64_t elf_image_text_bytes(const struct elf_image *img)
{
	uint64_t sum = 0;

	if (img->text_section.size)
		return img->text_section.size;
	for (size_t i = 0; i < img->n_text; i++)
		if (__builtin_add_overflow(sum, img->text[i].file_size, &sum))
			return UINT64_MAX;
	return sum;
}

static int hash_range(const struct elf_image *img, const struct elf_range *t, uint8_t *block,
		      EVP_MD_CTX *state)
{
	for (uint64_t at = 0, n; at < t->file_size; at += n) {
		int r;

		n = t->file_size - at < BLOCK ? t->file_size - at : BLOCK;
		r = read_at(img, t->offset + at, block, n);
		if (r)
			return r;
		if (!EVP_DigestUpdate(state, block, n))
			return -EIO;
	}
	return 0;
}

static void digest_free(EVP_MD_CTX **state)
{
	EVP_MD_CTX_free(*state);
}

int elf_image_text_sha256(const struct elf_image *img, uint8_t ret[ELF_IMAGE_SHA256_SIZE],
			  struct error_text *err)
{
	_cleanup_(digest_free) EVP_MD_CTX *state = EVP_MD_CTX_new();
	_cleanup_free_ uint8_t *block = malloc(BLOCK);
	int r = 0;

	if (!block || !state || !EVP_DigestInit_ex(state, EVP_sha256(), NULL))
		return -ENOMEM;
	if (elf_image_text_bytes(img) > ELF_IMAGE_TEXT_MAX)
		return error_set(err, -E2BIG, "more than %llu bytes of code", ELF_IMAGE_TEXT_MAX);
	if (img->text_section.size)
		r = hash_range(img, &img->text_section, block, state);
	else
		for (size_t i = 0; i < img->n_text && !r; i++)
			r = hash_range(img, &img->text[i], block, state);
	if (!r && !EVP_DigestFinal_ex(state, ret, NULL))
		r = -EIO;
	return r ? error_set(err, r, "its code can't be read: %s", strerror(-r)) : 0;
}
