"""What arguments and attributes resources of the AWS provider have, as the classes generated of its schema say.

The package `cdktf-cdktf-provider-aws` is read where it lies, as a wheel: a module for each kind of resource, in it a
class for its arguments, one for each kind of nested block, and one with its attributes."""
import ast
import re
import zipfile

META = {"connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"}
CONFIG = re.compile(r"^class (\w+)Config\(\s*_cdktf_\w+\.TerraformMetaArguments", re.M)


class Schema:
    def __init__(self, wheel):
        self.wheel = zipfile.ZipFile(wheel)
        self.modules = {}

    def kind(self, name, is_data):
        """A kind such as `aws_sqs_queue`; nothing when there is none."""
        module = f"data_{name}" if is_data else name.removeprefix("aws_")
        if module not in self.modules:
            path = f"cdktf_cdktf_provider_aws/{module}/__init__.py"
            known = path in self.wheel.namelist()
            self.modules[module] = Kind(self.wheel.read(path).decode()) if known else None
        return self.modules[module]


class Kind:
    def __init__(self, text):
        name = CONFIG.search(text).group(1)
        self.classes = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
        self.arguments = self.block(name + "Config")
        self.attributes = {
            member.name
            for member in self.classes[name].body
            if isinstance(member, ast.FunctionDef)
            and any(getattr(mark, "attr", "") == "property" for mark in member.decorator_list)
        }

    def block(self, name):
        """Arguments of a block: name to (whether it is required, the name of the class of the nested block or None)."""
        made = next(m for m in self.classes[name].body if isinstance(m, ast.FunctionDef) and m.name == "__init__")
        found = {}
        for argument, default in zip(made.args.kwonlyargs, made.args.kw_defaults):
            if argument.arg in META and name.endswith("Config"):
                continue
            names = re.findall(r"\w+", ast.unparse(argument.annotation))
            nested = next((n for n in names if n in self.classes), None)
            found[argument.arg] = (default is None, nested)
        return found
