#include "engine/delta/facts.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/delta/rollsum.h"

#define MAGIC "tkfacts1"
#define MAGIC_BYTES 8u
#define HEAD_BYTES (MAGIC_BYTES + TK_TAG_BYTES + 4u + 4u + 8u)
#define SUM_BYTES 4u
#define LEN_MAX UINT32_MAX /* of a segment */

enum { TAG_KNOWN = 1, SUM_KNOWN = 2 };

enum tk_rc
tk_facts_key_check(struct tk_tagger *tagger, uint8_t check[TK_TAG_BYTES], struct tk_err *err)
{
	static const char text[] = "twinkeep facts";

	return tk_tag(tagger, text, sizeof(text), check, err);
}

/* Fills in the counts and, for bytes that have the right size, the places. */
static bool
lay_out(struct tk_facts *facts, const uint8_t *body, size_t body_bytes)
{
	uint64_t blocks = facts->len_bytes / facts->block_bytes + (facts->len_bytes % facts->block_bytes != 0);
	uint64_t leaves = facts->len_bytes / facts->leaf_bytes + (facts->len_bytes % facts->leaf_bytes != 0);

	facts->block_count = (size_t)blocks;
	facts->leaf_count = (size_t)leaves;
	facts->tags = body;
	if (body_bytes != blocks * (TK_TAG_BYTES + SUM_BYTES) + leaves * TK_FACTS_LEAF_DIGEST_BYTES)
		return false;
	facts->sums = facts->tags + blocks * TK_TAG_BYTES;
	facts->leaves = facts->sums + blocks * SUM_BYTES;
	return true;
}

static bool
lengths_fit(const struct tk_facts *facts)
{
	return facts->block_bytes >= TK_FACTS_BLOCK_MIN_BYTES && facts->block_bytes <= TK_FACTS_BLOCK_MAX_BYTES && facts->leaf_bytes > 0 &&
	       facts->len_bytes <= LEN_MAX;
}

enum tk_rc
tk_facts_view(struct tk_facts *facts, const void *data, size_t data_bytes, const uint8_t check[TK_TAG_BYTES], uint64_t len_bytes, struct tk_err *err)
{
	uint8_t magic[MAGIC_BYTES], own_check[TK_TAG_BYTES];
	struct tk_cursor cur;
	size_t body_bytes;
	enum tk_rc rc;

	tk_cursor_init(&cur, data, data_bytes);
	tk_cursor_copy(&cur, magic, sizeof(magic));
	tk_cursor_copy(&cur, own_check, sizeof(own_check));
	facts->block_bytes = tk_cursor_u32(&cur);
	facts->leaf_bytes = tk_cursor_u32(&cur);
	facts->len_bytes = tk_cursor_u64(&cur);
	if ((rc = tk_cursor_check(&cur, "facts", err)))
		return rc;
	if (memcmp(magic, MAGIC, sizeof(magic)) != 0 || memcmp(own_check, check, sizeof(own_check)) != 0)
		return tk_err_set(err, TK_EUNSUPPORTED, "facts: of another kind, or under another key");
	body_bytes = tk_cursor_left(&cur);
	if (!lengths_fit(facts) || facts->len_bytes != len_bytes || !lay_out(facts, tk_cursor_take(&cur, body_bytes), body_bytes))
		return tk_err_set(err, TK_ECORRUPT, "facts: %zu bytes do not fit a segment of %llu", data_bytes, (unsigned long long)len_bytes);
	return TK_OK;
}

size_t
tk_facts_block_len(const struct tk_facts *facts, size_t i)
{
	uint64_t left = facts->len_bytes - (uint64_t)i * facts->block_bytes;

	return left < facts->block_bytes ? (size_t)left : facts->block_bytes;
}

const uint8_t *
tk_facts_tag(const struct tk_facts *facts, size_t i)
{
	return facts->tags + i * TK_TAG_BYTES;
}

uint32_t
tk_facts_sum(const struct tk_facts *facts, size_t i)
{
	const uint8_t *at = facts->sums + i * SUM_BYTES;

	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

const uint8_t *
tk_facts_leaf(const struct tk_facts *facts, uint64_t off_bytes, uint64_t len_bytes)
{
	uint64_t left;

	if (off_bytes >= facts->len_bytes || off_bytes % facts->leaf_bytes != 0)
		return NULL;
	left = facts->len_bytes - off_bytes;
	if (len_bytes != (left < facts->leaf_bytes ? left : facts->leaf_bytes))
		return NULL;
	return facts->leaves + (size_t)(off_bytes / facts->leaf_bytes) * TK_FACTS_LEAF_DIGEST_BYTES;
}

/* ---- in the making ---- */

static enum tk_rc
put_head(struct tk_facts_draft *draft, const uint8_t check[TK_TAG_BYTES], struct tk_err *err)
{
	struct tk_buf *bytes = &draft->bytes;
	enum tk_rc rc;

	tk_buf_clear(bytes);
	if ((rc = tk_buf_put(bytes, MAGIC, MAGIC_BYTES, err)) || (rc = tk_buf_put(bytes, check, TK_TAG_BYTES, err)) ||
	    (rc = tk_buf_put_u32(bytes, draft->facts.block_bytes, err)) || (rc = tk_buf_put_u32(bytes, draft->facts.leaf_bytes, err)))
		return rc;
	return tk_buf_put_u64(bytes, draft->facts.len_bytes, err);
}

static enum tk_rc
reserve_known(struct tk_facts_draft *draft, struct tk_err *err)
{
	size_t need = draft->facts.block_count + 1;

	if (need > draft->known_cap) {
		free(draft->known);
		draft->known_cap = 0;
		draft->known = malloc(need);
		if (!draft->known)
			return tk_err_set(err, TK_ENOMEM, "no memory for the facts of %zu blocks", need);
		draft->known_cap = need;
	}
	memset(draft->known, 0, need);
	return TK_OK;
}

enum tk_rc
tk_facts_draft_begin(struct tk_facts_draft *draft, const uint8_t check[TK_TAG_BYTES], uint64_t len_bytes, uint32_t block_bytes, uint32_t leaf_bytes,
		     struct tk_err *err)
{
	struct tk_facts *facts = &draft->facts;
	size_t body_bytes;
	enum tk_rc rc;

	*facts = (struct tk_facts){.block_bytes = block_bytes, .leaf_bytes = leaf_bytes, .len_bytes = len_bytes};
	if (!lengths_fit(facts))
		return tk_err_set(err, TK_EINVAL, "facts: blocks of %u bytes in a segment of %llu", (unsigned)block_bytes, (unsigned long long)len_bytes);
	if ((rc = put_head(draft, check, err)))
		return rc;
	(void)lay_out(facts, draft->bytes.data, 0);
	body_bytes = facts->block_count * (TK_TAG_BYTES + SUM_BYTES) + facts->leaf_count * TK_FACTS_LEAF_DIGEST_BYTES;
	if ((rc = tk_buf_reserve(&draft->bytes, body_bytes, err)) || (rc = reserve_known(draft, err)))
		return rc;
	(void)lay_out(facts, draft->bytes.data + HEAD_BYTES, body_bytes);
	memset(draft->bytes.data + HEAD_BYTES, 0, body_bytes);
	draft->bytes.len_bytes = HEAD_BYTES + body_bytes;
	draft->next_block = draft->next_leaf = 0;
	return TK_OK;
}

void
tk_facts_draft_release(struct tk_facts_draft *draft)
{
	tk_buf_release(&draft->bytes);
	free(draft->known);
	memset(draft, 0, sizeof(*draft));
}

enum tk_rc
tk_facts_draft_tag(struct tk_facts_draft *draft, struct tk_tagger *tagger, size_t i, const uint8_t *data, const uint8_t **tag, struct tk_err *err)
{
	uint8_t *place = draft->bytes.data + HEAD_BYTES + i * TK_TAG_BYTES;
	enum tk_rc rc;

	*tag = place;
	if (draft->known[i] & TAG_KNOWN)
		return TK_OK;
	if ((rc = tk_tag(tagger, data, tk_facts_block_len(&draft->facts, i), place, err)))
		return rc;
	draft->known[i] |= TAG_KNOWN;
	return TK_OK;
}

void
tk_facts_draft_carry(struct tk_facts_draft *draft, size_t i, uint32_t sum)
{
	size_t sums_at = HEAD_BYTES + draft->facts.block_count * TK_TAG_BYTES;

	tk_store_u32(draft->bytes.data + sums_at + i * SUM_BYTES, sum);
	draft->known[i] |= SUM_KNOWN;
}

enum tk_rc
tk_facts_draft_fill(struct tk_facts_draft *draft, struct tk_tagger *tagger, const uint8_t *window, uint64_t window_bytes, uint64_t end_bytes,
		    struct tk_err *err)
{
	const uint8_t *tag;

	for (; draft->next_block < draft->facts.block_count; draft->next_block++) {
		size_t i = draft->next_block, len = tk_facts_block_len(&draft->facts, i);
		uint64_t start = (uint64_t)i * draft->facts.block_bytes;
		const uint8_t *data = window + (size_t)(start - window_bytes);
		enum tk_rc rc;

		if (start + len > end_bytes)
			break;
		if ((rc = tk_facts_draft_tag(draft, tagger, i, data, &tag, err)))
			return rc;
		if (!(draft->known[i] & SUM_KNOWN))
			tk_facts_draft_carry(draft, i, tk_rollsum_value(tk_rollsum_of(data, len)));
	}
	return TK_OK;
}

enum tk_rc
tk_facts_draft_leaf(struct tk_facts_draft *draft, const uint8_t digest[TK_FACTS_LEAF_DIGEST_BYTES], struct tk_err *err)
{
	const struct tk_facts *facts = &draft->facts;
	size_t leaves_at = HEAD_BYTES + facts->block_count * (TK_TAG_BYTES + SUM_BYTES);

	if (draft->next_leaf >= facts->leaf_count)
		return tk_err_set(err, TK_EINVAL, "facts: more leaves than a segment of %llu bytes has", (unsigned long long)facts->len_bytes);
	memcpy(draft->bytes.data + leaves_at + draft->next_leaf * TK_FACTS_LEAF_DIGEST_BYTES, digest, TK_FACTS_LEAF_DIGEST_BYTES);
	draft->next_leaf++;
	return TK_OK;
}

bool
tk_facts_draft_complete(const struct tk_facts_draft *draft)
{
	return draft->next_block == draft->facts.block_count && draft->next_leaf == draft->facts.leaf_count;
}
