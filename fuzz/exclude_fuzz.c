/* A pattern and a path, with a NUL between them: compiled or refused, matched in bounded time and memory. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fsio/exclude.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *ex = NULL;
	const char *pattern, *path;
	size_t pattern_bytes;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	pattern = text;
	pattern_bytes = strlen(text);
	path = pattern_bytes < size ? text + pattern_bytes + 1 : "";
	if (tk_exclude_new(&pattern, 1, &ex, NULL) == TK_OK) {
		(void)tk_exclude_match(ex, path, false);
		(void)tk_exclude_match(ex, path, true);
	}
	free(text);
	return 0;
}
