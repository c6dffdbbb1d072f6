/* delta_hint.h -- the block length for what is remembered of a file. */
#ifndef TK_DELTA_DELTA_HINT_H
#define TK_DELTA_DELTA_HINT_H

#include <stddef.h>
#include <stdint.h>

enum tk_delta_file {
	TK_DELTA_FILE_UNKNOWN,
	TK_DELTA_FILE_POSTGRESQL, /* a relation's pages */
	TK_DELTA_FILE_INNODB,     /* a tablespace */
	TK_DELTA_FILE_SQLITE,
	TK_DELTA_FILE_SQL,        /* a dump as text: a change is a row, which is shorter than any page, and moves what follows */
};

struct tk_delta_guess {
	enum tk_delta_file file;
	size_t page_bytes; /* 0 when unknown */
};

/* The bytes of a file's beginning that a guess looks at. */
#define TK_DELTA_GUESS_BYTES 100

/*
 * Guesses from a file's first bytes (fewer are allowed) and its name (last component; NULL: unknown). Hostile bytes can make it
 * wrong, which costs speed or size, nothing else. SQL is told by its name (.sql), or by how pg_dump and mysqldump begin. Sources: PostgreSQL's bufpage.h (page layout version 4), InnoDB's file
 * header and FSP header, SQLite's file format document.
 */
struct tk_delta_guess tk_delta_guess_file(const uint8_t *first, size_t len_bytes, const char *name);

/*
 * The block length. For SQL 512 bytes: 20 bytes a block are 4 % of it, and 2 % of changed rows touch a tenth of the blocks instead of a third. Of a database's
 * pages (page_bytes; 0: unknown) an eighth, but at least 1 KiB: a changed row touches its page's header and little more. That is 2 % of PostgreSQL's files,
 * 1 % of InnoDB's. Else by size, so that 20 bytes a block stay about 1 % of the data, or less for large files, and one small edit costs little. Always a power
 * of two if page_bytes is one.
 */
size_t tk_delta_block_bytes(uint64_t file_bytes, struct tk_delta_guess guess);

#endif
