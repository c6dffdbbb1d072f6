#include "engine/crypto/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

/* From this size on malloc makes a mapping for each piece whatever it learns, so that the advice ends with the piece. */
#define LARGE_BYTES ((size_t)64 << 20)
#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static void *
take(size_t len_bytes, const char *file, int line)
{
	void *data = malloc(len_bytes);

	(void)file;
	(void)line;
	if (data && len_bytes >= LARGE_BYTES) {
		size_t skip = HUGE_PAGE_BYTES - (uintptr_t)data % HUGE_PAGE_BYTES;

		/* An advice: without huge pages it is refused, and nothing is lost. */
		(void)madvise((char *)data + skip, (len_bytes - skip) & ~(HUGE_PAGE_BYTES - 1), MADV_HUGEPAGE);
	}
	return data;
}

static void *
take_again(void *data, size_t len_bytes, const char *file, int line)
{
	(void)file;
	(void)line;
	return realloc(data, len_bytes);
}

static void
give_back(void *data, const char *file, int line)
{
	(void)file;
	(void)line;
	free(data);
}

bool
tk_crypto_memory_begin(void)
{
	return CRYPTO_set_mem_functions(take, take_again, give_back) == 1;
}
