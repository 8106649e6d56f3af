/* Sentence embeddings in a host program: a model's hidden states, averaged over the tokens of each text, unit length.
 *   embedding [MODEL]      MODEL: a directory with config.json, model.safetensors and tokenizer.json; without one, a
 *                          small untrained model of bytes */
#include <gradus.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TEXTS = 4, T = 32 };

static const char *const texts[TEXTS] = {"a cat sat on the mat", "a cat sat on a mat", "stocks fell sharply",
                                         "a cat sat on the mat"};

static gr_model *small_model(gr_device *device)
{
    gr_model_info sizes = {
        .size = sizeof sizes, .arch = "llama", .layers = 2, .embed = 64, .heads = 4, .vocab = 257, .context = T};
    char *config = gr_model_config_json(&sizes);
    gr_model *model = config ? gr_model_new("config.json", config, strlen(config), device) : NULL;
    gr_free(config);
    return model && gr_model_init(model, 7) == GR_OK ? model : NULL;
}

/* Inputs: tokens, and per token 1 / (the text's length), 0 for padding. Padding comes last, and attention looks back
 * only, so no token of a text sees it. */
static gr_program *compile(gr_model *model)
{
    gr_graph *g = gr_graph_new();
    const int64_t of_tokens[] = {TEXTS, T}, of_share[] = {TEXTS, T, 1};
    gr_forward forward = GR_INIT(gr_forward);
    forward.tokens = gr_input(g, "tokens", GR_I32, 2, of_tokens);
    forward.hidden = true;
    gr_tensor *share = gr_input(g, "share", GR_F32, 3, of_share);
    gr_tensor *mean = gr_sum(gr_mul(gr_model_forward(model, &forward), share), 1u << 1, false);
    gr_tensor *unit = gr_mul(mean, gr_rsqrt(gr_sum(gr_mul(mean, mean), 1u << 1, true)));
    gr_tensor *similarity =
        gr_name(gr_matmul(unit, unit, false, true), "similar"); /* a program that wants the vectors outputs `unit` */
    gr_program *p = gr_compile(g, &similarity, 1, gr_model_describe(model)->device, NULL);
    gr_graph_free(g);
    return p;
}

static gr_status fill(gr_tokenizer *tokenizer, gr_token (*tokens)[T], float (*share)[T])
{
    gr_status s = GR_OK;
    for (int b = 0; s == GR_OK && b < TEXTS; b++) {
        const gr_token *ids;
        size_t n;
        s = gr_tokenizer_encode(tokenizer, texts[b], strlen(texts[b]), GR_ADD_SPECIAL, &ids, &n);
        n = s == GR_OK ? (n < T ? n : T) : 0;
        for (size_t t = 0; t < n; t++) {
            tokens[b][t] = ids[t];
            share[b][t] = 1 / (float)n;
        }
    }
    return s;
}

int main(int argc, char **argv)
{
    gr_token tokens[TEXTS][T] = {{0}};
    float share[TEXTS][T] = {{0}}, similar[TEXTS][TEXTS] = {{0}};
    const gr_given in[] = {{"tokens", GR_I32, tokens, sizeof tokens}, {"share", GR_F32, share, sizeof share}};
    const gr_wanted out = {"similar", GR_F32, similar, sizeof similar};
    gr_device *device = gr_device_open("cpu", 0);
    gr_model *model = argc > 1 ? gr_model_load(argv[1], NULL, device) : small_model(device);
    gr_tokenizer_training bytes = GR_INIT(gr_tokenizer_training);
    bytes.recipe = GR_TOKENIZER_BYTES;
    gr_tokenizer *tokenizer = argc > 1 ? gr_tokenizer_load(argv[1]) : gr_tokenizer_train(&bytes);
    gr_program *program = model ? compile(model) : NULL;
    gr_status s = program && tokenizer ? fill(tokenizer, tokens, share) : gr_error_status();
    if (s == GR_OK)
        s = gr_run(program, in, 2, &out, 1);
    if (s != GR_OK)
        fprintf(stderr, "%s\n", gr_error());
    for (int b = 0; b < TEXTS; b++)
        printf("%.4f  \"%s\"\n", (double)similar[0][b], texts[b]);
    gr_program_free(program);
    gr_model_free(model);
    gr_tokenizer_free(tokenizer);
    gr_device_close(device);
    /* The same text is the same vector; a near one is nearer than a far one. */
    bool same = fabsf(similar[0][0] - 1) < 1e-5f && fabsf(similar[0][3] - 1) < 1e-5f;
    return s == GR_OK && same && similar[0][1] > similar[0][2] ? 0 : 1;
}
