/* What is cheap to compute need not wait in memory from the forward pass to the backward one (Chen et al. 2016, "Training Deep Nets with
 * Sublinear Memory Cost", for single elementwise kernels). The wave in which the most memory is taken decides: of the results that only
 * wait there, the one that gains most is given up, until none gains, or until the copies move too many bytes. */
#include "program/recompute.h"

#include <stdlib.h>

#include "program/plan.h"

enum {
    LITTLE = 12, /* copies may move a twelfth of what the program does */
    LEAST = 100, /* what is given up is a hundredth of the peak: a copy is a dispatch */
};

enum role { FREE, READ_AGAIN /* by a copy */, GIVEN_UP };

/* A dispatch that is computed again. Its result lives up to wave `from`, and again from the one before `to`. */
struct repeat {
    size_t dispatch, before; /* its copy comes before that one */
    uint32_t from, to, storage;
    int64_t gain; /* bytes; 0: none */
};

struct search {
    struct lowering *lowering;
    size_t *starts, *users;  /* users[starts[s] … starts[s+1]−1]: the dispatches that name storage s */
    int64_t *alive;          /* bytes, one a wave */
    enum role *roles;        /* one a storage */
    struct repeat *repeats;
    size_t repeat_count;
    uint64_t may_move; /* bytes */
};

/* Counting sort by storage. */
static void find_users(struct search *s)
{
    const struct lowering *lowering = s->lowering;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t d = 0; d < lowering->dispatch_count; d++)
            for (uint32_t b = 0; b < lowering->dispatches[d].binding_count; b++) {
                size_t *start = &s->starts[lowering->dispatches[d].bindings[b].storage + 1];
                if (pass)
                    s->users[(*start)++] = d;
                else
                    start[1]++;
            }
        for (size_t storage = 0; !pass && storage < lowering->storage_count; storage++)
            s->starts[storage + 2] += s->starts[storage + 1];
    }
}

static bool overlap(const struct lowering *lowering, const struct binding *a, const struct binding *b)
{
    const struct extent x = binding_extent(lowering, a), y = binding_extent(lowering, b);
    return x.memory == y.memory && x.first < y.end && y.first < x.end;
}

/* Does another dispatch write it, between these two? */
static bool is_overwritten(const struct lowering *lowering, const struct binding *read, size_t from, size_t to)
{
    for (size_t d = from + 1; d < to; d++)
        for (uint32_t b = 0; b < lowering->dispatches[d].binding_count; b++)
            if (lowering->dispatches[d].bindings[b].written && overlap(lowering, read, &lowering->dispatches[d].bindings[b]))
                return true;
    return false;
}

/* The only one that the dispatch writes, or NULL. */
static const struct binding *written_binding(const struct dispatch *dispatch)
{
    const struct binding *written = NULL;
    uint32_t count = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (dispatch->bindings[b].written) {
            written = &dispatch->bindings[b];
            count++;
        }
    return count == 1 ? written : NULL;
}

static bool is_written_by(const struct dispatch *dispatch, uint32_t storage)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (dispatch->bindings[b].written && dispatch->bindings[b].storage == storage)
            return true;
    return false;
}

/* When a dispatch's result is used before the peak, and behind it. false: it is not, or others write there too, as into the gradients that
 * an optimiser reads in one piece. */
static bool waits(const struct search *s, size_t index, uint32_t peak, struct repeat *repeat)
{
    const struct lowering *lowering = s->lowering;
    *repeat = (struct repeat){.dispatch = index, .before = SIZE_MAX, .to = UINT32_MAX, .storage = written_binding(&lowering->dispatches[index])->storage};
    for (size_t u = s->starts[repeat->storage]; u < s->starts[repeat->storage + 1]; u++) {
        const uint32_t wave = lowering->dispatches[s->users[u]].wave;
        if (s->users[u] != index && is_written_by(&lowering->dispatches[s->users[u]], repeat->storage))
            return false;
        if (wave <= peak) {
            repeat->from = wave > repeat->from ? wave : repeat->from;
        } else {
            repeat->to = wave < repeat->to ? wave : repeat->to;
            repeat->before = s->users[u] < repeat->before ? s->users[u] : repeat->before;
        }
    }
    return repeat->before != SIZE_MAX && lowering->dispatches[index].wave <= repeat->from && repeat->from < peak && peak + 1 < repeat->to;
}

/* What giving up that result gains at the peak: its bytes, less those of what has to live longer for the copy. */
static int64_t gain_of(const struct search *s, const struct repeat *repeat, uint32_t peak)
{
    const struct lowering *lowering = s->lowering;
    const struct dispatch *dispatch = &lowering->dispatches[repeat->dispatch];
    int64_t gain = (int64_t)lowering->storages[repeat->storage].bytes;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct storage *read = &lowering->storages[dispatch->bindings[b].storage];
        if (!dispatch->bindings[b].written && plan_is_shared(read) && read->last < peak)
            gain -= (int64_t)read->bytes;
    }
    return gain;
}

/* Does the copy read what the dispatch read? */
static bool can_repeat(const struct search *s, const struct repeat *repeat)
{
    const struct dispatch *dispatch = &s->lowering->dispatches[repeat->dispatch];
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct binding *binding = &dispatch->bindings[b];
        if (!binding->written && (s->roles[binding->storage] == GIVEN_UP ||
                                  is_overwritten(s->lowering, binding, repeat->dispatch, repeat->before)))
            return false;
    }
    return true;
}

static bool is_candidate(const struct search *s, const struct dispatch *dispatch)
{
    const struct binding *written = written_binding(dispatch);
    const struct storage *storage = written ? &s->lowering->storages[written->storage] : NULL;
    return dispatch->repeatable && storage && storage->kind == STORAGE_TEMPORARY && !storage->kept && s->roles[written->storage] == FREE &&
           !written->read;
}

static struct repeat find_best(const struct search *s, uint32_t peak)
{
    struct repeat best = {.gain = 0}, next;
    const int64_t least = s->alive[peak] / LEAST;
    for (size_t d = 0; d < s->lowering->dispatch_count; d++) {
        const struct dispatch *dispatch = &s->lowering->dispatches[d];
        if (!is_candidate(s, dispatch) || dispatch_bytes(dispatch) > s->may_move || !waits(s, d, peak, &next))
            continue;
        next.gain = gain_of(s, &next, peak);
        if (next.gain > best.gain && next.gain > least && can_repeat(s, &next))
            best = next;
    }
    return best;
}

static void change_alive(struct search *s, uint32_t first, uint32_t end, int64_t bytes)
{
    for (uint32_t wave = first; wave < end; wave++)
        s->alive[wave] += bytes;
}

static void take(struct search *s, const struct repeat *repeat)
{
    const struct dispatch *dispatch = &s->lowering->dispatches[repeat->dispatch];
    s->repeats[s->repeat_count++] = *repeat;
    s->may_move -= dispatch_bytes(dispatch);
    s->roles[repeat->storage] = GIVEN_UP;
    change_alive(s, repeat->from + 1, repeat->to - 1, -(int64_t)s->lowering->storages[repeat->storage].bytes);
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        struct storage *storage = &s->lowering->storages[dispatch->bindings[b].storage];
        if (dispatch->bindings[b].written)
            continue;
        s->roles[dispatch->bindings[b].storage] = READ_AGAIN;
        if (plan_is_shared(storage) && storage->last < repeat->to - 1) {
            change_alive(s, storage->last + 1, repeat->to, (int64_t)storage->bytes);
            storage->last = repeat->to - 1;
        }
    }
}

static uint32_t find_peak(const struct search *s)
{
    uint32_t peak = 0;
    for (uint32_t wave = 0; wave < s->lowering->dispatch_count; wave++)
        if (s->alive[wave] > s->alive[peak])
            peak = wave;
    return peak;
}

static void find_repeats(struct search *s)
{
    find_users(s);
    plan_find_alive(s->lowering, s->alive);
    for (size_t d = 0; d < s->lowering->dispatch_count; d++)
        s->may_move += dispatch_bytes(&s->lowering->dispatches[d]);
    s->may_move /= LITTLE;
    for (;;) {
        const struct repeat best = find_best(s, find_peak(s));
        if (!best.gain)
            return;
        take(s, &best);
    }
}

static void rename_storage(struct dispatch *dispatch, uint32_t from, uint32_t to)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (dispatch->bindings[b].storage == from)
            dispatch->bindings[b].storage = to;
}

/* The list with its copies. copies[r]: the storage of the copy's result. */
static void insert(const struct search *s, const uint32_t *copies, struct dispatch *list)
{
    size_t count = 0;
    for (size_t d = 0; d < s->lowering->dispatch_count; d++) {
        for (size_t r = 0; r < s->repeat_count; r++)
            if (s->repeats[r].before == d) {
                list[count] = s->lowering->dispatches[s->repeats[r].dispatch];
                list[count].late = true;
                rename_storage(&list[count++], s->repeats[r].storage, copies[r]);
            }
        list[count] = s->lowering->dispatches[d];
        for (size_t r = 0; r < s->repeat_count; r++)
            if (list[count].wave >= s->repeats[r].to)
                rename_storage(&list[count], s->repeats[r].storage, copies[r]);
        count++;
    }
}

static vkg_result replace_list(struct search *s, struct dispatch **old, size_t *old_count)
{
    struct lowering *lowering = s->lowering;
    const size_t count = lowering->dispatch_count + s->repeat_count;
    struct dispatch *list = calloc(count + 1, sizeof *list);
    uint32_t *copies = calloc(s->repeat_count + 1, sizeof *copies);
    vkg_result result = list && copies ? VKG_OK : lowering_out_of_memory(lowering);
    for (size_t r = 0; r < s->repeat_count && result == VKG_OK; r++)
        result = lowering_add_storage(lowering, STORAGE_TEMPORARY, lowering->storages[s->repeats[r].storage].bytes, &copies[r]);
    if (result == VKG_OK) {
        insert(s, copies, list);
        *old = lowering->dispatches;
        *old_count = lowering->dispatch_count;
        lowering->dispatches = list;
        lowering->dispatch_count = count;
        lowering->dispatch_capacity = count + 1;
    } else {
        free(list);
    }
    free(copies);
    return result;
}

vkg_result recompute_dispatches(struct lowering *lowering, struct dispatch **old, size_t *old_count)
{
    size_t users = 0;
    for (size_t d = 0; d < lowering->dispatch_count; d++)
        users += lowering->dispatches[d].binding_count;
    *old = NULL;
    struct search s = {.lowering = lowering, .starts = calloc(lowering->storage_count + 3, sizeof *s.starts),
                       .users = calloc(users + 1, sizeof *s.users), .alive = calloc(lowering->dispatch_count + 2, sizeof *s.alive),
                       .roles = calloc(lowering->storage_count + 1, sizeof *s.roles),
                       .repeats = calloc(lowering->dispatch_count + 1, sizeof *s.repeats)};
    vkg_result result = s.starts && s.users && s.alive && s.roles && s.repeats ? VKG_OK : lowering_out_of_memory(lowering);
    if (result == VKG_OK)
        find_repeats(&s);
    if (s.repeat_count)
        result = replace_list(&s, old, old_count);
    free(s.starts);
    free(s.users);
    free(s.alive);
    free(s.roles);
    free(s.repeats);
    return result;
}
