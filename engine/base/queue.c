#include "engine/base/queue.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

struct tk_queue {
	pthread_mutex_t lock;
	pthread_cond_t not_full;
	pthread_cond_t not_empty;
	size_t capacity;
	size_t head;
	size_t count;
	bool closed;
	void *items[];
};

enum tk_rc
tk_queue_new(size_t capacity, struct tk_queue **out, struct tk_err *err)
{
	struct tk_queue *queue;

	if (capacity == 0 || capacity > (SIZE_MAX - sizeof(*queue)) / sizeof(void *))
		return tk_err_set(err, TK_EINVAL, "a queue of capacity %zu", capacity);
	queue = calloc(1, sizeof(*queue) + capacity * sizeof(void *));
	if (!queue)
		return tk_err_set(err, TK_ENOMEM, "no memory for a queue");
	queue->capacity = capacity;
	(void)pthread_mutex_init(&queue->lock, NULL);
	(void)pthread_cond_init(&queue->not_full, NULL);
	(void)pthread_cond_init(&queue->not_empty, NULL);
	*out = queue;
	return TK_OK;
}

void
tk_queue_free(struct tk_queue *queue)
{
	if (!queue)
		return;
	(void)pthread_cond_destroy(&queue->not_empty);
	(void)pthread_cond_destroy(&queue->not_full);
	(void)pthread_mutex_destroy(&queue->lock);
	free(queue);
}

void
tk_queue_cleanup(struct tk_queue **queue)
{
	tk_queue_free(*queue);
	*queue = NULL;
}

bool
tk_queue_push(struct tk_queue *queue, void *item)
{
	bool pushed = false;

	pthread_mutex_lock(&queue->lock);
	while (queue->count == queue->capacity && !queue->closed)
		pthread_cond_wait(&queue->not_full, &queue->lock);
	if (!queue->closed) {
		queue->items[(queue->head + queue->count) % queue->capacity] = item;
		queue->count++;
		pushed = true;
		pthread_cond_signal(&queue->not_empty);
	}
	pthread_mutex_unlock(&queue->lock);
	return pushed;
}

static void *
take_head(struct tk_queue *queue)
{
	void *item = queue->items[queue->head];

	queue->head = (queue->head + 1) % queue->capacity;
	queue->count--;
	pthread_cond_signal(&queue->not_full);
	return item;
}

void *
tk_queue_pop(struct tk_queue *queue)
{
	void *item = NULL;

	pthread_mutex_lock(&queue->lock);
	while (queue->count == 0 && !queue->closed)
		pthread_cond_wait(&queue->not_empty, &queue->lock);
	if (queue->count > 0)
		item = take_head(queue);
	pthread_mutex_unlock(&queue->lock);
	return item;
}

void *
tk_queue_try_pop(struct tk_queue *queue)
{
	void *item = NULL;

	pthread_mutex_lock(&queue->lock);
	if (queue->count > 0)
		item = take_head(queue);
	pthread_mutex_unlock(&queue->lock);
	return item;
}

void
tk_queue_close(struct tk_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->not_full);
	pthread_cond_broadcast(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

size_t
tk_queue_len(struct tk_queue *queue)
{
	size_t count;

	pthread_mutex_lock(&queue->lock);
	count = queue->count;
	pthread_mutex_unlock(&queue->lock);
	return count;
}
