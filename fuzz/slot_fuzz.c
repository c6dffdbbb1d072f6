/* Slots and sealed configurations from a hostile site; and the plain keyring, which no tag stands before here. The secret is empty: it is refused
 * before scrypt costs anything. */
#include "engine/vault/keycore.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tk_keyring no_ring;
	struct tk_keyring ring;
	struct tk_slot_info info;
	struct tk_config_file *files = NULL;
	size_t count = 0;

	(void)!tk_slot_read_info(data, size, &info, NULL);
	if (tk_slot_open(data, size, NULL, 0, &ring, NULL) == TK_OK)
		tk_keyring_release(&ring);
	if (tk_keyring_decode(data, size, &ring, NULL) == TK_OK)
		tk_keyring_release(&ring);
	if (tk_config_open(&no_ring, data, size, &files, &count, NULL) == TK_OK)
		tk_config_files_free(files, count);
	return 0;
}
