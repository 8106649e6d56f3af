/* The OpenCL driver: version 1.2, whoever made it, opened at run time where it is there. Without images, pipes, shared
 * virtual memory and subgroups: what all have.
 * Reading order: the library · devices · open and close · memory · programs · launches. */
#include "backend/gpu/driver.h"

#include "backend/gpu/opencl_api.h"
#include "base/machine.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

typedef struct device {
    void *id, *context, *queue;
    gr_gpu_info info;
    bool rounds;  /* can round divisions and square roots correctly */
    size_t taken; /* bytes of blocks */
} device;

typedef struct block {
    void *buffer;
    size_t size;
} block;

/* ---- the library -------------------------------------------------------------------------------------------- */

#define MEMBER(type, name, args) type(*name) args;
static struct {
    OPENCL_CALLS(MEMBER)
} cl;
static bool is_loaded;

static void load_library(void)
{
    static const char *const names[] = {"libOpenCL.so.1", "libOpenCL.so",
                                        "/System/Library/Frameworks/OpenCL.framework/OpenCL"};
    void *library = NULL;
    for (size_t i = 0; !library && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return;
    void *found = NULL;
    is_loaded = true;
    /* ISO C has no cast from an object's address to a function's; POSIX says that the bits are the same. */
#define FIND(type, name, args)                                                                                         \
    found = dlsym(library, "cl" #name);                                                                                \
    memcpy(&cl.name, &found, sizeof found);                                                                            \
    is_loaded = is_loaded && found;
    OPENCL_CALLS(FIND)
}

static bool is_there(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load_library);
    return is_loaded;
}

static atomic_llong fail_at, live;

int64_t gr_opencl_fail_at(int64_t n)
{
    return atomic_exchange(&fail_at, n);
}

int64_t gr_opencl_live(void)
{
    return atomic_load(&live);
}

static bool must_fail(void)
{
    return atomic_load(&fail_at) > 0 && atomic_fetch_sub(&fail_at, 1) == 1;
}

/* Every call that can fail goes through one of these: the second is for those that make an object. */
#define CALL(call) (must_fail() ? CL_OUT_OF_RESOURCES : (call))
#define MAKE(result, call) count_made(must_fail() ? (*(result) = CL_OUT_OF_RESOURCES, NULL) : (call), (result))
#define NONE 0, NULL, NULL

/* Some implementations return an object with an error, some neither. */
static void *count_made(void *made, int32_t *result)
{
    if (*result == 0 && !made)
        *result = CL_OUT_OF_RESOURCES;
    atomic_fetch_add(&live, *result == 0);
    return *result == 0 ? made : NULL;
}

#define RELEASE(function, object) ((object) ? (void)(cl.function(object), atomic_fetch_sub(&live, 1)) : (void)0)

/* "OpenCL: doing: error -5" */
static gr_status check(int32_t result, const char *doing)
{
    if (result == 0)
        return GR_OK;
    if (result == CL_MEM_OBJECT_ALLOCATION_FAILURE || result == CL_OUT_OF_RESOURCES || result == CL_OUT_OF_HOST_MEMORY)
        return gr_fail(
            GR_ERR_MEMORY,
            "OpenCL: %s: the device is out of memory or other resources (error %d)\nfree memory on it, or use "
            "a smaller model, batch or context",
            doing, (int)result);
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "OpenCL: %s: error %d\nsee whether `clinfo` works, update the driver, or use --device cpu", doing,
                   (int)result);
}

/* ---- devices ------------------------------------------------------------------------------------------------ */

enum { DEVICES = 16 };

static bool ask(void *id, uint32_t what, void *value, size_t size)
{
    return CALL(cl.GetDeviceInfo(id, what, size, value, NULL)) == 0;
}

/* Can it run what we write? */
static bool is_fit(void *id)
{
    uint32_t available = 0, compiler = 0, little = 0;
    return ask(id, CL_DEVICE_AVAILABLE, &available, sizeof available) &&
           ask(id, CL_DEVICE_COMPILER_AVAILABLE, &compiler, sizeof compiler) &&
           ask(id, CL_DEVICE_ENDIAN_LITTLE, &little, sizeof little) && available && compiler && little;
}

/* All devices of all platforms: GPUs first, then other accelerators, then processors. */
static int list_devices(void **ids)
{
    static const uint64_t types[] = {CL_TYPE_GPU, CL_TYPE_ACCELERATOR, CL_TYPE_CPU};
    void *platforms[DEVICES], *found[DEVICES];
    uint32_t n_platforms = 0, n = 0;
    int count = 0;
    if (!is_there() || CALL(cl.GetPlatformIDs(DEVICES, platforms, &n_platforms)) != 0)
        return 0;
    for (int t = 0; t < 3; t++)
        for (uint32_t p = 0; p < n_platforms && p < DEVICES; p++) {
            if (CALL(cl.GetDeviceIDs(platforms[p], types[t], DEVICES, found, &n)) != 0)
                continue;
            for (uint32_t i = 0; i < n && i < DEVICES && count < DEVICES; i++)
                if (is_fit(found[i]))
                    ids[count++] = found[i];
        }
    return count;
}

static int opencl_count(void)
{
    void *ids[DEVICES];
    return list_devices(ids);
}

/* ---- open and close ----------------------------------------------------------------------------------------- */

static gr_status describe(device *d)
{
    uint64_t type = 0, memory = 0, largest = 0, rounding = 0, doubles = 0;
    uint32_t units = 0, unified = 0;
    size_t group = 0;
    char name[256] = "";
    bool told = ask(d->id, CL_DEVICE_NAME, name, sizeof name) && ask(d->id, CL_DEVICE_TYPE, &type, sizeof type) &&
                ask(d->id, CL_DEVICE_GLOBAL_MEM_SIZE, &memory, sizeof memory) &&
                ask(d->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, &largest, sizeof largest) &&
                ask(d->id, CL_DEVICE_SINGLE_FP_CONFIG, &rounding, sizeof rounding) &&
                ask(d->id, CL_DEVICE_DOUBLE_FP_CONFIG, &doubles, sizeof doubles) &&
                ask(d->id, CL_DEVICE_MAX_COMPUTE_UNITS, &units, sizeof units) &&
                ask(d->id, CL_DEVICE_HOST_UNIFIED_MEMORY, &unified, sizeof unified) &&
                ask(d->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, &group, sizeof group);
    if (!told)
        return gr_fail(GR_ERR_UNSUPPORTED, "OpenCL: a device does not say what it is\nsee whether `clinfo` works");
    snprintf(d->info.name, sizeof d->info.name, "%.*s", (int)sizeof d->info.name - 1, name);
    d->info.memory = (size_t)memory;
    d->info.largest = (size_t)largest;
    d->info.group = group;
    d->info.units = (int)units;
    d->info.is_host = unified || (type & CL_TYPE_CPU);
    d->info.has_f64 = doubles != 0;
    d->rounds = rounding & CL_FP_CORRECTLY_ROUNDED;
    return GR_OK;
}

static void opencl_close(void *p)
{
    device *d = p;
    if (!d)
        return;
    RELEASE(ReleaseCommandQueue, d->queue);
    RELEASE(ReleaseContext, d->context);
    gr_free(d);
}

static gr_status open_queue(device *d)
{
    int32_t result = 0;
    d->context = MAKE(&result, cl.CreateContext(NULL, 1, &d->id, NULL, NULL, &result));
    gr_status s = check(result, "opening the device");
    if (s == GR_OK) {
        d->queue = MAKE(&result, cl.CreateCommandQueue(d->context, d->id, 0, &result));
        s = check(result, "opening the device's queue");
    }
    return s;
}

/* Says what is most likely missing. */
static gr_status no_devices(void)
{
    uint32_t n = 0;
    if (!is_there())
        return gr_fail(GR_ERR_UNSUPPORTED, "OpenCL: there is no libOpenCL.so.1\ninstall it and a driver "
                                           "(Debian: ocl-icd-libopencl1 pocl-opencl-icd), or use --device cpu");
    if (CALL(cl.GetPlatformIDs(0, NULL, &n)) != 0 || n == 0)
        return gr_fail(GR_ERR_UNSUPPORTED, "OpenCL: no driver is installed\ninstall one (Debian: pocl-opencl-icd for "
                                           "the processor), or use --device cpu");
    return gr_fail(GR_ERR_UNSUPPORTED, "OpenCL: no driver has a device that can be used\nsee what `clinfo` says; "
                                       "PoCL has none where it cannot write its cache ($POCL_CACHE_DIR, "
                                       "$XDG_CACHE_HOME); or use --device cpu");
}

static gr_status opencl_open(int index, void **out, gr_gpu_info *info)
{
    void *ids[DEVICES];
    int n = list_devices(ids);
    if (n == 0)
        return no_devices();
    if (index < 0 || index >= n)
        return gr_fail(GR_ERR_ARGUMENT, "OpenCL: there is no device %d, this machine has %d", index, n);
    device *d = gr_alloc_zero(1, sizeof *d);
    if (!d)
        return GR_ERR_MEMORY;
    d->id = ids[index];
    gr_status s = describe(d);
    if (s == GR_OK)
        s = open_queue(d);
    if (s != GR_OK) {
        opencl_close(d);
        return s;
    }
    *out = d;
    *info = d->info;
    return GR_OK;
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

static gr_status finish(device *d)
{
    return check(CALL(cl.Finish(d->queue)), "waiting for the device");
}

static void opencl_block_free(void *p, void *q)
{
    device *d = p;
    block *b = q;
    if (!b)
        return;
    d->taken -= b->size;
    RELEASE(ReleaseMemObject, b->buffer);
    gr_free(b);
}

static gr_status opencl_fill(void *p, void *to, size_t offset, int byte, size_t size)
{
    device *d = p;
    unsigned char pattern[16];
    size_t width = offset % sizeof pattern || size % sizeof pattern ? 1 : sizeof pattern; /* wider is faster */
    memset(pattern, byte, sizeof pattern);
    return check(CALL(cl.EnqueueFillBuffer(d->queue, ((block *)to)->buffer, pattern, width, offset, size, NONE)),
                 "filling memory");
}

/* Some take memory only when it is first used: so it is used now; the host's page by page. */
static gr_status opencl_block_new(void *p, size_t size, void **out)
{
    device *d = p;
    block *b = gr_alloc_zero(1, sizeof *b);
    int32_t result = 0;
    if (!b)
        return GR_ERR_MEMORY;
    d->taken += size;
    b->size = size;
    b->buffer = MAKE(&result, cl.CreateBuffer(d->context, CL_MEM_READ_WRITE, size, NULL, &result));
    gr_status s = check(result, "allocating memory");
    if (s == GR_OK)
        s = opencl_fill(d, b, 0, 0, d->info.is_host || size < 64 ? size : 64);
    if (s == GR_OK)
        s = finish(d);
    if (s != GR_OK) {
        opencl_block_free(d, b);
        return s;
    }
    *out = b;
    return GR_OK;
}

/* OpenCL does not say what others have taken. */
static gr_status opencl_memory(void *p, size_t *left)
{
    const device *d = p;
    *left = d->info.memory > d->taken ? d->info.memory - d->taken : 0;
    size_t host = d->info.is_host ? gr_memory_available() : SIZE_MAX;
    *left = *left < host ? *left : host;
    return GR_OK;
}

static gr_status opencl_write(void *p, void *to, size_t offset, const void *host, size_t size)
{
    device *d = p;
    return check(CALL(cl.EnqueueWriteBuffer(d->queue, ((block *)to)->buffer, 1, offset, size, host, NONE)),
                 "writing to the device");
}

static gr_status opencl_read(void *p, void *host, void *from, size_t offset, size_t size)
{
    device *d = p;
    return check(CALL(cl.EnqueueReadBuffer(d->queue, ((block *)from)->buffer, 1, offset, size, host, NONE)),
                 "reading from the device");
}

static gr_status opencl_copy(void *p, void *to, size_t to_offset, void *from, size_t from_offset, size_t size)
{
    device *d = p;
    return check(CALL(cl.EnqueueCopyBuffer(d->queue, ((block *)from)->buffer, ((block *)to)->buffer, from_offset,
                                           to_offset, size, NONE)),
                 "copying");
}

/* ---- programs ----------------------------------------------------------------------------------------------- */

/* A tensor comes as a buffer and an offset in bytes, which OpenCL 1.2 cannot add to each other on the host. */
static void opencl_head(gr_gpu_text *to, const gr_gpu_head *h)
{
    gr_gpu_print(to, "__attribute__((reqd_work_group_size(%d, 1, 1))) kernel void %s(", h->group, h->name);
    for (int i = 0; i < h->n; i++) {
        const char *separator = i ? ", " : "";
        if (h->arg[i].access == GR_GPU_VALUE)
            gr_gpu_print(to, "%s%s %s", separator, h->arg[i].type, h->arg[i].name);
        else if (h->arg[i].access == GR_GPU_FAULT)
            gr_gpu_print(to, "%sglobal char *fault_block, ulong fault_at, int step_", separator);
        else
            gr_gpu_print(to, "%sglobal char *%s_block, ulong %s_at", separator, h->arg[i].name, h->arg[i].name);
    }
    gr_gpu_print(to, ") { local float scratch_[%d];", h->group);
    for (int i = 0; i < h->n; i++) {
        const char *constant = h->arg[i].access == GR_GPU_IN ? "const " : "";
        if (h->arg[i].access == GR_GPU_FAULT)
            gr_gpu_print(to, " global fault_word *fault_ = (global fault_word *)(fault_block + fault_at);");
        else if (h->arg[i].access != GR_GPU_VALUE)
            gr_gpu_print(to, " global %s%s *%s = (global %s%s *)(%s_block + %s_at);", constant, h->arg[i].type,
                         h->arg[i].name, constant, h->arg[i].type, h->arg[i].name, h->arg[i].name);
    }
}

static gr_status build_failed(const device *d, void *program, int32_t result)
{
    char log[1024] = "";
    size_t size = 0;
    cl.GetProgramBuildInfo(program, d->id, CL_PROGRAM_BUILD_LOG, sizeof log - 1, log, &size);
    for (char *p = log; *p; p++)
        *p = *p == '\n' ? ' ' : *p;
    if (result == CL_OUT_OF_HOST_MEMORY || result == CL_OUT_OF_RESOURCES)
        return check(result, "compiling kernels");
    return gr_fail(GR_ERR_UNSUPPORTED,
                   "OpenCL: compiling kernels: error %d: %.500s\nupdate the driver, or use --device cpu", (int)result,
                   log);
}

static gr_status opencl_build(void *p, const char *source, const char *options, void **module)
{
    device *d = p;
    int32_t result = 0;
    char all[1024];
    const char *rounds = d->rounds ? " -cl-fp32-correctly-rounded-divide-sqrt" : "";
    int n = snprintf(all, sizeof all, "-cl-std=CL1.2 -w%s%s", rounds, options);
    if (n < 0 || (size_t)n >= sizeof all)
        return gr_fail(GR_ERR_UNSUPPORTED, "OpenCL: the options of a kernel are too long: %s", options);
    void *program = MAKE(&result, cl.CreateProgramWithSource(d->context, 1, &source, NULL, &result));
    gr_status s = check(result, "compiling kernels");
    if (s == GR_OK && (result = CALL(cl.BuildProgram(program, 1, &d->id, all, NULL, NULL))) != 0)
        s = build_failed(d, program, result);
    if (s != GR_OK)
        RELEASE(ReleaseProgram, program);
    else
        *module = program;
    return s;
}

static void opencl_module_free(void *p, void *module)
{
    (void)p;
    RELEASE(ReleaseProgram, module);
}

/* ---- launches ----------------------------------------------------------------------------------------------- */

static void opencl_unbind(void *p, void *bound)
{
    (void)p;
    RELEASE(ReleaseKernel, bound);
}

static int32_t set_args(void *kernel, const gr_gpu_arg *args, int n)
{
    int32_t result = 0;
    uint32_t at = 0;
    for (int i = 0; i < n && result == 0; i++) {
        const gr_gpu_arg *a = &args[i];
        if (!a->is_place) {
            result = CALL(cl.SetKernelArg(kernel, at++, a->size, &a->value));
            continue;
        }
        void *buffer = a->block ? ((block *)a->block)->buffer : NULL;
        result = CALL(cl.SetKernelArg(kernel, at++, sizeof buffer, &buffer));
        if (result == 0)
            result = CALL(cl.SetKernelArg(kernel, at++, sizeof a->offset, &a->offset));
    }
    return result;
}

/* A kernel object keeps its arguments, so there is one for every launch of a program. */
static gr_status opencl_bind(void *p, void *module, const char *name, const gr_gpu_arg *args, int n, void **bound)
{
    int32_t result = 0;
    char doing[96];
    snprintf(doing, sizeof doing, "preparing the kernel %s", name);
    void *kernel = MAKE(&result, cl.CreateKernel(module, name, &result));
    if (result == 0)
        result = set_args(kernel, args, n);
    if (result != 0) {
        opencl_unbind(p, kernel);
        return check(result, doing);
    }
    *bound = kernel;
    return GR_OK;
}

static gr_status opencl_launch(void *p, void *bound, size_t groups, size_t group)
{
    device *d = p;
    size_t items = groups * group;
    return check(CALL(cl.EnqueueNDRangeKernel(d->queue, bound, 1, NULL, &items, &group, NONE)), "running a kernel");
}

static gr_status opencl_finish(void *p)
{
    return finish(p);
}

const gr_gpu_driver gr_gpu_opencl = {
    .name = "opencl",
    .prelude = "opencl",
    .count = opencl_count,
    .open = opencl_open,
    .close = opencl_close,
    .block_new = opencl_block_new,
    .block_free = opencl_block_free,
    .memory = opencl_memory,
    .write = opencl_write,
    .read = opencl_read,
    .fill = opencl_fill,
    .copy = opencl_copy,
    .head = opencl_head,
    .build = opencl_build,
    .module_free = opencl_module_free,
    .bind = opencl_bind,
    .unbind = opencl_unbind,
    .launch = opencl_launch,
    .finish = opencl_finish,
};
