#include "engine/fsio/dirspill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/fsio/openat.h"

/* A run is a row of names, each ended by a NUL. A window must hold at least one name. */
#define WINDOW_BYTES 16384
#define FLUSH_BYTES 262144

struct run {
	uint64_t next_bytes;   /* in the file, behind what the window holds */
	uint64_t end_bytes;
	char *window;          /* owned */
	size_t len_bytes;
	size_t pos_bytes;      /* the current name; at len_bytes the run is done */
};

struct tk_dirlist_spill {
	int fd;
	struct tk_buf out;         /* not yet written */
	uint64_t written_bytes;
	struct run *runs;
	size_t run_count;
	size_t *heap;              /* indexes of unfinished runs, the least name first */
	size_t heap_count;
};

static int
temp_open(const char *tmp_dir)
{
	char path[4096];
	int fd = open(tmp_dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
	int len;

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	len = snprintf(path, sizeof(path), "%s/twinkeep-names-XXXXXX", tmp_dir);
	if (len < 0 || (size_t)len >= sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

enum tk_rc
tk_dirspill_new(const char *tmp_dir, struct tk_dirlist_spill **out, struct tk_err *err)
{
	struct tk_dirlist_spill *spill = calloc(1, sizeof(*spill));

	*out = NULL;
	if (!tmp_dir)
		tmp_dir = "/var/tmp";
	if (!spill)
		return tk_err_set(err, TK_ENOMEM, "sorting names: out of memory");
	tk_buf_init(&spill->out, 0);
	spill->fd = temp_open(tmp_dir);
	if (spill->fd < 0) {
		free(spill);
		/* Never TK_ENOENT: that would read as "the directory vanished". */
		return tk_err_set(err, TK_EIO, "a temporary file in %s: %s", tmp_dir, strerror(errno));
	}
	*out = spill;
	return TK_OK;
}

void
tk_dirspill_free(struct tk_dirlist_spill *spill)
{
	if (!spill)
		return;
	for (size_t i = 0; i < spill->run_count; i++)
		free(spill->runs[i].window);
	free(spill->runs);
	free(spill->heap);
	tk_buf_release(&spill->out);
	tk_fd_cleanup(&spill->fd);
	free(spill);
}

static enum tk_rc
spill_flush(struct tk_dirlist_spill *spill, struct tk_err *err)
{
	enum tk_rc rc = tk_write_full(spill->fd, spill->out.data, spill->out.len_bytes, "sorted names", err);

	spill->written_bytes += spill->out.len_bytes;
	tk_buf_clear(&spill->out);
	return rc;
}

enum tk_rc
tk_dirspill_put(struct tk_dirlist_spill *spill, const char *name, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put(&spill->out, name, strlen(name) + 1, err);

	if (rc == TK_OK && spill->out.len_bytes >= FLUSH_BYTES)
		rc = spill_flush(spill, err);
	return rc;
}

enum tk_rc
tk_dirspill_end_run(struct tk_dirlist_spill *spill, struct tk_err *err)
{
	struct run *runs = reallocarray(spill->runs, spill->run_count + 1, sizeof(*runs));

	if (!runs)
		return tk_err_set(err, TK_ENOMEM, "sorting names: out of memory");
	spill->runs = runs;
	runs[spill->run_count] = (struct run){
		.next_bytes = spill->run_count ? runs[spill->run_count - 1].end_bytes : 0,
		.end_bytes = spill->written_bytes + spill->out.len_bytes,
	};
	spill->run_count++;
	return TK_OK;
}

/* Keeps what is left of the window (a name cut in two, or nothing) and fills up from the file. */
static enum tk_rc
run_refill(struct tk_dirlist_spill *spill, struct run *run, struct tk_err *err)
{
	size_t keep = run->len_bytes - run->pos_bytes;
	uint64_t left = run->end_bytes - run->next_bytes;
	size_t want = WINDOW_BYTES - keep, got;
	enum tk_rc rc;

	if (want > left)
		want = (size_t)left;
	memmove(run->window, run->window + run->pos_bytes, keep);
	if ((rc = tk_pread_full(spill->fd, run->window + keep, want, run->next_bytes, &got, "sorted names", err)) != TK_OK)
		return rc;
	run->next_bytes += got;
	run->pos_bytes = 0;
	run->len_bytes = keep + got;
	if (got < want || (run->len_bytes && !memchr(run->window, '\0', run->len_bytes)))
		return tk_err_set(err, TK_EIO, "the temporary file of sorted names is damaged");
	return TK_OK;
}

static const char *
heap_name(const struct tk_dirlist_spill *spill, size_t at)
{
	const struct run *run = &spill->runs[spill->heap[at]];

	return run->window + run->pos_bytes;
}

static void
heap_sift_down(struct tk_dirlist_spill *spill, size_t at)
{
	for (;;) {
		size_t least = at, held;

		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < spill->heap_count; child++)
			if (strcmp(heap_name(spill, child), heap_name(spill, least)) < 0)
				least = child;
		if (least == at)
			return;
		held = spill->heap[at];
		spill->heap[at] = spill->heap[least];
		spill->heap[least] = held;
		at = least;
	}
}

enum tk_rc
tk_dirspill_rewind(struct tk_dirlist_spill *spill, struct tk_err *err)
{
	enum tk_rc rc = spill_flush(spill, err);

	if (rc != TK_OK)
		return rc;
	if (!(spill->heap = calloc(spill->run_count ? spill->run_count : 1, sizeof(*spill->heap))))
		return tk_err_set(err, TK_ENOMEM, "sorting names: out of memory");
	for (size_t i = 0; i < spill->run_count; i++) {
		struct run *run = &spill->runs[i];

		if (!(run->window = malloc(WINDOW_BYTES)))
			return tk_err_set(err, TK_ENOMEM, "sorting names: out of memory");
		if ((rc = run_refill(spill, run, err)) != TK_OK)
			return rc;
		if (run->len_bytes > 0)
			spill->heap[spill->heap_count++] = i;
	}
	for (size_t at = spill->heap_count / 2; at-- > 0;)
		heap_sift_down(spill, at);
	return TK_OK;
}

const char *
tk_dirspill_peek(const struct tk_dirlist_spill *spill)
{
	return spill->heap_count ? heap_name(spill, 0) : NULL;
}

enum tk_rc
tk_dirspill_advance(struct tk_dirlist_spill *spill, struct tk_err *err)
{
	struct run *run;
	enum tk_rc rc;

	if (!spill->heap_count)
		return TK_OK;
	run = &spill->runs[spill->heap[0]];
	run->pos_bytes += strlen(run->window + run->pos_bytes) + 1;
	if (!memchr(run->window + run->pos_bytes, '\0', run->len_bytes - run->pos_bytes)
	    && (rc = run_refill(spill, run, err)) != TK_OK)
		return rc;
	if (run->len_bytes == run->pos_bytes)
		spill->heap[0] = spill->heap[--spill->heap_count];
	heap_sift_down(spill, 0);
	return TK_OK;
}
