/* Quantizing inside. A second model is made of the first, with other dtypes and its weights in files beside what is to be written:
 * part by part, a layer a part, so that no more than one is in memory. It is then saved as any model is.
 *
 * mix.c (which dtype) · tensors.c (the list of tensors) · rows.c, gptq.c (a matrix as rows, and rounding them) · made.c (the
 * second model) · calibrate.c (what its layers are given) · imatrix.c (files of that) · need.c (what it takes) · quantize.c (all of it) */
#ifndef GR_QUANT_QUANT_H
#define GR_QUANT_QUANT_H

#include "base/lock.h"
#include "model/layers/model.h"
#include "quant/gptq.h"
#include "quant/mix.h"

/* A tensor of the model, and what it is to be. */
typedef struct gr_quant_tensor {
    gr_entry entry; /* of the model's store */
    char *gguf;
    int part;       /* 0: in front of the layers, 1 + i: of layer i, behind the last one: the rest */
    bool is_matrix; /* whose rows meet activations, or are looked up */
    bool is_head;
    bool taken; /* the second model has it as it is to be */
    bool turns; /* the model has it [in, out], and blocks lie along `in` */
    gr_dtype to;
    int64_t rows, width; /* as it is rounded */
    int64_t group;    /* columns with one scale, in the hub's blocks; 0: it is in others, or each block has its own */
    float *moments;   /* [width] means of the squares that its columns are multiplied by; NULL: not known */
    double lost, sum; /* sums of squares: of what rounding changed, and of the values */
} gr_quant_tensor;

typedef struct gr_quant {
    gr_model *m;
    const gr_quantize_options *o;
    const gr_mix *mix;
    gr_dtype hub; /* of linear layers, in a directory of the hub's files; GR_DTYPE_NONE: it becomes a GGUF file */
    bool whole;   /* then, but for o->like: a row of them has one scale */
    gr_quant_tensor *tensors; /* [n], in the store's order */
    int n, parts;
    char *dir;          /* of the parts' files */
    gr_write_lock lock; /* of dir and the file that it is for */
    gr_model *made;
    gr_safetensors **files; /* [n_files] what its weights lie in */
    size_t n_files, files_capacity;
    double done, total; /* values rounded */
    float *hidden;      /* [windows, length, C] calibration: what the next layer is given */
    int64_t windows, length, batch;
    int64_t calibrated; /* tokens that moments are of */
    gr_plan need;       /* with o->plan nothing is done, and this is what the fullest moment would take */
    size_t seen;        /* bytes of mapped weights that have been looked at until then */
    bool seen_all;      /* of the model */
    int64_t file_bytes; /* of what would be written */
} gr_quant;

/* ---- tensors.c ---------------------------------------------------------------------------------------------- */

/* Fills in the tensors and what they are to be. */
gr_status gr_quant_list(gr_quant *w);
/* Does a name fit, in which * stands for any text? */
bool gr_quant_fits(const char *pattern, const char *name);

/* ---- made.c ------------------------------------------------------------------------------------------------- */

/* The second model, w->made, with nothing in it. */
gr_status gr_quant_make(gr_quant *w);
/* Matrices that are rounded together: a file. */
typedef struct gr_quant_step {
    int part, number; /* of the file's name */
    const int *index; /* [count] in w->tensors */
    int count;
    const gr_gptq *gptq; /* of what they are given; NULL: each value is rounded by itself */
} gr_quant_step;
/* Rounds them, and the second model has them from then on. A file that an earlier call has finished is taken as it is. */
gr_status gr_quant_take(gr_quant *w, const gr_quant_step *step);
/* Has an earlier call done this step? */
gr_status gr_quant_look(const gr_quant *w, int part, int number, bool *done);
/* Which of a part's tensors change and are not there yet; index has room for w->n. */
int gr_quant_left(const gr_quant *w, int part, int *index);
/* The part's tensors that stay as they are become the second model's. */
gr_status gr_quant_keep(gr_quant *w, int part);
void gr_quant_close(gr_quant *w);
/* Tells how far it is; fails when the caller stops. */
gr_status gr_quant_tell(gr_quant *w, const char *what, double done);

/* ---- need.c: a plan ----------------------------------------------------------------------------------------- */

/* A moment when `held` bytes are taken besides those of a program that runs (NULL: none). */
void gr_quant_need(gr_quant *w, const gr_program *p, size_t held);
/* That when a step's matrices are rounded. */
void gr_quant_need_step(gr_quant *w, const gr_quant_step *step);
/* The part's tensors that stay as they are, or all of the model, are looked at. */
void gr_quant_see(gr_quant *w, int part);
void gr_quant_see_all(gr_quant *w);
/* That when the second model is saved; what it would be in files. */
gr_status gr_quant_need_saving(gr_quant *w, const gr_save_options *o, int64_t *file_bytes);

/* ---- calibrate.c -------------------------------------------------------------------------------------------- */

/* Cuts the tokens into windows. */
gr_status gr_quant_calibrate(gr_quant *w);
/* Means of squares for every matrix that activations meet, from the model as it is. */
gr_status gr_quant_moments(gr_quant *w);
/* A part of the second model by GPTQ; its inputs then become the next part's. In the order of the parts. */
gr_status gr_quant_gptq_part(gr_quant *w, int part);
/* No part is to come. */
void gr_quant_leave_hidden(gr_quant *w);

/* ---- imatrix.c: llama.cpp's files of moments ---------------------------------------------------------------- */

gr_status gr_imatrix_read(gr_quant *w, const char *path);
gr_status gr_imatrix_write(const gr_quant *w, const char *path);

#endif
