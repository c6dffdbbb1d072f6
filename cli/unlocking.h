/* unlocking.h -- a home is unlocked by its passphrase while other work goes on: scrypt takes a third of a second, and as long as that sites can be asked for their points
 * with what the machine slot unlocks. Nothing is done for the user before the passphrase is seen to be right. */
#ifndef TK_CLI_UNLOCKING_H
#define TK_CLI_UNLOCKING_H

#include <pthread.h>

#include "cli/home.h"

struct tk_unlocking {
	struct tk_home *home;                 /* borrowed */
	struct tk_secret secret;
	struct tk_keyring ring;               /* the thread's, until end */
	struct tk_err why;
	enum tk_rc rc;
	pthread_t thread;
	bool running;
};

/* Asks for the passphrase and begins. home->unlocked tells afterwards whether the machine slot has unlocked it, which is all right if it has not. Release whatever the
 * result, before the home. Errors: as tk_secret_get. */
TK_MUST_CHECK enum tk_rc tk_unlocking_begin(struct tk_home *home, struct tk_unlocking *unlocking, struct tk_err *err);
/* Waits for it. *better: it opened more keys than the home has so far, which tk_unlocking_take then gives to the home; until then the home stays as it was. Errors: TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_unlocking_end(struct tk_unlocking *unlocking, bool *better, struct tk_err *err);
/* Nothing may use the home's keyring any more, sessions neither. */
void tk_unlocking_take(struct tk_unlocking *unlocking);
void tk_unlocking_release(struct tk_unlocking *unlocking);

#endif
