/* Weights as files have them: their dtype kept, read where they lie when the device can, copied when it cannot or they
 * lie at an odd address; and what may and may not write them. */
#include "tiny.h"

#include "base/dtype.h"
#include "format/weights.h"
#include "program/run.h"
#include "program/store.h"

enum { ROWS = 2, LENGTH = 7 };

static const char *golden(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", test_source("tests/data/models"), name);
    return path;
}

static char *copied(const char *path, const char *to)
{
    size_t size;
    char *text = gr_file_read(path, 1 << 26, &size);
    CHECK_MADE(text);
    CHECK_OK(gr_file_write(to, text, size));
    gr_free(text);
    return (char *)to;
}

/* A directory of its own with that model's config.json. */
static const char *folder_like(const char *model, const char *name)
{
    static char dir[700];
    snprintf(dir, sizeof dir, "%s", test_join(test_dir(), name));
    CHECK_OK(gr_dir_make(dir));
    char from[1100], to[800];
    snprintf(from, sizeof from, "%s/config.json", golden(model));
    snprintf(to, sizeof to, "%s/config.json", dir);
    copied(from, to);
    return dir;
}

/* The model's weights as dtype d, in shards of at most shard_bytes. */
static const char *narrowed(const char *model, gr_dtype d, size_t shard_bytes, const char *name)
{
    const char *dir = folder_like(model, name);
    gr_weights *w = gr_weights_open(golden(model));
    CHECK_MADE(w);
    int n = gr_weights_count(w);
    gr_weight *tensors = calloc((size_t)n, sizeof *tensors);
    for (int i = 0; i < n; i++) {
        tensors[i] = *gr_weights_entry(w, i);
        int64_t count = (int64_t)(tensors[i].bytes / 4);
        void *data = malloc(tensors[i].bytes * 2 + 1);
        float *f = malloc(tensors[i].bytes + 1);
        memcpy(f, tensors[i].data, tensors[i].bytes);
        gr_dtype_get(d)->from_f32(f, data, count);
        free(f);
        tensors[i].dtype = d;
        tensors[i].data = data;
    }
    CHECK_OK(gr_weights_save(dir, &(gr_safetensors_spec){.tensors = tensors, .count = n}, shard_bytes));
    for (int i = 0; i < n; i++)
        free((void *)(uintptr_t)tensors[i].data);
    free(tensors);
    gr_weights_close(w);
    return dir;
}

/* Its data moved to an odd address. */
static void misalign(const char *dir)
{
    size_t size, header;
    const char *path = test_join(dir, "model.safetensors");
    char *bytes = gr_file_read(path, 1 << 26, &size);
    CHECK_MADE(bytes);
    unsigned char length[8];
    header = (unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8 | (size_t)(unsigned char)bytes[2] << 16;
    header++;
    for (int i = 0; i < 8; i++)
        length[i] = (unsigned char)(header >> 8 * i);
    char *moved = malloc(size + 1);
    memcpy(moved, length, 8);
    memcpy(moved + 8, bytes + 8, header - 1);
    moved[8 + header - 1] = ' ';
    memcpy(moved + 8 + header, bytes + 8 + header - 1, size - 8 - (header - 1));
    CHECK_OK(gr_file_write(path, moved, size + 1));
    free(moved);
    gr_free(bytes);
}

/* ---- a model that is run ------------------------------------------------------------------------------------ */

typedef struct subject {
    gr_device *device;
    gr_model *model;
    gr_program *program;
    int64_t vocab;
    float *logits;
} subject;

static void compile_logits(subject *s)
{
    gr_graph *g = gr_graph_new();
    gr_forward f = {.size = sizeof f, .tokens = gr_input(g, "tokens", GR_I32, 2, (int64_t[]){ROWS, LENGTH})};
    gr_tensor *logits = gr_model_forward(s->model, &f);
    s->program = gr_compile(g, &logits, 1, s->device, NULL);
    CHECK_MADE(s->program);
    gr_graph_free(g);
}

static void run(subject *s)
{
    gr_token ids[ROWS * LENGTH];
    for (int i = 0; i < ROWS * LENGTH; i++)
        ids[i] = (i * i * 7 + 3) % s->vocab;
    CHECK_OK(gr_program_run(s->program, (const void *[]){ids}, (void *[]){s->logits}));
}

static subject opened(const char *dir, const char *device, bool widen)
{
    subject s = {.device = gr_device_open(device, 2)};
    s.model =
        gr_model_load(dir, widen ? &(gr_load_options){.size = sizeof(gr_load_options), .widen = true} : NULL, s.device);
    CHECK_MADE(s.model);
    s.vocab = gr_model_describe(s.model)->vocab;
    s.logits = malloc((size_t)(ROWS * LENGTH * s.vocab) * sizeof(float));
    compile_logits(&s);
    run(&s);
    return s;
}

static void closed(subject *s)
{
    gr_program_free(s->program);
    gr_model_free(s->model);
    gr_device_close(s->device);
    free(s->logits);
}

static void check_same_logits(const subject *a, const subject *b)
{
    for (int64_t i = 0; i < ROWS * LENGTH * a->vocab; i++)
        CHECK_NEAR(a->logits[i], b->logits[i], 2e-5);
}

/* All weights have this dtype; all, or none, lie in the file. */
static void check_store(subject *s, gr_dtype d, bool mapped)
{
    gr_store *store = gr_model_store(s->model);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(store); i++) {
        CHECK_OK(gr_store_entry(store, i, &e));
        CHECK_EQ_INT(e.dtype, d);
        CHECK_EQ_INT(gr_store_is_mapped(store, i), mapped);
    }
}

/* ---- loading ------------------------------------------------------------------------------------------------ */

static void check_kept(const char *dir, gr_dtype d, bool aligned)
{
    subject wide = opened(dir, "ref", true);
    check_store(&wide, GR_F32, false);
    int64_t parameters = gr_model_describe(wide.model)->parameters;
    for (int i = 0; test_device(i); i++) {
        NOTE("%s as %s on %s", dir, gr_dtype_name(d), test_device(i));
        subject s = opened(dir, test_device(i), false);
        check_store(&s, d, aligned && s.device->host_visible);
        check_same_logits(&s, &wide);
        CHECK_EQ_INT(gr_model_describe(s.model)->parameters, parameters);
        CHECK_EQ_INT(gr_program_plan(s.program)->weights, parameters * gr_dtype_width(d));
        closed(&s);
    }
    closed(&wide);
}

TEST(dtypes_are_kept_and_change_no_logit)
{
    static const gr_dtype dtypes[] = {GR_F32, GR_F16, GR_BF16};
    static const char *const models[] = {"gpt2", "gpt2-noprefix", "llama", "llama-gqa-tied"};
    for (int m = 0; m < 4; m++)
        for (int d = 0; d < 3; d++) {
            char name[64];
            snprintf(name, sizeof name, "%s-%s", models[m], gr_dtype_name(dtypes[d]));
            check_kept(narrowed(models[m], dtypes[d], 0, name), dtypes[d], true);
        }
}

TEST(shards)
{
    check_kept(narrowed("llama", GR_BF16, 8000, "shards"), GR_BF16, true);
}

TEST(odd_addresses_are_copied)
{
    for (int i = 0; i < 2; i++) {
        gr_dtype d = i ? GR_F32 : GR_F16;
        const char *dir = narrowed("gpt2", d, 0, i ? "odd32" : "odd16");
        misalign(dir);
        check_kept(dir, d, false);
    }
}

TEST(f64_becomes_f32)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_entry e = GR_INIT(gr_entry);
    gr_model *m = gr_model_load(narrowed("gpt2", GR_F64, 0, "f64"), NULL, device);
    CHECK_MADE(m);
    for (int i = 0; i < gr_store_count(gr_model_store(m)); i++) {
        CHECK_OK(gr_store_entry(gr_model_store(m), i, &e));
        CHECK(e.dtype == GR_F32 && gr_store_has_data(gr_model_store(m), i));
    }
    gr_model_free(m);
    gr_device_close(device);
}

TEST(declared_without_reading)
{
    gr_device *device = gr_device_open("cpu", 1);
    const char *dir = narrowed("llama", GR_F16, 0, "declared");
    gr_model *m = gr_model_load(dir, &(gr_load_options){.size = sizeof(gr_load_options), .declare_only = true}, device);
    CHECK_MADE(m);
    gr_entry e = GR_INIT(gr_entry);
    for (int i = 0; i < gr_store_count(gr_model_store(m)); i++) {
        CHECK_OK(gr_store_entry(gr_model_store(m), i, &e));
        CHECK_EQ_INT(e.dtype, GR_F16);
        CHECK(!gr_store_has_data(gr_model_store(m), i));
    }
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- writing ------------------------------------------------------------------------------------------------ */

/* A weight that is replaced is the model's own from then on, for programs compiled and run before as well; the file
 * stays as it is. */
TEST(replacing_a_mapped_weight)
{
    const char *dir = narrowed("gpt2", GR_BF16, 0, "replaced");
    for (int i = 0; test_device(i); i++) {
        NOTE("on %s", test_device(i));
        subject s = opened(dir, test_device(i), false), before = opened(dir, test_device(i), false);
        gr_store *store = gr_model_store(s.model);
        gr_entry e = GR_INIT(gr_entry);
        int wte = gr_store_find(store, "transformer.wte.weight");
        CHECK_OK(gr_store_entry(store, wte, &e));
        void *zeros = calloc(1, e.bytes), *read = malloc(e.bytes);
        CHECK_OK(gr_store_write(store, e.name, zeros, e.bytes));
        CHECK(!gr_store_is_mapped(store, wte));
        CHECK_OK(gr_store_read(store, e.name, read, e.bytes));
        CHECK(memcmp(read, zeros, e.bytes) == 0);
        run(&s);
        for (int64_t k = 0; k < ROWS * LENGTH * s.vocab; k++)
            CHECK(s.logits[k] == 0); /* the head is the embedding */
        subject again = opened(dir, test_device(i), false);
        check_same_logits(&again, &before);
        free(zeros);
        free(read);
        closed(&s);
        closed(&before);
        closed(&again);
    }
}

/* Without memory for a copy the weight stays what it was. */
TEST(replacing_without_memory)
{
    subject s = opened(narrowed("gpt2", GR_F16, 0, "unreplaced"), "cpu", false);
    gr_store *store = gr_model_store(s.model);
    gr_entry e = GR_INIT(gr_entry);
    int wte = gr_store_find(store, "transformer.wte.weight");
    CHECK_OK(gr_store_entry(store, wte, &e));
    void *zeros = calloc(1, e.bytes), *before = malloc(e.bytes), *after = malloc(e.bytes);
    CHECK_OK(gr_store_read(store, e.name, before, e.bytes));
    gr_mem_fail_at(1);
    CHECK_STATUS(gr_store_write(store, e.name, zeros, e.bytes), GR_ERR_MEMORY);
    gr_mem_fail_at(0);
    CHECK(gr_store_is_mapped(store, wte));
    CHECK_OK(gr_store_read(store, e.name, after, e.bytes));
    CHECK(memcmp(before, after, e.bytes) == 0);
    free(zeros);
    free(before);
    free(after);
    closed(&s);
}

TEST(initializing_what_was_loaded)
{
    subject s = opened(narrowed("gpt2", GR_BF16, 0, "initialized"), "cpu", false);
    CHECK_OK(gr_model_init(s.model, 3));
    check_store(&s, GR_BF16, false);
    run(&s);
    closed(&s);
}

TEST(effects_on_mapped_weights_are_refused)
{
    const char *dir = narrowed("llama", GR_F32, 0, "effects");
    for (int i = 0; test_device(i); i++) {
        NOTE("on %s", test_device(i));
        gr_device *device = gr_device_open(test_device(i), 1);
        bool mapped = device->host_visible;
        gr_model *m = gr_model_load(dir, NULL, device);
        CHECK_MADE(m);
        gr_graph *g = gr_graph_new();
        gr_tensor *norm = gr_param(g, gr_model_store(m), "model.norm.weight");
        gr_tensor *done = gr_assign_add(norm, norm);
        gr_program *p = gr_compile(g, &done, 1, device, NULL);
        CHECK_EQ_INT(p == NULL, mapped);
        if (mapped)
            CHECK_ERROR(GR_ERR_ARGUMENT, "assign_add: cannot write \"model.norm.weight\"");
        gr_train_options o = tiny_options();
        gr_trainer *t = gr_trainer_new(m, &o);
        CHECK_EQ_INT(t == NULL, mapped);
        if (mapped)
            CHECK_ERROR(GR_ERR_ARGUMENT, "load the model widened");
        gr_trainer_free(t);
        gr_program_free(p);
        gr_graph_free(g);
        gr_model_free(m);
        gr_device_close(device);
    }
}

TEST(narrow_weights_are_not_trained)
{
    gr_device *device = gr_device_open("far", 1);
    gr_model *m = gr_model_load(narrowed("llama", GR_BF16, 0, "narrow"), NULL, device);
    CHECK_MADE(m);
    gr_train_options o = tiny_options();
    CHECK(!gr_trainer_new(m, &o));
    CHECK_ERROR(GR_ERR_ARGUMENT, "is bf16, what is trained must be f32");
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- files that change -------------------------------------------------------------------------------------- */

TEST(a_file_replaced_meanwhile)
{
    const char *dir = narrowed("llama", GR_F16, 0, "moving");
    subject s = opened(dir, "cpu", false), before = opened(dir, "ref", true);
    char path[800], other[1100];
    snprintf(path, sizeof path, "%s", test_join(dir, "model.safetensors"));
    snprintf(other, sizeof other, "%s/model.safetensors", golden("gpt2"));
    copied(other, path); /* under another name first, then renamed: as every writer of this library does */
    run(&s);
    check_same_logits(&s, &before);
    CHECK(!gr_model_load(dir, NULL, s.device));
    closed(&s);
    closed(&before);
}
