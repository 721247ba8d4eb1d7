/* Work on all processors: every thing once, and what the calling thread does beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/parallel.h"

enum { MOST = 500 };

static struct {
    atomic_int worked[MOST];
    size_t count;
    int beside, most_beside;
} things;

static void work(void *user, size_t i)
{
    assert_ptr_equal(user, &things);
    atomic_fetch_add(&things.worked[i], 1);
}

static bool beside(void *user)
{
    assert_ptr_equal(user, &things);
    return ++things.beside < things.most_beside;
}

static void begin(size_t count, int most_beside)
{
    things.count = count, things.beside = 0, things.most_beside = most_beside;
    for (size_t i = 0; i < MOST; i++)
        atomic_store(&things.worked[i], 0);
}

static void each_is_done_once(void)
{
    for (size_t i = 0; i < MOST; i++)
        assert_int_equal(atomic_load(&things.worked[i]), i < things.count);
}

static void every_thing_is_done_once(void **unused)
{
    (void)unused;
    static const size_t counts[] = {0, 1, 2, 3, 40, MOST};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        begin(counts[c], 0);
        assert_in_range(parallel_each(counts[c], work, &things), 1, 16);
        each_is_done_once();
    }
}

/* Until all is done, or until it says that it is enough; where no other thread can be started, not at all. */
static void meanwhile_goes_on_beside(void **unused)
{
    (void)unused;
    static const size_t counts[] = {0, 1, 40, MOST};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
        for (int most = 1; most <= 1000000; most *= 1000) {
            begin(counts[c], most);
            assert_in_range(parallel_each_beside(counts[c], work, &things, beside, &things), 1, 16);
            each_is_done_once();
            assert_in_range(things.beside, 0, most);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_thing_is_done_once), cmocka_unit_test(meanwhile_goes_on_beside)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
