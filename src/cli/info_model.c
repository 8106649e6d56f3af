/* gradus info MODEL: read from the headers of its files, nothing is loaded. */
#include <string.h>
#include "base/dtype.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/human.h"
#include "cli/info.h"
#include "cli/term.h"
#include "format/checkpoint.h"

/* One line, or one key of the document. */
static void tell(gr_json into, const char *key, int64_t value)
{
    if (into.doc != NULL)
        gr_json_put_int(into, key, value);
    else
        gr_out("%-12s %s\n", key, gr_human_integer(value).s);
}

static void tell_text(gr_json into, const char *key, const char *value)
{
    char clean[200];
    gr_printable(value, strlen(value), clean, sizeof clean);
    if (into.doc != NULL)
        gr_json_put_text(into, key, clean);
    else
        gr_out("%-12s %s\n", key, clean);
}

static void tell_config(const gr_model_info *info, gr_json into)
{
    const struct {
        const char *key;
        int64_t value;
    } rows[] = {{"layers", info->layers},     {"embed", info->embed},       {"heads", info->heads},
                {"kv_heads", info->kv_heads}, {"head_dim", info->head_dim}, {"ffn", info->ffn},
                {"vocab", info->vocab},       {"context", info->context},   {"parameters", info->parameters}};
    tell_text(into, "arch", info->arch);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        tell(into, rows[i].key, rows[i].value);
    if (into.doc != NULL)
        gr_json_put_bool(into, "tied", info->tied);
    else
        tell_text(into, "head", info->tied ? "tied to the token embedding" : "its own weights");
}

static gr_status config_part(const char *dir, gr_json into)
{
    size_t size = 0;
    char *path = gr_path_join(dir, "config.json");
    char *text = path ? gr_file_read(path, GR_JSON_LIMIT, &size) : NULL;
    gr_device *device = text ? gr_device_open("ref", 1) : NULL;
    gr_model *model = device ? gr_model_new(path, text, size, device) : NULL;
    gr_status status = model ? GR_OK : gr_error_status();
    if (model != NULL)
        tell_config(gr_model_describe(model), into);
    gr_model_free(model);
    gr_device_close(device);
    gr_free(text);
    gr_free(path);
    return status;
}

/* How many tensors and bytes of each dtype. */
static gr_status weights_part(const char *dir, gr_json into)
{
    int64_t tensors[GR_DTYPE_COUNT] = {0}, bytes[GR_DTYPE_COUNT] = {0};
    gr_weights *weights = gr_weights_open(dir);
    if (weights == NULL)
        return gr_error_status();
    for (int i = 0; i < gr_weights_count(weights); i++) {
        const gr_safetensor *t = gr_weights_entry(weights, i);
        tensors[t->dtype]++;
        bytes[t->dtype] += (int64_t)t->bytes;
    }
    gr_json list = into.doc != NULL ? gr_json_put_object(into, "weights") : into;
    for (int d = 0; d < GR_DTYPE_COUNT; d++) {
        if (tensors[d] == 0)
            continue;
        if (into.doc != NULL) {
            gr_json entry = gr_json_put_object(list, gr_dtype_name((gr_dtype)d));
            gr_json_put_int(entry, "tensors", tensors[d]);
            gr_json_put_int(entry, "bytes", bytes[d]);
        } else {
            gr_out("%-12s %lld tensors of %s, %s\n", "weights", (long long)tensors[d], gr_dtype_name((gr_dtype)d),
                   gr_human_bytes((double)bytes[d]).s);
        }
    }
    int files = gr_weights_files(weights);
    gr_weights_close(weights);
    tell(into, "files", files);
    return GR_OK;
}

static gr_status tokenizer_part(const char *dir, gr_json into)
{
    char *path = gr_path_join(dir, "tokenizer.json");
    if (path == NULL)
        return GR_ERR_MEMORY;
    tell_text(into, "tokenizer", gr_path_is_file(path) ? "tokenizer.json" : "none");
    gr_free(path);
    return GR_OK;
}

gr_status gr_info_model(const char *path, gr_json into)
{
    char *dir = gr_checkpoint_resolve(path);
    if (dir == NULL)
        return gr_error_status();
    tell_text(into, "path", dir);
    gr_status status = config_part(dir, into);
    if (status == GR_OK)
        status = weights_part(dir, into);
    if (status == GR_OK)
        status = tokenizer_part(dir, into);
    gr_free(dir);
    return status;
}
