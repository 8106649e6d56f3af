/* Which tokens end a text. */
#include "model/layers/model.h"

#include "base/json.h"

#include <string.h>

/* "eos_token_id": 2, or [2, 3]. */
static gr_status read_ids(gr_json config, gr_ids *ids, bool *found)
{
    gr_json v = gr_json_get(config, "eos_token_id");
    bool is_list = gr_json_type_of(v) == GR_JSON_ARRAY;
    size_t count = is_list ? gr_json_size(v) : 1;
    gr_status s = GR_OK;
    *found = gr_json_is(v);
    for (size_t i = 0; s == GR_OK && *found && i < count; i++)
        s = gr_ids_add(ids, (gr_token)gr_json_as_int(is_list ? gr_json_item(v, i) : v, 0, INT32_MAX));
    return s;
}

static gr_status read_text(const char *name, const char *text, gr_ids *ids, bool *found)
{
    gr_json_doc *doc = gr_json_parse(name, text, strlen(text));
    if (!doc)
        return gr_error_status();
    gr_status s = read_ids(gr_json_as_object(gr_json_root(doc)), ids, found);
    if (s == GR_OK)
        s = gr_json_check(doc);
    gr_json_free(doc);
    return s;
}

gr_status gr_model_eos(const gr_model *m, gr_ids *ids)
{
    bool found = false;
    gr_status s = m->generation ? read_text("generation_config.json", m->generation, ids, &found) : GR_OK;
    return s == GR_OK && !found ? read_text("config.json", m->config, ids, &found) : s;
}
