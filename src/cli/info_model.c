/* gradus info MODEL: what the library reports of its files. */
#include <string.h>
#include "base/dtype.h"
#include "base/json.h"
#include "base/number.h"
#include "cli/human.h"
#include "cli/info.h"
#include "cli/open.h"
#include "cli/term.h"

/* What running it has activations in, unless told otherwise; of weights in blocks alone it is a question. */
static void tell_activations(gr_json weights, gr_json into)
{
    gr_dtype d;
    for (gr_json_iter it = gr_json_first(weights); it.key; gr_json_next(&it))
        if (gr_dtype_from_name(it.key, &d) && gr_dtype_is_block(d)) {
            gr_json_put_text(into, "activations", "int8");
            return;
        }
}

static gr_status report(const gr_found *found, gr_json into)
{
    char *text = gr_model_report(found->path, GR_REPORT_ALL);
    gr_json_doc *doc = text ? gr_json_parse("the report", text, strlen(text)) : NULL;
    gr_free(text);
    if (doc == NULL)
        return gr_error_status();
    gr_json_put_path(into, "path", found->path);
    for (gr_json_iter it = gr_json_first(gr_json_root(doc)); it.key; gr_json_next(&it))
        gr_json_put_copy(into, it.key, it.value);
    tell_activations(gr_json_get(into, "weights"), into);
    gr_json_free(doc);
    return GR_OK;
}

gr_status gr_info_model(const char *path, gr_json into)
{
    gr_find_options how = GR_INIT(gr_find_options);
    how.path_only = true;
    const gr_found *found = gr_find(path, &how);
    gr_status status = found ? report(found, into) : gr_error_status();
    gr_free(found);
    return status;
}

static void print_weights(gr_json dtypes)
{
    for (gr_json_iter it = gr_json_first(dtypes); it.key; gr_json_next(&it)) {
        int64_t tensors = gr_json_as_int(gr_json_get(it.value, "tensors"), 0, INT64_MAX);
        gr_out("%-12s %s tensor%s of %s, %s\n", "weights", gr_human_integer(tensors).s, gr_plural(tensors), it.key,
               gr_human_bytes((double)gr_json_as_int(gr_json_get(it.value, "bytes"), 0, INT64_MAX)).s);
    }
}

static void print_tokenizer(gr_json t)
{
    gr_out("%-12s %s tokens", "tokenizer", gr_human_integer(gr_json_as_int(gr_json_get(t, "tokens"), 0, INT64_MAX)).s);
    for (gr_json_iter it = gr_json_first(t); it.key; gr_json_next(&it))
        if (strcmp(it.key, "kind") == 0)
            gr_out(", %s", gr_json_as_text(it.value, NULL));
        else if (strcmp(it.key, "tokens") != 0)
            gr_out(", %s %lld", it.key, (long long)gr_json_as_int(it.value, 0, INT64_MAX));
    gr_out("\n");
}

static void print_files(gr_json files)
{
    char name[200];
    for (gr_json_iter it = gr_json_first(files); it.key; gr_json_next(&it))
        gr_out("%-12s %s, %s\n", "file", gr_printable(it.key, strlen(it.key), name, sizeof name),
               gr_human_bytes((double)gr_json_as_int(it.value, 0, INT64_MAX)).s);
}

static void print_list(const char *key, gr_json list)
{
    char text[100];
    gr_out("%-12s", key);
    for (size_t i = 0; i < gr_json_size(list); i++) {
        gr_json v = gr_json_item(list, i);
        if (gr_json_type_of(v) == GR_JSON_INT) {
            gr_out("%s %lld", i ? "," : "", (long long)gr_json_as_int(v, INT64_MIN, INT64_MAX));
            continue;
        }
        const char *item = gr_json_type_of(v) == GR_JSON_TEXT ? gr_json_as_text(v, NULL) : "?";
        gr_out("%s %s", i ? "," : "", gr_printable(item, strlen(item), text, sizeof text));
    }
    gr_out("\n");
}

static void print_object(const char *key, gr_json value)
{
    if (strcmp(key, "tokenizer") == 0)
        print_tokenizer(value);
    else if (strcmp(key, "files") == 0)
        print_files(value);
    else
        print_weights(value);
}

/* Keys that are wider than their column. */
static const char *label_of(const char *key)
{
    return strcmp(key, "embedding_parameters") == 0 ? "embedding"
           : strcmp(key, "sliding_layers") == 0     ? "sliding"
                                                    : key;
}

void gr_info_print_model(gr_json model)
{
    for (gr_json_iter it = gr_json_first(model); it.key; gr_json_next(&it)) {
        gr_json_type type = gr_json_type_of(it.value);
        char text[300];
        if (type == GR_JSON_OBJECT)
            print_object(it.key, it.value);
        else if (type == GR_JSON_ARRAY)
            print_list(it.key, it.value);
        else if (type == GR_JSON_REAL)
            gr_out("%-12s %g\n", it.key, gr_json_as_real(it.value, -1e300, 1e300));
        else if (type == GR_JSON_NULL)
            gr_out("%-12s none\n", it.key);
        else if (type == GR_JSON_INT)
            gr_out("%-12s %s\n", label_of(it.key), gr_human_integer(gr_json_as_int(it.value, INT64_MIN, INT64_MAX)).s);
        else if (type == GR_JSON_BOOL)
            gr_out("%-12s %s\n", it.key, gr_json_as_bool(it.value) ? "yes" : "no");
        else if (type == GR_JSON_TEXT) {
            const char *value = gr_json_as_path(it.value);
            gr_out("%-12s %s\n", it.key, gr_printable(value, strlen(value), text, sizeof text));
        }
    }
}
