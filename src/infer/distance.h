/* How far a model's predictions are from another's: measured row by row, then told in a few numbers. */
#ifndef GR_INFER_DISTANCE_H
#define GR_INFER_DISTANCE_H

#include "gradus.h"

/* What is measured of a row, f32 [rows] each. Where the target is ignored both losses are 0, and the rest means nothing. */
enum { GR_ROW_IGNORED = -100 /* a target that is none */ };
enum { GR_ROW_LOSS, GR_ROW_AGAINST, GR_ROW_KL, GR_ROW_SAME, GR_ROW_MEASURES };
/* For the targets [B, T] of f's tokens; logits are made for some rows at a time, so that all are never in memory. NULL where
 * something fails. */
void gr_distance_rows(gr_model *model, gr_model *against, const gr_forward *f, gr_tensor *targets,
                      gr_tensor *out[GR_ROW_MEASURES]);

/* Sums over tokens; zeroed before the first one. */
typedef struct gr_distance_sums {
    double sum[GR_ROW_MEASURES], squares[GR_ROW_MEASURES];
    float *kl; /* [n], with room for `capacity` */
    size_t n, capacity;
} gr_distance_sums;
gr_status gr_distance_add(gr_distance_sums *s, const float row[GR_ROW_MEASURES]);
/* Sorts s->kl. */
void gr_distance_tell(gr_distance_sums *s, gr_distance *out);

#endif
