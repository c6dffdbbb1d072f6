/* twinkeep version */
#include "config.h"

#include <gnu/libc-version.h>

#include "cli/cli.h"
#include "cli/verbs.h"

int
tk_verb_version(const struct tk_cli *cli)
{
	const struct {
		const char *name, *version;
	} libraries[] = {
		{"libconfuse", tk_config_library_version()},
		{"jansson", jansson_version_str()},
		{"glibc", gnu_get_libc_version()},
	};
	json_t *list = json_object();

	tk_out_text(cli->out, "twinkeep %s\n", PACKAGE_VERSION);
	tk_out_set(cli->out, "version", json_string(PACKAGE_VERSION));
	for (size_t i = 0; i < sizeof(libraries) / sizeof(libraries[0]); i++) {
		tk_out_text(cli->out, "%s %s\n", libraries[i].name, libraries[i].version);
		(void)json_object_set_new(list, libraries[i].name, json_string(libraries[i].version));
	}
	tk_out_set(cli->out, "libraries", list);
	return 0;
}
