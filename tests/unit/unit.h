/* unit.h -- what every unit test includes first: cmocka with the headers it wants before it. */
#ifndef TK_TESTS_UNIT_H
#define TK_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
