/* The spool: a pack under its own name is whole; what was left unfinished is gone. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/catalog/spool.h"
#include "tests/unit/scratch.h"

#define DIR_OF_SPOOL "domains/64646464646464646464646464646464/spool"
#define NAME_OF_A "6161616161616161616161616161616161616161616161616161616161616161"

static const struct tk_id domain = {"dddddddddddddddd"};
static const struct tk_pack_name pack_a = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
static const struct tk_pack_name pack_b = {"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"};

static struct tk_spool *
spool_of(const struct scratch *scratch)
{
	struct tk_spool *spool = NULL;

	assert_int_equal(tk_spool_open(scratch->path, &domain, &spool, NULL), TK_OK);
	return spool;
}

static void
put(struct tk_spool *spool, const struct tk_pack_name *name, const char *text, bool complete)
{
	int fd = -1;

	assert_int_equal(tk_spool_create(spool, name, &fd, NULL), TK_OK);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	if (complete)
		assert_int_equal(tk_spool_complete(spool, name, fd, NULL), TK_OK);
	close(fd);
}

static void
a_complete_pack_is_read_back_after_a_restart(void **state)
{
	struct tk_spool *spool = spool_of(*state);
	uint64_t len = 0;
	char buf[16] = {0};
	int fd = -1;

	put(spool, &pack_a, "sealed", true);
	assert_int_equal(tk_spool_sync(spool, NULL), TK_OK);
	tk_spool_cleanup(&spool);
	spool = spool_of(*state);
	assert_int_equal(tk_spool_read(spool, &pack_a, &fd, &len, NULL), TK_OK);
	assert_int_equal(len, 6);
	assert_int_equal(read(fd, buf, sizeof(buf)), 6);
	assert_string_equal(buf, "sealed");
	close(fd);
	tk_spool_cleanup(&spool);
}

static void
an_unfinished_pack_is_not_there_and_is_removed_at_the_next_start(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_spool *spool = spool_of(scratch);
	uint64_t len;
	int fd = -1;

	put(spool, &pack_a, "half", false);
	assert_int_equal(tk_spool_read(spool, &pack_a, &fd, &len, NULL), TK_ENOENT);
	assert_int_equal(faccessat(scratch->fd, DIR_OF_SPOOL "/" NAME_OF_A ".tmp", F_OK, 0), 0);
	tk_spool_cleanup(&spool);
	spool = spool_of(scratch);
	assert_int_equal(faccessat(scratch->fd, DIR_OF_SPOOL "/" NAME_OF_A ".tmp", F_OK, 0), -1);
	tk_spool_cleanup(&spool);
}

static void
a_name_is_never_written_to_twice_at_once(void **state)
{
	struct tk_spool *spool = spool_of(*state);
	int fd = -1;

	put(spool, &pack_a, "first", false);
	assert_int_equal(tk_spool_create(spool, &pack_a, &fd, NULL), TK_EEXIST);
	tk_spool_discard(spool, &pack_a);
	put(spool, &pack_a, "second", true);
	tk_spool_cleanup(&spool);
}

static void
packs_are_listed_oldest_first_with_their_bytes(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_spool *spool = spool_of(scratch);
	struct timespec old[2] = {{1000, 0}, {1000, 0}};
	struct tk_pack_name *names = NULL;
	uint64_t total;
	size_t count;

	assert_int_equal(tk_spool_list(spool, &names, &count, &total, NULL), TK_OK);
	assert_int_equal(count, 0);
	free(names);
	put(spool, &pack_a, "12345", true);
	put(spool, &pack_b, "123", true);
	assert_int_equal(utimensat(scratch->fd, DIR_OF_SPOOL "/6262626262626262626262626262626262626262626262626262626262626262", old, 0), 0);
	scratch_file(scratch, DIR_OF_SPOOL "/stray", "not a pack");
	assert_int_equal(tk_spool_list(spool, &names, &count, &total, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_int_equal(total, 8);
	assert_memory_equal(&names[0], &pack_b, sizeof(pack_b));
	assert_memory_equal(&names[1], &pack_a, sizeof(pack_a));
	free(names);
	tk_spool_cleanup(&spool);
}

static void
removing_a_pack_twice_is_harmless(void **state)
{
	struct tk_spool *spool = spool_of(*state);
	uint64_t len;
	int fd = -1;

	put(spool, &pack_a, "x", true);
	assert_int_equal(tk_spool_remove(spool, &pack_a, NULL), TK_OK);
	assert_int_equal(tk_spool_remove(spool, &pack_a, NULL), TK_OK);
	assert_int_equal(tk_spool_read(spool, &pack_a, &fd, &len, NULL), TK_ENOENT);
	tk_spool_cleanup(&spool);
}

static void
a_pack_that_was_sent_away_leaves_its_name_until_it_is_back_or_forgotten(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_spool *spool = spool_of(scratch);
	struct tk_pack_name *away = NULL;
	size_t count = 9;
	uint64_t len;
	int fd = -1;

	put(spool, &pack_a, "sealed", true);
	put(spool, &pack_b, "other", true);
	assert_int_equal(tk_spool_send_away(spool, &pack_a, NULL), TK_OK);
	assert_int_equal(tk_spool_read(spool, &pack_a, &fd, &len, NULL), TK_ENOENT);
	tk_spool_cleanup(&spool);
	spool = spool_of(scratch);
	assert_int_equal(tk_spool_list_away(spool, &away, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_memory_equal(&away[0], &pack_a, sizeof(pack_a));
	free(away);
	/* As a crash between the note and the removal leaves it. */
	put(spool, &pack_a, "sealed", true);
	assert_int_equal(tk_spool_list_away(spool, &away, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	free(away);
	assert_int_equal(tk_spool_forget_away(spool, NULL), TK_OK);
	assert_int_equal(tk_spool_read(spool, &pack_a, &fd, &len, NULL), TK_OK);
	close(fd);
	assert_int_equal(faccessat(scratch->fd, DIR_OF_SPOOL "/" NAME_OF_A ".away", F_OK, 0), -1);
	tk_spool_cleanup(&spool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_complete_pack_is_read_back_after_a_restart, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(an_unfinished_pack_is_not_there_and_is_removed_at_the_next_start, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_name_is_never_written_to_twice_at_once, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(packs_are_listed_oldest_first_with_their_bytes, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_pack_that_was_sent_away_leaves_its_name_until_it_is_back_or_forgotten, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(removing_a_pack_twice_is_harmless, scratch_setup, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
