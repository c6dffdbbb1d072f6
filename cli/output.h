/* output.h -- what a verb says: text or one JSON document on standard output, faults as one line each on standard error.
 *
 * One tk_output for the process, used by the main thread. JSON values are jansson's, which is included here only in cli/. */
#ifndef TK_CLI_OUTPUT_H
#define TK_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/err.h"

struct tk_bar;

struct tk_output {
	FILE *out, *err;      /* borrowed */
	bool json, quiet;
	struct tk_bar *bar;   /* taken off the terminal before anything is printed; NULL: none */
	json_t *root;         /* the document; NULL without --json */
	json_t *errors;       /* its member "errors", borrowed from root */
};

void tk_out_init(struct tk_output *out, FILE *to, FILE *faults, bool json, bool quiet);
/* Writes the document and flushes. Returns exit_status, or 1 when standard output could not be written. Releases. */
int tk_out_finish(struct tk_output *out, int exit_status);

/* Text for people: nothing with --json or --quiet. */
void tk_out_text(struct tk_output *out, const char *fmt, ...) TK_PRINTF(2, 3);

/* Tells a fault: "twinkeep: WHAT HAPPENED: WHAT TO DO" on standard error, and {code, message, advice} in "errors".
 * Returns the exit status that belongs to err->rc. */
int tk_out_fail(struct tk_output *out, const struct tk_err *err);
/* The two halves of it: the line, and the entry in "errors". */
void tk_out_tell(struct tk_output *out, const struct tk_err *err);
void tk_out_list(struct tk_output *out, const struct tk_err *err);
/* A fault that does not end the run; told in the same way. */
void tk_out_warn(struct tk_output *out, enum tk_rc rc, const char *fmt, ...) TK_PRINTF(3, 4);
/* What to do about an error; NULL when its text says it already, or nobody knows. Static. */
const char *tk_err_advice(const struct tk_err *err);

/* Sets a member of the document, taking the reference of `value`; without --json only that. */
void tk_out_set(struct tk_output *out, const char *name, json_t *value);
/* Text of any bytes as a JSON string: what is not UTF-8 becomes \xNN. The caller owns it; NULL is JSON's null. */
json_t *tk_json_text(const char *text);
/* RFC 3339, UTC. The caller owns it. */
json_t *tk_json_time(int64_t wall_ns);

#define TK_FORMAT_MAX 48
/* "0 B", "1.4 GiB". */
const char *tk_format_size(uint64_t bytes, char dst[TK_FORMAT_MAX]);
/* "350 ms", "12.4 s", "3 min 05 s", "2 h 10 min", "5 d 3 h". */
const char *tk_format_duration(int64_t ms, char dst[TK_FORMAT_MAX]);
/* RFC 3339 with the local zone. */
const char *tk_format_time(int64_t wall_ns, char dst[TK_FORMAT_MAX]);
/* Any bytes as text that is safe on a terminal: control characters and broken UTF-8 become \xNN. Cut at size - 1. */
const char *tk_format_name(const char *name, char *dst, size_t size);

/* A table of text with aligned columns. `head` is "NAME|>SIZE": a '>' aligns to the right. */
struct tk_table {
	char **cells;
	size_t cell_count, column_count;
	bool broken;          /* memory ran out: prints nothing */
};
void tk_table_init(struct tk_table *table, const char *head);
/* The next cell, row by row. */
void tk_table_cell(struct tk_table *table, const char *fmt, ...) TK_PRINTF(2, 3);
/* Prints through tk_out_text and releases. */
void tk_table_finish(struct tk_table *table, struct tk_output *out);
/* Columns that UTF-8 text takes on a terminal. */
size_t tk_text_width(const char *text);

#endif
