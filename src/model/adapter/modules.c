/* Names of modules against the patterns of an adapter's config. */
#include "model/adapter/modules.h"

#include "base/mem.h"

#include <ctype.h>
#include <string.h>

enum { MOST_LAYERS = 1 << 14 };

/* ---- names -------------------------------------------------------------------------------------------------- */

/* Is `part` all of `name`, or what stands behind one of its dots? */
static bool ends_with(const char *name, const char *part)
{
    size_t n = strlen(name), m = strlen(part);
    return m > 0 && m <= n && strcmp(name + n - m, part) == 0 && (m == n || name[n - m - 1] == '.');
}

/* The same where a dot of the key stands for any character, as in a regex. */
static bool ends_with_pattern(const char *name, size_t n, const char *key)
{
    size_t m = strlen(key);
    if (m == 0 || m > n || (m < n && name[n - m - 1] != '.'))
        return false;
    for (size_t i = 0; i < m; i++)
        if (key[i] != '.' && key[i] != name[n - m + i])
            return false;
    return true;
}

bool gr_is_module_name(const char *key)
{
    for (const char *c = key; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '.')
            return false;
    return *key != '\0';
}

/* ---- regexes ------------------------------------------------------------------------------------------------ */

/* One that must match from the first character to the last. */
static gr_regex *whole_regex(const char *before, const char *pattern)
{
    char *whole = gr_strfmt("\\A%s(?:%s)\\z", before, pattern);
    gr_regex *r = whole ? gr_regex_new(whole, strlen(whole)) : NULL;
    gr_free(whole);
    return r;
}

static gr_status regex_matches(const gr_regex *r, const char *name, bool *found)
{
    size_t start, stop;
    gr_regex_search *s = gr_regex_search_new(r, name, strlen(name));
    if (!s)
        return gr_error_status();
    gr_status st = gr_regex_next(s, 0, found, &start, &stop);
    gr_regex_search_free(s);
    return st;
}

/* ---- target_modules ----------------------------------------------------------------------------------------- */

static void free_texts(char **texts, size_t n)
{
    for (size_t i = 0; texts && i < n; i++)
        gr_free(texts[i]);
    gr_free(texts);
}

void gr_modules_free(gr_modules *m)
{
    free_texts(m->names, m->n);
    free_texts(m->layer_lists, m->n_layer_lists);
    gr_regex_free(m->regex);
    gr_free(m->layers);
    *m = (gr_modules){0};
}

static gr_status read_texts(gr_json list, char ***out, size_t *n)
{
    size_t count = gr_json_size(gr_json_as_array(list));
    *out = gr_alloc_zero(count + 1, sizeof **out);
    if (!*out)
        return GR_ERR_MEMORY;
    for (*n = 0; *n < count; ++*n) {
        (*out)[*n] = gr_strdup(gr_json_as_text(gr_json_item(list, *n), NULL));
        if (!(*out)[*n])
            return GR_ERR_MEMORY;
    }
    return gr_json_check(list.doc);
}

gr_status gr_modules_read(gr_modules *m, gr_json value)
{
    if (gr_json_type_of(value) != GR_JSON_TEXT)
        return read_texts(value, &m->names, &m->n);
    const char *text = gr_json_as_text(value, NULL);
    m->all = strlen(text) == strlen("all-linear");
    for (size_t i = 0; m->all && text[i]; i++)
        m->all = tolower((unsigned char)text[i]) == "all-linear"[i];
    if (m->all || gr_json_check(value.doc) != GR_OK)
        return gr_json_check(value.doc);
    m->regex = whole_regex("", text);
    if (m->regex || gr_error_status() == GR_ERR_MEMORY)
        return m->regex ? GR_OK : GR_ERR_MEMORY;
    return gr_fail_in("key \"%s\"", value.key);
}

gr_status gr_modules_read_layers(gr_modules *m, gr_json layers, gr_json pattern)
{
    if (!gr_json_is(layers))
        return GR_OK;
    if (!m->names)
        return gr_json_fail(layers, "goes with a list of target_modules only");
    bool one = gr_json_type_of(layers) == GR_JSON_INT;
    m->n_layers = one ? 1 : gr_json_size(gr_json_as_array(layers));
    if (m->n_layers == 0) /* peft takes an empty list for none */
        return gr_json_check(layers.doc);
    m->layers = gr_alloc_zero(m->n_layers, sizeof *m->layers);
    if (!m->layers)
        return GR_ERR_MEMORY;
    for (size_t i = 0; i < m->n_layers; i++)
        m->layers[i] = gr_json_as_int(one ? layers : gr_json_item(layers, i), 0, MOST_LAYERS);
    if (gr_json_type_of(pattern) == GR_JSON_TEXT && *gr_json_as_text(pattern, NULL)) {
        m->layer_lists = gr_alloc_zero(1, sizeof *m->layer_lists);
        if (!m->layer_lists || !(m->layer_lists[0] = gr_strdup(gr_json_as_text(pattern, NULL))))
            return GR_ERR_MEMORY;
        m->n_layer_lists = 1;
    } else if (gr_json_is(pattern) && gr_json_size(pattern) > 0) {
        gr_status s = read_texts(pattern, &m->layer_lists, &m->n_layer_lists);
        if (s != GR_OK)
            return s;
    }
    for (size_t i = 0; i < m->n_layer_lists; i++)
        if (!gr_is_module_name(m->layer_lists[i]))
            gr_json_fail(pattern, "\"%s\" is a regex; names of lists of layers are supported", m->layer_lists[i]);
    return gr_json_check(layers.doc);
}

static bool is_layer_list(const gr_modules *m, const char *name, size_t size)
{
    for (size_t i = 0; i < m->n_layer_lists; i++)
        if (ends_with_pattern(name, size, m->layer_lists[i]))
            return true;
    return m->n_layer_lists == 0 && memchr(name, '.', size) != NULL;
}

/* The number between two dots that tells the layer: the first behind the name of a list of layers; -1: none. */
static int64_t layer_of(const gr_modules *m, const char *name)
{
    for (const char *dot = strchr(name, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t digits = strspn(dot + 1, "0123456789");
        if (digits == 0 || digits > 9 || dot[1 + digits] != '.' || !is_layer_list(m, name, (size_t)(dot - name)))
            continue;
        int64_t n = 0;
        for (size_t i = 0; i < digits; i++)
            n = n * 10 + (dot[1 + i] - '0');
        return n;
    }
    return -1;
}

static bool in_layers(const gr_modules *m, const char *name)
{
    int64_t layer = layer_of(m, name);
    for (size_t i = 0; i < m->n_layers; i++)
        if (m->layers[i] == layer)
            return true;
    return m->n_layers == 0;
}

gr_status gr_modules_match(const gr_modules *m, const char *name, bool *found)
{
    *found = m->all && strcmp(name, "lm_head") != 0;
    if (m->regex)
        return regex_matches(m->regex, name, found);
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->names[i], name) == 0) { /* a whole name is not asked for its layer */
            *found = true;
            return GR_OK;
        }
    for (size_t i = 0; i < m->n && !*found; i++)
        *found = ends_with(name, m->names[i]) && in_layers(m, name);
    return GR_OK;
}

/* ---- rank_pattern and alpha_pattern ------------------------------------------------------------------------- */

void gr_module_values_free(gr_module_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        gr_free(v->items[i].key);
        gr_regex_free(v->items[i].regex);
    }
    gr_free(v->items);
    *v = (gr_module_values){0};
}

gr_status gr_module_values_read(gr_module_values *v, gr_json object, double min, double max)
{
    if (!gr_json_is(object))
        return GR_OK;
    size_t count = gr_json_size(gr_json_as_object(object));
    v->items = gr_alloc_zero(count + 1, sizeof *v->items);
    if (!v->items)
        return GR_ERR_MEMORY;
    for (gr_json_iter it = gr_json_first(object); it.key && v->n < count; gr_json_next(&it)) {
        struct gr_module_value *item = &v->items[v->n++];
        item->value = gr_json_as_real(it.value, min, max);
        item->key = gr_strdup(it.key);
        if (!item->key)
            return GR_ERR_MEMORY;
        if (!gr_is_module_name(it.key) && !(item->regex = whole_regex("(?:.*\\.)?", it.key)))
            return gr_fail_in("key \"%s\"", object.key);
    }
    return gr_json_check(object.doc);
}

gr_status gr_module_values_find(const gr_module_values *v, const char *name, double *value)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct gr_module_value *item = &v->items[i];
        bool found = !item->regex && ends_with_pattern(name, strlen(name), item->key);
        gr_status s = item->regex ? regex_matches(item->regex, name, &found) : GR_OK;
        if (s != GR_OK)
            return s;
        if (found) {
            *value = item->value;
            return GR_OK;
        }
    }
    return GR_OK;
}
