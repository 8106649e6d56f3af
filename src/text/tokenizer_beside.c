/* Added tokens and switches that stand beside a tokenizer's own file, put into it as AutoTokenizer of transformers 5 does:
 * added_tokens_decoder in the order of its ids, then named tokens that are missing, then the additional ones. The result
 * is written into the tokenizer's JSON text as well, so that what is saved is what was loaded. */
#include <stdio.h>
#include "text/files/json_text.h"
#include "text/tokenizer.h"
#include "base/error.h"
#include "base/log.h"

/* ---- which tokens are added --------------------------------------------------------------------------------- */

typedef struct pending {
    const gr_told_token **at;
    size_t n, cap;
    gr_vocab told;  /* contents of the decoder's, which are not asked for again, whatever their flags */
    gr_vocab place; /* contents of the others; the id is the place of the first in `at` */
    gr_vocab named; /* contents of all that have a name */
} pending;

static gr_status remember(gr_vocab *v, const gr_told_token *t)
{
    if (gr_vocab_find(v, t->content, t->size) >= 0)
        return GR_OK;
    return gr_vocab_add(v, t->content, t->size, (uint32_t)v->count);
}

static gr_status append(pending *p, const gr_told_token *t)
{
    gr_status s = gr_grow(&p->at, &p->cap, p->n + 1, sizeof *p->at);
    if (s == GR_OK)
        p->at[p->n++] = t;
    return s;
}

/* A token that nothing has yet; the same content with other flags comes again, and its flags count. */
static gr_status append_missing(pending *p, const gr_tokenizer *t, const gr_told_token *token)
{
    if (gr_vocab_find(&t->added.vocab, token->content, token->size) >= 0 ||
        gr_vocab_find(&p->told, token->content, token->size) >= 0)
        return GR_OK;
    int32_t before = gr_vocab_find(&p->place, token->content, token->size);
    if (before >= 0 && gr_told_same_flags(p->at[before], token))
        return GR_OK;
    gr_status s = append(p, token);
    if (s == GR_OK && before < 0)
        s = gr_vocab_add(&p->place, token->content, token->size, (uint32_t)(p->n - 1));
    return s;
}

/* ---- named tokens: those of every class in their order, then the model's own -------------------------------- */

typedef struct names {
    gr_told_token standard[GR_NAMED_COUNT]; /* content NULL: none; strings are the class's or the files' */
    bool told[GR_NAMED_COUNT];
    const gr_beside *beside;
} names;

/* The class's names count where the files tell none. Beside a tokenizer.json they are only those that its vocabulary
 * has: it grows by what is told alone. */
static names names_of(const gr_tokenizer *t, const gr_tokenizer_class *c, const gr_beside *b, bool has_json)
{
    names n = {.beside = b};
    for (int i = 0; i < GR_NAMED_COUNT; i++) {
        n.standard[i] = b->named[i];
        n.told[i] = b->named_told[i];
        if (b->named_told[i] || !c->named[i] || (has_json && gr_tokenizer_id(t, c->named[i]) < 0))
            continue;
        n.standard[i] = (gr_told_token){.content = (char *)c->named[i], .size = strlen(c->named[i]), .plain = true};
    }
    for (size_t i = 0; i < b->own.n; i++) {
        int which = gr_named_of(b->own.at[i].key);
        if (which >= 0) { /* told as extra_special_tokens: {"eos_token": "<e>"} */
            n.standard[which] = b->own.at[i];
            n.told[which] = true;
        }
    }
    return n;
}

static const gr_told_token *own_called(const gr_told_list *list, const char *key)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->at[i].key, key) == 0)
            return &list->at[i];
    return NULL;
}

static gr_status each_name(const names *n, gr_status (*each)(void *ctx, const gr_told_token *t), void *ctx)
{
    const gr_beside *b = n->beside;
    gr_status s = GR_OK;
    for (int i = 0; i < GR_NAMED_COUNT && s == GR_OK; i++)
        if (n->standard[i].content)
            s = each(ctx, &n->standard[i]);
    for (size_t i = 0; i < b->own_first.n && s == GR_OK; i++) {
        const gr_told_token *later = own_called(&b->own, b->own_first.at[i].key);
        s = each(ctx, later ? later : &b->own_first.at[i]);
    }
    for (size_t i = 0; i < b->own.n && s == GR_OK; i++)
        if (!own_called(&b->own_first, b->own.at[i].key) && gr_named_of(b->own.at[i].key) < 0)
            s = each(ctx, &b->own.at[i]);
    return s;
}

typedef struct collecting {
    pending *pending;
    const gr_tokenizer *t;
} collecting;

static gr_status collect_name(void *ctx, const gr_told_token *token)
{
    collecting *c = ctx;
    gr_status s = remember(&c->pending->named, token);
    return s == GR_OK ? append_missing(c->pending, c->t, token) : s;
}

static const gr_told_list *unnamed(const gr_beside *b)
{
    return b->extra.told ? &b->extra : &b->additional;
}

static gr_status collect(const gr_tokenizer *t, const gr_beside *b, const names *n, pending *p)
{
    const gr_told_list *extra = unnamed(b);
    gr_status s = GR_OK;
    for (size_t i = 0; i < b->decoder.n && s == GR_OK; i++) {
        s = remember(&p->told, &b->decoder.at[i]);
        if (s == GR_OK)
            s = append(p, &b->decoder.at[i]);
    }
    if (s == GR_OK)
        s = each_name(n, collect_name, &(collecting){p, t});
    for (size_t i = 0; i < extra->n && s == GR_OK; i++)
        s = append_missing(p, t, &extra->at[i]);
    return s;
}

/* ---- putting them in ---------------------------------------------------------------------------------------- */

static bool same_flags(const gr_added_token *a, const gr_added_token *b)
{
    return a->special == b->special && a->normalized == b->normalized && a->lstrip == b->lstrip &&
           a->rstrip == b->rstrip && a->single_word == b->single_word;
}

/* Adds it, if it is not there with these flags. */
static gr_status put_token(gr_tokenizer *t, const gr_told_token *token, gr_added_token flags, bool *changed)
{
    int32_t id = gr_vocab_find(&t->added.vocab, token->content, token->size);
    const gr_added_token *old = id >= 0 ? &t->added.token[id] : NULL;
    flags.special |= old && old->special; /* once a control token, always one */
    if (!token->size || (old && same_flags(old, &flags)))
        return GR_OK;
    *changed = true;
    return gr_added_put(&t->added, &t->model->vocab, token->content, token->size, flags, &id);
}

static gr_status put_pending(gr_tokenizer *t, const pending *p, bool *changed)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < p->n && s == GR_OK; i++) {
        const gr_told_token *token = p->at[i];
        gr_added_token flags = gr_told_flags(token);
        if (!flags.special && gr_vocab_find(&p->named, token->content, token->size) >= 0)
            flags.special = true;
        if (token->normalized <= GR_TOLD_NULL)
            flags.normalized = !flags.special;
        s = put_token(t, token, flags, changed);
    }
    return s;
}

typedef struct putting {
    gr_tokenizer *t;
    bool *changed;
} putting;

static gr_status put_again(void *ctx, const gr_told_token *token)
{
    putting *p = ctx;
    return put_token(p->t, token, (gr_added_token){.special = true}, p->changed);
}

/* Ids are given as Hugging Face's code does; the files may think otherwise. */
static void remark_ids(const gr_tokenizer *t, const gr_beside *b)
{
    const gr_told_token *first = NULL;
    size_t n = 0;
    char shown[80];
    for (size_t i = 0; i < b->decoder.n; i++) {
        const gr_told_token *token = &b->decoder.at[i];
        if (token->size && gr_tokenizer_find(t, token->content, token->size) != token->id && !n++)
            first = token;
    }
    if (first)
        gr_remark(GR_LOG_WARN,
                  "added token %s has id %lld, not %lld as is told beside the tokenizer (%zu of them are so): ids "
                  "follow the vocabulary without a gap, as in transformers",
                  gr_printable(first->content, first->size, shown, sizeof shown),
                  (long long)gr_tokenizer_find(t, first->content, first->size), (long long)first->id, n);
}

static gr_status put_tokens(gr_tokenizer *t, const gr_tokenizer_class *c, const gr_beside *b, const names *n,
                            bool *changed)
{
    const gr_told_list *extra = unnamed(b);
    pending p = {0};
    putting again = {t, changed};
    gr_status s = collect(t, b, n, &p);
    gr_added_begin(&t->added, &t->model->vocab);
    if (s == GR_OK)
        s = put_pending(t, &p, changed);
    if (s == GR_OK && c->names_again)
        s = each_name(n, put_again, &again);
    for (size_t i = 0; i < extra->n && c->names_again && s == GR_OK; i++)
        s = put_again(&again, &extra->at[i]);
    if (s == GR_OK)
        remark_ids(t, b);
    gr_free(p.at);
    gr_vocab_free(&p.told);
    gr_vocab_free(&p.place);
    gr_vocab_free(&p.named);
    return s;
}

/* ---- what is put around a text ------------------------------------------------------------------------------ */

static gr_status set_post(gr_tokenizer *t, const gr_told_token *before, const gr_told_token *after)
{
    gr_post *p = &t->post;
    p->n = 0;
    gr_status s = gr_grow(&p->item, &p->cap, 3, sizeof *p->item);
    if (s != GR_OK)
        return s;
    if (before)
        p->item[p->n++] = (gr_post_item){false, (int32_t)gr_tokenizer_find(t, before->content, before->size)};
    p->item[p->n++] = (gr_post_item){true, 0};
    if (after)
        p->item[p->n++] = (gr_post_item){false, (int32_t)gr_tokenizer_find(t, after->content, after->size)};
    return GR_OK;
}

static gr_status add_template(const gr_tokenizer *t, const gr_told_token *before, const gr_told_token *after,
                              gr_bytes *json)
{
    gr_bytes first = {0}, last = {0};
    gr_status s = before ? gr_json_add_text(&first, before->content, before->size) : GR_OK;
    if (s == GR_OK && after)
        s = gr_json_add_text(&last, after->content, after->size);
    gr_token one = before ? gr_tokenizer_find(t, before->content, before->size) : 0;
    gr_token other = after ? gr_tokenizer_find(t, after->content, after->size) : 0;
    if (s == GR_OK)
        s = gr_json_add_template(json, &first, one, &last, other);
    gr_bytes_free(&first);
    gr_bytes_free(&last);
    return s;
}

/* RoBERTa's and BERT's, which differ for two texts. */
static gr_status add_cls_sep(const gr_tokenizer *t, bool roberta, const gr_told_token *cls, const gr_told_token *sep,
                             bool prefix, gr_bytes *json)
{
    const char *space = prefix ? "true" : "false";
    char number[120];
    snprintf(number, sizeof number, ", %lld], \"cls\": [", (long long)gr_tokenizer_find(t, sep->content, sep->size));
    gr_status s = gr_bytes_add_string(json, roberta ? "{\"type\": \"RobertaProcessing\", \"sep\": ["
                                                    : "{\"type\": \"BertProcessing\", \"sep\": [");
    if (s == GR_OK)
        s = gr_json_add_text(json, sep->content, sep->size);
    if (s == GR_OK)
        s = gr_bytes_add_string(json, number);
    if (s == GR_OK)
        s = gr_json_add_text(json, cls->content, cls->size);
    snprintf(number, sizeof number, ", %lld]%s%s}", (long long)gr_tokenizer_find(t, cls->content, cls->size),
             roberta ? ", \"trim_offsets\": true, \"add_prefix_space\": " : "", roberta ? space : "");
    return s == GR_OK ? gr_bytes_add_string(json, number) : s;
}

/* transformers writes its template as a string, where these have a meaning of their own. */
static gr_status check_in_template(const gr_told_token *token, const char *hint)
{
    char shown[80];
    if (!token || (token->size && !memchr(token->content, ' ', token->size) &&
                   !memchr(token->content, ':', token->size) && token->content[0] != '$'))
        return GR_OK;
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "tokenizer_config.json: '%s' cannot be put before or behind every text: spaces, colons and $ mean "
                   "something else there\n%s",
                   gr_printable(token->content, token->size, shown, sizeof shown), hint);
}

typedef struct around {
    const gr_told_token *before, *after; /* NULL: nothing */
} around;

/* As the switches say. Beside a tokenizer.json transformers does not heed them. */
static gr_status choose_switched(const gr_beside *b, const names *n, bool has_json, around *a)
{
    const char *hint = "take add_bos_token and add_eos_token out, and put the token into the text";
    const gr_told_token *standard = n->standard;
    if (b->add_bos == GR_TOLD_YES && standard[GR_NAMED_BOS].content && !has_json)
        a->before = &standard[GR_NAMED_BOS];
    if (b->add_eos == GR_TOLD_YES && standard[GR_NAMED_EOS].content && !has_json)
        a->after = &standard[GR_NAMED_EOS];
    gr_status s = check_in_template(a->before, hint);
    return s == GR_OK ? check_in_template(a->after, hint) : s;
}

static bool has_cls_sep(const gr_tokenizer_class *c)
{
    return c->post == GR_POST_ROBERTA || c->post == GR_POST_BERT;
}

static gr_status choose_around(const gr_tokenizer_class *c, const gr_beside *b, const names *n, bool has_json,
                               around *a)
{
    const char *hint = "give it another cls_token or sep_token";
    gr_status s = choose_switched(b, n, has_json, a);
    if (s != GR_OK || !has_cls_sep(c))
        return s;
    *a = (around){&n->standard[GR_NAMED_CLS], &n->standard[GR_NAMED_SEP]};
    if (!a->before->size || !a->after->size)
        return gr_fail(GR_ERR_FILE, "tokenizer_config.json: %s needs a cls_token and a sep_token", c->name);
    if (c->post == GR_POST_BERT) /* RoBERTa's are no strings of a template */
        s = check_in_template(a->before, hint);
    return s != GR_OK || c->post != GR_POST_BERT ? s : check_in_template(a->after, hint);
}

static bool is_token(const gr_tokenizer *t, const gr_post_item *item, const gr_told_token *token)
{
    return !item->is_text && item->id == gr_tokenizer_find(t, token->content, token->size);
}

static bool is_around(const gr_tokenizer *t, const around *a)
{
    const gr_post_item *item = t->post.item;
    if (t->post.n != 1u + (a->before != NULL) + (a->after != NULL) || (a->before && !is_token(t, item++, a->before)))
        return false;
    return item->is_text && (!a->after || is_token(t, item + 1, a->after));
}

/* Puts it into the tokenizer, and appends it to json where it was otherwise. */
static gr_status make_post(gr_tokenizer *t, const gr_tokenizer_class *c, const gr_beside *b, const names *n,
                           bool has_json, gr_bytes *json)
{
    around a = {NULL, NULL};
    if (has_json && c->post == GR_POST_SWITCHES)
        return GR_OK;
    gr_status s = choose_around(c, b, n, has_json, &a);
    if (s != GR_OK || is_around(t, &a))
        return s;
    s = set_post(t, a.before, a.after);
    if (s != GR_OK)
        return s;
    if (has_cls_sep(c))
        return add_cls_sep(t, c->post == GR_POST_ROBERTA, a.before, a.after, b->add_prefix_space == GR_TOLD_YES, json);
    return add_template(t, a.before, a.after, json);
}

/* ---- the text ----------------------------------------------------------------------------------------------- */

static gr_status write_added(const gr_added *a, gr_bytes *out)
{
    gr_status s = gr_bytes_add_string(out, "[");
    const char *separator = "\n";
    for (size_t id = 0; id < a->rows && s == GR_OK; id++) {
        size_t size;
        const char *text = gr_vocab_text(&a->vocab, (int64_t)id, &size);
        if (!a->token[id].present || !text)
            continue;
        s = gr_bytes_add_string(out, separator);
        if (s == GR_OK)
            s = gr_json_add_flagged_token(out, (int64_t)id, text, size, &a->token[id]);
        separator = ",\n";
    }
    return s == GR_OK ? gr_bytes_add_string(out, "]") : s;
}

static gr_status replace(gr_tokenizer *t, const char *key, const gr_bytes *value)
{
    gr_bytes out = {0};
    gr_status s = gr_json_add_replaced(&out, t->json, t->json_size, key, value);
    if (s == GR_OK)
        s = gr_bytes_add(&out, "", 1);
    if (s != GR_OK) {
        gr_bytes_free(&out);
        return s;
    }
    gr_free(t->json);
    t->json = out.data;
    t->json_size = out.size - 1;
    return GR_OK;
}

static gr_status write_added_tokens(gr_tokenizer *t)
{
    gr_bytes added = {0};
    gr_status s = write_added(&t->added, &added);
    if (s == GR_OK)
        s = replace(t, "added_tokens", &added);
    gr_bytes_free(&added);
    return s;
}

/* ---- all of it ---------------------------------------------------------------------------------------------- */

/* A name of the class that the model does not know ends no text: it was only added. */
static void set_end(const gr_tokenizer *t, const gr_told_token *token, bool told, int32_t *id)
{
    const char *content = token->content;
    if (content && (told || gr_vocab_find(&t->model->vocab, content, token->size) >= 0))
        *id = (int32_t)gr_tokenizer_find(t, content, token->size);
    else if (told)
        *id = -1;
}

static void set_ends(gr_tokenizer *t, const names *n)
{
    set_end(t, &n->standard[GR_NAMED_BOS], n->told[GR_NAMED_BOS], &t->bos);
    set_end(t, &n->standard[GR_NAMED_EOS], n->told[GR_NAMED_EOS], &t->eos);
}

static gr_status keep_names(gr_tokenizer *t, const names *n)
{
    for (int i = 0; i < GR_NAMED_COUNT; i++) {
        gr_free(t->named[i]);
        t->named[i] = NULL;
        if (n->standard[i].content && !(t->named[i] = gr_strdup(n->standard[i].content)))
            return GR_ERR_MEMORY;
    }
    return GR_OK;
}

static bool same_tokens(const gr_added *a, const gr_added *b)
{
    bool same = a->rows == b->rows;
    for (size_t id = 0; same && id < a->rows; id++) {
        size_t x_size = 0, y_size = 0;
        const char *x = gr_vocab_text(&a->vocab, (int64_t)id, &x_size),
                   *y = gr_vocab_text(&b->vocab, (int64_t)id, &y_size);
        same = a->token[id].present == b->token[id].present && !x == !y && x_size == y_size &&
               (!x || memcmp(x, y, x_size) == 0) && same_flags(&a->token[id], &b->token[id]);
    }
    return same;
}

/* Without those of a tokenizer.json, whose class takes only what is told. */
static gr_status put_tokens_anew(gr_tokenizer *t, const gr_tokenizer_class *c, const gr_beside *b, const names *n,
                                 bool *changed)
{
    gr_added old = t->added;
    t->added = (gr_added){0};
    gr_status s = put_tokens(t, c, b, n, changed);
    *changed = !same_tokens(&old, &t->added);
    if (s == GR_OK && !*changed) {
        gr_added_free(&t->added);
        t->added = old;
        return GR_OK;
    }
    gr_added_free(&old);
    return s;
}

gr_status gr_tokenizer_add_beside(gr_tokenizer *t, const gr_tokenizer_class *c, const gr_beside *b, bool has_json)
{
    gr_bytes post = {0};
    bool changed = false, anew = has_json && c->anew && b->decoder.told;
    names n = names_of(t, c, b, has_json);
    gr_status s = anew ? put_tokens_anew(t, c, b, &n, &changed) : put_tokens(t, c, b, &n, &changed);
    if (s == GR_OK && changed)
        s = gr_tokenizer_prepare_added(t);
    if (s == GR_OK && changed)
        s = write_added_tokens(t);
    if (s == GR_OK)
        s = make_post(t, c, b, &n, has_json, &post);
    if (s == GR_OK && post.size)
        s = replace(t, "post_processor", &post);
    gr_bytes_free(&post);
    if (s != GR_OK)
        return s;
    set_ends(t, &n);
    return keep_names(t, &n);
}
