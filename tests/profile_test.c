/* Profiles: every call is in them, once, and they change no number. */
#include "tiny.h"

#include "base/json.h"
#include "program/program.h"

static const char *const devices[] = {"ref", "cpu", "far", "opencl"};

typedef struct subject {
    gr_device *device;
    gr_model *model;
    gr_graph *graph;
    gr_program *program;
} subject;

/* Logits and the norm of their gradient for one weight: calls forward and backward. */
static bool open_subject(subject *s, const char *device)
{
    *s = (subject){.device = gr_device_open(device, 2), .graph = gr_graph_new()};
    if (!s->device) {
        gr_graph_free(s->graph);
        return false; /* no OpenCL here */
    }
    s->model = tiny_model("llama", s->device);
    gr_forward f = {.size = sizeof f, .tokens = gr_input(s->graph, "tokens", GR_I32, 2, (int64_t[]){2, 5})};
    gr_tensor *logits = gr_model_forward(s->model, &f), *grad;
    gr_tensor *w = gr_param(s->graph, gr_model_store(s->model), "model.layers.1.mlp.up_proj.weight");
    CHECK_OK(gr_grad(gr_sum(logits, 0, false), &w, &grad, 1));
    gr_tensor *outputs[] = {logits, gr_global_norm(&grad, 1)};
    s->program = gr_compile(s->graph, outputs, 2, s->device, NULL);
    CHECK_MADE(s->program);
    return true;
}

static void close_subject(subject *s)
{
    gr_program_free(s->program);
    gr_graph_free(s->graph);
    gr_model_free(s->model);
    gr_device_close(s->device);
}

static void run(const subject *s, float *logits, float *norm)
{
    static const gr_token tokens[10] = {1, 4, 2, 3, 5, 0, 2, 2, 1, 7};
    const void *inputs[] = {tokens};
    void *outputs[] = {logits, norm};
    CHECK_OK(gr_program_run(s->program, inputs, outputs));
}

typedef struct sums {
    int64_t calls, runs;
    double seconds, flops, bytes, last;
    int rows, backward, blocks;
    bool in_order;
} sums;

static bool add(void *user, const gr_profile_row *row)
{
    sums *s = user;
    if (!row->name) {
        s->runs = row->calls;
        return true;
    }
    s->in_order = s->rows++ == 0 || (s->in_order && row->seconds <= s->last);
    s->last = row->seconds;
    s->calls += row->calls;
    s->seconds += row->seconds;
    s->flops += row->flops;
    s->bytes += row->bytes;
    s->backward += strstr(row->name, " backward") != NULL;
    s->blocks += strcmp(row->name, "model.layers.*.mlp.up_proj") == 0;
    return true;
}

TEST(every_call_is_told_once)
{
    enum { RUNS = 3 };
    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++) {
        static float logits[2][10 * TINY_VOCAB];
        float norm[2];
        subject s;
        if (!open_subject(&s, devices[d]))
            continue;
        NOTE("%s", devices[d]);
        run(&s, logits[0], &norm[0]);
        gr_profile *f = gr_profile_start(s.device);
        CHECK_MADE(f);
        for (int i = 0; i < RUNS; i++)
            run(&s, logits[1], &norm[1]);
        CHECK(memcmp(logits[0], logits[1], sizeof logits[0]) == 0 && norm[0] == norm[1]);
        const gr_plan *cost = gr_program_plan(s.program);
        for (int by = GR_PROFILE_OPS; by <= GR_PROFILE_BLOCKS; by++) {
            sums t = {0};
            CHECK_OK(gr_profile_walk(f, (gr_profile_by)by, add, &t));
            CHECK_EQ_INT(t.calls, RUNS * cost->calls);
            CHECK_EQ_INT(t.runs, RUNS);
            CHECK(fabs(t.flops - RUNS * cost->flops) <= 1e-9 * t.flops);
            CHECK(fabs(t.bytes - RUNS * cost->moved) <= 1e-9 * t.bytes);
            CHECK(t.in_order && t.seconds > 0);
            CHECK(by == GR_PROFILE_OPS ? t.backward > 1 : t.blocks == 1);
        }
        gr_profile_free(f);
        run(&s, logits[1], &norm[1]); /* without, again */
        close_subject(&s);
    }
}

TEST(a_trace_is_what_perfetto_reads)
{
    subject s;
    float logits[10 * TINY_VOCAB], norm;
    char path[512];
    CHECK(open_subject(&s, "cpu"));
    gr_profile *f = gr_profile_start(s.device);
    for (int i = 0; i < 2; i++)
        run(&s, logits, &norm);
    snprintf(path, sizeof path, "%s/trace.json", test_dir());
    CHECK_OK(gr_profile_trace(f, path));
    gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
    gr_json events = gr_json_get(gr_json_root(doc), "traceEvents");
    const gr_plan *cost = gr_program_plan(s.program);
    CHECK_EQ_INT((int64_t)gr_json_size(events), 2 * cost->calls);
    double end = 0, flops = 0;
    bool has_layer = false;
    for (size_t i = 0; i < gr_json_size(events); i++) {
        gr_json e = gr_json_item(events, i);
        double start = gr_json_real(e, "ts", -1, 0, 1e12), length = gr_json_real(e, "dur", -1, 0, 1e12);
        CHECK(start >= end - 0.002 && length >= 0); /* one behind the other, to the digits written */
        CHECK_EQ_STR(gr_json_text(e, "ph", ""), "X");
        end = start + length;
        flops += gr_json_real(gr_json_get(e, "args"), "flops", -1, 0, 1e18);
        has_layer |= strcmp(gr_json_text(e, "name", ""), "model.layers.1.input_layernorm") == 0;
    }
    CHECK_OK(gr_json_check(doc));
    CHECK(has_layer && fabs(flops - 2 * cost->flops) <= 1e-9 * flops);
    gr_json_free(doc);
    CHECK_STATUS(gr_profile_trace(f, "/no/such/folder/trace.json"), GR_ERR_FILE);
    gr_profile_free(f);
    close_subject(&s);
}

/* A program that was made after the profile began, and one that is gone when it is told of. */
TEST(programs_come_and_go)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_profile *f = gr_profile_start(d);
    for (int i = 1; i <= 3; i++) {
        gr_graph *g = gr_graph_new();
        gr_tensor *x = gr_input(g, "x", GR_F32, 1, (int64_t[]){4});
        gr_tensor *y = i == 2 ? gr_exp(x) : gr_sum(x, 0, false);
        gr_program *p = gr_compile(g, &y, 1, d, NULL);
        float in[4] = {1, 2, 3, 4}, out[4];
        const void *inputs[] = {in};
        void *outputs[] = {out};
        for (int k = 0; k < i; k++)
            CHECK_OK(gr_program_run(p, inputs, outputs));
        gr_program_free(p);
        gr_graph_free(g);
    }
    sums t = {0};
    CHECK_OK(gr_profile_walk(f, GR_PROFILE_OPS, add, &t));
    CHECK_EQ_INT(t.calls, 6);
    CHECK_EQ_INT(t.rows, 2);
    CHECK(!gr_profile_start(d) && gr_error_status() == GR_ERR_ARGUMENT); /* one at a time */
    CHECK(strstr(gr_error(), "already"));
    gr_profile_free(f);
    f = gr_profile_start(d);
    sums none = {0};
    CHECK_OK(gr_profile_walk(f, GR_PROFILE_BLOCKS, add, &none));
    CHECK_EQ_INT(none.rows, 0);
    gr_profile_free(f);
    gr_device_close(d);
}

static bool stop(void *user, const gr_profile_row *row)
{
    (void)row;
    return ++*(int *)user < 2;
}

TEST(walking_stops_when_asked)
{
    subject s;
    float logits[10 * TINY_VOCAB], norm;
    int seen = 0;
    CHECK(open_subject(&s, "cpu"));
    gr_profile *f = gr_profile_start(s.device);
    run(&s, logits, &norm);
    CHECK_STATUS(gr_profile_walk(f, GR_PROFILE_OPS, stop, &seen), GR_ERR_INTERRUPTED);
    CHECK_EQ_INT(seen, 2);
    gr_profile_free(f);
    close_subject(&s);
}
