#include "tests/unit/unit.h"

#include "tests/unit/vault_fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/crypto/sign.h"
#include "engine/vault/opening.h"

static void
make_genesis(struct vault_box *box)
{
	struct tk_genesis genesis = {.suite = TK_SUITE_AES, .domain = box->domain, .source = box->ring.source, .incarnation = box->incarnation,
		.source_name = "source", .created_ns = 1};
	struct tk_grant grant = {0};

	assert_int_equal(tk_sign_public(TK_SUITE_AES, box->ring.writer_seed, genesis.writer_key, NULL), TK_OK);
	assert_int_equal(tk_sign_public(TK_SUITE_AES, box->ring.operator_seed, genesis.operator_key, NULL), TK_OK);
	assert_int_equal(tk_genesis_seal(&genesis, box->ring.operator_seed, &box->genesis, NULL), TK_OK);
	make_grant(box, 1, NULL, &grant, &box->grant);
	box->grant_digest = grant.digest;
}

static int
setup_in(int (*make_scratch)(void **), void **state)
{
	struct vault_box *box = calloc(1, sizeof(*box));
	void *scratch = NULL;

	assert_non_null(box);
	if (make_scratch(&scratch))
		return -1;
	box->scratch = scratch;
	(void)scratch_path(box->scratch, "vault", box->path, sizeof(box->path));
	assert_int_equal(tk_keyring_generate(TK_SUITE_AES, &box->ring, NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&box->ring, &box->domain, NULL), TK_OK);
	memset(&box->incarnation, 7, sizeof(box->incarnation));
	assert_int_equal(tk_packtab_new(&box->packs, NULL), TK_OK);
	make_genesis(box);
	assert_int_equal(tk_vault_create(box->path, "site-a", NULL), TK_OK);
	box_open(box);
	assert_int_equal(tk_vault_put_genesis(box->vault, box->genesis.data, box->genesis.len_bytes, NULL), TK_OK);
	*state = box;
	return 0;
}

int
box_setup(void **state)
{
	return setup_in(scratch_setup, state);
}

int
box_setup_fast(void **state)
{
	return setup_in(scratch_setup_fast, state);
}

int
box_teardown(void **state)
{
	struct vault_box *box = *state;
	void *scratch = box->scratch;

	box_close(box);
	tk_buf_release(&box->genesis);
	tk_buf_release(&box->grant);
	tk_packtab_free(box->packs);
	tk_keyring_release(&box->ring);
	free(box);
	return scratch_teardown(&scratch);
}

void
box_open(struct vault_box *box)
{
	struct tk_err err;

	if (tk_vault_open(box->path, TK_VAULT_SERVE, NULL, &box->vault, &err))
		fail_msg("open: %s", err.text);
}

void
box_close(struct vault_box *box)
{
	tk_vault_cleanup(&box->vault);
}

void
box_shell(const struct vault_box *box, const char *command)
{
	/* Writing a fixed byte would change nothing once in 256 times. */
	static const char flip[] = "flip() { b=$(od -An -tu1 -j\"$1\" -N1 \"$2\"); chmod u+w \"$2\"; "
				   "printf \"\\\\$(printf %03o $((b ^ 1)))\" | dd of=\"$2\" bs=1 seek=\"$1\" conv=notrunc status=none; }\n";
	char script[4096];
	int status = -1;
	pid_t pid;

	assert_true((size_t)snprintf(script, sizeof(script), "%s%s", flip, command) < sizeof(script));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		execl("/bin/sh", "sh", "-ec", script, "sh", box->path, (char *)NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("shell: %s", command);
}

size_t
box_count(const struct vault_box *box, const char *pattern)
{
	char path[256];
	size_t count;
	glob_t found;

	(void)snprintf(path, sizeof(path), "%s/%s", box->path, pattern);
	if (glob(path, GLOB_NOSORT, NULL, &found))
		return 0;
	count = found.gl_pathc;
	globfree(&found);
	return count;
}

static void
append_blob(struct tk_pack_file *file, struct tk_sealer *sealer, const struct tk_pack_head *head, uint32_t number,
	    const struct made_blob *blob, uint32_t own)
{
	struct tk_blob_ref refs[4];
	struct tk_buf sealed = {0};
	struct tk_blob_info info;
	uint8_t plain[3000];

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 31 + number + head->name.b[i % 32]);
	for (size_t i = 0; i < blob->ref_count; i++) {
		refs[i] = blob->refs[i];
		if (refs[i].pack == OWN_PACK)
			refs[i].pack = own;
	}
	assert_int_equal(tk_seal_blob(sealer, head, number, blob->type, TK_CODEC_RAW, 0, plain, sizeof(plain), &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, number, &info, sealed.data, refs, blob->ref_count, NULL), TK_OK);
	tk_buf_release(&sealed);
}

void
make_pack_under(struct vault_box *box, const struct tk_pack_head *head, const struct made_blob *blobs, size_t count, struct made_pack *out)
{
	struct tk_pack_file *file = NULL;
	struct tk_sealer *sealer = NULL;
	int fd = memfd_create("pack", MFD_CLOEXEC);

	assert_true(fd >= 0);
	memset(out, 0, sizeof(*out));
	assert_int_equal(tk_packtab_intern(box->packs, &head->name, &out->number, NULL), TK_OK);
	assert_int_equal(tk_sealer_new(&sealer, NULL), TK_OK);
	assert_int_equal(tk_pack_file_begin(fd, head, box->packs, &file, NULL), TK_OK);
	for (uint32_t i = 0; i < count; i++)
		append_blob(file, sealer, head, i, &blobs[i], out->number);
	assert_int_equal(tk_pack_file_finish(file, &out->ident, NULL), TK_OK);
	assert_int_equal(tk_buf_reserve(&out->bytes, (size_t)out->ident.len_bytes, NULL), TK_OK);
	assert_int_equal(pread(fd, out->bytes.data, (size_t)out->ident.len_bytes, 0), (int)out->ident.len_bytes);
	out->bytes.len_bytes = (size_t)out->ident.len_bytes;
	tk_pack_file_cleanup(&file);
	tk_sealer_cleanup(&sealer);
	close(fd);
}

void
make_pack(struct vault_box *box, const struct made_blob *blobs, size_t count, struct made_pack *out)
{
	struct tk_pack_head head;

	assert_int_equal(tk_pack_head_begin(tk_keyring_domain(&box->ring, &box->domain), TK_SUITE_AES, TK_PACK_MIXED, &box->incarnation, &head, NULL),
		TK_OK);
	make_pack_under(box, &head, blobs, count, out);
	tk_pack_head_wipe(&head);
}

void
make_small_pack(struct vault_box *box, struct made_pack *out)
{
	static const struct made_blob blobs[] = {{.type = TK_BLOB_DATA}, {.type = TK_BLOB_LEAF, .refs = {{OWN_PACK, 0}}, .ref_count = 1}};

	make_pack(box, blobs, 2, out);
}

void
made_pack_release(struct made_pack *pack)
{
	tk_buf_release(&pack->bytes);
}

enum tk_rc
send_pack(struct vault_box *box, const struct made_pack *pack, struct tk_err *err)
{
	TK_AUTO(tk_vault_pack_cleanup) struct tk_vault_pack *pending = NULL;
	enum tk_rc rc = tk_vault_pack_begin(box->vault, &pack->ident.name, pack->bytes.len_bytes, &pending, err);

	if (!rc)
		rc = tk_vault_pack_write(pending, pack->bytes.data, 100, err);
	if (!rc)
		rc = tk_vault_pack_write(pending, pack->bytes.data + 100, pack->bytes.len_bytes - 100, err);
	return rc ? rc : tk_vault_pack_commit(pending, err);
}

void
store_pack(struct vault_box *box, const struct made_pack *pack)
{
	struct tk_err err;

	if (send_pack(box, pack, &err) || tk_vault_flush(box->vault, &err))
		fail_msg("store: %s", err.text);
}

void
make_any_point(struct vault_box *box, struct tk_point *point, const uint8_t *writer_seed, struct tk_buf *record)
{
	static const struct tk_digest none;
	char dataset[] = "data", source[] = "source";
	struct tk_point_body body = {.dataset_name = dataset, .source_name = source, .segment_bytes = TK_SEGMENT_BYTES};
	struct tk_err err;

	point->suite = TK_SUITE_AES;
	point->domain = box->domain;
	point->dataset = box->domain;
	point->incarnation = box->incarnation;
	point->key_epoch = 1;
	if (point->at.epoch == 0)
		point->at.epoch = 1;
	if (memcmp(&point->grant, &none, sizeof(none)) == 0)
		point->grant = box->grant_digest;
	if (tk_point_seal(point, &body, tk_keyring_domain(&box->ring, &box->domain), writer_seed ? writer_seed : box->ring.writer_seed, record, &err))
		fail_msg("seal: %s", err.text);
}

void
make_point(struct vault_box *box, uint64_t sequence, const struct made_pack *root, uint32_t root_blob, const struct made_pack *const *packs,
	   size_t pack_count, struct tk_buf *record, struct tk_head *at)
{
	struct tk_pack_ident idents[8];
	struct tk_point point = {.at.sequence = sequence, .root_pack = root->ident.name, .root_blob = root_blob, .packs = idents,
		.pack_count = pack_count};

	assert_true(pack_count <= 8);
	for (size_t i = 0; i < pack_count; i++)
		idents[i] = packs[i]->ident;
	make_any_point(box, &point, NULL, record);
	*at = point.at;
}

enum tk_rc
publish(struct vault_box *box, const struct tk_buf *record, struct tk_buf *receipt, struct tk_pack_names *missing)
{
	struct tk_pack_names own = {0};
	struct tk_buf own_receipt = {0};
	enum tk_rc rc = tk_vault_publish(box->vault, record->data, record->len_bytes, receipt ? receipt : &own_receipt, missing ? missing : &own, NULL);

	tk_buf_release(&own_receipt);
	tk_pack_names_release(&own);
	return rc;
}

static void
publish_any_small(struct vault_box *box, uint64_t sequence, struct tk_head *at, struct tk_buf *receipt)
{
	struct tk_buf record = {0};
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head own;

	make_small_pack(box, &pack);
	assert_int_equal(send_pack(box, &pack, NULL), TK_OK);
	make_point(box, sequence, &pack, 1, packs, 1, &record, at ? at : &own);
	assert_int_equal(publish(box, &record, receipt, NULL), TK_OK);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

void
publish_small(struct vault_box *box, uint64_t sequence, struct tk_head *at, struct tk_receipt *receipt)
{
	struct tk_buf bytes = {0};
	struct tk_receipt decoded;

	publish_any_small(box, sequence, at, &bytes);
	assert_int_equal(tk_receipt_decode(bytes.data, bytes.len_bytes, receipt ? receipt : &decoded, NULL), TK_OK);
	tk_buf_release(&bytes);
}

void
publish_small_record(struct vault_box *box, uint64_t sequence, struct tk_buf *receipt)
{
	tk_buf_clear(receipt);
	publish_any_small(box, sequence, NULL, receipt);
}

void
show_marks(struct vault_box *box, const struct tk_buf *const *records, size_t count, struct tk_store_state *now)
{
	struct tk_marks *marks = calloc(1, sizeof(*marks));
	struct tk_buf list = {0};

	assert_non_null(marks);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(tk_mark_decode(records[i]->data, records[i]->len_bytes, &marks->mark[i], NULL), TK_OK);
		marks->count++;
	}
	assert_int_equal(tk_marks_encode(marks, &list, NULL), TK_OK);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, &list, now, NULL), TK_OK);
	tk_buf_release(&list);
	free(marks);
}

void
show_asked(struct vault_box *box, const struct tk_id *asked, size_t count)
{
	struct tk_marks *marks = calloc(1, sizeof(*marks));
	struct tk_store_state now;
	struct tk_buf list = {0};

	assert_non_null(marks);
	for (size_t i = 0; i < count; i++)
		assert_true(tk_marks_add_asked(marks, &asked[i]));
	assert_int_equal(tk_marks_encode(marks, &list, NULL), TK_OK);
	assert_int_equal(tk_vault_state(box->vault, &box->domain, &list, &now, NULL), TK_OK);
	tk_buf_release(&list);
	free(marks);
}

void
make_grant(struct vault_box *box, uint64_t epoch, const uint8_t *signer_seed, struct tk_grant *grant, struct tk_buf *record)
{
	static const struct tk_digest none;
	static const uint8_t no_key[TK_KEY_BYTES];

	grant->suite = TK_SUITE_AES;
	grant->domain = box->domain;
	grant->incarnation = box->incarnation;
	grant->epoch = epoch;
	if (epoch > 1 && memcmp(&grant->parent, &none, sizeof(none)) == 0)
		grant->parent = box->grant_digest;
	if (memcmp(grant->writer_key, no_key, sizeof(no_key)) == 0)
		assert_int_equal(tk_sign_public(TK_SUITE_AES, box->ring.writer_seed, grant->writer_key, NULL), TK_OK);
	assert_int_equal(tk_grant_seal(grant, signer_seed ? signer_seed : box->ring.operator_seed, record, NULL), TK_OK);
}

struct tk_id
other_site_id(uint8_t number)
{
	return (struct tk_id){{200, number}};
}

void
make_opening(const struct vault_box *box, const struct tk_grant *grant, const struct tk_buf *grant_record, struct tk_buf *out)
{
	const struct tk_vault_site *own = tk_vault_site(box->vault);
	struct tk_opening opening = {.grant = {grant_record->data, grant_record->len_bytes}, .vote_count = 2, .set.count = 3};
	struct tk_buf votes[2] = {{0}};

	for (uint8_t i = 0; i < 2; i++) {
		const uint8_t seed[TK_KEY_BYTES] = {200, i};
		struct tk_vote vote = {.suite = TK_SUITE_AES, .domain = grant->domain, .epoch = grant->epoch, .grant = grant->digest, .site = other_site_id(i)};

		opening.set.sites[i].id = vote.site;
		assert_int_equal(tk_sign_public(TK_SUITE_AES, seed, opening.set.sites[i].key, NULL), TK_OK);
		assert_int_equal(tk_vote_seal(&vote, seed, &votes[i], NULL), TK_OK);
		opening.votes[i] = (struct tk_bytes){votes[i].data, votes[i].len_bytes};
	}
	opening.set.sites[2].id = own->site_id;
	memcpy(opening.set.sites[2].key, own->site_key, sizeof(own->site_key));
	assert_int_equal(tk_opening_encode(&opening, out, NULL), TK_OK);
	tk_buf_release(&votes[0]);
	tk_buf_release(&votes[1]);
}
