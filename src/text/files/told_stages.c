/* The stages of a tokenizer.json replaced by those that switches ask for. */
#include "text/files/told_stages.h"
#include "base/log.h"
#include "text/files/convert.h"
#include "text/files/json_text.h"

static bool is_type(gr_json value, const char *type)
{
    return strcmp(gr_json_text(value, "type", ""), type) == 0;
}

/* The last step of a sequence of steps. */
static gr_json last_step(gr_json value)
{
    gr_json list = gr_json_get(value, "pretokenizers");
    size_t n = gr_json_size(list);
    return is_type(value, "Sequence") && n ? gr_json_item(list, n - 1) : value;
}

/* Whether the file's stages are already as told. What is not of the class's form is not. */
static bool agrees(const gr_tokenizer_class *c, const gr_beside *b, gr_json root)
{
    gr_json step = last_step(gr_json_get(root, "pre_tokenizer"));
    if (c->reads == GR_READS_MERGES)
        return b->add_prefix_space <= GR_TOLD_NULL ||
               (is_type(step, "ByteLevel") &&
                gr_json_bool(step, "add_prefix_space", true) == (b->add_prefix_space == GR_TOLD_YES));
    const char *scheme = gr_json_text(step, "prepend_scheme", "always");
    return !gr_json_is(gr_json_get(root, "normalizer")) && is_type(step, "Metaspace") &&
           strcmp(scheme, gr_told_scheme(b)) == 0;
}

static bool is_told(const gr_tokenizer_class *c, const gr_beside *b)
{
    if (c->reads == GR_READS_MERGES)
        return b->add_prefix_space > GR_TOLD_NULL;
    return c->way == GR_SPM_LLAMA && (b->add_prefix_space > GR_TOLD_NULL || b->legacy > GR_TOLD_NULL);
}

/* The class's own stages in the places of the file's. */
static gr_status replace_stages(const gr_tokenizer_class *c, const gr_beside *b, gr_bytes *text)
{
    static const char *const keys[] = {"normalizer", "pre_tokenizer", "decoder"};
    gr_status s = GR_OK;
    for (size_t i = 0; i < 3 && s == GR_OK; i++) {
        gr_bytes stages = {0}, out = {0}, value = {0};
        s = c->reads == GR_READS_MERGES ? gr_add_level_stages(c, b, &stages) : gr_add_llama_stages(b, &stages);
        if (s == GR_OK)
            s = gr_json_copy_member(&value, stages.data, stages.size, keys[i]);
        if (s == GR_OK)
            s = gr_json_add_replaced(&out, text->data, text->size, keys[i], &value);
        gr_bytes_free(&stages);
        gr_bytes_free(&value);
        if (s != GR_OK) {
            gr_bytes_free(&out);
            return s;
        }
        gr_bytes_free(text);
        *text = out;
    }
    return s;
}

/* *root is what the text says without its large parts: enough to look at the stages. */
static gr_status look(const gr_tokenizer_class *c, const gr_beside *b, const char *json, size_t size, bool *replace)
{
    gr_bytes small = {0};
    gr_status s = gr_json_add_replaced(&small, json, size, "model", &(gr_bytes){.data = (char[]){"{}"}, .size = 2});
    gr_json_doc *doc = s != GR_OK ? NULL : gr_json_parse("tokenizer.json", small.data, small.size);
    *replace = doc && !agrees(c, b, gr_json_root(doc));
    s = s == GR_OK ? doc ? gr_json_check(doc) : gr_error_status() : s;
    gr_json_free(doc);
    gr_bytes_free(&small);
    return s;
}

gr_status gr_apply_told_stages(const gr_tokenizer_class *c, const gr_beside *b, char **json, size_t *size)
{
    bool replace = false;
    gr_bytes text = {0};
    if (c->way == GR_SPM_LLAMA && strstr(*json, "\"ByteLevel\""))
        return GR_OK; /* LLaMA 3's kind under LLaMA's class: transformers takes it as it is */
    gr_status s = is_told(c, b) ? look(c, b, *json, *size, &replace) : GR_OK;
    if (s != GR_OK || !replace)
        return s;
    s = gr_bytes_add(&text, *json, *size);
    if (s == GR_OK)
        s = replace_stages(c, b, &text);
    if (s == GR_OK)
        s = gr_bytes_add(&text, "", 1);
    if (s != GR_OK) {
        gr_bytes_free(&text);
        return s;
    }
    gr_remark(GR_LOG_WARN,
              "tokenizer_config.json gives %s other switches than tokenizer.json has (add_prefix_space, "
              "legacy): they count, as in transformers",
              c->name);
    gr_free(*json);
    *json = text.data;
    *size = text.size - 1;
    return GR_OK;
}
