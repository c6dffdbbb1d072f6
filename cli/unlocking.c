#include "cli/unlocking.h"

#include <string.h>

static void *
unlock_main(void *arg)
{
	struct tk_unlocking *unlocking = arg;

	unlocking->rc = tk_home_try_passphrase(unlocking->home, &unlocking->secret, &unlocking->ring, &unlocking->why);
	return NULL;
}

enum tk_rc
tk_unlocking_begin(struct tk_home *home, struct tk_unlocking *unlocking, struct tk_err *err)
{
	enum tk_rc rc;

	memset(unlocking, 0, sizeof(*unlocking));
	unlocking->home = home;
	if ((rc = tk_home_ask_passphrase(home, &unlocking->secret, err)))
		return rc;
	if (tk_home_unlock_machine(home, NULL))
		return TK_OK;
	unlocking->running = pthread_create(&unlocking->thread, NULL, unlock_main, unlocking) == 0;
	return TK_OK;
}

/* A slot that was written before keys were added has fewer of them. */
enum tk_rc
tk_unlocking_end(struct tk_unlocking *unlocking, bool *better, struct tk_err *err)
{
	const struct tk_home *home = unlocking->home;

	if (unlocking->running)
		(void)pthread_join(unlocking->thread, NULL);
	else
		(void)unlock_main(unlocking);
	unlocking->running = false;
	if (unlocking->rc)
		return tk_err_set(err, unlocking->rc, "%s", unlocking->why.text);
	*better = !home->unlocked || tk_keyring_weight(&unlocking->ring) > tk_keyring_weight(&home->ring);
	return TK_OK;
}

void
tk_unlocking_take(struct tk_unlocking *unlocking)
{
	struct tk_home *home = unlocking->home;

	tk_keyring_release(&home->ring);
	home->ring = unlocking->ring;
	home->unlocked = true;
	memset(&unlocking->ring, 0, sizeof(unlocking->ring));
}

void
tk_unlocking_release(struct tk_unlocking *unlocking)
{
	if (unlocking->running)
		(void)pthread_join(unlocking->thread, NULL);
	unlocking->running = false;
	tk_keyring_release(&unlocking->ring);
	tk_secret_release(&unlocking->secret);
}
