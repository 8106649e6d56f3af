/* GGUF files that lie: each kind is told by what and where, whatever is asked of the file. Nothing here takes memory or time for
 * a number that only the file says. */
#include "gguf_file.h"
#include "tiny.h"

#include "format/weights.h"

/* ---- the container ------------------------------------------------------------------------------------------ */

static const int64_t two[] = {2};

/* A file with a key of each kind and two tensors. */
static gguf_file plain(void)
{
    static const float x[] = {1, 2};
    gguf_file f = gguf_new();
    gguf_text(&f, "general.architecture", "llama");
    gguf_u32(&f, "llama.block_count", 1);
    gguf_f32(&f, "llama.rope.freq_base", 1e4f);
    gguf_bool(&f, "tokenizer.ggml.add_bos_token", true);
    gguf_texts(&f, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, 2);
    gguf_tensor(&f, "a.weight", 0, 1, two, x, 8);
    gguf_tensor(&f, "b.weight", 0, 1, two, x, 8);
    return f;
}

static void check_bytes(const gr_bytes *all, gr_status status, const char *why)
{
    NOTE("%s", why);
    gr_gguf *g = gr_gguf_parse("lies.gguf", all->data, all->size);
    if (g)
        FAIL("opened");
    CHECK_ERROR(status, why);
    CHECK(strncmp(gr_error(), "lies.gguf: ", 11) == 0 || strncmp(gr_error(), "key \"", 5) == 0);
}

static void check_refused(gguf_file *f, gr_status status, const char *why)
{
    gr_bytes all = gguf_bytes(f);
    gguf_free(f);
    check_bytes(&all, status, why);
    gr_bytes_free(&all);
}

/* The file with some bytes of its header replaced. */
static void check_header(size_t at, uint64_t x, int bytes, gr_status status, const char *why)
{
    gguf_file f = plain();
    gr_bytes all = gguf_bytes(&f);
    for (int i = 0; i < bytes; i++)
        all.data[at + (size_t)i] = (char)(x >> 8 * i);
    gguf_free(&f);
    check_bytes(&all, status, why);
    gr_bytes_free(&all);
}

TEST(whole_file)
{
    gguf_file f = plain();
    gr_bytes all = gguf_bytes(&f);
    gr_gguf *g = gr_gguf_parse("whole.gguf", all.data, all.size);
    CHECK_MADE(g);
    CHECK_EQ_INT(gr_gguf_count(g), 5);
    CHECK_EQ_INT(gr_gguf_tensors(g), 2);
    int64_t n;
    double x;
    bool yes;
    size_t at = 0;
    gr_gguf_text text;
    CHECK(gr_gguf_int(gr_gguf_find(g, "llama.block_count"), 0, &n) && n == 1);
    CHECK(gr_gguf_real(gr_gguf_find(g, "llama.rope.freq_base"), 0, &x) && x == 1e4);
    CHECK(gr_gguf_bool(gr_gguf_find(g, "tokenizer.ggml.add_bos_token"), 0, &yes) && yes);
    CHECK(!gr_gguf_int(gr_gguf_find(g, "llama.block_count"), 1, &n));
    CHECK(!gr_gguf_find(g, "llama.block"));
    const gr_gguf_key *tokens = gr_gguf_find(g, "tokenizer.ggml.tokens");
    CHECK(gr_gguf_next(tokens, &at, &text) && text.size == 1 && *text.data == 'a');
    CHECK(gr_gguf_next(tokens, &at, &text) && text.size == 1 && *text.data == 'b');
    CHECK(!gr_gguf_next(tokens, &at, &text));
    gr_gguf_close(g);
    gr_bytes_free(&all);
    gguf_free(&f);
}

TEST(cut_anywhere)
{
    gguf_file f = plain();
    gr_bytes all = gguf_bytes(&f);
    for (size_t n = 0; n < all.size; n++) {
        NOTE("%zu bytes", n);
        char *copy = malloc(n + 1); /* of its own size, so that reading behind it shows */
        memcpy(copy, all.data, n);
        CHECK(!gr_gguf_parse("cut.gguf", copy, n));
        CHECK_EQ_INT(gr_error_status(), GR_ERR_FILE);
        free(copy);
    }
    gr_bytes_free(&all);
    gguf_free(&f);
}

TEST(headers)
{
    check_bytes(&(gr_bytes){.data = (char[1]){0}}, GR_ERR_FILE, "but is empty");
    check_header(0, 'g', 1, GR_ERR_FILE, "does not begin with \"GGUF\"");
    check_header(4, 0, 4, GR_ERR_UNSUPPORTED, "version 0 of GGUF is not known");
    check_header(4, 1, 4, GR_ERR_UNSUPPORTED, "version 1 of GGUF");
    check_header(4, 4, 4, GR_ERR_UNSUPPORTED, "version 4 of GGUF is not known");
    check_header(4, 0x03000000, 4, GR_ERR_UNSUPPORTED, "big-endian");
    check_header(8, 1ull << 63, 8, GR_ERR_FILE, "9223372036854775808 tensors");
    check_header(8, 1000, 8, GR_ERR_FILE, "1000 tensors and 5 keys");
    check_header(16, UINT64_MAX, 8, GR_ERR_FILE, "18446744073709551615 keys");
    check_header(16, 1ull << 32, 8, GR_ERR_FILE, "4294967296 keys");
    check_header(24, 0, 8, GR_ERR_FILE, "a key of 0 bytes is empty");
    check_header(24, UINT64_MAX, 8, GR_ERR_FILE, "a key is 18446744073709551615 bytes long");
    check_header(24, 4ull << 30, 8, GR_ERR_FILE, "a key is 4294967296 bytes long");
    check_header(32, 0, 1, GR_ERR_FILE, "is no text");
    check_header(32, 0xff, 1, GR_ERR_FILE, "is no text");
    check_header(32 + 20, 13, 4, GR_ERR_FILE, "is of type 13, and there are types 0 to 12");
    check_header(32 + 20, UINT32_MAX, 4, GR_ERR_FILE, "is of type -1");
    check_header(32 + 24, 1ull << 40, 8, GR_ERR_FILE, "a key's text is 1099511627776 bytes long");
}

TEST(versions_2_and_3_are_the_same)
{
    gguf_file f = plain();
    f.version = 2;
    gr_bytes all = gguf_bytes(&f);
    gr_gguf *g = gr_gguf_parse("old.gguf", all.data, all.size);
    CHECK_MADE(g);
    gr_gguf_close(g);
    gr_bytes_free(&all);
    gguf_free(&f);
}

TEST(keys)
{
    char longest[65537];
    memset(longest, 'k', sizeof longest - 1);
    longest[65536] = '\0';
    gguf_file f = plain();
    gguf_u32(&f, longest, 1);
    check_refused(&f, GR_ERR_FILE, "a key of 65536 bytes is too long");
    f = plain();
    gguf_u32(&f, "llama.block_count", 2);
    check_refused(&f, GR_ERR_FILE, "key \"llama.block_count\" is there twice");
    f = plain();
    gguf_list(&f, "x", GR_GGUF_ARRAY, 1);
    check_refused(&f, GR_ERR_UNSUPPORTED, "an array of arrays");
    f = plain();
    gguf_list(&f, "x", GR_GGUF_F32, 1ull << 61);
    check_refused(&f, GR_ERR_FILE, "key \"x\" has 2305843009213693952 values");
    f = plain();
    gguf_list(&f, "x", GR_GGUF_TEXT, 1000);
    check_refused(&f, GR_ERR_FILE, "key \"x\" has 1000 values");
    f = plain();
    gguf_list(&f, "x", GR_GGUF_TEXT, 3); /* what follows are no texts */
    check_refused(&f, GR_ERR_FILE, "key \"x\": ");
    f = plain();
    gguf_key(&f, "x", GR_GGUF_BOOL);
    gguf_put(&f.keys, 2, 1);
    check_refused(&f, GR_ERR_FILE, "key \"x\" is a bool of 2");
}

TEST(alignments)
{
    static const uint32_t wrong[] = {0, 3, 1u << 31};
    for (size_t i = 0; i < 3; i++) {
        gguf_file f = plain();
        gguf_u32(&f, "general.alignment", wrong[i]);
        check_refused(&f, GR_ERR_FILE, "\"general.alignment\" must be a power of 2");
    }
    gguf_file f = plain();
    gguf_text(&f, "general.alignment", "32");
    check_refused(&f, GR_ERR_FILE, "\"general.alignment\" must be a power of 2");
    f = plain();
    gguf_u32(&f, "general.alignment", 64); /* and tensors are where 32 has them */
    check_refused(&f, GR_ERR_FILE, "tensor \"b.weight\" starts at data offset 32, but overlaps the one before");
    f = gguf_new(); /* as 8 has them */
    f.alignment = 8;
    gguf_u32(&f, "general.alignment", 8);
    gguf_tensor(&f, "a", 0, 1, two, (float[]){1, 2}, 8);
    gguf_tensor(&f, "b", 0, 1, two, (float[]){3, 4}, 8);
    gr_bytes all = gguf_bytes(&f);
    gr_gguf *g = gr_gguf_parse("eight.gguf", all.data, all.size);
    CHECK_MADE(g);
    float x;
    memcpy(&x, gr_gguf_tensor(g, 1)->data, 4);
    CHECK(x == 3);
    gr_gguf_close(g);
    gr_bytes_free(&all);
    gguf_free(&f);
}

/* One more tensor in the list. */
static void check_tensor(const char *name, uint32_t type, int ndim, const int64_t *dims, uint64_t offset,
                         gr_status status, const char *why)
{
    gguf_file f = plain();
    gguf_info(&f, name, type, ndim, dims, offset);
    check_refused(&f, status, why);
}

TEST(tensors)
{
    char name[66];
    memset(name, 'n', 65);
    name[65] = '\0';
    check_tensor("", 0, 1, two, 64, GR_ERR_FILE, "a tensor's name of 0 bytes is empty");
    check_tensor(name, 0, 1, two, 64, GR_ERR_FILE, "a tensor's name of 65 bytes is too long");
    check_tensor("a.weight", 0, 1, two, 64, GR_ERR_FILE, "tensor \"a.weight\" is there twice");
    check_tensor("c", 0, 5, (int64_t[]){1, 1, 1, 1, 1}, 64, GR_ERR_FILE, "has 5 dims");
    check_tensor("c", 0, -1, NULL, 64, GR_ERR_FILE, "has 4294967295 dims");
    check_tensor("c", 0, 1, (int64_t[]){-2}, 64, GR_ERR_FILE, "has a dim of -2");
    check_tensor("c", 0, 1, (int64_t[]){INT64_MAX}, 64, GR_ERR_FILE, "the product of the dims overflows");
    check_tensor("c", 0, 3, (int64_t[]){1 << 30, 1 << 30, 1 << 30}, 64, GR_ERR_FILE,
                 "the product of the dims overflows");
    check_tensor("c", 0, 3, (int64_t[]){INT64_MAX, 0, INT64_MAX}, 64, GR_ERR_FILE, "the product of the dims overflows");
    check_tensor("c", 42, 1, two, 64, GR_ERR_FILE, "is of type 42, which there is not");
    check_tensor("c", UINT32_MAX, 1, two, 64, GR_ERR_FILE, "is of type -1, which there is not");
    check_tensor("c", 4, 1, two, 64, GR_ERR_UNSUPPORTED, "is of Q4_2, which is no longer a type of files");
    check_tensor("c", 31, 1, two, 64, GR_ERR_UNSUPPORTED, "is of Q4_0_4_4, which is no longer a type");
    check_tensor("c", 2, 1, two, 64, GR_ERR_FILE, "has rows of 2 values, no multiple of 32");
    check_tensor("c", 0, 1, two, 40, GR_ERR_FILE, "starts at data offset 40, but overlaps the one before");
    check_tensor("c", 0, 1, two, 96, GR_ERR_FILE, "starts at data offset 96, but its place is 64");
    check_tensor("c", 0, 1, two, UINT64_MAX, GR_ERR_FILE, "starts at data offset 18446744073709551615");
    check_tensor("c", 0, 1, two, 64, GR_ERR_FILE, "of 8 bytes ends behind the file");
    check_tensor("c", 0, 1, (int64_t[]){1ll << 60}, 64, GR_ERR_FILE, "ends behind the file");
}

/* ---- parts of one model ------------------------------------------------------------------------------------- */

static const char *write_part(const char *name, int number, int count, int tensors, const char *tensor)
{
    gguf_file f = gguf_new();
    gguf_u32(&f, "split.no", (uint32_t)number);
    gguf_u32(&f, "split.count", (uint32_t)count);
    gguf_u32(&f, "split.tensors.count", (uint32_t)tensors);
    gguf_tensor(&f, tensor, 0, 1, two, (float[]){1, 2}, 8);
    const char *path = gguf_write(&f, name);
    gguf_free(&f);
    return path;
}

static void check_parts(const char *path, const char *why)
{
    NOTE("%s", why);
    gr_weights *w = gr_weights_open(path);
    if (w)
        FAIL("opened");
    CHECK_ERROR(GR_ERR_FILE, why);
}

TEST(splits)
{
    const char *first = write_part("m-00001-of-00002.gguf", 0, 2, 2, "a");
    check_parts(first, "m-00002-of-00002.gguf: No such file");
    const char *second = write_part("m-00002-of-00002.gguf", 1, 2, 2, "b");
    for (int i = 0; i < 2; i++) {
        gr_weights *w = gr_weights_open(i ? second : first);
        CHECK_MADE(w);
        CHECK_EQ_INT(gr_weights_count(w), 2);
        CHECK_EQ_INT(gr_weights_files(w), 2);
        gr_weights_close(w);
    }
    write_part("m-00002-of-00002.gguf", 0, 2, 2, "b");
    check_parts(first, "by its name part 2 of 2, by its keys part 1 of 2");
    write_part("m-00002-of-00002.gguf", 1, 3, 2, "b");
    check_parts(first, "by its keys part 2 of 3");
    write_part("m-00002-of-00002.gguf", 1, 2, 2, "a");
    check_parts(first, "tensor \"a\" is in two of its parts");
    write_part("m-00001-of-00002.gguf", 0, 2, 7, "a");
    write_part("m-00002-of-00002.gguf", 1, 2, 7, "b");
    check_parts(first, "its parts have 2 tensors, and its keys say 7");
    check_parts(write_part("alone.gguf", 1, 2, 2, "b"), "by its name part 1 of 1, by its keys part 2 of 2");
}

/* ---- models ------------------------------------------------------------------------------------------------- */

static const char *const usual_tokens[] = {"<unk>", "<s>", "</s>", "a", "b", "\xE2\x96\x81", "ab", "<0x0A>"};
static const int32_t usual_types[] = {2, 3, 3, 1, 1, 1, 1, 6};
enum { TOKENS = sizeof usual_tokens / sizeof *usual_tokens };

/* Keys of a LLaMA of one layer; a case replaces one. What is NULL is left out. */
typedef struct lies {
    const char *arch, *model, *pre;
    const char *const *tokens;
    size_t n_tokens, n_types;
    uint32_t layers, heads, kv_heads, rope, embed, experts;
} lies;

static lies none(void)
{
    return (lies){"llama", "llama", NULL, usual_tokens, TOKENS, TOKENS, 1, 2, 2, 4, 8, 0};
}

static gguf_file model_of(const lies *l)
{
    static const float zeros[TOKENS * 8];
    gguf_file f = gguf_new();
    if (l->arch)
        gguf_text(&f, "general.architecture", l->arch);
    gguf_u32(&f, "llama.context_length", 16);
    gguf_u32(&f, "llama.embedding_length", l->embed);
    gguf_u32(&f, "llama.block_count", l->layers);
    gguf_u32(&f, "llama.feed_forward_length", 16);
    gguf_u32(&f, "llama.attention.head_count", l->heads);
    gguf_u32(&f, "llama.attention.head_count_kv", l->kv_heads);
    gguf_u32(&f, "llama.rope.dimension_count", l->rope);
    gguf_f32(&f, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    if (l->experts)
        gguf_u32(&f, "llama.expert_count", l->experts);
    if (l->model)
        gguf_text(&f, "tokenizer.ggml.model", l->model);
    if (l->pre)
        gguf_text(&f, "tokenizer.ggml.pre", l->pre);
    if (l->tokens)
        gguf_texts(&f, "tokenizer.ggml.tokens", l->tokens, l->n_tokens);
    gguf_i32s(&f, "tokenizer.ggml.token_type", usual_types, l->n_types);
    gguf_tensor(&f, "token_embd.weight", 0, 2, (int64_t[]){TOKENS, 8}, zeros, sizeof zeros);
    return f;
}

static void check_model(const lies *l, gr_status status, const char *why)
{
    gguf_file f = model_of(l);
    const char *path = gguf_write(&f, "model.gguf");
    gguf_free(&f);
    gr_device *d = gr_device_open("ref", 1);
    NOTE("%s", why);
    gr_model *m = gr_model_load(path, NULL, d);
    if (m)
        FAIL("loaded");
    CHECK_ERROR(status, why);
    gr_device_close(d);
}

TEST(models)
{
    lies l = none();
    check_model(&l, GR_ERR_FILE, "are missing"); /* nothing else is wrong */
    l.layers = 1u << 31;
    check_model(&l, GR_ERR_FILE, "\"num_hidden_layers\"");
    l = none();
    l.heads = 0;
    check_model(&l, GR_ERR_FILE, "0 heads of 0 values");
    l.heads = 2;
    l.kv_heads = 0;
    check_model(&l, GR_ERR_FILE, "\"num_key_value_heads\"");
    l.kv_heads = 3;
    check_model(&l, GR_ERR_FILE, "2 heads cannot share 3 key/value heads");
    l = none();
    l.rope = 6;
    check_model(&l, GR_ERR_FILE, "6 of the 4 values of a head turn");
    l.rope = 3;
    check_model(&l, GR_ERR_FILE, "3 of the 4 values of a head turn");
    l.rope = 2;
    check_model(&l, GR_ERR_FILE, "that is not supported");
    l = none();
    l.embed = 0;
    check_model(&l, GR_ERR_FILE, "2 heads of 0 values");
    l.embed = UINT32_MAX;
    check_model(&l, GR_ERR_FILE, "2 heads of 2147483647 values");
    l = none();
    l.experts = 8;
    check_model(&l, GR_ERR_UNSUPPORTED, "models with experts are not supported");
    l = none();
    l.arch = NULL;
    check_model(&l, GR_ERR_FILE, "no key \"general.architecture\"");
    l.arch = "mamba";
    check_model(&l, GR_ERR_UNSUPPORTED, "architecture \"mamba\" is not supported\nsupported are gpt2, llama, qwen2");
    l = none();
    l.tokens = (const char *const[]){"a", "b", "c", "d", "e", "f", "g", "h", "i"};
    l.n_tokens = 9;
    check_model(&l, GR_ERR_FILE, "9 tokens, and an embedding of 8 rows");
}

/* ---- tokenizers --------------------------------------------------------------------------------------------- */

static void check_tokenizer(const lies *l, gr_status status, const char *why)
{
    gguf_file f = model_of(l);
    const char *path = gguf_write(&f, "model.gguf");
    gguf_free(&f);
    NOTE("%s", why);
    gr_tokenizer *t = gr_tokenizer_load(path);
    if (t)
        FAIL("loaded");
    CHECK_ERROR(status, why);
}

TEST(tokenizers)
{
    lies l = none();
    l.n_types = 3;
    check_tokenizer(&l, GR_ERR_FILE, "\"tokenizer.ggml.token_type\" has another length");
    l = none();
    l.tokens = NULL;
    check_tokenizer(&l, GR_ERR_FILE, "\"tokenizer.ggml.tokens\" must be a list of texts");
    l = none();
    l.model = "bert";
    check_tokenizer(&l, GR_ERR_UNSUPPORTED, "of the kind \"bert\" is not supported");
    l.model = "gpt2";
    check_tokenizer(&l, GR_ERR_UNSUPPORTED, "no key \"tokenizer.ggml.pre\"");
    l.pre = "llama-9";
    check_tokenizer(&l, GR_ERR_UNSUPPORTED, "says \"llama-9\"");
    CHECK(strstr(gr_error(), "--tokenizer") && strstr(gr_error(), "qwen2"));
    l.pre = "gpt-2"; /* and no merges */
    check_tokenizer(&l, GR_ERR_FILE, "\"tokenizer.ggml.merges\" must be a list of texts");
    l = none();
    l.tokens = (const char *const[]){"<unk>", "<s>", "</s>", "a", "a", "b", "c", "d"};
    check_tokenizer(&l, GR_ERR_FILE, "a"); /* twice */
    l.tokens = (const char *const[]){"<unk>", "<s>", "</s>", "a\xff", "e", "b", "c", "d"};
    check_tokenizer(&l, GR_ERR_FILE, "token 3 is no UTF-8");
}

/* Merges of tokens that are not there; bytes that are none: in a file whose kind of tokenizer has merges. */
static gr_tokenizer *bpe_of(const char *const *merges, size_t n)
{
    gguf_file f = gguf_new();
    gguf_text(&f, "tokenizer.ggml.model", "gpt2");
    gguf_text(&f, "tokenizer.ggml.pre", "gpt-2");
    gguf_texts(&f, "tokenizer.ggml.tokens", usual_tokens, TOKENS);
    gguf_i32s(&f, "tokenizer.ggml.token_type", usual_types, TOKENS);
    gguf_texts(&f, "tokenizer.ggml.merges", merges, n);
    const char *path = gguf_write(&f, "bpe.gguf");
    gguf_free(&f);
    return gr_tokenizer_load(path);
}

TEST(merges)
{
    gr_tokenizer *t = bpe_of((const char *const[]){"a b"}, 1);
    CHECK_MADE(t);
    const int32_t *ids;
    size_t n;
    CHECK_OK(gr_tokenizer_encode(t, "ab", 2, 0, &ids, &n));
    CHECK_EQ_INT(n, 1);
    CHECK_EQ_INT(ids[0], 6);
    gr_tokenizer_free(t);
    CHECK(!bpe_of((const char *const[]){"a c"}, 1)); /* absent */
    CHECK_EQ_INT(gr_error_status(), GR_ERR_FILE);
    CHECK(!bpe_of((const char *const[]){"a b", "ab"}, 2));
    CHECK_ERROR(GR_ERR_FILE, "merge 1 is not two tokens with a space between them");
}

TEST(bytes_that_are_none)
{
    lies l = none();
    l.tokens = (const char *const[]){"<unk>", "<s>", "</s>", "a", "<0x-1>", "<0xZZ>", "\xE2\x96\x81", "<0x0A>"};
    gguf_file f = model_of(&l);
    const char *path = gguf_write(&f, "model.gguf");
    gguf_free(&f);
    gr_tokenizer *t = gr_tokenizer_load(path);
    CHECK_MADE(t);
    const int32_t *ids;
    size_t n;
    CHECK_OK(gr_tokenizer_encode(t, "\n", 1, 0, &ids, &n)); /* the byte that is one */
    CHECK(n == 2 && ids[0] == 6 && ids[1] == 7);
    CHECK_OK(gr_tokenizer_encode(t, "\xff\t", 2, 0, &ids, &n)); /* those that are none */
    CHECK(n == 2 && ids[0] == 6 && ids[1] == 0);
    gr_tokenizer_free(t);
}

TEST(other_tokenizers_text_goes_first)
{
    gguf_file f = gguf_new();
    gguf_text(&f, "tokenizer.ggml.model", "gpt2"); /* which lacks all else */
    gguf_text(&f, "tokenizer.huggingface.json",
              "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, \"pre_tokenizer\": null, "
              "\"post_processor\": null, \"decoder\": null, \"model\": {\"type\": \"WordLevel\", \"vocab\": {\"x\": 0, "
              "\"[UNK]\": 1}, \"unk_token\": \"[UNK]\"}}");
    gr_tokenizer *t = gr_tokenizer_load(gguf_write(&f, "own.gguf"));
    gguf_free(&f);
    CHECK_MADE(t);
    CHECK_EQ_INT(gr_tokenizer_id(t, "x"), 0);
    gr_tokenizer_free(t);
}

/* ---- adapters ----------------------------------------------------------------------------------------------- */

/* A file for the llama of tests/data with one thing wrong in it, or none. */
typedef struct adapter_lie {
    const char *type, *kind, *arch, *alpha, *a, *b; /* b NULL: no such tensor */
    int64_t rank_of_b, in;
    gr_status status;
    const char *says;
} adapter_lie;

static const char *write_adapter(const adapter_lie *l, int64_t width)
{
    static const float zeros[64 * 64];
    gguf_file f = gguf_new();
    gguf_text(&f, "general.architecture", l->arch);
    if (*l->type)
        gguf_text(&f, "general.type", l->type);
    gguf_text(&f, "adapter.type", l->kind);
    if (l->alpha)
        gguf_text(&f, "adapter.lora.alpha", l->alpha);
    int64_t a[] = {2, l->in ? l->in : width}, b[] = {width, l->rank_of_b};
    CHECK(width <= 64 && a[1] <= 64);
    gguf_tensor(&f, l->a, 0, 2, a, zeros, (size_t)(a[0] * a[1]) * sizeof *zeros);
    if (l->b)
        gguf_tensor(&f, l->b, 0, 2, b, zeros, (size_t)(b[0] * b[1]) * sizeof *zeros);
    const char *path = gguf_write(&f, "adapter.gguf");
    gguf_free(&f);
    return path;
}

#define Q "blk.0.attn_q.weight.lora_"
TEST(adapters)
{
    static const adapter_lie wrong[] = {
        {"adapter", "lora", "llama", NULL, Q "a", Q "b", 2, 0, GR_OK, NULL},
        {"model", "lora", "llama", NULL, Q "a", Q "b", 2, 0, GR_ERR_FILE, "\"general.type\" is \"model\""},
        {"", "lora", "llama", NULL, Q "a", Q "b", 2, 0, GR_ERR_FILE, "\"general.type\" is not there"},
        {"adapter", "ia3", "llama", NULL, Q "a", Q "b", 2, 0, GR_ERR_UNSUPPORTED, "\"adapter.type\" is \"ia3\""},
        {"adapter", "lora", "qwen2", NULL, Q "a", Q "b", 2, 0, GR_ERR_FILE, "architecture \"qwen2\""},
        {"adapter", "lora", "llama", "x", Q "a", Q "b", 2, 0, GR_ERR_FILE, "must be a number"},
        {"adapter", "lora", "llama", NULL, Q "a", NULL, 2, 0, GR_ERR_FILE, "has no partner"},
        {"adapter", "lora", "llama", NULL, Q "a", Q "b", 3, 0, GR_ERR_FILE, "another shape"},
        {"adapter", "lora", "llama", NULL, Q "a", Q "b", 2, 5, GR_ERR_FILE, "another shape"},
        {"adapter", "lora", "llama", NULL, "blk.99.attn_q.weight.lora_a", Q "b", 2, 0, GR_ERR_FILE, "is of no layer"},
        {"adapter", "lora", "llama", NULL, "blk.0.attn_norm.weight.lora_a", Q "b", 2, 0, GR_ERR_FILE, "is of no layer"},
        {"adapter", "lora", "llama", NULL, "blk.0.attn_q.weight", Q "b", 2, 0, GR_ERR_UNSUPPORTED, "end in .lora_a"},
    };
    gr_device *device = gr_device_open("cpu", 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        NOTE("lie %d", (int)i);
        gr_model *m = gr_model_load(test_source("tests/data/models/llama"), NULL, device);
        CHECK_MADE(m);
        const char *path = write_adapter(&wrong[i], gr_model_describe(m)->embed);
        CHECK_STATUS(gr_model_load_adapter(m, path), wrong[i].status);
        if (wrong[i].says)
            CHECK_ERROR(wrong[i].status, wrong[i].says);
        CHECK(!gr_model_describe(m)->adapter_config == (wrong[i].status != GR_OK));
        gr_model_free(m);
    }
    gr_device_close(device);
}
