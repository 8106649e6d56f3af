/* The patterns, each a function that says where the piece at hand ends. */
#include "text/stages/scan.h"

/* What the patterns ask of a character. */
typedef enum kind { OTHER, LETTER, NUMBER, SPACE, NEWLINE } kind; /* NEWLINE: a space that is \r or \n */

/* ASCII by table: no branches on the common path. */
static const unsigned char ascii_kind[128] = {
    ['\t'] = SPACE, ['\n'] = NEWLINE, ['\v'] = SPACE, ['\f'] = SPACE, ['\r'] = NEWLINE, [' '] = SPACE,  ['0'] = NUMBER,
    ['1'] = NUMBER, ['2'] = NUMBER,   ['3'] = NUMBER, ['4'] = NUMBER, ['5'] = NUMBER,   ['6'] = NUMBER, ['7'] = NUMBER,
    ['8'] = NUMBER, ['9'] = NUMBER,   ['A'] = LETTER, ['B'] = LETTER, ['C'] = LETTER,   ['D'] = LETTER, ['E'] = LETTER,
    ['F'] = LETTER, ['G'] = LETTER,   ['H'] = LETTER, ['I'] = LETTER, ['J'] = LETTER,   ['K'] = LETTER, ['L'] = LETTER,
    ['M'] = LETTER, ['N'] = LETTER,   ['O'] = LETTER, ['P'] = LETTER, ['Q'] = LETTER,   ['R'] = LETTER, ['S'] = LETTER,
    ['T'] = LETTER, ['U'] = LETTER,   ['V'] = LETTER, ['W'] = LETTER, ['X'] = LETTER,   ['Y'] = LETTER, ['Z'] = LETTER,
    ['a'] = LETTER, ['b'] = LETTER,   ['c'] = LETTER, ['d'] = LETTER, ['e'] = LETTER,   ['f'] = LETTER, ['g'] = LETTER,
    ['h'] = LETTER, ['i'] = LETTER,   ['j'] = LETTER, ['k'] = LETTER, ['l'] = LETTER,   ['m'] = LETTER, ['n'] = LETTER,
    ['o'] = LETTER, ['p'] = LETTER,   ['q'] = LETTER, ['r'] = LETTER, ['s'] = LETTER,   ['t'] = LETTER, ['u'] = LETTER,
    ['v'] = LETTER, ['w'] = LETTER,   ['x'] = LETTER, ['y'] = LETTER, ['z'] = LETTER,
};

static kind kind_of_long(const char *p, const char *end, int *n)
{
    unsigned class = gr_class(gr_utf8_read_long(p, end, n));
    if (class & GR_CLASS_LETTER)
        return LETTER;
    if (class & GR_CLASS_NUMBER)
        return NUMBER;
    return class & GR_CLASS_SPACE ? SPACE : OTHER;
}

static inline kind kind_at(const char *p, const char *end, int *n)
{
    unsigned char c = (unsigned char)*p;
    *n = 1;
    return c < 128 ? (kind)ascii_kind[c] : kind_of_long(p, end, n);
}

/* Past all characters of a kind. */
static inline const char *skip(const char *p, const char *end, kind k)
{
    for (int n; p < end && kind_at(p, end, &n) == k;)
        p += n;
    return p;
}

/* White space from p on. \s+(?!\S)|\s+ : all of it at the end of the text, else all but its last character, which goes
 * to the piece behind; but at least one. *newline: behind the last \r or \n in it, NULL if there is none. */
static const char *skip_space(const char *p, const char *end, const char **newline)
{
    const char *at = p, *last = p;
    *newline = NULL;
    for (int n; at < end; at += n) {
        kind k = kind_at(at, end, &n);
        if (k != SPACE && k != NEWLINE)
            return last > p ? last : at;
        last = at;
        if (k == NEWLINE)
            *newline = at + 1;
    }
    return end;
}

static inline char lower(char c, bool fold)
{
    return fold && c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* 's 't 're 've 'm 'll 'd : bytes behind the apostrophe, 0 for none. Under (?i:) U+017F, the long s, is an s too. */
static int contraction(const char *p, const char *end, bool fold)
{
    if (p >= end)
        return 0;
    char a = lower(p[0], fold), b = end - p > 1 ? lower(p[1], fold) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 1;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 2;
    return fold && end - p > 1 && (unsigned char)p[0] == 0xC5 && (unsigned char)p[1] == 0xBF ? 2 : 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
const char *gr_scan_gpt2(const char *p, const char *end)
{
    int n;
    kind k = kind_at(p, end, &n);
    if (*p == '\'') {
        int more = contraction(p + 1, end, false);
        if (more)
            return p + 1 + more;
    }
    if (k == SPACE || k == NEWLINE) {
        int n_next;
        kind next = *p == ' ' && p + 1 < end ? kind_at(p + 1, end, &n_next) : SPACE;
        if (next == SPACE || next == NEWLINE) {
            const char *newline;
            return skip_space(p, end, &newline);
        }
        k = next;
        n = 1 + n_next;
    }
    return skip(p + n, end, k);
}

/* Where the two patterns below differ: \p{N}{1,3} and \p{N}. */
static inline const char *scan_cl100k(const char *p, const char *end, int digits)
{
    int n, n_next = 0;
    kind k = kind_at(p, end, &n);
    if (k == LETTER)
        return skip(p + n, end, LETTER);
    if (*p == '\'') {
        int more = contraction(p + 1, end, true);
        if (more)
            return p + 1 + more;
    }
    if (k == NUMBER) {
        for (p += n; --digits && p < end && kind_at(p, end, &n) == NUMBER;)
            p += n;
        return p;
    }
    kind next = p + n < end ? kind_at(p + n, end, &n_next) : SPACE;
    if (next == LETTER && k != NEWLINE) /* [^\r\n\p{L}\p{N}]?\p{L}+ */
        return skip(p + n + n_next, end, LETTER);
    if (k == OTHER || (*p == ' ' && next == OTHER)) { /* " ?[^\s\p{L}\p{N}]+[\r\n]*" */
        p = skip(p + n, end, OTHER);
        return skip(p, end, NEWLINE);
    }
    const char *newline, *stop = skip_space(p, end, &newline);
    return newline ? newline : stop; /* \s*[\r\n]+ goes before \s+ */
}

static const char *scan_llama3(const char *p, const char *end)
{
    return scan_cl100k(p, end, 3);
}

static const char *scan_qwen2(const char *p, const char *end)
{
    return scan_cl100k(p, end, 1);
}

gr_scan_fn gr_scan_for(const char *pattern, size_t size)
{
    static const struct {
        const char *pattern;
        gr_scan_fn scan;
    } known[] = {
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", gr_scan_gpt2},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         scan_llama3},
        {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|"
         "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
         scan_qwen2},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].pattern) == size && memcmp(known[i].pattern, pattern, size) == 0)
            return known[i].scan;
    return NULL;
}
