/* Whether an adapter's tokenizer is one of the model that it is put on. Of usual files little is read: the same bytes, or the
 * same vocabulary with tokens added behind the same ones, and nothing is left to compare. */
#include "text/tokenizer.h"

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "format/gguf.h"
#include "text/files/large_parts.h"

#include <stdio.h>
#include <string.h>

/* ---- by their texts ----------------------------------------------------------------------------------------- */

static gr_json_doc *added_of(gr_map file, const gr_large_parts *large)
{
    size_t size;
    char *rest = gr_large_parts_cut((const char *)file.data, file.size, large, &size);
    gr_json_doc *doc = rest ? gr_json_parse("tokenizer.json", rest, size) : NULL;
    gr_free(rest);
    return doc;
}

/* The same tokens with the same ids, as far as the shorter list goes. */
static bool same_beginning(gr_json a, gr_json b)
{
    size_t n = gr_json_size(a) < gr_json_size(b) ? gr_json_size(a) : gr_json_size(b);
    bool same = true;
    for (size_t i = 0; i < n && same; i++) {
        gr_json x = gr_json_item(a, i), y = gr_json_item(b, i);
        same = strcmp(gr_json_text(x, "content", ""), gr_json_text(y, "content", "")) == 0 &&
               gr_json_int(x, "id", -1, 0, INT32_MAX) == gr_json_int(y, "id", -1, 0, INT32_MAX);
    }
    return same && gr_json_check(a.doc) == GR_OK && gr_json_check(b.doc) == GR_OK;
}

/* False: not to be seen at a glance. */
static bool is_same_text(gr_map a, gr_map b)
{
    gr_large_parts x, y;
    if (a.size == b.size && memcmp(a.data, b.data, a.size) == 0)
        return true;
    if (a.size > GR_JSON_LIMIT || b.size > GR_JSON_LIMIT || !gr_large_parts_find((const char *)a.data, a.size, &x) ||
        !gr_large_parts_find((const char *)b.data, b.size, &y) || !gr_large_same_vocab(x.vocab, y.vocab))
        return false;
    gr_json_doc *of_a = added_of(a, &x), *of_b = of_a ? added_of(b, &y) : NULL;
    bool same = of_b && same_beginning(gr_json_get(gr_json_root(of_a), "added_tokens"),
                                       gr_json_get(gr_json_root(of_b), "added_tokens"));
    gr_json_free(of_a);
    gr_json_free(of_b);
    return same;
}

/* The file that a directory's tokenizer is in, as far as it has one name; caller frees. */
static char *file_of(const char *dir)
{
    char *path = gr_path_join(dir, "tokenizer.json");
    if (!path || gr_path_is_file(path))
        return path;
    gr_free(path);
    return gr_strdup(dir);
}

static bool is_same_file(const char *a, const char *b)
{
    gr_map x = {0}, y = {0};
    bool same = false;
    if (gr_path_is_dir(a) || gr_path_is_dir(b) || gr_gguf_is_place(b))
        return false;
    if (gr_map_open(a, &x) == GR_OK && gr_map_open(b, &y) == GR_OK)
        same = is_same_text(x, y);
    gr_map_close(&y);
    gr_map_close(&x);
    gr_error_clear(); /* what is wrong is told by whoever reads all of it */
    return same;
}

/* ---- token by token ----------------------------------------------------------------------------------------- */

/* The first of them that differ, and how many do. */
typedef struct difference {
    const char *token, *other; /* other: what the model has in the id's place */
    size_t size, other_size, n;
    long long id, of_model;
} difference;

static void note(difference *d, difference found)
{
    size_t n = d->n + 1;
    if (n == 1)
        *d = found;
    d->n = n;
}

/* moved: tokens that both have, with other ids; renamed: ids that each has for a token that the other does not know. */
static void compare(const gr_tokenizer *adapter, const gr_tokenizer *model, difference *moved, difference *renamed)
{
    for (gr_token id = 0; id < gr_tokenizer_vocab_size(adapter); id++) {
        difference d = {.id = id};
        d.token = gr_tokenizer_token(adapter, id, &d.size, NULL);
        if (!d.token || gr_tokenizer_find(adapter, d.token, d.size) != id) /* some text has several ids */
            continue;
        d.of_model = gr_tokenizer_find(model, d.token, d.size);
        if (d.of_model >= 0 && d.of_model != id)
            note(moved, d);
        d.other = d.of_model < 0 ? gr_tokenizer_token(model, id, &d.other_size, NULL) : NULL;
        if (d.other && gr_tokenizer_find(adapter, d.other, d.other_size) < 0)
            note(renamed, d);
    }
}

static gr_status judge(const gr_tokenizer *adapter, const gr_tokenizer *model, const char *of_adapter,
                       const char *of_model)
{
    difference moved = {0}, renamed = {0};
    char token[80], other[80], more[60] = "";
    compare(adapter, model, &moved, &renamed);
    const difference *d = moved.n > 0 ? &moved : &renamed;
    if (d->n == 0)
        return GR_OK;
    gr_printable(d->token, d->size, token, sizeof token);
    if (d->n > 1)
        snprintf(more, sizeof more, ", and %zu more", d->n - 1);
    if (moved.n > 0)
        return gr_fail(GR_ERR_FILE,
                       "%s: the token %s has id %lld, and %lld in %s%s: the adapter is of another model\n"
                       "Give the model that it was trained on; if that is this one, take the tokenizer out of the "
                       "adapter's directory.",
                       of_adapter, token, d->id, d->of_model, of_model, more);
    gr_remark(GR_LOG_WARN, "%s: id %lld is the token %s, and %s in %s%s: the adapter may be of another model",
              of_adapter, d->id, token, gr_printable(d->other, d->other_size, other, sizeof other), of_model, more);
    return GR_OK;
}

static gr_status compare_whole(const char *adapter, const char *model, const char *of_adapter, const char *of_model)
{
    gr_remarks_pause(); /* who uses one of them loads it, and hears them then */
    gr_tokenizer *a = gr_tokenizer_load(adapter), *b = a ? gr_tokenizer_load(model) : NULL;
    gr_remarks_resume();
    gr_status s = b ? judge(a, b, of_adapter, of_model) : gr_error_status();
    gr_tokenizer_free(a);
    gr_tokenizer_free(b);
    return s;
}

gr_status gr_tokenizers_agree(const char *adapter, const char *model)
{
    char *of_adapter = file_of(adapter), *of_model = of_adapter ? file_of(model) : NULL;
    gr_status s = of_model ? GR_OK : GR_ERR_MEMORY;
    if (s == GR_OK && !is_same_file(of_adapter, of_model))
        s = compare_whole(adapter, model, of_adapter, of_model);
    gr_free(of_adapter);
    gr_free(of_model);
    return s;
}
