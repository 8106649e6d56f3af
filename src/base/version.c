/* Which library this is. */
#include "gradus.h"

const char *gr_version(void)
{
    return GR_VERSION;
}

int gr_version_number(void)
{
    return GR_VERSION_NUMBER;
}
