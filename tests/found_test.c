/* What a path stands for where a model is wanted. */
#include "tiny.h"

#include "base/file.h"
#include "text/files/large_parts.h"
#include "text/tokenizer.h"
#include "train/run_dir.h"

static const char *in(const char *name, char *buffer)
{
    snprintf(buffer, 600, "%s/%s", test_dir(), name);
    return buffer;
}

/* A model with a tokenizer, an adapter of it with none, and the same adapter beside a copy of the model. */
static void write_all(void)
{
    char model[600], beside[600], adapter[600], path[700];
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("llama", device);
    gr_lora_options o = GR_INIT(gr_lora_options);
    o.base = in("model", model);
    in("beside", beside);
    in("adapter", adapter);
    CHECK_OK(gr_model_save(m, model, NULL, NULL));
    CHECK_OK(gr_model_save(m, beside, NULL, NULL));
    snprintf(path, sizeof path, "%s/tokenizer.json", model);
    CHECK_OK(gr_file_write(path, "{}", 2));
    CHECK_OK(gr_model_add_adapter(m, &o));
    CHECK_OK(gr_model_save_adapter(m, adapter));
    CHECK_OK(gr_model_save_adapter(m, beside));
    gr_model_free(m);
    gr_device_close(device);
}

/* Same paths, or both NULL? */
static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : !a && !b;
}

static void check_found(const char *path, const char *given, const char *model, const char *adapter,
                        const char *tokenizer)
{
    gr_find_options how = GR_INIT(gr_find_options);
    how.adapter = given;
    const gr_found *f = gr_find(path, &how);
    CHECK_MADE(f);
    CHECK(same(f->path, path) && same(f->model, model) && same(f->adapter, adapter) && same(f->tokenizer, tokenizer));
    CHECK_EQ_INT(f->is_adapter, strcmp(path, model) != 0);
    CHECK_EQ_INT(f->is_beside, !given && same(adapter, model));
    gr_free(f);
}

TEST(models_and_adapters)
{
    char model[600], beside[600], adapter[600];
    write_all();
    in("model", model);
    in("beside", beside);
    in("adapter", adapter);
    check_found(model, NULL, model, NULL, model);
    check_found(model, adapter, model, adapter, model);
    check_found(model, "", model, NULL, model);
    check_found(adapter, NULL, model, adapter, model);
    check_found(adapter, "", model, NULL, model);
    check_found(beside, NULL, beside, beside, NULL);
    check_found(beside, "", beside, NULL, NULL);
    check_found(beside, adapter, beside, adapter, NULL);
    gr_find_options how = GR_INIT(gr_find_options);
    how.adapter = beside;
    CHECK(!gr_find(adapter, &how));
    CHECK_ERROR(GR_ERR_ARGUMENT, "is an adapter itself");
}

TEST(an_adapter_whose_base_is_not_here)
{
    char from[600], adapter[700], text[] = "{\"base_model_name_or_path\": \"org/elsewhere\", \"peft_type\": \"LORA\"}";
    gr_find_options how = GR_INIT(gr_find_options);
    write_all();
    snprintf(adapter, sizeof adapter, "%s/adapter_config.json", in("adapter", from));
    CHECK_OK(gr_file_write(adapter, text, strlen(text)));
    CHECK(!gr_find(from, NULL));
    CHECK_ERROR(GR_ERR_FILE, "org/elsewhere");
    how.path_only = true; /* nobody asks for it */
    const gr_found *f = gr_find(from, &how);
    CHECK_MADE(f);
    CHECK(same(f->path, from) && f->is_adapter && !f->model);
    gr_free(f);
}

TEST(a_run_is_its_best_checkpoint)
{
    char run[600], model[600], best[700];
    gr_checkpoint_spec spec = {0};
    gr_checkpoint_file config = {"config.json", "{}", 2};
    gr_weight weight = {.name = "w", .dtype = GR_F32, .ndim = 1, .shape = {1}, .bytes = 4, .data = "abc"};
    spec.files = &config;
    spec.file_count = 1;
    spec.model.tensors = &weight;
    spec.model.count = 1;
    in("run", run);
    CHECK_OK(gr_checkpoint_write(run, 1, &spec));
    CHECK_OK(gr_checkpoint_write(run, 2, &spec));
    CHECK_OK(gr_checkpoint_mark(run, "best", 1));
    const gr_found *f = gr_find(run, NULL);
    CHECK_MADE(f);
    snprintf(best, sizeof best, "%s/checkpoints/step-1", run);
    CHECK(same(f->path, best) && same(f->model, best));
    gr_free(f);
    snprintf(model, sizeof model, "%s/checkpoints", in("empty", best));
    CHECK_OK(gr_dir_make(best));
    CHECK_OK(gr_dir_make(model));
    CHECK(!gr_find(best, NULL));
    CHECK_EQ_INT(gr_error_status(), GR_ERR_FILE);
}

/* ---- the adapter's tokenizer, and the model's --------------------------------------------------------------- */

/* The characters of a text, or all bytes, and tokens added to them. */
static void put_tokenizer(const char *dir, const char *characters, const char *const *added)
{
    char path[700];
    gr_tokenizer *t = characters ? gr_tokenizer_char(characters, strlen(characters), false) : gr_tokenizer_byte();
    gr_tokenizer *more = *added ? gr_tokenizer_extend(t, added) : NULL;
    const gr_tokenizer_info *info = gr_tokenizer_describe(more ? more : t);
    CHECK(info);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    CHECK_OK(gr_file_write(path, info->json, info->json_size));
    gr_tokenizer_free(more);
    gr_tokenizer_free(t);
}

static char warned[400];

static void on_warning(void *user, gr_log_level level, const char *text)
{
    (void)user;
    if (level == GR_LOG_WARN)
        snprintf(warned, sizeof warned, "%s", text);
}

TEST(an_adapter_of_another_model)
{
    static const struct {
        const char *of_adapter, *of_model; /* NULL: bytes */
        const char *added[3], *model_added[3];
        const char *error, *warning;
    } cases[] = {
        {.of_adapter = "abc", .of_model = "abc", .added = {"<x>"}, .model_added = {"<x>"}},
        {.of_adapter = "abc", .of_model = "abc", .added = {"<x>", "<y>"}},
        {.of_adapter = "abc", .of_model = "abc", .model_added = {"<x>", "<y>"}},
        {.added = {"<x>", "<y>"}, .model_added = {"<x>"}},
        {.of_adapter = "abc",
         .of_model = "abc",
         .added = {"<x>", "<y>"},
         .model_added = {"<y>", "<x>"},
         .error = "the token <x> has id 3, and 4 in "},
        {.added = {"<x>", "<y>"}, .model_added = {"<y>", "<x>"}, .error = "the token <x> has id 257, and 258 in "},
        {.of_adapter = "bcd",
         .of_model = "abc",
         .error = "tokenizer.json, and 1 more: the adapter is of another model"},
        {.of_adapter = "abc", .error = "the token a has id 0, and 97 in "},
        {.added = {"<x>"}, .model_added = {"<y>"}, .warning = "id 257 is the token <x>, and <y> in "},
        {.of_adapter = "abc", .of_model = "abd", .warning = "id 2 is the token c, and d in "},
    };
    char model[600], adapter[600];
    gr_find_options how = GR_INIT(gr_find_options);
    write_all();
    how.adapter = in("adapter", adapter);
    gr_set_log(on_warning, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        NOTE("case %zu", i);
        *warned = '\0';
        put_tokenizer(adapter, cases[i].of_adapter, cases[i].added);
        put_tokenizer(in("model", model), cases[i].of_model, cases[i].model_added);
        const gr_found *f = gr_find(model, &how);
        if (cases[i].error)
            CHECK_ERROR(GR_ERR_FILE, cases[i].error);
        CHECK_EQ_INT(f == NULL, cases[i].error != NULL);
        CHECK(!f || same(f->tokenizer, adapter));
        CHECK(cases[i].warning ? strstr(warned, cases[i].warning) != NULL : !*warned);
        gr_free(f);
    }
    gr_set_log(NULL, NULL);
}

/* Vocabularies are compared in whatever layout they are written. */
TEST(the_same_vocabulary)
{
    static const char plain[] = "{\"a\":1,\"\\u00e9\":2}";
    static const struct {
        const char *text;
        bool same;
    } others[] = {{"{ \"a\" : 1,\n\"\303\251\": 2 }", true},
                  {"{\"a\":1,\"\\u00e9\":3}", false},
                  {"{\"a\":1,\"\\u00e9\":22}", false},
                  {"{\"a\":1}", false},
                  {"{\"a\":1,\"e\":2}", false},
                  {"{\"a\":1,\"\\u00e9\":[2]}", false}};
    gr_large_parts a = {.vocab = {plain, plain + sizeof plain - 1, 2}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        NOTE("%s", others[i].text);
        gr_part_of_text b = {others[i].text, others[i].text + strlen(others[i].text), 2};
        CHECK_EQ_INT(gr_large_same_vocab(a.vocab, b), others[i].same);
        CHECK_EQ_INT(gr_large_same_vocab(b, a.vocab), others[i].same);
    }
}

static gr_status find_it(void *ctx)
{
    const gr_found *f = gr_find(ctx, NULL);
    gr_free(f);
    return f ? GR_OK : gr_error_status();
}

TEST(without_memory_nothing_is_found)
{
    char adapter[600];
    write_all();
    CHECK(SWEEP_ALLOCATIONS(find_it, (void *)(uintptr_t)in("adapter", adapter)) > 5);
}
