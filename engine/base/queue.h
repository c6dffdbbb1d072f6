/* queue.h -- a bounded first-in first-out queue of pointers: the only place where threads meet.
 *
 * Any number of producers and consumers. The queue borrows the items: who takes one out owns it. */
#ifndef TK_BASE_QUEUE_H
#define TK_BASE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"

struct tk_queue;

/* On TK_OK the caller owns *out. Errors: TK_ENOMEM, TK_EINVAL (capacity 0). */
TK_MUST_CHECK enum tk_rc tk_queue_new(size_t capacity, struct tk_queue **out, struct tk_err *err);
/* Frees the queue, not the items in it: drain it first with tk_queue_pop. NULL is allowed. */
void tk_queue_free(struct tk_queue *queue);
void tk_queue_cleanup(struct tk_queue **queue);

/* Waits for room; false when the queue was closed or aborted: the caller still owns the item. */
TK_MUST_CHECK bool tk_queue_push(struct tk_queue *queue, void *item);
/* Waits for an item; NULL when the queue is closed and empty, or aborted and empty. */
void *tk_queue_pop(struct tk_queue *queue);
/* NULL at once when nothing is there. */
void *tk_queue_try_pop(struct tk_queue *queue);
/* No more pushes; consumers see what is left, then NULL. May be called by any thread, more than once. */
void tk_queue_close(struct tk_queue *queue);
/* Number of items waiting now; a hint only. */
size_t tk_queue_len(struct tk_queue *queue);

#endif
