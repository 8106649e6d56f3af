/* JSON text to nodes. The grammar is RFC 8259's, and besides NaN, Infinity and -Infinity, which Python's json writes.
 * Why not a library: docs/decisions/0010-own-json.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json_node.h"
#include "base/json_pull.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "base/number.h"

typedef struct parser {
    gr_json_doc *doc;
    const char *text; /* all of it, for line and column */
    gr_pull in;
    gr_json_node **stack; /* items of the lists that are open, the innermost last */
    size_t n, cap;
    int depth;
} parser;

/* Line and column (from 1, in bytes) of a position. */
static void locate(const char *text, const char *at, int *line, int *column)
{
    *line = *column = 1;
    for (; text < at; text++) {
        *column = *text == '\n' ? 1 : *column + 1;
        *line += *text == '\n';
    }
}

static gr_json_node *refuse(parser *p, const char *at, const char *why)
{
    int line, column;
    if (at > p->in.end)
        at = p->in.end;
    locate(p->text, at, &line, &column);
    gr_fail(GR_ERR_FILE,
            "%s: not valid JSON: %s (line %d, column %d)\ncorrect it at that place, or take the file anew from where "
            "it came",
            p->doc->name, why, line, column);
    return NULL;
}

/* Says what was found where something else was expected. */
static gr_json_node *unexpected(parser *p, const char *expected)
{
    char shown[24], why[96];
    gr_pull_sees(&p->in, 0);
    const char *at = p->in.p, *stop = at;
    while (stop < p->in.end && stop - at < 16 && (unsigned char)*stop > ' ')
        stop++;
    if (at == p->in.end) {
        snprintf(why, sizeof why, "%s expected where the text ends", expected);
    } else {

        gr_printable(at, (size_t)(stop - at), shown, sizeof shown);
        snprintf(why, sizeof why, "%s expected near '%s'", expected, shown);
    }
    return refuse(p, at, why);
}

static const char *string_fault(const char *at, const char *end)
{
    for (const char *c = at; c < end && *c != '"'; c++) {
        if ((unsigned char)*c < 0x20)
            return "a control character in a string, which JSON writes as \\uXXXX,";
        if (*c == '\\' && ++c < end && !strchr("\"\\/bfnrtu", *c))
            return "a backslash before a letter that JSON has no meaning for";
        if (c + 1 >= end)
            return "a string that does not end";
    }
    return at >= end ? "a string that does not end" : "a string that is not UTF-8, or half of a surrogate pair,";
}

/* The string at p, kept in the document. */
static const char *read_text(parser *p, size_t *size)
{
    const char *text, *start = p->in.p;
    if (gr_pull_text(&p->in, &text, size))
        return gr_json_keep(p->doc, text, *size);
    if (!p->in.no_memory)
        refuse(p, start, string_fault(start + 1, p->in.end));
    return NULL;
}

/* ---- numbers and words -------------------------------------------------------------------------------------- */

static const char *digits(const char *c, const char *end)
{
    while (c < end && *c >= '0' && *c <= '9')
        c++;
    return c;
}

/* Behind the number at c, or NULL; *is_int: it has neither fraction nor exponent. */
static const char *number_end(const char *c, const char *end, bool *is_int)
{
    const char *start = c += c < end && *c == '-';
    c = digits(c, end);
    if (c == start || (*start == '0' && c - start > 1))
        return NULL;
    *is_int = true;
    if (c < end && *c == '.') {
        const char *fraction = ++c;
        *is_int = false;
        if ((c = digits(c, end)) == fraction)
            return NULL;
    }
    if (c < end && (*c == 'e' || *c == 'E')) {
        c += 1 + (c + 1 < end && (c[1] == '+' || c[1] == '-'));
        const char *exponent = c;
        *is_int = false;
        if ((c = digits(c, end)) == exponent)
            return NULL;
    }
    return c;
}

/* False: past 64 bits. Such ones stand in many tokenizer_config.json (10^30 for "no limit"), and read as f64. */
static bool to_int(const char *c, const char *stop, int64_t *x)
{
    bool minus = *c == '-';
    uint64_t value = 0, limit = (uint64_t)INT64_MAX + minus;
    for (c += minus; c < stop; c++) {
        uint64_t digit = (uint64_t)(*c - '0');
        if (value > (limit - digit) / 10)
            return false;
        value = 10 * value + digit;
    }
    *x = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static gr_json_node *read_number(parser *p)
{
    bool is_int = false;
    const char *start = p->in.p, *stop = number_end(start, p->in.end, &is_int);
    if (!stop)
        return unexpected(p, "a number");
    gr_json_node *node = gr_json_node_new(p->doc, GR_JSON_INT);
    p->in.p = stop;
    if (!node || (is_int && to_int(start, stop, &node->as.i)))
        return node;
    /* The text may go on with digits of a page that is not ours to read: numbers are read from a copy. */
    char brief[64];
    size_t size = (size_t)(stop - start);
    char *copy = size < sizeof brief ? brief : gr_alloc(size + 1);
    if (!copy)
        return NULL;
    memcpy(copy, start, size);
    copy[size] = 0;
    node->type = GR_JSON_REAL;
    node->as.r = gr_read_f64(copy, NULL);
    if (copy != brief)
        gr_free(copy);
    return isfinite(node->as.r) ? node : refuse(p, start, "a number too large for f64");
}

static bool take_word(parser *p, const char *word)
{
    size_t size = strlen(word);
    bool is = (size_t)(p->in.end - p->in.p) >= size && memcmp(p->in.p, word, size) == 0;
    p->in.p += is ? size : 0;
    return is;
}

static gr_json_node *read_word(parser *p)
{
    static const struct {
        const char *word;
        gr_json_type type;
        bool truth;
        double r;
    } words[] = {
        {"true", GR_JSON_BOOL, true, 0},
        {"false", GR_JSON_BOOL, false, 0},
        {"null", GR_JSON_NULL, false, 0},
        {"NaN", GR_JSON_REAL, false, NAN},
        {"Infinity", GR_JSON_REAL, false, INFINITY},
        {"-Infinity", GR_JSON_REAL, false, -INFINITY},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!take_word(p, words[i].word))
            continue;
        gr_json_node *node = gr_json_node_new(p->doc, words[i].type);
        if (node && words[i].type == GR_JSON_REAL)
            node->as.r = words[i].r;
        else if (node)
            node->truth = words[i].truth;
        return node;
    }
    return p->in.p < p->in.end && (*p->in.p == '-' || (*p->in.p >= '0' && *p->in.p <= '9')) ? read_number(p)
                                                                                            : unexpected(p, "a value");
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

static gr_json_node *read_value(parser *p);

/* The items from `base` of the stack become those of the list. */
static gr_json_node *close_list(parser *p, gr_json_node *list, size_t base)
{
    size_t n = p->n - base;
    p->n = base;
    p->depth--;
    list->as.list.items = gr_json_take(p->doc, n * sizeof *p->stack);
    if (!list->as.list.items)
        return NULL;
    if (n)
        memcpy(list->as.list.items, p->stack + base, n * sizeof *p->stack);
    list->as.list.n = list->as.list.cap = (uint32_t)n;
    return list->type == GR_JSON_ARRAY || gr_json_seal(p->doc, list) == GR_OK ? list : NULL;
}

static gr_json_node *read_item(parser *p, bool is_object)
{
    const char *key = NULL;
    size_t size = 0;
    if (is_object) {
        if (!gr_pull_sees(&p->in, '"'))
            return unexpected(p, "a key in quotes");
        if (!(key = read_text(p, &size)))
            return NULL;
        if (!gr_pull_char(&p->in, ':'))
            return unexpected(p, "':'");
    }
    gr_json_node *item = read_value(p);
    if (item) {
        item->key = key;
        item->key_size = (uint32_t)size;
    }
    return item;
}

static gr_json_node *read_list(parser *p, bool is_object)
{
    const char close = is_object ? '}' : ']';
    if (p->depth++ == GR_JSON_DEPTH) {
        int line, column;
        locate(p->text, p->in.p, &line, &column);
        gr_fail(GR_ERR_FILE, "%s: more than %d nested arrays and objects (line %d, column %d)", p->doc->name,
                GR_JSON_DEPTH, line, column);
        return NULL;
    }
    p->in.p++;
    size_t base = p->n;
    gr_json_node *list = gr_json_node_new(p->doc, is_object ? GR_JSON_OBJECT : GR_JSON_ARRAY);
    for (bool more = list && !gr_pull_char(&p->in, close); more;) {
        gr_json_node *item = read_item(p, is_object);
        if (!item || gr_grow(&p->stack, &p->cap, p->n + 1, sizeof *p->stack) != GR_OK)
            return NULL;
        p->stack[p->n++] = item;
        more = gr_pull_char(&p->in, ',');
        if (!more && !gr_pull_char(&p->in, close))
            return unexpected(p, is_object ? "',' or '}'" : "',' or ']'");
    }
    return list ? close_list(p, list, base) : NULL;
}

static gr_json_node *read_value(parser *p)
{
    if (gr_pull_sees(&p->in, '{') || gr_pull_sees(&p->in, '['))
        return read_list(p, *p->in.p == '{');
    if (!gr_pull_sees(&p->in, '"'))
        return read_word(p);
    gr_json_node *node = gr_json_node_new(p->doc, GR_JSON_TEXT);
    p->in.allow_bytes = true;
    bool read = node && (node->as.text.bytes = read_text(p, &node->as.text.size));
    p->in.allow_bytes = false;
    if (read)
        node->is_bytes = p->in.has_bytes && !gr_utf8_valid(node->as.text.bytes, node->as.text.size);
    return read ? node : NULL;
}

gr_json_node *gr_json_parse_into(gr_json_doc *doc, const char *text, size_t size)
{
    parser p = {.doc = doc, .text = text, .in = {.p = text, .end = text + size}};
    gr_json_node *root = NULL;
    if (gr_pull_sees(&p.in, '{') || gr_pull_sees(&p.in, '['))
        root = read_value(&p);
    else if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        gr_fail(GR_ERR_FILE, "%s: begins with a byte order mark, which JSON has none of\nsave it as UTF-8 without one",
                doc->name);
    else
        unexpected(&p, "'[' or '{'");
    gr_pull_sees(&p.in, 0);
    if (root && p.in.p < p.in.end)
        root = unexpected(&p, "the end of the text");
    if (!root && p.in.no_memory)
        gr_fail_in("%s", doc->name);
    gr_pull_free(&p.in);
    gr_free(p.stack);
    return root;
}
