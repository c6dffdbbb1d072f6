/* Dies, or fails, at every durable step of an expiry, one after the other: each point is expired as a whole or not at all, one of which it was told is, and what was
 * left undone is done when the vault is opened.
 * Does its work only in a build that was configured with --enable-faults. */
#include "tests/fault/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vault_fixture.h"

#ifdef TK_FAULTS

enum { STEPS_AT_LEAST = 6 };
enum { POINTS = 4, EXPIRING = 2, BLOBS_OF_EACH = 3 };

/* Points of two blobs of their own, a list of contents, and a leaf that all share. */
struct work {
	struct vault_box *box;
	struct made_pack common, packs[POINTS];
	struct tk_head heads[POINTS];
};

static void
make_work(struct work *work)
{
	struct made_blob blobs[] = {{.type = TK_BLOB_DATA}, {.type = TK_BLOB_NODE, .ref_count = 1}, {.type = TK_BLOB_CONTENTS}};
	struct tk_buf record = {0};

	make_small_pack(work->box, &work->common);
	store_pack(work->box, &work->common);
	blobs[1].refs[0] = (struct tk_blob_ref){work->common.number, 1};
	for (size_t i = 0; i < POINTS; i++) {
		const struct made_pack *adds[] = {&work->packs[i]};

		make_pack(work->box, blobs, BLOBS_OF_EACH, &work->packs[i]);
		store_pack(work->box, &work->packs[i]);
		tk_buf_clear(&record);
		make_point(work->box, i + 1, &work->packs[i], 1, adds, 1, &record, &work->heads[i]);
		assert_int_equal(publish(work->box, &record, NULL, NULL), TK_OK);
	}
	tk_buf_release(&record);
}

static enum tk_rc
expire(struct work *work)
{
	struct tk_vault_expiry expiry;

	return tk_vault_expire(work->box->vault, &work->box->domain, work->heads, EXPIRING, &expiry, NULL);
}

/* In a process of its own; tried again once when it fails, in the vault that is open. What opening it does is vault_fault_test's. */
static void
child(void *ctx, unsigned at, const char *action)
{
	struct work *work = ctx;
	bool faults;

	box_open(work->box);
	steps_arm(at, action);
	faults = expire(work) != TK_OK;
	if (faults && expire(work))
		_exit(CHILD_GAVE_UP);
	_exit(faults ? CHILD_SAW_FAULTS : CHILD_CLEAN);
}

/* What is condemned is what expired, all of it; how many points did. */
static size_t
expired_count(struct work *work)
{
	struct tk_store_point *points = NULL;
	struct tk_pack_name at = {{0}};
	struct tk_vault_blob *blobs = NULL;
	size_t count, packs = 0, expired = 0;

	assert_int_equal(tk_vault_list_points(work->box->vault, &work->box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, POINTS);
	while (tk_vault_next_condemned(work->box->vault, &at, &blobs, &count, NULL) == TK_OK && count > 0) {
		packs++;
		assert_int_equal(count, BLOBS_OF_EACH);
		for (size_t i = 0; i < POINTS; i++)
			if (memcmp(&work->packs[i].ident.name, &at, sizeof(at)) == 0)
				assert_true(points[i].expired);
		free(blobs);
	}
	free(blobs);
	for (size_t i = 0; i < POINTS; i++)
		expired += points[i].expired;
	assert_int_equal(packs, expired);
	free(points);
	return expired;
}

static enum tk_rc
refuse_findings(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err)
{
	(void)ctx;
	return finding->rc ? tk_err_set(err, finding->rc, "%s", finding->text) : TK_OK;
}

static void
check(struct work *work, bool told)
{
	size_t expired;

	box_open(work->box);
	assert_int_equal(box_count(work->box, "tmp/*"), 0);
	expired = expired_count(work);
	assert_true(told ? expired == EXPIRING : expired <= EXPIRING);
	assert_int_equal(expire(work), TK_OK);
	assert_int_equal(expired_count(work), EXPIRING);
	box_close(work->box);
	box_shell(work->box, "rm \"$1\"/index.db*");
	box_open(work->box);
	assert_int_equal(expired_count(work), EXPIRING);
	assert_int_equal(tk_vault_verify_all(work->box->vault, refuse_findings, NULL, NULL), TK_OK);
}

/* Returns whether the fault was reached. */
static bool
run_once(unsigned at, const char *action)
{
	void *state = NULL;
	struct work work = {0};
	struct steps_end end;

	assert_int_equal(box_setup_fast(&state), 0);
	work.box = state;
	make_work(&work);
	box_close(work.box);
	end = steps_run_child(child, &work, at, action);
	check(&work, !end.killed);
	made_pack_release(&work.common);
	for (size_t i = 0; i < POINTS; i++)
		made_pack_release(&work.packs[i]);
	assert_int_equal(box_teardown(&state), 0);
	return end.reached;
}

static void
points_expire_whole_or_not_at_all_when_killed_at_any_step(void **state)
{
	(void)state;
	steps_run_all(run_once, "kill", STEPS_AT_LEAST);
}

static void
points_expire_whole_or_not_at_all_when_any_step_fails(void **state)
{
	(void)state;
	steps_run_all(run_once, "eio", STEPS_AT_LEAST);
}

static void
points_expire_whole_or_not_at_all_when_the_disk_is_full_at_any_step(void **state)
{
	(void)state;
	steps_run_all(run_once, "enospc", STEPS_AT_LEAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(points_expire_whole_or_not_at_all_when_killed_at_any_step),
		cmocka_unit_test(points_expire_whole_or_not_at_all_when_any_step_fails),
		cmocka_unit_test(points_expire_whole_or_not_at_all_when_the_disk_is_full_at_any_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* Automake's word for a test that was skipped. */
int
main(void)
{
	return 77;
}

#endif
