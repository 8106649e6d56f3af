/* Opening a GPU, and running what was prepared. */
#include "backend/gpu/gpu.h"

#include "base/mem.h"

gr_status gr_gpu_open(gr_gpu *g, const gr_gpu_driver *driver, int index)
{
    *g = (gr_gpu){.driver = driver};
    gr_status s = driver->open(index, &g->device, &g->info);
    if (s != GR_OK)
        return s;
    gr_gpu_pool_open(&g->pool, driver, g->device, g->info.largest);
    return GR_OK;
}

void gr_gpu_close(gr_gpu *g)
{
    if (!g->device)
        return;
    if (g->driver->finish(g->device) != GR_OK) /* nothing more can be lost */
        gr_error_clear();
    gr_gpu_modules_free(g);
    gr_gpu_pool_close(&g->pool);
    g->driver->close(g->device);
    g->device = NULL;
}

gr_status gr_gpu_run(gr_gpu *g, const gr_gpu_code *code, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        const gr_gpu_step *step = &code->steps[i];
        gr_status s = g->driver->launch(g->device, step->bound, step->groups, step->group);
        if (s != GR_OK)
            return s;
        g->counts.launches++;
    }
    return GR_OK;
}

void gr_gpu_code_clear(gr_gpu *g, gr_gpu_code *code)
{
    for (size_t i = 0; i < code->n; i++)
        g->driver->unbind(g->device, code->steps[i].bound);
    gr_free(code->steps);
    gr_free(code->first);
    *code = (gr_gpu_code){.n = 0};
}
