//! The limits of every graphics interface, for kernels of all kinds and for plans of the sizes that
//! people train.

use std::collections::{BTreeMap, HashMap};

use l2rw::gpu::{Access, Dispatch, Kernel, Matrices, Recording, Tuning};
use l2rw::nn::{Network, Normalisation, Shape, zoo};
use l2rw::ops::batch::{Gather, ValueType};
use l2rw::plan::{
    DatasetFacts, DatasetShape, Input, Optimizer, TrainingOptions, training, training_on,
};
use l2rw::weighting::{L2rw, Uniform, Weighting};

use super::super::translation::{
    RECORDINGS, dispatches, has_matrices, parsed, tunings, weightings, with_constants,
};

/// Entries of Metal's one table of buffers. wgpu keeps one for immediates and one for the sizes of
/// the others (wgpu-hal, metal/adapter.rs).
const METAL_BUFFERS: u64 = 31 - 2;

/// What a kernel of fixed constants asks for.
#[derive(Clone)]
struct Workgroup {
    bytes: u64,
    size: [u32; 3],
    /// Least bytes of each binding.
    bindings: BTreeMap<u32, u64>,
}

fn workgroup_of(kernel: &Kernel, parsed: &(naga::Module, naga::valid::ModuleInfo)) -> Workgroup {
    let (module, info) = with_constants(kernel, &parsed.0, &parsed.1)
        .unwrap_or_else(|error| panic!("{}: {error}", kernel.variant()));
    let mut layouter = naga::proc::Layouter::default();
    layouter.update(module.to_ctx()).expect("a layout");
    let index = module.entry_points.iter().position(|entry| entry.name == kernel.entry);
    let index = index.expect("the entry point");
    let uses = info.get_entry_point(index);
    let (mut bytes, mut bindings) = (0, BTreeMap::new());
    for (handle, variable) in module.global_variables.iter() {
        let size = layouter[variable.ty].size;
        match &variable.binding {
            _ if uses[handle].is_empty() => {}
            Some(place) => drop(bindings.insert(place.binding, size.into())),
            // wgpu-core and wgpu-hal count in steps of 16.
            None if variable.space == naga::AddressSpace::WorkGroup => {
                bytes += u64::from(size.next_multiple_of(16));
            }
            None => {}
        }
    }
    Workgroup { bytes, size: module.entry_points[index].workgroup_size, bindings }
}

/// Workgroups of kernels, each text parsed once and each kernel taken apart once.
#[derive(Default)]
struct Workgroups {
    texts: HashMap<String, (naga::Module, naga::valid::ModuleInfo)>,
    known: HashMap<Kernel, Workgroup>,
}

impl Workgroups {
    fn of(&mut self, kernel: &Kernel) -> Workgroup {
        let (texts, known) = (&mut self.texts, &mut self.known);
        let make =
            || workgroup_of(kernel, texts.entry(kernel.source()).or_insert_with(|| parsed(kernel)));
        known.entry(kernel.clone()).or_insert_with(make).clone()
    }
}

/// What a dispatch takes more of than some interface has.
fn excesses(dispatch: &Dispatch, workgroup: &Workgroup) -> Vec<String> {
    // WebGPU's defaults, which Vulkan, Metal and DirectX 12 offer wherever wgpu runs.
    let limits = wgpu::Limits::default();
    let uniform = dispatch.bindings.iter().filter(|b| b.access == Access::Uniform).count() as u64;
    let all = dispatch.bindings.len() as u64;
    let [x, y, z] = workgroup.size;
    // Only native devices have cooperative matrices, and they are asked for more memory.
    let memory = match has_matrices(&dispatch.kernel) {
        true => Matrices::WORKGROUP_MEMORY,
        false => limits.max_compute_workgroup_storage_size,
    };
    let widest = dispatch.workgroups.into_iter().max().unwrap_or(0);
    let needs: [(&str, u64, u64); 10] = [
        ("storage buffers", all - uniform, limits.max_storage_buffers_per_shader_stage.into()),
        ("uniform buffers", uniform, limits.max_uniform_buffers_per_shader_stage.into()),
        ("bindings", all, limits.max_bindings_per_bind_group.into()),
        ("buffers of Metal", all, METAL_BUFFERS),
        ("bytes of workgroup memory", workgroup.bytes, memory.into()),
        ("columns of a workgroup", x.into(), limits.max_compute_workgroup_size_x.into()),
        ("rows of a workgroup", y.into(), limits.max_compute_workgroup_size_y.into()),
        ("layers of a workgroup", z.into(), limits.max_compute_workgroup_size_z.into()),
        (
            "invocations of a workgroup",
            workgroup.size.into_iter().map(u64::from).product(),
            limits.max_compute_invocations_per_workgroup.into(),
        ),
        (
            "workgroups in one dimension",
            widest.into(),
            limits.max_compute_workgroups_per_dimension.into(),
        ),
    ];
    let over = needs.into_iter().filter(|(_, needed, limit)| needed > limit);
    let mut excesses: Vec<String> =
        over.map(|(what, needed, limit)| format!("{needed} {what}, at most {limit}")).collect();
    for (&binding, &least) in &workgroup.bindings {
        let bound = dispatch.bindings.get(binding as usize).map_or(0, |b| 4 * b.len as u64);
        if bound < least {
            excesses.push(format!("{bound} bytes at binding {binding}, at least {least}"));
        }
    }
    excesses
}

/// Excesses of all dispatches, each once.
fn excesses_of<'a>(
    workgroups: &mut Workgroups,
    dispatches: impl IntoIterator<Item = &'a Dispatch>,
    found: &mut BTreeMap<String, String>,
) {
    for dispatch in dispatches {
        for excess in excesses(dispatch, &workgroups.of(&dispatch.kernel)) {
            let place = format!("{}/{}", dispatch.stage, dispatch.label);
            found.entry(format!("{}: {excess}", dispatch.kernel.variant())).or_insert(place);
        }
    }
}

#[test]
fn every_kernel_keeps_to_the_limits_of_every_graphics_interface() {
    let (mut workgroups, mut found) = (Workgroups::default(), BTreeMap::new());
    excesses_of(&mut workgroups, dispatches(), &mut found);
    assert!(workgroups.known.len() > 500, "only {} kernels", workgroups.known.len());
    assert!(found.is_empty(), "{found:#?}");
    for recording in RECORDINGS.iter() {
        recording.check_limits(&wgpu::Limits::default()).expect("small tensors");
    }
}

/// The zoo, on MNIST's and CIFAR's images.
pub(super) fn zoo() -> Vec<Network> {
    let network = |(name, side, channels): (&str, usize, usize)| {
        zoo::by_name(name, Shape::new(side, side, channels), 10, Normalisation::batch())
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let small = ["mlp", "lenet5", "mnist_lenet", "caffe_lenet"].map(|name| (name, 28, 1));
    let large =
        ["mlp", "lenet5", "resnet32", "resnet20-gn8", "wrn-28-10"].map(|name| (name, 32, 3));
    small.into_iter().chain(large).map(network).collect()
}

/// An iteration on that many images.
pub(super) fn plan(
    network: &Network,
    weighting: Weighting,
    tuning: Tuning,
    (batch, images): (usize, usize),
) -> Recording {
    let Shape { height, width, channels } = network.input();
    let gather = Gather { height, width, channels, crop_pad: 4, flip: true };
    // As many as WebGPU's 128 MiB of a binding hold.
    let images_per_piece = (128 << 20) / network.input().len();
    let dataset =
        DatasetShape { len: images, values: ValueType::Bytes, images_per_piece, streamed: false };
    let classes = network.classes();
    let labels: Vec<u32> = (0..images).map(|i| (i % classes) as u32).collect();
    let pixels = vec![7; if images > 1000 { 0 } else { images * network.input().len() }];
    let facts = DatasetFacts { labels: &labels, values: (&pixels).into(), classes, seed: 1 };
    let options = TrainingOptions {
        batch,
        clean_batch: batch,
        weighting,
        optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
        tuning,
        input: Input::Datasets { train: dataset, clean: dataset, gather },
    };
    let plan = training_on(network, &options, &facts);
    plan.unwrap_or_else(|error| panic!("{}: {error}", network.name)).recording
}

/// Every method in two tunings, and learned weights in all, on 50,000 images.
fn plans_of(network: &Network, mut take: impl FnMut(Recording)) {
    for tuning in [Tuning::GPU, Tuning::SOFTWARE] {
        for weighting in weightings(network.classes()) {
            take(plan(network, weighting, tuning, (100, 200)));
        }
        let options = TrainingOptions {
            batch: 100,
            clean_batch: 100,
            weighting: Uniform.into(),
            optimizer: Optimizer::ADAMW,
            tuning,
            input: Input::Buffers,
        };
        take(training(network, &options).expect("a plan").recording);
    }
    for tuning in tunings() {
        take(plan(network, L2rw::default().into(), tuning, (100, 50_000)));
    }
}

/// What browsers on most machines and all native devices hold more of than the defaults say.
fn is_largest(words: &str) -> bool {
    words.starts_with("wrn-28-10: ") && words.contains("takes 144882944 bytes")
}

#[test]
fn every_plan_of_the_zoo_keeps_to_the_limits_of_every_graphics_interface() {
    let (mut workgroups, mut found) = (Workgroups::default(), BTreeMap::new());
    let (mut plans, mut refused) = (0, BTreeMap::new());
    let defaults = wgpu::Limits::default();
    // As large a binding as the default of a buffer allows.
    let larger = wgpu::Limits {
        max_storage_buffer_binding_size: defaults.max_buffer_size,
        ..defaults.clone()
    };
    for network in zoo() {
        plans_of(&network, |recording| {
            plans += 1;
            excesses_of(&mut workgroups, &recording.dispatches, &mut found);
            for (limits, name) in [(&defaults, "defaults"), (&larger, "larger bindings")] {
                if let Err(error) = recording.check_limits(limits) {
                    let words = format!("{}: {error}", network.name);
                    refused.entry(words).or_insert_with(Vec::new).push(name);
                }
            }
        });
    }
    println!("{plans} plans, {} kernels", workgroups.known.len());
    assert!(found.is_empty(), "{found:#?}");
    let others: Vec<_> = refused
        .iter()
        .filter(|(words, with)| !is_largest(words) || with.contains(&"larger bindings"))
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    assert!(!refused.is_empty(), "one network is too large for the defaults");
}
