/* What a GGUF file has that is no weight, as the files that a directory has in its place. */
#include "model/files/gguf.h"
#include "model/files/save.h"

#include <string.h>

#include "base/mem.h"
#include "text/files/gguf.h"

#define TEMPLATE "tokenizer.chat_template"

/* Takes name and text over, either of which may be NULL: a failure. */
static gr_status carry(gr_carried *c, char *name, char *text, size_t size)
{
    size_t n = (size_t)c->count;
    gr_status s = name && text ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK)
        s = gr_grow(&c->files, &c->files_cap, n + 1, sizeof *c->files);
    if (s == GR_OK)
        s = gr_grow(&c->texts, &c->texts_cap, n + 1, sizeof *c->texts);
    if (s != GR_OK) {
        gr_free(name);
        gr_free(text);
        return s;
    }
    c->files[n] = (gr_checkpoint_file){name, text, size};
    c->texts[n] = text;
    c->count++;
    return GR_OK;
}

/* ---- the tokenizer ------------------------------------------------------------------------------------------ */

static gr_status carry_tokenizer(gr_carried *c, const gr_gguf *g)
{
    gr_bytes json = {0};
    gr_status s = gr_convert_gguf(g, &json);
    if (s == GR_OK)
        return carry(c, gr_strdup("tokenizer.json"), json.data, json.size);
    gr_bytes_free(&json);
    return s;
}

static void put_token(gr_json c, const char *key, const gr_gguf *g, const char *which)
{
    const gr_gguf_key *tokens = gr_gguf_find(g, "tokenizer.ggml.tokens");
    gr_token id = gr_gguf_token(g, which);
    gr_gguf_text text = {"", 0};
    size_t at = 0;
    for (gr_token i = 0; i <= id && gr_gguf_next(tokens, &at, &text); i++)
        ;
    if (id >= 0 && text.size)
        gr_json_put_bytes(c, key, text.data, text.size);
}

/* Which tokens begin and end a text; how it is cut, tokenizer.json says. */
static gr_status carry_settings(gr_carried *c, const gr_gguf *g)
{
    gr_json_doc *doc = gr_json_new("tokenizer_config.json");
    gr_json root = gr_json_root(doc);
    size_t size = 0;
    gr_json_put_text(root, "tokenizer_class", "PreTrainedTokenizerFast");
    put_token(root, "bos_token", g, "bos");
    put_token(root, "eos_token", g, "eos");
    put_token(root, "unk_token", g, "unknown");
    put_token(root, "pad_token", g, "padding");
    gr_json_put_bool(root, "clean_up_tokenization_spaces", false);
    char *text = doc ? gr_json_format(doc, true, &size) : NULL;
    gr_json_free(doc);
    return text ? carry(c, gr_strdup("tokenizer_config.json"), text, size) : gr_error_status();
}

/* ---- chat templates ----------------------------------------------------------------------------------------- */

static bool is_plain(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    return *name && strlen(name) <= 64 && strspn(name, letters) == strlen(name);
}

/* The template itself, "tokenizer.chat_template", and others by names behind it. */
static gr_status carry_template(gr_carried *c, const gr_gguf *g, const gr_gguf_key *k)
{
    const char *name = k->name + strlen(TEMPLATE);
    gr_gguf_text text = gr_gguf_text_of(g, k->name);
    char *copy, *file;
    if (!text.size)
        return GR_OK;
    if (*name && !is_plain(name + 1))
        return gr_fail(GR_ERR_FILE,
                       "%s: key \"%.100s\": the name of a chat template must be of letters, digits, - and _",
                       gr_gguf_name(g), k->name);
    file = *name ? gr_strfmt("%s/%s.jinja", GR_CHAT_TEMPLATES, name + 1) : gr_strdup("chat_template.jinja");
    copy = gr_alloc(text.size);
    if (copy)
        memcpy(copy, text.data, text.size);
    return carry(c, file, copy, text.size);
}

static gr_status carry_templates(gr_carried *c, const gr_gguf *g)
{
    size_t n = strlen(TEMPLATE);
    gr_status s = GR_OK;
    for (int i = 0; s == GR_OK && i < gr_gguf_count(g); i++) {
        const gr_gguf_key *k = gr_gguf_entry(g, i);
        if (strncmp(k->name, TEMPLATE, n) == 0 && (k->name[n] == '\0' || k->name[n] == '.'))
            s = carry_template(c, g, k);
    }
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

gr_status gr_gguf_carry(gr_carried *c, const char *path)
{
    gr_gguf *g = gr_gguf_open_first(path);
    gr_status s = g ? GR_OK : gr_error_status();
    if (s == GR_OK && gr_gguf_has_tokenizer(g)) {
        s = carry_tokenizer(c, g);
        if (s == GR_OK)
            s = carry_settings(c, g);
    }
    if (s == GR_OK)
        s = carry_templates(c, g);
    char *generation = s == GR_OK ? gr_gguf_generation(g, &s) : NULL;
    if (generation)
        s = carry(c, gr_strdup("generation_config.json"), generation, strlen(generation));
    gr_gguf_close(g);
    return s;
}
