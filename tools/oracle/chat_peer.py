"""What the oracles of chat templates share: Gradus' library as Python sees it, transformers' rendering, and 60 conversations of
our own (roles, tools, tool results, reasoning, empty texts, Unicode, None, content in parts)."""
import ctypes
import itertools
import json
import pathlib
import time
import warnings

warnings.filterwarnings("ignore")
from transformers.utils import chat_template_utils as peer

NOW = 1_785_585_600  # a Saturday in August 2026, noon: what strftime_now tells


class Source(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("text", ctypes.c_char_p), ("text_size", ctypes.c_size_t), ("path", ctypes.c_char_p),
                ("name", ctypes.c_char_p)]


class Conversation(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("json", ctypes.c_char_p), ("json_size", ctypes.c_size_t), ("name", ctypes.c_char_p),
                ("variables", ctypes.c_char_p), ("variables_size", ctypes.c_size_t), ("tokenizer", ctypes.c_void_p),
                ("has_now", ctypes.c_bool), ("now", ctypes.c_int64), ("max_steps", ctypes.c_int64), ("max_depth", ctypes.c_int64),
                ("max_memory", ctypes.c_size_t), ("max_text", ctypes.c_size_t)]


class Range(ctypes.Structure):
    _fields_ = [("start", ctypes.c_size_t), ("stop", ctypes.c_size_t)]


class Rendered(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("text", ctypes.c_void_p), ("text_size", ctypes.c_size_t),
                ("untrusted", ctypes.POINTER(Range)), ("n_untrusted", ctypes.c_size_t),
                ("generated", ctypes.POINTER(Range)), ("n_generated", ctypes.c_size_t)]


class Refused(Exception):
    pass


class Gradus:
    def __init__(self, library):
        lib = self.lib = ctypes.CDLL(str(library))
        lib.gr_error.restype = ctypes.c_char_p
        lib.gr_template_open.restype = ctypes.c_void_p
        lib.gr_template_open.argtypes = [ctypes.POINTER(Source)]
        lib.gr_template_free.argtypes = [ctypes.c_void_p]
        lib.gr_template_render.argtypes = [ctypes.c_void_p, ctypes.POINTER(Conversation), ctypes.POINTER(ctypes.POINTER(Rendered))]
        lib.gr_template_encode.argtypes = [ctypes.c_void_p, ctypes.POINTER(Rendered), ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)),
                                           ctypes.POINTER(ctypes.c_size_t)]
        lib.gr_free.argtypes = [ctypes.c_void_p]
        lib.gr_tokenizer_load.restype = ctypes.c_void_p
        lib.gr_tokenizer_load.argtypes = [ctypes.c_char_p]
        lib.gr_tokenizer_free.argtypes = [ctypes.c_void_p]

    def error(self):
        return self.lib.gr_error().decode()

    def open(self, text):
        data = text.encode()
        made = self.lib.gr_template_open(ctypes.byref(Source(ctypes.sizeof(Source), data, len(data), None, b"template")))
        if not made:
            raise Refused(self.error())
        return made

    def free(self, template):
        self.lib.gr_template_free(template)

    def tokenizer(self, path):
        made = self.lib.gr_tokenizer_load(str(path).encode())
        if not made:
            raise Refused(self.error())
        return made

    def render(self, template, conversation, variables=None, tokenizer=None):
        """Text, untrusted ranges, generated ranges, ids (with a tokenizer)."""
        data = json.dumps(conversation).encode()
        more = json.dumps(variables or {}).encode()
        c = Conversation(ctypes.sizeof(Conversation), data, len(data), None, more, len(more), tokenizer, True, NOW)
        out = ctypes.POINTER(Rendered)()
        if self.lib.gr_template_render(template, ctypes.byref(c), ctypes.byref(out)):
            raise Refused(self.error())
        r = out.contents
        text = ctypes.string_at(r.text, r.text_size).decode()
        untrusted = [(r.untrusted[i].start, r.untrusted[i].stop) for i in range(r.n_untrusted)]
        generated = [(r.generated[i].start, r.generated[i].stop) for i in range(r.n_generated)]
        ids = None
        if tokenizer:
            at, n = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
            if self.lib.gr_template_encode(tokenizer, out, ctypes.byref(at), ctypes.byref(n)):
                self.lib.gr_free(out)
                raise Refused(self.error())
            ids = at[: n.value]
        self.lib.gr_free(out)
        return text, untrusted, generated, ids

    def seconds(self, template, conversation, times=50):
        """How long rendering takes, the median; reading the JSON and giving the result included."""
        data, more = json.dumps(conversation).encode(), json.dumps(VARIABLES).encode()
        c = Conversation(ctypes.sizeof(Conversation), data, len(data), None, more, len(more), None, True, NOW)
        out, taken = ctypes.POINTER(Rendered)(), []
        for _ in range(times):
            start = time.perf_counter()
            if self.lib.gr_template_render(template, ctypes.byref(c), ctypes.byref(out)):
                raise Refused(self.error())
            taken.append(time.perf_counter() - start)
            self.lib.gr_free(out)
        return sorted(taken)[times // 2]


class FixedClock:
    """Stands in for datetime in transformers' module."""

    @staticmethod
    def now():
        import datetime
        return datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=NOW)


peer.datetime = FixedClock


def theirs(template, conversation, variables=None, mask=False):
    """What apply_chat_template renders; raises what it raises."""
    chat = dict(conversation)
    messages = chat.pop("messages")
    if not messages:
        raise ValueError("empty")
    messages = peer._normalize_chat_messages(messages)
    named = {**(variables or {}), **{k: v for k, v in chat.items() if k not in ("tools", "documents", "add_generation_prompt")}}
    text, indices = peer.render_jinja_template(
        conversations=[messages], tools=chat.get("tools"), documents=chat.get("documents"), chat_template=template,
        return_assistant_tokens_mask=mask, add_generation_prompt=chat.get("add_generation_prompt", True), **named)
    return text[0], indices[0] if mask else None


# ---- conversations -----------------------------------------------------------------------------------------------

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "The weather of a place, \"now\" & <later>.",
     "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "City – Ort"},
                    "unit": {"type": "string", "enum": ["C", "F"], "default": "C"}, "days": {"type": "integer", "minimum": 0}},
                    "required": ["place"]}}},
    {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {
        "a": {"type": "number"}, "b": {"type": ["number", "null"]}, "many": {"type": "array", "items": {"type": "number"}}}},
        "return": {"type": "number"}}},
]


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name, arguments, id="call_0001"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def with_tool(arguments, result, content=None):
    return [user("What is the weather in Köln?"), assistant(content, tool_calls=[call("get_weather", arguments)]),
            {"role": "tool", "name": "get_weather", "tool_call_id": "call_0001", "content": result}]


def conversations():
    """60 of them."""
    system = {"role": "system", "content": "You are terse."}
    arguments = {"place": "Köln", "days": 2, "unit": None, "deep": {"x": [1, 2.5, True, None, "y"], "empty": {}}}
    plain = [
        [user("Hello")], [system, user("Hello")], [user("Hi"), assistant("Hello."), user("Bye")],
        [system, user("a"), assistant("b"), user("c"), assistant("d"), user("e")],
        [user("")], [user(" \n padded \t\n")], [user("Grüße, 世界! 🙂 e\u0301 \u00a0 \u2028 x")], [user("a\nb\n\nc\r\nd")],
        [user('quotes " \' \\ and {{ braces }} {% tags %} {# notes #}')], [user("<b>&amp;</b>")],
        [{"role": "system", "content": ""}, user("x")], [assistant("I begin.")], [user("a"), user("b")], [system],
        [user("a"), assistant("b")], [user("a"), assistant("  b  \n"), user("c")],
        [user("a"), assistant("<think>\nhm\n</think>\n\nb"), user("c")],
        [user("a"), assistant("b", reasoning_content="because"), user("c"), assistant("d", reasoning_content="since")],
        [user("a"), assistant("b", thinking="because")], [user("a"), assistant("b", reasoning=""), user("c")],
        [{"role": "developer", "content": "Do."}, user("x")], [{"role": "narrator", "content": "Once."}],
        [user([{"type": "text", "text": "part one"}, {"type": "text", "text": " part two"}])],
        [user([{"type": "image"}, {"type": "text", "text": "What is it?"}])], [user([])], [user(None)], [user(None), assistant("x")],
        [system, user([{"type": "text", "text": "parts"}]), assistant([{"type": "text", "text": "yes"}]), user("go on")],
        [{"role": "user"}], [{"content": "no role"}], [user(5)], [user(True), assistant(2.5)], [user({"text": "a dict"})],
        [user("control \x01 \x1b \x7f characters")], [user("x" * 300)], [user("a"), assistant(""), user("b")],
    ]
    tools = [
        with_tool(arguments, "cold"), with_tool(json.dumps(arguments), "cold"), with_tool(arguments, {"t": 3.5, "ok": True}),
        with_tool(arguments, [{"type": "text", "text": "cold"}], content="Let me see."), with_tool({}, "", content=""),
        with_tool(arguments, "cold") + [assistant("It is cold.")], with_tool(arguments, "cold") + [assistant("It is."), user("And?")],
        [system] + with_tool(arguments, "{\"t\": 1}") + [assistant("So.")],
        [user("two"), assistant(None, tool_calls=[call("add", {"a": 1, "b": 2}), call("add", {"a": 3, "b": 4}, "call_0002")]),
         {"role": "tool", "tool_call_id": "call_0001", "content": "3"}, {"role": "tool", "tool_call_id": "call_0002", "content": "7"}],
        [user("think"), assistant("", reasoning_content="I need a tool.", tool_calls=[call("add", {"a": 1, "b": 2})]),
         {"role": "tool", "name": "add", "tool_call_id": "call_0001", "content": "3"}],
    ]
    made = [{"messages": m} for m in plain]
    made += [{"messages": m, "tools": TOOLS} for m in tools]
    made += [{"messages": m, "tools": TOOLS} for m in (plain[0], plain[1], plain[6])]
    made += [{"messages": m} for m in tools[:2]]
    made += [{"messages": plain[0], "tools": []}, {"messages": plain[3], "add_generation_prompt": False},
             {"messages": plain[14], "add_generation_prompt": False}, {"messages": tools[5], "tools": TOOLS, "add_generation_prompt": False},
             {"messages": plain[1], "enable_thinking": False}, {"messages": plain[17], "enable_thinking": True},
             {"messages": plain[0], "documents": [{"title": "One", "text": "First."}, {"title": "Zwei", "text": "Zweites."}]},
             {"messages": plain[0], "reasoning_effort": "high", "date_string": "1 Jan 2026"}, {"messages": plain[1], "builtin_tools": ["browser"]}]
    return made


VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
