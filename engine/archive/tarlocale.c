#include "engine/archive/tarlocale.h"

locale_t
tk_tarlocale_new(const char *name)
{
	return newlocale(LC_CTYPE_MASK, name, (locale_t)0);
}

void
tk_tarlocale_free(locale_t locale)
{
	if (locale)
		freelocale(locale);
}

locale_t
tk_tarlocale_enter(locale_t locale)
{
	return uselocale(locale);
}

void
tk_tarlocale_leave(locale_t *before)
{
	(void)uselocale(*before);
}
