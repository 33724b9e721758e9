// Makes the compute pipelines that a folder lists with Dawn, the WebGPU of Chrome and Edge, as node's
// package webgpu has it, and prints what it refuses.
//
//     node scripts/dawn.mjs MODULES FOLDER
//
// MODULES is the node_modules that webgpu is in. FOLDER holds WGSL and pipelines.json, which
// tests/kernels/portability/browsers.rs writes. Exits with 1 where a pipeline is refused.

import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, folder] = process.argv.slice(2);
const home = resolve(modules, 'webgpu');
const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
const { create, globals } = await import(pathToFileURL(join(home, 'index.js')));
Object.assign(globalThis, globals);

// Kept, since without it nothing keeps node alive while it waits.
const gpu = create([]);
const adapter = await gpu.requestAdapter();
if (!adapter) {
  console.error(`webgpu ${version}: Dawn accepts no adapter of this machine`);
  process.exit(1);
}
const f16 = adapter.features.has('shader-f16');
const device = await adapter.requestDevice({ requiredFeatures: f16 ? ['shader-f16'] : [] });

const modulesOf = new Map();
function moduleOf(file) {
  if (!modulesOf.has(file)) {
    const code = readFileSync(join(folder, file), 'utf8');
    modulesOf.set(file, device.createShaderModule({ code }));
  }
  return modulesOf.get(file);
}

// What Dawn says against a pipeline, if anything.
async function refusal({ file, entry, constants, bindings }) {
  device.pushErrorScope('validation');
  const module = moduleOf(file);
  const entries = bindings.map((type, binding) =>
    ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } }));
  const layout = device.createPipelineLayout({
    bindGroupLayouts: [device.createBindGroupLayout({ entries })],
  });
  const compute = { module, entryPoint: entry, constants };
  let reason = null;
  try {
    await device.createComputePipelineAsync({ layout, compute });
  } catch (error) {
    reason = error.message;
  }
  const invalid = await device.popErrorScope();
  return invalid?.message ?? reason;
}

const pipelines = JSON.parse(readFileSync(join(folder, 'pipelines.json'), 'utf8'));
const wanted = pipelines.filter((pipeline) => f16 || !pipeline.f16);
let refused = 0;
for (const pipeline of wanted) {
  const reason = await refusal(pipeline);
  if (reason !== null) {
    refused += 1;
    console.error(`${pipeline.name}: ${reason}`);
  }
}
const { vendor, architecture, description } = adapter.info;
const name = [vendor, architecture, description].filter(Boolean).join(' ');
const left = pipelines.length - wanted.length;
console.log(`webgpu ${version} on ${name}: ${wanted.length} pipelines of ${modulesOf.size} sources, ` +
  `${refused} refused${left ? `; ${left} with f16 left out, which it lacks` : ''}`);
// Dawn's threads would keep node alive.
process.exit(refused || !wanted.length ? 1 : 0);
