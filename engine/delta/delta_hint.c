#include "engine/delta/delta_hint.h"

#include <stdbool.h>
#include <string.h>

#include "engine/base/cursor.h"

#define BLOCK_MIN_BYTES 1024u
#define SQL_BLOCK_BYTES 512u
#define BLOCKS_PER_PAGE 8u

static bool
is_power_of_two(size_t value)
{
	return value && (value & (value - 1)) == 0;
}

static uint32_t
load_be32(const uint8_t *src)
{
	return (uint32_t)src[0] << 24 | (uint32_t)src[1] << 16 | (uint32_t)src[2] << 8 | src[3];
}

/* The page size of a SQLite header, or 0. */
static size_t
sqlite_page(const uint8_t *first, size_t len_bytes)
{
	size_t page;

	if (len_bytes < 18 || memcmp(first, "SQLite format 3", 16) != 0)
		return 0;
	page = (size_t)first[16] << 8 | first[17];
	page = page == 1 ? 65536 : page;
	return is_power_of_two(page) && page >= 512 ? page : 0;
}

/* A page header in the byte order of the machine; little-endian ones are told. */
static size_t
postgresql_page(const uint8_t *first, size_t len_bytes)
{
	uint16_t flags, lower, upper, special, size_version;
	struct tk_cursor cur;
	size_t page;

	tk_cursor_init(&cur, first, len_bytes);
	(void)tk_cursor_u64(&cur); /* LSN */
	(void)tk_cursor_u16(&cur); /* checksum */
	flags = tk_cursor_u16(&cur);
	lower = tk_cursor_u16(&cur);
	upper = tk_cursor_u16(&cur);
	special = tk_cursor_u16(&cur);
	size_version = tk_cursor_u16(&cur);
	page = size_version & 0xff00u;
	if (!tk_cursor_ok(&cur) || (size_version & 0xff) != 4 || !is_power_of_two(page) || flags > 7)
		return 0;
	return lower >= 24 && lower <= upper && upper <= special && special <= page ? page : 0;
}

static bool
ends_with(const char *name, const char *end)
{
	size_t len = name ? strlen(name) : 0, end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

static bool
name_of_tablespace(const char *name)
{
	return ends_with(name, ".ibd") || (name && strncmp(name, "ibdata", 6) == 0);
}

static bool
is_sql(const uint8_t *first, size_t len_bytes, const char *name)
{
	static const char *const beginnings[] = {"--\n-- PostgreSQL database ", "-- MySQL dump ", "-- MariaDB dump ", "/*M!999999"};

	/* What is packed in some way has no rows to find. */
	if (len_bytes == 0 || memchr(first, '\0', len_bytes) || first[0] >= 0x80)
		return false;
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++)
		if (len_bytes >= strlen(beginnings[i]) && memcmp(first, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return ends_with(name, ".sql");
}

/* Page 0 is of type 8 (space header); its flags hold the page size as a shift, 0 meaning the original 16 KiB. */
static size_t
innodb_page(const uint8_t *first, size_t len_bytes, const char *name)
{
	uint32_t shift;

	if (len_bytes < 58 || !name_of_tablespace(name))
		return 0;
	if (load_be32(first + 4) != 0 || first[24] != 0 || first[25] != 8)
		return 0;
	shift = load_be32(first + 54) >> 6 & 15;
	if (shift > 7)
		return 0;
	return shift ? (size_t)512 << shift : 16384;
}

struct tk_delta_guess
tk_delta_guess_file(const uint8_t *first, size_t len_bytes, const char *name)
{
	struct tk_delta_guess guess = {TK_DELTA_FILE_SQLITE, sqlite_page(first, len_bytes)};

	if (!guess.page_bytes)
		guess = (struct tk_delta_guess){TK_DELTA_FILE_INNODB, innodb_page(first, len_bytes, name)};
	if (!guess.page_bytes)
		guess = (struct tk_delta_guess){TK_DELTA_FILE_POSTGRESQL, postgresql_page(first, len_bytes)};
	if (!guess.page_bytes)
		guess.file = is_sql(first, len_bytes, name) ? TK_DELTA_FILE_SQL : TK_DELTA_FILE_UNKNOWN;
	return guess;
}

size_t
tk_delta_block_bytes(uint64_t file_bytes, struct tk_delta_guess guess)
{
	size_t of_page = guess.page_bytes / BLOCKS_PER_PAGE;

	if (guess.file == TK_DELTA_FILE_SQL)
		return SQL_BLOCK_BYTES;
	if (guess.page_bytes)
		return of_page < BLOCK_MIN_BYTES ? BLOCK_MIN_BYTES : of_page;
	if (file_bytes <= UINT64_C(8) << 30)
		return 2048;
	if (file_bytes <= UINT64_C(64) << 30)
		return 4096;
	if (file_bytes <= UINT64_C(512) << 30)
		return 8192;
	return 16384;
}
