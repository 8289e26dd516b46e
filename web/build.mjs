// Builds the console into internal/console/dist. The same sources give the same bytes: names carry the hash of their content.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const out = process.argv[2] ?? "../internal/console/dist";
const result = await build({
  entryPoints: { console: "src/main.tsx" },
  bundle: true, minify: true, write: false, outdir: "out", format: "esm", target: "es2022",
  jsx: "automatic", jsxImportSource: "preact", legalComments: "inline", charset: "utf8",
});
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
let page = readFileSync("src/index.html", "utf8");
let size = 0;
for (const f of result.outputFiles) {
  const ext = f.path.endsWith(".css") ? "css" : "js";
  const name = `console-${createHash("sha256").update(f.contents).digest("hex").slice(0, 12)}.${ext}`;
  writeFileSync(`${out}/${name}`, f.contents);
  page = page.replace(`{{${ext}}}`, name);
  size += gzipSync(f.contents).length;
}
writeFileSync(`${out}/index.html`, page);
console.log(`${size} bytes gzipped`);
