/* --profile FILE: where the time went, as two tables on stderr and a trace in the file. */
#include <string.h>
#include "cli/open.h"
#include "cli/output.h"
#include "cli/term.h"

static bool is_own(const char *head, size_t size)
{
    static const char begin[] = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
    return size >= sizeof begin - 1 && memcmp(head, begin, sizeof begin - 1) == 0;
}

gr_status gr_begin_profile(gr_args *args, gr_opened *o)
{
    const char *file = args->common.profile;
    gr_status s = gr_check_output_file(args, "profile", file, args->positional, args->count, is_own);
    if (s == GR_OK)
        o->profile = gr_profile_start(o->device);
    return s == GR_OK && !o->profile ? gr_error_status() : s;
}

typedef struct table {
    double seconds; /* of all rows */
    int rows;
} table;

static bool add_row(void *user, const gr_profile_row *row)
{
    table *t = user;
    t->seconds += row->seconds;
    return true;
}

static bool print_row(void *user, const gr_profile_row *row)
{
    enum { MOST = 24 };
    table *t = user;
    double share = t->seconds > 0 ? 100 * row->seconds / t->seconds : 0,
           per_s = row->seconds > 0 ? 1e-9 / row->seconds : 0;
    if (!row->name)
        gr_note("%-42s %9s %9.2f ms %5.1f%%", "outside of kernels", "", 1e3 * row->seconds, share);
    else if (t->rows++ < MOST)
        gr_note("%-42s %9lld %9.2f ms %5.1f%% %9.1f %8.1f", *row->name ? row->name : "(no part of the model)",
                (long long)row->calls, 1e3 * row->seconds, share, row->flops * per_s, row->bytes * per_s);
    else if (t->rows == MOST + 1)
        gr_note("…");
    return true;
}

static gr_status print_table(const gr_profile *profile, gr_profile_by by, const char *head)
{
    table t = {0};
    gr_status s = gr_profile_walk(profile, by, add_row, &t);
    gr_note("%s%-42s %9s %12s %6s %9s %8s%s", gr_style_on(stderr, GR_BOLD), head, "calls", "time", "share", "GFLOP/s",
            "GB/s", gr_style_on(stderr, GR_PLAIN));
    return s == GR_OK ? gr_profile_walk(profile, by, print_row, &t) : s;
}

gr_status gr_end_profile(const gr_args *args, const gr_opened *o, gr_status status)
{
    if (!o->profile || (status != GR_OK && status != GR_ERR_INTERRUPTED))
        return status;
    gr_kept_error why;
    gr_error_keep(&why);
    gr_status s = print_table(o->profile, GR_PROFILE_OPS, "op");
    if (s == GR_OK)
        s = print_table(o->profile, GR_PROFILE_BLOCKS, "part of the model");
    if (s == GR_OK)
        s = gr_profile_trace(o->profile, args->common.profile);
    if (s == GR_OK)
        gr_note("every call is in %s: ui.perfetto.dev opens it", args->common.profile);
    if (status != GR_OK)
        gr_error_put_back(&why);
    return status == GR_OK ? s : status;
}
