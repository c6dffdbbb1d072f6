/* fetch_points.h -- the points that sites have, and records of points that came before anybody asked for them; for fetch*.c. Any thread.
 *
 * What is asked of it from elsewhere stands in fetch.h. */
#ifndef TK_JOB_FETCH_POINTS_H
#define TK_JOB_FETCH_POINTS_H

#include "engine/job/fetch.h"

/* The records that came last, a few dozen. */
struct tk_known_points;
/* Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_known_points_new(struct tk_known_points **out, struct tk_err *err);
void tk_known_points_cleanup(struct tk_known_points **known);

/* In fetch.c: those of a fetch, borrowed. */
struct tk_known_points *tk_fetch_known_points(struct tk_fetch *fetch);

#endif
