/* Mistral's tekken.json: byte strings by rank in base64, special tokens before them, and the pattern. */
#include <stdio.h>
#include "base/base64.h"
#include "base/error.h"
#include "base/json.h"
#include "text/files/convert.h"
#include "text/files/json_text.h"
#include "text/files/ranks.h"

/* Those of files that name none. */
static const char *const usual[] = {"<unk>",
                                    "<s>",
                                    "</s>",
                                    "[INST]",
                                    "[/INST]",
                                    "[AVAILABLE_TOOLS]",
                                    "[/AVAILABLE_TOOLS]",
                                    "[TOOL_RESULTS]",
                                    "[/TOOL_RESULTS]",
                                    "[TOOL_CALLS]",
                                    "[IMG]",
                                    "<pad>",
                                    "[IMG_BREAK]",
                                    "[IMG_END]",
                                    "[PREFIX]",
                                    "[MIDDLE]",
                                    "[SUFFIX]",
                                    "[SYSTEM_PROMPT]",
                                    "[/SYSTEM_PROMPT]",
                                    "[TOOL_CONTENT]"};

enum { usual_count = sizeof usual / sizeof *usual, most_special = 1 << 20 };

typedef struct tekken {
    const char *pattern;
    gr_vocab tokens, special;
    gr_bytes added;
    int64_t special_count;
} tekken;

/* Names by rank; what no one names is kept for later. */
static gr_status read_special(tekken *t, gr_json root, gr_json config)
{
    gr_json list = gr_json_get(root, "special_tokens");
    size_t told = gr_json_is(list) ? gr_json_size(list) : usual_count;
    t->special_count = gr_json_int(config, "default_num_special_tokens", (int64_t)told, 0, most_special);
    if (gr_json_is(list))
        gr_json_as_array(list);
    gr_status s = gr_json_check(root.doc);
    if (s == GR_OK && (int64_t)told > t->special_count)
        s = gr_json_fail(list, "%zu special tokens, but default_num_special_tokens is %lld", told,
                         (long long)t->special_count);
    for (size_t i = 0; i < told && s == GR_OK; i++) {
        gr_json item = gr_json_item(list, i);
        size_t size = gr_json_is(list) ? 0 : strlen(usual[i]);
        const char *name = gr_json_is(list) ? gr_json_as_text(gr_json_get(item, "token_str"), &size) : usual[i];
        int64_t rank = gr_json_is(list) ? gr_json_as_int(gr_json_get(item, "rank"), 0, (int64_t)told - 1) : (int64_t)i;
        s = gr_json_check(root.doc);
        if (s == GR_OK && gr_vocab_add(&t->special, name, size, (uint32_t)rank) != GR_OK)
            s = gr_fail_in("special_tokens[%zu]", i);
    }
    for (int64_t id = (int64_t)told; id < t->special_count && s == GR_OK; id++) {
        char name[64];
        snprintf(name, sizeof name, "<SPECIAL_%lld>", (long long)id);
        s = gr_vocab_add(&t->special, name, strlen(name), (uint32_t)id);
    }
    return s;
}

/* Files from before v11 may leave the names of special tokens out. */
static gr_status check_version(gr_json root, gr_json config)
{
    const char *version = gr_json_text(config, "version", "");
    static const char *const old[] = {"v1", "v2", "v3", "v7"};
    bool names_none = !gr_json_is(gr_json_get(root, "special_tokens"));
    gr_status s = gr_json_check(root.doc);
    for (size_t i = 0; i < sizeof old / sizeof *old; i++)
        names_none = names_none && strcmp(version, old[i]) != 0;
    if (s == GR_OK && names_none)
        return gr_json_fail(config, "version \"%s\" without special_tokens: only v1, v2, v3 and v7 have usual ones",
                            version);
    return s;
}

static gr_status read_token(tekken *t, gr_json item, size_t i, gr_bytes *bytes)
{
    size_t size, n = 0;
    gr_json text = gr_json_get(item, "token_bytes");
    const char *base64 = gr_json_as_text(text, &size);
    gr_json_as_int(gr_json_get(item, "rank"), (int64_t)i, (int64_t)i);
    gr_status s = gr_json_check(item.doc);
    bytes->size = 0;
    if (s == GR_OK)
        s = gr_bytes_reserve(bytes, size / 4 * 3 + 3);
    if (s != GR_OK)
        return s;
    unsigned char *data = (unsigned char *)bytes->data;
    if (!gr_base64_decode(base64, size, data, &n) || !n || (i < 256 && (n != 1 || data[0] != i)))
        return gr_json_fail(text,
                            i < 256 ? "expected base64 of the byte %zu: the first 256 tokens are the bytes"
                                    : "expected base64 of token %zu",
                            i);
    return gr_vocab_add(&t->tokens, bytes->data, n, (uint32_t)i) != GR_OK ? gr_fail_in("vocab[%zu]", i) : GR_OK;
}

static gr_status read_tokens(tekken *t, gr_json root, gr_json config)
{
    gr_json list = gr_json_get(root, "vocab");
    gr_bytes bytes = {0};
    gr_json_as_array(list);
    size_t n = gr_json_size(list);
    int64_t most = (int64_t)n + t->special_count;
    int64_t all = gr_json_int(config, "default_vocab_size", most, t->special_count + 1, most);
    gr_status s = gr_json_check(root.doc);
    for (size_t i = 0; (int64_t)i < all - t->special_count && s == GR_OK; i++)
        s = read_token(t, gr_json_item(list, i), i, &bytes);
    gr_bytes_free(&bytes);
    return s;
}

static gr_status add_added(tekken *t)
{
    gr_status s = GR_OK;
    for (size_t id = 0; id < t->special.rows && s == GR_OK; id++) {
        size_t size;
        const char *text = gr_vocab_text(&t->special, (int64_t)id, &size);
        s = gr_bytes_add_string(&t->added, id ? ",\n" : "\n");
        if (s == GR_OK)
            s = gr_json_add_added_token(&t->added, (int64_t)id, text, size, true);
    }
    return s;
}

static gr_status read_file(tekken *t, gr_json root)
{
    size_t size = 0;
    gr_json_as_object(root);
    gr_json config = gr_json_get(root, "config"), pattern = gr_json_get(config, "pattern");
    t->pattern = gr_json_as_text(pattern, &size);
    gr_status s = gr_json_check(root.doc);
    if (s == GR_OK && strlen(t->pattern) != size)
        s = gr_json_fail(pattern, "there is a NUL in it");
    if (s == GR_OK)
        s = check_version(root, config);
    if (s == GR_OK)
        s = read_special(t, root, config);
    if (s == GR_OK)
        s = read_tokens(t, root, config);
    return s == GR_OK ? add_added(t) : s;
}

/* "<s>" before the text, where there is one. */
static const char bos[] =
    "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, "
    "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": "
    "0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 1}}, "
    "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [%d], "
    "\"tokens\": [\"<s>\"]}}}";

gr_status gr_convert_tekken(const char *data, size_t size, bool with_bos, gr_bytes *json)
{
    tekken t = {0};
    char post[sizeof bos + 16];
    gr_json_doc *doc = gr_json_parse("tekken.json", data, size);
    gr_status s = doc ? read_file(&t, gr_json_root(doc)) : gr_error_status();
    int32_t begin = gr_vocab_find(&t.special, "<s>", 3);
    snprintf(post, sizeof post, bos, begin);
    gr_ranks r = {.name = "tekken.json",
                  .pattern = t.pattern,
                  .tokens = &t.tokens,
                  .first = (uint32_t)t.special_count,
                  .special = &t.special,
                  .added = &t.added,
                  .post = begin < 0 || !with_bos ? NULL : post};
    if (s == GR_OK)
        s = gr_convert_ranks(&r, json);
    gr_json_free(doc);
    gr_vocab_free(&t.tokens);
    gr_vocab_free(&t.special);
    gr_bytes_free(&t.added);
    return s;
}
