/* Reads /proc and the cgroup files. Allocates nothing: it is asked when memory is short. */
#include "base/machine.h"

#include <time.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__linux__)

/* The file's first size - 1 bytes as a string; false where it cannot be read. */
static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t used = 0;
    while (used < size - 1) {
        ssize_t n = read(fd, out + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    close(fd);
    out[used] = '\0';
    return used > 0;
}

/* The number behind `key` at the start of a line. */
static bool find_number(const char *text, const char *key, uint64_t *out)
{
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, length) == 0) {
            *out = strtoull(line + length, NULL, 10);
            return true;
        }
    }
    return false;
}

/* One cgroup's files, given its folder. Both versions of the interface are still in use. */
typedef void (*cgroup_reader)(const char *folder, bool v2, void *result);

static bool read_in(const char *folder, const char *name, char *out, size_t size)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n < (int)sizeof path && read_text(path, out, size);
}

/* Calls `reader` for the cgroup at mount + path and every one above it: a limit anywhere on the way holds. Inside a
 * container the path may be the host's; then only the mount itself exists, and its files are the container's. */
static void walk_up(const char *mount, const char *path, bool v2, cgroup_reader reader, void *result)
{
    char folder[PATH_MAX];
    size_t root = strlen(mount);
    if (snprintf(folder, sizeof folder, "%s%s", mount, path) >= (int)sizeof folder)
        return;
    for (;;) {
        reader(folder, v2, result);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < root)
            return;
        *slash = '\0';
    }
}

/* True when the comma-separated `list` [begin, end) has `name`. */
static bool list_has(const char *begin, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *p = begin; p < end;) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - p) == length && memcmp(p, name, length) == 0)
            return true;
        p = stop + 1;
    }
    return false;
}

/* Visits this process's cgroups for `controller` ("memory", "cpu"). Lines are "id:controllers:path", v2's "0::path". */
static void visit_cgroups(const char *controller, cgroup_reader reader, void *result)
{
    char text[8192];
    if (!read_text("/proc/self/cgroup", text, sizeof text))
        return;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *names = strchr(line, ':');
        char *path = names ? strchr(names + 1, ':') : NULL;
        if (!path)
            continue;
        names++;
        bool v2 = names == path;
        if (!v2 && !list_has(names, path, controller))
            continue;
        char mount[64];
        snprintf(mount, sizeof mount, "/sys/fs/cgroup%s%s", v2 ? "" : "/", v2 ? "" : controller);
        walk_up(mount, strcmp(path + 1, "/") == 0 ? "" : path + 1, v2, reader, result);
    }
}

/* Lowers *result to what the cgroup leaves. Its use includes the page cache, which gives way when memory is asked for. */
static void read_memory_room(const char *folder, bool v2, void *result)
{
    char limit_text[64], used_text[64], stat[8192];
    if (!read_in(folder, v2 ? "memory.max" : "memory.limit_in_bytes", limit_text, sizeof limit_text) ||
        !read_in(folder, v2 ? "memory.current" : "memory.usage_in_bytes", used_text, sizeof used_text) ||
        limit_text[0] == 'm') /* "max": no limit */
        return;
    uint64_t limit = strtoull(limit_text, NULL, 10), used = strtoull(used_text, NULL, 10), cache = 0, part;
    if (read_in(folder, "memory.stat", stat, sizeof stat)) {
        if (find_number(stat, v2 ? "inactive_file " : "total_inactive_file ", &part))
            cache += part;
        if (find_number(stat, v2 ? "active_file " : "total_active_file ", &part))
            cache += part;
    }
    used = used > cache ? used - cache : 0;
    uint64_t room = limit > used ? limit - used : 0, *least = result;
    if (room < *least)
        *least = room;
}

size_t gr_memory_available(void)
{
    char text[4096];
    uint64_t available = UINT64_MAX, kib;
    if (read_text("/proc/meminfo", text, sizeof text) && find_number(text, "MemAvailable:", &kib))
        available = kib * 1024;
    visit_cgroups("memory", read_memory_room, &available);
    return available > SIZE_MAX ? SIZE_MAX : (size_t)available;
}

size_t gr_memory_total(void)
{
    char text[4096];
    uint64_t kib;
    bool told = read_text("/proc/meminfo", text, sizeof text) && find_number(text, "MemTotal:", &kib);
    return told && kib < SIZE_MAX / 1024 ? (size_t)kib * 1024 : SIZE_MAX;
}

/* Pages of this process that are in RAM, and how many of them are of files or shared. */
static bool read_pages(unsigned long long *resident, unsigned long long *shared)
{
    char text[256];
    unsigned long long size;
    return read_text("/proc/self/statm", text, sizeof text) &&
           sscanf(text, "%llu %llu %llu", &size, resident, shared) == 3 && *resident >= *shared;
}

size_t gr_memory_resident(void)
{
    unsigned long long resident, shared;
    return read_pages(&resident, &shared) ? (size_t)(resident - shared) * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

size_t gr_memory_process(void)
{
    unsigned long long resident, shared;
    return read_pages(&resident, &shared) ? (size_t)resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Lowers *result to the quota in whole cores, rounded up: 1.5 cores are worth two threads. */
static void read_cpu_quota(const char *folder, bool v2, void *result)
{
    char quota_text[64], period_text[64];
    long long quota = -1, period = 0;
    if (v2) {
        if (!read_in(folder, "cpu.max", quota_text, sizeof quota_text) ||
            sscanf(quota_text, "%lld %lld", &quota, &period) != 2) /* "max 100000": no quota */
            return;
    } else if (read_in(folder, "cpu.cfs_quota_us", quota_text, sizeof quota_text) &&
               read_in(folder, "cpu.cfs_period_us", period_text, sizeof period_text)) {
        quota = strtoll(quota_text, NULL, 10);
        period = strtoll(period_text, NULL, 10);
    }
    if (quota <= 0 || period <= 0)
        return;
    long long cores = (quota + period - 1) / period;
    int *least = result;
    if (cores < *least)
        *least = (int)cores;
}

static int affinity_count(void)
{
    cpu_set_t set[8]; /* 8192 cores: one cpu_set_t is too small for the largest machines */
    if (sched_getaffinity(0, sizeof set, set) != 0)
        return (int)sysconf(_SC_NPROCESSORS_ONLN);
    return CPU_COUNT_S(sizeof set, set);
}

int gr_cpu_count(void)
{
    int count = affinity_count();
    visit_cgroups("cpu", read_cpu_quota, &count);
    return count > 0 ? count : 1;
}

#else

size_t gr_memory_available(void)
{
    return SIZE_MAX;
}

size_t gr_memory_total(void)
{
    return SIZE_MAX;
}

size_t gr_memory_resident(void)
{
    return 0;
}

size_t gr_memory_process(void)
{
    return 0;
}

int gr_cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (int)count : 1;
}

#endif

double gr_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
