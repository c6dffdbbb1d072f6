#include "engine/crypto/suite.h"

#include <string.h>

static const struct tk_suite_info suites[] = {
	{TK_SUITE_AES, "aes", 32, 16, 32},
	{TK_SUITE_CHACHA, "chacha", 32, 16, 32},
	{TK_SUITE_GM, "gm", 48, 32, 33},
};

#define SUITE_COUNT (sizeof(suites) / sizeof(suites[0]))

const struct tk_suite_info *
tk_suite_info(enum tk_suite suite)
{
	for (size_t i = 0; i < SUITE_COUNT; i++)
		if (suites[i].suite == suite)
			return &suites[i];
	return NULL;
}

enum tk_rc
tk_suite_parse(const char *name, enum tk_suite *out, struct tk_err *err)
{
	for (size_t i = 0; i < SUITE_COUNT; i++) {
		if (strcmp(suites[i].name, name) == 0) {
			*out = suites[i].suite;
			return TK_OK;
		}
	}
	return tk_err_set(err, TK_EINVAL, "unknown suite '%.32s': use aes, chacha or gm", name);
}

enum tk_rc
tk_suite_check(uint64_t id, struct tk_err *err)
{
	switch (id) {
	case TK_SUITE_AES:
	case TK_SUITE_CHACHA:
		return TK_OK;
	case TK_SUITE_GM:
		return tk_err_set(err, TK_EUNSUPPORTED, "suite gm is not available in this build: use aes or chacha");
	default:
		return tk_err_set(err, TK_EUNSUPPORTED, "unknown suite %llu: a newer twinkeep may know it",
		    (unsigned long long)id);
	}
}
