/* The independent reader (tests/reader) restores what the engine wrote: the two share nothing but docs/FORMAT.md. */
#include "tests/unit/unit.h"

#include "tests/unit/vault_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/vault/content_digest.h"
#include "engine/vault/segmap.h"

#define READER TK_TOP_SRCDIR "/tests/reader"

enum {
	SEGMENT = 131072,
	BIG = 2 * SEGMENT + 5000,
	PIECE = 64,
	PIECES = SEGMENT / PIECE,
	SMALL_FILES = 700,
	SMALL = 37,
};

/* A pack being written, and the plain bytes of its data. */
struct maker {
	struct vault_box *box;
	struct tk_pack_head head;
	struct tk_pack_file *file;
	struct tk_sealer *sealer;
	int fd;
	uint32_t number;
	uint32_t next;
};

static void
maker_begin(struct maker *maker, struct vault_box *box, enum tk_pack_type type)
{
	*maker = (struct maker){.box = box, .fd = memfd_create("pack", MFD_CLOEXEC)};
	assert_true(maker->fd >= 0);
	assert_int_equal(tk_pack_head_begin(tk_keyring_domain(&box->ring, &box->domain), TK_SUITE_AES, type, &box->incarnation, &maker->head,
					    NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(box->packs, &maker->head.name, &maker->number, NULL), TK_OK);
	assert_int_equal(tk_sealer_new(&maker->sealer, NULL), TK_OK);
	assert_int_equal(tk_pack_file_begin(maker->fd, &maker->head, box->packs, &maker->file, NULL), TK_OK);
}

static enum tk_rc
maker_place(void *ctx, uint32_t *pack, struct tk_err *err)
{
	(void)err;
	*pack = ((struct maker *)ctx)->number;
	return TK_OK;
}

/* All codecs take their turn. */
static enum tk_rc
maker_put(void *ctx, enum tk_blob_type type, const void *plain, size_t plain_bytes, const struct tk_blob_ref *refs, size_t ref_count,
	  struct tk_blob_ref *ref, struct tk_err *err)
{
	struct maker *maker = ctx;
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	struct tk_blob_info info;
	enum tk_rc rc = tk_seal_blob(maker->sealer, &maker->head, maker->next, type, (enum tk_codec)(maker->next % 3), 3, plain, plain_bytes,
				     &sealed, &info, err);

	if (rc == TK_OK)
		rc = tk_pack_file_append(maker->file, maker->next, &info, sealed.data, refs, ref_count, err);
	*ref = (struct tk_blob_ref){maker->number, maker->next++};
	return rc;
}

static void
maker_finish(struct maker *maker, struct tk_pack_ident *ident)
{
	struct tk_vault_pack *pending = NULL;
	struct tk_err err;

	assert_int_equal(tk_pack_file_finish(maker->file, ident, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_take(maker->box->vault, &ident->name, maker->fd, ident->len_bytes, &pending, NULL), TK_OK);
	if (tk_vault_pack_commit(pending, &err) != TK_OK)
		fail_msg("%s", err.text);
	tk_vault_pack_cleanup(&pending);
	tk_pack_file_cleanup(&maker->file);
	tk_sealer_cleanup(&maker->sealer);
	tk_pack_head_wipe(&maker->head);
	close(maker->fd);
}

/* What the point holds, plain. */
struct content {
	uint8_t data[400000];              /* of one data blob, random like */
	uint8_t text[30000];               /* of one data blob, repetitive */
	struct tk_blob_ref data_ref, text_ref;
	uint8_t big[BIG];
	struct tk_pack_ident packs[2];
	struct tk_page_info root;
};

static void
big_put(struct content *content, uint64_t at, const struct tk_extent *extents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (extents[i].ref.pack == TK_PACK_NONE)
			memset(content->big + at, 0, extents[i].length_bytes);
		else
			memcpy(content->big + at, content->data + extents[i].offset_bytes, extents[i].length_bytes);
		at += extents[i].length_bytes;
	}
}

/* Segment 0: scattered pieces, then a version with two of them changed: base and overlay. */
static void
store_scattered(struct maker *maker, struct content *content, struct tk_segment *out)
{
	const struct tk_page_sink sink = {.ctx = maker, .place = maker_place, .put = maker_put};
	const struct tk_blob_source source = {0};
	struct tk_extent *old = calloc(PIECES, sizeof(*old)), *now = calloc(PIECES, sizeof(*now));
	struct tk_digest none = {{0}};
	struct tk_segment first;

	for (uint32_t i = 0; i < PIECES; i++)
		old[i] = now[i] = (struct tk_extent){content->data_ref, (i * 1231 % PIECES) * PIECE, PIECE};
	now[100].ref.pack = TK_PACK_NONE;
	now[500].offset_bytes = 300001;
	assert_int_equal(tk_segment_store(&sink, &source, maker->box->packs, NULL, NULL, 0, old, PIECES, &none, SEGMENT, &first, NULL), TK_OK);
	assert_int_equal(tk_segment_store(&sink, &source, maker->box->packs, &first, old, PIECES, now, PIECES, &none, SEGMENT, out, NULL), TK_OK);
	assert_int_equal(out->overlay_count, 1);
	big_put(content, 0, now, PIECES);
	free(old);
	free(now);
}

static void
add_big(struct maker *maker, struct content *content, struct tk_tree *tree)
{
	const struct tk_page_sink sink = {.ctx = maker, .place = maker_place, .put = maker_put};
	const struct tk_blob_source source = {0};
	const struct tk_extent middle[] = {{{TK_PACK_NONE, 0}, 0, 100000}, {content->data_ref, 5, SEGMENT - 100000}};
	const struct tk_extent last[] = {{content->data_ref, 200, 5000}};
	struct tk_segment segments[3];
	struct tk_content_hash *hash;
	struct tk_entry entry;
	char path[] = "srv/big";
	size_t count;

	store_scattered(maker, content, &segments[0]);
	big_put(content, SEGMENT, middle, 2);
	big_put(content, 2 * SEGMENT, last, 1);
	tk_entry_init(&entry);
	entry.path = path;
	entry.path_bytes = strlen(path);
	entry.meta = (struct tk_meta){.type = TK_FT_REG, .mode = 0600, .uid = getuid(), .gid = getgid(), .size_bytes = BIG};
	assert_int_equal(tk_content_hash_new(TK_SUITE_AES, SEGMENT, &hash, NULL), TK_OK);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_feed(hash, content->big, BIG, NULL), TK_OK);
	assert_int_equal(tk_content_hash_finish(hash, &entry.content, NULL), TK_OK);
	segments[0].digest = tk_content_hash_segments(hash, &count)[0];
	assert_int_equal(count, 3);
	assert_int_equal(tk_segment_store(&sink, &source, maker->box->packs, NULL, NULL, 0, middle, 2, &tk_content_hash_segments(hash, &count)[1],
					  SEGMENT, &segments[1], NULL), TK_OK);
	assert_int_equal(tk_segment_store(&sink, &source, maker->box->packs, NULL, NULL, 0, last, 1, &tk_content_hash_segments(hash, &count)[2],
					  5000, &segments[2], NULL), TK_OK);
	entry.kind = TK_CONTENT_SEGMENTS;
	assert_int_equal(tk_segments_store(&sink, &source, maker->box->packs, segments, 3, (struct tk_blob_ref){TK_PACK_NONE, 0}, &entry.segments,
					   NULL), TK_OK);
	assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_OK);
	tk_content_hash_cleanup(&hash);
}

static void
add_plain(struct tk_tree *tree, const char *path, struct tk_meta meta, uint64_t group)
{
	struct tk_entry entry;
	char *copy = strdup(path);
	struct tk_err err;

	tk_entry_init(&entry);
	entry.path = copy;
	entry.path_bytes = strlen(path);
	entry.meta = meta;
	entry.meta.uid = getuid();
	entry.meta.gid = getgid();
	entry.meta.mtime_s = 1700000000;
	entry.hardlink_group = group;
	if (meta.type == TK_FT_REG) {
		struct tk_content_hash *hash;

		assert_int_equal(tk_content_hash_new(TK_SUITE_AES, SEGMENT, &hash, NULL), TK_OK);
		assert_int_equal(tk_content_hash_all(hash, "", 0, &entry.content, NULL), TK_OK);
		tk_content_hash_cleanup(&hash);
	}
	if (tk_tree_add(tree, &entry, &err) != TK_OK)
		fail_msg("%s", err.text);
	free(copy);
}

static void
add_small_files(struct content *content, struct tk_tree *tree)
{
	struct tk_content_hash *hash;

	assert_int_equal(tk_content_hash_new(TK_SUITE_AES, SEGMENT, &hash, NULL), TK_OK);
	for (uint32_t i = 0; i < SMALL_FILES; i++) {
		struct tk_extent extent = {content->text_ref, i * SMALL, SMALL};
		struct tk_entry entry;
		char path[32], user[] = "keeper";

		snprintf(path, sizeof(path), "srv/small/%04u", i);
		tk_entry_init(&entry);
		entry.path = path;
		entry.path_bytes = strlen(path);
		entry.meta = (struct tk_meta){.type = TK_FT_REG, .mode = 0640, .uid = getuid(), .gid = getgid(), .size_bytes = SMALL,
			.mtime_s = -(int64_t)i, .mtime_ns = i, .uname = i % 2 ? user : NULL};
		entry.kind = TK_CONTENT_EXTENTS;
		entry.extents = &extent;
		entry.extent_count = 1;
		assert_int_equal(tk_content_hash_all(hash, content->text + extent.offset_bytes, SMALL, &entry.content, NULL), TK_OK);
		assert_int_equal(tk_tree_add(tree, &entry, NULL), TK_OK);
	}
	tk_content_hash_cleanup(&hash);
}

static void
make_tree(struct maker *maker, struct content *content)
{
	const struct tk_page_sink sink = {.ctx = maker, .place = maker_place, .put = maker_put};
	char target[] = "small/0001";
	struct tk_tree *tree;

	assert_int_equal(tk_tree_begin(TK_SUITE_AES, maker->box->packs, &sink, &tree, NULL), TK_OK);
	add_plain(tree, "srv", (struct tk_meta){.type = TK_FT_DIR, .mode = 0750}, 0);
	add_big(maker, content, tree);
	add_plain(tree, "srv/empty", (struct tk_meta){.type = TK_FT_REG, .mode = 0444}, 77);
	add_plain(tree, "srv/empty too", (struct tk_meta){.type = TK_FT_REG, .mode = 0444}, 77);
	add_plain(tree, "srv/link", (struct tk_meta){.type = TK_FT_SYMLINK, .mode = 0777, .link_target = target}, 0);
	add_plain(tree, "srv/pipe", (struct tk_meta){.type = TK_FT_FIFO, .mode = 0600}, 0);
	add_plain(tree, "srv/small", (struct tk_meta){.type = TK_FT_DIR, .mode = 0555}, 0);
	add_small_files(content, tree);
	assert_int_equal(tk_tree_finish(tree, &content->root, NULL), TK_OK);
	assert_true(content->root.level > 0);
	tk_tree_cleanup(&tree);
}

static void
publish_point(struct vault_box *box, const struct content *content, struct tk_pack_ident *packs, struct tk_head *at)
{
	char dataset[] = "data", source[] = "source", root[] = "/srv";
	char *roots[] = {root};
	struct tk_point point = {.suite = TK_SUITE_AES, .domain = box->domain, .dataset = box->domain, .incarnation = box->incarnation,
		.at = {.epoch = 1, .sequence = 1000}, .grant = box->grant_digest, .key_epoch = 1, .root_blob = content->root.ref.blob,
		.root_pack = packs[1].name, .packs = packs, .pack_count = 2};
	struct tk_point_body body = {.dataset_name = dataset, .source_name = source, .segment_bytes = SEGMENT, .tree = content->root.portable,
		.entries = content->root.entries, .total_bytes = content->root.content_bytes, .roots = roots, .root_count = 1};
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_grant grant;

	assert_int_equal(tk_grant_decode(box->grant.data, box->grant.len_bytes, &grant, NULL), TK_OK);
	make_opening(box, &grant, &box->grant, &point.opening);
	assert_int_equal(tk_point_seal(&point, &body, tk_keyring_domain(&box->ring, &box->domain), box->ring.writer_seed, &record, NULL), TK_OK);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	*at = point.at;
	tk_buf_release(&point.opening);
}

/* A vault with one point, and the machine key of the source in "key". */
static void
make_vault(struct vault_box *box, struct content *content)
{
	static const uint8_t secret[32] = {1, 2, 3};
	TK_AUTO(tk_buf_release) struct tk_buf slot = {0};
	struct maker data, pages;
	struct tk_head at;
	char path[128];
	FILE *file;

	for (size_t i = 0; i < sizeof(content->data); i++)
		content->data[i] = (uint8_t)((i * i >> 7) ^ i);
	for (size_t i = 0; i < sizeof(content->text); i++)
		content->text[i] = (uint8_t)("a line of text that repeats\n"[i % 28]);
	maker_begin(&data, box, TK_PACK_DATA);
	assert_int_equal(maker_put(&data, TK_BLOB_DATA, content->data, sizeof(content->data), NULL, 0, &content->data_ref, NULL), TK_OK);
	assert_int_equal(maker_put(&data, TK_BLOB_DATA, "unused", 6, NULL, 0, &content->text_ref, NULL), TK_OK);
	assert_int_equal(maker_put(&data, TK_BLOB_DATA, content->text, sizeof(content->text), NULL, 0, &content->text_ref, NULL), TK_OK);
	maker_finish(&data, &content->packs[0]);
	maker_begin(&pages, box, TK_PACK_META);
	make_tree(&pages, content);
	maker_finish(&pages, &content->packs[1]);
	assert_int_equal(tk_vault_flush(box->vault, NULL), TK_OK);
	publish_point(box, content, content->packs, &at);
	assert_int_equal(tk_slot_seal(&box->ring, TK_SLOT_MACHINE, secret, sizeof(secret), "m", &slot, NULL, NULL), TK_OK);
	assert_int_equal(tk_vault_put_slot(box->vault, slot.data, slot.len_bytes, NULL, NULL), TK_OK);
	file = fopen(scratch_path(box->scratch, "key", path, sizeof(path)), "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(secret, 1, sizeof(secret), file), sizeof(secret));
	assert_int_equal(fclose(file), 0);
}

/* The exit status of a script of tests/reader; 127: no Python with what it needs. */
static int
run_script(const char *const argv[])
{
	static const char start[] = "import os, sys, runpy\ntry:\n import cryptography\nexcept ImportError:\n sys.exit(127)\n"
		"sys.dont_write_bytecode = True\nsys.argv = sys.argv[1:]\nsys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
		"runpy.run_path(sys.argv[0], run_name='__main__')";
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		execlp("python3", "python3", "-c", start, argv[0], argv[1], argv[2], argv[3], argv[4], argv[5], (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
run_reader(const struct vault_box *box, const char *key, const char *target)
{
	char key_path[128], target_path[128];
	const char *argv[6] = {READER "/twinkeep_reader.py", box->path, "--machine-key", NULL, "--target", NULL};

	argv[3] = scratch_path(box->scratch, key, key_path, sizeof(key_path));
	argv[5] = scratch_path(box->scratch, target, target_path, sizeof(target_path));
	return run_script(argv);
}

static void
assert_file(const struct vault_box *box, const char *name, const void *want, size_t len, mode_t mode)
{
	uint8_t *got = malloc(len + 1);
	char path[160];
	struct stat st;
	int fd;

	fd = open(scratch_path(box->scratch, name, path, sizeof(path)), O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(read(fd, got, len + 1), len);
	assert_memory_equal(got, want, len);
	close(fd);
	free(got);
}

/* False: the reader cannot run here. */
static bool
expect_restored(struct vault_box *box, const struct content *content)
{
	char path[160], target[32] = "";
	struct stat st;
	int status = run_reader(box, "key", "out");

	if (status == 127)
		return false;
	assert_int_equal(status, 0);
	assert_file(box, "out/srv/big", content->big, BIG, 0600);
	assert_file(box, "out/srv/small/0399", content->text + 399 * SMALL, SMALL, 0640);
	assert_file(box, "out/srv/empty", "", 0, 0444);
	assert_int_equal(stat(scratch_path(box->scratch, "out/srv/empty too", path, sizeof(path)), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(stat(scratch_path(box->scratch, "out/srv/small/0399", path, sizeof(path)), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, -399);
	assert_int_equal(st.st_mtim.tv_nsec, 399);
	assert_int_equal(stat(scratch_path(box->scratch, "out/srv/small", path, sizeof(path)), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0555);
	assert_int_equal(st.st_mtim.tv_sec, 1700000000);
	assert_true(readlink(scratch_path(box->scratch, "out/srv/link", path, sizeof(path)), target, sizeof(target) - 1) > 0);
	assert_string_equal(target, "small/0001");
	box_shell(box, "chmod -R u+w \"$1/../out\"; rm -r \"$1/../out\"");
	return true;
}

static void
an_independent_reader_restores_what_the_engine_stored(void **state)
{
	struct vault_box *box = *state;
	struct content *content = calloc(1, sizeof(*content));
	bool ran;

	make_vault(box, content);
	ran = expect_restored(box, content);
	tk_page_info_release(&content->root);
	free(content);
	if (!ran)
		skip();
}

static void
it_finds_packs_and_points_that_were_merged(void **state)
{
	struct vault_box *box = *state;
	struct content *content = calloc(1, sizeof(*content));
	bool ran;

	for (uint64_t i = 1; i < 128; i++)
		publish_small(box, i, NULL, NULL);
	make_vault(box, content);
	assert_int_equal(box_count(box, "packs/merged/*"), 2);
	assert_int_equal(box_count(box, "domains/*/archive/*"), 1);
	ran = expect_restored(box, content);
	box_shell(box, "flip 100 \"$1/packs/merged/0000000000000002\"; flip 100 \"$(echo \"$1\"/domains/*/archive/*)\"");
	if (ran) {
		assert_true(expect_restored(box, content));
		/* A point in the archive. */
		box_shell(box, "f=$(echo \"$1\"/domains/*/archive/*); flip $(($(wc -c <\"$f\") / 2)) \"$f\"");
		assert_int_equal(run_reader(box, "key", "out"), 5);
	}
	tk_page_info_release(&content->root);
	free(content);
	if (!ran)
		skip();
}

static void
it_tells_damage_and_a_wrong_key_apart(void **state)
{
	struct vault_box *box = *state;
	struct content *content = calloc(1, sizeof(*content));
	int status;

	make_vault(box, content);
	scratch_file(box->scratch, "other", "another key of thirty-two bytes.");
	status = run_reader(box, "other", "out");
	if (status != 127) {
		assert_int_equal(status, 8);
		box_shell(box, "for f in \"$1\"/packs/*/*; do flip 5000 \"$f\"; done");
		assert_int_equal(run_reader(box, "key", "out2"), 5);
		box_shell(box, "chmod -R u+w \"$1\"/../out*");
	}
	tk_page_info_release(&content->root);
	free(content);
	if (status == 127)
		skip();
}

static void
it_reads_the_test_vectors_of_the_format(void **state)
{
	const char *argv[6] = {READER "/vectors_check.py"};
	int status = run_script(argv);

	(void)state;
	if (status == 127)
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_reads_the_test_vectors_of_the_format),
		cmocka_unit_test_setup_teardown(an_independent_reader_restores_what_the_engine_stored, box_setup, box_teardown),
		cmocka_unit_test_setup_teardown(it_finds_packs_and_points_that_were_merged, box_setup_fast, box_teardown),
		cmocka_unit_test_setup_teardown(it_tells_damage_and_a_wrong_key_apart, box_setup, box_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
