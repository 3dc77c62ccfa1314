// Reads a JSON list of queries and writes for each what Trino's grammar has against it: a JSON list of messages or null.
import { register } from "node:module";
import { text } from "node:stream/consumers";

register("./resolving.mjs", import.meta.url);
const { TrinoSQL } = await import("dt-sql-parser/dist/parser/trino/index.js");
const parser = new TrinoSQL();
const told = JSON.parse(await text(process.stdin)).map((sql) => parser.validate(sql)[0]?.message ?? null);
process.stdout.write(JSON.stringify(told));
