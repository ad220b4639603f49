# Example plugin in Python: a component of 18 MB, the interpreter with it.
#
# Tools: Python 3.11 or later, and `componentize-py` 0.25.1 of PyPI, which leaves a __pycache__ beside the source: so a
# copy is built. `cargo xtask examples` does so, from the root of the repository:
#
#   python3 -m venv target/examples/venv
#   target/examples/venv/bin/pip install componentize-py==0.25.1
#   mkdir -p target/examples/python
#   cp plugins/examples/python/plugin.py target/examples/python/plugin.py
#   target/examples/venv/bin/componentize-py --wit-path sdk/wit/since_v0_1 --world message-hook
#     componentize --stub-wasi --python-path target/examples/python --output target/examples/example-python.wasm plugin

import re

from wit_world import exports
from wit_world.exports.message import Event
from wit_world.imports.types import Finding, Refusal, Verdict, Verdict_Allow, Verdict_Bounce, Verdict_Reject

WORD = "casino"


def is_shouting(text: str) -> bool:
    return len(re.findall("[A-Z]", text)) >= 10 and not re.search("[a-z]", text)


class Message(exports.Message):
    def decide(self, event: Event) -> Verdict:
        if WORD in event.plain:
            finding = Finding(rule="word", where=None, note=WORD)
            return Verdict_Reject(Refusal(reason="We do not talk about that here.", finding=finding))
        if is_shouting(event.body):
            finding = Finding(rule="shouting", where=None, note="")
            return Verdict_Bounce(Refusal(reason="Please do not shout.", finding=finding))
        return Verdict_Allow()
