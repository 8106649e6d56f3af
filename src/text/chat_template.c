/* Chat templates for callers: finding them, rendering, and the ids of what was rendered. */
#include <string.h>
#include "text/template/jinja.h"
#include "text/template/known.h"
#include "text/tokenizer.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/sized.h"
#include "base/utf8.h"
#include "format/gguf.h"

/* One of those that a model has. What cannot be run is an error when it is wanted. */
typedef struct named_template {
    char *name;
    char *text; /* [size] */
    size_t size;
    gr_jinja *jinja; /* NULL: see error */
    char *error;
    gr_status status;
} named_template;

struct gr_template {
    named_template *at;
    size_t n, cap;
    char *wanted;                   /* the name that was asked for; NULL: what transformers takes */
    char *place;                    /* where they are from */
    const gr_known_template *known; /* ours; NULL: a model's, or a file */
    gr_template_info info;
};

/* ---- finding ------------------------------------------------------------------------------------------------ */

static named_template *find(const gr_template *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->at[i].name, name) == 0)
            return &t->at[i];
    return NULL;
}

/* Compiles one; place: what messages call it. */
static gr_status add(gr_template *t, const char *name, const char *place, const char *text, size_t size)
{
    gr_status s = gr_grow(&t->at, &t->cap, t->n + 1, sizeof *t->at);
    if (s != GR_OK)
        return s;
    named_template *made = &t->at[t->n];
    *made = (named_template){.name = gr_strdup(name), .text = gr_alloc(size + 1), .size = size};
    t->n++;
    if (!made->name || !made->text)
        return GR_ERR_MEMORY;
    if (size)
        memcpy(made->text, text, size);
    made->text[size] = '\0';
    if ((made->jinja = gr_jinja_compile(place, text, size)))
        return GR_OK;
    made->status = gr_error_status();
    if (made->status != GR_ERR_MEMORY && !(made->error = gr_strdup(gr_error())))
        made->status = GR_ERR_MEMORY;
    return made->status == GR_ERR_MEMORY ? GR_ERR_MEMORY : GR_OK;
}

static gr_status add_file(gr_template *t, const char *name, const char *path)
{
    size_t size;
    char *text = gr_file_read(path, GR_JSON_LIMIT, &size);
    gr_status s = text ? add(t, name, path, text, size) : gr_error_status();
    gr_free(text);
    return s;
}

static gr_status add_folder(gr_template *t, const char *dir)
{
    static const char ending[] = ".jinja";
    char **names;
    size_t n;
    gr_status s = gr_dir_list(dir, &names, &n);
    for (size_t i = 0; s == GR_OK && i < n; i++) {
        size_t size = strlen(names[i]), cut = sizeof ending - 1;
        if (size <= cut || strcmp(names[i] + size - cut, ending) != 0)
            continue;
        char *path = gr_path_join(dir, names[i]);
        names[i][size - cut] = 0;
        s = path ? add_file(t, names[i], path) : GR_ERR_MEMORY;
        gr_free(path);
    }
    if (s == GR_OK || n)
        gr_names_free(names, n);
    return s;
}

/* chat_template of tokenizer_config.json: a text, or [{"name": ..., "template": ...}]. */
static gr_status add_told(gr_template *t, const char *path, gr_json told)
{
    size_t size;
    if (!gr_json_is(told))
        return GR_OK;
    if (gr_json_type_of(told) != GR_JSON_ARRAY) {
        const char *text = gr_json_as_text(told, &size);
        gr_status s = gr_json_check(told.doc);
        return s == GR_OK ? add(t, "default", path, text, size) : s;
    }
    gr_status s = GR_OK;
    for (size_t i = 0; s == GR_OK && i < gr_json_size(told); i++) {
        gr_json one = gr_json_as_object(gr_json_item(told, i));
        const char *name = gr_json_as_text(gr_json_get(one, "name"), NULL);
        const char *text = gr_json_as_text(gr_json_get(one, "template"), &size);
        s = gr_json_check(told.doc);
        char *place = s == GR_OK ? gr_strfmt("%s: template '%.80s'", path, name) : NULL;
        if (s == GR_OK)
            s = place ? add(t, name, place, text, size) : GR_ERR_MEMORY;
        gr_free(place);
    }
    return s;
}

static gr_status add_config(gr_template *t, const char *path)
{
    gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
    if (!doc)
        return gr_error_status();
    gr_json root = gr_json_as_object(gr_json_root(doc));
    gr_status s = gr_json_check(doc);
    if (s == GR_OK)
        s = add_told(t, path, gr_json_get(root, "chat_template"));
    gr_json_free(doc);
    return s;
}

static gr_status fail_none_in(const char *path, const char *where)
{
    return gr_fail(
        GR_ERR_UNSUPPORTED,
        "%s: no chat template here: %s\n"
        "give one with --chat-template FILE, or use the model without conversations: generate continues a text",
        path, where);
}

/* The files win over tokenizer_config.json, as in transformers. */
static gr_status add_directory(gr_template *t, const char *dir)
{
    char *file = gr_path_join(dir, "chat_template.jinja"), *folder = gr_path_join(dir, "additional_chat_templates"),
         *config = gr_path_join(dir, "tokenizer_config.json");
    gr_status s = file && folder && config ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && gr_path_is_file(file))
        s = add_file(t, "default", file);
    if (s == GR_OK && gr_path_is_dir(folder))
        s = add_folder(t, folder);
    if (s == GR_OK && !t->n && gr_path_is_file(config))
        s = add_config(t, config);
    if (s == GR_OK && !t->n)
        s = fail_none_in(dir, "neither chat_template.jinja nor a chat_template in tokenizer_config.json");
    gr_free(file);
    gr_free(folder);
    gr_free(config);
    return s;
}

/* A GGUF file's tokenizer.chat_template, and others as tokenizer.chat_template.NAME. */
static gr_status add_gguf(gr_template *t, const char *path)
{
    static const char key[] = "tokenizer.chat_template";
    gr_gguf *file = gr_gguf_open_first(path);
    gr_status s = file ? GR_OK : gr_error_status();
    for (int i = 0; s == GR_OK && i < gr_gguf_count(file); i++) {
        const char *name = gr_gguf_entry(file, i)->name, *rest = name + sizeof key - 1;
        gr_gguf_text text = gr_gguf_text_of(file, name);
        if (strncmp(name, key, sizeof key - 1) != 0 || (*rest && *rest != '.') || !text.size)
            continue;
        char *place = gr_strfmt("%s: key \"%.80s\"", path, name);
        s = place ? add(t, *rest ? rest + 1 : "default", place, text.data, text.size) : GR_ERR_MEMORY;
        gr_free(place);
    }
    gr_gguf_close(file);
    return s == GR_OK && !t->n ? fail_none_in(path, "it has no key tokenizer.chat_template") : s;
}

static gr_status fill(gr_template *t, const gr_template_source *o)
{
    const char *place = o->path ? o->path : o->name ? o->name : "chat template";
    if (!(t->place = gr_strdup(place)))
        return GR_ERR_MEMORY;
    if (o->text)
        return add(t, "default", place, o->text, o->text_size);
    if (!o->path) {
        t->known = gr_known_template_find(o->name);
        return t->known ? add(t, "default", o->name, t->known->text, strlen(t->known->text)) : gr_error_status();
    }
    if (o->name && !(t->wanted = gr_strdup(o->name)))
        return GR_ERR_MEMORY;
    if (gr_path_is_dir(o->path))
        return add_directory(t, o->path);
    return gr_gguf_is_name(o->path) ? add_gguf(t, o->path) : add_file(t, "default", o->path);
}

/* ---- the one that is used ----------------------------------------------------------------------------------- */

static gr_status fail_none(const gr_template *t, const char *name)
{
    char names[512] = "";
    for (size_t i = 0; i < t->n && strlen(names) + 82 < sizeof names; i++) {
        strcat(names, i ? ", " : "");
        strncat(names, t->at[i].name, 78);
    }
    return gr_fail(GR_ERR_ARGUMENT,
                   "chat template: there is no '%.80s' among those that the model has: %s\nname one of them", name,
                   names);
}

static const named_template *chosen(const gr_template *t, bool has_tools)
{
    const named_template *one = !t->wanted && has_tools ? find(t, "tool_use") : NULL;
    return one ? one : find(t, t->wanted ? t->wanted : "default");
}

static gr_status choose(const gr_template *t, bool has_tools, const gr_jinja **out)
{
    const named_template *one = chosen(t, has_tools);
    *out = NULL;
    if (!one)
        return fail_none(t, t->wanted ? t->wanted : "default");
    *out = one->jinja;
    return one->jinja ? GR_OK : gr_fail(one->status, "%s", one->error);
}

/* What it is, for callers: of several the one for conversations without tools. */
static void note(gr_template *t)
{
    const named_template *one = chosen(t, false);
    t->info = (gr_template_info){.size = sizeof t->info, .name = t->place, .needs = t->known ? t->known->needs : NULL};
    if (one) {
        t->info.text = one->text;
        t->info.text_size = one->size;
        t->info.digest = gr_checksum(one->text, one->size);
    }
}

/* A mark that is no token would be learned as letters. */
static gr_status check_needs(const gr_template *t, const gr_tokenizer *tokenizer)
{
    for (int i = 0; t->known && tokenizer && t->known->needs[i]; i++) {
        int64_t id = gr_tokenizer_id(tokenizer, t->known->needs[i]);
        if (id < 0 || gr_tokenizer_kind(tokenizer, (gr_token)id) == GR_TOKEN_OF_MODEL)
            return gr_fail(GR_ERR_UNSUPPORTED,
                           "chat template %s: needs the added token %s, which this tokenizer does not have\n"
                           "take a template whose tokens it has, or teach them to the model: gradus finetune "
                           "--add-tokens",
                           t->known->name, t->known->needs[i]);
    }
    return GR_OK;
}

/* ---- public ------------------------------------------------------------------------------------------------- */

const gr_template_info *gr_template_describe(const gr_template *t)
{
    return gr_lacks(t, "gr_template_describe: chat") ? NULL : &t->info;
}

gr_template *gr_template_open(const gr_template_source *source)
{
    gr_template_source o;
    const gr_jinja *jinja;
    if (gr_lacks(source, "gr_template_open: source") ||
        gr_take_sized(&o, sizeof o, source, "gr_template_open") != GR_OK ||
        (!o.text && !o.path && gr_lacks(o.name, "gr_template_open: text, path or name")))
        return NULL;
    gr_template *t = gr_alloc_zero(1, sizeof *t);
    gr_status s = t ? fill(t, &o) : GR_ERR_MEMORY;
    if (s == GR_OK && (t->n == 1 || t->wanted))
        s = choose(t, false, &jinja);
    if (s == GR_OK) {
        note(t);
        return t;
    }
    gr_template_free(t);
    return NULL;
}

void gr_template_free(gr_template *t)
{
    for (size_t i = 0; t && i < t->n; i++) {
        gr_free(t->at[i].name);
        gr_free(t->at[i].text);
        gr_free(t->at[i].error);
        gr_jinja_free(t->at[i].jinja);
    }
    if (t) {
        gr_free(t->at);
        gr_free(t->wanted);
        gr_free(t->place);
    }
    gr_free(t);
}

/* bos_token and so on. A tokenizer whose files name none has those that begin and end its texts. */
static gr_json_doc *special_tokens(const gr_tokenizer *t)
{
    static const char *const keys[GR_NAMED_COUNT] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                     "pad_token", "cls_token", "mask_token"};
    gr_json_doc *doc = gr_json_new("the tokenizer");
    bool told = false;
    for (int i = 0; doc && t && i < GR_NAMED_COUNT; i++) {
        told |= t->named[i] != NULL;
        if (t->named[i])
            gr_json_put_text(gr_json_root(doc), keys[i], t->named[i]);
    }
    for (int i = 0; doc && t && !told && i < 2; i++) {
        size_t size;
        const char *text = gr_tokenizer_token(t, i ? t->eos : t->bos, &size, NULL);
        if (text)
            gr_json_put_bytes(gr_json_root(doc), keys[i], text, size);
    }
    if (doc && gr_json_check(doc) == GR_OK)
        return doc;
    gr_json_free(doc);
    return NULL;
}

/* How many ranges of ones a mask has; with `out`, those. */
static size_t count_ranges(const gr_bytes *mask, gr_text_range *out)
{
    size_t n = 0;
    for (size_t at = 0; at < mask->size;) {
        const char *from = memchr(mask->data + at, 1, mask->size - at);
        const char *to = from ? memchr(from, 0, (size_t)(mask->data + mask->size - from)) : NULL;
        if (!from)
            break;
        at = to ? (size_t)(to - mask->data) : mask->size;
        if (out)
            out[n] = (gr_text_range){(size_t)(from - mask->data), at};
        n++;
    }
    return n;
}

/* One block of all that a caller gets. */
static const gr_rendered *give(const gr_jinja_output *o)
{
    size_t n = count_ranges(&o->mask, NULL), ranges = n + o->n_generated;
    gr_rendered *r = gr_alloc_zero(1, sizeof *r + ranges * sizeof(gr_text_range) + o->text.size + 1);
    if (!r)
        return NULL;
    gr_text_range *at = (gr_text_range *)(r + 1);
    char *text = (char *)(at + ranges);
    count_ranges(&o->mask, at);
    for (size_t i = 0; i < o->n_generated; i++)
        at[n + i] = (gr_text_range){o->generated[i].from, o->generated[i].to};
    if (o->text.size)
        memcpy(text, o->text.data, o->text.size);
    *r = (gr_rendered){.size = sizeof *r,
                       .text = text,
                       .text_size = o->text.size,
                       .untrusted = at,
                       .n_untrusted = n,
                       .generated = at + n,
                       .n_generated = o->n_generated};
    return r;
}

static gr_jinja_limits limits_of(const gr_conversation *c)
{
    gr_jinja_limits l = gr_jinja_default_limits;
    l.steps = c->max_steps > 0 ? c->max_steps : l.steps;
    l.depth = c->max_depth > 0 ? c->max_depth : l.depth;
    l.memory = c->max_memory ? c->max_memory : l.memory;
    l.text_bytes = c->max_text ? c->max_text : l.text_bytes;
    return l;
}

static gr_status render(const gr_template *t, const gr_conversation *c, gr_json_doc *const docs[3],
                        const gr_rendered **out)
{
    gr_jinja_output made = {0};
    const gr_jinja *jinja;
    gr_jinja_input in = {.conversation = gr_json_root(docs[0]),
                         .variables = {gr_json_root(docs[1]), gr_json_root(docs[2])},
                         .has_now = c->has_now,
                         .now = c->now,
                         .limits = limits_of(c)};
    gr_json_as_object(in.variables[1]);
    gr_status s = gr_json_check(docs[2]);
    if (s == GR_OK)
        s = choose(t, gr_json_is(gr_json_get(in.conversation, "tools")), &jinja);
    if (s == GR_OK)
        s = gr_jinja_render(jinja, &in, &made);
    if (s == GR_OK && !(*out = give(&made)))
        s = GR_ERR_MEMORY;
    gr_jinja_output_free(&made);
    return s;
}

gr_status gr_template_render(const gr_template *t, const gr_conversation *conversation, const gr_rendered **out)
{
    gr_conversation c;
    if (gr_lacks(t, "gr_template_render: chat") || gr_lacks(conversation, "gr_template_render: conversation") ||
        gr_lacks(out, "gr_template_render: out"))
        return GR_ERR_ARGUMENT;
    *out = NULL;
    gr_status s = gr_take_sized(&c, sizeof c, conversation, "gr_template_render");
    if (s != GR_OK)
        return s;
    if (gr_lacks(c.json, "gr_template_render: json"))
        return GR_ERR_ARGUMENT;
    if ((s = check_needs(t, c.tokenizer)) != GR_OK)
        return s;
    gr_json_doc *docs[3] = {gr_json_parse(c.name ? c.name : "conversation", c.json, c.json_size)};
    if (docs[0])
        docs[1] = special_tokens(c.tokenizer);
    if (docs[1])
        docs[2] = c.variables ? gr_json_parse("variables", c.variables, c.variables_size) : gr_json_new("variables");
    s = docs[2] ? render(t, &c, docs, out) : gr_error_status();
    for (int i = 0; i < 3; i++)
        gr_json_free(docs[i]);
    return s;
}

gr_status gr_template_encode(gr_tokenizer *t, const gr_rendered *rendered, const gr_token **ids, size_t *n)
{
    if (gr_lacks(t, "gr_template_encode: tokenizer") || gr_lacks(rendered, "gr_template_encode: rendered") ||
        gr_lacks(ids, "gr_template_encode: ids") || gr_lacks(n, "gr_template_encode: n"))
        return GR_ERR_ARGUMENT;
    *ids = NULL;
    *n = 0;
    unsigned char *mask = gr_alloc_zero(rendered->text_size + 1, 1);
    gr_status s = mask ? GR_OK : GR_ERR_MEMORY;
    for (size_t i = 0; s == GR_OK && i < rendered->n_untrusted; i++) {
        gr_text_range range = rendered->untrusted[i];
        if (range.from > range.to || range.to > rendered->text_size)
            s = gr_fail(GR_ERR_ARGUMENT, "gr_template_encode: range %zu is outside of the text", i);
        else
            memset(mask + range.from, 1, range.to - range.from);
    }
    if (s == GR_OK)
        s = gr_tokenizer_run_masked(t, &t->scratch, rendered->text, rendered->text_size, mask, GR_PARSE_SPECIAL);
    gr_free(mask);
    if (s == GR_OK) {
        *ids = t->scratch.ids.data;
        *n = t->scratch.ids.size;
    }
    return s;
}
