#!/usr/bin/env python3
"""Conversations as training data against transformers and trl.

    check_chats.py GRADUS TOKENIZER      a directory, or a .gguf file, with a chat template like ChatML's

1. Of random conversations, the ids and which of them are learned: `gradus data show` against apply_chat_template with
   return_assistant_tokens_mask, for a template with generation blocks, and for the same one without, where they are found by
   differences of renderings. ShareGPT's form of the same conversations gives the same.
2. The losses of 20 steps of trl's SFTTrainer with assistant_only_loss on a small model, and of `gradus finetune --full`: a
   conversation a row, and two that share a row against two rows.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

import datasets
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl import SFTConfig, SFTTrainer

TURN = """{%- for m in messages -%}
{{- '<|im_start|>' + m['role'] + '\\n' -}}
{%- if m['role'] == 'assistant' -%}
BEGIN{{- m['content'] + '<|im_end|>\\n' -}}END
{%- else -%}
{{- m['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"""
MARKED = TURN.replace("BEGIN", "{%- generation -%}").replace("END", "{%- endgeneration -%}")
PLAIN = TURN.replace("BEGIN", "").replace("END", "")
WORDS = "the quick brown fox jumps over lazy dogs; née Ödön 狐 <|im_end|> 12 = 3 * 4?\n- and\tso on".split(" ")
CONTEXT, STEPS = 128, 20
SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


def words(n):
    return " ".join(random.choice(WORDS) for _ in range(n))


def conversation(least=1, most=25):
    said = [{"role": "system", "content": words(5)}] if random.random() < 0.5 else []
    for _ in range(random.randint(1, 4)):
        said += [{"role": "user", "content": words(random.randint(1, 10))},
                 {"role": "assistant", "content": words(random.randint(least, most))}]
    return said


def write(path, chats, sharegpt=False):
    with open(path, "w", encoding="utf-8") as f:
        for chat in chats:
            if sharegpt:
                chat = [{"from": SPEAKERS[m["role"]], "value": m["content"]} for m in chat]
            f.write(json.dumps({"conversations" if sharegpt else "messages": chat}) + "\n")
    return path


def run(*words):
    return subprocess.run(words, capture_output=True, check=True).stdout.decode()


def documents_of(gradus, model, path, template):
    """By line: ids, and which are learned."""
    common = [gradus, "data", "show", model, path, "--context", "2048", "--chat-template", template, "--json", "--rows"]
    documents = {}
    for row in map(json.loads, run(*common, str(json.loads(run(*common, "0"))["rows"])).splitlines()):
        for segment, document in enumerate(row["documents"]):
            at = [i for i, s in enumerate(row["segments"]) if s == segment]
            learned = [False] + [row["targets"][i] != -100 for i in at]
            documents[document["line"]] = [row["ids"][i] for i in at], learned, row["targets"][at[-1]]
    return documents


def same(mine, ids, mask):
    given, learned, last = mine
    return given == ids[:-1] and learned == [bool(m) for m in mask] and last in (ids[-1], -100)


def check_masks(gradus, name, tokenizer, folder):
    chats = [conversation() for _ in range(200)]
    forms = write(folder + "/a.jsonl", chats), write(folder + "/b.jsonl", chats, sharegpt=True)
    for kind, template in (("generation blocks", MARKED), ("differences", PLAIN)):
        file = folder + "/template.jinja"
        open(file, "w").write(template)
        mine, other = (documents_of(gradus, name, path, file) for path in forms)
        equal = 0
        for line, chat in enumerate(chats, 1):
            harmless = "<|im_end|>" not in json.dumps(chat)
            out = tokenizer.apply_chat_template(chat, chat_template=MARKED, return_dict=True, return_assistant_tokens_mask=True)
            equal += not harmless or same(mine[line], out["input_ids"], out["assistant_masks"])
        print(f"{kind}: {equal} of {len(chats)} equal transformers'; ShareGPT's form gives the same: {mine == other}")


class Recording(SFTTrainer):
    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def compute_loss(self, *args, **named):
        out = super().compute_loss(*args, **named)
        self.losses.append((out[0] if isinstance(out, tuple) else out).item())
        return out


def train_trl(model, tokenizer, chats, folder):
    config = SFTConfig(output_dir=folder + "/trl", assistant_only_loss=True, packing=False, max_length=CONTEXT + 1,
                       per_device_train_batch_size=2, max_steps=STEPS, learning_rate=1e-3, lr_scheduler_type="constant",
                       weight_decay=0.0, warmup_steps=0, max_grad_norm=1.0, logging_steps=1, bf16=False, use_cpu=True,
                       gradient_checkpointing=False, report_to=[], save_strategy="no", optim="adamw_torch")
    trainer = Recording(model=model, args=config, processing_class=tokenizer,
                        train_dataset=datasets.Dataset.from_list([{"messages": c} for c in chats]))
    trainer.losses = []
    trainer.train()
    return trainer.losses


def train_gradus(gradus, base, path, folder, *more):
    run(gradus, "finetune", base, path, "--full", "--steps", str(STEPS), "--order", "sequential", "--lr", "1e-3",
        "--schedule", "constant", "--warmup", "0", "--weight-decay", "0", "--clip", "1", "--beta2", "0.999", "--quiet",
        "--save-every", "1000", "--out", folder, *more)
    return [json.loads(l)["loss"] for l in open(folder + "/metrics.jsonl") if "loss" in json.loads(l)][:STEPS]


def check_losses(gradus, tokenizer, folder):
    torch.manual_seed(1)
    tokenizer.chat_template = MARKED
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512))
    model.save_pretrained(folder + "/base")
    tokenizer.save_pretrained(folder + "/base")
    chats = []
    while len(chats) < 2 * STEPS:  # more than two thirds of a row each: one has a row to itself, two share one of twice the length
        chat = conversation(5, 20)
        n = len(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"])
        if 2 * CONTEXT // 3 + 2 < n <= CONTEXT and "<|im_end|>" not in json.dumps(chat):
            chats.append(chat)
    path = write(folder + "/train.jsonl", chats)
    theirs = train_trl(model, tokenizer, chats, folder)
    alone = train_gradus(gradus, folder + "/base", path, folder + "/alone", "--context", str(CONTEXT), "--batch", "2")
    packed = train_gradus(gradus, folder + "/base", path, folder + "/packed", "--context", str(2 * CONTEXT), "--batch", "1")
    worst, other = (max(abs(a - b) for a, b in zip(alone, those)) for those in (theirs, packed))
    print(f"{STEPS} steps of SFTTrainer: {theirs[0]:.6f} to {theirs[-1]:.6f}; gradus {alone[0]:.6f} to {alone[-1]:.6f}, at most "
          f"{worst:.2e} apart; two conversations in a row against a row each: at most {other:.2e} apart")
    return worst < 1e-4 and other < 1e-4


def main():
    gradus, name = sys.argv[1:]
    random.seed(5)
    source = (os.path.dirname(name), {"gguf_file": os.path.basename(name)}) if name.endswith(".gguf") else (name, {})
    tokenizer = AutoTokenizer.from_pretrained(source[0], **source[1])
    with tempfile.TemporaryDirectory() as folder:
        check_masks(gradus, name, tokenizer, folder)
        good = check_losses(gradus, tokenizer, folder)
    sys.exit(not good)


main()
