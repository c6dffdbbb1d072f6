/* Any bytes as a configuration: an error or a configuration, never a crash, and the next reading is not spoilt.
 * Includes are left out of reach: the bytes must not open files. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policies/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] = "site a { url = \"dir:/v\" local = true }\ndataset d { paths = { /d } }\n";
	struct tk_config *cfg;
	struct tk_mistakes mistakes;
	struct tk_err err;

	if (size > 65536 || memmem(data, size, "include", 7))
		return 0;
	if (tk_config_parse((const char *)data, size, "/nowhere/twinkeep.conf", &cfg, &mistakes, &err) == TK_OK && mistakes.count > 0)
		abort();
	tk_config_free(cfg);
	tk_mistakes_release(&mistakes);
	if (tk_config_parse(good, sizeof(good) - 1, "/nowhere/twinkeep.conf", &cfg, NULL, &err) != TK_OK)
		abort();
	tk_config_free(cfg);
	return 0;
}
