#include "cli/fault_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/log.h"

#define CAUSES_MAX 100u
#define FILES_LISTED_MAX 1000u
#define PATH_SHOWN_MAX 512u

struct tk_fault_cause {
	struct tk_err first;
	char path[PATH_SHOWN_MAX];            /* of the first file, safe to print */
	uint64_t files;
};

/* Faults that name no cause have one of their own each. NULL: there are too many, or no memory. */
static struct tk_fault_cause *
cause_of(struct tk_fault_list *list, const struct tk_err *err)
{
	struct tk_fault_cause *grown;

	/* The last one is the likeliest. */
	for (size_t i = list->count; err->cause[0] && i-- > 0;)
		if (strcmp(list->causes[i].first.cause, err->cause) == 0)
			return &list->causes[i];
	if (list->count == CAUSES_MAX || !(grown = realloc(list->causes, (list->count + 1) * sizeof(*grown))))
		return NULL;
	list->causes = grown;
	memset(&grown[list->count], 0, sizeof(*grown));
	grown[list->count].first = *err;
	return &grown[list->count++];
}

void
tk_fault_list_note(struct tk_fault_list *list, const char *path, const struct tk_err *err)
{
	struct tk_fault_cause *cause = cause_of(list, err);
	char name[PATH_SHOWN_MAX];
	struct tk_err listed;

	(void)tk_format_name(path, name, sizeof(name));
	tk_log_event(list->cli->log, TK_LOG_INFO, "not-restored", "path=\"/%s\" reason=\"%s\"", name, err->text);
	if (list->files++ < FILES_LISTED_MAX) {
		(void)tk_err_set(&listed, err->rc, "/%s is not restored: %s", name, err->text);
		tk_out_list(list->cli->out, &listed);
	}
	if (!cause)
		list->untold++;
	else if (cause->files++ == 0)
		memcpy(cause->path, name, sizeof(name));
}

void
tk_fault_list_tell(struct tk_fault_list *list)
{
	struct tk_output *out = list->cli->out;
	struct tk_err line;

	for (size_t i = 0; i < list->count; i++) {
		const struct tk_fault_cause *cause = &list->causes[i];

		if (cause->files == 1)
			(void)tk_err_set(&line, cause->first.rc, "/%s is not restored: %s", cause->path, cause->first.text);
		else
			(void)tk_err_set(&line, cause->first.rc, "/%s and %llu more file%s not restored (-v names them): %s", cause->path,
					 (unsigned long long)cause->files - 1, cause->files == 2 ? " are" : "s are", cause->first.text);
		tk_out_tell(out, &line);
	}
	if (list->untold > 0) {
		(void)tk_err_set(&line, TK_EIO, "%llu files are not restored for further reasons; -v names them", (unsigned long long)list->untold);
		tk_out_tell(out, &line);
	}
	free(list->causes);
	*list = (struct tk_fault_list){.cli = list->cli};
}
