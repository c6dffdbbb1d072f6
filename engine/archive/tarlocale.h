/* tarlocale.h -- the character set libarchive works in while we call it.
 *
 * libarchive converts names between UTF-8 (pax headers) and the locale of the calling thread. Names are bytes to us:
 * written in C.UTF-8, valid names pass unchanged and the others are marked as raw bytes (hdrcharset=BINARY); in "C" all
 * beyond ASCII would be marked. Read in "C", the conversion fails and leaves the bytes alone; in UTF-8, libarchive would
 * compose decomposed letters, and a file would come back under another name. Any thread. */
#ifndef TK_ARCHIVE_TARLOCALE_H
#define TK_ARCHIVE_TARLOCALE_H

#include <locale.h>

/* (locale_t)0 where the system does not have it: calls then stay in the thread's own locale. */
locale_t tk_tarlocale_new(const char *name);
void tk_tarlocale_free(locale_t locale);

/* Puts the calling thread into the locale; returns the one to go back to. */
locale_t tk_tarlocale_enter(locale_t locale);
/* For TK_AUTO: goes back. */
void tk_tarlocale_leave(locale_t *before);

#endif
