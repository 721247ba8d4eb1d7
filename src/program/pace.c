/* Submissions of a tenth of a second: drivers cancel, or a desktop stops for, those that run for seconds. The first cut is a
 * careful guess; the first run is measured, and the program cut once more by what was seen. */
#include "program/pace.h"

#include <stdlib.h>

#include "base/clock.h"
#include "program/commands.h"
#include "program/profile.h"

/* Memory traffic counts as work too: a byte as ten operations, about what devices are built for. */
static double work_of(const struct prepared_dispatch *dispatch)
{
    return dispatch->flops + 10 * dispatch->bytes;
}

void pace_estimate(struct vkg_program *program)
{
    const vkg_device *device = program->device;
    /* until a run was measured: about the slowest device of each kind */
    double guess = device->caps.type == VKG_DEVICE_CPU ? 200e9 : 1000e9;
    double rate = device->work_rate > 0 ? device->work_rate : guess;
    for (uint32_t i = 0; i < program->stats.dispatches; i++)
        program->dispatches[i].seconds = work_of(&program->dispatches[i]) / rate;
}

/* The whole run's time, by work. */
static void share_out(struct vkg_program *program, double seconds)
{
    double work = 0;
    for (uint32_t i = 0; i < program->stats.dispatches; i++)
        work += work_of(&program->dispatches[i]);
    for (uint32_t i = 0; i < program->stats.dispatches && work > 0; i++)
        program->dispatches[i].seconds = seconds * work_of(&program->dispatches[i]) / work;
}

/* Without timestamps. */
static vkg_result measure_whole(struct vkg_program *program, uint32_t slot)
{
    double start = seconds_now();
    vkg_result result = run_send(program, slot, program->segments, program->segment_count);
    if (result == VKG_OK)
        result = vkg_program_wait(program, slot);
    share_out(program, seconds_now() - start);
    return result;
}

/* MoltenVK may give all timestamps of a submission the same time: where most dispatches took none, and the run longer than one
 * submission should, the run's own time counts. */
static vkg_result measure_each(struct vkg_program *program, uint32_t slot)
{
    double whole = 0;
    uint32_t untimed = 0;
    struct dispatch_time *times = calloc(program->stats.dispatches + 1, sizeof *times);
    if (!times)
        return vkg_fail(&program->device->log, VKG_ERROR_OUT_OF_MEMORY, "%s: no memory to measure a run", program->name);
    vkg_result result = profile_run(program, slot, times, &whole);
    for (uint32_t i = 0; i < program->stats.dispatches && result == VKG_OK; i++)
        program->dispatches[i].seconds = times[i].seconds, untimed += times[i].seconds == 0;
    if (result == VKG_OK && 2 * untimed > program->stats.dispatches && whole > program->submission_seconds)
        share_out(program, whole);
    free(times);
    return result;
}

/* What was seen serves the device's next programs; what no cut can help is said. */
static void learn(struct vkg_program *program)
{
    static const double TOO_LONG = 1; /* the strictest watchdogs wait two seconds */
    vkg_device *device = program->device;
    const struct prepared_dispatch *longest = program->dispatches;
    double work = 0, seconds = 0;
    for (uint32_t i = 0; i < program->stats.dispatches; i++) {
        const struct prepared_dispatch *dispatch = &program->dispatches[i];
        work += work_of(dispatch);
        seconds += dispatch->seconds;
        longest = dispatch->seconds > longest->seconds ? dispatch : longest;
    }
    if (work > 0 && seconds > 0)
        device->work_rate = work / seconds;
    if (longest->seconds > TOO_LONG && device->caps.type != VKG_DEVICE_CPU)
        vkg_logf(&device->log, VKG_LOG_WARNING,
                 "%s: dispatch %u (%s) takes %.1f seconds by itself; drivers may give up on it", program->name,
                 (uint32_t)(longest - program->dispatches), longest->label, longest->seconds);
}

/* Whether some submission is far longer than it should be, or half of them would do. */
static bool far_off(const struct vkg_program *program)
{
    for (uint32_t s = 0; s < program->segment_count; s++) {
        const struct segment *segment = &program->segments[s];
        double seconds = 0;
        for (uint32_t i = segment->first; i < segment->end; i++)
            seconds += program->dispatches[i].seconds;
        if (segment->end - segment->first > 1 && seconds > 1.25 * program->submission_seconds)
            return true;
    }
    return program->segment_count > 2 * commands_count_segments(program);
}

vkg_result pace_first_run(struct vkg_program *program, uint32_t slot)
{
    vkg_result result = commands_want_segments(program);
    if (result == VKG_OK)
        result = device_wait_idle(program->device); /* what others sent must not be measured */
    if (result == VKG_OK)
        result = program->device->caps.timestamp_bits ? measure_each(program, slot) : measure_whole(program, slot);
    if (result != VKG_OK)
        return result;
    learn(program);
    program->slots[slot].in_flight = program->slots[slot].finished = true; /* whatever becomes of the next ones */
    program->measured = !far_off(program) || commands_record_segments(program) == VKG_OK;
    return VKG_OK;
}
