// Opens the report of the runs in docs/results in headless Chromium: `node report.cjs target_folder
// l2rw`. Screenshots lie in target/report-test afterwards.
const assert = require("node:assert");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { openBrowser } = require("../../examples/web/test/browser.cjs");
const { look, desktop, phone } = require("./screens.cjs");

const [target, l2rw] = process.argv.slice(2).map((argument) => path.resolve(argument));
const work = path.join(target, "report-test");
const results = path.resolve(__dirname, "../../docs/results");

// Every results.json below a folder.
function runsBelow(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const at = path.join(folder, entry.name);
    return entry.isDirectory() ? runsBelow(at) : entry.name === "results.json" ? [at] : [];
  });
}

async function main() {
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(work, { recursive: true });
  const file = path.join(work, "report.html");
  execFileSync(l2rw, ["report", results, "--out", file]);
  const runs = runsBelow(results).map((at) => JSON.parse(fs.readFileSync(at, "utf8")));
  const { page, problems, close } = await openBrowser(...desktop);
  try {
    await page.goto(pathToFileURL(file).href);
    assert.ok((await page.textContent("#about")).startsWith(`${runs.length} runs in `));
    const titles = await page.locator("h2").allTextContents();
    const names = [...new Set(runs.map((run) => run.config.experiment))].sort();
    assert.deepEqual(titles, names);
    for (const method of new Set(runs.flatMap((run) => run.methods.map((found) => found.name)))) {
      assert.ok(await page.getByRole("cell", { name: method, exact: true }).count(), method);
    }
    assert.ok(await page.locator("svg polyline").count() > 0, "no curves");
    await look(page, desktop, work, "desktop");
    for (const summary of await page.locator("summary").all()) await summary.click();
    assert.ok(await page.getByText(runs[0].driver).first().isVisible(), "no driver is named");
    await look(page, phone, work, "phone");
    assert.deepEqual(problems, [], "errors on the console");
    console.log(`report-test: ${runs.length} runs, passed`);
  } finally {
    await close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
