/* gradus dump and generate against PyTorch's numbers: those of the repo, and larger ones where the reference data is. */
#include "test.h"

#include "base/json.h"
#include "format/safetensors.h"

static const char *device = "cpu";

static float f32_at(const gr_weight *t, size_t i)
{
    float x;
    memcpy(&x, (const char *)t->data + 4 * i, 4);
    return x;
}

static int64_t i64_at(const gr_weight *t, size_t i)
{
    int64_t x;
    memcpy(&x, (const char *)t->data + 8 * i, 8);
    return x;
}

/* The command's output is in the test's folder, as "out" and "err". */
static void run_command(const char *format, ...)
{
    const char *binary = getenv("GRADUS_BIN");
    static char line[1 << 16];
    if (!binary)
        SKIP("no command (GRADUS_BIN)");
    int n = snprintf(line, sizeof line, "cd '%s' && '%s' ", test_dir(), binary);
    va_list args;
    va_start(args, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    snprintf(line + n, sizeof line - (size_t)n, " >out 2>err");
    if (system(line) != 0)
        FAIL("%s: %s", line, gr_file_read(test_join(test_dir(), "err"), 1 << 20, NULL));
}

/* n ids from `from` on as "1,2,3". */
static char *ids_text(const gr_weight *ids, size_t from, size_t n, char *to)
{
    char *at = to;
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s%lld", i ? "," : "", (long long)i64_at(ids, from + i));
    return to;
}

static const gr_weight *find(const gr_safetensors *file, const char *name)
{
    const gr_weight *t = gr_safetensors_find(file, name);
    if (!t)
        FAIL("%s has no %s", gr_safetensors_name(file), name);
    return t;
}

/* Same shape, and no element further off than `bound`, or than that part of the tensor's largest value. */
static void compare(const gr_safetensors *got, const gr_weight *want, double bound, bool relative)
{
    const gr_weight *t = find(got, want->name);
    NOTE("%s", want->name);
    CHECK_EQ_INT(t->dtype, GR_F32);
    CHECK_EQ_INT(t->ndim, want->ndim);
    for (int i = 0; i < t->ndim; i++)
        CHECK_EQ_INT(t->shape[i], want->shape[i]);
    double largest = 0;
    for (size_t i = 0; i < want->bytes / 4; i++)
        largest = fmax(largest, fabs((double)f32_at(want, i)));
    for (size_t i = 0; i < want->bytes / 4; i++)
        CHECK_NEAR(f32_at(t, i), f32_at(want, i), relative ? bound * largest : bound);
}

static void check_dump(const char *dir, const gr_safetensors *expected)
{
    const gr_weight *ids = find(expected, "ids");
    static char rows[1 << 14], row[1 << 13];
    size_t length = (size_t)ids->shape[1];
    rows[0] = '\0';
    for (size_t r = 0; r < (size_t)ids->shape[0]; r++)
        sprintf(rows + strlen(rows), "%s%s", r ? ";" : "", ids_text(ids, r * length, length, row));
    double bound = strcmp(device, "cpu") == 0 ? 2e-5 : 1e-4; /* of gradients */
    run_command("dump '%s' --device %s --ids '%s' --what logits,loss,grads,activations --out d.safetensors", dir,
                device, rows);
    gr_safetensors *got = gr_safetensors_open(test_join(test_dir(), "d.safetensors"));
    CHECK_MADE(got);
    int gradients = 0, activations = 0;
    for (int i = 0; i < gr_safetensors_count(expected); i++) {
        const gr_weight *want = gr_safetensors_entry(expected, i);
        bool is_gradient = strncmp(want->name, "grad.", 5) == 0;
        gradients += is_gradient;
        if (is_gradient || strcmp(want->name, "logits") == 0 || strcmp(want->name, "loss") == 0)
            compare(got, want, is_gradient ? bound : 2e-5, is_gradient);
    }
    for (int i = 0; i < gr_safetensors_count(got); i++)
        activations += strncmp(gr_safetensors_entry(got, i)->name, "act.", 4) == 0;
    CHECK(gradients > 10);
    CHECK(activations > 10);
    CHECK_EQ_INT(gr_safetensors_count(got), gradients + activations + 2);
    gr_safetensors_close(got);
}

/* Greedy ids: of each row of "greedy" the first 8 are the prompt. */
static void check_greedy(const char *dir, const gr_safetensors *expected)
{
    const gr_weight *greedy = find(expected, "greedy");
    size_t length = (size_t)greedy->shape[1];
    static char text[1 << 13];
    for (size_t r = 0; r < (size_t)greedy->shape[0]; r++) {
        run_command("generate '%s' --device %s --ids %s -n %d --temperature 0 --ignore-eos --json", dir, device,
                    ids_text(greedy, r * length, 8, text), (int)length - 8);
        gr_json_doc *doc = gr_json_read(test_join(test_dir(), "out"), 1 << 20);
        CHECK_MADE(doc);
        gr_json ids = gr_json_get(gr_json_root(doc), "ids");
        CHECK_EQ_INT(gr_json_size(ids), length - 8);
        for (size_t i = 8; i < length; i++)
            CHECK_EQ_INT(gr_json_as_int(gr_json_item(ids, i - 8), 0, INT32_MAX), i64_at(greedy, r * length + i));
        gr_json_free(doc);
    }
}

static void check_model(const char *dir)
{
    gr_safetensors *expected = gr_safetensors_open(test_join(dir, "expected.safetensors"));
    CHECK_MADE(expected);
    check_dump(dir, expected);
    check_greedy(dir, expected);
    gr_safetensors_close(expected);
}

static void check_source(const char *name)
{
    char dir[4096]; /* absolute: the command runs elsewhere */
    CHECK(realpath(test_source(name), dir) != NULL);
    check_model(dir);
}

static void check_shared(const char *name)
{
    char dir[4096];
    CHECK(realpath(test_shared(name), dir) != NULL);
    check_model(dir);
}

/* act.NAME is what transformers' module of that name puts out, and a block's what hidden_states has. */
TEST(activations)
{
    static const char *const names[] = {"gpt2", "llama"};
    gr_safetensors *golden = gr_safetensors_open(test_source("tests/data/dump.safetensors"));
    CHECK_MADE(golden);
    for (int m = 0; m < 2; m++) {
        char dir[4096], rows[2][256], prefix[32], name[200];
        CHECK(realpath(test_source(test_join("tests/data/models", names[m])), dir) != NULL);
        snprintf(name, sizeof name, "%s.ids", names[m]);
        const gr_weight *ids = find(golden, name);
        size_t length = (size_t)ids->shape[1];
        run_command("dump '%s' --ids '%s;%s' --what activations --out a.safetensors", dir,
                    ids_text(ids, 0, length, rows[0]), ids_text(ids, length, length, rows[1]));
        gr_safetensors *got = gr_safetensors_open(test_join(test_dir(), "a.safetensors"));
        CHECK_MADE(got);
        int compared = 0;
        snprintf(prefix, sizeof prefix, "%s.act.", names[m]);
        for (int i = 0; i < gr_safetensors_count(golden); i++) {
            gr_weight want = *gr_safetensors_entry(golden, i);
            if (strncmp(want.name, prefix, strlen(prefix)) != 0)
                continue;
            want.name += strlen(prefix) - 4;
            compare(got, &want, 2e-5, false);
            compared++;
        }
        CHECK(compared > 0);
        gr_safetensors_close(got);
    }
    gr_safetensors_close(golden);
}

TEST(gpt2)
{
    check_source("tests/data/models/gpt2");
}

TEST(gpt2_without_prefix)
{
    check_source("tests/data/models/gpt2-noprefix");
}

TEST(llama)
{
    check_source("tests/data/models/llama");
}

TEST(llama_gqa_tied)
{
    check_source("tests/data/models/llama-gqa-tied");
}

TEST(shared_gpt2)
{
    check_shared("data/models/gpt2");
}

TEST(shared_llama)
{
    check_shared("data/models/llama");
}

TEST(shared_llama_gqa_tied)
{
    check_shared("data/models/llama-gqa-tied");
}

TEST(on_opencl)
{
    if (!test_device(3))
        SKIP("no OpenCL device (tools/setup --gpu)");
    device = test_device(3);
    check_source("tests/data/models/gpt2");
    check_source("tests/data/models/llama-gqa-tied");
    device = "cpu";
}
