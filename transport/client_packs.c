/* Sending packs: a window of packs that the site has not answered yet keeps the line full over any distance. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/clock.h"
#include "engine/fsio/openat.h"
#include "transport/client_core.h"

#define NS_PER_S INT64_C(1000000000)
#define NAP_NS INT64_C(100000000)
#define PIECES_A_SECOND 8u
#define PIECE_MIN_BYTES 1024u

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

/* NULL: it was answered. */
static const struct tk_client_pack *
find_in_flight(const struct tk_client *client, uint32_t request)
{
	for (unsigned i = 0; i < client->in_flight; i++)
		if (client->window[i].request == request)
			return &client->window[i];
	return NULL;
}

/* Under a limit, pieces are small enough that no wait between two of them is long. */
static uint32_t
piece_length(uint64_t left_bytes, uint64_t rate_bytes)
{
	uint64_t most = rate_bytes / PIECES_A_SECOND;

	if (!rate_bytes || most > TK_FRAME_DATA_MAX)
		most = TK_FRAME_DATA_MAX;
	if (most < PIECE_MIN_BYTES)
		most = PIECE_MIN_BYTES;
	return (uint32_t)(left_bytes < most ? left_bytes : most);
}

/* In short naps: a session that is aborted meanwhile does not keep anybody waiting. */
static void
sleep_until(const struct tk_client *client, int64_t until_ns)
{
	const struct timespec nap = {.tv_nsec = NAP_NS};
	struct timespec rest = {0};
	int64_t left_ns = until_ns - tk_clock_mono_ns();

	for (; left_ns > NAP_NS && !atomic_load(&client->aborted); left_ns = until_ns - tk_clock_mono_ns())
		(void)nanosleep(&nap, NULL);
	rest.tv_nsec = left_ns;
	if (left_ns > 0 && left_ns <= NAP_NS)
		(void)nanosleep(&rest, NULL);
}

/* The length of the next piece, once it may be sent. What was saved up by pausing is not spent later. */
static uint32_t
wait_for_turn(struct tk_client *client, uint64_t left_bytes)
{
	uint64_t rate_bytes = client->bandwidth ? client->bandwidth(client->bandwidth_ctx) : 0;
	uint32_t len_bytes = piece_length(left_bytes, rate_bytes);
	int64_t now_ns = tk_clock_mono_ns();

	if (!rate_bytes)
		return len_bytes;
	if (client->may_send_ns > now_ns)
		sleep_until(client, client->may_send_ns);
	else
		client->may_send_ns = now_ns;
	client->may_send_ns += (int64_t)((double)len_bytes / (double)rate_bytes * (double)NS_PER_S);
	return len_bytes;
}

/* What the site has of the pack, and has not been sent on this connection, is left out; not its beginning, which says whose it is. */
static enum tk_rc
skip_held(struct tk_client *client, const struct tk_client_pack *pack, uint64_t *at_bytes, struct tk_err *err)
{
	Tk__Wire__Number to = TK__WIRE__NUMBER__INIT;
	enum tk_rc rc;

	if (*at_bytes == 0 || *at_bytes >= pack->held_bytes)
		return TK_OK;
	to.number = pack->held_bytes;
	if (!(rc = tk_session_send_message(client->session, TK_FRAME_PACK_SKIP, false, pack->request, &to, err)))
		*at_bytes = pack->held_bytes;
	return rc;
}

static enum tk_rc
send_data(struct tk_client *client, uint32_t request, int fd, uint64_t len_bytes, uint8_t *chunk, struct tk_err *err)
{
	struct tk_frame_head head = {.type = TK_FRAME_PACK_DATA, .request = request};
	const struct tk_client_pack *pack;
	uint64_t at = 0;
	size_t got;
	enum tk_rc rc;

	/* An early answer ends the pack: the site has it, or does not want it. */
	while (at < len_bytes && (pack = find_in_flight(client, request))) {
		if ((rc = skip_held(client, pack, &at, err)))
			return rc;
		head.len_bytes = wait_for_turn(client, len_bytes - at);
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
	/* What was answered before a pack says nothing of the time after it. */
	tk_client_void_asked(client);
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
