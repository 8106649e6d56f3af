/* Reading tokenizer.json. What cannot be run is refused by name. */
#include "text/tokenizer.h"
#include "text/files/large_parts.h"
#include "text/stages/unigram.h"
#include "text/stages/word_piece.h"
#include "base/error.h"
#include "base/log.h"

/* ---- model -------------------------------------------------------------------------------------------------- */

static gr_status read_vocab(gr_json object, gr_vocab *vocab)
{
    gr_json_as_object(object);
    gr_status s = gr_json_check(object.doc);
    for (gr_json_iter it = gr_json_first(object); it.key && s == GR_OK; gr_json_next(&it)) {
        int64_t id = gr_json_as_int(it.value, 0, INT32_MAX - 1);
        s = gr_json_check(object.doc);
        if (s == GR_OK && gr_vocab_add(vocab, it.key, it.key_size, (uint32_t)id) != GR_OK)
            s = gr_fail_in("model.vocab");
    }
    return s;
}

/* One merge: ["a", "b"], or the older "a b". */
static gr_status read_merge(gr_json value, gr_token_model *model)
{
    size_t left_size, right_size;
    if (gr_json_type_of(value) == GR_JSON_ARRAY && gr_json_size(value) == 2) {
        const char *left = gr_json_as_text(gr_json_item(value, 0), &left_size);
        const char *right = gr_json_as_text(gr_json_item(value, 1), &right_size);
        gr_status s = gr_json_check(value.doc);
        return s == GR_OK ? gr_bpe_add_merge(model, left, left_size, right, right_size) : s;
    }
    const char *text = gr_json_as_text(value, &left_size);
    gr_status s = gr_json_check(value.doc);
    const char *space = s != GR_OK ? NULL : memchr(text, ' ', left_size), *end = text + left_size;
    if (s == GR_OK && (!space || memchr(space + 1, ' ', (size_t)(end - space - 1))))
        return gr_json_fail(value, "expected two tokens with a space between");
    if (s != GR_OK)
        return s;
    return gr_bpe_add_merge(model, text, (size_t)(space - text), space + 1, (size_t)(end - space - 1));
}

/* The vocabulary and the merges, from the document or straight from the text. */
static gr_status take_vocab(gr_json value, const gr_large_parts *large, gr_vocab *vocab)
{
    return large ? gr_large_vocab(large->vocab, vocab) : read_vocab(gr_json_get(value, "vocab"), vocab);
}

static gr_status take_merges(gr_json value, const gr_large_parts *large, gr_token_model *model)
{
    gr_json merges = gr_json_get(value, "merges");
    gr_json_as_array(merges);
    gr_status s = gr_json_check(value.doc);
    if (s == GR_OK && large && large->merges.start)
        return gr_large_merges(large->merges, model);
    for (size_t i = 0; i < gr_json_size(merges) && s == GR_OK; i++)
        s = read_merge(gr_json_item(merges, i), model);
    return s;
}

static gr_token_model *read_bpe(gr_json value, const gr_large_parts *large, bool *byte_level)
{
    gr_vocab vocab = {0};
    gr_bpe_options o = {
        .unk = gr_json_text(value, "unk_token", NULL),
        .prefix = gr_json_text(value, "continuing_subword_prefix", NULL),
        .suffix = gr_json_text(value, "end_of_word_suffix", NULL),
        .fuse_unk = gr_json_bool(value, "fuse_unk", false),
        .byte_fallback = gr_json_bool(value, "byte_fallback", false),
        .ignore_merges = gr_json_bool(value, "ignore_merges", false),
    };
    /* The short cut around the byte alphabet is for models that need nothing else of it. */
    *byte_level = *byte_level && !o.byte_fallback && !(o.prefix && *o.prefix) && !(o.suffix && *o.suffix);
    o.byte_level = *byte_level;
    if (gr_json_real(value, "dropout", 0, 0, 1) != 0)
        gr_json_fail(gr_json_get(value, "dropout"),
                     "random merges are for training, and not supported\nset it to 0 or null");
    gr_token_model *model = NULL;
    gr_status s = gr_json_check(value.doc);
    if (s == GR_OK)
        s = take_vocab(value, large, &vocab);
    if (s == GR_OK)
        model = gr_bpe_new(&vocab, &o);
    else
        gr_vocab_free(&vocab);
    s = model ? take_merges(value, large, model) : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_bpe_finish(model);
    if (s != GR_OK && model)
        model->free(model);
    return s != GR_OK ? NULL : model;
}

/* "vocab": [["token", score], …]; ids count from 0. */
static gr_status read_scores(gr_json list, gr_vocab *vocab, double **score)
{
    size_t cap = 0, n = gr_json_size(list);
    gr_json_as_array(list);
    gr_status s = gr_json_check(list.doc);
    if (s == GR_OK)
        s = gr_grow(score, &cap, n, sizeof **score);
    for (size_t i = 0; i < n && s == GR_OK; i++) {
        size_t size;
        gr_json row = gr_json_item(list, i);
        const char *text = gr_json_as_text(gr_json_item(row, 0), &size);
        (*score)[i] = gr_json_as_real(gr_json_item(row, 1), -1e30, 1e30);
        s = gr_json_check(list.doc);
        if (s == GR_OK && gr_vocab_add_again(vocab, text, size, (uint32_t)i) != GR_OK)
            s = gr_fail_in("model.vocab[%zu]", i);
    }
    return s;
}

static gr_token_model *read_unigram(gr_json value, const gr_large_parts *large)
{
    gr_vocab vocab = {0};
    double *score = NULL;
    gr_json list = gr_json_get(value, "vocab");
    int64_t unk = gr_json_int(value, "unk_id", -1, 0, INT32_MAX - 1);
    bool byte_fallback = gr_json_bool(value, "byte_fallback", false);
    gr_status s = large ? gr_large_scores(large->vocab, &vocab, &score) : read_scores(list, &vocab, &score);
    if (s == GR_OK)
        s = gr_json_check(value.doc);
    if (s == GR_OK && (vocab.rows == 0 || unk >= (int64_t)vocab.rows))
        s = gr_json_fail(gr_json_get(value, "unk_id"), "not an id of the vocabulary");
    if (s == GR_OK)
        return gr_unigram_new(&vocab, score, (int32_t)unk, byte_fallback);
    gr_vocab_free(&vocab);
    gr_free(score);
    return NULL;
}

/* The id of the unknown token, or -1. */
static int32_t find_unk(gr_json value, const char *usual, const gr_vocab *vocab)
{
    gr_json unk = gr_json_get(value, "unk_token");
    size_t size = strlen(usual);
    const char *text = gr_json_is(unk) ? gr_json_as_text(unk, &size) : usual;
    return gr_vocab_find(vocab, text, size);
}

static gr_token_model *read_word_level(gr_json value, const gr_large_parts *large)
{
    gr_vocab vocab = {0};
    gr_status s = take_vocab(value, large, &vocab);
    if (s == GR_OK)
        return gr_word_level_new(&vocab, find_unk(value, "<unk>", &vocab));
    gr_vocab_free(&vocab);
    return NULL;
}

static gr_token_model *read_word_piece(gr_json value, const gr_large_parts *large)
{
    gr_vocab vocab = {0};
    const char *prefix = gr_json_text(value, "continuing_subword_prefix", "##");
    int64_t longest = gr_json_int(value, "max_input_chars_per_word", 100, 0, INT64_MAX);
    gr_status s = gr_json_check(value.doc);
    if (s == GR_OK)
        s = take_vocab(value, large, &vocab);
    if (s == GR_OK)
        return gr_word_piece_new(&vocab, find_unk(value, "[UNK]", &vocab), prefix, (size_t)longest);
    gr_vocab_free(&vocab);
    return NULL;
}

/* Older files do not say what they are: then it shows in what they have. */
static const char *type_of_model(gr_json value)
{
    const char *type = gr_json_text(value, "type", NULL);
    if (type)
        return type;
    if (gr_json_is(gr_json_get(value, "merges")))
        return "BPE";
    if (gr_json_is(gr_json_get(value, "max_input_chars_per_word")))
        return "WordPiece";
    return gr_json_type_of(gr_json_get(value, "vocab")) == GR_JSON_ARRAY ? "Unigram" : "";
}

static gr_token_model *read_model(gr_json value, const gr_large_parts *large, bool *byte_level)
{
    const char *type = type_of_model(value);
    if (gr_json_check(value.doc) != GR_OK)
        return NULL;
    if (strcmp(type, "BPE") == 0)
        return read_bpe(value, large, byte_level);
    *byte_level = false;
    if (strcmp(type, "Unigram") == 0)
        return read_unigram(value, large);
    if (strcmp(type, "WordLevel") == 0)
        return read_word_level(value, large);
    if (strcmp(type, "WordPiece") == 0)
        return read_word_piece(value, large);
    static const char kinds[] = "BPE, Unigram, WordPiece and WordLevel";
    if (*type)
        gr_json_fail(value, "model \"%s\" is not supported\nsupported are %s", type, kinds);
    else
        gr_json_fail(value, "expected a tokenizer's model\nsupported are %s", kinds);
    return NULL;
}

/* ---- added tokens ------------------------------------------------------------------------------------------- */

static gr_status read_added_token(gr_tokenizer *t, gr_json value)
{
    size_t size;
    const char *content = gr_json_as_text(gr_json_get(value, "content"), &size);
    int64_t declared = gr_json_int(value, "id", -1, 0, INT32_MAX - 1);
    gr_added_token flags = {
        .special = gr_json_bool(value, "special", false),
        .normalized = gr_json_bool(value, "normalized", true),
        .lstrip = gr_json_bool(value, "lstrip", false),
        .rstrip = gr_json_bool(value, "rstrip", false),
        .single_word = gr_json_bool(value, "single_word", false),
    };
    gr_status s = gr_json_check(value.doc);
    if (s != GR_OK || !size)
        return s;
    int32_t id;
    s = gr_added_put(&t->added, &t->model->vocab, content, size, flags, &id);
    if (s == GR_OK && declared >= 0 && declared != id)
        gr_remark(GR_LOG_WARN, "tokenizer.json: added token %.*s has id %d, not %lld as it says", (int)size, content,
                  id, (long long)declared);
    return s;
}

/* Hugging Face's search then finds it between all characters, or panics. */
static gr_status fail_empty(const char *text, size_t size, gr_bytes *normal, gr_bytes *spare)
{
    char shown[80];
    gr_bytes_free(normal);
    gr_bytes_free(spare);
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "tokenizer.json: added token '%s' is nothing once it is normalized, so it would be found "
                   "everywhere\nset its \"normalized\" to false, or leave it out",
                   gr_printable(text, size, shown, sizeof shown));
}

/* Of tokens that are equal behind the normalizer a special one counts, then the one of the lowest id. In Hugging Face's
 * code it is by chance, another one from run to run. */
static gr_status make_searches(gr_tokenizer *t)
{
    gr_bytes normal = {0}, spare = {0};
    gr_status s = GR_OK;
    for (int special = 1; special >= 0; special--) {
        for (size_t id = 0; id < t->added.rows && s == GR_OK; id++) {
            gr_added_token *a = &t->added.token[id];
            size_t size;
            const char *text = gr_vocab_text(&t->added.vocab, (int64_t)id, &size);
            if (!a->present || a->special != (special == 1))
                continue;
            if (!a->normalized) {
                s = gr_trie_add(&t->added.raw, text, size, (int32_t)id);
                continue;
            }
            s = gr_normalizer_run(t->normalizer, text, size, &normal, &spare);
            if (s == GR_OK && size && !normal.size)
                return fail_empty(text, size, &normal, &spare);
            if (s == GR_OK)
                s = gr_trie_add(&t->added.normalized, normal.data, normal.size, (int32_t)id);
            if (s != GR_OK)
                continue;
            gr_free(a->shown);
            a->shown = gr_alloc(normal.size + 1);
            a->shown_size = a->shown ? normal.size : 0;
            s = a->shown ? GR_OK : GR_ERR_MEMORY;
            if (s == GR_OK && normal.size)
                memcpy(a->shown, normal.data, normal.size);
        }
    }
    gr_bytes_free(&normal);
    gr_bytes_free(&spare);
    return s;
}

/* Hugging Face looks what a token decodes to up among the contents of special tokens. */
static void find_hidden(gr_added *a)
{
    for (size_t id = 0; id < a->rows; id++) {
        size_t size = a->token[id].shown_size;
        const char *text = a->token[id].shown;
        if (!text)
            text = gr_vocab_text(&a->vocab, (int64_t)id, &size);
        int32_t other = text ? gr_vocab_find(&a->vocab, text, size) : -1;
        a->token[id].hidden = other >= 0 && a->token[other].special;
    }
}

gr_status gr_tokenizer_prepare_added(gr_tokenizer *t)
{
    gr_trie_free(&t->added.raw);
    gr_trie_free(&t->added.normalized);
    gr_status s = make_searches(t);
    if (s == GR_OK)
        s = gr_trie_ready(&t->added.raw);
    if (s == GR_OK)
        s = gr_trie_ready(&t->added.normalized);
    find_hidden(&t->added);
    return s;
}

static gr_status read_added(gr_tokenizer *t, gr_json list)
{
    gr_status s = GR_OK;
    gr_added_begin(&t->added, &t->model->vocab);
    for (size_t i = 0; i < gr_json_size(list) && s == GR_OK; i++)
        s = read_added_token(t, gr_json_item(list, i));
    return s == GR_OK ? gr_tokenizer_prepare_added(t) : s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* Truncation and padding shape batches; they are kept for others, but never applied: nothing is cut off unasked. */
static gr_status read_parts(gr_tokenizer *t, gr_json root, const gr_large_parts *large)
{
    gr_json post = gr_json_get(root, "post_processor");
    t->byte_level = true;
    gr_json_as_object(root);
    if (gr_json_check(root.doc) != GR_OK)
        return gr_error_status();
    if (!(t->normalizer = gr_normalizer_read(gr_json_get(root, "normalizer"))) ||
        !(t->pretokenizer = gr_pretokenizer_read(gr_json_get(root, "pre_tokenizer"), &t->byte_level)) ||
        !(t->decoder = gr_decoder_read(gr_json_get(root, "decoder"))) ||
        !(t->model = read_model(gr_json_get(root, "model"), large, &t->byte_level)))
        return gr_error_status();
    gr_status s = read_added(t, gr_json_get(root, "added_tokens"));
    if (s == GR_OK)
        s = gr_post_read(post, true, &t->post);
    if (s == GR_OK)
        s = gr_post_read(post, false, &t->bare);
    return s == GR_OK ? gr_json_check(root.doc) : s;
}

static gr_status read_text(gr_tokenizer *t, const char *json, size_t size, const gr_large_parts *large)
{
    gr_json_doc *doc = gr_json_parse("tokenizer.json", json, size);
    gr_status s = doc ? read_parts(t, gr_json_root(doc), large) : gr_error_status();
    gr_json_free(doc);
    return s;
}

/* Without the large parts the document is small. */
static gr_status read_large(gr_tokenizer *t, const gr_large_parts *large)
{
    size_t size;
    char *rest = gr_large_parts_cut(t->json, t->json_size, large, &size);
    gr_status s = rest ? read_text(t, rest, size, large) : GR_ERR_MEMORY;
    gr_free(rest);
    return s;
}

/* Whatever is unusual or wrong about the large parts, the whole document takes it, or says what and where. */
gr_status gr_tokenizer_read(gr_tokenizer *t)
{
    gr_large_parts large;
    if (t->json_size <= GR_JSON_LIMIT && gr_large_parts_find(t->json, t->json_size, &large)) {
        gr_status s = read_large(t, &large);
        if (s == GR_OK || s == GR_ERR_MEMORY)
            return s;
        gr_tokenizer_clear(t);
    }
    return read_text(t, t->json, t->json_size, NULL);
}
