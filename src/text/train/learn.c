/* Learning merges: pairs counted once, then only what each merge changes. */
#include "text/train/learn.h"
#include "base/error.h"

/* ---- words -------------------------------------------------------------------------------------------------- */

gr_status gr_word_counts_add(gr_word_counts *w, const char *word, size_t size, int64_t times)
{
    int32_t id = gr_vocab_find(&w->words, word, size);
    if (id >= 0) {
        w->count[id] += times;
        return GR_OK;
    }
    size_t n = w->words.count;
    gr_status s = gr_grow(&w->count, &w->cap, n + 1, sizeof *w->count);
    if (s == GR_OK)
        s = gr_vocab_add(&w->words, word, size, (uint32_t)n);
    if (s == GR_OK)
        w->count[n] = times;
    return s;
}

void gr_word_counts_free(gr_word_counts *w)
{
    gr_vocab_free(&w->words);
    gr_free(w->count);
    *w = (gr_word_counts){0};
}

/* ---- pairs -------------------------------------------------------------------------------------------------- */

typedef struct places { /* the words a pair was found in, in rising order */
    uint32_t *word;
    size_t n, cap;
} places;

typedef struct pair {
    uint64_t key;  /* left << 32 | right */
    int64_t count; /* occurrences, weighed by the words' counts */
    places fresh;  /* words found since the pair was last put on the heap */
    bool touched;  /* is in the list of those with fresh words */
} pair;

/* A candidate on the heap. Its count may be out of date; then it is put back with the right one. Words found later are
 * in candidates of their own, as in Hugging Face's queue. */
typedef struct candidate {
    int64_t count;
    uint64_t key;
    uint32_t round; /* of learning, when it was put here */
    places at;
} candidate;

typedef struct learner {
    const gr_word_counts *counts;
    int32_t *symbol; /* all words' symbols, one word behind the other */
    size_t *start;   /* of each word */
    uint32_t *size;  /* of each word, shrinking */
    pair *pair;
    size_t pairs, pairs_cap;
    uint32_t *slot; /* key to pair + 1; open addressing */
    size_t slots;
    candidate *heap;
    size_t heaped, heap_cap;
    uint32_t *touched;
    size_t n_touched, touched_cap;
    uint32_t round;
} learner;

static size_t find_slot(const learner *l, uint64_t key)
{
    size_t i = (key * 0x9E3779B97F4A7C15u) >> 32 & (l->slots - 1);
    while (l->slot[i] && l->pair[l->slot[i] - 1].key != key)
        i = (i + 1) & (l->slots - 1);
    return i;
}

static gr_status grow_slots(learner *l)
{
    size_t slots = l->slots ? l->slots * 2 : 1024;
    uint32_t *slot = gr_alloc_zero(slots, sizeof *slot);
    if (!slot)
        return GR_ERR_MEMORY;
    gr_free(l->slot);
    l->slot = slot;
    l->slots = slots;
    for (size_t i = 0; i < l->pairs; i++)
        l->slot[find_slot(l, l->pair[i].key)] = (uint32_t)i + 1;
    return GR_OK;
}

/* The pair's index, added if new. */
static gr_status get_pair(learner *l, int32_t left, int32_t right, size_t *index)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    gr_status s = l->pairs * 2 >= l->slots ? grow_slots(l) : GR_OK;
    if (s != GR_OK)
        return s;
    size_t i = find_slot(l, key);
    if (!l->slot[i]) {
        s = gr_grow(&l->pair, &l->pairs_cap, l->pairs + 1, sizeof *l->pair);
        if (s != GR_OK)
            return s;
        l->pair[l->pairs] = (pair){.key = key};
        l->slot[i] = (uint32_t)++l->pairs;
    }
    *index = l->slot[i] - 1;
    return GR_OK;
}

/* Counts `times` more (or fewer) of a pair; more: in this word. */
static gr_status count_pair(learner *l, int32_t left, int32_t right, int64_t times, uint32_t word)
{
    size_t i;
    gr_status s = get_pair(l, left, right, &i);
    if (s != GR_OK)
        return s;
    pair *p = &l->pair[i];
    p->count += times;
    if (times <= 0)
        return GR_OK;
    if (!p->touched) {
        s = gr_grow(&l->touched, &l->touched_cap, l->n_touched + 1, sizeof *l->touched);
        if (s != GR_OK)
            return s;
        l->touched[l->n_touched++] = (uint32_t)i;
        p->touched = true;
    }
    if (p->fresh.n && p->fresh.word[p->fresh.n - 1] == word)
        return GR_OK;
    s = gr_grow(&p->fresh.word, &p->fresh.cap, p->fresh.n + 1, sizeof *p->fresh.word);
    if (s == GR_OK)
        p->fresh.word[p->fresh.n++] = word;
    return s;
}

/* ---- the heap: the most frequent pair on top, of equal ones the one of lower ids, then the older one -------- */

static bool goes_before(const candidate *a, const candidate *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    return a->key != b->key ? a->key < b->key : a->round < b->round;
}

static void sift_down(learner *l, size_t i)
{
    candidate x = l->heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= l->heaped)
            break;
        child += child + 1 < l->heaped && goes_before(&l->heap[child + 1], &l->heap[child]);
        if (!goes_before(&l->heap[child], &x))
            break;
        l->heap[i] = l->heap[child];
        i = child;
    }
    l->heap[i] = x;
}

static void sift_up(learner *l, size_t i)
{
    candidate x = l->heap[i];
    for (; i && goes_before(&x, &l->heap[(i - 1) / 2]); i = (i - 1) / 2)
        l->heap[i] = l->heap[(i - 1) / 2];
    l->heap[i] = x;
}

static void drop_top(learner *l)
{
    gr_free(l->heap[0].at.word);
    l->heap[0] = l->heap[--l->heaped];
    if (l->heaped)
        sift_down(l, 0);
}

/* All pairs with fresh words become candidates. */
static gr_status push_touched(learner *l)
{
    gr_status s = gr_grow(&l->heap, &l->heap_cap, l->heaped + l->n_touched, sizeof *l->heap);
    for (size_t i = 0; i < l->n_touched && s == GR_OK; i++) {
        pair *p = &l->pair[l->touched[i]];
        if (p->count > 0) {
            l->heap[l->heaped++] = (candidate){p->count, p->key, l->round, p->fresh};
            sift_up(l, l->heaped - 1);
        } else {
            gr_free(p->fresh.word);
        }
        p->fresh = (places){0};
        p->touched = false;
    }
    if (s == GR_OK)
        l->n_touched = 0;
    l->round++;
    return s;
}

/* ---- learning ----------------------------------------------------------------------------------------------- */

static gr_status split_words(learner *l, const int32_t byte_id[256])
{
    const gr_vocab *words = &l->counts->words;
    gr_status s = GR_OK;
    l->symbol = gr_alloc_zero(words->pool.size + 1, sizeof *l->symbol);
    l->start = gr_alloc_zero(words->rows + 1, sizeof *l->start);
    l->size = gr_alloc_zero(words->rows + 1, sizeof *l->size);
    if (!l->symbol || !l->start || !l->size)
        return GR_ERR_MEMORY;
    for (size_t w = 0, at = 0; w < words->rows && s == GR_OK; w++) {
        size_t size;
        const char *text = gr_vocab_text(words, (int64_t)w, &size);
        l->start[w] = at;
        l->size[w] = (uint32_t)size;
        for (size_t i = 0; i < size; i++)
            l->symbol[at + i] = byte_id[(unsigned char)text[i]];
        for (size_t i = 0; i + 1 < size && s == GR_OK; i++)
            s = count_pair(l, l->symbol[at + i], l->symbol[at + i + 1], l->counts->count[w], (uint32_t)w);
        at += size;
    }
    return s == GR_OK ? push_touched(l) : s;
}

/* Merges a pair everywhere in one word and counts what that changes around it. */
static gr_status merge_word(learner *l, uint32_t word, const gr_learned *m)
{
    int32_t *s = l->symbol + l->start[word];
    size_t n = l->size[word], kept = 0;
    int64_t times = l->counts->count[word];
    gr_status status = GR_OK;
    for (size_t i = 0; i < n && status == GR_OK; i++) {
        if (s[i] != m->left || i + 1 >= n || s[i + 1] != m->right) {
            s[kept++] = s[i];
            continue;
        }
        if (kept) {
            status = count_pair(l, s[kept - 1], m->left, -times, word);
            if (status == GR_OK)
                status = count_pair(l, s[kept - 1], m->id, times, word);
        }
        if (status == GR_OK && i + 2 < n) {
            status = count_pair(l, m->right, s[i + 2], -times, word);
            if (status == GR_OK)
                status = count_pair(l, m->id, s[i + 2], times, word);
        }
        s[kept++] = m->id;
        i++;
    }
    l->size[word] = (uint32_t)kept;
    return status;
}

/* The token that a pair makes: a new one, unless its bytes are a token already. */
static gr_status make_token(gr_vocab *vocab, gr_learned *m)
{
    size_t left_size, right_size;
    const char *left = gr_vocab_text(vocab, m->left, &left_size), *right = gr_vocab_text(vocab, m->right, &right_size);
    gr_bytes joined = {0};
    gr_status s = gr_bytes_add(&joined, left, left_size);
    if (s == GR_OK)
        s = gr_bytes_add(&joined, right, right_size);
    m->id = s != GR_OK ? -1 : gr_vocab_find(vocab, joined.data, joined.size);
    if (s == GR_OK && m->id < 0) {
        m->id = (int32_t)vocab->rows;
        s = gr_vocab_add(vocab, joined.data, joined.size, (uint32_t)m->id);
    }
    gr_bytes_free(&joined);
    return s;
}

static gr_status merge_top(learner *l, gr_vocab *vocab, gr_learned *m)
{
    candidate top = l->heap[0];
    *m = (gr_learned){(int32_t)(top.key >> 32), (int32_t)(uint32_t)top.key, -1};
    gr_status s = make_token(vocab, m);
    for (size_t i = 0; i < top.at.n && s == GR_OK; i++)
        s = merge_word(l, top.at.word[i], m);
    drop_top(l);
    return s == GR_OK ? push_touched(l) : s;
}

static void learner_free(learner *l)
{
    for (size_t i = 0; i < l->heaped; i++)
        gr_free(l->heap[i].at.word);
    for (size_t i = 0; i < l->pairs; i++)
        gr_free(l->pair[i].fresh.word);
    gr_free(l->symbol);
    gr_free(l->start);
    gr_free(l->size);
    gr_free(l->pair);
    gr_free(l->slot);
    gr_free(l->heap);
    gr_free(l->touched);
}

/* The top of the heap with the count it has now; false: it was out of date and has gone down. */
static bool top_is_current(learner *l)
{
    int64_t now = l->pair[l->slot[find_slot(l, l->heap[0].key)] - 1].count;
    if (l->heap[0].count == now)
        return true;
    l->heap[0].count = now;
    sift_down(l, 0);
    return false;
}

static gr_status learn(learner *l, gr_vocab *vocab, const gr_learning *how, gr_learned **merges, size_t *n)
{
    gr_status s = GR_OK;
    size_t cap = 0;
    while (s == GR_OK && l->heaped && (int64_t)vocab->count < how->vocab_size) {
        if (!top_is_current(l))
            continue;
        if (l->heap[0].count < 1 || l->heap[0].count < how->min_frequency)
            break;
        if (how->go_on && *n % 64 == 0 && !how->go_on(how->ctx, (int64_t)vocab->count))
            return gr_fail(GR_ERR_INTERRUPTED, "tokenizer training: stopped after %zu merges", *n);
        s = gr_grow(merges, &cap, *n + 1, sizeof **merges);
        if (s == GR_OK)
            s = merge_top(l, vocab, &(*merges)[*n]);
        *n += s == GR_OK;
    }
    return s;
}

gr_status gr_bpe_learn(const gr_word_counts *w, gr_vocab *vocab, const int32_t byte_id[256], const gr_learning *how,
                       gr_learned **merges, size_t *n)
{
    learner l = {.counts = w};
    *merges = NULL;
    *n = 0;
    gr_status s = split_words(&l, byte_id);
    if (s == GR_OK)
        s = learn(&l, vocab, how, merges, n);
    learner_free(&l);
    return s;
}
