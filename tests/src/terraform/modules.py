"""Terraform modules as they are written: blocks, and the texts of their expressions."""
import functools
import pathlib

import hcl2

META = {"count", "for_each", "provider", "depends_on", "lifecycle", "provisioner"}


def plain(text):
    """A label without its quotes."""
    return text.strip('"')


def body(block):
    """A block without what the parser notes beside it."""
    return {key: value for key, value in block.items() if not key.startswith("__")}


@functools.cache
def parsed(text):
    """A file, parsed once however often it is read; callers do not change what is returned."""
    return hcl2.loads(text)


class Module:
    """One directory: resources and data by (kind, name), calls of modules, variables, outputs, locals by name."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory).resolve()
        self.resources, self.data = {}, {}
        self.calls, self.variables, self.outputs, self.locals = {}, {}, {}, {}
        self.texts = []
        for file in sorted(self.directory.glob("*.tf")):
            self.add(parsed(file.read_text()))

    def add(self, file):
        for section, found in (("resource", self.resources), ("data", self.data)):
            for one in file.get(section, []):
                for kind, named in one.items():
                    for name, block in named.items():
                        found[plain(kind), plain(name)] = body(block)
        for section, found in (("module", self.calls), ("variable", self.variables), ("output", self.outputs)):
            for one in file.get(section, []):
                for name, block in one.items():
                    found[plain(name)] = body(block)
        for block in file.get("locals", []):
            self.locals.update(body(block))
        self.texts.extend(strings({key: file[key] for key in file if not key.startswith("__")}))

    def called(self, name):
        """The directory of a called module."""
        return self.directory / plain(self.calls[name]["source"])


def strings(value):
    """All texts in a block, at any depth, but not the comments."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if not key.startswith("__"):
                yield from strings(one)
