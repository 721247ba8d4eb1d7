#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "data/dataset.h"
#include "data/shuffle.h"
#include "data/view.h"

enum { DEFAULT_SLOTS = 3, MAX_SLOTS = 64 };

struct vkg_loader {
    const vkg_dataset *dataset;
    const vkg_view *view;
    vkg_view *own_view;  /* NULL where the view is the caller's */
    size_t image, input; /* floats of one; input is 0 where there is none */
    uint32_t batch, slots;
    uint64_t seed, first_step;
    float *slot_memory[MAX_SLOTS];
    float *own_memory; /* NULL where the memory is the caller's */
    float *inputs;     /* [slots][batch][input] */
    int32_t *labels;   /* [slots][batch] */

    /* The thread's. */
    pthread_t thread;
    struct shuffle shuffle;
    uint32_t *indices;
    struct view_scratch scratch;

    /* Below the lock. Batch n lies in slot n mod slots; released ≤ acquired ≤ filled ≤ released + slots. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled, acquired, released;
    bool stop;
    vkg_result result; /* of the thread: not VKG_OK once it has given up */
};

/* --- the thread --- */

/* Waits for room; false when the thread is to end. */
static bool wait_for_room(vkg_loader *loader, uint64_t number)
{
    pthread_mutex_lock(&loader->lock);
    while (!loader->stop && number - loader->released == loader->slots)
        pthread_cond_wait(&loader->changed, &loader->lock);
    bool go_on = !loader->stop;
    pthread_mutex_unlock(&loader->lock);
    return go_on;
}

static bool stopping(vkg_loader *loader)
{
    pthread_mutex_lock(&loader->lock);
    bool stop = loader->stop;
    pthread_mutex_unlock(&loader->lock);
    return stop;
}

static vkg_result fill(vkg_loader *loader, uint64_t number)
{
    uint32_t slot = (uint32_t)(number % loader->slots);
    uint64_t step = loader->first_step + number;
    size_t first = (size_t)slot * loader->batch; /* of the images in `labels` and `inputs` */
    shuffle_batch(&loader->shuffle, step, loader->indices);
    for (uint32_t i = 0; i < loader->batch && !stopping(loader); ++i) {
        const struct view_chance chance = view_draw(loader->seed, step, i);
        float *input = loader->input ? loader->inputs + (first + i) * loader->input : NULL;
        loader->labels[first + i] = vkg_dataset_label(loader->dataset, loader->indices[i]);
        vkg_result result = view_read(loader->view, loader->indices[i], &chance, &loader->scratch,
                                      loader->slot_memory[slot] + i * loader->image, input);
        if (result != VKG_OK)
            return result;
    }
    return VKG_OK;
}

static void *run(void *argument)
{
    vkg_loader *loader = argument;
    vkg_result result = VKG_OK;
    for (uint64_t number = 0; result == VKG_OK && wait_for_room(loader, number); ++number) {
        result = fill(loader, number);
        pthread_mutex_lock(&loader->lock);
        loader->result = result;
        loader->filled += result == VKG_OK;
        pthread_cond_broadcast(&loader->changed);
        pthread_mutex_unlock(&loader->lock);
    }
    return NULL;
}

/* --- creating --- */

static vkg_result check_desc(vkg_dataset *dataset, const vkg_loader_desc *desc)
{
    if (desc->batch == 0)
        return vkg_fail(dataset_log(dataset), VKG_ERROR_INVALID,
                        "loader: a batch of 0 images, expected at least 1");
    if (desc->slots > MAX_SLOTS)
        return vkg_fail(dataset_log(dataset), VKG_ERROR_INVALID, "loader: %u slots, expected at most %d",
                        desc->slots, MAX_SLOTS);
    return VKG_OK;
}

static vkg_result choose_view(vkg_loader *loader, const vkg_loader_desc *desc)
{
    vkg_result result = VKG_OK;
    vkg_dataset_info info = vkg_dataset_get_info(loader->dataset);
    if (!desc->view)
        result = vkg_view_create(loader->dataset, &(vkg_view_desc){0}, &loader->own_view);
    if (result != VKG_OK)
        return result;
    loader->view = desc->view ? desc->view : loader->own_view;
    if (view_dataset(loader->view) != loader->dataset)
        return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_INVALID,
                        "loader: a view of another dataset than %s, expected one of it", info.path);
    vkg_view_shape shape = vkg_view_get_shape(loader->view);
    if (shape.target[0] == 0)
        return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_INVALID,
                        "loader: the images of %s differ in size, expected a view that resizes or crops them",
                        info.path);
    loader->image = (size_t)shape.target[0] * shape.target[1] * shape.target[2];
    loader->input = (size_t)shape.input[0] * shape.input[1] * shape.input[2];
    return VKG_OK;
}

/* Room for `image` floats an image, or NULL. */
static float *allocate_slots(const vkg_loader *loader, size_t image)
{
    size_t slot, all;
    if (__builtin_mul_overflow(image, (size_t)loader->batch, &slot) ||
        __builtin_mul_overflow(slot, (size_t)loader->slots, &all))
        return NULL;
    return calloc(all, sizeof(float));
}

static bool allocate(vkg_loader *loader, const vkg_loader_desc *desc)
{
    size_t slot = loader->image * loader->batch; /* used only where allocate_slots found no overflow */
    if (!shuffle_create(&loader->shuffle, vkg_dataset_get_info(loader->dataset).count, desc->batch, desc->seed))
        return false;
    loader->indices = calloc(desc->batch, sizeof *loader->indices);
    loader->labels = calloc((size_t)desc->batch * loader->slots, sizeof *loader->labels);
    if (!loader->indices || !loader->labels)
        return false;
    if (loader->input && !(loader->inputs = allocate_slots(loader, loader->input)))
        return false;
    if (!desc->slot_memory && !(loader->own_memory = allocate_slots(loader, loader->image)))
        return false;
    for (uint32_t i = 0; i < loader->slots; ++i)
        loader->slot_memory[i] = desc->slot_memory ? desc->slot_memory[i] : loader->own_memory + i * slot;
    return true;
}

/* Signals go to the application's threads, not to this one. */
static vkg_result start(vkg_loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&loader->thread, NULL, run, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_OUT_OF_MEMORY, "loader: no thread: %s",
                        strerror(error));
    return VKG_OK;
}

static void free_loader(vkg_loader *loader)
{
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    shuffle_free(&loader->shuffle);
    view_scratch_free(&loader->scratch);
    vkg_view_destroy(&loader->own_view);
    free(loader->indices);
    free(loader->labels);
    free(loader->inputs);
    free(loader->own_memory);
    free(loader);
}

vkg_result vkg_loader_create(vkg_dataset *dataset, const vkg_loader_desc *desc, vkg_loader **loader)
{
    *loader = NULL;
    vkg_result result = check_desc(dataset, desc);
    if (result != VKG_OK)
        return result;
    vkg_loader *made = calloc(1, sizeof *made);
    if (!made)
        return vkg_fail(dataset_log(dataset), VKG_ERROR_OUT_OF_MEMORY, "loader: no memory");
    made->dataset = dataset;
    made->batch = desc->batch;
    made->slots = desc->slots ? desc->slots : DEFAULT_SLOTS;
    made->seed = desc->seed;
    made->first_step = desc->first_step;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->changed, NULL);
    result = choose_view(made, desc);
    if (result == VKG_OK && !allocate(made, desc))
        result = vkg_fail(dataset_log(dataset), VKG_ERROR_OUT_OF_MEMORY,
                          "loader: no memory for %u batches of %u images of %zu floats", made->slots,
                          made->batch, made->image + made->input);
    if (result == VKG_OK)
        result = start(made);
    if (result == VKG_OK)
        *loader = made;
    else
        free_loader(made);
    return result;
}

void vkg_loader_destroy(vkg_loader **loader)
{
    if (!loader || !*loader)
        return;
    pthread_mutex_lock(&(*loader)->lock);
    (*loader)->stop = true;
    pthread_cond_broadcast(&(*loader)->changed);
    pthread_mutex_unlock(&(*loader)->lock);
    pthread_join((*loader)->thread, NULL);
    free_loader(*loader);
    *loader = NULL;
}

/* --- the consumer's side --- */

vkg_result vkg_loader_acquire(vkg_loader *loader, uint32_t *slot, const float **pixels)
{
    vkg_result result = VKG_OK;
    pthread_mutex_lock(&loader->lock);
    bool starved = loader->acquired - loader->released == loader->slots;
    while (!starved && loader->acquired == loader->filled && loader->result == VKG_OK)
        pthread_cond_wait(&loader->changed, &loader->lock);
    if (!starved && loader->acquired == loader->filled)
        result = loader->result;
    else if (!starved)
        *slot = (uint32_t)(loader->acquired++ % loader->slots);
    pthread_mutex_unlock(&loader->lock);
    if (starved)
        return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_INVALID,
                        "loader: all %u slots are acquired, expected one to be released first", loader->slots);
    if (result == VKG_OK && pixels)
        *pixels = loader->slot_memory[*slot];
    return result;
}

vkg_result vkg_loader_release(vkg_loader *loader, uint32_t slot)
{
    pthread_mutex_lock(&loader->lock);
    bool any = loader->released < loader->acquired;
    uint32_t expected = (uint32_t)(loader->released % loader->slots);
    bool good = any && slot == expected;
    if (good) {
        ++loader->released;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    if (good)
        return VKG_OK;
    if (!any)
        return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_INVALID,
                        "loader: slot %u released, but none is acquired", slot);
    return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_INVALID,
                    "loader: slot %u released, expected %u: the oldest first", slot, expected);
}

const int32_t *vkg_loader_labels(const vkg_loader *loader, uint32_t slot)
{
    return loader->labels + (size_t)slot * loader->batch;
}

const float *vkg_loader_inputs(const vkg_loader *loader, uint32_t slot)
{
    return loader->input ? loader->inputs + (size_t)slot * loader->batch * loader->input : NULL;
}

vkg_result vkg_loader_indices(const vkg_loader *loader, uint64_t step, uint32_t *indices)
{
    struct shuffle shuffle;
    if (!shuffle_create(&shuffle, vkg_dataset_get_info(loader->dataset).count, loader->batch, loader->seed))
        return vkg_fail(dataset_log(loader->dataset), VKG_ERROR_OUT_OF_MEMORY,
                        "loader: no memory for an order");
    shuffle_batch(&shuffle, step, indices);
    shuffle_free(&shuffle);
    return VKG_OK;
}
