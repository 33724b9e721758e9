//! Every kernel in the languages of every graphics API, without a GPU: WGSL is parsed, its
//! constants filled in, validated and written as SPIR-V, MSL, HLSL and GLSL by the translator that
//! wgpu uses.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::LazyLock;

use l2rw::gpu::{
    Access, Dispatch, ElementType, Kernel, Lifetime, Matrices, Precision, Recorder, Recording,
    Staging, Tensor, TensorId, Tuning,
};
use l2rw::nn::zoo::{Mlp, ResNet, caffe_lenet, lenet5, mlp, mnist_lenet};
use l2rw::nn::{Network, Normalisation, Shape};
use l2rw::ops::batch::{Gather, ValueType};
use l2rw::ops::{Step, View, Window, add, conv, import, matmul, not_finite, pool};
use l2rw::plan::{
    DatasetFacts, DatasetShape, Input, Optimizer, Route, TrainingOptions, evaluation, training,
    training_on,
};
use l2rw::weighting::{
    ClassFactors, ClassWeighted, L2rw, LabelSmoothing, Mentor, Setup, Uniform, Weighting, variants,
};
use naga::ShaderStage;
use naga::back::pipeline_constants::process_overrides;
use naga::back::{PipelineConstants, glsl, hlsl, msl, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

fn networks() -> Vec<Network> {
    let image = Shape::new(9, 10, 3);
    let resnet = |norm, widths| {
        let net = ResNet::wide(10, 1, norm, 0.3).expect("a depth of 10").with_widths(widths);
        net.build("resnet", image, 4)
    };
    [
        mlp(image, &[12, 7], 4),
        Mlp { hidden: vec![12, 7], layer_norm: true, gelu: true }.build("mlp", image, 4),
        lenet5(Shape::new(13, 14, 1), 3),
        mnist_lenet(Shape::new(8, 9, 1), 2),
        caffe_lenet(Shape::new(16, 17, 1), 3),
        resnet(Normalisation::batch(), [8, 16, 32]),
        resnet(Normalisation::batch_paper(), [8, 16, 32]),
        resnet(Normalisation::group(4), [8, 16, 32]),
        // Channels that do not come by fours.
        resnet(Normalisation::batch(), [5, 6, 9]),
        resnet(Normalisation::group(3), [6, 9, 12]),
    ]
    .map(|network| network.expect("the input is large enough"))
    .into()
}

/// Every method, and every route of the one with routes.
pub(super) fn weightings(classes: usize) -> Vec<Weighting> {
    let l2rw = |route, decay_in_clean_gradient| {
        L2rw { route: Some(route), decay_in_clean_gradient, last_layers: None }.into()
    };
    let routes =
        [l2rw(Route::Tangent, true), l2rw(Route::PerLayer, true), l2rw(Route::PerLayer, false)];
    let setup = Setup {
        steps: 100,
        label_correct: Some(vec![0.5; classes]),
        confusion: Some(vec![1.0; classes * classes]),
        mentor: Some(Mentor::untrained(1)),
        ..Setup::default()
    };
    let methods =
        variants().map(|v| (v.make)(&setup).unwrap_or_else(|e| panic!("{}: {e}", v.name)));
    methods.chain(routes).collect()
}

fn plans(network: &Network) -> Vec<Recording> {
    let Shape { height, width, channels } = network.input();
    let gather = Gather { height, width, channels, crop_pad: 2, flip: true };
    let dataset =
        DatasetShape { len: 90, values: ValueType::Bytes, images_per_piece: 50, streamed: false };
    let floats = DatasetShape { values: ValueType::Floats, ..dataset };
    let mut plans = Vec::new();
    let labels: Vec<u32> = (0..90).map(|i| i % network.classes() as u32).collect();
    let images = vec![7; 90 * network.input().len()];
    let classes = network.classes();
    let facts = DatasetFacts { labels: &labels, values: (&images).into(), classes, seed: 1 };
    for tuning in [Tuning::GPU, Tuning::SOFTWARE] {
        let scoring = evaluation(network, 20, floats, &gather, tuning);
        plans.push(scoring.expect("an evaluation plan").0);
        for weighting in weightings(classes) {
            let input = Input::Datasets { train: dataset, clean: dataset, gather };
            let options = TrainingOptions {
                batch: 9,
                clean_batch: 5,
                weighting,
                optimizer: Optimizer::Sgd { momentum: 0.9, nesterov: false },
                tuning,
                input,
            };
            plans.push(training_on(network, &options, &facts).expect("a training plan").recording);
        }
        let optimizer = Optimizer::ADAMW;
        let of = LabelSmoothing { smoothing: 0.1, of: Uniform.into() }.into();
        let factors = ClassFactors::Given(vec![1.0; network.classes()]);
        let weighting = ClassWeighted { factors, of }.into();
        let options = TrainingOptions {
            batch: 9,
            clean_batch: 5,
            weighting,
            optimizer,
            tuning,
            input: Input::Buffers,
        };
        plans.push(training(network, &options).expect("a training plan").recording);
    }
    plans
}

/// What not every block size has in those plans, and what none has.
fn other_operations() -> Recording {
    let mut rec = Recorder::new();
    let mut input = |len| rec.external("input", ElementType::F32, len);
    let (a, b) = (input(1 << 17), input(1 << 17));
    add::forward(&mut rec, a, b);
    add::zeros_like(&mut rec, a);
    let window = Window::same(4, 6, 3, 3, 3, 2);
    let (y, winner) = pool::max_forward(&mut rec, &window, 2, a);
    pool::max_tangent(&mut rec, &window, 2, a, winner);
    pool::max_backward(&mut rec, &window, 2, y, winner);
    for (in_channels, out_channels) in [(8, 4), (116, 120), (3, 4), (3, 2)] {
        convolution(&mut rec, &Window::same(4, 6, in_channels, out_channels, 3, 2), a, b);
    }
    for (m, k, n) in [(12, 8, 8), (128, 8, 128), (12, 9, 4), (12, 6, 5), (34, 37, 33)] {
        for tuning in tunings() {
            rec.tune(tuning);
            for product in [matmul::nn, matmul::nt, matmul::tn] {
                product(&mut rec, m, k, n, a, b);
            }
        }
    }
    imports(&mut rec);
    one_pixel(&mut rec);
    rec.finish().expect("a valid recording")
}

/// What the application's own batches go through.
fn imports(rec: &mut Recorder) {
    let step = rec.tensor(Tensor {
        label: "step".into(),
        len: Step::WORDS,
        element: ElementType::U32,
        lifetime: Lifetime::ExternalUniform,
    });
    let [data, normalisation, out] = [64, 6, 30].map(|len| rec.external("", ElementType::F32, len));
    let labels = rec.external("labels", ElementType::U32, 10);
    import::labels(rec, step, import::ImportOffset::CleanLabels, 4, data, labels);
    for values in [ValueType::Bytes, ValueType::Floats] {
        let source = import::ImportOffset::TrainImages;
        import::images(rec, step, source, values, data, normalisation, out);
    }
    not_finite::leave_out(rec, out, labels, 4);
}

/// An input of fewer numbers than a kernel reads at once of anything else.
fn one_pixel(rec: &mut Recorder) {
    rec.tune(Tuning::GPU);
    let window = Window::same(1, 1, 1, 4, 1, 1);
    let [x, weights] = [1, 4].map(|len| rec.external("", ElementType::F32, len));
    conv::forward(rec, &window, 1, x, View::whole(rec, weights), None);
}

fn convolution(rec: &mut Recorder, window: &Window, x: TensorId, dy: TensorId) {
    let n = 2;
    rec.allow_rounding(true);
    let weights = View { tensor: x, offset: 0, len: window.weight_len() };
    for tuning in tunings() {
        rec.tune(tuning);
        conv::forward(rec, window, n, x, weights, Some(dy));
        conv::dual(rec, window, n, (x, Some(dy)), weights, weights, None);
        conv::input_gradient(rec, window, n, dy, weights);
        let similarities = rec.transient("similarities", n);
        let out = View::whole(rec, similarities);
        conv::similarity(rec, window, n, x, dy, weights, out);
        conv::per_example_gradient(rec, window, n, x, dy);
        let gradient = rec.transient("gradient", window.weight_len());
        let out = View::whole(rec, gradient);
        conv::weight_gradient(rec, window, n, x, dy, Some(similarities), out);
    }
}

/// Every choice, with weights in either kind of binding.
pub(super) fn tunings() -> Vec<Tuning> {
    let [gpu, shared] = [Tuning::GPU, Tuning::SOFTWARE];
    let software = Tuning { composed_dual: false, shared_loads: false, ..shared };
    let swapped = |tuning: Tuning| Tuning { uniform_weights: !tuning.uniform_weights, ..tuning };
    let mut all = vec![gpu, swapped(gpu), shared, software, swapped(software)];
    all.extend([gpu, software, swapped(software)].map(|t| Tuning { bound_sizes: true, ..t }));
    for wide_tiles in [false, true] {
        all.push(staged(wide_tiles, None, Precision::F32));
        all.push(staged(wide_tiles, None, Precision::F16));
        for (subgroup_size, side) in [(8, 8), (16, 8), (32, 8), (64, 8), (32, 16), (64, 16)] {
            let matrices = Matrices::new(subgroup_size, true, Some(side));
            assert!(matrices.is_some(), "{side} in subgroups of {subgroup_size}");
            all.push(staged(wide_tiles, matrices, Precision::F32));
            all.push(staged(wide_tiles, matrices, Precision::F16));
        }
    }
    all
}

/// Everything staged that can be, whatever its size.
fn staged(wide_tiles: bool, matrices: Option<Matrices>, precision: Precision) -> Tuning {
    let staging =
        Staging { channels: 1, product: 1, wide_tiles, workgroups: 3, matrices, precision };
    Tuning { staging: Some(staging), ..Tuning::GPU }
}

/// What is recorded for those networks, and beside them.
pub(super) static RECORDINGS: LazyLock<Vec<Recording>> = LazyLock::new(|| {
    let other = std::iter::once(other_operations());
    networks().iter().flat_map(plans).chain(other).collect()
});

/// A dispatch for each pipeline: kernel, and how each binding is used.
pub(super) fn dispatches() -> Vec<&'static Dispatch> {
    let mut seen = HashSet::new();
    let all = RECORDINGS.iter().flat_map(|recording| &recording.dispatches);
    all.filter(|d| seen.insert((&d.kernel, accesses(d)))).collect()
}

/// How a dispatch uses `@binding(i)`, for each i.
pub(super) fn accesses(dispatch: &Dispatch) -> Vec<Access> {
    dispatch.bindings.iter().map(|binding| binding.access).collect()
}

pub(super) fn kernels() -> Vec<Kernel> {
    let mut seen = HashSet::new();
    let kernels = dispatches().into_iter().map(|dispatch| &dispatch.kernel);
    kernels.filter(|kernel| seen.insert(*kernel)).cloned().collect()
}

pub(super) fn parsed(kernel: &Kernel) -> (naga::Module, ModuleInfo) {
    let source = kernel.source();
    let mut capabilities = Capabilities::empty();
    capabilities.set(Capabilities::SHADER_INT64, is_wide(kernel));
    capabilities.set(Capabilities::SHADER_FLOAT16, is_rounding(kernel));
    capabilities.set(Capabilities::SUBGROUP, is_shared(kernel) || has_matrices(kernel));
    capabilities.set(Capabilities::COOPERATIVE_MATRIX, has_matrices(kernel));
    let options = naga::front::wgsl::Options { parse_doc_comments: false, capabilities };
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&source)
        .unwrap_or_else(|error| panic!("{kernel}: {}", error.emit_to_string(&source)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{kernel}: {}", error.emit_to_string(&source)));
    (module, info)
}

/// Whether a kernel has 64-bit loads, and so is for devices that offer them.
pub(super) fn is_wide(kernel: &Kernel) -> bool {
    kernel.shader.parts.iter().any(|part| part.text.contains("u64"))
}

/// Whether a kernel has 16-bit floats.
pub(super) fn is_rounding(kernel: &Kernel) -> bool {
    kernel.shader.parts.iter().any(|part| part.text.contains("enable f16;"))
}

/// Whether a kernel has cooperative matrices, which only Vulkan and Metal have.
pub(super) fn has_matrices(kernel: &Kernel) -> bool {
    kernel.shader.parts.iter().any(|part| part.text.contains("enable wgpu_cooperative_matrix;"))
}

/// Whether the invocations of a subgroup exchange values, and so is for devices that offer it.
pub(super) fn is_shared(kernel: &Kernel) -> bool {
    kernel.shader.parts.iter().any(|part| part.text.contains("subgroupShuffle"))
}

/// A kernel's module with its constants filled in.
pub(super) fn with_constants<'a>(
    kernel: &Kernel,
    module: &'a naga::Module,
    info: &'a ModuleInfo,
) -> Result<(Cow<'a, naga::Module>, Cow<'a, ModuleInfo>), String> {
    let constants: PipelineConstants =
        kernel.constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let entry = (ShaderStage::Compute, kernel.entry);
    process_overrides(module, info, Some(entry), &constants)
        .map_err(|error| format!("constants: {error:?}"))
}

/// What goes wrong in any of the four languages.
fn failures(dispatch: &Dispatch, module: &naga::Module, info: &ModuleInfo) -> Vec<String> {
    let kernel = &dispatch.kernel;
    let (module, info) = match with_constants(kernel, module, info) {
        Ok(processed) => processed,
        Err(error) => return vec![format!("{kernel}: {error}")],
    };
    let mut written = vec![
        ("SPIR-V", to_spirv(kernel.entry, &module, &info)),
        ("MSL", to_msl(dispatch, &module, &info, false).map(|text| text.len())),
    ];
    if !has_matrices(kernel) {
        let text = to_hlsl(kernel.entry, &module, &info);
        written.push(("HLSL", text.map(|text| text.len())));
    }
    // That for OpenGL ES has neither 64-bit integers nor 16-bit floats.
    if !has_matrices(kernel) && !is_wide(kernel) && !is_rounding(kernel) {
        written.push(("GLSL", to_glsl(kernel.entry, &module, &info)));
    }
    let failed = |(language, written): (&str, Result<usize, String>)| match written {
        Ok(0) => Some(format!("{kernel}: {language}: nothing was written")),
        Ok(_) => None,
        Err(error) => Some(format!("{kernel}: {language}: {error}")),
    };
    written.into_iter().filter_map(failed).collect()
}

fn to_spirv(entry: &str, module: &naga::Module, info: &ModuleInfo) -> Result<usize, String> {
    let pipeline =
        spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.into() };
    let words = spv::write_vec(module, info, &spv::Options::default(), Some(&pipeline));
    words.map(|words| words.len()).map_err(|error| error.to_string())
}

/// As wgpu-hal (metal/device.rs) writes it: `@binding(i)` becomes `[[buffer(i)]]`, and behind them
/// stands the buffer of sizes.
pub(super) fn to_msl(
    dispatch: &Dispatch,
    module: &naga::Module,
    info: &ModuleInfo,
    checked: bool,
) -> Result<String, String> {
    let entry = dispatch.kernel.entry.to_owned();
    let target = |(binding, access): (u32, Access)| {
        let mutable = matches!(access, Access::Write | Access::ReadWrite);
        let target = msl::BindTarget { buffer: Some(binding as u8), mutable, ..Default::default() };
        (naga::ResourceBinding { group: 0, binding }, target)
    };
    let resources = msl::EntryPointResources {
        resources: (0..).zip(accesses(dispatch)).map(target).collect(),
        immediates_buffer: None,
        sizes_buffer: Some(dispatch.bindings.len() as u8),
    };
    let policy = if checked { BoundsCheckPolicy::Restrict } else { BoundsCheckPolicy::Unchecked };
    let options = msl::Options {
        lang_version: (2, 4),
        fake_missing_bindings: false,
        per_entry_point_map: [(entry.clone(), resources)].into(),
        bounds_check_policies: BoundsCheckPolicies {
            index: policy,
            buffer: policy,
            image_load: policy,
            binding_array: BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: checked,
        force_loop_bounding: checked,
        emit_int_div_checks: checked,
        ..Default::default()
    };
    let entry_point = Some((ShaderStage::Compute, entry));
    let pipeline = msl::PipelineOptions { entry_point, ..Default::default() };
    let (text, translated) =
        msl::write_string(module, info, &options, &pipeline).map_err(|error| error.to_string())?;
    all_entry_points(&translated.entry_point_names)?;
    Ok(text)
}

/// As wgpu gives it to DirectX 12 for shaders that it does not check.
pub(super) fn to_hlsl(
    entry: &str,
    module: &naga::Module,
    info: &ModuleInfo,
) -> Result<String, String> {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2,
        special_constants_binding: Some(hlsl::BindTarget { space: 255, ..Default::default() }),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: false,
        force_loop_bounding: false,
        ..Default::default()
    };
    let mut text = String::new();
    let entry_point = Some((ShaderStage::Compute, entry.to_owned()));
    let pipeline = hlsl::PipelineOptions { entry_point };
    let translated = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|error| error.to_string())?;
    all_entry_points(&translated.entry_point_names)?;
    Ok(text)
}

/// Both writers report what is wrong with one entry point in its place.
fn all_entry_points<E: std::fmt::Display>(names: &[Result<String, E>]) -> Result<(), String> {
    let wrong = names.iter().find_map(|name| name.as_ref().err());
    wrong.map_or(Ok(()), |error| Err(error.to_string()))
}

fn to_glsl(entry: &str, module: &naga::Module, info: &ModuleInfo) -> Result<usize, String> {
    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: ShaderStage::Compute,
        entry_point: entry.into(),
        multiview: None,
    };
    let (mut text, policies) = (String::new(), BoundsCheckPolicies::default());
    let mut writer = glsl::Writer::new(&mut text, module, info, &options, &pipeline, policies)
        .map_err(|error| error.to_string())?;
    writer.write().map_err(|error| error.to_string())?;
    Ok(text.len())
}

#[test]
fn every_kernel_translates_to_every_language() {
    let mut modules = HashMap::new();
    let mut failed = Vec::new();
    for dispatch in dispatches() {
        let kernel = &dispatch.kernel;
        let (module, info) = modules.entry(kernel.source()).or_insert_with(|| parsed(kernel));
        failed.extend(failures(dispatch, module, info));
    }
    assert!(failed.is_empty(), "{} failures:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_shader_file_is_part_of_a_translated_kernel() {
    let kernels = kernels();
    let parts: HashSet<&str> = kernels
        .iter()
        .flat_map(|kernel| kernel.shader.parts.iter().map(|part| part.path))
        .collect();
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut unused = Vec::new();
    let mut folders = vec![top.join("shaders")];
    while let Some(folder) = folders.pop() {
        for file in std::fs::read_dir(folder).expect("a folder of shaders") {
            let path = file.expect("a file of the folder").path();
            let name = path.strip_prefix(top).expect("a path below the top").to_str();
            if path.is_dir() {
                folders.push(path);
            } else if name.is_some_and(|name| name.ends_with(".wgsl") && !parts.contains(name)) {
                unused.push(path);
            }
        }
    }
    assert!(unused.is_empty(), "no kernel of this test uses {unused:?}");
}

#[test]
fn every_entry_point_is_translated() {
    let kernels = kernels();
    let key = |kernel: &Kernel, entry: &str| (kernel.shader.clone(), entry.to_owned());
    let translated: HashSet<_> = kernels.iter().map(|kernel| key(kernel, kernel.entry)).collect();
    let mut shaders = HashSet::new();
    let mut missing = Vec::new();
    for kernel in kernels.iter().filter(|kernel| shaders.insert(kernel.shader.clone())) {
        for entry in parsed(kernel).0.entry_points {
            if !translated.contains(&key(kernel, &entry.name)) {
                let choices: Vec<String> = kernel.shader.choices().collect();
                missing.push(format!("{}::{} {choices:?}", kernel.shader.name, entry.name));
            }
        }
    }
    assert!(missing.is_empty(), "no kernel of this test uses {missing:#?}");
}
