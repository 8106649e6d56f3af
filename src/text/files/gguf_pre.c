/* What cuts texts before byte-level BPE, by the names that GGUF files have for it (tokenizer.ggml.pre). Patterns are those of
 * the models' own tokenizer.json; each cuts what the one before has left. */
#include "text/files/gguf.h"

#include <string.h>

#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define LINES "\\s*[\\r\\n]+"
#define SPACES "\\s+(?!\\S)|\\s+"
#define REST " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES "|" SPACES
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE "[^\\r\\n\\p{L}\\p{N}]?"
#define CASED(end) BEFORE UPPER "*" LOWER "+" end "|" BEFORE UPPER "+" LOWER "*" end
#define REST_OR_SLASH " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" LINES "|" SPACES
#define ASCII_MARKS "!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~"

static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|" SPACES;
static const char digit[] = "\\p{N}";
static const char three[] = "\\p{N}{1,3}";
static const char llama3[] = ENDINGS "|" WORD "|\\p{N}{1,3}|" REST;
static const char qwen2[] = ENDINGS "|" WORD "|\\p{N}|" REST;
static const char qwen35[] =
    ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" LINES "|" SPACES;
static const char any_digits[] = ENDINGS "|" WORD "|\\p{N}+|" REST;
static const char no_endings[] = WORD "|\\p{N}|" REST;
static const char gpt4o[] = CASED(ENDINGS "?") "|\\p{N}{1,3}|" REST_OR_SLASH;
static const char gpt4o_digit[] = CASED(ENDINGS "?") "|\\p{N}|" REST_OR_SLASH;
static const char tekken[] = CASED("") "|\\p{N}|" REST_OR_SLASH;
static const char seed[] = ENDINGS "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" LINES "|" SPACES;
static const char exaone_moe[] = ENDINGS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
                                         "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|" SPACES;
static const char jais2[] = ENDINGS
    "|" WORD "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" LINES
    "|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)|"
    "\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}";
static const char bloom[] = " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{964}\\x{6D4}\\x{60C})]+";
static const char line[] = "[^\\n]+|[\\n]+";
static const char breaks[] = "[\\r\\n]";
static const char deepseek_han[] = "[\\x{4E00}-\\x{9FA5}\\x{800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+";
static const char deepseek_letters[] =
    "\\s?[A-Za-z\\x{B5}\\x{C0}-\\x{D6}\\x{D8}-\\x{F6}\\x{F8}-\\x{1BA}\\x{1BC}-\\x{1BF}\\x{1C4}-"
    "\\x{293}\\x{295}-\\x{2AF}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37B}-\\x{37D}\\x{37F}"
    "\\x{386}\\x{388}-\\x{38A}\\x{38C}\\x{38E}-\\x{3A1}\\x{3A3}-\\x{3F5}\\x{3F7}-\\x{481}"
    "\\x{48A}-\\x{52F}\\x{531}-\\x{556}\\x{10A0}-\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-"
    "\\x{13FD}\\x{1C90}-\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-\\x{1D77}"
    "\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-"
    "\\x{1F4D}\\x{1F50}-\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}\\x{1F80}-"
    "\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-"
    "\\x{1FD3}\\x{1FD6}-\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-\\x{1FFC}"
    "\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}\\x{2119}-\\x{211D}\\x{2124}\\x{2126}"
    "\\x{2128}\\x{212A}-\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}\\x{2145}-"
    "\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-"
    "\\x{2CEE}\\x{2CF2}\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-\\x{A76F}"
    "\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-"
    "\\x{FB17}\\x{FF21}-\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-"
    "\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-\\x{10CF2}\\x{118A0}-"
    "\\x{118DF}\\x{1E900}-\\x{1E943}]+";
static const char deepseek_marks[] =
    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-\\x{201F}\\x{3000}-\\x{3002}]+";
static const char han_kana[] = "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+";
static const char deepseek3[] = "[" ASCII_MARKS "][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
                                "?[\\p{P}\\p{S}]+[\\r\\n]*|" LINES "|" SPACES;
static const char spark[] = "[" ASCII_MARKS "][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
                            "?[\\p{P}\\p{S}]+|[\\r\\n]|" SPACES;
static const char groups_of_three[] = "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))";
static const char aya_digits[] = "\\d{1,3}(?=(?:\\d{3})*\\b)";
static const char afmoe_scripts[] =
    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{8C48}-\\x{FAFF}\\x{3040}-\\x{309F}\\x{30A0}-"
    "\\x{30FF}\\x{FF65}-\\x{FF9F}\\x{2F00}-\\x{2FDF}\\x{E40}-\\x{E7F}\\x{E80}-\\x{EFF}"
    "\\x{1780}-\\x{17FF}\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}\\x{A9E0}-\\x{A9FF}\\x{AC00}-"
    "\\x{D7AF}\\x{1100}-\\x{11FF}]+";
static const char youtu_scripts[] = "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}\\x{201C}\\x{201D}"
                                    "\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}"
                                    "\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-\\x{312F}]+|[\\x{"
                                    "4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+";
static const char kimi[] =
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})" UPPER ")*(?:(?!\\p{Han})" LOWER ")+" ENDINGS
    "?|[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})" UPPER ")+(?:(?!\\p{Han})" LOWER ")*" ENDINGS "?|\\p{N}{1,3}|" REST;

/* Of names that cut alike, the first is what a model of it is called. */
static const gr_gguf_pre all[] = {
    {"gpt-2 mpt phi-2 olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert jina-es jina-de "
     "jina-v2-es jina-v2-de jina-v1-en jina-v2-code roberta-bpe",
     .steps = {gpt2}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", .steps = {llama3}, .whole = true,
     .bos = true},
    {"qwen2 stablelm2 deepseek-r1-qwen kormo f2llmv2 megrez hunyuan solar-open grok-2 "
     "bailingmoe bailingmoe2 llada-moe",
     .steps = {qwen2}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2", .steps = {digit, gpt2}},
    {"dbrx smaug-bpe glm4 chatglm-bpe", .steps = {llama3}},
    {"tekken", .steps = {tekken}, .whole = true, .bos = true},
    {"gpt-4o llama4 kanana2 talkie minimax-m2", .steps = {gpt4o}},
    {"granite-embed-multi-97m", .steps = {gpt4o}, .whole = true},
    {"default", .steps = {"[\\p{P}$+<=>^~|]+", gpt2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"falcon", .steps = {"[\\p{P}$+<=>^~|`]+", gpt2, "[0-9][0-9][0-9]"}},
    {"qwen35", .steps = {qwen35}},
    {"deepseek-llm", .steps = {breaks, deepseek_letters, deepseek_marks, "\\s+$", deepseek_han, "\\p{N}+"}},
    {"deepseek-coder", .steps = {breaks, "\\s?\\p{L}+", "\\s?\\p{P}+", deepseek_han, digit}},
    {"deepseek-v3 hunyuan-dense hy_v4 joyai-llm", .steps = {three, han_kana, deepseek3}},
    {"spark2_5", .steps = {three, han_kana, spark, digit}},
    {"minicpm5", .steps = {three, any_digits}, .whole = true},
    {"youtu", .steps = {youtu_scripts, gpt4o_digit}, .whole = true},
    {"jais-2", .steps = {jais2}},
    {"gemma4", .steps = {line}, .plain = true, .bos = true},
    {"granite-embed-multi-311m sarvam-moe", .steps = {line}, .plain = true},
    {"bloom poro-chat gpt3-finnish", .steps = {bloom}},
    {"viking", .steps = {bloom, digit}},
    {"exaone-moe", .steps = {exaone_moe}},
    {"chameleon",
     .steps = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )", digit,
               "[\\p{P}!-/:-@\\[-`{-~]", gpt2},
     .bos = true},
    {"tiny_aya cohere2moe", .steps = {aya_digits, gpt4o}},
    {"superbpe", .steps = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {"seed-coder", .steps = {seed}},
    {"kimi-k2", .steps = {kimi}},
    {"ufakzeka", .steps = {no_endings}},
    {"afmoe", .steps = {groups_of_three, afmoe_scripts, deepseek3}},
    {"laguna", .steps = {line, qwen2}},
};

const gr_gguf_pre *gr_gguf_pre_at(int i)
{
    return i >= 0 && i < (int)(sizeof all / sizeof *all) ? &all[i] : NULL;
}

const gr_gguf_pre *gr_gguf_pre_find(const char *name, size_t size)
{
    if (!size || memchr(name, ' ', size))
        return NULL;
    for (int i = 0; gr_gguf_pre_at(i); i++)
        for (const char *at = all[i].names; *at; at += *at == ' ') {
            size_t n = strcspn(at, " ");
            if (n == size && memcmp(at, name, n) == 0)
                return &all[i];
            at += n;
        }
    return NULL;
}
