// What tests of pages share: headless Chromium, and pictures to give it.
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { chromium } = require("playwright-core");

const FLAGS = ["--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
  "--enable-features=Vulkan", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

// A page of that size in pixels, in a browser of its own; `problems` gathers errors on its console.
async function openBrowser(width, height) {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), "l2rw-web-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS,
    viewport: { width, height }, headless: true,
  });
  const page = await context.newPage(), problems = [];
  page.on("console", (m) => { if (m.type() === "error") problems.push(m.text()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  const close = async () => {
    await context.close();
    fs.rmSync(profile, { recursive: true, force: true });
  };
  return { page, problems, close };
}

// A 24-bit BMP file. `level(x, y, channel)` is from 0 to 255, of blue, green and red, and y counts
// from below. The width is a multiple of 4, so that rows need no padding.
function saveBmp(file, width, height, level) {
  const data = Buffer.alloc(54 + 3 * width * height);
  data.write("BM");
  data.writeUInt32LE(data.length, 2);
  data.writeUInt32LE(54, 10);
  data.writeUInt32LE(40, 14);
  data.writeInt32LE(width, 18);
  data.writeInt32LE(height, 22);
  data.writeUInt16LE(1, 26);
  data.writeUInt16LE(24, 28);
  let at = 54;
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) data[at++] = level(x, y, c);
  fs.writeFileSync(file, data);
}

module.exports = { openBrowser, saveBmp };
