//! Pipelines of whole iterations on the machine's adapter, or on the one that `VK_DRIVER_FILES`
//! names: Mesa compiles for GPUs that are not there as well (`mesa-drm-shim`).

use std::collections::BTreeMap;

use l2rw::gpu::{Context, DeviceTensors, Executable, Lifetime, Recording, ShaderChecks};
use l2rw::weighting::L2rw;

use super::super::translation::{tunings, weightings};
use super::limits::{plan, zoo};
use crate::common::device::context;

/// Buffers for all tensors that the caller of a recording supplies.
fn externals(context: &Context, recording: &Recording) -> DeviceTensors {
    let mut places = DeviceTensors::new();
    for tensor in &recording.tensors {
        let usage = match tensor.lifetime {
            Lifetime::External => wgpu::BufferUsages::STORAGE,
            Lifetime::ExternalUniform => wgpu::BufferUsages::UNIFORM,
            _ => continue,
        };
        let buffer = pollster::block_on(context.allocate(&tensor.label, tensor.bytes(), usage));
        places.insert(tensor.label.clone(), buffer.expect("a small buffer"));
    }
    places
}

#[test]
#[ignore = "compiles for minutes: make portability"]
fn the_adapter_takes_every_pipeline_of_the_zoo() {
    let context = context(ShaderChecks::Trusted);
    let offered = || tunings().into_iter().filter(|tuning| tuning.is_offered(context));
    let mut refused = BTreeMap::new();
    for network in zoo() {
        let own = weightings(network.classes()).into_iter().map(|w| (w, context.tuning()));
        let others = offered().map(|tuning| (L2rw::default().into(), tuning));
        for (weighting, tuning) in own.chain(others) {
            let recording = plan(&network, weighting, tuning, (8, 200));
            let places = externals(context, &recording);
            if let Err(error) = Executable::new(context, recording, &places) {
                refused.entry(error.to_string()).or_insert_with(|| network.name.clone());
            }
        }
    }
    let (modules, pipelines) = context.compiled();
    println!("{}: {pipelines} pipelines of {modules} sources", context.describe());
    assert!(refused.is_empty(), "{refused:#?}");
}
