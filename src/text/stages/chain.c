/* Reading a step or a Sequence of them, whatever the stage. */
#include "text/stages/chain.h"

#include <string.h>

enum { DEEPEST = 8 }; /* Sequences in Sequences */

static const void *find_kind(const gr_chain *c, const char *type)
{
    for (size_t i = 0; i < c->count; i++) {
        const void *kind = (const char *)c->kinds + i * c->size;
        if (strcmp(type, *(const char *const *)kind) == 0)
            return kind;
    }
    return NULL;
}

static gr_status read_step(const gr_chain *c, gr_json value, void *to, int depth)
{
    const char *type = gr_json_text(value, "type", "");
    gr_status s = gr_json_check(value.doc);
    if (s != GR_OK)
        return s;
    if (strcmp(type, "Sequence") == 0 && depth < DEEPEST) {
        gr_json list = gr_json_get(value, c->list);
        for (size_t i = 0; i < gr_json_size(list) && s == GR_OK; i++)
            s = read_step(c, gr_json_item(list, i), to, depth + 1);
        return s;
    }
    const void *kind = find_kind(c, type);
    if (!kind)
        return gr_json_fail(value, "%s \"%s\" is not supported\nsupported are %s, Sequence", c->stage, type,
                            c->supported);
    s = c->add(to, kind, value);
    return s == GR_OK ? gr_json_check(value.doc) : s;
}

gr_status gr_chain_read(const gr_chain *c, gr_json value, void *to)
{
    return read_step(c, value, to, 0);
}
