"""Prints what CloudFormation would get of a SAM template, as JSON: python3 template.py template.yaml"""
import json
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

template = yaml_parse(open(sys.argv[1]).read())
for resource in template["Resources"].values():
    if resource.get("Type") == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/key"
# Packing puts an address there, as above.
template["Globals"]["Function"].pop("CodeUri", None)
parameters = {name: parameter.get("Default", "x") for name, parameter in template["Parameters"].items()}
json.dump(Translator(managed_policy_map={}, sam_parser=Parser()).translate(template, parameters), sys.stdout, default=str)
