/* --device and --threads of the verbs that compute. */
#ifndef GR_CLI_DEVICE_H
#define GR_CLI_DEVICE_H

#include "cli/args.h"

/* Opens what the command line asks for; with "auto" says on stderr what that is. NULL: gr_error(), and a wrong name
 * counts as a wrong command line. Close with gr_device_close. */
gr_device *gr_args_device(gr_args *args);

#endif
