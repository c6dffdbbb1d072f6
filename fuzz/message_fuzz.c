/* Control messages from a hostile peer: the first byte picks the type, the rest is its body. */
#include <stdlib.h>

#include "transport/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const types[] = {
	&tk__wire__hello__descriptor,        &tk__wire__welcome__descriptor,    &tk__wire__error__descriptor,
	&tk__wire__record__descriptor,       &tk__wire__id__descriptor,         &tk__wire__names__descriptor,
	&tk__wire__points__descriptor,       &tk__wire__pack_begin__descriptor, &tk__wire__range__descriptor,
	&tk__wire__state_ask__descriptor,    &tk__wire__state__descriptor,      &tk__wire__point_at__descriptor,
	&tk__wire__record_ask__descriptor,   &tk__wire__slot__descriptor,       &tk__wire__slot_ask__descriptor,
	&tk__wire__recover_head__descriptor, &tk__wire__recover_proof__descriptor, &tk__wire__recover_item__descriptor,
};

static void
read_lists(void *message, const ProtobufCMessageDescriptor *type)
{
	struct tk_pack_names names = {0};
	struct tk_store_point *points = NULL;
	size_t count = 0;

	if (type == &tk__wire__names__descriptor) {
		Tk__Wire__Names *list = message;

		if (!tk_message_names(&list->names, &names, NULL) && names.count > TK_FRAME_NAMES_MAX)
			abort();
	} else if (type == &tk__wire__points__descriptor) {
		Tk__Wire__Points *list = message;

		if (!tk_message_points(&list->points, &points, &count, NULL) && count * TK_POINT_ROW_BYTES != list->points.len)
			abort();
	}
	free(names.names);
	free(points);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const ProtobufCMessageDescriptor *type;
	struct tk_buf again;
	void *message;

	if (!size)
		return 0;
	type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	if (tk_message_error(data + 1, size - 1, NULL) == TK_OK)
		abort();
	if (tk_message_decode(type, data + 1, size - 1, &message, NULL))
		return 0;
	tk_buf_init(&again, 0);
	if (tk_message_encode(message, &again, NULL))
		abort();
	read_lists(message, type);
	tk_message_free(message);
	tk_buf_release(&again);
	return 0;
}
