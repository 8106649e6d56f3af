/* The table of classes, and which of them a directory asks for. */
#include <stdio.h>
#include "text/files/classes.h"

#define END_OF_TEXT "<|endoftext|>"

static const gr_tokenizer_class backend = {
    .name = "TokenizersBackend",
    .aliases = " PreTrainedTokenizer PreTrainedTokenizerFast Bloom BloomTokenizer ",
    .reads = GR_READS_SENTENCEPIECE,
    .way = GR_SPM_ITS_OWN,
};

static const gr_tokenizer_class classes[] = {
    {.name = "GPT2Tokenizer",
     .aliases = " ",
     .anew = true,
     .named = {[GR_NAMED_BOS] = END_OF_TEXT, [GR_NAMED_EOS] = END_OF_TEXT, [GR_NAMED_UNK] = END_OF_TEXT}},
    {.name = "Qwen2Tokenizer",
     .aliases = " ",
     .anew = true,
     .named = {[GR_NAMED_EOS] = END_OF_TEXT, [GR_NAMED_UNK] = END_OF_TEXT, [GR_NAMED_PAD] = END_OF_TEXT},
     .normalizer = "{\"type\": \"NFC\"}",
     .split = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "
              "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+",
     .names_again = true},
    {.name = "RobertaTokenizer",
     .aliases = " BartTokenizer LEDTokenizer MvpTokenizer ",
     .anew = true,
     .post = GR_POST_ROBERTA,
     .named = {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"}},
    {.name = "CodeGenTokenizer",
     .aliases = " ",
     .anew = true,
     .named = {[GR_NAMED_BOS] = END_OF_TEXT, [GR_NAMED_EOS] = END_OF_TEXT, [GR_NAMED_UNK] = END_OF_TEXT}},
    {.name = "GPTNeoXTokenizer",
     .aliases = " ",
     .anew = true,
     .post = GR_POST_SWITCHES_ALWAYS,
     .named = {END_OF_TEXT, END_OF_TEXT, END_OF_TEXT, [GR_NAMED_PAD] = "<|padding|>"},
     .normalizer = "{\"type\": \"NFC\"}"},
    {.name = "LlamaTokenizer",
     .aliases = " Phi3Tokenizer ",
     .anew = true,
     .reads = GR_READS_SENTENCEPIECE,
     .named = {"<s>", "</s>", "<unk>"},
     .way = GR_SPM_LLAMA},
    {.name = "GemmaTokenizer",
     .aliases = " ",
     .anew = true,
     .reads = GR_READS_SENTENCEPIECE,
     .named = {"<bos>", "<eos>", "<unk>", [GR_NAMED_PAD] = "<pad>", [GR_NAMED_MASK] = "<mask>"},
     .way = GR_SPM_GEMMA},
};

/* Beside a tokenizer.json it changes nothing, so it is no class of these then. */
static const gr_tokenizer_class bert = {
    .name = "BertTokenizer",
    .aliases = " DistilBertTokenizer ElectraTokenizer MobileBertTokenizer SqueezeBertTokenizer LxmertTokenizer "
               "LayoutLMTokenizer ",
    .reads = GR_READS_WORD_PIECE,
    .post = GR_POST_BERT,
    .named = {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
};

/* Which class a model_type has in transformers; those with names that are no class here are there to be refused by
 * name. `fixed`: whatever tokenizer_config.json says. */
static const struct {
    const char *class, *types;
    bool fixed;
} types[] = {
    {"GPT2Tokenizer", " gpt2 blip-2 codegen dbrx emu3 gpt_neo gptj instructblip jais2 opt phi starcoder2 ", false},
    {"Qwen2Tokenizer", " qwen2 ", true},
    {"Qwen2Tokenizer",
     " qwen3 qwen2_moe qwen3_moe qwen3_next qwen2_vl qwen2_5_vl qwen2_audio qwen2_5_omni qwen3_vl qwen3_vl_moe "
     "qwen3_omni_moe qwen3_asr internvl ovis2 ",
     false},
    {"Qwen3_5Tokenizer", " qwen3_5 qwen3_5_moe qwen3_5_moe_text ", true},
    {"Qwen3_5Tokenizer", " qwen3_5_text ", false},
    {"GPTNeoXTokenizer", " gpt_neox falcon_mamba mamba mamba2 mpt olmo olmoe rwkv xlstm ", false},
    {"RobertaTokenizer", " roberta roberta-prelayernorm bart longformer ibert mega mra ", false},
    {"GemmaTokenizer", " gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 t5gemma ",
     false},
    {"LlamaTokenizer", " idefics idefics2 ", false},
    {"CodeLlamaTokenizer", " code_llama ", false},
    {"CohereTokenizer", " cohere cohere2 aya_vision ", false},
    {"BertTokenizer", " bert distilbert electra nomic_bert ", false},
    {"T5Tokenizer", " t5 mt5 switch_transformers ", false},
    {"XLMRobertaTokenizer", " xlm-roberta ", false},
    {"TokenizersBackend",
     " mistral mistral3 mixtral ministral ministral3 pixtral voxtral olmo2 olmo3 olmo_hybrid flex_olmo phi3 phimoe "
     "phi3_v glm glm4 glm4_moe gpt_bigcode granite granitemoe granitemoehybrid granitemoeshared stablelm persimmon "
     "nemotron internlm2 internlm3 minicpm3 jamba llava llava_next molmo molmo2 smolvlm arctic ernie4_5 ernie4_5_moe "
     "minimax_m2 kimi_linear mimo_v2_flash modernbert ",
     true},
};

static bool lists(const char *names, const char *name, size_t size)
{
    char key[80];
    if (!size || size + 3 > sizeof key || memchr(name, ' ', size))
        return false;
    snprintf(key, sizeof key, " %.*s ", (int)size, name);
    return strstr(names, key) != NULL;
}

/* Without "Fast" at the end. */
static size_t size_of_name(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, "Fast") == 0 ? n - 4 : n;
}

/* Classes that transformers has and that make something else of files than any of ours: a name that neither it knows is
 * TokenizersBackend to it. */
static bool is_foreign(const char *name, size_t size)
{
    static const char known[] =
        " CodeLlamaTokenizer CohereTokenizer Qwen3_5Tokenizer T5Tokenizer "
        "AlbertTokenizer "
        "BarthezTokenizer BigBirdTokenizer BlenderbotTokenizer CamembertTokenizer CLIPTokenizer DebertaTokenizer "
        "DebertaV2Tokenizer FNetTokenizer FunnelTokenizer GPTSw3Tokenizer HerbertTokenizer "
        "LayoutLMv2Tokenizer LayoutLMv3Tokenizer LayoutXLMTokenizer LukeTokenizer M2M100Tokenizer MarianTokenizer "
        "MBartTokenizer MBart50Tokenizer MPNetTokenizer NllbTokenizer NougatTokenizer OpenAIGPTTokenizer "
        "PegasusTokenizer ReformerTokenizer RemBertTokenizer SeamlessM4TTokenizer SiglipTokenizer SplinterTokenizer "
        "UdopTokenizer WhisperTokenizer XGLMTokenizer XLMRobertaTokenizer XLNetTokenizer CTRLTokenizer "
        "BertweetTokenizer BioGptTokenizer ByT5Tokenizer CpmTokenizer GPTNeoXJapaneseTokenizer MistralCommonBackend ";
    return lists(known, name, size);
}

static bool is_called(const gr_tokenizer_class *c, const char *name, size_t size)
{
    return (strlen(c->name) == size && memcmp(c->name, name, size) == 0) || lists(c->aliases, name, size);
}

static const gr_tokenizer_class *class_called(const char *name, bool has_json)
{
    size_t size = size_of_name(name);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (is_called(&classes[i], name, size))
            return &classes[i];
    if (!has_json && is_called(&bert, name, size))
        return &bert;
    if (has_json || !is_foreign(name, size))
        return &backend;
    char shown[80];
    gr_fail(GR_ERR_UNSUPPORTED,
            "the tokenizer's class %s is not supported without its tokenizer.json\nlet transformers make one: "
            "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
            gr_printable(name, strlen(name), shown, sizeof shown));
    return NULL;
}

bool gr_class_is_mistral(const gr_beside *b)
{
    static const char names[] =
        " mistral mistral3 mistral_large4 mixtral ministral ministral3 pixtral voxtral voxtral_realtime ";
    return !b->any || (b->model_type && lists(names, b->model_type, strlen(b->model_type)));
}

const gr_tokenizer_class *gr_class_bert(void)
{
    return &bert;
}

const gr_tokenizer_class *gr_tokenizer_class_of(const gr_beside *b, bool has_json)
{
    const char *told = b->tokenizer_class && *b->tokenizer_class ? b->tokenizer_class : b->model_class;
    if (!b->any)
        return has_json ? &backend : &classes[0]; /* vocab.json and merges.txt alone are GPT-2's */
    for (size_t i = 0; b->model_type && i < sizeof types / sizeof *types; i++)
        if (lists(types[i].types, b->model_type, strlen(b->model_type)))
            return class_called(told && *told && !types[i].fixed ? told : types[i].class, has_json);
    return told && *told ? class_called(told, has_json) : &backend;
}
