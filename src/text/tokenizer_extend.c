/* A tokenizer with more added tokens. */
#include "text/tokenizer.h"

#include "base/json.h"
#include "base/mem.h"

#include <string.h>

/* As tokenizer.json has an added token. */
static void put_token(gr_json list, const char *token, gr_token id)
{
    static const char *const switches[] = {"single_word", "lstrip", "rstrip", "normalized"};
    gr_json o = gr_json_put_object(list, NULL);
    gr_json_put_int(o, "id", id);
    gr_json_put_text(o, "content", token);
    for (int i = 0; i < 4; i++)
        gr_json_put_bool(o, switches[i], false);
    gr_json_put_bool(o, "special", true);
}

/* The JSON with the tokens; one that was learned as a word keeps its id. NULL: failed. */
static char *extend(const gr_tokenizer *t, const char *const *tokens, size_t *size)
{
    gr_json_doc *doc = gr_json_parse("tokenizer.json", t->json, t->json_size);
    if (!doc)
        return NULL;
    gr_json root = gr_json_root(doc), list = gr_json_get(root, "added_tokens");
    if (gr_json_type_of(list) != GR_JSON_ARRAY)
        list = gr_json_put_array(root, "added_tokens");
    gr_token next = (gr_token)gr_tokenizer_vocab_size(t);
    for (int i = 0; tokens[i]; i++) {
        int64_t id = gr_tokenizer_find(t, tokens[i], strlen(tokens[i]));
        if (id < 0)
            put_token(list, tokens[i], next++);
        else if (gr_tokenizer_kind(t, (gr_token)id) == GR_TOKEN_OF_MODEL)
            put_token(list, tokens[i], (gr_token)id);
    }
    char *json = gr_json_format(doc, false, size);
    gr_json_free(doc);
    return json;
}

/* What its directory's files said of the first one. */
static gr_status keep_names(gr_tokenizer *made, const gr_tokenizer *from)
{
    made->bos = from->bos;
    made->eos = from->eos;
    for (int i = 0; i < GR_NAMED_COUNT; i++) {
        gr_free(made->named[i]);
        made->named[i] = from->named[i] ? gr_strdup(from->named[i]) : NULL;
        if (from->named[i] && !made->named[i])
            return GR_ERR_MEMORY;
    }
    return GR_OK;
}

gr_tokenizer *gr_tokenizer_extend(const gr_tokenizer *t, const char *const *tokens)
{
    size_t size;
    if (gr_lacks(t, "gr_tokenizer_extend: tokenizer") || gr_lacks(tokens, "gr_tokenizer_extend: tokens"))
        return NULL;
    char *json = extend(t, tokens, &size);
    gr_tokenizer *made = json ? gr_tokenizer_of(json, size) : NULL;
    if (!made || keep_names(made, t) == GR_OK)
        return gr_tokenizer_note(made);
    gr_tokenizer_free(made);
    return NULL;
}
