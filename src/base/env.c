/* https://specifications.freedesktop.org/basedir-spec: a path that is not absolute is as none. */
#include "base/env.h"

#include "base/mem.h"

#include <stdlib.h>

char *gr_user_cache(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        return gr_strfmt("%s/gradus", cache);
    return home && *home == '/' ? gr_strfmt("%s/.cache/gradus", home) : NULL;
}
