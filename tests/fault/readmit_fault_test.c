/* Dies, or fails, at every durable step of letting a vault in that was set back: it never promises before it knows again what it voted for.
 * Does its work only in a build that was configured with --enable-faults. */
#include "tests/fault/steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/vault_fixture.h"

#ifdef TK_FAULTS

enum { STEPS_AT_LEAST = 8 };
static enum tk_rc
let_in(struct vault_box *box)
{
	struct tk_vault_lacks lacks;
	enum tk_rc rc = tk_vault_readmit(box->vault, true, &lacks, NULL);

	tk_vault_lacks_release(&lacks);
	return rc;
}

/* A vault that forgot its vote for epoch 2, and knows so. */
static void
forget_a_vote(struct vault_box *box, struct tk_grant *grant, struct tk_buf *grant_record, struct tk_buf *vote)
{
	const struct tk_buf *mark = vote;
	struct tk_store_state now;

	publish_small(box, 1, NULL, NULL);
	box_close(box);
	box_shell(box, "cp -a \"$1\" \"$1.copy\"");
	box_open(box);
	make_grant(box, 2, NULL, grant, grant_record);
	assert_int_equal(tk_vault_vote(box->vault, grant_record->data, grant_record->len_bytes, vote, NULL), TK_OK);
	box_close(box);
	box_shell(box, "rm -r \"$1\"; mv \"$1.copy\" \"$1\"");
	box_open(box);
	show_marks(box, &mark, 1, &now);
	assert_true(now.read_only);
	assert_int_equal(now.promised_epoch, 1);
	box_close(box);
}

static void
child(void *work, unsigned at, const char *action)
{
	struct vault_box *box = work;
	bool faults = false;

	steps_arm(at, action);
	for (int tries = 0; !box->vault && tk_vault_open(box->path, TK_VAULT_SERVE, NULL, &box->vault, NULL); tries++) {
		faults = true;
		if (tries > 0)
			_exit(CHILD_GAVE_UP);
	}
	if (let_in(box)) {
		faults = true;
		if (let_in(box))
			_exit(CHILD_GAVE_UP);
	}
	_exit(faults ? CHILD_SAW_FAULTS : CHILD_CLEAN);
}

/* Whoever finds it behind lets it in again, though nobody shows it anything any more. */
static void
check(struct vault_box *box, const struct tk_grant *grant, const struct tk_buf *grant_record, const struct tk_buf *vote)
{
	struct tk_store_state now;
	struct tk_buf again = {0};

	box_open(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(now.read_only || now.promised_epoch == 2);
	assert_int_equal(let_in(box), TK_OK);
	box_close(box);
	box_open(box);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, NULL, &now, NULL), TK_OK);
	assert_false(now.read_only);
	assert_int_equal(now.promised_epoch, 2);
	assert_memory_equal(&now.promised_grant, &grant->digest, sizeof(grant->digest));
	assert_int_equal(tk_vault_vote(box->vault, grant_record->data, grant_record->len_bytes, &again, NULL), TK_OK);
	assert_int_equal(again.len_bytes, vote->len_bytes);
	assert_memory_equal(again.data, vote->data, vote->len_bytes);
	tk_buf_release(&again);
}

/* Returns whether the fault was reached. */
static bool
run_once(unsigned at, const char *action)
{
	struct tk_buf grant_record = {0}, vote = {0};
	struct tk_grant grant = {0};
	struct vault_box *box;
	void *state = NULL;
	struct steps_end end;

	assert_int_equal(box_setup(&state), 0);
	box = state;
	forget_a_vote(box, &grant, &grant_record, &vote);
	end = steps_run_child(child, box, at, action);
	check(box, &grant, &grant_record, &vote);
	tk_buf_release(&grant_record);
	tk_buf_release(&vote);
	assert_int_equal(box_teardown(&state), 0);
	return end.reached;
}

static void
a_vault_is_behind_or_knows_its_vote_when_killed_at_any_step(void **state)
{
	(void)state;
	steps_run_all(run_once, "kill", STEPS_AT_LEAST);
}

static void
a_vault_is_behind_or_knows_its_vote_when_any_step_fails(void **state)
{
	(void)state;
	steps_run_all(run_once, "eio", STEPS_AT_LEAST);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_vault_is_behind_or_knows_its_vote_when_killed_at_any_step),
		cmocka_unit_test(a_vault_is_behind_or_knows_its_vote_when_any_step_fails),
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
