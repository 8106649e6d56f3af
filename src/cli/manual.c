/* gradus(1) in roff, from the verb records. */
#include <string.h>
#include "cli/help.h"
#include "cli/verbs.h"

/* Text as roff: backslashes and dashes are written out; a dot or a quote that begins a line would be a command. */
static void roff(FILE *to, const char *text)
{
    bool begins_line = true;
    for (; *text; text++) {
        if (begins_line && (*text == '.' || *text == '\''))
            fputs("\\&", to);
        begins_line = *text == '\n';
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n.PP", to); /* an empty line parts paragraphs */
            continue;
        }
        if (*text == '\\')
            fputs("\\e", to);
        else if (*text == '-')
            fputs("\\-", to);
        else
            fputc(*text, to);
    }
}

static void roff_line(FILE *to, const char *text)
{
    roff(to, text);
    fputc('\n', to);
}

static void flag_entry(FILE *to, const gr_verb *verb, const gr_flag *flag)
{
    char text[700];
    gr_help_flag(flag, text, sizeof text);
    fputs(".TP\n.B ", to);
    roff_line(to, text);
    roff(to, gr_flag_text(flag, text, sizeof text));
    if (flag->kind == GR_KIND_SET) {
        fputs(", of ", to);
        roff(to, flag->value);
    }
    gr_help_default(verb, flag, text, sizeof text);
    fputs(flag->kind == GR_KIND_LIST ? "; may be repeated (" : " (", to);
    roff(to, text);
    fputs(")\n", to);
}

static void verb_entry(FILE *to, const gr_verb *verb)
{
    char synopsis[300];
    gr_help_synopsis(verb, synopsis, sizeof synopsis);
    fputs(".SH GRADUS ", to);
    for (const char *s = verb->name; *s; s++)
        fputc(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s, to);
    fputs("\n.B ", to);
    roff_line(to, synopsis);
    fputs(".PP\n", to);
    fprintf(to, "%c",
            verb->summary[0] >= 'a' && verb->summary[0] <= 'z' ? verb->summary[0] - 'a' + 'A' : verb->summary[0]);
    roff(to, verb->summary + 1);
    fputs(".\n", to);
    if (verb->about != NULL) {
        fputs(".PP\n", to);
        roff_line(to, verb->about);
    }
    const gr_flag *flag;
    for (int i = 0; (flag = gr_verb_flag(verb, i)) != NULL; i++) {
        if (flag->kind == GR_KIND_HEADING) {
            fputs(".SS ", to);
            roff_line(to, flag->name);
        } else {
            flag_entry(to, verb, flag);
        }
    }
    fputs(".SS Examples\n", to);
    for (int i = 0; i < 2; i++) {
        fputs(".PP\n", to);
        roff_line(to, verb->examples[i][0]);
        fputs(".RS\n.nf\n", to);
        roff_line(to, verb->examples[i][1]);
        fputs(".fi\n.RE\n", to);
    }
}

static const char ending[] =
    ".SH FILES\n"
    ".B MODEL\nis a directory in Hugging Face layout (config.json, safetensors or pytorch_model.bin, tokenizer.json), "
    "a .gguf file, or a checkpoint or "
    "run\n"
    "directory of gradus, of which the best, else the newest checkpoint is taken;\n"
    "or the name of a model in the cache of Hugging Face's tools, org/name, org/name@revision or org/name:Q4_K_M.\n"
    ".PP\n.B DATA\nis a text file, a .jsonl file, or a directory of them; \\- is standard input; or the\n"
    "name of a dataset in that cache.\n"
    ".SH ENVIRONMENT\n"
    ".TP\n.B NO_COLOR\nif set and not empty, no colours are printed\n"
    ".TP\n.B HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE\nand others: those of Hugging Face's tools "
    "(gradus pull)\n"
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\ndone\n.TP\n.B 1\nthe work failed\n.TP\n.B 2\nthe command line is wrong\n"
    ".TP\n.B 3\na file is missing or broken\n.TP\n.B 4\nout of memory, planned or real\n"
    ".TP\n.B 130\ninterrupted: the first Ctrl\\-C ends after the step in work, the second at once; "
    "SIGTERM and SIGHUP do as the first, and where work is saved a broken pipe does\n";

void gr_manual_print(FILE *to)
{
    fprintf(to, ".TH GRADUS 1 \"\" \"gradus %s\" \"User Commands\"\n", GR_VERSION);
    fputs(
        ".SH NAME\ngradus \\- train and run language models\n.SH SYNOPSIS\n.B gradus\n.I VERB\n[...]\n.br\n"
        ".B gradus help\n.I VERB\n.br\n.B gradus \\-\\-version\n.SH DESCRIPTION\n"
        "Results go to standard output, everything else to standard error. Numbers may end in k, M, G (thousands) or\n"
        "Ki, Mi, Gi (1024s). The verbs:\n",
        to);
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        fputs(".TP\n.B ", to);
        roff_line(to, gr_verb_at(i)->name);
        roff_line(to, gr_verb_at(i)->summary);
    }
    for (int i = 0; gr_verb_at(i) != NULL; i++)
        verb_entry(to, gr_verb_at(i));
    fputs(ending, to);
}
