/* tagkey.h -- the key of the tags in local facts (engine/crypto/tag.h): random, this machine's alone, used for nothing else.
 *
 * state_dir/domains/<hex>/tagkey, 0600: magic[8], key[32], digest[32] of what is before. It never leaves the state directory, and nothing but time depends on it: without it the facts
 * there are of no use and are made anew. */
#ifndef TK_CATALOG_TAGKEY_H
#define TK_CATALOG_TAGKEY_H

#include "engine/crypto/tag.h"
#include "engine/vault/ids.h"

/*
 * Reads the domain's key, or makes one where there is none that can be read; a new one is durable on return. For the run that holds the domain's lock. The caller
 * wipes the key (tk_wipe).
 * Errors: TK_EIO, TK_ENOSPC, TK_EDENIED, TK_EINVAL (the path is too long).
 */
TK_MUST_CHECK enum tk_rc tk_tagkey_open(const char *state_dir, const struct tk_id *domain, uint8_t key[TK_TAG_KEY_BYTES], struct tk_err *err);

#endif
