/* Parsing and printing each kind of flag. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "cli/suggest.h"
#include "cli/value.h"

static const struct {
    const char *suffix;
    int64_t factor;
} scales[] = {{"", 1},         {"k", 1000},     {"M", 1000000},          {"G", 1000000000},
              {"Ki", 1 << 10}, {"Mi", 1 << 20}, {"Gi", INT64_C(1) << 30}};

/* ---- numbers ------------------------------------------------------------------------------------------------ */

/* The factor of a suffix, or a failure that names the nearest one. */
static gr_status read_suffix(const char *suffix, int64_t *factor)
{
    for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
        if (strcmp(suffix, scales[i].suffix) == 0) {
            *factor = scales[i].factor;
            return GR_OK;
        }
    /* Only the case is wrong: worth saying which. */
    for (size_t i = 1; i < sizeof scales / sizeof *scales; i++) {
        const char *right = scales[i].suffix;
        if (tolower((unsigned char)suffix[0]) == tolower((unsigned char)right[0]) &&
            (suffix[1] == 0 || (tolower((unsigned char)suffix[1]) == 'i' && suffix[2] == 0)))
            return gr_fail(
                GR_ERR_ARGUMENT,
                "'%s' is no suffix, the nearest is %s\nThere are k, M, G (thousands) and Ki, Mi, Gi (1024s).", suffix,
                suffix[1] ? scales[i + 3].suffix : right);
    }
    return gr_fail(GR_ERR_ARGUMENT,
                   "'%.20s' behind the number is no suffix\nThere are k, M, G (thousands) and Ki, Mi, Gi (1024s).",
                   suffix);
}

/* How far the number goes: digits, a point, an exponent. Hexadecimal, inf and nan are no values of flags. */
static const char *end_of_number(const char *s)
{
    const char *start = s;
    while (isdigit((unsigned char)*s))
        s++;
    if (*s == '.')
        for (s++; isdigit((unsigned char)*s); s++)
            ;
    if (s == start || (s == start + 1 && *start == '.'))
        return start;
    if (*s == 'e' || *s == 'E') {
        const char *e = s + 1 + (s[1] == '+' || s[1] == '-');
        if (isdigit((unsigned char)*e)) {
            while (isdigit((unsigned char)*e))
                e++;
            return e;
        }
    }
    return s;
}

static gr_status expected(const char *what, const char *example)
{
    return gr_fail(GR_ERR_ARGUMENT, "expected %s\nWrite it like %s.", what, example);
}

static gr_status check_range(const gr_flag *flag, double value)
{
    if (flag->positive && value <= 0)
        return gr_fail(GR_ERR_ARGUMENT, "must be more than 0\nGive a larger number.");
    if (value < flag->min)
        return gr_fail(GR_ERR_ARGUMENT, "must be at least %.9g\nGive a larger number.", flag->min);
    if (flag->max != 0 && value > flag->max)
        return gr_fail(GR_ERR_ARGUMENT, "must be at most %.9g\nGive a smaller number.", flag->max);
    return GR_OK;
}

static gr_status parse_float(const gr_flag *flag, const char *text, double *out)
{
    const char *digits = text + (*text == '-' && flag->min < 0), *end = end_of_number(digits);
    if (end == digits)
        return expected(*text == '-' ? "a number that is not negative" : "a number", "0.1, 3e-4 or 2k");
    int64_t factor;
    gr_status status = read_suffix(end, &factor);
    if (status != GR_OK)
        return status;
    double value = strtod(text, NULL) * (double)factor;
    if (!isfinite(value))
        return gr_fail(GR_ERR_ARGUMENT, "the number is too large\nGive a smaller number.");
    *out = value;
    return check_range(flag, value);
}

static gr_status parse_int(const gr_flag *flag, const char *text, int64_t *out)
{
    const char *end = end_of_number(text);
    if (end == text)
        return expected(*text == '-' ? "a whole number that is not negative" : "a whole number", "12, 10k or 4Ki");
    int64_t factor;
    gr_status status = read_suffix(end, &factor);
    if (status != GR_OK)
        return status;
    /* Plain digits stay exact above 2^53; "1.5k" and "1e6" go through a double and must come out whole. */
    if (strspn(text, "0123456789") == (size_t)(end - text)) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno != 0 || value > INT64_MAX / factor)
            return gr_fail(GR_ERR_ARGUMENT, "the number is too large\nGive a smaller number.");
        *out = value * factor;
    } else {
        double value = strtod(text, NULL) * (double)factor;
        if (value != floor(value))
            return expected("a whole number", "12, 10k or 4Ki");
        if (value > 9007199254740992.0)
            return gr_fail(GR_ERR_ARGUMENT, "the number is too large\nGive a smaller number.");
        *out = (int64_t)value;
    }
    return check_range(flag, (double)*out);
}

/* ---- words -------------------------------------------------------------------------------------------------- */

const char *gr_word(const char *words, int i, size_t *length)
{
    for (; i > 0; i--) {
        words = strchr(words, '|');
        if (words == NULL)
            return NULL;
        words++;
    }
    *length = strcspn(words, "|");
    return words;
}

/* The position of a word, or -1 and an error that names the nearest. */
static int find_word(const char *words, const char *text, size_t length)
{
    char written[64];
    snprintf(written, sizeof written, "%.*s", (int)length, text);
    gr_suggestion near = {.written = written};
    size_t n;
    const char *word;
    for (int i = 0; (word = gr_word(words, i, &n)) != NULL; i++) {
        if (n == length && memcmp(word, text, n) == 0)
            return i;
        gr_suggest(&near, word, n);
    }
    if (near.best != NULL)
        gr_fail(GR_ERR_ARGUMENT, "expected one of %s\nDid you mean %.*s?", words, (int)near.best_length, near.best);
    else
        gr_fail(GR_ERR_ARGUMENT,
                strchr(words, '|') ? "expected one of %s\nGive one of these words."
                                   : "expected %s\nThere is nothing else so far.",
                words);
    return -1;
}

static gr_status parse_set(const gr_flag *flag, const char *text, unsigned *out)
{
    *out = 0;
    for (;;) {
        size_t length = strcspn(text, ",");
        int i = find_word(flag->value, text, length);
        if (i < 0)
            return GR_ERR_ARGUMENT;
        *out |= 1u << i;
        if (text[length] == 0)
            return GR_OK;
        text += length + 1;
    }
}

/* ---- lists -------------------------------------------------------------------------------------------------- */

static gr_status append_text(gr_texts *list, const char *text)
{
    gr_status status = gr_grow(&list->items, &list->cap, list->count + 1, sizeof *list->items);
    if (status == GR_OK)
        list->items[list->count++] = text;
    return status;
}

/* Counts first, so that one allocation does. */
static gr_status parse_ids(const char *text, gr_id_rows *out)
{
    size_t most = 1;
    for (const char *s = text; *s; s++)
        most += *s == ',' || *s == ';';
    gr_free(out->ids);
    *out = (gr_id_rows){.ids = gr_alloc(most * sizeof *out->ids)};
    if (out->ids == NULL)
        return GR_ERR_MEMORY;
    size_t in_row = 0;
    for (;; text++) {
        text += strspn(text, " ");
        errno = 0;
        char *end;
        long long id = isdigit((unsigned char)*text) ? strtoll(text, &end, 10) : -1;
        if (id < 0 || errno != 0)
            return expected("token ids split by commas", "1,2,3, or 1,2,3;4,5,6 for two rows");
        if (id > INT32_MAX)
            return gr_fail(GR_ERR_ARGUMENT, "%lld is no token id\nIds are below %lld.", (long long)id,
                           (long long)INT32_MAX + 1);
        out->ids[out->count++] = (gr_token)id;
        in_row++;
        text = end + strspn(end, " ");
        if (*text == ',')
            continue;
        if (*text != ';' && *text != 0)
            return expected("token ids split by commas", "1,2,3, or 1,2,3;4,5,6 for two rows");
        out->rows++;
        if (in_row * out->rows != out->count)
            return gr_fail(GR_ERR_ARGUMENT, "row %zu has %zu ids, those before have %zu\nGive rows of equal length.",
                           out->rows, in_row, (out->count - in_row) / (out->rows - 1));
        in_row = 0;
        if (*text == 0)
            return GR_OK;
    }
}

/* ---- any kind ----------------------------------------------------------------------------------------------- */

gr_status gr_value_parse(const gr_flag *flag, const char *text, void *field)
{
    switch (flag->kind) {
    case GR_KIND_SWITCH:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return expected("true or false", "true");
        *(bool *)field = text[0] == 't';
        return GR_OK;
    case GR_KIND_INT:
        return parse_int(flag, text, field);
    case GR_KIND_FLOAT:
        return parse_float(flag, text, field);
    case GR_KIND_TEXT:
        *(const char **)field = text;
        return GR_OK;
    case GR_KIND_CHOICE: {
        int i = find_word(flag->value, text, strlen(text));
        if (i >= 0)
            *(int *)field = i;
        return i >= 0 ? GR_OK : GR_ERR_ARGUMENT;
    }
    case GR_KIND_SET:
        return parse_set(flag, text, field);
    case GR_KIND_LIST:
        return append_text(field, text);
    case GR_KIND_IDS:
        return parse_ids(text, field);
    case GR_KIND_HEADING:
    case GR_KIND_END:
        break;
    }
    return gr_fail(GR_ERR_ARGUMENT, "takes no value\nLeave the value out.");
}

/* The fewest digits that read back as the same number. */
static char *format_float(double value)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return gr_strdup(text);
}

/* Puts `next` behind `text` (freed) with a separator between them. */
static char *append(char *text, const char *separator, const char *next, size_t length)
{
    char *both = text ? gr_strfmt("%s%s%.*s", text, *text ? separator : "", (int)length, next) : NULL;
    gr_free(text);
    return both;
}

static char *format_set(const char *words, unsigned set)
{
    char *text = gr_strdup("");
    size_t n;
    const char *word;
    for (int i = 0; (word = gr_word(words, i, &n)) != NULL; i++)
        if (set & 1u << i)
            text = append(text, ",", word, n);
    return text;
}

static char *format_ids(const gr_id_rows *ids)
{
    char *text = gr_strdup("");
    for (size_t i = 0; i < ids->count; i++) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)ids->ids[i]);
        text = append(text, i % (ids->count / ids->rows) ? "," : ";", number, sizeof number);
    }
    return text;
}

char *gr_value_format(const gr_flag *flag, const void *field)
{
    switch (flag->kind) {
    case GR_KIND_SWITCH:
        return gr_strdup(*(const bool *)field ? "true" : "false");
    case GR_KIND_INT:
        return gr_strfmt("%lld", (long long)*(const int64_t *)field);
    case GR_KIND_FLOAT:
        return format_float(*(const double *)field);
    case GR_KIND_TEXT:
        return gr_strdup(*(const char *const *)field ? *(const char *const *)field : "");
    case GR_KIND_CHOICE: {
        size_t n = 0;
        const char *word = gr_word(flag->value, *(const int *)field, &n);
        return gr_strfmt("%.*s", (int)n, word ? word : "");
    }
    case GR_KIND_SET:
        return format_set(flag->value, *(const unsigned *)field);
    case GR_KIND_LIST: {
        const gr_texts *list = field;
        char *text = gr_strdup("");
        for (size_t i = 0; i < list->count; i++)
            text = append(text, "\n", list->items[i], strlen(list->items[i]));
        return text;
    }
    case GR_KIND_IDS:
        return format_ids(field);
    case GR_KIND_HEADING:
    case GR_KIND_END:
        break;
    }
    return gr_strdup("");
}

void gr_value_free(const gr_flag *flag, void *field)
{
    if (flag->kind == GR_KIND_LIST)
        gr_free(((gr_texts *)field)->items);
    if (flag->kind == GR_KIND_IDS)
        gr_free(((gr_id_rows *)field)->ids);
}
