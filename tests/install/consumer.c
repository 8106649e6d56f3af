/* A program that has Gradus installed and nothing else of it: computes 2 * 3 and says which library did. */
#include <gradus.h>
#include <stdio.h>

int main(void)
{
    double six = 0;
    const gr_wanted out = {"six", GR_F64, &six, sizeof six};
    gr_device *device = gr_device_open("cpu", 1);
    gr_graph *g = gr_graph_new();
    gr_tensor *two = gr_fill(g, GR_F64, 0, NULL, 2.0), *three = gr_fill(g, GR_F64, 0, NULL, 3.0);
    gr_tensor *product = gr_name(gr_mul(two, three), "six");
    gr_program *p = gr_compile(g, &product, 1, device, NULL);
    if (!p || gr_run(p, NULL, 0, &out, 1) != GR_OK)
        fprintf(stderr, "%s\n", gr_error());
    printf("libgradus %s: 2 * 3 = %g\n", gr_library_info()->version, six);
    gr_program_free(p);
    gr_graph_free(g);
    gr_device_close(device);
    return six == 6.0 ? 0 : 1;
}
