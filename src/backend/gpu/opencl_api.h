/* What opencl.c needs of OpenCL 1.2, whose headers need not be there. Types are named by what they are. */
#ifndef GR_BACKEND_GPU_OPENCL_API_H
#define GR_BACKEND_GPU_OPENCL_API_H

#include <stddef.h>
#include <stdint.h>

enum { /* results */
       CL_DEVICE_NOT_FOUND = -1,
       CL_MEM_OBJECT_ALLOCATION_FAILURE = -4,
       CL_OUT_OF_RESOURCES = -5,
       CL_OUT_OF_HOST_MEMORY = -6,
       CL_INVALID_BUFFER_SIZE = -61,
};
enum { /* what is asked of a device */
       CL_DEVICE_TYPE = 0x1000,
       CL_DEVICE_MAX_COMPUTE_UNITS = 0x1002,
       CL_DEVICE_MAX_WORK_GROUP_SIZE = 0x1004,
       CL_DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010,
       CL_DEVICE_SINGLE_FP_CONFIG = 0x101B,
       CL_DEVICE_GLOBAL_MEM_SIZE = 0x101F,
       CL_DEVICE_ENDIAN_LITTLE = 0x1026,
       CL_DEVICE_AVAILABLE = 0x1027,
       CL_DEVICE_COMPILER_AVAILABLE = 0x1028,
       CL_DEVICE_NAME = 0x102B,
       CL_DEVICE_DOUBLE_FP_CONFIG = 0x1032,
       CL_DEVICE_HOST_UNIFIED_MEMORY = 0x1035,
};
enum {
    CL_TYPE_CPU = 2,
    CL_TYPE_GPU = 4,
    CL_TYPE_ACCELERATOR = 8,
    CL_FP_CORRECTLY_ROUNDED = 1 << 7, /* division and square root, when asked for */
    CL_MEM_READ_WRITE = 1,
    CL_PROGRAM_BUILD_LOG = 0x1183,
};

/* Objects of OpenCL are pointers to something; queues, contexts, buffers, programs, kernels alike. Lists of events to wait
 * for, and of events to make, are never used: NONE stands for them. */
#define NONE_TYPES uint32_t, const void *, void *
#define OPENCL_CALLS(X)                                                                                                \
    X(int32_t, GetPlatformIDs, (uint32_t, void **, uint32_t *))                                                        \
    X(int32_t, GetDeviceIDs, (void *, uint64_t, uint32_t, void **, uint32_t *))                                        \
    X(int32_t, GetDeviceInfo, (void *, uint32_t, size_t, void *, size_t *))                                            \
    X(void *, CreateContext, (const intptr_t *, uint32_t, void *const *, const void *, void *, int32_t *))             \
    X(int32_t, ReleaseContext, (void *))                                                                               \
    X(void *, CreateCommandQueue, (void *, void *, uint64_t, int32_t *))                                               \
    X(int32_t, ReleaseCommandQueue, (void *))                                                                          \
    X(void *, CreateBuffer, (void *, uint64_t, size_t, void *, int32_t *))                                             \
    X(int32_t, ReleaseMemObject, (void *))                                                                             \
    X(int32_t, EnqueueWriteBuffer, (void *, void *, uint32_t, size_t, size_t, const void *, NONE_TYPES))               \
    X(int32_t, EnqueueReadBuffer, (void *, void *, uint32_t, size_t, size_t, void *, NONE_TYPES))                      \
    X(int32_t, EnqueueFillBuffer, (void *, void *, const void *, size_t, size_t, size_t, NONE_TYPES))                  \
    X(int32_t, EnqueueCopyBuffer, (void *, void *, void *, size_t, size_t, size_t, NONE_TYPES))                        \
    X(void *, CreateProgramWithSource, (void *, uint32_t, const char **, const size_t *, int32_t *))                   \
    X(int32_t, BuildProgram, (void *, uint32_t, void *const *, const char *, void *, void *))                          \
    X(int32_t, GetProgramBuildInfo, (void *, void *, uint32_t, size_t, void *, size_t *))                              \
    X(int32_t, ReleaseProgram, (void *))                                                                               \
    X(void *, CreateKernel, (void *, const char *, int32_t *))                                                         \
    X(int32_t, SetKernelArg, (void *, uint32_t, size_t, const void *))                                                 \
    X(int32_t, ReleaseKernel, (void *))                                                                                \
    X(int32_t, EnqueueNDRangeKernel,                                                                                   \
      (void *, void *, uint32_t, const size_t *, const size_t *, const size_t *, NONE_TYPES))                          \
    X(int32_t, Finish, (void *))

#endif
