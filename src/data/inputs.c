/* What was read, known by its bytes. */
#include "data/inputs.h"

#include "base/checksum.h"
#include "base/mem.h"

gr_status gr_inputs_add(gr_inputs *l, const gr_input_file *file)
{
    gr_status s = gr_grow(&l->list, &l->cap, l->n + 1, sizeof *l->list);
    char *copy = s == GR_OK ? gr_strdup(file->name) : NULL;
    if (!copy)
        return GR_ERR_MEMORY;
    l->list[l->n] = *file;
    l->list[l->n++].name = copy;
    return GR_OK;
}

gr_status gr_inputs_copy(gr_inputs *to, const gr_inputs *from)
{
    *to = (gr_inputs){0};
    gr_status s = gr_grow(&to->list, &to->cap, from->n + 1, sizeof *to->list);
    for (size_t i = 0; s == GR_OK && i < from->n; i++) {
        to->list[i] = from->list[i];
        to->list[i].name = gr_strdup(from->list[i].name);
        s = to->list[i].name ? GR_OK : GR_ERR_MEMORY;
        to->n += s == GR_OK;
    }
    return s;
}

void gr_inputs_free(gr_inputs *l)
{
    for (size_t i = 0; i < l->n; i++)
        gr_free(l->list[i].name);
    gr_free(l->list);
    *l = (gr_inputs){0};
}

uint64_t gr_inputs_digest(const gr_inputs *l, int64_t *bytes)
{
    uint64_t digest = 0;
    *bytes = 0;
    for (size_t i = 0; i < l->n; i++) {
        const gr_input_file *in = &l->list[i];
        const uint64_t words[] = {digest, (uint64_t)in->bytes, in->checksum, in->is_jsonl};
        digest = gr_checksum_words(words, 4);
        *bytes += in->bytes;
    }
    return digest;
}
