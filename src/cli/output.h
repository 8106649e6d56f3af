/* What a verb writes destroys nothing: asked before any work is done. */
#ifndef GR_CLI_OUTPUT_H
#define GR_CLI_OUTPUT_H

#include "cli/args.h"

/* Does a file that begins with these bytes (of at most GR_HEAD) come from the verb that wants to write it again? */
enum { GR_HEAD = 4096 };
typedef bool (*gr_is_own)(const char *head, size_t size);

/* May --flag write the file `path`? Not one that is read (inputs: files, or directories whose entries are meant; NULLs are
 * skipped), by whatever name or link; not over a file that something else left there, unless it is empty; not in place of a
 * directory. A pipe or a device is written to. The folder must be there. */
gr_status gr_check_output_file(gr_args *args, const char *flag, const char *path, const char *const *inputs, size_t n,
                               gr_is_own is_own);
/* May --flag make the folder `path`? It must not be there, or be empty. */
gr_status gr_check_output_folder(gr_args *args, const char *flag, const char *path);
/* May --flag begin a run in the folder `path`? Not one that holds the model or the data, nor one with files that a run
 * would write over. */
gr_status gr_check_output_run(gr_args *args, const char *flag, const char *path, const char *const *inputs, size_t n);

#endif
