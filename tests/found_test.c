/* What a path stands for where a model is wanted. */
#include "tiny.h"

#include "base/file.h"
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
