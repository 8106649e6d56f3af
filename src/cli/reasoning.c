/* Reasoning stands at the beginning of an answer, between two marks; marks anywhere else are text. */
#include <string.h>
#include "cli/reasoning.h"

struct gr_reasoning_marks {
    const char *open, *close;
};
static const struct gr_reasoning_marks known[] = {{"<think>", "</think>"}, {"[THINK]", "[/THINK]"}};
enum { KNOWN = sizeof known / sizeof known[0] };

enum { BEGINNING, REASONING, BETWEEN, ANSWER };

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

void gr_reasoning_start(gr_reasoning *r, const char *prompt, size_t size)
{
    while (size > 0 && is_blank(prompt[size - 1]))
        size--;
    for (int i = 0; i < KNOWN; i++) {
        size_t n = strlen(known[i].open);
        if (size >= n && memcmp(prompt + size - n, known[i].open, n) == 0) {
            r->marks = &known[i];
            r->state = REASONING;
        }
    }
}

static void tell(gr_reasoning *r, bool is_reasoning, size_t until)
{
    if (r->part && until > r->at)
        r->part(r->user, is_reasoning, r->text.data + r->at, until - r->at);
    r->at = until;
}

static size_t skip_blanks(const gr_reasoning *r, size_t at)
{
    while (at < r->text.size && is_blank(r->text.data[at]))
        at++;
    return at;
}

/* Whether text at `at` begins with the mark, or as far as it goes could. */
static bool could_be(const gr_reasoning *r, size_t at, const char *mark, bool *whole)
{
    size_t n = strlen(mark), left = r->text.size - at;
    *whole = left >= n;
    return memcmp(r->text.data + at, mark, left < n ? left : n) == 0;
}

/* false: more is needed to go on. */
static bool begin(gr_reasoning *r)
{
    size_t at = skip_blanks(r, 0);
    bool whole, maybe = at == r->text.size;
    for (int i = 0; i < KNOWN && !maybe; i++)
        if (could_be(r, at, known[i].open, &whole)) {
            maybe = !whole;
            if (whole) {
                r->marks = &known[i];
                r->state = REASONING;
                r->at = r->from = r->to = at + strlen(known[i].open);
                return true;
            }
        }
    if (!maybe)
        r->state = ANSWER;
    return !maybe;
}

static void end_reasoning(gr_reasoning *r, size_t end)
{
    r->from = skip_blanks(r, r->from);
    while (end > r->from && is_blank(r->text.data[end - 1]))
        end--;
    r->to = end > r->from ? end : r->from;
}

static bool reason(gr_reasoning *r)
{
    for (size_t at = r->at; at < r->text.size; at++) {
        bool whole;
        if (!could_be(r, at, r->marks->close, &whole))
            continue;
        tell(r, true, at);
        if (whole) {
            end_reasoning(r, at);
            r->at = at + strlen(r->marks->close);
            r->state = BETWEEN;
        }
        return whole;
    }
    tell(r, true, r->text.size);
    return false;
}

static bool step(gr_reasoning *r)
{
    switch (r->state) {
    case BEGINNING:
        return begin(r);
    case REASONING:
        return reason(r);
    case BETWEEN:
        r->at = r->content = skip_blanks(r, r->at);
        if (r->at < r->text.size)
            r->state = ANSWER;
        return r->at < r->text.size;
    default:
        tell(r, false, r->text.size);
        return false;
    }
}

gr_status gr_reasoning_feed(gr_reasoning *r, const char *text, size_t size)
{
    gr_status s = gr_bytes_add(&r->text, text, size);
    while (s == GR_OK && step(r))
        ;
    return s;
}

void gr_reasoning_end(gr_reasoning *r)
{
    if (r->state == REASONING) {
        tell(r, true, r->text.size);
        end_reasoning(r, r->text.size);
        r->content = r->text.size;
    } else {
        tell(r, false, r->text.size);
    }
}

void gr_reasoning_free(gr_reasoning *r)
{
    gr_bytes_free(&r->text);
}
