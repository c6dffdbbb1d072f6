/* Sending packs: a window of packs that the site has not answered yet keeps the line full over any distance. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/fsio/openat.h"
#include "transport/client_core.h"

#define NS_PER_S INT64_C(1000000000)

/* What became of packs sent before. */
static enum tk_rc
tell_pack_fault(struct tk_client *client, struct tk_err *err)
{
	enum tk_rc rc = client->pack_fault.rc;

	if (!rc)
		return TK_OK;
	if (err)
		*err = client->pack_fault;
	tk_err_clear(&client->pack_fault);
	return tk_err_context(err, rc, "site %s: storing a pack", client->site);
}

/* Takes what answers are there, without waiting. */
static enum tk_rc
collect_answers(struct tk_client *client, struct tk_err *err)
{
	struct tk_frame frame;
	bool got = false;
	enum tk_rc rc = TK_OK;

	if (tk_tls_pending(tk_session_tls(client->session)) || !tk_session_is_quiet(client->session))
		rc = tk_client_next(client, false, &got, &frame, err);
	if (!rc && got) {
		rc = tk_err_set(err, TK_EPROTO, "a %s frame that nobody asked for", tk_frame_name(frame.head.type));
		return tk_client_fail(client, rc, err);
	}
	return rc;
}

static bool
is_in_flight(const struct tk_client *client, uint32_t request)
{
	for (unsigned i = 0; i < client->in_flight; i++)
		if (client->window[i].request == request)
			return true;
	return false;
}

/* Spreads what is sent over time. What was saved up by pausing is not spent later. */
static void
keep_to_bandwidth(struct tk_client *client, uint32_t len_bytes)
{
	int64_t now_ns = tk_clock_mono_ns(), wait_ns = client->may_send_ns - now_ns;
	struct timespec wait = {.tv_sec = wait_ns / NS_PER_S, .tv_nsec = wait_ns % NS_PER_S};

	if (!client->bandwidth_bytes)
		return;
	if (wait_ns > 0)
		(void)nanosleep(&wait, NULL);
	else
		client->may_send_ns = now_ns;
	client->may_send_ns += (int64_t)((double)len_bytes / (double)client->bandwidth_bytes * (double)NS_PER_S);
}

static enum tk_rc
send_data(struct tk_client *client, uint32_t request, int fd, uint64_t len_bytes, uint8_t *chunk, struct tk_err *err)
{
	struct tk_frame_head head = {.type = TK_FRAME_PACK_DATA, .request = request};
	uint64_t at = 0;
	size_t got;
	enum tk_rc rc;

	/* An early answer ends the pack: the site has it, or does not want it. */
	while (at < len_bytes && is_in_flight(client, request)) {
		head.len_bytes = len_bytes - at < TK_FRAME_DATA_MAX ? (uint32_t)(len_bytes - at) : TK_FRAME_DATA_MAX;
		keep_to_bandwidth(client, head.len_bytes);
		rc = tk_pread_full(fd, chunk, head.len_bytes, at, &got, "a pack to be sent", err);
		if (!rc && got < head.len_bytes)
			rc = tk_err_set(err, TK_ECORRUPT, "a pack to be sent is shorter than %llu bytes", (unsigned long long)len_bytes);
		if (!rc)
			rc = tk_session_send(client->session, &head, chunk, err);
		if (!rc)
			rc = collect_answers(client, err);
		if (rc)
			return rc;
		at += head.len_bytes;
	}
	return TK_OK;
}

static enum tk_rc
wait_for_room(struct tk_client *client, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	while (!rc && client->in_flight &&
	       (client->in_flight >= client->window_packs || client->in_flight_bytes + len_bytes > client->window_bytes))
		rc = tk_client_wait_pack(client, err);
	return rc;
}

static enum tk_rc
send_pack(struct tk_client *client, const struct tk_client_pack *pack, int fd, uint8_t *chunk, struct tk_err *err)
{
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_frame_head end = {.type = TK_FRAME_PACK_END, .request = pack->request};
	enum tk_rc rc;

	begin.name = tk_message_bytes(pack->name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack->len_bytes;
	rc = tk_session_send_message(client->session, TK_FRAME_PACK_BEGIN, false, pack->request, &begin, err);
	if (!rc)
		rc = send_data(client, pack->request, fd, pack->len_bytes, chunk, err);
	if (!rc)
		rc = tk_session_send(client->session, &end, NULL, err);
	return rc;
}

enum tk_rc
tk_client_put_pack(struct tk_store *store, const struct tk_pack_name *name, int fd, uint64_t len_bytes, struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	struct tk_client_pack pack = {.len_bytes = len_bytes, .name = *name};
	uint8_t *chunk;
	enum tk_rc rc = tk_client_alive(client, err);

	if (!rc)
		rc = wait_for_room(client, len_bytes, err);
	if (!rc)
		rc = tell_pack_fault(client, err);
	if (rc)
		return rc;
	chunk = malloc(TK_FRAME_DATA_MAX);
	if (!chunk)
		return tk_err_set(err, TK_ENOMEM, "no memory for sending a pack");
	pack.request = ++client->last_request;
	client->window[client->in_flight++] = pack;
	client->in_flight_bytes += len_bytes;
	rc = send_pack(client, &pack, fd, chunk, err);
	free(chunk);
	/* A pack that was begun and cannot be ended leaves the connection in the middle of it. */
	if (rc && !client->dead)
		return tk_client_fail(client, rc, err);
	return rc;
}

enum tk_rc
tk_client_flush(struct tk_store *store, struct tk_err *err)
{
	struct tk_client *client = tk_client_of(store);
	struct tk_frame frame;
	enum tk_rc rc = tk_client_alive(client, err);

	while (!rc && client->in_flight)
		rc = tk_client_wait_pack(client, err);
	if (!rc)
		rc = tell_pack_fault(client, err);
	if (!rc)
		rc = tk_client_call(client, TK_FRAME_FLUSH, NULL, TK_FRAME_OK, (enum tk_frame_type)0, &frame, err);
	return rc;
}
