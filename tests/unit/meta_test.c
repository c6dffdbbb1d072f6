/* Metadata: captured in full, applied in full, and what cannot be applied is counted. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/fsio/inoflags.h"
#include "engine/fsio/metaapply.h"
#include "engine/fsio/openat.h"
#include "tests/unit/scratch.h"

static const struct tk_apply_opts by_number = {.numeric_ids = true};

/* A POSIX ACL as the kernel keeps it: version 2, then (tag, permissions, id): u::rw-, u:1234:r--, g::r--, m::rw-, o::--- */
static const uint8_t raw_acl[] = {
	2, 0, 0, 0,
	1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	2, 0, 4, 0, 0xd2, 0x04, 0, 0,
	4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
};

/* cap_net_raw=ep, revision 2. */
static const uint8_t raw_capability[20] = {1, 0, 0, 2, 0, 0x20};

static bool
is_root(void)
{
	return geteuid() == 0;
}

static void
capture(const struct scratch *scratch, const char *name, struct tk_meta *meta)
{
	struct tk_stat st;

	assert_int_equal(tk_stat_at(scratch->fd, name, &st, NULL), TK_OK);
	tk_meta_init(meta);
	assert_int_equal(tk_meta_capture(scratch->fd, name, -1, &st, NULL, meta, NULL), TK_OK);
}

static void
apply(const struct scratch *scratch, const char *name, const struct tk_meta *meta, struct tk_not_applied *counts)
{
	struct tk_err err;
	enum tk_rc rc = tk_meta_apply(scratch->fd, name, -1, meta, &by_number, counts, &err);

	if (rc != TK_OK)
		print_error("%s\n", err.text);
	assert_int_equal(rc, TK_OK);
	tk_meta_apply_flags(scratch->fd, name, meta, counts);
}

static void
assert_same(const struct tk_meta *a, const struct tk_meta *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_true(a->mtime_s == b->mtime_s);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->dev_major, b->dev_major);
	assert_int_equal(a->dev_minor, b->dev_minor);
	assert_int_equal(a->xattr_count, b->xattr_count);
	for (size_t i = 0; i < a->xattr_count; i++) {
		assert_string_equal(a->xattrs[i].name, b->xattrs[i].name);
		assert_int_equal(a->xattrs[i].len_bytes, b->xattrs[i].len_bytes);
		if (a->xattrs[i].len_bytes)
			assert_memory_equal(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].len_bytes);
	}
}

static void
set_xattr(const struct scratch *scratch, const char *name, const char *xattr, const void *value, size_t len)
{
	char path[256];

	assert_int_equal(lsetxattr(scratch_path(scratch, name, path, sizeof(path)), xattr, value, len, 0), 0);
}

static void
set_mtime(const struct scratch *scratch, const char *name)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = -86400, .tv_nsec = 123456789}};

	assert_int_equal(utimensat(scratch->fd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void
a_file_comes_back_with_everything_it_had(void **state)
{
	struct scratch *scratch = *state;
	struct tk_not_applied counts = {0};
	struct tk_meta before, after;

	scratch_file(scratch, "from", "text");
	set_xattr(scratch, "from", "user.z", "last", 4);
	set_xattr(scratch, "from", "user.empty", "", 0);
	if (is_root()) {
		assert_int_equal(fchownat(scratch->fd, "from", 4321, 1234, 0), 0);
		set_xattr(scratch, "from", "trusted.t", "t", 1);
		set_xattr(scratch, "from", "security.capability", raw_capability, sizeof(raw_capability));
	}
	assert_int_equal(fchmodat(scratch->fd, "from", 06754, 0), 0);
	set_xattr(scratch, "from", TK_XATTR_ACL_ACCESS, raw_acl, sizeof(raw_acl));
	set_mtime(scratch, "from");
	capture(scratch, "from", &before);
	if (is_root())
		before.flags |= TK_INO_IMMUTABLE | TK_INO_NODUMP;
	assert_int_equal(before.xattr_count, is_root() ? 5 : 3);
	assert_int_equal(before.size_bytes, 4);
	assert_non_null(tk_meta_find_xattr(&before, TK_XATTR_ACL_ACCESS));

	scratch_file(scratch, "to", "text");
	set_xattr(scratch, "to", "user.stale", "s", 1);
	apply(scratch, "to", &before, &counts);
	assert_true(tk_not_applied_none(&counts));
	capture(scratch, "to", &after);
	assert_same(&before, &after);
	tk_meta_release(&before);
	tk_meta_release(&after);

	if (!is_root())
		return;
	assert_int_equal(unlinkat(scratch->fd, "to", 0), -1);
	assert_true(tk_meta_unlock(scratch->fd, "to"));
	assert_false(tk_meta_unlock(scratch->fd, "to"));
	assert_int_equal(unlinkat(scratch->fd, "to", 0), 0);
}

static void
an_inherited_acl_does_not_stay_on_a_restored_object(void **state)
{
	struct scratch *scratch = *state;
	struct tk_not_applied counts = {0};
	struct tk_meta plain, plain_dir, after;

	scratch_file(scratch, "plain", "");
	scratch_dir(scratch, "plain-dir");
	assert_int_equal(fchmodat(scratch->fd, "plain", 0640, 0), 0);
	capture(scratch, "plain", &plain);
	capture(scratch, "plain-dir", &plain_dir);
	scratch_dir(scratch, "d");
	set_xattr(scratch, "d", TK_XATTR_ACL_DEFAULT, raw_acl, sizeof(raw_acl));
	scratch_file(scratch, "d/f", "");
	scratch_dir(scratch, "d/sub");
	capture(scratch, "d/f", &after);
	assert_int_equal(after.xattr_count, 1);
	tk_meta_release(&after);
	apply(scratch, "d/f", &plain, &counts);
	capture(scratch, "d/f", &after);
	assert_same(&plain, &after);
	tk_meta_release(&after);
	apply(scratch, "d/sub", &plain_dir, &counts);
	capture(scratch, "d/sub", &after);
	assert_same(&plain_dir, &after);
	assert_true(tk_not_applied_none(&counts));
	tk_meta_release(&after);
	tk_meta_release(&plain);
	tk_meta_release(&plain_dir);
}

static void
a_symlink_keeps_its_own_owner_time_and_target(void **state)
{
	struct scratch *scratch = *state;
	struct tk_not_applied counts = {0};
	struct tk_meta before, after, target;
	char long_target[4000];

	memset(long_target, '\xfe', sizeof(long_target) - 1);
	long_target[sizeof(long_target) - 1] = '\0';
	scratch_file(scratch, "target", "");
	assert_int_equal(symlinkat(long_target, scratch->fd, "long"), 0);
	capture(scratch, "long", &before);
	assert_string_equal(before.link_target, long_target);
	tk_meta_release(&before);

	assert_int_equal(symlinkat("target", scratch->fd, "a"), 0);
	assert_int_equal(symlinkat("target", scratch->fd, "b"), 0);
	if (is_root()) {
		assert_int_equal(fchownat(scratch->fd, "a", 77, 88, AT_SYMLINK_NOFOLLOW), 0);
		set_xattr(scratch, "a", "trusted.link", "x", 1);
	}
	set_mtime(scratch, "a");
	capture(scratch, "a", &before);
	apply(scratch, "b", &before, &counts);
	capture(scratch, "b", &after);
	assert_same(&before, &after);
	assert_true(tk_not_applied_none(&counts));
	capture(scratch, "target", &target);
	assert_true(target.mtime_s > 0);
	assert_int_equal(target.xattr_count, 0);
	assert_int_equal(target.uid, geteuid());
	tk_meta_release(&target);
	tk_meta_release(&before);
	tk_meta_release(&after);
}

static void
fifos_and_devices_are_captured_without_being_opened(void **state)
{
	struct scratch *scratch = *state;
	struct tk_not_applied counts = {0};
	struct tk_meta before, after;

	assert_int_equal(mkfifoat(scratch->fd, "pipe", 0600), 0);
	capture(scratch, "pipe", &before);
	assert_int_equal(before.type, TK_FT_FIFO);
	before.mode = 0640;
	before.mtime_s = 1;
	apply(scratch, "pipe", &before, &counts);
	capture(scratch, "pipe", &after);
	assert_same(&before, &after);
	tk_meta_release(&before);
	tk_meta_release(&after);
	if (!is_root())
		return;
	assert_int_equal(mknodat(scratch->fd, "dev", S_IFBLK | 0660, makedev(259, 70000)), 0);
	capture(scratch, "dev", &before);
	assert_int_equal(before.type, TK_FT_BLOCK);
	assert_int_equal(before.dev_major, 259);
	assert_int_equal(before.dev_minor, 70000);
	before.mode = 04660;
	before.uid = 5;
	apply(scratch, "dev", &before, &counts);
	capture(scratch, "dev", &after);
	assert_same(&before, &after);
	assert_true(tk_not_applied_none(&counts));
	tk_meta_release(&before);
	tk_meta_release(&after);
}

static void
an_object_of_another_type_is_not_touched(void **state)
{
	struct scratch *scratch = *state;
	struct tk_not_applied counts = {0};
	struct tk_meta meta, after;

	scratch_file(scratch, "f", "");
	scratch_file(scratch, "victim", "");
	capture(scratch, "f", &meta);
	meta.mode = 0777;
	assert_int_equal(symlinkat("victim", scratch->fd, "link"), 0);
	assert_int_equal(tk_meta_apply(scratch->fd, "link", -1, &meta, &by_number, &counts, NULL), TK_ENOTSAFE);
	assert_int_equal(tk_meta_apply(scratch->fd, "none", -1, &meta, &by_number, &counts, NULL), TK_ENOENT);
	capture(scratch, "victim", &after);
	assert_int_equal(after.mode, 0644);
	tk_meta_release(&meta);
	tk_meta_release(&after);
}

static void
owners_go_by_name_where_the_name_exists(void **state)
{
	struct scratch *scratch = *state;
	TK_AUTO(tk_idmap_cleanup) struct tk_idmap *ids = NULL;
	struct tk_apply_opts opts = {0};
	struct tk_not_applied counts = {0};
	struct tk_meta meta;
	struct tk_stat st;
	const char *name;

	assert_int_equal(tk_idmap_new(&ids, NULL), TK_OK);
	assert_int_equal(tk_idmap_name(ids, TK_ID_USER, 0, &name, NULL), TK_OK);
	assert_string_equal(name, "root");
	assert_int_equal(tk_idmap_name(ids, TK_ID_GROUP, 3999999999U, &name, NULL), TK_OK);
	assert_null(name);
	if (!is_root())
		return;
	scratch_file(scratch, "f", "");
	assert_int_equal(tk_stat_at(scratch->fd, "f", &st, NULL), TK_OK);
	tk_meta_init(&meta);
	assert_int_equal(tk_meta_capture(scratch->fd, "f", -1, &st, ids, &meta, NULL), TK_OK);
	assert_string_equal(meta.uname, "root");
	meta.uid = 555;
	meta.gid = 556;
	free(meta.gname);
	meta.gname = strdup("no-such-group-here");
	opts.ids = ids;
	assert_int_equal(tk_meta_apply(scratch->fd, "f", -1, &meta, &opts, &counts, NULL), TK_OK);
	assert_int_equal(tk_stat_at(scratch->fd, "f", &st, NULL), TK_OK);
	assert_int_equal(st.uid, 0);
	assert_int_equal(st.gid, 556);
	opts.numeric_ids = true;
	assert_int_equal(tk_meta_apply(scratch->fd, "f", -1, &meta, &opts, &counts, NULL), TK_OK);
	assert_int_equal(tk_stat_at(scratch->fd, "f", &st, NULL), TK_OK);
	assert_int_equal(st.uid, 555);
	tk_meta_release(&meta);
}

/* As user 65534, in a process of its own. */
static void
restore_as_nobody(const struct scratch *scratch)
{
	struct tk_not_applied counts = {0};
	struct tk_meta meta;
	struct tk_stat st;
	int fd;

	if (setgid(65534) != 0 || setuid(65534) != 0)
		_exit(2);
	fd = openat(scratch->fd, "mine", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	tk_meta_init(&meta);
	if (fd < 0 || tk_stat_fd(fd, &st, NULL) != TK_OK || tk_meta_capture(scratch->fd, "mine", fd, &st, NULL, &meta, NULL) != TK_OK)
		_exit(3);
	meta.uid = 0;
	meta.mode = 0400;
	meta.flags = TK_INO_IMMUTABLE;
	if (tk_meta_put_xattr(&meta, "trusted.x", "x", 1, NULL) != TK_OK || tk_meta_put_xattr(&meta, "user.x", "x", 1, NULL) != TK_OK)
		_exit(4);
	if (tk_meta_apply(scratch->fd, "mine", fd, &meta, &by_number, &counts, NULL) != TK_OK)
		_exit(5);
	tk_meta_apply_flags(scratch->fd, "mine", &meta, &counts);
	if (counts.owner != 1 || counts.xattr != 1 || counts.flags != 1 || counts.mode || counts.times || counts.acl)
		_exit(6);
	if (fgetxattr(fd, "user.x", NULL, 0) != 1)
		_exit(7);
	tk_meta_release(&meta);
	_exit(0);
}

static void
what_an_ordinary_user_may_not_do_is_counted(void **state)
{
	struct scratch *scratch = *state;
	int status;
	pid_t pid;

	if (!is_root())
		return;
	assert_int_equal(fchmod(scratch->fd, 0777), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		restore_as_nobody(scratch);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
attributes_stay_sorted_and_are_replaced(void **state)
{
	struct tk_meta meta;

	(void)state;
	tk_meta_init(&meta);
	assert_int_equal(tk_meta_put_xattr(&meta, "user.b", "1", 1, NULL), TK_OK);
	assert_int_equal(tk_meta_put_xattr(&meta, "user.a", "2", 1, NULL), TK_OK);
	assert_int_equal(tk_meta_put_xattr(&meta, "user.b", NULL, 0, NULL), TK_OK);
	assert_int_equal(meta.xattr_count, 2);
	assert_string_equal(meta.xattrs[0].name, "user.a");
	assert_int_equal(meta.xattrs[1].len_bytes, 0);
	assert_null(tk_meta_find_xattr(&meta, "user.c"));
	tk_meta_release(&meta);
}

#define META_TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		META_TEST(a_file_comes_back_with_everything_it_had),
		META_TEST(an_inherited_acl_does_not_stay_on_a_restored_object),
		META_TEST(a_symlink_keeps_its_own_owner_time_and_target),
		META_TEST(fifos_and_devices_are_captured_without_being_opened),
		META_TEST(an_object_of_another_type_is_not_touched),
		META_TEST(owners_go_by_name_where_the_name_exists),
		META_TEST(what_an_ordinary_user_may_not_do_is_counted),
		cmocka_unit_test(attributes_stay_sorted_and_are_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
