/* Every op there is, tested from its record alone: gradients against central differences in f64 on ref, values, gradients
 * and written states on cpu and far against ref in f64, in every dtype. What is not covered fails the run. How and why:
 * docs/testing.md. */
#include "block_dtype.h"
#include "op_harness.h"

#include "backend/cpu/isa.h"
#include "base/dtype.h"
#include "op/attr.h"
#include "op/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Unlike test.h's checks these go on: the report at the end is worth more than the first failure. The first few of an op
 * are printed. */
enum { PRINTED = 4 };
static int checks, failures, failures_of_op;
#define EXPECT(condition, ...)                                                                                         \
    do {                                                                                                               \
        checks++;                                                                                                      \
        if (!(condition)) {                                                                                            \
            failures++;                                                                                                \
            if (++failures_of_op > PRINTED)                                                                            \
                break;                                                                                                 \
            printf("FAIL ");                                                                                           \
            printf(__VA_ARGS__);                                                                                       \
            printf("%s%s\n", *gr_error() ? ": " : "", gr_error());                                                     \
            gr_error_clear();                                                                                          \
        }                                                                                                              \
    } while (0)

/* ---- what is measured, and against what --------------------------------------------------------------------- */

/* Central differences: with step h the formula is off by h^2/6 f''' and rounding adds 2^-53 |f| / h. Around h = 1e-5
 * both are near 1e-11 for functions of ordinary size, five digits below what is asked for. */
static const double STEP = 1e-5, GRADIENT_TOLERANCE = 1e-6;
/* Elements tried of an input; fewer where a run takes long, which the memory it needs tells. */
enum { ELEMENTS = 40, ELEMENTS_OF_LARGE = 6, LARGE = 128 << 10 };

/* A result may be off by `roundings` half-units in the last place of the tensor's largest value, and by SENSITIVITY times
 * what it changes by when all inputs move by 2^-24: a sum that cancels cannot be better than that. */
static const struct precision {
    gr_dtype dtype;
    double unit;     /* half a unit in the last place of 1 */
    double smallest; /* below it numbers have less digits */
    double kernel;   /* roundings of a value that a kernel computes */
    double composed; /* of one that several ops compute: a composition, a gradient */
} precisions[] = {
    {GR_F32, 0x1p-24, 0x1p-126, 8, 16},
    {GR_F16, 0x1p-11, 0x1p-14, 1.5, 8},
    {GR_BF16, 0x1p-8, 0x1p-126, 1.5, 8},
};
enum { PRECISIONS = sizeof precisions / sizeof precisions[0], DEVICES = 2 };
static const double SENSITIVITY = 4;
static const char *device_names[DEVICES] = {"cpu", "far"};
static int n_devices = DEVICES;
static bool is_other; /* with --on: one device, and nothing that is known of ref and cpu */

static gr_device *ref, *devices[DEVICES], *more_threads; /* cpu with other threads than devices[0] */

typedef struct coverage {
    int samples;
    int64_t gradients, second, refusals; /* elements compared; refused gradients */
    int64_t values[DEVICES][PRECISIONS]; /* samples compared */
    double worst[PRECISIONS];            /* error / what is allowed */
    bool kernel;                         /* cpu has one of its own */
} coverage;

static const struct precision *precision_of(gr_dtype d)
{
    for (int i = 0; i < PRECISIONS; i++)
        if (precisions[i].dtype == d)
            return &precisions[i];
    return NULL;
}

/* ---- gradients ---------------------------------------------------------------------------------------------- */

/* Sum of weight * what the case computes, between two runs; the weights are the cotangents of that level. The results
 * are subtracted one by one, so that large ones do not drown the small change. */
static double weighted_change(const op_call *call, int level, const op_case *c, double **before)
{
    double sum = 0;
    for (int r = 0; r < c->n_roots; r++) {
        double *w = op_cotangent(call, level, c->results[r].index, c->results[r].count);
        for (int64_t e = 0; e < c->results[r].count; e++)
            sum += w[e] * (c->results[r].value[e] - before[r][e]);
        free(w);
    }
    return sum;
}

static bool difference_quotient(op_case *c, int level, int k, int64_t element, double *out)
{
    double x = c->call->in[k][element], h = STEP * fmax(1, fabs(x)), *before[OP_MAX_RESULTS];
    op_case_set(c, k, element, x - h);
    gr_status s = op_case_run(c);
    for (int r = 0; r < c->n_roots; r++) {
        size_t bytes = (size_t)c->results[r].count * sizeof(double);
        before[r] = malloc(bytes + 1);
        memcpy(before[r], c->results[r].value, bytes);
    }
    op_case_set(c, k, element, x + h);
    if (s == GR_OK)
        s = op_case_run(c);
    *out = s == GR_OK ? weighted_change(c->call, level, c, before) / ((x + h) - (x - h)) : NAN;
    op_case_set(c, k, element, x);
    for (int r = 0; r < c->n_roots; r++)
        free(before[r]);
    return s == GR_OK;
}

static bool all_f64(const op_case *c)
{
    bool all = c->n_roots > 0;
    for (int r = 0; r < c->n_roots; r++)
        all &= c->results[r].spec.dtype == GR_F64;
    return all;
}

static int64_t compare_gradient(op_case *values, const op_result *d, int level, const char *what)
{
    bool large = gr_program_plan(values->program)->arena > LARGE;
    int64_t limit = large ? ELEMENTS_OF_LARGE : ELEMENTS, n = d->count < limit ? d->count : limit;
    for (int64_t i = 0; i < n; i++) {
        int64_t e = d->count <= limit ? i : (int64_t)((double)i / (double)n * (double)d->count) + i % 3;
        e = e < d->count ? e : d->count - 1;
        double expected;
        EXPECT(difference_quotient(values, level, d->index, e, &expected), "%s", what);
        double off = fabs(d->value[e] - expected);
        EXPECT(off <= GRADIENT_TOLERANCE * fmax(1, fabs(expected)),
               "%s: gradient of input %d at %lld is %.12g, differences say %.12g", what, d->index, (long long)e,
               d->value[e], expected);
    }
    return n;
}

/* level 1: the gradient is that of the values; 2: the gradient of the gradient. Returns the elements compared. */
static int64_t check_gradient(const op_call *call, int level, unsigned flags, const char *what)
{
    op_case values, grads;
    int64_t n = 0;
    gr_status s = op_case_open(&values, call, ref, GR_F64, flags | (level == 1 ? OP_VALUES : OP_GRADS));
    EXPECT(s == GR_OK, "%s", what);
    if (s == GR_OK && all_f64(&values)) {
        s = op_case_open(&grads, call, ref, GR_F64, flags | (level == 1 ? OP_GRADS : OP_SECOND));
        if (s == GR_OK)
            s = op_case_run(&grads);
        EXPECT(s == GR_OK, "%s: gradient of level %d", what, level);
        for (int r = 0; s == GR_OK && r < grads.n_roots; r++)
            n += compare_gradient(&values, &grads.results[r], level, what);
        op_case_close(&grads);
    }
    op_case_close(&values);
    return n;
}

/* An op that says why it has no gradient must refuse by name where one would be dropped: from a floating-point output to
 * a floating-point input. Elsewhere the gradient is 0. */
static void check_no_gradient(const op_call *call, coverage *cov, const char *what)
{
    bool any = false;
    for (int k = 0; k < call->sample.n_in; k++)
        any |= op_call_wants_grad(call, k);
    if (!any || (call->op->flags & GR_OP_EFFECT))
        return;
    op_case c;
    gr_status s = op_case_open(&c, call, ref, GR_F64, OP_GRADS);
    bool must_refuse = gr_dtype_get(c.node->spec.dtype)->is_float && !(call->op->flags & GR_OP_STOP);
    if (must_refuse)
        EXPECT(s != GR_OK && strstr(gr_error(), call->op->name) && strstr(gr_error(), call->op->no_grad),
               "%s: a gradient that there is none of was not refused by name", what);
    else
        s = s == GR_OK ? op_case_run(&c) : s;
    EXPECT(must_refuse || s == GR_OK, "%s", what);
    for (int r = 0; !must_refuse && s == GR_OK && r < c.n_roots; r++)
        for (int64_t e = 0; e < c.results[r].count; e++)
            EXPECT(c.results[r].value[e] == 0, "%s: gradient without a rule is not 0", what);
    op_case_close(&c);
    cov->refusals++;
}

static void check_gradients(const op_call *call, coverage *cov, const char *what)
{
    if (call->op->no_grad) {
        check_no_gradient(call, cov, what);
        return;
    }
    if (call->op->outputs > 1) /* what training uses; then what is saved, as gradients of gradients do */
        cov->gradients += check_gradient(call, 1, OP_ONE_OUT, what);
    cov->gradients += check_gradient(call, 1, 0, what);
    cov->second += check_gradient(call, 2, call->op->outputs > 1 ? OP_ONE_OUT : 0, what);
}

/* ---- values ------------------------------------------------------------------------------------------------- */

/* |a - b|, 0 for equal infinities and for two NaNs */
static double distance(double a, double b)
{
    if (a == b || (isnan(a) && isnan(b)))
        return 0;
    double d = fabs(a - b);
    return isnan(d) ? INFINITY : d;
}

/* The largest value that goes in: what lies between the ops of a composition is of that size at least, and rounded. */
static double largest_input(const op_call *call)
{
    double largest = 1; /* the cotangents are below 1 */
    for (int k = 0; k < call->sample.n_in; k++)
        for (int64_t i = 0; call->sample.in[k].is_float && i < call->count[k]; i++)
            largest = fmax(largest, fabs(call->in[k][i]));
    return largest;
}

/* expected: from f64; moved: the same from inputs moved by 2^-24; between: the size of intermediate results, 0 when one
 * kernel computes all. */
static void compare_result(const op_result *got, const op_result *expected, const op_result *moved, double between,
                           double random, coverage *cov, int p, const char *what)
{
    static const char *const parts[] = {"output", "gradient of input", "second gradient of input", "state"};
    double largest = 0, sensitivity = 0, worst = 0;
    int64_t at = 0;
    for (int64_t e = 0; e < got->count; e++) {
        double size = fabs(expected->value[e]), off = distance(got->value[e], expected->value[e]);
        largest = isfinite(size) ? fmax(largest, size) : largest;
        sensitivity = fmax(sensitivity, distance(expected->value[e], moved->value[e]));
        if (off > worst) {
            worst = off;
            at = e;
        }
    }
    const struct precision *q = precision_of(got->spec.dtype);
    double allowed = 0; /* integers and bools are exact */
    if (q) {
        const struct precision *step = between > 0 ? &precisions[p] : q; /* a composition rounds at every op */
        double roundings = (between > 0 ? step->composed : q->kernel) + (q->dtype == GR_BF16 ? random : 0);
        allowed = roundings * step->unit * fmax(fmax(largest, between), q->smallest) + SENSITIVITY * sensitivity;
    }
    EXPECT(worst <= allowed, "%s: %s %d, element %lld is %.9g, ref in f64 says %.9g (off by %.3g, allowed %.3g)", what,
           parts[got->part], got->index, (long long)at, got->value[at], expected->value[at], worst, allowed);
    if (allowed > 0)
        cov->worst[p] = fmax(cov->worst[p], worst / allowed);
}

typedef struct oracle {
    op_call moved_call;
    op_case exact, moved;
} oracle;

static gr_status ask_oracle(oracle *o, const op_call *call, int sample, unsigned flags)
{
    op_call_make(&o->moved_call, call->op, sample, call->dtype);
    op_call_perturb(&o->moved_call);
    gr_status s = op_case_open(&o->exact, call, ref, GR_F64, flags);
    if (s == GR_OK)
        s = op_case_run(&o->exact);
    gr_status t = op_case_open(&o->moved, &o->moved_call, ref, GR_F64, flags);
    if (t == GR_OK)
        t = op_case_run(&o->moved);
    return s != GR_OK ? s : t;
}

static void close_oracle(oracle *o)
{
    op_case_close(&o->exact);
    op_case_close(&o->moved);
    op_call_free(&o->moved_call);
}

static bool has_kernel(const gr_device *d, const gr_tensor *node)
{
    const gr_kernel *k = d->backend->find(d, node);
    return k && k != gr_backend_ref.find(d, node);
}

static bool run_on(const op_call *call, gr_device *d, int p, unsigned flags, const oracle *o, coverage *cov,
                   const char *what)
{
    op_case c;
    gr_status s = op_case_open(&c, call, d, precisions[p].dtype, flags);
    if (s == GR_OK)
        s = op_case_run(&c);
    EXPECT(s == GR_OK, "%s", what);
    bool composed = call->op->compose && !d->backend->find(d, c.node);
    cov->kernel |= has_kernel(d, c.node);
    for (int r = 0; s == GR_OK && r < c.n_results; r++) {
        const op_result *got = &c.results[r];
        bool several_ops = composed || got->part == OP_GRAD || got->part == OP_GRAD2;
        double random = call->op->flags & GR_OP_ROUNDS ? 1 : 0; /* roundings more, where not to nearest */
        compare_result(got, &o->exact.results[r], &o->moved.results[r], several_ops ? largest_input(call) : 0, random,
                       cov, p, what);
    }
    op_case_close(&c);
    return s == GR_OK;
}

/* The levels of instructions below the machine's best, so that each kernel that could be picked is. */
static void check_levels(const op_call *call, int sample, int p, unsigned flags, const oracle *o, coverage *cov)
{
    int best = (int)gr_isa_detect();
    for (int level = 0; level < best; level++) {
        char what[160];
        snprintf(what, sizeof what, "%s sample %d, %s on cpu (%s)", call->op->name, sample,
                 gr_dtype_name(precisions[p].dtype), gr_isa_name((gr_isa)level));
        gr_isa_limit((gr_isa)level);
        run_on(call, devices[0], p, flags, o, cov, what);
        gr_isa_limit(GR_ISA_COUNT);
    }
}

/* The same bits whatever the number of threads. */
static void check_threads(const op_call *call, int sample, int p, unsigned flags)
{
    op_case a, b;
    gr_status s = op_case_open(&a, call, devices[0], precisions[p].dtype, flags);
    gr_status t = op_case_open(&b, call, more_threads, precisions[p].dtype, flags);
    if (s == GR_OK && t == GR_OK) {
        s = op_case_run(&a);
        t = op_case_run(&b);
    }
    EXPECT(s == GR_OK && t == GR_OK, "%s sample %d, two numbers of threads", call->op->name, sample);
    for (int r = 0; s == GR_OK && t == GR_OK && r < a.n_results; r++) {
        size_t bytes = gr_dtype_size(a.results[r].spec.dtype, a.results[r].count);
        EXPECT(memcmp(a.buffers[r], b.buffers[r], bytes) == 0, "%s sample %d, %s: result %d depends on the threads",
               call->op->name, sample, gr_dtype_name(precisions[p].dtype), r);
    }
    op_case_close(&a);
    op_case_close(&b);
}

/* Blocks are packed and unpacked on the host. */
static bool has_blocks(const op_call *call)
{
    const gr_cast_attr *cast = (const gr_cast_attr *)(const void *)call->sample.attr.bytes;
    bool has = call->op == &gr_op_cast && gr_dtype_is_block(cast->dtype);
    for (int k = 0; k < call->sample.n_in; k++)
        has |= gr_dtype_is_block(call->sample.in[k].spec.dtype);
    return has;
}

static void check_values(const op_call *call, int sample, int p, coverage *cov)
{
    if (is_other && has_blocks(call))
        return;
    bool any_grad = false;
    for (int k = 0; k < call->sample.n_in; k++)
        any_grad |= op_call_wants_grad(call, k);
    unsigned one = call->op->outputs > 1 ? OP_ONE_OUT : 0;
    unsigned flags = OP_VALUES | one | (any_grad && !call->op->no_grad ? OP_GRADS : 0);
    /* The third: in place where it can be, for which the inputs must not be used again. The last: all outputs at once,
     * as nothing but tests reads them. */
    static const char *const notes[] = {"", ", strided", ", in place", ", all outputs"};
    const unsigned variants[] = {flags, flags | OP_STRIDED, OP_VALUES | OP_PLAIN | one, one ? (unsigned)OP_VALUES : 0};
    for (int v = 0; v < 4; v++) {
        if (!variants[v] || (is_other && v > 0 && p > 0)) /* there every variant is compiled: one dtype shows them */
            continue;
        char what[160];
        oracle o;
        gr_status s = ask_oracle(&o, call, sample, variants[v]);
        EXPECT(s == GR_OK, "%s sample %d in f64 on ref", call->op->name, sample);
        for (int d = 0; s == GR_OK && d < n_devices; d++) {
            if (d > 0 && v > 0)
                continue; /* far differs in its memory only */
            snprintf(what, sizeof what, "%s sample %d, %s on %s%s", call->op->name, sample,
                     gr_dtype_name(precisions[p].dtype), device_names[d], notes[v]);
            cov->values[d][p] += run_on(call, devices[d], p, variants[v], &o, cov, what);
        }
        if (s == GR_OK && v == 0 && !is_other) {
            check_levels(call, sample, p, variants[v], &o, cov);
            check_threads(call, sample, p, variants[v]);
        }
        close_oracle(&o);
    }
}

/* ---- the list ----------------------------------------------------------------------------------------------- */

static void check_op(const gr_op *op, coverage *cov)
{
    failures_of_op = 0;
    op_call call;
    char what[96];
    bool floats = false;
    for (int i = 0; op_call_make(&call, op, i, GR_F64); i++) {
        snprintf(what, sizeof what, "%s sample %d, f64 on ref", op->name, i);
        if (!is_other)
            check_gradients(&call, cov, what);
        cov->samples++;
        op_call_free(&call);
        for (int p = 0; p < PRECISIONS; p++) {
            op_call_make(&call, op, i, precisions[p].dtype);
            floats |= op_call_has_floats(&call);
            if (p == 0 || op_call_has_floats(&call))
                check_values(&call, i, p, cov);
            op_call_free(&call);
        }
    }
    if (op->flags & GR_OP_BOUND) /* memory, not computing */
        return;
    EXPECT(cov->samples > 0, "%s has no samples", op->name);
    EXPECT(cov->gradients > 0 || op->no_grad || is_other, "%s: no gradient was checked and none is refused", op->name);
    for (int d = 0; d < n_devices; d++)
        for (int p = 0; p < (floats ? PRECISIONS : 1); p++)
            EXPECT(cov->values[d][p] > 0, "%s was not compared in %s on %s", op->name,
                   gr_dtype_name(precisions[p].dtype), device_names[d]);
}

static void report_head(void)
{
    printf("%-19s %7s %9s %9s  %-11s %21s   error / allowed in\n", "op", "samples", "gradients", "2nd order", "on cpu",
           "compared cpu/far");
    printf("%61s %6s %6s %6s   %5s %5s %5s\n", "", "f32", "f16", "bf16", "f32", "f16", "bf16");
}

static void report(const gr_op *op, const coverage *c)
{
    printf("%-19s %7d %9lld %9lld  %-11s ", op->name, c->samples, (long long)c->gradients, (long long)c->second,
           c->kernel     ? "kernel"
           : op->compose ? "composition"
           : op->view    ? "view"
                         : "reference");
    for (int p = 0; p < PRECISIONS; p++)
        printf(" %2lld/%-3lld", (long long)c->values[0][p], (long long)c->values[1][p]);
    printf("  ");
    for (int p = 0; p < PRECISIONS; p++)
        printf(" %5.2f", c->worst[p]);
    printf("%s%s\n", op->no_grad ? "   no gradient: " : "", op->no_grad ? op->no_grad : "");
}

static int open_all(int argc, char **argv)
{
    is_other = argc > 2 && strcmp(argv[1], "--on") == 0;
    if (is_other) {
        n_devices = 1;
        device_names[0] = argv[2];
    }
    ref = gr_device_open("ref", 1);
    more_threads = gr_device_open("cpu", 3);
    for (int d = 0; d < n_devices; d++)
        devices[d] = gr_device_open(device_names[d], 2);
    if (is_other && !devices[0] && gr_error_status() == GR_ERR_UNSUPPORTED)
        return 77;
    EXPECT(ref && devices[0] && devices[n_devices - 1] && more_threads, "devices");
    return failures > 0;
}

static void close_all(void)
{
    for (int d = 0; d < n_devices; d++)
        gr_device_close(devices[d]);
    gr_device_close(more_threads);
    gr_device_close(ref);
}

/* op_test [--on DEVICE [I/N]] [OP ..]: only the ops named; on that device instead of cpu and far; every N-th from the I-th. */
int main(int argc, char **argv)
{
    block_dtype(); /* what loops over dtypes meets one of blocks */
    int status = open_all(argc, argv), first = is_other ? 3 : 1, part = 1, parts = 1;
    if (status) {
        printf("%s: %s\n", status == 77 ? "skipped op_test" : "FAIL", gr_error());
        close_all();
        return status;
    }
    if (is_other && argc > first && sscanf(argv[first], "%d/%d", &part, &parts) == 2)
        first++;
    report_head();
    for (int i = part - 1; gr_op_list(i); i += parts) {
        bool named = argc <= first;
        for (int a = first; a < argc; a++)
            named |= strcmp(argv[a], gr_op_list(i)->name) == 0;
        if (!named)
            continue;
        coverage c = {0};
        check_op(gr_op_list(i), &c);
        report(gr_op_list(i), &c);
    }
    close_all();
    printf("%d checks, %d failed\n", checks, failures);
    return checks == 0 || failures > 0;
}
