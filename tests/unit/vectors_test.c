/* Test vectors: what this code writes from fixed keys, salts and names is, byte for byte, what tests/golden/vectors.txt says, and what stands there
 * is still read. `vectors_test print` prints the vectors; a released one never changes. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/vault/content_digest.h"
#include "engine/vault/keycore.h"
#include "engine/vault/marks.h"
#include "engine/vault/packcore.h"
#include "engine/vault/recordio.h"

#define VECTORS_FILE TK_TOP_SRCDIR "/tests/golden/vectors.txt"

enum { VECTORS_MAX = 40, LINE_MAX_BYTES = 1 << 16 };

struct vector {
	const char *name;
	struct tk_buf bytes;
};

struct vectors {
	struct vector list[VECTORS_MAX];
	size_t count;
};

/* The fixed keyring: every field is filled with a byte of its own. */
static struct tk_data_key data_key = {.key_epoch = 1};
static struct tk_domain_keys domain_keys = {.data_keys = &data_key, .data_key_count = 1};
static struct tk_keyring ring = {.has_operator_seed = true, .domains = &domain_keys, .domain_count = 1};
static struct tk_id incarnation, site, vault_incarnation;
static uint8_t site_seed[TK_KEY_BYTES], salt[TK_SALT_BYTES], machine_key[TK_KEY_BYTES];
static const char passphrase[] = "correct horse battery staple";

static void
fill_fixed(enum tk_suite suite)
{
	ring.suite = suite;
	memset(&ring.source, 0x01, sizeof(ring.source));
	memset(ring.writer_seed, 0x02, sizeof(ring.writer_seed));
	memset(ring.operator_seed, 0x03, sizeof(ring.operator_seed));
	memset(ring.home_key, 0x04, sizeof(ring.home_key));
	memset(&domain_keys.domain, 0x05, sizeof(domain_keys.domain));
	memset(domain_keys.dedup_key, 0x06, sizeof(domain_keys.dedup_key));
	memset(domain_keys.chunk_key, 0x07, sizeof(domain_keys.chunk_key));
	memset(data_key.key, 0x08, sizeof(data_key.key));
	memset(&incarnation, 0x0a, sizeof(incarnation));
	memset(salt, 0x0b, sizeof(salt));
	memset(machine_key, 0x0c, sizeof(machine_key));
	memset(&site, 0x0d, sizeof(site));
	memset(&vault_incarnation, 0x0e, sizeof(vault_incarnation));
	memset(site_seed, 0x0f, sizeof(site_seed));
}

static struct tk_buf *
add(struct vectors *v, const char *name)
{
	assert_true(v->count < VECTORS_MAX);
	v->list[v->count].name = name;
	return &v->list[v->count++].bytes;
}

static void
add_bytes(struct vectors *v, const char *name, const void *bytes, size_t len)
{
	assert_int_equal(tk_buf_put(add(v, name), bytes, len, NULL), TK_OK);
}

static const struct tk_content_row content_rows[] = {
	{0, 0, 4, {0x20, 0x21}},
	{0, 4, 4, {0x22, 0x23}},
};

static void
append(struct tk_pack_file *file, const struct tk_pack_head *head, uint32_t blob, enum tk_blob_type type, const void *plain, size_t len,
    const struct tk_blob_ref *refs, size_t ref_count)
{
	TK_AUTO(tk_sealer_cleanup) struct tk_sealer *sealer = NULL;
	struct tk_buf sealed = {0};
	struct tk_blob_info info;

	assert_int_equal(tk_sealer_new(&sealer, NULL), TK_OK);
	assert_int_equal(tk_seal_blob(sealer, head, blob, type, TK_CODEC_RAW, 0, plain, len, &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, blob, &info, sealed.data, refs, ref_count, NULL), TK_OK);
	tk_buf_release(&sealed);
}

/* Blob 0: data "twinkeep"; blob 1: a leaf page's place, with references to blob 0 and to blob 7 of the pack 0x77..; blob 2: contents. */
static void
write_pack(int fd, const struct tk_pack_head *head, struct tk_pack_ident *ident)
{
	TK_AUTO(tk_packtab_cleanup) struct tk_packtab *packs = NULL;
	TK_AUTO(tk_pack_file_cleanup) struct tk_pack_file *file = NULL;
	struct tk_pack_name other;
	struct tk_blob_ref refs[2] = {{0, 7}, {0, 0}};
	struct tk_buf contents = {0};

	memset(&other, 0x77, sizeof(other));
	assert_int_equal(tk_packtab_new(&packs, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(packs, &other, &refs[0].pack, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(packs, &head->name, &refs[1].pack, NULL), TK_OK);
	assert_int_equal(tk_pack_file_begin(fd, head, packs, &file, NULL), TK_OK);
	append(file, head, 0, TK_BLOB_DATA, "twinkeep", 8, NULL, 0);
	append(file, head, 1, TK_BLOB_LEAF, "page", 4, refs, 2);
	assert_int_equal(tk_contents_encode(content_rows, 2, &contents, NULL), TK_OK);
	append(file, head, 2, TK_BLOB_CONTENTS, contents.data, contents.len_bytes, NULL, 0);
	assert_int_equal(tk_pack_file_finish(file, ident, NULL), TK_OK);
	tk_buf_release(&contents);
}

static void
add_pack(struct vectors *v, enum tk_suite suite, const char *key_name, const char *pack_name, struct tk_pack_ident *ident)
{
	struct tk_pack_name name;
	struct tk_pack_head head;
	struct tk_buf *pack;
	int fd = memfd_create("pack", MFD_CLOEXEC);

	memset(&name, 0x09, sizeof(name));
	assert_true(fd >= 0);
	assert_int_equal(tk_pack_head_make(&domain_keys, suite, TK_PACK_MIXED, &incarnation, &name, &head, NULL), TK_OK);
	add_bytes(v, key_name, head.seal_key, sizeof(head.seal_key));
	write_pack(fd, &head, ident);
	pack = add(v, pack_name);
	assert_int_equal(tk_buf_reserve(pack, (size_t)ident->len_bytes, NULL), TK_OK);
	assert_int_equal(pread(fd, pack->data, (size_t)ident->len_bytes, 0), (ssize_t)ident->len_bytes);
	pack->len_bytes = (size_t)ident->len_bytes;
	close(fd);
}

static void
add_digests(struct vectors *v)
{
	TK_AUTO(tk_content_hash_cleanup) struct tk_content_hash *hash = NULL;
	struct tk_digest digest;
	uint8_t id[TK_HASH_BYTES];

	assert_int_equal(tk_content_hash_new(TK_SUITE_AES, TK_SEGMENT_BYTES, &hash, NULL), TK_OK);
	assert_int_equal(tk_content_hash_all(hash, "", 0, &digest, NULL), TK_OK);
	add_bytes(v, "content-digest-empty", digest.b, sizeof(digest.b));
	assert_int_equal(tk_content_hash_all(hash, "twinkeep", 8, &digest, NULL), TK_OK);
	add_bytes(v, "content-digest-twinkeep", digest.b, sizeof(digest.b));
	assert_int_equal(tk_hmac(TK_SUITE_AES, domain_keys.dedup_key, TK_KEY_BYTES, digest.b, sizeof(digest.b), id, NULL), TK_OK);
	add_bytes(v, "chunk-id-twinkeep", id, 16);
	tk_content_hash_begin(hash);
	assert_int_equal(tk_content_hash_feed(hash, "twinkeep", 8, NULL), TK_OK);
	assert_int_equal(tk_content_hash_zeros(hash, TK_SEGMENT_BYTES, NULL), TK_OK);
	assert_int_equal(tk_content_hash_finish(hash, &digest, NULL), TK_OK);
	add_bytes(v, "content-digest-twinkeep-and-64MiB-of-zeros", digest.b, sizeof(digest.b));
}

static char dataset_name[] = "data", source_name[] = "source", root_path[] = "/srv/data";
static char *roots[] = {root_path};

static void
add_point(struct vectors *v, struct tk_grant *grant, struct tk_pack_ident *ident, struct tk_head *at)
{
	struct tk_point_body body = {.dataset_name = dataset_name, .source_name = source_name, .scan_start_ns = 1, .scan_end_ns = 2,
	    .segment_bytes = TK_SEGMENT_BYTES, .entries = 3, .files = 2, .total_bytes = 8, .files_new = 2, .literal_bytes = 8, .stored_bytes = 500,
	    .roots = roots, .root_count = 1};
	struct tk_point point = {.suite = TK_SUITE_AES, .domain = domain_keys.domain, .dataset = domain_keys.domain, .incarnation = incarnation,
	    .at = {1, 1, {{0}}}, .grant = grant->digest, .root_pack = ident->name, .root_blob = 1, .packs = ident, .pack_count = 1};

	memset(&body.tree, 0x10, sizeof(body.tree));
	assert_int_equal(tk_point_body_encode(&body, add(v, "point-body-plain"), NULL), TK_OK);
	assert_int_equal(tk_point_seal_with(salt, &point, &body, &domain_keys, ring.writer_seed, add(v, "point"), NULL), TK_OK);
	add_bytes(v, "point-id", point.at.point.b, sizeof(point.at.point.b));
	*at = point.at;
}

/* What a site was told of two others: the vote of one, the receipt of the other. */
static void
add_marks(struct vectors *v)
{
	struct tk_marks *marks = calloc(1, sizeof(*marks));

	assert_non_null(marks);
	for (size_t i = 0; i < v->count; i++)
		if (strcmp(v->list[i].name, "vote") == 0 || strcmp(v->list[i].name, "receipt") == 0)
			assert_int_equal(tk_mark_decode(v->list[i].bytes.data, v->list[i].bytes.len_bytes, &marks->mark[marks->count++], NULL), TK_OK);
	assert_int_equal(tk_marks_encode(marks, add(v, "marks"), NULL), TK_OK);
	free(marks);
}

static void
add_promises(struct vectors *v, struct tk_pack_ident *ident)
{
	struct tk_genesis genesis = {.suite = TK_SUITE_AES, .domain = domain_keys.domain, .source = ring.source, .incarnation = incarnation,
	    .source_name = "source", .created_ns = 1};
	struct tk_grant grant = {.suite = TK_SUITE_AES, .domain = domain_keys.domain, .incarnation = incarnation, .epoch = 1, .created_ns = 1};
	struct tk_vote vote = {.suite = TK_SUITE_AES, .domain = domain_keys.domain, .site = site, .vault_incarnation = vault_incarnation, .counter = 41,
	    .epoch = 1, .time_ns = 1};
	struct tk_receipt receipt = {.suite = TK_SUITE_AES, .domain = domain_keys.domain, .site = site, .vault_incarnation = vault_incarnation,
	    .site_name = "east", .counter = 1, .promised_epoch = 1, .time_ns = 1};

	memset(genesis.writer_key, 0x11, sizeof(genesis.writer_key));
	memcpy(grant.writer_key, genesis.writer_key, sizeof(grant.writer_key));
	assert_int_equal(tk_genesis_seal(&genesis, ring.operator_seed, add(v, "genesis"), NULL), TK_OK);
	assert_int_equal(tk_grant_seal(&grant, ring.operator_seed, add(v, "grant"), NULL), TK_OK);
	vote.grant = grant.digest;
	assert_int_equal(tk_vote_seal(&vote, site_seed, add(v, "vote"), NULL), TK_OK);
	add_point(v, &grant, ident, &receipt.at);
	assert_int_equal(tk_receipt_seal(&receipt, site_seed, add(v, "receipt"), NULL), TK_OK);
	add_marks(v);
}

static char conf_name[] = "twinkeep.conf";

static void
add_keys(struct vectors *v)
{
	struct tk_slot_params params = {.log2n = 15};
	uint8_t conf_text[] = "suite = aes\n", recovery[TK_KEY_BYTES];
	struct tk_config_file conf = {conf_name, 0644, {conf_text, sizeof(conf_text) - 1, 0, 0}};

	memset(&params.slot_id, 0x12, sizeof(params.slot_id));
	memcpy(params.salt, salt, sizeof(params.salt));
	assert_int_equal(tk_keyring_encode(&ring, true, add(v, "keyring-plain"), NULL), TK_OK);
	assert_int_equal(tk_slot_seal_with(&params, &ring, TK_SLOT_MACHINE, machine_key, sizeof(machine_key), "host", add(v, "slot-machine"),
	    NULL, NULL), TK_OK);
	assert_int_equal(tk_slot_seal_with(&params, &ring, TK_SLOT_PASSPHRASE, passphrase, strlen(passphrase), "operator",
	    add(v, "slot-passphrase"), recovery, NULL), TK_OK);
	add_bytes(v, "slot-passphrase-recovery-public-key", recovery, sizeof(recovery));
	assert_int_equal(tk_config_seal_with(salt, &ring, &conf, 1, add(v, "config"), NULL), TK_OK);
}

static void
make_vectors(struct vectors *v)
{
	struct tk_pack_ident ident;

	memset(v, 0, sizeof(*v));
	fill_fixed(TK_SUITE_AES);
	add_digests(v);
	assert_int_equal(tk_contents_encode(content_rows, 2, add(v, "contents-plain"), NULL), TK_OK);
	add_pack(v, TK_SUITE_CHACHA, "pack-chacha-sealing-key", "pack-chacha", &ident);
	add_pack(v, TK_SUITE_AES, "pack-aes-sealing-key", "pack-aes", &ident);
	add_promises(v, &ident);
	add_keys(v);
}

static void
release_vectors(struct vectors *v)
{
	for (size_t i = 0; i < v->count; i++)
		tk_buf_release(&v->list[i].bytes);
}

/* The bytes of a vector as the golden file has them; the caller releases. */
static struct tk_buf
golden(const char *name)
{
	FILE *file = fopen(VECTORS_FILE, "r");
	char *line = malloc(LINE_MAX_BYTES);
	struct tk_buf bytes = {0};
	size_t name_len = strlen(name);

	assert_non_null(file);
	assert_non_null(line);
	while (bytes.len_bytes == 0 && fgets(line, LINE_MAX_BYTES, file)) {
		size_t hex_len;

		if (strncmp(line, name, name_len) != 0 || line[name_len] != ' ')
			continue;
		hex_len = strcspn(line + name_len + 1, "\n");
		line[name_len + 1 + hex_len] = '\0';
		assert_int_equal(tk_buf_reserve(&bytes, hex_len / 2, NULL), TK_OK);
		assert_int_equal(tk_hex_decode(line + name_len + 1, bytes.data, hex_len / 2, NULL), TK_OK);
		bytes.len_bytes = hex_len / 2;
	}
	if (bytes.len_bytes == 0)
		fail_msg("no vector %s in %s", name, VECTORS_FILE);
	free(line);
	(void)fclose(file);
	return bytes;
}

static void
every_vector_is_written_as_it_was(void **state)
{
	struct vectors v;

	(void)state;
	make_vectors(&v);
	for (size_t i = 0; i < v.count; i++) {
		struct tk_buf want = golden(v.list[i].name);

		if (want.len_bytes != v.list[i].bytes.len_bytes || memcmp(want.data, v.list[i].bytes.data, want.len_bytes) != 0)
			fail_msg("%s differs from the golden one", v.list[i].name);
		tk_buf_release(&want);
	}
	release_vectors(&v);
}

static void
expect_pack_opens(const char *name)
{
	TK_AUTO(tk_opener_cleanup) struct tk_opener *opener = NULL;
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	struct tk_buf pack = golden(name), plain = {0};
	const struct tk_blob_info *info;

	assert_int_equal(tk_opener_new(&opener, NULL), TK_OK);
	assert_int_equal(tk_pack_index_read(&domain_keys, pack.data, pack.data, pack.len_bytes, pack.len_bytes, &index, NULL), TK_OK);
	assert_int_equal(index->blob_count, 3);
	info = &index->blobs[0];
	assert_int_equal(tk_open_blob(opener, index, 0, pack.data + info->offset_bytes, info->sealed_bytes, &plain, NULL), TK_OK);
	assert_int_equal(plain.len_bytes, 8);
	assert_memory_equal(plain.data, "twinkeep", 8);
	tk_buf_release(&pack);
	tk_buf_release(&plain);
}

static void
packs_of_every_suite_are_still_read(void **state)
{
	(void)state;
	fill_fixed(TK_SUITE_AES);
	expect_pack_opens("pack-aes");
	expect_pack_opens("pack-chacha");
}

static void
records_are_still_read(void **state)
{
	struct tk_buf point = golden("point"), genesis = golden("genesis"), grant = golden("grant"), vote = golden("vote"),
	    receipt = golden("receipt");
	struct tk_point point_out;
	struct tk_point_body body;
	struct tk_genesis genesis_out;
	struct tk_grant grant_out;
	struct tk_vote vote_out;
	struct tk_receipt receipt_out;
	struct tk_buf list = golden("marks");
	struct tk_marks *marks = calloc(1, sizeof(*marks));

	(void)state;
	fill_fixed(TK_SUITE_AES);
	assert_int_equal(tk_genesis_decode(genesis.data, genesis.len_bytes, &genesis_out, NULL), TK_OK);
	assert_int_equal(tk_grant_decode(grant.data, grant.len_bytes, &grant_out, NULL), TK_OK);
	assert_int_equal(tk_vote_decode(vote.data, vote.len_bytes, &vote_out, NULL), TK_OK);
	assert_int_equal(tk_receipt_decode(receipt.data, receipt.len_bytes, &receipt_out, NULL), TK_OK);
	assert_int_equal(tk_point_decode(point.data, point.len_bytes, &point_out, NULL), TK_OK);
	assert_memory_equal(&receipt_out.at, &point_out.at, sizeof(point_out.at));
	assert_memory_equal(&point_out.grant, &grant_out.digest, sizeof(grant_out.digest));
	assert_int_equal(tk_point_open_body(point.data, point.len_bytes, &domain_keys, &body, NULL), TK_OK);
	assert_string_equal(body.roots[0], root_path);
	tk_point_release(&point_out);
	tk_point_body_release(&body);
	tk_buf_release(&point);
	tk_buf_release(&genesis);
	tk_buf_release(&grant);
	tk_buf_release(&vote);
	assert_non_null(marks);
	assert_int_equal(tk_marks_decode(list.data, list.len_bytes, marks, NULL), TK_OK);
	assert_int_equal(marks->count, 2);
	assert_int_equal(marks->mark[0].counter, 41);
	free(marks);
	tk_buf_release(&list);
	tk_buf_release(&receipt);
}

static void
slots_and_configuration_are_still_opened(void **state)
{
	struct tk_buf machine = golden("slot-machine"), pass = golden("slot-passphrase"), config = golden("config");
	struct tk_keyring back;
	struct tk_config_file *files = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(tk_slot_open(machine.data, machine.len_bytes, machine_key, sizeof(machine_key), &back, NULL), TK_OK);
	tk_keyring_release(&back);
	assert_int_equal(tk_slot_open(pass.data, pass.len_bytes, passphrase, strlen(passphrase), &back, NULL), TK_OK);
	assert_int_equal(tk_config_open(&back, config.data, config.len_bytes, &files, &count, NULL), TK_OK);
	assert_string_equal(files[0].name, conf_name);
	tk_config_files_free(files, count);
	tk_keyring_release(&back);
	tk_buf_release(&machine);
	tk_buf_release(&pass);
	tk_buf_release(&config);
}

static int
print_vectors(void)
{
	struct vectors v;

	make_vectors(&v);
	for (size_t i = 0; i < v.count; i++) {
		char *hex = malloc(v.list[i].bytes.len_bytes * 2 + 1);

		if (!hex)
			return 1;
		tk_hex_encode(v.list[i].bytes.data, v.list[i].bytes.len_bytes, hex);
		(void)printf("%s %s\n", v.list[i].name, hex);
		free(hex);
	}
	release_vectors(&v);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_vector_is_written_as_it_was),
		cmocka_unit_test(packs_of_every_suite_are_still_read),
		cmocka_unit_test(records_are_still_read),
		cmocka_unit_test(slots_and_configuration_are_still_opened),
	};

	if (argc == 2 && strcmp(argv[1], "print") == 0)
		return print_vectors();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
