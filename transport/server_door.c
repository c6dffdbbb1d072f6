/* Who stands at the door: connections that have not yet shown who they are. Those who are silent and those who have begun to speak are
 * bounded apart, and one more sends one of its kind away: no number of strangers keeps a peer out, who speaks at once and then only needs the time of a handshake. */
#include <string.h>

#include "engine/base/clock.h"
#include "transport/server_core.h"

/* Recoveries are unknown to the site too, and take minutes: they have bounds of their own. */
#define RECOVERIES_MAX 16u
#define RECOVERIES_OF_A_NETWORK 4u
#define REPORT_NS INT64_C(60000000000)

bool
tk_door_has_room(struct tk_server *server)
{
	bool room;

	pthread_mutex_lock(&server->lock);
	/* Those sent away need a moment to go: until then they hold a thread, and as many newcomers wait in the kernel. */
	room = server->all_count < server->options.max_connections + RECOVERIES_MAX + 3 * server->options.max_strangers;
	pthread_mutex_unlock(&server->lock);
	return room;
}

static unsigned
crowd_of(const struct tk_door *door, uint64_t network)
{
	unsigned count = 0;

	for (unsigned i = 0; i < door->count; i++)
		count += door->conns[i]->network == network;
	return count;
}

/* The oldest of the network that sent the most. */
static struct tk_conn *
whom_to_send_away(const struct tk_door *door)
{
	struct tk_conn *chosen = NULL;
	unsigned most = 0;

	for (unsigned i = 0; i < door->count; i++) {
		unsigned crowd = crowd_of(door, door->conns[i]->network);

		if (crowd > most) {
			most = crowd;
			chosen = door->conns[i];
		}
	}
	return chosen;
}

void
tk_door_leave(struct tk_conn *conn)
{
	struct tk_door *door;
	unsigned at = 0;

	if (conn->stage >= TK_CONN_RECOVERING)
		return;
	door = &conn->server->doors[conn->stage];
	while (at < door->count && door->conns[at] != conn)
		at++;
	if (at == door->count)
		return;
	door->count--;
	memmove(&door->conns[at], &door->conns[at + 1], (door->count - at) * sizeof(door->conns[0]));
}

void
tk_door_enter(struct tk_conn *conn, enum tk_conn_stage stage)
{
	struct tk_server *server = conn->server;
	struct tk_door *door = &server->doors[stage];

	if (conn->sent_away)
		return;
	tk_door_leave(conn);
	if (door->count == server->options.max_strangers) {
		struct tk_conn *victim = whom_to_send_away(door);

		tk_door_leave(victim);
		victim->sent_away = true;
		server->sent_away_count++;
		tk_conn_abort(victim);
	}
	conn->stage = stage;
	door->conns[door->count++] = conn;
}

void
tk_door_clear(struct tk_server *server)
{
	pthread_mutex_lock(&server->lock);
	for (size_t stage = 0; stage < TK_CONN_RECOVERING; stage++) {
		struct tk_door *door = &server->doors[stage];

		while (door->count > 0) {
			struct tk_conn *conn = door->conns[--door->count];

			conn->sent_away = true;
			tk_conn_abort(conn);
		}
	}
	pthread_mutex_unlock(&server->lock);
}

static unsigned
count_inside(const struct tk_server *server, enum tk_conn_stage stage, const uint64_t *network)
{
	unsigned count = 0;

	for (const struct tk_conn *conn = server->conns; conn; conn = conn->next)
		count += conn->stage == stage && !atomic_load(&conn->done) && (!network || conn->network == *network);
	return count;
}

unsigned
tk_door_count_served(const struct tk_server *server)
{
	return count_inside(server, TK_CONN_KNOWN, NULL) + count_inside(server, TK_CONN_RECOVERING, NULL);
}

enum tk_rc
tk_door_pass(struct tk_conn *conn, enum tk_conn_stage stage, struct tk_err *err)
{
	struct tk_server *server = conn->server;
	unsigned most = stage == TK_CONN_KNOWN ? server->options.max_connections : RECOVERIES_MAX;

	if (conn->sent_away)
		return tk_err_set(err, TK_ECANCELLED, "it had to make room");
	if (count_inside(server, stage, NULL) >= most ||
	    (stage == TK_CONN_RECOVERING && count_inside(server, stage, &conn->network) >= RECOVERIES_OF_A_NETWORK))
		return tk_err_set(err, TK_EUNREACH, "the site serves as many connections as it may: try again later");
	tk_door_leave(conn);
	conn->stage = stage;
	return TK_OK;
}

void
tk_door_log_refused(struct tk_conn *conn, enum tk_rc rc, const struct tk_err *err)
{
	struct tk_server *server = conn->server;
	bool sent_away;

	pthread_mutex_lock(&server->lock);
	sent_away = conn->sent_away;
	pthread_mutex_unlock(&server->lock);
	if (sent_away)
		return;
	if (tk_rate_allow(server->refused_rate, conn->host, tk_clock_mono_ns())) {
		tk_log_event(server->log, TK_LOG_WARN, "refused", "address=%s error=%s text=\"%s\"", conn->address, tk_rc_name(rc), err->text);
		return;
	}
	pthread_mutex_lock(&server->lock);
	server->unsaid_count++;
	pthread_mutex_unlock(&server->lock);
}

void
tk_door_report(struct tk_server *server, int64_t now_ns)
{
	if (!server->sent_away_count && !server->unsaid_count)
		return;
	if (server->reported_ns && now_ns - server->reported_ns < REPORT_NS)
		return;
	tk_log_event(server->log, TK_LOG_WARN, "strangers", "sent_away=%llu refused=%llu text=\"connections that never showed who they are, in the last minute or longer\"",
		     (unsigned long long)server->sent_away_count, (unsigned long long)server->unsaid_count);
	server->sent_away_count = server->unsaid_count = 0;
	server->reported_ns = now_ns;
}
