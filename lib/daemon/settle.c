/*
 * daemon/settle.c - see settle.h.
 */
#include "daemon/settle.h"

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Does the dynamic linker write into its code? Nobody builds such libraries on purpose, but then it must not be dropped. */
static bool
is_relocated(const struct dl_phdr_info *lib, const ElfW(Phdr) * dynamic)
{
	// NOLINTNEXTLINE(performance-no-int-to-ptr): that is how the linker tells where it is
	const ElfW(Dyn) *d = (const ElfW(Dyn) *)(lib->dlpi_addr + dynamic->p_vaddr);

	for (; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_TEXTREL ||
		    (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL) != 0))
			return true;
	return false;
}

static int
drop(struct dl_phdr_info *lib, size_t size, void *arg)
{
	const uintptr_t page = *(const uintptr_t *)arg;

	(void)size;
	/* Of the program itself and of the kernel's part there is no path. */
	if (lib->dlpi_name[0] != '/')
		return 0;
	for (size_t i = 0; i < lib->dlpi_phnum; i++)
		if (lib->dlpi_phdr[i].p_type == PT_DYNAMIC && is_relocated(lib, &lib->dlpi_phdr[i]))
			return 0;
	for (size_t i = 0; i < lib->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &lib->dlpi_phdr[i];
		uintptr_t from = (lib->dlpi_addr + p->p_vaddr) & ~(page - 1);
		uintptr_t to = (lib->dlpi_addr + p->p_vaddr + p->p_memsz + page - 1) & ~(page - 1);

		/* Advice: where it is not taken, all stays as it is. */
		if (p->p_type == PT_LOAD && (p->p_flags & PF_W) == 0)
			// NOLINTNEXTLINE(performance-no-int-to-ptr): as above
			(void)madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

void
settle(void)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	(void)dl_iterate_phdr(drop, &page);
}
