/* Programs' inputs and outputs by name: any order, and everything that does not fit is an error that names the port. */
#include "test.h"

enum { N = 4 };

typedef struct ports {
    gr_device *device;
    gr_program *program;
    float x[N], y[N], sum[N], difference[N];
} ports;

/* sum = x + y; x - y has no name; nothing depends on "unused". */
static ports open_ports(const char *device)
{
    ports t = {.device = gr_device_open(device, 1), .x = {1, 2, 3, 4}, .y = {10, 20, 30, 40}};
    gr_graph *g = gr_graph_new();
    const int64_t n = N;
    gr_tensor *x = gr_input(g, "x", GR_F32, 1, &n), *y = gr_input(g, "y", GR_F32, 1, &n);
    gr_input(g, "unused", GR_I64, 0, NULL);
    gr_tensor *out[] = {gr_name(gr_add(x, y), "sum"), gr_sub(x, y)};
    t.program = gr_compile(g, out, 2, t.device, NULL);
    CHECK_MADE(t.program);
    gr_graph_free(g);
    return t;
}

static void close_ports(ports *t)
{
    gr_program_free(t->program);
    gr_device_close(t->device);
}

#define X                                                                                                              \
    {                                                                                                                  \
        "x", GR_F32, t.x, sizeof t.x                                                                                   \
    }
#define Y                                                                                                              \
    {                                                                                                                  \
        "y", GR_F32, t.y, sizeof t.y                                                                                   \
    }
#define SUM                                                                                                            \
    {                                                                                                                  \
        "sum", GR_F32, t.sum, sizeof t.sum                                                                             \
    }

TEST(any_order)
{
    for (int d = 0; test_device(d); d++) {
        NOTE("%s", test_device(d));
        ports t = open_ports(test_device(d));
        const gr_given in[] = {Y, X};
        const gr_wanted out[] = {{"output 1", GR_F32, t.difference, sizeof t.difference}, SUM};
        CHECK_OK(gr_run(t.program, in, 2, out, 2));
        for (int i = 0; i < N; i++)
            CHECK(t.sum[i] == t.x[i] + t.y[i] && t.difference[i] == t.x[i] - t.y[i]);
        /* By place, named or not; in two parts; with what nothing depends on; without results. */
        int64_t unused = 0;
        const gr_given places[] = {{"input 1", GR_F32, t.x, sizeof t.x},
                                   {"input 0", GR_F32, t.y, sizeof t.y},
                                   {"unused", GR_I64, &unused, sizeof unused}};
        const gr_wanted place = {"output 0", GR_F32, t.difference, sizeof t.difference};
        CHECK_OK(gr_start(t.program, places, 3));
        CHECK_OK(gr_finish(t.program, &place, 1));
        CHECK(memcmp(t.difference, t.sum, sizeof t.sum) == 0);
        CHECK_OK(gr_run(t.program, in, 2, NULL, 0));
        const char *bad;
        CHECK_OK(gr_find_nonfinite(t.program, in, 2, &bad));
        CHECK(!bad);
        t.y[2] = INFINITY;
        CHECK_OK(gr_find_nonfinite(t.program, in, 2, &bad));
        CHECK_EQ_STR(bad, "y");
        close_ports(&t);
    }
}

/* The call fails, and says this. */
#define REFUSES(call, says)                                                                                            \
    do {                                                                                                               \
        CHECK_STATUS(call, GR_ERR_ARGUMENT);                                                                           \
        if (!strstr(gr_error(), says))                                                                                 \
            test_fail(__FILE__, __LINE__, "says: %s", gr_error());                                                     \
    } while (0)

TEST(inputs_that_do_not_fit)
{
    ports t = open_ports("cpu");
    const gr_wanted out = SUM;
#define GIVEN(...)                                                                                                     \
    gr_run(t.program, (gr_given[]){X, __VA_ARGS__}, (int)(sizeof((gr_given[]){X, __VA_ARGS__}) / sizeof(gr_given)),    \
           &out, 1)
    REFUSES(gr_run(t.program, (gr_given[]){X}, 1, &out, 1), "gr_run: input \"y\" f32[4] is missing");
    REFUSES(GIVEN({"z", GR_F32, t.y, sizeof t.y}),
            "there is no input \"z\"\nthe program's inputs: x f32[4], y f32[4], unused i64[]");
    REFUSES(GIVEN(Y, X), "input \"x\" is given twice");
    REFUSES(GIVEN({"y", GR_I32, t.y, sizeof t.y}), "input \"y\" is given as 16 bytes of i32, it is f32[4], 16 bytes");
    REFUSES(GIVEN({"y", GR_F32, t.y, 12}), "input \"y\" is given as 12 bytes of f32, it is f32[4], 16 bytes");
    REFUSES(GIVEN({"y", GR_DTYPE_NONE, t.y, sizeof t.y}), "of no dtype");
    REFUSES(GIVEN({"y", GR_F32, NULL, sizeof t.y}), "input \"y\" is NULL");
    REFUSES(GIVEN({NULL, GR_F32, t.y, sizeof t.y}), "the name of an input is NULL");
    CHECK_OK(GIVEN(Y));
    close_ports(&t);
}

TEST(outputs_that_do_not_fit)
{
    ports t = open_ports("cpu");
    const gr_given in[] = {X, Y};
#define WANTED(...)                                                                                                    \
    gr_run(t.program, in, 2, (gr_wanted[]){__VA_ARGS__}, (int)(sizeof((gr_wanted[]){__VA_ARGS__}) / sizeof(gr_wanted)))
    REFUSES(WANTED({"total", GR_F32, t.sum, sizeof t.sum}),
            "there is no output \"total\"\nthe program's outputs: sum f32[4], output 1 f32[4]");
    REFUSES(WANTED({"output 2", GR_F32, t.sum, sizeof t.sum}), "there is no output \"output 2\"");
    REFUSES(WANTED(SUM, SUM), "output \"sum\" is given twice");
    REFUSES(WANTED({"sum", GR_F64, t.sum, sizeof t.sum}), "as 16 bytes of f64, it is f32[4]");
    REFUSES(WANTED({"sum", GR_F32, t.sum, 4}), "as 4 bytes of f32");
    REFUSES(WANTED({"sum", GR_F32, NULL, sizeof t.sum}), "output \"sum\" is NULL");
    CHECK(t.sum[0] == 0); /* nothing has run */
    /* What is wanted amiss of a run under way is an error, and the run has ended. */
    const gr_wanted amiss = {"total", GR_F32, t.sum, sizeof t.sum}, right = SUM;
    CHECK_OK(gr_start(t.program, in, 2));
    REFUSES(gr_finish(t.program, &amiss, 1), "gr_finish: there is no output");
    REFUSES(gr_finish(t.program, &right, 1), "has not started");
    CHECK_OK(gr_run(t.program, in, 2, &right, 1));
    close_ports(&t);
}

TEST(two_by_one_name)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_graph *g = gr_graph_new();
    gr_tensor *x = gr_input(g, "x", GR_F32, 0, NULL);
    gr_tensor *out[] = {gr_name(gr_exp(x), "y"), gr_name(gr_neg(x), "y")};
    gr_program *p = gr_compile(g, out, 2, device, NULL);
    CHECK_MADE(p);
    float one = 1, y = 0;
    const gr_given in = {"x", GR_F32, &one, sizeof one};
    const gr_wanted named = {"y", GR_F32, &y, sizeof y}, placed = {"output 1", GR_F32, &y, sizeof y};
    REFUSES(gr_run(p, &in, 1, &named, 1),
            "two outputs of the program are called \"y\"\nname them apart, or say \"output 0\"");
    CHECK_OK(gr_run(p, &in, 1, &placed, 1));
    CHECK(y == -1);
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(device);
}
