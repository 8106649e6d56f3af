/* A program that has Gradus installed and nothing else of it: computes 2 * 3 and says which library did. */
#include <gradus.h>
#include <stdio.h>

int main(void)
{
    gr_graph *g = gr_graph_new();
    gr_tensor *two = gr_fill(g, GR_F32, 0, NULL, 2.0), *three = gr_fill(g, GR_F32, 0, NULL, 3.0);
    double six = gr_item(gr_mul(two, three));
    printf("libgradus %s: 2 * 3 = %g\n", gr_version(), six);
    gr_graph_free(g);
    return six == 6.0 ? 0 : 1;
}
