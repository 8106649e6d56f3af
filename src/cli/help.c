/* Laying out the help of a verb, and of all. */
#include <string.h>
#include "cli/help.h"
#include "cli/term.h"
#include "cli/verbs.h"

/* Prints words wrapped to `width`, every line but the first indented; the cursor stands at column `at`. */
static void wrap(FILE *to, const char *text, int indent, int at, int width)
{
    bool is_first = true;
    while (*text) {
        size_t length = strcspn(text, " \n");
        char word[256];
        snprintf(word, sizeof word, "%.*s", (int)length, text);
        int columns = gr_term_columns(word);
        if (!is_first && at + 1 + columns > width) {
            fprintf(to, "\n%*s", indent, "");
            at = indent;
        } else if (!is_first) {
            fputc(' ', to);
            at++;
        }
        fputs(word, to);
        at += columns;
        text += length;
        is_first = false;
        /* An empty line parts paragraphs; a single newline is a space. */
        if (text[0] == '\n' && text[1] == '\n') {
            fprintf(to, "\n\n%*s", indent, "");
            at = indent;
            is_first = true;
            text++;
        }
        text += *text != 0;
    }
    fputc('\n', to);
}

/* A left column of `left` characters and a wrapped right one. */
static void print_pair(FILE *to, const char *name, const char *text, int left)
{
    int width = gr_term_width(to), columns = gr_term_columns(name);
    width = width > 110 ? 110 : width < 50 ? 50 : width;
    fprintf(to, "  %s", name);
    if (columns + 2 <= left - 2)
        fprintf(to, "%*s", left - columns - 2, "");
    else
        fprintf(to, "\n%*s", left, "");
    wrap(to, text, left, left, width);
}

static void heading(FILE *to, const char *text)
{
    fprintf(to, "\n%s%s%s\n", gr_style_on(to, GR_BOLD), text, gr_style_on(to, GR_PLAIN));
}

void gr_help_command(FILE *to)
{
    fprintf(to, "%sgradus%s trains and runs language models.\n\n  gradus VERB ...\n", gr_style_on(to, GR_BOLD),
            gr_style_on(to, GR_PLAIN));
    heading(to, "Verbs");
    for (int i = 0; gr_verb_at(i) != NULL; i++)
        print_pair(to, gr_verb_at(i)->name, gr_verb_at(i)->summary, 20);
    heading(to, "More");
    print_pair(to, "gradus help VERB", "synopsis, every flag of a verb, two examples", 20);
    print_pair(to, "gradus --version", "version, build, devices found", 20);
    fprintf(
        to,
        "\nMODEL is a directory in Hugging Face layout, a .gguf file, or a checkpoint or run directory of gradus. "
        "DATA\n"
        "is a text file, a .jsonl file or a directory of them; - is stdin. Numbers may end in k, M, G (thousands) or\n"
        "Ki, Mi, Gi. Exit code: 0 done, 1 the work failed, 2 wrong command line, 3 file missing or broken, 4 out of\n"
        "memory, 130 interrupted.\n");
}

void gr_help_family(FILE *to, const char *word)
{
    size_t length = strlen(word);
    heading(to, "Verbs");
    for (int i = 0; gr_verb_at(i) != NULL; i++)
        if (strncmp(gr_verb_at(i)->name, word, length) == 0)
            print_pair(to, gr_verb_at(i)->name, gr_verb_at(i)->summary, 20);
    fprintf(to, "\ngradus help VERB shows the flags of one.\n");
}

void gr_help_synopsis(const gr_verb *verb, char *out, size_t size)
{
    int n = snprintf(out, size, "gradus %s%s%s", verb->name, verb->positional ? " " : "",
                     verb->positional ? verb->positional : "");
    for (int i = 0; i < 3 && verb->needs[i] != NULL; i++)
        for (int f = 0; gr_verb_flag(verb, f) != NULL; f++)
            if (strcmp(gr_verb_flag(verb, f)->name, verb->needs[i]) == 0)
                n += snprintf(out + n, size - (size_t)n, " --%s %s", verb->needs[i], gr_verb_flag(verb, f)->value);
    snprintf(out + n, size - (size_t)n, " [flags]");
}

void gr_help_flag(const gr_flag *flag, char *out, size_t size)
{
    int n = flag->letter ? snprintf(out, size, "-%c, ", flag->letter) : 0;
    n += snprintf(out + n, size - (size_t)n, "--%s", flag->name);
    if (flag->kind == GR_KIND_SET)
        n += snprintf(out + n, size - (size_t)n, " LIST");
    else if (flag->kind != GR_KIND_SWITCH)
        n += snprintf(out + n, size - (size_t)n, " %s", flag->value);
    if (flag->kind == GR_KIND_LIST)
        snprintf(out + n, size - (size_t)n, " ...");
}

void gr_help_default(const gr_verb *verb, const gr_flag *flag, char *out, size_t size)
{
    const char *initial = gr_verb_initial(verb, flag);
    /* `shown` speaks for the table's own default; a verb that has another shows that. */
    if (flag->shown != NULL && initial == flag->initial)
        snprintf(out, size, "default: %s", flag->shown);
    else if (initial != NULL)
        snprintf(out, size, "default: %s%s%s", initial, flag->unit ? " " : "", flag->unit ? flag->unit : "");
    else if (flag->kind == GR_KIND_SWITCH)
        snprintf(out, size, "default: off");
    else
        snprintf(out, size, "%s%s", flag->unit ? "in " : "no default", flag->unit ? flag->unit : "");
}

static void print_flag(FILE *to, const gr_verb *verb, const gr_flag *flag)
{
    char name[160], text[700], said[500], initial[160];
    gr_help_flag(flag, name, sizeof name);
    gr_help_default(verb, flag, initial, sizeof initial);
    /* A set's words stand in the text: its value is a list of them. */
    snprintf(text, sizeof text, "%s%s%s%s (%s)", gr_flag_text(flag, said, sizeof said),
             flag->kind == GR_KIND_SET ? ", of " : "", flag->kind == GR_KIND_SET ? flag->value : "",
             flag->kind == GR_KIND_LIST ? "; may be repeated" : "", initial);
    print_pair(to, name, text, 26);
}

void gr_help_verb(FILE *to, const gr_verb *verb)
{
    char synopsis[300];
    gr_help_synopsis(verb, synopsis, sizeof synopsis);
    fprintf(to, "%sgradus %s%s: %s.\n\n  %s\n", gr_style_on(to, GR_BOLD), verb->name, gr_style_on(to, GR_PLAIN),
            verb->summary, synopsis);
    if (verb->about != NULL) {
        fputc('\n', to);
        int width = gr_term_width(to);
        wrap(to, verb->about, 0, 0, width > 110 ? 110 : width);
    }
    const gr_flag *flag = gr_verb_flag(verb, 0);
    if (flag->kind != GR_KIND_HEADING)
        heading(to, "Flags");
    for (int i = 0; (flag = gr_verb_flag(verb, i)) != NULL; i++) {
        if (flag->kind == GR_KIND_HEADING)
            heading(to, flag->name);
        else
            print_flag(to, verb, flag);
    }
    heading(to, "Examples");
    for (int i = 0; i < 2; i++)
        fprintf(to, "  %s# %s%s\n  %s\n", gr_style_on(to, GR_DIM), verb->examples[i][0], gr_style_on(to, GR_PLAIN),
                verb->examples[i][1]);
}
