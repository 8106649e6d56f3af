/* Reading the files that stand beside a tokenizer. */
#include <stdlib.h>
#include "text/files/beside.h"
#include "base/file.h"
#include "base/mem.h"

static const char *const standard[GR_NAMED_COUNT] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                                     "pad_token", "cls_token", "mask_token"};

enum { most_listed = 1 << 14 }; /* where each is compared with those before it */

int gr_named_of(const char *key)
{
    for (int i = 0; i < GR_NAMED_COUNT; i++)
        if (strcmp(key, standard[i]) == 0)
            return i;
    return -1;
}

/* ---- tokens and lists of them ------------------------------------------------------------------------------- */

static void free_token(gr_told_token *t)
{
    gr_free(t->key);
    gr_free(t->content);
    *t = (gr_told_token){0};
}

static void clear_list(gr_told_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free_token(&list->at[i]);
    list->n = 0;
}

void gr_told_free(gr_told_list *list)
{
    clear_list(list);
    gr_free(list->at);
    *list = (gr_told_list){0};
}

static char *copy_of(const char *text, size_t size)
{
    char *copy = size < SIZE_MAX ? gr_alloc(size + 1) : NULL;
    if (copy) {
        memcpy(copy, text, size);
        copy[size] = 0;
    }
    return copy;
}

/* Gives the token its own copies of the strings. */
static gr_status own_strings(gr_told_token *t, const char *key, const char *content, size_t size)
{
    t->key = key ? gr_strdup(key) : NULL;
    t->content = content ? copy_of(content, size) : NULL;
    t->size = content ? size : 0;
    if ((!key || t->key) && (!content || t->content))
        return GR_OK;
    free_token(t);
    return GR_ERR_MEMORY;
}

gr_status gr_told_add(gr_told_list *list, const char *key, const char *content, size_t size, gr_told_token flags)
{
    gr_told_token t = flags;
    gr_status s = gr_grow(&list->at, &list->cap, list->n + 1, sizeof *list->at);
    if (s == GR_OK)
        s = own_strings(&t, key, content, size);
    if (s == GR_OK)
        list->at[list->n++] = t;
    return s;
}

/* The same of a dictionary of Python: a key that is there keeps its place. */
static gr_status put(gr_told_list *list, const char *key, const char *content, size_t size, gr_told_token flags)
{
    gr_told_token t = flags;
    if (list->n == most_listed)
        return gr_fail(GR_ERR_UNSUPPORTED,
                       "tokenizer_config.json: more than %d named tokens\nlist the others in added_tokens_decoder",
                       most_listed);
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->at[i].key, key) != 0)
            continue;
        gr_status s = own_strings(&t, key, content, size);
        if (s != GR_OK)
            return s;
        free_token(&list->at[i]);
        list->at[i] = t;
        return GR_OK;
    }
    return gr_told_add(list, key, content, size, flags);
}

gr_added_token gr_told_flags(const gr_told_token *t)
{
    bool special = t->plain || t->special;
    return (gr_added_token){
        .special = special,
        .normalized = t->normalized > GR_TOLD_NULL ? t->normalized == GR_TOLD_YES : !special,
        .lstrip = t->lstrip,
        .rstrip = t->rstrip,
        .single_word = t->single_word,
    };
}

bool gr_told_same_text(const gr_told_token *t, const char *content, size_t size)
{
    return t->content && t->size == size && memcmp(t->content, content, size) == 0;
}

bool gr_told_same_flags(const gr_told_token *a, const gr_told_token *b)
{
    return a->plain == b->plain && a->special == b->special && a->lstrip == b->lstrip && a->rstrip == b->rstrip &&
           a->single_word == b->single_word && gr_told_flags(a).normalized == gr_told_flags(b).normalized;
}

/* ---- single values ------------------------------------------------------------------------------------------ */

static gr_told read_switch(gr_json root, const char *key, gr_told before)
{
    gr_json value = gr_json_get(root, key);
    if (gr_json_type_of(value) == GR_JSON_ABSENT)
        return before;
    if (!gr_json_is(value))
        return GR_TOLD_NULL;
    return gr_json_as_bool(value) ? GR_TOLD_YES : GR_TOLD_NO;
}

/* "<s>", or {"content": "<s>", "lstrip": …}; null where `none` is allowed. Points into the document. */
static const char *read_token(gr_json value, bool none, gr_told_token *t, size_t *size)
{
    *t = (gr_told_token){0};
    *size = 0;
    if (none && gr_json_type_of(value) == GR_JSON_NULL)
        return NULL;
    if (gr_json_type_of(value) != GR_JSON_OBJECT) {
        t->plain = true;
        return gr_json_as_text(value, size);
    }
    t->special = gr_json_bool(value, "special", false);
    t->lstrip = gr_json_bool(value, "lstrip", false);
    t->rstrip = gr_json_bool(value, "rstrip", false);
    t->single_word = gr_json_bool(value, "single_word", false);
    t->normalized = read_switch(value, "normalized", GR_TOLD_NOT);
    return gr_json_as_text(gr_json_get(value, "content"), size);
}

/* The same of a token that has a name: an object of special_tokens_map.json (of_map) is special whatever it says, one of
 * tokenizer_config.json is added late. */
static const char *read_name(gr_json value, bool none, bool of_map, gr_told_token *t, size_t *size)
{
    const char *content = read_token(value, none, t, size);
    t->special |= of_map && !t->plain;
    t->late = !of_map && !t->plain;
    return content;
}

static gr_status read_named(gr_beside *b, int which, gr_json value, bool of_map)
{
    size_t size;
    gr_told_token t;
    const char *content = read_name(value, true, of_map, &t, &size);
    gr_status s = gr_json_check(value.doc);
    if (s == GR_OK)
        s = own_strings(&t, NULL, content, size);
    if (s != GR_OK)
        return s;
    free_token(&b->named[which]);
    b->named[which] = t;
    b->named_told[which] = true;
    return GR_OK;
}

gr_status gr_told_name(gr_beside *b, gr_named which, const char *content, size_t size)
{
    gr_told_token t = {.plain = true};
    gr_status s = own_strings(&t, NULL, content, size);
    if (s != GR_OK)
        return s;
    free_token(&b->named[which]);
    b->named[which] = t;
    b->named_told[which] = true;
    return GR_OK;
}

bool gr_told_has_id(const gr_told_list *list, int64_t id)
{
    size_t low = 0, high = list->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (list->at[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < list->n && list->at[low].id == id;
}

static gr_status put_value(gr_told_list *list, const char *key, gr_json value, bool of_map)
{
    size_t size;
    gr_told_token t;
    const char *content = read_name(value, false, of_map, &t, &size);
    gr_status s = gr_json_check(value.doc);
    return s == GR_OK ? put(list, key, content, size, t) : s;
}

static gr_status read_dict(gr_told_list *list, gr_json value)
{
    gr_status s = GR_OK;
    for (gr_json_iter it = gr_json_first(value); it.key && s == GR_OK; gr_json_next(&it))
        s = put_value(list, it.key, it.value, false);
    return s;
}

/* A list of tokens in place of what is there, or behind it, once each. */
static gr_status read_list(gr_told_list *list, gr_json value, bool of_map)
{
    gr_status s = GR_OK;
    if (!of_map)
        clear_list(list);
    list->told = true;
    if (!gr_json_is(value))
        return GR_OK;
    gr_json_as_array(value);
    for (size_t i = 0; i < gr_json_size(value) && s == GR_OK; i++) {
        size_t size;
        gr_told_token t;
        const char *content = read_token(gr_json_item(value, i), false, &t, &size);
        bool there = false;
        t.special |= of_map && !t.plain;
        t.late = !of_map && !t.plain;
        if ((s = gr_json_check(value.doc)) != GR_OK)
            break;
        if (of_map && list->n == most_listed)
            return gr_json_fail(value, "more than %d tokens\nlist the others in added_tokens_decoder", most_listed);
        for (size_t k = 0; of_map && k < list->n; k++)
            there |= gr_told_same_text(&list->at[k], content, size) && gr_told_same_flags(&list->at[k], &t);
        if (!there)
            s = gr_told_add(list, NULL, content, size, t);
    }
    return s == GR_OK ? gr_json_check(value.doc) : s;
}

static gr_status read_extra(gr_beside *b, gr_json value, bool of_map)
{
    if (gr_json_type_of(value) != GR_JSON_OBJECT)
        return read_list(&b->extra, value, of_map);
    clear_list(&b->extra);
    b->extra.told = false;
    return read_dict(&b->own, value);
}

static void read_switches(gr_beside *b, gr_json root)
{
    b->add_bos = read_switch(root, "add_bos_token", b->add_bos);
    b->add_eos = read_switch(root, "add_eos_token", b->add_eos);
    b->add_prefix_space = read_switch(root, "add_prefix_space", b->add_prefix_space);
    b->legacy = read_switch(root, "legacy", b->legacy);
    b->lower_case = read_switch(root, "do_lower_case", b->lower_case);
    b->chinese = read_switch(root, "tokenize_chinese_chars", b->chinese);
    b->strip_accents = read_switch(root, "strip_accents", b->strip_accents);
}

/* ---- tokenizer_config.json ---------------------------------------------------------------------------------- */

static gr_status read_names(gr_beside *b, gr_json root)
{
    gr_status s = gr_json_check(root.doc);
    for (gr_json_iter it = gr_json_first(root); it.key && s == GR_OK; gr_json_next(&it)) {
        int which = gr_named_of(it.key);
        gr_json_type type = gr_json_type_of(it.value);
        if (which >= 0)
            s = read_named(b, which, it.value, false);
        else if (gr_ends_with(it.key, "_token") && type == GR_JSON_TEXT)
            s = put_value(&b->own, it.key, it.value, false);
        else if (gr_ends_with(it.key, "_token") && gr_json_is(gr_json_get(it.value, "__type")))
            s = put_value(&b->own_first, it.key, it.value, false);
    }
    return s;
}

/* additional_special_tokens is the older name: it counts where the newer says nothing. */
static gr_status read_lists(gr_beside *b, gr_json root)
{
    gr_json extra = gr_json_get(root, "extra_special_tokens"),
            additional = gr_json_get(root, "additional_special_tokens");
    bool has_additional = gr_json_type_of(additional) != GR_JSON_ABSENT;
    if (!gr_json_size(extra) && has_additional)
        return read_extra(b, additional, false);
    gr_status s = gr_json_type_of(extra) != GR_JSON_ABSENT ? read_extra(b, extra, false) : GR_OK;
    return s != GR_OK || !has_additional ? s : read_list(&b->additional, additional, false);
}

static int compare_ids(const void *x, const void *y)
{
    const gr_told_token *a = x, *b = y;
    if (a->id != b->id)
        return a->id < b->id ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* By id; of several tokens with one id the last counts. */
static void sort_decoder(gr_told_list *list)
{
    size_t kept = 0;
    if (list->n)
        qsort(list->at, list->n, sizeof *list->at, compare_ids);
    for (size_t i = 0; i < list->n; i++) {
        if (i + 1 < list->n && list->at[i].id == list->at[i + 1].id)
            free_token(&list->at[i]);
        else
            list->at[kept++] = list->at[i];
    }
    list->n = kept;
}

static gr_status read_decoder(gr_beside *b, gr_json value)
{
    gr_status s = GR_OK;
    b->decoder.told = true;
    gr_json_as_object(value);
    if (gr_json_check(value.doc) != GR_OK)
        return gr_error_status();
    for (gr_json_iter it = gr_json_first(value); it.key && s == GR_OK; gr_json_next(&it)) {
        size_t size;
        gr_told_token t;
        char *end;
        long long id = strtoll(it.key, &end, 10);
        if (end == it.key || *end || it.key[0] == ' ' || id > INT32_MAX || id < -INT32_MAX)
            return gr_json_fail(it.value, "expected an id as the key");
        if (gr_json_type_of(it.value) != GR_JSON_OBJECT)
            return gr_json_fail(it.value, "expected an object with \"content\"");
        const char *content = read_token(it.value, false, &t, &size);
        s = gr_json_check(value.doc);
        t.id = id;
        t.order = b->decoder.n;
        if (s == GR_OK)
            s = gr_told_add(&b->decoder, NULL, content, size, t);
    }
    sort_decoder(&b->decoder);
    return s;
}

/* "auto_map": {"AutoTokenizer": ["module.Class", null]}, or the list alone. */
static gr_status read_own_code(gr_beside *b, gr_json map)
{
    gr_json list = gr_json_type_of(map) == GR_JSON_OBJECT ? gr_json_get(map, "AutoTokenizer") : map;
    gr_status s = GR_OK;
    for (size_t i = gr_json_size(list); i-- > 0 && !b->own_code && s == GR_OK;) {
        gr_json item = gr_json_item(list, i);
        if (gr_json_type_of(item) == GR_JSON_TEXT && !(b->own_code = gr_strdup(gr_json_as_text(item, &(size_t){0}))))
            s = GR_ERR_MEMORY;
    }
    return s;
}

static gr_status read_tokenizer_config(gr_beside *b, gr_json root)
{
    gr_json_as_object(root);
    const char *class = gr_json_text(root, "tokenizer_class", NULL);
    gr_json decoder = gr_json_get(root, "added_tokens_decoder");
    read_switches(b, root);
    gr_status s = gr_json_check(root.doc);
    b->any = true;
    if (s == GR_OK && class && !(b->tokenizer_class = gr_strdup(class)))
        s = GR_ERR_MEMORY;
    if (s == GR_OK)
        s = read_names(b, root);
    if (s == GR_OK)
        s = read_own_code(b, gr_json_get(root, "auto_map"));
    if (s == GR_OK)
        s = read_lists(b, root);
    if (s == GR_OK && gr_json_type_of(decoder) != GR_JSON_ABSENT)
        s = read_decoder(b, decoder);
    return s;
}

/* ---- the other files ---------------------------------------------------------------------------------------- */

static gr_status read_config(gr_beside *b, gr_json root)
{
    const char *type = gr_json_text(root, "model_type", NULL), *class = gr_json_text(root, "tokenizer_class", NULL);
    gr_status s = gr_json_check(root.doc);
    b->any = true;
    if (s == GR_OK && type && !(b->model_type = gr_strdup(type)))
        s = GR_ERR_MEMORY;
    if (s == GR_OK && class && !(b->model_class = gr_strdup(class)))
        s = GR_ERR_MEMORY;
    return s;
}

static gr_status read_special_map(gr_beside *b, gr_json root)
{
    gr_json_as_object(root);
    read_switches(b, root);
    gr_status s = gr_json_check(root.doc);
    for (gr_json_iter it = gr_json_first(root); it.key && s == GR_OK; gr_json_next(&it)) {
        int which = gr_named_of(it.key);
        gr_json_type type = gr_json_type_of(it.value);
        if (which >= 0)
            s = read_named(b, which, it.value, true);
        else if (strcmp(it.key, "extra_special_tokens") == 0)
            s = read_extra(b, it.value, true);
        else if (strcmp(it.key, "additional_special_tokens") == 0)
            s = read_list(&b->additional, it.value, false);
        else if (gr_ends_with(it.key, "_token") && (type == GR_JSON_TEXT || type == GR_JSON_OBJECT))
            s = put_value(&b->own_first, it.key, it.value, true);
    }
    return s;
}

/* What the files call special tokens; the class's own names do not count. */
static gr_status collect_special(const gr_beside *b, gr_vocab *special)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < GR_NAMED_COUNT + b->extra.n && s == GR_OK; i++) {
        const gr_told_token *t = i < GR_NAMED_COUNT ? &b->named[i] : &b->extra.at[i - GR_NAMED_COUNT];
        if (t->content && !t->late && gr_vocab_find(special, t->content, t->size) < 0)
            s = gr_vocab_add(special, t->content, t->size, (uint32_t)special->count);
    }
    return s;
}

static gr_status read_added_tokens(gr_beside *b, gr_json root)
{
    gr_vocab specials = {0};
    gr_json_as_object(root);
    gr_status s = gr_json_check(root.doc);
    if (s == GR_OK)
        s = collect_special(b, &specials);
    for (gr_json_iter it = gr_json_first(root); it.key && s == GR_OK; gr_json_next(&it)) {
        size_t size = it.key_size;
        bool special = gr_vocab_find(&specials, it.key, size) >= 0;
        gr_told_token t = {.id = gr_json_as_int(it.value, -INT32_MAX, INT32_MAX),
                           .order = b->decoder.n,
                           .special = special,
                           .normalized = special ? GR_TOLD_NO : GR_TOLD_YES};
        s = gr_json_check(root.doc);
        if (s == GR_OK)
            s = gr_told_add(&b->decoder, NULL, it.key, size, t);
    }
    sort_decoder(&b->decoder);
    gr_vocab_free(&specials);
    return s;
}

static gr_status read_file(const char *dir, const char *name, gr_status (*read)(gr_beside *, gr_json), gr_beside *b)
{
    char *path = gr_path_join(dir, name);
    if (!path)
        return GR_ERR_MEMORY;
    gr_status s = GR_OK;
    if (gr_path_is_file(path)) {
        gr_json_doc *doc = gr_json_read(path, GR_JSON_LIMIT);
        s = doc ? read(b, gr_json_root(doc)) : gr_error_status();
        if (s == GR_OK)
            s = gr_json_check(doc);
        gr_json_free(doc);
    }
    gr_free(path);
    return s;
}

gr_status gr_beside_read(const char *dir, gr_beside *b)
{
    gr_status s = read_file(dir, "config.json", read_config, b);
    if (s == GR_OK)
        s = read_file(dir, "tokenizer_config.json", read_tokenizer_config, b);
    if (s == GR_OK && !b->decoder.told)
        s = read_file(dir, "special_tokens_map.json", read_special_map, b);
    if (s == GR_OK && !b->decoder.told)
        s = read_file(dir, "added_tokens.json", read_added_tokens, b);
    return s;
}

void gr_beside_free(gr_beside *b)
{
    gr_told_list *lists[] = {&b->own_first, &b->own, &b->decoder, &b->extra, &b->additional};
    gr_free(b->model_type);
    gr_free(b->model_class);
    gr_free(b->tokenizer_class);
    gr_free(b->own_code);
    for (int i = 0; i < GR_NAMED_COUNT; i++)
        free_token(&b->named[i]);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        gr_told_free(lists[i]);
    *b = (gr_beside){0};
}
