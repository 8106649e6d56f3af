"""What `gradus tokenizer train` learns against Hugging Face's BpeTrainer on the same texts: vocabulary, merges, time, peak
memory; and whether transformers loads it and has the same ids.

    python tools/oracle/check_tokenizer_training.py build/gradus DATA... [--vocab N] [--min-frequency N] [--lines] [--threads N]

DATA is text files, .jsonl files or directories of them. Each side runs in a process of its own.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def files_of(paths):
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.iterdir() if p.suffix in (".txt", ".jsonl"))
        else:
            yield path


def texts_of(paths):
    """Every file is a text, and so is every string of a .jsonl line."""
    for path in files_of(paths):
        if path.suffix != ".jsonl":
            yield path.read_bytes().decode()
            continue
        for line in path.read_bytes().split(b"\n"):
            if line.strip():
                row = json.loads(line)
                yield from [row["text"]] if "text" in row else [row["prompt"], row["completion"]]


def lines_of(texts):
    for text in texts:
        yield from (line + "\n" for line in text.split("\n")[:-1])
        if not text.endswith("\n") and text:
            yield text.split("\n")[-1]


def theirs(options):
    """In a process of its own: trains with the tokenizers package."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=options.vocab, min_frequency=options.min_frequency, show_progress=False,
                                  special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    plain = all(path.suffix != ".jsonl" for path in files_of(options.data))
    start = time.perf_counter()
    if options.lines and plain:
        t.train(list(map(str, files_of(options.data))), trainer)
    else:
        texts = texts_of(options.data)
        t.train_from_iterator(lines_of(texts) if options.lines else texts, trainer)
    print(time.perf_counter() - start)
    t.save(options.theirs)


def run(command, environment=None):
    """Seconds, peak memory in MiB and the output of a process."""
    start = time.perf_counter()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status:
        sys.exit(f"{command}: failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out


def check_ids(gradus, path, texts):
    """transformers loads the file, alone and from a directory, and has the ids that Gradus has."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_file=path)
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "tokenizer.json").write_bytes(pathlib.Path(path).read_bytes())
        pathlib.Path(folder, "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
        auto = AutoTokenizer.from_pretrained(folder)
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    out = subprocess.run([gradus, "tokenize", path, "--jsonl"], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    for text, line in zip(texts, out.stdout.splitlines(), strict=True):
        ids = json.loads(line)["ids"]
        assert ids == fast.encode(text) == auto.encode(text), text
        assert fast.decode(ids) == text, text
    return len(texts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gradus")
    parser.add_argument("data", nargs="+")
    parser.add_argument("--vocab", type=int, default=8000)
    parser.add_argument("--min-frequency", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--lines", action="store_true")
    parser.add_argument("--theirs", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.theirs:
        return theirs(options)
    with tempfile.TemporaryDirectory() as folder:
        ours, hf = folder + "/ours.json", folder + "/theirs.json"
        command = [options.gradus, "tokenizer", "train", *options.data, "--vocab", str(options.vocab), "--out", ours,
                   "--min-frequency", str(options.min_frequency), "--threads", str(options.threads), "--quiet"]
        seconds, memory, _ = run(command + ["--lines"] * options.lines)
        environment = dict(os.environ, TOKENIZERS_PARALLELISM="true")
        if options.threads:
            environment["RAYON_NUM_THREADS"] = str(options.threads)
        _, their_memory, out = run([sys.executable, *sys.argv, "--theirs", hf], environment)
        their_seconds = float(out)
        a, b = (json.loads(pathlib.Path(p).read_text())["model"] for p in (ours, hf))
        same = a["vocab"] == b["vocab"] and a["merges"] == b["merges"]
        texts = [line for text, _ in zip(texts_of(options.data), range(4)) for line in text[:200000].split("\n")[:2000]]
        checked = check_ids(options.gradus, ours, texts)
    print(f"vocabulary {len(a['vocab'])}, merges {len(a['merges'])}: {'equal' if same else 'DIFFERENT'}; "
          f"gradus {seconds:.2f} s {memory:.0f} MiB, tokenizers {their_seconds:.2f} s {their_memory:.0f} MiB "
          f"({their_seconds / seconds:.1f}x, {their_memory / memory:.1f}x); {checked} texts have transformers' ids")
    return not same


sys.exit(main())
