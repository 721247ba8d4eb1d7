#include "base/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct job {
    size_t count;
    void (*work)(void *user, size_t i);
    void *user;
    atomic_size_t next;
};

static void *do_some(void *argument)
{
    struct job *job = argument;
    for (size_t i; (i = atomic_fetch_add(&job->next, 1)) < job->count;)
        job->work(job->user, i);
    return NULL;
}

size_t parallel_each(size_t count, void (*work)(void *user, size_t i), void *user)
{
    enum { MOST = 16 };
    struct job job = {.count = count, .work = work, .user = user};
    pthread_t others[MOST - 1];
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t started = 0;
    while (started < MOST - 1 && started + 1 < count && (long)started + 1 < processors &&
           pthread_create(&others[started], NULL, do_some, &job) == 0)
        started++;
    do_some(&job);
    for (size_t i = 0; i < started; i++)
        pthread_join(others[i], NULL);
    return started + 1;
}
