/* What all else uses: errors, memory, dtypes, devices. Part of gradus.h. */
#ifndef GRADUS_CORE_H
#define GRADUS_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define GR_API
#else
#define GR_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
template <class T> inline T gr_init()
{
    T t = T();
    t.size = sizeof t;
    return t;
}
extern "C" {
#endif

/* gr_verify_options o = GR_INIT(gr_verify_options); o.user = ... */
#ifdef __cplusplus
#define GR_INIT(type) gr_init<type>()
#else
#define GR_INIT(type) ((type){.size = sizeof(type)})
#endif
#define GR_MAX_DIMS 6
#define GR_MAX_INPUTS 32
#define GR_MAX_OUTPUTS 8

/* ---- errors ------------------------------------------------------------------------------------------------- */

typedef enum gr_status {
    GR_OK = 0,
    GR_ERR_ARGUMENT,    /* a call that makes no sense: shape, dtype, range, name */
    GR_ERR_UNSUPPORTED, /* makes sense, but this build or device cannot do it */
    GR_ERR_FILE,        /* a file is missing, broken or cannot be written */
    GR_ERR_MEMORY,      /* memory that cannot be had, planned or real */
    GR_ERR_NUMBER,      /* NaN or infinity where a number is needed */
    GR_ERR_INTERRUPTED, /* stopped because the caller asked */
    GR_ERR_NETWORK,     /* a server that cannot be reached, or refuses */
} gr_status;

/* The calling thread's last failure: "what failed: why (where)", then after a newline what to do. "" if none. */
GR_API const char *gr_error(void);
GR_API gr_status gr_error_status(void);
GR_API void gr_error_clear(void);

typedef enum gr_log_level { GR_LOG_DEBUG, GR_LOG_INFO, GR_LOG_WARN } gr_log_level;

/* Where the library's remarks go (nowhere by default). Call before other threads use the library. */
GR_API void gr_set_log(void (*log)(void *user, gr_log_level level, const char *message), void *user);

/* GR_VERSION_NUMBER of the library linked, which may be newer than this header's. Until 1.0 a minor version may change
 * what programs were compiled for (the shared library's name has it); later a major version alone. Any thread. */
GR_API int gr_version_number(void);
/* The library linked, and how it was built; static. Which of its devices this machine has, gr_device_open tells. Any thread. */
typedef struct gr_library {
    size_t size;
    const char *version;   /* GR_VERSION: "0.1.0" */
    const char *compiler;  /* "GCC 12.2.0, x86-64" */
    const char *isa;       /* what loops of the cpu device are compiled for: "generic, avx2, avx512" */
    const char *libraries; /* what was found: "OpenBLAS (opened where it is there), PCRE2, utf8proc", or "none" */
    const char *devices;   /* "cpu, ref, far, opencl" */
} gr_library;
GR_API const gr_library *gr_library_info(void);

/* ---- memory ------------------------------------------------------------------------------------------------- */

/* The library's only source of host memory. Called as f(user, NULL, 0, n) to allocate and f(user, p, n, 0) to free, by
 * several threads at a time; returns NULL when it cannot. Set before anything else is called. */
typedef void *(*gr_allocator)(void *user, void *p, size_t old_size, size_t new_size);
GR_API void gr_set_allocator(gr_allocator f, void *user);
/* Frees a text or a record that the library made for its caller; NULL is fine. */
GR_API void gr_free(const void *block);

/* ---- dtypes ------------------------------------------------------------------------------------------------- */

/* Every dtype there is: GR_F32 is named "f32". Numbers never change: a new dtype goes to the end, so that programs meet it
 * as a number they do not know. docs/add-a-dtype.md */
/* clang-format off */
#define GR_DTYPES(X)                                                                                                   \
    X(F64, f64) X(F32, f32) X(F16, f16) X(BF16, bf16) X(I64, i64) X(I32, i32) X(U8, u8) X(BOOL, bool)                  \
    /* weights in the blocks of GGUF files */                                                                          \
    X(Q4_0, q4_0) X(Q4_1, q4_1) X(Q5_0, q5_0) X(Q5_1, q5_1) X(Q8_0, q8_0)                                              \
    X(Q2_K, q2_k) X(Q3_K, q3_k) X(Q4_K, q4_k) X(Q5_K, q5_k) X(Q6_K, q6_k)                                              \
    X(IQ4_NL, iq4_nl) X(IQ4_XS, iq4_xs) X(MXFP4, mxfp4) X(TQ1_0, tq1_0) X(TQ2_0, tq2_0)                                \
    /* those that can only be read */                                                                                  \
    X(IQ1_S, iq1_s) X(IQ1_M, iq1_m) X(IQ2_XXS, iq2_xxs) X(IQ2_XS, iq2_xs) X(IQ2_S, iq2_s)                              \
    X(IQ3_XXS, iq3_xxs) X(IQ3_S, iq3_s) X(NVFP4, nvfp4) X(Q1_0, q1_0)                                                  \
    /* activations that meet them */                                                                                   \
    X(A8, a8)                                                                                                          \
    /* weights of the hub's files: 4 bits with a scale for 32, 64 or 128 values, and 8 bits; with a zero point */      \
    X(INT4_32, int4_32) X(INT4_64, int4_64) X(INT4_128, int4_128) X(INT8, int8)                                        \
    X(INT4Z_32, int4z_32) X(INT4Z_64, int4z_64) X(INT4Z_128, int4z_128) X(INT8Z, int8z)                                \
    /* activations that meet those, with one scale a row */                                                            \
    X(A8_ROW, a8_row)
/* clang-format on */

#define GR_DTYPE_CONSTANT(constant, name) GR_##constant,
typedef enum gr_dtype {
    GR_DTYPES(GR_DTYPE_CONSTANT) /* GR_F64, GR_F32, … */
    GR_DTYPE_NONE = 0x7fffffff   /* no dtype */
} gr_dtype;
#undef GR_DTYPE_CONSTANT

/* "f32"; NULL for a value that is no dtype: all there are have the numbers from 0 to the first NULL. */
GR_API const char *gr_dtype_name(gr_dtype dtype);

/* ---- devices ------------------------------------------------------------------------------------------------ */

typedef struct gr_device gr_device;

/* The devices of this build by name, the one that "auto" opens first: i = 0, 1, … until NULL. Whether this machine has one, opening it
 * tells. Static text; any thread. */
GR_API const char *gr_device_list(int i);
/* Opens "ref" (slow and obviously right), "cpu", "opencl" ("opencl:1" is the second), "far" (a test device: cpu kernels on
 * memory the host must not touch) or "auto" (so does NULL): cpu. threads: workers, 0 = one per core. Results do not depend on it. Close with gr_device_close. */
GR_API gr_device *gr_device_open(const char *name, int threads);
GR_API void gr_device_close(gr_device *device); /* after everything made for it is freed; NULL is fine */
/* What a device is; the texts live until it closes. */
typedef struct gr_device_info {
    size_t size;
    const char *name;        /* "cpu", "opencl:1" */
    const char *description; /* what it runs on: "AVX-512, 2 threads, OpenBLAS" */
    size_t available,
        total;        /* bytes that can be had there now, and that there are; SIZE_MAX: the system does not say */
    bool host_memory; /* they are the host's own */
    bool
        multiplies_bf16; /* it has instructions for that; else 16 bits are storage, and what is computed is computed in f32 */
} gr_device_info;
/* out begins as GR_INIT(gr_device_info). */
GR_API gr_status gr_device_describe(gr_device *device, gr_device_info *out);
/* What no kernel on the device can beat: measured when asked for, in about half a second with all its threads. */
typedef struct gr_device_limits {
    size_t size;
    double flops; /* f32 FLOPs a second, a multiply-add counted as two */
    double read;  /* bytes a second from memory */
} gr_device_limits;
/* GR_ERR_UNSUPPORTED on a device that has no measure ("cpu" and "far" have). out begins as GR_INIT(gr_device_limits). */
GR_API gr_status gr_device_measure(gr_device *device, gr_device_limits *out);

#ifdef __cplusplus
}
#endif

#endif
