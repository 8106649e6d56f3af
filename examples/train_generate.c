/* Trains a small GPT on a few lines of text and lets it go on from a prompt: what a program that embeds the library
 * needs, from characters to characters. */
#include <gradus.h>

#include <stdio.h>
#include <string.h>

enum { BATCH = 8, CONTEXT = 32, STEPS = 200 };

static const char text[] =
    "A graph is built once, its gradients are appended, a plan gives it memory, and then it runs. ";

static gr_model *new_model(gr_device *device, const gr_tokenizer *tokenizer)
{
    gr_model_info sizes = {
        .size = sizeof sizes, .arch = "gpt2", .layers = 2, .embed = 64, .heads = 4, .context = CONTEXT};
    sizes.vocab = gr_tokenizer_describe(tokenizer)->vocab_size;
    sizes.tied = true;
    sizes.eos = sizes.bos = -1;
    char *config = gr_model_config_json(&sizes);
    gr_model *model = config ? gr_model_new("config.json", config, strlen(config), device) : NULL;
    gr_free(config);
    return model && gr_model_init(model, 1) == GR_OK ? model : NULL;
}

/* Row r of step s reads CONTEXT tokens from (s · BATCH + r) · 13 on, round and round. */
static gr_status train(gr_model *model, const gr_token *ids, size_t n)
{
    gr_train_options options = gr_train_defaults();
    options.batch = BATCH;
    options.context = CONTEXT;
    options.steps = STEPS;
    options.warmup = 10;
    options.lr = 3e-3;
    gr_trainer *trainer = gr_trainer_new(model, &options);
    gr_status s = trainer ? GR_OK : gr_error_status();
    gr_token tokens[BATCH * CONTEXT], targets[BATCH * CONTEXT];
    const gr_batch batch = {tokens, targets, NULL};
    gr_step_report report = GR_INIT(gr_step_report);
    for (size_t step = 0; s == GR_OK && step < STEPS; step++) {
        for (size_t i = 0; i < BATCH * CONTEXT; i++) {
            size_t at = (step * BATCH + i / CONTEXT) * 13 + i % CONTEXT;
            tokens[i] = ids[at % n];
            targets[i] = ids[(at + 1) % n];
        }
        s = gr_trainer_step(trainer, &batch, &report);
        if (step % 50 == 0 || step + 1 == STEPS)
            printf("step %3d  loss %.4f\n", (int)report.step, report.loss);
    }
    gr_trainer_free(trainer);
    return s;
}

/* ids[n] gets what follows ids[0..n), up to CONTEXT tokens: first all of the prompt is read, then each new token. */
static gr_status generate(gr_model *model, gr_token *ids, int64_t n)
{
    float logits[128]; /* more than the characters of the text */
    gr_generator *generator = gr_generator_new(model, 1, CONTEXT);
    const int64_t prompt = n;
    gr_status s = generator ? GR_OK : gr_error_status();
    for (int64_t read = 0; s == GR_OK && n < CONTEXT; read = n++) {
        const gr_token *next = ids + read;
        const int64_t count = n - read;
        s = gr_generator_feed(generator, &next, &count, logits);
        if (s == GR_OK)
            ids[n] = gr_sample_token(NULL, logits, gr_model_describe(model)->vocab, ids, n, prompt);
    }
    gr_generator_free(generator);
    return s;
}

int main(void)
{
    const gr_token *ids;
    size_t n, prompt = 10; /* characters of it */
    gr_token said[CONTEXT] = {0};
    gr_device *device = gr_device_open("cpu", 0);
    const gr_span whole = {text, strlen(text)};
    gr_tokenizer_training how = GR_INIT(gr_tokenizer_training);
    how.recipe = GR_TOKENIZER_CHARACTERS;
    how.texts = &whole;
    how.n_texts = 1;
    gr_tokenizer *tokenizer = gr_tokenizer_train(&how);
    gr_model *model = tokenizer ? new_model(device, tokenizer) : NULL;
    gr_status s = model ? gr_tokenizer_encode(tokenizer, text, strlen(text), 0, &ids, &n) : gr_error_status();
    if (s == GR_OK)
        s = train(model, ids, n);
    for (size_t i = 0; s == GR_OK && i < prompt; i++)
        said[i] = ids[i];
    if (s == GR_OK)
        s = generate(model, said, (int64_t)prompt);
    size_t right = 0;
    for (size_t i = 0; s == GR_OK && i < CONTEXT; i++) {
        const char *character = gr_tokenizer_token(tokenizer, said[i], &n, NULL);
        printf("%s%.*s", i == prompt ? "|" : "", (int)n, character);
        right += *character == text[i];
    }
    puts(s == GR_OK ? "" : gr_error());
    gr_model_free(model);
    gr_tokenizer_free(tokenizer);
    gr_device_close(device);
    return right == CONTEXT ? 0 : 1;
}
