/* Names of a hub on the command line: what the environment says of it, MODEL and DATA that are names, and what is shown while
 * something is fetched. */
#ifndef GR_CLI_HUB_H
#define GR_CLI_HUB_H

#include "cli/args.h"

/* What the environment says, but for what only fetching needs: the token, timeouts. The strings live as long as the process. cache NULL: no place is known. */
void gr_hub_from_environment(gr_hub_options *o);
/* GR_ERR_FILE with what to set, when there is none. */
gr_status gr_hub_check_cache(const gr_hub_options *o);
/* gr_hub_pull with a list of files, a progress bar and a last line on stderr. Caller frees the path. */
char *gr_hub_fetch(const gr_args *args, const char *name, gr_hub_options *o);
/* Gives MODELs and DATA that are no paths, but names, the paths that the cache has them under; with --pull they are fetched. */
gr_status gr_bring_names(gr_args *args);

#endif
