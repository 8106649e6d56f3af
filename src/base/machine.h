/* What this process may use of its machine; a container's limits count, not only the hardware. */
#ifndef GR_BASE_MACHINE_H
#define GR_BASE_MACHINE_H

#include <stddef.h>

/* Cores: the affinity mask and the cgroup's CPU quota; at least 1. */
int gr_cpu_count(void);

/* Bytes that could be taken now without swapping or being killed for it; SIZE_MAX where the system does not say. */
size_t gr_memory_available(void);

/* Bytes of memory that the machine has; SIZE_MAX where the system does not say. */
size_t gr_memory_total(void);

/* Bytes of this process's own memory (not files, not shared) that are in RAM; 0 where the system does not say. */
size_t gr_memory_resident(void);

/* The same with its code and the files it has mapped: what tools call its resident set. */
size_t gr_memory_process(void);

/* Seconds of a clock that only goes forward. */
double gr_seconds(void);

#endif
