/* gradus info: what this build and this machine have. */
#include "cli/term.h"
#include "cli/verbs.h"
#include "cli/version.h"

static gr_status run(gr_args *args)
{
    (void)args;
    gr_version_print();
    return GR_OK;
}

const gr_verb gr_verb_info = {
    .name = "info",
    .summary = "shows the devices of this machine",
    .examples = {{"what can compute here", "gradus info"}, {"the same without colours", "gradus info --quiet"}},
    .run = run,
};
