/* The machine that reads pickles: a stack of values, marks in it, and a memo. Nothing here calls itself, so depth is a
 * number like any other; every instruction makes at most one value, so a pickle makes no more of them than it has bytes. */
#include "format/pickle.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"

/* A tensor takes some 150 bytes of pickle, and a byte up to some 50 of memory here. */
enum { HIGHEST_PROTOCOL = 5, MOST_BYTES = 32 << 20 };

typedef struct machine {
    gr_pickle *out;
    const uint8_t *bytes;
    size_t size, at, begin; /* begin: of the instruction under way */
    gr_pickle_knows knows;
    gr_pickle_value *values;
    gr_pickle_item *items;
    gr_pickle_id *stack, *memo; /* memo: 0 is empty, else the value's id + 1 */
    uint32_t *marks;            /* heights of the stack */
    size_t n_values, n_items, n_stack, n_memo, n_marks;
    size_t values_cap, items_cap, stack_cap, memo_cap, marks_cap;
    bool stopped;
} machine;

/* ---- the instructions --------------------------------------------------------------------------------------- */

/* By their names in Python's pickletools: those that are not run are named when they are refused. */
static const char *const names[256] = {
    ['('] = "MARK",
    ['.'] = "STOP",
    ['0'] = "POP",
    ['1'] = "POP_MARK",
    ['2'] = "DUP",
    ['F'] = "FLOAT",
    ['I'] = "INT",
    ['J'] = "BININT",
    ['K'] = "BININT1",
    ['L'] = "LONG",
    ['M'] = "BININT2",
    ['N'] = "NONE",
    ['P'] = "PERSID",
    ['Q'] = "BINPERSID",
    ['R'] = "REDUCE",
    ['S'] = "STRING",
    ['T'] = "BINSTRING",
    ['U'] = "SHORT_BINSTRING",
    ['V'] = "UNICODE",
    ['X'] = "BINUNICODE",
    ['a'] = "APPEND",
    ['b'] = "BUILD",
    ['c'] = "GLOBAL",
    ['d'] = "DICT",
    ['}'] = "EMPTY_DICT",
    ['e'] = "APPENDS",
    ['g'] = "GET",
    ['h'] = "BINGET",
    ['i'] = "INST",
    ['j'] = "LONG_BINGET",
    ['l'] = "LIST",
    [']'] = "EMPTY_LIST",
    ['o'] = "OBJ",
    ['p'] = "PUT",
    ['q'] = "BINPUT",
    ['r'] = "LONG_BINPUT",
    ['s'] = "SETITEM",
    ['t'] = "TUPLE",
    [')'] = "EMPTY_TUPLE",
    ['u'] = "SETITEMS",
    ['G'] = "BINFLOAT",
    ['B'] = "BINBYTES",
    ['C'] = "SHORT_BINBYTES",
    [0x80] = "PROTO",
    [0x81] = "NEWOBJ",
    [0x82] = "EXT1",
    [0x83] = "EXT2",
    [0x84] = "EXT4",
    [0x85] = "TUPLE1",
    [0x86] = "TUPLE2",
    [0x87] = "TUPLE3",
    [0x88] = "NEWTRUE",
    [0x89] = "NEWFALSE",
    [0x8a] = "LONG1",
    [0x8b] = "LONG4",
    [0x8c] = "SHORT_BINUNICODE",
    [0x8d] = "BINUNICODE8",
    [0x8e] = "BINBYTES8",
    [0x8f] = "EMPTY_SET",
    [0x90] = "ADDITEMS",
    [0x91] = "FROZENSET",
    [0x92] = "NEWOBJ_EX",
    [0x93] = "STACK_GLOBAL",
    [0x94] = "MEMOIZE",
    [0x95] = "FRAME",
    [0x96] = "BYTEARRAY8",
    [0x97] = "NEXT_BUFFER",
    [0x98] = "READONLY_BUFFER",
};

static const char *name_of(uint8_t op)
{
    return names[op] ? names[op] : "unknown";
}

static gr_status fail(const machine *m, const char *why)
{
    uint8_t op = m->begin < m->size ? m->bytes[m->begin] : 0;
    return gr_fail(GR_ERR_FILE, "%s: byte %zu, instruction %s (0x%02x): %s\nthe file is damaged or made to mislead",
                   m->out->path, m->begin, name_of(op), op, why);
}

static gr_status refuse(const machine *m, uint8_t op)
{
    return gr_fail(
        GR_ERR_UNSUPPORTED,
        "%s: byte %zu: instruction %s (0x%02x) is no part of tensors, dicts, lists, numbers and strings\nit "
        "was not run, and the file is not read; save the weights alone: torch.save(model.state_dict(), FILE)",
        m->out->path, m->begin, name_of(op), op);
}

/* ---- bytes -------------------------------------------------------------------------------------------------- */

/* The next n bytes, or NULL: it ends before. */
static const uint8_t *take(machine *m, uint64_t n)
{
    if (n > m->size - m->at) {
        fail(m, "the pickle ends inside of it");
        return NULL;
    }
    const uint8_t *p = m->bytes + m->at;
    m->at += (size_t)n;
    return p;
}

/* A little-endian number of n bytes. */
static gr_status take_number(machine *m, int n, uint64_t *out)
{
    const uint8_t *p = take(m, (uint64_t)n);
    *out = 0;
    for (int i = n - 1; p && i >= 0; i--)
        *out = *out << 8 | p[i];
    return p ? GR_OK : gr_error_status();
}

/* ---- the stack ---------------------------------------------------------------------------------------------- */

static gr_status push_id(machine *m, gr_pickle_id id)
{
    if (gr_grow(&m->stack, &m->stack_cap, m->n_stack + 1, sizeof *m->stack) != GR_OK)
        return gr_error_status();
    m->stack[m->n_stack++] = id;
    return GR_OK;
}

static gr_status push(machine *m, gr_pickle_value v)
{
    if (gr_grow(&m->values, &m->values_cap, m->n_values + 1, sizeof *m->values) != GR_OK)
        return gr_error_status();
    v.at = (uint32_t)m->begin;
    m->values[m->n_values] = v;
    return push_id(m, (gr_pickle_id)m->n_values++);
}

static gr_status push_empty(machine *m, gr_pickle_kind kind)
{
    return push(m, (gr_pickle_value){.kind = kind});
}

static size_t floor_of(const machine *m)
{
    return m->n_marks ? m->marks[m->n_marks - 1] : 0;
}

/* Values may be taken down to the last mark only. */
static gr_status need(const machine *m, size_t n)
{
    return m->n_stack - floor_of(m) >= n ? GR_OK : fail(m, "too few values on the stack");
}

static gr_status mark(machine *m)
{
    if (gr_grow(&m->marks, &m->marks_cap, m->n_marks + 1, sizeof *m->marks) != GR_OK)
        return gr_error_status();
    m->marks[m->n_marks++] = (uint32_t)m->n_stack;
    return GR_OK;
}

/* Takes the last mark away; *from is where its values begin. */
static gr_status unmark(machine *m, size_t *from)
{
    if (!m->n_marks)
        return fail(m, "no mark on the stack");
    *from = m->marks[--m->n_marks];
    return GR_OK;
}

static gr_pickle_value *value_at(machine *m, size_t place)
{
    return &m->values[m->stack[place]];
}

/* ---- containers --------------------------------------------------------------------------------------------- */

static gr_status add_item(machine *m, gr_pickle_value *to, gr_pickle_id key, gr_pickle_id value)
{
    if (gr_grow(&m->items, &m->items_cap, m->n_items + 1, sizeof *m->items) != GR_OK)
        return gr_error_status();
    uint32_t id = (uint32_t)m->n_items++;
    m->items[id] = (gr_pickle_item){key, value, 0};
    if (to->is.items.last)
        m->items[to->is.items.last].next = id;
    else
        to->is.items.first = id;
    to->is.items.last = id;
    to->count++;
    return GR_OK;
}

/* What is on the stack from `from` on goes into the container below, which must be of that kind. */
static gr_status fill(machine *m, size_t from, gr_pickle_kind kind)
{
    size_t step = kind == GR_PICKLE_DICT ? 2 : 1;
    if (from <= floor_of(m))
        return fail(m, "too few values on the stack");
    gr_pickle_value *to = value_at(m, from - 1);
    if (to->kind != kind)
        return fail(m,
                    kind == GR_PICKLE_DICT ? "it would fill what is no dict" : "it would fill what is no list or set");
    if ((m->n_stack - from) % step)
        return fail(m, "a key without a value");
    gr_status s = GR_OK;
    for (size_t i = from; s == GR_OK && i < m->n_stack; i += step)
        s = add_item(m, to, m->stack[i], m->stack[i + step - 1]);
    m->n_stack = from;
    return s;
}

static gr_status fill_to_mark(machine *m, gr_pickle_kind kind)
{
    size_t from = 0;
    return unmark(m, &from) == GR_OK ? fill(m, from, kind) : gr_error_status();
}

static gr_status fill_last(machine *m, gr_pickle_kind kind, size_t n)
{
    return need(m, n + 1) == GR_OK ? fill(m, m->n_stack - n, kind) : gr_error_status();
}

/* A tuple or set of what is on the stack from `from` on. */
static gr_status gather(machine *m, size_t from, gr_pickle_kind kind)
{
    gr_pickle_value v = {.kind = kind};
    gr_status s = GR_OK;
    for (size_t i = from; s == GR_OK && i < m->n_stack; i++)
        s = add_item(m, &v, 0, m->stack[i]);
    m->n_stack = from;
    return s == GR_OK ? push(m, v) : s;
}

static gr_status gather_to_mark(machine *m, gr_pickle_kind kind)
{
    size_t from = 0;
    return unmark(m, &from) == GR_OK ? gather(m, from, kind) : gr_error_status();
}

static gr_status gather_last(machine *m, size_t n)
{
    return need(m, n) == GR_OK ? gather(m, m->n_stack - n, GR_PICKLE_TUPLE) : gr_error_status();
}

/* ---- plain values ------------------------------------------------------------------------------------------- */

static gr_status push_number(machine *m, int bytes, bool is_signed)
{
    uint64_t n;
    if (take_number(m, bytes, &n) != GR_OK)
        return gr_error_status();
    int64_t value = is_signed ? (int64_t)(int32_t)(uint32_t)n : (int64_t)n;
    return push(m, (gr_pickle_value){.kind = GR_PICKLE_INT, .is.integer = value});
}

/* Two's complement of any length, little-endian. */
static gr_status push_long(machine *m, int length_bytes)
{
    uint64_t n, value = 0;
    const uint8_t *p = take_number(m, length_bytes, &n) == GR_OK ? take(m, n) : NULL;
    if (!p)
        return gr_error_status();
    if (n > 8)
        return push_empty(m, GR_PICKLE_BIG);
    if (n && p[n - 1] & 0x80)
        value = UINT64_MAX;
    for (uint64_t i = n; i-- > 0;)
        value = value << 8 | p[i];
    return push(m, (gr_pickle_value){.kind = GR_PICKLE_INT, .is.integer = (int64_t)value});
}

static gr_status push_real(machine *m)
{
    const uint8_t *p = take(m, 8);
    uint64_t bits = 0;
    gr_pickle_value v = {.kind = GR_PICKLE_REAL};
    for (int i = 0; p && i < 8; i++) /* big-endian, alone among all of them */
        bits = bits << 8 | p[i];
    memcpy(&v.is.real, &bits, sizeof bits);
    return p ? push(m, v) : gr_error_status();
}

static gr_status push_text(machine *m, int length_bytes, gr_pickle_kind kind)
{
    uint64_t n;
    const uint8_t *p = take_number(m, length_bytes, &n) == GR_OK ? take(m, n) : NULL;
    if (!p)
        return gr_error_status();
    return push(m, (gr_pickle_value){.kind = kind, .count = (uint32_t)n, .is.text = (const char *)p});
}

/* ---- the memo ----------------------------------------------------------------------------------------------- */

static gr_status put(machine *m, uint64_t index)
{
    if (need(m, 1) != GR_OK)
        return gr_error_status();
    if (index >= m->size) /* they are counted from 0, one or more bytes each */
        return fail(m, "an index that is larger than the pickle");
    if (gr_grow(&m->memo, &m->memo_cap, (size_t)index + 1, sizeof *m->memo) != GR_OK)
        return gr_error_status();
    while (m->n_memo <= index)
        m->memo[m->n_memo++] = 0;
    m->memo[index] = m->stack[m->n_stack - 1] + 1;
    return GR_OK;
}

static gr_status put_numbered(machine *m, int bytes)
{
    uint64_t index;
    return take_number(m, bytes, &index) == GR_OK ? put(m, index) : gr_error_status();
}

static gr_status get(machine *m, int bytes)
{
    uint64_t index;
    if (take_number(m, bytes, &index) != GR_OK)
        return gr_error_status();
    if (index >= m->n_memo || !m->memo[index])
        return fail(m, "nothing was kept under that index");
    return push_id(m, m->memo[index] - 1);
}

/* ---- what in Python runs something -------------------------------------------------------------------------- */

static gr_status name_global(machine *m, const char *module, size_t module_size, const char *name, size_t name_size)
{
    char shown[2][80];
    const gr_pickle_global *g = m->knows(module, module_size, name, name_size);
    if (g)
        return push(m, (gr_pickle_value){.kind = GR_PICKLE_GLOBAL, .is.global = g});
    return gr_fail(
        GR_ERR_UNSUPPORTED,
        "%s: byte %zu: names \"%s.%s\", which no tensor, dict, list, number or string needs\nnothing was run, "
        "and the file is not read; save the weights alone: torch.save(model.state_dict(), FILE)",
        m->out->path, m->begin, gr_printable(module, module_size, shown[0], sizeof shown[0]),
        gr_printable(name, name_size, shown[1], sizeof shown[1]));
}

/* Up to the end of the line. */
static const char *take_line(machine *m, size_t *size)
{
    const uint8_t *p = m->bytes + m->at, *end = memchr(p, '\n', m->size - m->at);
    if (!end) {
        fail(m, "the pickle ends inside of it");
        return NULL;
    }
    *size = (size_t)(end - p);
    m->at += *size + 1;
    return (const char *)p;
}

static gr_status global_by_line(machine *m)
{
    size_t n, k;
    const char *module = take_line(m, &n), *name = module ? take_line(m, &k) : NULL;
    return name ? name_global(m, module, n, name, k) : gr_error_status();
}

static gr_status global_by_stack(machine *m)
{
    if (need(m, 2) != GR_OK)
        return gr_error_status();
    const gr_pickle_value *module = value_at(m, m->n_stack - 2), *name = value_at(m, m->n_stack - 1);
    if (module->kind != GR_PICKLE_TEXT || name->kind != GR_PICKLE_TEXT)
        return fail(m, "module and name are no strings");
    m->n_stack -= 2;
    return name_global(m, module->is.text, module->count, name->is.text, name->count);
}

/* A call is noted, not made. */
static gr_status call(machine *m)
{
    if (need(m, 2) != GR_OK)
        return gr_error_status();
    gr_pickle_id what = m->stack[m->n_stack - 2], arguments = m->stack[m->n_stack - 1];
    const gr_pickle_value *f = &m->values[what], *a = &m->values[arguments];
    if (f->kind != GR_PICKLE_GLOBAL || !f->is.global->can_call)
        return fail(m, "it calls what is no function");
    if (a->kind != GR_PICKLE_TUPLE)
        return fail(m, "the arguments are no tuple");
    m->n_stack -= 2;
    if (f->is.global->makes_dict && !a->count)
        return push_empty(m, GR_PICKLE_DICT);
    return push(m, (gr_pickle_value){.kind = GR_PICKLE_CALL, .is.call = {what, arguments}});
}

/* State of an object: a state_dict carries versions of its modules so. Nothing we read is in it. */
static gr_status build(machine *m)
{
    if (need(m, 2) != GR_OK)
        return gr_error_status();
    if (value_at(m, m->n_stack - 2)->kind != GR_PICKLE_DICT)
        return fail(m, "it sets the state of what is no OrderedDict");
    m->n_stack--;
    return GR_OK;
}

static gr_status persistent(machine *m)
{
    if (need(m, 1) != GR_OK)
        return gr_error_status();
    gr_pickle_id id = m->stack[--m->n_stack];
    return push(m, (gr_pickle_value){.kind = GR_PICKLE_PERSISTENT, .is.call.what = id});
}

/* ---- the loop ----------------------------------------------------------------------------------------------- */

static gr_status protocol(machine *m)
{
    const uint8_t *p = take(m, 1);
    if (!p)
        return gr_error_status();
    return *p <= HIGHEST_PROTOCOL ? GR_OK : fail(m, "a protocol that is not known; 2 to 5 are");
}

static gr_status stop(machine *m)
{
    if (m->n_stack != 1 || m->n_marks)
        return fail(m, "the stack does not hold one value");
    if (m->at != m->size)
        return fail(m, "bytes follow it");
    m->stopped = true;
    return GR_OK;
}

static gr_status run_container(machine *m, uint8_t op)
{
    switch (op) {
    case ')':
        return push_empty(m, GR_PICKLE_TUPLE);
    case ']':
        return push_empty(m, GR_PICKLE_LIST);
    case '}':
        return push_empty(m, GR_PICKLE_DICT);
    case 0x8f:
        return push_empty(m, GR_PICKLE_SET);
    case 't':
        return gather_to_mark(m, GR_PICKLE_TUPLE);
    case 0x91:
        return gather_to_mark(m, GR_PICKLE_SET);
    case 0x85:
    case 0x86:
    case 0x87:
        return gather_last(m, op - 0x84u);
    case 'a':
        return fill_last(m, GR_PICKLE_LIST, 1);
    case 'e':
        return fill_to_mark(m, GR_PICKLE_LIST);
    case 's':
        return fill_last(m, GR_PICKLE_DICT, 2);
    case 'u':
        return fill_to_mark(m, GR_PICKLE_DICT);
    case 0x90:
        return fill_to_mark(m, GR_PICKLE_SET);
    default:
        return refuse(m, op);
    }
}

static gr_status run_plain(machine *m, uint8_t op)
{
    switch (op) {
    case 'N':
        return push_empty(m, GR_PICKLE_NONE);
    case 0x88:
    case 0x89:
        return push(m, (gr_pickle_value){.kind = GR_PICKLE_BOOL, .is.integer = op == 0x88});
    case 'J':
        return push_number(m, 4, true);
    case 'K':
        return push_number(m, 1, false);
    case 'M':
        return push_number(m, 2, false);
    case 0x8a:
        return push_long(m, 1);
    case 0x8b:
        return push_long(m, 4);
    case 'G':
        return push_real(m);
    case 'U':
    case 0x8c:
        return push_text(m, 1, GR_PICKLE_TEXT);
    case 'T':
    case 'X':
        return push_text(m, 4, GR_PICKLE_TEXT);
    case 0x8d:
        return push_text(m, 8, GR_PICKLE_TEXT);
    case 'C':
        return push_text(m, 1, GR_PICKLE_BYTES);
    case 'B':
        return push_text(m, 4, GR_PICKLE_BYTES);
    case 0x8e:
    case 0x96:
        return push_text(m, 8, GR_PICKLE_BYTES);
    default:
        return run_container(m, op);
    }
}

static gr_status run(machine *m, uint8_t op)
{
    uint64_t ignored;
    switch (op) {
    case 0x80:
        return protocol(m);
    case 0x95: /* how much an unpickler may read ahead */
        return take_number(m, 8, &ignored);
    case '.':
        return stop(m);
    case '(':
        return mark(m);
    case 'q':
        return put_numbered(m, 1);
    case 'r':
        return put_numbered(m, 4);
    case 0x94:
        return put(m, m->n_memo);
    case 'h':
        return get(m, 1);
    case 'j':
        return get(m, 4);
    case 'c':
        return global_by_line(m);
    case 0x93:
        return global_by_stack(m);
    case 'R':
        return call(m);
    case 'b':
        return build(m);
    case 'Q':
        return persistent(m);
    default:
        return run_plain(m, op);
    }
}

static gr_status run_all(machine *m)
{
    /* Item 0 is none. */
    gr_status s = gr_grow(&m->items, &m->items_cap, m->n_items + 1, sizeof *m->items);
    m->n_items = 1;
    while (s == GR_OK && !m->stopped) {
        m->begin = m->at;
        if (m->at == m->size)
            return gr_fail(GR_ERR_FILE, "%s: byte %zu: the pickle ends without STOP\nthe file is damaged", m->out->path,
                           m->at);
        s = run(m, m->bytes[m->at++]);
    }
    return s;
}

gr_status gr_pickle_open(gr_pickle *p, const char *path, const void *data, size_t size, gr_pickle_knows knows)
{
    *p = (gr_pickle){.path = path};
    if (size > MOST_BYTES)
        return gr_fail(GR_ERR_FILE,
                       "%s: a pickle of %zu bytes, more than the %d allowed\nsave the weights alone: "
                       "torch.save(model.state_dict(), FILE)",
                       path, size, MOST_BYTES);
    machine *m = p->machine = gr_alloc_zero(1, sizeof *m);
    if (!m)
        return gr_error_status();
    *m = (machine){.out = p, .bytes = data, .size = size, .knows = knows};
    gr_status s = run_all(m);
    p->values = m->values;
    p->items = m->items;
    p->root = s == GR_OK ? m->stack[0] : 0;
    return s;
}

void gr_pickle_close(gr_pickle *p)
{
    machine *m = p->machine;
    if (m) {
        gr_free(m->values);
        gr_free(m->items);
        gr_free(m->stack);
        gr_free(m->memo);
        gr_free(m->marks);
        gr_free(m);
    }
    *p = (gr_pickle){0};
}

/* ---- what was read ------------------------------------------------------------------------------------------ */

const gr_pickle_value *gr_pickle_get(const gr_pickle *p, gr_pickle_id id)
{
    return &p->values[id];
}

bool gr_pickle_tuple(const gr_pickle *p, gr_pickle_id id, uint32_t n, const gr_pickle_value **out)
{
    const gr_pickle_value *v = &p->values[id];
    if (v->kind != GR_PICKLE_TUPLE || v->count < n)
        return false;
    uint32_t at = v->is.items.first;
    for (uint32_t i = 0; i < n; i++, at = p->items[at].next)
        out[i] = &p->values[p->items[at].value];
    return true;
}

bool gr_pickle_is_text(const gr_pickle_value *v, const char *text)
{
    size_t n = strlen(text);
    return v->kind == GR_PICKLE_TEXT && v->count == n && memcmp(v->is.text, text, n) == 0;
}

const char *gr_pickle_describe(const gr_pickle_value *v)
{
    static const char *const words[] = {
        [GR_PICKLE_NONE] = "None",      [GR_PICKLE_BOOL] = "True or False",   [GR_PICKLE_INT] = "a number",
        [GR_PICKLE_BIG] = "a number",   [GR_PICKLE_REAL] = "a number",        [GR_PICKLE_TEXT] = "a string",
        [GR_PICKLE_BYTES] = "bytes",    [GR_PICKLE_LIST] = "a list",          [GR_PICKLE_TUPLE] = "a tuple",
        [GR_PICKLE_SET] = "a set",      [GR_PICKLE_DICT] = "a dict",          [GR_PICKLE_GLOBAL] = "a name",
        [GR_PICKLE_CALL] = "an object", [GR_PICKLE_PERSISTENT] = "a storage",
    };
    return words[v->kind];
}
