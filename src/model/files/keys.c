/* Nothing in a config.json is silently ignored. A key is one that the architecture honours, or one known to change no
 * number of a forward pass, or one that changes them whatever the architecture and must be at the value at which it does
 * not, or one of other architectures or unknown, and then a remark says so. tools/oracle/check_keys.py asks
 * transformers. */
#include "model/files/packed.h"
#include "model/layers/model.h"

#include "base/log.h"

#include <string.h>

/* About the file, training, generating text, other heads, and how to compute the same. */
static const char harmless[] =
    "architectures model_type transformers_version dtype torch_dtype use_bfloat16 auto_map use_cache "
    "return_dict return_dict_in_generate output_attentions output_hidden_states output_scores output_past "
    "torchscript tf_legacy_loss gradient_checkpointing chunk_size_feed_forward pretraining_tp "
    "attn_implementation use_flash_attn use_flash_attention initializer_factor tokenizer_class prefix "
    "finetuning_task problem_type id2label label2id num_labels classifier_dropout task_specific_params "
    "transformers.js_config unsloth_version unsloth_fixed bos_token_id eos_token_id sep_token_id cls_token_id "
    "mask_token_id decoder_start_token_id forced_bos_token_id forced_eos_token_id is_decoder "
    "tie_encoder_decoder attention_dropout hidden_dropout resid_pdrop embd_pdrop attn_pdrop residual_dropout "
    "resid_dropout embd_dropout embedding_dropout summary_type summary_use_proj summary_activation "
    "summary_first_dropout summary_proj_to_labels summary_last_dropout max_length min_length do_sample "
    "early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p "
    "repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids "
    "num_return_sequences remove_invalid_values exponential_decay_length_penalty suppress_tokens "
    "begin_suppress_tokens cache_implementation max_new_tokens model_max_length max_sequence_length "
    "router_aux_loss_coef z_loss_coefficient pad_token_id";

/* What transformers heeds in every class: of null, false, 0, "", [] and {} these change nothing. */
static const char off_when_empty[] = "quantization_config quantization";

/* The same of null, true and 1. */
static const char off_when_one[] = "is_causal";

/* Layers, positions, windows, scales and caps that only other architectures have: transformers' class of this one does not
 * read them, and neither has the model been made with them. They are said when they are more than null, false, 0, "", []
 * and {}; */
static const char foreign[] =
    "compression_config is_encoder_decoder add_cross_attention cross_attention_hidden_size pruned_heads vision_config "
    "audio_config text_config sliding_window use_sliding_window "
    "max_window_layers sliding_window_pattern layer_types attention_chunk_size no_rope_layers no_rope_layer_interval "
    "alibi "
    "use_alibi rope_interleaved rotary_dim rotary_emb_base rope_local_base_freq mrope_section use_mrope "
    "use_bidirectional_attention attn_temperature_tuning use_position_embedding use_dynamic_ntk use_logn_attn "
    "attn_logit_softcapping final_logit_softcapping attention_multiplier query_pre_attn_scalar scale_depth "
    "dim_model_base clip_qkv mup_use_scaling use_mup scale_attn_by_inverse_layer_idx num_experts "
    "num_local_experts n_routed_experts num_experts_per_tok kv_lora_rank q_lora_rank parallel_residual "
    "use_parallel_residual parallel_attn apply_residual_connection_post_layernorm attention_bias "
    "attention_out_bias mlp_bias qkv_bias use_bias use_qkv_bias lm_head_bias qk_norm use_qk_norm qk_layernorm "
    "layernorm_1p num_kv_shared_layers hidden_size_per_layer_input";

/* and these when they are more than null, true and 1. */
static const char foreign_factors[] =
    "rotary_pct logit_scale logits_scaling output_multiplier_scale embedding_multiplier embedding_scale "
    "residual_multiplier scale_emb scale_attn_weights";

/* Whether a list, its words separated by single spaces, has this one. */
static bool has_word(const char *list, const char *word)
{
    size_t n = strchr(word, ' ') ? 0 : strlen(word);
    for (const char *at = strstr(list, word); n && at; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

static bool is_neutral(gr_json v, bool one)
{
    switch (gr_json_type_of(v)) {
    case GR_JSON_NULL:
        return true;
    case GR_JSON_BOOL:
        return gr_json_as_bool(v) == one;
    case GR_JSON_INT:
    case GR_JSON_REAL:
        return gr_json_as_real(v, -1e300, 1e300) == (one ? 1 : 0);
    case GR_JSON_TEXT:
        return !one && strcmp(gr_json_as_text(v, NULL), "") == 0;
    default:
        return !one && gr_json_size(v) == 0;
    }
}

/* The usual attention in all layers is what a model has that knows no other. */
static bool is_all_full(const char *key, gr_json v)
{
    size_t n = gr_json_size(v), full = 0;
    for (size_t i = 0; strcmp(key, "layer_types") == 0 && i < n; i++)
        full += gr_json_type_of(gr_json_item(v, i)) == GR_JSON_TEXT &&
                strcmp(gr_json_as_text(gr_json_item(v, i), NULL), "full_attention") == 0;
    return n && full == n;
}

static bool is_honoured(const gr_arch *arch, const char *key)
{
    for (int i = 0; arch->keys[i]; i++)
        if (has_word(arch->keys[i], key))
            return true;
    return false;
}

/* One key that the architecture does not honour. */
static void check_key(const gr_arch *arch, const char *file, const char *key, gr_json value)
{
    char shown[64];
    bool one = has_word(off_when_one, key) || has_word(foreign_factors, key);
    bool heeded =
        has_word(off_when_one, key) || has_word(off_when_empty, key) || (arch->refuses && has_word(arch->refuses, key));
    bool known = heeded || has_word(foreign, key) || has_word(foreign_factors, key);
    gr_printable(key, strlen(key), shown, sizeof shown);
    if (!known)
        gr_remark(GR_LOG_WARN, "%s: key \"%s\" is unknown to a %s model and not looked at", file, shown,
                  arch->model_type);
    else if (strcmp(key, "quantization_config") == 0 && gr_packed_check_config(value))
        return; /* and its weights say the rest */
    else if (heeded && !is_neutral(value, one))
        gr_json_fail(
            value,
            "changes the numbers, and is not supported for model_type \"%s\"\nif the model was made without it, "
            "remove it from config.json; else the model cannot be run here",
            arch->model_type);
    else if (!is_neutral(value, one) && !is_all_full(key, value))
        gr_remark(GR_LOG_WARN,
                  "%s: key \"%s\" is of other architectures: a %s model has nothing like it, and it is not "
                  "looked at",
                  file, shown, arch->model_type);
}

void gr_model_check_keys(const gr_arch *arch, const char *file, gr_json config)
{
    for (gr_json_iter it = gr_json_first(config); it.key; gr_json_next(&it))
        /* What begins with _ is a note of transformers'. */
        if (!is_honoured(arch, it.key) && !has_word(harmless, it.key) && it.key[0] != '_')
            check_key(arch, file, it.key, it.value);
}
