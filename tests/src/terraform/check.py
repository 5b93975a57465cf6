"""Finds in Terraform modules what `terraform validate` would: arguments that a resource does not have or lacks,
references to what is not there; and what it would not: unused variables, actions with a wildcard.

    python3 check.py provider-schema.whl terraform/...

Each directory is looked at with those of its modules/ and examples/. Prints, as JSON, the faults of each and how much of
the first was looked at."""
import json
import pathlib
import re
import sys

from modules import META, Module, body, plain
from schema import Schema

REFERENCE = re.compile(r"(?<![\w.\"-])(data\.aws_\w+|aws_\w+|var|local|module)\.([\w-]+)((?:\[[^\]]*\]|\.[\w*-]+)*)")
STATEMENT = re.compile(r'(Sid|Effect|Action|Resource)\s*=\s*(\[[^\]]*\]|"(?:\$\{[^}]*\}|[^"])*"|[\w.\[\]]+)')


class Checker:
    def __init__(self, schema):
        self.schema = schema
        self.faults = []
        self.looked_at = {"resources": 0, "arguments": 0, "references": 0, "actions": 0}

    def fault(self, module, text):
        self.faults.append(f"{module.directory.name}: {text}")

    def module(self, module):
        for found, is_data in ((module.resources, False), (module.data, True)):
            for (kind, name), block in found.items():
                self.looked_at["resources"] += 1
                known = self.schema.kind(kind, is_data)
                if known is None:
                    self.fault(module, f"{kind}.{name}: there is no such kind")
                    continue
                given = {key: value for key, value in block.items() if key not in META}
                self.block(module, f"{kind}.{name}", known, known.arguments, given)
        self.calls(module)
        self.references(module)
        for text in module.texts:
            self.statements(module, text)

    def block(self, module, where, kind, arguments, given):
        given = dict(given)
        for dynamic in given.pop("dynamic", []):
            for name, block in dynamic.items():
                given[plain(name)] = block["content"]
        for name, value in given.items():
            self.looked_at["arguments"] += 1
            if name not in arguments:
                self.fault(module, f"{where}: there is no argument {name}")
                continue
            nested = arguments[name][1]
            for one in value if isinstance(value, list) else []:
                if nested and isinstance(one, dict):
                    self.block(module, f"{where}.{name}", kind, kind.block(nested), body(one))
        for name, (is_required, _) in arguments.items():
            if is_required and name not in given:
                self.fault(module, f"{where}: the argument {name} is missing")

    def calls(self, module):
        for name, call in module.calls.items():
            called = Module(module.called(name))
            given = {key for key in call if key not in META | {"source", "providers"}}
            for argument in sorted(given - called.variables.keys()):
                self.fault(module, f"module.{name}: there is no variable {argument}")
            for argument, variable in called.variables.items():
                if "default" not in variable and argument not in given:
                    self.fault(module, f"module.{name}: the variable {argument} is missing")

    def references(self, module):
        used = set()
        for text in module.texts:
            for root, name, rest in REFERENCE.findall(text):
                self.looked_at["references"] += 1
                # Of `this[0].id`, `this["a"].id` and `this[*].id` what is asked is `id`.
                asked = re.sub(r"\[[^\]]*\]", "", rest).strip(".").split(".")[0]
                if root == "var":
                    used.add(name)
                if not self.is_there(module, root, name, asked):
                    self.fault(module, f"{root}.{name}{rest} is not there")
        for variable in sorted(module.variables.keys() - used):
            self.fault(module, f"var.{variable} is not used")

    def is_there(self, module, root, name, asked):
        if root == "var":
            return name in module.variables
        if root == "local":
            return name in module.locals
        if root == "module":
            return name in module.calls and (not asked or asked in Module(module.called(name)).outputs)
        is_data = root.startswith("data.")
        kind = root.removeprefix("data.")
        if (kind, name) not in (module.data if is_data else module.resources):
            return False
        known = self.schema.kind(kind, is_data)
        return known is None or not asked or asked in known.attributes

    def statements(self, module, text):
        """Only the account may do everything with its own key, which logs use as AWS says: with verbs that end in a
        star; and only denials may name everything."""
        sid = effect = ""
        for key, value in STATEMENT.findall(text):
            if key == "Sid":
                sid = plain(value)
            elif key == "Effect":
                effect = plain(value)
            elif key == "Action":
                self.looked_at["actions"] += 1
                if "*" in value and effect == "Allow" and sid not in ("Account", "Logs"):
                    self.fault(module, f"a role may do {value}")
            elif value == '"*"' and effect == "Allow" and sid not in ("Account", "Alarms", "Logs"):
                self.fault(module, "a role may do something with everything")


schema = Schema(sys.argv[1])
checkers = []
for root in map(pathlib.Path, sys.argv[2:]):
    checker = Checker(schema)
    for directory in [root, *sorted(root.glob("modules/*")), *sorted(root.glob("examples/*"))]:
        checker.module(Module(directory))
    checkers.append(checker)
json.dump({"faults": [checker.faults for checker in checkers], "looked_at": checkers[0].looked_at}, sys.stdout)
