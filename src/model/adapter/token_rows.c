/* Tokens that are trained alone (peft's trainable_token_indices): rows of an embedding, or of the head, that stand in
 * place of the model's. No copy of the whole matrix is made; tables say which row is whose:
 *
 *     map   i32 [V]     0, or 1 + the row's place in the adapter
 *     keep  f32 [V]     for a head: 1, or 0 for tokens with a row here
 *     place f32 [n, V]  for a head: puts column i of [.., n] where token i's logit stands
 */
#include "model/adapter/adapter.h"

#include "base/mem.h"
#include "op/op.h"

#include <stdio.h>

static gr_status add_table(gr_adapter *a, const gr_token_rows *r, const char *kind, gr_dtype dtype, int ndim,
                           const int64_t *shape, const void *data, int *index)
{
    char *name = gr_strfmt("%s.%s", a->notes[r->layer].module, kind);
    gr_entry e = GR_INIT(gr_entry);
    gr_status s = name ? gr_store_add(a->tables, name, GR_WEIGHT, dtype, ndim, shape) : GR_ERR_MEMORY;
    *index = s == GR_OK ? gr_store_find(a->tables, name) : -1;
    if (s == GR_OK)
        s = gr_store_entry(a->tables, *index, &e);
    if (s == GR_OK)
        s = gr_store_write(a->tables, name, data, e.bytes);
    gr_free(name);
    return s;
}

static gr_status open_head(gr_adapter *a, gr_token_rows *r, int64_t vocab)
{
    int64_t shape[] = {(int64_t)r->n, vocab};
    float *keep = gr_alloc((size_t)vocab * sizeof *keep), *place = gr_alloc_zero(r->n * (size_t)vocab, sizeof *place);
    gr_status s = keep && place ? GR_OK : GR_ERR_MEMORY;
    for (int64_t v = 0; s == GR_OK && v < vocab; v++)
        keep[v] = 1;
    for (size_t i = 0; s == GR_OK && i < r->n; i++) {
        keep[r->tokens[i]] = 0;
        place[i * (size_t)vocab + (size_t)r->tokens[i]] = 1;
    }
    if (s == GR_OK)
        s = add_table(a, r, "keep", GR_F32, 1, &vocab, keep, &r->keep);
    if (s == GR_OK)
        s = add_table(a, r, "place", GR_F32, 2, shape, place, &r->place);
    gr_free(keep);
    gr_free(place);
    return s;
}

gr_status gr_token_rows_open(gr_adapter *a, gr_token_rows *r)
{
    const gr_layer_note *l = &a->notes[r->layer];
    bool is_head = l->kind != GR_LAYER_EMBEDDING;
    int64_t vocab = is_head ? l->out : l->in;
    int32_t *map = gr_alloc_zero((size_t)vocab, sizeof *map);
    if (!map)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < r->n; i++)
        map[r->tokens[i]] = (int32_t)i + 1;
    gr_status s = add_table(a, r, "map", GR_I32, 1, &vocab, map, &r->map);
    gr_free(map);
    return s == GR_OK && is_head ? open_head(a, r, vocab) : s;
}

static gr_tensor *rows_of(gr_build *b, const gr_token_rows *r)
{
    return gr_adapter_entry(b, b->model->adapter->store, r->entry);
}

static gr_tensor *table(gr_build *b, int index)
{
    return gr_adapter_entry(b, b->model->adapter->tables, index);
}

/* `else_` [.., C], but the tokens' own rows where `which` [..] of the map is not 0. */
static gr_tensor *chosen(gr_build *b, gr_tensor *which, gr_tensor *rows, gr_tensor *else_)
{
    if (!which || !rows)
        return NULL;
    gr_tensor *none = gr_fill(b->g, GR_I32, 0, NULL, 0);
    return gr_select(gr_ne(gr_unsqueeze(which, which->spec.ndim), none), rows, else_);
}

/* The tokens' rows [.., C]; zeroes for what is not one of them. */
static gr_tensor *own_rows(gr_build *b, const gr_token_rows *r, gr_tensor *which)
{
    gr_tensor *rows = rows_of(b, r);
    if (!rows)
        return NULL;
    gr_tensor *both[] = {gr_fill(b->g, GR_F32, 2, (int64_t[]){1, rows->spec.shape[1]}, 0), rows};
    return gr_gather(gr_concat(both, 2, 0), which);
}

gr_tensor *gr_token_rows_result(gr_build *b, const gr_token_rows *r, const gr_layer *l, gr_tensor *y)
{
    if (l->kind == GR_LAYER_EMBEDDING) {
        gr_tensor *which = gr_gather(table(b, r->map), l->x);
        return chosen(b, which, gr_nn_no_padding(b, own_rows(b, r, which), l->x), y);
    }
    gr_tensor *logits = gr_matmul(gr_matmul(l->x, rows_of(b, r), false, true), table(b, r->place), false, false);
    return gr_add(gr_mul(y, table(b, r->keep)), logits);
}

gr_tensor *gr_token_rows_weight(gr_build *b, const gr_token_rows *r, gr_tensor *w)
{
    gr_tensor *which = table(b, r->map);
    return chosen(b, which, own_rows(b, r, which), w);
}
