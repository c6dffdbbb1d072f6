/* What comes into a site's home from outside: registry entries, and invitations as text. The first byte picks. */
#include <stdlib.h>
#include <string.h>

#include "engine/crypto/hash.h"
#include "transport/armour.h"
#include "transport/enrol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The digest at the end would keep the fuzzer out: it is put right before the decoder sees it. */
static void
read_peer(const uint8_t *data, size_t size)
{
	struct tk_peer peer;
	struct tk_buf fixed = {0}, again = {0};
	uint8_t digest[TK_HASH_BYTES];

	if (tk_hash(TK_SUITE_AES, data, size, digest, NULL) || tk_buf_put(&fixed, data, size, NULL) ||
	    tk_buf_put(&fixed, digest, sizeof(digest), NULL))
		abort();
	if (!tk_peer_decode(fixed.data, fixed.len_bytes, &peer, NULL)) {
		if (tk_peer_encode(&peer, &again, NULL) || again.len_bytes != fixed.len_bytes ||
		    memcmp(again.data, fixed.data, again.len_bytes) != 0)
			abort();
	}
	tk_buf_release(&fixed);
	tk_buf_release(&again);
}

static void
read_invite(const uint8_t *data, size_t size)
{
	struct tk_buf fixed = {0}, text = {0};
	struct tk_invite invite;
	uint8_t digest[TK_HASH_BYTES];

	if (tk_hash(TK_SUITE_AES, data, size, digest, NULL) || tk_buf_put(&fixed, data, size, NULL) ||
	    tk_buf_put(&fixed, digest, sizeof(digest), NULL) ||
	    tk_armour_encode("TWINKEEP INVITATION", fixed.data, fixed.len_bytes, &text, NULL))
		abort();
	if (!tk_invite_parse(text.data, text.len_bytes, &invite, NULL))
		tk_invite_release(&invite);
	if (!tk_invite_parse(data, size, &invite, NULL))
		tk_invite_release(&invite);
	tk_buf_release(&fixed);
	tk_buf_release(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] & 1)
		read_peer(data + 1, size - 1);
	else
		read_invite(data + 1, size - 1);
	return 0;
}
