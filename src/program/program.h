/* Programs: a graph compiled to a flat list of kernel calls over planned memory. */
#ifndef GR_PROGRAM_PROGRAM_H
#define GR_PROGRAM_PROGRAM_H

#include "backend/backend.h"
#include "program/plan.h"
#include "program/run.h"

/* Where a tensor's memory is: in the arena, in a store, or among the program's constants. */
typedef enum gr_space { GR_SPACE_NONE, GR_SPACE_ARENA, GR_SPACE_STORE, GR_SPACE_CONSTANT } gr_space;

typedef struct gr_place {
    gr_space space;
    gr_store *store; /* GR_SPACE_STORE: entry `index` of it */
    int index;       /* GR_SPACE_ARENA: the buffer */
    size_t offset;   /* bytes from there; GR_SPACE_CONSTANT: from the block of constants */
} gr_place;

/* An address of a step, and where it is: filled in when memory is taken. */
typedef struct gr_binding {
    uint64_t *address;
    gr_place place;
} gr_binding;

/* An input or output of the program. Inputs, and outputs that are computed, lie in one block each. */
typedef struct gr_port {
    gr_place place;
    size_t size;
    const char *name; /* of an output without one "output 0", by its place */
    gr_spec spec;
    bool in_block;
} gr_port;

struct gr_program {
    gr_device *device;
    gr_graph *graph; /* what is run: lowered, with copies where kernels need them */
    gr_code code;
    gr_buffer *buffers; /* of the arena */
    int n_buffers;
    int inputs_block,
        outputs_block; /* buffers; the latter, which begins with the gr_fault, where the host sees no memory */
    gr_binding *bindings;
    size_t n_bindings, bindings_capacity;
    gr_port *inputs, *outputs;
    int n_inputs, n_outputs;
    const void **given; /* [n_inputs], [n_outputs] what a call by name has come to */
    void **wanted;
    gr_address constants;
    size_t constants_size;
    char *staging; /* a block of inputs or outputs on its way, where the host cannot reach the device's memory */
    gr_plan plan;
    bool counted;     /* among the users of the device's arena */
    uint64_t profile; /* the device's profile that knows its steps: 1, 2, …, and where in it they begin */
    size_t first_site;
    double began;        /* with a profile: when the run did, by gr_seconds */
    uint64_t generation; /* of the device when the bindings were made, + 1; 0: never */
};

/* For tests: runs step by step; poisons every result before its kernel runs, puts guard bytes behind every buffer of
 * that step where the plan leaves room, and fails with the op's name when a kernel writes where it must not. The
 * program must have been compiled with gr_compile_options.guards. */
gr_status gr_run_checked(gr_program *p, const void *const *inputs, void *const *outputs);

/* Takes what all these programs need, asked for in one go. NULL among them is passed over. */
gr_status gr_programs_reserve(gr_program *const *programs, int n);

/* The parts of every way to run. begin waits for the device, which is this thread's until the end, takes memory and writes
 * the inputs; gr_program_finish waits for the steps, reads the outputs and ends. */
gr_status gr_program_begin(gr_program *p, const void *const *inputs);
void gr_program_end(gr_program *p);
/* One step, done when this returns. */
gr_status gr_program_step(gr_program *p, int i);

#endif
