/* Records from a hostile peer, each tried as every kind; and the plain body of a point, which no signature stands before here. */
#include <stdlib.h>

#include "engine/vault/marks.h"
#include "engine/vault/opening.h"
#include "engine/vault/recordio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tk_domain_keys no_keys;
	struct tk_point point;
	struct tk_point_body body;
	struct tk_opening opening;
	struct tk_genesis genesis;
	struct tk_grant grant;
	struct tk_vote vote;
	struct tk_receipt receipt;
	struct tk_marks *marks = malloc(sizeof(*marks));

	if (tk_point_decode(data, size, &point, NULL) == TK_OK)
		tk_point_release(&point);
	if (tk_point_open_body(data, size, &no_keys, &body, NULL) == TK_OK)
		abort();
	if (tk_point_body_decode(data, size, &body, NULL) == TK_OK)
		tk_point_body_release(&body);
	(void)!tk_opening_decode(data, size, &opening, NULL);
	(void)!tk_genesis_decode(data, size, &genesis, NULL);
	(void)!tk_grant_decode(data, size, &grant, NULL);
	(void)!tk_vote_decode(data, size, &vote, NULL);
	(void)!tk_receipt_decode(data, size, &receipt, NULL);
	if (marks)
		(void)!tk_marks_decode(data, size, marks, NULL);
	free(marks);
	return 0;
}
