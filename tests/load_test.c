/* Model directories as they are found: what is read as it is meant, and what is refused by name. */
#include "model/save.h"
#include "tiny.h"

#include <sys/stat.h>

enum { MOST = 64 };

/* A model's files before they are written: its tensors, which a case changes. */
typedef struct files {
    gr_device *device;
    gr_model *m;
    gr_safetensor t[MOST];
    void *data[MOST];
    int n;
} files;

static files files_of(const char *arch, bool tied)
{
    files f = {.device = gr_device_open("cpu", 1)};
    gr_model_info info = tiny_info(arch, tied);
    f.m = tiny_model_of(&info, f.device, 1);
    CHECK_MADE(f.m);
    gr_store *s = gr_model_store(f.m);
    for (int i = 0; i < gr_store_count(s); i++) {
        gr_entry e;
        CHECK_OK(gr_store_entry(s, i, &e));
        f.data[i] = gr_alloc(e.bytes);
        CHECK_OK(gr_store_read(s, e.name, f.data[i], e.bytes));
        f.t[i] = (gr_safetensor){.name = e.name, .dtype = e.dtype, .ndim = e.ndim, .data = f.data[i], .bytes = e.bytes};
        memcpy(f.t[i].shape, e.shape, sizeof e.shape);
    }
    f.n = gr_store_count(s);
    return f;
}

static int find(const files *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->t[i].name, name) == 0)
            return i;
    FAIL("there is no tensor %s", name);
}

/* One more, a copy of another. */
static float *add(files *f, const char *name, const char *like)
{
    int i = f->n++, k = find(f, like);
    f->t[i] = f->t[k];
    f->t[i].name = name;
    f->t[i].data = f->data[i] = gr_alloc(f->t[k].bytes);
    memcpy(f->data[i], f->data[k], f->t[k].bytes);
    return f->data[i];
}

static void write_files(const files *f, const char *dir, size_t shard_bytes)
{
    const char *config = gr_model_config(f->m);
    gr_dir_make(dir);
    CHECK_OK(gr_file_write(test_join(dir, "config.json"), config, strlen(config)));
    CHECK_OK(gr_weights_save(dir, &(gr_safetensors_spec){.tensors = f->t, .count = f->n}, shard_bytes));
}

static void free_files(files *f)
{
    for (int i = 0; i < f->n; i++)
        gr_free(f->data[i]);
    gr_model_free(f->m);
    gr_device_close(f->device);
}

static float first_logit(gr_model *m)
{
    float out[2 * TINY_VOCAB];
    gr_graph *g = gr_graph_new();
    gr_forward f = {.tokens = gr_input(g, "tokens", GR_I64, 2, (int64_t[]){1, 2})};
    gr_tensor *logits = gr_model_logits(m, &f);
    gr_program *p = gr_compile(g, &logits, 1, gr_model_device(m));
    CHECK_MADE(p);
    CHECK_OK(gr_run(p, (const void *[]){(int64_t[]){3, 5}}, (void *[]){out}));
    gr_program_free(p);
    gr_graph_free(g);
    return out[TINY_VOCAB];
}

/* It loads, and is the model that was written. */
static void check_loads(const files *f, const char *dir)
{
    gr_model *m = gr_model_load(dir, NULL, f->device);
    CHECK_MADE(m);
    CHECK(first_logit(m) == first_logit(f->m));
    gr_model_free(m);
}

static void check_refused(const files *f, const char *dir, const char *text)
{
    gr_model *m = gr_model_load(dir, NULL, f->device);
    CHECK(!m);
    CHECK_ERROR(GR_ERR_FILE, text);
}

TEST(a_head_beside_the_embedding_it_is_tied_to)
{
    static const char *const embedding[] = {"transformer.wte.weight", "model.embed_tokens.weight"};
    for (int i = 0; i < 2; i++) {
        files f = files_of(i ? "llama" : "gpt2", true);
        float *head = add(&f, "lm_head.weight", embedding[i]);
        write_files(&f, test_dir(), 0);
        check_loads(&f, test_dir());
        head[7] += 0.01f;
        write_files(&f, test_dir(), 0);
        check_refused(&f, test_dir(), "tensor \"lm_head.weight\" differs from \"");
        CHECK(strstr(gr_error(), embedding[i]));
        f.t[f.n - 1].shape[0]--;
        write_files(&f, test_dir(), 0);
        check_refused(&f, test_dir(), "tensor \"lm_head.weight\" differs from \"");
        free_files(&f);
    }
}

TEST(buffers_of_old_files_are_no_weights)
{
    files f = files_of("gpt2", true);
    add(&f, "transformer.h.0.attn.bias", "transformer.ln_f.bias");
    add(&f, "transformer.h.1.attn.masked_bias", "transformer.ln_f.bias");
    write_files(&f, test_dir(), 0);
    check_loads(&f, test_dir());
    add(&f, "transformer.h.0.mlp.bias", "transformer.ln_f.bias");
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "tensor \"transformer.h.0.mlp.bias\" is no part of a gpt2 model");
    free_files(&f);
    f = files_of("llama", false);
    add(&f, "model.layers.0.self_attn.rotary_emb.inv_freq", "model.norm.weight");
    write_files(&f, test_dir(), 0);
    check_loads(&f, test_dir());
    free_files(&f);
}

/* Names go with the body's prefix or without, all of them. */
TEST(names_without_prefix)
{
    static const char *const archs[] = {"gpt2", "llama"};
    for (int i = 0; i < 2; i++) {
        files f = files_of(archs[i], i == 0);
        for (int k = 0; k < f.n; k++) {
            const char *dot = strchr(f.t[k].name, '.');
            if (strncmp(f.t[k].name, "lm_head", 7) != 0)
                f.t[k].name = dot + 1;
        }
        write_files(&f, test_dir(), 0);
        check_loads(&f, test_dir());
        add(&f, i ? "model.norm.weight" : "transformer.ln_f.weight", i ? "norm.weight" : "ln_f.weight");
        write_files(&f, test_dir(), 0); /* the prefix once is the prefix for all */
        check_refused(&f, test_dir(), "is missing");
        free_files(&f);
    }
}

TEST(tensors_missing_or_of_another_shape)
{
    files f = files_of("llama", false);
    int head = find(&f, "lm_head.weight");
    f.t[head].shape[0]--;
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "tensor \"lm_head.weight\" is ");
    f.t[head].shape[0]++;
    f.t[head].dtype = GR_I32;
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "weights are f32, f16 or bf16");
    f.t[head] = f.t[f.n - 1];
    void *last = f.data[head];
    f.data[head] = f.data[f.n - 1];
    f.data[--f.n] = NULL;
    gr_free(last);
    write_files(&f, test_dir(), 0);
    check_refused(&f, test_dir(), "is missing");
    free_files(&f);
}

/* Both kinds of weights, Meta's beside them, a cache's links, nothing that may be written. */
TEST(directories_of_the_hub)
{
    files f = files_of("llama", false);
    const char *dir = test_join(test_dir(), "shards");
    write_files(&f, dir, 1000);
    check_loads(&f, dir);
    CHECK_OK(gr_file_write(test_join(dir, "consolidated.safetensors"), "x", 1));
    CHECK_OK(gr_file_write(test_join(dir, "pytorch_model.bin"), "x", 1));
    check_loads(&f, dir);
    write_files(&f, dir, 0); /* the single file wins */
    check_loads(&f, dir);

    const char *cache = test_join(test_dir(), "models--a--b");
    char snapshot[1024];
    snprintf(snapshot, sizeof snapshot, "%s/snapshots/123", cache);
    write_files(&f, test_join(cache, "blobs"), 0);
    CHECK_OK(gr_dir_make(snapshot));
    CHECK(symlink("../../blobs/config.json", test_join(snapshot, "config.json")) == 0);
    CHECK(symlink("../../blobs/model.safetensors", test_join(snapshot, "model.safetensors")) == 0);
    CHECK(chmod(snapshot, 0555) == 0);
    check_loads(&f, snapshot);
    CHECK(chmod(snapshot, 0755) == 0);
    check_refused(&f, cache, "no model, but a cache of them");
    free_files(&f);
}

TEST(what_is_no_model_directory)
{
    files f = files_of("llama", false);
    check_refused(&f, test_join(test_dir(), "absent"), "absent/config.json: No such file");
    check_refused(&f, test_dir(), "config.json: No such file");
    CHECK_OK(gr_file_write(test_join(test_dir(), "params.json"), "{}", 2));
    check_refused(&f, test_dir(), "the first release of LLaMA");
    write_files(&f, test_dir(), 0);
    CHECK_OK(gr_dir_remove(test_join(test_dir(), "model.safetensors")));
    CHECK_OK(gr_file_write(test_join(test_dir(), "pytorch_model.bin"), "x", 1));
    check_refused(&f, test_dir(), "the weights are in pytorch_model.bin, a pickle");
    free_files(&f);
}
