/* Which library this is. */
#include "gradus.h"

int gr_version_number(void)
{
    return GR_VERSION_NUMBER;
}
