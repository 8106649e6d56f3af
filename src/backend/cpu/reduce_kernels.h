/* What reduce.c, update.c and adafactor.c need per ISA level. Defined in kernels/reduce.c and kernels/update.c. */
#ifndef GR_BACKEND_CPU_REDUCE_KERNELS_H
#define GR_BACKEND_CPU_REDUCE_KERNELS_H

#include "backend/cpu/isa.h"

/* The order of additions depends on n alone, not on the level. */
typedef struct gr_reduce_kernels {
    /* over one run */
    float (*sum)(const float *x, int64_t n);
    float (*max)(const float *x, int64_t n); /* NaN if there is one; -infinity over none */
    double (*sum_squares)(const float *x, int64_t n);
    /* over rows: y[j] = x[0][j] + x[1][j] + .., rows `stride` apart; no rows: 0, and for max -infinity */
    void (*sum_rows)(float *y, const float *x, int64_t rows, int64_t stride, int64_t n);
    void (*max_rows)(float *y, const float *x, int64_t rows, int64_t stride, int64_t n);
} gr_reduce_kernels;

GR_ISA_DECLARE(const gr_reduce_kernels *, gr_reduce_kernels_get, (void));

/* One step of an optimizer over n elements; all that is the same for each of them is worked out before. */
typedef struct gr_adamw_step {
    float grad_scale, beta1, beta2, rest1, rest2; /* rest: 1 - beta */
    float decay;                                  /* 1 - lr weight_decay */
    float rate;                                   /* lr / (1 - beta1^step) */
    float root_scale, eps;                        /* 1 / sqrt(1 - beta2^step) */
    uint64_t seed, stream;                        /* of what rounds; the second moment has the stream behind */
} gr_adamw_step;

/* Both moments in dynamic 8-bit numbers (base/dynamic8.h): [0] the signed first, [1] the second. */
enum { GR_DYNAMIC8_CELLS = 23 * 128 + 1 };
typedef struct gr_dynamic8_table {
    float value[256], middle[256];
    /* By the upper half of the bits of a number from 2^-23 to 1: how many middles lie below its cell. In one is one at most. */
    uint8_t below[GR_DYNAMIC8_CELLS];
} gr_dynamic8_table;

typedef struct gr_moments8_at {
    uint8_t *codes[2];
    float *absmax[2];
    const gr_dynamic8_table *table; /* [2] */
} gr_moments8_at;

typedef struct gr_sgd_step {
    float grad_scale, lr, momentum, weight_decay;
} gr_sgd_step;

typedef struct gr_lion_step {
    float grad_scale, beta1, beta2, rest1, rest2;
    float lr, decay; /* 1 - lr weight_decay */
} gr_lion_step;

typedef struct gr_update_kernels {
    void (*adamw)(float *p, const float *g, float *m, float *v, const gr_adamw_step *s, int64_t n);
    /* the same with moments of bf16, rounded at random; g[0] is element `first` of all, a multiple of 256 */
    void (*adamw16)(float *p, const float *g, uint16_t *m, uint16_t *v, const gr_adamw_step *s, int64_t first,
                    int64_t n);
    /* the same with moments of 8 bits; g[0] begins a block, of which each has an absmax */
    void (*adamw8)(float *p, const float *g, const gr_moments8_at *moments, const gr_adamw_step *s, int64_t n);
    /* bf16 to f32 and, up or down at random by (seed, stream, element), back; x[0] is element `first`, a multiple of 256 */
    void (*widen)(float *y, const uint16_t *x, int64_t n);
    void (*narrow)(uint16_t *y, const float *x, uint64_t seed, uint64_t stream, int64_t first, int64_t n);
    void (*sgd)(float *p, const float *g, float *velocity, const gr_sgd_step *s, int64_t n); /* velocity may be NULL */
    void (*lion)(float *p, const float *g, float *m, const gr_lion_step *s, int64_t n);
} gr_update_kernels;

GR_ISA_DECLARE(const gr_update_kernels *, gr_update_kernels_get, (void));

/* What a step of Adafactor does with some columns of a row. */
typedef struct gr_adafactor_kernels {
    void (*squares)(float *y, const float *g, float scale, int64_t n); /* (g scale)^2 */
    void (*add)(float *y, const float *x, int64_t n);
    void (*toward)(float *mean, const float *x, float scale, float by, int64_t n); /* mean += (x scale - mean) by */
    void (*roots)(float *y, const float *x, float scale, int64_t n);               /* 1/sqrt(x scale) */
    /* g scale by_row by_column, both of them together at most 2^23 */
    void (*units)(float *u, const float *g, const float *by_column, float scale, float by_row, int64_t n);
    void (*step)(float *p, const float *u, float decay, float rate, int64_t n); /* p decay - rate u */
} gr_adafactor_kernels;

GR_ISA_DECLARE(const gr_adafactor_kernels *, gr_adafactor_kernels_get, (void));

#endif
