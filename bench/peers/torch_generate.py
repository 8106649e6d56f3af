"""Reading a prompt and making tokens with transformers' GPT-2, random weights, f32: one JSON line.

    torch_generate.py --config FILE --what prefill|decode [--threads N] [--prompt N] [--tokens N] [--rounds N]

prefill: tokens/s of one forward pass over the prompt that gives the last row's logits. decode: of the median step after it,
one token at a time with a cache.
"""
import argparse
import json
import statistics
import time

import torch
import transformers


def measure(o):
    with open(o.config, encoding="utf-8") as file:
        config = transformers.GPT2Config(**json.load(file))
    torch.manual_seed(1)
    model = transformers.GPT2LMHeadModel(config).eval()
    ids = torch.randint(0, config.vocab_size, (1, o.prompt))
    prompts, steps = [], []
    with torch.inference_mode():
        for _ in range(o.rounds):
            begin = time.perf_counter()
            out = model(ids, use_cache=True, logits_to_keep=1)
            prompts.append(time.perf_counter() - begin)
            for _ in range(o.tokens if o.what == "decode" else 0):
                begin = time.perf_counter()
                next_id = out.logits[:, -1:].argmax(-1)
                out = model(next_id, past_key_values=out.past_key_values, use_cache=True)
                steps.append(time.perf_counter() - begin)
    seconds = statistics.median(steps) if o.what == "decode" else statistics.median(prompts[1:]) / o.prompt
    return {"what": o.what, "tokens_per_s": 1 / seconds, "transformers": transformers.__version__}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True)
    parser.add_argument("--what", choices=("prefill", "decode"), required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    o = parser.parse_args()
    if o.threads:
        torch.set_num_threads(o.threads)
    print(json.dumps(measure(o)))


if __name__ == "__main__":
    main()
