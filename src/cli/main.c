/* gradus: finds the verb, parses its flags, runs it, and turns what happened into an exit code. Everything a verb is
 * stands in its own file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/checksum.h"
#include "cli/help.h"
#include "cli/term.h"
#include "cli/hub.h"
#include "cli/verbs.h"
#include "cli/version.h"

/* What scripts rely on (gradus(1), EXIT STATUS). */
static int exit_code(gr_status status, bool is_usage)
{
    if (status == GR_OK)
        return 0;
    if (is_usage)
        return 2;
    return status == GR_ERR_FILE ? 3 : status == GR_ERR_MEMORY ? 4 : status == GR_ERR_INTERRUPTED ? 130 : 1;
}

/* What to do next where the library did not say. */
static const char *default_hint(gr_status status, bool is_usage)
{
    if (is_usage)
        return "gradus --help lists the verbs, gradus help VERB the flags of one.";
    switch (status) {
    case GR_ERR_FILE:
        return "Correct what it names in the file, or take the file anew from where it came.";
    case GR_ERR_NUMBER:
        return "gradus dump writes what the model computes; gradus verify reads its files.";
    case GR_ERR_MEMORY:
        return "Use a smaller batch, a shorter context or a smaller model, or free memory.";
    case GR_ERR_UNSUPPORTED:
        return "This version cannot do it: leave out what is named, or give it in another form.";
    case GR_ERR_NETWORK:
        return "Check the network, and try again.";
    case GR_ERR_INTERRUPTED:
        return "Run the same command again to start anew.";
    default:
        return "Run the command with --help to see what it takes.";
    }
}

static int report(gr_status status, bool is_usage)
{
    gr_progress_end();
    bool is_told = status != GR_ERR_INTERRUPTED || *gr_error(); /* a broken pipe ends quietly */
    if (status != GR_OK && is_told)
        gr_print_error(gr_error(), default_hint(status, is_usage));
    return exit_code(status, is_usage);
}

/* Whether this very message came before: what is opened twice is remarked on once. Some are remembered, as many as files
 * have. */
static bool is_repeated(const char *message)
{
    enum { MOST = 256 };
    static uint64_t said[MOST];
    static int n;
    uint64_t sum = gr_checksum(message, strlen(message));
    for (int i = 0; i < n; i++)
        if (said[i] == sum)
            return true;
    if (n < MOST)
        said[n++] = sum;
    return false;
}

/* The library's remarks. Debug ones are for people with a debugger. */
static void on_log(void *user, gr_log_level level, const char *message)
{
    (void)user;
    if (level == GR_LOG_DEBUG || is_repeated(message))
        return;
    if (level == GR_LOG_INFO)
        gr_note("%s", message);
    else
        gr_warn("%s", message);
}

static int no_such_verb(int count, char **words)
{
    const gr_verb *near = gr_verb_nearest(count, words);
    bool is_family = gr_verb_is_family(words[0]);
    if (is_family && count < 2)
        gr_fail(GR_ERR_ARGUMENT, "%s: needs a second word\nDid you mean gradus %s?", words[0],
                near ? near->name : words[0]);
    else if (near != NULL)
        gr_fail(GR_ERR_ARGUMENT, "%s%s%s: no such verb\nDid you mean gradus %s?", words[0], is_family ? " " : "",
                is_family ? words[1] : "", near->name);
    else
        gr_fail(GR_ERR_ARGUMENT, "%s: no such verb\ngradus --help lists the verbs.", words[0]);
    return report(GR_ERR_ARGUMENT, true);
}

/* gradus help [VERB] */
static int help(int count, char **words)
{
    int used;
    const gr_verb *verb = gr_verb_find(count, words, &used);
    if (count == 0 || strcmp(words[0], "--help") == 0 || strcmp(words[0], "help") == 0)
        gr_help_command(stdout);
    else if (verb != NULL)
        gr_help_verb(stdout, verb);
    else if (count == 1 && gr_verb_is_family(words[0]))
        gr_help_family(stdout, words[0]);
    else
        return no_such_verb(count, words);
    return report(gr_out_finish(), false);
}

static int run_verb(const gr_verb *verb, int count, char **words)
{
    gr_args args;
    gr_status status = gr_args_parse(&args, verb, count, words);
    gr_term_start(args.common.quiet);
    if (status == GR_OK && args.common.help)
        gr_help_verb(stdout, verb);
    else if (status == GR_OK && (status = gr_bring_names(&args)) == GR_OK)
        status = verb->run(&args);
    /* A result that could not be written is no result. */
    if (status == GR_OK)
        status = gr_out_finish();
    else
        fflush(stdout);
    int code = report(status, args.is_usage);
    gr_args_free(&args);
    return code;
}

/* What the build calls to make the manual and the completions. */
static int generate(const char *what, const char *shell)
{
    if (strcmp(what, "__man") == 0)
        gr_manual_print(stdout);
    else if (shell == NULL || !gr_completion_print(stdout, shell))
        return report(gr_fail(GR_ERR_ARGUMENT, "__completion: no such shell\nThere are bash, zsh and fish."), true);
    return report(gr_out_finish(), false);
}

/* A file opened later must not become stdout: text would be written into it. What is closed stays without use. */
static void hold_standard_files(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
    hold_standard_files();
    gr_signals_start();
    gr_term_start(false);
    gr_set_log(on_log, NULL);
    int count = argc - 1, used;
    char **words = argv + 1;
    if (count <= 0) {
        gr_help_command(stderr);
        return 2;
    }
    if (strcmp(words[0], "help") == 0 || strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0)
        return help(count - 1, words + 1);
    if (strcmp(words[0], "--version") == 0 || strcmp(words[0], "-V") == 0)
        return gr_version_print(), report(gr_out_finish(), false);
    if (strcmp(words[0], "__man") == 0 || strcmp(words[0], "__completion") == 0)
        return generate(words[0], count > 1 ? words[1] : NULL);
    const gr_verb *verb = gr_verb_find(count, words, &used);
    if (verb != NULL)
        return run_verb(verb, count - used, words + used);
    /* gradus tokenizer --help */
    if (count >= 2 && gr_verb_is_family(words[0]) && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0))
        return help(1, words);
    return no_such_verb(count, words);
}
