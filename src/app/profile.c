/* A profile as a table, and as a trace for Chrome and Perfetto. */
#include "app/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "io/json.h"

struct group {
    const char *label;
    uint32_t count, groups[3];
    double seconds, flops, bytes;
};

static int by_label(const void *a, const void *b)
{
    return strcmp(((const struct group *)a)->label, ((const struct group *)b)->label);
}

static int by_seconds(const void *a, const void *b)
{
    double x = ((const struct group *)a)->seconds, y = ((const struct group *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : by_label(a, b);
}

/* Neighbours of one label become one group; returns how many are left. */
static uint32_t merge(struct group *groups, uint32_t count)
{
    uint32_t kept = 0;
    qsort(groups, count, sizeof *groups, by_label);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || strcmp(groups[kept - 1].label, groups[i].label) != 0) {
            groups[kept++] = groups[i];
            continue;
        }
        groups[kept - 1].count++;
        groups[kept - 1].seconds += groups[i].seconds;
        groups[kept - 1].flops += groups[i].flops;
        groups[kept - 1].bytes += groups[i].bytes;
    }
    return kept;
}

/* The better of the shares of both ceilings: what bounds the kernel. */
static double share_of(const struct group *group, struct ceilings ceilings)
{
    double flops = ceilings.flops > 0 ? group->flops / ceilings.flops : 0;
    double bytes = ceilings.bytes > 0 ? group->bytes / ceilings.bytes : 0;
    double least = flops > bytes ? flops : bytes;
    return group->seconds > 0 ? least / group->seconds : 0;
}

static void print_groups(FILE *out, const struct group *groups, uint32_t count, struct ceilings ceilings)
{
    double total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += groups[i].seconds;
    fprintf(out, "%10s %6s %6s %9s %9s %9s %9s %8s  %s\n", "ms", "share", "times", "MB", "MFLOP", "GB/s", "GFLOP/s",
            "ceiling", "operation (workgroups of the first)");
    for (uint32_t i = 0; i < count; i++) {
        const struct group *g = &groups[i];
        const double seconds = g->seconds > 0 ? g->seconds : 1e-12;
        fprintf(out, "%10.3f %5.1f%% %6u %9.2f %9.1f %9.2f %9.1f ", g->seconds * 1e3,
                total > 0 ? 100 * g->seconds / total : 0, g->count, g->bytes / 1e6, g->flops / 1e6,
                g->bytes / seconds / 1e9, g->flops / seconds / 1e9);
        if (ceilings.flops > 0 || ceilings.bytes > 0)
            fprintf(out, "%7.0f%%", 100 * share_of(g, ceilings));
        else
            fprintf(out, "%8s", "–");
        fprintf(out, "  %s (%u×%u×%u)\n", g->label, g->groups[0], g->groups[1], g->groups[2]);
    }
    fprintf(out, "%10.3f ms in all, each dispatch measured alone\n", total * 1e3);
}

vkg_result profile_print(FILE *out, const vkg_dispatch_profile *dispatches, uint32_t count, struct ceilings ceilings)
{
    struct group *groups = calloc(count + 1, sizeof *groups);
    if (!groups)
        return VKG_ERROR_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const vkg_dispatch_profile *d = &dispatches[i];
        groups[i] = (struct group){.label = d->label, .count = 1, .seconds = d->seconds, .flops = d->flops,
                                   .bytes = d->bytes, .groups = {d->groups[0], d->groups[1], d->groups[2]}};
    }
    uint32_t kept = merge(groups, count);
    qsort(groups, kept, sizeof *groups, by_seconds);
    print_groups(out, groups, kept, ceilings);
    free(groups);
    return VKG_OK;
}

vkg_result profile_write_trace(const vkg_log *log, const char *path, const vkg_dispatch_profile *dispatches, uint32_t count)
{
    struct json_text json = {0};
    char line[256];
    json_put(&json, "{\"traceEvents\": [", 17);
    for (uint32_t i = 0; i < count; i++) {
        const vkg_dispatch_profile *d = &dispatches[i];
        json_put(&json, i ? ",\n{\"name\": " : "\n{\"name\": ", i ? 11 : 10);
        json_put_string(&json, d->label);
        int length = snprintf(line, sizeof line,
                              ", \"ph\": \"X\", \"pid\": 1, \"tid\": 1, \"ts\": %.3f, \"dur\": %.3f, \"args\": {\"dispatch\": %u, "
                              "\"groups\": \"%u×%u×%u\", \"flops\": %.0f, \"bytes\": %.0f}}", d->start * 1e6, d->seconds * 1e6,
                              i, d->groups[0], d->groups[1], d->groups[2], d->flops, d->bytes);
        json_put(&json, line, (size_t)length);
    }
    json_put(&json, "\n]}\n", 4);
    vkg_result result = json.failed ? vkg_fail(log, VKG_ERROR_OUT_OF_MEMORY, "%s: out of memory for the trace", path) : VKG_OK;
    FILE *file = result == VKG_OK ? fopen(path, "w") : NULL;
    if (result == VKG_OK && !file)
        result = vkg_fail(log, VKG_ERROR_IO, "%s: cannot be written", path);
    if (file) {
        bool written = fwrite(json.text, 1, json.length, file) == json.length;
        if (fclose(file) != 0 || !written)
            result = vkg_fail(log, VKG_ERROR_IO, "%s: cannot be written in full", path);
    }
    free(json.text);
    return result;
}
