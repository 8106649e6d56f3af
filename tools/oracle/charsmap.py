"""Tables of SentencePiece's kind (precompiled_charsmap) of any rules: {"from": "to"}."""
import functools
import io
import struct
import sys


def charsmap(rules):
    """A double-array trie of little-endian words (label, leaf flag, offset) with its size before it, and the replacements,
    each with a NUL behind it."""
    root, blob = {}, b""
    for key, value in sorted((key.encode(), value.encode()) for key, value in rules.items()):
        node = root
        for byte in key:
            node = node.setdefault(byte, {})
        node[0] = len(blob)
        blob += value + b"\0"
    units, used, first = [0] * 256, [True] + [False] * 255, [1]

    def place(node, at):
        labels = list(node)
        base = first[0] if len(labels) > 1 else first[0]
        while True:
            if base + 256 > len(units):
                units.extend([0] * 256)
                used.extend([False] * 256)
            offset = at ^ base
            if (offset < 1 << 21 or not offset & 0xFF) and not any(used[base ^ label] for label in labels):
                break
            base += 1
        for label in labels:
            used[base ^ label] = True
        while first[0] < len(used) and used[first[0]]:
            first[0] += 1
        units[at] |= offset << 10 if offset < 1 << 21 else offset << 2 | 1 << 9
        for label in labels:
            if label:
                units[base ^ label] |= label
            else:
                units[at] |= 1 << 8
                units[base] = node[0] | 1 << 31
        for label in labels:
            if label:
                place(node[label], base ^ label)

    sys.setrecursionlimit(100000)
    place(root, 0)
    return struct.pack(f"<I{len(units)}I", 4 * len(units), *units) + blob


@functools.cache
def real_charsmap(name):
    """SentencePiece's own: nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model, made = io.BytesIO(), sentencepiece_model_pb2.ModelProto()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a few words to train on"] * 3), model_writer=model, vocab_size=20,
                                             normalization_rule_name=name, minloglevel=2, model_type="char")
    made.ParseFromString(model.getvalue())
    return made.normalizer_spec.precompiled_charsmap
