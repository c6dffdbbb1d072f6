/* Dies, or fails, at every durable step of storing a pack, publishing a point and voting, one after the other: what was told stays true.
 * Does its work only in a build that was configured with --enable-faults. */
#include "tests/fault/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fsio/publish.h"
#include "tests/unit/vault_fixture.h"

#ifdef TK_FAULTS

enum { STEPS_AT_LEAST = 20 };
/* What the parent made before, and both sides send. */
struct work {
	struct vault_box *box;
	struct made_pack pack;
	struct tk_buf point, grant, rival;
};

static enum tk_rc
step(struct work *work, int number, struct tk_buf *told)
{
	struct tk_pack_names missing = {0};
	struct vault_box *box = work->box;
	enum tk_rc rc;

	switch (number) {
	case 0:
		return box->vault ? TK_OK : tk_vault_open(box->path, TK_VAULT_SERVE, NULL, &box->vault, NULL);
	case 1:
		return tk_vault_put_genesis(box->vault, box->genesis.data, box->genesis.len_bytes, NULL);
	case 2:
		rc = send_pack(box, &work->pack, NULL);
		return rc ? rc : tk_vault_flush(box->vault, NULL);
	case 3:
		rc = tk_vault_publish(box->vault, work->point.data, work->point.len_bytes, told, &missing, NULL);
		tk_pack_names_release(&missing);
		return rc;
	default:
		return tk_vault_vote(box->vault, work->grant.data, work->grant.len_bytes, told, NULL);
	}
}

/* All steps in a process of its own; each is tried again once when it fails. What is told is written beside the vault, by other means. */
static void
child(void *ctx, unsigned at, const char *action)
{
	struct work *work = ctx;
	static const char *const told_names[] = {NULL, NULL, NULL, "told-receipt", "told-vote"};
	struct tk_buf told = {0};
	bool faults = false;
	char path[64];
	FILE *file;

	steps_arm(at, action);
	for (int i = 0; i < 5; i++) {
		tk_buf_clear(&told);
		if (step(work, i, &told)) {
			faults = true;
			tk_buf_clear(&told);
			if (step(work, i, &told))
				_exit(CHILD_GAVE_UP);
		}
		if (!told_names[i])
			continue;
		(void)scratch_path(work->box->scratch, told_names[i], path, sizeof(path));
		file = fopen(path, "w");
		if (!file || fwrite(told.data, 1, told.len_bytes, file) != told.len_bytes || fclose(file))
			_exit(CHILD_GAVE_UP);
	}
	_exit(faults ? CHILD_SAW_FAULTS : CHILD_CLEAN);
}

static void
expect_told(struct vault_box *box, const char *name, const struct tk_buf *again)
{
	struct tk_buf told = {0};

	if (tk_read_file_at(box->scratch->fd, name, TK_RECORD_MAX, &told, NULL) == TK_OK) {
		assert_int_equal(told.len_bytes, again->len_bytes);
		assert_memory_equal(told.data, again->data, told.len_bytes);
	}
	tk_buf_release(&told);
}

/* After the crash: what was told is still so, what was not can be done now, and then is so. */
static void
check(struct work *work)
{
	struct tk_buf receipt = {0}, vote = {0};
	struct vault_box *box = work->box;
	struct tk_receipt decoded;
	struct tk_vote voted;

	box_open(box);
	assert_int_equal(box_count(box, "tmp/*"), 0);
	for (int i = 1; i < 3; i++)
		assert_int_equal(step(work, i, NULL), TK_OK);
	assert_int_equal(step(work, 3, &receipt), TK_OK);
	expect_told(box, "told-receipt", &receipt);
	assert_int_equal(tk_receipt_decode(receipt.data, receipt.len_bytes, &decoded, NULL), TK_OK);
	assert_int_equal(decoded.promised_epoch, 1);
	assert_int_equal(step(work, 4, &vote), TK_OK);
	expect_told(box, "told-vote", &vote);
	assert_int_equal(tk_vote_decode(vote.data, vote.len_bytes, &voted, NULL), TK_OK);
	/* The vote knows of every point that a receipt was given for before it. */
	assert_memory_equal(&voted.head, &decoded.at, sizeof(voted.head));
	assert_int_equal(tk_vault_vote(box->vault, work->rival.data, work->rival.len_bytes, &vote, NULL), TK_EFENCED);
	tk_buf_release(&receipt);
	tk_buf_release(&vote);
	box_close(box);
}

/* Returns whether the fault was reached. */
static bool
run_once(unsigned at, const char *action)
{
	void *state = NULL;
	struct work work = {0};
	const struct made_pack *packs[] = {&work.pack};
	struct tk_grant grant = {0}, rival = {.created_ns = 3};
	struct tk_head head;
	struct steps_end end;

	assert_int_equal(box_setup(&state), 0);
	work.box = state;
	/* The child begins with an empty vault. */
	box_close(work.box);
	box_shell(work.box, "rm -r \"$1\"");
	assert_int_equal(tk_vault_create(work.box->path, "site-a", NULL), TK_OK);
	make_small_pack(work.box, &work.pack);
	make_point(work.box, 1, &work.pack, 1, packs, 1, &work.point, &head);
	make_grant(work.box, 2, NULL, &grant, &work.grant);
	make_grant(work.box, 2, NULL, &rival, &work.rival);
	end = steps_run_child(child, &work, at, action);
	check(&work);
	made_pack_release(&work.pack);
	tk_buf_release(&work.point);
	tk_buf_release(&work.grant);
	tk_buf_release(&work.rival);
	assert_int_equal(box_teardown(&state), 0);
	return end.reached;
}

static void
nothing_told_is_lost_when_killed_at_any_step(void **state)
{
	(void)state;
	steps_run_all(run_once, "kill", STEPS_AT_LEAST);
}

static void
nothing_told_is_lost_when_any_step_fails(void **state)
{
	(void)state;
	steps_run_all(run_once, "eio", STEPS_AT_LEAST);
}

static void
nothing_told_is_lost_when_the_disk_is_full_at_any_step(void **state)
{
	(void)state;
	steps_run_all(run_once, "enospc", STEPS_AT_LEAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_told_is_lost_when_killed_at_any_step),
		cmocka_unit_test(nothing_told_is_lost_when_any_step_fails),
		cmocka_unit_test(nothing_told_is_lost_when_the_disk_is_full_at_any_step),
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
