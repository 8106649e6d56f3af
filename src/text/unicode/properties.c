/* Names of properties, and the code points they stand for. */
#include "text/unicode/properties.h"

/* Reads the tables' numbers in turn. */
typedef struct cursor {
    size_t at;
} cursor;

static uint32_t next(cursor *c)
{
    uint32_t value = 0;
    for (int shift = 0;; shift += 7) {
        uint32_t byte = gr_set_data[c->at / 8] >> c->at % 8 * 8 & 0xFF;
        c->at++;
        value |= (byte & 127) << shift;
        if (byte < 128)
            return value;
    }
}

enum { longest_name = 64 };

int gr_property_find(const char *name, size_t size)
{
    char plain[longest_name];
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == ' ' || c == '_' || c == '-')
            continue;
        if (c >= 128 || !c || n + 1 == longest_name)
            return -1;
        plain[n++] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    plain[n] = 0;
    const char *known = gr_property_names;
    for (int i = 0; i < gr_property_count; i++, known += strlen(known) + 1)
        if (strcmp(known, plain) == 0)
            return gr_property_numbers[i];
    return -1;
}

gr_status gr_property_add(int set, gr_points *out)
{
    cursor c = {gr_set_at[set]};
    uint32_t at = 0, count = next(&c);
    gr_status s = GR_OK;
    for (uint32_t i = 0; i < count && s == GR_OK; i++) {
        uint32_t first = at + next(&c), last = first + next(&c);
        s = gr_points_add(out, first, last);
        at = last + 1;
    }
    return s;
}

uint32_t gr_property_first(int set)
{
    cursor c = {gr_set_at[set]};
    next(&c);
    return next(&c);
}

enum { most_cases = 8 };

/* The next set of characters that are one another in another case. */
static uint32_t next_fold(cursor *c, uint32_t members[most_cases])
{
    uint32_t n = next(c), last = 0;
    for (uint32_t i = 0; i < n; i++)
        members[i] = last += next(c);
    return n;
}

gr_status gr_points_fold(gr_points *p)
{
    cursor c = {gr_folds_at};
    gr_points more = {0};
    gr_status s = GR_OK;
    gr_points_tidy(p);
    for (int i = 0; i < gr_fold_count && s == GR_OK; i++) {
        uint32_t member[most_cases], n = next_fold(&c, member);
        bool any = false;
        for (uint32_t k = 0; k < n; k++)
            any |= gr_points_has(p, member[k]);
        for (uint32_t k = 0; k < n && any && s == GR_OK; k++)
            s = gr_points_add(&more, member[k], member[k]);
    }
    if (s == GR_OK)
        s = gr_points_add_all(p, &more);
    gr_points_tidy(p);
    gr_points_free(&more);
    return s;
}

uint32_t gr_fold(uint32_t c)
{
    cursor at = {gr_folds_at};
    for (int i = 0; i < gr_fold_count; i++) {
        uint32_t member[most_cases], n = next_fold(&at, member);
        for (uint32_t k = 0; k < n; k++)
            if (member[k] == c)
                return member[0];
    }
    return c;
}

bool gr_fold_joins(uint32_t first, uint32_t second, uint32_t third)
{
    cursor at = {gr_several_at};
    for (int i = 0; i < gr_several_count; i++) {
        uint32_t string[most_cases] = {0}, n = next(&at);
        for (uint32_t k = 0; k < n; k++)
            string[k] = next(&at);
        if (string[0] == first && string[1] == second && string[2] == third)
            return true;
    }
    return false;
}
