#include "cli/emptied.h"

#include <stdlib.h>

#include "engine/catalog/journal.h"
#include "engine/vault/records.h"

static uint64_t
files_of(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const struct tk_domain_keys *keys)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_point_body body = {0};
	uint64_t files = 0;

	if (!tk_journal_get_point(journal, domain, at, &record, NULL) && !tk_point_open_body(record.data, record.len_bytes, keys, &body, NULL))
		files = body.files;
	tk_point_body_release(&body);
	return files;
}

uint64_t
tk_emptied_files_before(const struct tk_home *home, const struct tk_id *domain)
{
	const struct tk_domain_keys *keys = tk_keyring_domain(&home->ring, domain);
	struct tk_err err;
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = tk_home_journal(home, &err);
	struct tk_journal_point *points = NULL;
	size_t count = 0;
	uint64_t files = 0;

	if (!journal || !keys || tk_journal_points(journal, domain, &points, &count, NULL))
		return 0;
	for (size_t i = count; i > 0 && files == 0; i--)
		files = files_of(journal, domain, &points[i - 1].at, keys);
	free(points);
	return files;
}
