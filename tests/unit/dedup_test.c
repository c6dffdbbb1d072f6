/* The index of chunks: what was committed is found, what was damaged is gone, and no answer is ever wrong. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/catalog/dedup.h"
#include "engine/crypto/hash.h"
#include "tests/unit/scratch.h"

#define DEDUP_DIR "domains/64646464646464646464646464646464/dedup"
#define PACKS 40u

static const struct tk_id domain = {"dddddddddddddddd"};

struct world {
	struct scratch *scratch;
	struct tk_packtab *packs;
	struct tk_dedup *dedup;
	bool fresh;
};

static void
begin(struct world *world, void **state)
{
	world->scratch = *state;
	assert_int_equal(tk_packtab_new(&world->packs, NULL), TK_OK);
	assert_int_equal(tk_dedup_open(world->scratch->path, &domain, TK_SUITE_AES, world->packs, &world->dedup, &world->fresh, NULL), TK_OK);
}

static void
end(struct world *world)
{
	tk_dedup_cleanup(&world->dedup);
	tk_packtab_cleanup(&world->packs);
}

/* As the next process sees it, whose packs have other numbers. */
static void
restart(struct world *world)
{
	struct tk_pack_name other = {"another pack is number zero now"};
	uint32_t number;

	end(world);
	assert_int_equal(tk_packtab_new(&world->packs, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(world->packs, &other, &number, NULL), TK_OK);
	assert_int_equal(tk_dedup_open(world->scratch->path, &domain, TK_SUITE_AES, world->packs, &world->dedup, &world->fresh, NULL), TK_OK);
}

static void
id_of(uint32_t i, uint8_t id[16])
{
	uint8_t digest[TK_HASH_BYTES];

	assert_int_equal(tk_hash(TK_SUITE_AES, &i, sizeof(i), digest, NULL), TK_OK);
	memcpy(id, digest, 16);
}

static struct tk_extent
place_of(struct world *world, uint32_t i)
{
	struct tk_pack_name name = {"pack"};
	struct tk_extent extent = {.ref.blob = i / 7, .offset_bytes = i, .length_bytes = i + 1};

	name.b[31] = (uint8_t)(i % PACKS);
	assert_int_equal(tk_packtab_intern(world->packs, &name, &extent.ref.pack, NULL), TK_OK);
	return extent;
}

static void
add(struct world *world, uint32_t from, uint32_t to)
{
	uint8_t id[16];

	for (uint32_t i = from; i < to; i++) {
		struct tk_extent extent = place_of(world, i);

		id_of(i, id);
		assert_int_equal(tk_dedup_add(world->dedup, id, &extent, NULL), TK_OK);
	}
}

static void
commit(struct world *world)
{
	assert_int_equal(tk_dedup_commit(world->dedup, NULL), TK_OK);
}

/* How many of the chunks are found; each that is must be where it was put. */
static uint32_t
found_of(struct world *world, uint32_t from, uint32_t to)
{
	uint32_t count = 0;
	uint8_t id[16];

	for (uint32_t i = from; i < to; i++) {
		struct tk_extent got, want = place_of(world, i);
		bool found = false;

		id_of(i, id);
		assert_int_equal(tk_dedup_find(world->dedup, id, &got, &found, NULL), TK_OK);
		if (found)
			assert_memory_equal(&got, &want, sizeof(got));
		count += found;
	}
	return count;
}

static unsigned
files(const struct world *world, char *one, size_t size)
{
	DIR *dir = fdopendir(openat(world->scratch->fd, DEDUP_DIR, O_RDONLY | O_DIRECTORY));
	const struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count++;
		if (one)
			(void)snprintf(one, size, DEDUP_DIR "/%.64s", entry->d_name);
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

static off_t
size_of(const struct world *world, const char *name)
{
	struct stat st;

	assert_int_equal(fstatat(world->scratch->fd, name, &st, 0), 0);
	return st.st_size;
}

static void
what_was_committed_is_found_by_the_next_run(void **state)
{
	struct world world;

	begin(&world, state);
	assert_true(world.fresh);
	assert_int_equal(found_of(&world, 0, 10), 0);
	add(&world, 0, 3000);
	assert_int_equal(found_of(&world, 0, 3100), 3000);
	commit(&world);
	commit(&world);
	assert_int_equal(found_of(&world, 0, 3100), 3000);
	restart(&world);
	assert_false(world.fresh);
	assert_int_equal(found_of(&world, 0, 3100), 3000);
	end(&world);
}

static void
an_index_of_nothing_is_there_once_committed(void **state)
{
	struct world world;

	begin(&world, state);
	commit(&world);
	restart(&world);
	assert_false(world.fresh);
	assert_int_equal(found_of(&world, 0, 10), 0);
	commit(&world);
	assert_int_equal(files(&world, NULL, 0), 1);
	add(&world, 0, 10);
	commit(&world);
	assert_int_equal(files(&world, NULL, 0), 1);
	restart(&world);
	assert_int_equal(found_of(&world, 0, 20), 10);
	end(&world);
}

static void
what_was_not_committed_is_forgotten(void **state)
{
	struct world world;

	begin(&world, state);
	add(&world, 0, 10);
	commit(&world);
	add(&world, 10, 20);
	restart(&world);
	assert_int_equal(found_of(&world, 0, 20), 10);
	end(&world);
}

static void
a_chunk_keeps_its_first_place(void **state)
{
	struct world world;
	struct tk_extent other;
	uint8_t id[16];

	begin(&world, state);
	add(&world, 0, 600);
	other = place_of(&world, 900);
	id_of(5, id);
	assert_int_equal(tk_dedup_add(world.dedup, id, &other, NULL), TK_OK);
	commit(&world);
	assert_int_equal(tk_dedup_add(world.dedup, id, &other, NULL), TK_OK);
	commit(&world);
	restart(&world);
	assert_int_equal(tk_dedup_add(world.dedup, id, &other, NULL), TK_OK);
	commit(&world);
	assert_int_equal(found_of(&world, 0, 600), 600);
	other.length_bytes = 0;
	assert_int_equal(tk_dedup_add(world.dedup, id, &other, NULL), TK_EINVAL);
	end(&world);
}

static void
runs_are_merged_so_that_there_are_few(void **state)
{
	struct world world;
	uint32_t count = 0;
	unsigned most = 0;

	begin(&world, state);
	for (uint32_t round = 0; round < 60; round++) {
		uint32_t more = round % 9 == 0 ? 500 : 3;

		add(&world, count, count + more);
		count += more;
		commit(&world);
		if (files(&world, NULL, 0) > most)
			most = files(&world, NULL, 0);
		if (round % 13 == 0)
			restart(&world);
	}
	assert_true(most > 1 && most <= 12);
	assert_int_equal(found_of(&world, 0, count + 50), count);
	end(&world);
}

static void
many_runs_left_by_crashes_are_merged_too(void **state)
{
	struct world world;
	char name[128], copy[128];

	begin(&world, state);
	add(&world, 0, 300);
	commit(&world);
	assert_int_equal(files(&world, name, sizeof(name)), 1);
	for (unsigned i = 0x10; i < 0x40; i++) {
		(void)snprintf(copy, sizeof(copy), DEDUP_DIR "/%016x.run", i);
		assert_int_equal(linkat(world.scratch->fd, name, world.scratch->fd, copy, 0), 0);
	}
	scratch_file(world.scratch, DEDUP_DIR "/.tk-tmp-00", "left by a crash");
	restart(&world);
	assert_int_equal(found_of(&world, 0, 310), 300);
	add(&world, 300, 301);
	commit(&world);
	assert_true(files(&world, NULL, 0) <= 12);
	restart(&world);
	assert_int_equal(found_of(&world, 0, 310), 301);
	end(&world);
}

static void
a_damaged_block_takes_its_run_along_and_nothing_else(void **state)
{
	struct world world;
	char name[128];

	begin(&world, state);
	add(&world, 0, 2000);
	commit(&world);
	assert_int_equal(files(&world, name, sizeof(name)), 1);
	add(&world, 2000, 2100);
	commit(&world);
	assert_int_equal(files(&world, NULL, 0), 2);
	flip_byte(&world, name, 256 * 32 * 3 + 17);
	restart(&world);
	assert_true(found_of(&world, 0, 2000) < 2000);
	assert_int_equal(files(&world, NULL, 0), 1);
	assert_int_equal(found_of(&world, 2000, 2100), 100);
	restart(&world);
	assert_int_equal(found_of(&world, 0, 2100), 100);
	end(&world);
}

static void
a_merge_does_not_take_damaged_rows_in(void **state)
{
	struct world world;
	char name[128];

	begin(&world, state);
	add(&world, 0, 1000);
	commit(&world);
	assert_int_equal(files(&world, name, sizeof(name)), 1);
	flip_byte(&world, name, 256 * 32 * 2 + 20);
	restart(&world);
	add(&world, 1000, 2000);
	commit(&world);
	assert_int_equal(files(&world, NULL, 0), 1);
	restart(&world);
	assert_int_equal(found_of(&world, 0, 2000), 1000);
	end(&world);
}

static void
damaged_tables_are_noticed_at_open(void **state)
{
	struct world world;
	char name[128];

	for (off_t back = 1; back < 64 + 32 * PACKS + 48; back += 13) {
		begin(&world, state);
		add(&world, 0, 200);
		commit(&world);
		assert_int_equal(files(&world, name, sizeof(name)), 1);
		flip_byte(&world, name, size_of(&world, name) - back);
		restart(&world);
		assert_true(world.fresh);
		assert_int_equal(files(&world, NULL, 0), 0);
		end(&world);
	}
}

static void
a_run_that_was_cut_is_dropped(void **state)
{
	struct world world;
	char name[128];
	off_t size = 0;

	for (unsigned step = 0; step < 8; step++) {
		int fd;

		begin(&world, state);
		add(&world, 0, 200);
		commit(&world);
		assert_int_equal(files(&world, name, sizeof(name)), 1);
		size = size_of(&world, name);
		fd = openat(world.scratch->fd, name, O_RDWR);
		assert_int_equal(ftruncate(fd, size * step / 8), 0);
		close(fd);
		restart(&world);
		assert_true(world.fresh);
		end(&world);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_committed_is_found_by_the_next_run),
		TEST(an_index_of_nothing_is_there_once_committed),
		TEST(what_was_not_committed_is_forgotten),
		TEST(a_chunk_keeps_its_first_place),
		TEST(runs_are_merged_so_that_there_are_few),
		TEST(many_runs_left_by_crashes_are_merged_too),
		TEST(a_damaged_block_takes_its_run_along_and_nothing_else),
		TEST(a_merge_does_not_take_damaged_rows_in),
		TEST(damaged_tables_are_noticed_at_open),
		TEST(a_run_that_was_cut_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
