/* Help texts, made from the verb records. */
#ifndef GR_CLI_HELP_H
#define GR_CLI_HELP_H

#include <stdio.h>
#include "cli/args.h"

void gr_help_command(FILE *to);                                     /* gradus --help: the verbs */
void gr_help_family(FILE *to, const char *word);                    /* the verbs that begin with "tokenizer" */
void gr_help_verb(FILE *to, const gr_verb *verb);                   /* synopsis, every flag, examples */
void gr_help_synopsis(const gr_verb *verb, char *out, size_t size); /* "gradus train DATA... --out RUN [flags]" */

/* "--batch N" with its letter; and ", default 12 sequences", the unit or nothing. For the help and the manual. */
void gr_help_flag(const gr_flag *flag, char *out, size_t size);
void gr_help_default(const gr_verb *verb, const gr_flag *flag, char *out, size_t size);

/* Generated at build time from the same records: the manual page in roff, and completions. */
void gr_manual_print(FILE *to);
/* shell: bash, zsh or fish; false for another. */
bool gr_completion_print(FILE *to, const char *shell);

#endif
