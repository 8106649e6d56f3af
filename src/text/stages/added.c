/* Searching for added tokens, and what their flags ask of the text around them. */
#include "text/stages/added.h"
#include "text/unicode/unicode.h"
#include "base/error.h"

gr_status gr_added_add(gr_added *a, const char *content, size_t size, int32_t id, gr_added_token flags)
{
    gr_status s = GR_OK;
    if (gr_vocab_find(&a->vocab, content, size) != id)
        s = gr_vocab_add(&a->vocab, content, size, (uint32_t)id);
    if (s == GR_OK)
        s = gr_grow(&a->token, &a->cap, (size_t)id + 1, sizeof *a->token);
    if (s != GR_OK)
        return s;
    for (; a->rows <= (size_t)id; a->rows++)
        a->token[a->rows] = (gr_added_token){0};
    gr_free(a->token[id].shown);
    flags.present = true;
    a->token[id] = flags;
    return GR_OK;
}

void gr_added_begin(gr_added *a, const gr_vocab *model)
{
    a->next = a->rows > model->count ? a->rows : model->count;
}

gr_status gr_added_put(gr_added *a, const gr_vocab *model, const char *content, size_t size, gr_added_token flags,
                       int32_t *id)
{
    *id = gr_vocab_find(&a->vocab, content, size);
    if (*id < 0)
        *id = gr_vocab_find(model, content, size);
    if (*id < 0)
        *id = (int32_t)a->next++;
    return gr_added_add(a, content, size, *id, flags);
}

void gr_added_free(gr_added *a)
{
    gr_vocab_free(&a->vocab);
    for (size_t id = 0; id < a->rows; id++)
        gr_free(a->token[id].shown);
    gr_free(a->token);
    gr_trie_free(&a->raw);
    gr_trie_free(&a->normalized);
    *a = (gr_added){0};
}

/* The start of the last character before p. */
static const char *step_back(const char *text, const char *p, const char *end)
{
    for (int back = 4; back > 1; back--) {
        int n;
        if (p - text >= back && gr_utf8_read(p - back, end, &n) < GR_INVALID_BYTE && n == back)
            return p - back;
    }
    return p - 1;
}

static bool has_class(const char *p, const char *end, unsigned class)
{
    int n;
    return gr_class(gr_utf8_read(p, end, &n)) & class;
}

static bool stands_alone(const gr_added_search *s, const char *start, const char *stop)
{
    if (start > s->text && has_class(step_back(s->text, start, s->end), s->end, GR_CLASS_RUST_WORD))
        return false;
    return stop == s->end || !has_class(stop, s->end, GR_CLASS_RUST_WORD);
}

/* Blanks that are no control token are text like others: whoever writes them gets what they are in every text. */
static bool is_blank(const gr_added_token *t, const char *at, const char *end)
{
    if (t->special)
        return false;
    for (int n; at < end; at += n)
        if (!(gr_class(gr_utf8_read(at, end, &n)) & GR_CLASS_SPACE))
            return false;
    return true;
}

static bool is_masked(const gr_added_search *s, int32_t id, const char *at, size_t size)
{
    return s->mask && memchr(s->mask + (at - s->text), 1, size) && !is_blank(&s->added->token[id], at, at + size);
}

/* The next match that the mask allows. Behind one that it does not, the search goes on at the next byte, so that what is
 * masked hides no token that begins inside of it. */
static const char *search_next(gr_added_search *s, int32_t *id, size_t *size)
{
    const char *at;
    while ((at = gr_trie_search(s->trie, s->from, s->end, id, size))) {
        uint32_t node = 0;
        const char *stop = at;
        bool found = !is_masked(s, *id, at, *size);
        for (int32_t other; !found && (other = gr_trie_next(s->trie, &node, &stop, s->end)) >= 0;) {
            if (is_masked(s, other, at, (size_t)(stop - at)))
                continue;
            *id = other; /* a shorter one, the longest of those */
            *size = (size_t)(stop - at);
        }
        if (found || !is_masked(s, *id, at, *size))
            return at;
        s->from = at + 1;
    }
    return NULL;
}

int32_t gr_added_next(gr_added_search *s, const char **start, const char **stop)
{
    const char *at;
    int32_t id;
    size_t size;
    *start = s->done;
    while ((at = search_next(s, &id, &size))) {
        const gr_added_token *t = &s->added->token[id];
        const char *last = at + size;
        s->from = last; /* also behind a match that does not count: the search goes on where it ended */
        if ((t->special && !s->parse_special) || (t->single_word && !stands_alone(s, at, last)))
            continue;
        while (t->lstrip && at > s->done && has_class(step_back(s->done, at, s->end), s->end, GR_CLASS_SPACE))
            at = step_back(s->done, at, s->end);
        for (int n = 0; t->rstrip && last < s->end && gr_class(gr_utf8_read(last, s->end, &n)) & GR_CLASS_SPACE;)
            last += n;
        if (t->lstrip && last <= s->done)
            continue; /* white space that the token before has taken is all there is of it */
        *stop = at > s->done ? at : s->done;
        s->done = last;
        return id;
    }
    *stop = s->end;
    return -1;
}
