/* Gradus: train, fine-tune and run language models from C.
 *
 * The one idea: a model is a function that builds a graph. Ops append immutable nodes; gr_grad appends the backward
 * pass; gr_compile plans memory and picks kernels; gr_run runs. Nothing computes before.
 *
 *     #include <gradus.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         const int64_t of_x[] = {2, 2}, of_w[] = {1, 2};
 *         const float x[] = {0, 1, 1, 1}, w[] = {0.5f, -0.5f};
 *         float y[2] = {0};
 *         gr_device *device = gr_device_open("cpu", 0);
 *         gr_store *store = gr_store_new(device); // what outlives a run: weights
 *         gr_store_add(store, "w", GR_WEIGHT, GR_F32, 2, of_w);
 *         gr_status s = gr_store_write(store, "w", w, sizeof w);
 *         gr_graph *g = gr_graph_new();
 *         gr_tensor *in = gr_input(g, "x", GR_F32, 2, of_x);
 *         gr_tensor *out = gr_name(gr_tanh(gr_matmul(in, gr_param(g, store, "w"), false, true)), "y");
 *         gr_program *p = s == GR_OK ? gr_compile(g, &out, 1, device, NULL) : NULL; // NULL if anything above failed
 *         const gr_given given = {"x", GR_F32, x, sizeof x};
 *         const gr_wanted wanted = {"y", GR_F32, y, sizeof y};
 *         s = p ? gr_run(p, &given, 1, &wanted, 1) : gr_error_status();
 *         if (s == GR_OK)
 *             printf("%.4f %.4f\n", (double)y[0], (double)y[1]); // -0.4621 0.0000
 *         else
 *             fprintf(stderr, "%s\n", gr_error());
 *         gr_program_free(p);
 *         gr_graph_free(g);
 *         gr_store_free(store);
 *         gr_device_close(device);
 *         return s == GR_OK ? 0 : 1;
 *     }
 *
 * In reading order: gradus/core.h (errors, memory, dtypes, devices) · graph.h (ops, effects, gradients) · program.h (stores,
 * programs, profiles, own ops) · text.h (tokenizers) · hub.h (models by name) · model.h (models, files) · quantize.h (fewer
 * bits) · train.h (data, steps, runs) · generate.h (text, evaluation). Include this one.
 *
 * Conventions. Shapes are row-major int64_t, 0 to 6 dims; a dim may be 0. Letters: B batch, T tokens, C channels,
 * H heads, G key/value heads, D head width, V vocabulary. Element-wise ops broadcast as NumPy does.
 * A function that makes something returns NULL on failure, one that does something a gr_status; gr_error() then tells
 * what failed, on what, and what to do. Ops given a NULL tensor return NULL and a graph remembers its first failure, so
 * a forward pass is written as plain formulas and checked once. NULL in place of any other pointer is what is said beside
 * the function (options: the defaults), else GR_ERR_ARGUMENT; a function that gives a number then gives -1, or zeros, and
 * one without a result does nothing. Strings given are copied.
 *
 * A struct that begins with `size_t size` can grow without breaking programs that were compiled before: one of the caller's,
 * options or a record to fill in, begins as GR_INIT(type), which is zeros, what is usual, and the size; a field that the
 * library linked does not know stays zero, or is GR_ERR_UNSUPPORTED when it is set. Records of the library's come as const
 * pointers. A callback takes `user` first and returns true to go on; false stops the call with GR_ERR_INTERRUPTED.
 *
 * Threads. An object is used by one thread at a time; different objects may be used by different threads. That holds for
 * what was made for the same device, too: a device takes one run after the other, and a thread waits for its turn. Threads
 * that are to compute side by side open a device each. gr_set_log and gr_set_allocator come before all else.
 */
#ifndef GRADUS_H
#define GRADUS_H

#include "gradus/core.h"
#include "gradus/graph.h"
#include "gradus/program.h"
#include "gradus/text.h"
#include "gradus/hub.h"
#include "gradus/model.h"
#include "gradus/quantize.h"
#include "gradus/train.h"
#include "gradus/generate.h"

#define GR_VERSION_MAJOR 0
#define GR_VERSION_MINOR 1
#define GR_VERSION_PATCH 0
/* For #if: GR_VERSION_NUMBER >= 1002000 is 1.2 or newer. */
#define GR_VERSION_NUMBER (GR_VERSION_MAJOR * 1000000 + GR_VERSION_MINOR * 1000 + GR_VERSION_PATCH)
#define GR_VERSION_TEXT_OF(numbers) #numbers
#define GR_VERSION_TEXT(major, minor, patch) GR_VERSION_TEXT_OF(major.minor.patch)
#define GR_VERSION GR_VERSION_TEXT(GR_VERSION_MAJOR, GR_VERSION_MINOR, GR_VERSION_PATCH) /* "0.1.0" */

#endif
