/* Requests that are sent before their calls come: several of them share a round trip. The site answers them in order, as any. */
#include <string.h>

#include "transport/client_core.h"

/* Of one answer: the longest that is asked for ahead are the ends of a pack. */
#define KEPT_MAX_BYTES (2u << 20)

static void
asked_release(struct tk_client_asked *asked)
{
	tk_buf_release(&asked->body);
	tk_buf_release(&asked->frames);
}

static void
asked_remove(struct tk_client *client, unsigned at)
{
	asked_release(&client->asked[at]);
	client->asked_count--;
	memmove(&client->asked[at], &client->asked[at + 1], (client->asked_count - at) * sizeof(client->asked[0]));
}

void
tk_client_ask(struct tk_client *client, enum tk_frame_type type, const void *message)
{
	struct tk_frame_head head = {.type = type};
	struct tk_client_asked *asked = &client->asked[client->asked_count];

	if (client->dead || client->asked_count == TK_CLIENT_ASKED_MAX)
		return;
	*asked = (struct tk_client_asked){.type = type};
	tk_buf_init(&asked->body, TK_FRAME_CONTROL_MAX);
	tk_buf_init(&asked->frames, KEPT_MAX_BYTES);
	if (message && tk_message_encode(message, &asked->body, NULL)) {
		asked_release(asked);
		return;
	}
	head.len_bytes = (uint32_t)asked->body.len_bytes;
	head.request = asked->request = client->last_request + 1;
	/* A session that broke says so to the call. */
	if (tk_session_send(client->session, &head, asked->body.data, NULL)) {
		asked_release(asked);
		return;
	}
	client->last_request++;
	client->asked_count++;
}

static bool
is_same(const struct tk_client_asked *asked, enum tk_frame_type type, const struct tk_buf *body)
{
	return !asked->is_void && asked->type == type && asked->body.len_bytes == body->len_bytes &&
	       (body->len_bytes == 0 || memcmp(asked->body.data, body->data, body->len_bytes) == 0);
}

void
tk_client_void_asked(struct tk_client *client)
{
	for (unsigned i = 0; i < client->asked_count; i++)
		client->asked[i].is_void = true;
}

enum tk_rc
tk_client_asked(struct tk_client *client, enum tk_frame_type type, const void *message, uint32_t *request, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf body = {0};
	enum tk_rc rc;

	*request = 0;
	if (client->asked_count == 0)
		return TK_OK;
	if (message && (rc = tk_message_encode(message, &body, err)))
		return rc;
	for (unsigned i = 0; i < client->asked_count && !*request; i++) {
		struct tk_client_asked *asked = &client->asked[i];

		if (!is_same(asked, type, &body))
			continue;
		*request = asked->request;
		tk_buf_release(&client->kept);
		client->kept = asked->frames;
		client->kept_at = 0;
		memset(&asked->frames, 0, sizeof(asked->frames));
		asked_remove(client, i);
	}
	if (!*request)
		tk_client_void_asked(client);
	return TK_OK;
}

enum tk_rc
tk_client_keep(struct tk_client *client, const struct tk_frame *frame, bool *kept, struct tk_err *err)
{
	uint8_t head[TK_FRAME_HEADER_BYTES];
	unsigned at = 0;
	enum tk_rc rc = TK_OK;

	while (at < client->asked_count && client->asked[at].request != frame->head.request)
		at++;
	*kept = at < client->asked_count;
	if (!*kept)
		return TK_OK;
	if (!client->asked[at].is_void && !(rc = tk_frame_encode_head(&frame->head, head, err)) &&
	    !(rc = tk_buf_put(&client->asked[at].frames, head, sizeof(head), err)))
		rc = tk_buf_put(&client->asked[at].frames, frame->body, frame->head.len_bytes, err);
	else if (client->asked[at].is_void && !frame->head.more)
		asked_remove(client, at);
	return rc;
}

bool
tk_client_kept(struct tk_client *client, struct tk_frame *frame)
{
	const uint8_t *at = client->kept.data + client->kept_at;

	/* Whole frames were kept, and checked when they came. */
	if (client->kept_at >= client->kept.len_bytes || tk_frame_decode_head(at, &frame->head, NULL))
		return false;
	frame->body = at + TK_FRAME_HEADER_BYTES;
	client->kept_at += TK_FRAME_HEADER_BYTES + (size_t)frame->head.len_bytes;
	return true;
}

void
tk_client_release_asked(struct tk_client *client)
{
	while (client->asked_count > 0)
		asked_remove(client, client->asked_count - 1);
	tk_buf_release(&client->kept);
}
