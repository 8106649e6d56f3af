/* Programs: a graph compiled to a flat list of kernel calls over planned memory. */
#ifndef GR_PROGRAM_PROGRAM_H
#define GR_PROGRAM_PROGRAM_H

#include "backend/backend.h"
#include "program/plan.h"

/* Where a tensor's memory is: in the arena, in a store, or among the program's constants. */
typedef enum gr_space { GR_SPACE_NONE, GR_SPACE_ARENA, GR_SPACE_STORE, GR_SPACE_CONSTANT } gr_space;

typedef struct gr_place {
    gr_space space;
    gr_store *store; /* GR_SPACE_STORE: entry `index` of it */
    int index;       /* GR_SPACE_ARENA: the buffer */
    size_t offset;   /* bytes from there; GR_SPACE_CONSTANT: from the block of constants */
} gr_place;

/* A pointer of a step, and where it points: filled in when memory is taken. */
typedef struct gr_binding {
    void **pointer;
    gr_place place;
} gr_binding;

typedef struct gr_port { /* an input or output of the program */
    gr_place place;
    size_t size;
    const char *name;
} gr_port;

struct gr_program {
    gr_device *device;
    gr_graph *graph; /* what is run: lowered, with copies where kernels need them */
    gr_step *steps;
    int n_steps;
    gr_buffer *buffers; /* of the arena */
    int n_buffers;
    gr_binding *bindings;
    size_t n_bindings, bindings_capacity;
    gr_port *inputs, *outputs;
    int n_inputs, n_outputs;
    void *constants;
    size_t constants_size;
    gr_memory memory;
    bool counted;        /* among the users of the device's arena */
    uint64_t generation; /* of the device when the bindings were made, + 1; 0: never */
};

/* For tests: runs step by step; poisons every result before its kernel runs, puts guard bytes behind every buffer of
 * that step where the plan leaves room, and fails with the op's name when a kernel writes where it must not. The
 * program must have been compiled while gr_compile_guards(true). */
gr_status gr_run_checked(gr_program *p, const void *const *inputs, void *const *outputs);
/* From now on programs of this thread are planned with room for guards around every buffer. */
void gr_compile_guards(bool on);

/* Where a bound pointer is, valid after gr_program_reserve. */
void *gr_place_pointer(const gr_program *p, const gr_place *place);

/* The two ends of every way to run: memory taken and inputs written; outputs read. */
gr_status gr_program_copy_in(gr_program *p, const void *const *inputs);
void gr_program_copy_out(gr_program *p, void *const *outputs);

#endif
