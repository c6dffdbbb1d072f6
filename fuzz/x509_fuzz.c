/* Certificates given in by an operator or a peer: what is read has a printable name. */
#include <stdint.h>
#include <stdlib.h>

#include "engine/crypto/x509.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tk_x509_info info;

	if (tk_x509_read((struct tk_bytes){data, size}, &info, NULL))
		return 0;
	for (const char *c = info.name; *c != '\0'; c++)
		if (*c <= ' ' || *c >= 0x7f)
			abort();
	return 0;
}
