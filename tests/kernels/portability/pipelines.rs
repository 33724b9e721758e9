//! Pipelines of whole iterations on the machine's adapter, or on the one that `VK_DRIVER_FILES`
//! names: Mesa compiles for GPUs that are not there as well (`mesa-drm-shim`).

use std::collections::{BTreeMap, BTreeSet};

use l2rw::gpu::{
    Context, DeviceTensors, Executable, Lifetime, Matrices, Precision, Recording, ShaderChecks,
    Staging, Tuning,
};
use l2rw::weighting::L2rw;

use super::super::translation::{tunings, weightings};
use super::limits::{plan, zoo};
use crate::common::device;

/// Buffers for all tensors that the caller of a recording supplies.
fn externals(context: &Context, recording: &Recording) -> DeviceTensors {
    let mut places = DeviceTensors::new();
    for tensor in &recording.tensors {
        let usage = match tensor.lifetime {
            Lifetime::External => wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM,
            Lifetime::ExternalUniform => wgpu::BufferUsages::UNIFORM,
            _ => continue,
        };
        let buffer = pollster::block_on(context.allocate(&tensor.label, tensor.bytes(), usage));
        places.insert(tensor.label.clone(), buffer.expect("a small buffer"));
    }
    places
}

/// What suits a GPU, with its matrices.
fn with_matrices(matrices: Matrices) -> [Tuning; 2] {
    [Precision::F32, Precision::F16].map(|precision| {
        let staging = Tuning::GPU.staging.map(|staging| Staging {
            matrices: Some(matrices),
            precision,
            ..staging
        });
        Tuning { staging, ..Tuning::GPU }
    })
}

#[test]
#[ignore = "compiles for minutes: make portability"]
fn the_adapter_takes_every_pipeline_of_the_zoo() {
    let context = device::context(ShaderChecks::Trusted);
    // What a driver's compiler breaks off may lose the device, after which wgpu refuses nothing.
    let told = context.clone();
    context.device.set_device_lost_callback(move |_, reason| told.device_lost(reason));
    let matrices = |tuning: &Tuning| tuning.staging.and_then(|staging| staging.matrices);
    let mut offered = tunings();
    offered.retain(|t| t.is_offered(context) && device::matrices().contains(&matrices(t)));
    offered.extend(device::matrices().into_iter().flatten().flat_map(with_matrices));
    let (mut refused, mut left_out) = (BTreeMap::new(), BTreeSet::new());
    for network in zoo() {
        let own = weightings(network.classes()).into_iter().map(|w| (w, context.tuning()));
        let others = offered.iter().map(|&tuning| (L2rw::default().into(), tuning));
        for (weighting, tuning) in own.chain(others) {
            let recording = plan(&network, weighting, tuning, (8, 200));
            // A network that is too large for the adapter is no matter of pipelines.
            if recording.check_limits(&context.device.limits()).is_err() {
                left_out.insert(network.name.clone());
                continue;
            }
            let places = externals(context, &recording);
            if let Err(error) = Executable::new(context, recording, &places) {
                refused.entry(error.to_string()).or_insert_with(|| network.name.clone());
            }
            assert!(!context.is_lost(), "{refused:?} with {tuning:?}");
        }
    }
    let (modules, pipelines) = context.compiled();
    let adapter = context.describe();
    println!(
        "{adapter}: {pipelines} pipelines of {modules} sources in {} tunings, with {:?}",
        offered.len(),
        device::matrices()
    );
    assert!(left_out.len() <= 1, "{left_out:?} are too large for the adapter");
    if !left_out.is_empty() {
        println!("too large for it: {left_out:?}");
    }
    assert!(refused.is_empty(), "{refused:#?}");
}
