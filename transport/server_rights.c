/* What may a peer touch? Its own domains: those whose genesis names its source. */
#include <string.h>

#include "engine/vault/records.h"
#include "transport/server_core.h"

#define PACK_DOMAIN_AT 48u

enum tk_rc
tk_conn_check_source(struct tk_conn *conn, const struct tk_id *source, struct tk_err *err)
{
	if (memcmp(source->b, conn->peer.owner.b, TK_ID_BYTES) != 0)
		return tk_err_set(err, TK_EDENIED, "%s has no right to what belongs to another source", conn->peer.name);
	return TK_OK;
}

enum tk_rc
tk_conn_check_domain(struct tk_conn *conn, const struct tk_id *domain, struct tk_err *err)
{
	struct tk_genesis genesis;
	struct tk_buf record;
	enum tk_rc rc;

	for (unsigned i = 0; i < conn->domain_count; i++)
		if (memcmp(conn->domains[i].b, domain->b, TK_ID_BYTES) == 0)
			return TK_OK;
	tk_buf_init(&record, TK_RECORD_MAX);
	rc = tk_vault_get_record(conn->server->vault, domain, TK_RECORD_GENESIS, 0, &record, err);
	if (!rc)
		rc = tk_genesis_decode(record.data, record.len_bytes, &genesis, err);
	tk_buf_release(&record);
	if (!rc)
		rc = tk_conn_check_source(conn, &genesis.source, err);
	if (rc)
		return rc;
	/* A genesis never changes: what was allowed once stays so. */
	conn->domains[conn->domain_next] = *domain;
	conn->domain_next = (conn->domain_next + 1) % TK_CONN_DOMAINS;
	if (conn->domain_count < TK_CONN_DOMAINS)
		conn->domain_count++;
	return TK_OK;
}

enum tk_rc
tk_conn_check_pack(struct tk_conn *conn, const struct tk_pack_name *name, struct tk_err *err)
{
	struct tk_id domain;
	struct tk_buf head;
	enum tk_rc rc;

	for (unsigned i = 0; i < conn->pack_count; i++)
		if (memcmp(conn->packs[i].b, name->b, TK_DIGEST_BYTES) == 0)
			return TK_OK;
	tk_buf_init(&head, TK_PACK_HEADER_BYTES);
	rc = tk_vault_get_range(conn->server->vault, name, PACK_DOMAIN_AT, TK_ID_BYTES, &head, err);
	if (!rc)
		memcpy(domain.b, head.data, TK_ID_BYTES);
	tk_buf_release(&head);
	if (!rc)
		rc = tk_conn_check_domain(conn, &domain, err);
	if (rc)
		return rc;
	conn->packs[conn->pack_next] = *name;
	conn->pack_next = (conn->pack_next + 1) % TK_CONN_PACKS;
	if (conn->pack_count < TK_CONN_PACKS)
		conn->pack_count++;
	return TK_OK;
}
