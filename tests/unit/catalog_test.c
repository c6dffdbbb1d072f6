/* The catalog: leaves come back as they went in; whatever is killed between two steps, the old point or the new one is there, whole. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/catalog/catalog.h"
#include "engine/vault/entry.h"
#include "tests/unit/scratch.h"

#define DOMAIN_DIR "domains/64646464646464646464646464646464/"
#define LEAVES 300u
#define ROWS 3u

static const struct tk_id domain = {"dddddddddddddddd"};

struct world {
	struct scratch *scratch;
	struct tk_packtab *packs;
	struct tk_catalog *catalog;
};

static void
begin(struct world *world, void **state)
{
	world->scratch = *state;
	assert_int_equal(tk_packtab_new(&world->packs, NULL), TK_OK);
	assert_int_equal(tk_catalog_open(world->scratch->path, &domain, TK_SUITE_AES, world->packs, &world->catalog, NULL), TK_OK);
}

static void
end(struct world *world)
{
	tk_catalog_cleanup(&world->catalog);
	tk_packtab_cleanup(&world->packs);
}

/* As another process sees it, whose packs have other numbers. */
static void
restart(struct world *world)
{
	struct tk_pack_name other = {"another pack is number zero now"};
	uint32_t number;

	end(world);
	assert_int_equal(tk_packtab_new(&world->packs, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(world->packs, &other, &number, NULL), TK_OK);
	assert_int_equal(tk_catalog_open(world->scratch->path, &domain, TK_SUITE_AES, world->packs, &world->catalog, NULL), TK_OK);
}

static struct tk_blob_ref
ref_of(struct world *world, unsigned pack, uint32_t blob)
{
	struct tk_pack_name name = {"pack"};
	struct tk_blob_ref ref = {.blob = blob};

	name.b[31] = (uint8_t)pack;
	assert_int_equal(tk_packtab_intern(world->packs, &name, &ref.pack, NULL), TK_OK);
	return ref;
}

/* Leaf i of a point; `version` changes the content of leaf `changed`. */
struct sample {
	struct tk_page_info info;
	char path[32];
	char plain[64];
	struct tk_sidecar rows[ROWS];
};

static void
sample(struct world *world, unsigned i, unsigned version, struct sample *out)
{
	memset(out, 0, sizeof(*out));
	(void)snprintf(out->path, sizeof(out->path), "d/%06u", i);
	(void)snprintf(out->plain, sizeof(out->plain), "leaf %u version %u", i, version);
	out->info = (struct tk_page_info){.ref = ref_of(world, i % 3, i), .entries = ROWS, .content_bytes = 1000ull * i, .first_path = out->path,
					  .first_path_bytes = strlen(out->path)};
	memset(&out->info.portable, (int)i, sizeof(out->info.portable));
	for (unsigned k = 0; k < ROWS; k++)
		out->rows[k] = (struct tk_sidecar){.dev = 2049, .ino = UINT64_MAX - i * k, .ctime_s = k == 1 ? INT64_MIN : (int64_t)i - 5,
						   .ctime_ns = 999999999u - k, .racy = k == 2, .nlink = 1 + k};
	if (i % 7 == 0)
		memset(&out->rows[0], 0, sizeof(out->rows[0]));
}

static struct tk_catalog_current
point(struct world *world, uint64_t sequence)
{
	struct tk_catalog_current at = {.at = {.epoch = 1, .sequence = sequence}, .scan_start_ns = -5, .entries = LEAVES * ROWS, .files = 7,
					.total_bytes = UINT64_MAX, .root = ref_of(world, 200, 9), .root_level = 2};

	memset(&at.tree, (int)sequence, sizeof(at.tree));
	memset(&at.at.point, (int)sequence, sizeof(at.at.point));
	return at;
}

static struct tk_catalog_writer *
write_leaves(struct world *world, unsigned changed, unsigned version)
{
	struct tk_catalog_writer *writer = NULL;
	struct sample leaf;

	assert_int_equal(tk_catalog_writer_begin(world->catalog, &writer, NULL), TK_OK);
	for (unsigned i = 0; i < LEAVES; i++) {
		sample(world, i, i == changed ? version : 0, &leaf);
		assert_int_equal(tk_catalog_writer_add(writer, &leaf.info, leaf.plain, strlen(leaf.plain), leaf.rows, ROWS, NULL), TK_OK);
	}
	return writer;
}

static void
write_next(struct world *world, uint64_t sequence, unsigned changed, unsigned version)
{
	struct tk_catalog_writer *writer = write_leaves(world, changed, version);
	struct tk_catalog_current at = point(world, sequence);

	assert_int_equal(tk_catalog_writer_finish(writer, &at, NULL), TK_OK);
	tk_catalog_writer_cleanup(&writer);
}

static void
advance(struct world *world, uint64_t sequence)
{
	struct tk_catalog_current at = point(world, sequence);

	assert_int_equal(tk_catalog_advance(world->catalog, &at.at, NULL), TK_OK);
}

static enum tk_rc
try_leaves(struct world *world, unsigned changed, unsigned version)
{
	struct tk_catalog_reader *reader = NULL;
	const struct tk_catalog_leaf *leaf = NULL;
	struct sample want;
	unsigned i = 0;
	enum tk_rc rc = tk_catalog_reader_open(world->catalog, &reader, NULL);

	while (!rc && !(rc = tk_catalog_reader_next(reader, &leaf, NULL)) && leaf) {
		sample(world, i, i == changed ? version : 0, &want);
		assert_string_equal(leaf->info.first_path, want.path);
		assert_int_equal(leaf->info.first_path_bytes, strlen(want.path));
		assert_memory_equal(&leaf->info.ref, &want.info.ref, sizeof(want.info.ref));
		assert_memory_equal(&leaf->info.portable, &want.info.portable, sizeof(want.info.portable));
		assert_int_equal(leaf->info.level, 0);
		assert_int_equal(leaf->info.entries, ROWS);
		assert_int_equal(leaf->info.content_bytes, want.info.content_bytes);
		assert_int_equal(leaf->plain_bytes, strlen(want.plain));
		assert_memory_equal(leaf->plain, want.plain, leaf->plain_bytes);
		for (unsigned k = 0; k < ROWS; k++) {
			assert_true(leaf->sidecars[k].dev == want.rows[k].dev && leaf->sidecars[k].ino == want.rows[k].ino);
			assert_true(leaf->sidecars[k].ctime_s == want.rows[k].ctime_s && leaf->sidecars[k].ctime_ns == want.rows[k].ctime_ns);
			assert_int_equal(leaf->sidecars[k].racy, want.rows[k].racy);
			assert_int_equal(leaf->sidecars[k].nlink, want.rows[k].nlink);
		}
		i++;
	}
	if (!rc)
		assert_int_equal(i, LEAVES);
	tk_catalog_reader_cleanup(&reader);
	return rc;
}

static void
expect_current(struct world *world, uint64_t sequence)
{
	struct tk_catalog_current want, got;

	assert_int_equal(tk_catalog_current(world->catalog, &got, NULL), sequence ? TK_OK : TK_ENOENT);
	if (!sequence)
		return;
	want = point(world, sequence);
	assert_memory_equal(&got.at, &want.at, sizeof(got.at));
	assert_memory_equal(&got.tree, &want.tree, sizeof(got.tree));
	assert_memory_equal(&got.root, &want.root, sizeof(got.root));
	assert_int_equal(got.root_level, 2);
	assert_int_equal(got.scan_start_ns, -5);
	assert_int_equal(got.entries, LEAVES * ROWS);
	assert_int_equal(got.files, 7);
	assert_true(got.total_bytes == UINT64_MAX);
}

/* Counts the files in the bundles directory; remembers the name of one that `from` has not. */
static unsigned
bundles(const struct world *world, char *one, size_t size)
{
	int fd = openat(world->scratch->fd, DOMAIN_DIR "bundles", O_RDONLY | O_DIRECTORY);
	DIR *dir = fdopendir(fd);
	const struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' && strncmp(entry->d_name, ".tk-tmp-", 8) != 0)
			continue;
		count++;
		if (one)
			(void)snprintf(one, size, DOMAIN_DIR "bundles/%.64s", entry->d_name);
	}
	closedir(dir);
	return count;
}

static void
flip_byte(const struct world *world, const char *name, off_t at)
{
	int fd = openat(world->scratch->fd, name, O_RDWR);
	uint8_t byte;

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

static void
cut(const struct world *world, const char *name, off_t len)
{
	int fd = openat(world->scratch->fd, name, O_RDWR);

	assert_int_equal(ftruncate(fd, len), 0);
	close(fd);
}

static void
leaves_come_back_as_they_went_in(void **state)
{
	struct world world;

	begin(&world, state);
	expect_current(&world, 0);
	write_next(&world, 1, LEAVES, 0);
	expect_current(&world, 0);
	advance(&world, 1);
	restart(&world);
	expect_current(&world, 1);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	end(&world);
}

static void
a_bundle_begins_where_a_node_begins(void **state)
{
	struct world world;
	unsigned want = 1;

	begin(&world, state);
	for (unsigned i = 1; i < LEAVES; i++) {
		struct sample leaf;
		uint64_t hash;

		sample(&world, i, 0, &leaf);
		assert_int_equal(tk_path_hash(TK_SUITE_AES, leaf.path, strlen(leaf.path), &hash, NULL), TK_OK);
		want += (hash >> 6) % 64 == 0;
	}
	assert_true(want > 1);
	write_next(&world, 1, LEAVES, 0);
	assert_int_equal(bundles(&world, NULL, 0), want);
	end(&world);
}

static void
one_changed_leaf_rewrites_one_bundle(void **state)
{
	struct world world;
	unsigned before;

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	before = bundles(&world, NULL, 0);
	restart(&world);
	write_next(&world, 2, LEAVES, 0);
	assert_int_equal(bundles(&world, NULL, 0), before);
	advance(&world, 2);
	assert_int_equal(bundles(&world, NULL, 0), before);
	write_next(&world, 3, 100, 1);
	assert_int_equal(bundles(&world, NULL, 0), before + 1);
	advance(&world, 3);
	assert_int_equal(bundles(&world, NULL, 0), before);
	assert_int_equal(try_leaves(&world, 100, 1), TK_OK);
	end(&world);
}

static void
nodes_are_found_again_and_forgotten_when_unused(void **state)
{
	struct world world;
	struct tk_catalog_writer *writer;
	struct tk_digest used = {{1}}, unused = {{2}}, fresh = {{0}};
	struct tk_catalog_current at;
	struct tk_blob_ref ref, want;
	bool found;

	begin(&world, state);
	writer = write_leaves(&world, LEAVES, 0);
	assert_int_equal(tk_catalog_node_find(writer, &used, &ref, &found, NULL), TK_OK);
	assert_false(found);
	assert_int_equal(tk_catalog_node_made(writer, &unused, ref_of(&world, 50, 2), NULL), TK_OK);
	assert_int_equal(tk_catalog_node_made(writer, &used, ref_of(&world, 51, 1), NULL), TK_OK);
	at = point(&world, 1);
	assert_int_equal(tk_catalog_writer_finish(writer, &at, NULL), TK_OK);
	tk_catalog_writer_cleanup(&writer);
	advance(&world, 1);
	for (uint64_t sequence = 2; sequence < 4; sequence++) {
		restart(&world);
		writer = write_leaves(&world, LEAVES, 0);
		assert_int_equal(tk_catalog_node_find(writer, &used, &ref, &found, NULL), TK_OK);
		assert_true(found);
		want = ref_of(&world, 51, 1);
		assert_memory_equal(&ref, &want, sizeof(ref));
		if (sequence == 3) {
			assert_int_equal(tk_catalog_node_find(writer, &unused, &ref, &found, NULL), TK_OK);
			assert_false(found);
			assert_int_equal(tk_catalog_node_find(writer, &fresh, &ref, &found, NULL), TK_OK);
			assert_true(found);
		}
		assert_int_equal(tk_catalog_node_made(writer, &fresh, ref_of(&world, 52, 0), NULL), TK_OK);
		at = point(&world, sequence);
		assert_int_equal(tk_catalog_writer_finish(writer, &at, NULL), TK_OK);
		tk_catalog_writer_cleanup(&writer);
		advance(&world, sequence);
	}
	end(&world);
}

static void
advance_goes_only_to_the_point_that_next_is_for(void **state)
{
	struct world world;
	struct tk_catalog_current at;

	begin(&world, state);
	at = point(&world, 1);
	assert_int_equal(tk_catalog_advance(world.catalog, &at.at, NULL), TK_ENOENT);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	advance(&world, 1);
	write_next(&world, 3, 5, 1);
	at = point(&world, 2);
	assert_int_equal(tk_catalog_advance(world.catalog, &at.at, NULL), TK_ENOENT);
	/* An advance that is repeated leaves what next names. */
	advance(&world, 1);
	expect_current(&world, 1);
	advance(&world, 3);
	assert_int_equal(try_leaves(&world, 5, 1), TK_OK);
	end(&world);
}

static void
an_abandoned_next_is_forgotten_with_its_bundles(void **state)
{
	struct world world;
	struct tk_catalog_current at;
	unsigned before;

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	before = bundles(&world, NULL, 0);
	write_next(&world, 2, 5, 1);
	assert_int_equal(tk_catalog_drop_next(world.catalog, NULL), TK_OK);
	assert_int_equal(tk_catalog_drop_next(world.catalog, NULL), TK_OK);
	assert_int_equal(bundles(&world, NULL, 0), before);
	at = point(&world, 2);
	assert_int_equal(tk_catalog_advance(world.catalog, &at.at, NULL), TK_ENOENT);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	end(&world);
}

static void
a_torn_pointer_is_corrupt_wherever_it_is_cut(void **state)
{
	struct world world;
	struct tk_catalog_current got;
	struct stat st;

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	assert_int_equal(fstatat(world.scratch->fd, DOMAIN_DIR "current", &st, 0), 0);
	for (off_t at = 0; at < st.st_size; at += 3) {
		flip_byte(&world, DOMAIN_DIR "current", at);
		assert_int_equal(tk_catalog_current(world.catalog, &got, NULL), TK_ECORRUPT);
		flip_byte(&world, DOMAIN_DIR "current", at);
	}
	expect_current(&world, 1);
	for (off_t len = st.st_size - 1; len >= 0; len -= 7) {
		cut(&world, DOMAIN_DIR "current", len);
		assert_int_equal(tk_catalog_current(world.catalog, &got, NULL), TK_ECORRUPT);
		assert_int_equal(try_leaves(&world, LEAVES, 0), TK_ECORRUPT);
	}
	/* What rebuilds it writes it as if there were none. */
	write_next(&world, 2, LEAVES, 0);
	advance(&world, 2);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	end(&world);
}

static void
a_damaged_next_counts_as_none(void **state)
{
	struct world world;
	struct tk_catalog_current at;

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	write_next(&world, 2, 5, 1);
	flip_byte(&world, DOMAIN_DIR "next", 40);
	at = point(&world, 2);
	assert_int_equal(tk_catalog_advance(world.catalog, &at.at, NULL), TK_ENOENT);
	expect_current(&world, 1);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	end(&world);
}

static void
a_damaged_bundle_is_noticed_and_written_anew(void **state)
{
	struct world world;
	char name[128];

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	assert_true(bundles(&world, name, sizeof(name)) > 0);
	flip_byte(&world, name, 100);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_ECORRUPT);
	write_next(&world, 2, LEAVES, 0);
	advance(&world, 2);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	cut(&world, name, 100);
	write_next(&world, 3, LEAVES, 0);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	assert_int_equal(unlinkat(world.scratch->fd, name, 0), 0);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_ECORRUPT);
	end(&world);
}

/* The process dies at each step of a run: the writer left without finish, next without advance, the sweep not reached. */
static void
a_run_that_dies_leaves_the_old_point_whole(void **state)
{
	struct world world;
	struct tk_catalog_writer *writer;
	unsigned before;

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	before = bundles(&world, NULL, 0);
	writer = write_leaves(&world, 100, 1);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	tk_catalog_writer_cleanup(&writer);
	assert_int_equal(bundles(&world, NULL, 0), before);
	scratch_file(world.scratch, DOMAIN_DIR "bundles/.tk-tmp-0123", "left by a crash");
	scratch_file(world.scratch, DOMAIN_DIR ".tk-tmp-0123", "left by a crash");
	write_next(&world, 2, 100, 1);
	restart(&world);
	expect_current(&world, 1);
	assert_int_equal(try_leaves(&world, LEAVES, 0), TK_OK);
	/* Dead between rename and sweep. */
	assert_int_equal(renameat(world.scratch->fd, DOMAIN_DIR "next", world.scratch->fd, DOMAIN_DIR "current"), 0);
	restart(&world);
	assert_int_equal(try_leaves(&world, 100, 1), TK_OK);
	assert_int_equal(bundles(&world, NULL, 0), before + 2);
	advance(&world, 2);
	assert_int_equal(bundles(&world, NULL, 0), before);
	assert_int_equal(faccessat(world.scratch->fd, DOMAIN_DIR ".tk-tmp-0123", F_OK, 0), -1);
	assert_int_equal(try_leaves(&world, 100, 1), TK_OK);
	end(&world);
}

static void
a_reader_that_is_open_keeps_its_bundles(void **state)
{
	struct world world;
	struct tk_catalog_reader *reader = NULL;
	const struct tk_catalog_leaf *leaf;
	unsigned count = 0;

	begin(&world, state);
	write_next(&world, 1, LEAVES, 0);
	advance(&world, 1);
	assert_int_equal(tk_catalog_reader_open(world.catalog, &reader, NULL), TK_OK);
	write_next(&world, 2, LEAVES - 1, 1);
	advance(&world, 2);
	while (!tk_catalog_reader_next(reader, &leaf, NULL) && leaf)
		count++;
	assert_int_equal(count, LEAVES);
	tk_catalog_reader_cleanup(&reader);
	end(&world);
}

static void
sidecars_that_do_not_fit_their_page_are_refused(void **state)
{
	struct world world;
	struct tk_catalog_writer *writer = NULL;
	struct sample leaf;

	begin(&world, state);
	assert_int_equal(tk_catalog_writer_begin(world.catalog, &writer, NULL), TK_OK);
	sample(&world, 1, 0, &leaf);
	assert_int_equal(tk_catalog_writer_add(writer, &leaf.info, "x", 1, leaf.rows, ROWS - 1, NULL), TK_EINVAL);
	leaf.rows[0].ctime_ns = 1000000000;
	assert_int_equal(tk_catalog_writer_add(writer, &leaf.info, "x", 1, leaf.rows, ROWS, NULL), TK_EINVAL);
	tk_catalog_writer_cleanup(&writer);
	end(&world);
}

static void
an_empty_point_and_a_huge_page_fit(void **state)
{
	struct world world;
	struct tk_catalog_writer *writer = NULL;
	struct tk_catalog_reader *reader = NULL;
	const struct tk_catalog_leaf *leaf;
	struct tk_catalog_current at;
	struct tk_page_info info = {.first_path = NULL};
	uint8_t *page = calloc(1, TK_BLOB_META_MAX);

	begin(&world, state);
	info.ref = ref_of(&world, 1, 1);
	at = point(&world, 1);
	at.root = (struct tk_blob_ref){TK_PACK_NONE, 0};
	assert_int_equal(tk_catalog_writer_begin(world.catalog, &writer, NULL), TK_OK);
	assert_int_equal(tk_catalog_writer_add(writer, &info, page, TK_BLOB_META_MAX, NULL, 0, NULL), TK_OK);
	assert_int_equal(tk_catalog_writer_add(writer, &info, NULL, 0, NULL, 0, NULL), TK_OK);
	assert_int_equal(tk_catalog_writer_finish(writer, &at, NULL), TK_OK);
	tk_catalog_writer_cleanup(&writer);
	assert_int_equal(bundles(&world, NULL, 0), 2);
	assert_int_equal(tk_catalog_advance(world.catalog, &at.at, NULL), TK_OK);
	assert_int_equal(tk_catalog_current(world.catalog, &at, NULL), TK_OK);
	assert_true(at.root.pack == TK_PACK_NONE);
	assert_int_equal(tk_catalog_reader_open(world.catalog, &reader, NULL), TK_OK);
	assert_int_equal(tk_catalog_reader_next(reader, &leaf, NULL), TK_OK);
	assert_int_equal(leaf->plain_bytes, TK_BLOB_META_MAX);
	assert_int_equal(tk_catalog_reader_next(reader, &leaf, NULL), TK_OK);
	assert_int_equal(leaf->plain_bytes, 0);
	assert_int_equal(tk_catalog_reader_next(reader, &leaf, NULL), TK_OK);
	assert_null(leaf);
	tk_catalog_reader_cleanup(&reader);
	free(page);
	end(&world);
}

/* How many leaves `unfinished` has: the first ones of a point of which leaf `changed` has version 1. */
static unsigned
unfinished_leaves(struct world *world, unsigned changed)
{
	struct tk_catalog_reader *reader = NULL;
	const struct tk_catalog_leaf *leaf = NULL;
	struct sample want;
	unsigned i = 0;

	assert_int_equal(tk_catalog_reader_open_unfinished(world->catalog, &reader, NULL), TK_OK);
	while (assert_int_equal(tk_catalog_reader_next(reader, &leaf, NULL), TK_OK), leaf) {
		sample(world, i, i == changed, &want);
		assert_string_equal(leaf->info.first_path, want.path);
		assert_int_equal(leaf->plain_bytes, strlen(want.plain));
		assert_memory_equal(leaf->plain, want.plain, leaf->plain_bytes);
		assert_true(leaf->sidecars[1].ino == want.rows[1].ino && leaf->sidecars[2].racy);
		i++;
	}
	tk_catalog_reader_cleanup(&reader);
	return i;
}

static void
a_run_that_dies_leaves_the_leaves_of_its_last_checkpoint(void **state)
{
	struct tk_catalog_writer *writer = NULL;
	struct tk_catalog_current at;
	struct tk_page_info none = {0};
	struct world world;
	struct sample leaf;

	begin(&world, state);
	write_next(&world, 1, 0, 0);
	advance(&world, 1);
	assert_int_equal(tk_catalog_writer_begin(world.catalog, &writer, NULL), TK_OK);
	for (unsigned i = 0; i < 150; i++) {
		sample(&world, i, i == 2, &leaf);
		/* One that is not finished goes along each time, and is no part of what is added. */
		if (i % 50 == 49)
			assert_int_equal(tk_catalog_writer_checkpoint(writer, &leaf.info, leaf.plain, strlen(leaf.plain), leaf.rows, ROWS, NULL), TK_OK);
		assert_int_equal(tk_catalog_writer_add(writer, &leaf.info, leaf.plain, strlen(leaf.plain), leaf.rows, ROWS, NULL), TK_OK);
	}
	tk_catalog_writer_cleanup(&writer);
	restart(&world);
	assert_int_equal(unfinished_leaves(&world, 2), 150);
	/* It outlives a sweep. */
	assert_int_equal(tk_catalog_drop_next(world.catalog, NULL), TK_OK);
	assert_int_equal(unfinished_leaves(&world, 2), 150);
	expect_current(&world, 1);
	assert_int_equal(try_leaves(&world, 0, 0), TK_OK);

	/* The next writer replaces it, and its point ends it. */
	writer = write_leaves(&world, 2, 1);
	assert_int_equal(tk_catalog_writer_checkpoint(writer, &none, NULL, 0, NULL, 0, NULL), TK_OK);
	assert_int_equal(unfinished_leaves(&world, 2), LEAVES);
	at = point(&world, 2);
	assert_int_equal(tk_catalog_writer_finish(writer, &at, NULL), TK_OK);
	tk_catalog_writer_cleanup(&writer);
	advance(&world, 2);
	assert_int_equal(try_leaves(&world, 2, 1), TK_OK);
	assert_int_equal(faccessat(world.scratch->fd, DOMAIN_DIR "unfinished", F_OK, 0), -1);
	end(&world);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(leaves_come_back_as_they_went_in),
		TEST(a_bundle_begins_where_a_node_begins),
		TEST(one_changed_leaf_rewrites_one_bundle),
		TEST(nodes_are_found_again_and_forgotten_when_unused),
		TEST(advance_goes_only_to_the_point_that_next_is_for),
		TEST(an_abandoned_next_is_forgotten_with_its_bundles),
		TEST(a_torn_pointer_is_corrupt_wherever_it_is_cut),
		TEST(a_damaged_next_counts_as_none),
		TEST(a_damaged_bundle_is_noticed_and_written_anew),
		TEST(a_run_that_dies_leaves_the_old_point_whole),
		TEST(a_run_that_dies_leaves_the_leaves_of_its_last_checkpoint),
		TEST(a_reader_that_is_open_keeps_its_bundles),
		TEST(sidecars_that_do_not_fit_their_page_are_refused),
		TEST(an_empty_point_and_a_huge_page_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
