"""Prints what the Terraform modules say of each resource, as JSON, as far as it is known before anything is there:

    python3 facts.py terraform/   →   {"aws_lambda_function": {"functions/worker/this": {"timeout": 900, …}}, …}

Resolved are references to variables, locals, `each` and members of deploy/stack.json; whatever else is left out. Of
environments only the names are told."""
import json
import pathlib
import re
import sys

from modules import META, Module, body, plain

PATH = re.compile(r"^([\w-]+)((?:\.[\w-]+|\[\"[\w-]+\"\])*)$")
FILTERED = re.compile(r'^\{for (\w+), (\w+) in (.+) : \1 => \2 if \1 != "([\w-]+)"\}$')


class Unknown(Exception):
    """It is not known before something is there."""


class Scope:
    """A module as it is called: what its variables are, and what `each` is."""

    def __init__(self, module, given=None, each=None):
        self.module, self.given, self.each = module, given or {}, each

    def value(self, written):
        if isinstance(written, (bool, int, float)) or written is None:
            return written
        if isinstance(written, list):
            return [self.value(one) for one in written]
        if isinstance(written, dict):
            return {plain(key): self.value(one) for key, one in body(written).items()}
        if written.startswith("${") and written.endswith("}"):
            return self.expression(written[2:-1])
        text = plain(written)
        return re.sub(r"\$\{([^}]*)\}", lambda match: str(self.expression(match.group(1))), text)

    def expression(self, text):
        if text == 'jsondecode(file("${path.module}/../deploy/stack.json"))':
            return json.loads((self.module.directory / "../deploy/stack.json").read_text())
        if text.startswith("jsonencode(") and text.endswith(")"):
            return json.dumps(self.expression(text[11:-1]), separators=(",", ":"))
        filtered = FILTERED.match(text)
        if filtered:
            return {k: v for k, v in self.expression(filtered.group(3)).items() if k != filtered.group(4)}
        path = PATH.match(text)
        if not path:
            raise Unknown(text)
        steps = re.findall(r"[\w-]+", path.group(2))
        value = self.root(path.group(1), steps)
        for step in steps:
            if not isinstance(value, dict) or step not in value:
                raise Unknown(text)
            value = value[step]
        return value

    def root(self, name, steps):
        if name == "each" and self.each:
            return self.each
        if name == "var" and steps and steps[0] in self.given:
            return {steps[0]: self.given[steps[0]]()}
        if name == "var" and steps and "default" in self.module.variables.get(steps[0], {}):
            return {steps[0]: self.value(self.module.variables[steps[0]]["default"])}
        if name == "local" and steps and steps[0] in self.module.locals:
            return {steps[0]: self.value(self.module.locals[steps[0]])}
        raise Unknown(name)

    def instances(self, block):
        """A scope for each of `for_each`."""
        if "for_each" not in block:
            return [("", self)]
        try:
            each = self.value(block["for_each"])
        except Unknown:
            return []
        return [(key, Scope(self.module, self.given, {"key": key, "value": each[key]})) for key in each]

    def known(self, block):
        """What is known of a block."""
        found = {}
        for name, written in block.items():
            if name in META or name == "dynamic":
                continue
            try:
                found[name] = (
                    [self.known(body(one)) for one in written]
                    if isinstance(written, list) and written and isinstance(written[0], dict)
                    else self.value(written)
                )
            except Unknown:
                pass
        return found


def walk(scope, where, facts):
    for (kind, name), block in scope.module.resources.items():
        for key, one in scope.instances(block):
            address = "/".join(part for part in (where, name, key) if part)
            facts.setdefault(kind, {})[address] = one.known(block)
    for name, call in scope.module.calls.items():
        for key, one in scope.instances(call):
            given = {
                argument: (lambda one=one, written=written: one.value(written))
                for argument, written in call.items()
                if argument not in META | {"source"}
            }
            called = Scope(Module(scope.module.called(name)), given)
            walk(called, "/".join(part for part in (where, name, key) if part), facts)


def names(written):
    """The names of the settings in an object, as the parser left it or as an expression."""
    return sorted(set(re.findall(r"\b(?:BIO_MCP|AWS|OTEL)_\w+(?='?\s*[=:] )", str(written))))


def environment(module):
    """The names of settings that every function is told beside those of deploy/stack.json, and those that one is."""
    of = {plain(name): names(written) for name, written in body(module.locals["environment_of"]).items()}
    return {"every": names(module.locals["environment"]), "of": of}


root = Module(pathlib.Path(sys.argv[1]))
facts = {}
walk(Scope(root), "", facts)
json.dump({"resources": facts, "environment": environment(root)}, sys.stdout, indent=1, sort_keys=True)
