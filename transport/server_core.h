/* server_core.h -- the inside of the server, shared by transport/server*.c only. */
#ifndef TK_TRANSPORT_SERVER_CORE_H
#define TK_TRANSPORT_SERVER_CORE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/vault/pack.h"
#include "transport/rate.h"
#include "transport/server.h"
#include "transport/session.h"

#define TK_CONN_DOMAINS 16u
#define TK_CONN_PACKS 64u
#define TK_CONN_SLOTS_MAX 64u

/* How far a connection has come. Of the first two, strangers, there is a bounded number (server_door.c). */
enum tk_conn_stage { TK_CONN_SILENT, TK_CONN_GREETING, TK_CONN_RECOVERING, TK_CONN_KNOWN };

/* The strangers of one stage, oldest first. */
struct tk_door {
	struct tk_conn *conns[TK_SERVER_STRANGERS];
	unsigned count;
};

struct tk_conn {
	struct tk_conn *next;                   /* under server->lock */
	struct tk_server *server;
	pthread_t thread;
	int fd;                                 /* until the session owns it, else -1; under server->lock */
	struct tk_session *session;             /* set and cleared under server->lock */
	struct tk_tls_ctx *tls;                 /* the one it was accepted with */
	int64_t accepted_ns;
	enum tk_conn_stage stage;               /* KNOWN: peer below is in use; under server->lock */
	bool sent_away;                         /* from the door, to make room; under server->lock */
	atomic_bool revoked;                    /* why the session was aborted */
	atomic_bool done;                       /* the thread has nothing more to do: join it */
	char address[TK_ADDRESS_TEXT_MAX], host[TK_ADDRESS_TEXT_MAX];
	uint64_t network;                       /* tk_address_network */

	/* From here on the connection's own thread only. */
	enum tk_role role;
	struct tk_peer peer;                    /* a copy: registries come and go */
	uint8_t pin[TK_PIN_BYTES];
	bool operator_proved;
	bool flush_failed;                      /* the last one: a PUBLISH may have been on its way already */

	struct tk_vault_pack *pack;             /* being received; NULL: none, or it is thrown away */
	bool in_pack;                           /* between PACK_BEGIN and PACK_END */
	bool pack_answered;                     /* early: what still comes of it is thrown away */
	uint32_t pack_request;
	uint64_t pack_left_bytes;
	uint8_t pack_head[TK_PACK_HEADER_BYTES];
	uint32_t pack_head_bytes;

	struct tk_id domains[TK_CONN_DOMAINS];  /* known to be the peer's */
	unsigned domain_count, domain_next;
	struct tk_pack_name packs[TK_CONN_PACKS]; /* known to be of the peer's domains */
	unsigned pack_count, pack_next;
};

struct tk_server {
	struct tk_server_options options;       /* zeros replaced; listen is NULL */
	struct tk_vault *vault;
	const struct tk_log *log;
	int listen_fds[TK_SERVER_LISTEN_MAX];
	unsigned listen_count;
	int stop_fd;                            /* becomes readable when the server stops */
	pthread_t accept_thread;
	bool started;
	atomic_bool stopping;
	struct tk_rate *recover_rate, *refused_rate;

	pthread_mutex_t lock;                   /* over what follows */
	struct tk_tls_ctx *tls;
	struct tk_registry *registry;
	struct tk_conn *conns;
	unsigned all_count;
	struct tk_door doors[TK_CONN_RECOVERING]; /* by stage */
	uint64_t sent_away_count, unsaid_count; /* since the last report of them */
	int64_t reported_ns;                    /* 0: never */
};

/* server.c. Ends a connection from outside; its own thread does the rest. Under server->lock. */
void tk_conn_abort(struct tk_conn *conn);

/* server_conn.c: the life of one connection; the argument is a struct tk_conn. */
void *tk_conn_run(void *arg);

/* server_door.c. May one more be accepted now? Takes server->lock; what follows is called under it, where it does not say so. */
bool tk_door_has_room(struct tk_server *server);
/* The connection, in the list already, is a stranger of this stage from now on; another one is sent away if there are as many as may be. */
void tk_door_enter(struct tk_conn *conn, enum tk_conn_stage stage);
void tk_door_leave(struct tk_conn *conn);
/* All strangers are sent away. Takes server->lock. */
void tk_door_clear(struct tk_server *server);
/* It has shown that it is to be served as `stage`. TK_EUNREACH: enough are. TK_ECANCELLED: it was sent away. */
TK_MUST_CHECK enum tk_rc tk_door_pass(struct tk_conn *conn, enum tk_conn_stage stage, struct tk_err *err);
unsigned tk_door_count_served(const struct tk_server *server);
/* Says how many were sent away or refused without a line, at most once a minute. */
void tk_door_report(struct tk_server *server, int64_t now_ns);
/* One line for a connection that was not let in, or none if there were many lately. Takes server->lock. */
void tk_door_log_refused(struct tk_conn *conn, enum tk_rc rc, const struct tk_err *err);

/* server_hello.c: who is it? TK_OK: conn->role, peer and pin are set, and the peer was told. */
TK_MUST_CHECK enum tk_rc tk_conn_hello(struct tk_conn *conn, struct tk_err *err);

/* server_request.c: serves one frame of an authenticated peer. An error that is returned ends the connection; errors of the request itself are sent. */
TK_MUST_CHECK enum tk_rc tk_conn_request(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err);
/* Sends the answer "rc, because of fault" to a request; TK_EPROTO is returned after it was sent: the connection has to end. */
TK_MUST_CHECK enum tk_rc tk_conn_refuse(struct tk_conn *conn, uint32_t request, enum tk_rc rc, const struct tk_err *fault, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_conn_ok(struct tk_conn *conn, uint32_t request, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_conn_send_record(struct tk_conn *conn, uint32_t request, const struct tk_buf *record, struct tk_err *err);

/* A kind of request: its message (NULL: none), and who may ask. serve answers with frames, or returns why not. */
struct tk_request_row {
	enum tk_frame_type type;
	const ProtobufCMessageDescriptor *message;
	bool for_operator;
	enum tk_rc (*serve)(struct tk_conn *conn, uint32_t request, const void *message, struct tk_err *err);
};
/* server_read.c and server_write.c; a row without serve ends the table. */
extern const struct tk_request_row tk_conn_read_rows[];
extern const struct tk_request_row tk_conn_write_rows[];

/* server_packs.c: PACK_BEGIN, PACK_DATA, PACK_SKIP, PACK_END. */
TK_MUST_CHECK enum tk_rc tk_conn_pack_frame(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err);

/* server_rights.c. TK_EDENIED unless the domain is one of the peer's. A domain without genesis is TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_conn_check_domain(struct tk_conn *conn, const struct tk_id *domain, struct tk_err *err);
/* TK_EDENIED unless the pack belongs to one of the peer's domains. TK_ENOENT: no such pack. */
TK_MUST_CHECK enum tk_rc tk_conn_check_pack(struct tk_conn *conn, const struct tk_pack_name *name, struct tk_err *err);
/* TK_EDENIED unless it is the peer's own source. */
TK_MUST_CHECK enum tk_rc tk_conn_check_source(struct tk_conn *conn, const struct tk_id *source, struct tk_err *err);

/* server_recover.c: RECOVER frames of a peer without a certificate. */
TK_MUST_CHECK enum tk_rc tk_conn_recover(struct tk_conn *conn, const struct tk_frame *frame, struct tk_err *err);

#endif
