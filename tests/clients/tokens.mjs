// How many tokens a text on standard input is: `tokens.mjs NODE_MODULES`. The vocabulary comes with the package.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";

const load = createRequire(`${process.argv[2]}/`);
const { Tiktoken } = load("js-tiktoken/lite");
const all = await text(process.stdin);
for (const name of ["o200k_base", "cl100k_base"]) {
  console.log(name, new Tiktoken(load(`js-tiktoken/ranks/${name}`)).encode(all).length);
}
