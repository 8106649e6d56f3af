/* A folder of a target's own, for inputs that are files. */
#ifndef GR_FUZZ_DIR_H
#define GR_FUZZ_DIR_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

static char fuzz_dir[64];

static void fuzz_remove_dir(void)
{
    gr_dir_remove(fuzz_dir);
}

/* By the first input. In memory where the system has such a folder: a disk would be the slowest part by far. */
static void fuzz_make_dir(void)
{
    if (fuzz_dir[0])
        return;
    snprintf(fuzz_dir, sizeof fuzz_dir, "%s/fuzz.XXXXXX", gr_path_is_dir("/dev/shm") ? "/dev/shm" : ".");
    if (!mkdtemp(fuzz_dir))
        exit(1);
    atexit(fuzz_remove_dir);
}

#endif
