/* llama.cpp's mixtures by name: what a matrix does to the logits when it is rounded differs much from kind to kind, so values
 * and the way down get more bits, in layers where it counts. The rules are those of its src/llama-quant.cpp, as a table: of
 * a mixture's rules the first that is about the matrix decides, and without one it is of the main dtype. */
#include "quant/mix.h"

#include <stdio.h>
#include <string.h>

#include "base/dtype.h"
#include "base/error.h"

/* ---- kinds of matrices, and of layers ----------------------------------------------------------------------- */

typedef enum part { PART_OTHER, PART_VALUES, PART_DOWN, PART_OUT, PART_EMBEDDING } part;

static part part_of(const gr_mix_matrix *m)
{
    static const struct {
        const char *in;
        part is;
    } names[] = {{"attn_v.", PART_VALUES},
                 {"attn_qkv.", PART_VALUES},
                 {"ffn_down.", PART_DOWN},
                 {"attn_output.", PART_OUT},
                 {"token_embd.", PART_EMBEDDING}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(m->gguf, names[i].in))
            return names[i].is;
    return PART_OTHER;
}

typedef enum layers {
    ALL,
    FIRST_TWO,
    FIRST_FOUR,
    FIRST_16TH,
    FIRST_8TH,
    MORE_BITS,    /* the first and the last eighth, and every third between them */
    SHARED,       /* four heads and more share each key and value */
    UNCALIBRATED, /* the first eighth, where activations are not known */
    CALIBRATED,   /* and where they are */
} layers;

static bool is_in(const gr_mix_matrix *m, layers which)
{
    int i = m->layer, n = m->layers;
    switch (which) {
    case ALL:
        return true;
    case FIRST_TWO:
        return i < 2;
    case FIRST_FOUR:
        return i < 4;
    case FIRST_16TH:
        return i < n / 16;
    case FIRST_8TH:
        return i < n / 8;
    case MORE_BITS:
        return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case SHARED:
        return m->heads / m->kv_heads >= 4;
    case UNCALIBRATED:
        return i < n / 8 && !m->calibrated;
    default:
        return i < n / 8 && m->calibrated;
    }
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

enum { RULES = 6 };
struct gr_mix {
    const char *name;
    gr_dtype main;
    uint32_t file; /* general.file_type */
    struct {
        part part; /* PART_OTHER ends the list: no rule is about those */
        layers layers;
        gr_dtype becomes;
    } rules[RULES];
};

/* clang-format off */
static const gr_mix mixes[] = {
    {"q8_0", GR_Q8_0, 7, {{0}}},
    {"q4_0", GR_Q4_0, 2, {{PART_DOWN, CALIBRATED, GR_Q4_1}}},
    {"q4_1", GR_Q4_1, 3, {{0}}},
    {"q5_0", GR_Q5_0, 8, {{PART_DOWN, CALIBRATED, GR_Q5_1}}},
    {"q5_1", GR_Q5_1, 9, {{0}}},
    {"q2_k", GR_Q2_K, 10, {{PART_VALUES, SHARED, GR_Q4_K}, {PART_VALUES, ALL, GR_Q3_K}, {PART_DOWN, ALL, GR_Q3_K},
                           {PART_OUT, ALL, GR_Q3_K}}},
    {"q2_k_s", GR_Q2_K, 21, {{PART_VALUES, SHARED, GR_Q4_K}, {PART_DOWN, FIRST_8TH, GR_Q4_K}}},
    {"q3_k_s", GR_Q3_K, 11, {{0}}},
    {"q3_k_m", GR_Q3_K, 12, {{PART_VALUES, FIRST_TWO, GR_Q5_K}, {PART_VALUES, ALL, GR_Q4_K},
                             {PART_DOWN, FIRST_16TH, GR_Q5_K}, {PART_DOWN, ALL, GR_Q4_K}, {PART_OUT, ALL, GR_Q4_K}}},
    {"q3_k_l", GR_Q3_K, 13, {{PART_VALUES, ALL, GR_Q5_K}, {PART_DOWN, ALL, GR_Q5_K}, {PART_OUT, ALL, GR_Q5_K}}},
    {"q4_k_s", GR_Q4_K, 14, {{PART_VALUES, FIRST_FOUR, GR_Q5_K}, {PART_DOWN, FIRST_8TH, GR_Q5_K}}},
    {"q4_k_m", GR_Q4_K, 15, {{PART_VALUES, MORE_BITS, GR_Q6_K}, {PART_DOWN, MORE_BITS, GR_Q6_K}}},
    {"q5_k_s", GR_Q5_K, 16, {{0}}},
    {"q5_k_m", GR_Q5_K, 17, {{PART_VALUES, MORE_BITS, GR_Q6_K}, {PART_DOWN, MORE_BITS, GR_Q6_K}}},
    {"q6_k", GR_Q6_K, 18, {{0}}},
    {"iq4_nl", GR_IQ4_NL, 25, {{PART_VALUES, SHARED, GR_Q5_K}, {PART_DOWN, UNCALIBRATED, GR_Q5_K}}},
    {"iq4_xs", GR_IQ4_XS, 30, {{PART_VALUES, SHARED, GR_Q5_K}, {PART_DOWN, UNCALIBRATED, GR_Q5_K}}},
    {"tq1_0", GR_TQ1_0, 36, {{PART_EMBEDDING, ALL, GR_Q4_K}}},
    {"tq2_0", GR_TQ2_0, 37, {{PART_EMBEDDING, ALL, GR_Q4_K}}},
    {"int4", GR_INT4_128, 0, {{0}}}, /* of the hub: linear layers alone */
    {"int8", GR_INT8, 0, {{0}}},
};
/* clang-format on */
/* What llama.cpp's tool calls some of them, too. */
static const char *const other_names[][2] = {{"q3_k", "q3_k_m"}, {"q4_k", "q4_k_m"}, {"q5_k", "q5_k_m"}};
enum {
    MIXES = sizeof mixes / sizeof *mixes,
    OTHER_NAMES = sizeof other_names / sizeof *other_names,
    LAYERS_OF_70B = 80
};

const char *gr_mix_name(int i)
{
    return i < 0 || i >= MIXES + OTHER_NAMES ? NULL : i < MIXES ? mixes[i].name : other_names[i - MIXES][0];
}

const gr_mix *gr_mix_find(const char *name)
{
    char names[400] = "";
    for (int i = 0; i < OTHER_NAMES; i++)
        if (strcmp(other_names[i][0], name) == 0)
            name = other_names[i][1];
    for (int i = 0; i < MIXES; i++) {
        if (strcmp(mixes[i].name, name) == 0)
            return &mixes[i];
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? ", " : "", mixes[i].name);
    }
    gr_fail(GR_ERR_ARGUMENT, "there is no type \"%s\"\nthere are %s", name, names);
    return NULL;
}

gr_dtype gr_mix_main(const gr_mix *mix)
{
    return mix->main;
}

uint32_t gr_mix_file_type(const gr_mix *mix, bool pure)
{
    return pure ? gr_dtype_get(mix->main)->ggml_file : mix->file;
}

/* ---- asking it ---------------------------------------------------------------------------------------------- */

/* Logits are made of it, so that every bit shows. */
static gr_dtype of_head(const gr_mix *mix, int64_t width)
{
    if (mix->main == GR_Q8_0 || width % gr_dtype_get(mix->main)->block)
        return GR_Q8_0;
    return GR_Q6_K;
}

gr_dtype gr_mix_dtype(const gr_mix *mix, const gr_mix_matrix *m, bool pure)
{
    gr_dtype d = mix->main;
    part p = part_of(m);
    if (pure)
        return d;
    if (m->is_head)
        return of_head(mix, m->width);
    for (int i = 0; i < RULES && mix->rules[i].part != PART_OTHER; i++)
        if (mix->rules[i].part == p && is_in(m, mix->rules[i].layers)) {
            d = mix->rules[i].becomes;
            break;
        }
    /* In a model of 70B eight heads share these values: they are few, and many depend on them. */
    bool shared = p == PART_VALUES && m->layers == LAYERS_OF_70B && m->kv_heads < m->heads;
    return shared && (d == GR_Q3_K || d == GR_Q4_K) ? GR_Q5_K : d;
}

gr_dtype gr_mix_fit(gr_dtype dtype, int64_t width)
{
    static const struct {
        gr_dtype is, becomes;
    } smaller[] = {{GR_Q2_K, GR_Q4_0}, {GR_Q3_K, GR_Q4_0}, {GR_TQ1_0, GR_Q4_0}, {GR_TQ2_0, GR_Q4_0},
                   {GR_Q4_K, GR_Q5_0}, {GR_Q5_K, GR_Q5_1}, {GR_Q6_K, GR_Q8_0},  {GR_IQ4_XS, GR_IQ4_NL}};
    if (width % gr_dtype_get(dtype)->block == 0)
        return dtype;
    for (size_t i = 0; i < sizeof smaller / sizeof *smaller; i++)
        if (smaller[i].is == dtype && width % gr_dtype_get(smaller[i].becomes)->block == 0)
            return smaller[i].becomes;
    return GR_F16;
}
