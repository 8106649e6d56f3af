/* Models written as GGUF files: compared before they get their names, byte for byte what llama.cpp's converter wrote. */
#include "gguf_file.h"
#include "tiny.h"

#include "base/lock.h"
#include "format/gguf.h"
#include "text/tokenizer_gguf.h"

/* ---- what cuts texts ---------------------------------------------------------------------------------------- */

static bool same_pieces(const gr_pieces *a, const gr_pieces *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = a->piece[i].size == b->piece[i].size;
    return same;
}

/* Or by whether whole words are looked up. */
TEST(telling_text_tells_all_apart)
{
    enum { MOST = 64 };
    gr_pieces cut[MOST] = {{0}};
    int n = 0, bad = 0;
    for (; gr_gguf_pre_at(n); n++) {
        CHECK(n < MOST);
        gr_pretokenizer *p = gr_gguf_pretokenizer(gr_gguf_pre_at(n));
        CHECK_MADE(p);
        CHECK_OK(gr_gguf_cut(p, &cut[n]));
        gr_pretokenizer_free(p);
        for (int i = 0; i < n; i++) {
            const gr_gguf_pre *a = gr_gguf_pre_at(i), *b = gr_gguf_pre_at(n);
            bool other = /* told apart by what is not a cut */
                a->whole != b->whole || a->plain != b->plain || a->bos != b->bos;
            if (!other && same_pieces(&cut[i], &cut[n]))
                printf("%s and %s cut it alike\n", a->names, b->names), bad++;
        }
    }
    CHECK(n > 25 && bad == 0);
    for (int i = 0; i < n; i++)
        gr_pieces_free(&cut[i]);
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* The tensors of two files are the same bytes; rotary factors are numbers that were worked out anew. */
static void check_same(const char *path, const char *must_path)
{
    gr_gguf *is = gr_gguf_open(path), *must = gr_gguf_open(must_path);
    CHECK_MADE(is);
    CHECK_MADE(must);
    CHECK_EQ_INT(gr_gguf_tensors(is), gr_gguf_tensors(must));
    for (int i = 0; i < gr_gguf_tensors(must); i++) {
        const gr_weight *a = gr_gguf_tensor(must, i), *b = NULL;
        for (int k = 0; k < gr_gguf_tensors(is); k++)
            b = strcmp(gr_gguf_tensor(is, k)->name, a->name) == 0 ? gr_gguf_tensor(is, k) : b;
        if (!b || a->dtype != b->dtype || a->bytes != b->bytes ||
            (strncmp(a->name, "rope_", 5) != 0 && memcmp(a->data, b->data, a->bytes) != 0))
            FAIL("%s: tensor %s is another", path, a->name);
    }
    gr_gguf_close(is);
    gr_gguf_close(must);
}

TEST(files_again)
{
    char folder[700], path[1000], **names;
    size_t count;
    gr_device *d = gr_device_open("cpu", 2);
    snprintf(folder, sizeof folder, "%s", test_source("tests/data/gguf"));
    snprintf(path, sizeof path, "%s/again.gguf", test_dir());
    CHECK_OK(gr_dir_list(folder, &names, &count));
    const gr_save_options o = {.size = sizeof o, .gguf = true};
    for (size_t i = 0; i < count; i++) {
        if (!gr_gguf_is_name(names[i]))
            continue;
        NOTE("%s", names[i]);
        gr_model *m = gr_model_load(test_join(folder, names[i]), NULL, d);
        CHECK_MADE(m);
        gr_saved saved = GR_INIT(gr_saved);
        CHECK_OK(gr_model_save(m, path, &o, &saved));
        CHECK(saved.logits > 0 && saved.difference <= saved.bound);
        check_same(path, test_join(folder, names[i]));
        gr_model_free(m);
        CHECK_OK(gr_dir_remove(path));
    }
    gr_names_free(names, count);
    gr_device_close(d);
}

/* A directory's model, as the dtype. */
static gr_status save_model(const char *name, gr_save_options o)
{
    gr_device *d = gr_device_open("cpu", 2);
    gr_model *m = gr_model_load(test_join(test_source("tests/data/models"), name), NULL, d);
    CHECK_MADE(m);
    o.size = sizeof o;
    o.gguf = true;
    gr_status s = gr_model_save(m, test_join(test_dir(), "model.gguf"), &o, NULL);
    gr_model_free(m);
    gr_device_close(d);
    return s;
}

TEST(directories)
{
    static const gr_dtype dtypes[] = {GR_F32, GR_F16, GR_BF16};
    static const char *const models[] = {"gpt2",         "gpt2-noprefix",     "llama-bf16",
                                         "llama-llama3", "llama-yarn-mscale", "phi3"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (size_t k = 0; k < 3; k++) {
            NOTE("%s as %s", models[i], gr_dtype_name(dtypes[k]));
            CHECK_OK(save_model(models[i], (gr_save_options){.cast = true, .dtype = dtypes[k]}));
            CHECK_OK(gr_dir_remove(test_join(test_dir(), "model.gguf")));
        }
}

/* ---- several files ------------------------------------------------------------------------------------------ */

static int64_t int_of(const gr_gguf *g, const char *key, gr_gguf_type type)
{
    int64_t x = -1;
    const gr_gguf_key *k = gr_gguf_find(g, key);
    CHECK(k && k->type == type && gr_gguf_int(k, 0, &x)); /* llama.cpp asks for the very type */
    return x;
}

/* The parts of "model.gguf" are read as one model, and hold the bytes of the whole; the first has the keys. */
static void check_parts(int n, size_t most)
{
    gr_gguf *whole = gr_gguf_open(test_join(test_dir(), "model.gguf"));
    CHECK_MADE(whole);
    int seen = 0;
    for (int i = 0; i < n; i++) {
        char *path = gr_gguf_part_path(test_join(test_dir(), "parts.gguf"), i, n);
        gr_gguf *part = gr_gguf_open(path);
        CHECK_MADE(part);
        CHECK_EQ_INT(int_of(part, "split.no", GR_GGUF_U16), i);
        CHECK_EQ_INT(int_of(part, "split.count", GR_GGUF_U16), n);
        CHECK_EQ_INT(int_of(part, "split.tensors.count", GR_GGUF_I32), gr_gguf_tensors(whole));
        CHECK_EQ_INT(gr_gguf_count(part), i == 0 ? gr_gguf_count(whole) + 3 : 3);
        size_t bytes = 0;
        for (int k = 0; k < gr_gguf_tensors(part); k++, seen++) {
            const gr_weight *a = gr_gguf_tensor(part, k), *b = gr_gguf_tensor(whole, seen);
            CHECK(strcmp(a->name, b->name) == 0 && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0);
            bytes += a->bytes;
        }
        CHECK(bytes <= most || gr_gguf_tensors(part) == 1);
        gr_gguf_close(part);
        gr_free(path);
    }
    CHECK_EQ_INT(seen, gr_gguf_tensors(whole));
    gr_gguf_close(whole);
}

TEST(several_files)
{
    gr_device *d = gr_device_open("cpu", 2);
    gr_model *m = gr_model_load(test_source("tests/data/models/llama"), NULL, d);
    const char *whole = test_join(test_dir(), "model.gguf"), *parts = test_join(test_dir(), "parts.gguf");
    gr_save_options o = {.size = sizeof o, .gguf = true};
    gr_saved saved = GR_INIT(gr_saved);
    CHECK_OK(gr_model_save(m, whole, &o, &saved));
    CHECK_EQ_INT(saved.weight_files, 1);
    for (size_t most = 1; most < 2000000; most *= 6) {
        NOTE("%d bytes", (int)most);
        o.shard_bytes = most;
        CHECK_OK(gr_model_save(m, parts, &o, &saved));
        int n = saved.weight_files;
        if (n == 1) {
            check_same(parts, whole);
            CHECK_OK(gr_dir_remove(parts));
            break;
        }
        CHECK(most > 1 || n == saved.tensors);
        check_parts(n, most);
        CHECK_STATUS(gr_model_save(m, parts, &o, &saved), GR_ERR_ARGUMENT);
        CHECK_ERROR(GR_ERR_ARGUMENT, "is there already");
        o.shard_bytes = most * 2; /* another number of parts */
        if (n > 2) {
            CHECK_STATUS(gr_model_save(m, parts, &o, &saved), GR_ERR_ARGUMENT);
            CHECK_ERROR(GR_ERR_ARGUMENT, "is there already");
        }
        for (int i = 0; i < n; i++) {
            char *path = gr_gguf_part_path(parts, i, n);
            gr_model *again = i < 2 ? gr_model_load(path, NULL, d) : NULL;
            CHECK(i >= 2 || again);
            gr_model_free(again);
            gr_free(path);
        }
        for (int i = 0; i < n; i++) {
            char *path = gr_gguf_part_path(parts, i, n);
            CHECK_OK(gr_dir_remove(path));
            gr_free(path);
        }
    }
    CHECK_EQ_INT(saved.weight_files, 1);
    gr_model_free(m);
    gr_device_close(d);
}

/* Parts that a full disk cuts short leave nothing, and so does one whose last step fails. */
static gr_status save_parts(void *ctx)
{
    const gr_save_options o = {.size = sizeof o, .gguf = true, .shard_bytes = 40000};
    const char *parts = test_join(test_dir(), "full.gguf");
    char **names;
    size_t n, left = 0;
    gr_saved saved = GR_INIT(gr_saved);
    gr_status s = gr_model_save(ctx, parts, &o, &saved);
    CHECK_OK(gr_dir_list(test_dir(), &names, &n));
    for (size_t i = 0; i < n; i++) {
        left += strncmp(names[i], "full", 4) == 0;
        gr_dir_remove(test_join(test_dir(), names[i]));
    }
    gr_names_free(names, n);
    CHECK_EQ_INT(left, s == GR_OK ? saved.weight_files : 0);
    CHECK(s != GR_OK || saved.weight_files > 1);
    return s;
}

TEST(disks_that_are_full)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = gr_model_load(test_source("tests/data/models/llama"), NULL, d);
    CHECK_MADE(m);
    CHECK(SWEEP_WRITES(save_parts, m) > 8);
    gr_model_free(m);
    gr_device_close(d);
}

/* One process at a time; what one that was killed has left is removed by the next. */
TEST(lock)
{
    gr_device *d = gr_device_open("cpu", 1);
    gr_model *m = gr_model_load(test_source("tests/data/models/llama"), NULL, d);
    const gr_save_options o = {.size = sizeof o, .gguf = true};
    const char *path = test_join(test_dir(), "model.gguf");
    gr_write_lock held;
    CHECK_OK(gr_write_lock_take(&held, gr_strdup(test_join(test_dir(), "model.gguf.new.gguf.lock"))));
    CHECK_STATUS(gr_model_save(m, path, &o, NULL), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "another process writes it: process ");
    gr_write_lock_release(&held);
    test_file("model.gguf.new.gguf", "x", 1);
    test_file("model.gguf.new-00001-of-00002.gguf", "x", 1);
    test_file("model.gguf.newer.gguf", "x", 1);
    CHECK_OK(gr_model_save(m, path, &o, NULL));
    char **names;
    size_t n;
    CHECK_OK(gr_dir_list(test_dir(), &names, &n));
    CHECK_EQ_INT(n, 2);
    CHECK(strcmp(names[0], "model.gguf") == 0 && strcmp(names[1], "model.gguf.newer.gguf") == 0);
    gr_names_free(names, n);
    gr_model_free(m);
    gr_device_close(d);
}

/* general.file_type: of the dtype asked for, or what a file said of itself. */
TEST(file_type)
{
    static const struct {
        gr_dtype dtype;
        int type;
    } types[] = {{GR_F32, 0}, {GR_F16, 1}, {GR_BF16, 32}};
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(save_model("llama", (gr_save_options){.cast = true, .dtype = types[i].dtype}));
        const char *path = test_join(test_dir(), "model.gguf");
        gr_gguf *g = gr_gguf_open(path);
        CHECK_MADE(g);
        CHECK_EQ_INT(int_of(g, "general.file_type", GR_GGUF_U32), types[i].type);
        gr_gguf_close(g);
        CHECK_OK(gr_dir_remove(path));
    }
}

/* What such a file cannot say is told, and nothing is left. */
TEST(refused)
{
    static const char *const why[][2] = {{"gpt2-switches", "cannot say the scale of attention"},
                                         {"llama-dynamic", "cannot say the rotary settings"},
                                         {"llama-mqa-biases", "cannot say the activation"},
                                         {"qwen2", "cannot say which layers have a sliding window"}};
    char **names;
    size_t n;
    for (size_t i = 0; i < sizeof why / sizeof *why; i++) {
        NOTE("%s", why[i][0]);
        CHECK_STATUS(save_model(why[i][0], (gr_save_options){0}), GR_ERR_UNSUPPORTED);
        CHECK_ERROR(GR_ERR_UNSUPPORTED, why[i][1]);
        CHECK_OK(gr_dir_list(test_dir(), &names, &n));
        gr_names_free(names, n);
        CHECK_EQ_INT(n, 0);
    }
    test_file("model.gguf", "", 0);
    CHECK_STATUS(save_model("llama", (gr_save_options){0}), GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "it is there already");
}

static char remark[200];

static void keep_remark(void *user, gr_log_level level, const char *message)
{
    (void)user;
    if (level == GR_LOG_WARN && strstr(message, "llama.cpp"))
        snprintf(remark, sizeof remark, "%s", message);
}

/* What llama.cpp computes in another way than the file says is told. */
TEST(what_llama_cpp_leaves_out)
{
    static const char *const told[][2] = {{"mistral", "attention.sliding_window of a llama model"},
                                          {"llama-yarn-mscale", "rope.scaling.yarn_* but the factor of a llama model"},
                                          {"llama-llama3", ""},
                                          {"llama", ""}};
    gr_set_log(keep_remark, NULL);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        NOTE("%s", told[i][0]);
        remark[0] = '\0';
        CHECK_OK(save_model(told[i][0], (gr_save_options){0}));
        CHECK(told[i][1][0] ? strstr(remark, told[i][1]) != NULL : !remark[0]);
        CHECK_OK(gr_dir_remove(test_join(test_dir(), "model.gguf")));
    }
    gr_set_log(NULL, NULL);
}

/* ---- tokenizers --------------------------------------------------------------------------------------------- */

/* All bytes, and one merge; of the pre-tokenizer. */
static const char *write_source(const char *pre)
{
    static const char *const tokens[] = {"<s>", "</s>", "a", "b", "ab", "x"};
    static const int32_t types[] = {3, 3, 1, 1, 1, 4};
    gguf_file f = gguf_new();
    gguf_text(&f, "tokenizer.ggml.model", "gpt2");
    gguf_text(&f, "tokenizer.ggml.pre", pre);
    gguf_texts(&f, "tokenizer.ggml.tokens", tokens, 6);
    gguf_i32s(&f, "tokenizer.ggml.token_type", types, 6);
    gguf_texts(&f, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
    gguf_u32(&f, "tokenizer.ggml.bos_token_id", 0);
    gguf_u32(&f, "tokenizer.ggml.eos_token_id", 1);
    gguf_bool(&f, "tokenizer.ggml.add_bos_token", true);
    gguf_text(&f, "tokenizer.chat_template", "{{ messages }}");
    gguf_text(&f, "tokenizer.chat_template.tool_use", "{{ tools }}");
    const char *path = gguf_write(&f, "source.gguf");
    gguf_free(&f);
    return path;
}

static void check_text(const gr_gguf *g, const char *key, const char *must)
{
    gr_gguf_text text = gr_gguf_text_of(g, key);
    CHECK(text.size == strlen(must) && memcmp(text.data, must, text.size) == 0);
}

TEST(tokenizers_and_templates)
{
    static const char *const pres[][2] = {
        {"smollm", "smollm"}, {"starcoder", "smollm"}, {"qwen2", "qwen2"}, {"llama3", "llama-bpe"}};
    for (size_t i = 0; i < 4; i++) {
        NOTE("%s", pres[i][0]);
        CHECK_OK(save_model("llama", (gr_save_options){.source = write_source(pres[i][0])}));
        gr_gguf *g = gr_gguf_open(test_join(test_dir(), "model.gguf"));
        CHECK_MADE(g);
        check_text(g, "tokenizer.ggml.pre", pres[i][1]);
        check_text(g, "tokenizer.chat_template", "{{ messages }}");
        check_text(g, "tokenizer.chat_template.tool_use", "{{ tools }}");
        gr_gguf_close(g);
        CHECK_OK(gr_dir_remove(test_join(test_dir(), "model.gguf")));
    }
    CHECK_STATUS(save_model("llama", (gr_save_options){.source = write_source("gpt-2"), .pre = "gpt-3"}),
                 GR_ERR_ARGUMENT);
    CHECK_ERROR(GR_ERR_ARGUMENT, "there is no pre-tokenizer \"gpt-3\"");
}
