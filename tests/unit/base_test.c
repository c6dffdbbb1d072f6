/* The base layer: buffers with caps, the cursor over hostile bytes, the queue, times, hex. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/clock.h"
#include "engine/base/cores.h"
#include "engine/base/cursor.h"
#include "engine/base/hex.h"
#include "engine/base/log.h"
#include "engine/base/queue.h"

static void
every_number_survives_the_round_trip(void **state)
{
	static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
	struct tk_buf buf;
	struct tk_cursor cur;

	(void)state;
	tk_buf_init(&buf, 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		assert_int_equal(tk_buf_put_uv(&buf, values[i], NULL), TK_OK);
		assert_int_equal(tk_buf_put_sv(&buf, (int64_t)values[i], NULL), TK_OK);
		assert_int_equal(tk_buf_put_u64(&buf, values[i], NULL), TK_OK);
	}
	tk_cursor_init(&cur, buf.data, buf.len_bytes);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		assert_true(tk_cursor_uv(&cur) == values[i]);
		assert_true(tk_cursor_sv(&cur) == (int64_t)values[i]);
		assert_true(tk_cursor_u64(&cur) == values[i]);
	}
	assert_int_equal(tk_cursor_end(&cur, "numbers", NULL), TK_OK);
	tk_buf_release(&buf);
}

static void
a_cursor_never_leaves_its_bytes_and_its_first_fault_sticks(void **state)
{
	static const uint8_t cut[] = {5, 'a', 'b'};
	struct tk_cursor cur;
	struct tk_err err;
	size_t len;

	(void)state;
	tk_cursor_init(&cur, cut, sizeof(cut));
	assert_null(tk_cursor_bytes(&cur, 100, &len));
	assert_int_equal(len, 0);
	assert_int_equal(tk_cursor_u8(&cur), 0);
	assert_int_equal(tk_cursor_end(&cur, "record", &err), TK_ECORRUPT);
	assert_non_null(strstr(err.text, "record: cut short"));
}

static void
a_number_in_a_longer_form_than_needed_is_refused(void **state)
{
	static const uint8_t padded[] = {0x80, 0x00};
	static const uint8_t over[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
	struct tk_cursor cur;

	(void)state;
	tk_cursor_init(&cur, padded, sizeof(padded));
	(void)tk_cursor_uv(&cur);
	assert_false(tk_cursor_ok(&cur));
	tk_cursor_init(&cur, over, sizeof(over));
	(void)tk_cursor_uv(&cur);
	assert_false(tk_cursor_ok(&cur));
}

static void
a_buffer_refuses_to_grow_over_its_cap(void **state)
{
	struct tk_buf buf;
	uint8_t bytes[16] = {0};

	(void)state;
	tk_buf_init(&buf, 20);
	assert_int_equal(tk_buf_put(&buf, bytes, 16, NULL), TK_OK);
	assert_int_equal(tk_buf_put(&buf, bytes, 5, NULL), TK_EINVAL);
	assert_int_equal(buf.len_bytes, 16);
	tk_buf_release(&buf);
}

static void *
push_three(void *arg)
{
	static int items[3];

	for (int i = 0; i < 3; i++)
		if (!tk_queue_push(arg, &items[i]))
			return arg;
	tk_queue_close(arg);
	return NULL;
}

static void
a_closed_queue_gives_what_is_left_and_then_nothing(void **state)
{
	struct tk_queue *queue;
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(tk_queue_new(1, &queue, NULL), TK_OK);
	assert_int_equal(pthread_create(&thread, NULL, push_three, queue), 0);
	for (int i = 0; i < 3; i++)
		assert_non_null(tk_queue_pop(queue));
	assert_null(tk_queue_pop(queue));
	assert_false(tk_queue_push(queue, &failed));
	pthread_join(thread, &failed);
	assert_null(failed);
	tk_queue_free(queue);
}

static void
times_are_read_in_the_forms_people_write(void **state)
{
	int64_t ns;
	char text[TK_TIME_TEXT_MAX];

	(void)state;
	assert_int_equal(tk_time_parse("2026-11-24T03:00:00+08:00", &ns, NULL), TK_OK);
	tk_time_format(ns, text);
	assert_string_equal(text, "2026-11-23T19:00:00Z");
	assert_int_equal(tk_time_parse("2026-11-24T03:00:00.25Z", &ns, NULL), TK_OK);
	assert_int_equal(tk_time_parse("2026-12-31Z", &ns, NULL), TK_OK);
	tk_time_format(ns, text);
	assert_string_equal(text, "2026-12-31T23:59:59Z");
	assert_int_equal(tk_time_parse("2026-11-24", &ns, NULL), TK_OK);
	assert_int_equal(tk_time_parse("yesterday", &ns, NULL), TK_EINVAL);
}

static void
hex_round_trips_and_refuses_the_rest(void **state)
{
	uint8_t bytes[3] = {0, 0xab, 0xff}, back[3];
	char text[7];

	(void)state;
	tk_hex_encode(bytes, 3, text);
	assert_string_equal(text, "00abff");
	assert_int_equal(tk_hex_decode(text, back, 3, NULL), TK_OK);
	assert_memory_equal(bytes, back, 3);
	assert_int_equal(tk_hex_decode("00abf", back, 3, NULL), TK_EINVAL);
	assert_int_equal(tk_hex_decode("00abfg", back, 3, NULL), TK_EINVAL);
}

static void
cores_are_counted_as_far_as_they_may_be_used(void **state)
{
	cpu_set_t all, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	assert_int_equal(tk_cores_usable(), CPU_COUNT(&all));
	CPU_ZERO(&one);
	for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(tk_cores_usable(), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

static void
an_error_is_one_line_with_its_context_before_it(void **state)
{
	struct tk_err err;

	(void)state;
	tk_err_clear(&err);
	assert_int_equal(tk_err_set(&err, TK_ECORRUPT, "bad\nbyte"), TK_ECORRUPT);
	assert_int_equal(tk_err_context(&err, TK_ECORRUPT, "restoring %s", "a/b"), TK_ECORRUPT);
	assert_string_equal(err.text, "restoring a/b: bad?byte");
	assert_int_equal(tk_rc_exit_status(TK_ECORRUPT), 5);
}

/* What one event wrote, without the time before it. */
static const char *
logged(int fds[2], char *dst, size_t size)
{
	ssize_t got = read(fds[0], dst, size - 1);

	assert_true(got > 0);
	dst[got] = '\0';
	return strchr(dst, ' ') + 1;
}

static void
a_value_in_the_log_ends_neither_itself_nor_the_line(void **state)
{
	char text[4096], huge[3000];
	struct tk_log log = {.level = TK_LOG_INFO};
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	log.fd = fds[1];
	tk_log_event(&log, TK_LOG_WARN, "read", "file=\"%s\" error=%s", "a\" level=info b\\\n", "gone\tnow");
	assert_string_equal(logged(fds, text, sizeof(text)), "level=warn event=read file=\"a\\\" level=info b\\\\?\" error=gone?now\n");
	tk_log_event(&log, TK_LOG_INFO, "n", "a=%d b=%u c=%llu d=%zu e=%ld f=%.3s text=\"end\"", -5, 4000000000u, 18446744073709551615ull, (size_t)7, -9L, "abcdef");
	assert_string_equal(logged(fds, text, sizeof(text)), "level=info event=n a=-5 b=4000000000 c=18446744073709551615 d=7 e=-9 f=abc text=\"end\"\n");
	tk_log_event(&log, TK_LOG_DEBUG, "not", "shown=%s", "x");
	memset(huge, '"', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	tk_log_event(&log, TK_LOG_ERROR, "huge", "a=\"%s\" b=\"%s\"", huge, huge);
	(void)logged(fds, text, sizeof(text));
	assert_true(strlen(text) <= 2048 && text[strlen(text) - 1] == '\n' && strchr(text, '\n') == text + strlen(text) - 1);
	close(fds[0]);
	close(fds[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_number_survives_the_round_trip),
		cmocka_unit_test(a_cursor_never_leaves_its_bytes_and_its_first_fault_sticks),
		cmocka_unit_test(a_number_in_a_longer_form_than_needed_is_refused),
		cmocka_unit_test(a_buffer_refuses_to_grow_over_its_cap),
		cmocka_unit_test(a_closed_queue_gives_what_is_left_and_then_nothing),
		cmocka_unit_test(times_are_read_in_the_forms_people_write),
		cmocka_unit_test(hex_round_trips_and_refuses_the_rest),
		cmocka_unit_test(cores_are_counted_as_far_as_they_may_be_used),
		cmocka_unit_test(an_error_is_one_line_with_its_context_before_it),
		cmocka_unit_test(a_value_in_the_log_ends_neither_itself_nor_the_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
