/* vault_file.h -- the small files of a vault: written whole or not at all, read whole, listed in order.
 *
 * Private to engine/vault. Any thread; two threads must not write the same name at once. */
#ifndef TK_VAULT_VAULT_FILE_H
#define TK_VAULT_VAULT_FILE_H

#include <stdbool.h>

#include "engine/base/buf.h"

#define TK_VFILE_PATH_MAX 256
#define TK_VFILE_TMP_MAX 40

/* A fresh name "p-<hex>" for tmp/. */
TK_MUST_CHECK enum tk_rc tk_vfile_tmp_name(char name[TK_VFILE_TMP_MAX], struct tk_err *err);

/*
 * Puts a file at `path` below root_fd, over any other: temporary file in tmp/, write, fsync, rename, fsync of the directory. Durable on TK_OK;
 * on an error the name may or may not hold the new bytes. `what` names the fault points ("<what>.fsync", "<what>.rename", "<what>.dirsync").
 */
TK_MUST_CHECK enum tk_rc tk_vfile_put(int root_fd, const char *path, const void *data, size_t len_bytes, const char *what, struct tk_err *err);
/* Removes a file and makes that durable; harmless when it is not there. */
TK_MUST_CHECK enum tk_rc tk_vfile_remove(int root_fd, const char *path, struct tk_err *err);
/* Appends the whole file to *out. Errors: TK_ENOENT; TK_ECORRUPT (longer than max_bytes). */
TK_MUST_CHECK enum tk_rc tk_vfile_get(int root_fd, const char *path, size_t max_bytes, struct tk_buf *out, struct tk_err *err);
/* Makes a directory and makes its name durable; harmless when it is there. */
TK_MUST_CHECK enum tk_rc tk_vfile_mkdir(int root_fd, const char *path, struct tk_err *err);

/* The names in a directory but "." and "..", sorted bytewise. */
struct tk_vfile_list {
	char **names;
	size_t count;
	size_t cap;
};
/* A directory that is not there is empty. On TK_OK the caller releases *out. */
TK_MUST_CHECK enum tk_rc tk_vfile_list(int root_fd, const char *path, struct tk_vfile_list *out, struct tk_err *err);
void tk_vfile_list_release(struct tk_vfile_list *list);
/* Adds a copy of the name at the end; sort when all are added. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_vfile_list_add(struct tk_vfile_list *list, const char *name, struct tk_err *err);
void tk_vfile_list_sort(struct tk_vfile_list *list);
/* Is `name` in the list? It is sorted. */
bool tk_vfile_list_has(const struct tk_vfile_list *list, const char *name);

#endif
