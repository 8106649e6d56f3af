/* The CPU backend: its kernels, and the reference ones for what it has none. */
#include "backend/cpu/cpu.h"

#include "backend/cpu/blas.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/isa.h"
#include "backend/cpu/limits.h"
#include "base/number.h"

#include <stdio.h>

static gr_status open_device(gr_device *d, int index, int threads)
{
    (void)index, (void)threads; /* the device has its threads already */
    d->host_visible = true;
    static const char *const levels[] = {"no vector extensions known",
                                         "AVX2",
                                         "AVX2 with VNNI",
                                         "AVX-512",
                                         "AVX-512 with VNNI",
                                         "AVX-512 with VNNI and BF16",
                                         "AVX-512 with VNNI and AMX"};
    _Static_assert(sizeof levels / sizeof levels[0] == GR_ISA_COUNT, "one name a level");
    gr_isa level = gr_isa_detect();
    d->multiplies_bf16 = level >= GR_ISA_AVX512_BF16;
    d->sum_rows = GR_GEMM_SUM;
    snprintf(d->description, sizeof d->description, "%s, %d thread%s%s%s", levels[level], gr_pool_threads(d->pool),
             gr_plural(gr_pool_threads(d->pool)), level == GR_ISA_GENERIC ? ", " : "",
             level == GR_ISA_GENERIC ? gr_blas_name() : "");
    return GR_OK;
}

static void close_device(gr_device *d)
{
    (void)d;
}

/* One a family of ops; the first line that fits is taken. */
static const gr_kernel *const tables[] = {
    gr_cpu_matmul_kernels,   gr_cpu_elementwise_kernels, gr_cpu_layout_kernels,        gr_cpu_reduce_kernels,
    gr_cpu_update_kernels,   gr_cpu_softmax_kernels,     gr_cpu_loss_kernels,          gr_cpu_norm_kernels,
    gr_cpu_rope_kernels,     gr_cpu_embed_kernels,       gr_cpu_attention_one_kernels, gr_cpu_attention_kernels,
    gr_cpu_integer_kernels,  gr_cpu_random_kernels,      gr_cpu_block_kernels,         gr_cpu_int8_kernels,
    gr_cpu_adafactor_kernels};

static const gr_kernel *find(const gr_device *d, const gr_tensor *node)
{
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const gr_kernel *found = gr_kernel_find(tables[i], d, node);
        if (found)
            return found;
    }
    const gr_kernel *k = gr_kernel_own(node);
    return k ? k : gr_backend_ref.find(d, node);
}

const gr_backend gr_backend_cpu = {
    .name = "cpu",
    .count = gr_host_count,
    .open = open_device,
    .close = close_device,
    .find = find,
    .fuses = gr_cpu_fuses,
    .measure = gr_cpu_measure,
    .reserve = gr_host_reserve,
    .alloc = gr_host_alloc,
    .free = gr_host_free,
    .memory = gr_host_memory,
    .write = gr_host_write,
    .read = gr_host_read,
    .fill = gr_host_fill,
    .copy = gr_host_copy,
    .sync = gr_host_sync,
    .prepare = gr_host_prepare,
    .forget = gr_host_forget,
    .run = gr_host_run,
    .wait = gr_host_wait,
};
