/* Quantizing inside. A second model is made of the first, with other dtypes and its weights in files beside what is to be written:
 * part by part, a layer a part, so that no more than one is in memory. It is then saved as any model is.
 *
 * mix.c (which dtype) · tensors.c (the list of tensors) · rows.c (a matrix as rows, rounding them) · made.c (the second
 * model) · quantize.c (all of it) */
#ifndef GR_QUANT_QUANT_H
#define GR_QUANT_QUANT_H

#include "model/layers/model.h"
#include "quant/mix.h"

/* A tensor of the model, and what it is to be. */
typedef struct gr_quant_tensor {
    gr_entry entry; /* of the model's store */
    char *gguf;
    int part;       /* 0: in front of the layers, 1 + i: of layer i, behind the last one: the rest */
    bool is_matrix; /* whose rows meet activations, or are looked up */
    bool is_head;
    bool turns; /* the model has it [in, out], and blocks lie along `in` */
    gr_dtype to;
    int64_t rows, width; /* as it is rounded */
    double lost, sum;    /* sums of squares: of what rounding changed, and of the values */
} gr_quant_tensor;

typedef struct gr_quant {
    gr_model *m;
    const gr_quantize_options *o;
    const gr_mix *mix;
    gr_quant_tensor *tensors; /* [n], in the store's order */
    int n, parts;
    char *dir; /* of the parts' files */
    gr_model *made;
    gr_safetensors **files; /* [parts] what its weights lie in; NULL: not yet, or nothing is in this part */
    double done, total;     /* values rounded */
    bool stopped;
} gr_quant;

/* ---- tensors.c ---------------------------------------------------------------------------------------------- */

/* Fills in the tensors and what they are to be. */
gr_status gr_quant_list(gr_quant *w);
/* Does a name fit, in which * stands for any text? */
bool gr_quant_fits(const char *pattern, const char *name);

/* ---- rows.c ------------------------------------------------------------------------------------------------- */

/* A matrix of a store as rows that lie one behind the other. Zeroed is closed. */
typedef struct gr_rows {
    gr_dtype dtype;
    const char *data;
    int64_t rows, width;
    void *own;
} gr_rows;
/* turned: the store has it [width, rows]. */
gr_status gr_rows_open(gr_rows *r, const gr_store *s, int index, int64_t rows, int64_t width, bool turned);
void gr_rows_close(gr_rows *r);
/* All of them to `dtype`, on the device's threads; adds to *lost and *sum. False: a value is no number. */
gr_status gr_rows_round(gr_device *d, const gr_rows *r, gr_dtype dtype, void *to, double *lost, double *sum);

/* ---- made.c ------------------------------------------------------------------------------------------------- */

/* The second model, w->made, with nothing in it. */
gr_status gr_quant_make(gr_quant *w);
/* A part's matrices are rounded into a file, and the second model has the part from then on. */
gr_status gr_quant_part(gr_quant *w, int part);
void gr_quant_close(gr_quant *w);
/* Tells how far it is; fails when the caller stops. */
gr_status gr_quant_tell(gr_quant *w, const char *what, double done);

#endif
