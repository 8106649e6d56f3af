/* Parsing the command line by the tables of flags. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "base/thread.h"
#include "cli/args.h"
#include "cli/suggest.h"
#include "cli/value.h"

/* ---- shared flags ------------------------------------------------------------------------------------------- */

static const gr_flag adapter_flags[] = {
    {GR_HEADING("Adapter")},
    {"adapter", GR_TEXT(gr_common, adapter), .value = "DIR|FILE|none",
     .help = "a LoRA adapter in peft's files, a run of finetune, or a GGUF file of one, to put on MODEL; none: not "
             "even the one that lies "
             "beside its weights"},
    {0},
};
static const gr_flag tokenizer_flags[] = {
    {GR_HEADING("Tokenizer")},
    {"tokenizer", GR_TEXT(gr_common, tokenizer), .value = "FILE",
     .help = "a tokenizer.json, or a directory with one, in place of MODEL's own"},
    {0},
};
static const gr_flag compute_heading[] = {{GR_HEADING("Computing")}, {0}};
static const gr_flag device_flags[] = {
    {"device", GR_TEXT(gr_common, device), .value = "ref|cpu|opencl|auto", .initial = "auto",
     .help = "what computes; opencl:1 is the second OpenCL device; auto: cpu"},
    {0},
};
static const gr_flag threads_flags[] = {
    {"threads", GR_INT(gr_common, threads), .value = "N", .initial = "0", .max = GR_THREADS_MOST,
     .help = "threads that compute; 0: one per core that it may use; results do not depend on it"},
    {0},
};
static const gr_flag profile_flags[] = {
    {"profile", GR_TEXT(gr_common, profile), .value = "FILE",
     .help =
         "tells where the time goes: tables on stderr, by op and by part of the model, and in FILE a trace of every "
         "call that ui.perfetto.dev opens"},
    {0},
};
static const gr_flag seed_flags[] = {
    {"seed", GR_INT(gr_common, seed), .value = "N", .initial = "1", .help = "of all random numbers"},
    {0},
};
static const gr_flag pull_flags[] = {
    {GR_HEADING("Names")},
    {"pull", GR_SWITCH(gr_common, pull),
     .help = "fetch MODEL and DATA that are names, org/name, and not in the cache yet"},
    {0},
};
static const gr_flag output_heading[] = {{GR_HEADING("Output")}, {0}};
static const gr_flag json_flags[] = {
    {"json", GR_SWITCH(gr_common, json), .help = "stdout is JSON, one object a line"},
    {0},
};
static const gr_flag every_flags[] = {
    {"quiet", GR_SWITCH(gr_common, quiet), .letter = 'q', .help = "plain lines: no progress bar, no colours"},
    {"help", GR_SWITCH(gr_common, help), .letter = 'h', .help = "this text"},
    {0},
};

/* ---- names -------------------------------------------------------------------------------------------------- */

static gr_names names_of_word(const char *word, size_t size)
{
    static const char model[] = "MODEL", data[] = "DATA", adapter[] = "ADAPTER";
    while (size > 0 && (*word == '[' || *word == '.'))
        word++, size--;
    while (size > 0 && strchr("].2", word[size - 1])) /* MODEL2 */
        size--;
    if ((size == sizeof model - 1 && memcmp(word, model, size) == 0) ||
        (size == sizeof adapter - 1 && memcmp(word, adapter, size) == 0))
        return GR_NAMES_MODEL;
    return size == sizeof data - 1 && memcmp(word, data, size) == 0 ? GR_NAMES_DATA : GR_NAMES_NOTHING;
}

gr_names gr_argument_names(const gr_verb *verb, size_t i)
{
    const char *word = verb->positional ? verb->positional : "";
    for (; i > 0 && word[strcspn(word, " ")]; i--)
        word += strcspn(word, " ") + 1;
    return names_of_word(word, strcspn(word, " "));
}

gr_names gr_flag_names(const gr_flag *flag)
{
    if (flag->kind != GR_KIND_TEXT && flag->kind != GR_KIND_LIST)
        return GR_NAMES_NOTHING;
    return strcmp(flag->name, "adapter") == 0 ? GR_NAMES_MODEL
           : flag->value                      ? names_of_word(flag->value, strlen(flag->value))
                                              : GR_NAMES_NOTHING;
}

/* Asked while the list of all flags is put together: only the verb's own are looked at. */
static bool takes_names(const gr_verb *verb)
{
    const gr_flag *tables[] = {verb->flags, verb->more_flags};
    for (size_t i = 0; i < 2; i++)
        if (gr_argument_names(verb, i) != GR_NAMES_NOTHING)
            return true;
    for (size_t t = 0; t < 2; t++)
        for (const gr_flag *f = tables[t]; f && f->kind != GR_KIND_END; f++)
            if (gr_flag_names(f) != GR_NAMES_NOTHING)
                return true;
    return false;
}

/* ---- all flags of a verb ------------------------------------------------------------------------------------ */

enum { GR_COMPUTES = GR_WITH_DEVICE | GR_WITH_THREADS };

static int table_length(const gr_flag *table)
{
    int n = 0;
    while (table != NULL && table[n].kind != GR_KIND_END)
        n++;
    return n;
}

/* Finds flag i and says whether its field lies in gr_common. */
static const gr_flag *find_flag(const gr_verb *verb, int i, bool *is_common)
{
    const gr_flag *tables[] = {verb->flags,
                               verb->more_flags,
                               verb->common & GR_WITH_ADAPTER ? adapter_flags : NULL,
                               verb->common & GR_WITH_TOKENIZER ? tokenizer_flags : NULL,
                               verb->common & GR_COMPUTES ? compute_heading : NULL,
                               verb->common & GR_WITH_DEVICE ? device_flags : NULL,
                               verb->common & GR_COMPUTES ? threads_flags : NULL,
                               verb->common & GR_WITH_PROFILE ? profile_flags : NULL,
                               verb->common & GR_WITH_SEED ? seed_flags : NULL,
                               takes_names(verb) ? pull_flags : NULL,
                               output_heading,
                               verb->common & GR_WITH_JSON ? json_flags : NULL,
                               every_flags};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        int n = table_length(tables[t]);
        if (i < n) {
            *is_common = t > 1;
            return &tables[t][i];
        }
        i -= n;
    }
    return NULL;
}

const gr_flag *gr_verb_flag(const gr_verb *verb, int i)
{
    bool is_common;
    return find_flag(verb, i, &is_common);
}

const char *gr_verb_initial(const gr_verb *verb, const gr_flag *flag)
{
    for (const gr_default *d = verb->defaults; d != NULL && d->name != NULL; d++)
        if (strcmp(d->name, flag->name) == 0)
            return d->value;
    return flag->initial;
}

/* ---- errors ------------------------------------------------------------------------------------------------- */

gr_status gr_args_fail(gr_args *args, const char *fmt, ...)
{
    char text[4 * GR_ERROR_SIZE];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    args->is_usage = true;
    return gr_fail(GR_ERR_ARGUMENT, "%s", text);
}

gr_status gr_args_blame(gr_args *args, gr_status status)
{
    args->is_usage |= status == GR_ERR_ARGUMENT;
    return status;
}

/* ---- slots -------------------------------------------------------------------------------------------------- */

/* Gives a slot a value and, when that fails, names the flag. */
static gr_status set(gr_args *args, gr_slot *slot, const char *text)
{
    if ((slot->flag->kind == GR_KIND_TEXT || slot->flag->kind == GR_KIND_LIST) && !*text &&
        strcmp(slot->flag->value, "TEXT") != 0)
        return gr_args_fail(args,
                            "--%s: the value (%s) is empty\nGive one, or leave --%s out; a variable may not be set.",
                            slot->flag->name, slot->flag->value, slot->flag->name);
    gr_status status = gr_value_parse(slot->flag, text, slot->field);
    if (status == GR_ERR_ARGUMENT)
        gr_fail_in("--%s '%.60s'", slot->flag->name, text);
    return gr_args_blame(args, status);
}

/* One slot per flag, filled with the defaults. */
static gr_status make_slots(gr_args *args)
{
    size_t most = 0;
    while (gr_verb_flag(args->verb, (int)most) != NULL)
        most++;
    args->slots = gr_alloc_zero(most, sizeof *args->slots);
    args->options = gr_alloc_zero(1, args->verb->options_size);
    if (args->slots == NULL || args->options == NULL)
        return GR_ERR_MEMORY;
    for (int i = 0; i < (int)most; i++) {
        bool is_common;
        const gr_flag *flag = find_flag(args->verb, i, &is_common);
        if (flag->kind == GR_KIND_HEADING)
            continue;
        gr_slot *slot = &args->slots[args->slot_count++];
        slot->flag = flag;
        slot->field = (char *)(is_common ? (void *)&args->common : args->options) + flag->offset;
        slot->initial = gr_verb_initial(args->verb, flag);
        gr_status status = slot->initial ? set(args, slot, slot->initial) : GR_OK;
        if (status != GR_OK)
            return status;
    }
    return GR_OK;
}

static gr_slot *find_slot(const gr_args *args, const char *name, size_t length)
{
    for (size_t i = 0; i < args->slot_count; i++)
        if (strlen(args->slots[i].flag->name) == length && memcmp(args->slots[i].flag->name, name, length) == 0)
            return &args->slots[i];
    return NULL;
}

const gr_slot *gr_args_slot(const gr_args *args, const char *name)
{
    return find_slot(args, name, strlen(name));
}

bool gr_args_given(const gr_args *args, const char *name)
{
    const gr_slot *slot = gr_args_slot(args, name);
    return slot != NULL && slot->given;
}

/* ---- parsing ------------------------------------------------------------------------------------------------ */

static gr_status unknown_flag(gr_args *args, const char *written)
{
    const char *name = written + strspn(written, "-");
    char plain[64];
    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(name, "="), name);
    gr_suggestion near = {.written = plain};
    for (size_t i = 0; i < args->slot_count; i++)
        gr_suggest(&near, args->slots[i].flag->name, strlen(args->slots[i].flag->name));
    if (near.best != NULL)
        return gr_args_fail(args, "%s: no such flag of %s\nDid you mean --%s?", written, args->verb->name, near.best);
    return gr_args_fail(args, "%s: no such flag of %s\ngradus help %s lists them.", written, args->verb->name,
                        args->verb->name);
}

/* The flag that an argument names, and where its value stands in the same argument (NULL: not there). */
static gr_slot *match(const gr_args *args, const char *arg, const char **value)
{
    *value = NULL;
    if (arg[1] == '-') {
        size_t length = strcspn(arg + 2, "=");
        if (arg[2 + length] == '=')
            *value = arg + 2 + length + 1;
        return find_slot(args, arg + 2, length);
    }
    for (size_t i = 0; i < args->slot_count; i++) {
        const gr_flag *flag = args->slots[i].flag;
        /* -n5 is -n 5, but -qh is nothing: letters of switches are not bundled. */
        if (flag->letter == arg[1] && (flag->kind != GR_KIND_SWITCH || arg[2] == 0)) {
            if (arg[2] != 0)
                *value = arg + 2 + (arg[2] == '=');
            return &args->slots[i];
        }
    }
    return NULL;
}

/* Takes argv[*i], a flag, and its value, which may be argv[*i + 1]. */
static gr_status take_flag(gr_args *args, int argc, char **argv, int *i)
{
    const char *value, *ignored;
    gr_slot *slot = match(args, argv[*i], &value);
    if (slot == NULL)
        return unknown_flag(args, argv[*i]);
    const gr_flag *flag = slot->flag;
    if (slot->given && flag->kind != GR_KIND_LIST && flag->kind != GR_KIND_SWITCH)
        return gr_args_fail(args, "--%s: given twice\nGive it once.", flag->name);
    slot->given = true;
    if (flag->kind == GR_KIND_SWITCH) {
        if (value != NULL)
            return gr_args_fail(args, "--%s: takes no value, found '%.40s'\nWrite --%s alone.", flag->name, value,
                                flag->name);
        *(bool *)slot->field = true;
        return GR_OK;
    }
    if (value == NULL) {
        const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
        /* A value may start with a dash (-p "- a list"), but a whole flag there is a forgotten value. */
        bool is_flag = next != NULL && next[0] == '-' && next[1] == '-' && match(args, next, &ignored) != NULL;
        if (next == NULL || is_flag)
            return gr_args_fail(args, "--%s: needs a value (%s)%s%s\nWrite --%s %s.", flag->name, flag->value,
                                is_flag ? ", found " : "", is_flag ? next : "", flag->name, flag->value);
        value = next;
        ++*i;
    }
    return set(args, slot, value);
}

/* A name that is empty: what is to be read would be the folder that the command is run in. */
static gr_status check_empty(gr_args *args, const char *spec)
{
    for (size_t i = 0; i < args->count && *spec; i++) {
        size_t length = strcspn(spec, " ");
        bool is_text = length >= 4 && strncmp(spec + (*spec == '['), "TEXT", 4) == 0;
        if (!*args->positional[i] && !is_text)
            return gr_args_fail(args, "%.*s: the name is empty\nGive one; a variable may not be set.",
                                (int)strcspn(spec + (*spec == '['), " ]."), spec + (*spec == '['));
        if (spec[length])
            spec += length + 1;
    }
    return GR_OK;
}

/* Positionals against "MODEL [TEXT]" or "DATA...". */
static gr_status check_positionals(gr_args *args)
{
    const char *spec = args->verb->positional ? args->verb->positional : "";
    size_t least = 0, most = 0;
    const char *missing = NULL;
    int missing_length = 0;
    for (const char *s = spec; *s;) {
        size_t length = strcspn(s, " ");
        bool repeats = length > 3 && memcmp(s + length - 3 - (s[length - 1] == ']'), "...", 3) == 0;
        if (*s != '[' && ++least > args->count && missing == NULL) {
            missing = s;
            missing_length = (int)length;
        }
        most = repeats || most == SIZE_MAX ? SIZE_MAX : most + 1;
        s += length + (s[length] == ' ');
    }
    if (missing != NULL)
        return gr_args_fail(args, "%s: needs %.*s\nThe form is: gradus %s %s; gradus help %s tells more.",
                            args->verb->name, missing_length, missing, args->verb->name, spec, args->verb->name);
    if (args->count > most)
        return gr_args_fail(args,
                            "'%.60s' is too much: %s takes %s\nQuote a text with spaces; gradus help %s tells more.",
                            args->positional[most], args->verb->name, *spec ? spec : "no argument", args->verb->name);
    return check_empty(args, spec);
}

const char *gr_flag_text(const gr_flag *flag, char *out, size_t size)
{
    size_t before = strcspn(flag->help, "*"), n = 0;
    if (flag->list == NULL)
        before = strlen(flag->help);
    snprintf(out, size, "%.*s", (int)before, flag->help);
    for (int i = 0; flag->list != NULL && flag->list(i) != NULL; i++) {
        n = strlen(out);
        snprintf(out + n, size - n, "%s%s", i ? " " : "", flag->list(i));
    }
    n = strlen(out);
    snprintf(out + n, size - n, "%s", flag->help[before] ? flag->help + before + 1 : "");
    return out;
}

/* What a verb cannot do without, and what excludes what. */
static gr_status check_flags(gr_args *args)
{
    for (int i = 0; i < 3 && args->verb->needs[i] != NULL; i++) {
        const char *name = args->verb->needs[i];
        const gr_slot *slot = find_slot(args, name, strlen(name));
        char said[500];
        if (!slot->given)
            return gr_args_fail(args, "%s: needs --%s %s\n%s: %s.", args->verb->name, name, slot->flag->value,
                                slot->flag->value, gr_flag_text(slot->flag, said, sizeof said));
    }
    for (size_t i = 0; i < args->slot_count; i++)
        for (size_t j = i + 1; j < args->slot_count; j++) {
            const gr_slot *a = &args->slots[i], *b = &args->slots[j];
            if (a->given && b->given && a->flag->group != 0 && a->flag->group == b->flag->group)
                return gr_args_fail(args, "--%s: excludes --%s\nGive one of them.", a->flag->name, b->flag->name);
        }
    return GR_OK;
}

/* Is there a backend of that name in this build? Known before any work is begun. */
static gr_status check_device(gr_args *args)
{
    const char *name = args->common.device;
    if (!(args->verb->common & GR_WITH_DEVICE) || strcmp(name, "auto") == 0)
        return GR_OK;
    size_t length = strcspn(name, ":"); /* "opencl:1": which of several is looked at when it is opened */
    gr_suggestion near = {.written = name};
    char names[200] = "auto";
    for (int i = 0; gr_device_list(i) != NULL; i++) {
        const char *known = gr_device_list(i);
        if (strlen(known) == length && strncmp(name, known, length) == 0)
            return GR_OK;
        gr_suggest(&near, known, strlen(known));
        snprintf(names + strlen(names), sizeof names - strlen(names), ", %s", known);
    }
    if (near.best != NULL)
        return gr_args_fail(args, "--device %.40s: this build has no such device\nDid you mean %s?", name, near.best);
    return gr_args_fail(args, "--device %.40s: this build has no such device\nThere are %s.", name, names);
}

gr_status gr_args_parse(gr_args *args, const gr_verb *verb, int argc, char **argv)
{
    *args = (gr_args){.verb = verb};
    gr_status status = make_slots(args);
    args->positional = gr_alloc_zero((size_t)argc + 1, sizeof *args->positional);
    if (status != GR_OK || args->positional == NULL)
        return status != GR_OK ? status : GR_ERR_MEMORY;
    /* Whoever asks for help has not finished the rest of the line. */
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            args->common.help = true;
            return GR_OK;
        }
    bool flags_end = false;
    for (int i = 0; i < argc && status == GR_OK; i++) {
        const char *arg = argv[i];
        if (!flags_end && strcmp(arg, "--") == 0)
            flags_end = true;
        else if (!flags_end && arg[0] == '-' && arg[1] != 0)
            status = take_flag(args, argc, argv, &i);
        else
            args->positional[args->count++] = arg;
    }
    if (status == GR_OK)
        status = check_positionals(args);
    if (status == GR_OK)
        status = check_flags(args);
    return status == GR_OK ? check_device(args) : status;
}

gr_status gr_args_keep(gr_args *args, char *text)
{
    gr_status s = gr_grow(&args->kept, &args->kept_cap, args->n_kept + 1, sizeof *args->kept);
    if (s == GR_OK)
        args->kept[args->n_kept++] = text;
    else
        gr_free(text);
    return s;
}

void gr_args_free(gr_args *args)
{
    for (size_t i = 0; i < args->n_kept; i++)
        gr_free(args->kept[i]);
    gr_free(args->kept);
    for (size_t i = 0; i < args->slot_count; i++)
        gr_value_free(args->slots[i].flag, args->slots[i].field);
    gr_free(args->slots);
    gr_free(args->options);
    gr_free(args->positional);
    *args = (gr_args){0};
}

/* ---- run.json ----------------------------------------------------------------------------------------------- */

char *gr_args_value(const gr_slot *slot)
{
    return gr_value_format(slot->flag, slot->field);
}

/* What a verb wrote may be outside of what is taken from people: a 0 that stands for "not given". */
static gr_status set_as_written(gr_args *args, gr_slot *slot, const char *value)
{
    gr_flag wide = *slot->flag;
    wide.min = wide.min < 0 ? wide.min : 0;
    wide.max = 0;
    wide.positive = false;
    gr_status status = gr_value_parse(&wide, value, slot->field);
    if (status == GR_ERR_ARGUMENT)
        gr_fail_in("--%s '%.60s'", slot->flag->name, value);
    return gr_args_blame(args, status);
}

gr_status gr_args_restore(gr_args *args, const char *name, const char *value)
{
    gr_slot *slot = find_slot(args, name, strlen(name));
    if (slot == NULL)
        return gr_fail(GR_ERR_ARGUMENT, "%s: has no flag --%s\nIt was written by another version of gradus.",
                       args->verb->name, name);
    if (!slot->given) {
        slot->given = *value != 0; /* for what depends on it: it was, when the run began */
        return *value ? set_as_written(args, slot, value) : GR_OK;
    }
    char *given = gr_value_format(slot->flag, slot->field);
    if (given == NULL)
        return GR_ERR_MEMORY;
    gr_status status = GR_OK;
    if (strcmp(given, value) != 0)
        status = gr_args_fail(args, "--%s %s: contradicts the run, which has %s\nLeave --%s out to go on as before.",
                              name, given, *value ? value : "none", name);
    gr_free(given);
    return status;
}

gr_status gr_args_set(gr_args *args, const char *name, const char *value)
{
    gr_slot *slot = find_slot(args, name, strlen(name));
    slot->given = true;
    return set_as_written(args, slot, value);
}
