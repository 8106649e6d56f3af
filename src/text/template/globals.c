/* Functions that every template has: Jinja's range, dict, namespace; transformers' raise_exception and strftime_now. */
#include "text/template/run.h"

#include <stdio.h>
#include <time.h>

typedef gr_jinja_value value;
typedef gr_jinja_run run;
typedef gr_jinja_text text;
typedef gr_jinja_args arguments;

static bool global_range(run *r, const value *self, const arguments *args, value *out)
{
    enum { most = 100000 }; /* as in Jinja's sandbox */
    int64_t at[3] = {0, 0, 1};
    (void)self;
    if (!gr_jinja_check_arguments(r, "range", args, 1, 3, ""))
        return false;
    for (size_t i = 0; i < args->n; i++)
        if (!gr_jinja_int_argument(r, "range", &args->items[i], &at[args->n == 1 ? 1 : i]))
            return false;
    if (!at[2])
        return gr_jinja_fail(r, "range: the step is not 0");
    gr_jinja_range *range = gr_jinja_take(r, 1, sizeof *range);
    if (!range)
        return false;
    *range = (gr_jinja_range){at[0], at[1], at[2]};
    *out = (value){.type = GR_VALUE_RANGE, .as.range = range};
    return gr_jinja_range_size(range) <= most || gr_jinja_fail(r, "range: of more than %d numbers", most);
}

/* Puts one argument's pairs: a dict, or a list of pairs. */
static bool put_pairs(run *r, const char *function, const value *from, gr_jinja_dict *d)
{
    const value *items, *pair;
    size_t n, two;
    if (from->type == GR_VALUE_DICT || from->type == GR_VALUE_NAMESPACE) {
        for (size_t i = 0; i < from->as.dict->n; i++)
            if (!gr_jinja_put(r, d, &from->as.dict->pairs[i].key, &from->as.dict->pairs[i].value))
                return false;
        return from->type == GR_VALUE_DICT || gr_jinja_fail(r, "%s: a namespace cannot be copied", function);
    }
    if (from->type == GR_VALUE_UNDEFINED)
        return gr_jinja_fail(r, "%s: the value is undefined", function);
    if (!gr_jinja_items(r, from, &items, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!gr_jinja_items(r, &items[i], &pair, &two))
            return false;
        if (two != 2)
            return gr_jinja_fail(r, "%s: expected pairs of key and value", function);
        if (!gr_jinja_put(r, d, &pair[0], &pair[1]))
            return false;
    }
    return true;
}

static bool make_dict(run *r, const char *function, gr_value_type type, const arguments *args, value *out)
{
    if (args->n > 1)
        return gr_jinja_fail(r, "%s takes one argument and names", function);
    if (!gr_jinja_new_dict(r, type, args->n_named, out) ||
        (args->n && !put_pairs(r, function, &args->items[0], out->as.dict)))
        return false;
    for (size_t i = 0; i < args->n_named; i++)
        if (!gr_jinja_put(r, out->as.dict, &args->named[i].key, &args->named[i].value))
            return false;
    return true;
}

static bool global_dict(run *r, const value *self, const arguments *args, value *out)
{
    (void)self;
    return make_dict(r, "dict", GR_VALUE_DICT, args, out);
}

static bool global_namespace(run *r, const value *self, const arguments *args, value *out)
{
    (void)self;
    if (!make_dict(r, "namespace", GR_VALUE_NAMESPACE, args, out))
        return false;
    for (size_t i = 0; i < out->as.dict->n; i++) {
        const value *key = &out->as.dict->pairs[i].key;
        if (key->type == GR_VALUE_TEXT && key->as.text->size && *key->as.text->bytes == '_')
            return gr_jinja_fail(r, "namespace: an attribute cannot begin with '_'");
    }
    return true;
}

static bool global_raise_exception(run *r, const value *self, const arguments *args, value *out)
{
    char shown[1024];
    value message;
    (void)self, (void)out;
    if (!gr_jinja_check_arguments(r, "raise_exception", args, 1, 1, "message") ||
        !gr_jinja_str(r, gr_jinja_argument(args, 0, "message"), &message))
        return false;
    gr_printable(message.as.text->bytes, message.as.text->size, shown, sizeof shown);
    return gr_jinja_fail(r, "the template refuses this conversation: %s", shown);
}

/* ---- time --------------------------------------------------------------------------------------------------- */

typedef struct moment {
    int64_t year;
    int month, day, hour, minute, second; /* month from 1 */
    int weekday, yearday;                 /* from Sunday, 0; from 1 */
} moment;

/* Seconds since 1970 as a date (the days of 400 years repeat). */
static moment date_of(int64_t seconds)
{
    static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    int64_t days = seconds / 86400 - (seconds % 86400 < 0), rest = seconds - days * 86400;
    moment m = {.hour = (int)(rest / 3600), .minute = (int)(rest / 60 % 60), .second = (int)(rest % 60)};
    m.weekday = (int)(((days + 4) % 7 + 7) % 7);
    int64_t shifted = days + 719468, era = shifted / 146097 - (shifted % 146097 < 0), day = shifted - era * 146097;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153; /* from March */
    m.day = (int)(of_year - (153 * month + 2) / 5 + 1);
    m.month = (int)(month < 10 ? month + 3 : month - 9);
    m.year = year + era * 400 + (m.month <= 2);
    bool leap = m.year % 4 == 0 && (m.year % 100 != 0 || m.year % 400 == 0);
    m.yearday = before[m.month - 1] + m.day + (leap && m.month > 2);
    return m;
}

static bool now(run *r, moment *m)
{
    if (r->input->has_now) {
        *m = date_of(r->input->now);
        return (m->year >= 1 && m->year <= 9999) ||
               gr_jinja_fail(r, "strftime_now: the clock's year is not of 1 to 9999");
    }
    time_t t = time(NULL);
    struct tm local;
    if (t == (time_t)-1 || !localtime_r(&t, &local))
        return gr_jinja_fail(r, "strftime_now: the machine does not tell the time");
    *m = (moment){local.tm_year + 1900, local.tm_mon + 1, local.tm_mday, local.tm_hour,
                  local.tm_min,         local.tm_sec,     local.tm_wday, local.tm_yday + 1};
    return true;
}

/* One directive of strftime in the C locale; false: it is not supported. */
static bool spell_time(const moment *m, char directive, char *out, size_t cap)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    int hour = m->hour % 12 ? m->hour % 12 : 12;
    switch (directive) {
    case 'Y':
        return snprintf(out, cap, "%lld", (long long)m->year) > 0;
    case 'y':
        return snprintf(out, cap, "%02d", (int)(m->year % 100)) > 0;
    case 'm':
        return snprintf(out, cap, "%02d", m->month) > 0;
    case 'd':
        return snprintf(out, cap, "%02d", m->day) > 0;
    case 'e':
        return snprintf(out, cap, "%2d", m->day) > 0;
    case 'H':
        return snprintf(out, cap, "%02d", m->hour) > 0;
    case 'I':
        return snprintf(out, cap, "%02d", hour) > 0;
    case 'M':
        return snprintf(out, cap, "%02d", m->minute) > 0;
    case 'S':
        return snprintf(out, cap, "%02d", m->second) > 0;
    case 'j':
        return snprintf(out, cap, "%03d", m->yearday) > 0;
    case 'p':
        return snprintf(out, cap, "%s", m->hour < 12 ? "AM" : "PM") > 0;
    case 'A':
        return snprintf(out, cap, "%s", days[m->weekday]) > 0;
    case 'a':
        return snprintf(out, cap, "%.3s", days[m->weekday]) > 0;
    case 'B':
        return snprintf(out, cap, "%s", months[m->month - 1]) > 0;
    case 'b':
    case 'h':
        return snprintf(out, cap, "%.3s", months[m->month - 1]) > 0;
    case 'F':
        return snprintf(out, cap, "%lld-%02d-%02d", (long long)m->year, m->month, m->day) > 0;
    case 'T':
        return snprintf(out, cap, "%02d:%02d:%02d", m->hour, m->minute, m->second) > 0;
    case '%':
        return snprintf(out, cap, "%%") > 0;
    default:
        return false;
    }
}

static bool global_strftime_now(run *r, const value *self, const arguments *args, value *out)
{
    const text *format = NULL;
    gr_jinja_builder b = {0};
    moment m = {0};
    char spelled[40];
    (void)self;
    if (!gr_jinja_check_arguments(r, "strftime_now", args, 1, 1, "format") ||
        !gr_jinja_text_argument(r, "strftime_now", gr_jinja_argument(args, 0, "format"), &format) || !now(r, &m))
        return false;
    for (size_t i = 0; i < format->size; i++) {
        char c = format->bytes[i];
        bool plain = c != '%' || i + 1 == format->size;
        if (!plain && !spell_time(&m, format->bytes[++i], spelled, sizeof spelled))
            return gr_jinja_unsupported(r, "strftime_now: the directive %%%c is not supported", format->bytes[i]);
        if (!(plain ? gr_jinja_add_part(r, &b, format, i, 1)
                    : gr_jinja_add_bytes(r, &b, spelled, strlen(spelled), false)))
            return false;
    }
    return gr_jinja_built(r, &b, out);
}

static bool global_absent(run *r, const value *self, const arguments *args, value *out)
{
    (void)self, (void)args, (void)out;
    return gr_jinja_unsupported(r, "cycler, joiner and lipsum are not supported");
}

const gr_jinja_function *gr_jinja_global_named(const text *name)
{
    static const gr_jinja_function globals[] = {
        {"range", global_range},
        {"dict", global_dict},
        {"namespace", global_namespace},
        {"raise_exception", global_raise_exception},
        {"strftime_now", global_strftime_now},
        {"cycler", global_absent},
        {"joiner", global_absent},
        {"lipsum", global_absent},
    };
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (gr_jinja_text_is(name, globals[i].name))
            return &globals[i];
    return NULL;
}
