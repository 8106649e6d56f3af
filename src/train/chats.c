/* What is learned of a conversation is what the assistant says: the bytes that the template's generation blocks made, or,
 * where it has none, the difference between two renderings, up to the assistant's turn and with it. That is checked: each must
 * be a beginning of the whole. Bytes become tokens by encoding their beginnings. */
#include "train/chats.h"

#include "base/mem.h"
#include "text/tokenizer.h"
#include "train/chat_record.h"

#include <stdio.h>
#include <string.h>

/* The work on one record. */
typedef struct making {
    const gr_chats *c;
    gr_chat_row *row;
    gr_chat_record record;
    gr_bytes json;
    const gr_rendered *whole;
    gr_bytes mask;        /* [whole->text_size] 1: untrusted */
    gr_text_range *spans; /* [n] bytes that are learned, and behind `learned` of them such as are not, for all that */
    size_t n, cap, learned;
} making;

static void free_making(making *m)
{
    gr_chat_record_free(&m->record);
    gr_bytes_free(&m->json);
    gr_bytes_free(&m->mask);
    gr_free(m->spans);
    gr_free(m->whole);
}

/* ---- rendering ---------------------------------------------------------------------------------------------- */

/* What the template itself refuses is no failure: *out stays NULL and the row says why. */
static gr_status render(making *m, size_t messages, bool add_generation_prompt, const gr_rendered **out)
{
    gr_conversation c = GR_INIT(gr_conversation);
    *out = NULL;
    gr_status s = gr_chat_record_format(&m->record, messages, add_generation_prompt, &m->json);
    if (s != GR_OK)
        return s;
    c.json = m->json.data;
    c.json_size = m->json.size;
    c.name = "the record";
    c.variables = m->c->variables;
    c.variables_size = m->c->variables_size;
    c.tokenizer = m->c->tokenizer;
    s = gr_template_render(m->c->template, &c, out);
    if (s != GR_ERR_ARGUMENT)
        return s;
    snprintf(m->row->refused, sizeof m->row->refused, "%.*s", (int)strcspn(gr_error(), "\n"), gr_error());
    gr_error_clear();
    return GR_OK;
}

/* How many bytes of the whole text the first messages make; *is_beginning false: none, for the template writes them
 * differently when more follow. */
static gr_status measure(making *m, size_t messages, bool add_generation_prompt, size_t *bytes, bool *is_beginning)
{
    const gr_rendered *r;
    gr_status s = render(m, messages, add_generation_prompt, &r);
    *is_beginning =
        s == GR_OK && r && r->text_size <= m->whole->text_size && memcmp(r->text, m->whole->text, r->text_size) == 0;
    *bytes = *is_beginning ? r->text_size : 0;
    gr_free(r);
    return s;
}

/* ---- which bytes -------------------------------------------------------------------------------------------- */

static gr_status add_span(making *m, size_t from, size_t to)
{
    gr_status s = gr_grow(&m->spans, &m->cap, m->n + 1, sizeof *m->spans);
    if (s == GR_OK)
        m->spans[m->n++] = (gr_text_range){from, to};
    return s;
}

static void refuse(making *m, size_t message)
{
    if (!*m->row->refused)
        snprintf(m->row->refused, sizeof m->row->refused,
                 "the template writes what is before message %zu differently when more follows, so what is learned "
                 "cannot be "
                 "told",
                 message + 1);
}

/* The turn of message i. */
static gr_status add_turn(making *m, size_t i, bool *clear)
{
    size_t from = 0, to;
    bool before = i == 0 && m->whole->n_untrusted > 0 && m->record.more.size == 0, with = true;
    gr_status s = GR_OK;
    if (before) /* nothing can be rendered before it: it begins with what it says */
        from = m->whole->untrusted[0].from;
    else if (i > 0)
        s = measure(m, i, true, &from, &before);
    if (i + 1 == m->record.n)
        to = m->whole->text_size;
    else if (s == GR_OK)
        s = measure(m, i + 1, false, &to, &with);
    *clear = s == GR_OK && before && with && from <= to;
    return *clear ? add_span(m, from, to) : s;
}

/* The assistant's turns by differences: all of them, or the last. */
static gr_status find_turns(making *m, bool only_last)
{
    gr_status s = GR_OK;
    bool clear = true;
    size_t i = m->record.n;
    m->n = 0;
    while (s == GR_OK && clear && i-- > m->record.given) {
        if (!m->record.messages[i].is_assistant)
            continue;
        if (!m->record.messages[i].is_left_out)
            s = add_turn(m, i, &clear);
        if (s == GR_OK && !clear)
            refuse(m, i);
        if (only_last)
            break;
    }
    return s;
}

/* What the template marks; of a prompt's messages nothing. */
static gr_status take_marked(making *m)
{
    const gr_rendered *r = m->whole;
    size_t from = 0;
    bool clear = true;
    gr_status s = m->record.given ? measure(m, m->record.given, false, &from, &clear) : GR_OK;
    if (s == GR_OK && !clear)
        refuse(m, m->record.given);
    for (size_t i = 0; s == GR_OK && clear && i < r->n_generated; i++)
        if (r->generated[i].from >= from)
            s = add_span(m, r->generated[i].from, r->generated[i].to);
    if (m->c->loss == GR_LOSS_LAST && m->n > 1) {
        m->spans[0] = m->spans[m->n - 1];
        m->n = 1;
    }
    return s;
}

static gr_status find_spans(making *m)
{
    if (m->c->loss == GR_LOSS_ALL)
        return add_span(m, 0, m->whole->text_size);
    if (m->whole->n_generated > 0)
        return take_marked(m);
    gr_status s = find_turns(m, m->c->loss == GR_LOSS_LAST);
    if (s != GR_OK || !*m->row->refused || !m->c->ambiguous_last)
        return s;
    m->row->refused[0] = '\0';
    return find_turns(m, true);
}

/* How many of the first messages are the assistant's. */
static size_t count_assistants(const making *m, size_t messages)
{
    size_t n = 0;
    for (size_t i = 0; i < messages; i++)
        n += m->record.messages[i].is_assistant;
    return n;
}

/* What the template marks of message i: by its bounds, or by its number where each has one mark. */
static gr_status leave_out_marked(making *m, size_t i)
{
    const gr_rendered *r = m->whole;
    size_t from = 0, to = r->text_size, own = count_assistants(m, i);
    bool before = true, with = true, one_each = count_assistants(m, m->record.n) == r->n_generated;
    gr_status s = i > 0 ? measure(m, i, false, &from, &before) : GR_OK;
    if (s == GR_OK && i + 1 < m->record.n)
        s = measure(m, i + 1, false, &to, &with);
    bool by_bounds = before && with;
    if (s == GR_OK && one_each)
        m->row->refused[0] = '\0';
    else if (s == GR_OK && !by_bounds)
        refuse(m, i);
    for (size_t k = 0; s == GR_OK && k < r->n_generated; k++)
        if (by_bounds ? r->generated[k].from >= from && r->generated[k].from < to : one_each && k == own)
            s = add_span(m, r->generated[k].from, r->generated[k].to);
    return s;
}

/* Messages that are told not to be learned. Where turns were found one by one, they have been passed over. */
static gr_status find_left_out(making *m)
{
    bool is_marked = m->whole->n_generated > 0, clear = true;
    gr_status s = GR_OK;
    m->learned = m->n;
    for (size_t i = 0; s == GR_OK && !*m->row->refused && i < m->record.n; i++) {
        if (!m->record.messages[i].is_left_out || (!is_marked && m->c->loss != GR_LOSS_ALL))
            continue;
        s = is_marked ? leave_out_marked(m, i) : add_turn(m, i, &clear);
        if (s == GR_OK && !clear)
            refuse(m, i);
    }
    return s;
}

/* What nobody says cannot be learned. */
static bool is_answered(const making *m)
{
    for (size_t i = m->record.given; i < m->record.n; i++)
        if (m->record.messages[i].is_assistant)
            return true;
    return m->c->loss == GR_LOSS_ALL || m->whole->n_generated > 0;
}

/* ---- which tokens ------------------------------------------------------------------------------------------- */

/* Appends the ids of the first bytes to the tokenizer's. */
static gr_status encode(making *m, size_t bytes)
{
    gr_tokenizer *t = m->c->tokenizer;
    t->scratch.ids.size = 0;
    return gr_tokenizer_run_masked(t, &t->scratch, m->whole->text, bytes, (const unsigned char *)m->mask.data,
                                   GR_PARSE_SPECIAL);
}

static gr_status make_mask(making *m)
{
    const gr_rendered *r = m->whole;
    gr_status s = gr_bytes_reserve(&m->mask, r->text_size + 1);
    if (s != GR_OK)
        return s;
    memset(m->mask.data, 0, r->text_size + 1);
    for (size_t i = 0; i < r->n_untrusted; i++)
        memset(m->mask.data + r->untrusted[i].from, 1, r->untrusted[i].to - r->untrusted[i].from);
    return GR_OK;
}

/* The first token that has a byte behind the first `bytes`, and whether one has bytes on both sides. */
static gr_status token_at(making *m, size_t bytes, size_t *token, bool *is_inside)
{
    const gr_ids *all = &m->row->ids, *own = &m->c->tokenizer->scratch.ids;
    gr_status s = encode(m, bytes);
    size_t k = 0;
    while (s == GR_OK && k < own->size && k < all->size && own->data[k] == all->data[k])
        k++;
    *token = k;
    *is_inside = s == GR_OK && k < own->size && k < all->size;
    return s;
}

/* A token that a span begins or ends in belongs to it. */
static gr_status mark_span(making *m, gr_text_range span, int is_learned)
{
    size_t from, to = m->row->ids.size;
    bool inside = false;
    gr_status s = token_at(m, span.from, &from, &inside);
    if (s == GR_OK && span.to < m->whole->text_size) {
        s = token_at(m, span.to, &to, &inside);
        to += inside;
    }
    if (s == GR_OK && span.to > span.from && to > from)
        memset(m->row->learned.data + from, is_learned, to - from);
    return s;
}

static gr_status make_tokens(making *m)
{
    gr_chat_row *row = m->row;
    gr_status s = make_mask(m);
    if (s == GR_OK)
        s = encode(m, m->whole->text_size);
    const gr_ids *made = &m->c->tokenizer->scratch.ids;
    if (s == GR_OK)
        s = gr_ids_reserve(&row->ids, made->size);
    if (s == GR_OK)
        s = gr_bytes_reserve(&row->learned, made->size);
    if (s != GR_OK)
        return s;
    if (made->size)
        memcpy(row->ids.data, made->data, made->size * sizeof *made->data);
    row->ids.size = row->learned.size = made->size;
    if (row->learned.size)
        memset(row->learned.data, 0, row->learned.size);
    for (size_t i = 0; s == GR_OK && i < m->n; i++)
        s = mark_span(m, m->spans[i], i < m->learned);
    return s;
}

/* ---- a row -------------------------------------------------------------------------------------------------- */

void gr_chat_row_free(gr_chat_row *row)
{
    gr_ids_free(&row->ids);
    gr_bytes_free(&row->learned);
}

gr_status gr_chat_row_make(const gr_chats *c, const char *json, size_t size, gr_chat_row *row)
{
    making m = {.c = c, .row = row};
    row->ids.size = row->learned.size = 0;
    row->refused[0] = '\0';
    gr_status s = gr_chat_record_read(&m.record, json, size);
    if (s == GR_OK)
        s = render(&m, m.record.n, false, &m.whole);
    if (s == GR_OK && m.whole && !is_answered(&m))
        snprintf(row->refused, sizeof row->refused,
                 "no message of the role assistant is there to be learned; that of the last one is \"%s\"",
                 m.record.role);
    else if (s == GR_OK && m.whole)
        s = find_spans(&m);
    if (s == GR_OK && m.whole)
        s = find_left_out(&m);
    if (s == GR_OK && !*row->refused)
        s = make_tokens(&m);
    free_making(&m);
    return s;
}
