#include "base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct job {
    size_t count;
    void (*work)(void *user, size_t i);
    void *user;
    atomic_size_t next, done;
};

static void *do_some(void *argument)
{
    struct job *job = argument;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->count;)
        job->work(job->user, i), atomic_fetch_add(&job->done, 1);
    return NULL;
}

size_t parallel_each_beside(size_t count, void (*work)(void *user, size_t i), void *user, bool (*meanwhile)(void *beside), void *beside)
{
    enum { MOST = 16 };
    struct job job = {.count = count, .work = work, .user = user};
    pthread_t others[MOST - 1];
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    const size_t own = meanwhile ? 0 : 1; /* does this thread take part from the start? */
    size_t started = 0;
    while (started < MOST - 1 && started + own < count && started + own < (size_t)processors &&
           pthread_create(&others[started], NULL, do_some, &job) == 0)
        started++;
    while (started && meanwhile && atomic_load(&job.done) < count && meanwhile(beside)) {}
    do_some(&job);
    for (size_t i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    return started + 1;
}

size_t parallel_each(size_t count, void (*work)(void *user, size_t i), void *user)
{
    return parallel_each_beside(count, work, user, NULL, NULL);
}
