/* A site that lost or spoiled what the last point rests on: backups go on, and make points that are whole again. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/catalog/damaged.h"
#include "engine/job/verify.h"
#include "tests/unit/job_fixture.h"
#include "tests/unit/tree_kit.h"

#define VAULT "\"$4/s0\""

static void
begin(struct job_box *box)
{
	struct dice dice = {11};

	tree_fill(box->tree, &dice);
	job_backup_ok(box);
}

static void
change(struct job_box *box, const char *text)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "echo %s >\"$1/changed\"", text);
	job_shell(box, command);
}

/* The run succeeds, and its point comes back as the tree is. */
static void
expect_whole(struct job_box *box)
{
	char *listing = tree_list(box->tree, 1);

	job_backup_ok(box);
	job_check_point(box, &box->result.point, listing, 0);
	free(listing);
}

/* As `twinkeep verify --data` does. */
static void
verify_and_note(struct job_box *box)
{
	struct tk_verify_opts opts = {.domain = &box->domain, .keys = tk_keyring_domain(&box->ring, &box->domain), .data_percent = 100, .threads = 2};
	struct tk_verify_result result;

	job_open(box);
	opts.site = &box->handles[0];
	assert_int_equal(tk_verify_site(&opts, &result, NULL), TK_OK);
	assert_true(result.damaged_count > 0);
	for (size_t i = 0; i < result.damaged_count; i++)
		if (!result.damaged[i].is_point)
			assert_int_equal(tk_damaged_add(box->state, &box->domain, &result.damaged[i].pack, NULL), TK_OK);
	tk_verify_result_release(&result);
	job_close(box);
}

static void
heal_from(struct job_box *box, const char *damage)
{
	begin(box);
	job_close(box);
	job_shell(box, damage);
	verify_and_note(box);
	change(box, "once");
	expect_whole(box);
	/* That was dealt with: the next run reads what changed. */
	change(box, "twice");
	job_settle();
	expect_whole(box);
	job_settle();
	job_backup_ok(box);
	assert_int_equal(box->result.read_bytes, 0);
	/* A lost index of chunks does not bring it back. */
	job_shell(box, "rm -rf \"$3/dedup\"; cp \"$1/$(ls \"$1\" | head -1)\" \"$1/copy\" 2>/dev/null || :");
	expect_whole(box);
}

static void
packs_that_verify_found_missing_are_stored_anew(void **state)
{
	heal_from(*state, "find " VAULT "/packs -type f -size +1k -exec rm {} +");
}

static void
blobs_that_verify_found_damaged_are_stored_anew(void **state)
{
	heal_from(*state, "find " VAULT "/packs -type f -size +1k | while read f; do printf '\\377\\376' | dd of=\"$f\" bs=1 seek=200 conv=notrunc 2>/dev/null; done");
}

static void
a_lost_point_record_stops_no_backup(void **state)
{
	struct job_box *box = *state;

	begin(box);
	change(box, "once");
	job_backup_ok(box);
	job_close(box);
	/* The newest one, and what is known of it here. */
	job_shell(box, "ls " VAULT "/domains/*/points/* | tail -1 | xargs truncate -s 300; rm -rf \"$3/current\" \"$3/bundles\" \"$3/dedup\"");
	change(box, "twice");
	expect_whole(box);
	change(box, "thrice");
	expect_whole(box);
}

static void
a_site_that_knows_what_it_lost_gets_a_point_without_it(void **state)
{
	struct job_box *box = *state;

	begin(box);
	job_close(box);
	/* The site finds out by itself, and the source has no copy. */
	job_shell(box, "find " VAULT "/packs -type f -size +1k -exec truncate -s 900 {} +; rm " VAULT "/index.db*");
	change(box, "once");
	expect_whole(box);
}

static void
a_damaged_record_in_the_journal_stops_no_backup(void **state)
{
	struct job_box *box = *state;

	begin(box);
	job_close(box);
	/* A run before left a pack, so that the journal is asked which packs are named. */
	job_shell(box, "f=\"$2/catalog.db\"; at=$(LC_ALL=C grep -abo TWKPOINT \"$f\" | head -1 | cut -d: -f1); "
		       "printf '\\377\\376' | dd of=\"$f\" bs=1 seek=$((at + 100)) conv=notrunc 2>/dev/null; "
		       ": >\"$3/spool/$(printf %064d 7).away\"");
	change(box, "once");
	expect_whole(box);
	change(box, "twice");
	expect_whole(box);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, job_setup, job_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(packs_that_verify_found_missing_are_stored_anew),
		IN_BOX(blobs_that_verify_found_damaged_are_stored_anew),
		IN_BOX(a_lost_point_record_stops_no_backup),
		IN_BOX(a_site_that_knows_what_it_lost_gets_a_point_without_it),
		IN_BOX(a_damaged_record_in_the_journal_stops_no_backup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
