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
 * Every offset and size is checked against the file's size by elf_read_at(), the only
 * function that reads; sums are checked for overflow before use.
 *
 * Section headers are a hint for one thing only: where .text begins and ends. They
 * are believed if they name a range inside an executable segment.
 */
#include "elf_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

int elf_read_at(const struct elf_image *img, uint64_t offset, void *buf, size_t len)
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

int elf_offset_of(const struct elf_image *img, uint64_t vaddr, uint64_t len, uint32_t flags, uint64_t *ret)
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

int elf_read_vaddr(const struct elf_image *img, uint64_t vaddr, void *buf, size_t len)
{
	uint64_t offset;
	int r = elf_offset_of(img, vaddr, len, 0, &offset);

	return r ? r : elf_read_at(img, offset, buf, len);
}

static int read_header(struct elf_image *img, struct error_text *err)
{
	const Elf64_Ehdr *e = &img->ehdr;

	if (img->file_size < sizeof(*e) || elf_read_at(img, 0, &img->ehdr, sizeof(img->ehdr)) ||
	    memcmp(e->e_ident, ELFMAG, SELFMAG) || e->e_ident[EI_CLASS] != ELFCLASS64 ||
	    e->e_ident[EI_DATA] != ELFDATA2LSB || e->e_type != ET_DYN)
		return error_set(err, -ENOEXEC, "not an ELF64 shared object");
	if (e->e_phentsize != sizeof(Elf64_Phdr) || e->e_phnum == 0)
		return error_set(err, -EBADMSG, "its program headers are damaged");
	if (e->e_phnum > ELF_IMAGE_PHDRS_MAX)
		return error_set(err, -E2BIG, "%u program headers, %u at most", e->e_phnum,
				 ELF_IMAGE_PHDRS_MAX);
	if (elf_read_at(img, e->e_phoff, img->phdr, e->e_phnum * sizeof(Elf64_Phdr)))
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
		if (p->p_offset > img->file_size ||
		    elf_read_at(img, p->p_offset + i * sizeof(d), &d, sizeof(d)))
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
	    elf_read_at(img, e->e_shoff + (uint64_t)e->e_shstrndx * sizeof(s), &names, sizeof(names)) ||
	    names.sh_offset > img->file_size)
		return;
	for (size_t i = 1; i < e->e_shnum; i++) {
		if (elf_read_at(img, e->e_shoff + i * sizeof(s), &s, sizeof(s)))
			return;
		if (s.sh_type != SHT_PROGBITS || !(s.sh_flags & SHF_EXECINSTR) || s.sh_size == 0 ||
		    elf_read_at(img, names.sh_offset + s.sh_name, name, sizeof(name)) ||
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

		n = t->file_size - at < ELF_BLOCK ? t->file_size - at : ELF_BLOCK;
		r = elf_read_at(img, t->offset + at, block, n);
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
	_cleanup_free_ uint8_t *block = malloc(ELF_BLOCK);
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
