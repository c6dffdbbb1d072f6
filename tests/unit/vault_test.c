/* The vault as a directory: opening, receiving packs, scrub, slots, and being older than its own receipts. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vault/vault_store.h"
#include "tests/unit/vault_fixture.h"

static void
a_second_opener_is_refused_and_told_who_holds_it(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault *second = NULL;
	struct tk_err err;
	char pid[32];

	assert_int_equal(tk_vault_open(box->path, TK_VAULT_SERVE, NULL, &second, &err), TK_ELOCKED);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_non_null(strstr(err.text, pid));
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &second, NULL), TK_OK);
	tk_vault_close(second);
}

static void
a_vault_is_not_made_over_another(void **state)
{
	struct vault_box *box = *state;

	assert_int_equal(tk_vault_create(box->path, "other", NULL), TK_EEXIST);
	assert_int_equal(tk_vault_create(box->path, "two\nlines", NULL), TK_EINVAL);
}

static void
the_identity_is_for_its_owner_only(void **state)
{
	struct vault_box *box = *state;
	char path[128];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/identity", box->path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_string_equal(tk_vault_site(box->vault)->name, "site-a");
}

static void
a_vault_that_lost_its_incarnation_is_read_and_does_not_serve(void **state)
{
	static const char *const damage[] = {": >\"$1/incarnation\"", "echo 0123 >\"$1/incarnation\"", "rm \"$1/incarnation\"", "rm \"$1/identity\""};
	struct vault_box *box = *state;
	struct tk_receipt receipt;
	struct tk_head at;

	publish_small(box, 1, &at, &receipt);
	box_close(box);
	for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
		struct tk_store_point *points = NULL;
		struct tk_vault *reader = NULL;
		size_t count = 0;

		box_shell(box, damage[i]);
		assert_int_not_equal(tk_vault_open(box->path, TK_VAULT_SERVE, NULL, &box->vault, NULL), TK_OK);
		assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &reader, NULL), TK_OK);
		assert_int_equal(tk_vault_list_points(reader, &box->domain, &points, &count, NULL), TK_OK);
		assert_int_equal(count, 1);
		free(points);
		tk_vault_close(reader);
	}
}

static void
unknown_versions_and_critical_features_are_refused(void **state)
{
	struct vault_box *box = *state;

	box_close(box);
	box_shell(box, "sed -i 's/^critical 0/critical 4/' \"$1/VAULT\"");
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &box->vault, NULL), TK_EUNSUPPORTED);
	box_shell(box, "sed -i 's/^critical 4/critical 0/; s/vault 1/vault 2/' \"$1/VAULT\"");
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_SERVE, NULL, &box->vault, NULL), TK_EUNSUPPORTED);
}

static void
what_a_crash_left_pending_is_swept_at_start(void **state)
{
	struct vault_box *box = *state;

	box_shell(box, "echo rest > \"$1/tmp/p-0123\"");
	box_close(box);
	box_open(box);
	assert_int_equal(box_count(box, "tmp/*"), 0);
}

static void
a_pack_is_had_after_the_flush(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf range = {0};
	struct made_pack pack;
	uint64_t len;
	bool have;

	make_small_pack(box, &pack);
	assert_int_equal(tk_vault_pack_size(box->vault, &pack.ident.name, &len, NULL), TK_ENOENT);
	assert_int_equal(send_pack(box, &pack, NULL), TK_OK);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_false(have);
	assert_int_equal(tk_vault_flush(box->vault, NULL), TK_OK);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_true(have);
	assert_int_equal(tk_vault_pack_size(box->vault, &pack.ident.name, &len, NULL), TK_OK);
	assert_int_equal(len, pack.bytes.len_bytes);
	assert_int_equal(tk_vault_get_range(box->vault, &pack.ident.name, 50, 1000, &range, NULL), TK_OK);
	assert_int_equal(range.len_bytes, 1000);
	assert_memory_equal(range.data, pack.bytes.data + 50, 1000);
	assert_int_equal(tk_vault_get_range(box->vault, &pack.ident.name, len - 10, 11, &range, NULL), TK_ECORRUPT);
	assert_int_equal(range.len_bytes, 1000);
	tk_buf_release(&range);
	made_pack_release(&pack);
}

static void
the_same_pack_again_is_harmless_and_heals(void **state)
{
	struct vault_box *box = *state;
	struct made_pack pack;
	uint32_t *bad;
	size_t count;

	make_small_pack(box, &pack);
	store_pack(box, &pack);
	store_pack(box, &pack);
	box_shell(box, "flip 500 \"$(echo \"$1\"/packs/*/*)\"");
	assert_int_equal(tk_vault_check_pack(box->vault, &pack.ident.name, &bad, &count, NULL), TK_OK);
	assert_int_equal(count, 1);
	assert_int_equal(bad[0], 0);
	free(bad);
	store_pack(box, &pack);
	assert_int_equal(tk_vault_check_pack(box->vault, &pack.ident.name, &bad, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	made_pack_release(&pack);
}

static void
other_bytes_under_a_known_name_are_refused(void **state)
{
	static const struct made_blob blobs[] = {{.type = TK_BLOB_DATA}, {.type = TK_BLOB_DATA}};
	struct vault_box *box = *state;
	struct made_pack first, second, renamed;
	struct tk_pack_head head;

	assert_int_equal(tk_pack_head_begin(tk_keyring_domain(&box->ring, &box->domain), TK_SUITE_AES, TK_PACK_DATA, &box->incarnation, &head, NULL),
		TK_OK);
	make_pack_under(box, &head, blobs, 2, &first);
	make_pack_under(box, &head, blobs, 1, &second);
	/* Known by its file, then by its row. */
	assert_int_equal(send_pack(box, &first, NULL), TK_OK);
	assert_int_equal(send_pack(box, &second, NULL), TK_ECONFLICT);
	assert_int_equal(tk_vault_flush(box->vault, NULL), TK_OK);
	assert_int_equal(send_pack(box, &second, NULL), TK_ECONFLICT);
	make_small_pack(box, &renamed);
	renamed.ident.name.b[5] ^= 1;
	assert_int_equal(send_pack(box, &renamed, NULL), TK_ECORRUPT);
	tk_pack_head_wipe(&head);
	made_pack_release(&first);
	made_pack_release(&second);
	made_pack_release(&renamed);
}

static void
every_changed_byte_of_a_pack_is_noticed_on_arrival(void **state)
{
	struct vault_box *box = *state;
	struct made_pack pack;

	make_small_pack(box, &pack);
	for (size_t at = 0; at < pack.bytes.len_bytes; at += at < 130 || at + 300 > pack.bytes.len_bytes ? 1 : 97) {
		pack.bytes.data[at] ^= 0x10;
		assert_int_not_equal(send_pack(box, &pack, NULL), TK_OK);
		pack.bytes.data[at] ^= 0x10;
	}
	pack.bytes.len_bytes--;
	assert_int_not_equal(send_pack(box, &pack, NULL), TK_OK);
	assert_int_equal(box_count(box, "tmp/*"), 0);
	assert_int_equal(box_count(box, "packs/*/*"), 0);
	made_pack_release(&pack);
}

struct tally {
	size_t good, bad_packs, bad_records;
};

static enum tk_rc
count_finding(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err)
{
	struct tally *tally = ctx;

	(void)err;
	if (finding->rc == TK_OK)
		tally->good++;
	else if (finding->pack)
		tally->bad_packs++;
	else
		tally->bad_records++;
	return TK_OK;
}

static void
verify_all_names_what_is_damaged(void **state)
{
	struct vault_box *box = *state;
	struct tally tally = {0};

	publish_small(box, 1, NULL, NULL);
	publish_small(box, 2, NULL, NULL);
	assert_int_equal(tk_vault_verify_all(box->vault, count_finding, &tally, NULL), TK_OK);
	assert_int_equal(tally.good, 1 + 2 + 2 + 2);
	assert_int_equal(tally.bad_packs + tally.bad_records, 0);
	memset(&tally, 0, sizeof(tally));
	box_shell(box, "for f in $(ls \"$1\"/packs/*/* | head -1) $(ls \"$1\"/domains/*/points/* | head -1); do"
		       " flip 300 $f; done; rm $(ls \"$1\"/packs/*/* | tail -1)");
	assert_int_equal(tk_vault_verify_all(box->vault, count_finding, &tally, NULL), TK_OK);
	assert_int_equal(tally.bad_packs, 2);
	assert_int_equal(tally.bad_records, 1);
}

static void
slots_and_configuration_come_back(void **state)
{
	static const uint8_t config[] = "TWKCONF1\1\0\1\0\0\0\0\0\0\0\0ssssssssssssssss and what is sealed";
	struct vault_box *box = *state;
	uint8_t secret[32] = {1}, recovery[TK_KEY_BYTES] = {9};
	struct tk_buf slot = {0}, got = {0};
	struct tk_id source, slot_id;
	struct tk_slot_info info;

	assert_int_equal(tk_slot_seal(&box->ring, TK_SLOT_MACHINE, secret, sizeof(secret), "m", &slot, NULL, NULL), TK_OK);
	assert_int_equal(tk_slot_read_info(slot.data, slot.len_bytes, &info, NULL), TK_OK);
	assert_int_equal(tk_vault_put_slot(box->vault, slot.data, slot.len_bytes, recovery, NULL), TK_OK);
	assert_int_equal(tk_vault_get_slot(box->vault, &box->ring.source, 0, &got, NULL), TK_OK);
	assert_int_equal(got.len_bytes, slot.len_bytes);
	assert_memory_equal(got.data, slot.data, got.len_bytes);
	assert_int_equal(tk_vault_get_slot(box->vault, &box->ring.source, 1, &got, NULL), TK_ENOENT);
	assert_int_equal(tk_vault_find_recovery_key(box->vault, recovery, &source, &slot_id, NULL), TK_OK);
	assert_memory_equal(&source, &box->ring.source, sizeof(source));
	assert_int_equal(tk_vault_drop_slot(box->vault, &info.slot_id, NULL), TK_OK);
	assert_int_equal(tk_vault_drop_slot(box->vault, &info.slot_id, NULL), TK_ENOENT);
	assert_int_equal(tk_vault_find_recovery_key(box->vault, recovery, &source, &slot_id, NULL), TK_ENOENT);

	assert_int_equal(tk_vault_put_config(box->vault, config, sizeof(config), NULL), TK_OK);
	memset(&source, 's', sizeof(source));
	tk_buf_clear(&got);
	assert_int_equal(tk_vault_get_config(box->vault, &source, &got, NULL), TK_OK);
	assert_memory_equal(got.data, config, sizeof(config));
	assert_int_equal(tk_vault_put_config(box->vault, "TWKCONF2", 8, NULL), TK_ECORRUPT);
	tk_buf_release(&slot);
	tk_buf_release(&got);
}

static void
a_reader_needs_no_lock_and_no_index(void **state)
{
	struct vault_box *box = *state;
	struct tk_store_point *points = NULL;
	struct tk_store *store = NULL;
	struct tk_store_state now;
	struct tk_buf record = {0};
	struct tk_head at;
	size_t count;

	publish_small(box, 1, NULL, NULL);
	publish_small(box, 2, &at, NULL);
	box_shell(box, "cp -a \"$1\" \"$1.copy\"; rm \"$1.copy\"/index.db* \"$1.copy\"/identity \"$1.copy\"/lock");
	box_close(box);
	box_shell(box, "rm -r \"$1\"; mv \"$1.copy\" \"$1\"");
	assert_int_equal(tk_vault_store_open(box->path, TK_VAULT_READ, NULL, &store, NULL), TK_OK);
	assert_int_equal(store->ops->list_points(store, &box->domain, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_memory_equal(&points[1].at, &at, sizeof(at));
	assert_true(points[0].received_ns > 0);
	assert_int_equal(store->ops->get_point(store, &box->domain, &at, &record, NULL), TK_OK);
	assert_int_equal(store->ops->get_record(store, &box->domain, TK_RECORD_GENESIS, 0, &record, NULL), TK_OK);
	assert_int_equal(store->ops->state(store, &box->domain, NULL, &now, NULL), TK_OK);
	assert_true(!now.read_only && now.domain_known);
	assert_memory_equal(&now.head, &at, sizeof(at));
	assert_int_equal(store->ops->put_genesis(store, box->genesis.data, box->genesis.len_bytes, NULL), TK_EINVAL);
	assert_int_equal(box_count(box, "index.db"), 0);
	free(points);
	tk_buf_release(&record);
	tk_store_cleanup(&store);
}

/* A file beside the vault with the pack's bytes. */
static int
spooled(const struct vault_box *box, const struct made_pack *pack)
{
	char path[128];
	int fd;

	(void)scratch_path(box->scratch, "spool", path, sizeof(path));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, pack->bytes.data, pack->bytes.len_bytes), (int)pack->bytes.len_bytes);
	return fd;
}

static void
take_pack(struct vault_box *box, const struct made_pack *pack, int fd)
{
	struct tk_vault_pack *taken = NULL;

	assert_int_equal(tk_vault_pack_take(box->vault, &pack->ident.name, fd, pack->bytes.len_bytes, &taken, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_commit(taken, NULL), TK_OK);
	tk_vault_pack_cleanup(&taken);
	assert_int_equal(tk_vault_flush(box->vault, NULL), TK_OK);
}

static nlink_t
names_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_nlink;
}

static void
a_file_beside_the_vault_is_not_written_twice_nor_shared_by_two(void **state)
{
	struct vault_box *box = *state;
	struct made_pack pack;
	uint32_t *bad;
	size_t count;
	int fd;

	make_small_pack(box, &pack);
	fd = spooled(box, &pack);
	take_pack(box, &pack, fd);
	assert_int_equal(names_of(fd), 2);
	/* Whoever takes it now, this vault once more, gets bytes of its own. */
	take_pack(box, &pack, fd);
	assert_int_equal(names_of(fd), 1);
	assert_int_equal(box_count(box, "tmp/*"), 0);
	assert_int_equal(pwrite(fd, "x", 1, 500), 1);
	assert_int_equal(tk_vault_check_pack(box->vault, &pack.ident.name, &bad, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	close(fd);
	made_pack_release(&pack);
}

static void
a_file_that_is_damaged_or_cut_is_refused_and_leaves_nothing(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault_pack *taken = NULL;
	struct made_pack pack;
	int fd;

	make_small_pack(box, &pack);
	pack.bytes.data[500] ^= 1;
	fd = spooled(box, &pack);
	assert_int_equal(tk_vault_pack_take(box->vault, &pack.ident.name, fd, pack.bytes.len_bytes, &taken, NULL), TK_OK);
	assert_int_equal(names_of(fd), 2);
	assert_int_equal(tk_vault_pack_commit(taken, NULL), TK_ECORRUPT);
	tk_vault_pack_cleanup(&taken);
	assert_int_equal(names_of(fd), 1);
	assert_int_equal(tk_vault_pack_take(box->vault, &pack.ident.name, fd, pack.bytes.len_bytes + 1, &taken, NULL), TK_EINVAL);
	assert_int_equal(box_count(box, "tmp/*"), 0);
	close(fd);
	made_pack_release(&pack);
}

static void
a_session_stores_a_pack_from_a_file(void **state)
{
	struct vault_box *box = *state;
	struct tk_store *store = NULL;
	struct made_pack pack;
	bool have;
	int fd;

	make_small_pack(box, &pack);
	fd = spooled(box, &pack);
	assert_int_equal(tk_vault_store_new(box->vault, &store, NULL), TK_OK);
	assert_int_equal(store->ops->put_pack(store, &pack.ident.name, fd, pack.bytes.len_bytes, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->have(store, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_true(have);
	assert_int_equal(store->ops->put_pack(store, &pack.ident.name, fd, pack.bytes.len_bytes, NULL), TK_OK);
	tk_store_cleanup(&store);
	close(fd);
	made_pack_release(&pack);
}

/* A pack of over 2 MiB. */
static void
make_long_pack(struct vault_box *box, struct made_pack *out)
{
	size_t count = 1000;
	struct made_blob *blobs = calloc(count, sizeof(*blobs));

	assert_non_null(blobs);
	for (size_t i = 0; i < count; i++)
		blobs[i].type = TK_BLOB_DATA;
	make_pack(box, blobs, count, out);
	free(blobs);
	assert_true(out->bytes.len_bytes > 2000000);
}

/* Sends the pack up to a place, from where an attempt before had come to if there was one, and breaks off. */
static void
send_part(struct vault_box *box, const struct made_pack *pack, uint64_t held_bytes, uint64_t to_bytes)
{
	TK_AUTO(tk_vault_pack_cleanup) struct tk_vault_pack *pending = NULL;
	uint64_t left = pack->bytes.len_bytes;

	assert_int_equal(tk_vault_pack_begin(box->vault, &pack->ident.name, left, &pending, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_held(pending), held_bytes);
	assert_int_equal(tk_vault_pack_write(pending, pack->bytes.data, 1000, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_skip(pending, held_bytes + 1, &left, NULL), TK_EINVAL);
	assert_int_equal(tk_vault_pack_skip(pending, 999, &left, NULL), TK_EINVAL);
	left = pack->bytes.len_bytes - 1000;
	if (held_bytes)
		assert_int_equal(tk_vault_pack_skip(pending, held_bytes, &left, NULL), TK_OK);
	assert_int_equal(left, pack->bytes.len_bytes - (held_bytes ? held_bytes : 1000));
	assert_int_equal(tk_vault_pack_write(pending, pack->bytes.data + pack->bytes.len_bytes - left, (size_t)(to_bytes - (pack->bytes.len_bytes - left)), NULL), TK_OK);
	if (to_bytes == pack->bytes.len_bytes)
		assert_int_equal(tk_vault_pack_commit(pending, NULL), TK_OK);
}

static void
a_pack_goes_on_where_it_broke_off(void **state)
{
	struct vault_box *box = *state;
	struct made_pack pack;
	bool have;

	make_long_pack(box, &pack);
	send_part(box, &pack, 0, 50000);
	/* So little is not kept. */
	assert_int_equal(box_count(box, "tmp/*"), 0);
	send_part(box, &pack, 0, 1200000);
	assert_int_equal(box_count(box, "tmp/part-*"), 1);
	send_part(box, &pack, 1200000, 1500000);
	send_part(box, &pack, 1500000, pack.bytes.len_bytes);
	assert_int_equal(tk_vault_flush(box->vault, NULL), TK_OK);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_true(have);
	assert_int_equal(box_count(box, "tmp/*"), 0);
	made_pack_release(&pack);
}

static void
a_damaged_part_is_refused_with_the_pack_and_forgotten(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault_pack *pending = NULL;
	struct made_pack pack;
	uint64_t left;

	make_long_pack(box, &pack);
	send_part(box, &pack, 0, 1200000);
	box_shell(box, "cd \"$1/tmp\" && flip 600000 part-*");
	assert_int_equal(tk_vault_pack_begin(box->vault, &pack.ident.name, pack.bytes.len_bytes, &pending, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_skip(pending, 1200000, &left, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_write(pending, pack.bytes.data + 1200000, (size_t)left, NULL), TK_OK);
	assert_int_equal(tk_vault_pack_commit(pending, NULL), TK_ECORRUPT);
	tk_vault_pack_cleanup(&pending);
	assert_int_equal(box_count(box, "tmp/*"), 0);
	send_part(box, &pack, 0, pack.bytes.len_bytes);
	made_pack_release(&pack);
}

static void
no_more_than_some_parts_are_kept(void **state)
{
	struct vault_box *box = *state;

	for (unsigned i = 0; i < 12; i++) {
		struct made_pack pack;

		make_long_pack(box, &pack);
		send_part(box, &pack, 0, 1200000);
		made_pack_release(&pack);
	}
	assert_int_equal(box_count(box, "tmp/part-*"), 8);
	box_close(box);
	box_open(box);
	assert_int_equal(box_count(box, "tmp/*"), 0);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		IN_BOX(a_second_opener_is_refused_and_told_who_holds_it),
		IN_BOX(a_vault_is_not_made_over_another),
		IN_BOX(the_identity_is_for_its_owner_only),
		IN_BOX(unknown_versions_and_critical_features_are_refused),
		IN_BOX(a_vault_that_lost_its_incarnation_is_read_and_does_not_serve),
		IN_BOX(what_a_crash_left_pending_is_swept_at_start),
		IN_BOX(a_pack_is_had_after_the_flush),
		IN_BOX(the_same_pack_again_is_harmless_and_heals),
		IN_BOX(other_bytes_under_a_known_name_are_refused),
		IN_BOX(a_pack_goes_on_where_it_broke_off),
		IN_BOX(a_damaged_part_is_refused_with_the_pack_and_forgotten),
		IN_BOX(no_more_than_some_parts_are_kept),
		IN_BOX(every_changed_byte_of_a_pack_is_noticed_on_arrival),
		IN_BOX(verify_all_names_what_is_damaged),
		IN_BOX(slots_and_configuration_come_back),
		IN_BOX(a_reader_needs_no_lock_and_no_index),
		IN_BOX(a_session_stores_a_pack_from_a_file),
		IN_BOX(a_file_beside_the_vault_is_not_written_twice_nor_shared_by_two),
		IN_BOX(a_file_that_is_damaged_or_cut_is_refused_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
