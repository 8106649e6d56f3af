/* Verifying directories against their checksums. */
#include <stdio.h>
#include <string.h>

#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "format/verify.h"

#define SUMS "checksums.json"

static void note(gr_verifier *v, gr_verify_state state, const char *file, const char *tensor, const char *problem)
{
    const gr_verify_item item = {state, v->dir, file, tensor, problem};
    v->sum.good += state == GR_VERIFY_GOOD;
    v->sum.bad += state == GR_VERIFY_BAD;
    v->sum.unchecked += state == GR_VERIFY_UNCHECKED;
    v->dir_bad |= state == GR_VERIFY_BAD;
    if (state == GR_VERIFY_BAD && !v->first[0])
        snprintf(v->first, sizeof v->first, "%s%s%s%s%s%s: %s", v->dir, file ? "/" : "", file ? file : "",
                 tensor ? ": tensor \"" : "", tensor ? tensor : "", tensor ? "\"" : "", problem);
    if (v->item && v->fatal == GR_OK && !v->item(v->user, &item))
        v->fatal = GR_ERR_INTERRUPTED;
}

/* Reports gr_error() as damage of a file, unless it is not the file's fault. */
static void note_error(gr_verifier *v, const char *file)
{
    char why[GR_ERROR_SIZE];
    if (gr_error_status() == GR_ERR_MEMORY) {
        v->fatal = GR_ERR_MEMORY;
        return;
    }
    snprintf(why, sizeof why, "%s", gr_error());
    why[strcspn(why, "\n")] = 0;
    /* Most messages name the path; the report names it already. */
    size_t dir = strlen(v->dir), name = file ? strlen(file) : 0;
    static const char opening[] = "opening ";
    const char *text = strncmp(why, opening, sizeof opening - 1) == 0 ? why + sizeof opening - 1 : why;
    size_t path = file ? dir + 1 + name : dir;
    bool names_it = strncmp(text, v->dir, dir) == 0 && strncmp(text + path, ": ", 2) == 0 &&
                    (!file || (text[dir] == '/' && strncmp(text + dir + 1, file, name) == 0));
    text = names_it ? text + path + 2 : why;
    note(v, GR_VERIFY_BAD, file, NULL, text);
}

/* Compares with 16 hexadecimal digits. */
static void compare(gr_verifier *v, const char *file, const char *tensor, const char *expected, const void *data,
                    size_t size)
{
    char found[20], why[96];
    snprintf(found, sizeof found, "%016llx", (unsigned long long)gr_checksum(data, size));
    v->sum.bytes += size;
    if (strcmp(found, expected) == 0) {
        note(v, GR_VERIFY_GOOD, file, tensor, NULL);
        return;
    }
    snprintf(why, sizeof why, "the checksum is %s, %.20s was written", found, expected);
    note(v, GR_VERIFY_BAD, file, tensor, why);
}

static void verify_plain(gr_verifier *v, const char *path, const char *file, gr_json entry)
{
    char why[96];
    int64_t size = gr_json_as_int(gr_json_get(entry, "size"), 0, INT64_MAX);
    const char *sum = gr_json_as_text(gr_json_get(entry, "xxh64"), NULL);
    gr_map map;
    if (gr_json_check(entry.doc) != GR_OK)
        return;
    if (gr_map_open(path, &map) != GR_OK) {
        note_error(v, file);
        return;
    }
    if ((uint64_t)size != map.size) {
        snprintf(why, sizeof why, "%zu bytes, %lld were written", map.size, (long long)size);
        note(v, GR_VERIFY_BAD, file, NULL, why);
    } else {
        compare(v, file, NULL, sum, map.data, map.size);
    }
    gr_map_close(&map);
}

static void verify_safetensors(gr_verifier *v, const char *path, const char *file, gr_json entry)
{
    const char *header_sum = gr_json_as_text(gr_json_get(entry, "header"), NULL);
    gr_json tensors = gr_json_as_object(gr_json_get(entry, "tensors"));
    if (gr_json_check(entry.doc) != GR_OK)
        return;
    gr_safetensors *st = gr_safetensors_open(path);
    if (!st) {
        note_error(v, file);
        return;
    }
    size_t size;
    const void *header = gr_safetensors_header(st, &size);
    compare(v, file, NULL, header_sum, header, size);
    if (gr_json_size(tensors) != (size_t)gr_safetensors_count(st))
        note(v, GR_VERIFY_BAD, file, NULL, "the list of tensors in " SUMS " is another");
    for (int i = 0; i < gr_safetensors_count(st) && v->fatal == GR_OK; i++) {
        const gr_weight *t = gr_safetensors_entry(st, i);
        compare(v, file, t->name, gr_json_text(tensors, t->name, "none"), t->data, t->bytes);
    }
    gr_safetensors_close(st);
}

/* Everything that checksums.json lists. */
static void verify_listed(gr_verifier *v, gr_json files)
{
    for (gr_json_iter it = gr_json_first(files); it.key && v->fatal == GR_OK; gr_json_next(&it)) {
        if (!gr_checkpoint_may_hold(it.key)) {
            gr_json_fail(it.value, "names a file outside of the checkpoint");
            return;
        }
        char *path = gr_path_join(v->dir, it.key);
        if (!path)
            v->fatal = gr_error_status();
        else if (gr_json_is(gr_json_get(it.value, "header")))
            verify_safetensors(v, path, it.key, it.value);
        else
            verify_plain(v, path, it.key, it.value);
        gr_free(path);
    }
}

/* What lies in the directory beside it; and in the folder of templates. */
static void note_unlisted(gr_verifier *v, const char *folder, gr_json files)
{
    char **names = NULL, *whole = folder ? gr_path_join(v->dir, folder) : NULL;
    size_t count = 0;
    if ((folder && !whole) || gr_dir_list(folder ? whole : v->dir, &names, &count) != GR_OK)
        note_error(v, NULL);
    for (size_t i = 0; i < count; i++) {
        char *name = folder ? gr_path_join(folder, names[i]) : NULL;
        const char *listed = folder ? name : names[i];
        if (!listed)
            note_error(v, NULL);
        else if (!folder && strcmp(listed, GR_CHAT_TEMPLATES) == 0)
            note_unlisted(v, GR_CHAT_TEMPLATES, files);
        else if (!gr_json_is(gr_json_get(files, listed)) && strcmp(listed, SUMS) != 0)
            note(v, GR_VERIFY_UNCHECKED, listed, NULL, "not listed in " SUMS);
        gr_free(name);
    }
    gr_names_free(names, count);
    gr_free(whole);
}

static void verify_sums(gr_verifier *v, const char *sums_path)
{
    gr_json_doc *doc = gr_json_read(sums_path, GR_JSON_LIMIT);
    if (!doc) {
        note_error(v, SUMS);
        return;
    }
    gr_json files = gr_json_as_object(gr_json_get(gr_json_root(doc), "files"));
    gr_json_as_int(gr_json_get(gr_json_root(doc), "format"), 1, 1);
    if (gr_json_check(doc) == GR_OK && gr_json_size(files) == 0)
        gr_json_fail(files, "lists no file");
    if (gr_json_check(doc) == GR_OK)
        verify_listed(v, files);
    if (v->fatal == GR_OK && gr_json_check(doc) != GR_OK)
        note_error(v, SUMS);
    else if (v->fatal == GR_OK)
        note_unlisted(v, NULL, files);
    gr_json_free(doc);
}

/* A file of weights that is whole; some formats have checksums of their own. */
static void verify_source(gr_verifier *v, const gr_source *source)
{
    const char *slash = strrchr(source->path, '/'), *file = slash ? slash + 1 : source->path;
    char what[64];
    if (source->check && source->check(source->self) != GR_OK) {
        note_error(v, file);
        return;
    }
    snprintf(what, sizeof what, "a whole %s file%s", source->format,
             source->check ? "; what CRCs it has are right" : "");
    note(v, GR_VERIFY_UNCHECKED, file, NULL, what);
}

/* Takes the weights over; NULL is their failure. */
static void verify_weights(gr_verifier *v, gr_weights *w)
{
    for (int i = 0; w && i < gr_weights_files(w); i++)
        verify_source(v, gr_weights_file(w, i));
    if (!w)
        note_error(v, NULL);
    gr_weights_close(w);
}

/* A directory of Hugging Face's, or a bare file: there is nothing to compare with, but what can be read must make
 * sense. */
static void verify_unsigned(gr_verifier *v, bool is_dir)
{
    v->sum.dirs_unchecked++;
    note(v, GR_VERIFY_UNCHECKED, NULL, NULL, "no checksums here, only the structure is checked");
    verify_weights(v, gr_checkpoint_weights(v->dir));
    gr_adapter_place adapter = GR_ADAPTER_NOT_THERE;
    if (is_dir && gr_checkpoint_find_adapter(v->dir, &adapter) != GR_OK)
        v->fatal = gr_error_status();
    if (adapter == GR_ADAPTER_BESIDE)
        verify_weights(v, gr_weights_open_adapter(v->dir));
    char *config = is_dir ? gr_path_join(v->dir, "config.json") : NULL;
    if (config && gr_path_is_file(config)) {
        gr_json_doc *doc = gr_json_read(config, GR_JSON_LIMIT);
        if (doc)
            note(v, GR_VERIFY_UNCHECKED, "config.json", NULL, "valid JSON");
        else
            note_error(v, "config.json");
        gr_json_free(doc);
    } else if (is_dir && !config) {
        v->fatal = gr_error_status();
    }
    gr_free(config);
}

void gr_verify_dir(gr_verifier *v, const char *dir)
{
    char *sums = gr_path_join(dir, SUMS);
    v->dir = dir;
    v->dir_bad = false;
    v->sum.dirs++;
    if (!sums)
        v->fatal = gr_error_status();
    else if (gr_path_is_file(sums) || v->sums_needed)
        verify_sums(v, sums);
    else
        verify_unsigned(v, gr_path_is_dir(dir));
    v->sum.dirs_bad += v->dir_bad;
    gr_free(sums);
}

gr_status gr_verify_outcome(const gr_verifier *v)
{
    if (v->fatal == GR_ERR_INTERRUPTED)
        return gr_fail(v->fatal, "verifying: stopped");
    if (v->fatal != GR_OK)
        return gr_error_status();
    if (v->sum.bad == 0)
        return GR_OK;
    char more[48] = "";
    if (v->sum.bad > 1)
        snprintf(more, sizeof more, " (and %lld more)", (long long)v->sum.bad - 1);
    return gr_fail(GR_ERR_FILE, "%s%s\nuse another checkpoint, or fetch the file again", v->first, more);
}
