/* secret.h -- where a passphrase comes from. Never from argv. */
#ifndef TK_CLI_SECRET_H
#define TK_CLI_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

#define TK_SECRET_MAX 1024

/* A passphrase: any bytes but NUL and newline at its end. Wiped by release. */
struct tk_secret {
	char text[TK_SECRET_MAX + 1];
	size_t len_bytes;
};
void tk_secret_release(struct tk_secret *secret);

/* Where to look, in this order; NULL: not there. */
struct tk_secret_source {
	const char *file;     /* --passphrase-file, or TWINKEEP_PASSPHRASE_FILE; "-" is standard input */
	const char *command;  /* passphrase_command of the configuration; "" is none */
	const char *prompt;   /* what to ask on the terminal: "Passphrase of city-a" */
	bool is_new;          /* ask twice */
	const char *option;   /* what to advise where there is no terminal; NULL: --passphrase-file */
};

/*
 * Reads a passphrase; one newline at its end is taken off. Release *secret whatever the result.
 * Errors: TK_EKEY (it is empty or longer than TK_SECRET_MAX, the command failed, the two do not agree), TK_EUSAGE
 * (there is no terminal to ask), TK_EIO, TK_ENOENT, TK_ECANCELLED.
 */
TK_MUST_CHECK enum tk_rc tk_secret_get(const struct tk_secret_source *source, struct tk_secret *secret, struct tk_err *err);

#endif
