/* The types of tensors in GGUF files, by their numbers: what there is, and how large it is. */
#include "format/ggml_types.h"

#include <string.h>

#include "base/dtype.h"
#include "format/safetensors.h"

/* Numbers, names and sizes are those of ggml.h. */
static const gr_ggml_type types[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {4, "Q4_2", 0, 0},        {5, "Q4_3", 0, 0},        {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},      {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},
    {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},   {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},
    {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136},
    {24, "I8", 1, 1},         {25, "I16", 1, 2},        {26, "I32", 1, 4},        {27, "I64", 1, 8},
    {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {31, "Q4_0_4_4", 0, 0},
    {32, "Q4_0_4_8", 0, 0},   {33, "Q4_0_8_8", 0, 0},   {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},
    {36, "IQ4_NL_4_4", 0, 0}, {37, "IQ4_NL_4_8", 0, 0}, {38, "IQ4_NL_8_8", 0, 0}, {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},
};

const gr_ggml_type *gr_ggml_type_find(uint32_t number)
{
    return number < sizeof types / sizeof *types ? &types[number] : NULL;
}

/* A dtype of the same bytes is called the same, in small letters. */
bool gr_ggml_type_dtype(const gr_ggml_type *t, gr_dtype *dtype, const gr_stored_dtype **stored)
{
    char name[16] = "";
    for (size_t i = 0; t->name[i] && i + 1 < sizeof name; i++)
        name[i] = t->name[i] >= 'A' && t->name[i] <= 'Z' ? (char)(t->name[i] | 0x20) : t->name[i];
    *stored = NULL;
    if (t->block && gr_dtype_from_name(name, dtype))
        return true;
    *dtype = GR_U8;
    *stored = gr_stored_dtype_find(t->name);
    return *stored != NULL;
}

const gr_ggml_type *gr_ggml_type_of(gr_dtype dtype)
{
    const gr_stored_dtype *stored;
    gr_dtype is;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (gr_ggml_type_dtype(&types[i], &is, &stored) && !stored && is == dtype)
            return &types[i];
    return NULL;
}
