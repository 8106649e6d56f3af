/* The forms of four families. What the assistant says, and the token that ends it, stands in generation blocks, so that what
 * is learned of a conversation need not be guessed. */
#include "text/template/known.h"

#include <string.h>

/* clang-format off */
/* Of message m: what would be left out in silence. */
#define NO_TOOL_CALLS \
    "{%- if m.tool_calls -%}{{- raise_exception('this template writes no tool calls') -}}{%- endif -%}\n"

static const gr_known_template known[] = {
    {"chatml",
     "{%- for m in messages -%}\n"
     "{%- if m.role not in ['system', 'user', 'assistant', 'tool'] -%}\n"
     "{{- raise_exception('the role \"' ~ m.role ~ '\" is none of system, user, assistant, tool') -}}\n"
     "{%- endif -%}\n"
     NO_TOOL_CALLS
     "{{- '<|im_start|>' + m.role + '\\n' -}}\n"
     "{%- if m.role == 'assistant' -%}\n"
     "{%- generation -%}{{- m.content + '<|im_end|>' -}}{%- endgeneration -%}\n"
     "{{- '\\n' -}}\n"
     "{%- else -%}\n"
     "{{- m.content + '<|im_end|>\\n' -}}\n"
     "{%- endif -%}\n"
     "{%- endfor -%}\n"
     "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}\n",
     {"<|im_start|>", "<|im_end|>"}},
    {"llama3",
     "{{- bos_token -}}\n"
     "{%- for m in messages -%}\n"
     "{%- if m.role not in ['system', 'user', 'assistant', 'tool', 'ipython'] -%}\n"
     "{{- raise_exception('the role \"' ~ m.role ~ '\" is none of system, user, assistant, tool, ipython') -}}\n"
     "{%- endif -%}\n"
     NO_TOOL_CALLS
     "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' -}}\n"
     "{%- if m.role == 'assistant' -%}\n"
     "{%- generation -%}{{- m.content | trim + '<|eot_id|>' -}}{%- endgeneration -%}\n"
     "{%- else -%}\n"
     "{{- m.content | trim + '<|eot_id|>' -}}\n"
     "{%- endif -%}\n"
     "{%- endfor -%}\n"
     "{%- if add_generation_prompt -%}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}{%- endif -%}\n",
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}},
    {"mistral",
     "{{- bos_token -}}\n"
     "{%- set said = namespace(system='') -%}\n"
     "{%- for m in messages -%}\n"
     NO_TOOL_CALLS
     "{%- if m.role == 'system' and loop.first -%}\n"
     "{%- set said.system = m.content + '\\n\\n' -%}\n"
     "{%- elif m.role == 'user' -%}\n"
     "{{- '[INST] ' + said.system + m.content + '[/INST]' -}}\n"
     "{%- set said.system = '' -%}\n"
     "{%- elif m.role == 'assistant' -%}\n"
     "{%- if said.system -%}{{- raise_exception('behind system comes user, not assistant') -}}{%- endif -%}\n"
     "{%- generation -%}{{- ' ' + m.content | trim + '</s>' -}}{%- endgeneration -%}\n"
     "{%- else -%}\n"
     "{{- raise_exception('messages are of user and assistant, behind one of system: not of \"' ~ m.role ~ '\"') -}}\n"
     "{%- endif -%}\n"
     "{%- endfor -%}\n",
     {"</s>"}},
    {"gemma",
     "{{- bos_token -}}\n"
     "{%- set said = namespace(system='') -%}\n"
     "{%- for m in messages -%}\n"
     NO_TOOL_CALLS
     "{%- if m.role == 'system' and loop.first -%}\n"
     "{%- set said.system = m.content | trim + '\\n\\n' -%}\n"
     "{%- elif m.role == 'user' -%}\n"
     "{{- '<start_of_turn>user\\n' + said.system + m.content | trim + '<end_of_turn>\\n' -}}\n"
     "{%- set said.system = '' -%}\n"
     "{%- elif m.role == 'assistant' -%}\n"
     "{%- if said.system -%}{{- raise_exception('behind system comes user, not assistant') -}}{%- endif -%}\n"
     "{{- '<start_of_turn>model\\n' -}}\n"
     "{%- generation -%}{{- m.content | trim + '<end_of_turn>' -}}{%- endgeneration -%}\n"
     "{{- '\\n' -}}\n"
     "{%- else -%}\n"
     "{{- raise_exception('messages are of user and assistant, behind one of system: not of \"' ~ m.role ~ '\"') -}}\n"
     "{%- endif -%}\n"
     "{%- endfor -%}\n"
     "{%- if add_generation_prompt -%}{{- '<start_of_turn>model\\n' -}}{%- endif -%}\n",
     {"<start_of_turn>", "<end_of_turn>"}},
};
/* clang-format on */

const gr_known_template *gr_known_template_find(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    gr_fail(GR_ERR_ARGUMENT,
            "chat template: there is no file %.200s, nor a template of this name\n"
            "the names are chatml, llama3, mistral and gemma",
            name);
    return NULL;
}
