"""Chat templates through Gradus and through jinja2 in transformers' environment: the same bytes, or both refuse.

    python tools/oracle/fuzz_templates.py build/libgradus.so [--count N] [--seed N] [--census DIR] [--tokenizers DIR] [--list]

--count   random templates from a grammar of all that is supported, each with a conversation
--census  a folder of *.jinja files (the source package of llama-cpp-python has 70 below vendor/llama.cpp/models/templates:
          pip download --no-deps --no-binary :all: llama-cpp-python), each with 60 conversations
--tokenizers  a folder of tokenizers: no added token that is put into a message, a tool or a name comes out as its id, and
          the ids of what is harmless are those of the `tokenizers` package

What only Gradus refuses is counted by reason; --list shows the templates. Exit status 1 when anything differs.
"""
import argparse
import collections
import json
import pathlib
import random
import sys

import chat_peer
from chat_peer import Gradus, Refused, VARIABLES, conversations, theirs


def compare(gradus, template, handle, chat, mask=False):
    """(kind, what ours is, what theirs is)"""
    try:
        wanted, spans = theirs(template, chat, VARIABLES, mask)
    except Exception as e:
        wanted, spans = None, f"{type(e).__name__}: {e}"
    try:
        if isinstance(handle, Refused):
            raise handle
        ours, _, generated, _ = gradus.render(handle, chat, VARIABLES)
    except Refused as e:
        return ("both refuse" if wanted is None else "only ours refuses"), str(e), wanted
    if wanted is None:
        return "only theirs refuses", ours, spans
    if ours == wanted and mask and spans != [(len(ours.encode()[:a].decode()), len(ours.encode()[:b].decode())) for a, b in generated]:
        return "spans differ", generated, spans
    return ("equal" if ours == wanted else "differ"), ours, wanted


def open_or_refused(gradus, template):
    try:
        return gradus.open(template)
    except Refused as e:
        return e


def census(gradus, folder, show):
    total, reasons = collections.Counter(), collections.Counter()
    for path in sorted(pathlib.Path(folder).rglob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        mask = "generation" in template and "endgeneration" in template
        handle = open_or_refused(gradus, template)
        for i, chat in enumerate(conversations()):
            kind, ours, wanted = compare(gradus, template, handle, chat, mask)
            total[kind] += 1
            if kind not in ("equal", "both refuse"):
                reasons[f"{path.name}: {kind}"] += 1
                if show:
                    print(f"--- {path.name}, conversation {i}: {kind}\nours   {ours!r}\ntheirs {wanted!r}")
        if not isinstance(handle, Refused):
            gradus.free(handle)
    print("census:", dict(total))
    for reason, n in reasons.most_common(40):
        print(f"  {n:6} {reason}")
    return sum(n for kind, n in total.items() if kind not in ("equal", "both refuse"))


def time_largest(gradus, folder):
    """The largest templates with a hundred messages."""
    messages = []
    for i in range(50):
        messages += [user(f"Question {i}: what is meant by that, and why? " * 3), chat_peer.assistant(f"Answer {i}: because of this. " * 4)]
    for path in sorted(pathlib.Path(folder).rglob("*.jinja"), key=lambda p: -p.stat().st_size)[:5]:
        try:
            handle = gradus.open(path.read_text(encoding="utf-8"))
            print(f"  {path.name}, {path.stat().st_size} bytes: {gradus.seconds(handle, {'messages': messages}) * 1000:.2f} ms for 100 messages")
            gradus.free(handle)
        except Refused as e:
            print(f"  {path.name}: {e}")


# ---- random templates --------------------------------------------------------------------------------------------

NAMES = ["m", "x", "y", "ns", "loop", "messages", "tools", "bos_token", "item", "k", "v", "nothing", "add_generation_prompt", "documents"]
ATTRIBUTES = ["role", "content", "name", "function", "tool_calls", "items", "a", "b", "type", "text", "arguments", "index", "last", "first",
              "index0", "previtem", "nextitem", "length", "keys", "missing", "parameters", "properties", "__class__", "_x"]
STRINGS = ["''", "'a'", "' b '", '"user"', "'assistant'", "'é🙂'", "'\\n'", "'x y  z'", "'a,b'", "'It\\'s'", '"\\t\\u00e9"', "'%s'", "'<b>'", "'10'",
           "'1.5'", "'1_0.5e1'", "'-iNf'", "'٣½'", "'ÉÅx'", "'A'", "'system'", "'\\\\d'"]
FILTERS = ["tojson", "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "length", "trim",
           "string", "default('d')", "default('d', true)", "join", "join(', ')", "join(',', attribute='role')", "items", "list", "selectattr('role')",
           "selectattr('role', 'equalto', 'user')", "rejectattr('content', 'none')", "select('string')", "reject('defined')", "safe", "dictsort", "lower",
           "map(attribute='role')", "map('upper')", "map(attribute='content', default='-')", "upper", "replace('a', 'b')", "replace(' ', '')", "reject",
           "indent", "indent(2, first=true)", "indent(width=3)", "int", "unique", "sort", "sort(attribute='role')", "min", "max", "first", "last", "reverse",
           "abs", "float", "capitalize", "title", "sum", "count", "escape", "select", "trim('x')", "int(7)", "sort(reverse=true)", "format(1)",
           "dictsort(true)", "dictsort(by='value')", "map('trim')", "select('in', [1, 'a'])"]
TESTS = ["defined", "undefined", "string", "none", "mapping", "iterable", "sequence", "boolean", "true", "false", "number", "integer", "float", "callable",
         "odd", "even", "eq 1", "equalto('user')", "ne 'a'", "in ['user', 1]", "gt 1", "lt(2)", "divisibleby 2", "sameas none", "lower", "upper", "escaped"]
METHODS = ["isalnum()", "islower()", "split()", "split(' ')", "split(',', 1)", "strip()", "lstrip('a')", "rstrip()", "startswith('a')", "endswith(('a', 'b'))", "replace('a', 'bb')",
           "replace('a', 'bb', 1)", "items()", "get('role')", "get('x', 1)", "keys()", "values()", "upper()", "lower()", "title()", "capitalize()", "format(1)",
           "join(['a', 'b'])", "find('a')", "count('a')", "index('a')", "append(1)", "pop()", "splitlines()", "isdigit()", "rsplit(' ', 1)", "update({})",
           "isalpha()", "isspace()", "isupper()", "removeprefix('a')", "swapcase()", "rfind('b')", "setdefault('a', 1)"]
OPERATORS = ["+", "+", "-", "*", "/", "//", "%", "**", "~", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]


class Grammar:
    def __init__(self, rng):
        self.rng = rng
        self.macros = []

    def pick(self, of):
        return self.rng.choice(of)

    def number(self):
        return self.pick(["0", "1", "2", "3", "-1", "10", "1.5", "2.0", "1e3", "0x10", "1_000", "0.1", "100000000000000000000.0", "7"])

    def atom(self):
        kind = self.rng.random()
        if kind < 0.35:
            return self.pick(NAMES)
        if kind < 0.6:
            return self.pick(STRINGS)
        if kind < 0.75:
            return self.number()
        return self.pick(["true", "false", "none", "[]", "{}", "()", "True", "None", "[1, 2, 3]", "{'a': 1, 'b': [2]}", "('a', 1)", "range(3)", "[['a', 1], ['b', 2]]",
                          "namespace(a=1)", "dict(a=1, b='x')", "messages[0]", "messages[-1].content", "m.role", "m['content']", "messages[0].items()"])

    def arguments(self, depth):
        args = [self.expression(depth - 1) for _ in range(self.rng.randrange(3))]
        if self.rng.random() < 0.2:
            args.append(f"{self.pick(['a', 'b', 'k'])}={self.expression(depth - 1)}")
        return ", ".join(args)

    def text_of(self, depth):
        """An expression that is most likely a text."""
        if depth <= 0:
            return self.pick(STRINGS + ["messages[0].role", "bos_token", "m.role", "(m.content|string)", "messages[-1].role", "eos_token"])
        inner = lambda: self.text_of(depth - 1)
        return self.pick([
            lambda: f"({inner()} + {inner()})", lambda: f"({inner()} ~ {self.expression(depth - 1)})", lambda: f"{self.expression(depth - 1)}|string",
            lambda: f"({inner()})|" + self.pick(["upper", "lower", "trim", "replace('a', 'b')", "capitalize", "title", "indent(2)", "reverse", "trim('a ')", "safe",
                                                 "indent(1, true)", "default('x')", "escape", "replace('s', m.role|string)"]),
            lambda: f"({inner()})." + self.pick(["strip()", "upper()", "lower()", "rstrip('\\n')", "lstrip()", "replace('a', 'é')", "title()", "strip('a')",
                                                 "removesuffix('r')", "swapcase()", "replace('', '-')"]),
            lambda: f"({inner()}){self.slice()}", lambda: f"({self.list_of(depth - 1)})|join({self.text_of(0)})",
            lambda: f"({self.expression(depth - 1)})|tojson{self.pick(['', '(indent=2)', '(ensure_ascii=true)', '(sort_keys=true)'])}",
            lambda: f"({inner()} if {self.truth_of(depth - 1)} else {inner()})", lambda: f"({inner()}).split({self.text_of(0)})[0]",
            lambda: f"({self.text_of(0)} * {self.number_of(0)})", lambda: f"'%s-%s' % ({inner()}, {self.expression(depth - 1)})",
            lambda: f"({self.list_of(depth - 1)}|first)|string", lambda: f"messages[0].content",
            lambda: f"({self.pick(self.macros)}())" if self.macros else inner()])()

    def slice(self):
        part = lambda: self.pick(["", "", "0", "1", "-1", "2", "-2", "none"])
        return f"[{part()}:{part()}{self.pick(['', ':', ':-1', ':2', ':-2'])}]"

    def number_of(self, depth):
        if depth <= 0:
            return self.pick([self.number(), "(messages|length)", "3", "loop.index0" if self.rng.random() < 0.1 else "2"])
        inner = lambda: self.number_of(depth - 1)
        return self.pick([lambda: f"({inner()} {self.pick(['+', '-', '*', '//', '%', '/'])} {inner()})", lambda: f"({self.list_of(depth - 1)})|length",
                          lambda: f"({self.text_of(depth - 1)})|length", lambda: f"-{inner()}", lambda: f"{self.expression(depth - 1)}|int",
                          lambda: f"({self.text_of(depth - 1)}).find({self.text_of(0)})", lambda: f"{inner()}|abs", lambda: f"({inner()} ** 2)"])()

    def list_of(self, depth):
        if depth <= 0:
            return self.pick(["messages", "[1, 2, 3]", "['b', 'a', 'C']", "range(3)", "[]", "('x', 1)", "[['a', 1], ['b', 2]]", "tools or []", "{'b': 1, 'a': 2}",
                              "messages[0].items()", "[1.5, true, none, 'é']", "(tools or [])|map(attribute='function')|list"])
        inner = lambda: self.list_of(depth - 1)
        return self.pick([
            lambda: f"({inner()})|list", lambda: f"({inner()}|list){self.slice()}", lambda: f"({self.text_of(depth - 1)}).split({self.text_of(0)})",
            lambda: f"[{self.expression(depth - 1)}, {self.expression(depth - 1)}]", lambda: f"({inner()}|list + {inner()}|list)",
            lambda: "messages|" + self.pick(["selectattr('role', 'equalto', 'user')|list", "rejectattr('tool_calls')|list", "map(attribute='role')|list",
                                             "map(attribute='content', default='?')|list", "sort(attribute='role')", "selectattr('content')|list", "reverse|list",
                                             "map(attribute='role')|unique|list", "selectattr('tool_calls', 'defined')|list"]),
            lambda: f"({inner()})|" + self.pick(["unique|list", "map('string')|list", "reverse|list", "select|list", "reject('none')|list", "map('tojson')|list"]),
            lambda: f"{{{self.text_of(0)}: {self.expression(depth - 1)}, 'k': 1}}" + self.pick([".items()", "|dictsort", "|items|list", ".values()|list", "|list", ""]),
            lambda: f"({self.text_of(depth - 1)}|list)", lambda: f"({self.text_of(depth - 1)}).splitlines()"])()

    def truth_of(self, depth):
        if depth <= 0:
            return self.pick(["true", "false", "tools", "messages", "m is defined", "tools is none", "add_generation_prompt", "nothing", "x is defined"])
        inner = lambda: self.truth_of(depth - 1)
        return self.pick([lambda: f"({inner()} {self.pick(['and', 'or'])} {inner()})", lambda: f"not {inner()}",
                          lambda: f"({self.expression(depth - 1)} is {self.pick(['', 'not '])}{self.pick(TESTS[:14])})",
                          lambda: f"({self.expression(depth - 1)} {self.pick(['==', '!='])} {self.expression(depth - 1)})",
                          lambda: f"({self.text_of(depth - 1)} {self.pick(['in', 'not in', '<', '>='])} {self.text_of(depth - 1)})",
                          lambda: f"({self.number_of(depth - 1)} {self.pick(['<', '<=', '>', '>=', '=='])} {self.number_of(depth - 1)})",
                          lambda: f"({self.text_of(depth - 1)}).{self.pick(['startswith', 'endswith'])}({self.text_of(0)})",
                          lambda: f"({self.expression(depth - 1)} in {self.list_of(depth - 1)})"])()

    def expression(self, depth):
        if self.rng.random() < 0.07:
            return self.wild(depth)
        return self.pick([self.text_of, self.text_of, self.number_of, self.list_of, self.truth_of])(depth)

    def wild(self, depth):
        """Anything, of any type: most of it both refuse."""
        if depth <= 0:
            return self.atom()
        kind = self.rng.random()
        inner = lambda: self.expression(depth - 1)
        if kind < 0.16:
            return self.atom()
        if kind < 0.34:
            return f"({inner()} {self.pick(OPERATORS)} {inner()})"
        if kind < 0.39:
            return f"{self.pick(['not ', '-', '+'])}{inner()}"
        if kind < 0.56:
            return f"{self.operand(depth)}|{self.pick(FILTERS)}"
        if kind < 0.64:
            return f"({inner()} is {self.pick(['', 'not '])}{self.pick(TESTS)})"
        if kind < 0.71:
            return f"{self.operand(depth)}.{self.pick(ATTRIBUTES)}"
        if kind < 0.77:
            return f"{self.operand(depth)}.{self.pick(METHODS)}"
        if kind < 0.82:
            return f"{self.operand(depth)}[{inner()}]"
        if kind < 0.88:
            part = lambda: self.pick(["", "", "0", "1", "-1", "2", "-2", "none"])
            return f"{self.operand(depth)}[{part()}:{part()}{self.pick(['', ':', ':-1', ':2', ':-2'])}]"
        if kind < 0.92:
            return f"({inner()} if {inner()}{self.pick(['', f' else {inner()}'])})"
        if kind < 0.95:
            return f"[{inner()}, {inner()}]" if self.rng.random() < 0.5 else f"{{{self.pick(STRINGS)}: {inner()}, 'k': {inner()}}}"
        if kind < 0.97 and self.macros:
            return f"{self.pick(self.macros)}({self.arguments(depth)})"
        return self.pick([f"range({self.number()}, {self.number()})", f"namespace(a={inner()})", f"dict({inner()})", f"raise_exception({inner()})",
                          "strftime_now('%d %b %Y, %A %j %H:%M %p')", f"loop.cycle({inner()}, 'z')", f"loop.changed({inner()})"])

    def operand(self, depth):
        e = self.expression(depth - 1)
        return e if self.rng.random() < 0.4 else f"({e})"

    def tag(self, inside):
        left, right = self.pick(["{%", "{%", "{%-", "{%+"]), self.pick(["%}", "%}", "-%}", "+%}"])
        return f"{left} {inside} {right}"

    def text(self):
        return self.pick(["", " ", "\n", "  \n  ", "text", "a\n", "\tb ", "<|im_start|>", "é\n\n", "{", "}", "%}", "{# note #}", "{#- note -#}\n", "x {", "\r\n",
                          "{% raw %} {{ x }} {% endraw %}\n", "  {%- raw -%} y {%- endraw %}\n"])

    def target(self):
        if self.rng.random() < 0.9:
            return self.pick(["x", "y", "k", "m", "item", "bos_token", "x", "nothing"])
        return self.pick(["ns.a", "ns.b", "x, y", "tools", "(x, y)", "ns._z", "messages"])

    def body(self, depth, loop=False):
        return "".join(self.text() + self.statement(depth, loop) for _ in range(self.rng.randrange(1, 4))) + self.text()

    def statement(self, depth, loop):
        kind = self.rng.random()
        if depth <= 0 or kind < 0.4:
            return self.pick(["{{", "{{", "{{-"]) + f" {self.expression(2)} " + self.pick(["}}", "}}", "-}}"])
        inner = lambda l=loop: self.body(depth - 1, l)
        if kind < 0.58:
            other = self.tag(f"elif {self.expression(2)}") + inner() if self.rng.random() < 0.3 else ""
            other += self.tag("else") + inner() if self.rng.random() < 0.4 else ""
            return self.tag(f"if {self.truth_of(2)}") + inner() + other + self.tag("endif")
        if kind < 0.74:
            over = self.pick(["messages", "messages", "tools or []", "range(4)", "[1, 2, 2, 3]", "{'a': 1, 'b': 2}.items()", "messages[::-1]", "'abc'", self.list_of(2)])
            target = "k, v" if "items()" in over or self.rng.random() < 0.08 else self.pick(["m", "x", "item", "loop" if self.rng.random() < 0.05 else "m"])
            test = f" if {self.expression(1)}" if self.rng.random() < 0.2 else ""
            other = self.tag("else") + inner() if self.rng.random() < 0.15 else ""
            return self.tag(f"for {target} in {over}{test}") + inner(True) + other + self.tag("endfor")
        if kind < 0.86:
            return self.tag(f"set {self.target()} = {self.expression(2)}")
        if kind < 0.89:
            how = self.pick(["", "", " | upper", " | trim | length", " | replace('a', x)"])
            return self.tag(f"set {self.pick(['x', 'y', 'ns.a'])}{how}") + inner() + self.tag("endset")
        if kind < 0.92:
            name = self.pick(["f", "g"])
            self.macros.append(name)
            parameters = self.pick(["", "a", "a, b=1", "a='x', b=a", "m", "x, y=x"])
            use = self.pick(["", "{{ a }}", "{{ varargs }}{{ kwargs }}", "{{ caller() }}", "{{ caller is defined }}", "{{ b ~ x }}"])
            return self.tag(f"macro {name}({parameters})") + use + self.body(depth - 1, False) + self.tag("endmacro")
        if kind < 0.94 and self.macros:
            return self.tag(f"call{self.pick(['', '(q)'])} {self.pick(self.macros)}({self.arguments(2)})") + self.body(depth - 1, False) + self.tag("endcall")
        if kind < 0.96:
            return self.tag(f"filter {self.pick(['upper', 'trim', 'length', 'indent(2)', 'replace(x, y)', 'upper | trim'])}") + inner() + self.tag("endfilter")
        if kind < 0.98:
            return "{% generation %}" + self.body(depth - 1, False) + "{% endgeneration %}"
        return self.tag(self.pick(["break", "continue"])) if loop or self.rng.random() < 0.1 else ""

    def template(self):
        start = self.pick(["", "{% set ns = namespace(a=1, b='') %}", "{%- set ns = namespace() -%}\n", "{% set x = 'a' %}{% set y = [1, 2] %}",
                           "{% set x = messages[0].content %}"])
        return start + self.body(self.rng.randrange(1, 4))


def random_templates(gradus, count, seed, show):
    rng = random.Random(seed)
    total, reasons = collections.Counter(), collections.Counter()
    chats = conversations()
    for i in range(count):
        template, chat = Grammar(rng).template(), rng.choice(chats)
        handle = open_or_refused(gradus, template)
        kind, ours, wanted = compare(gradus, template, handle, chat)
        if not isinstance(handle, Refused):
            gradus.free(handle)
        if wanted is not None and " object at 0x" in str(wanted) or kind == "differ" and " at 0x" in str(wanted):
            kind = "an address is printed"
        total[kind] += 1
        if kind == "only ours refuses":
            reasons[ours.split("\n")[0].split(": ", 2)[-1][:110]] += 1
        if kind in ("differ", "only theirs refuses") or (show and kind == "only ours refuses"):
            print(f"--- {kind}, template {i} of seed {seed}\n{template!r}\nchat   {json.dumps(chat)[:300]}\nours   {ours!r}\ntheirs {wanted!r}")
    print("random:", dict(total))
    for reason, n in reasons.most_common(40):
        print(f"  {n:6} {reason}")
    return total["differ"] + total["only theirs refuses"]


# ---- control tokens ----------------------------------------------------------------------------------------------

CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content if m.content is string else (m.content or '')|tojson) + '<|im_end|>\n' }}" \
         "{% if m.name %}[{{ m.name }}]{% endif %}{% for c in m.tool_calls or [] %}{{ c|tojson }}{% endfor %}{% endfor %}{{ tools|tojson }}{{ bos_token }}"
TEMPLATES = [CHATML, "{{ bos_token }}{% for m in messages %}[INST] {{ m.content|string|trim }} [/INST]{{ m.name|upper }}{% endfor %}{{ eos_token }}{{ tools }}",
             "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ m.name }}{{ eos_token }}{% endfor %}{{ tools|tojson(indent=2) }}"]


def injections(gradus, folder, seed):
    from tokenizers import Tokenizer
    rng, wrong, tried, harmless, refused = random.Random(seed), 0, 0, 0, collections.Counter()
    for path in sorted(pathlib.Path(folder).rglob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        added = told.get("added_tokens") if isinstance(told, dict) and "model" in told else None
        if added is None or "twice" in path.name: # whose post-processor puts tokens around a text in any case
            continue
        handle = gradus.tokenizer(path)
        try:
            reference = Tokenizer.from_file(str(path))
        except Exception as e:
            print(path.name, 'is left out:', str(e)[:80])
            continue
        for template in TEMPLATES:
            chat_template = gradus.open(template)
            words = told["model"].get("vocab") or {}
            for token in added:
                evil = token["content"]
                unknown = told["model"].get("unk_id")
                if token["id"] == unknown or evil == told["model"].get("unk_token") or evil in words and told["model"]["type"] in ("WordPiece", "WordLevel"):
                    continue  # the model itself makes it of text
                mix = lambda: rng.choice(["", "a", " ", "\n", evil[: rng.randrange(len(evil))]]) + evil + rng.choice(["", "b", " ", evil[rng.randrange(len(evil)):]])
                chat = {"messages": [user(mix()), {"role": "assistant", "content": None, "tool_calls": [chat_peer.call(mix(), {mix(): mix()})]},
                                     {"role": "tool", "name": mix(), "content": {"r": mix()}}],
                        "tools": [{"type": "function", "function": {"name": mix(), "description": mix()}}]}
                try:
                    text, untrusted, _, ids = gradus.render(chat_template, chat, VARIABLES, handle)
                except Refused as e: # upper of a letter that is several; a character that the tokenizer does not know
                    refused[str(e).split(": ", 2)[-1][:60]] += 1
                    continue
                trusted = bytearray(text.encode())
                for a, b in untrusted:
                    trusted[a:b] = b"\0" * (b - a)
                tried += 1
                if ids.count(token["id"]) > trusted.count(evil.encode()) and not (evil.isspace() and not token["special"]):
                    wrong += 1
                    print("a control token:", path, evil, repr(text)[:300])
            for chat in conversations():
                try:
                    text, _, _, ids = gradus.render(chat_template, chat, VARIABLES, handle)
                except Refused:
                    continue
                wanted = reference.encode(text, add_special_tokens=False).ids
                numbers = {a["id"] for a in told["added_tokens"] if a["content"] != told["model"].get("unk_token")}
                if sum(i in numbers for i in wanted) > sum(i in numbers for i in ids):
                    continue  # this tokenizer has an added token that stands in an ordinary text: not harmless
                harmless += 1
                if ids != wanted:
                    wrong += 1
                    print("ids differ:", path, repr(text)[:300])
            gradus.free(chat_template)
        gradus.lib.gr_tokenizer_free(handle)
    print(f"control tokens: {tried} conversations with one in every field, {harmless} harmless ones, {wrong} wrong; refused: {dict(refused)}")
    return wrong


def user(content):
    return {"role": "user", "content": content}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--census")
    parser.add_argument("--tokenizers")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    gradus = Gradus(options.library)
    wrong = 0
    if options.census:
        wrong += census(gradus, options.census, options.list)
        time_largest(gradus, options.census)
    if options.count:
        wrong += random_templates(gradus, options.count, options.seed, options.list)
    if options.tokenizers:
        wrong += injections(gradus, options.tokenizers, options.seed)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
