/* The kinds of pre-tokenizers, and the chain of them. */
#include "text/stages/pretokenize.h"
#include "text/unicode/byte_level.h"
#include "text/stages/chain.h"
#include "text/stages/pattern.h"

gr_status gr_pieces_add(gr_pieces *p, const char *text, size_t size, size_t zero)
{
    if (!size)
        return GR_OK; /* empty pieces are never seen by anything */
    gr_status s = gr_grow(&p->piece, &p->cap, p->n + 1, sizeof *p->piece);
    if (s == GR_OK)
        p->piece[p->n++] = (gr_piece){text, size, zero};
    return s;
}

void gr_pieces_free(gr_pieces *p)
{
    gr_free(p->piece);
    gr_bytes_free(&p->own);
    *p = (gr_pieces){0};
}

/* ---- what becomes of the separators ------------------------------------------------------------------------- */

typedef enum behavior { ISOLATED, REMOVED, WITH_PREVIOUS, WITH_NEXT, CONTIGUOUS } behavior;

static gr_status read_behavior(gr_json value, const char *fallback, behavior *out)
{
    static const char *const names[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const char *name = gr_json_text(value, "behavior", fallback);
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (behavior)i;
            return GR_OK;
        }
    return gr_json_fail(
        gr_json_get(value, "behavior"),
        "\"%s\" is not known\nit is Isolated, Removed, MergedWithPrevious, MergedWithNext or Contiguous", name);
}

/* A piece being cut: parts come in order, and the one that may still grow waits in `start`..`stop`. */
typedef struct cutting {
    const gr_piece *from;
    gr_pieces *out;
    behavior how;
    bool invert;
    bool waiting, was_match;
    size_t start, stop;
} cutting;

/* text[start .. stop) of a piece. */
static gr_status add_part(gr_pieces *out, const gr_piece *from, size_t start, size_t stop)
{
    return gr_pieces_add(out, from->text + start, stop - start, from->zero > start ? from->zero - start : 0);
}

static gr_status emit(cutting *c)
{
    if (!c->waiting)
        return GR_OK;
    c->waiting = false;
    return add_part(c->out, c->from, c->start, c->stop);
}

/* Whether a part joins what waits before it. */
static bool joins(const cutting *c, bool is_match)
{
    switch (c->how) {
    case WITH_PREVIOUS:
        return is_match && !c->was_match;
    case WITH_NEXT:
        return c->was_match && !is_match;
    case CONTIGUOUS:
        return is_match == c->was_match;
    default:
        return false;
    }
}

static gr_status take_part(void *ctx, const char *text, size_t start, size_t stop, bool is_match)
{
    cutting *c = ctx;
    gr_status s = GR_OK;
    (void)text;
    is_match ^= c->invert;
    if (c->waiting && joins(c, is_match)) {
        c->stop = stop;
    } else {
        s = emit(c);
        c->waiting = !(c->how == REMOVED && is_match);
        c->start = start;
        c->stop = stop;
    }
    c->was_match = is_match;
    return s;
}

/* ---- steps -------------------------------------------------------------------------------------------------- */

typedef struct step step;

typedef struct kind {
    const char *type;
    gr_status (*read)(step *s, gr_json value);
    /* Cuts one piece. A step that rewrites puts all text into out->own, at most `growth` bytes a byte and `extra` more
     * a piece. */
    gr_status (*run)(const step *s, const gr_piece *piece, gr_pieces *out);
    int growth, extra;
} kind;

struct step {
    const kind *kind;
    gr_pattern pattern;
    gr_scan_fn scan; /* the pattern by hand */
    behavior how;
    unsigned class; /* separators by class */
    bool invert;
    bool rewrites;      /* all pieces go to out->own */
    bool prefix_space;  /* ByteLevel */
    char mark[8];       /* Metaspace: what stands for a space */
    bool always, first; /* Metaspace: where the mark is prepended */
    bool split;
    int64_t length; /* FixedLength */
};

struct gr_pretokenizer {
    step *step;
    size_t n, cap;
};

static gr_status cut_by_scan(gr_scan_fn scan, cutting *c)
{
    const char *text = c->from->text, *p = text, *end = text + c->from->size;
    gr_status s = GR_OK;
    while (p < end && s == GR_OK) {
        const char *stop = scan(p, end);
        s = take_part(c, text, (size_t)(p - text), (size_t)(stop - text), true);
        p = stop;
    }
    return s;
}

/* Every character of a class is a separator of its own. */
static gr_status cut_by_class(unsigned class, cutting *c)
{
    const char *text = c->from->text, *p = text, *end = text + c->from->size, *done = text;
    gr_status s = GR_OK;
    for (int n; p < end && s == GR_OK; p += n) {
        if (!(gr_class(gr_utf8_read(p, end, &n)) & class))
            continue;
        if (p > done)
            s = take_part(c, text, (size_t)(done - text), (size_t)(p - text), false);
        done = p + n;
        if (s == GR_OK)
            s = take_part(c, text, (size_t)(p - text), (size_t)(done - text), true);
    }
    if (s == GR_OK && end > done)
        s = take_part(c, text, (size_t)(done - text), (size_t)(end - text), false);
    return s;
}

static gr_status run_split(const step *s, const gr_piece *piece, gr_pieces *out)
{
    cutting c = {.from = piece, .out = out, .how = s->how, .invert = s->invert};
    gr_status status;
    if (s->scan)
        status = cut_by_scan(s->scan, &c);
    else if (s->class)
        status = cut_by_class(s->class, &c);
    else
        status = gr_pattern_walk(&s->pattern, piece->text, piece->size, take_part, &c);
    return status == GR_OK ? emit(&c) : status;
}

static gr_status read_split(step *s, gr_json value)
{
    gr_json pattern = gr_json_get(value, "pattern"), regex = gr_json_get(pattern, "Regex");
    gr_status status = read_behavior(value, "", &s->how);
    s->invert = gr_json_bool(value, "invert", false);
    if (status == GR_OK && gr_json_type_of(regex) == GR_JSON_TEXT) {
        size_t size;
        const char *text = gr_json_as_text(regex, &size);
        s->scan = gr_scan_for(text, size);
    }
    if (status != GR_OK || s->scan)
        return status;
    return gr_pattern_read(pattern, &s->pattern);
}

static gr_status read_digits(step *s, gr_json value)
{
    s->class = GR_CLASS_NUMERIC;
    s->how = gr_json_bool(value, "individual_digits", false) ? ISOLATED : CONTIGUOUS;
    return GR_OK;
}

static gr_status read_punctuation(step *s, gr_json value)
{
    s->class = GR_CLASS_PUNCTUATION;
    return read_behavior(value, "Isolated", &s->how);
}

static gr_status read_whitespace_split(step *s, gr_json value)
{
    (void)value;
    s->class = GR_CLASS_SPACE;
    s->how = REMOVED;
    return GR_OK;
}

static gr_status read_delimiter(step *s, gr_json value)
{
    size_t size;
    int n;
    const char *text = gr_json_as_text(gr_json_get(value, "delimiter"), &size);
    if (gr_json_check(value.doc) != GR_OK)
        return gr_error_status();
    if (!size || gr_utf8_read(text, text + size, &n) >= GR_INVALID_BYTE || (size_t)n != size)
        return gr_json_fail(gr_json_get(value, "delimiter"), "expected one character");
    s->how = REMOVED;
    return gr_pattern_set(&s->pattern, text, size);
}

static gr_status read_nothing(step *s, gr_json value)
{
    (void)s, (void)value;
    return GR_OK;
}

/* \w+|[^\w\s]+ : runs of word characters and runs of the others; white space is dropped. */
static gr_status run_whitespace(const step *s, const gr_piece *piece, gr_pieces *out)
{
    const char *p = piece->text, *end = p + piece->size, *start = p;
    unsigned run = GR_CLASS_SPACE;
    gr_status status = GR_OK;
    (void)s;
    for (int n; p < end && status == GR_OK; p += n) {
        unsigned class = gr_class(gr_utf8_read(p, end, &n)) & (GR_CLASS_RUST_WORD | GR_CLASS_SPACE);
        if (class == run && class != GR_CLASS_SPACE)
            continue;
        if (run != GR_CLASS_SPACE)
            status = add_part(out, piece, (size_t)(start - piece->text), (size_t)(p - piece->text));
        start = p;
        run = class;
    }
    if (status == GR_OK && run != GR_CLASS_SPACE)
        status = add_part(out, piece, (size_t)(start - piece->text), piece->size);
    return status;
}

/* Words between white space, which is dropped, and punctuation characters. */
static gr_status run_bert(const step *s, const gr_piece *piece, gr_pieces *out)
{
    const char *p = piece->text, *end = p + piece->size, *start = p;
    gr_status status = GR_OK;
    (void)s;
    for (int n; p < end && status == GR_OK; p += n) {
        unsigned class = gr_class(gr_utf8_read(p, end, &n)) & (GR_CLASS_PUNCTUATION | GR_CLASS_SPACE);
        if (!class)
            continue;
        if (p > start)
            status = add_part(out, piece, (size_t)(start - piece->text), (size_t)(p - piece->text));
        if (status == GR_OK && !(class & GR_CLASS_SPACE))
            status = add_part(out, piece, (size_t)(p - piece->text), (size_t)(p + n - piece->text));
        start = p + n;
    }
    return status == GR_OK ? add_part(out, piece, (size_t)(start - piece->text), piece->size) : status;
}

/* Bytes appended to out->own, which has room. */
static void put(gr_pieces *out, const char *text, size_t size)
{
    memcpy(out->own.data + out->own.size, text, size);
    out->own.size += size;
}

static gr_status read_byte_level(step *s, gr_json value)
{
    s->rewrites = s->prefix_space = gr_json_bool(value, "add_prefix_space", true);
    s->scan = gr_json_bool(value, "use_regex", true) ? gr_scan_gpt2 : NULL;
    return GR_OK;
}

/* The cutting half of ByteLevel; its alphabet is a step of its own, so that models on raw bytes can do without. */
static gr_status run_byte_level(const step *s, const gr_piece *piece, gr_pieces *out)
{
    gr_piece whole = *piece;
    if (s->rewrites) {
        whole.text = out->own.data + out->own.size;
        whole.size += piece->text[0] != ' ';
        whole.zero += whole.zero && piece->text[0] != ' ';
        put(out, " ", piece->text[0] != ' ');
        put(out, piece->text, piece->size);
    }
    if (!s->scan)
        return gr_pieces_add(out, whole.text, whole.size, whole.zero);
    cutting c = {.from = &whole, .out = out, .how = ISOLATED};
    gr_status status = cut_by_scan(s->scan, &c);
    return status == GR_OK ? emit(&c) : status;
}

static gr_status run_alphabet(const step *s, const gr_piece *piece, gr_pieces *out)
{
    const char *text = out->own.data + out->own.size;
    size_t zero = 0;
    (void)s;
    for (size_t i = 0; i < piece->size; i++) {
        char c[4];
        if (i == piece->zero)
            zero = (size_t)(out->own.data + out->own.size - text);
        put(out, c, (size_t)gr_utf8_write(gr_byte_to_char((unsigned char)piece->text[i]), c));
    }
    return gr_pieces_add(out, text, (size_t)(out->own.data + out->own.size - text), zero);
}

static gr_status read_metaspace(step *s, gr_json value)
{
    size_t size;
    int n;
    const char *mark = gr_json_as_text(gr_json_get(value, "replacement"), &size);
    const char *scheme = gr_json_text(value, "prepend_scheme", "always");
    if (gr_json_check(value.doc) != GR_OK)
        return gr_error_status();
    if (!size || size > 4 || gr_utf8_read(mark, mark + size, &n) >= GR_INVALID_BYTE || (size_t)n != size)
        return gr_json_fail(gr_json_get(value, "replacement"), "expected one character");
    memcpy(s->mark, mark, size);
    bool prepend = gr_json_bool(value, "add_prefix_space", true);
    s->always = prepend && strcmp(scheme, "always") == 0;
    s->first = prepend && strcmp(scheme, "first") == 0;
    if (!s->always && !s->first && strcmp(scheme, "never") != 0)
        return gr_json_fail(gr_json_get(value, "prepend_scheme"), "\"%s\" is not known\nit is always, first or never",
                            scheme);
    s->split = gr_json_bool(value, "split", true);
    s->how = WITH_NEXT;
    return gr_pattern_set(&s->pattern, mark, size);
}

static gr_status run_metaspace(const step *s, const gr_piece *piece, gr_pieces *out)
{
    gr_piece whole = {out->own.data + out->own.size, 0, 0};
    size_t n = s->pattern.size;
    bool starts = piece->text[0] == ' ' || (piece->size >= n && memcmp(piece->text, s->mark, n) == 0);
    if (!starts && (s->always || (s->first && piece->zero)))
        put(out, s->mark, n);
    for (size_t i = 0; i < piece->size; i++) {
        if (i == piece->zero && i)
            whole.zero = (size_t)(out->own.data + out->own.size - whole.text);
        if (piece->text[i] == ' ')
            put(out, s->mark, n);
        else
            put(out, piece->text + i, 1);
    }
    whole.size = (size_t)(out->own.data + out->own.size - whole.text);
    if (piece->zero >= piece->size)
        whole.zero = whole.size;
    if (!s->split)
        return gr_pieces_add(out, whole.text, whole.size, whole.zero);
    return run_split(s, &whole, out);
}

/* A piece ends where the script changes. Characters of no script go with what is before them, and before all others
 * with nothing: Hugging Face's code drops them, and so do we. */
static gr_status run_scripts(const step *s, const gr_piece *piece, gr_pieces *out)
{
    const char *p = piece->text, *end = p + piece->size, *start = NULL;
    int32_t script = -1;
    gr_status status = GR_OK;
    (void)s;
    for (int n; p < end && status == GR_OK; p += n) {
        const gr_range *r = gr_range_find(gr_scripts, gr_scripts_count, gr_utf8_read(p, end, &n));
        if (!r || r->value == script)
            continue;
        if (start)
            status = add_part(out, piece, (size_t)(start - piece->text), (size_t)(p - piece->text));
        start = p;
        script = r->value;
    }
    return status != GR_OK || !start ? status : add_part(out, piece, (size_t)(start - piece->text), piece->size);
}

static gr_status read_fixed_length(step *s, gr_json value)
{
    s->length = gr_json_int(value, "length", 5, 1, INT32_MAX);
    return GR_OK;
}

static gr_status run_fixed_length(const step *s, const gr_piece *piece, gr_pieces *out)
{
    const char *p = piece->text, *end = p + piece->size, *start = p;
    int64_t count = 0;
    gr_status status = GR_OK;
    for (int n; p < end && status == GR_OK;) {
        gr_utf8_read(p, end, &n);
        p += n;
        if (++count % s->length && p < end)
            continue;
        status = add_part(out, piece, (size_t)(start - piece->text), (size_t)(p - piece->text));
        start = p;
    }
    return status;
}

static const kind kinds[] = {
    {"ByteLevel", read_byte_level, run_byte_level, 1, 1},
    {"Split", read_split, run_split, 0, 0},
    {"Digits", read_digits, run_split, 0, 0},
    {"Punctuation", read_punctuation, run_split, 0, 0},
    {"Whitespace", read_nothing, run_whitespace, 0, 0},
    {"WhitespaceSplit", read_whitespace_split, run_split, 0, 0},
    {"CharDelimiterSplit", read_delimiter, run_split, 0, 0},
    {"Metaspace", read_metaspace, run_metaspace, 4, 4},
    {"UnicodeScripts", read_nothing, run_scripts, 0, 0},
    {"FixedLength", read_fixed_length, run_fixed_length, 0, 0},
    {"BertPreTokenizer", read_nothing, run_bert, 0, 0},
};
static const kind alphabet = {"ByteLevel", NULL, run_alphabet, 2, 0};

/* ---- the chain ---------------------------------------------------------------------------------------------- */

static gr_status add_step(gr_pretokenizer *p, const kind *k, step **out)
{
    gr_status s = gr_grow(&p->step, &p->cap, p->n + 1, sizeof *p->step);
    if (s != GR_OK)
        return s;
    *out = &p->step[p->n++];
    **out = (step){.kind = k, .rewrites = k->growth > 0};
    return GR_OK;
}

static gr_status read_kind(void *to, const void *kind_of_step, gr_json value)
{
    gr_pretokenizer *p = to;
    const kind *k = kind_of_step;
    step *s;
    gr_status status = add_step(p, k, &s);
    if (status == GR_OK)
        status = k->read(s, value);
    if (status == GR_OK)
        status = gr_json_check(value.doc);
    if (status == GR_OK && k->run == run_byte_level)
        status = add_step(p, &alphabet, &s);
    return status;
}

static const gr_chain chain = {
    .stage = "pre-tokenizer",
    .list = "pretokenizers",
    .supported = "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, CharDelimiterSplit, Metaspace, "
                 "UnicodeScripts, FixedLength, BertPreTokenizer",
    .kinds = kinds,
    .count = sizeof kinds / sizeof *kinds,
    .size = sizeof *kinds,
    .add = read_kind,
};

/* Only one ByteLevel, and that at the end: then the last step, its alphabet, can be left to the vocabulary. */
static bool ends_in_alphabet(const gr_pretokenizer *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->step[i].kind == &alphabet)
            return i + 1 == p->n;
    return false;
}

gr_pretokenizer *gr_pretokenizer_read(gr_json value, bool *raw_bytes)
{
    gr_pretokenizer *p = gr_alloc_zero(1, sizeof *p);
    if (!p)
        return NULL;
    if (gr_json_is(value) && gr_chain_read(&chain, value, p) != GR_OK) {
        gr_pretokenizer_free(p);
        return NULL;
    }
    *raw_bytes = *raw_bytes && ends_in_alphabet(p);
    if (*raw_bytes)
        p->n--;
    return p;
}

void gr_pretokenizer_free(gr_pretokenizer *p)
{
    for (size_t i = 0; p && i < p->n; i++)
        gr_pattern_free(&p->step[i].pattern);
    if (p)
        gr_free(p->step);
    gr_free(p);
}

bool gr_pretokenizer_asks_zero(const gr_pretokenizer *p)
{
    bool asks = false;
    for (size_t i = 0; i < p->n; i++)
        asks |= p->step[i].first;
    return asks;
}

/* ByteLevel without regex and prefix changes and cuts nothing. */
static bool is_idle(const step *s)
{
    return s->kind->run == run_byte_level && !s->prefix_space && !s->scan;
}

bool gr_pretokenizer_is_empty(const gr_pretokenizer *p)
{
    size_t i = 0;
    while (i < p->n && is_idle(&p->step[i]))
        i++;
    return i == p->n;
}

gr_scan_fn gr_pretokenizer_scanner(const gr_pretokenizer *p)
{
    gr_scan_fn scan = NULL;
    for (size_t i = 0; i < p->n; i++) {
        const step *s = &p->step[i];
        if (is_idle(s))
            continue;
        bool plain = s->scan && !s->prefix_space && s->how == ISOLATED;
        if (scan || !plain)
            return NULL;
        scan = s->scan;
    }
    return scan;
}

static gr_status run_step(const step *s, gr_pieces *in, gr_pieces *out)
{
    gr_status status = GR_OK;
    out->n = 0;
    if (s->rewrites) { /* reserved at once, so that pieces can point into it while it fills */
        size_t need = 0, bytes;
        for (size_t i = 0; i < in->n; i++)
            if (!gr_mul_size(in->piece[i].size, (size_t)s->kind->growth, &bytes) ||
                !gr_add_size(need, bytes + (size_t)s->kind->extra, &need))
                return GR_ERR_MEMORY;
        out->own.size = 0;
        status = gr_bytes_reserve(&out->own, need);
    } else { /* pieces stay in the text they are in */
        gr_bytes own = in->own;
        in->own = out->own;
        out->own = own;
    }
    for (size_t i = 0; i < in->n && status == GR_OK; i++)
        status = s->kind->run(s, &in->piece[i], out);
    return status;
}

gr_status gr_pretokenizer_run(const gr_pretokenizer *p, gr_pieces *io, gr_pieces *spare)
{
    gr_status s = GR_OK;
    for (size_t i = 0; i < p->n && s == GR_OK; i++) {
        s = run_step(&p->step[i], io, spare);
        gr_pieces swap = *io;
        *io = *spare;
        *spare = swap;
    }
    return s;
}
