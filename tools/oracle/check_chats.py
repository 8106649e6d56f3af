#!/usr/bin/env python3
"""Conversations as training data against transformers and trl.

    check_chats.py GRADUS TOKENIZER      a directory, or a .gguf file, with a chat template like ChatML's

1. Of random conversations, the ids and which of them are learned: `gradus data show` against apply_chat_template with
   return_assistant_tokens_mask, for a template with generation blocks, and for the same one without, where they are found by
   differences of renderings. ShareGPT's form of the same conversations gives the same.
2. The losses of 20 steps of trl's SFTTrainer with assistant_only_loss on a small model, and of `gradus finetune --full`, and how
   many tokens both learn: a conversation a row, and packed (trl's best-fit decreasing, where transformers keeps apart what
   position_ids begin anew; ours is given the conversations in the order of trl's rows). Also ours, two in a row against a row each.
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


def train_trl(base, tokenizer, chats, folder, **how):
    """The losses, and the rows that gave them."""
    config = SFTConfig(output_dir=folder + "/trl", assistant_only_loss=True, max_steps=STEPS, learning_rate=1e-3,
                       lr_scheduler_type="constant", weight_decay=0.0, warmup_steps=0, max_grad_norm=1.0, logging_steps=1, bf16=False,
                       use_cpu=True, gradient_checkpointing=False, report_to=[], save_strategy="no", optim="adamw_torch",
                       disable_tqdm=True, **how)
    trainer = Recording(model=LlamaForCausalLM.from_pretrained(base), args=config, processing_class=tokenizer,
                        train_dataset=datasets.Dataset.from_list([{"messages": c} for c in chats]))
    trainer.losses = []
    trainer.train()
    return trainer.losses, trainer.train_dataset


def train_gradus(gradus, base, path, folder, *more):
    run(gradus, "finetune", base, path, "--full", "--steps", str(STEPS), "--order", "sequential", "--lr", "1e-3",
        "--schedule", "constant", "--warmup", "0", "--weight-decay", "0", "--clip", "1", "--beta2", "0.999", "--quiet",
        "--save-every", "1000", "--out", folder, *more)
    return [json.loads(l)["loss"] for l in open(folder + "/metrics.jsonl") if "loss" in json.loads(l)][:STEPS]


def make_base(tokenizer, path):
    torch.manual_seed(1)
    tokenizer.chat_template = MARKED
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
                                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512)).save_pretrained(path)
    tokenizer.save_pretrained(path)


def chats_of_length(tokenizer, n):
    """More than two thirds of a row each: one has a row to itself, two share one of twice the length."""
    chats = []
    while len(chats) < n:
        chat = conversation(5, 20)
        size = len(tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"])
        if 2 * CONTEXT // 3 + 2 < size <= CONTEXT and "<|im_end|>" not in json.dumps(chat):
            chats.append(chat)
    return chats


def in_order_of_rows(tokenizer, chats, rows):
    """What each of trl's packed rows begins with, and so on; and how many are in each."""
    by_ids = {tuple(tokenizer.apply_chat_template(c, return_dict=True)["input_ids"]): c for c in chats}
    ordered, counts = [], set()
    for row in rows:
        at = 0
        counts.add(len(row["seq_lengths"]))
        for n in row["seq_lengths"]:
            ordered.append(by_ids[tuple(row["input_ids"][at:at + n])])
            at += n
    return ordered, counts


def report(what, theirs, rows, ours, gradus, base, path, context):
    learned = sum(label != -100 for row in rows for label in row["labels"])
    told = json.loads(run(gradus, "data", "show", base, path, "--context", str(context), "--json", "--rows", "0"))
    worst = max(abs(a - b) for a, b in zip(theirs, ours))
    print(f"{what}: {STEPS} steps of SFTTrainer {theirs[0]:.6f} to {theirs[-1]:.6f}, gradus {ours[0]:.6f} to {ours[-1]:.6f}, at most "
          f"{worst:.2e} apart; learned tokens {learned} and {told['trained']}")
    return len(theirs) == len(ours) == STEPS and worst < 1e-4 and learned == told["trained"]


def check_losses(gradus, tokenizer, folder):
    base, path, twice = folder + "/base", folder + "/train.jsonl", folder + "/packed.jsonl"
    make_base(tokenizer, base)
    chats = chats_of_length(tokenizer, 2 * STEPS)
    write(path, chats)
    theirs, rows = train_trl(base, tokenizer, chats, folder, packing=False, max_length=CONTEXT + 1, per_device_train_batch_size=2)
    alone = train_gradus(gradus, base, path, folder + "/alone", "--context", str(CONTEXT), "--batch", "2")
    good = report("a row each", theirs, rows, alone, gradus, base, path, CONTEXT)

    theirs, rows = train_trl(base, tokenizer, chats, folder, packing=True, packing_strategy="bfd", max_length=2 * CONTEXT + 2,
                             per_device_train_batch_size=1)
    ordered, counts = in_order_of_rows(tokenizer, chats, rows)
    write(twice, ordered)
    packed = train_gradus(gradus, base, twice, folder + "/packed", "--context", str(2 * CONTEXT), "--batch", "1")
    good &= report(f"packed, {counts} in a row", theirs, rows, packed, gradus, base, twice, 2 * CONTEXT) and counts == {2}

    packed = train_gradus(gradus, base, path, folder + "/shared", "--context", str(2 * CONTEXT), "--batch", "1")
    worst = max(abs(a - b) for a, b in zip(alone, packed))
    print(f"gradus, two in a row against a row each: at most {worst:.2e} apart")
    return good and worst < 1e-4


def main():
    gradus, name = sys.argv[1:]
    random.seed(5)
    source = (os.path.dirname(name), {"gguf_file": os.path.basename(name)}) if name.endswith(".gguf") else (name, {})
    tokenizer = AutoTokenizer.from_pretrained(source[0], **source[1])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        check_masks(gradus, name, tokenizer, folder)
        good = check_losses(gradus, tokenizer, folder)
    sys.exit(not good)


main()
