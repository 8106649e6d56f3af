/* Saving models: what comes out loads as what went in, and what goes wrong leaves nothing behind. */
#include "base/dtype.h"
#include "base/lock.h"
#include "model/files/save.h"
#include "tiny.h"
#include "text/tokenizer.h"

#include <signal.h>
#include <sys/wait.h>

static const gr_dtype all_dtypes[] = {GR_F32, GR_F16, GR_BF16};

static void put(const char *dir, const char *name, const char *text)
{
    CHECK_OK(gr_dir_make(dir));
    CHECK_OK(gr_file_write(test_join(dir, name), text, strlen(text)));
}

static size_t entries_of(const char *dir)
{
    char **names;
    size_t n;
    CHECK_OK(gr_dir_list(dir, &names, &n));
    gr_names_free(names, n);
    return n;
}

static char *read_text(const char *dir, const char *name)
{
    char *text = gr_file_read(test_join(dir, name), GR_JSON_LIMIT, NULL);
    CHECK_MADE(text);
    return text;
}

/* A model's weight, rounded as `as` has it, against the file's. */
static void check_weights(gr_model *m, const char *prefix, const char *dir, const gr_dtype *as)
{
    gr_store *store = gr_model_store(m);
    gr_weights *w = gr_weights_open(dir);
    CHECK_MADE(w);
    CHECK_EQ_INT(gr_weights_count(w), gr_store_count(store));
    for (int i = 0; i < gr_store_count(store); i++) {
        gr_entry e = GR_INIT(gr_entry);
        char name[200];
        CHECK_OK(gr_store_entry(store, i, &e));
        snprintf(name, sizeof name, "%s%s", prefix, e.name);
        const gr_weight *t = gr_weights_find(w, name);
        NOTE("%s", name);
        CHECK(t);
        CHECK_EQ_INT(t->dtype, as ? *as : e.dtype);
        float *must = gr_alloc(e.bytes), *is = gr_alloc(e.bytes);
        int64_t n = (int64_t)(e.bytes / sizeof *must);
        CHECK_OK(gr_store_read(store, e.name, must, e.bytes));
        gr_dtype_get(t->dtype)->to_f32(t->data, is, n);
        for (int64_t k = 0; k < n; k++) {
            uint8_t rounded[4];
            float back;
            gr_dtype_get(t->dtype)->from_f32(&must[k], rounded, 1);
            gr_dtype_get(t->dtype)->to_f32(rounded, &back, 1);
            CHECK_EQ_INT(memcmp(&back, &is[k], 4), 0);
        }
        gr_free(must);
        gr_free(is);
    }
    gr_weights_close(w);
}

TEST(every_architecture_in_every_dtype)
{
    static const char *const names[] = {"gpt2", "gpt2-noprefix", "llama", "llama-gqa-tied"};
    gr_device *device = gr_device_open("cpu", 0);
    for (int i = 0; i < 4; i++) {
        char source[1024], path[1024];
        snprintf(source, sizeof source, "%s", test_source(test_join("tests/data/models", names[i])));
        gr_model *m = gr_model_load(source, NULL, device);
        CHECK_MADE(m);
        for (int k = -1; k < 3; k++) {
            gr_save_options o = {
                .size = sizeof o, .cast = k >= 0, .dtype = all_dtypes[k < 0 ? 0 : k], .source = source};
            o.shard_bytes = k == 1 ? 9000 : 0;
            gr_saved saved = GR_INIT(gr_saved);
            snprintf(path, sizeof path, "%s/%s-%d", test_dir(), names[i], k);
            CHECK_OK(gr_model_save(m, path, &o, &saved));
            check_weights(m, strcmp(names[i], "gpt2-noprefix") == 0 ? "transformer." : "", path,
                          k < 0 ? NULL : &all_dtypes[k]);
            CHECK_EQ_INT(saved.tensors, gr_store_count(gr_model_store(m)));
            CHECK(saved.logits == 3 * 16 * gr_model_describe(m)->vocab);
            CHECK_EQ_INT(saved.weight_files > 1, k == 1);
            CHECK(k <= 0 ? saved.difference == 0 : saved.difference > 0 && saved.difference < saved.bound);
            CHECK_OK(gr_verify(path, NULL, NULL));
        }
        gr_model_free(m);
    }
    CHECK_EQ_INT(entries_of(test_dir()), 16);
    gr_device_close(device);
}

/* Changes one weight of a model as a fault would: all of it by 2 %, or two rows for each other. */
static void spoil(gr_model *m, const gr_entry *e, bool swaps)
{
    size_t n = e->bytes / sizeof(float), row = n / (size_t)e->shape[0];
    float *x = gr_alloc(e->bytes);
    CHECK_OK(gr_store_read(gr_model_store(m), e->name, x, e->bytes));
    for (size_t i = 0; i < (swaps ? row : n); i++) {
        float first = x[i];
        x[i] = swaps ? x[n - row + i] : 1.02f * x[i];
        x[swaps ? n - row + i : i] = swaps ? first : x[i];
    }
    CHECK_OK(gr_store_write(gr_model_store(m), e->name, x, e->bytes));
    gr_free(x);
}

/* Every fault of a weight is seen in the logits, however coarse the dtype; and without one all is well. */
TEST(a_spoiled_weight_is_caught_in_every_dtype)
{
    static const char *const names[] = {"gpt2", "llama", "llama-gqa-tied"};
    gr_device *device = gr_device_open("cpu", 0);
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            char path[1024];
            gr_saved seen = GR_INIT(gr_saved);
            gr_save_options o = {.size = sizeof o, .cast = true, .dtype = all_dtypes[k]};
            gr_model *m = gr_model_load(test_source(test_join("tests/data/models", names[i])), NULL, device);
            snprintf(path, sizeof path, "%s/%s-%d", test_dir(), names[i], k);
            CHECK_OK(gr_model_save(m, path, &o, NULL));
            gr_model *saved =
                gr_model_load(path, &(gr_load_options){.size = sizeof(gr_load_options), .widen = true}, device);
            CHECK_OK(gr_model_compare(m, saved, &o.dtype, false, &seen)); /* other kernels, the same numbers */
            gr_store *store = gr_model_store(saved);
            for (int e = 0; e < 2 * gr_store_count(store); e++) {
                gr_entry entry = GR_INIT(gr_entry);
                CHECK_OK(gr_store_entry(store, e / 2, &entry));
                bool is_seen_in_part = strstr(entry.name, "embed") && e % 2; /* rows of ids that no prompt has */
                if (entry.ndim != 2 || strstr(entry.name, "wpe") || is_seen_in_part)
                    continue;
                NOTE("%s as %s: %s %s", names[i], gr_dtype_name(o.dtype), entry.name, e % 2 ? "rows" : "2 %");
                spoil(saved, &entry, e % 2);
                CHECK_STATUS(gr_model_compare(m, saved, &o.dtype, false, &seen), GR_ERR_NUMBER);
                gr_model_free(saved);
                saved = gr_model_load(path, &(gr_load_options){.size = sizeof(gr_load_options), .widen = true}, device);
                store = gr_model_store(saved);
            }
            NOTE("%s", "");
            gr_model_free(saved);
            gr_model_free(m);
        }
    gr_device_close(device);
}

/* Keys that we know nothing about, numbers and their order stay. */
TEST(config_json_changes_in_its_dtype_alone)
{
    static const char before[] =
        "{\"strange\": {\"b\": [1, 2.50, 1e-5, null]}, \"model_type\": \"gpt2\", \"n_layer\": 1, "
        "\"n_embd\": 8, \"n_head\": 2, \"n_positions\": 8, \"vocab_size\": 9%s}";
    static const struct {
        const char *more;
        int as; /* -1: as they are */
        const char *must, *must_not;
    } cases[] = {
        {", \"torch_dtype\": \"float32\", \"architectures\": [\"GPT2LMHeadModel\"]", GR_BF16,
         "\"torch_dtype\": \"bfloat16\"", "\"dtype\": \"b"},
        {", \"dtype\": \"float32\"", GR_F16, "\"dtype\": \"float16\"", "torch_dtype"},
        {"", -1, "\"dtype\": \"float32\"", "torch_dtype"},
        {", \"dtype\": null, \"architectures\": null", GR_F32, "\"architectures\": [\"GPT2LMHeadModel\"]", "null,\n"},
    };
    gr_device *device = gr_device_open("cpu", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[600];
        NOTE("case %zu", i);
        snprintf(text, sizeof text, before, cases[i].more);
        gr_model *m = gr_model_new("config.json", text, strlen(text), device);
        CHECK_MADE(m);
        gr_dtype as = cases[i].as < 0 ? GR_F32 : (gr_dtype)cases[i].as;
        char *saved = gr_model_saved_config(m, cases[i].as < 0 ? NULL : &as, NULL);
        CHECK_MADE(saved);
        CHECK(strstr(saved, cases[i].must));
        CHECK(!strstr(saved, cases[i].must_not));
        CHECK(strstr(saved, "\"strange\""));
        CHECK(strstr(saved, "2.5"));
        CHECK(strstr(saved, "\"strange\"") < strstr(saved, "\"vocab_size\""));
        gr_free(saved);
        gr_model_free(m);
    }
    /* Nothing to change: the text itself, with its spaces. */
    static const char same[] =
        "{ \"model_type\":\"gpt2\",  \"n_layer\":1, \"n_embd\":8, \"n_head\":2, \"vocab_size\":9,"
        "\"n_positions\":8, \"dtype\":\"float32\", \"architectures\":[\"GPT2LMHeadModel\"]}";
    gr_model *m = gr_model_new("config.json", same, sizeof same - 1, device);
    char *saved = gr_model_saved_config(m, NULL, NULL);
    CHECK_EQ_STR(saved, same);
    gr_free(saved);
    gr_model_free(m);
    gr_device_close(device);
}

/* A model's first weight gets one value that is no ordinary one. */
static gr_model *with_value(gr_device *device, float x)
{
    gr_model *m = tiny_model("llama", device);
    gr_entry e = GR_INIT(gr_entry);
    CHECK_MADE(m);
    CHECK_OK(gr_store_entry(gr_model_store(m), 0, &e));
    float *data = gr_alloc(e.bytes);
    CHECK_OK(gr_store_read(gr_model_store(m), e.name, data, e.bytes));
    data[5] = x;
    CHECK_OK(gr_store_write(gr_model_store(m), e.name, data, e.bytes));
    gr_free(data);
    return m;
}

TEST(numbers_too_large_for_the_dtype_are_named)
{
    gr_device *device = gr_device_open("cpu", 2);
    const char *path = test_join(test_dir(), "out");
    gr_model *m = with_value(device, -65520);
    CHECK_STATUS(gr_model_save(
                     m, path, &(gr_save_options){.size = sizeof(gr_save_options), .cast = true, .dtype = GR_F16}, NULL),
                 GR_ERR_NUMBER);
    CHECK_ERROR(GR_ERR_NUMBER, "model.embed_tokens.weight\": value 5 is -65520, which is infinite in f16");
    CHECK_EQ_INT(entries_of(test_dir()), 0);
    CHECK_OK(gr_model_save(m, path, &(gr_save_options){.size = sizeof(gr_save_options), .cast = true, .dtype = GR_BF16},
                           NULL));
    gr_model_free(m);
    m = with_value(device, NAN);
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "nan"), NULL, NULL), GR_ERR_NUMBER);
    CHECK_ERROR(GR_ERR_NUMBER, "logits are not numbers");
    CHECK_EQ_INT(entries_of(test_dir()), 1);
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "i64"),
                               &(gr_save_options){.size = sizeof(gr_save_options), .cast = true, .dtype = GR_I64},
                               NULL),
                 GR_ERR_ARGUMENT);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(what_is_there_is_not_replaced)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("gpt2", device);
    const char *path = test_join(test_dir(), "out");
    put(path, "mine", "text");
    CHECK_STATUS(gr_model_save(m, path, NULL, NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "holds something already");
    CHECK_EQ_INT(entries_of(path), 1);
    CHECK_STATUS(gr_model_save(m, test_join(path, "mine"), NULL, NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "there is a file of that name");
    CHECK_OK(gr_dir_remove(test_join(path, "mine")));
    CHECK_OK(gr_model_save(m, path, NULL, NULL)); /* an empty one will do */
    CHECK_EQ_INT(entries_of(path), 3);
    CHECK_EQ_INT(entries_of(test_dir()), 1);
    gr_model_free(m);
    gr_device_close(device);
}

/* One process at a time. */
TEST(a_directory_has_one_writer)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = gr_model_load(test_source("tests/data/models/llama"), NULL, d);
    gr_write_lock held;
    CHECK_MADE(m);
    CHECK_OK(gr_write_lock_take(&held, gr_strdup(test_join(test_dir(), "one.new.lock"))));
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "one/"), NULL, NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "another process writes it: process ");
    gr_write_lock_release(&held);
    CHECK_OK(gr_model_save(m, test_join(test_dir(), "one"), NULL, NULL));
    CHECK(!gr_path_is_file(test_join(test_dir(), "one.new.lock")));
    gr_model_free(m);
    gr_device_close(d);
}

TEST(files_of_the_source_are_carried_over)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model_info info = tiny_info("gpt2", true);
    info.eos = 3;
    gr_model *m = tiny_model_of(&info, device, 1);
    const char *source = test_join(test_dir(), "source"), *path = test_join(test_dir(), "out");
    gr_tokenizer *t = gr_tokenizer_byte();
    put(source, "tokenizer.json", gr_tokenizer_json(t, NULL));
    put(source, "tokenizer_config.json", "{}");
    put(source, "chat_template.jinja", "{{ messages }}");
    put(source, "LICENSE", "free");
    put(source, "weights.bin", "no");
    const char *files[][2] = {{"LICENSE", "freer"}};
    gr_saved saved = GR_INIT(gr_saved);
    gr_save_options o = {.size = sizeof o, .source = source, .files = (const char *const(*)[2])files, .n_files = 1};
    CHECK_OK(gr_model_save(m, path, &o, &saved));
    CHECK_EQ_INT(saved.other_files, 6);
    CHECK_EQ_INT(saved.texts, 9);
    CHECK(saved.tokens > 200);
    CHECK_EQ_INT(entries_of(path), 8); /* model.safetensors and checksums.json */
    char *text = read_text(path, "LICENSE"), *generation = read_text(path, "generation_config.json");
    CHECK_EQ_STR(text, "freer");
    CHECK(strstr(generation, "\"eos_token_id\": 3") && !strstr(generation, "bos"));
    gr_free(text);
    gr_free(generation);
    /* Another tokenizer than the source's is found out. */
    gr_tokenizer *other = gr_tokenizer_char("abc", 3, true);
    const char *wrong[][2] = {{"tokenizer.json", gr_tokenizer_json(other, NULL)}};
    o.files = (const char *const(*)[2])wrong;
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "wrong"), &o, NULL), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "the saved tokenizer gives other ids");
    put(source, "generation_config.json", "{\"eos_token_id\": ");
    o.n_files = 0;
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "wrong"), &o, NULL), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "generation_config.json");
    CHECK_EQ_INT(entries_of(test_dir()), 2);
    gr_tokenizer_free(other);
    gr_tokenizer_free(t);
    gr_model_free(m);
    gr_device_close(device);
}

/* Tokenizers of all kinds are compared by their ids, as a directory is that has the model's config.json. */
TEST(tokenizers_of_all_kinds_are_compared)
{
    static const char *const dirs[] = {"bert",      "distilbert", "tiktoken",   "tiktoken-llama",
                                       "tekken-v7", "tekken-v11", "rules-llama"};
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("llama", device);
    char path[1024];
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        gr_saved saved = GR_INIT(gr_saved);
        gr_save_options o = {.size = sizeof o, .source = test_join(test_source("tests/data/tokenizer_dirs"), dirs[i])};
        gr_tokenizer *t = gr_tokenizer_load(o.source);
        if (!t && strstr(gr_error(), "this build has no"))
            continue;
        gr_tokenizer_free(t);
        NOTE("%s", dirs[i]);
        snprintf(path, sizeof path, "%s/%s", test_dir(), dirs[i]);
        CHECK_OK(gr_model_save(m, path, &o, &saved));
        CHECK_EQ_INT(saved.texts, 9);
        CHECK(saved.tokens > 100);
    }
    NOTE("%s", "");
    const char *files[][2] = {{"tekken.json", "{}"}};
    gr_save_options o = {.size = sizeof o,
                         .source = test_join(test_source("tests/data/tokenizer_dirs"), "tekken-v7"),
                         .files = (const char *const(*)[2])files,
                         .n_files = 1};
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "other"), &o, NULL), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "tekken.json");
    gr_model_free(m);
    gr_device_close(device);
}

/* Templates in a folder of their own, and whatever else is a tokenizer's or a licence; and they are in the checksums. */
TEST(templates_and_licences_of_all_names)
{
    static const char *const kept[] = {"additional_chat_templates/rag.jinja",
                                       "additional_chat_templates/tool_use.jinja",
                                       "LICENCE",
                                       "License-llama.txt",
                                       "COPYING",
                                       "NOTICE.md",
                                       "USE_POLICY.md",
                                       "tokenizer.model.v3",
                                       "vocab.txt",
                                       "tekken.json",
                                       "qwen.tiktoken",
                                       "chat_template_rag.jinja",
                                       "spiece.model"};
    static const char *const left[] = {"additional_chat_templates/.hidden.jinja", "additional_chat_templates/x.txt",
                                       "README.md", "licensed.txt", "handler.py"};
    enum { KEPT = sizeof kept / sizeof *kept, LEFT = sizeof left / sizeof *left };
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("llama", device);
    char source[1024], path[1024];
    snprintf(source, sizeof source, "%s/source", test_dir());
    snprintf(path, sizeof path, "%s/out", test_dir());
    CHECK_OK(gr_dir_make(test_join(source, "additional_chat_templates")));
    CHECK_OK(gr_dir_make(test_join(source, "NOTICE"))); /* a folder is no licence */
    for (int i = 0; i < KEPT; i++)
        put(source, kept[i], kept[i]);
    for (int i = 0; i < LEFT; i++)
        put(source, left[i], left[i]);
    gr_saved saved = GR_INIT(gr_saved);
    CHECK_OK(gr_model_save(m, path, &(gr_save_options){.size = sizeof(gr_save_options), .source = source}, &saved));
    CHECK_EQ_INT(saved.other_files, KEPT + 1); /* config.json */
    for (int i = 0; i < KEPT; i++) {
        char *text = read_text(path, kept[i]);
        CHECK_EQ_STR(text, kept[i]);
        gr_free(text);
    }
    for (int i = 0; i < LEFT; i++)
        CHECK(!gr_path_is_file(test_join(path, left[i])));
    gr_verified totals = GR_INIT(gr_verified);
    CHECK_OK(gr_verify(path, NULL, &totals));
    CHECK_EQ_INT(totals.unchecked, 0);
    put(path, kept[1], "another");
    CHECK_STATUS(gr_verify(path, NULL, NULL), GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "additional_chat_templates/tool_use.jinja");
    put(path, kept[1], kept[1]);
    put(path, "additional_chat_templates/new.jinja", "new");
    CHECK_OK(gr_verify(path, NULL, &totals));
    CHECK_EQ_INT(totals.unchecked, 1);
    gr_model_free(m);
    gr_device_close(device);
}

TEST(a_pointer_is_not_carried_over)
{
    gr_device *device = gr_device_open("cpu", 1);
    gr_model *m = tiny_model("llama", device);
    const char *source = test_join(test_dir(), "source");
    put(source, "tokenizer.model", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 499723\n");
    CHECK_STATUS(gr_model_save(m, test_join(test_dir(), "out"),
                               &(gr_save_options){.size = sizeof(gr_save_options), .source = source}, NULL),
                 GR_ERR_FILE);
    CHECK_ERROR(GR_ERR_FILE, "tokenizer.model: a Git LFS pointer");
    gr_model_free(m);
    gr_device_close(device);
}

/* ---- what goes wrong ---------------------------------------------------------------------------------------- */

static int asked;

static bool stop_third(void *user, double done, double total)
{
    (void)user, (void)done, (void)total;
    return ++asked < 3;
}

static bool ask_and_die(void *user, double done, double total)
{
    (void)user;
    if (done > total / 2)
        raise(SIGKILL);
    return true;
}

TEST(interrupted_or_killed)
{
    gr_device *device = gr_device_open("ref", 1);
    gr_model *m = tiny_model("gpt2", device);
    const char *path = test_join(test_dir(), "out");
    CHECK_STATUS(
        gr_model_save(m, path, &(gr_save_options){.size = sizeof(gr_save_options), .progress = stop_third}, NULL),
        GR_ERR_INTERRUPTED);
    CHECK_EQ_INT(entries_of(test_dir()), 0);
    pid_t child = fork();
    if (child == 0) {
        gr_model_save(m, path, &(gr_save_options){.size = sizeof(gr_save_options), .progress = ask_and_die}, NULL);
        _exit(1);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ_INT(entries_of(test_dir()), 2); /* hidden, without its name; and its lock, which locks nobody out */
    CHECK(!gr_path_is_dir(path));
    CHECK_OK(gr_model_save(m, path, NULL, NULL));
    CHECK_EQ_INT(entries_of(test_dir()), 1); /* what the killed one left is gone */
    gr_model_free(m);
    gr_device_close(device);
}

typedef struct attempt {
    gr_model *m;
    char path[1024];
} attempt;

static gr_status save_once(void *ctx)
{
    attempt *a = ctx;
    gr_status s = gr_model_save(
        a->m, a->path,
        &(gr_save_options){.size = sizeof(gr_save_options), .cast = true, .dtype = GR_BF16, .shard_bytes = 1000}, NULL);
    if (s != GR_OK && gr_path_is_dir(a->path))
        FAIL("a directory is left of what failed");
    return s;
}

static int64_t fail_write(int64_t n)
{
    int64_t left = gr_file_fail_at(n);
    if (n == 0 && left == 0 && entries_of(test_dir()) != 0)
        FAIL("something is left of what failed");
    return left;
}

TEST(sweep_failing_every_write_and_allocation)
{
    if (gr_path_is_dir("/dev/shm")) /* hundreds of saves, each waiting for the disk many times */
        setenv("TMPDIR", "/dev/shm", 1);
    gr_device *device = gr_device_open("cpu", 1);
    attempt a = {.m = tiny_model("llama", device)};
    snprintf(a.path, sizeof a.path, "%s/out", test_dir());
    CHECK(test_sweep(fail_write, GR_ERR_FILE, save_once, &a) > 40);
    CHECK_OK(gr_dir_remove(a.path));
    CHECK(SWEEP_ALLOCATIONS(save_once, &a) > 200);
    gr_model_free(a.m);
    gr_device_close(device);
}

/* On a device whose memory the host cannot read, tensors go through one buffer. */
TEST(a_device_with_memory_of_its_own)
{
    gr_device *device = gr_device_open("far", 1);
    gr_model *m = tiny_model("llama", device);
    CHECK_MADE(m);
    for (int k = 0; k < 3; k++) {
        char name[8];
        snprintf(name, sizeof name, "%d", k);
        gr_save_options o = {.size = sizeof o, .cast = true, .dtype = all_dtypes[k]};
        CHECK_OK(gr_model_save(m, test_join(test_dir(), name), &o, NULL));
    }
    gr_model_free(m);
    gr_device_close(device);
}
