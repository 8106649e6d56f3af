"""Makes tests/data/templates/goldens.jsonl: what transformers renders of our own templates (the *.jinja beside it, written for these
tests) with conversations of chat_peer.py, a line each:

    {"template": "chatml", "chat": {...}, "text": "...", "generated": [[from, to], ...]}

text null: transformers refuses. generated counts bytes.

    python tools/oracle/make_templates.py
"""
import json
import pathlib

import chat_peer

FOLDER = pathlib.Path(__file__).parents[2] / "tests" / "data" / "templates"
PLAIN = [0, 1, 2, 3, 5, 6, 8, 12, 15, 16, 17, 21, 22, 25, 27, 30]  # of the conversations without tools
EVERY = [i for i in range(36, 60) if i not in (41, 44)]


def main():
    chats = chat_peer.conversations()
    rows, refused = [], 0
    for path in sorted(FOLDER.glob("*.jinja")):
        template = path.read_text(encoding="utf-8")
        chosen = PLAIN[::1 if "tools" not in template else 2] + EVERY[::1 if "tools" in template else 3]
        for i in chosen:
            try:
                text, spans = chat_peer.theirs(template, chats[i], chat_peer.VARIABLES, mask="endgeneration" in template)
            except Exception:
                text, spans, refused = None, None, refused + 1
            row = {"template": path.stem, "chat": chats[i], "text": text}
            if spans:
                row["generated"] = [[len(text[:a].encode()), len(text[:b].encode())] for a, b in spans]
            rows.append(row)
    lines = [json.dumps({"variables": chat_peer.VARIABLES, "now": chat_peer.NOW})] + [json.dumps(r, ensure_ascii=False) for r in rows]
    (FOLDER / "goldens.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(len(rows), "goldens,", refused, "of them refused")


if __name__ == "__main__":
    main()
