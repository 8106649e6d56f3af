/* Shell completions, from the verb records: verbs, flags, and the words of choices. */
#include <string.h>
#include "cli/help.h"
#include "cli/verbs.h"

/* ---- what all shells share ---------------------------------------------------------------------------------- */

/* Does the value have words to offer? */
static bool has_words(const gr_flag *flag)
{
    return flag->kind == GR_KIND_CHOICE || flag->kind == GR_KIND_SET;
}

/* Is the value a path? Its name in the help tells. */
static bool is_path(const gr_flag *flag)
{
    static const char *const names[] = {"FILE", "RUN", "DIR", "PATH", "MODEL", "DATA"};
    for (size_t i = 0; flag->kind == GR_KIND_TEXT && i < sizeof names / sizeof *names; i++)
        if (strstr(flag->value, names[i]) != NULL)
            return true;
    return false;
}

/* "a|b|c" with another separator. */
static void print_words(FILE *to, const char *words, char separator)
{
    for (; *words; words++)
        fputc(*words == '|' ? separator : *words, to);
}

/* Every word that can follow `first` ("" for the command itself), split by spaces. */
static void print_names_after(FILE *to, const char *first)
{
    size_t n = strlen(first);
    const char *last = "";
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        const char *name = gr_verb_at(i)->name;
        if (n > 0 && (strncmp(name, first, n) != 0 || name[n] != ' '))
            continue;
        const char *word = n > 0 ? name + n + 1 : name;
        size_t length = strcspn(word, " ");
        /* The verbs of a family stand together: its word comes once. */
        if (strncmp(last, word, length) != 0 || last[length] != ' ')
            fprintf(to, "%.*s ", (int)length, word);
        last = word;
    }
    if (n == 0)
        fputs("help", to);
}

/* ---- bash --------------------------------------------------------------------------------------------------- */

static void bash_verb(FILE *to, const gr_verb *verb)
{
    const gr_flag *flag;
    fprintf(to, "    '%s')\n        flags='", verb->name);
    for (int i = 0; (flag = gr_verb_flag(verb, i)) != NULL; i++)
        if (flag->kind != GR_KIND_HEADING)
            fprintf(to, "--%s ", flag->name);
    fputs("'\n        case $previous in\n", to);
    for (int i = 0; (flag = gr_verb_flag(verb, i)) != NULL; i++) {
        if (flag->kind == GR_KIND_HEADING || flag->kind == GR_KIND_SWITCH || is_path(flag))
            continue;
        fprintf(to, "        --%s", flag->name);
        if (flag->letter)
            fprintf(to, " | -%c", flag->letter);
        fputs(") words='", to);
        if (has_words(flag))
            print_words(to, flag->value, ' ');
        fputs("' takes_value=1 ;;\n", to);
    }
    fputs("        esac\n        ;;\n", to);
}

static void bash(FILE *to)
{
    fputs("# bash completion of gradus\n"
          "_gradus() {\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
          "    local verb=${COMP_WORDS[1]} flags='' words='' takes_value=0 second=0\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        COMPREPLY=($(compgen -W '",
          to);
    print_names_after(to, "");
    fputs(" --help --version' -- \"$current\"))\n        return\n    fi\n    case $verb in\n", to);
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        const char *name = gr_verb_at(i)->name, *space = strchr(name, ' ');
        char first[40];
        if (space == NULL)
            continue;
        snprintf(first, sizeof first, "%.*s", (int)(space - name), name);
        /* Once for each family. */
        if (i > 0 && strncmp(gr_verb_at(i - 1)->name, name, (size_t)(space - name) + 1) == 0)
            continue;
        fprintf(to, "    %s)\n        second=1\n        [ \"$COMP_CWORD\" = 2 ] && words='", first);
        print_names_after(to, first);
        fputs("' ;;\n", to);
    }
    fputs("    help)\n        words='", to);
    print_names_after(to, "");
    fputs("' ;;\n    esac\n"
          "    [ $second = 1 ] && [ \"$COMP_CWORD\" -gt 2 ] && verb=\"$verb ${COMP_WORDS[2]}\"\n"
          "    case $verb in\n",
          to);
    for (int i = 0; gr_verb_at(i) != NULL; i++)
        bash_verb(to, gr_verb_at(i));
    fputs("    esac\n"
          "    if [ -n \"$words\" ]; then\n        COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
          "    elif [ $takes_value = 1 ]; then\n        COMPREPLY=()\n"
          "    elif [ \"${current#-}\" != \"$current\" ]; then\n"
          "        COMPREPLY=($(compgen -W \"$flags\" -- \"$current\"))\n"
          "    else\n        COMPREPLY=($(compgen -f -- \"$current\"))\n        compopt -o filenames 2>/dev/null\n    "
          "fi\n"
          "}\ncomplete -F _gradus gradus\n",
          to);
}

/* ---- zsh ---------------------------------------------------------------------------------------------------- */

/* Inside '…' of an _arguments specification. */
static void zsh_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\'", to);
        else if (strchr("[]:\\", *text))
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void zsh_flag(FILE *to, const gr_flag *flag)
{
    char text[500];
    fprintf(to, "        '%s--%s[", flag->kind == GR_KIND_LIST ? "*" : "", flag->name);
    zsh_text(to, gr_flag_text(flag, text, sizeof text));
    fputc(']', to);
    if (flag->kind != GR_KIND_SWITCH) {
        fputs(":", to);
        zsh_text(to, has_words(flag) ? flag->name : flag->value);
        fputs(":", to);
        if (has_words(flag)) {
            fputs(flag->kind == GR_KIND_SET ? "_values -s , word " : "(", to);
            print_words(to, flag->value, ' ');
            fputs(flag->kind == GR_KIND_SET ? "" : ")", to);
        } else if (is_path(flag)) {
            fputs("_files", to);
        }
    }
    fputs("' \\\n", to);
}

static void zsh(FILE *to)
{
    fputs("#compdef gradus\n# zsh completion of gradus\n_gradus() {\n    local verb=${words[2]}\n    local -a verbs\n  "
          "  verbs=(\n",
          to);
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        const char *name = gr_verb_at(i)->name;
        if (strchr(name, ' ') != NULL)
            continue;
        fprintf(to, "        '%s:", name);
        zsh_text(to, gr_verb_at(i)->summary);
        fputs("'\n", to);
    }
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        const char *name = gr_verb_at(i)->name, *space = strchr(name, ' ');
        bool is_first = space && (i == 0 || strncmp(gr_verb_at(i - 1)->name, name, (size_t)(space - name) + 1) != 0);
        if (is_first)
            fprintf(to, "        '%.*s'\n", (int)(space - name), name);
    }
    fputs("        'help:shows the flags of a verb'\n    )\n"
          "    if (( CURRENT == 2 )); then\n        _describe verb verbs\n        return\n    fi\n    case $verb in\n",
          to);
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        const char *name = gr_verb_at(i)->name, *space = strchr(name, ' ');
        bool is_first = space && (i == 0 || strncmp(gr_verb_at(i - 1)->name, name, (size_t)(space - name) + 1) != 0);
        if (!is_first)
            continue;
        char first[40];
        snprintf(first, sizeof first, "%.*s", (int)(space - name), name);
        fprintf(to, "    %s)\n        if (( CURRENT == 3 )); then\n            compadd ", first);
        print_names_after(to, first);
        fputs("\n            return\n        fi\n        verb=\"$verb ${words[3]}\" ;;\n", to);
    }
    fputs("    help) compadd ", to);
    print_names_after(to, "");
    fputs("; return ;;\n    esac\n    case $verb in\n", to);
    const gr_flag *flag;
    for (int i = 0; gr_verb_at(i) != NULL; i++) {
        fprintf(to, "    '%s') _arguments \\\n", gr_verb_at(i)->name);
        for (int f = 0; (flag = gr_verb_flag(gr_verb_at(i), f)) != NULL; f++)
            if (flag->kind != GR_KIND_HEADING)
                zsh_flag(to, flag);
        fputs("        '*:file:_files' ;;\n", to);
    }
    fputs("    esac\n}\n_gradus \"$@\"\n", to);
}

/* ---- fish --------------------------------------------------------------------------------------------------- */

static void fish_text(FILE *to, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', to);
        fputc(*text, to);
    }
}

static void fish_verb(FILE *to, const gr_verb *verb)
{
    const char *space = strchr(verb->name, ' ');
    char first[40], seen[120];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(verb->name, " "), verb->name);
    if (space != NULL)
        snprintf(seen, sizeof seen, "__gradus_verb %s %s", first, space + 1);
    else
        snprintf(seen, sizeof seen, "__gradus_verb %s", first);
    fprintf(to, "complete -c gradus -f -n '%s%s' -a %s", space ? "__gradus_verb_is_next 2 " : "__gradus_verb_is_next 1",
            space ? first : "", space ? space + 1 : first);
    fputs(" -d '", to);
    fish_text(to, verb->summary);
    fputs("'\n", to);
    if (space != NULL)
        fprintf(to, "complete -c gradus -f -n '__gradus_verb_is_next 1' -a %s\n", first);
    const gr_flag *flag;
    for (int i = 0; (flag = gr_verb_flag(verb, i)) != NULL; i++) {
        if (flag->kind == GR_KIND_HEADING)
            continue;
        fprintf(to, "complete -c gradus -n '%s' -l %s", seen, flag->name);
        if (flag->letter)
            fprintf(to, " -s %c", flag->letter);
        if (flag->kind != GR_KIND_SWITCH)
            fputs(is_path(flag) ? " -r -F" : " -x", to);
        if (has_words(flag)) {
            fputs(" -a '", to);
            print_words(to, flag->value, ' ');
            fputc('\'', to);
        }
        fputs(" -d '", to);
        char text[500];
        fish_text(to, gr_flag_text(flag, text, sizeof text));
        fputs("'\n", to);
    }
}

static void fish(FILE *to)
{
    fputs("# fish completion of gradus\n"
          "function __gradus_verb\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -gt (count $argv); or return 1\n"
          "    test \"$words[2..\"(math (count $argv) + 1)\"]\" = \"$argv\"\n"
          "end\n"
          "function __gradus_verb_is_next\n"
          "    set -l words (commandline -opc)\n"
          "    test (count $words) -eq $argv[1]; or return 1\n"
          "    test $argv[1] -eq 1; or test $words[2] = $argv[2]\n"
          "end\n",
          to);
    for (int i = 0; gr_verb_at(i) != NULL; i++)
        fish_verb(to, gr_verb_at(i));
    fputs("complete -c gradus -f -n '__gradus_verb_is_next 1' -a help -d 'shows the flags of a verb'\n"
          "complete -c gradus -f -n '__gradus_verb_is_next 2 help' -a '",
          to);
    print_names_after(to, "");
    fputs("'\n", to);
}

bool gr_completion_print(FILE *to, const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        bash(to);
    else if (strcmp(shell, "zsh") == 0)
        zsh(to);
    else if (strcmp(shell, "fish") == 0)
        fish(to);
    else
        return false;
    return true;
}
