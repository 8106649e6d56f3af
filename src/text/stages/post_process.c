/* Processors, worked out once into a list of what stands around a text. */
#include <string.h>
#include "text/stages/post_process.h"
#include "text/stages/chain.h"
#include "base/mem.h"

/* Hugging Face's processors hand on a list of encodings. A template makes an encoding of each of its items and can take
 * one ("single") or two ("pair") of them, whatever they are; BERT's and RoBERTa's put tokens around each. */
typedef struct parts {
    gr_post *at;
    size_t n, cap;
} parts;

typedef struct reading {
    bool special;
    parts now;
} reading;

static gr_status add_item(gr_post *p, gr_post_item item)
{
    gr_status s = gr_grow(&p->item, &p->cap, p->n + 1, sizeof *p->item);
    if (s == GR_OK)
        p->item[p->n++] = item;
    return s;
}

static gr_status add_items(gr_post *p, const gr_post *more)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < more->n && s == GR_OK; i++)
        s = add_item(p, more->item[i]);
    return s;
}

static gr_status new_part(parts *p, gr_post **out)
{
    gr_status s = gr_grow(&p->at, &p->cap, p->n + 1, sizeof *p->at);
    if (s != GR_OK)
        return s;
    *out = &p->at[p->n++];
    **out = (gr_post){0};
    return GR_OK;
}

static void free_parts(parts *p)
{
    for (size_t i = 0; i < p->n; i++)
        gr_post_free(&p->at[i]);
    gr_free(p->at);
    *p = (parts){0};
}

/* The ids of a special token, by its name in the template's own list. */
static gr_status add_special(gr_json template, gr_json special, gr_post *to)
{
    const char *name = gr_json_text(special, "id", "");
    gr_json ids = gr_json_get(gr_json_get(gr_json_get(template, "special_tokens"), name), "ids");
    gr_json_as_array(ids);
    gr_status s = gr_json_check(special.doc);
    for (size_t i = 0; i < gr_json_size(ids) && s == GR_OK; i++) {
        int32_t id = (int32_t)gr_json_as_int(gr_json_item(ids, i), 0, INT32_MAX - 1);
        s = gr_json_check(special.doc);
        if (s == GR_OK)
            s = add_item(to, (gr_post_item){false, id});
    }
    return s;
}

static gr_status read_template_item(reading *r, gr_json template, gr_json item, parts *out)
{
    gr_json sequence = gr_json_get(item, "Sequence");
    gr_post *to;
    if (!gr_json_is(sequence) && !r->special)
        return GR_OK;
    const char *which = gr_json_text(sequence, "id", "A");
    gr_status s = gr_json_check(item.doc);
    if (s == GR_OK)
        s = new_part(out, &to);
    if (s != GR_OK)
        return s;
    if (!gr_json_is(sequence))
        return add_special(template, gr_json_get(item, "SpecialToken"), to);
    bool second = strcmp(which, "B") == 0;
    if (second && r->now.n < 2)
        return gr_json_fail(sequence, "there is no second text here");
    return add_items(to, &r->now.at[second]);
}

static gr_status read_template(reading *r, gr_json value)
{
    parts made = {0};
    gr_json items = gr_json_get(value, r->now.n == 2 ? "pair" : "single");
    if (r->now.n == 0 || r->now.n > 2)
        return gr_json_fail(value, "a template cannot be put around the %zu parts that processors before it make",
                            r->now.n);
    gr_json_as_array(items);
    gr_status s = gr_json_check(value.doc);
    for (size_t i = 0; i < gr_json_size(items) && s == GR_OK; i++)
        s = read_template_item(r, value, gr_json_item(items, i), &made);
    free_parts(&r->now);
    r->now = made;
    return s;
}

/* [CLS] first [SEP] second [SEP]; RoBERTa's second has the separator before it too. "cls" and "sep" are ["[CLS]", id]. */
static gr_status put_around(reading *r, gr_json value, bool roberta)
{
    int32_t cls = (int32_t)gr_json_as_int(gr_json_item(gr_json_get(value, "cls"), 1), 0, INT32_MAX - 1);
    int32_t sep = (int32_t)gr_json_as_int(gr_json_item(gr_json_get(value, "sep"), 1), 0, INT32_MAX - 1);
    gr_status s = gr_json_check(value.doc);
    for (size_t i = 0; i < r->now.n && r->special && s == GR_OK; i++) {
        gr_post with = {0};
        if (i == 0 || roberta)
            s = add_item(&with, (gr_post_item){false, i ? sep : cls});
        if (s == GR_OK)
            s = add_items(&with, &r->now.at[i]);
        if (s == GR_OK)
            s = add_item(&with, (gr_post_item){false, sep});
        gr_post_free(&r->now.at[i]);
        r->now.at[i] = with;
    }
    return s;
}

static gr_status read_bert(reading *r, gr_json value)
{
    return put_around(r, value, false);
}

static gr_status read_roberta(reading *r, gr_json value)
{
    return put_around(r, value, true);
}

/* Moves offsets, never ids. */
static gr_status read_byte_level(reading *r, gr_json value)
{
    (void)r, (void)value;
    return GR_OK;
}

typedef struct kind {
    const char *type;
    gr_status (*read)(reading *r, gr_json value);
} kind;

static const kind kinds[] = {
    {"ByteLevel", read_byte_level},
    {"TemplateProcessing", read_template},
    {"BertProcessing", read_bert},
    {"RobertaProcessing", read_roberta},
};

static gr_status read_kind(void *to, const void *kind_of_processor, gr_json value)
{
    const kind *k = kind_of_processor;
    return k->read(to, value);
}

static const gr_chain chain = {
    .stage = "post-processor",
    .list = "processors",
    .supported = "ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing",
    .kinds = kinds,
    .count = sizeof kinds / sizeof *kinds,
    .size = sizeof *kinds,
    .add = read_kind,
};

gr_status gr_post_read(gr_json value, bool special, gr_post *out)
{
    reading r = {.special = special};
    gr_post *text;
    gr_status s = new_part(&r.now, &text);
    if (s == GR_OK)
        s = add_item(text, (gr_post_item){true, 0});
    if (s == GR_OK && gr_json_is(value))
        s = gr_chain_read(&chain, value, &r);
    for (size_t i = 0; i < r.now.n && s == GR_OK; i++)
        s = add_items(out, &r.now.at[i]);
    free_parts(&r.now);
    return s;
}

void gr_post_free(gr_post *p)
{
    gr_free(p->item);
    *p = (gr_post){0};
}
